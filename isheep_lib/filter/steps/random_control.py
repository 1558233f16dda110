"""The random control: as many pairs as the steps keep, drawn by chance."""

import random
from collections.abc import Sequence
from typing import ClassVar

from isheep_lib.filter.steps.step import Given, Reasons, ScoredPair, Step
from isheep_lib.params.kinds import Section


class RandomControl(Step[Section]):
    """Draws as many pairs as the steps keep."""

    name: ClassVar[str] = "random_control"
    meanings: ClassVar[dict[str, str]] = {"not_drawn": "the random control of the same size did not draw it"}

    def apply(self, rows: Sequence[ScoredPair], options: Section, given: Given) -> Reasons:
        """Return the pairs that were not drawn."""
        pool = [row.id for row in rows]
        drawn = set(random.Random(given.seed).sample(pool, given.number))  # noqa: S311 - reproducible, not secret
        return {id_: ("not_drawn", f"{given.number} of {len(pool)} were drawn") for id_ in pool if id_ not in drawn}
