"""The section `filter` of a params file."""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from isheep_lib.benchmarks.catalogue import ALL, BENCHMARKS, parse_source
from isheep_lib.benchmarks.data import data_digests
from isheep_lib.benchmarks.entries import Against
from isheep_lib.filter.steps.step import Step
from isheep_lib.filter.steps.table import CONTROL, DECONTAMINATE, STEPS, StepName, StepOptions
from isheep_lib.params.kinds import Positive, StageSection, distinct
from isheep_lib.record.code import root_of


class Choice(StageSection):
    """Which steps the filter has."""

    decontaminate: Literal["drop", "list", "ignore"] = Field(
        "drop", description="pairs that repeat a benchmark item: dropped, only listed, or not looked for"
    )
    decontaminate_against: Against = Field(
        ["all"], description="benchmarks whose items no pair may repeat, or all; own data after an equals sign"
    )
    steps: Annotated[list[StepName], AfterValidator(distinct)] = Field(
        ["rules", "threshold"], description="filters in order; none at all is the C of -1 in the paper, rules alone its C of 0"
    )


class Filter(StepOptions, Choice):
    """Decontamination, then steps in the order given, each with its own line in the funnel."""

    asks_model: ClassVar[bool] = False

    random_control: bool = Field(False, description="keep as many pairs as the steps would, drawn from those that pass rules")
    min_kept: Positive = Field(16, description="fewer than this stops the run")

    def conflicts(self) -> list[str]:
        """Name values that contradict one another."""
        problems = super().conflicts()
        for step in self.chosen():
            if (by := step.by(self)) and not by.columns:
                problems.append(f"criteria: none leaves the step {step.name} nothing to decide by")
        if self.random_control and not set(self.steps) - {"rules"}:
            problems.append("random_control: there is no step after the rules whose size could be matched")
        return problems

    def chosen(self) -> list[Step]:
        """Return the steps in their order."""
        return [STEPS[name] for name in self.steps]

    def applied(self) -> list[Step]:
        """Return the steps with those before and in place of them."""
        before = [] if self.decontaminate == "ignore" else [DECONTAMINATE]
        return [*before, *self.chosen(), *([CONTROL] if self.random_control else [])]

    def model_iteration(self, iteration: int) -> int:
        """Return 0: no model is asked."""
        return 0

    def inputs(self, iteration: int) -> list[tuple[int, str, str]]:
        """Name pairs, shown tasks, scores, and vectors where a step needs them."""
        made = [("synthesize", "examples.jsonl"), ("synthesize", "demonstrations.jsonl"), ("assess", "scores.jsonl")]
        made += [("assess", "vectors.npy")] if any(step.needs_vectors for step in self.chosen()) else []
        return [(iteration, stage, file) for stage, file in made]

    def benchmarks(self) -> dict[str, str]:
        """Name the benchmarks whose items no pair may repeat, each with a source of one's own or ""."""
        if self.decontaminate == "ignore":
            return {}
        entries = self.decontaminate_against
        named = dict(parse_source(entry) if "=" in entry else (entry, "") for entry in entries if entry != ALL)
        return (dict.fromkeys(BENCHMARKS, "") if ALL in entries else {}) | named

    def data_digests(self) -> dict[str, str]:
        """Hash the items of benchmarks."""
        return {f"benchmarks/{name}": digest for name, digest in data_digests(self.benchmarks()).items()}

    def packages(self) -> list[str]:
        """Name what decides beside our own code."""
        return list(dict.fromkeys(name for step in self.chosen() for name in step.packages))

    def code(self) -> tuple[str, ...]:
        """Name what decides, with the chosen steps alone, and what looks for items of benchmarks."""
        own = ["run.with_scores", "run.filter_pairs"]
        own += ["decontaminate.find_hits", "decontaminate.listed"] if self.decontaminate != "ignore" else []
        return (*(f"filter.{name}" for name in own), *(root_of(type(step)) for step in self.applied()))
