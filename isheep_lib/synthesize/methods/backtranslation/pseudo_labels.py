"""Tasks with answers made from plain text by rules: gaps, choices, keywords, pairs of sentences, the telling sentence.

    gap(["It began in Bergen in 1904."], draw)      # Gap("It began in ___ in 1904.", "Bergen", 0)

Covers pure functions of sentences and a draw. Does not cover labels that only a model gives (feeling, topic, rewording) or
the instructions (`methods.backtranslation.udit`).
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from isheep_lib.languages.words import words

BLANK = "___"
TOKEN = re.compile(r"\d+(?:[.,:]\d+)*|[^\W\d_][\w'’-]*")
FEW, MANY = 6, 40  # words of a sentence from which a task is made
KEYWORD = 5  # letters of a word that a gap can be for
CHOICES, KEYWORDS = 4, (3, 6)  # words offered for a gap; words from which a sentence is to be made, fewest and most
REST = 3  # sentences that must be left beside the one that sums up


@dataclass(frozen=True)
class Gap:
    """A sentence with a gap, what stands there, and which sentence of the text it is."""

    sentence: str
    answer: str
    place: int


def names(sentence: str) -> list[str]:
    """Return what names something: numbers, and runs of capitalised words that do not begin the sentence."""
    found: list[str] = []
    end = -1  # of the run that goes on
    for number, token in enumerate(TOKEN.finditer(sentence)):
        word = token.group()
        if word[0].isdigit():
            found.append(word)
        elif number and len(word) > 1 and word[0].isupper():
            follows = end >= 0 and sentence[end : token.start()].isspace()
            begin = f"{found.pop()}{sentence[end : token.start()]}" if follows else ""
            found.append(f"{begin}{word}")
            end = token.end()
            continue
        end = -1
    return found


def gap(sentences: Sequence[str], draw: Random) -> Gap | None:
    """Leave a name or a number out of one sentence, None where no sentence of a fit length has one just once."""
    found = [
        Gap(sentence.replace(name, BLANK), name, place)
        for place, sentence in fit(sentences)
        for name in names(sentence)
        if sentence.count(name) == 1
    ]
    return draw.choice(found) if found else None


def choice(sentences: Sequence[str], draw: Random) -> tuple[str, str] | None:
    """Leave a keyword out of one sentence and offer it with others of the text, those nearest in length.

    Returns:
        The sentence with its gap and the choices below it, and the right one with its letter; None where the text has too
        few words of this kind.
    """
    every = Counter(word for sentence in sentences for word in re.findall(rf"\b[^\W\d_]{{{KEYWORD},}}\b", sentence))
    low = {word for word in every if word.islower()}
    found = [(s, word) for _, s in fit(sentences) for word in sorted(low & set(words(s))) if words(s).count(word) == 1]
    if not found:
        return None
    sentence, word = draw.choice(found)
    others = sorted(low - set(words(sentence)), key=lambda other: (abs(len(other) - len(word)), other))[: CHOICES - 1]
    if len(others) < CHOICES - 1:
        return None
    offered = draw.sample([word, *others], CHOICES)
    listed = [f"({letter}) {each}" for letter, each in zip("abcd", offered, strict=True)]
    return "\n".join([re.sub(rf"\b{word}\b", BLANK, sentence), *listed]), listed[offered.index(word)]


def keywords(sentences: Sequence[str], draw: Random) -> tuple[str, str] | None:
    """Return keywords of one sentence in the alphabet's order, and the sentence; None where no sentence has enough."""
    found = []
    for _, sentence in fit(sentences):
        telling = sorted({word for word in words(sentence) if len(word) >= KEYWORD or word.isdigit()})
        if KEYWORDS[0] <= len(telling) <= KEYWORDS[1]:
            found.append((", ".join(telling), sentence))
    return draw.choice(found) if found else None


def neighbours(sentences: Sequence[str], draw: Random) -> tuple[str, str] | None:
    """Return a sentence and one that stands beside it, None where there are no two of a fit length together."""
    places = dict(fit(sentences))
    found = [(places[n], places[n + 1]) for n in places if n + 1 in places and places[n] != places[n + 1]]
    return draw.choice(found) if found else None


def telling_sentence(sentences: Sequence[str]) -> int | None:
    """Return the place of the sentence that shares most words with the rest (ROUGE-1 F), None for a text of too few.

    Of equal ones the first counts (gap sentences, PEGASUS, arXiv 1912.08777).
    """
    if len(sentences) <= REST:
        return None
    counts = [Counter(words(sentence)) for sentence in sentences]
    whole = sum(counts, Counter[str]())
    places = [place for place, _ in fit(sentences)]
    return max(places, key=lambda place: (_shared(counts[place], whole - counts[place]), -place), default=None)


def fit(sentences: Sequence[str]) -> list[tuple[int, str]]:
    """Return the sentences of a length from which a task can be made, each with its place."""
    return [(place, sentence) for place, sentence in enumerate(sentences) if FEW <= len(words(sentence)) <= MANY]


def _shared(one: Counter[str], rest: Counter[str]) -> float:
    both = (one & rest).total()
    return 2 * both / (one.total() + rest.total())
