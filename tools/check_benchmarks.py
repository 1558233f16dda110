"""Evaluates two scripted models whose scores are known on every benchmark at hand, and exits 1 when a score is another.

    python tools/check_benchmarks.py 50
    python tools/check_benchmarks.py 200 squadv2=squad/dev-v2.0.json

One model gives the right answer to everything. The other has no opinion: it finds all choices equally likely, and it says
nothing. Both are asked through lm-eval as a real model is, with and without a chat frame.

Covers the kinds choice, answer and code. Does not cover IFEval, whose checks have tests of their own, or judged answers.
"""

import argparse
import string
import sys
from collections.abc import Callable
from typing import Any

from lm_eval.api.model import LM

from isheep_lib.benchmarks.catalogue import BENCHMARKS
from isheep_lib.benchmarks.data import ITEM, Chosen, open_suite
from isheep_lib.benchmarks.lm_eval_tasks import benchmark_of, run
from isheep_lib.display.table import Table
from isheep_lib.errors import IsheepError
from isheep_lib.evaluate.run import HARNESS
from isheep_lib.sandbox.run import find_sandbox

CLOSE = 1e-9


def labelled(doc: dict[str, Any]) -> int:
    """Find the right choice by its label."""
    return doc["choices"]["label"].index(doc["answerKey"])


# The number of the right choice, read from the data without lm-eval.
RIGHT: dict[str, Callable[[dict[str, Any]], int]] = {
    "boolq": lambda doc: int(doc["answer"] if "answer" in doc else doc["label"]),
    "piqa": lambda doc: doc["label"],
    "social_iqa": lambda doc: int(doc["label"]) - 1,
    "hellaswag": lambda doc: int(doc["label"]),
    "winogrande": lambda doc: int(doc["answer"]) - 1,
    "arc_easy": labelled,
    "arc_challenge": labelled,
    "openbookqa": labelled,
    "commonsense_qa": labelled,
    "mmlu": lambda doc: doc["answer"],
    "gpqa_diamond": lambda doc: doc["choices"].index(doc["Correct Answer"].strip()),
}
# A right short answer.
SAID: dict[str, Callable[[dict[str, Any]], str]] = {
    # lm-eval's comparison loses the end of a text that lower case makes longer, such as "İsrail".
    "triviaqa": lambda doc: next(alias for alias in doc["answer"]["aliases"] if len(alias.lower()) == len(alias)),
    "nq_open": lambda doc: doc["answer"][0],
    "squadv2": lambda doc: next(iter(doc["answers"]["text"]), "unanswerable"),
}
# Whether saying nothing is right, or counts as right because the graders drop punctuation, and an answer is nothing else.
SILENCE: dict[str, Callable[[dict[str, Any]], bool]] = {
    "triviaqa": lambda doc: any(not alias.strip(string.punctuation) for alias in doc["answer"]["aliases"]),
    "nq_open": lambda doc: any(not answer.strip(string.punctuation) for answer in doc["answer"]),
    "squadv2": lambda doc: not doc["answers"]["text"],
}


def solution(doc: dict[str, Any]) -> str:
    """Return the code that solves a task, as all benchmarks of code have it."""
    return doc.get("code") or doc["canonical_solution"]


class Scripted(LM):
    """A language model of lm-eval that knows everything, or has no opinion.

    Attributes:
        asked: what each item of a benchmark was asked, as context and continuation or settings, in the order of choices.
    """

    def __init__(self, knows: bool, framed: bool = False) -> None:
        """Choose which of the two, and whether it has a chat frame."""
        super().__init__()
        self.knows, self.framed = knows, framed
        self.asked: dict[tuple[str, str], list[tuple[str, Any]]] = {}

    @property
    def tokenizer_name(self) -> str:
        """Name a tokenizer for lm-eval's caches; there is none."""
        return "scripted"

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """Put messages between marks."""
        return "".join(f"<{message['role']}>{message['content']}" for message in chat_history) + "<answer>"

    def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
        """Find the right choice certain, or none better than another."""
        found = []
        for instance in requests:
            name = self._note(instance)
            found.append((0.0 if self.knows and instance.idx == RIGHT[name](instance.doc) else -1.0, False))
        return found

    def generate_until(self, requests: list[Any]) -> list[str]:
        """Say the right answer, or nothing."""
        return [self._answer(self._note(instance), instance) if self.knows else "" for instance in requests]

    def loglikelihood_rolling(self, requests: list[Any]) -> list[float]:
        """Refuse: no benchmark asks for it."""
        raise NotImplementedError("no benchmark here measures the likelihood of whole texts")

    def _note(self, instance: Any) -> str:
        name = benchmark_of(instance.task_name).name
        self.asked.setdefault((name, instance.doc[ITEM]), []).append(instance.args)
        return name

    def _answer(self, name: str, instance: Any) -> str:
        if BENCHMARKS[name].kind == "answer":
            return SAID[name](instance.doc)
        answer, prompt = solution(instance.doc), instance.doc.get("prompt", "")
        if not self.framed:
            return answer
        begun = prompt if "def " in prompt and "def " not in answer.split("\n")[0] else ""
        return f"This is the code.\n```python\n{begun}{answer}\n```\nIt passes."


def check(chosen: list[Chosen], framed: bool, method: str) -> list[dict[str, Any]]:
    """Evaluate both models and compare every metric of every benchmark with what it must be.

    Args:
        chosen: benchmarks of the kinds choice, answer and code.
        framed: with a chat frame.
        method: sandbox of programs.

    Returns:
        A row a metric, scores in percent.
    """
    silent, knowing = Scripted(knows=False, framed=framed), Scripted(knows=True, framed=framed)
    right, nothing = run(chosen, knowing, framed, method=method), run(chosen, silent, framed, method=method)
    found = []
    for one in chosen:
        name = one.benchmark.name
        for metric in right[name][0]["scores"]:
            gold, empty = share(right[name], metric), share(nothing[name], metric)
            expected = 100 * sum(counts(one, doc, metric, silent, framed) for doc in one.docs) / len(one.docs)
            agrees = abs(gold - 100) < CLOSE and abs(empty - expected) < CLOSE
            row = {"task": name, "metric": metric, "items": one.subset, "gold": gold}
            found.append({**row, "empty": empty, "expected": expected, "agrees": "yes" if agrees else "NO"})
    return found


def share(rows: list[dict[str, Any]], metric: str) -> float:
    """Return the mean of a metric in percent."""
    return 100 * sum(row["scores"][metric] for row in rows) / len(rows)


def counts(chosen: Chosen, doc: dict[str, Any], metric: str, silent: Scripted, framed: bool) -> bool:
    """Tell whether the model without opinion must be counted as right on an item.

    Of equally likely choices the first one wins, and where they are divided by their letters, the first of the longest.
    """
    name = chosen.benchmark.name
    if chosen.benchmark.kind == "code":
        return False
    if chosen.benchmark.kind == "answer":
        return SILENCE[name](doc)
    if metric == "acc":
        return RIGHT[name](doc) == 0
    blank = 0 if framed else 1  # what lm-eval puts before a choice where no frame does
    lengths = [len(continuation) - blank for _, continuation in silent.asked[name, doc[ITEM]]]
    return lengths.index(max(lengths)) == RIGHT[name](doc)


def main() -> None:
    """Print the table for each way of asking, and what is not at hand."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("items", type=int, help="items of each benchmark, 0 is all")
    parser.add_argument("sources", nargs="*", metavar="benchmark=file", help="own data, as in evaluate.data")
    given = parser.parse_args()
    names = [name for name, benchmark in BENCHMARKS.items() if benchmark.kind in HARNESS]
    try:
        suite = open_suite([f"{name}:{given.items}" for name in names], given.sources, 0)
    except ValueError as error:
        parser.error(str(error))
    method = find_sandbox()
    chosen = suite.of(*HARNESS) if method else suite.of("choice", "answer")
    agree = True
    for framed in (False, True):
        rows = check(chosen, framed, method)
        agree = agree and all(row["agrees"] == "yes" for row in rows)
        print(Table(rows, "with a chat frame" if framed else "without a chat frame"), "\n")
    for name, why in suite.absent.items():
        print(f"not at hand: {name}: {why}")
    if not method:
        print("no sandbox here, so nothing was run: " + ", ".join(one.benchmark.name for one in suite.of("code")))
    sys.exit(0 if agree else 1)


if __name__ == "__main__":
    try:
        main()
    except IsheepError as error:
        sys.exit(f"{type(error).__name__}: {error}")
