"""The checks: for each family answers that meet it and answers that do not, and writers whose texts must be accepted."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isheep_lib.constraints.checks.table import CHECKS
from isheep_lib.constraints.family import FAMILIES

N = "number"
PLAIN = "Salt keeps food fresh. It melts ice on roads. It also gives taste."
# family, arguments, answers that meet it, answers that do not
TABLE = [
    ("words_at_least", {N: 60}, ["word " * 60, "語" * 60], ["word " * 59, ""]),
    ("words_at_most", {N: 20}, [PLAIN, "one"], ["word " * 21, "", "..."]),
    ("sentences_exactly", {N: 3}, [PLAIN, "- a b\n- c d\n- e f", "はい。ええ。そう。"], [PLAIN + " More.", "One."]),
    ("paragraphs_exactly", {N: 2}, ["a b\n\nc d", "a\n \nb\n"], ["a\nb", "a\n\nb\n\nc"]),
    ("bullets_exactly", {N: 2}, ["Two:\n- a\n* b", "• a\n• b"], ["- a\n- b\n- c", "1. a\n2. b", "-a\n-b"]),
    (
        "numbered_list",
        {N: 3},
        ["1. a\n2. b\n3. c", "So:\n1) a\n2) b\n3) c"],
        ["1. a\n2. b", "1. a\n3. b\n2. c", "2. a\n3. b\n4. c"],
    ),
    (
        "word_included",
        {"word": "morning"},
        ["Good Morning!", "a morning's work, this morning"],
        ["mornings", "good-morning", ""],
    ),
    ("word_excluded", {"word": "the"}, ["There they go."], ["The end", "at THE end", ""]),
    ("word_times", {"word": "time", N: 2}, ["Time and time again", "time, time"], ["time", "time time time", "timetime"]),
    ("lower_case", {}, ["all small: ß and é", "été"], ["One capital", "123", ""]),
    ("capitals", {}, ["ALL BIG: É", "A1"], ["ONE small", "123", "ǅ"]),
    ("no_commas", {}, ["none here"], ["one, here", "一，二", "1,000", ""]),
    (
        "closing_phrase",
        {"phrase": "That is all."},
        ["Yes. That is all.", 'So: "that is all."', "**That is all.**"],
        ["That is all. No."],
    ),
    ("title_line", {}, ["<<Salt>>\ntext", "\n << Uses of salt >> \ntext"], ["text <<Salt>>", "<<>>\ntext", "a\n<<b>>", ""]),
    ("in_quotes", {}, ['"All of it."', "“All of it.”", "«Tout.»"], ['"a" b', '""', "'single'", ""]),
    ("json_only", {}, ['{"a": [1, 2]}', '```json\n{"a": 1}\n```'], ["{}", "[1]", '{"a": 1} so', "{'a': 1}", ""]),
    ("bold_parts", {N: 2}, ["**a** and **b c**"], ["**a** b", "** a ** ** b **", "*a* *b*"]),
    ("headings", {N: 2}, ["# A\ntext\n## B\ntext"], ["# A", "#A\n#B", "```\n# A\n# B\n```"]),
    ("postscript", {"mark": "P.S."}, ["Text.\nP.S. One more."], ["P.S. One more.", "Text. P.S. More", "Text.\nP.S."]),
    ("letter_avoided", {"letter": "b"}, ["No such one.", "ḃ"], ["A bee", "BEE", ""]),
    ("starts_with_letter", {"letter": "s"}, ["Salt", '"salt"', "- salt"], ["A salt", "", "1. salt"]),
    ("ends_with_question", {}, ["I do. Do you?", 'He asks: "Do you?"', "あなたは？"], ["Do you? I do.", "?", "Do you? -"]),
    ("no_questions", {}, [PLAIN], ["Why?", "なぜ？", ""]),
    ("questions_exactly", {N: 2}, ["Why? How? So.", "Why?? How?"], ["Why?", "Why? How? When?"]),
    ("exclamations_exactly", {N: 2}, ["Yes! Yes!", "Oh!!"], ["Yes!", "Oh!!!"]),
    ("no_digits", {}, [PLAIN, "three"], ["3", "٣", "x²", ""]),
    ("numbers_at_least", {N: 3}, ["1, 2 and 3", "1. a\n2. b\n3.5"], ["1.5 and 2", "10:30 at 5", "one two three"]),
    ("parentheses_at_least", {N: 2}, ["(a) and (b)", "（あ）（い）"], ["(a)", "() ()", "(a"]),
    ("semicolons_at_least", {N: 2}, ["a; b; c"], ["a; b", "a, b"]),
    ("no_contractions", {}, ["It is Anna's.", "the dogs' bowls"], ["It's", "don’t", "You'll see", ""]),
    ("sentence_words_at_most", {N: 8}, [PLAIN], [PLAIN + " " + "word " * 9 + ".", ""]),
    ("sentence_words_at_least", {N: 8}, ["One two three four five six seven eight."], [PLAIN, ""]),
    ("one_line", {}, [PLAIN, PLAIN + "\n"], ["a\nb", "a\u2028b", ""]),
    ("lines_exactly", {N: 3}, ["a\n\nb\nc"], ["a\nb", ""]),
    ("first_sentence_question", {}, ["Why salt? It keeps food."], ["It keeps food. Why?", "Why salt?", ""]),
    (
        "table",
        {N: 2},
        ["|a|b|\n|---|---|\n|1|2|", "a | b\n--- | ---\n1 | 2"],
        ["|a|b|\n|1|2|", "|a|b|c|\n|---|---|---|\n|1|2|3|", "a|b"],
    ),
    ("word_repeats_at_most", {N: 2}, ["a a b b"], ["a A a", ""]),
    ("sentence_starts_differ", {}, ["Salt is. It was."], [PLAIN, "One.", ""]),
    ("colon_ends_first_line", {}, ["Here are two:\n- a\n- b", "**Uses:**\na"], ["a: b\nc", "Uses:", "a\nb:\nc", ""]),
    ("first_sentence_short", {N: 3}, ["It does. Here is a longer one."], ["It does.", "This one is not so short. Yes.", ""]),
    ("quoted_parts", {N: 2}, ['"a" and "b c"', "«a» “b”"], ['"a"', "'a' 'b'", '""""', "so"]),
    ("word_letters_at_most", {N: 7}, ["plain short-lived words", "été"], ["extraordinary", ""]),
    ("paragraph_sentences_at_most", {N: 1}, ["One.\n\nTwo."], ["One. Two.", "One.\n\nTwo. Three.", "One."]),
    ("no_dashes", {}, [PLAIN], ["well-known", "a – b", "−3", ""]),
]


@pytest.mark.parametrize(("family", "arguments", "kept", "broken"), TABLE, ids=[row[0] for row in TABLE])
def test_an_answer_meets_a_family_or_does_not(family, arguments, kept, broken):
    assert [FAMILIES[family].is_kept(answer, arguments) for answer in kept] == [True] * len(kept)
    assert [FAMILIES[family].is_kept(answer, arguments) for answer in broken] == [False] * len(broken)


def test_every_family_has_a_row_in_the_table():
    assert [row[0] for row in TABLE] == list(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_empty_answer_meets_nothing(family):
    assert not any(
        FAMILIES[family].is_kept(empty, arguments) for arguments in FAMILIES[family].choices() for empty in ("", " \n")
    )


@given(st.text(max_size=300))
def test_no_text_breaks_a_check(answer):
    for family in FAMILIES.values():
        for arguments in family.choices()[:2]:
            assert family.is_kept(answer, arguments) in (True, False)


WORD = st.text(st.sampled_from("abcdeéñжяλ"), min_size=1, max_size=7)
SENTENCE = st.lists(WORD, min_size=2, max_size=9).map(lambda found: " ".join(found) + ".")
NUMBER = st.integers(2, 8)
WRITERS = {
    "sentences_exactly": lambda n, texts: " ".join(texts[:n]),
    "paragraphs_exactly": lambda n, texts: "\n\n".join(texts[:n]),
    "lines_exactly": lambda n, texts: "\n".join(texts[:n]),
    "bullets_exactly": lambda n, texts: "\n".join(f"- {text}" for text in texts[:n]),
    "numbered_list": lambda n, texts: "\n".join(f"{i}. {text}" for i, text in enumerate(texts[:n], start=1)),
    "headings": lambda n, texts: "\n".join(f"## {text}\n{text}" for text in texts[:n]),
    "bold_parts": lambda n, texts: " ".join(f"**{text}**" for text in texts[:n]),
    "questions_exactly": lambda n, texts: " ".join([text[:-1] + "?" for text in texts[:n]] + texts[n:]),
    "exclamations_exactly": lambda n, texts: " ".join([text[:-1] + "!" for text in texts[:n]] + texts[n:]),
    "numbers_at_least": lambda n, texts: " ".join(f"{7 * i} {text}" for i, text in enumerate(texts[:n])),
    "parentheses_at_least": lambda n, texts: " ".join(f"({text})" for text in texts[:n]),
    "quoted_parts": lambda n, texts: " and ".join(f'"{text}"' for text in texts[:n]),
    "semicolons_at_least": lambda n, texts: "; ".join(texts[: n + 1]),
    "sentence_words_at_most": lambda n, texts: " ".join(" ".join(text[:-1].split()[:n]) + "." for text in texts),
    "table": lambda n, texts: "\n".join("|" + "|".join(row) + "|" for row in (["h"] * n, ["---"] * n, ["x"] * n)),
}
COUNTED = {name: FAMILIES[name].checker for name in WRITERS}


@given(st.lists(SENTENCE, min_size=9, max_size=9), NUMBER)
def test_what_is_written_to_a_number_is_accepted_and_to_another_one_is_not(texts, number):
    for name, write in WRITERS.items():  # of the same texts, whose drawing takes longer than all checks
        answer = write(number, texts)
        assert CHECKS[COUNTED[name]](answer, number=number), name
        if FAMILIES[name].checker.endswith("_exactly") or name == "table":
            assert not CHECKS[COUNTED[name]](answer, number=number + 1), name


@given(st.lists(SENTENCE, min_size=2, max_size=6))
def test_what_is_written_to_a_form_is_accepted(texts):
    text = " ".join(texts)
    assert FAMILIES["in_quotes"].is_kept(f'"{text}"', {})
    assert FAMILIES["json_only"].is_kept(json.dumps({"answer": text}), {})
    assert FAMILIES["title_line"].is_kept(f"<<{texts[0]}>>\n{text}", {})
    assert FAMILIES["ends_with_question"].is_kept(f"{text} {texts[0][:-1]}?", {})
    assert FAMILIES["first_sentence_question"].is_kept(f"{texts[0][:-1]}? {text}", {})
    assert FAMILIES["capitals"].is_kept(text.upper(), {})
    assert FAMILIES["lower_case"].is_kept(text.lower(), {})
    assert FAMILIES["one_line"].is_kept(text, {})
    assert FAMILIES["colon_ends_first_line"].is_kept(f"{texts[0][:-1]}:\n{text}", {})
    for phrase in FAMILIES["closing_phrase"].values["phrase"]:
        assert FAMILIES["closing_phrase"].is_kept(f"{text} {phrase}", {"phrase": phrase})
