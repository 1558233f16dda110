"""The random control: as many pairs as the steps keep, drawn by chance."""

import random
from collections.abc import Sequence
from typing import ClassVar

from isheep_lib.filter.steps.step import Given, Reasons, ScoredPair, Step
from isheep_lib.params.kinds import Section


class RandomControl(Step[Section]):
    """Draws as many pairs as the steps keep, where these keep one answer of a task from as many tasks."""

    name: ClassVar[str] = "random_control"
    meanings: ClassVar[dict[str, str]] = {"not_drawn": "the random control of the same size did not draw it"}

    def apply(self, rows: Sequence[ScoredPair], options: Section, given: Given) -> Reasons:
        """Return the pairs that were not drawn."""
        draw = random.Random(given.seed)  # noqa: S311 - reproducible, not secret
        every = pool = [row.id for row in rows]
        what = f"{given.number} of {len(pool)} were drawn"
        if given.one_a_task:
            tasks: dict[str, list[str]] = {}
            for row in rows:
                tasks.setdefault(row.pair.task_id, []).append(row.id)
            pool = [draw.choice(answers) for answers in tasks.values()]
            what = f"an answer to each of {given.number} of {len(pool)} tasks was drawn"
        drawn = set(draw.sample(pool, given.number))
        return {id_: ("not_drawn", what) for id_ in every if id_ not in drawn}
