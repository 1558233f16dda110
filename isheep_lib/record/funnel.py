"""Counting what went in, what stayed and what left for which reason; and stopping when too little stays."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from isheep_lib.errors import YieldError


def funnel(total: int, dropped: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Count kept rows and dropped rows by reason, most frequent first; in = kept + dropped."""
    reasons = Counter(row["reason"] for row in dropped)
    ordered = dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))
    return {"in": total, "kept": total - len(dropped), "dropped": ordered}


def require(found: int, wanted: int, what: str, dropped: Sequence[dict[str, Any]], do: str) -> None:
    """Stop a stage that yields too little (YieldError), with the most frequent reasons and an example of each."""
    if found >= wanted:
        return
    first = {}
    for row in dropped:
        first.setdefault(row["reason"], row)
    counts = funnel(len(dropped), dropped)["dropped"]
    lines = [f"{n:4d} {reason:15s} such as {first[reason]['instruction'][:80]!r}" for reason, n in list(counts.items())[:4]]
    listed = "\n  ".join(lines or ["nothing at all"])
    raise YieldError(f"Only {found} {what}, {wanted} are needed; dropped {len(dropped)}:\n  {listed}", do=do)
