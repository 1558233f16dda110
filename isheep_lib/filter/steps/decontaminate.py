"""The step before all others: pairs that repeat an item of a benchmark."""

from collections.abc import Sequence
from typing import ClassVar

from isheep_lib.benchmarks.catalogue import BENCHMARKS
from isheep_lib.filter.steps.step import Given, Reasons, ScoredPair, Step
from isheep_lib.languages.words import DECIDES
from isheep_lib.params.kinds import Section


class Decontaminate(Step[Section]):
    """Drops pairs that repeat a benchmark item, each with the first such item."""

    name: ClassVar[str] = "decontaminate"
    packages: ClassVar[tuple[str, ...]] = (DECIDES,)
    meanings: ClassVar[dict[str, str]] = {
        "benchmark_item": "it repeats an item of a benchmark (the step decontaminate, before all others)"
    }

    def apply(self, rows: Sequence[ScoredPair], options: Section, given: Given) -> Reasons:
        """Return the pairs that hits name."""
        known, out = {row.id for row in rows}, {}
        for hit in given.hits:
            if hit.row_id in known and hit.row_id not in out:
                detail = f"{hit.kind} in the {hit.field}: {BENCHMARKS[hit.benchmark].title}, item {hit.item_id}"
                out[hit.row_id] = ("benchmark_item", detail)
        return out
