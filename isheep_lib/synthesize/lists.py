"""Lists of tasks: the prompt that begins one, and reading its continuation."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from isheep_lib.engines.protocol import Request
from isheep_lib.params.kinds import Positive, distinct
from isheep_lib.prompting.chat import Frame, render
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.demonstrations import DemonstrationOptions
from isheep_lib.synthesize.rules import Item
from isheep_lib.synthesize.shared_params import Shared

PROMPTS = {"always": "synthesize.txt", "where_given": "synthesize-where_given.txt"}
NO_INPUT = re.compile(r"^\W*(?:<?\s*no\s*input\s*>?|<?none>?|n/?a)?\W*$", re.IGNORECASE)
ITEM = re.compile(
    r"^[ \t]*(\d{1,9})[ \t]*\.(?:[ \t]*(Instruction)[ \t]*:|(?![ \t]*(?:Input|Output)[ \t]*:))[ \t]*",
    re.IGNORECASE | re.MULTILINE,
)
LABEL = re.compile(r"^[ \t]*(?:\d+[ \t]*\.)?[ \t]*(Input|Output)[ \t]*:", re.IGNORECASE | re.MULTILINE)


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


def list_prompt(demonstrations: list[Task], options: ListOptions) -> str:
    """Render the meta-prompt and the numbered demonstrations, ending where the next instruction begins."""
    items = []
    for number, task in enumerate(demonstrations, start=1):
        items.append(f"{number}. Instruction: {task.instruction}")
        if task.input or options.input_lines == "always":
            items.append(f"{number}. Input: {task.input or '<none>'}")
    items.append(f"{len(demonstrations) + 1}. Instruction:")
    return render(PROMPTS[options.input_lines], count=str(options.tasks_per_prompt), tasks="\n".join(items))


def parse_list(text: str, first: int, finish: str) -> list[Item]:
    """Cut a continued list into tasks.

    A task begins at a line "7. Instruction:", or at a bare "7." when 7 is the number expected next.

    Args:
        text: the continuation of a prompt that ends in "6. Instruction:".
        first: that number, 6 here.
        finish: why the text ended; "length" marks the last task as cut.
    """
    whole = f"{first}. Instruction:{text}"
    starts, current = [], first - 1
    for found in ITEM.finditer(whole):
        number, labelled = int(found.group(1)), bool(found.group(2))
        if labelled or number == current + 1:
            starts.append(found)
            current = number
    ends = [found.start() for found in starts[1:]] + [len(whole)]
    items = []
    for found, end in zip(starts, ends, strict=True):
        parts = LABEL.split(whole[found.end() : end])
        bodies: dict[str, str] = {}
        for label, body in zip(parts[1::2], parts[2::2], strict=True):
            bodies.setdefault(label.lower(), body.strip())
        given = bodies.get("input", "")
        cut = finish == "length" and end == len(whole)
        items.append(Item(whole[found.start() : end], parts[0].strip(), "" if NO_INPUT.match(given) else given, cut))
    return items


def list_request(
    id_: str, demonstrations: list[Task], frame: Frame, shared: Shared, options: ListOptions, seed: int
) -> Request:
    """Ask for the continuation of one list; it stands in no frame, as a list is text to continue and not a question."""
    return Request(
        id_,
        frame.literal(list_prompt(demonstrations, options)),
        shared.instruction_tokens,
        shared.instruction_temperature,
        shared.instruction_top_p,
        seed,
        stop=tuple(options.instruction_stops) or (f"\n{options.tasks_per_prompt + 1}.",),
    )
