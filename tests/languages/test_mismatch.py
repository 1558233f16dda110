"""Whether a text is in another language: by its script, by its words where a script is shared, and not where nothing tells."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isheep_lib.languages.mismatch import detected, guess, mismatch
from isheep_lib.languages.rules import known

LONG = {
    "ar": "كان البحر واسعًا في ذلك الصباح، وكانت القوارب الصغيرة تعود إلى الميناء "
    "واحدًا بعد الآخر قبل أن تشرق الشمس على البيوت البيضاء.",
    "de": "Das Meer war an jenem Morgen weit und still, und die kleinen Boote kehrten eines nach dem anderen in den "
    "Hafen zurück, bevor die Sonne über den weißen Häusern aufging.",
    "en": "The sea was wide and calm that morning, and the little boats came back to the harbour one after another before "
    "the sun rose over the white houses on the hill.",
    "es": "El mar estaba ancho y tranquilo aquella mañana, y las pequeñas barcas volvían al puerto una tras otra antes de "
    "que el sol saliera sobre las casas blancas.",
    "fr": "La mer était large et calme ce matin-là, et les petits bateaux rentraient au port l'un après l'autre avant que le "
    "soleil ne se lève sur les maisons blanches.",
    "hi": "उस सुबह समुद्र चौड़ा और शांत था, और छोटी नावें एक के बाद एक बंदरगाह को लौट रही थीं, इससे पहले कि सूरज सफ़ेद घरों के ऊपर निकलता।",
    "ja": "その朝の海は広くて静かで、小さな船が一つまた一つと港に帰ってきました。"
    "まだ太陽は白い家々の上に昇っていませんでした。",
    "ko": "그날 아침 바다는 넓고 고요했으며, 작은 배들은 하얀 집들 위로 해가 "
    "떠오르기 전에 하나둘 항구로 돌아왔습니다. 사람들은 부두에서 기다렸습니다.",
    "ru": "В то утро море было широким и спокойным, и маленькие лодки одна за другой возвращались в гавань, прежде чем солнце "
    "взошло над белыми домами на холме.",
    "zh": "那天早晨，大海宽阔而平静，小船一只接一只地回到港口，太阳还没有从白色的房子上面升起来，人们在岸边等着。",
}


@pytest.mark.parametrize("language", known())
@pytest.mark.parametrize("text", LONG)
def test_a_long_text_matches_its_own_language_and_no_other(text, language):
    assert bool(mismatch(LONG[text], language)) == (text != language)


@pytest.mark.parametrize("text", LONG)
def test_any_language_and_a_list_with_its_own_take_a_text(text):
    assert mismatch(LONG[text], "any") == ""
    assert mismatch(LONG[text], ["en", "zh", text] if text not in ("en", "zh") else ["en", "zh"]) == ""


def test_a_script_is_said_in_words_and_a_language_by_its_tag():
    assert mismatch(LONG["en"], "zh") == "0% of its words are written in Han"
    assert mismatch(LONG["de"], "en") == "both its halves read as 'de'"


def test_a_short_text_of_the_same_script_is_left_alone():
    assert mismatch("La mer est large.", "en") == ""


@pytest.mark.parametrize(
    "text", ["Stop!", "42", "", "你好", "```\nprint('Здравствуй, мир')\n```", "https://example.org/а/б/в/г/д/е"]
)
@pytest.mark.parametrize("language", ["en", "zh", "ar"])
def test_nothing_is_said_of_what_tells_no_language(text, language):
    assert mismatch(text, language) == ""


@given(st.text())
def test_any_text_is_judged_without_an_error_and_the_same_each_time(text):
    assert mismatch(text, "en") == mismatch(text, "en")
    assert mismatch(text, "any") == ""


def test_the_seed_is_fixed_so_a_text_of_two_languages_is_found_the_same_each_time():
    mixed = f"{LONG['es'][:80]} {LONG['fr'][:80]}"
    assert len({detected(mixed) for _ in range(5)}) == 1


def test_a_guess_names_languages_with_rules_alone():
    assert guess(LONG["ja"]) == "ja"
    assert guess("Het was die ochtend breed en kalm op zee, en de kleine boten kwamen een voor een terug naar de haven.") == ""
