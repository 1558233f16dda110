"""What a method needs of its data and of this machine, told at the plan, before a run has a folder and a model loads.

Covers asking the method. Does not cover seeds that are faulty in themselves (`synthesize.seeds`) or too long for a model,
which only its tokenizer knows (`Writing.refuse_seeds`).
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
    """A method that not all data or machines suit."""

    def check_data(self, shared: Shared, options: Section) -> dict[str, str]:
        """Look at seeds or documents; return digests, by name, of what is read of seeds beside the fields of tasks.

        Raises:
            DataError: they, or this machine, do not suit the method.
        """


def suited_data(way: Method[Any], shared: Shared, options: Section) -> dict[str, str]:
    """Check what the method needs beside that its data can be read; see `Needing.check_data` and `Method.most`.

    Raises:
        DataError: data or this machine do not suit it, or cannot bring as many tasks as are needed.
    """
    found = way.check_data(shared, options) if isinstance(way, Needing) else {}
    most = way.most(shared, options)
    if most is not None and most < shared.min_instructions:
        raise DataError(
            f"The method {way.name} brings {most} new instructions at most, by its seeds and options",
            where=f"synthesize.options{f', {shared.seeds}' if 'seeds' in way.needs else ''}",
            allowed=f"as many as synthesize.min_instructions, {shared.min_instructions}",
            do="raise what limits them in synthesize.options, give more seeds, or lower min_instructions",
        )
    return found


def seeds_of(shared: Shared) -> list[Task]:
    """Read the seeds of these parameters."""
    return load_seeds(shared.seeds, shared.seed_fields, shared.language)


def refuse_few(there: int, wanted: int, what: str, source: str, do: str) -> None:
    """Refuse seeds of which fewer will do than one prompt shows.

    Args:
        there: seeds that will do.
        wanted: shown in one prompt.
        what: makes a seed do, such as "with an input".
        source: where they are from.
        do: what can be done.

    Raises:
        DataError: there are fewer.
    """
    if there < wanted:
        said = f"{there} seed task(s){what and ' '}{what}"
        raise DataError(f"{said} cannot fill a prompt that shows {wanted}", where=source, do=do)


def of_kinds(seeds: Sequence[Task], kinds: Sequence[str]) -> list[Task]:
    """Return the seeds of these kinds, all of them where none is named."""
    return [seed for seed in seeds if not kinds or seed.kind in kinds]


def require_kinds(shared: Shared, kinds: Sequence[str]) -> list[Task]:
    """Return the seeds of these kinds.

    Raises:
        DataError: there are none.
    """
    seeds = seeds_of(shared)
    found = of_kinds(seeds, kinds)
    if not found:
        known = sorted({seed.kind for seed in seeds if seed.kind})
        raise DataError(
            f"No seed task is of the kind {' or '.join(kinds)}",
            where=shared.seeds,
            allowed=f"kinds of these seeds: {', '.join(known) or 'none is named'}",
            do="give seeds of this kind, or name kinds that they have in synthesize.options.kinds; [] takes all",
        )
    return found
