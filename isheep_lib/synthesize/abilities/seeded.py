"""Seeds looked at by the method that will show them, at the plan: before a run has a folder and before a model loads.

Covers the ability. Does not cover seeds that are faulty in themselves (`synthesize.seeds`) or too long for a model, which
only its tokenizer knows (`Writing.refuse_seeds`).
"""

from abc import ABC, abstractmethod
from typing import Generic

from isheep_lib.errors import DataError
from isheep_lib.synthesize.shared_params import Shared
from isheep_lib.synthesize.writing import Own


class Seeded(ABC, Generic[Own]):
    """A method that not all seeds suit."""

    @abstractmethod
    def check_seeds(self, shared: Shared, options: Own) -> dict[str, str]:
        """Look at the seeds; return digests, by name, of what is read of them beside the fields of tasks.

        Raises:
            DataError: they do not suit the method.
        """


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
