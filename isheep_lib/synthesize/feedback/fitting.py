"""What fits the model's context: questions that do, and of several forms of a prompt the first that does.

Covers leaving out. Does not cover refusing seeds (`Writing.refuse_seeds`).
"""

from collections.abc import Iterable, Mapping
from typing import Any

from isheep_lib.engines.protocol import SPARE, Request
from isheep_lib.synthesize.writing import Writing


def fitting(writing: Writing[Any], prompts: Mapping[str, str]) -> dict[str, str]:
    """Frame those questions that leave room for the label of an answer."""
    framed = {name: writing.frame.prompt(words) for name, words in prompts.items()}
    long = writing.overlong(framed, SPARE)
    return {name: prompt for name, prompt in framed.items() if name not in long}


def first_fitting(writing: Writing[Any], forms: Iterable[Request]) -> Request:
    """Return the first of several forms of a request, the fullest before, that leaves room for what it asks; else the last."""
    request = None
    for request in forms:
        if not writing.overlong({"": request.prompt}, request.max_new_tokens):
            return request
    if request is None:
        raise ValueError("no form of a request was given")
    return request
