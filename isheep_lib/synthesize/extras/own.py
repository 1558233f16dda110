"""What a method draws and records of its own beside tasks, where it does.

Covers asking the method. Does not cover drawing (`display.method_figures`) or writing files (`iterate.session`).
"""

from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from isheep_lib.synthesize.candidates import Candidates
from isheep_lib.synthesize.method import Method


@runtime_checkable
class Drawn(Protocol):
    """A method with a figure of its own."""

    def figure(self, candidates: Candidates) -> Any:
        """Draw what the method's own choices brought."""


@dataclass
class WithFiles(Candidates):
    """Candidates that come with files of the method's own: rows by the file's name."""

    files: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def figure_of(way: Method[Any], found: Candidates) -> Any:
    """Return the method's own figure, an empty one where it has none."""
    from isheep_lib.display.figures import nothing

    return way.figure(found) if isinstance(way, Drawn) else nothing()


def files_of(found: Candidates) -> dict[str, list[dict[str, Any]]]:
    """Return the method's own files, rows by name; {} where it has none."""
    return found.files if isinstance(found, WithFiles) else {}
