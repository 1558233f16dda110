"""A chat frame as a template that a tokenizer carries: others' programs then ask a model as it was trained.

    write(get_frame("chatml", "Be brief.", tokenizer), tokenizer)    # Jinja, as in chat_template.jinja

It is the frame's own template; without a system message it has the system prompt of the training, and where it asks for
today's date, the day that it was told in training.
Covers writing the template. Does not cover frames (`prompting.chat`).
"""

import json
import re
from datetime import date
from typing import Any

from isheep_lib.prompting.chat import Frame
from isheep_lib.prompting.special_tokens import encode_rest, opening_tokens

ASKS_DAY = re.compile(r"""strftime_now\(\s*(['"])(.*?)\1""")


def write(frame: Frame, tokenizer: Any) -> str:
    """Write the template of a frame, as a model was trained with it.

    Args:
        frame: of the training.
        tokenizer: of the model; what it puts before every text by itself, the template has to write.
    """
    opening = "".join(tokenizer.convert_ids_to_tokens(_opening(tokenizer, frame.opener())))
    lines = [f"{{{{- {_literal(opening)} }}}}" if opening else ""]
    lines[0] += f"{{#- The chat frame {frame.name}, as this model was trained. #}}"
    if frame.system is not None:
        content = [{"type": "text", "text": frame.system}] if frame.parts else frame.system
        trained = _literal([{"role": "system", "content": content}])
        lines += [f"{{%- if messages[0]['role'] != 'system' %}}{{% set messages = {trained} + messages %}}{{% endif %}}"]
    lines += _told_day(frame)
    return "\n".join([*lines, frame.template])  # the line break after a block or comment is trimmed, the frame's own stay


def end_token(frame: Frame, tokenizer: Any) -> int | None:
    """Return the token that ends an answer, None where the frame's end is no single token."""
    ids = encode_rest(tokenizer, frame.end)
    return ids[0] if len(ids) == 1 and tokenizer.decode(ids) == frame.end else None


def _opening(tokenizer: Any, text: str) -> list[int]:
    """Return what the tokenizer puts before a frame by itself; programs that use a template tell it not to."""
    opening = opening_tokens(tokenizer)
    return [] if encode_rest(tokenizer, text)[:1] == opening[:1] else opening


def _told_day(frame: Frame) -> list[str]:
    """Return what gives the day of the training to a template, in every form in which it asks for today's date."""
    forms = [found[2] for found in ASKS_DAY.finditer(frame.template)]
    if not forms:
        return []
    told = _literal({form: date.fromisoformat(frame.day).strftime(form) for form in forms})
    return [f"{{%- macro strftime_now(form) %}}{{{{ {told}[form] }}}}{{% endmacro %}}"]


def _literal(value: Any) -> str:
    """Write a value as Jinja does, which unlike JSON knows no pairs of escapes for one letter."""
    return json.dumps(value, ensure_ascii=False)
