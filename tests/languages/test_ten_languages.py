"""Ten languages: what each of them comes to where words are counted or compared. The sentences are our own."""

from dataclasses import dataclass

import pytest

from isheep_lib.analysis.collapse import answer_signs
from isheep_lib.analysis.contamination import Index, Item
from isheep_lib.analysis.sentences import shortened
from isheep_lib.analysis.words import copy_share, distinct_n
from isheep_lib.assess.reliability_check import truncated, wrong_task
from isheep_lib.filter.steps.rules import ECHO_WORDS
from isheep_lib.languages.words import amount, count_words, words
from isheep_lib.record.rows import Pair
from isheep_lib.synthesize.near_duplicates import NearDuplicates
from isheep_lib.synthesize.rules import Item as Idea
from isheep_lib.synthesize.rules import instruction_problem


@dataclass(frozen=True)
class Language:
    """A task, how many words it has, the task with a word changed, two unlike tasks that name the same thing, an answer."""

    task: str
    number: int
    near: str
    unlike: tuple[str, str]
    answer: str
    begins: str  # the answer's first sentence
    half: str  # the first half of that sentence's words


LANGUAGES = {
    "en": Language(
        "Explain to a child why the leaves of trees turn red in autumn.",
        13,
        "Explain to a child why the leaves of trees turn yellow in autumn.",
        ("Write a poem about Python 2020.", "How does a loop work in Python 2020?"),
        "In cold weather a tree saves its water. Then the green colour fades away.",
        "In cold weather a tree saves its water.",
        "In cold weather a",
    ),
    "zh": Language(
        "请向孩子解释为什么秋天树叶会变红。",
        16,
        "请向孩子解释为什么秋天树叶会变黄。",
        ("用Python写一首2020年的诗", "比较循环与递归，说明Python在2020有何变化"),
        "天气变冷时，树木会节约水分。于是绿色慢慢褪去了。",
        "天气变冷时，树木会节约水分。",
        "天气变冷时，树",
    ),
    "es": Language(
        "Explica a un niño por qué las hojas de los árboles se ponen rojas en otoño.",
        16,
        "Explica a un niño por qué las hojas de los árboles se ponen amarillas en otoño.",
        ("Escribe un poema sobre Python 2020.", "¿Cómo funciona un bucle en Python 2020?"),
        "Cuando hace frío, el árbol ahorra agua. Entonces el verde desaparece poco a poco.",
        "Cuando hace frío, el árbol ahorra agua.",
        "Cuando hace frío, el",
    ),
    "fr": Language(
        "Explique à un enfant pourquoi les feuilles des arbres rougissent en automne.",
        12,
        "Explique à un enfant pourquoi les feuilles des arbres jaunissent en automne.",
        ("Écris un poème sur Python 2020.", "Comment marche une boucle avec Python 2020 ?"),
        "Quand il fait froid, l'arbre économise l'eau. Alors le vert s'efface peu à peu.",
        "Quand il fait froid, l'arbre économise l'eau.",
        "Quand il fait froid,",
    ),
    "de": Language(
        "Erkläre einem Kind, warum die Blätter der Bäume im Herbst rot werden.",
        12,
        "Erkläre einem Kind, warum die Blätter der Bäume im Herbst gelb werden.",
        ("Schreibe ein Gedicht über Python 2020.", "Wie arbeitet eine Schleife in Python 2020?"),
        "Bei Kälte spart der Baum sein Wasser. Dann verblasst das Grün nach und nach.",
        "Bei Kälte spart der Baum sein Wasser.",
        "Bei Kälte spart der",
    ),
    "ja": Language(
        "秋になると木の葉が赤くなる理由を子どもに説明してください。",
        28,
        "秋になると木の葉が黄色くなる理由を子どもに説明してください。",
        ("Python 2020の詩を書いて", "ループの仕組みをPython 2020で説明する"),
        "寒くなると木は水を節約します。すると緑の色が少しずつ消えます。",
        "寒くなると木は水を節約します。",
        "寒くなると木は",
    ),
    "ko": Language(
        "가을이 되면 나뭇잎이 왜 빨갛게 변하는지 아이에게 쉽게 설명해 주세요.",
        10,
        "가을이 되면 나뭇잎이 왜 노랗게 변하는지 아이에게 쉽게 설명해 주세요.",
        ("Python 2020 이야기로 시를 써 보세요.", "반복문이 무엇인지 Python 2020 예로 알려 줘."),
        "날이 추워지면 나무는 물을 아껴요. 그러면 초록색이 조금씩 사라져요.",
        "날이 추워지면 나무는 물을 아껴요.",
        "날이 추워지면 나무는",
    ),
    "ar": Language(
        "اشرح لطفل صغير لماذا تصبح أوراق الشجر حمراء في فصل الخريف.",
        11,
        "اشرح لطفل صغير لماذا تصبح أوراق الشجر صفراء في فصل الخريف.",
        ("اكتب قصيدة عن Python 2020.", "كيف تعمل الحلقة في لغة Python 2020؟"),
        "هل يبرد الجو كل خريف؟ عندئذ توفر الشجرة ماءها ويختفي اللون الأخضر.",
        "هل يبرد الجو كل خريف؟",
        "هل يبرد الجو",
    ),
    "ru": Language(
        "Объясни ребёнку, почему осенью листья на деревьях становятся красными.",
        9,
        "Объясни ребёнку, почему осенью листья на деревьях становятся жёлтыми.",
        ("Напиши стихотворение про Python 2020.", "Как работает цикл на языке Python 2020?"),
        "Когда холодает, дерево бережёт воду. Тогда зелёный цвет понемногу исчезает.",
        "Когда холодает, дерево бережёт воду.",
        "Когда холодает, дерево",
    ),
    "hi": Language(
        "बच्चे को समझाइए कि शरद ऋतु में पेड़ों के पत्ते लाल क्यों हो जाते हैं।",
        15,
        "बच्चे को समझाइए कि शरद ऋतु में पेड़ों के पत्ते पीले क्यों हो जाते हैं।",
        ("Python 2020 पर एक कविता लिखिए।", "लूप कैसे चलता है, Python 2020 में बताइए।"),
        "ठंड में पेड़ अपना पानी बचाता है। फिर हरा रंग धीरे-धीरे मिट जाता है।",
        "ठंड में पेड़ अपना पानी बचाता है।",
        "ठंड में पेड़ अपना",
    ),
}
each = pytest.mark.parametrize("said", LANGUAGES.values(), ids=LANGUAGES)
RULES_OF_LENGTH = ("too_short", "too_long", "no_words")


def pair(task: str, output: str, id_: str = "p") -> Pair:
    return Pair(id_, task, "", output)


@each
def test_words_are_counted_and_a_task_is_neither_too_short_nor_too_long(said):
    assert count_words(said.task) == said.number
    assert instruction_problem(Idea("", said.task, "")) not in RULES_OF_LENGTH
    two = words(said.task)[0]
    assert instruction_problem(Idea("", two, "")) == "too_short"
    assert instruction_problem(Idea("", f"{said.task} " * (150 // said.number + 1), "")) == "too_long"


@each
def test_a_task_with_one_word_changed_is_a_duplicate_and_two_that_name_the_same_thing_are_none(said):
    near = NearDuplicates(0.7)
    near.add(said.task)
    near.add(said.unlike[0])
    found = near.find(said.near)
    assert found and found[0] == said.task and 0.7 < found[1] < 1.0
    assert near.find(said.unlike[1]) is None
    assert near.find(said.task) == (said.task, 1.0)


@each
def test_a_response_that_says_the_task_again_is_an_echo_and_an_answer_is_none(said):
    assert copy_share(said.near, said.task) > 0.5
    assert copy_share(said.answer, said.task) < 0.2
    assert amount(words(said.near)) >= ECHO_WORDS


@each
def test_an_answer_is_cut_at_its_sentence_or_in_the_middle_of_its_words(said):
    assert shortened(said.answer) == said.begins
    assert truncated([pair(said.task, said.begins)]) == [said.half]


@each
def test_an_answer_to_the_most_similar_task_is_the_wrong_one(said):
    others = [pair(said.unlike[0], "a", "1"), pair(said.near, "b", "2"), pair(said.unlike[1], "c", "3")]
    assert wrong_task([pair(said.task, said.answer)], others) == ["b"]


@each
def test_repetition_lowers_what_is_distinct(said):
    looped = " ".join([said.answer] * 40)
    assert distinct_n([said.answer], 2) > 0.9
    assert distinct_n([looped], 2) < 0.05
    signs = answer_signs([said.answer, looped])
    assert signs["mean_words"] == 20.5 * len(words(said.answer))
    assert signs["repeated_ngrams"] > 0.45


@each
def test_a_benchmarks_item_is_found_alone_and_within_a_longer_task(said):
    rows = [
        {"id": "alone", "instruction": f"« {said.task.upper()} »", "input": "", "output": said.answer},
        {"id": "within", "instruction": f"{said.unlike[0]}\n{said.task}", "input": "", "output": ""},
        {"id": "other", "instruction": said.unlike[1], "input": said.unlike[0], "output": said.answer},
    ]
    hits = Index(rows).find([Item("own", "1", (said.task,))])
    assert {hit.row_id: hit.kind for hit in hits} == {"alone": "exact", "within": "contains"}


LONG = "下列关于光合作用的说法中，哪一项能够正确说明植物为什么需要水、阳光和二氧化碳？"


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        (f"请回答：{LONG}", "contains"),
        (LONG[:26], "13-gram"),  # 25 characters and a comma
        (LONG[:24], None),
        (LONG.replace("植物", "树木").replace("哪一项", "哪一个"), "8-gram"),
        (LONG[:12], None),
    ],
)
def test_chinese_questions_are_found_by_twice_as_many_characters(row, kind):
    rows = [{"id": "a", "instruction": row, "input": "", "output": ""}]
    assert [hit.kind for hit in Index(rows).find([Item("own", "1", (LONG,))])] == [kind] * (kind is not None)


def test_a_long_name_that_a_task_shares_with_an_item_is_no_evidence():
    name = "中华人民共和国中央人民政府"  # 13 characters, and 4 words
    rows = [{"id": "a", "instruction": f"写一篇介绍{name}的短文", "input": "", "output": ""}]
    assert Index(rows).find([Item("own", "1", (f"下列哪一项不是{name}的职能？请选出正确的答案并说明理由。",))]) == []
