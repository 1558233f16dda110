"""The key of servers: it comes from the environment alone, and is struck from whatever is shown or written.

`struck("who is sk-4f...?")` is `"who is [key]?"`: a server may repeat the key in a model's name, a version, an error, a reply.
Covers the key and every part of it of 12 characters and more, as they stand, in hexadecimal and base64, and as JSON, HTML,
URLs and Python's `repr` write them. Does not cover keys of fewer than 8 characters, such as "EMPTY": no secrets, but words.
"""

import base64
import functools
import html
import json
import os
import re
from typing import Any
from urllib.parse import quote

KEY = "ISHEEP_SERVER_KEY"
MARK = "[key]"
SHORTEST, PART = 8, 12  # characters


def server_key() -> str:
    """Return the key, "" where none is set."""
    return os.environ.get(KEY, "").strip()


def struck(text: str) -> str:
    """Return a text with a mark in place of the key and of its long parts."""
    key = server_key()
    if len(key) < SHORTEST:
        return text
    found = [run.span() for blocks, runs in _traces(key) if any(b in text for b in blocks) for run in runs.finditer(text)]
    shown, end = "", 0
    for start, stop in sorted(found):
        if start > end or not shown:
            shown += text[end:start] + MARK
        end = max(end, stop)
    return shown + text[end:]


def struck_all(value: Any) -> Any:
    """Strike the key from every text in lists and mappings, the names of mappings included; other values stay."""
    if isinstance(value, str):
        return struck(value)
    if isinstance(value, dict):
        return {struck_all(name): struck_all(each) for name, each in value.items()}
    return [struck_all(each) for each in value] if isinstance(value, list) else value


@functools.lru_cache(maxsize=4)
def _traces(key: str) -> list[tuple[list[str], re.Pattern[str]]]:
    """Return for each form of the key what a text with a part of it holds for certain, and the pattern of its parts."""
    return [_trace(form, min(size, len(form))) for form, size in _forms(key).items()]


def _trace(form: str, size: int) -> tuple[list[str], re.Pattern[str]]:
    half = size // 2  # one of the blocks of this length lies whole in every part
    blocks = [form[start : start + half] for start in range(0, len(form) - half + 1, half)]
    parts = {form[start : start + size] for start in range(len(form) - size + 1)}
    return blocks, re.compile(rf"(?:(?={'|'.join(map(re.escape, sorted(parts)))}).)+.{{{size - 1}}}", re.DOTALL)


def _forms(key: str) -> dict[str, int]:
    """Return how the key may be written, each with the length of a part that gives it away."""
    data = key.encode()
    forms = dict.fromkeys((key, key.lower(), key.upper(), html.escape(key), repr(key)[1:-1]), PART)
    escaped = key
    for _ in range(2):  # a text in JSON, and such a text in a notebook
        escaped = json.dumps(escaped)[1:-1]
        forms[escaped] = PART
    forms[quote(key, safe="")] = PART
    forms |= dict.fromkeys((data.hex(), data.hex().upper()), 2 * PART)
    for before in range(3):  # base64 depends on what stands before by its length modulo 3
        # Only letters that all their bits have from the key.
        letters = base64.b64encode(b"\0" * before + data)[(0, 2, 3)[before] : (before + len(data)) * 8 // 6].decode()
        forms |= dict.fromkeys((letters, letters.replace("+", "-").replace("/", "_")), PART * 4 // 3)
    return forms
