"""Instances of an instruction, as Self-Instruct has them: reading them from text, and why one is dropped.

    Input first:   Example 1 / Input: … / Output: …
    Output first:  Label: … / Input: …

Covers text alone. Does not cover asking for it (`self_instruct`).
"""

import itertools
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from isheep_lib.engines.protocol import Completion
from isheep_lib.languages import rules

EXAMPLE = re.compile(r"^[ \t]*(?:Example|示例|例子|例)(?:[ \t]*\d+)?[ \t]*[.:：]?[ \t]*$", re.IGNORECASE | re.MULTILINE)
OUTPUT = re.compile(r"^[ \t]*(?:Output|Answer|输出|答案|回答)(?:[ \t]*\d+)?[ \t]*[:：]", re.IGNORECASE | re.MULTILINE)
INPUT = re.compile(r"^[ \t]*(?:Input|输入)(?:[ \t]*\d+)?[ \t]*[:：]", re.IGNORECASE | re.MULTILINE)
LABEL = re.compile(
    r"^[ \t]*(?:(?:Class[ \t]+)?Label|类别标签|标签|类别)(?:[ \t]*\d+)?[ \t]*[:：]", re.IGNORECASE | re.MULTILINE
)

COLONS = (":", "：")


@dataclass(frozen=True)
class Instance:
    """An input, "" for none, and an output, as they were read; `cut` if the token limit ended it."""

    raw: str
    input: str
    output: str
    cut: bool = False


def read_input_first(said: Completion) -> list[Instance]:
    """Read instances whose output stands last; a text without labels is one output."""
    blocks = [block for block in EXAMPLE.split(said.text) if block.strip()]
    parts = [part for block in blocks for part in _outputs(block)]
    return _marked(said, parts)


def read_output_first(said: Completion) -> list[Instance]:
    """Read instances whose label stands first; a text without any label holds none."""
    parts = []
    for block in LABEL.split(said.text)[1:]:
        label, _, rest = block.strip().partition("\n") if not INPUT.search(block) else _halves(INPUT, block)
        parts.append((block.strip(), _input(rest), label.strip()))
    return _marked(said, parts)


def problems(instances: Sequence[Instance]) -> list[tuple[str, str]]:
    """Return for each instance of one instruction why it is dropped, and the detail; ("", "") where it is not.

    The released filters: an output that is empty or repeats the input, an input or output that ends in a colon, an instance
    that occurs twice; and all instances where one input has two outputs.
    """
    outputs: dict[str, set[str]] = defaultdict(set)
    whole = [each for each in instances if not _own_problem(each)]
    for each in whole:
        outputs[each.input].add(each.output)
    split = next((text for text, found in outputs.items() if len(found) > 1), None)
    seen: set[tuple[str, str]] = set()
    found = []
    for each in instances:
        reason = _own_problem(each) or ("one_input_two_outputs" if split is not None else "")
        reason = reason or ("same_instance" if (each.input, each.output) in seen else "")
        seen |= {(each.input, each.output)} if not reason else set()
        found.append((reason, (split or "no input") if reason == "one_input_two_outputs" else ""))
    return found


def _own_problem(instance: Instance) -> str:
    if instance.cut:
        return "cut_off"
    if not instance.output:
        return "no_output"
    if instance.input == instance.output:
        return "output_is_input"
    return "ends_in_colon" if instance.input.endswith(COLONS) or instance.output.endswith(COLONS) else ""


def _outputs(block: str) -> list[tuple[str, str, str]]:
    """Cut a block into its raw text, input and output; where it has several inputs, each begins another one."""
    places = [found.start() for found in INPUT.finditer(block)]
    cuts = [0, *places[1:], len(block)] if places else [0, len(block)]
    texts = [block[start:end] for start, end in itertools.pairwise(cuts)]
    return [(text.strip(), *_one(text)) for text in texts]


def _one(text: str) -> tuple[str, str]:
    if not OUTPUT.search(text):
        return ("", text.strip()) if not INPUT.search(text) else (_input(text), "")
    before, _, after = _halves(OUTPUT, text)
    return _input(before), OUTPUT.split(after, maxsplit=1)[0].strip()


def _halves(label: re.Pattern[str], text: str) -> tuple[str, str, str]:
    found = label.search(text)
    assert found  # noqa: S101 - for the type checker: the caller has looked
    return text[: found.start()], found.group(), text[found.end() :]


def _input(text: str) -> str:
    text = INPUT.sub("", text, count=1).strip()
    return "" if rules.of(rules.ANY).finds("no_input", text) else text


def _marked(said: Completion, parts: list[tuple[str, str, str]]) -> list[Instance]:
    last = len(parts) - 1
    return [Instance(*part, cut=said.finish == "length" and number == last) for number, part in enumerate(parts)]
