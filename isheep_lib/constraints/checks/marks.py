"""Checks of marks: questions, commas, brackets, quotation marks, digits, dashes, apostrophes."""

import re
import unicodedata

from isheep_lib.constraints.parts import APOSTROPHES, composed, ending, sentences

QUESTION, EXCLAMATION = "?？¿⁇⁈⁉؟", "!！¡‼"
COMMAS, SEMICOLONS, COLONS = ",，、،﹐", ";；؛", ":："
ROUND = re.compile(r"[(（][^()（）]*\w[^()（）]*[)）]")
QUOTED = re.compile(r"[\"“”„][^\"“”„\n]*\w[^\"“”„\n]*[\"“”]|«[^«»\n]*\w[^«»\n]*»")
NUMBER = re.compile(r"\d+(?:[.,:/]\d+)*")
SHORTENED = re.compile(
    rf"\b(?:\w+n[{APOSTROPHES}]t|\w+[{APOSTROPHES}](?:re|ve|ll|m|d)|(?:it|he|she|that|there|here|what|who|where|how|when|let)"
    rf"[{APOSTROPHES}]s)\b",
    re.IGNORECASE,
)


def _count(text: str, marks: str) -> int:
    return sum(letter in marks for letter in composed(text))


def no_commas(text: str) -> bool:
    """Tell whether there is no comma of any script."""
    return bool(text.strip()) and not _count(text, COMMAS)


def ends_with_question(text: str) -> bool:
    """Tell whether the last sentence is a question."""
    found = sentences(text)
    return bool(found) and ending(found[-1]) in QUESTION and ending(composed(text)) in QUESTION


def first_sentence_question(text: str) -> bool:
    """Tell whether the first of several sentences is a question."""
    found = sentences(text)
    return len(found) > 1 and ending(found[0]) in QUESTION


def no_questions(text: str) -> bool:
    """Tell whether there is no question mark."""
    return bool(text.strip()) and not _count(text, QUESTION)


def questions_exactly(text: str, number: int) -> bool:
    """Tell whether so many sentences are questions."""
    return sum(ending(sentence) in QUESTION for sentence in sentences(text)) == number


def exclamations_exactly(text: str, number: int) -> bool:
    """Tell whether there are so many exclamation marks."""
    return _count(text, EXCLAMATION) == number


def semicolons_at_least(text: str, number: int) -> bool:
    """Tell whether there are enough semicolons."""
    return _count(text, SEMICOLONS) >= number


def parentheses_at_least(text: str, number: int) -> bool:
    """Tell whether enough pairs of round brackets hold a word."""
    return len(ROUND.findall(composed(text))) >= number


def quoted_at_least(text: str, number: int) -> bool:
    """Tell whether enough expressions stand in double quotation marks; the whole text is none."""
    inner = composed(text).strip()
    return len(QUOTED.findall(inner)) >= number and not (len(QUOTED.findall(inner)) == 1 and QUOTED.fullmatch(inner))


def in_quotes(text: str) -> bool:
    """Tell whether the text begins and ends with a double quotation mark."""
    inner = text.strip()
    return len(inner) > 2 and inner[0] in '"“„«' and inner[-1] in '"”“»'


def no_digits(text: str) -> bool:
    """Tell whether there is no digit of any script."""
    return bool(text.strip()) and not any(unicodedata.category(letter) in ("Nd", "No") for letter in text)


def numbers_at_least(text: str, number: int) -> bool:
    """Tell whether enough numbers are written in digits."""
    return len(NUMBER.findall(text)) >= number


def no_dashes(text: str) -> bool:
    """Tell whether there is no hyphen or dash; a minus sign is one."""
    return bool(text.strip()) and not any(unicodedata.category(letter) == "Pd" or letter == "−" for letter in text)


def no_contractions(text: str) -> bool:
    """Tell whether no English word is shortened by an apostrophe; a possessive is not."""
    return bool(text.strip()) and not SHORTENED.search(composed(text))


def colon_ends_first_line(text: str) -> bool:
    """Tell whether the first line ends with a colon and others follow."""
    first, broken, rest = composed(text).strip().partition("\n")
    return bool(broken and rest.strip()) and first.rstrip("*_ ")[-1:] in tuple(COLONS)
