"""Where a task comes from: what it was made from, back to seeds, and what its row says of how it was made.

    origin(run_dir, 1, row)       # operator, document, topic, cell, constitution version, …, with what the record holds of them
    ancestors(run_dir, 1, row)    # its parents, theirs, and so on

Covers one row of a synthesis by any method. Does not cover what became of it (`explore.pair_history`).
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from isheep_lib.display.table import FoldedTable, Table
from isheep_lib.explore.recorded import rows_of
from isheep_lib.record import manifests

LONG = 500  # letters of a text that show before it is opened
# What a row says beside its lineage; whatever else it says is shown.
OTHER = ("id", "task", "instruction", "input", "output", "raw", "finish", "num_tokens", "reason", "detail", "special_tokens")
NAMED = ("demonstrations", "parents")  # whose texts have tables of their own
# Columns of tables of many rows, in this order, where any row has them.
COLUMNS = ("parents", "operator", "generation", "round", "document", "style", "table", "kind", "topic", "topics", "skill")
COLUMNS += ("cell", "constitution_version", "method_version")
PARTED = " | "


def origins(row: Mapping[str, Any]) -> dict[str, str]:
    """Return what a row says of where it comes from, by column; nothing for what it does not say."""
    return {name: said(row[name]) for name in COLUMNS if row.get(name) not in (None, "", [])}


def said(value: Any) -> str:
    """Write a value in a line; several parts are told apart by bars."""
    if isinstance(value, list):
        return PARTED.join(map(str, value))
    return ", ".join(f"{name}: {each}" for name, each in value.items()) if isinstance(value, dict) else str(value)


def origin(run_dir: Path, iteration: int, row: Mapping[str, Any]) -> Table:
    """Show what a row says of how it was made, each with what the files of its method hold of it."""
    facts = {name: value for name, value in row.items() if name not in (*OTHER, *NAMED) and value not in (None, "", [], {})}
    rows = [
        {"what": name.replace("_", " "), "is": said(value), **_held(run_dir, iteration, name, row)}
        for name, value in facts.items()
    ]
    return FoldedTable(rows or [{"what": "nothing: it was made from no task, and by no operator"}], "How it was made", LONG)


def _held(run_dir: Path, iteration: int, name: str, row: Mapping[str, Any]) -> dict[str, str]:
    """Return what a method's own file says of a fact, {} where none does."""

    def recorded(file: str) -> list[dict[str, Any]]:
        return rows_of(run_dir, iteration, "synthesize", file) or []

    if name == "constitution_version":
        rules = [rule["rule"] for rule in recorded("constitution.jsonl") if not rule["reason"] and rule["version"] <= row[name]]
        return {"in the record": "\n".join(f"{n}. {rule}" for n, rule in enumerate(rules, start=1))}
    if name == "method_version":
        return {"in the record": next((v["text"] for v in recorded("methods.jsonl") if v["version"] == row[name]), "")}
    if name == "cell":
        held = next((each for each in recorded("archive.jsonl") if each["cell"] == row[name]), None)
        return {"in the record": f"the cell holds {held['id']}: {held['instruction']}" if held else "the cell is empty"}
    if name == "skill_id":
        tested = next((each for each in recorded("skills.jsonl") if each["id"] == row[name]), None)
        return {"in the record": f"{tested['weak']} of {tested['scored']} answers are weak" if tested else ""}
    if name == "document":
        folder = manifests.stage_folder(run_dir, iteration, "synthesize")
        documents = (manifests.read_manifest(folder) or {}).get("sources", {}).get("documents", {})
        return {"in the record": f"of {documents['from']}"} if documents else {}
    return {}


def ancestors(run_dir: Path, iteration: int, row: Mapping[str, Any]) -> Table:
    """Show the tasks that a row was made from, those that these were made from, and so on, each once."""
    found, waiting, rows = _known(run_dir, iteration), [(1, id_) for id_ in row.get("parents", ())], dict[str, dict[str, Any]]()
    while waiting:
        back, id_ = waiting.pop(0)
        if id_ not in rows:
            one = found.get(id_, {})
            rows[id_] = {"generations back": back, "id": id_, "by": one.get("operator", ""), **_texts(one)}
            waiting += [(back + 1, parent) for parent in one.get("parents", ())]
    return FoldedTable(list(rows.values()) or [{"parents": "none"}], "What it was made from, back to seeds", LONG)


def shown(run_dir: Path, iteration: int, row: Mapping[str, Any]) -> Table:
    """Show the tasks that stood in the prompt that it was written after."""
    ids = [*row.get("demonstrations", ()), *row.get("parents", ())]
    found = _known(run_dir, iteration) if ids else {}
    rows = [{"id": id_, **_texts(found.get(id_, {}))} for id_ in ids]
    return FoldedTable(rows or [{"demonstrations": "none recorded"}], "Shown in the prompt, in this order", LONG)


def _texts(row: Mapping[str, Any]) -> dict[str, str]:
    return {name: row.get(name) or "" for name in ("instruction", "input", "output")}


def _known(run_dir: Path, iteration: int) -> dict[str, dict[str, Any]]:
    """Return every task that the record holds up to an iteration, by id: written ones, whatever became of them, and seeds."""
    found: dict[str, dict[str, Any]] = {}
    for k in range(1, iteration + 1):
        for file in ("demonstrations.jsonl", "archive.jsonl", "dropped.jsonl", "examples.jsonl"):
            _add(found, rows_of(run_dir, k, "synthesize", file) or [])
    return found


def _add(found: dict[str, dict[str, Any]], rows: Iterable[dict[str, Any]]) -> None:
    """Take rows in; of several with one id the last counts, which says most of it."""
    for row in rows:
        found[row.get("task", row["id"])] = row
