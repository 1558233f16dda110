"""What a model thought aloud before it answered.

`answer_part("<think>3 or 4?</think>8||good")` is `"8||good"`.
Covers the marks `<think>`, `<thinking>` and `[THINK]`. Does not cover reading the answer (`score_parsing`, `verdict_parsing`).
"""

import re

# A mark in quotes, as in "`</think>` ends it" or split("</think>"), is spoken of; it opens and closes nothing.
MARK = re.compile(r"""(["'`])</?think(?:ing)?>\1|(?P<mark></?think(?:ing)?>|\[/?think\])""", re.IGNORECASE)


def answer_part(text: str, prompt: str = "") -> str:
    """Return what follows the last end of thinking; all where nobody thought, "" where thinking has no end.

    Args:
        text: what a model wrote.
        prompt: what it continued, which may have opened the thinking itself.
    """
    said = [mark for mark in MARK.finditer(text) if mark["mark"]]
    if said:
        return "" if "/" not in said[-1]["mark"] else text[said[-1].end() :]
    return "" if re.search(r"(?:<think(?:ing)?>|\[think\])\s*$", prompt, re.IGNORECASE) else text
