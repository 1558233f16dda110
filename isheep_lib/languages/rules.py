"""What depends on the language of a text, as data: one file `rules/<tag>.yaml` a language, checked when it is read.

    of("en").finds("forbidden_word", "Draw a picture")     # True
    of(["en", "zh"]).least_words                           # 4: what either of them allows is allowed
    of("any")                                              # only what holds in every language

Words in the files are regular expressions, whose letters stand for either case. Of several languages all words count, and
what one of them allows is allowed. For `any`, no rule that drops a text knows a word; what only reads (no input, a
refusal) knows those of all languages. Covers the files and the expressions made of them. Does not cover what
is done with what they find (`synthesize`, `filter`), or words themselves (`languages.words`).
"""

import dataclasses
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from isheep_lib.languages import patterns
from isheep_lib.languages.patterns import Words
from isheep_lib.languages.tags import canonical, shortened

FOLDER = Path(__file__).parent / "rules"
ANY = "any"
Language = str | list[str]  # a tag, several, or any
EDGES, FIRST = ("both", "start", "none", "marked"), ("ascii", "any")


@dataclass(frozen=True)
class Rules:
    """The rules of one language, of several together, or those of all (`any`).

    Attributes:
        tags: of the languages; none for any.
        names: of the languages, in English.
        scripts: that they are written in, as Unicode names them; none for any.
        least_words, most_words: of an instruction.
        first_letters: "ascii" or "any": which letters an instruction may begin with.
        opening_marks: what may stand before the first letter.
        found: expressions by what they find (`patterns.PATTERNS`), one a language.
    """

    tags: tuple[str, ...]
    names: tuple[str, ...]
    scripts: tuple[str, ...]
    least_words: int
    most_words: int
    first_letters: str
    opening_marks: str
    found: dict[str, tuple[re.Pattern[str], ...]]

    def first(self, name: str, text: str) -> re.Match[str] | None:
        """Return the first of what the expressions of this name find, None where they find nothing."""
        found = [match for each in self.found[name] if (match := each.search(text))]
        return min(found, key=lambda match: match.start(), default=None)

    def finds(self, name: str, text: str) -> bool:
        """Tell whether a text holds what the expressions of this name find, in any of the languages.

        A letter and its mark may be one sign or two in the text (`é`, `फ़`): they are composed, as in the files.
        """
        composed = unicodedata.normalize("NFC", text)
        return any(each.search(composed) for each in self.found[name])

    def starts_well(self, text: str) -> bool:
        """Tell whether a text begins with a letter, a number, or a mark that opens a sentence."""
        first = text[:1]
        return first in self.opening_marks or (first.isalnum() and (first.isascii() or self.first_letters == "any"))


def known() -> list[str]:
    """Name the languages that have a file of rules."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def file_of(tag: str) -> str:
    """Return the tag of the file with the rules of a language: zh for zh-Hant-TW.

    Raises:
        ValueError: the tag is malformed, or no file has rules of it; those there are, and `any`, are named.
    """
    try:
        written = canonical(tag)
    except ValueError as error:
        raise ValueError(f"{error}; {_choices()}") from None
    for name in shortened(written):
        if name in known():
            return name
    raise ValueError(f"there are no rules for {written!r}; {_choices()}")


def checked(language: Language) -> Language:
    """Return a language as a run names it: a canonical tag, a list of at least two, or any.

    Raises:
        ValueError: a tag is malformed, has no rules, or is named twice; or `any` stands beside others.
    """
    tags = [language] if isinstance(language, str) else list(language)
    if tags == [ANY]:
        return ANY
    if not tags:
        raise ValueError(f"no language is named; {_choices()}")
    if ANY in tags:
        raise ValueError(f"{ANY} stands for all languages; leave out the others, or {ANY}")
    for tag in tags:
        file_of(tag)
    names = [canonical(tag) for tag in tags]
    if len(set(names)) < len(names):
        raise ValueError("none twice")
    return names[0] if len(names) == 1 else names


def tags_of(language: Language) -> list[str]:
    """List the tags of a language that was checked; none for any."""
    return [] if language == ANY else [language] if isinstance(language, str) else list(language)


def files_of(language: Language) -> list[str]:
    """Name the files whose rules a run applies; for any all of them are read."""
    return known() if language == ANY else sorted({file_of(tag) for tag in tags_of(language)})


def in_words(language: Language) -> str:
    """Name a language for people: `English`, `English and Chinese`, `any language`."""
    return " and ".join(of(language).names) or "any language"


def of(language: Language) -> Rules:
    """Return the rules of a language that was checked."""
    return _of(tuple(sorted({file_of(tag) for tag in tags_of(language)})))


def together(*languages: Language) -> Language:
    """Return several languages as one: what is of any of them."""
    return ANY if ANY in languages else sorted({file for each in languages for file in files_of(each)})


def with_english(language: Language) -> Rules:
    """Return the rules of a language and of English, in which benchmarks ask and data name what is absent."""
    return of(together("en", language))


def digests(language: Language) -> dict[str, str]:
    """Hash the files of rules that a language takes, by name."""
    return {f"rules/{tag}.yaml": sha256((FOLDER / f"{tag}.yaml").read_bytes()).hexdigest()[:16] for tag in files_of(language)}


def stop_words(language: Language) -> frozenset[str]:
    """Return the words of a language that say nothing alone (`languages.words`)."""
    return frozenset(word for tag in files_of(language) for word in load(tag).stop_words)


@cache
def _of(tags: tuple[str, ...]) -> Rules:
    chosen = [load(tag) for tag in tags] or [_any()]
    read = [load(tag) for tag in tags or known()]
    return Rules(
        tags,
        tuple(load(tag).name for tag in tags),
        tuple(dict.fromkeys(script for each in chosen for script in each.scripts)),
        min(each.min_words for each in chosen),
        max(each.max_words for each in chosen),
        FIRST[any(each.first_letters == FIRST[1] for each in chosen)],
        "".join(dict.fromkeys(mark for each in chosen for mark in each.opening_marks)),
        {
            name: tuple(expression(each) for each in (read if name in patterns.READING else chosen))
            for name, expression in patterns.PATTERNS.items()
        },
    )


def _any() -> Words:
    """Return what holds in every language: the marks of all of them, no words."""
    every = [load(tag) for tag in known()]

    def marks(name: str) -> str:
        return "".join(dict.fromkeys(mark for each in every for mark in getattr(each, name)))

    letters = list(dict.fromkeys(letters for each in every for letters in each.choice_letters))
    return Words(
        name=ANY,
        own_name=ANY,
        opening_marks=marks("opening_marks"),
        colons=marks("colons"),
        choice_letters=letters,
        choice_marks=marks("choice_marks"),
        question_marks=marks("question_marks"),
    )


@cache
def load(tag: str) -> Words:
    """Read the file of a language.

    Raises:
        ValueError: a field is unknown, missing or of another kind, an expression is none, or matches the empty text.
    """
    path = FOLDER / f"{tag}.yaml"
    given = yaml.safe_load(path.read_text(encoding="utf-8"))
    if problems := list(_problems(given)):
        raise ValueError(f"{path.name}: " + "; ".join(problems))
    return Words(**given)


def _problems(given: Any) -> Iterable[str]:
    fields = {field.name: field for field in dataclasses.fields(Words)}
    if not isinstance(given, dict):
        yield "no mapping"
        return
    if odd := sorted(set(given) - set(fields)):
        yield f"unknown: {', '.join(odd)}"
    if lacking := [name for name in fields if name not in given]:
        yield f"missing: {', '.join(lacking)}"
    for name, value in given.items():
        if name in fields:
            yield from (f"{name}: {problem}" for problem in _wrong(fields[name].type, value))
    for name, allowed in (("word_edges", EDGES), ("first_letters", FIRST)):
        if given.get(name) not in allowed:
            yield f"{name}: one of {', '.join(allowed)}"


def _wrong(kind: Any, value: Any) -> Iterable[str]:
    """Say what is wrong with a field's value by the field's type."""
    if kind in (str, int):
        yield from () if type(value) is kind else (f"{value!r} is no {kind.__name__}",)
    elif not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        yield f"{value!r} is no list of texts"
    elif len(set(value)) < len(value):
        yield "an item stands twice"
    else:
        yield from _bad_expressions(value)


def _bad_expressions(items: Sequence[str]) -> Iterable[str]:
    for item in items:
        try:
            if re.compile(item, re.IGNORECASE).fullmatch(""):
                yield f"{item!r} matches the empty text"
        except re.error as error:
            yield f"{item!r} is no regular expression: {error}"


def _choices() -> str:
    return f"languages with rules are {', '.join(known())}; {ANY} takes every language, with rules that hold in all of them"
