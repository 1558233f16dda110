"""What every way of writing tasks has in common: seeds, how many tasks, sampling, rules, deduplication, responses."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from isheep_lib.params.kinds import Positive, Share, Spoken, StageSection
from isheep_lib.record.rows import parse_fields


def _fields(pairs: list[str]) -> list[str]:
    parse_fields(pairs)
    return pairs


Fields = Annotated[list[str], AfterValidator(_fields)]


class Shared(Spoken, StageSection):
    """Parameters of the section `synthesize` that belong to no single method."""

    seeds: str = Field("seeds/tasks.jsonl", description="seed tasks: file, or org/name@revision of a dataset", min_length=1)
    seed_fields: Fields = Field([], description="fields of other names: our name, an equals sign, theirs")
    instructions: Positive = Field(56, description="new instructions wanted, the data size I of the paper")
    min_instructions: Positive = Field(24, description="fewer than this stops the run")
    instruction_temperature: float = Field(0.7, description="sampling temperature, 0 is greedy", ge=0.0, le=5.0)
    instruction_top_p: float = Field(0.9, description="nucleus sampling mass", gt=0.0, le=1.0)
    instruction_tokens: Positive = Field(128, description="new tokens of one prompt for tasks")
    instruction_rules: bool = Field(True, description="apply the heuristic rules to instructions")
    max_rouge: Share = Field(0.7, description="ROUGE-L F against earlier tasks, more is a duplicate")
    dedup_scope: Literal["batch", "round", "run"] = Field(
        "run", description="earlier tasks: the seeds and those of the batch, the iteration, or the whole run"
    )
    response_temperature: float = Field(0.7, description="sampling temperature, 0 is greedy", ge=0.0, le=5.0)
    response_top_p: float = Field(0.95, description="nucleus sampling mass", gt=0.0, le=1.0)
    response_tokens: Positive = Field(192, description="new tokens a response may have")
    response_demonstrations: int = Field(
        0, description="answered seeds shown before a task that the base model answers, which ends its answer as they end", ge=0
    )
    answers: Positive = Field(1, description="responses to each task, sampled apart; the step best_answer keeps one")
    teacher: str = Field("", description="a foreign model that writes tasks in place of the run's own, named as in base_model")

    def deciding(self) -> dict[str, Any]:
        """Return the values that decide the result; without demonstrations before responses, or a teacher, not its name."""
        apart = [name for name in ("response_demonstrations", "teacher") if not getattr(self, name)]
        return {name: value for name, value in super().deciding().items() if name not in apart}

    def conflicts(self) -> list[str]:
        """Name values that contradict one another."""
        problems = super().conflicts()
        if self.min_instructions > self.instructions:
            problems.append("min_instructions: must be at most instructions")
        if self.answers > 1 and not self.response_temperature:
            problems.append(
                f"answers: at response_temperature 0 all {self.answers} of a task are the same; raise it, or set answers to 1"
            )
        return problems
