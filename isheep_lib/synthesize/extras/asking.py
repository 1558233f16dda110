"""Asking the model: words in its frame, questions that it answers by yes or no, and lists read from what it says.

In the frame `plain`, of a base model, a prompt is the text that the model continues; in a chat frame it is a turn of the
user's. So one prompt serves both. Covers what methods share. Does not cover what they ask.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from isheep_lib.engines.generate import choose_all
from isheep_lib.engines.protocol import SPARE, Completion, Request
from isheep_lib.errors import ParameterError
from isheep_lib.prompting.special_tokens import encode_rest
from isheep_lib.record.journal import Journal
from isheep_lib.synthesize.rules import Item, unquoted
from isheep_lib.synthesize.writing import Writing

EMPTY_LINE = re.compile(r"\n[^\S\n]*\n")
ENTRY = re.compile(
    r"^[ \t]*(?:[-*•][ \t]+(?=\d{1,4}[ \t]*[.):]))?(?:(?:task|topic|instruction|任务|主题|指令)[ \t]*)?"
    r"(?:\d{1,4}[ \t]*[.):](?:[ \t]+|(?=[^\x00-\x7f]))|\d{1,4}[ \t]*[．、）：][ \t]*|[-*•][ \t]+)",
    re.IGNORECASE | re.MULTILINE,
)


def text_request(writing: Writing[Any], id_: str, words: str, *ends: str, seed: int | None = None, begun: str = "") -> Request:
    """Ask for a text as long as a task may be, in the model's frame.

    Args:
        words: the prompt.
        ends: texts that end what is said, beside the end of an answer.
        seed: of the sampling, that of the id by default.
        begun: how the answer begins. A small aligned model that is shown examples and asked for more repeats them, but goes
            on with them where they are its own.
    """
    shared = writing.shared
    sampling = (shared.instruction_tokens, shared.instruction_temperature, shared.instruction_top_p)
    seed = writing.seed_of(id_) if seed is None else seed
    prompt = writing.frame.prompt(words) + writing.frame.literal(begun)
    return Request(id_, prompt, *sampling, seed, stop=stops(writing, *ends))


def numbered(texts: Sequence[str]) -> str:
    """Begin a numbered list, up to the number of what is to be written next."""
    lines = [f"{n}. {' '.join(text.split())}" for n, text in enumerate(texts, start=1)]
    return "\n".join([*lines, f"{len(texts) + 1}."])


def answer_request(writing: Writing[Any], id_: str, words: str, *ends: str) -> Request:
    """Ask for a text as long as a response may be, in the model's frame, with the sampling of responses."""
    shared = writing.shared
    sampling = (shared.response_tokens, shared.response_temperature, shared.response_top_p)
    return Request(id_, writing.frame.prompt(words), *sampling, writing.seed_of(id_), stop=stops(writing, *ends))


def stops(writing: Writing[Any], *ends: str) -> tuple[str, ...]:
    """Return what ends an answer: the frame's own end, where it has one, and others."""
    return (*((writing.frame.end,) if writing.frame.end else ()), *ends)


def followed(text: str, more: str) -> str:
    """Put a sentence of the prompts after a text; letters like the Latin ones take a space before them."""
    return f"{text} {more}" if more[:1].isascii() else f"{text}{more}"


def before(writing: Writing[Any], name: str, variable: str) -> str:
    """Return what stands before a variable on its line of a prompt, such as `Task:`; a text that goes on so is at its end."""
    return "\n" + writing.prompts.label_of(name, variable)


def yes_shares(writing: Writing[Any], questions: Mapping[str, str], journal: Journal, label: str) -> dict[str, float]:
    """Ask questions; return the probability of yes among the two answers, by id, without those beyond the model's context.

    Args:
        questions: in words, by id.
        journal: a row for each, so that none is asked again when the stage is resumed.
        label: what is asked, for the bar.
    """
    prompts = {i: writing.frame.prompt(words) for i, words in questions.items()}
    long = writing.overlong(prompts, SPARE)
    fitting = {i: prompt for i, prompt in prompts.items() if i not in long}
    logs = choose_all(writing.engine, fitting, writing.prompts.words.answers, journal, label)
    return {i: 1 / (1 + math.exp(min(700.0, no - yes))) for i, (yes, no) in logs.items()}  # logs are in nats


def read_on(said: str, begun: str, mark: re.Pattern[str]) -> str:
    """Put what an answer was begun with before what a model said, but where it wrote such a mark again; one space between.

    A model may leave the space out, or go on in a new line; what it says is the same.
    """
    rest = said.lstrip()
    return f"{begun} {rest}" if begun and not mark.match(rest) else rest if begun else said


def read_entries(said: Completion, begun: str = "") -> list[Item]:
    """Cut a list into items, whatever numbers or marks it has; text without any is one item, text before the first is none.

    An item ends at an empty line: small models add remarks there. The last one is cut where the limit of tokens ended it.

    Args:
        begun: the number with which the answer was begun, if it was; a model may write one again.
    """
    text = read_on(said.text, begun, ENTRY)
    starts = list(ENTRY.finditer(text))
    if not starts:
        bodies = [(text, text)]
    else:
        ends = [found.start() for found in starts[1:]] + [len(text)]
        bodies = [(text[s.start() : end], text[s.end() : end]) for s, end in zip(starts, ends, strict=True)]
    found = [(raw, *EMPTY_LINE.split(body.strip(), maxsplit=1)) for raw, body in bodies]
    cut = [said.finish == "length" and n == len(found) - 1 and not rest for n, (_, _, *rest) in enumerate(found)]
    return [Item(raw, unquoted(text), "", cut=ended) for (raw, text, *_), ended in zip(found, cut, strict=True)]


def refuse_narrow(writing: Writing[Any], prompts: Mapping[str, str], spare: int) -> None:
    """Refuse a context that has no room for prompts of later steps, before the first one is asked.

    Args:
        prompts: by the name of their file, with nothing filled in.
        spare: tokens of what will be filled in and of what is then written, at most.

    Raises:
        ParameterError: the model's context is too short for one of them.
    """
    if long := writing.overlong(prompts, spare):
        raise ParameterError(
            "The model's context has no room for later steps:\n  " + "\n  ".join(f"{n}: {said}" for n, said in long.items()),
            where="synthesize.instruction_tokens, synthesize.response_tokens",
            allowed=f"prompt and {spare} more tokens together at most {writing.engine.context}",
            do="lower them, or choose a model that reads more",
        )


def count_tokens(writing: Writing[Any], text: str) -> int:
    """Count the tokens of an answer that no model wrote alone, and the one that ends it, as those of a response."""
    return len(encode_rest(writing.engine.tokenizer, text)) + 1
