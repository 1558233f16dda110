"""The pairs of an iteration in the forms that others' programs read; the same rows in the same order in each.

    write(folder, kept, fates, "You are a helpful assistant.")      # alpaca.json, sharegpt.json, messages.jsonl, pairs.parquet

Covers writing. Does not cover which pairs (`filter`) or what is said of them (`export.data_card`).
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from isheep_lib.prompting.chat import user_words
from isheep_lib.record.rows import Task, write_atomic, write_jsonl

PREFERENCES = "preferences.jsonl"  # only where a training learned from pairs of answers
FILES = {"alpaca": "alpaca.json", "sharegpt": "sharegpt.json", "messages": "messages.jsonl", "pairs": "pairs.parquet"}
# Columns of pairs.parquet; the scores, one column each, stand after the output.
PAIR = {
    "id": "iteration, prompt and place in the list that the model wrote",
    "instruction": "written by the model",
    "input": "written by the model, often empty",
    "output": "written by the model, asked without demonstrations",
}
MORE = {
    "finish": "how the response ended: end, stop or length",
    "num_tokens": "tokens of the response as generated",
    "demonstrations": "ids of the tasks shown in the prompt that gave the instruction",
}
TASK = {"task": "id of the task, to which several answers were asked for"}
CONSTRAINED = {
    "free_instruction": "the instruction as the model wrote it, before constraints were put into it",
    "constraints": "those of the instruction as JSON: family, arguments, text, and whether the response keeps each",
}
FATE = {
    "fate": "what the training of this iteration did with it: learned, held_out (its loss chose the checkpoint), "
    "beyond_max_rows (not drawn), or why nothing of it could be learned; empty where the record does not tell",
    "tokens": "tokens of the framed pair in training",
    "learned": "of them learned",
    "cut": "the training's max_length shortened the response",
}


def write(folder: Path, rows: Sequence[dict[str, Any]], fates: dict[str, dict[str, Any]], system: str) -> None:
    """Write kept pairs in all forms, with what the training did with each, by id, and its system prompt, if it showed one."""
    alpaca = [{name: row[name] for name in ("instruction", "input", "output")} for row in rows]
    _write_list(folder / FILES["alpaca"], alpaca)
    _write_list(folder / FILES["sharegpt"], [_sharegpt(row, system) for row in rows])
    write_jsonl(folder / FILES["messages"], ({"messages": messages(row, system)} for row in rows))
    _write_parquet(folder / FILES["pairs"], rows, fates)


def messages(row: dict[str, Any], system: str) -> list[dict[str, str]]:
    """Return a pair as a conversation."""
    said = [("user", _words(row)), ("assistant", row["output"])]
    return [{"role": role, "content": text} for role, text in ([("system", system)] if system else []) + said]


def more_columns(rows: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Say what the columns after the scores are; rows of a run with one answer to each task do not name a task."""
    return MORE | (TASK if any("task" in row for row in rows) else {})


def write_preferences(folder: Path, rows: Sequence[dict[str, Any]], system: str) -> None:
    """Write pairs of answers as conversations, in the form that trainers of preferences read: prompt, chosen, rejected."""
    found = []
    for row in rows:
        *asked, chosen = messages(row | {"output": row["chosen"]}, system)
        found.append({"prompt": asked, "chosen": [chosen], "rejected": [{**chosen, "content": row["rejected"]}]})
    write_jsonl(folder / PREFERENCES, found)


def score_names(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Name all scores that some row has."""
    return sorted({name for row in rows for name in row["scores"]})


def constrained_columns(rows: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Return the columns of constraints with their meanings, none where no instruction holds any."""
    return CONSTRAINED if any(row.get("constraints") for row in rows) else {}


def _sharegpt(row: dict[str, Any], system: str) -> dict[str, Any]:
    turns = [{"from": "human", "value": _words(row)}, {"from": "gpt", "value": row["output"]}]
    return {"conversations": turns, "system": system}


def _words(row: dict[str, Any]) -> str:
    return user_words(Task(row["id"], row["instruction"], row["input"]))


def _write_list(path: Path, rows: list[dict[str, Any]]) -> None:
    write_atomic(path, json.dumps(rows, ensure_ascii=False, indent=1) + "\n")


def _write_parquet(path: Path, rows: Sequence[dict[str, Any]], fates: dict[str, dict[str, Any]]) -> None:
    """Write one table with a type for each column, also where a column is empty."""
    import pyarrow
    from pyarrow import parquet

    text, whole = pyarrow.string(), pyarrow.int64()
    scores = {f"score_{name}": pyarrow.float64() for name in score_names(rows)}
    kinds = dict.fromkeys(PAIR, text) | scores | dict.fromkeys([*more_columns(rows), *FATE], whole)
    texts = {name: text for name in ("finish", "fate", *TASK) if name in kinds}
    kinds |= texts | {"demonstrations": pyarrow.list_(text), "cut": pyarrow.bool_()}
    kinds |= dict.fromkeys(constrained_columns(rows), text)
    rows = [
        row | {"constraints": json.dumps(row["constraints"], ensure_ascii=False)} if "constraints" in row else row
        for row in rows
    ]
    flat = [row | fates.get(row["id"], {}) | {f"score_{name}": value for name, value in row["scores"].items()} for row in rows]
    buffer = pyarrow.BufferOutputStream()
    parquet.write_table(pyarrow.Table.from_pylist(flat, pyarrow.schema(kinds)), buffer)
    write_atomic(path, buffer.getvalue().to_pybytes())
