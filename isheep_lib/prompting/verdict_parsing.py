"""Reading a judge's verdict or grade from its text.

`parse_verdict("Both are right, B is shorter. [[B]]")` is `("B", "")`. The first of these groups that finds any decides:
1. Double brackets that open the last line which has some, behind a word or two at most: `Final verdict: [[B]]`.
2. Double brackets anywhere: `[[A]]`, `[[Tie]]`, `[[A>B]]`.
3. Without them: behind a word that announces it, alone in the last line, or in a sentence that says which is better.
A group that finds several verdicts is ambiguous. A grade is a score (`score_parsing`), asked for in double brackets.
"""

import re

from isheep_lib.prompting.plain_text import plain
from isheep_lib.prompting.score_parsing import parse_score

parse_grade = parse_score
MODEL_WINS = {"A": 1.0, "B": 0.0, "C": 0.5}  # where the model's answer is shown as A
MARKS = r"[\s()\[\]]{0,9}"  # what may stand around a letter; bounded, for models that write a mark forever
NAMED = r"(?i:answer|response|reply|assistant|option|model|output|candidate|system|助手|回答|模型|选项|选择|答案|回复) ?"
NAME = rf"(?:{NAMED})?{MARKS}"
TIES = r"平局|平手|打平|不分高下|不分上下|不分胜负|一样好|同样好|同樣好|引き分け|무승부"
BETTER = r"[ab] ?(?:[<>]{1,3}|=|~) ?[ab]"  # A>B
BRACKETED = re.compile(
    rf"\[ ?\[{MARKS}{NAME}({BETTER}|a|b|c|tie|draw|{TIES})(?: is better| wins)?{MARKS}\](?:\]|\s*$)",
    re.IGNORECASE | re.MULTILINE,
)
OPENS_LINE = re.compile(r"[^\[\n]{0,30}?[:=-]*\s?(?=\[ ?\[)")
# Without double brackets. Elsewhere "A" may be an article.
LARGE = BETTER.replace("ab", "AB")
LETTER = rf"({LARGE}|[ABC]|(?<=model )[ab]|(?<=assistant )[ab]|(?<=response )[ab]|(?i:tie|draw)\b|{TIES})"
STOP = r"(?=\s*(?:$|[.,;:!)}\]]|because\b|since\b|as\b|-))"
ANNOUNCED = re.compile(
    rf"(?:(?i:\b(?:verdict|winner|(?:better|best) (?:answer|response|one)|final (?:answer|choice|decision))\b"
    rf"|结论|結論|裁决|判决|判断|判定|获胜者|胜者|勝者|优胜者|更好的(?:一个|{NAMED.rstrip(' ?')})?|より良い回答|판정|결론|승자)"
    rf"{MARKS}(?:(?i:is)\b|:|=|->?|是|为|は)?|(?i:\b(?:answer|choice|preference|decision|preferred|final)\b|选择|答案){MARKS}[:=]"
    rf"|(?i:\bI (?:would |d )?(?:prefer|choose|pick|select|go with))\b){MARKS}(?i:the )?{NAME}{LETTER}{STOP}",
    re.MULTILINE,
)
TIED = rf"(?i:(?:it ?i?s )?(?:an? )?(?:tie|draw)\b)|(?:[两二](?:个回答|者)?)?(?:{TIES})"
SAID = re.compile(rf"{MARKS}{NAME}({LARGE}|[ABC]|{TIED}){MARKS}\.?{MARKS}")
OWN = "(?:的回答|的答案)?"
OF_A = rf"([AB]) ?{OWN} ?"
WON = "(?:明显|显然|稍微|略|总体)?(?:更好|更优秀?|更佳|更强|胜出|获胜|较好|好一些|更勝一籌|更胜一筹)"
CLEAR = r"(?!\W*(?:但|不过|然而|可是|吗|么|嗎))"  # a contrast or a question follows else
WINS = re.compile(
    rf"(?:{NAMED})?\b([AB])(?:s (?i:{NAMED.rstrip(' ?')}))? ?"
    r"(?i:(?:is|was) (?:(?:clearly|slightly|much|far|significantly|marginally|overall|definitely|a bit|the) ){0,3}"
    r"(?:better|best|superior|stronger|preferable|preferred|winner|better (?:one|answer|response))|wins)"
    r"(?=\s*(?:$|[.,;!)]|than\b|because\b|since\b|as\b|overall\b|here\b))(?!\W*(?:but|however|though|yet)\b)"
    rf"|(?<!比)(?<!比 )(?:{NAMED}|^ ?|(?<=[.,:;!] )){OF_A}{WON}{CLEAR}"  # 回答A更好
    rf"|(?:{NAMED}|^ ?|(?<=[.,:;!] )){OF_A}比 ?(?:{NAMED})?[AB] ?{OWN}{WON}{CLEAR}"  # A比B更好
    rf"|(?:{NAMED}|^ ?|(?<=[.,:;!] )){OF_A}(?:优于|胜过|好于|强于|優於|勝過) ?(?:{NAMED})?[AB]{CLEAR}"
    rf"|(?:{NAMED}|^ ?|(?<=[.,:;!] ))[AB] ?{OWN}(?:不如|不及) ?(?:{NAMED})?([AB]){CLEAR}"
    rf"|(?:我选|我選|我更喜欢|我倾向于?)(?:择|擇)? ?(?:{NAMED})?([AB]){STOP}",
    re.MULTILINE,
)
DOUBT = re.compile(
    r"(?i)\b(?:if|whether|unless|not|\w+nt|neither|nor|never|cannot|hardly|would be|while|although|though)\b|如果|是否|不|若"
)


def parse_verdict(reply: str) -> tuple[str | None, str]:
    """Read a written verdict: "A", "B", or "C" for a tie.

    Returns:
        The letter and "", or None and the reason: "no_verdict" or "ambiguous".
    """
    text = plain(reply)
    found = _bracketed(text) or _said(text)
    if len(found) > 1:
        return None, "ambiguous"
    return (found.pop(), "") if found else (None, "no_verdict")


def _bracketed(text: str) -> set[str]:
    lines = [line for line in text.split("\n") if BRACKETED.search(line)]
    if lines and (opened := OPENS_LINE.match(lines[-1])):
        last = _letters(BRACKETED.findall(lines[-1]))
        if BRACKETED.match(lines[-1], opened.end()) and len(last) == 1:
            return last
    return _letters(BRACKETED.findall(text))


def _letters(found: list[str]) -> set[str]:
    # Small letters count where no capital one does: x[[a]] is also how some code reads an element.
    large = [each for each in found if each[0].isupper() or len(each) > 1]
    return {_winner(each) for each in large or found}


def _said(text: str) -> set[str]:
    last = SAID.fullmatch(text.rsplit("\n", 1)[-1])
    found = {_winner(each) for each in [*ANNOUNCED.findall(text), *([last[1]] if last else [])]}
    for match in WINS.finditer(text):
        sentence = re.split(r"[.!?;\n]", text[: match.start()])[-1]
        if not DOUBT.search(sentence[-200:]):
            found.add(next(letter for letter in match.groups() if letter))
    return found


def _winner(said: str) -> str:
    """Return the letter of what was said, such as "a", "Tie" or "B<A"."""
    said = said.upper()
    if len(said) == 1:
        return said
    first, last = said[0], said[-1]
    if said.endswith(("TIE", "DRAW")) or re.search(TIES, said) or "=" in said or "~" in said or first == last:
        return "C"
    return first if ">" in said else last
