"""Prompts: a folder of text files in one language, with the words that the code writes beside them.

    prompts = open_prompts("auto", "zh")                       # those of synthesize.language, English where there are none
    prompts.render("quality-combined.txt", task="…", response="…")
    prompts.digests("quality-combined.txt")                    # {"quality-combined.txt": "5f0c…"}

A folder is `en`, `zh`, … beside this module, or a user's own. Covers finding, checking, filling and hashing. Does not cover
chat frames (`prompting.chat`) or reading replies.
"""

import string
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from pydantic import Field

from isheep_lib.errors import DataError, ParameterError
from isheep_lib.params.check import check
from isheep_lib.params.kinds import Section
from isheep_lib.params.yaml_file import read_yaml
from isheep_lib.prompting.chat import FOLDER, FRAMES
from isheep_lib.reading.files import ABSENT, FILE, read_text, what_lies_at
from isheep_lib.record.provenance import find_folder, project_root
from isheep_lib.record.rows import digest_file

PARAMETER, AUTO, DEFAULT = "model.prompts", "auto", "en"
WORDS = "words.yaml"
SHIPPED = tuple(sorted(path.parent.name for path in FOLDER.glob(f"*/{WORDS}")))
Problem = tuple[str, str]  # a file, and what is wrong with it


class Words(Section):
    """What code writes beside the prompts of a folder, in their language."""

    instruction: str = Field(description="label of an instruction in a list, with its colon", min_length=1)
    input: str = Field(description="label of an input in a list, with its colon", min_length=1)
    no_input: str = Field(description="what stands in a list where a task has no input", min_length=1)
    length: str = Field(description="what is added to an instruction to state the length, {length}, of its answer in words")
    yes: str = Field(description="answer to a question of verdict.txt and evol-equal.txt", min_length=1)
    no: str = Field(description="the other answer", min_length=1)

    @property
    def answers(self) -> list[str]:
        """The answers whose probabilities are read: yes and no."""
        return [self.yes, self.no]

    def conflicts(self) -> list[str]:
        """Name values that contradict one another."""
        problems = ["no: must be another word than yes"] if self.yes == self.no else []
        try:
            held = variables(self.length) == {"length"}
        except ValueError:
            held = False
        return problems if held else [*problems, "length: must hold {length} once and no other variable"]


@dataclass(frozen=True)
class Prompts:
    """The prompts of a run.

    Attributes:
        folder: where they lie.
        language: BCP 47 tag of the language that they are written in, as far as it is known.
    """

    folder: Path
    language: str = DEFAULT

    def render(self, name: str, **values: str) -> str:
        """Fill a prompt; the variables given and the variables in the file must be the same.

        Raises:
            ValueError: variables are missing or unused, which is a mistake of ours: a user's folder is checked before.
        """
        text = self._text(name)
        wanted = variables(text)
        if wanted != set(values):
            raise ValueError(f"{name} wants {sorted(wanted)}, got {sorted(values)}")
        return text.format(**values)

    def digests(self, *names: str) -> dict[str, str]:
        """Hash files by name, frames among them; and the words, where prompts are used and they are not the English ones.

        Raises:
            DataError: see `require`.
        """
        own = [name for name in names if name not in FRAMES]
        self.require(*own)
        found = {name: digest_file((FOLDER if name in FRAMES else self.folder) / name) for name in names}
        return found | ({WORDS: digest_file(self.folder / WORDS)} if own and self.words != english().words else {})

    def require(self, *names: str) -> None:
        """Refuse a folder that lacks files, or has some that cannot be filled, all of them named.

        Raises:
            DataError: with every file and what is wrong with it.
        """
        if self.folder == english().folder or not names:
            return
        problems = [(name, wrong) for name in dict.fromkeys(names) for wrong in _faults(self.folder, name)]
        if what_lies_at(self.folder / WORDS) == FILE:
            problems += _faults_of_words(self.folder / WORDS)
        if problems:
            listed = "\n  ".join(f"{name}: {wrong}" for name, wrong in problems)
            raise DataError(
                f"{len(problems)} thing(s) are wrong with the prompts:\n  {listed}",
                where=f"{PARAMETER}: {self.folder}",
                allowed="the files that this run asks with, UTF-8 text with the variables of the shipped one of that name, "
                "in braces; {{ and }} are braces in the text",
                do=f"copy what is missing from {FOLDER / DEFAULT} and mend the rest",
            )

    @cached_property
    def words(self) -> Words:
        """What code writes beside these prompts: the folder's own words, or else the English ones."""
        path = self.folder / WORDS
        return _words(path) if what_lies_at(path) == FILE else english().words

    @cached_property
    def _texts(self) -> dict[str, str]:
        return {}  # a file is read once, so that an edit does not come into the middle of a stage

    def opening_of(self, name: str, variable: str) -> str:
        """Return the line before the one that a variable begins, such as `Task:`, "" where it begins none."""
        before, found, _ = self._text(name).partition(f"\n{{{variable}}}")
        return before.rpartition("\n")[2] if found else ""

    def label_of(self, name: str, variable: str) -> str:
        """Return what stands before a variable on its line, such as `Task:`, without the space between them."""
        return self._text(name).partition(f"{{{variable}}}")[0].rpartition("\n")[2].rstrip()

    def _text(self, name: str) -> str:
        if name not in self._texts:
            self._texts[name] = _read(self.folder / name)
        return self._texts[name]


def open_prompts(choice: str, language: str | list[str] = DEFAULT) -> Prompts:
    """Open the prompts that a run asks with.

    Args:
        choice: `auto`, a shipped language, or a folder, from the current folder or the clone's root.
        language: of the run's tasks: one tag or several; `auto` follows one tag.

    Raises:
        DataError: there is no such folder, or its words are in no file.
    """
    if choice == AUTO:
        return Prompts(FOLDER / of_language(language), of_language(language))
    if choice in SHIPPED:
        return Prompts(FOLDER / choice, choice)
    folder = find_folder(choice)
    if folder is None:
        raise DataError(
            f"There are no prompts {choice!r}",
            where=PARAMETER,
            allowed=f"{AUTO}, {', '.join(SHIPPED)}, or a folder of prompts",
            do=f"give a path from here or from {project_root()}",
        )
    if (found := what_lies_at(folder / WORDS)) not in (FILE, ABSENT):  # else the English words would stand in its place
        raise DataError(f"{WORDS} is {found}", where=f"{PARAMETER}: {folder}", allowed="a file, or none", do="move it away")
    return Prompts(folder, _one_tag(language) or DEFAULT)


def of_language(language: str | list[str]) -> str:
    """Name the shipped prompts for the language of a run's tasks: those of its one tag, less what it says of script and region.

    `of_language("zh-Hans")` is "zh"; several tags, and one without prompts, get the English ones.
    """
    tag = _one_tag(language)
    while tag and tag not in SHIPPED:
        tag = tag.rpartition("-")[0]  # RFC 4647, lookup
    return tag or DEFAULT


def variables(text: str) -> set[str]:
    """Name the variables of a prompt.

    Raises:
        ValueError: braces do not match.
    """
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@cache
def english() -> Prompts:
    """The prompts that every other folder has the files of."""
    return Prompts(FOLDER / DEFAULT)


def _one_tag(language: str | list[str]) -> str:
    tags = [language] if isinstance(language, str) else language
    return tags[0] if len(tags) == 1 and tags[0] != "any" else ""


def _read(path: Path) -> str:
    return read_text(path).replace("\r\n", "\n").removesuffix("\n")


def _faults(folder: Path, name: str) -> Iterable[str]:
    if what_lies_at(folder / name) != FILE:
        return ["is missing"]
    try:
        text = _read(folder / name)
    except DataError as error:
        return [error.what]
    if not text.strip():
        return ["is blank"]
    allowed = variables(_read(FOLDER / DEFAULT / name))
    try:
        parts = [part for part in string.Formatter().parse(text) if part[1] is not None]
    except ValueError as error:
        return [f"braces do not match ({error}); write {{{{ or }}}} for one that stands in the text"]
    said = f"allowed: {', '.join(f'{{{each}}}' for each in sorted(allowed)) or 'none'}"
    found = {field or "" for _, field, _, _ in parts}
    faults = [f"unknown variable {{{each}}}; {said}" for each in sorted(found - allowed)]
    faults += [f"lacks {{{each}}}" for each in sorted(allowed - found)]
    shaped = sorted({field or "" for _, field, form, conversion in parts if form or conversion})
    return faults + [f"{{{each}}} stands with a format; write its name alone" for each in shaped if each in allowed]


def _faults_of_words(path: Path) -> list[Problem]:
    try:
        _words(path)
    except (DataError, ParameterError) as error:
        return [(WORDS, str(error).replace("\n", "\n  "))]
    return []


def _words(path: Path) -> Words:
    values, lines = read_yaml(path)
    return check(Words, values, str(path), lines)
