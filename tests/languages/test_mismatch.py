"""Whether a text is in another language: by its script, by its words where a script is shared, and not where nothing tells."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isheep_lib.languages.mismatch import detected, guess, mismatch, without_code
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


# Chinese, of which langdetect says that both halves are Korean (0.99999), or that one is.
KOREAN_IT_SAYS = [
    "甲队单独完成工程需十二天，乙队需十八天，合作需多少天？",
    "先把米洗净泡半小时，再加水煮开，转小火慢慢熬到黏稠即可食用。",
    "水的沸点随气压降低而下降，因此高山上煮饭不容易熟透。",
    "利率上升时，债券价格通常下跌，投资者应当注意期限风险。",
]


def test_a_language_of_which_no_letter_occurs_is_none():
    import langdetect

    langdetect.DetectorFactory.seed = 0
    first = langdetect.detect_langs(KOREAN_IT_SAYS[0])[0]
    assert (first.lang, first.prob > 0.999) == ("ko", True), "langdetect has learned, and this test needs another text"
    assert detected(KOREAN_IT_SAYS[0])[0] != "ko"
    assert [mismatch(text, "zh") for text in KOREAN_IT_SAYS] == [""] * len(KOREAN_IT_SAYS)


PYTHON = """可以用双指针，从两端向中间移动：

def reverse(items):
    left, right = 0, len(items) - 1
    while left < right:
        items[left], items[right] = items[right], items[left]  # 交换两端
        left += 1
        right -= 1
    return items

时间复杂度为 O(n)，不需要额外空间。"""
SQL = """查询如下：
SELECT name, age FROM users WHERE age > 18 AND city = 'Wuhan' ORDER BY age DESC;
结果按年龄从大到小排列。"""
HTML = """<ul class="menu">
  <li><a href="/home">Home</a></li>
  <li><a href="/about">About us</a></li>
</ul>
这段代码写出一个两项的菜单。"""
ALONE = "total = 0\nfor number in numbers:\n    total += number\nprint(total / len(numbers))"
PROSE = """The two pointers start at both ends (left and right) and move to the middle.
1. Swap the items at both ends.
2. Move each pointer by one step, until they meet.
The order of time is O(n); no more space is needed."""


@pytest.mark.parametrize("text", [PYTHON, SQL, HTML, ALONE], ids=["python", "sql", "html", "alone"])
@pytest.mark.parametrize("language", ["zh", ["ja", "zh"]])
def test_code_without_a_fence_is_of_no_language(text, language):
    assert mismatch(text, language) == ""


@pytest.mark.parametrize(
    "text", [PROSE, f"{PROSE}\n\n{ALONE}", f"好的。\n{PROSE}"], ids=["alone", "with code", "after Chinese"]
)
def test_english_prose_is_no_code_whatever_stands_beside_it(text):
    assert mismatch(text, "zh")


def test_code_is_left_out_where_its_words_are_of_another_script_alone():
    assert without_code(PYTHON).split() == [
        "可以用双指针，从两端向中间移动：",
        "#",
        "交换两端",
        "时间复杂度为",
        "O(n)，不需要额外空间。",
    ]
    assert without_code(PROSE) == PROSE
    assert mismatch(f"{ALONE}\n{ALONE.replace('total', 'summe')}", "en") == mismatch(ALONE, "es") == ""
    assert mismatch(LONG["de"].replace(", ", ";\n = "), "en"), "in a run in Latin letters German between signs stays German"
