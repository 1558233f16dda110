"""Tables of constraints: which families were asked, how often answers keep them, and which no answer meets.

Covers rows of `examples.jsonl`, `kept.jsonl` and `dropped.jsonl`. Does not cover checks (`constraints.checks`).
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from isheep_lib.constraints.draw import is_met
from isheep_lib.constraints.family import selected
from isheep_lib.display.table import Table

Row = Mapping[str, Any]


def families_table(rows: Sequence[Row], wanted: Iterable[str] = ()) -> Table:
    """Show by family how many instructions hold it and how many answers keep it.

    Args:
        rows: pairs, with constraints or without.
        wanted: families and groups that the run draws from; those that stand in no instruction are named.
    """
    found: dict[str, list[Row]] = {}
    for row in rows:
        for each in row.get("constraints", ()):
            found.setdefault(each["family"], []).append(each)
    if not found:
        return Table([{"constraints": "none in these instructions"}])
    with_shares = any("share" in each for group in found.values() for each in group)
    table = [
        {
            "family": name,
            "instructions": len(group),
            "kept": (kept := sum(each["kept"] for each in group)),
            "share kept": f"{kept / len(group):.0%}",
            **({"met by free answers": _share(group)} if with_shares else {}),
        }
        for name, group in sorted(found.items())
    ]
    return Table(table, " ".join([_caption(rows), *_warnings(found, wanted)]))


def _share(group: Sequence[Row]) -> str:
    """Write the mean share of free answers that meet a family with the arguments that were used."""
    shares = [each["share"] for each in group if "share" in each]
    return f"{statistics.fmean(shares):.1%}" if shares else ""


def _caption(rows: Sequence[Row]) -> str:
    held = [row for row in rows if row.get("constraints")]
    kept = sum(is_met(row) for row in held)
    said = f"{len(held)} of {len(rows)} instructions hold constraints; {kept} of their answers keep them all."
    paired = [row for row in held if row.get("contrast")]
    return said + (f" {len(paired)} have another answer to the task that breaks one." if "contrast" in held[0] else "")


def _warnings(found: Mapping[str, Sequence[Row]], wanted: Iterable[str]) -> list[str]:
    unmet = sorted(name for name, group in found.items() if not any(each["kept"] for each in group))
    absent = [family.name for family in selected(wanted) if family.name not in found]
    said = [f"WARNING: no answer meets {', '.join(unmet)}: nothing can be learned of them here."] if unmet else []
    return said + ([f"In no instruction: {', '.join(absent)}."] if absent else [])
