"""The section `judge` of a params file."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from isheep_lib.benchmarks.data import data_digests
from isheep_lib.engines.params import EngineName, FrameName, PromptedModel, Urls
from isheep_lib.engines.tokens import digest_own_frame
from isheep_lib.errors import ModelError
from isheep_lib.models.base import find_model
from isheep_lib.params.kinds import EvaluatedPlace, Positive, Share, Spoken, StageSection, distinct, execution
from isheep_lib.prompting import chat

Judged = Literal["alpaca_eval", "mt_bench"]
# Prompts of a judge by benchmark.
READ_BY = {"alpaca_eval": ("pair",), "mt_bench": ("turn1", "turn1-reference", "turn2", "turn2-reference")}


def prompt_files(benchmark: str, verdicts: str) -> list[str]:
    """Name the prompt files that a judge of a benchmark uses."""
    return [f"judge-{kind}-{verdicts}.txt" for kind in READ_BY[benchmark]]


class Judge(StageSection):
    """AlpacaEval and MT-Bench: another reader of the answers that evaluate recorded."""

    asks_model: ClassVar[bool] = False  # the judge is another one, see `more_parts`

    judged: Annotated[list[Judged], AfterValidator(distinct)] = Field(
        [], description="benchmarks that a judge reads, which evaluate.tasks must hold; none skips this stage"
    )
    judge_model: str = Field("", description="who judges: a model as in base_model, or a name served; empty is the base model")
    judge_engine: Literal[EngineName, "chat"] = Field(
        "transformers", description="what computes the judge; chat is any server of chat completions"
    )
    judge_frame: FrameName = Field("chatml", description="chat frame of the judge; a chat server has its own")
    judge_urls: Urls = execution([], "server and chat: addresses of the judge")
    verdicts: Literal["written", "probabilities"] = Field(
        "probabilities", description="how a verdict is read: from text, or from the probabilities of its labels"
    )
    verdict_tokens: Positive = Field(512, description="new tokens of a written verdict")
    max_unread_verdicts: Share = Field(0.5, description="share of verdicts that cannot be read, more stops the stage")

    def conflicts(self) -> list[str]:
        """Name values that contradict one another."""
        problems, engine = super().conflicts(), self.judge_engine
        if not self.judged:
            return problems  # a preset that judges nothing may leave the judge to be named
        if engine in ("server", "chat") and not self.judge_urls:
            problems.append(
                f"judge_urls: the judge's engine {engine} needs at least one address, like http://127.0.0.1:8000/v1"
            )
        if engine == "chat" and not self.judge_model:
            problems.append("judge_model: a chat server needs the judge's name as it lists it")
        if engine == "chat" and self.verdicts == "probabilities":
            problems.append("verdicts: a chat server gives no probabilities of labels; set written")
        return problems

    def model_iteration(self, iteration: int) -> int:
        """Return 0: the base model judges, if no other is named."""
        return 0

    def inputs(self, iteration: int) -> list[tuple[int, str, str]]:
        """Name the recorded answers."""
        return [(iteration, "evaluate", f"samples-{name}.jsonl") for name in self.judged]

    def data_digests(self) -> dict[str, str]:
        """Hash the items of the judged benchmarks."""
        return {f"benchmarks/{n}": digest for n, digest in data_digests(dict.fromkeys(self.judged, "")).items()}

    def prompt_files(self) -> tuple[str, ...]:
        """Name the judge's prompts, and the frames where the judge's server has none."""
        own = [file for name in self.judged for file in prompt_files(name, self.verdicts)]
        return (*own, *(() if self.judge_engine == "chat" else chat.FRAMES))

    def code(self) -> tuple[str, ...]:
        """Name what asks the judge and what its verdicts add up to."""
        own = ("open_answers", "open_judge", "ask", "self_preference", "metrics", "counts")
        return tuple(f"judge.run.{name}" for name in own)


class JudgeParams(Judge, Spoken, PromptedModel, EvaluatedPlace):
    """Parameters of `judge.ipynb`."""

    def more_parts(self) -> dict[str, Any]:
        """Name the judge by its weights, or, where nobody knows these, as its server does; "" is the run's base model."""
        if self.judge_engine == "chat":
            return {"judge": {"served": self.judge_model}}
        try:
            model = find_model(self.judge_model or self.base_model)
        except ModelError as error:
            where = f"judge.judge_model {error.where}" if self.judge_model else error.where
            raise ModelError(error.what, where=where, allowed=error.allowed, do=error.do) from error
        own = self.judge_frame == "tokenizer"
        frame = {"frame": digest_own_frame(model, self.system_prompt, self.template_date)} if own else {}
        return {"judge": {"model": model.digest}} | frame
