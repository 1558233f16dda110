r"""Topics that the model brainstorms for kinds of questions, read by Dromedary's rules.

    read_topics("1. Tides\n2. the moon\n3. Tides", 3)
    # ["Tides"], [("the moon", "small_letter"), ("Tides", "known")]

Covers asking and reading. Does not cover the questions that are written about topics (`methods.revision.dromedary`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from isheep_lib.engines.generate import generate_all
from isheep_lib.engines.protocol import Request
from isheep_lib.languages.words import count_words
from isheep_lib.record.journal import Journal
from isheep_lib.synthesize.extras.asking import text_request
from isheep_lib.synthesize.writing import Writing

MARK = re.compile(r"^\s*(?:\d{1,3}\s*[.):．、）：]|[-*•])\s*")  # before an item of a list
MOST_WORDS = 3
MOST_CHARACTERS = 12  # where words are not parted, and each character counts as one


@dataclass(frozen=True)
class Topic:
    """What questions of a kind can be about; a reason tells why it is not used."""

    kind: str
    topic: str
    reason: str = ""


def read_topics(said: str, most: int, known: Sequence[str] = ()) -> tuple[list[str], list[tuple[str, str]]]:
    """Read a list of topics, one per line.

    Args:
        said: what the model wrote.
        most: topics wanted.
        known: topics that there are, in small letters.

    Returns:
        The topics, and those that are none with the reason.
    """
    good, bad, seen = list[str](), list[tuple[str, str]](), {*known}
    for line in said.splitlines():
        topic = MARK.sub("", line).strip()
        if not topic:
            continue
        reason = _problem(topic, seen) or ("beyond_wanted" if len(good) == most else "")
        if reason:
            bad.append((topic, reason))
        else:
            good.append(topic)
            seen.add(topic.lower())
    return good, bad


def _problem(topic: str, seen: set[str]) -> str:
    if len(topic.split()) > MOST_WORDS or count_words(topic) > MOST_CHARACTERS:
        return "too_long"
    if not topic[0].isalpha() or topic[0] != topic[0].upper():
        return "small_letter"
    if not topic[-1].isalnum():
        return "punctuation"
    return "known" if topic.lower() in seen else ""


def brainstorm(writing: Writing[Any], journal: Journal, kinds: Sequence[str], number: int) -> tuple[list[Topic], int]:
    """Have the model list topics for each kind; a topic belongs to the first kind that names it.

    Returns:
        All topics, those that are not used with their reason, and the tokens that this took.
    """
    requests = [topics_request(writing, f"topics-{place:02d}", kind, number) for place, kind in enumerate(kinds)]
    said = generate_all(writing.engine, requests, journal, "topics")
    found, seen = list[Topic](), list[str]()
    for kind, request in zip(kinds, requests, strict=True):
        good, bad = read_topics(said[request.id].text, number, seen)
        found += [Topic(kind, topic) for topic in good] + [Topic(kind, topic, reason) for topic, reason in bad]
        seen += [topic.lower() for topic in good]
    return found, sum(completion.num_tokens for completion in said.values())


def topics_request(writing: Writing[Any], id_: str, kind: str, number: int) -> Request:
    """Ask for topics of a kind of questions."""
    return text_request(writing, id_, writing.prompts.render("dromedary-topics.txt", kind=kind, number=str(number)))
