"""Prompts by language: found, checked before anything is asked, filled and hashed."""

import hashlib
import json
import os
import shutil

import pytest

from isheep_lib.errors import DataError
from isheep_lib.prompting.chat import FOLDER, FRAMES
from isheep_lib.prompting.plain_text import plain
from isheep_lib.prompting.prompt_files import SHIPPED, WORDS, Prompts, english, of_language, open_prompts, variables
from isheep_lib.record.provenance import project_root

NAMES = sorted(path.name for path in english().folder.glob("*.txt"))
CHINESE = open_prompts("zh")
PRESENT = [(language, name) for language in SHIPPED for name in NAMES if (FOLDER / language / name).is_file()]


def own(folder, **texts):
    """Copy the English prompts and change some, None taking one away."""
    shutil.copytree(english().folder, folder)
    for name, text in texts.items():
        path = folder / f"{name.replace('_', '-')}.txt"
        path.unlink() if text is None else path.write_text(text, encoding="utf-8")
    return open_prompts(str(folder))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("synthesize.txt", {"count": "12", "tasks": "1. Instruction: Sing {loudly} {0} {{x}}."}),
        ("quality-combined.txt", {"task": "Print {name} and {}.", "response": "{'a': 1}"}),
        ("following-combined.txt", {"task": "One.\n\nTwo.", "response": ""}),
    ],
)
@pytest.mark.parametrize("language", SHIPPED)
def test_a_prompt_holds_the_given_words_unchanged(language, name, values):
    text = open_prompts(language).render(name, **values)
    assert all(value in text for value in values.values())
    assert not text.endswith("\n")


@pytest.mark.parametrize(
    "values", [{}, {"task": "t"}, {"response": "r"}, {"task": "t", "response": "r", "more": "m"}, {"task": "t", "reponse": "r"}]
)
def test_missing_and_unused_variables_are_refused(values):
    with pytest.raises(ValueError, match=r"quality-combined.txt wants \['response', 'task'\]"):
        english().render("quality-combined.txt", **values)


def test_the_assessors_ask_for_the_format_that_is_parsed():
    for name in ("quality-combined.txt", "following-combined.txt"):
        assert "<score>||<explanation>" in english().render(name, task="t", response="r")
        assert "<分数>||<理由>" in CHINESE.render(name, task="t", response="r")


@pytest.mark.parametrize("language", SHIPPED)
def test_the_list_prompt_ends_where_the_model_goes_on(language):
    assert open_prompts(language).render("synthesize.txt", count="3", tasks="1. Instruction:").endswith("1. Instruction:")


@pytest.mark.parametrize(("language", "name"), PRESENT)
def test_a_prompt_has_the_variables_of_the_english_one_and_ends_as_it_must(language, name):
    text = (FOLDER / language / name).read_text(encoding="utf-8")
    assert variables(text) == variables((english().folder / name).read_text())
    assert text.endswith("\n") and not text.endswith("\n\n") and text == text.lstrip()
    if "-icl" in name:
        assert text.rstrip("\n").endswith((":", "："))


@pytest.mark.parametrize("language", SHIPPED)
def test_every_language_has_every_prompt_and_its_words_and_nothing_else(language):
    assert sorted(path.name for path in (FOLDER / language).iterdir()) == sorted([*NAMES, WORDS])


@pytest.mark.parametrize("name", [name for language, name in PRESENT if language == "zh" and not name.startswith("synthesize")])
def test_a_chinese_prompt_is_written_in_chinese(name):
    text = (CHINESE.folder / name).read_text(encoding="utf-8")
    han = sum("\u4e00" <= sign <= "\u9fff" for sign in text)
    latin = sum(sign.isascii() and sign.isalpha() for sign in text) - sum(len(word) for word in variables(text))
    assert han > latin  # names of columns and kinds, Python, and A, B and C stay as they are


@pytest.mark.parametrize(
    ("language", "answers", "line"), [("en", ["Yes", "No"], "Answer Yes or No."), ("zh", ["是", "否"], "请回答“是”或“否”。")]
)
def test_the_answers_that_are_read_are_those_that_the_prompts_ask_for(language, answers, line):
    prompts = open_prompts(language)
    assert prompts.words.answers == answers
    assert prompts.render("verdict.txt", task="t", response="r").endswith(line)
    assert prompts.render("evol-equal.txt", first="a", second="b").endswith(line)
    assert prompts.render("iteralign-bad.txt", task="t", answer="a").endswith(line)
    assert prompts.render("iteralign-vague.txt", rule="r").endswith(line)
    assert line in prompts.render("self_instruct-classification.txt", task="t")


@pytest.mark.parametrize(("language", "label"), [("en", "Task:"), ("zh", "任务：")])
@pytest.mark.parametrize("name", ["quality-icl.txt", "following-icl.txt"])
def test_the_next_example_begins_with_the_label_of_the_task(language, label, name):
    prompts = open_prompts(language)
    assert prompts.opening_of(name, "task") == label
    assert prompts.render(name, task="t", response="r").count(f"\n\n{label}\n") == 4


def test_an_opening_that_is_no_line_of_its_own_is_none(tmp_path):
    prompts = own(tmp_path / "p", quality_icl="Judge {task}, answered by {response}:")
    assert prompts.opening_of("quality-icl.txt", "task") == ""


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", "en"),
        ("zh", "zh"),
        ("zh-Hans", "zh"),
        ("zh-Hant-TW", "zh"),
        ("en-GB", "en"),
        ("de", "en"),
        ("zhx", "en"),
        ("any", "en"),
        (["zh"], "zh"),
        (["zh", "en"], "en"),
        (["ja", "zh"], "en"),
    ],
)
def test_auto_follows_the_one_language_of_the_tasks_that_has_prompts(language, expected):
    assert of_language(language) == open_prompts("auto", language).language == expected
    assert open_prompts("auto", language).folder == FOLDER / expected


def test_a_shipped_language_is_asked_whatever_the_tasks_are_in():
    assert open_prompts("zh", "en").folder == FOLDER / "zh"
    assert open_prompts("en", "zh").folder == FOLDER / "en"


def test_a_digest_is_that_of_the_file_under_its_bare_name_in_any_language():
    for language in SHIPPED:
        content = (FOLDER / language / "quality-combined.txt").read_bytes()
        found = open_prompts(language).digests("quality-combined.txt", *FRAMES)
        assert found["quality-combined.txt"] == hashlib.sha256(content).hexdigest()
        assert {*FRAMES} <= {*found}


def test_words_beside_prompts_count_where_they_are_not_the_english_ones_and_something_is_asked(tmp_path):
    assert list(english().digests("verdict.txt", *FRAMES)) == ["verdict.txt", *FRAMES]
    assert list(CHINESE.digests("verdict.txt")) == ["verdict.txt", WORDS]
    assert list(CHINESE.digests(*FRAMES)) == [*FRAMES]
    assert CHINESE.digests(*FRAMES) == english().digests(*FRAMES)
    assert own(tmp_path / "p").digests("verdict.txt", "dialogue.txt") == english().digests("verdict.txt", "dialogue.txt")


def test_the_names_and_digests_of_the_committed_records_are_those_of_today(root):
    paths = (root / "results/reference").rglob("manifest.json")
    seen = {"en": set(), "zh": set()}
    for manifest in (json.loads(path.read_text()) for path in paths):
        given, each = manifest["parameters"], manifest["parts"].get("prompts", {})
        own = open_prompts(given.get("prompts", "en"), given.get("language", "en"))
        names = {name for name in each if name.endswith((".txt", ".jinja"))}
        now = own.digests(*sorted(names))
        assert all(each[name] == now[name] for name in names)
        seen[own.language] |= names
    assert {"quality-combined.txt", "following-combined.txt", "synthesize.txt", *FRAMES} <= seen["en"]
    assert {"quality-combined.txt", "following-combined.txt", "synthesize-where_given.txt", *FRAMES} <= seen["zh"]


def test_a_folder_of_ones_own_is_found_from_here_and_from_the_clones_root(tmp_path, monkeypatch):
    own(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    assert open_prompts("mine").folder == tmp_path / "mine"
    assert open_prompts("isheep_lib/prompting/prompts/zh").folder == project_root() / "isheep_lib/prompting/prompts/zh"


def test_a_folder_named_like_a_language_needs_a_path(tmp_path, monkeypatch):
    own(tmp_path / "zh")
    monkeypatch.chdir(tmp_path)
    assert open_prompts("zh").folder == FOLDER / "zh"
    assert open_prompts("./zh").folder == tmp_path / "zh"


@pytest.mark.parametrize("choice", ["fr", "no/such/folder", "pyproject.toml", "\0"])
def test_prompts_that_are_nowhere_are_refused_with_what_there_is(choice):
    with pytest.raises(DataError, match="There are no prompts") as caught:
        open_prompts(choice)
    assert caught.value.where == "model.prompts" and caught.value.allowed == "auto, en, zh, or a folder of prompts"


def test_everything_that_is_wrong_with_a_folder_is_named_at_once(tmp_path):
    prompts = own(
        tmp_path / "p",
        verdict=None,
        dialogue="  \n",
        quality_simple="{task} {answer}",
        quality_icl="{task",
        following_simple="{task} {response!r} {0}",
        following_icl="{task} {response:>9}",
        longform_query="{document.text} {document}",
    )
    (prompts.folder / "quality-combined.txt").write_bytes(b"\xff\xfe{task}{response}")
    (prompts.folder / WORDS).write_text("instruction: A\nyess: B\n")
    with pytest.raises(DataError) as caught:
        prompts.digests(*NAMES, *FRAMES)
    said = caught.value.what.splitlines()
    for line in (
        "verdict.txt: is missing",
        "dialogue.txt: is blank",
        "quality-simple.txt: unknown variable {answer}; allowed: {response}, {task}",
        "quality-simple.txt: lacks {response}",
        "following-simple.txt: unknown variable {0}; allowed: {response}, {task}",
        "following-simple.txt: {response} stands with a format; write its name alone",
        "following-icl.txt: {response} stands with a format; write its name alone",
        "longform-query.txt: unknown variable {document.text}; allowed: {document}",
    ):
        assert f"  {line}" in said
    assert any(line.startswith("  quality-icl.txt: braces do not match") for line in said)
    assert any(line.startswith("  quality-combined.txt: quality-combined.txt is not UTF-8 text") for line in said)
    assert "yess" in caught.value.what and "no_input" in caught.value.what
    assert caught.value.where == f"model.prompts: {prompts.folder}"


def test_files_that_are_not_asked_with_may_be_missing(tmp_path):
    (tmp_path / "p").mkdir()
    shutil.copy(CHINESE.folder / "dialogue.txt", tmp_path / "p")
    prompts = open_prompts(str(tmp_path / "p"), "zh")
    assert prompts.digests("dialogue.txt") == {"dialogue.txt": CHINESE.digests("dialogue.txt")["dialogue.txt"]}
    assert (prompts.words, prompts.language) == (english().words, "zh")
    with pytest.raises(DataError, match="2 thing"):
        prompts.require("dialogue.txt", "verdict.txt", "evol-equal.txt")


def test_lines_and_braces_of_a_users_file_are_taken_as_they_are_meant(tmp_path):
    prompts = own(tmp_path / "p", verdict="Q: {{x}} {task}\r\nA: {response}\r\n")
    (prompts.folder / "dialogue.txt").write_bytes(b"\xef\xbb\xbfAsk.\r\n")
    assert prompts.render("verdict.txt", task="{t}", response="r") == "Q: {x} {t}\nA: r"
    assert prompts.render("dialogue.txt") == "Ask."


def test_a_file_is_read_once_so_that_an_edit_does_not_come_into_the_middle(tmp_path):
    prompts = own(tmp_path / "p")
    before = prompts.render("dialogue.txt")
    (prompts.folder / "dialogue.txt").write_text("Another.")
    assert prompts.render("dialogue.txt") == before
    assert Prompts(prompts.folder).render("dialogue.txt") == "Another."


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        ("yes: Ja\n", "missing"),
        ('{instruction: A, input: B, no_input: C, length: "{length}", "yes": J, "no": J}', "another word than yes"),
        ('{instruction: A, input: B, no_input: C, length: "{n}", "yes": J, "no": N}', "must hold {length}"),
        ('{instruction: A, input: B, no_input: C, length: "{", "yes": J, "no": N}', "must hold {length}"),
        ('{instruction: "", input: B, no_input: C, length: "{length}", "yes": J, "no": N}', "instruction"),
        ("[1]", "not a mapping"),
    ],
)
def test_words_that_cannot_stand_beside_prompts_are_refused(tmp_path, words, wrong):
    prompts = own(tmp_path / "p")
    (prompts.folder / WORDS).write_text(words)
    with pytest.raises(DataError) as caught:
        prompts.require("verdict.txt")
    assert wrong in str(caught.value)


@pytest.mark.parametrize(("make", "what"), [(os.mkfifo, "a named pipe"), (os.mkdir, "a folder")])
def test_words_that_are_no_file_are_refused_and_not_passed_over_for_the_english_ones(tmp_path, make, what):
    (tmp_path / "p").mkdir()
    make(tmp_path / "p" / WORDS)
    with pytest.raises(DataError, match=f"{WORDS} is {what}"):
        open_prompts(str(tmp_path / "p"))


def test_what_chinese_prompts_show_as_the_form_is_no_score():
    from isheep_lib.prompting.score_parsing import parse_score

    for name in NAMES:
        if name.startswith(("quality", "following")) and "icl" not in name:
            asked = CHINESE.render(name, task="t", response="r").rpartition("\n")[2]
            assert parse_score(asked)[0] is None, plain(asked)
