"""Runs of which nothing may be given to others, told by the parameters with which their tasks were written.

    why_withheld([{"method": "rainbow", "options": {"grid": "safety"}}])      # "its tasks were sought for the harm that …"

Covers telling. Does not cover what is then left out (`export`, `report`).
"""

from collections.abc import Iterable, Mapping
from typing import Any

from isheep_lib.synthesize.all_methods import METHODS
from isheep_lib.synthesize.extras.own import withheld


def why_withheld(written: Iterable[Mapping[str, Any]]) -> str:
    """Say why nothing may be given to others of a run whose stages synthesize had these parameters, "" where it may."""
    reasons = {withheld(METHODS.get(params.get("method", "")), params.get("options") or {}) for params in written} - {""}
    return "; ".join(sorted(reasons))
