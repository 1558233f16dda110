"""Parameters of prompts that show tasks as a list, under `synthesize.options`."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from isheep_lib.params.kinds import Positive, Section, distinct


def _stops(texts: list[str]) -> list[str]:
    if not all(texts):
        raise ValueError("an empty text would stop everything")
    return distinct(texts)


class ListOptions(Section):
    """How prompts are made and how often."""

    demonstrations: Positive = Field(5, description="tasks shown in a prompt")
    generated_demonstrations: int = Field(0, description="of them tasks accepted earlier in the run, at most", ge=0)
    demonstration_choice: Literal["uniform", "inverse_perplexity", "perplexity", "one_a_cluster"] = Field(
        "uniform", description="how seeds are drawn: alike, by 1 / perplexity, by perplexity, one per K-means cluster"
    )
    tasks_per_prompt: Positive = Field(
        10, description="tasks that a prompt asks for, the shown ones included; one more than these asks for one task"
    )
    input_lines: Literal["always", "where_given"] = Field(
        "always", description="a task without an input has the line Input: <none>, or none at all, which suits a base model"
    )
    prompts_per_batch: Positive = Field(32, description="prompts generated before new tasks are compared")
    max_batches: Positive = Field(4, description="batches after which the stage takes what it has")
    instruction_stops: Annotated[list[str], AfterValidator(_stops)] = Field(
        [], description="texts that end a list, none is the number after tasks_per_prompt on a new line"
    )
