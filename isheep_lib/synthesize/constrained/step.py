"""What stands between a method and the record: constraints before tasks are answered, or after.

    tasks = before(writing, found.accepted, params)     # asked: instructions with constraints
    examples = after(writing, answered, params)         # each row says whether its answer keeps them

A row of `examples.jsonl` then has also:
    {"free_instruction": "Name three uses of salt.",
     "constraints": [{"family": "no_digits", "arguments": {}, "text": "Write without digits.", "kept": true}]}

Both leave rows as they are where no constraints are wanted. A task keeps its id. Covers asking (AutoIF's form, arXiv
2406.13542, with checks that people wrote). Does not cover what is found in free answers (`synthesize.constrained.hindsight`).
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from isheep_lib.constraints.draw import Constraint, asked, draw, read_rows, rows_of
from isheep_lib.constraints.family import Family, selected
from isheep_lib.prompting.thinking import answer_part
from isheep_lib.synthesize.constrained.hindsight import relabelled
from isheep_lib.synthesize.constrained.params import Constraining
from isheep_lib.synthesize.respond import response_prompt
from isheep_lib.synthesize.writing import Writing

Row = dict[str, Any]


def before(writing: Writing[Any], tasks: Sequence[Row], params: Constraining) -> list[Row]:
    """Append one to `constraints_per_task` compatible constraints to each task, drawn by the task's own seed.

    A task whose constraints would leave no room for an answer in the model's context gets fewer, or none.
    """
    if params.constraints != "asked":
        return list(tasks)
    families = selected(params.constraint_families)
    return [_constrained(writing, task, families, params.constraints_per_task) for task in tasks]


def after(writing: Writing[Any], rows: Sequence[Row], params: Constraining) -> list[Row]:
    """Say of each answer which constraints it keeps; by hindsight, put into instructions what free answers meet."""
    if params.constraints == "hindsight":
        return relabelled(writing.seed_of, rows, params)
    return [_checked(row) if "constraints" in row else row for row in rows]


def _constrained(writing: Writing[Any], task: Row, families: Sequence[Family], most: int) -> Row:
    seed = writing.seed_of(f"{task['id']}/constraints")
    randomness = random.Random(seed)  # noqa: S311 - reproducible, not secret
    found = draw(families, randomness.randint(1, most), randomness)
    while found:
        row = with_constraints(task, asked(task["instruction"], found, random.Random(seed)), found)  # noqa: S311
        if not writing.overlong({"": response_prompt(writing, row)}, writing.shared.response_tokens):
            return row
        found = found[:-1]
    return task


def with_constraints(task: Mapping[str, Any], instruction: str, constraints: Sequence[Constraint]) -> Row:
    """Return a task whose instruction holds constraints, with the free one beside it."""
    rows = [constraint.as_row() for constraint in constraints]
    return {**task, "instruction": instruction, "free_instruction": task["instruction"], "constraints": rows}


def _checked(row: Row) -> Row:
    return {**row, "constraints": rows_of(read_rows(row["constraints"]), answer_part(row["output"]))}
