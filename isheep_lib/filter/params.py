"""The section `filter` of a params file."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from isheep_lib.benchmarks.catalogue import ALL, asked_in, parse_source
from isheep_lib.benchmarks.data import data_digests
from isheep_lib.benchmarks.entries import Against
from isheep_lib.filter.steps.step import Step
from isheep_lib.filter.steps.table import CONTROL, DECONTAMINATE, STEPS, StepName, StepOptions
from isheep_lib.languages import mismatch
from isheep_lib.languages.rules import ANY
from isheep_lib.languages.words import DECIDES
from isheep_lib.params.kinds import Positive, StageSection, distinct, language_of
from isheep_lib.record.code import root_of
from isheep_lib.scorers.table import ScorerName, columns

PairKindName = Literal["score", "constraint", "cut"]
OF_LIMA = ("lima_scorer", "lima_budget")
OF_PAIRS = ("preferences", "pair_scorer", "min_margin", "min_pairs")


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

    def deciding(self) -> dict[str, Any]:
        """Return the values that decide the result; without the step lima they are what they were before there was one."""
        apart = () if "lima" in self.steps else OF_LIMA
        return {name: value for name, value in super().deciding().items() if name not in apart}


class PairOptions(StageSection):
    """Which pairs of answers are written for training by preference."""

    preferences: Annotated[list[PairKindName], AfterValidator(distinct)] = Field(
        [], description="pairs of answers, one of them preferred, by score, by constraint, whole and cut; none writes none"
    )
    pair_scorer: ScorerName = Field("pmi", description="pairs by score: whose scores order answers, the mean of its columns")
    min_margin: float = Field(
        0.0, description="pairs by score: how much better the best must be than the worst, not more is a tie", ge=0.0
    )
    min_pairs: Positive = Field(16, description="fewer pairs of answers than this stop the run, where some are asked for")

    def deciding(self) -> dict[str, Any]:
        """Return the values that decide the result; without pairs they are what they were before there were any."""
        apart = () if self.preferences else OF_PAIRS
        return {name: value for name, value in super().deciding().items() if name not in apart}

    def conflicts(self) -> list[str]:
        """Name values that contradict one another."""
        problems = super().conflicts()
        of_score = [name for name in ("pair_scorer", "min_margin") if "score" not in self.preferences and self._is_set(name)]
        problems += [f"{name}: no pairs are made by score; add score to preferences" for name in of_score]
        if not self.preferences and self._is_set("min_pairs"):
            problems.append("min_pairs: no pairs of answers are made; name their kinds in preferences")
        return problems

    def _is_set(self, name: str) -> bool:
        return getattr(self, name) != type(self).model_fields[name].default


class Filter(PairOptions, StepOptions, Choice):
    """Decontamination, then steps in the order given, each with its own line in the funnel."""

    asks_model: ClassVar[bool] = False
    reads_language: ClassVar[bool] = True

    random_control: bool = Field(
        False,
        description="keep as many pairs as the steps would, drawn from those that pass rules; order pairs of answers by chance",
    )
    min_kept: Positive = Field(16, description="fewer than this stops the run")

    def conflicts(self) -> list[str]:
        """Name values that contradict one another."""
        problems = super().conflicts()
        if "lima" not in self.steps:
            problems += [
                f"{name}: no step reads it; add lima to steps, or leave it out" for name in OF_LIMA if self._is_set(name)
            ]
        if self.top_pairs and "top" not in self.steps:
            problems.append("top_pairs: no step reads it; add top to steps, or leave it out")
        if self.top_pairs and self._is_set("top_share"):
            problems.append("top_share: top_pairs says how many are kept; leave one of them out")
        for step in self.chosen():
            if (by := step.by(self)) and not by.columns:
                problems.append(f"criteria: none leaves the step {step.name} nothing to decide by")
        if "score" in self.preferences and not self.pair_columns():
            problems.append("criteria: none leaves pairs by score nothing to decide by")
        if self.random_control and not self.preferences and not set(self.steps) - {"rules"}:
            problems.append(
                "random_control: there is no step after the rules whose size could be matched, and no pairs of answers"
            )
        return problems

    def chosen(self) -> list[Step]:
        """Return the steps in their order."""
        return [STEPS[name] for name in self.steps]

    def pair_columns(self) -> list[str]:
        """Name the score columns that order the answers of pairs by score; none where none are made."""
        return columns(self.pair_scorer, self.criteria) if "score" in self.preferences else []

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
        return (dict.fromkeys(asked_in(language_of(self)), "") if ALL in entries else {}) | named

    def data_digests(self) -> dict[str, str]:
        """Hash the items of benchmarks."""
        return {f"benchmarks/{name}": digest for name, digest in data_digests(self.benchmarks()).items()}

    def packages(self) -> list[str]:
        """Name what decides beside our own code."""
        more = [DECIDES] if "cut" in self.preferences else []
        told = "rules" in self.steps and self.other_languages == "mismatch" and language_of(self) != ANY
        more += [mismatch.DECIDES] if told else []
        return list(dict.fromkeys([name for step in self.applied() for name in step.packages] + more))

    def deciding(self) -> dict[str, Any]:
        """Return the values that decide the result; any Chinese character was the rule before there was a choice."""
        left_out = ("other_languages",) if self.other_languages == "chinese" else ()
        left_out += () if self.top_pairs else ("top_pairs",)  # records from before there was a number
        return {name: value for name, value in super().deciding().items() if name not in left_out}

    def code(self) -> tuple[str, ...]:
        """Name what decides, with the chosen steps alone, and what looks for items of benchmarks."""
        own = ["run.with_scores", "run.filter_pairs"]
        own += ["decontaminate.find_hits", "decontaminate.listed"] if self.decontaminate != "ignore" else []
        own += ["preference_pairs.make_pairs"] if self.preferences else []
        return (*(f"filter.{name}" for name in own), *(root_of(type(step)) for step in self.applied()))
