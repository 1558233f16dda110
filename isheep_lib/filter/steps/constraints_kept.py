"""Constraints kept: an answer that breaks one of its instruction's is not learned from; it may be the worse half of a pair."""

from typing import ClassVar

from isheep_lib.filter.steps.step import PairStep, Reason, ScoredPair
from isheep_lib.params.kinds import Section


class ConstraintsKept(PairStep[Section]):
    """Drops pairs whose answer breaks a constraint of the instruction, as the row says."""

    name: ClassVar[str] = "constraints_kept"
    meanings: ClassVar[dict[str, str]] = {
        "breaks_constraint": "the response does not meet a constraint that its instruction holds and code checks"
    }

    def problem(self, row: ScoredPair, options: Section) -> Reason:
        """Return the first constraint that is not kept."""
        broken = [each for each in row.pair.lineage.get("constraints", ()) if not each["kept"]]
        return ("breaks_constraint", f"{broken[0]['family']}: {broken[0]['text']}") if broken else ("", "")
