"""The words of each language's file: forms that its speakers use are found, and what only looks like them is left alone."""

import unicodedata
from pathlib import Path

import pytest
import yaml

from isheep_lib.languages import rules
from isheep_lib.synthesize.evolving.eliminator import answer_problem

WORDS = yaml.safe_load(Path(__file__).with_name("words_of_each_language.yaml").read_text(encoding="utf-8"))
CASES = [
    (language, what, text, side == "found")
    for language, rows in WORDS.items()
    for what, sides in rows.items()
    for side, texts in sides.items()
    for text in texts
]


@pytest.mark.parametrize(("language", "what", "text", "wanted"), CASES)
def test_a_form_of_the_language_is_found_and_what_looks_like_it_is_not(language, what, text, wanted):
    assert rules.of(language).finds(what, text) == wanted


@pytest.mark.parametrize(
    ("language", "what", "text"),
    [
        ("fr", "refusal", "Je suis désolé."),
        ("fr", "forbidden_word", "Regarde la vidéo."),
        ("es", "no_input", "vacío"),
        ("de", "other_language", "Übersetze das."),
        ("ja", "role", "ユーザー：ガイド"),
        ("ko", "refusal", "죄송합니다"),
        ("hi", "forbidden_word", "फ\u093cोटो"),
    ],
)
def test_a_letter_and_its_mark_are_found_as_one_sign_and_as_two(language, what, text):
    for form in ("NFC", "NFD"):
        assert rules.of(language).finds(what, unicodedata.normalize(form, text)), form


def test_the_dotted_letters_of_hindi_are_found_however_they_were_typed():
    for letter in ("\u095e", "\u092b\u093c", "\u092b"):  # one sign, two, and without the dot
        assert rules.of("hi").finds("forbidden_word", f"{letter}ोटो खींचो")


def test_every_language_with_rules_has_texts_on_both_sides():
    assert sorted(WORDS) == rules.known()
    assert all(sides["found"] and sides["left"] for rows in WORDS.values() for sides in rows.values())


@pytest.mark.parametrize("tag", rules.known())
def test_the_words_of_a_file_are_composed_as_texts_are_before_they_are_searched(tag):
    said = (rules.FOLDER / f"{tag}.yaml").read_text(encoding="utf-8")
    assert unicodedata.is_normalized("NFC", said)


@pytest.mark.parametrize(
    ("language", "answer", "reason"),
    [
        ("ru", "К сожалению, я этого не знаю.", "apology"),
        ("ru", "К сожалению, поезд опоздал, и мы ждали на вокзале.", ""),
        ("zh", "她不好意思地笑了，把书还给他。", ""),
        ("fr", "Il cherche des excuses pour ne pas venir.", ""),
        ("de", "Verzeihung, das weiß ich nicht.", "apology"),
    ],
)
def test_a_short_apology_is_told_from_a_story_about_one(language, answer, reason):
    assert answer_problem(answer, language) == ((reason, "") if reason else None)
