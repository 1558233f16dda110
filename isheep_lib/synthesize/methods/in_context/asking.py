"""Prompts of in-context methods: words in the model's frame, and lists read from what it says.

In the frame `plain`, of a base model, a prompt is the text that the model continues; in a chat frame it is a turn of the
user's. So one prompt serves both. Covers one request and reading lists. Does not cover which examples are shown.
"""

import re
from collections.abc import Mapping
from typing import Any

from isheep_lib.engines.protocol import Completion, Request
from isheep_lib.errors import ParameterError
from isheep_lib.prompting.special_tokens import encode_rest
from isheep_lib.synthesize.rules import Item, unquoted
from isheep_lib.synthesize.writing import Writing

ENTRY = re.compile(
    r"^[ \t]*(?:(?:task|topic|instruction)[ \t]*)?(?:\d{1,4}[ \t]*[.):]|[-*•])[ \t]+", re.IGNORECASE | re.MULTILINE
)


def asked(writing: Writing[Any], id_: str, words: str, *ends: str, seed: int | None = None) -> Request:
    """Ask for new tasks, in the model's frame.

    Args:
        words: the prompt.
        ends: texts that end what is said, beside the end of an answer.
        seed: of the sampling, that of the id by default.
    """
    shared = writing.shared
    sampling = (shared.instruction_tokens, shared.instruction_temperature, shared.instruction_top_p)
    seed = writing.seed_of(id_) if seed is None else seed
    return Request(id_, writing.frame.prompt(words), *sampling, seed, stop=stops(writing, *ends))


def answered(writing: Writing[Any], id_: str, words: str, *ends: str) -> Request:
    """Ask for something that holds answers, in the model's frame, with the sampling of responses."""
    shared = writing.shared
    sampling = (shared.response_tokens, shared.response_temperature, shared.response_top_p)
    return Request(id_, writing.frame.prompt(words), *sampling, writing.seed_of(id_), stop=stops(writing, *ends))


def stops(writing: Writing[Any], *ends: str) -> tuple[str, ...]:
    """Return what ends an answer: the frame's own end, where it has one, and others."""
    return (*((writing.frame.end,) if writing.frame.end else ()), *ends)


def read_entries(said: Completion) -> list[Item]:
    """Cut a list into items, whatever numbers or marks it has; text without any is one item, text before the first is none.

    The last item of a list that the token limit ended is marked as cut.
    """
    starts = list(ENTRY.finditer(said.text))
    if not starts:
        bodies = [(said.text, said.text)]
    else:
        ends = [found.start() for found in starts[1:]] + [len(said.text)]
        bodies = [(said.text[s.start() : end], said.text[s.end() : end]) for s, end in zip(starts, ends, strict=True)]
    last = len(bodies) - 1
    return [Item(raw, unquoted(body), "", cut=said.finish == "length" and n == last) for n, (raw, body) in enumerate(bodies)]


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
    """Count the tokens of an answer, with the one that ends it, as of a response that the model wrote by itself."""
    return len(encode_rest(writing.engine.tokenizer, text)) + 1
