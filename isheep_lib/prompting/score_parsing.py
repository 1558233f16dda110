"""Reading a score of 1 to 10: from what a model wrote, or from the probabilities of the numbers.

`parse_score("8||clear and correct")` is `(8.0, "")`, `parse_score("good")` is `(None, "no_number")`.

A reply becomes codes, one a piece (`score_pieces`), and a score is a number in one of these places. The first group that
finds any decides; where it finds several values, the reply is ambiguous.
1. In double brackets, alone in the last line: `Rating: [[8]]`.
2. As it was asked for, or said to be final: before two bars, in double brackets, `Final score: 8`, or in a box of TeX.
3. Anywhere else that says score: `Score (1-10): 8`, `I give it an 8`, `8/10`; or alone at the opening, in the last line, or in
   brackets at the end.
Covers one reply or one set of probabilities. Does not cover asking (`assess.scoring`, `judge.verdicts`).
"""

import math
import re

from isheep_lib.prompting.score_pieces import Pieces, pieces

LABELS = [str(number) for number in range(1, 11)]
SCORE = "(?P<n>N)u?[TOFG]*u?"
END = r"(?=[-.,()\[\]C|Bb\n]|$)"  # behind anything else, such as a word, a number counts something
LAST_LINE = re.compile(rf"(?:^|\n)(?:[PLTwG()]{{0,6}}[:=]?)D(?:L[:=]?)?{SCORE}C[TOFG]*\.?(?:\(w*\))?$")
BRACKETED = re.compile(rf"D(?:P?L[:=]?)?{SCORE}C[TOFG]*")
BARRED = re.compile(rf"{SCORE}[).\]C]*B")
FINAL = re.compile(rf"Pw{{0,2}}L?w{{0,4}}[TOFG()]*[:=]+[\[(]*{SCORE}{END}")
ALONE = re.compile(rf"(?P<n>N)u?[TO]*u?{END}")
LABELLED = re.compile(rf"L(?:[wb=]{{0,8}}[TG()]*[:=]+w?|[TG()|-]*)[\[(TG]*{SCORE}{END}")
HEADED = re.compile(rf"L[TG()]*[:=]?\n{SCORE}\.?(?=\n|$)")
SCALED = re.compile(rf"(?:^|\n)T[:=,]?{SCORE}{END}")
GIVEN = re.compile(rf"V[wb:]{{0,5}}{SCORE}{END}")
OF_TEN = re.compile(rf"(?P<n>N)u?T+u?{END}")
OPENING = re.compile(rf"^[-(\[|]*{SCORE}(?=[-.,:()\[\]C|Bb\n]|$)")
LAST = re.compile(rf"(?:^|\n)[(\[]*{SCORE}[)\]C.]*$|(?<=[.:,\n-])\[{SCORE.replace('?P<n>', '?P<last>')}[\]C]\.?$")
Found = set[float | None]  # values, None for what is on another scale


def parse_score(reply: str) -> tuple[float | None, str]:
    """Read a written score of 1 to 10.

    Returns:
        The score and "", or None and the reason: "no_number", "out_of_range" or "ambiguous".
    """
    read = pieces(reply)
    found = _values(read, read.codes, LAST_LINE) or _marked(read) or _unmarked(read)
    if len(found) > 1:
        return None, "ambiguous"
    value = next(iter(found), None)
    if value is None or not 1 <= value <= 10:
        return None, "out_of_range" if found else "no_number"
    return value, ""


def _marked(read: Pieces) -> Found:
    found = _values(read, read.codes, BRACKETED) | _values(read, _unexplained(read.codes), FINAL)
    for barred in BARRED.finditer(read.codes):
        before = re.split("[\nB]", read.codes[: barred.start()])[-1]
        start = barred.start() - len(before)
        found.add(_value(read, barred, foreign="G" in before))
        # "Quality 3, style 9||" has two scores and "4 xyz 5||" perhaps a scale; "3 errors, so 6||" has a count and a score.
        found |= {read.values[start + other.start("n")] for other in ALONE.finditer(before)}
        if re.search("[NXF]", re.split("[-.,(|:]", before)[-1]):
            found |= {None, math.inf}
    return found


def _unmarked(read: Pieces) -> Found:
    codes = _unexplained(read.codes)
    found = _values(read, codes, LABELLED, HEADED, SCALED, GIVEN, OF_TEN, OPENING, LAST)
    return {None} if found and "G" in codes else found


def _unexplained(codes: str) -> str:
    """Blank what follows two bars in their line; places stay."""
    return re.sub(r"(?<=B)[^\n]+", lambda rest: "e" * len(rest[0]), codes)


def _values(read: Pieces, codes: str, *patterns: re.Pattern[str]) -> Found:
    """Return what patterns find; where its line names another scale, that is None."""
    found = set()
    for match in (match for pattern in patterns for match in pattern.finditer(codes)):
        line = codes[codes.rfind("\n", 0, match.end() - 1) + 1 :].split("\n", 1)[0]
        found.add(_value(read, match, foreign="G" in line))
    return found


def _value(read: Pieces, match: re.Match[str], *, foreign: bool = False) -> float | None:
    group = next(name for name in ("n", "last") if match.groupdict().get(name))
    return None if foreign or re.search("[FG]", match[0]) else read.values[match.start(group)]


def expectation(logs: list[float]) -> tuple[float, float]:
    """Return the expected score over 1 to 10 given log p of each number, and the probability on these numbers."""
    shares = [math.exp(value) for value in logs]
    mass = sum(shares)
    return sum(number * share for number, share in enumerate(shares, start=1)) / mass, mass
