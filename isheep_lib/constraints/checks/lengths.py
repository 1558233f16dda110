"""Checks of length: how many words, sentences, lines and paragraphs."""

from isheep_lib.constraints.parts import composed, lines, paragraphs, sentences, words


def words_at_least(text: str, number: int) -> bool:
    """Tell whether there are enough words."""
    return len(words(text)) >= number


def words_at_most(text: str, number: int) -> bool:
    """Tell whether there are words, and not too many."""
    return 1 <= len(words(text)) <= number


def sentences_exactly(text: str, number: int) -> bool:
    """Tell whether there are so many sentences."""
    return len(sentences(text)) == number


def paragraphs_exactly(text: str, number: int) -> bool:
    """Tell whether empty lines divide the text into so many parts."""
    return len(paragraphs(text)) == number


def lines_exactly(text: str, number: int) -> bool:
    """Tell whether so many lines hold something."""
    return len(lines(text)) == number


def one_line(text: str) -> bool:
    """Tell whether a text has no line break inside."""
    return bool(text.strip()) and not any(mark in composed(text).strip() for mark in "\n\v\f\x85\u2028\u2029")


def sentence_words_at_most(text: str, number: int) -> bool:
    """Tell whether no sentence is longer."""
    found = sentences(text)
    return bool(found) and max(len(words(sentence)) for sentence in found) <= number


def sentence_words_at_least(text: str, number: int) -> bool:
    """Tell whether no sentence is shorter."""
    found = sentences(text)
    return bool(found) and min(len(words(sentence)) for sentence in found) >= number


def first_sentence_at_most(text: str, number: int) -> bool:
    """Tell whether the first of several sentences is short."""
    found = sentences(text)
    return len(found) > 1 and len(words(found[0])) <= number


def paragraph_sentences_at_most(text: str, number: int) -> bool:
    """Tell whether none of several paragraphs has more sentences."""
    found = paragraphs(text)
    return len(found) > 1 and max(len(sentences(paragraph)) for paragraph in found) <= number


def word_letters_at_most(text: str, number: int) -> bool:
    """Tell whether no word has more letters; parts of a hyphened word are words of their own here."""
    found = [part for word in words(text) for part in word.replace("‐", "-").replace("‑", "-").split("-")]
    return bool(found) and max(sum(letter.isalpha() for letter in word) for word in found) <= number
