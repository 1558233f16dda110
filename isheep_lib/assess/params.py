"""The section `assess` of a params file."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from isheep_lib.params.kinds import Positive, Share, StageSection, distinct, routing
from isheep_lib.prompting import chat
from isheep_lib.record.code import root_of
from isheep_lib.scorers.scorer import Level, criteria
from isheep_lib.scorers.table import SCORERS, ScorerNames, columns_of, scorer

Corruption = Literal["shuffled", "truncated", "wrong_task"]


class Assess(StageSection):
    """Self-assessment of every pair, and how far it can be trusted."""

    scorers: ScorerNames = Field(
        ["pmi"], description="scorers run on all pairs, none to assess nothing; pmi is pointwise mutual information"
    )
    level: Level = Field("both", description="criteria that prompted scorers ask about")
    assessment_prompt: Literal["combined", "simple", "icl"] = Field(
        "combined", description="criteria together, one criterion, or with scored examples"
    )
    assessor: Literal["current", "base"] = routing("current", "who assesses: the model that answered, or the base model")
    sampled_temperature: float = Field(1.0, description="temperature of the scorer sampled", gt=0.0, le=5.0)
    sampled_top_p: float = Field(1.0, description="nucleus sampling mass of the scorer sampled", gt=0.0, le=1.0)
    written_tokens: Positive = Field(16, description="new tokens of a written score and its explanation")
    parse_retries: int = Field(0, description="times that an unreadable sampled score is sampled again", ge=0)
    max_unread: Share = Field(0.5, description="share of pairs without a readable score, more stops the run")
    vectors: bool = Field(False, description="write the pairs' final-layer vectors, which density filters need")
    checked_scorers: ScorerNames = Field(["pmi", "expected", "greedy"], description="scorers whose reliability is checked")
    corruptions: Annotated[list[Corruption], AfterValidator(distinct)] = Field(
        ["shuffled", "truncated", "wrong_task"], description="wrong responses that true ones are told from"
    )
    checked_pairs: int = Field(12, description="pairs in the self-assessment check, drawn by seed", ge=4)
    bootstrap: int = Field(1000, description="bootstrap resamples of an AUROC interval", ge=100)

    def conflicts(self) -> list[str]:
        """Name values that contradict one another."""
        problems = super().conflicts()
        if self.level == "none":
            asking = [name for name, each in SCORERS.items() if each.asks and name in (*self.scorers, *self.checked_scorers)]
            problems += [f"level: none asks nothing, but {name} must ask; take it out, or choose a level" for name in asking]
        return problems

    def model_iteration(self, iteration: int) -> int:
        """Return the iteration whose model assesses."""
        return 0 if self.assessor == "base" else iteration - 1

    def inputs(self, iteration: int) -> list[tuple[int, str, str]]:
        """Name the pairs."""
        return [(iteration, "synthesize", "examples.jsonl")]

    def columns(self) -> list[str]:
        """Name the score columns that every pair gets."""
        return columns_of(self.scorers, self.level)

    def prompts(self) -> dict[str, str]:
        """Hash one prompt for each criterion, and the frames."""
        return chat.digests(*(f"{criterion}-{self.assessment_prompt}.txt" for criterion in criteria(self.level)), *chat.FRAMES)

    def code(self) -> tuple[str, ...]:
        """Name what scores and what checks scores, with the chosen scorers alone."""
        own = ("scoring.Assessment", "scoring.score_pairs", "scoring.counts", "scoring.as_rows")
        own += ("reliability_check.run_check", "reliability_check.calibration", "reliability_check.write_vectors")
        chosen = dict.fromkeys(root_of(type(scorer(name))) for name in (*self.scorers, *self.checked_scorers))
        return (*(f"assess.{name}" for name in own), *chosen, "prompting.chat.get_frame")
