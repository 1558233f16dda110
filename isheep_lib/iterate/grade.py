"""The grade of a run: by whom its texts and judgements are, worked out from its parameters alone.

    grade_of({"filter": {"steps": ["rules"]}, …})     # Grade("B", ("heuristic rules on pairs (filter.steps)",))

Seeds and prompts are in every grade. Near-duplicates, a measure of words, and the search for benchmark items, which only takes
pairs away, count for none. Covers the parameters. Does not cover what came of them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isheep_lib.assess.params import Assess
from isheep_lib.constraints.family import selected
from isheep_lib.evaluate.params import Evaluate
from isheep_lib.filter.params import Filter
from isheep_lib.params.kinds import Section
from isheep_lib.params.run_file import run_params
from isheep_lib.synthesize.all_methods import METHODS
from isheep_lib.synthesize.params import Synthesize

MEANINGS = {
    "A": "the model and fixed prompts: it alone wrote, judged and chose",
    "B": "also rules or checkers that people wrote, such as the heuristic rules of the paper, or answers of theirs",
    "C": "also families of constraints that are like types of a benchmark which the run reports",
}
SECTIONS: dict[str, type[Section]] = {"synthesize": Synthesize, "assess": Assess, "filter": Filter, "evaluate": Evaluate}
REPORTED = {"ifeval": "IFEval", "ifbench": "IFBench"}


@dataclass(frozen=True)
class Grade:
    """A grade, why it is no better, and whether another model has a part in the run."""

    name: str
    reasons: tuple[str, ...] = ()
    foreign: str = ""  # which other model has a part in the run, in words; such a run is not self-contained

    @property
    def label(self) -> str:
        """Say it as a cell of a table."""
        return f"{self.name}, not self-contained: {self.foreign}" if self.foreign else self.name

    @property
    def line(self) -> str:
        """Say it in a line."""
        meaning = f"; apart from that, {MEANINGS[self.name]}" if self.foreign else f": {MEANINGS[self.name]}"
        return f"{self.label}{meaning}" + (f" ({'; '.join(self.reasons)})" if self.reasons else "")

    def as_fact(self) -> dict[str, Any]:
        """Return what a manifest keeps of it."""
        return {"name": self.name, "reasons": list(self.reasons)} | (
            {"not_self_contained": self.foreign} if self.foreign else {}
        )


def grade_of(params: Mapping[str, Any]) -> Grade:
    """Work out the grade of a run from its sections; what an older record does not name has its default."""
    found = {name: _values(kind, params.get(name) or {}) for name, kind in SECTIONS.items()}
    reported, rules = tuple(_like_reported(**found)), tuple(_by_people(**found))
    teacher = found["synthesize"]["teacher"]
    foreign = f"{teacher} writes its tasks" if teacher else ""
    return Grade("C" if reported else "B" if rules else "A", (*reported, *rules), foreign)


def grade_of_run(run_dir: Path) -> Grade:
    """Work out the grade of a run on disk from its `params.yaml`."""
    return grade_of(run_params(run_dir))


def _values(kind: type[Section], given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: field.default for name, field in kind.model_fields.items()} | dict(given)


def _like_reported(synthesize: dict[str, Any], evaluate: dict[str, Any], **_: Any) -> Iterator[str]:
    """Name the benchmarks among the evaluation's whose types are like families of constraints that the run uses."""
    families = selected(synthesize["constraint_families"]) if synthesize["constraints"] != "none" else []
    asked = {str(entry).partition(":")[0] for entry in evaluate["tasks"]}
    for name, title in REPORTED.items():
        like = [family.name for family in families if getattr(family, name)]
        if like and name in asked:
            yield f"{len(like)} families like {title}'s, such as {like[0]} (synthesize.constraint_families)"


def _by_people(
    synthesize: dict[str, Any],
    assess: dict[str, Any],
    filter: dict[str, Any],  # noqa: A002 - a section
    **_: Any,
) -> Iterator[str]:
    """Name what people wrote, beside seeds and prompts, that decided about texts."""
    method = METHODS.get(synthesize["method"])
    if synthesize["constraints"] != "none":
        yield "checkers of constraints (synthesize.constraints)"
    if synthesize["instruction_rules"]:
        yield "heuristic rules on instructions (synthesize.instruction_rules)"
    if method and method.people:
        yield f"{method.people} (synthesize.method)"
    if "rules" in filter["steps"]:
        yield "heuristic rules on pairs (filter.steps)"
    if "lima" in filter["steps"]:
        yield "traits of a good style (filter.steps)"
    if "cut" in filter.get("preferences", ()):
        yield "answers cut short by a rule (filter.preferences)"
    if "learned" in assess["scorers"]:
        yield "a judge that learned from wrong answers which rules make (assess.scorers)"
