"""Demonstrations: which tasks a prompt shows, seeds and perhaps tasks that the model wrote earlier.

    demonstrations = prepare_demonstrations(engine, frame, seeds, options, seed_of, journal)
    demonstrations.draw(earlier, options, seed)      # tasks for one prompt

Seeds are drawn alike, by perplexity under the present model or its inverse, or one from each K-means cluster of the
model's own vectors. Covers drawing. Does not cover the prompt itself (`synthesize`).
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field

from isheep_lib.analysis.kmeans import cluster
from isheep_lib.display.table import Table, clip
from isheep_lib.engines.protocol import Engine
from isheep_lib.params.kinds import Positive
from isheep_lib.prompting.chat import Frame, user_words
from isheep_lib.record.journal import Journal
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.candidates import BatchOptions

KEY = "demonstrations"  # id of the one row in the journal


class DemonstrationOptions(BatchOptions):
    """Which tasks a prompt shows, under `synthesize.options`."""

    demonstrations: Positive = Field(5, description="tasks shown in a prompt")
    generated_demonstrations: int = Field(0, description="of them tasks accepted earlier in the run, at most", ge=0)
    demonstration_choice: Literal["uniform", "inverse_perplexity", "perplexity", "one_a_cluster"] = Field(
        "uniform", description="how seeds are drawn: alike, by 1 / perplexity, by perplexity, one per K-means cluster"
    )


@dataclass(frozen=True)
class Demonstrations:
    """Seeds, and what weighs or groups them: a perplexity each, or clusters of their places in the list."""

    seeds: list[Task]
    perplexities: list[float] = field(default_factory=list)
    clusters: list[list[int]] = field(default_factory=list)

    def draw(self, earlier: list[Task], options: DemonstrationOptions, seed: int) -> list[Task]:
        """Draw a prompt's tasks without replacement, at most `generated_demonstrations` of them from the earlier ones.

        Args:
            earlier: tasks accepted before.
            options: how many and how.
            seed: of this draw.
        """
        draw = random.Random(seed)  # noqa: S311 - reproducible, not secret
        generated = draw.sample(earlier, min(options.generated_demonstrations, len(earlier)))
        number = options.demonstrations - len(generated)
        if self.clusters:
            chosen = self._one_a_cluster(number, draw)
        elif self.perplexities:
            chosen = self._weighted(number, options.demonstration_choice, draw)
        else:
            chosen = draw.sample(self.seeds, number)
        if not generated:
            return chosen
        tasks = [*chosen, *generated]
        draw.shuffle(tasks)
        return tasks

    def _weighted(self, number: int, choice: str, draw: random.Random) -> list[Task]:
        """Draw one after the other, each time in proportion to the weights left (Efraimidis and Spirakis 2006)."""
        sign = 1.0 if choice == "perplexity" else -1.0
        keys = [math.log(draw.random() or 1e-300) / value**sign for value in self.perplexities]
        ranked = sorted(range(len(keys)), key=lambda i: -keys[i])
        return [self.seeds[i] for i in ranked[:number]]

    def _one_a_cluster(self, number: int, draw: random.Random) -> list[Task]:
        groups = draw.sample(self.clusters, min(number, len(self.clusters)))
        chosen = [draw.choice(group) for group in groups]
        rest = [i for i in range(len(self.seeds)) if i not in chosen]  # equal seeds can leave fewer clusters than wanted
        return [self.seeds[i] for i in [*chosen, *draw.sample(rest, number - len(chosen))]]

    def table(self, number: int) -> Table:
        """Show what weighs or groups the seeds."""
        if self.clusters:
            rows = [
                {"cluster": i, "seeds": len(g), "for example": clip(self.seeds[g[0]].instruction)}
                for i, g in enumerate(self.clusters)
            ]
            return Table(rows[:number], f"one seed per cluster, {len(self.clusters)} clusters")
        if self.perplexities:
            ranked = sorted(zip(self.perplexities, self.seeds, strict=True), key=lambda pair: pair[0])
            rows = [{"perplexity": value, "seed": clip(task.instruction)} for value, task in ranked]
            ends = rows if len(rows) <= number else [*rows[: number // 2], *rows[len(rows) - number // 2 :]]
            return Table(ends, "the lowest and the highest perplexities")
        return Table([{"seeds": len(self.seeds), "drawn": "uniformly, without replacement within a prompt"}])


def prepare_demonstrations(
    engine: Engine,
    frame: Frame,
    seeds: list[Task],
    options: DemonstrationOptions,
    seed_of: Callable[[str], int],
    journal: Journal,
) -> Demonstrations:
    """Ask the model what `demonstration_choice` needs to know of the seeds, once.

    Args:
        engine: the model that will write.
        frame: its chat frame.
        seeds: seed tasks.
        options: how seeds are drawn.
        seed_of: name of a draw to seed.
        journal: keeps the answer, so that a resumed stage and other workers draw the same.
    """
    if options.demonstration_choice == "uniform":
        return Demonstrations(seeds)
    if KEY not in journal.rows:
        texts = [frame.literal(user_words(task)) for task in seeds]
        if options.demonstration_choice == "one_a_cluster":
            found: list[Any] = cluster(engine.embed(texts), options.demonstrations, seed_of("demonstrations/clusters"))
        else:
            values = engine.logprobs([("", text) for text in texts])
            found = [round(math.exp(-total / max(1, tokens)), 4) for total, tokens in values]
        journal.append([{"id": KEY, "found": found}])
    found = journal.rows[KEY]["found"]
    by_cluster = options.demonstration_choice == "one_a_cluster"
    return Demonstrations(seeds, clusters=found) if by_cluster else Demonstrations(seeds, perplexities=found)
