"""Dialogue and Magpie: an aligned model writes tasks in its own frame, from what it is shown or from nothing."""

import zlib
from pathlib import Path

import pytest

from isheep_lib.errors import DataError, ParameterError, YieldError
from isheep_lib.iterate.run_params import load_run
from isheep_lib.prompting.prompt_files import english
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.all_methods import METHODS
from isheep_lib.synthesize.candidates import funnel_of
from isheep_lib.synthesize.method import Writing
from isheep_lib.synthesize.methods.in_context.dialogue import Dialogue
from isheep_lib.synthesize.methods.in_context.magpie import Magpie
from isheep_lib.synthesize.params import Synthesize
from tests.frames import hand_made
from tests.scripted import Letters, ScriptedEngine
from tests.writings import FRAME, writing

SEEDS = [
    Task("seed-0", "Name a large river in Asia.", "", "The Mekong."),
    Task("seed-1", "Add these two sums.", "2 and 3", "5"),
    Task("seed-2", "Write a short poem on rain.", "", "It falls."),
]
ASKED = english().render("dialogue.txt")
SAID = ["Describe how bread is baked.", '"Plan a weekend in the hills."', "Bread", "Describe how bread is baked at home."]


def made(method, engine, folder, seeds=SEEDS, **values) -> Writing:
    options = {"prompts_per_batch": 2, "max_batches": 2, **values.pop("options", {})}
    given = {"method": method, "instructions": 3, "min_instructions": 1, "options": options, **values}
    return writing(engine, folder, Synthesize(**given), seeds, seed_of=lambda name: zlib.crc32(name.encode()))


def dialogue(engine, folder, **values):
    options = {"demonstrations": 2, **values.pop("options", {})}
    return made("dialogue", engine, folder, options=options, **values)


def shown(prompt):
    return [task.id for task in SEEDS if task.instruction in prompt]


def test_seeds_are_what_the_assistant_said_when_it_was_asked_for_a_task(tmp_path):
    engine = ScriptedEngine(SAID)
    found = Dialogue().write(dialogue(engine, tmp_path))
    for request, row in zip(engine.asked, [*found.accepted, *found.dropped], strict=False):
        assert request.prompt.count(ASKED) == 3
        assert request.prompt == FRAME.conversation([(ASKED, _words(id_)) for id_ in engine_order(request.prompt)], ASKED)
        assert request.stop == (FRAME.end,)
        assert set(row["demonstrations"]) <= {task.id for task in SEEDS}


def _words(id_):
    (task,) = [task for task in SEEDS if task.id == id_]
    return f"{task.instruction}\n\n{task.input}" if task.input else task.instruction


def engine_order(prompt):
    return sorted(shown(prompt), key=lambda id_: prompt.index(_words(id_)))


def test_seeds_are_what_the_user_said_and_the_model_goes_on_as_the_user(tmp_path):
    engine = ScriptedEngine(SAID)
    Dialogue().write(dialogue(engine, tmp_path, options={"shown_as": "user"}))
    prompt = engine.asked[0].prompt
    turns = [(_words(id_), next(task.output for task in SEEDS if task.id == id_)) for id_ in engine_order(prompt)]
    assert prompt == FRAME.opener(turns)
    assert prompt.endswith(FRAME.opener()), "the user's turn is open"
    assert ASKED not in prompt


def test_each_turn_is_one_task_accepted_or_dropped_with_a_reason(tmp_path):
    found = Dialogue().write(dialogue(ScriptedEngine(SAID), tmp_path))
    assert [row["instruction"] for row in found.accepted] == ["Describe how bread is baked.", "Plan a weekend in the hills."]
    assert [row["id"] for row in found.accepted] == ["i1-r0-p000-t0", "i1-r0-p001-t0"]
    assert {row["instruction"]: row["reason"] for row in found.dropped} == {
        "Bread": "too_short",
        "Describe how bread is baked at home.": "near_duplicate",
    }
    assert funnel_of(found, found.accepted)["in"] == 4


@pytest.mark.parametrize("method", [Dialogue(), Magpie()], ids=lambda method: method.name)
def test_a_turn_that_met_the_token_limit_is_cut_off(method, tmp_path):
    values = {"options": {"demonstrations": 2}} if method.name == "dialogue" else {}
    engine = ScriptedEngine(lambda _: "Describe how bread is", finish="length")
    with pytest.raises(YieldError, match="cut_off"):
        method.write(made(method.name, engine, tmp_path, **values))


def test_seeds_without_answers_cannot_be_turns_of_the_user_which_the_plan_says(tmp_path):
    path = tmp_path / "seeds.jsonl"
    path.write_text(
        '{"id": "a", "instruction": "Name a calm river.", "output": "Don."}\n{"id": "b", "instruction": "Sing a song."}\n'
    )
    shown = {"assistant": {"demonstrations": 2}, "user": {"demonstrations": 2, "shown_as": "user"}}
    made_ = {side: Synthesize(method="dialogue", seeds=str(path), options=options) for side, options in shown.items()}
    with pytest.raises(DataError, match=r"1 seed task.* have no output: b"):
        made_["user"].data_digests()
    assert made_["assistant"].data_digests()


def test_seeds_that_do_not_fit_the_context_in_the_frame_are_named(tmp_path):
    engine = ScriptedEngine(SAID)
    engine.tokenizer, engine.context = Letters(), 900
    long = Task("seed-9", "Sum up this text. " + "word " * 200)
    with pytest.raises(DataError, match=r"(?s)1 seed task\(s\) are too long.*seed-9"):
        Dialogue().write(dialogue(engine, tmp_path, seeds=[*SEEDS, long], instruction_tokens=20))


def test_magpie_shows_nothing_but_the_opening_of_a_turn(tmp_path):
    engine = ScriptedEngine(SAID)
    found = Magpie().write(made("magpie", engine, tmp_path, seeds=[]))
    assert {request.prompt for request in engine.asked} == {FRAME.opener()}
    assert len({request.seed for request in engine.asked}) == len(engine.asked) == 4
    assert [row["instruction"] for row in found.accepted] == ["Describe how bread is baked.", "Plan a weekend in the hills."]
    assert "demonstrations" not in found.accepted[0]


def test_magpie_asks_until_enough_are_accepted(tmp_path):
    engine = ScriptedEngine(SAID)
    assert len(Magpie().write(made("magpie", engine, tmp_path, instructions=2)).accepted) == 2
    assert len(engine.asked) == 2


class Mortal(ScriptedEngine):
    """Ends in the middle, after some answers."""

    def __init__(self, answers, lives):
        super().__init__(answers)
        self.lives = lives

    def generate(self, batches, *tick):
        for number, batch in enumerate(super().generate(batches, *tick)):
            if number == self.lives:
                raise IndexError
            yield batch


@pytest.mark.parametrize("method", [Dialogue(), Magpie()], ids=lambda method: method.name)
def test_a_killed_writing_is_resumed_and_asks_only_for_the_rest(method, tmp_path):
    def answer(request):
        return f"Describe the number {request.seed} in words."

    values = {"options": {"demonstrations": 2}} if method.name == "dialogue" else {}
    whole = method.write(made(method.name, ScriptedEngine(answer), tmp_path / "whole", **values))
    with pytest.raises(IndexError):
        method.write(made(method.name, Mortal(answer, 1), tmp_path / "killed", **values))
    rest = ScriptedEngine(answer)
    assert method.write(made(method.name, rest, tmp_path / "killed", **values)) == whole
    assert len(rest.asked) == len({row["id"] for row in [*whole.accepted, *whole.dropped]}) - 1


BASE = "model.base_frame:plain synthesize.method:{} synthesize.options:{{}}"
ALIGNED = [name for name, method in METHODS.items() if "an aligned model" in method.needs]


def test_three_methods_can_be_continued_by_a_base_model():
    assert set(METHODS) - set(ALIGNED) == {"list", "self_instruct", "unnatural_instructions"}
    for name in sorted(set(METHODS) - set(ALIGNED)):
        assert load_run(Path("params/smollm2-135m.yaml"), BASE.format(name)).synthesize.method == name


@pytest.mark.parametrize("name", ALIGNED)
def test_a_base_model_is_refused_where_an_aligned_one_is_needed(name):
    override = BASE.format(name)
    with pytest.raises(ParameterError, match=f"synthesize.method.*{name} needs a model that answers in a chat frame"):
        load_run(Path("params/smollm2-135m.yaml"), override)


@pytest.mark.parametrize(
    ("frame", "stops"),
    [
        (FRAME, ("END", ">")),
        (hand_made("g", "<", "END\nanswer:", "END"), ("END",)),
    ],
)
def test_what_ends_the_users_words_is_the_end_of_a_turn_or_what_stands_before_the_answer(frame, stops):
    assert frame.user_stops() == stops
