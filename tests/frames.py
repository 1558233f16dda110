"""Chat frames made by hand, for tests that look for their own marks in a prompt."""

import json

from isheep_lib.prompting.chat import Frame


def hand_made(name: str, before: str, after: str, end: str) -> Frame:
    """Make a frame that puts `before` and `after` around the user's words and `end` behind an answer."""
    opening, middle, closing = map(json.dumps, (before, after, end))
    turn = f"{opening} + m['content'] + {middle} if m['role'] == 'user' else m['content'] + {closing}"
    return Frame(name, f"{{%- for m in messages -%}}{{{{- {turn} -}}}}{{%- endfor -%}}", end)
