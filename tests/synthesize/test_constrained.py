"""Constraints in tasks: asked for before an answer, or found in a free one; what is recorded of them."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isheep_lib.constraints.draw import is_met, read_rows
from isheep_lib.constraints.family import FAMILIES, selected
from isheep_lib.errors import ParameterError
from isheep_lib.iterate.run_params import SynthesizeParams
from isheep_lib.params.check import check
from isheep_lib.record.code import code_digests
from isheep_lib.record.provenance import seed_for
from isheep_lib.synthesize.constrained.hindsight import facts_of, relabelled, shares_of
from isheep_lib.synthesize.constrained.step import after, before
from isheep_lib.synthesize.params import Synthesize
from tests.scripted import ScriptedEngine
from tests.writings import writing

TASKS = [{"id": f"i1-{n}", "instruction": f"Name use number {n} of salt.", "input": ""} for n in range(40)]


def seed_of(name):
    return seed_for(7, 1, "synthesize", name)


def made(tmp_path, engine=None, **values):
    params = Synthesize(**values)
    return params, writing(engine or ScriptedEngine(), tmp_path, params, [], seed_of=seed_of)


def answers(*texts, finish="end", task=""):
    """Make answered rows; with a task they are its several answers."""
    rows = []
    for n, text in enumerate(texts):
        own = {"id": f"{task}-a{n}", "task": task} if task else {"id": f"i1-{n}"}
        rows.append({**own, "instruction": f"Speak of salt{task}.", "input": "", "output": text, "finish": finish})
    return rows


@pytest.mark.parametrize("values", [{}, {"constraints": "hindsight"}])
def test_tasks_are_asked_as_they_are_where_no_constraint_is_asked(tmp_path, values):
    params, with_ = made(tmp_path, **values)
    assert before(with_, TASKS, params) == TASKS


def test_without_constraints_answered_rows_stay_the_same_bytes(tmp_path):
    params, with_ = made(tmp_path)
    rows = answers("One.", "Two.")
    assert after(with_, rows, params) == rows


def test_each_task_is_asked_one_to_so_many_constraints_by_its_own_seed_and_keeps_its_id(tmp_path):
    params, with_ = made(tmp_path, constraints="asked", constraints_per_task=3, constraint_families=["all"])
    tasks = before(with_, TASKS, params)
    assert [task["id"] for task in tasks] == [task["id"] for task in TASKS]
    assert {len(task["constraints"]) for task in tasks} == {1, 2, 3}
    assert before(with_, TASKS[5:6], params) == tasks[5:6]
    for task, free in zip(tasks, TASKS, strict=True):
        assert task["free_instruction"] == free["instruction"]
        assert task["instruction"].startswith(free["instruction"])
        assert all(each["text"] in task["instruction"] for each in task["constraints"])
        names = [each["family"] for each in task["constraints"]]
        assert not any(other in FAMILIES[name].conflicts for name in names for other in names)


def test_only_chosen_families_are_asked(tmp_path):
    params, with_ = made(tmp_path, constraints="asked", constraint_families=["disjoint_from_both", "no_commas"])
    names = {each["family"] for task in before(with_, TASKS, params) for each in task["constraints"]}
    allowed = {family.name for family in selected(["disjoint_from_both", "no_commas"])}
    assert names <= allowed and len(names) > 5


def test_a_task_without_room_for_constraints_gets_fewer_or_stays_free(tmp_path):
    params, with_ = made(tmp_path, ScriptedEngine(), constraints="asked", constraints_per_task=3)
    wide = before(with_, TASKS, params)
    longest = max(len(task["instruction"]) for task in wide)
    with_.engine.context = longest - 20 + params.response_tokens  # a token is a letter
    with_.engine.tokenizer = lambda text, **_: {"input_ids": list(text)}
    counts = [len(task.get("constraints", [])) for task in before(with_, TASKS, params)]
    assert sum(counts) < sum(len(task["constraints"]) for task in wide)
    with_.engine.context = 1 + params.response_tokens
    assert before(with_, TASKS, params) == TASKS


def test_every_answer_says_which_of_its_constraints_it_keeps_thoughts_apart(tmp_path):
    params, with_ = made(tmp_path, constraints="asked", constraint_families=["no_commas"])
    tasks = [{**task, "finish": "end"} for task in before(with_, TASKS[:3], params)]
    said = ["Salt, sand", "Salt and sand", "<think>a, b</think>Salt"]
    rows = after(with_, [{**task, "output": text} for task, text in zip(tasks, said, strict=True)], params)
    assert [row["constraints"][0]["kept"] for row in rows] == [False, True, True]
    assert [is_met(row) for row in rows] == [False, True, True]


def test_facts_are_all_arguments_with_which_an_answer_meets_a_family():
    found = facts_of(
        "Why salt? It keeps food fresh; it melts ice; so it helps.", selected(["semicolons_at_least", "no_digits", "table"])
    )
    assert found == {("semicolons_at_least", '{"number":2}'): {"number": 2}, ("no_digits", "{}"): {}}


def test_the_share_of_a_fact_is_that_of_the_free_answers_that_meet_it():
    families = selected(["semicolons_at_least", "no_digits"])
    met = {str(n): facts_of(text, families) for n, text in enumerate(["a; b; c", "a; b; c; d", "plain", "3"])}
    assert shares_of(met) == {
        ("semicolons_at_least", '{"number":2}'): 0.5,
        ("semicolons_at_least", '{"number":3}'): 0.25,
        ("no_digits", "{}"): 0.75,
    }


PLAIN = [f"Salt is white. Salt is number {n}." for n in range(9)]
HINDSIGHT = {"constraints": "hindsight", "constraint_families": ["semicolons_at_least", "no_digits", "ends_with_question"]}


def test_a_free_answers_rare_fact_is_put_into_its_instruction_and_what_most_meet_is_not():
    rows = answers(*PLAIN, "Salt; sand; and sea number 9.", "How white is number 10?")
    found = relabelled(seed_of, rows, Synthesize(**HINDSIGHT))
    assert found[:9] == rows[:9], "nothing about them is rare"
    assert [[each["family"] for each in row["constraints"]] for row in found[9:]] == [
        ["semicolons_at_least"],
        ["ends_with_question"],
    ]
    for row, free in zip(found[9:], rows[9:], strict=True):
        (each,) = row["constraints"]
        assert each["kept"] and each["share"] == round(1 / 11, 4)
        assert row["instruction"].endswith(each["text"]) and row["free_instruction"] == free["instruction"]
        assert row["contrast"] == [] and row["output"] == free["output"]


def test_the_rarest_arguments_of_a_family_are_named_and_of_equally_rare_ones_any():
    rows, params = (
        answers(*PLAIN, "a; b; c", "a; b; c; d; e"),
        Synthesize(**HINDSIGHT | {"constraint_families": ["semicolons_at_least"]}),
    )
    several = [relabelled(lambda name, s=seed: seed_for(s, 1, "x", name), rows, params)[9:] for seed in range(20)]
    numbers = [[row["constraints"][0]["arguments"]["number"] for row in found] for found in several]
    assert {two for two, _ in numbers} == {2}
    assert {more for _, more in numbers} == {3, 4}, "2 is met by both answers"


def test_rare_families_are_drawn_more_often_in_proportion_to_their_surprisal():
    # Of 64 answers one ends with a question and 16 have semicolons: 6 bits against 2.
    texts = ["Why; why; why 1?"] + ["a; b; c 2"] * 15 + [f"Plain {n}." for n in range(48)]
    params = Synthesize(**HINDSIGHT | {"constraints_per_task": 1, "constraint_max_share": 0.5})
    drawn = []
    for seed in range(400):
        (each,) = relabelled(lambda name, s=seed: seed_for(s, 1, "x", name), answers(*texts), params)[0]["constraints"]
        drawn.append(each["family"])
    assert 0.68 < drawn.count("ends_with_question") / 400 < 0.82


def test_cut_answers_are_neither_counted_nor_a_source():
    rows = [*answers(*PLAIN, "a; b; c"), *answers(*["Salt?"] * 9, finish="length", task="i1-cut")]
    found = relabelled(seed_of, rows, Synthesize(**HINDSIGHT))
    assert found[10:] == rows[10:]
    assert found[9]["constraints"][0]["share"] == 0.1


def test_each_of_several_answers_gets_what_others_to_its_task_break_and_they_are_named():
    rows = [*answers("Salt; sand; sea 1.", "Is it white 2?", "It is 3.", task="i1-t"), *answers(*PLAIN)]
    found = relabelled(seed_of, rows, Synthesize(**HINDSIGHT))
    one, two, three = found[:3]
    assert one["constraints"][0]["family"] == "semicolons_at_least" and one["contrast"] == ["i1-t-a1", "i1-t-a2"]
    assert two["constraints"][0]["family"] == "ends_with_question" and two["contrast"] == ["i1-t-a0", "i1-t-a2"]
    assert three == rows[2]
    assert one["instruction"] != two["instruction"]


def test_what_all_answers_to_a_task_meet_is_no_contrast():
    rows = [*answers("a; b; c 1", "d; e; f 2", task="i1-t"), *answers(*PLAIN)]
    assert relabelled(seed_of, rows, Synthesize(**HINDSIGHT)) == rows


def test_answers_share_one_instruction_that_some_keep_and_some_break():
    rows = [*answers("Salt; sand; sea 1.", "Is it white 2?", "It is 3.", task="i1-t"), *answers(*PLAIN)]
    found = relabelled(seed_of, rows, Synthesize(**HINDSIGHT | {"constraint_contrast": "shared"}))[:3]
    assert len({row["instruction"] for row in found}) == 1
    kept = [is_met(row) for row in found]
    assert kept.count(True) == 1
    for row in found:
        assert row["contrast"] == [other["id"] for other in found if not is_met(other) and other is not row]


ANSWERS = st.lists(
    st.sampled_from(
        ["Salt.", "Salt; sand; sea.", "Why?", "Is it? It is.", "One (two) and (three).", "A\nB\nC", "“a” and “b”", ""]
    ),
    min_size=1,
    max_size=5,
)


@settings(deadline=None)
@given(st.lists(ANSWERS, min_size=1, max_size=6), st.sampled_from(["own", "shared"]), st.integers(1, 3), st.floats(0, 1))
def test_hindsight_is_true_and_rare_keeps_every_answer_and_is_the_same_again(groups, contrast, most, limit):
    rows = [row for n, group in enumerate(groups) for row in answers(*group, task=f"i1-{n}")]
    values = {"constraint_contrast": contrast, "constraints_per_task": most, "constraint_max_share": limit}
    params = Synthesize(constraints="hindsight", constraint_families=["all"], **values)
    found = relabelled(seed_of, rows, params)
    assert found == relabelled(seed_of, rows, params)
    assert [(row["id"], row["output"]) for row in found] == [(row["id"], row["output"]) for row in rows]
    for row in (row for row in found if "constraints" in row):
        assert 1 <= len(row["constraints"]) <= most
        assert all(each["share"] <= limit + 1e-4 for each in row["constraints"])
        assert all(
            c.is_kept(row["output"]) == each["kept"]
            for c, each in zip(read_rows(row["constraints"]), row["constraints"], strict=True)
        )
        assert contrast == "shared" or is_met(row)
        siblings = [other for other in found if other["task"] == row["task"]]
        assert len(siblings) == 1 or row["contrast"] or contrast == "shared"
        assert contrast == "own" or any(is_met(other) for other in siblings)


def test_the_order_of_rows_decides_nothing():
    rows = answers(*PLAIN, "Salt; sand; and sea number 9.", "How white is number 10?")
    mixed = random.Random(3).sample(rows, len(rows))
    params = Synthesize(**HINDSIGHT)
    assert sorted(relabelled(seed_of, mixed, params), key=str) == sorted(relabelled(seed_of, rows, params), key=str)


def test_without_constraints_nothing_of_them_counts_in_the_fingerprint():
    plain, asked = SynthesizeParams(), SynthesizeParams(constraints="asked")
    assert not [name for name in plain.deciding() if name.startswith("constrain")]
    assert {name for name in asked.deciding() if name.startswith("constrain")} == {
        n for n in Synthesize.model_fields if n.startswith("constrain")
    }
    assert "constraints" not in plain.data_digests() and "constraints" in asked.data_digests()
    assert not {"before", "after", "relabelled"} & set(code_digests(plain.code()))
    assert {"before", "after", "relabelled", "words_at_least"} <= set(code_digests(asked.code()))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"constraint_families": ["no_comas"]}, "did you mean no_commas?"),
        ({"constraint_families": ["all", "all"]}, "none twice"),
        ({"constraint_families": []}, "at least 1 item"),
        ({"constraints_per_task": 4}, "less than or equal to 3"),
        ({"constraints": "some"}, "'none', 'asked' or 'hindsight'"),
        ({"constraints": "asked", "method": "longform"}, "the method longform brings answers of its own"),
        ({"constraints": "asked", "method": "evol_instruct"}, "the method evol_instruct brings answers of its own"),
    ],
)
def test_constraints_that_cannot_be_are_refused(values, said):
    with pytest.raises(ParameterError) as caught:
        check(Synthesize, values, "x")
    assert said in str(caught.value)


def test_hindsight_takes_answers_of_any_method():
    assert not Synthesize(constraints="hindsight", method="longform").conflicts()
