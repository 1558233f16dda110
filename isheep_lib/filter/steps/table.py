"""Every step of the filter by its name, with the options of all of them."""

from typing import Any, Literal

from isheep_lib.filter.steps.best_answer import BestAnswer, BestAnswerOptions
from isheep_lib.filter.steps.constraints_kept import ConstraintsKept
from isheep_lib.filter.steps.decontaminate import Decontaminate
from isheep_lib.filter.steps.density import Density, DensityOptions, DensityPerplexity
from isheep_lib.filter.steps.lima import Lima, LimaOptions
from isheep_lib.filter.steps.perplexity import PerplexityLimit, PerplexityOptions
from isheep_lib.filter.steps.random_control import RandomControl
from isheep_lib.filter.steps.rules import Rules, RulesOptions
from isheep_lib.filter.steps.step import Step
from isheep_lib.filter.steps.threshold import Threshold
from isheep_lib.filter.steps.top import Top, TopOptions

StepName = Literal[
    "rules", "threshold", "perplexity", "density", "density_perplexity", "top", "best_answer", "constraints_kept", "lima"
]
STEPS: dict[str, Step[Any]] = {
    step.name: step
    for step in (
        *(Rules(), Threshold(), PerplexityLimit(), Density(), DensityPerplexity(), Top()),
        *(BestAnswer(), ConstraintsKept(), Lima()),
    )
}
DECONTAMINATE, CONTROL = Decontaminate(), RandomControl()  # before the steps, and in their place
# Every reason with its meaning, in the order of application, for the docs.
MEANINGS = {name: text for step in (DECONTAMINATE, *STEPS.values(), CONTROL) for name, text in step.meanings.items()}


class StepOptions(LimaOptions, BestAnswerOptions, TopOptions, DensityOptions, PerplexityOptions, RulesOptions):
    """The options of all steps, side by side in the section `filter`."""
