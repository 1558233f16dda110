"""Checks of words and letters: which occur, how often, where, and in which case."""

import unicodedata
from collections import Counter

from isheep_lib.constraints.parts import APOSTROPHES, composed, sentences, words


def _folded(text: str) -> list[str]:
    """Return the words without regard to case and to the kind of apostrophe."""
    return [word.casefold().translate(dict.fromkeys(map(ord, APOSTROPHES), "'")) for word in words(text)]


def includes_word(text: str, word: str) -> bool:
    """Tell whether a word occurs, as a whole and in any case."""
    return word.casefold() in _folded(text)


def excludes_word(text: str, word: str) -> bool:
    """Tell whether a text of at least one word lacks a word."""
    found = _folded(text)
    return bool(found) and word.casefold() not in found


def word_times(text: str, word: str, number: int) -> bool:
    """Tell whether a word occurs so many times."""
    return _folded(text).count(word.casefold()) == number


def word_repeats_at_most(text: str, number: int) -> bool:
    """Tell whether no word occurs more often."""
    found = Counter(_folded(text))
    return bool(found) and max(found.values()) <= number


def avoids_letter(text: str, letter: str) -> bool:
    """Tell whether a text of at least one word lacks a letter in either case; a letter with an accent is another one."""
    return bool(words(text)) and letter.casefold() not in composed(text).casefold()


def starts_with_letter(text: str, letter: str) -> bool:
    """Tell whether the first word begins with a letter in either case."""
    found = _folded(text)
    return bool(found) and found[0].startswith(letter.casefold())


def sentence_starts_differ(text: str) -> bool:
    """Tell whether several sentences begin with different words."""
    firsts = [_folded(sentence)[0] for sentence in sentences(text)]
    return len(firsts) > 1 and len(set(firsts)) == len(firsts)


def lower_case(text: str) -> bool:
    """Tell whether there are small letters and no capital ones."""
    return any(letter.islower() for letter in text) and not any(unicodedata.category(letter) in ("Lu", "Lt") for letter in text)


def capitals(text: str) -> bool:
    """Tell whether there are capital letters and no small ones."""
    return any(letter.isupper() for letter in text) and not any(unicodedata.category(letter) in ("Ll", "Lt") for letter in text)


def ends_with_phrase(text: str, phrase: str) -> bool:
    """Tell whether the text, quotation marks and asterisks apart, ends with a phrase in any case."""
    return composed(text).strip().rstrip("\"'”’*_ \n").casefold().endswith(phrase.casefold())
