"""Problems answered n times by the model, and seeds with known answers that tell how often most of the answers are right.

Covers asking and counting. Does not cover reading numbers (`evolving.votes`) or what becomes of a vote (each method).
"""

import random
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from isheep_lib.record.journal import Journal
from isheep_lib.record.rows import Task, task_of
from isheep_lib.synthesize.evolving.votes import Vote, final_number, vote
from isheep_lib.synthesize.respond import respond
from isheep_lib.synthesize.writing import Writing


def answer_by_vote(
    writing: Writing[Any], journal: Journal, number: int, rows: list[dict[str, Any]]
) -> dict[str, tuple[list[dict[str, Any]], Vote]]:
    """Answer tasks a number of times each; return the answers and what they say, by task."""
    answers: dict[str, list[dict[str, Any]]] = {}
    for row in respond(writing, rows, journal, number):
        answers.setdefault(task_of(row), []).append(row)
    return {
        i: (own, vote([row["output"] for row in own], [row["finish"] != "length" for row in own])) for i, own in answers.items()
    }


def checkable(seeds: Sequence[Task]) -> list[Task]:
    """Return the seeds whose output is a number and nothing else."""
    return [seed for seed in seeds if seed.output and _known(seed) is not None]


def _known(seed: Task) -> Fraction | None:
    """Return the number that is a seed's output and nothing else, None where it is more or less than a number."""
    return final_number(seed.output) if len(seed.output.split()) == 1 and ":" not in seed.output else None


def check_vote(writing: Writing[Any], seeds: Sequence[Task], wanted: int, number: int) -> tuple[list[dict[str, Any]], int]:
    """Let a vote of so many answers decide on seeds whose answers are known.

    Returns:
        A row for each seed, and the tokens that this took.
    """
    known = checkable(seeds)
    draw = random.Random(writing.seed_of("checked_seeds"))  # noqa: S311 - reproducible, not secret
    drawn = draw.sample(known, min(wanted, len(known)))
    rows = [{"id": f"{seed.id}/checked", "instruction": seed.instruction, "input": seed.input} for seed in drawn]
    with writing.open_journal("checked_seeds") as journal:
        found = answer_by_vote(writing, journal, number, rows)
    said = [
        {
            "id": seed.id,
            "known": str(_known(seed)),
            "voted": result.winner,
            "right": result.winner == str(_known(seed)),
            "votes": result.counts,
            "unread": result.unread,
        }
        for seed, (_, result) in zip(drawn, found.values(), strict=True)
    ]
    return said, sum(row["num_tokens"] for rows, _ in found.values() for row in rows)
