"""Responses to accepted tasks (Algorithm 1, R_t), one or several of each; zero-shot, or a base model's after answered seeds.

Of several answers of a task each is a row of its own:
    {"id": "i1-r0-p003-t1-a2", "task": "i1-r0-p003-t1", "instruction": "…", "input": "", "output": "…", …}

A base model goes on with text and does not know where an answer ends. With `synthesize.response_demonstrations` it is shown
seeds with their answers as earlier turns (untuned models in context: URIAL, arXiv 2312.01552), and ends where the next turn
would begin. The row names them: `"response_demonstrations": ["seed-004", …]`.

Covers asking, and answers that say the same. Does not cover which of them is learned (`filter.steps.best_answer`).
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from isheep_lib.display.table import Table
from isheep_lib.engines.generate import generate_all
from isheep_lib.engines.protocol import Request
from isheep_lib.prompting.chat import Frame, answer_stops, user_words
from isheep_lib.prompting.special_tokens import find_special
from isheep_lib.record.journal import Journal
from isheep_lib.record.rows import Task, digest_text, task_of
from isheep_lib.synthesize.writing import Writing

ANSWER = ("output", "finish", "num_tokens")


def respond(writing: Writing[Any], rows: list[dict[str, Any]], journal: Journal, answers: int = 1) -> list[dict[str, Any]]:
    """Answer tasks in the model's frame; rows gain output, finish and num_tokens, those that have them stay as they are.

    Several answers of a task are asked for one after the other, each with a seed of its own; the first one, whose seed does
    not depend on how many there are, is the one that the row has already, if any. A row that holds words which the model's
    tokenizer takes for special tokens names them in `special_tokens`. Of several workers, each returns the rows that it has
    at hand.
    """
    shared, frame = writing.shared, writing.frame
    wanted = {seed: row for task in rows for seed, row in _answer_rows(task, answers)}
    stop = answer_stops(frame) if _shows(writing) else (frame.end,)
    requests = [
        Request(
            row["id"],
            response_prompt(writing, row),
            shared.response_tokens,
            shared.response_temperature,
            shared.response_top_p,
            writing.seed_of(seed),
            stop=stop,
        )
        for seed, row in wanted.items()
        if "output" not in row
    ]
    found = generate_all(writing.engine, requests, journal, "responses")
    said = {id_: {"output": a.text.strip(), "finish": a.finish, "num_tokens": a.num_tokens} for id_, a in found.items()}
    new = {row["id"]: {**row, **said[row["id"]], **_shown(writing, row)} for row in wanted.values() if row["id"] in said}
    full = [new.get(row["id"], row) for row in wanted.values() if "output" in row or row["id"] in new]
    return [row | _special(row, frame) for row in full]


def _answer_rows(task: dict[str, Any], answers: int) -> Iterable[tuple[str, dict[str, Any]]]:
    """Return a row for each answer of a task, with the name of its seed; a task that has one answer is its own row."""
    id_ = task["id"]
    if answers == 1:
        return [(f"{id_}/response", task)]
    bare = {name: value for name, value in task.items() if name not in ANSWER}
    named = [{**(bare if k else task), "id": f"{id_}-a{k}", "task": id_} for k in range(answers)]
    return [(f"{row['id'] if k else id_}/response", row) for k, row in enumerate(named)]


def response_prompt(writing: Writing[Any], row: Mapping[str, Any]) -> str:
    """Ask for the response to a task, given as its instruction and input, in the model's frame, after answered seeds if any."""
    words = user_words(Task("", row["instruction"], row["input"]))
    return writing.frame.conversation([(user_words(seed), seed.output) for seed in demonstrations(writing, words)], words)


def demonstrations(writing: Writing[Any], words: str) -> list[Task]:
    """Draw the answered seeds that stand before a task: the same for each of its answers, none where no base model answers."""
    if not _shows(writing):
        return []
    answered = [seed for seed in writing.seeds if seed.output]
    draw = random.Random(writing.seed_of(f"response demonstrations/{digest_text(words)}"))  # noqa: S311 - reproducible
    return draw.sample(answered, writing.shared.response_demonstrations)


def _shows(writing: Writing[Any]) -> bool:
    """Tell whether answers come after answered seeds: those of the base model, which writes in the first iteration."""
    return writing.shared.response_demonstrations > 0 and writing.iteration == 1


def _shown(writing: Writing[Any], row: Mapping[str, Any]) -> dict[str, list[str]]:
    """Name the answered seeds that stood before a task."""
    found = demonstrations(writing, user_words(Task("", row["instruction"], row["input"])))
    return {"response_demonstrations": [seed.id for seed in found]} if found else {}


def _special(row: Mapping[str, Any], frame: Frame) -> dict[str, list[str]]:
    found = find_special(frame.words, row["instruction"], row["input"], row["output"])
    return {"special_tokens": found} if found else {}


def told_apart(answered: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Divide answers into those that differ within their task, and those that repeat an earlier one, with the reason.

    A text that the token limit ended is another answer than the same text that is whole.
    """
    first: dict[tuple[str, str, bool], str] = {}
    different, same = [], []
    for row in answered:
        earlier = first.setdefault((task_of(row), row["output"], row["finish"] == "length"), row["id"])
        if earlier == row["id"]:
            different.append(row)
        else:
            same.append({**row, "reason": "same_answer", "detail": f"says what {earlier} says"})
    return different, same


def variety(different: Sequence[dict[str, Any]], same: Sequence[dict[str, Any]], answers: int) -> Table:
    """Show how many tasks have how many different answers; of several workers, among those at hand."""
    if answers == 1:
        return Table([{"answers of a task": "1"}])
    found: dict[str, int] = {}
    for row in different:
        found[task_of(row)] = found.get(task_of(row), 0) + 1
    numbers = list(found.values())
    rows = [{"different answers of a task": n, "tasks": numbers.count(n)} for n in range(1, answers + 1) if n in numbers]
    said = f"{answers} answers asked of each task, {len(same)} of {len(different) + len(same)} say what another one of it says"
    if numbers and max(numbers) == 1 and len(different) + len(same) == answers * len(numbers):
        said += "; ALL answers of every task are alike, so none can be better: raise response_temperature or response_top_p"
    return Table(rows or [{"tasks": "none is answered yet"}], said)
