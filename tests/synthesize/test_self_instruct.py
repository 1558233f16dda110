"""Self-Instruct: lists of instructions, classification or not, instances read and filtered as published, step by step."""

import pytest

from isheep_lib.engines.protocol import Completion
from isheep_lib.errors import DataError, ParameterError, YieldError
from isheep_lib.params.check import check
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.candidates import funnel_of
from isheep_lib.synthesize.extras.asking import read_entries
from isheep_lib.synthesize.extras.own import figure_of
from isheep_lib.synthesize.methods.in_context.instances import Instance, problems, read_input_first, read_output_first
from isheep_lib.synthesize.methods.in_context.self_instruct import SelfInstruct
from isheep_lib.synthesize.params import Synthesize
from tests.scripted import Letters, ScriptedEngine
from tests.writings import FRAME, writing

SEEDS = [Task(f"seed-{n}", f"Describe plain thing number {n} to a child.") for n in range(3)]
LISTED = "4. Sort the fruit by its colour.\n5. Explain how a bicycle stays upright.\n6. Write a program that counts sheep."
SORTED = "Label: red\nInput: a ripe cherry\nLabel: yellow\nInput: a lemon"
EXPLAINED = "Output: It steers into the fall."


class Sorter(ScriptedEngine):
    """Counts words as tokens, and takes sorting for classification."""

    tokenizer = staticmethod(lambda text, add_special_tokens: {"input_ids": text.split()})

    def choices(self, prompts, labels):
        self.calls.append(prompts)
        assert labels == ["Yes", "No"]
        last = [prompt.rpartition("Task:")[2] for prompt in prompts]
        return [[-0.1, -2.3] if "Sort" in text else [-2.3, -0.1] for text in last]


def made(engine, folder, seeds=SEEDS, **values):
    options = {"demonstrations": 3, "generated_demonstrations": 0, "tasks_per_prompt": 6, "prompts_per_batch": 1}
    given = {"max_batches": 1, **values.pop("options", {})}
    params = Synthesize(
        **{"method": "self_instruct", "min_instructions": 1, "instructions": 9, "options": {**options, **given}, **values}
    )
    return writing(engine, folder, params, seeds)


@pytest.mark.parametrize(
    ("said", "items"),
    [
        ("4. Name a bird.\n5. Add two sums.", ["Name a bird.", "Add two sums."]),
        ("Sure, here are more:\n\n1) Name a bird.\n2) Add\ntwo sums.", ["Name a bird.", "Add\ntwo sums."]),
        ("- Name a bird.\n* Add two sums.", ["Name a bird.", "Add two sums."]),
        ("* 1. Name a bird.\n- 2) Add two sums.", ["Name a bird.", "Add two sums."]),
        ("- 3.5 and 2 added\n- 3 birds", ["3.5 and 2 added", "3 birds"]),
        ("Task 9: Name a bird.\nTask 10: Add two sums.", ["Name a bird.", "Add two sums."]),
        ('9. "Name a bird."', ["Name a bird."]),
        ("1. Name a bird.\n\nThe task is not a list.\n2. Add\ntwo sums.\n \nThat is all.", ["Name a bird.", "Add\ntwo sums."]),
        ("1. \n\nName a bird.", ["Name a bird."]),
        ("Name a bird.", ["Name a bird."]),
        ("1. Add 3.5 and 2.", ["Add 3.5 and 2."]),
        ("9. \n10. Name a bird.", ["", "Name a bird."]),
        ("", [""]),
    ],
)
def test_a_list_is_cut_into_its_items_however_it_is_numbered(said, items):
    assert [item.instruction for item in read_entries(Completion("x", said, "end", 3))] == items


def test_the_last_item_of_a_list_that_the_limit_ended_is_cut():
    found = read_entries(Completion("x", "1. Name a bird.\n2. Add two", "length", 3))
    assert [item.cut for item in found] == [False, True]
    (item,) = read_entries(Completion("x", "1. Name a bird.\n\nThis is a", "length", 3))
    assert (item.instruction, item.cut) == ("Name a bird.", False)


@pytest.mark.parametrize(
    ("said", "pairs"),
    [
        ("Example 1\nInput: 2 and 3\nOutput: 5\nExample 2\nInput: 4 and 4\nOutput: 8", [("2 and 3", "5"), ("4 and 4", "8")]),
        ("Input: 2 and 3\nOutput: 5\nInput: 4 and 4\nOutput: 8", [("2 and 3", "5"), ("4 and 4", "8")]),
        ("Output: Yeast gives off gas.", [("", "Yeast gives off gas.")]),
        ("Yeast gives off gas.", [("", "Yeast gives off gas.")]),
        ("Example 1\nOutput: One.\nExample 2\nOutput: Two.", [("", "One."), ("", "Two.")]),
        ("Input: None\nOutput: Yeast.", [("", "Yeast.")]),
        ("Input: <noinput>\nOutput: Yeast.", [("", "Yeast.")]),
        ("Input: two\nlines\nOutput: and\ntwo more", [("two\nlines", "and\ntwo more")]),
        ("Input: 2 and 3", [("2 and 3", "")]),
        ("Output: first\nOutput: second", [("", "first")]),
        ("", []),
    ],
)
def test_instances_are_read_input_first(said, pairs):
    assert [(i.input, i.output) for i in read_input_first(Completion("x", said, "end", 3))] == pairs


@pytest.mark.parametrize(
    ("said", "pairs"),
    [
        (SORTED, [("a ripe cherry", "red"), ("a lemon", "yellow")]),
        ("Class label: red\na ripe cherry", [("a ripe cherry", "red")]),
        ("Label: red", [("", "red")]),
        ("Label: red\nInput:\na ripe\ncherry", [("a ripe\ncherry", "red")]),
        ("Label:\nInput: a lemon", [("a lemon", "")]),
        ("It is red.", []),
    ],
)
def test_instances_are_read_output_first(said, pairs):
    assert [(i.input, i.output) for i in read_output_first(Completion("x", said, "end", 3))] == pairs


@pytest.mark.parametrize(
    ("pairs", "reasons"),
    [
        ([("a", "b")], [""]),
        ([("a", "b"), ("a", "b")], ["", "same_instance"]),
        ([("a", "b"), ("a", "c"), ("d", "e")], ["one_input_two_outputs"] * 3),
        ([("", "b"), ("", "c")], ["one_input_two_outputs"] * 2),
        ([("a", "b"), ("a", "")], ["", "no_output"]),
        ([("a", "a")], ["output_is_input"]),
        ([("a:", "b"), ("c", "d:")], ["ends_in_colon"] * 2),
    ],
)
def test_instances_are_dropped_as_the_released_filter_drops_them(pairs, reasons):
    assert [reason for reason, _ in problems([Instance("", *pair) for pair in pairs])] == reasons


def test_an_instance_that_the_limit_ended_is_dropped_and_speaks_for_no_other():
    found = read_input_first(Completion("x", "Input: a\nOutput: b\nInput: a\nOutput: be", "length", 3))
    assert [reason for reason, _ in problems(found)] == ["", "cut_off"]


def test_a_task_becomes_pairs_step_by_step(tmp_path):
    engine = Sorter([LISTED, SORTED, EXPLAINED])
    found = SelfInstruct().write(made(engine, tmp_path))
    assert [(row["id"], row["classification"], row["input"], row["output"]) for row in found.accepted] == [
        ("i1-r0-p000-t0-n0", True, "a ripe cherry", "red"),
        ("i1-r0-p000-t0-n1", True, "a lemon", "yellow"),
        ("i1-r0-p000-t1-n0", False, "", "It steers into the fall."),
    ]
    assert all(set(row["demonstrations"]) == {"seed-0", "seed-1", "seed-2"} for row in found.accepted)
    assert [(row["instruction"], row["reason"]) for row in found.dropped] == [
        ("Write a program that counts sheep.", "about_a_program")
    ]
    first, second, third = engine.asked
    assert "1. Describe plain thing" in first.prompt and "list of 6 different tasks" in first.prompt
    assert first.prompt.endswith("to a child.\n4."), "the model goes on with a list of its own"
    assert first.stop == ("END", "\n7.")
    assert second.prompt == FRAME.prompt(second.prompt[1:-1])
    assert "Task: Sort the fruit by its colour." in second.prompt and "Label: land" in second.prompt
    assert "Task: Explain how a bicycle stays upright." in third.prompt and "Output: Yeast eats sugar" in third.prompt
    assert second.stop == ("END", "\nTask:")
    assert (first.max_new_tokens, second.max_new_tokens) == (128, 192)
    assert [row["num_tokens"] for row in found.accepted] == [2, 2, 6]
    assert found.tokens == 30 - 10, "what is a response counts as one"


def test_every_candidate_is_accepted_or_dropped_and_the_funnel_adds_up(tmp_path):
    said = ["4. Sort the fruit by its colour.\n5. Explain how tea is made.\n6. Sort", "It is red.", "Output:"]
    with pytest.raises(YieldError) as caught:
        SelfInstruct().write(made(Sorter(said), tmp_path))
    assert all(reason in str(caught.value) for reason in ("no_instance", "no_output", "too_short"))
    found = SelfInstruct().write(made(Sorter([said[0], said[1], "Output: In a pot."]), tmp_path / "b"))
    counts = funnel_of(found, found.accepted)
    assert (counts["in"], counts["kept"]) == (3, 1)


def test_of_more_instances_than_wanted_some_drawn_at_random_stay(tmp_path):
    many = "\n".join(f"Label: l{n}\nInput: thing {n}" for n in range(7))
    found = SelfInstruct().write(made(Sorter(["4. Sort the fruit by its colour.", many]), tmp_path, options={"instances": 5}))
    assert len(found.accepted) == 5
    assert [row["reason"] for row in found.dropped] == ["beyond_instances"] * 2
    assert {row["output"] for row in (*found.accepted, *found.dropped)} == {f"l{n}" for n in range(7)}


def test_a_list_is_read_from_the_number_with_which_it_was_begun(tmp_path):
    said = " Sort the fruit by its colour.\n5. Write a program that counts sheep."
    found = SelfInstruct().write(made(Sorter([said, SORTED]), tmp_path))
    assert {row["instruction"] for row in found.accepted} == {"Sort the fruit by its colour."}
    assert [row["reason"] for row in found.dropped] == ["about_a_program"]


def test_an_instance_that_the_prompt_shows_is_none_of_the_task(tmp_path):
    copied = "Label: land\nInput: A hedgehog that looks for beetles under the hedge.\nLabel: yellow\nInput: a lemon"
    said = [
        "4. Sort the fruit by its colour.\n5. Explain how a bicycle stays upright.",
        copied,
        "Output: Yeast eats sugar and gives off gas.",
    ]
    found = SelfInstruct().write(made(Sorter(said), tmp_path))
    assert [row["output"] for row in found.accepted] == ["yellow", "Yeast eats sugar and gives off gas."]
    assert [(row["output"], row["reason"]) for row in found.dropped] == [("land", "copies_example")]


def test_a_rule_that_an_input_breaks_drops_the_instance(tmp_path):
    said = ["4. Sort the fruit by its colour.", "Label: red\nInput: see https://cherry.example\nLabel: yellow\nInput: a lemon"]
    found = SelfInstruct().write(made(Sorter(said), tmp_path))
    assert [(row["output"], row["reason"]) for row in found.dropped] == [("red", "url")]


def test_own_tasks_are_shown_from_the_second_batch_on_each_instruction_once(tmp_path):
    said = ["4. Sort the fruit by its colour.", "5. Explain how a bicycle stays upright.", SORTED, EXPLAINED]
    options = {"demonstrations": 2, "generated_demonstrations": 1, "max_batches": 2}
    engine = Sorter(said)
    work = made(engine, tmp_path, options=options)
    work.earlier.extend([Task("i0-a-n0", "Name a calm river."), Task("i0-a-n1", "Name a calm river.")])
    found = SelfInstruct().write(work)
    second = engine.asked[1].prompt
    assert ("Name a calm river." in second) != ("Sort the fruit" in second)
    assert len(found.accepted) == 3


def test_a_killed_stage_asks_only_for_the_rest(tmp_path):
    said = [LISTED, SORTED, EXPLAINED]
    whole = SelfInstruct().write(made(Sorter(said), tmp_path / "whole"))
    for life in range(3):
        with pytest.raises(IndexError):
            SelfInstruct().write(made(Sorter(said[:life]), tmp_path / str(life)))
        rest = Sorter(said[life:])
        assert SelfInstruct().write(made(rest, tmp_path / str(life))) == whole
        assert len(rest.asked) == 3 - life


def test_the_example_shows_one_task_in_every_step(tmp_path):
    shown = SelfInstruct().example(made(Sorter([LISTED, SORTED]), tmp_path))
    assert [row["step"] for row in shown.rows] == ["instruction"] * 3 + ["classification?", "instance", "instance"]
    assert shown.rows[3]["rule"] == "90% yes"
    assert shown.said.endswith(SORTED)


def test_the_evidence_and_the_figure_tell_the_kinds_apart(tmp_path):
    method = SelfInstruct()
    found = method.write(made(Sorter([LISTED, SORTED, EXPLAINED]), tmp_path))
    shown = {row["kind"].split(",")[0]: (row["tasks"], row["pairs"], row["with input"]) for row in method.evidence(found).rows}
    assert shown == {"classification": (1, 2, 2), "other": (1, 1, 0)}
    (axis,) = figure_of(method, found).axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["classification", "other"]
    assert [bar.get_width() for bar in axis.patches] == [2, 1, 0, 0]


def test_published_values_are_the_defaults():
    options = Synthesize(method="self_instruct").options
    assert (options.demonstrations, options.generated_demonstrations, options.instances) == (8, 2, 5)
    assert options.tasks_per_prompt == 16


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"demonstrations": 16}, "options.tasks_per_prompt: must be more than demonstrations"),
        ({"generated_demonstrations": 8}, "options.generated_demonstrations: must be fewer than demonstrations"),
        ({"instances": 0}, "options.instances: 0 should be greater than or equal to 1"),
        ({"rounds": 2}, "the method self_instruct has no rounds"),
    ],
)
def test_options_that_contradict_one_another_are_refused(options, said):
    with pytest.raises(ParameterError, match=said):
        check(Synthesize, {"method": "self_instruct", "options": options}, "x")


def test_seeds_that_do_not_fill_a_prompt_are_refused_at_the_plan(tmp_path):
    path = tmp_path / "seeds.jsonl"
    path.write_text('{"instruction": "Name a bird of the sea."}\n')
    with pytest.raises(DataError, match=r"1 seed task\(s\) cannot fill a prompt that shows 8"):
        Synthesize(method="self_instruct", seeds=str(path)).data_digests()
    assert set(Synthesize(method="self_instruct").data_digests()) == {"seeds"}


def test_a_context_without_room_for_the_instances_is_refused_before_anything_is_asked(tmp_path):
    engine = Sorter(["never asked"])
    engine.tokenizer, engine.context = Letters(), 1500
    with pytest.raises(ParameterError, match=r"(?s)no room for later steps.*self_instruct-input_first.txt"):
        SelfInstruct().write(made(engine, tmp_path, response_tokens=600))
    assert engine.asked == []
