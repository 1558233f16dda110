"""What a model wrote is read by the words of the run's language, of its prompts and of English: lists, and rewritten tasks."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isheep_lib.engines.protocol import Completion
from isheep_lib.languages import rules
from isheep_lib.languages.words import words
from isheep_lib.prompting.prompt_files import english, open_prompts
from isheep_lib.synthesize.evolving.rounds import read_rewriting
from isheep_lib.synthesize.lists import parse_list

# By language: labels of an instruction, an input and an output, another number of an item, no input, a label of a rewriting.
SAID = {
    "ar": ("التعليمات:", "المدخلات:", "المخرجات:", "المهمة 8:", "لا يوجد", "المهمة الجديدة:"),
    "de": ("Anweisung:", "Eingabe:", "Antwort:", "Aufgabe 8:", "keine Eingabe", "Die neue Aufgabe:"),
    "en": ("Instruction:", "Input:", "Output:", "8.", "<none>", "The new task:"),
    "es": ("Instrucción:", "Entrada:", "Respuesta:", "Tarea 8:", "Ninguna.", "Nueva tarea:"),
    "fr": ("Consigne :", "Entrée\u00a0:", "Réponse :", "Tâche 8 :", "(aucune)", "Nouvelle tâche :"),
    "hi": ("निर्देश:", "इनपुट:", "उत्तर:", "कार्य ८:", "कोई नहीं", "नया कार्य:"),
    "ja": ("指示：", "入力：", "回答：", "第８問：", "なし", "書き換え後のタスク："),
    "ko": ("지시:", "입력:", "답변:", "과제 8:", "없음", "새로운 과제:"),
    "ru": ("Задание:", "Ввод:", "Ответ:", "Задача № 8:", "нет", "Новое задание:"),
    "zh": ("指令：", "输入：", "答案：", "第8个任务：", "（无）", "改写后的任务："),
}
ENGLISH_RUN = english()


def tasks(text, language="en", prompts=ENGLISH_RUN):
    return [(item.instruction, item.input) for item in parse_list(text, 6, "end", prompts, language)]


@pytest.mark.parametrize("language", rules.known())
def test_a_list_is_read_by_the_labels_of_its_language_after_english_prompts(language):
    instruction, given, output, eighth, none, _ = SAID[language]
    said = f" Aa.\n{given} {none}\n7. {instruction} Bb.\n7. {given} x y\n7. {output} z\n{eighth} Cc."
    assert tasks(said, language) == tasks(said, ["de", language] if language != "de" else "de")
    assert tasks(said, language) == [("Aa.", ""), ("Bb.", "x y"), ("Cc.", "")]
    assert tasks(said, "any") == tasks(said, language)


@pytest.mark.parametrize("language", [tag for tag in rules.known() if tag != "en"])
def test_an_english_run_reads_no_labels_of_another_language(language):
    _, given, _, eighth, _, _ = SAID[language]
    said = f" Aa.\n{given} x\n7. Bb.\n{eighth} Cc."
    assert tasks(said) == [(f"Aa.\n{given} x", ""), (f"Bb.\n{eighth} Cc.", "")]


@pytest.mark.parametrize("kept", ["null", "无输入", "no input needed", "nothing"])
def test_an_english_list_keeps_what_it_kept_as_an_input(kept):
    assert tasks(f" Aa.\n6. Input: {kept}") == [("Aa.", kept)]


NO_INPUT = re.compile(r"^\W*(?:<?\s*no\s*input\s*>?|<?none>?|n/?a)?\W*$", re.IGNORECASE)  # as it stood in the code


@given(st.lists(st.sampled_from(["no", "input", "none", "n/a", "na", "<", ">", " ", "7", "-", "null", "x"])).map("".join))
def test_an_english_list_finds_no_input_where_the_code_did(text):
    ((_, found),) = tasks(f" Aa.\n6. Input: {text}")
    assert found == ("" if NO_INPUT.match(text.strip()) else text.strip())


@pytest.mark.parametrize("language", rules.known())
def test_a_rewriting_loses_the_label_of_its_language_and_no_other(language):
    said = Completion("x", f"{SAID[language][5]} Aa bb.", "end", 3)
    assert read_rewriting(said, language).instruction == "Aa bb."
    assert read_rewriting(said, "any").instruction == "Aa bb."
    if language != "en":
        assert read_rewriting(said).instruction == said.text


ENGLISH_LABEL = re.compile(r"^\W*(?:(?:the )?(?:new|rewritten) (?:task|prompt)|task)\s*:\s*", re.IGNORECASE)
ENGLISH_LEAK = re.compile(r"(?:given|rewritten|original|new) (?:prompt|task)|#\w[\w ]*#", re.IGNORECASE)
PIECES = ["The", "new", "rewritten", "given", "task", "prompt", ":", "：", "**", " ", "#", "任务", "as an AI", "x", "\n"]


@given(st.lists(st.sampled_from(PIECES)).map("".join))
def test_an_english_rewriting_is_read_as_it_was(text):
    own, stripped = rules.of("en"), text.strip()
    found, label = own.first("prompt_leak", text), ENGLISH_LABEL.match(stripped)
    assert (found and found.group()) == ((old := ENGLISH_LEAK.search(text)) and old.group())
    assert own.finds("of_itself", text) == ("as an ai" in text.lower())
    assert read_rewriting(Completion("x", text, "end", 3)).instruction == stripped[label.end() if label else 0 :].strip()


@pytest.mark.parametrize(
    ("language", "leaked", "itself"),
    [
        ("ar", "أكمل المهمة الجديدة", "بصفتي نموذج لغة"),
        ("de", "Löse die umgeschriebene Aufgabe", "Als KI kann ich"),
        ("es", "Resuelve la tarea reescrita", "Como modelo de lenguaje"),
        ("fr", "Fais la nouvelle tâche", "En tant qu'assistant virtuel"),
        ("hi", "नया कार्य पूरा करो", "एआई के रूप में"),
        ("ja", "新しいタスクを解く", "私はAIです"),
        ("ko", "다시 쓴 과제를 풀어라", "저는 AI"),
        ("ru", "Выполни новое задание", "Как языковая модель, я"),
        ("zh", "完成改写后的任务", "作为一个AI，我"),
    ],
)
def test_words_of_the_prompt_and_of_a_model_about_itself_are_known_in_each_language(language, leaked, itself):
    own = rules.of(language)
    assert own.finds("prompt_leak", leaked) and own.finds("of_itself", itself)
    assert not own.finds("prompt_leak", itself) and not own.finds("of_itself", leaked)


@pytest.mark.parametrize("language", rules.known())
def test_stop_words_are_single_words_as_texts_are_split(language):
    assert all(words(word) == [word] for word in rules.stop_words(language))


def test_prompts_of_ones_own_are_read_by_their_language_in_a_run_of_another(tmp_path):
    (tmp_path / "synthesize.txt").write_text("{count}{tasks}")
    prompts = open_prompts(str(tmp_path), "de")
    assert tasks(" Aa.\nEingabe: x\nEntrée : y\n7. Consigne : Bb.", "fr", prompts) == [("Aa.", "x"), ("Bb.", "")]
