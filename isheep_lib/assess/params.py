"""The section `assess` of a params file."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from isheep_lib.languages.words import DECIDES
from isheep_lib.params.kinds import Positive, Share, StageSection, distinct, routing
from isheep_lib.prompting import chat
from isheep_lib.record.code import root_of
from isheep_lib.scorers import verdict
from isheep_lib.scorers.scorer import Level, Odds, criteria
from isheep_lib.scorers.table import SCORERS, ScorerNames, columns_of, learns, scorer

Corruption = Literal["shuffled", "truncated", "wrong_task"]
KnownOrder = Literal["shuffled", "truncated", "wrong_task", "looped", "constraint_broken"]
# What decides the scorer learned, beside the question: how its rows are made, and the training that stage train does as well.
TRAINED = (
    *("assess.known_order.courses", "assess.judges.LearnedJudges", "assess.judges.check_kinds", "train.judge.recipe"),
    *("train.judge.prepare", "train.run.lay_out", "train.run.fine_tune", "train.trainer.main"),
)


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
    learned_kinds: Annotated[list[KnownOrder], Field(min_length=2), AfterValidator(distinct)] = Field(
        ["shuffled", "truncated", "wrong_task", "looped"], description="scorer learned: wrong responses that it learns to tell"
    )
    learned_tasks: int = Field(24, description="scorer learned: tasks that each of its judges learns from at most", ge=4)
    learned_epochs: Positive = Field(2, description="scorer learned: passes over its rows")
    learned_rate: float = Field(2.0e-4, description="scorer learned: peak of the learning rate", gt=0.0, lt=1.0)

    @property
    def learns(self) -> bool:
        """Whether a scorer is used that is trained for it."""
        return learns(self._named)

    @property
    def _named(self) -> list[str]:
        return [*self.scorers, *self.checked_scorers]

    def deciding(self) -> dict[str, Any]:
        """Return the values that decide the result: those of the scorer learned only where it is used."""
        return {name: value for name, value in super().deciding().items() if self.learns or not name.startswith("learned_")}

    def conflicts(self) -> list[str]:
        """Name values that contradict one another."""
        problems = super().conflicts()
        if self.level == "none":
            asking = [name for name, each in SCORERS.items() if each.asks and name in self._named]
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

    def packages(self) -> list[str]:
        """Name what tells words, by which responses are cut short and the most similar task is found."""
        checks = bool(self.checked_scorers) and set(self.corruptions) != {"shuffled"}
        return [DECIDES] if checks or self.learns else []

    def prompts(self) -> dict[str, str]:
        """Hash one prompt for each criterion, that of verdicts where one is asked for, and the frames."""
        files = [f"{criterion}-{self.assessment_prompt}.txt" for criterion in criteria(self.level)]
        files += [verdict.FILE] if any(isinstance(scorer(name), Odds) for name in self._named) else []
        return chat.digests(*files, *chat.FRAMES)

    def code(self) -> tuple[str, ...]:
        """Name what scores and what checks scores, with the chosen scorers alone."""
        own = ("scoring.Assessment", "scoring.score_pairs", "scoring.counts", "scoring.as_rows")
        own += ("reliability_check.run_check", "reliability_check.calibration", "reliability_check.write_vectors")
        chosen = dict.fromkeys(root_of(type(scorer(name))) for name in self._named)
        return (*(f"assess.{name}" for name in own), *chosen, "prompting.chat.get_frame", *(TRAINED if self.learns else ()))
