"""What the pieces of a reply are to a reader of scores: numbers, scales, words for scores, brackets, bars.

`pieces("Rating: 8/10, clear")` has the codes `L:NT,w` and the number 8 at place 2.
A number that is a range, a bound, a date, an ordinal and the like has the code X and no value, so that nobody takes it for
a score. Words are those that judges write in the languages of large models; a word that is unknown makes a score unread,
never another one.
Covers the codes. Does not cover which number is the score (`score_parsing`).
"""

import re
from dataclasses import dataclass

from isheep_lib.prompting.plain_text import plain

CJK = r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]"
FRACTIONS = "½¼¾⅓⅔²³°€£"
COUNTED = "‰‱★☆⭐🌟✩✪✫✬✭✮✯✰¢£¤¥€₠-⃀﷼￠￡￥￦℃℉㌀-㏿"  # signs of what a number counts: stars, money, degrees, kilograms
NUMBER = rf"[+-]?\d+(?:\.\d+|,\d{{1,2}}(?!\d))?(?![\d{FRACTIONS}])"
LABEL = (
    r"\b(?:scores?|ratings?|grades?|marks?|quality|judge?ment|evaluation|assessment|verdict|bewertung|wertung"
    r"|punktzahl|puntuación|calificación|valoración|punteggio|voto|valutazione|pontuação|avaliação|оценка|балл|ocena|puan"
    r"|betyg|beoordeling|điểm|skor|nilai|التقييم|الدرجة|النتيجة|امتیاز|نمره"
    r"|(?:overall|total|result|points|rated|scored|graded)(?= ?:)|évaluation"
    r"|note(?= ?: ?\d+(?:[.,]\d+)? ?sur ))\b"  # of French; in English a note is none
    r"|评分|得分|打分|分数|总分|评价|评级|质量|質量|評点|評分|分數|總分|評價|評級|評価|スコア|点数|得点|採点|점수|평점|평가|अंक|रेटिंग|स्कोर|คะแนน"
)
FINAL = r"\bfinal(?:ly|e)?\b|最终|最終|최종|\bитогов\w+"
VERB = r"\b(?:rate|give|award|assign|say|deserves?|merits?|earns?)\b|给|給|打"
LINK = r"->|=>|=|\b(?:is|was|of|would be|will be|should be|ist|est|es)\b|是|为|為|は"
UNIT = r"(?:(?:points?|pts?|punkten?|баллов|балла?|puntos?|punti|pontos?)\b|[分点점])"
# What may follow a score; any other word makes it a count, as in "3 errors" and "10 words".
AFTER = (
    r"\b(?:because|since|as|for|but|overall|given|due|though|although|however|while|considering|the|this|it|i|explanation"
    r"|reason(?:ing)?|justification|rationale|comment|feedback|weil|denn|car|porque|потому)\b|因为|解释|理由|原因|说明"
)
# Numbers in Han words count where nothing but a score stands: 八分 alone, 评分：八, 满分十分; but 十分好 is "very good".
HAN = dict(zip("零一二三四五六七八九〇两兩壹贰貳叁參肆伍陆陸柒捌玖", "0123456789022122334566789", strict=True))
HAN_NUMBER = r"[零〇一二两兩三四五六七八九十百壹贰貳叁參肆伍陆陸柒捌玖拾]{1,6}"
IN_WORDS = rf"(?P<%s>{HAN_NUMBER}(?:[点點]{HAN_NUMBER})?)"
HAN_END = rf"(?!{CJK})"
SPOKEN = re.compile(
    "|".join(
        (
            rf"(?P<label>(?:{LABEL}) ?(?:[:=]|->|是|为|為|は)? ?\[* ?){IN_WORDS % 'a'}(?= ?[分点]?{HAN_END})",
            rf"(?P<start>^|[\s\[({{|:,.]|给|給|打){IN_WORDS % 'b'}(?= ?[分点]{HAN_END})",
            rf"(?P<mark>^ ?|\[ ?\[ ?){IN_WORDS % 'c'}(?= ?(?:\| ?\||\] ?\]))",
            rf"(?P<top>(?:满分|滿分)(?:为|為|是)? ?[:=]? ?){IN_WORDS % 'd'}(?= ?分)",
            rf"(?P<scale>){IN_WORDS % 'e'}(?= ?(?:分制|分满分|分滿分|点満点))",
        )
    ),
    re.MULTILINE,
)
# Scales. The last number of each is its top.
NOTE = r"(?: ?\([^()\d\n]{0,40}\))?"  # as in 1 (useless) to 10 (excellent)
LOW = rf"(?<![\d.,])[01]{NOTE} ?"
TO = r"-|~|(?:- ?)?\bto\b(?: ?-)?|\bbis\b|\bà\b|\ba\b|до|到|至|から|에서"
SPAN = rf"{LOW}(?:{TO}|\band\b|\bund\b) ?\d+{NOTE}"
WORD = r"(?:scale|skala|échelle|escala|scala|schaal|шкал\w*)"
SCALE = "|".join(
    (
        rf"(?:\b(?:on|using|with|in|from|auf|sur|en|su|по) )?(?:\b(?:an?|the|this|einer|une|una) )?\b{WORD}"
        rf" ?[:=]? ?(?:\b(?:is|of|from|between|ranging from|to|von|de|da|от)\b)? ?(?:{SPAN}|\d+)",
        rf"(?:\b(?:on|using|with) )?(?:\b(?:an?|the|this) )?{SPAN}[ -](?:points? )?{WORD}",
        rf"(?:\b(?:on|using|with) )?(?:\b(?:an?|the|this) )?\d+[ -]?(?:point|star|punkte)s?[ -](?:likert )?{WORD}",
        rf"[(\[] ?{SPAN} ?[)\]]",
        rf"\b(?:from|between|von|de) {SPAN}",
        rf"{LOW}(?:{TO}) ?10(?![\d%]|[-/.,:]\d){NOTE}",
        r"\(? ?(?:\bmax(?:imum|imal)?\b\.?(?: (?:possible|score|rating|points?|is|of))*|满分(?:为|是)?|滿分)"
        r" ?[:=]? ?\d+ ?分? ?\)?",
        r"\(?\d+ ?(?:分制|分满分|分滿分|点満点|점 ?만점|[分点]中)(?:中|에|의|で)?\)?",
        r"\b10 ?(?:=|is|being|means|meaning) ?(?:the )?(?:very )?(?:best|highest|perfect|excellent|worst|lowest)\b",
    )
)
TOP = r"\d+(?:[.,]0+)?(?!\d|-[a-z]| (?:point|star)s? scale)"
MOST = rf"(?:the |an? )?(?:(?:possible|maximum|max\.?|total) (?:of )?)?(?:{TOP}|\[\[ ?{TOP} ?\]\])"
OUT_OF = rf"\(? ?\bout[ -]of[ -]{MOST} ?\)?"
# These are scales behind a number only; in "a score of 10" the word says something else.
SHARE = re.compile(rf" ?\(? ?/ ?{MOST} ?\)?")
PART = re.compile(rf" ?\(? ?\b(?:of|on|sur|von|de|su|di|из|na|van|av|sobre|من) {MOST} ?\)?")
BEHIND_UNIT = re.compile(rf" ?{UNIT}")
# Numbers that are no scores.
BETWEEN = (
    r"(?: ?(?:-|~|->|=>|±|\+/-|[+x×÷^]|到|至|或|和|から|에서) ?|(?: \(|,? )(?:to|or|and|vs\.?|versus|through|maybe|perhaps"
    r"|possibly|bis|oder|und|ou|et|à|a|o|y|или|и|до) |, |-to-)"
)
BEFORE = (
    r"(?:\b(?:at least|at most|(?:less|more|fewer|better|higher|lower|worse|greater) than|than|over|under|above|below|beyond"
    r"|not|up to|no|nr|number|version|step|line|question|part|page|section|chapter|figure|table|item|point|sentence"
    r"|paragraph|turn|example|assistant|model)\b\.?|第|[№§]|≥|≤|[<>]=?|~|≈|±) ?"
)
NO_SCORE = "|".join(
    (
        rf"{BEFORE}{NUMBER}",
        r"\d+(?:\.\d+){2,}|\d+(?P<same>[/-])\d+(?P=same)\d+|\d+:\d+|\d{1,3}(?:,\d{3})+(?!\d)",  # version, date, time, thousands
        rf"{NUMBER}(?:{BETWEEN}{NUMBER})+",
        rf"{NUMBER} ?[{COUNTED}]",
        rf"{NUMBER} ?(?:%|percent|per cent|prozent|pour ?cent|por ciento|процент)",
        rf"[+-]?\d+(?:[.,]\d+)?(?!{UNIT})(?:[a-zа-я{FRACTIONS}]|-[^\W\d_]|\+)[^\W_]*",  # 7th, 8½, 3-step, 8+
    )
)
KINDS = {  # code to what has it; the first that fits is taken
    "S": rf"\(? ?(?:{SCALE}) ?\)?",  # becomes T, or G where another number than 10 is the top
    "O": OUT_OF,  # becomes T or F
    "X": NO_SCORE,
    "N": NUMBER,
    "P": FINAL,
    "L": LABEL,
    "V": VERB,
    "=": LINK,
    "b": AFTER,
    "D": r"\[(?: ?\[)+",
    "C": r"\](?: ?\])+|\](?=\n|$)",
    "B": r"\|(?: ?\|)+",
    "|": r"\|",
    ":": ":",
    "(": r"[({<]",
    ")": r"[)}>]",
    "[": r"\[",
    "]": r"\]",
    ".": r"[.!?;]+",
    ",": ",",
    "-": "-+",
    "\n": r"\n+",
    "": r"\b(?:an?|only|just)\b",  # "an 8" is 8
    "w": rf"[a-zа-я]+-?\d[\w.]*|(?:(?!{CJK})[^\W\d_])+|{CJK}(?:(?!{LABEL}|{FINAL}|{VERB}|是|为|為|は){CJK})*|[%/]",
}
CODES = list(KINDS)
LEXER = re.compile("|".join(f"(?P<k{place}>{KINDS[code]})" for place, code in enumerate(CODES)))
IN_ANGLES = re.compile(rf"< ?({NUMBER}[^<>\n]{{0,12}}) ?>")
QUOTED = re.compile(r"^[<>] ?", re.MULTILINE)
# "1. It is bad" and "2) Score: 8" open with the number of a list's item, "8. It is good" with a score.
LIST_MARK = re.compile(rf"^\(?(?:1[.):] (?=\S)|\d{{1,2}}\) (?=(?:\w+ )?(?:{LABEL})|[+-]?\d))", re.MULTILINE)
TOP_IN_WORDS = re.compile(r"\b(?:(?P<low>1|one)(?: to |-)|(?P<of>out[ -]of[ -]))ten\b")
OPENER = re.compile(r"\A(?:the )?(?:final )?answer ?: ?")


@dataclass(frozen=True)
class Pieces:
    """The pieces of a reply.

    Attributes:
        codes: one a piece: of `KINDS`, and T for a scale up to 10, O for such a one in a weaker word, F for a share of
            another number than 10, G for another scale, u for a unit.
        values: the numbers by their places in `codes`.
    """

    codes: str
    values: dict[int, float]


def pieces(reply: str) -> Pieces:
    """Divide a reply into pieces; what has no code, such as an emoji, is left out."""
    text = QUOTED.sub("", IN_ANGLES.sub(r"\1", SPOKEN.sub(_in_digits, plain(reply).lower())))
    text = TOP_IN_WORDS.sub(lambda found: "1 to 10" if found["low"] else f"{found['of']}10", text)
    text = OPENER.sub("", LIST_MARK.sub("", text))
    codes, values, place = "", {}, 0
    while place < len(text):
        found = LEXER.match(text, place)
        code = CODES[int(found.lastgroup[1:])] if found and found.lastgroup else ""
        if codes and codes[-1] in "NuTOFC":
            for behind, kind in ((BEHIND_UNIT, "u"), (SHARE, "T"), (PART, "O")):
                if tail := behind.match(text, place):
                    found, code = tail, kind if kind == "u" or _top(tail[0]) == 10 else "F"
                    break
        if code in ("S", "O") and found and found.re is LEXER:
            code = "T" if _top(found[0]) == 10 else "G" if code == "S" else "F"
        elif code == "N" and found:
            values[len(codes)] = float(found[0].replace(",", "."))
        codes += code
        place = found.end() if found else place + 1
    return Pieces(codes, values)


def _in_digits(found: re.Match[str]) -> str:
    """Write a number in Han words with digits, as it is where the words are no number up to a hundred."""
    before = next(found[name] for name in ("label", "start", "mark", "top", "scale") if found[name] is not None)
    whole, _, rest = found[0][len(before) :].replace("點", "点").partition("点")
    number = _han(whole)
    if number is None or not all(sign in HAN for sign in rest):
        return found[0]
    return f"{before}{number}" + ("." + "".join(HAN[sign] for sign in rest) if rest else "")


def _han(words: str) -> int | None:
    """Return the value of Han words: one digit, 十, 十五, 五十, 五十五, 一百; None for others, such as 七八, seven or eight."""
    if words in ("一百", "百"):
        return 100
    tens, ten, ones = words.replace("拾", "十").partition("十")
    if len(tens) > 1 or len(ones) > 1 or not all(sign in HAN for sign in tens + ones):
        return None
    return int(HAN.get(tens, "1")) * 10 + int(HAN.get(ones, "0")) if ten else int(HAN[tens]) if tens else None


def _top(scale: str) -> float:
    return float(re.findall(r"\d+(?:[.,]\d+)?", scale)[-1].replace(",", "."))
