"""One hash over everything that decides a stage's result, and what is named where a stage comes out otherwise."""

from typing import Any

from isheep_lib.record import provenance
from isheep_lib.record.rows import canonical_json, digest_text

SHOWN = 12  # names of one part that differ


def fingerprint(parts: dict[str, Any]) -> str:
    """Hash the parts into the one value that must match for a stage to be reused."""
    return digest_text(canonical_json(parts))


def stale_reason(recorded: dict[str, Any], now: dict[str, Any]) -> str:
    """Name the parts of a fingerprint that differ, "" when none does."""
    names = sorted({*recorded, *now})
    reasons = []
    for name in names:
        old, new = recorded.get(name), now.get(name)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            inner = sorted(k for k in {*old, *new} if old.get(k) != new.get(k))
            more = [f"and {len(inner) - SHOWN} more"] if len(inner) > SHOWN else []
            reasons.append(f"{name} ({', '.join([*inner[:SHOWN], *more])})")
        else:
            reasons.append(name)
    return f"differs in {'; '.join(reasons)}" if reasons else ""


def explanations(recorded: dict[str, Any], now: dict[str, Any], differs: bool) -> list[str]:
    """Say what is not as it was when a stage was recorded, by its manifest and that of its repetition.

    Args:
        differs: whether the outputs do; then it is also said what cannot be compared, or that all is the same.
    """
    old, new = recorded["environment"], now["environment"]
    stale = stale_reason(recorded["parts"], now["parts"])
    found = [stale and f"this time it {stale}", provenance.environment_changes(old, new)]
    if differs:
        found.append(provenance.unnamed_facts(old, new))
        found = found if any(found) else ["inputs, code, settings, machine and packages are those of the record"]
    return [said for said in found if said]
