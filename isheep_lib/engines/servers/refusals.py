"""Which parameter of sampling a server refuses, read from what it says.

Servers refuse a parameter in their own words: `{"param": "seed"}`, `"loc": ["body", "top_p"]`, "temperature may only be 1".
Covers which parameters a refusal may be about. Does not cover what is done then (`engines.chat_engine`).
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openai import APIStatusError

OLD_LIMIT, NEW_LIMIT = "max_tokens", "max_completion_tokens"  # models that think before they answer want the new name
# The least needed first: of two that may not stand together the other one stays.
SAMPLING = {"top_p": r"top[_ -]?p", "seed": r"(?:random[_ ]?)?seed", "temperature": r"temperature"}
NAMES = {**SAMPLING, OLD_LIMIT: r"max[_ ]?tokens"}
WORDS = {name: re.compile(rf"(?<![a-z]){words}(?![a-z])", re.IGNORECASE) for name, words in NAMES.items()}
AMOUNT = re.compile(r"too (?:large|big|high|long|many)|exceed|at most|less than|greater than|maximum|context", re.IGNORECASE)


def fewer(error: "APIStatusError", left_out: frozenset[str], *, blind: bool) -> Iterator[frozenset[str]]:
    """Yield what to leave out next, given what is left out already; the old name of the limit stands for taking the new one.

    Args:
        blind: also try where the server names no parameter at all: each of sampling alone, then all of them.
    """
    said = error.response.text
    about = str(getattr(error, "param", "") or "").split(".")[-1]
    named = [about] if about in NAMES else [name for name, words in WORDS.items() if words.search(said)]
    for name in named:
        # A limit that is refused for its size would be refused, or ignored, under its new name as well.
        if name not in left_out and (name != OLD_LIMIT or NEW_LIMIT in said or not AMOUNT.search(said)):
            yield left_out | {name}
    if blind and not named:
        yield from (left_out | {name} for name in SAMPLING)
        yield left_out | set(SAMPLING)
