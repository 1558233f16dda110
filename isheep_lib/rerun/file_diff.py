"""What two executions of one stage wrote: bytes first, and where they differ, rows and values within a tolerance.

    compare_file(recorded_path, repeated_path, its_line_in_the_record, its_line_now)

Covers output files. Does not cover notebooks (`rerun.notebook_diff`).
"""

import json
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from isheep_lib.record.rows import read_jsonl
from isheep_lib.rerun.notebook_diff import USUAL, Change, Tolerance, excerpts

ABSENT = object()
FIRST_IDS = 5  # of the rows that differ


def compare_file(
    before: Path, after: Path, recorded: dict[str, Any] | None, now: dict[str, Any] | None, tolerance: Tolerance
) -> Change | None:
    """Compare an output file with the recorded one by the digests in both manifests; where bytes differ, by what they say."""
    file = after.name
    if recorded is None or now is None:
        kind = "file missing" if now is None else "file added"
        return Change(file, kind, *(f"{kept['bytes']} bytes" if kept else "" for kept in (recorded, now)))
    if recorded["sha256"] == now["sha256"]:
        return None
    digests = [f"{kept['bytes']} bytes, sha256 {kept['sha256'][:12]}…" for kept in (recorded, now)]
    if file.endswith(".jsonl"):
        old, new = read_jsonl(before), read_jsonl(after)
        if differing := rows_that_differ(old, new, tolerance):
            more = f" and {len(differing) - FIRST_IDS} more" if len(differing) > FIRST_IDS else ""
            said = f"{len(differing)} row(s) differ: {', '.join(differing[:FIRST_IDS])}{more}"
            return Change(file, "rows", f"{len(old)} row(s)", f"{len(new)} row(s), {said}")
        if [row.get("id") for row in old] != [row.get("id") for row in new]:
            return Change(file, "order of rows", *digests)
        return Change(file, "within the tolerance", *digests, decides=False)
    if file.endswith(".json"):
        old, new = (json.loads(path.read_text(encoding="utf-8")) for path in (before, after))
        found = value_difference(old, new, tolerance)
        if found:
            return Change(file, "values", f"{found[0]}: {found[1]}", f"{found[0]}: {found[2]}")
        return Change(file, "within the tolerance", *digests, decides=False)
    return Change(file, "other bytes", *digests)


def value_difference(before: Any, after: Any, tolerance: Tolerance = USUAL, path: str = "") -> tuple[str, str, str] | None:
    """Return where two JSON values first differ, with both sides; None where they are the same within the tolerance."""
    if isinstance(before, dict) and isinstance(after, dict):
        names = sorted({*before, *after})
        pairs = [(f"{path}.{name}".lstrip("."), before.get(name, ABSENT), after.get(name, ABSENT)) for name in names]
    elif isinstance(before, list) and isinstance(after, list):
        pairs = [(f"{path}[{i}]", a, b) for i, (a, b) in enumerate(zip_longest(before, after, fillvalue=ABSENT))]
    else:
        same = _same_number(before, after, tolerance) or (type(before) is type(after) and before == after)
        return None if same else (path, *excerpts(_written(before), _written(after)))
    return next((found for name, a, b in pairs if (found := value_difference(a, b, tolerance, name))), None)


def _same_number(before: Any, after: Any, tolerance: Tolerance) -> bool:
    return (
        float in (type(before), type(after)) and {type(before), type(after)} <= {int, float} and tolerance.near(before, after)
    )


def _written(value: Any) -> str:
    return value if isinstance(value, str) else "nothing" if value is ABSENT else json.dumps(value, ensure_ascii=False)


def rows_that_differ(before: Sequence[dict], after: Sequence[dict], tolerance: Tolerance = USUAL) -> list[str]:
    """Name the rows that differ or stand on one side only, by id, or by number where ids do not tell rows apart."""
    old, new = _by_id(before), _by_id(after)
    if old is None or new is None:
        old, new = ({f"row {n}": row for n, row in enumerate(rows, start=1)} for rows in (before, after))
    return [name for name in {**old, **new} if value_difference(old.get(name), new.get(name), tolerance)]


def _by_id(rows: Sequence[dict]) -> dict[str, dict] | None:
    named = {str(row["id"]): row for row in rows if "id" in row}
    return named if len(named) == len(rows) else None
