"""Synthesis: reading lists of tasks, rules on instructions, deduplication, responses."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from isheep_lib.engines.scripted import ScriptedEngine
from isheep_lib.errors import YieldError
from isheep_lib.journal import Journal
from isheep_lib.params import SynthesizeParams
from isheep_lib.prompts import Frame
from isheep_lib.records import Task
from isheep_lib.synthesize import (
    Item,
    collect_instructions,
    draw_demonstrations,
    funnel_of,
    instruction_problem,
    list_prompt,
    parse_list,
    respond,
)

few = settings(max_examples=50, deadline=None)
lines = st.sampled_from(
    [
        *("7. Instruction: Name a river.", "8. Instruction:", "7. Input: 1. red\n2. blue", "7. Output: Seine", "Input: none"),
        *("7.", "8. plain words", "12. Instruction: skip", "2. Instruction: again", "", "   ", "Instruction:", "7 . INPUT :"),
    ]
)
continuations = st.text() | st.lists(lines | st.text(max_size=20)).map("\n".join)
SEEDS = [
    Task(f"seed-{n}", text) for n, text in enumerate(["Name a large river.", "Add these two sums.", "Write a short poem."])
]
FRAME = Frame("f", "<", ">", "END")


def tasks(text, finish="end", first=6):
    return [(item.instruction, item.input) for item in parse_list(text, first, finish)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [("", "")]),
        (" Name a river.", [("Name a river.", "")]),
        (" Name a river.\n6. Input: <none>", [("Name a river.", "")]),
        (" Name a river.\n6. Input:", [("Name a river.", "")]),
        (" Add.\n6. Input: 1, 2\n7. Instruction: Sort.\n7. Input: b, a\n", [("Add.", "1, 2"), ("Sort.", "b, a")]),
        (" Add.\nInput: 1, 2\n7. Instruction: Sort.", [("Add.", "1, 2"), ("Sort.", "")]),  # the number is missing
        (" Add.\n 6 . input : 1, 2", [("Add.", "1, 2")]),
        (" Add.\n7. Sort these.\n8. Sing.", [("Add.", ""), ("Sort these.", ""), ("Sing.", "")]),  # labels are missing
        (" Add.\n7. Instruction:Sort.", [("Add.", ""), ("Sort.", "")]),
        (" Add.\n9. Instruction: Sort.\n10. Sing.", [("Add.", ""), ("Sort.", ""), ("Sing.", "")]),  # a wrong number
        (" Add.\n2. Instruction: Sort.\n3. Sing.", [("Add.", ""), ("Sort.", ""), ("Sing.", "")]),
        (" Add.\n9. Sort.", [("Add.\n9. Sort.", "")]),  # unlabelled and not the next number
        (" Sort.\n6. Input: 1. red\n2. blue\n3. green", [("Sort.", "1. red\n2. blue\n3. green")]),
        (" Sort.\n6. Input:\n1. red\n2. blue\n7. Instruction: Sing.", [("Sort.", "1. red\n2. blue"), ("Sing.", "")]),
        (" Add.\n6. Input: 1, 2\n6. Output: 3", [("Add.", "1, 2")]),
        (" Add.\n6. Output: 3\n7. Instruction: Sing.", [("Add.", ""), ("Sing.", "")]),
        (" Add.\nOutput: 3\nInput: 1, 2", [("Add.", "1, 2")]),
        (" Add.\n6. Input: 1\n6. Input: 2", [("Add.", "1")]),  # the first counts
        (" Add.\n7. Input: 1, 2\n8. Instruction: Sing.", [("Add.", "1, 2"), ("Sing.", "")]),  # the input's number is wrong
        (" Add.\n7. Output: 3\n7. Instruction: Sing.", [("Add.", ""), ("Sing.", "")]),
        (" Version 7. Instruction: is inside a line", [("Version 7. Instruction: is inside a line", "")]),
        ("\n7. Instruction: Sing.", [("", ""), ("Sing.", "")]),
    ],
)
def test_a_continued_list_is_cut_into_tasks(text, expected):
    assert tasks(text) == expected


@pytest.mark.parametrize(
    "word", ["<none>", "<None>", "none", "None.", "n/a", "N/A", "<noinput>", "No input", "< no input >", "-", "."]
)
def test_an_input_that_says_none_is_none(word):
    assert tasks(f" Sing.\n6. Input: {word}") == [("Sing.", "")]


@pytest.mark.parametrize("word", ["None of the above", "noon", "42", "no inputs were given", "nano", "0"])
def test_an_input_that_only_begins_like_none_is_kept(word):
    assert tasks(f" Sing.\n6. Input: {word}") == [("Sing.", word)]


@pytest.mark.parametrize(("finish", "cut"), [("length", [False, True]), ("end", [False, False]), ("stop", [False, False])])
def test_only_the_last_task_of_a_text_that_met_the_limit_is_cut(finish, cut):
    assert [item.cut for item in parse_list(" Add.\n7. Instruction: Sort the", 6, finish)] == cut


@few
@given(continuations, st.integers(1, 30), st.sampled_from(["end", "stop", "length"]))
@example("\n7. x\u2028 8. y\r7. Input: z", 6, "end")
def test_parsing_a_list_loses_no_text(text, first, finish):
    items = parse_list(text, first, finish)
    assert "".join(item.raw for item in items) == f"{first}. Instruction:{text}"
    assert all(item.instruction in item.raw and item.input in item.raw for item in items)
    assert all(item.instruction == item.instruction.strip() for item in items)


def test_a_number_of_thousands_of_digits_does_not_stop_the_parser():
    assert tasks(f" Add.\n{'7' * 5000}. x")[0][0].startswith("Add.")


GOOD = "Name three uses of salt at home."


@pytest.mark.parametrize(
    ("item", "problem"),
    [
        (Item("", GOOD, ""), ""),
        (Item("", GOOD, "salt, bread"), ""),
        (Item("", '"To be or not to be": who wrote this?', ""), ""),
        (Item("", "(Optional) Name three uses of salt.", ""), ""),
        (Item("", "3 apples cost 2 euros, what do 9 cost?", ""), ""),
        (Item("", GOOD, "", cut=True), "cut_off"),
        (Item("", "", "", cut=True), "cut_off"),
        (Item("", "", ""), "empty"),
        (Item("", "Sing a song", ""), "too_short"),
        (Item("", "word " * 151, ""), "too_long"),
        (Item("", "word " * 150, ""), ""),
        (Item("", "- Name three uses of salt.", ""), "starts_oddly"),
        (Item("", "<task> Name uses of salt.", ""), "starts_oddly"),
        (Item("", "¿Dónde está la biblioteca hoy?", ""), "starts_oddly"),
        (Item("", "说出三种盐的用途 a b c d", ""), "starts_oddly"),
        (Item("", f"{GOOD} Output: Cooking.", ""), "stray_label"),
        (Item("", GOOD, "x Instruction : y"), "stray_label"),
        (Item("", f"{GOOD} <noinput>", ""), "stray_label"),
        (Item("", "Describe the image in two sentences.", ""), "forbidden_word"),
        (Item("", "Go to the shop and buy salt.", ""), "forbidden_word"),
        (Item("", GOOD, "see the attached File"), "forbidden_word"),
        (Item("", "Imagine a filed report on mapping and drawing.", ""), ""),
        (Item("", "Summarize the page at https://a.example today.", ""), "url"),
        (Item("", GOOD, "WWW.a.example"), "url"),
        (Item("", "( ( ( ( (", ""), "no_words"),
    ],
)
def test_an_instruction_breaks_this_rule_first(item, problem):
    assert instruction_problem(item) == problem


@few
@given(st.text(), st.text(), st.booleans())
def test_the_rules_judge_any_text(instruction, given_input, cut):
    assert isinstance(instruction_problem(Item("", instruction, given_input, cut)), str)


def test_the_prompt_numbers_the_demonstrations_and_ends_with_the_next_one():
    text = list_prompt([Task("a", "Sing."), Task("b", "Add.", "1, 2")], 12)
    assert text.endswith("1. Instruction: Sing.\n1. Input: <none>\n2. Instruction: Add.\n2. Input: 1, 2\n3. Instruction:")
    assert "12" in text


def test_the_prompts_own_demonstrations_can_be_read_back():
    text = list_prompt([Task("a", "Sing loud.", "la\nli"), Task("b", "Add.")], 12).split("1. Instruction:", 1)[1]
    assert tasks(text, first=1) == [("Sing loud.", "la\nli"), ("Add.", ""), ("", "")]


def test_demonstrations_are_drawn_by_seed_and_never_twice():
    drawn = draw_demonstrations(SEEDS, 3, seed=1)
    assert sorted(task.id for task in drawn) == sorted(task.id for task in SEEDS)
    assert drawn == draw_demonstrations(SEEDS, 3, seed=1)
    assert len({tuple(t.id for t in draw_demonstrations(SEEDS, 3, s)) for s in range(20)}) > 1


def parameters(**values):
    small = {"instructions": 3, "min_instructions": 1, "demonstrations": 2, "tasks_per_prompt": 5, "prompts_per_round": 1}
    return SynthesizeParams(**{**small, "max_rounds": 3, **values})


def collect(engine, path, earlier=(), seed_of=len, **values):
    with Journal(path / "j.jsonl", "f") as journal:
        return collect_instructions(engine, SEEDS, list(earlier), parameters(**values), seed_of, journal)


def listed(*instructions):
    return " " + "\n".join(f"{'' if n == 3 else f'{n}. Instruction: '}{t}" for n, t in enumerate(instructions, start=3))


def test_rounds_go_on_until_enough_tasks_are_accepted(tmp_path):
    engine = ScriptedEngine(
        [
            listed("Explain how bees make honey.", "Explain how bees make honey now.", "Short."),
            listed("List five quiet board games.", "Translate good morning into French.", "Describe a calm autumn day."),
            "never asked",
        ]
    )
    harvest = collect(engine, tmp_path)
    assert [row["id"] for row in harvest.accepted] == ["i1-r0-p000-t0", "i1-r1-p000-t0", "i1-r1-p000-t1"]
    assert [row["reason"] for row in harvest.dropped] == ["near_duplicate", "too_short", "beyond_target"]
    assert harvest.dropped[0]["detail"] == "ROUGE-L 0.91 with: Explain how bees make honey."
    assert harvest.dropped[0]["raw"] == "4. Instruction: Explain how bees make honey now.\n"
    assert harvest.tokens == 20
    assert len(engine.waiting) == 1
    assert funnel_of(harvest, harvest.accepted) == {
        "in": 6,
        "kept": 3,
        "dropped": {"beyond_target": 1, "near_duplicate": 1, "too_short": 1},
    }


def test_seeds_and_tasks_of_earlier_iterations_count_as_duplicates(tmp_path):
    texts = [listed("Name one large river.", "Explain how bees make honey.", "Describe a calm autumn day.")]
    harvest = collect(ScriptedEngine(texts), tmp_path, ["explain how bees make honey"], instructions=1)
    assert [row["instruction"] for row in harvest.accepted] == ["Describe a calm autumn day."]
    assert [row["detail"].split(": ")[1] for row in harvest.dropped] == ["Name a large river.", "explain how bees make honey"]


def test_every_prompt_has_its_own_seed_demonstrations_and_stop(tmp_path):
    engine = ScriptedEngine([listed("Explain how bees make honey."), listed("Describe a calm autumn day.")])
    asked_for = []
    collect(engine, tmp_path, seed_of=lambda id_: asked_for.append(id_) or len(asked_for), prompts_per_round=2, max_rounds=1)
    assert len(set(asked_for)) == len(asked_for) == 4
    first, second = engine.asked
    assert (first.id, second.id) == ("i1-r0-p000", "i1-r0-p001")
    assert first.seed != second.seed
    assert first.stop == ("\n6.",)
    assert first.prompt.endswith("3. Instruction:")


def test_too_few_tasks_stop_the_stage_with_reasons_and_advice(tmp_path):
    with pytest.raises(YieldError) as caught:
        collect(ScriptedEngine([listed("Sing now.", "Hum.")] * 2), tmp_path, max_rounds=2, min_instructions=2)
    message = str(caught.value)
    assert "Only 0" in message
    assert "2 are needed" in message
    assert "too_short" in message
    assert "'Sing now.'" in message
    assert "max_rounds" in message


def test_a_resumed_collection_asks_only_for_what_is_missing(tmp_path):
    first, second = listed("Explain how bees make honey."), listed("Describe a calm autumn day.")
    whole = collect(ScriptedEngine([first, second]), tmp_path, max_rounds=2)
    (tmp_path / "again").mkdir()
    stopped = ScriptedEngine([first])  # ends with the second prompt
    with pytest.raises(IndexError):
        collect(stopped, tmp_path / "again", max_rounds=2)
    resumed = ScriptedEngine([second])
    assert collect(resumed, tmp_path / "again", max_rounds=2) == whole
    assert [request.id for request in resumed.asked] == ["i1-r1-p000"]


def test_responses_are_asked_in_the_models_frame_and_trimmed(tmp_path):
    rows = [{"id": "a", "instruction": "Add.", "input": "1, 2"}, {"id": "b", "instruction": "Sing.", "input": ""}]
    engine = ScriptedEngine(["  3 \n", "La"], finish="length")
    with Journal(tmp_path / "j.jsonl", "f") as journal:
        answered = respond(engine, FRAME, rows, parameters(), len, journal)
    assert answered == [
        {**rows[0], "output": "3", "finish": "length", "num_tokens": 10},
        {**rows[1], "output": "La", "finish": "length", "num_tokens": 10},
    ]
    assert [(r.prompt, r.stop) for r in engine.asked] == [("<Add.\n\n1, 2>", ("END",)), ("<Sing.>", ("END",))]
