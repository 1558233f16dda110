"""What a method draws and records of its own beside tasks, where it does.

Covers asking the method. Does not cover drawing (`extras.figures`) or writing files (`iterate.session`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from isheep_lib.params.kinds import Section
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.candidates import Candidates
from isheep_lib.synthesize.method import Method

MISTAKES = "answers seeds, and its mistakes are what tasks are written from"
# What the model that is to learn does while tasks are written, by method: no other one can write in its place. It decides
# nothing that a method writes, so it stands apart from their code, which fingerprints name.
LEARNERS = {
    "selective_reflection": "reads the revisions, and its losses choose among them",
    "iteralign": "answers the seeds, and its bad answers become rules",
    "llm2llm": MISTAKES,
    "llms_as_instructors": MISTAKES,
    "autodetect": "answers the examiner's tasks, and those that it fails are kept",
    "rainbow": "answers the mutations, and those that it fails are kept",
}


@runtime_checkable
class Drawn(Protocol):
    """A method with a figure of its own."""

    def figure(self, candidates: Candidates) -> Any:
        """Draw what the method's own choices brought."""


@dataclass
class WithFiles(Candidates):
    """Candidates that come with files of the method's own: rows by the file's name."""

    files: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


@runtime_checkable
class Deciding(Protocol):
    """A method that may itself decide which answer a task has."""

    one_answer: bool


@runtime_checkable
class Keeping(Protocol):
    """A method that may keep a seed's instruction and revise its answer alone."""

    keeps_instructions: bool


@runtime_checkable
class Carrying(Protocol):
    """A method that goes on, in each iteration, with a file that it left in the one before."""

    carries: str


@runtime_checkable
class Sourced(Protocol):
    """A method that writes from texts with licences of their own."""

    def sources(self, options: Section) -> dict[str, Any]:
        """Say what a record keeps of them, by what they are: where they lie, how many there are, under which licences."""


def carried_file(way: Method[Any]) -> str:
    """Name the file that the method left in the iteration before and goes on with, "" for none."""
    return way.carries if isinstance(way, Carrying) else ""


def part_of_learner(way: Method[Any]) -> str:
    """Say what the model that is to learn does while tasks are written, "" where anybody could write them."""
    return LEARNERS.get(way.name, "")


def decides_answer(way: Method[Any]) -> bool:
    """Tell whether the method itself decides which answer a task has, so that more answers would be passed over."""
    return isinstance(way, Deciding) and way.one_answer


def copied(way: Method[Any], found: Candidates, known: Sequence[Task]) -> set[str]:
    """Return the seeds' instructions among the accepted ones, where the method is not to keep any."""
    if isinstance(way, Keeping) and way.keeps_instructions:
        return set()
    return {row["instruction"] for row in found.accepted} & {task.instruction for task in known}


def figure_of(way: Method[Any], found: Candidates) -> Any:
    """Return the method's own figure, an empty one where it has none."""
    from isheep_lib.display.figures import nothing

    return way.figure(found) if isinstance(way, Drawn) else nothing()


def files_of(found: Candidates) -> dict[str, list[dict[str, Any]]]:
    """Return the method's own files, rows by name; {} where it has none."""
    return found.files if isinstance(found, WithFiles) else {}


def rows_of(found: Candidates, file: str) -> list[dict[str, Any]]:
    """Return the rows of one of the method's own files, [] where it wrote none."""
    return files_of(found).get(file, [])


@runtime_checkable
class Withholding(Protocol):
    """A method of whose runs some must not be given to others."""

    def withheld(self, options: Mapping[str, Any]) -> str:
        """Say why nothing of a run with these options may be exported, "" where it may."""


def withheld(way: Method[Any] | None, options: Mapping[str, Any]) -> str:
    """Say why nothing that a method wrote with these options may be exported, "" where it may."""
    return way.withheld(options) if isinstance(way, Withholding) else ""
