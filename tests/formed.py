"""Forms that the tiny model's words are given where it knows none: it lists no topics, and finds none of its answers bad.

Each is a context, so that a process that is killed and the one that goes on can be given the same.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

from isheep_lib.synthesize.revising import topics


@contextmanager
def as_it_is() -> Iterator[None]:
    """Leave everything as the model says it."""
    yield


@contextmanager
def bad_answers() -> Iterator[None]:
    """Find every answer bad."""

    def all_bad(writing: Any, journal: Any, rows: Sequence[dict[str, Any]]) -> dict[str, str]:
        return {row["id"]: "bad for the test" for row in rows}

    with mock.patch("isheep_lib.synthesize.revising.aligning.bad_answers", all_bad):
        yield


@contextmanager
def topics_in_lines() -> Iterator[None]:
    """Write every third word as a topic, which the real rules read."""
    real = topics.read_topics

    def lines(said: str, most: int, known: Sequence[str] = ()) -> tuple[list[str], list[tuple[str, str]]]:
        return real("\n".join(word.capitalize() for word in said.split()[::3]), most, known)

    with mock.patch("isheep_lib.synthesize.revising.topics.read_topics", lines):
        yield
