"""LLM2LLM: seeds that the model answers wrongly are augmented by new tasks like them, and only seeds ever are.

A row of `examples.jsonl`:
    {"id": "i1-g2-004-0", "instruction": "…", "input": "", "output": "… 42", "finish": "end", "num_tokens": 58,
     "parents": ["checkable-012"], "operator": "similar", "round": 2, "skill": "number", "written_answer": "42",
     "agreeing": 4, "votes": 5}
"""

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from isheep_lib.params.kinds import Positive
from isheep_lib.synthesize.extras.needs import of_kinds, seeds_of
from isheep_lib.synthesize.feedback.from_mistakes import (
    DISAGREES,
    NO_ANSWER,
    NOT_CHECKABLE,
    SAME_TASK,
    FromMistakes,
    MistakesOptions,
)
from isheep_lib.synthesize.feedback.mistakes import Seen, shown
from isheep_lib.synthesize.method import Need
from isheep_lib.synthesize.shared_params import Shared
from isheep_lib.synthesize.writing import Writing


class LLM2LLMOptions(MistakesOptions):
    """Which seeds are answered, and how many tasks are written from each mistake."""

    per_seed: Positive = Field(1, description="new tasks from each wrongly answered seed in a round (1 in the paper)")


class LLM2LLM(FromMistakes[LLM2LLMOptions]):
    """Seeds that the model answers wrongly, augmented by new tasks like them."""

    name = "llm2llm"
    source = "LLM2LLM (arXiv 2403.15042); the model itself writes and answers, most answers decide; prompts in our words"
    Options = LLM2LLMOptions
    operator = "similar"
    needs: ClassVar[tuple[Need, ...]] = ("seeds", "an aligned model")
    people = "the known answers of seeds, and rules that compare answers"
    prompts = ("llm2llm-similar.txt",)
    reasons: ClassVar[dict[str, str]] = {
        "no_answer": NO_ANSWER,
        "not_checkable": NOT_CHECKABLE,
        "same_task": SAME_TASK,
        "disagrees": DISAGREES,
    }

    def prompt(self, writing: Writing[LLM2LLMOptions], wrong: Seen, right: Sequence[Seen]) -> str:
        """Ask for a task like the seed, of which its known answer is shown."""
        return writing.prompts.render("llm2llm-similar.txt", **shown(wrong))

    def most(self, shared: Shared, options: LLM2LLMOptions) -> int:
        """Return how many tasks are written if every seed is answered wrongly."""
        return len(of_kinds(seeds_of(shared), options.kinds)) * options.rounds * options.per_seed

    def times(self, writing: Writing[LLM2LLMOptions], mistakes: int) -> int:
        """Return how often each mistake is written from in a round."""
        return writing.options.per_seed
