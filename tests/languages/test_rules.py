"""Rules of languages: English as it was, files that are read strictly, several languages and any."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isheep_lib.filter.steps.rules import RulesOptions, rule_problem
from isheep_lib.languages import rules
from isheep_lib.languages.patterns import PATTERNS, Words
from isheep_lib.record.rows import Pair
from isheep_lib.synthesize.rules import Item, instruction_problem

TEN = ["ar", "de", "en", "es", "fr", "hi", "ja", "ko", "ru", "zh"]
# The English rules as they stood in the code before they became data.
FORBIDDEN = (
    *("image", "images", "graph", "graphs", "picture", "pictures", "file", "files", "map", "maps", "draw", "plot"),
    *("go to", "video", "videos", "audio", "music", "flowchart", "flowcharts", "diagram", "diagrams"),
)
FILL_IN = r"(?:insert|enter|fill in|your)[ _-][^<>\[\]\n]{1,80}"
BLANK = r"(?:[^\W\d_][\w'’]*[ ]){0,3}(?:name|date|address)"
SQUARE = rf"(?<![\w\])])\[(?:{FILL_IN}|insert|{BLANK}|(?:name|date) of [^\[\]\n]{{1,60}})\](?!\()"
ANGLE = rf"(?<![\w<])<(?:{FILL_IN}|(?P<blank>{BLANK}))>"
OLD = {
    "stray_label": re.compile(r"\b(?:Instruction|Input|Output)[ \t]*:|noinput", re.IGNORECASE),
    "forbidden_word": re.compile(r"\b(?:" + "|".join(FORBIDDEN) + r")\b", re.IGNORECASE),
    "role": re.compile(
        r"^\s*(?:assistant|system|human|question|output|user|input|instruction)\s*:", re.IGNORECASE | re.MULTILINE
    ),
    "choices": re.compile(r"answer choices\s*:", re.IGNORECASE),
    "lettered": re.compile(r"^\s*\(?[A-D][.)]\s+\S.*\n\s*\(?[B-E][.)]\s+\S", re.MULTILINE),
    "follow_up": re.compile(r"\n\s*\n\s*(?:question|q)\s*\d*\s*[:.]|\n\s*\n[^\n]{0,200}\?\s*$", re.IGNORECASE),
    "placeholder": re.compile(f"{SQUARE}|{ANGLE}", re.IGNORECASE),
    "no_input": re.compile(
        r"\A\W*(?:no[\s_-]*inputs?(?:\s+(?:is\s+)?(?:needed|required|necessary|provided|given))?|none|null|n/?a"
        r"|无输入|無輸入|没有输入|沒有輸入)\W*\Z",
        re.IGNORECASE,
    ),
    "refusal": re.compile(
        r"^\W*(?:i['’]?m (?:sorry|afraid|unable|not able)|i am (?:sorry|afraid|unable|not able)|sorry\b"
        r"|i (?:can['’]?t|cannot)\b|i (?:do not|don['’]t) have (?:access|the ability)|as an ai\b|unfortunately,? i\b)",
        re.IGNORECASE,
    ),
    "apology": re.compile(r"\bsorry\b", re.IGNORECASE),
}
PIECES = st.sampled_from(
    [
        *FORBIDDEN,
        *("Instruction", "Output", "noinput", "question", "q", "user", "answer choices", "A", "B", "(C", "insert", "your"),
        *("name", "date of", "[", "]", "<", ">", "(", ")", ":", "：", ".", "?", "？", "\n", "\n\n", " ", "\t", "  ", "i'm"),
        *(
            "i’m",
            "sorry",
            "i cannot",
            "i don't have",
            "access",
            "as an ai",
            "unfortunately, i",
            "no input",
            "none",
            "n/a",
            "is",
        ),
        *("needed", "无输入", "null", "7", "é", "你好", "_", "-", "'", '"', "fill in", "address", "my"),
    ]
)
TEXTS = st.lists(PIECES, max_size=9).map("".join) | st.text(max_size=40)


@given(TEXTS)
def test_the_english_file_finds_what_the_code_found(text):
    english = rules.of("en")
    for name, old in OLD.items():
        assert english.finds(name, text) == bool(old.search(text)), name


@given(st.text(max_size=12))
def test_an_english_instruction_begins_as_the_released_rule_wants(text):
    if text:
        first = text[0]
        assert rules.of("en").starts_well(text) == (first.isascii() and (first.isalnum() or first in "\"'("))


def test_the_english_lengths_are_the_released_ones():
    assert (rules.of("en").least_words, rules.of("en").most_words) == (4, 150)


def test_there_are_rules_for_ten_languages():
    assert rules.known() == TEN


@pytest.mark.parametrize("tag", TEN)
def test_a_file_holds_every_kind_of_words(tag):
    own = rules.load(tag)
    may_be_empty = {"placeholder_alone", "placeholder_of", "word_prefix"}
    # English lists are read as they were before there were other languages, its stop words are those of a package.
    may_be_empty |= {"item_labels", "answer_labels", "list_ordinals", "stop_words"} if tag == "en" else {"list_no_input"}
    assert [name for name, value in vars(own).items() if not value and name not in may_be_empty] == []
    assert own.min_words < own.max_words


@pytest.mark.parametrize("tag", TEN)
def test_no_language_is_refused_at_its_first_letter(tag):
    own, name = rules.of(tag), rules.load(tag).own_name
    assert own.starts_well(name) or tag in ("en",)
    assert all(own.starts_well(f"{mark}{name}") for mark in own.opening_marks)


GOOD = dict(vars(rules.load("en")))
BAD = {
    "unknown": ({"colour": "red"}, "unknown: colour"),
    "missing": ({"refusals": ...}, "missing: refusals"),
    "no list": ({"refusals": "sorry"}, "refusals: 'sorry' is no list of texts"),
    "no text in a list": ({"refusals": ["sorry", 1]}, "is no list of texts"),
    "empty text": ({"roles": [""]}, "is no list of texts"),
    "twice": ({"roles": ["user", "user"]}, "roles: an item stands twice"),
    "no expression": ({"roles": ["(user"]}, "is no regular expression"),
    "matches nothing": ({"roles": ["(user)?"]}, "matches the empty text"),
    "a number as text": ({"min_words": "4"}, "min_words: '4' is no int"),
    "another edge": ({"word_edges": "all"}, "word_edges: one of both, start, none, marked"),
}


@pytest.mark.parametrize(("change", "said"), BAD.values(), ids=BAD)
def test_a_file_is_checked_strictly(tmp_path, monkeypatch, change, said):
    import yaml

    given = {name: value for name, value in (GOOD | change).items() if value is not ...}
    (tmp_path / "xx.yaml").write_text(yaml.safe_dump(given, allow_unicode=True), encoding="utf-8")
    monkeypatch.setattr(rules, "FOLDER", tmp_path)
    with pytest.raises(ValueError, match=re.escape(said)):
        rules.load.__wrapped__("xx")


def test_every_field_of_a_file_is_used_by_an_expression_or_a_rule():
    read = set()

    class Seen:
        def __getattribute__(self, name):
            read.add(name)
            return getattr(rules.load("zh"), name)

    for made in PATTERNS.values():
        made(Seen())
    used_elsewhere = {"name", "own_name", "scripts", "first_letters", "opening_marks", "min_words", "max_words"}
    used_elsewhere |= {
        "item_labels",
        "answer_labels",
        "list_marks",
        "list_ordinals",
        "list_stops",
        "list_no_input",
        "stop_words",
    }
    assert set(vars(Words(name="", own_name=""))) == read | used_elsewhere


CHECKED = [
    ("en", "en"),
    ("EN", "en"),
    ("zh-hant-tw", "zh-Hant-TW"),
    (["en"], "en"),
    (["zh", "EN"], ["zh", "en"]),
    ("any", "any"),
    (["any"], "any"),
]


@pytest.mark.parametrize(("given", "found"), CHECKED, ids=map(str, CHECKED))
def test_a_language_is_written_in_one_way(given, found):
    assert rules.checked(given) == found


REFUSED = {
    "english": ("'english'", "ar, de, en, es, fr, hi, ja, ko, ru, zh; any takes every language"),
    "pt-BR": ("no rules for 'pt-BR'", "any takes every language"),
    "e n": ("'e n' is no language tag", "any takes every language"),
    "": ("'' is no language tag", "any takes every language"),
}


@pytest.mark.parametrize("tag", REFUSED)
def test_a_language_without_rules_is_refused_with_those_there_are_and_any(tag):
    for said in REFUSED[tag]:
        with pytest.raises(ValueError, match=re.escape(said)):
            rules.checked(tag)


@pytest.mark.parametrize(
    ("given", "said"), [([], "no language"), (["en", "any"], "stands for all"), (["en", "EN"], "none twice")]
)
def test_a_list_of_languages_makes_sense(given, said):
    with pytest.raises(ValueError, match=said):
        rules.checked(given)


def pair(output, instruction="Write a short poem about the sea.", given=""):
    row = {"id": "0", "instruction": instruction, "input": given, "output": output, "finish": "end", "num_tokens": 1}
    return Pair.from_row(row)


def test_of_several_languages_all_words_count_and_what_one_allows_is_allowed():
    both = ["en", "zh"]
    assert instruction_problem(Item("", "写一首诗", ""), language=both) == ""
    assert instruction_problem(Item("", "Write a short poem about the sea.", ""), language=both) == ""
    assert instruction_problem(Item("", "Draw a picture of a house", ""), language=both) == "forbidden_word"
    assert instruction_problem(Item("", "请画一张房子的图片", ""), language=both) == "forbidden_word"
    assert rule_problem(pair("好的。\n用户：再来一首？"), 1.0, language=both)[0] == "dialogue"
    assert rules.in_words(both) == "English and Chinese"


ANY = {
    "Draw a picture": "",
    "图片": "",
    "Fuß": "",
    "?!": "starts_oddly",
    "": "empty",
    "see https://a.org for more": "url",
}


@pytest.mark.parametrize("text", ANY, ids=repr)
def test_any_language_keeps_to_what_holds_in_every_one(text):
    assert instruction_problem(Item("", text, ""), language="any") == ANY[text]


def test_any_language_drops_no_response_for_its_words_but_for_its_form():
    assert rule_problem(pair("User: and then?"), 1.0, language="any")[0] == ""
    assert rule_problem(pair("大海在月光下轻轻呼吸。"), 1.0, language="any")[0] == ""
    assert rule_problem(pair("A. Seine\nB. Rhine"), 1.0, language="any")[0] == "answer_choices"
    assert rule_problem(pair("海很宽。\n\n你喜欢哪一个？"), 1.0, language="any")[0] == "follow_up"


def test_what_only_reads_knows_every_languages_words_for_any():
    assert rules.of("any").finds("refusal", "很抱歉，我不能")
    assert rules.of("any").finds("refusal", "Lo siento, no puedo")
    assert rules.of("any").finds("no_input", "<入力なし>")


def test_the_release_drops_any_chinese_character_and_a_run_does_not():
    text = pair("The word for the sea is 大海 in Chinese, and it is an old and beautiful word.")
    assert rule_problem(text, 1.0)[0] == ""
    assert rule_problem(text, 1.0, RulesOptions(other_languages="chinese")) == ("chinese", "Chinese characters")


BESIDE = {  # an English run: instruction, input, response, and whether the response is in another language than wanted
    "asked to translate": (
        "Translate to French: the sea is wide.",
        "",
        "La mer est large et le vent souffle fort.",
        "",
    ),
    "asked for a language": ("Write a poem in Chinese about it.", "", "大海在月光下轻轻呼吸，浪花一朵一朵地开。", ""),
    "brought by the input": (
        "Sum this text up, please.",
        "大海很宽。风很大，船都在天黑之前回家了。",
        "大海很宽，船都回家了，岸上很安静。",
        "",
    ),
    "not asked": ("Write a short poem about it.", "", "大海在月光下轻轻呼吸，浪花一朵一朵地开。", "language_mismatch"),
    "a name": ("Name a river in Asia.", "", "长江", ""),
    "code": ("Print hello in Python for me.", "", "```python\nprint('你好你好你好你好')\n```", ""),
    "quoted": ("What does the sign say?", "", "It says 「大海在月光下轻轻呼吸浪花一朵一朵地开」.", ""),
    "a task in another": ("请写一首关于大海的短诗。", "", "The sea is wide.", "language_mismatch"),
}


@pytest.mark.parametrize("name", BESIDE)
def test_a_response_may_be_in_a_language_that_its_task_brings_with_it(name):
    instruction, given, output, reason = BESIDE[name]
    assert rule_problem(pair(output, instruction, given), 1.0)[0] == reason


@pytest.mark.parametrize(
    "text", ["用 Python 写一个排序函数。", "比较 GPT-4、Claude 和 Gemini 的优点", "用TensorFlow和PyTorch实现BERT模型"]
)
def test_chinese_with_latin_names_is_chinese(text):
    assert instruction_problem(Item("", text, ""), language="zh") == ""
