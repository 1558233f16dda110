r"""The model's own mistakes: seeds with known answers that it answers wrongly, and new tasks with answers read from its text.

    read_pair("Task: Add 2 and 3.\nAnswer: 5", ("Task:", "Answer:"))            # ("Add 2 and 3.", "5")

A row of `seed_answers.jsonl`:
    {"id": "checkable-001", "kind": "number", "instruction": "…", "input": "", "known": "243", "said": "… 252", "right": false}

Covers finding mistakes and reading tasks. Does not cover what is written from them (`feedback.from_mistakes`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from isheep_lib.engines.generate import generate_all
from isheep_lib.engines.protocol import Completion, Request
from isheep_lib.prompting.chat import user_words
from isheep_lib.record.journal import Journal
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.feedback.checking import says
from isheep_lib.synthesize.respond import response_prompt
from isheep_lib.synthesize.rules import Item, unquoted
from isheep_lib.synthesize.writing import Writing

MARKS = r"[\s*#_]*"  # what a model puts around a label


@dataclass(frozen=True)
class Seen:
    """A seed with what the model answered, and whether that is right."""

    seed: Task
    said: str
    right: bool

    @property
    def row(self) -> dict[str, Any]:
        """What is recorded."""
        seed = self.seed
        told = {"id": seed.id, "kind": seed.kind, "instruction": seed.instruction, "input": seed.input}
        return {**told, "known": seed.output, "said": self.said, "right": self.right}

    @property
    def example(self) -> dict[str, Any]:
        """What an error shows of it."""
        reason = "answered_rightly" if self.right else "answered_wrongly"
        return {"reason": reason, "instruction": f"{self.said[:40]} (right is {self.seed.output[:20]})"}


def answer_seeds(writing: Writing[Any], journal: Journal, seeds: Sequence[Task]) -> tuple[list[Seen], int]:
    """Answer seeds greedily, as a model is evaluated, and hold the answers against the known ones.

    Returns:
        Every seed with its answer, and the tokens that this took.
    """
    shared, frame = writing.shared, writing.frame
    requests = [
        Request(f"{seed.id}/answer", response_prompt(writing, vars(seed)), shared.response_tokens, stop=(frame.end,))
        for seed in seeds
    ]
    said = generate_all(writing.engine, requests, journal, "answering seeds")
    answers = [said[request.id] for request in requests]
    seen = [Seen(seed, answer.text.strip(), says(seed, answer.text)) for seed, answer in zip(seeds, answers, strict=True)]
    return seen, sum(answer.num_tokens for answer in answers)


def labels_of(words: str) -> tuple[str, str]:
    """Return the labels of a new task and of its answer, which are the last two lines of a prompt that asks for both."""
    task, answer = words.rstrip().split("\n")[-2:]
    return task, answer


def read_pair(said: str, labels: tuple[str, str]) -> tuple[str, str]:
    """Read the first task of a text and its answer, "" where there is none; a task may stand without its label."""
    task, answer = (re.compile(rf"^{MARKS}{re.escape(name)}{MARKS}[:：]{MARKS}", re.I | re.M) for name in map(_name, labels))
    asked, _, rest = _cut(answer, said)
    found = task.search(asked)
    instruction = asked[found.end() :] if found else asked
    return unquoted(_bare(task.split(instruction)[0])), unquoted(_bare(answer.split(task.split(rest)[0])[0]))


def _name(label: str) -> str:
    return label.strip().rstrip(":：").strip()


def _cut(mark: re.Pattern[str], text: str) -> tuple[str, str, str]:
    found = mark.search(text)
    return (text[: found.start()], found.group(), text[found.end() :]) if found else (text, "", "")


def _bare(text: str) -> str:
    return text.strip().strip("*").strip()


def read_task(said: Completion, labels: tuple[str, str]) -> tuple[Item, str]:
    """Read a new task and the answer that the model wrote with it."""
    instruction, answer = read_pair(said.text, labels)
    return Item(said.text, instruction, "", cut=said.finish == "length"), answer


def shown(seen: Seen) -> dict[str, str]:
    """Return what prompts show of a mistake."""
    return {"task": user_words(seen.seed), "answer": seen.seed.output}
