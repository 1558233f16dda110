"""Reading a judge's verdict or grade from its text."""

import re

from isheep_lib.prompting.score_parsing import parse_score

MODEL_WINS = {"A": 1.0, "B": 0.0, "C": 0.5}  # where the model's answer is shown as A
MARKS = r"[\s*_`\"'()\[\]]{0,9}"  # what may stand around a letter or number; bounded, for models that write a mark forever
NAME = rf"(?:(?:answer|response|assistant|option)\s{{1,9}})?{MARKS}"
CLOSED = r"\](?:\]|\s*$)"
VERDICT = re.compile(rf"\[\[{MARKS}{NAME}(a|b|c|tie){MARKS}{CLOSED}", re.IGNORECASE | re.MULTILINE)
# Without double brackets: after a word that announces it, or alone in the last line. Elsewhere "A" may be an article.
ANNOUNCED = re.compile(
    rf"(?i:\b(?:verdict|winner|better answer|final answer)\b{MARKS}(?:is\b|:|=)?{MARKS}{NAME})([ABC])"
    r"(?=\s*(?:$|[.,;:!)\]*_\"]|because\b|since\b|as\b))",
    re.MULTILINE,
)
ALONE = re.compile(rf"{MARKS}(?i:{NAME})([ABC]){MARKS}\.?{MARKS}")
GRADE = r"(-?\d+(?:\.\d+)?)(?:\s*(?:/|out\s+of)\s*(\d+))?"
GRADED = re.compile(rf"\[\[{MARKS}(?:(?:rating|score)[\s:]{{1,9}})?{GRADE}{MARKS}{CLOSED}", re.IGNORECASE | re.MULTILINE)
RATED = re.compile(  # "a score of 1 to 10" and "7-8" name no grade
    rf"\b(?:rating|score|grade)\b{MARKS}(?:\b(?:is|of)\b|:|=){MARKS}{GRADE}(?![\d.]*\d)(?!\s*(?:to|or|-|–)\s*\d)", re.IGNORECASE
)


def parse_verdict(reply: str) -> tuple[str | None, str]:
    """Read a written verdict: "A", "B", or "C" for a tie.

    Returns:
        The letter and "", or None and the reason: "no_verdict" or "ambiguous".
    """
    reply = reply.replace("\\", "")  # brackets may be escaped
    letters = ["C" if letter.lower() == "tie" else letter for letter in VERDICT.findall(reply)]
    # Small letters count where no capital one does: x[[a]] is also how some code reads an element.
    found = {letter for letter in letters if letter in MODEL_WINS} or {letter.upper() for letter in letters}
    if not found:
        last = ALONE.fullmatch(reply.strip().rsplit("\n", 1)[-1].strip())
        found = {*ANNOUNCED.findall(reply), *([last[1]] if last else [])}
    if len(found) > 1:
        return None, "ambiguous"
    return (found.pop(), "") if found else (None, "no_verdict")


def parse_grade(reply: str) -> tuple[float | None, str]:
    """Read a written grade of 1 to 10: [[7]], then "Rating: 7", then what `reading.parse_score` reads.

    Returns:
        The grade and "", or None and the reason: "no_number", "out_of_range" or "ambiguous".
    """
    reply = reply.replace("\\", "")
    found = {(float(value), scale) for value, scale in GRADED.findall(reply) or RATED.findall(reply)}
    if not found:
        return parse_score(reply)
    if len({value for value, _ in found}) > 1:
        return None, "ambiguous"
    value = next(iter(found))[0]
    return (value, "") if 1 <= value <= 10 and {scale for _, scale in found} <= {"", "10"} else (None, "out_of_range")
