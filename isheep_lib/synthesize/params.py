"""The section `synthesize` of a params file."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from isheep_lib.params.kinds import Positive, Share, StageSection, distinct
from isheep_lib.prompting import chat
from isheep_lib.record.rows import parse_fields
from isheep_lib.synthesize.seeds import digest_seeds


def _fields(pairs: list[str]) -> list[str]:
    parse_fields(pairs)
    return pairs


def _stops(texts: list[str]) -> list[str]:
    if not all(texts):
        raise ValueError("an empty text would stop everything")
    return distinct(texts)


Fields = Annotated[list[str], AfterValidator(_fields)]
Stops = Annotated[list[str], AfterValidator(_stops)]


class Synthesize(StageSection):
    """Instructions in context, then responses (paper, Algorithm 1, first two steps)."""

    seeds: str = Field("seeds/tasks.jsonl", description="seed tasks: file, or org/name@revision of a dataset", min_length=1)
    seed_fields: Fields = Field([], description="fields of other names: our name, an equals sign, theirs")
    instructions: Positive = Field(56, description="new instructions wanted, the data size I of the paper")
    min_instructions: Positive = Field(24, description="fewer than this stops the run")
    demonstrations: Positive = Field(5, description="tasks shown in a prompt")
    generated_demonstrations: int = Field(0, description="of them tasks accepted earlier in the run, at most", ge=0)
    demonstration_choice: Literal["uniform", "inverse_perplexity", "perplexity", "one_a_cluster"] = Field(
        "uniform", description="how seeds are drawn: alike, by 1 / perplexity, by perplexity, one a K-means cluster"
    )
    tasks_per_prompt: Positive = Field(10, description="tasks that a prompt asks for, the shown ones included")
    prompts_per_batch: Positive = Field(32, description="prompts generated before new tasks are compared")
    max_batches: Positive = Field(4, description="batches after which the stage takes what it has")
    instruction_temperature: float = Field(0.7, description="sampling temperature, 0 is greedy", ge=0.0, le=5.0)
    instruction_top_p: float = Field(0.9, description="nucleus sampling mass", gt=0.0, le=1.0)
    instruction_tokens: Positive = Field(128, description="new tokens a prompt may yield")
    instruction_stops: Stops = Field(
        [], description="texts that end a list, none is the number after tasks_per_prompt on a new line"
    )
    instruction_rules: bool = Field(True, description="apply the heuristic rules to instructions")
    max_rouge: Share = Field(0.7, description="ROUGE-L F against earlier tasks, more is a duplicate")
    dedup_scope: Literal["batch", "round", "run"] = Field(
        "run", description="earlier tasks: the seeds and those of the batch, the iteration, or the whole run"
    )
    response_temperature: float = Field(0.7, description="sampling temperature, 0 is greedy", ge=0.0, le=5.0)
    response_top_p: float = Field(0.95, description="nucleus sampling mass", gt=0.0, le=1.0)
    response_tokens: Positive = Field(192, description="new tokens a response may have")

    def conflicts(self) -> list[str]:
        """Name values that contradict one another."""
        problems = super().conflicts()
        if self.tasks_per_prompt <= self.demonstrations:
            problems.append("tasks_per_prompt: must be more than demonstrations, or no new task is asked for")
        if self.generated_demonstrations >= self.demonstrations:
            problems.append("generated_demonstrations: must be fewer than demonstrations, or no seed is shown")
        if self.min_instructions > self.instructions:
            problems.append("min_instructions: must be at most instructions")
        return problems

    def inputs(self, iteration: int) -> list[tuple[int, str, str]]:
        """Name the tasks of earlier iterations, where new ones are compared with them or shown beside them."""
        earlier = self.dedup_scope == "run" or self.generated_demonstrations
        return [(k, "synthesize", "examples.jsonl") for k in range(1, iteration) if earlier]

    def data_digests(self) -> dict[str, str]:
        """Hash the seed tasks."""
        return {"seeds": digest_seeds(self.seeds, self.seed_fields)}

    def packages(self) -> list[str]:
        """Name what makes clusters."""
        return ["scikit-learn"] if self.demonstration_choice == "one_a_cluster" else []

    def prompts(self) -> dict[str, str]:
        """Hash the prompt of a list, and the frames."""
        return chat.digests("synthesize.txt", *chat.FRAMES)

    def code(self) -> tuple[str, ...]:
        """Name what writes tasks and responses."""
        own = ("demonstrations.prepare_demonstrations", "methods.self_instruct.collect_instructions", "respond.respond")
        return (*(f"synthesize.{name}" for name in (*own, "candidates.shown_tasks")), "prompting.chat.get_frame")
