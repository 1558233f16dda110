"""Which constraints tasks get, and when: parameters of the section `synthesize`."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from isheep_lib.constraints.family import digest, name_problem
from isheep_lib.params.kinds import Share, StageSection, distinct


def _families(names: list[str]) -> list[str]:
    if problem := next(filter(None, map(name_problem, names)), ""):
        raise ValueError(problem)
    return distinct(names)


class Constraining(StageSection):
    """Constraints that code checks, in the tasks of any method."""

    constraints: Literal["none", "asked", "hindsight"] = Field(
        "none", description="constraints that code checks: none, asked of each answer, or found in a free answer afterwards"
    )
    constraint_families: Annotated[list[str], Field(min_length=1), AfterValidator(_families)] = Field(
        ["disjoint_from_ifeval"], description="families and groups of families, see docs/constraints.md"
    )
    constraints_per_task: int = Field(2, description="constraints of a task at most, at least one", ge=1, le=3)
    constraint_max_share: Share = Field(0.2, description="hindsight: share of all free answers that may meet what is found")
    constraint_contrast: Literal["own", "shared"] = Field(
        "own", description="hindsight: constraints for each answer to a task, or one instruction that some of them break"
    )

    def deciding(self) -> dict[str, Any]:
        """Return the values that decide the result; without constraints none of these."""
        apart = Constraining.model_fields if self.constraints == "none" else ()
        return {name: value for name, value in super().deciding().items() if name not in apart}

    def data_digests(self) -> dict[str, str]:
        """Hash the table of families where it is used."""
        return super().data_digests() | ({"constraints": digest()} if self.constraints != "none" else {})

    def code(self) -> tuple[str, ...]:
        """Name what puts constraints into tasks, where that is wanted."""
        own = ("synthesize.constrained.step.before", "synthesize.constrained.step.after")
        return (*super().code(), *(own if self.constraints != "none" else ()))
