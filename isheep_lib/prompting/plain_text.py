"""A reply without its dress: thinking, full-width forms, Markdown, TeX, quotes and tags.

`plain("<think>hm</think>**评分：８**")` is `"评分:8"`; lines stay lines.
Covers what no reader of scores or verdicts wants to see. Does not cover reading them (`score_parsing`, `verdict_parsing`).
"""

import re
import unicodedata

from isheep_lib.prompting.thinking import answer_part

FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
OTHER_FORMS = {
    **dict.fromkeys(map(ord, "【〔「『"), "["),
    **dict.fromkeys(map(ord, "】〕」』"), "]"),
    **dict.fromkeys(map(ord, "‖∥║"), "||"),
    **dict.fromkeys(map(ord, "｜│¦"), "|"),
    **dict.fromkeys(map(ord, "‐‑‒–—―−"), "-"),
    **dict.fromkeys(map(ord, "〜∼～"), "~"),
    **dict.fromkeys(map(ord, "，、،؛；"), ", "),
    **dict.fromkeys(map(ord, "。｡"), ". "),
    **dict.fromkeys(map(ord, "→⇒⟶"), "->"),
    **dict.fromkeys(map(ord, "≫≻"), ">"),
    **dict.fromkeys(map(ord, "≪≺"), "<"),
    **dict.fromkeys(map(ord, "*`$\"'“”„«»‘’"), ""),
    ord("٫"): ".",
    ord("⁄"): "/",
    ord("_"): " ",
    ord("#"): " ",
}
FORMS = FULL_WIDTH | OTHER_FORMS
STRUCK = re.compile(r"~~[^~\n]+~~")
TEX_WORDS = re.compile(r"\\(?:text|textbf|mathbf|mathrm|mathbb)\s?\{([^{}]*)\}")
BOXED = re.compile(r"\\f?boxed\s?\{([^{}]*)\}")
DRESS = re.compile(r"</?(?:b|i|u|p|em|strong|br|div|span)\s?/?>", re.IGNORECASE)
OPENED, CLOSED = re.compile(r"<([a-z][a-z ]{1,30})>", re.IGNORECASE), re.compile(r"</[a-z][a-z ]{1,30}>", re.IGNORECASE)


def plain(reply: str) -> str:
    """Return what a reply says in plain ASCII digits, brackets and bars; boxes of TeX and tags become labels."""
    text = answer_part(reply).replace("\r\n", "\n").replace("\r", "\n")
    text = "".join(sign for sign in text if unicodedata.category(sign) != "Cf")  # zero-width signs, byte order marks
    text = re.sub(r"[^\S\n]+", " ", STRUCK.sub(" ", text))
    text = BOXED.sub(r" final: \1 ", TEX_WORDS.sub(r"\1", text)).replace("\\", "").translate(FORMS)
    text = re.sub(r"\d", lambda digit: str(unicodedata.decimal(digit[0])), text)
    text = CLOSED.sub(" ", OPENED.sub(r" \1: ", DRESS.sub(" ", text)))
    return re.sub(r" ?\n ?", "\n", re.sub(r" +", " ", text)).strip()
