"""Tasks designed for a table: which columns are given and which one is the answer, as DYNOSAUR has them.

    Instruction: Say what kind of message this is.
    Input fields: message
    Output field: tone

Covers reading designs, what makes one unfit for its table, and the pairs that its rows make. Does not cover asking for them
(`dynosaur`) or reading tables (`synthesize.grounds.tables`).
"""

import itertools
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from isheep_lib.engines.protocol import Completion
from isheep_lib.prompting.prompt_files import Prompts
from isheep_lib.synthesize.grounds.tables import DataSet

IDS = re.compile(r"(?:.*_)?(?:id|idx|index|uid|uuid)", re.IGNORECASE)  # columns that say nothing
LABEL = re.compile(
    r"^\W*(?:\d+[.)、．]\W*)?"
    r"(Instruction|Inputs?(?: fields?)?|Outputs?(?: fields?)?|指令|输入(?:字段|列)?|输出(?:字段|列)?)[ \t]*[:：][*_]*",
    re.IGNORECASE | re.MULTILINE,
)
KINDS = {"指令": "instruction", "输入": "input", "输出": "output"}
BETWEEN = re.compile(r"\s*(?:[,;&+，；、和]|\band\b)\s*", re.IGNORECASE)
FIELD_LETTERS, INPUT_LETTERS = 1000, 2000  # of a field that is shown, and of all that is given (released code)
COUNTED, FEW, SHORT = 100, 10, 15  # rows whose labels are counted, labels that are a choice, letters of one that is listed
MOST = {2: 70, 3: 50}  # rows of a hundred that may have the most frequent label, of two labels and of more


@dataclass(frozen=True)
class Design:
    """One task as it was read; `cut` if the token limit ended it."""

    raw: str
    instruction: str
    inputs: tuple[str, ...]
    output: str
    cut: bool = False


def usable(table: DataSet) -> list[str]:
    """Name the columns of a table that say something."""
    return [name for name in table.columns if not IDS.fullmatch(name)]


def shown_row(row: Mapping[str, Any], names: list[str], prompts: Prompts) -> str:
    """Write the values of some columns down, each cut where it is long."""
    return _written({name: text_of(row[name], prompts)[:FIELD_LETTERS] for name in names}, prompts)


def _written(values: Mapping[str, str], prompts: Prompts) -> str:
    return " ".join(prompts.render("dynosaur-value.txt", column=name, value=value) for name, value in values.items())


def text_of(value: object, prompts: Prompts) -> str:
    """Write a value as text: yes or no, a whole number without a point, text as it is."""
    if isinstance(value, bool):
        return (prompts.words.yes if value else prompts.words.no).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def read_designs(said: Completion) -> list[Design]:
    """Cut what the model wrote into designs, each beginning with its instruction; text before the first is none."""
    found = list(LABEL.finditer(said.text))
    starts = [each.start() for each in found if _kind(each) == "instruction"] + [len(said.text)]
    designs = []
    for start, end in itertools.pairwise(starts):
        parts: dict[str, str] = {}
        labels = [each for each in found if start <= each.start() < end]
        for label, after in zip(labels, [*(each.start() for each in labels[1:]), end], strict=True):
            parts.setdefault(_kind(label), said.text[label.end() : after].strip())
        inputs = tuple(name for name in map(_name, BETWEEN.split(parts.get("input", ""))) if name)
        output = _name(parts.get("output", "").partition("\n")[0])
        cut = said.finish == "length" and end == len(said.text)
        designs.append(Design(said.text[start:end].strip(), parts["instruction"], inputs, output, cut))
    return designs


def design_problem(design: Design, table: DataSet, prompts: Prompts) -> tuple[str, str]:
    """Return why a design does not fit its table, and the detail; ("", "") if it does."""
    known = usable(table)
    if not (design.instruction and design.inputs and design.output):
        return "incomplete_design", ""
    if unknown := [name for name in (*design.inputs, design.output) if name not in known]:
        return "unknown_field", ", ".join(unknown)
    if design.output in design.inputs:
        return "output_is_given", design.output
    return _skew(_labels(table, design.output, prompts))


def instruction_of(design: Design, table: DataSet, prompts: Prompts) -> str:
    """Return the instruction, with the labels that an answer may be where they are few and short."""
    labels = _labels(table, design.output, prompts)
    if len(labels) > FEW or any(len(label) > SHORT for label in labels):
        return design.instruction
    return prompts.render("dynosaur-labels.txt", instruction=design.instruction, labels=", ".join(sorted(labels)))


def filled(design: Design, row: Mapping[str, Any], prompts: Prompts) -> tuple[str, str]:
    """Return what a row gives and the right answer to it; values that are empty are left out of what is given."""
    given = {name: text for name in design.inputs if (text := text_of(row[name], prompts))}
    return _written(given, prompts), text_of(row[design.output], prompts)


def pair_problem(given: str, answer: str) -> tuple[str, str]:
    """Return why a row makes no pair, and the detail; ("", "") if it makes one."""
    if not given or not answer:
        return "empty_value", "the answer" if given else "everything that is given"
    return ("row_too_long", f"{len(given)} letters") if len(given) > INPUT_LETTERS else ("", "")


def _labels(table: DataSet, name: str, prompts: Prompts) -> Counter[str]:
    """Count the values of a column in the first rows."""
    return Counter(text for row in table.rows[:COUNTED] if (text := text_of(row[name], prompts)))


def _skew(labels: Counter[str]) -> tuple[str, str]:
    """Tell whether a choice between few labels is no choice: one of them too frequent, or the only one."""
    if len(labels) > FEW:
        return "", ""
    ((label, number),) = labels.most_common(1) or [("nothing", 0)]
    if len(labels) < 2:
        return "skewed_labels", f"always {label}"
    share = 100 * number / labels.total()
    return ("skewed_labels", f"{share:.0f}% {label}") if share > MOST[min(3, len(labels))] else ("", "")


def _kind(label: re.Match[str]) -> str:
    """Return which line a label begins: instruction, input or output."""
    return KINDS.get(label.group(1)[:2], label.group(1).lower().split()[0].removesuffix("s"))


def _name(text: str) -> str:
    """Return a column's name without quotes, brackets and marks around it."""
    return text.strip().strip("`'\"[](){}*.").strip()
