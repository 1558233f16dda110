"""The section `filter` of a params file."""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from isheep_lib.benchmarks.catalogue import ALL, BENCHMARKS, parse_source
from isheep_lib.benchmarks.data import data_digests
from isheep_lib.benchmarks.entries import Against
from isheep_lib.params.kinds import Positive, Share, StageSection, distinct
from isheep_lib.record.score_columns import PROMPTED, Level, Scorer, criteria

FilterStep = Literal["rules", "threshold", "perplexity", "density", "density_perplexity", "top"]


class Filter(StageSection):
    """Decontamination, then steps in the order given, each with its own line in the funnel."""

    asks_model: ClassVar[bool] = False

    decontaminate: Literal["drop", "list", "ignore"] = Field(
        "drop", description="pairs that repeat a benchmark item: dropped, only listed, or not looked for"
    )
    decontaminate_against: Against = Field(
        ["all"], description="benchmarks whose items no pair may repeat, or all; own data after an equals sign"
    )
    steps: Annotated[list[FilterStep], AfterValidator(distinct)] = Field(
        ["rules", "threshold"], description="filters in order; none at all is the C of -1 in the paper, rules alone its C of 0"
    )
    max_copy_share: Share = Field(0.5, description="rules: share of the response copied from the task, more is an echo")
    scorer: Scorer = Field("pmi", description="threshold: whose scores decide")
    criteria: Level = Field("both", description="threshold and top: criteria of a prompted scorer that decide")
    threshold: float = Field(0.25, description="threshold: C of the paper")
    comparison: Literal["above", "at_least", "below", "at_most"] = Field(
        "above", description="threshold: what a kept score is; the paper's is strictly above"
    )
    max_output_perplexity: float = Field(50.0, description="perplexity: limit of the response, more is dropped", gt=0.0)
    max_pair_perplexity: float = Field(50.0, description="perplexity: limit of task and response together", gt=0.0)
    clusters: int = Field(0, description="density: K of K-means, 0 is three tenths of the pairs (3000 of 10000)", ge=0)
    rows_per_cluster: Positive = Field(1, description="density: pairs kept of a cluster, at random or the lowest perplexity")
    top_scorer: Scorer = Field("pmi", description="top: whose scores rank, the mean of its columns")
    top_share: float = Field(0.5, description="top: share of the pairs kept", gt=0.0, le=1.0)
    random_control: bool = Field(False, description="keep as many pairs as the steps would, drawn from those that pass rules")
    min_kept: Positive = Field(16, description="fewer than this stops the run")

    def conflicts(self) -> list[str]:
        """Name values that contradict one another."""
        problems = super().conflicts()
        for step, scorer in (("threshold", self.scorer), ("top", self.top_scorer)):
            if step in self.steps and scorer in PROMPTED and not criteria(self.criteria):
                problems.append(f"criteria: none leaves the step {step} nothing to decide by")
        if self.random_control and not set(self.steps) - {"rules"}:
            problems.append("random_control: there is no step after the rules whose size could be matched")
        return problems

    def model_iteration(self, iteration: int) -> int:
        """Return 0: no model is asked."""
        return 0

    def inputs(self, iteration: int) -> list[tuple[int, str, str]]:
        """Name pairs, shown tasks, scores, and vectors where a step needs them."""
        made = [("synthesize", "examples.jsonl"), ("synthesize", "demonstrations.jsonl"), ("assess", "scores.jsonl")]
        made += [("assess", "vectors.npy")] if self.clusters_pairs() else []
        return [(iteration, stage, file) for stage, file in made]

    def clusters_pairs(self) -> bool:
        """Tell whether a step makes clusters."""
        return any(step.startswith("density") for step in self.steps)

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
        """Name what makes clusters."""
        return ["scikit-learn"] if self.clusters_pairs() else []

    def code(self) -> tuple[str, ...]:
        """Name what decides, and what looks for items of benchmarks."""
        looks = ("decontaminate.find_hits", "decontaminate.listed") if self.decontaminate != "ignore" else ()
        return tuple(f"filter.{name}" for name in ("steps.filter_pairs", *looks))
