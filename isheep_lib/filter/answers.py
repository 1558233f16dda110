"""What choosing among the answers of a task did: lengths and scores of all answers, and of those that were chosen.

Covers the table. Does not cover the choice (`filter.steps.best_answer`).
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from isheep_lib.display.table import Table
from isheep_lib.filter.params import Filter
from isheep_lib.filter.steps.best_answer import Answer, Answers, Choice, best, choose, mean_length
from isheep_lib.filter.steps.step import ScoredPair


def choice_table(came: Sequence[ScoredPair], params: Filter) -> Table:
    """Show mean length and mean score of all answers, of the best by score alone and of the chosen, each task counted once.

    Args:
        came: what came to the step best_answer, nothing where it is no step.
        params: how it chooses.
    """
    choice = choose(came, params)
    if not choice.tasks:
        return Table([{"answers": "no step chooses among answers, or none could be read"}])
    rows = [_all(choice)]
    if choice.alpha:
        rows.append(_chosen("best by score alone", Choice(Fraction(0), choice.tasks)))
    rows.append(_chosen("chosen", choice))
    several = sum(len(task) > 1 for task in choice.tasks)
    return Table(rows, f"{len(choice.tasks)} tasks, {several} of them with several answers; {_alpha(choice, params)}")


def _all(choice: Choice) -> dict[str, Any]:
    score = sum(_mean(task, lambda answer: answer.value) for task in choice.tasks) / len(choice.tasks)
    number = sum(map(len, choice.tasks))
    return {"answers": "all", "number": number, "tokens": float(mean_length(choice.tasks)), "score": float(score)}


def _chosen(name: str, choice: Choice) -> dict[str, Any]:
    """Make the row of a choice; where all answers of a task are as long as one another, none is the longest."""
    chosen = choice.chosen
    unlike = [task for task in choice.tasks if len({answer.length for answer in task}) > 1]
    said = {}
    for end, of in (("longest", max), ("shortest", min)):
        number = sum(best(task, choice.alpha).length == of(answer.length for answer in task) for task in unlike)
        said[f"the {end}"] = f"{number} of {len(unlike)}"
    tokens, score = _mean(chosen, lambda answer: answer.length), _mean(chosen, lambda answer: answer.value)
    return {"answers": name, "number": len(chosen), "tokens": float(tokens), "score": float(score), **said}


def _mean(answers: Answers, value: Callable[[Answer], Fraction | int]) -> Fraction:
    return sum((Fraction(value(answer)) for answer in answers), Fraction(0)) / len(answers)


def _alpha(choice: Choice, params: Filter) -> str:
    if params.length_correction == "none":
        return "no correction for length"
    if not choice.alpha:
        return f"alpha is 0: by {params.best_scorer} alone the chosen are already as long as all, as nearly as can be"
    likes = "long" if choice.alpha > 0 else "short"
    return (
        f"alpha is {choice.alpha} ({float(choice.alpha):.3g} of {params.best_scorer} a token), for by score alone it prefers "
        f"{likes} answers"
    )
