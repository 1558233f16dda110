"""Topics: a list of one's own, or those that the model names when it is asked for some.

Rules after LaMini-LM (two words at most) and the brainstorming of SELF-ALIGN (a capital first, no punctuation last, none
twice whatever its case). Covers reading and naming topics. Does not cover what is written about them (`lamini`).
"""

import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from isheep_lib.engines.generate import generate_all
from isheep_lib.errors import DataError
from isheep_lib.languages.words import count_words
from isheep_lib.reading.files import read_text
from isheep_lib.record.provenance import find_file
from isheep_lib.record.sources import open_rows
from isheep_lib.synthesize.extras.asking import read_entries, text_request
from isheep_lib.synthesize.rules import Item
from isheep_lib.synthesize.writing import Writing

MOST_WORDS, LEAST_LETTERS = 2, 3
MOST_CHARACTERS = 8  # where words are not parted, and each character counts as one
PROMPTS, ROUNDS, ASKED, LEFT_OUT = 4, 8, 20, 8  # prompts of a round, rounds at most, topics asked for, and known ones named
EXAMPLES = 4  # dropped topics that an error shows
MARKS = (":", "：", " - ", " – ", " — ", "——", "(", "（")  # what begins an explanation after a topic


@dataclass
class Topics:
    """Topics in the order in which they were found, how many were dropped for which reason, the first of these, and tokens."""

    names: list[str] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    tokens: int = 0

    def draw(self, number: int, seed: int) -> list[str]:
        """Draw some, or all where there are fewer."""
        return random.Random(seed).sample(self.names, min(number, len(self.names)))  # noqa: S311 - reproducible


def load_topics(source: str, parameter: str) -> list[str]:
    """Read topics: lines of a .txt file, or the field `topic` of rows.

    Raises:
        DataError: the source is absent or unreadable, a row has no topic, or one comes twice.
    """
    path = find_file(source) if PurePath(source).suffix == ".txt" else None
    if path:
        names = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    else:
        rows = open_rows(source, parameter).rows
        lacking = [
            row.place for row in rows if not (isinstance(row.content.get("topic"), str) and row.content["topic"].strip())
        ]
        if lacking:
            what = f"{len(lacking)} row(s) have no topic: {', '.join(lacking[:20])}"
            raise DataError(what, where=f"{parameter}: {source}", allowed="a text named topic", do="mend these rows")
        names = [row.content["topic"].strip() for row in rows]
    twice = [name for name, number in Counter(name.lower() for name in names).items() if number > 1]
    if twice or not names:
        what = f"Topics that come twice: {', '.join(twice[:20])}" if twice else "There is no topic"
        raise DataError(what, where=f"{parameter}: {source}", do="name each topic once, a line each")
    return names


def brainstorm(writing: Writing[Any], wanted: int) -> Topics:
    """Have topics named, round by round, until enough are found, a round brings none, or the rounds are used up."""
    found, known = Topics(), set[str]()
    with writing.open_journal("topics") as journal:
        for batch in range(ROUNDS):
            if len(found.names) >= wanted:
                break
            before = len(found.names)
            ids = [f"topics-r{batch}-p{n}" for n in range(PROMPTS)]
            none = writing.prompts.words.no_input.strip("<>")
            shown = {i: ", ".join(found.draw(LEFT_OUT, writing.seed_of(f"{i}/known"))) or none for i in ids}
            words = {i: writing.prompts.render("lamini-topics.txt", count=str(ASKED), known=shown[i]) for i in ids}
            requests = [text_request(writing, i, words[i], f"\n{ASKED + 1}.") for i in ids]
            said = generate_all(writing.engine, requests, journal, f"topics, round {batch + 1}")
            for i in ids:
                found.tokens += said[i].num_tokens
                for item in read_entries(said[i]):
                    _take(found, known, item, wanted)
            if found.names and len(found.names) == before:  # a small model says the same again, round after round
                break
    return found


def read_topic(text: str) -> str:
    """Return a topic without an explanation after it and emphasis around it."""
    for mark in MARKS:
        text = text.partition(mark)[0]
    return text.strip().strip("*_\"'").strip()


def topic_problem(item: Item, known: set[str]) -> str:
    """Name the rule that a topic breaks, "" if none; `known` are earlier ones in lower case."""
    name = read_topic(item.instruction)
    if item.cut:
        return "cut off"
    if len(name) < (LEAST_LETTERS if name.isascii() else 1) or not name[0].isalpha():
        return "no word"
    if len(name.split()) > MOST_WORDS or count_words(name) > MOST_CHARACTERS:
        return f"more than {MOST_WORDS} words"
    if name[0].islower():
        return "no capital first"
    if not name[-1].isalnum():
        return "punctuation last"
    return "named before" if name.lower() in known else ""


def _take(found: Topics, known: set[str], item: Item, wanted: int) -> None:
    reason = topic_problem(item, known) or ("beyond those wanted" if len(found.names) >= wanted else "")
    if reason:
        found.dropped[reason] += 1
        found.examples += [item.instruction[:60]] if len(found.examples) < EXAMPLES else []
    else:
        name = read_topic(item.instruction)
        known.add(name.lower())
        found.names.append(name)
