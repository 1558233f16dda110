"""Lists of tasks: the prompt that begins one, and reading its continuation."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from isheep_lib.engines.protocol import Request
from isheep_lib.languages import rules as languages
from isheep_lib.languages.rules import Language
from isheep_lib.params.kinds import Positive, distinct
from isheep_lib.prompting.plain_text import FULL_WIDTH
from isheep_lib.prompting.prompt_files import DEFAULT, Prompts, Words
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.demonstrations import DemonstrationOptions
from isheep_lib.synthesize.rules import Item
from isheep_lib.synthesize.writing import Writing

PROMPTS = {"always": "synthesize.txt", "where_given": "synthesize-where_given.txt"}
# Letter by letter, so that places stay: full-width forms, brackets around a label, and digits of any script.
FOLDED = FULL_WIDTH | dict.fromkeys(map(ord, "【［〔"), "【") | dict.fromkeys(map(ord, "】］〕"), "】")
FOLDED |= {ord("　"): " ", ord("﹕"): ":", ord("︰"): ":", ord("（"): "（", ord("）"): "）"}
OTHER = re.compile(r"[^\x00-\x7f]")


@dataclass(frozen=True)
class Reading:
    """How a list is read: where an item begins, where a labelled line of it does, and what is no input."""

    item: re.Pattern[str]
    label: re.Pattern[str]
    no_input: re.Pattern[str]


def _stops(texts: list[str]) -> list[str]:
    if not all(texts):
        raise ValueError("an empty text would stop everything")
    return distinct(texts)


class ListOptions(DemonstrationOptions):
    """How lists are asked for, under `synthesize.options`."""

    tasks_per_prompt: Positive = Field(
        10, description="tasks that a prompt asks for, the shown ones included; one more than these asks for one task"
    )
    input_lines: Literal["always", "where_given"] = Field(
        "always", description="a task without an input has the line Input: <none>, or none at all, which suits a base model"
    )
    instruction_stops: Annotated[list[str], AfterValidator(_stops)] = Field(
        [], description="texts that end a list, none is the number after tasks_per_prompt on a new line"
    )


def list_prompt(demonstrations: list[Task], options: ListOptions, prompts: Prompts) -> str:
    """Render the meta-prompt and the numbered demonstrations, ending where the next instruction begins."""
    items, words = [], prompts.words
    for number, task in enumerate(demonstrations, start=1):
        items.append(f"{number}. {_line(words.instruction, task.instruction)}")
        if task.input or options.input_lines == "always":
            items.append(f"{number}. {_line(words.input, task.input or words.no_input)}")
    items.append(f"{len(demonstrations) + 1}. {words.instruction}")
    return prompts.render(PROMPTS[options.input_lines], count=str(options.tasks_per_prompt), tasks="\n".join(items))


def _line(label: str, text: str) -> str:
    return f"{label} {text}" if label.isascii() else f"{label}{text}"


def parse_list(text: str, first: int, finish: str, prompts: Prompts, language: Language = DEFAULT) -> list[Item]:
    """Cut a continued list into tasks.

    A task begins at a line "7. Instruction:", or at a bare "7." when 7 is the number expected next; in the language of the
    prompts and of the run also at what their rules hold (`languages/rules`), such as "７．指令：", "7、" or "第7个任务：".

    Args:
        text: the continuation of a prompt that ends in "6. Instruction:".
        first: that number, 6 here.
        finish: why the text ended; "length" marks the last task as cut.
        prompts: whose labels the list has.
        language: of the run.
    """
    read = languages.together(DEFAULT, prompts.language, language)
    whole, reading = f"{first}. {prompts.words.instruction}{text}", _reading(tuple(languages.files_of(read)), prompts.words)
    folded = _folded(whole)
    starts, current = [], first - 1
    for found in reading.item.finditer(folded):
        number = next(int(each) for name, each in found.groupdict().items() if each and name != "label")
        if found["label"] or number == current + 1:
            starts.append(found)
            current = number
    ends = [found.start() for found in starts[1:]] + [len(whole)]
    items = []
    for found, end in zip(starts, ends, strict=True):
        instruction, given = _parts(whole[found.end() : end], reading.label.finditer(folded[found.end() : end]))
        cut = finish == "length" and end == len(whole)
        items.append(Item(whole[found.start() : end], instruction, "" if reading.no_input.match(given) else given, cut))
    return items


def _parts(body: str, labelled: Iterable[re.Match[str]]) -> tuple[str, str]:
    """Return the instruction and the first input of an item."""
    found = list(labelled)
    places = [*(each.start() for each in found), len(body)]
    inputs = [body[f.end() : until].strip() for f, until in zip(found, places[1:], strict=True) if f["in"] or f["boxed"]]
    return body[: places[0]].strip(), inputs[0] if inputs else ""


def _folded(text: str) -> str:
    """Write digits, colons, points and letters of other forms as ASCII, one for one."""

    def ascii_digit(sign: re.Match[str]) -> str:
        value = unicodedata.decimal(sign[0], None)
        return sign[0] if value is None else str(value)

    return OTHER.sub(ascii_digit, text.translate(FOLDED))


@cache
def _reading(tags: tuple[str, ...], words: Words) -> Reading:
    own = [languages.load(tag) for tag in tags]
    instruction = _any_of(
        [*(w for each in own for w in (*each.instruction_labels, *each.item_labels)), _said(words.instruction)]
    )
    inputs = _any_of([*(w for each in own for w in each.input_labels), _said(words.input)])
    outputs = _any_of([w for each in own for w in (*each.output_labels, *each.answer_labels)])
    none = _any_of([*(w for each in own for w in each.list_no_input or each.no_input), re.escape(words.no_input.strip("<>"))])
    mark = "[" + re.escape("".join(dict.fromkeys("".join(each.list_marks for each in own)))) + "]"
    ordinals = dict.fromkeys(each for language in own for each in language.list_ordinals)
    numbers = [rf"(?P<number>\d{{1,9}})[ \t]*{mark}"]
    for i, ordinal in enumerate(ordinals):
        numbers.append(ordinal.replace("#", rf"(?P<number{i}>\d{{1,9}})") + r"[ \t]*[:.、]?[ \t]*\n?")
    label = rf"(?P<label>{instruction}[ \t]*:|【{instruction}】[ \t]*:?)"
    other = rf"(?:(?P<in>{inputs})|{outputs})[ \t]*:|【(?:(?P<boxed>{inputs})|{outputs})】[ \t]*:?"
    after = re.sub(r"\?P<\w+>", "?:", other)
    item = rf"^[ \t]*(?:{'|'.join(numbers)})(?:[ \t]*{label}|(?![ \t]*(?:{after})))[ \t]*"
    line = rf"^[ \t]*(?:\d+[ \t]*{mark})?[ \t]*(?:{other})"
    flags = re.IGNORECASE | re.MULTILINE
    return Reading(re.compile(item, flags), re.compile(line, flags), re.compile(rf"^\W*{none}?\W*$", re.IGNORECASE))


def _said(label: str) -> str:
    return re.escape(label.rstrip(" :："))


def _any_of(expressions: Iterable[str]) -> str:
    return "(?:" + "|".join(dict.fromkeys(expressions)) + ")"


def list_request(writing: Writing[ListOptions], id_: str, shown: list[Task], seed: int) -> Request:
    """Ask for the continuation of one list; it stands in no frame, as a list is text to continue and not a question."""
    shared, options, next_number = writing.shared, writing.options, writing.options.tasks_per_prompt + 1
    stops = dict.fromkeys(
        mark for tag in languages.files_of(writing.prompts.language) for mark in languages.load(tag).list_stops
    )
    return Request(
        id_,
        writing.frame.literal(list_prompt(shown, options, writing.prompts)),
        shared.instruction_tokens,
        shared.instruction_temperature,
        shared.instruction_top_p,
        seed,
        stop=tuple(options.instruction_stops) or tuple(f"\n{next_number}{mark}" for mark in stops),
    )
