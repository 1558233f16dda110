"""Tasks with three fields, as Unnatural Instructions has them: an instruction, its input, and constraints on the answer.

    Example 4
    Instruction: …
    Input: …
    Constraints: None.

Covers seeds of this form and reading it. Does not cover asking for it (`unnatural_instructions`).
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from isheep_lib.errors import DataError
from isheep_lib.languages import rules
from isheep_lib.prompting.prompt_files import Prompts
from isheep_lib.record.sources import read_rows
from isheep_lib.synthesize.extras.asking import read_on
from isheep_lib.synthesize.extras.needs import seeds_of
from isheep_lib.synthesize.seeds import PARAMETER
from isheep_lib.synthesize.shared_params import Shared

NAMES = ("instruction", "input", "constraints")
SHOWN, GAP = "unnatural_instructions-shown.txt", "GAP7f3a"
FIELDS = {"instruction": "instruction", "input": "input", "指令": "instruction", "输入": "input"}  # any other is constraints
LABEL = re.compile(
    r"^[ \t]*(Instruction|Input|Constraints?|指令|输入|约束(?:条件)?|限制)[ \t]*[:：]", re.IGNORECASE | re.MULTILINE
)
FREE = re.compile(r"\W*(?:none|no constraints?|n/?a|无|没有(?:约束|限制)?)?\W*", re.IGNORECASE)


class Fields(NamedTuple):
    """The three fields; "" for an absent one, and for constraints that say there are none."""

    instruction: str
    input: str
    constraints: str


class Shown(NamedTuple):
    """A seed as a demonstration: its id and its fields."""

    id: str
    fields: Fields


def load_shown(shared: Shared) -> list[Shown]:
    """Read the seeds that have an input, with their constraints, from a field of that name which seeds need not have.

    Raises:
        DataError: seeds are refused (`seeds.load_seeds`), or constraints are no text.
    """
    seeds, rows = seeds_of(shared), read_rows(shared.seeds, PARAMETER).rows
    given = [row.content.get("constraints") or "" for row in rows]
    if wrong := [row.place for row, value in zip(rows, given, strict=True) if not isinstance(value, str)]:
        where = f"{PARAMETER}: {shared.seeds}"
        raise DataError(
            f"constraints are no text in: {', '.join(wrong[:20])}", where=where, allowed="text", do="mend these rows"
        )
    pairs = zip(seeds, given, strict=True)
    return [Shown(seed.id, Fields(seed.instruction, seed.input, stated(text))) for seed, text in pairs if seed.input]


def stated(text: str) -> str:
    """Return constraints without white space around them, "" where they say that there are none."""
    return "" if FREE.fullmatch(text) else text.strip()


def write_fields(shown: Sequence[Fields], prompts: Prompts) -> str:
    """Write tasks down one after the other, numbered from 1."""
    none = prompts.words.no_input.strip("<>")
    texts = [
        prompts.render(SHOWN, number=str(n), **f._replace(constraints=f.constraints or none)._asdict())
        for n, f in enumerate(shown, start=1)
    ]
    return "\n\n".join(texts)


def begin_fields(shown: Sequence[Fields], prompts: Prompts) -> str:
    """Write tasks down, and begin the next one up to the label of its instruction."""
    next_one = prompts.render(SHOWN, number=str(len(shown) + 1), **Fields(GAP, "", "")._asdict())
    return f"{write_fields(shown, prompts)}\n\n{next_one.partition(GAP)[0].rstrip()}"


def read_fields(text: str, begun: str = "") -> tuple[Fields, list[str]]:
    """Read the first three fields, and name those that are absent; an input that says there is none is absent, too.

    Args:
        begun: the label with which the text was begun, if it was; a model may write one again.
    """
    parts = LABEL.split(read_on(text, begun, LABEL))
    found: dict[str, str] = {}
    for label, body in zip(parts[1::2], parts[2::2], strict=True):
        found.setdefault(FIELDS.get(label.lower(), "constraints"), body.strip())
    if rules.of(rules.ANY).finds("no_input", found.get("input", "")):
        found.pop("input", None)
    lacking = [name for name in NAMES if not found.get(name)]
    fields = Fields(found.get("instruction", ""), found.get("input", ""), stated(found.get("constraints", "")))
    return fields, lacking
