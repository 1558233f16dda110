"""LLMs-as-Instructors: neighbours are the nearest rightly answered seeds, and as many tasks are asked for as published."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isheep_lib.errors import YieldError
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.feedback.neighbours import nearest
from isheep_lib.synthesize.methods.feedback.llms_as_instructors import LLMsAsInstructors
from isheep_lib.synthesize.params import Synthesize
from tests.scripted import ScriptedEngine
from tests.writings import writing

SEEDS = [Task(f"seed-{n}", f"Add {n} and {n}.", output=str(2 * n), kind="number") for n in range(5)]
VECTORS = {0: [1.0, 0.0], 1: [0.0, 1.0], 2: [3.0, 0.1], 3: [1.0, 1.0], 4: [-1.0, 0.0]}
NEW = "Task: What is the sum of 12 and 30?\nAnswer: 42"


@pytest.mark.parametrize(
    ("vector", "others", "number", "places"),
    [
        ([1, 0], [[0, 1], [2, 0.5], [3, 0]], 2, [2, 1]),
        ([1, 0], [[5, 0], [1, 0], [0, 1]], 1, [0]),  # of equally near ones the earlier
        ([1, 0], [[0, 1]], 3, [0]),
        ([1, 0], [[0, 0], [-1, 0]], 2, [0, 1]),  # no length counts as no angle
        ([0, 0], [[1, 0], [2, 0]], 2, [0, 1]),
        ([1, 0], [], 3, []),
    ],
)
def test_the_nearest_are_those_of_the_smallest_angle(vector, others, number, places):
    assert nearest(vector, others, number) == places


@given(st.lists(st.lists(st.floats(-9, 9, width=32), min_size=3, max_size=3), min_size=1, max_size=6), st.integers(0, 5))
def test_neither_lengths_nor_numbers_wanted_change_who_is_nearer(others, power):
    vector = np.array([1, 2, -1], dtype=np.float32)
    order = nearest(vector, others, len(others))
    assert nearest(vector * 2**power, others, len(others)) == order
    assert nearest(vector, others, 1) == order[:1]


class Model(ScriptedEngine):
    """Answers seeds rightly but for some, writes one task, and answers it."""

    def __init__(self, wrong=(0,), lives=10**6):
        super().__init__(self.say)
        self.wrong, self.lives = wrong, lives

    def say(self, request):
        if len(self.asked) > self.lives:
            raise IndexError
        if request.id.endswith("/answer"):
            number = int(request.id.removeprefix("seed-").removesuffix("/answer"))
            return "999" if number in self.wrong else str(2 * number)
        return "42" if "-a" in request.id else NEW

    def embed(self, texts):
        self.calls.append(texts)
        return np.array([VECTORS[int(text.split()[1])] for text in texts], dtype=np.float32)


def write(engine, folder, seeds=SEEDS, wanted=1, **options):
    own = {"rounds": 1, "votes": 1, "min_votes": 1, **options}
    params = Synthesize(method="llms_as_instructors", min_instructions=1, instructions=wanted, options=own)
    return LLMsAsInstructors().write(writing(engine, folder, params, seeds))


def test_the_nearest_rightly_answered_seeds_stand_beside_the_mistake(tmp_path):
    engine = Model(wrong=(0, 2))
    found = write(engine, tmp_path, neighbours=2)
    (row,) = found.accepted
    assert (row["parents"], row["operator"], row["neighbours"]) == (["seed-0"], "contrast", ["seed-3", "seed-1"])
    (prompt,) = [r.prompt for r in engine.asked if r.id == "i1-g1-000-0" and "Its answer" in r.prompt]
    assert "Its answer: 999" in prompt and "Right answer: 0" in prompt
    assert prompt.index("- Add 3 and 3. 6") < prompt.index("- Add 1 and 1. 2")
    assert "Add 4 and 4" not in prompt and "Add 2 and 2" not in prompt, "neither a far one nor another mistake"


def test_from_errors_alone_no_neighbour_is_shown_and_no_vector_is_computed(tmp_path):
    engine = Model(wrong=range(5))
    (row,) = write(engine, tmp_path, learning="error").accepted
    assert row["operator"] == "error" and "neighbours" not in row
    assert not any(call == [task.instruction for task in SEEDS] for call in engine.calls)


@pytest.mark.parametrize(("wrong", "wanted", "times"), [((0,), 3, 4), ((0, 1), 3, 3), ((0, 1, 2), 3, 2)])
def test_each_mistake_is_asked_for_as_many_as_published(tmp_path, wrong, wanted, times):
    engine = Model(wrong=wrong)
    found = write(engine, tmp_path, wanted=wanted)
    asked = [request.id for request in engine.asked if "Its answer" in request.prompt]
    assert len(asked) == times * len(wrong)  # ceil(wanted / mistakes) + 1 for each
    assert len(found.accepted) + len(found.dropped) == len(asked)


def test_without_a_right_answer_there_is_nothing_to_contrast(tmp_path):
    with pytest.raises(YieldError, match="Only 0 of 5 seeds answered rightly, as contrast shows") as caught:
        write(Model(wrong=range(5)), tmp_path)
    assert "learning to error" in str(caught.value)


def test_a_killed_writing_is_resumed_with_the_same_neighbours(tmp_path):
    whole = write(Model(wrong=(0, 2)), tmp_path / "whole")
    for life in (3, 5, 6):
        with pytest.raises(IndexError):
            write(Model(wrong=(0, 2), lives=life), tmp_path / str(life))
        rest = Model(wrong=(0, 2))
        assert write(rest, tmp_path / str(life)) == whole
        assert not any(isinstance(call, list) and "Add 0 and 0." in call for call in rest.calls) or life < 5


def test_one_candidate_is_shown_with_its_neighbours(tmp_path):
    params = Synthesize(method="llms_as_instructors", min_instructions=1, options={"votes": 1, "min_votes": 1, "neighbours": 1})
    shown = LLMsAsInstructors().example(writing(Model(), tmp_path, params, SEEDS))
    steps = {row["step"]: row["text"] for row in shown.rows}
    assert (steps["seed"], steps["right neighbour 1"]) == ("Add 0 and 0.", "Add 2 and 2.")
    only = Synthesize(method="llms_as_instructors", options={"learning": "error"})
    assert [name for name in only.prompt_files() if name.startswith("llms")] == ["llms_as_instructors-error.txt"]
