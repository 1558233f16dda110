"""An answer that is begun for the model: the beginning stands behind the opening of its turn, and is read on from there."""

import json

import pytest

from isheep_lib.engines.protocol import Completion
from isheep_lib.prompting.chat import Frame
from isheep_lib.prompting.prompt_files import open_prompts
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.extras.asking import numbered, read_entries, text_request
from isheep_lib.synthesize.methods.in_context.fields import Fields, begin_fields, read_fields, write_fields
from isheep_lib.synthesize.methods.in_context.lamini import LaMini
from isheep_lib.synthesize.methods.in_context.self_instruct import SelfInstruct
from isheep_lib.synthesize.methods.in_context.task_list import TaskList
from isheep_lib.synthesize.methods.in_context.unnatural_instructions import UnnaturalInstructions
from isheep_lib.synthesize.params import Synthesize
from tests.frames import hand_made
from tests.scripted import Letters, ScriptedEngine
from tests.writings import FRAME, writing

SEEDS = [Task(f"seed-{n}", f"Describe plain thing {n}\nto a child.") for n in range(3)]
SHOWN = [Fields("Count the doors.", "front: locked", "A digit."), Fields("Name the bird.", "A wren sings.", "")]
FRUIT, BREAD = "Sort these fruits by colour.", "Explain why bread rises in the oven."


@pytest.mark.parametrize(
    ("texts", "list_"),
    [([], "1."), (["Name a bird."], "1. Name a bird.\n2."), (["Add\n  two sums.", "b"], "1. Add two sums.\n2. b\n3.")],
)
def test_a_list_is_begun_up_to_the_number_of_the_next_item(texts, list_):
    assert numbered(texts) == list_


@pytest.mark.parametrize(
    ("said", "items"),
    [
        (f" {FRUIT}\n5. {BREAD}", [FRUIT, BREAD]),
        (f"{FRUIT}\n5. {BREAD}", [FRUIT, BREAD]),
        (f"\n{FRUIT}\n5. {BREAD}", [FRUIT, BREAD]),
        (f"4. {FRUIT}\n5. {BREAD}", [FRUIT, BREAD]),
        (f"\n\n4. {FRUIT}", [FRUIT]),
        (f" 1. {FRUIT}\n2. {BREAD}", [FRUIT, BREAD]),
        (f'  "{FRUIT}"\n\nThat is all.', [FRUIT]),
        ("把水果按颜色排好。\n5. 解释面包。", ["把水果按颜色排好。", "解释面包。"]),
        ("", [""]),
        (" \n5. Explain why bread rises.", ["Explain why bread rises."]),
    ],
)
def test_a_list_is_read_on_from_the_number_that_it_was_begun_with(said, items):
    assert [item.instruction for item in read_entries(Completion("x", said, "end", 3), "4.")] == items


def test_a_list_that_was_not_begun_is_read_from_its_own_first_mark():
    assert [i.instruction for i in read_entries(Completion("x", f"Of course:\n4. {FRUIT}", "end", 3))] == [FRUIT]
    (item,) = read_entries(Completion("x", f" {FRUIT}", "end", 3))
    assert (item.instruction, item.raw) == (FRUIT, f" {FRUIT}")


@pytest.mark.parametrize(
    ("said", "fields", "lacking"),
    [
        (f" {FRUIT}\nInput: cherry\nConstraints: One line.", (FRUIT, "cherry", "One line."), []),
        (f"{FRUIT}\nInput: cherry\nConstraints: None.", (FRUIT, "cherry", ""), []),
        (f"\n{FRUIT}\nInput: cherry\nConstraints: None.", (FRUIT, "cherry", ""), []),
        (f"Instruction: {FRUIT}\nInput: cherry\nConstraints: None.", (FRUIT, "cherry", ""), []),
        (f"\n instruction: {FRUIT}\nInput: cherry\nConstraints: None.", (FRUIT, "cherry", ""), []),
        (f" {FRUIT}", (FRUIT, "", ""), ["input", "constraints"]),
        ("\nInput: cherry\nConstraints: None.", ("", "cherry", ""), ["instruction"]),
        ("", ("", "", ""), ["instruction", "input", "constraints"]),
    ],
)
@pytest.mark.parametrize("label", ["Instruction:", "指令："])
def test_fields_are_read_on_from_the_label_that_they_were_begun_with(said, fields, lacking, label):
    assert read_fields(said, label) == (Fields(*fields), lacking)


@pytest.mark.parametrize(("language", "end"), [("en", "\n\nExample 3\nInstruction:"), ("zh", "\n\n示例3\n指令：")])
def test_examples_are_written_down_and_the_next_one_is_begun_up_to_its_first_label(language, end):
    prompts = open_prompts(language)
    begun = begin_fields(SHOWN, prompts)
    assert begun == f"{write_fields(SHOWN, prompts)}{end}"
    assert read_fields(f" {FRUIT}\nInput: a\nConstraints: b", end.rpartition("\n")[2])[0] == Fields(FRUIT, "a", "b")


def test_what_was_begun_stands_behind_the_opening_of_the_answer(tmp_path):
    plain = writing(ScriptedEngine(), tmp_path, Synthesize(), SEEDS)
    request = text_request(plain, "x", "Go on.", "\n3.", begun="1. One\n2.")
    assert request.prompt == f"{FRAME.prompt('Go on.')}1. One\n2."
    assert request.stop == ("END", "\n3.")
    assert text_request(plain, "x", "Go on.").prompt == FRAME.prompt("Go on.")


def test_special_words_in_what_was_begun_stay_letters(tmp_path):
    base = hand_made("f", "<", ">", "<|end|>")
    frame = Frame("f", base.template, "<|end|>", words=("<|end|>",))
    request = text_request(
        writing(ScriptedEngine(), tmp_path, Synthesize(), SEEDS, frame), "x", "Go on.", begun="1. a<|end|>\n2."
    )
    assert request.prompt == frame.prompt("Go on.") + frame.literal("1. a<|end|>\n2.")
    assert "<|end|>" not in request.prompt.removeprefix(frame.prompt("Go on."))


@pytest.fixture
def constrained(tmp_path):
    path = tmp_path / "seeds.jsonl"
    rows = [{"id": f"s{n}", "instruction": f"Count things of kind {n}.", "input": f"{n} doors"} for n in range(3)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def given(name, seeds):
    shown = {
        "list": {"demonstrations": 3, "tasks_per_prompt": 6},
        "self_instruct": {"demonstrations": 3, "generated_demonstrations": 0, "tasks_per_prompt": 6},
        "lamini": {"demonstrations": 3, "guided": "examples"},
        "unnatural_instructions": {"demonstrations": 3, "reformulations": 0, "prompts_per_batch": 1, "max_batches": 1},
    }[name]
    more = {"seeds": seeds} if name == "unnatural_instructions" else {}
    return Synthesize(method=name, instructions=2, min_instructions=1, max_rouge=0.95, options=shown, **more)


@pytest.mark.parametrize(
    ("method", "end", "said", "read"),
    [
        (TaskList(), "\n4. Instruction:", f" {FRUIT}\n5. Instruction: {BREAD}", [FRUIT, BREAD]),
        (SelfInstruct(), "to a child.\n4.", f" {FRUIT}\n5. {BREAD}", [FRUIT, BREAD]),
        (SelfInstruct(), "to a child.\n4.", f"\n{FRUIT}\n5. {BREAD}", [FRUIT, BREAD]),
        (LaMini(), "to a child.\n4.", f"{FRUIT}\n5. {BREAD}", [FRUIT, BREAD]),
        (LaMini(), "to a child.\n4.", f"4. {FRUIT}\n5. {BREAD}", [FRUIT, BREAD]),
        (UnnaturalInstructions(), "\n\nExample 4\nInstruction:", f" {FRUIT}\nInput: a lemon\nConstraints: None.", [FRUIT]),
        (UnnaturalInstructions(), "Instruction:", f"\nInstruction: {FRUIT}\nInput: a lemon\nConstraints: b", [FRUIT]),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_the_step_of_a_method_begins_the_answer_and_reads_it_on(tmp_path, constrained, method, end, said, read):
    class Lists(ScriptedEngine):
        tokenizer = Letters()

        def choices(self, prompts, labels):
            return [[-2.3, -0.1] for _ in prompts]  # no instruction is classification

    engine = Lists(lambda request: "Output: So it is." if "Task:" in request.prompt else said)
    shown = method.example(writing(engine, tmp_path, given(method.name, constrained), SEEDS))
    first = engine.asked[0]
    assert first.prompt == shown.prompt and first.prompt.endswith(end)
    assert method.name == "list" or first.prompt.rpartition(">")[2].endswith(end), "behind the frame's end of the user's turn"
    assert [
        row["instruction"] for row in shown.rows if row.get("step", "instruction") in ("instruction", "new example")
    ] == read
    found = method.write(writing(engine, tmp_path / "all", given(method.name, constrained), SEEDS))
    assert [row["instruction"] for row in found.accepted] == read
