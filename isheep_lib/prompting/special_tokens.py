"""Words that are special tokens of a model: in a frame they are tokens, in what people or models wrote they stay letters.

    literal("Close it with </s>.", special_words(tokenizer))    # "</s>" is marked, and encoded as the four letters it is

Covers which words these are, marking them, and encoding text without and with marks. Does not cover frames
(`prompting.chat`) or what engines ask (`engines.tokens`).
"""

import re
from collections.abc import Iterable
from typing import Any

from isheep_lib.prompting import thinking

# A code point that Unicode keeps for use inside of programs: it parts a word, and no token of it reaches a model.
MARK = "\ufdd0"
PROBE = "a"  # any text that is not empty


def special_words(tokenizer: Any, template: str = "") -> tuple[str, ...]:
    """Return the words that a tokenizer reads as special tokens, and its other added tokens that a template writes.

    Other added tokens are vocabulary: runs of blanks, tags of HTML, and the marks around what a model thinks, which it writes
    itself.
    """
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    written = [token.content for token in added if token.content in template and not thinking.MARK.fullmatch(token.content)]
    found = dict.fromkeys([*(token.content for token in added if token.special), *written])
    return tuple(word for word in found if len(word.strip()) > 1)


def find_special(words: Iterable[str], *texts: str) -> list[str]:
    """Return the words that stand in some of the texts."""
    return [word for word in words if any(word in text for text in texts)]


def literal(text: str, words: Iterable[str]) -> str:
    """Mark every one of the words in a text, so that `encode` takes its letters for letters."""
    found = sorted(find_special(words, text), key=len, reverse=True)
    if not found:
        return text
    return re.sub("|".join(map(re.escape, found)), lambda match: match[0][0] + MARK + match[0][1:], text)


def opening_tokens(tokenizer: Any) -> list[int]:
    """Return the tokens that a tokenizer puts before every text by itself, without those that it puts behind."""
    whole, bare = tokenizer(PROBE, add_special_tokens=True)["input_ids"], encode_rest(tokenizer, PROBE)
    return whole[: next((i for i in range(len(whole)) if whole[i : i + len(bare)] == bare), 0)]


def encode(tokenizer: Any, text: str) -> list[int]:
    """Turn framed text into tokens after the tokenizer's own opening tokens, unless the text begins with these itself."""
    opening, tokens = opening_tokens(tokenizer), encode_rest(tokenizer, text)
    return tokens if tokens[:1] == opening[:1] else opening + tokens


def encode_rest(tokenizer: Any, text: str) -> list[int]:
    """Turn text that continues a context into tokens."""
    if MARK not in text:
        return tokenizer(text, add_special_tokens=False)["input_ids"]
    if not tokenizer.is_fast:  # it cannot say where a token stands
        return [token for part in text.split(MARK) for token in tokenizer(part, add_special_tokens=False)["input_ids"]]
    found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    places = zip(found["input_ids"], found["offset_mapping"], strict=True)
    return [token for token, (start, end) in places if text[start:end] != MARK]
