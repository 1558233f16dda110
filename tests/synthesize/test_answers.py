"""Several answers to a task: a row and a seed for each, one answer as ever, resumed and shared out, repeated ones set apart."""

import json
import zlib
from types import SimpleNamespace

import pytest
from isheep_lib.synthesize.methods.evolution.evol_instruct import EvolInstruct

from isheep_lib.engines.transcript import key_of
from isheep_lib.iterate.session import StageSession
from isheep_lib.prompting.prompt_files import english
from isheep_lib.record.rows import Task, as_pairs, canonical_json, first_of_each, task_of
from isheep_lib.synthesize.all_methods import METHODS
from isheep_lib.synthesize.candidates import Candidates, funnel_of, shown_tasks
from isheep_lib.synthesize.params import Synthesize
from isheep_lib.synthesize.respond import respond, told_apart, variety
from tests.scripted import ScriptedEngine
from tests.writings import FRAME, writing

ROWS = [
    {"id": "i1-t0", "instruction": "Add.", "input": "1, 2", "demonstrations": ["seed-1"]},
    {"id": "i1-t1", "instruction": "Sing.", "input": "", "demonstrations": ["seed-2"]},
]


def seed_of(name):
    return zlib.crc32(name.encode())


def by_seed(request):
    return f"answer {request.seed}"


def answered(engine, folder, answers=1, rows=ROWS):
    made = writing(engine, folder, Synthesize(answers=answers), [], seed_of=seed_of)
    with made.open_journal("responses") as journal:
        return respond(made, rows, journal, answers)


def test_one_answer_is_asked_for_and_written_as_ever(tmp_path):
    engine = ScriptedEngine(by_seed)
    rows = answered(engine, tmp_path)
    said = [f"answer {seed_of(name + '/response')}" for name in ("i1-t0", "i1-t1")]
    assert rows == [{**row, "output": text, "finish": "end", "num_tokens": 10} for row, text in zip(ROWS, said, strict=True)]
    assert [(request.id, request.seed) for request in engine.asked] == [
        ("i1-t0", seed_of("i1-t0/response")),
        ("i1-t1", seed_of("i1-t1/response")),
    ]
    assert b"task" not in b"".join(canonical_json(row).encode() for row in rows)


def test_each_answer_is_asked_for_with_a_seed_of_its_own_and_the_first_with_that_of_a_single_one(tmp_path):
    engine = ScriptedEngine(by_seed)
    rows = answered(engine, tmp_path, 3)
    assert [row["id"] for row in rows] == [f"i1-t{n}-a{k}" for n in (0, 1) for k in (0, 1, 2)]
    assert [row["task"] for row in rows] == ["i1-t0"] * 3 + ["i1-t1"] * 3
    assert all(
        {**row, "id": task["id"]}.items() >= task.items() for row, task in zip(rows, [ROWS[0]] * 3 + [ROWS[1]] * 3, strict=True)
    )
    assert len({request.seed for request in engine.asked}) == 6
    first = [row["output"] for row in rows if row["id"].endswith("-a0")]
    (tmp_path / "one").mkdir()
    single = ScriptedEngine(by_seed)
    assert first == [row["output"] for row in answered(single, tmp_path / "one")]
    # What a record knows a question by: a run with more answers holds all that a run with fewer asks.
    assert {key_of(request) for request in single.asked} < {key_of(request) for request in engine.asked}
    assert len({key_of(request) for request in engine.asked}) == 6


@pytest.mark.parametrize("done", range(6))
def test_a_stage_that_was_killed_goes_on_with_the_answers_that_it_lacks(tmp_path, done):
    whole = answered(ScriptedEngine(by_seed), tmp_path, 3)
    (tmp_path / "again").mkdir()
    texts = [row["output"] for row in whole]
    with pytest.raises(IndexError):  # ends in the middle of a task
        answered(ScriptedEngine(texts[:done]), tmp_path / "again", 3)
    rest = ScriptedEngine(texts[done:])
    assert answered(rest, tmp_path / "again", 3) == whole
    assert [request.id for request in rest.asked] == [row["id"] for row in whole[done:]]


def test_an_answer_that_a_method_has_asked_for_itself_is_the_first_one(tmp_path):
    known = [{**ROWS[0], "output": "3", "finish": "end", "num_tokens": 2}, ROWS[1]]
    engine = ScriptedEngine(by_seed)
    rows = answered(engine, tmp_path, 2, known)
    assert [request.id for request in engine.asked] == ["i1-t0-a1", "i1-t1-a0", "i1-t1-a1"]
    assert (rows[0]["output"], rows[0]["num_tokens"]) == ("3", 2)
    assert rows[1]["output"] == f"answer {seed_of('i1-t0-a1/response')}"


def test_a_rewritten_task_is_answered_as_often_as_one_of_a_list(tmp_path):
    params = Synthesize(
        method="evol_instruct", instructions=1, min_instructions=1, answers=3, options={"rounds": 1, "operators": ["deepen"]}
    )
    whole = "Name three uses of salt in a kitchen, and give a reason for each of them."
    engine = ScriptedEngine([whole, "Salt seasons soup.", "Salt keeps cabbage.", "Salt cleans pans."])
    engine.choices = lambda prompts, labels: [[-2.3, -0.1] for _ in prompts]
    made = writing(engine, tmp_path, params, [Task("seed-0", "Name three uses of salt.")])
    found = EvolInstruct().write(made)
    with made.open_journal("responses") as journal:
        rows = EvolInstruct().respond(made, found.accepted, journal)
    assert [row["output"] for row in rows] == ["Salt seasons soup.", "Salt keeps cabbage.", "Salt cleans pans."]
    assert {row["task"] for row in rows} == {"i1-g1-000"}
    assert all(row["operator"] == "deepen" for row in rows)


def row(task, k, output, finish="end"):
    return {"id": f"{task}-a{k}", "task": task, "instruction": "Sing.", "input": "", "output": output, "finish": finish}


def test_answers_of_a_task_that_say_the_same_are_named_and_the_first_is_kept():
    rows = [row("a", 0, "La"), row("a", 1, "Lo"), row("a", 2, "La"), row("b", 0, "La"), row("b", 1, "La", "length")]
    different, same = told_apart(rows)
    assert [r["id"] for r in different] == ["a-a0", "a-a1", "b-a0", "b-a1"], "of one task alone; a cut text is another answer"
    assert [(r["id"], r["reason"], r["detail"]) for r in same] == [("a-a2", "same_answer", "says what a-a0 says")]


def test_single_answers_are_never_the_same_even_where_their_texts_are():
    rows = [{"id": name, "instruction": "Sing.", "input": "", "output": "La", "finish": "end"} for name in "ab"]
    assert told_apart(rows) == (rows, [])


@pytest.mark.parametrize(
    ("rows", "answers", "shown", "said"),
    [
        ([row("a", 0, "x"), row("a", 1, "x"), row("b", 0, "x"), row("b", 1, "y")], 2, [(1, 1), (2, 1)], "1 of 4 say"),
        ([row("a", 0, "x"), row("a", 1, "x"), row("b", 0, "y"), row("b", 1, "y")], 2, [(1, 2)], "ALL answers of every task"),
    ],
)
def test_it_is_said_how_many_answers_differ_and_plainly_where_none_do(rows, answers, shown, said):
    table = variety(*told_apart(rows), answers)
    assert [(r["different answers of a task"], r["tasks"]) for r in table.rows] == shown
    assert said in table.caption


def test_a_worker_that_has_one_answer_of_each_task_at_hand_does_not_call_them_all_alike():
    assert "ALL" not in variety(*told_apart([row("a", 0, "x"), row("b", 1, "y")]), 2).caption
    assert variety([], [], 2).rows == [{"tasks": "none is answered yet"}]


def test_the_funnel_counts_each_answer_of_an_accepted_task_and_what_is_waited_for():
    found = Candidates(accepted=list(ROWS), dropped=[{"reason": "too_short"}])
    different, same = told_apart([row("i1-t0", 0, "x"), row("i1-t0", 1, "x"), row("i1-t1", 0, "y")])
    counts = funnel_of(found, different, same, 2)
    assert counts == {"in": 5, "kept": 2, "dropped": {"same_answer": 1, "too_short": 1, "waits_for_other_shard": 1}}


def test_a_task_is_remembered_once_under_its_own_id():
    rows = [{**row("i1-t0", k, "x"), "instruction": "Add."} for k in range(3)] + [{**row("b", 0, "x"), "id": "i1-t1"}]
    del rows[-1]["task"]
    stage = SimpleNamespace(
        inputs=lambda *_: rows,
        params=SimpleNamespace(options=None, iteration=2, chosen=METHODS["list"]),
        seed=seed_of,
        common_journal=None,
        prompts=english(),
    )
    earlier = StageSession.writing(stage, ScriptedEngine(), FRAME).earlier
    assert earlier == [Task("i1-t0", "Add."), Task("i1-t1", "Sing.")]
    later = Candidates(accepted=[{"id": "i2-t0", "instruction": "Hum.", "input": "", "demonstrations": ["i1-t0"]}])
    assert [task["id"] for task in shown_tasks(later, earlier)] == ["i1-t0"]


def test_pairs_know_their_task_and_the_first_of_each_is_found_in_order():
    rows = [{**row("b", k, "x"), "num_tokens": 1} for k in (1, 0)] + [{**row("a", 0, "x"), "num_tokens": 1}]
    pairs = as_pairs([*rows, {**rows[0], "id": "c"} | {"task": "c"}])
    assert [pair.task_id for pair in pairs] == ["b", "b", "a", "c"]
    assert [r["id"] for r in first_of_each(rows, task_of)] == ["b-a1", "a-a0"]
    assert as_pairs([{"id": "x", "instruction": "", "input": "", "output": ""}])[0].task_id == "x"
    assert json.loads(json.dumps(pairs[0].as_row())) == rows[0]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"answers": 8, "response_temperature": 0.0}, "answers: at response_temperature 0 all 8 of a task are the same"),
        ({"answers": 2, "method": "longform"}, "answers: the method longform comes with an answer to each task"),
    ],
)
def test_several_answers_are_refused_where_they_could_not_differ_or_there_is_one(values, said):
    assert any(problem.startswith(said) for problem in Synthesize(**values).conflicts())


def test_one_answer_is_allowed_there():
    assert not Synthesize(response_temperature=0.0).conflicts()
    assert not Synthesize(method="longform").conflicts()


def test_what_sets_answers_apart_counts_only_where_there_are_several():
    assert set(Synthesize(answers=2).code()) - set(Synthesize().code()) == {"synthesize.respond.told_apart"}
