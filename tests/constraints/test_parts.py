"""Parts of texts: words, sentences, lines and paragraphs of several scripts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isheep_lib.constraints.parts import ending, lines, paragraphs, sentences, words

WORDS = [
    ("", []),
    ("…— !", []),
    ("Don't stop", ["Don't", "stop"]),
    ("the cats' own", ["the", "cats", "own"]),
    ("'quoted' and rock-'n'-roll", ["quoted", "and", "rock", "n", "roll"]),
    ("well-known e-mail – no", ["well-known", "e-mail", "no"]),
    ("cafe\u0301 and café", ["café", "and", "café"]),  # composed, and by a mark of its own
    ("हिन्दी में लिखो", ["हिन्दी", "में", "लिखो"]),
    ("東京に行く", ["東", "京", "に", "行", "く"]),
    ("3.50 and 2024", ["3", "50", "and", "2024"]),
    ("snake_case", ["snake", "case"]),
    ("trailing- -leading", ["trailing", "leading"]),
]
SENTENCES = [
    ("", []),
    ("One. Two! Three?", ["One.", "Two!", "Three?"]),
    ("Dr. Lee paid 3.50. Why?", ["Dr. Lee paid 3.50.", "Why?"]),
    ("It works, e.g. here, or i.e. there.", ["It works, e.g. here, or i.e. there."]),
    ("J. S. Bach wrote it. I did not.", ["J. S. Bach wrote it.", "I did not."]),
    ("So did I. Then we left.", ["So did I.", "Then we left."]),
    ('He said "Stop." Then he left.', ['He said "Stop."', "Then he left."]),
    ("Really?! Yes... perhaps.", ["Really?!", "Yes...", "perhaps."]),
    ("今日は。元気？はい！", ["今日は。", "元気？", "はい！"]),
    ("Two lines\nwithout marks", ["Two lines", "without marks"]),
    ("1. First thing.\n2. Second thing.", ["First thing.", "Second thing."]),
    ("- One\n\n- Two.", ["One", "Two."]),
    ("# A head\nText.", ["A head", "Text."]),
    ("See www.example.org now.", ["See www.example.org now."]),
    ("!!! ... ---", []),
]


@pytest.mark.parametrize(("text", "found"), WORDS)
def test_words_are_letters_of_any_script_with_apostrophes_and_hyphens_inside(text, found):
    assert list(words(text)) == found


@pytest.mark.parametrize(("text", "found"), SENTENCES)
def test_sentences_end_at_marks_and_lines_but_not_after_titles_or_inside_numbers(text, found):
    assert list(sentences(text)) == found


def test_lines_hold_something_whatever_breaks_them():
    assert lines("a\r\n\r\n b \rc\n\t\n") == ("a", " b ", "c")


def test_paragraphs_lie_between_empty_lines():
    assert paragraphs("\n\na\nb\n \t\nc\n\n\n\nd\n") == ("a\nb", "c", "d")
    assert paragraphs(" \n ") == ()


@pytest.mark.parametrize(("sentence", "mark"), [('Is it "so?"', "?"), ("It (is).", "."), ("**Why?**", "?"), ("", "")])
def test_a_sentence_ends_with_the_mark_before_closing_quotes_and_asterisks(sentence, mark):
    assert ending(sentence) == mark


@given(st.text())
def test_no_text_breaks_the_parts_and_words_are_those_of_the_sentences_or_of_list_numbers(text):
    inner = [word for sentence in sentences(text) for word in words(sentence)]
    every = list(words(text))
    assert len(inner) <= len(every)
    assert all(line.strip() for line in lines(text))
    assert all(words(sentence) for sentence in sentences(text))
