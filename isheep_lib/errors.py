"""Errors a user can act on: what is wrong, where, what is allowed, what to do.

Covers bad input and bad state. A bug of our own raises whatever Python raises, with its traceback.
"""

import re

UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")  # but line breaks and tabs


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


class IsheepError(Exception):
    """A problem the user can mend; its text is the whole message, so front ends show no traceback."""

    def __init__(self, what: str, *, where: str = "", allowed: str = "", do: str = "") -> None:
        what, where, allowed, do = (UNPRINTABLE.sub(_escape, text) for text in (what, where, allowed, do))
        self.what, self.where, self.allowed, self.do = what, where, allowed, do
        labelled = (("where", where), ("allowed", allowed), ("do", do))
        super().__init__("\n".join([what, *(f"  {label}: {text}" for label, text in labelled if text)]))

    def _render_traceback_(self) -> list[str]:
        """Show the message alone in a notebook (IPython asks the exception for its rendering)."""
        return [f"{type(self).__name__}: {self}"]


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
