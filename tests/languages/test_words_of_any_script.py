"""Words of any script: what one is, how many there are, and that Latin text is read as it always was."""

import json
import re
import sys
import unicodedata
from itertools import pairwise

import pytest
import regex
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rouge_score.tokenize import tokenize

from isheep_lib.languages.words import (
    LATIN_WORD,
    PLAIN,
    WITHOUT_SPACES,
    WORD,
    amount,
    count_words,
    is_sign,
    rouge_words,
    word_places,
    words,
)

many = settings(max_examples=300, deadline=None)
SIGNS = "写一首诗春天のカタデーターガｶﾞกำสวัสดีລາວខ្មែរမြန်မာ葛\U000e0100々〇"
SPACED = "aZé ßİΣж의اَ٣हिन्दीक्\u200dषশাতি्ம்m²½_'’-.…“”1️⃣👍👩\u200d👧🇩🇪 \u00a0\u3000\n"
any_text = st.one_of(st.text(max_size=40), st.text(st.sampled_from(SIGNS + SPACED + "Ａ１，。"), max_size=40))
spaced_text = st.text(st.sampled_from(SPACED), max_size=40)


@pytest.mark.parametrize(
    ("text", "found", "number"),
    [
        ("Don't write 3.5 co.uk e-mails!", ["don", "t", "write", "3", "5", "co", "uk", "e", "mails"], 5),
        ("snake_case m² ½", ["snake_case", "m²", "½"], 3),
        ("L’été, aujourd'hui", ["l", "été", "aujourd", "hui"], 2),
        ("写一首关于春天的诗。", list("写一首关于春天的诗"), 9),
        ("用Python写代码，2024年！", ["用", "python", "写", "代", "码", "2024", "年"], 7),
        ("𠮷野家と佐々木〇", [*"𠮷野家と佐々木〇"], 8),
        ("東京タワーへ行きました", ["東", "京", "タワー", "へ", "行", "き", "ま", "し", "た"], 9),
        ("データベース、システム", ["データベース", "システム"], 2),
        ("한국어로 시를 써 주세요.", ["한국어로", "시를", "써", "주세요"], 4),
        ("Python을 배우자", ["python을", "배우자"], 2),
        ("Напишите короткий рассказ.", ["напишите", "короткий", "рассказ"], 3),
        ("اُكتُبْ قصيدةً عن الربيع", ["اُكتُبْ", "قصيدةً", "عن", "الربيع"], 4),
        ("می\u200cخواهم", ["می\u200cخواهم"], 1),
        ("हिन्दी में कविता लिखिए।", ["हिन्दी", "में", "कविता", "लिखिए"], 4),
        ("a\u200d字 a\u200c", ["a", "字", "a"], 3),
        ("क्षत्रिय क्\u200dष", ["क्षत्रिय", "क्\u200dष"], 2),
        ("தமிழ் கவிதை", ["தமிழ்", "கவிதை"], 2),
        ("น้ำดีมาก 3 แก้ว", ["น้ำ", "ดี", "ม", "า", "ก", "3", "แ", "ก้", "ว"], 9),
        ("ភាសាខ្មែរ", ["ភា", "សា", "ខ្មែ", "រ"], 4),
        ("မြန်မာစာ", ["မြ", "န်", "မာ", "စာ"], 4),
        ("ພາສາລາວ", ["ພ", "າ", "ສ", "າ", "ລ", "າ", "ວ"], 7),
        ("ＡＢＣ　１２３", ["abc", "123"], 2),
        ("ｶﾞｷﾞｸﾞ", ["ガギグ"], 1),
        ("葛\U000e0100飾", ["葛", "飾"], 2),
        ("1️⃣ First 👍 👩\u200d👩\u200d👧 🇩🇪", ["1", "first"], 5),
        ("ΟΔΟΣ οδός", ["οδος", "οδός"], 2),
        ("İstanbul", ["i̇stanbul"], 1),
        ("Ọkọ̀ ojú-irin", ["ọkọ̀", "ojú", "irin"], 2),
        ("שלום תש״ח", ["שלום", "תש", "ח"], 2),
        ("ཀ་ཁ", ["ཀ", "ཁ"], 1),
        ("... !? — 。，", [], 4),
        ("\u0301 \u200d", [], 2),
        ("", [], 0),
    ],
)
def test_words_of_each_script(text, found, number):
    assert words(text) == found
    assert count_words(text) == number


@pytest.mark.parametrize(
    "text", ["café à la crème", "が ガ ギター", "한국어 각", "ख़बर ज़रा", "ᾅδης", "Việt Nam", "Ång Ωm", "สระอำ", "آب", "แก้วน้ำ"]
)
def test_letters_that_were_typed_in_parts_are_the_same_words(text):
    parts = unicodedata.normalize("NFD", text)
    assert words(parts) == words(text)
    assert count_words(parts) == count_words(text)


@many
@given(spaced_text)
@example("m²\u00a0a_b ªº µ")
def test_latin_text_has_the_words_that_it_always_had(text):
    # But for İ, whose lower case is an i with a mark, which divided it.
    latin = "".join(c for c in text if c != "İ" and (ord(c) < 0x300 or 0x2010 <= ord(c) < 0x205F))
    assert words(latin) == re.findall(r"\w+", latin.lower())


@many
@given(spaced_text)
def test_where_spaces_divide_words_those_between_spaces_are_counted(text):
    assert count_words(text) == len(text.split())
    assert word_places(text) == [found.span() for found in re.finditer(r"\S+", text)]


@many
@given(any_text)
def test_words_are_counted_where_they_stand_in_their_order_and_apart(text):
    places = word_places(text)
    assert count_words(text) == len(places)
    assert all(start < end for start, end in places)
    assert all(one[1] <= two[0] for one, two in pairwise(places))
    assert bool(places) == bool(text.strip())


@many
@given(any_text)
def test_what_is_a_word_is_one_word_alone(text):
    assert all(words(word) == [word] for word in words(text))
    assert amount(words(text)) <= len(words(text)) <= 2 * amount(words(text)) + 1


@many
@given(any_text, any_text)
def test_words_of_lines_are_those_of_the_lines_together(one, two):
    assert words(f"{one}\n{two}") == words(one) + words(two)
    assert count_words(f"{one}\n{two}") == count_words(one) + count_words(two)


@many
@given(st.text(st.characters(max_codepoint=0x2FF) | st.characters(min_codepoint=0x2010, max_codepoint=0x205E), max_size=30))
def test_the_fast_way_for_latin_text_finds_what_the_other_does(text):
    lower = text.lower()
    if PLAIN.fullmatch(lower):
        assert LATIN_WORD.findall(lower) == WORD.findall(lower)


def test_letters_and_digits_are_those_that_python_knows():
    # The package may know newer letters than Python; one that both know is a letter to both.
    letter = regex.compile(r"[\p{L}\p{N}_]")
    known = [chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) not in ("Cn", "Cs", "Co")]
    assert [c for c in known if bool(letter.match(c)) != bool(LATIN_WORD.match(c))] == []


@many
@given(st.lists(st.sampled_from([*"azé7жя한국写诗のカタデーשαω٣字。， ", "हि", "न्", "दी", "اَ", "لْ"])).map("".join))
def test_letters_are_divided_where_unicode_divides_words(text):
    parts = regex.split(r"(?wV1)\b", unicodedata.normalize("NFC", text))
    assert words(text) == [part for part in parts if regex.search(r"[\p{L}\p{N}]", part)]


@pytest.mark.parametrize(
    ("script", "divides"),
    [(name, True) for name in ("Han", "Hiragana", "Thai", "Lao", "Khmer", "Myanmar", "Tai_Le", "Tai_Tham")]
    + [(name, False) for name in ("Latin", "Cyrillic", "Greek", "Arabic", "Hebrew", "Devanagari", "Hangul", "Ethiopic", "Yi")],
)
def test_scripts_without_spaces_are_those_whose_letters_unicode_divides(script, divides):
    letters = [c for c in map(chr, range(0x3400)) if regex.match(rf"(?V1)[\p{{{script}}}&&\p{{Lo}}]", c)] or ["字", "가"]
    letters = [c for c in letters if regex.match(rf"\p{{{script}}}", c)]
    assert all(bool(WITHOUT_SPACES.search(c)) == divides for c in letters)


@pytest.mark.parametrize(
    ("word", "sign"), [("诗", True), ("น้ำ", True), ("の", True), ("タワー", False), ("a", False), ("한", False)]
)
def test_a_sign_is_one_character_of_a_script_without_spaces(word, sign):
    assert is_sign(word) == sign


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a b c", 3), ("春天", 1), ("春天的", 2), ("用Python写诗", 3), ("人工智能", 2), ("タワー", 1), ("", 0)],
)
def test_two_signs_are_worth_a_word(text, expected):
    assert amount(words(text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Café, 3.5 km!", ["the", "caf", "3", "5", "km"]),
        ("cafe\u0301s", ["cafe", "s"]),  # as the package splits what was typed in parts
        ("\u212a 5 µm ªº m²", ["k", "5", "m", "m"]),
        ("用Python写café，2024年", ["用", "python", "写", "caf", "2024", "年"]),
        ("Ｐｙｔｈｏｎ编程", ["python", "编", "程"]),
        ("Python을 쓰세요", ["python", "을", "쓰세요"]),
        ("A = πr²", ["a", "π", "r"]),
        ("سنة ٢٠٢٤", ["سنة", "٢٠٢٤"]),
        ("é ß — 👍", []),
        ("", []),
    ],
)
def test_words_that_near_texts_are_told_by(text, expected):
    assert rouge_words(text) == expected


@many
@given(any_text)
def test_of_latin_script_the_words_are_those_of_rouge_score(text):
    others = r"(?V1)[[\p{L}\p{N}\p{M}]--[\p{Latin}\p{Common}\p{Inherited}]]|\p{Word_Break=Katakana}|[٠-٩\uff00-\uffef〆]"
    rest = regex.sub(others, "", text.lower())
    assert rouge_words(rest) == [word for word in tokenize(rest, None) if word]


def test_the_tasks_and_answers_of_committed_records_in_english_have_the_words_that_decided_them(root):
    texts = set()
    for path in root.glob("results/reference/**/synthesize/*.jsonl"):
        if json.loads((path.parent / "manifest.json").read_text())["parameters"].get("language", "en") != "en":
            continue
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
        texts |= {row[name] for row in rows for name in ("raw", "instruction", "input", "output") if row.get(name)}
    assert len(texts) > 1000
    for text in texts:
        assert words(text) == re.findall(r"\w+", text.lower())
        assert count_words(text) == len(text.split())
        assert rouge_words(text) == re.findall(r"[a-z0-9]+", text.lower())
