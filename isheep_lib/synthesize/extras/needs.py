"""What a method needs of its seeds and of this machine, told at the plan, before a model loads.

Covers asking the method. Does not cover reading seeds (`synthesize.seeds`).
"""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from isheep_lib.errors import DataError
from isheep_lib.params.kinds import Section
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.method import Method
from isheep_lib.synthesize.seeds import load_seeds
from isheep_lib.synthesize.shared_params import Shared


@runtime_checkable
class Needing(Protocol):
    """A method that not every seed or machine suits."""

    def require(self, options: Any, seeds: Sequence[Task], where: str) -> None:
        """Raise a DataError where the seeds, which lie `where`, or this machine will not do."""


def require_needs(way: Method[Any], options: Section, shared: Shared) -> None:
    """Check what the method needs beside that its seeds can be read.

    Raises:
        DataError: something is missing.
    """
    if isinstance(way, Needing):
        way.require(options, load_seeds(shared.seeds, shared.seed_fields, shared.language), shared.seeds)


def of_kinds(seeds: Sequence[Task], kinds: Sequence[str]) -> list[Task]:
    """Return the seeds of these kinds, all of them where none is named."""
    return [seed for seed in seeds if not kinds or seed.kind in kinds]


def require_kinds(seeds: Sequence[Task], kinds: Sequence[str], where: str) -> list[Task]:
    """Return the seeds of these kinds.

    Raises:
        DataError: there are none.
    """
    found = of_kinds(seeds, kinds)
    if not found:
        known = sorted({seed.kind for seed in seeds if seed.kind})
        raise DataError(
            f"No seed task is of the kind {' or '.join(kinds)}",
            where=where,
            allowed=f"kinds of these seeds: {', '.join(known) or 'none is named'}",
            do="give seeds of this kind, or name kinds that they have in synthesize.options.kinds; [] takes all",
        )
    return found
