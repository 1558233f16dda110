"""Errors a user can act on: what is wrong, where, what is allowed, what to do.

Covers bad input and bad state. A bug of our own raises whatever Python raises, with its traceback.
"""

import re

from isheep_lib.server_key import struck

UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")  # but line breaks and tabs


def _shown(text: str) -> str:
    return UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), struck(text))


class IsheepError(Exception):
    """A problem the user can mend; its text is the whole message, so front ends show no traceback."""

    def __init__(self, what: str, *, where: str = "", allowed: str = "", do: str = "") -> None:
        self.what, self.where, self.allowed, self.do = map(_shown, (what, where, allowed, do))
        labelled = (("where", self.where), ("allowed", self.allowed), ("do", self.do))
        super().__init__("\n".join([self.what, *(f"  {label}: {text}" for label, text in labelled if text)]))

    def _render_traceback_(self) -> list[str]:
        """Show the message alone in a notebook (IPython asks the exception for its rendering)."""
        return [f"{type(self).__name__}: {self}"]


def install(extra: str) -> str:
    """Write the command that adds an extra to this clone's environment; no index has the package itself."""
    return f"pip install -c constraints.txt -e '.[{extra}]', in the clone"


class ParameterError(IsheepError):
    """Parameters that are unknown, missing, mistyped, out of range, or not those of the run."""


class DataError(IsheepError):
    """Rows that cannot be read: seeds, records of an earlier stage, benchmark data."""


class ModelError(IsheepError):
    """A model that is absent, or does not fit the run."""


class EngineError(IsheepError):
    """An engine that is not installed, not reachable, too small, or computes something else than the weights say."""


class RecordError(IsheepError):
    """A record on disk that is damaged, stale, locked or cannot be written."""


class YieldError(IsheepError):
    """A stage that produced too little to go on with."""


class TrainingError(IsheepError):
    """A training that cannot start, or must not go on."""


class StageFailed(IsheepError):
    """A stage notebook that ended without its manifest."""
