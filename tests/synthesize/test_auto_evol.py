"""Auto Evol-Instruct: failures are told by responses, versions compared by their rate, the best one used and all recorded."""

import pytest

from isheep_lib.errors import DataError, YieldError
from isheep_lib.prompting.prompt_files import english
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.evolving.versions import Version, best_of, failure, failure_rate
from isheep_lib.synthesize.extras.own import figure_of, files_of
from isheep_lib.synthesize.methods.evolution.auto_evol import AutoEvol
from isheep_lib.synthesize.params import Synthesize
from tests.scripted import Letters, ScriptedEngine
from tests.writings import writing

FIRST = english().render("auto_evol-first.txt").splitlines()[1]  # stands in prompts by the first version alone
BETTER = "1. Ask for one more thing that the answer must hold. 2. Keep all that the task says. 3. Read it again."
WORSE = "1. Ask about something else that nobody can know. 2. Leave out what the task says. 3. Do not read it again."
SEEDS = [Task(f"seed-{n}", f"Name {n} plain uses of salt at home.") for n in range(2, 8)]
ASKS_BACK = "Please provide the list that you mean."


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ("Understood. What shall I do?", "stagnant"),
        ("Thank you! Anything else?", "stagnant"),
        ("Noted.", None),
        ("Okay, here it is: salt melts ice.", None),
        ("Sure, shall I begin?", "unqualified"),
        ("Sure: salt melts ice.", None),
        ("What do you mean by salt", "unqualified"),
        ("Please provide the text.", "lost_information"),
        ("I need more information.", "lost_information"),
        ("Could you clarify which salt?", "lost_information"),
        ("How is it measured? With a surely okayed spoon.", None),
        ("Unnoted and measured?", None),
        ("Salt melts ice.", None),
        ("", None),
    ],
)
def test_a_failure_is_told_by_the_response_to_the_rewriting(response, reason):
    found = failure(response)
    assert (found[0] if found else None) == reason


def test_the_failure_rate_counts_failures_and_not_what_is_to_be_kept():
    assert failure_rate([None, None, None, ("stagnant", "noted")]) == 0.25
    assert failure_rate([None]) == 0.0
    assert failure_rate([("stagnant", "noted")]) == 1.0


def test_the_version_that_fails_least_is_the_best_and_of_equal_ones_the_first():
    bad, good = ("stagnant", "noted"), None
    versions = [
        Version(0, "a", failures=(bad, good)),
        Version(1, "b", failures=(good, good)),
        Version(2, "c", failures=(good, good)),
        Version(3, "d", unusable="cut_off"),
    ]
    assert best_of(versions).number == 1
    assert best_of([versions[0], versions[3]]).number == 0


class Model(ScriptedEngine):
    """Rewrites by the way that a prompt shows, fails by the first version and by the worse one, and writes given versions."""

    def __init__(self, versions, lives=10**6):
        super().__init__(self.say)
        self.versions, self.lives = versions, lives

    def say(self, request):
        if len(self.asked) > self.lives:
            raise IndexError
        if "/candidate-" in request.id:
            return self.versions[int(request.id.rpartition("-")[2])]
        if request.id.endswith("/analysis"):
            return "It lost what the task needs."
        seed = next((seed.instruction for seed in SEEDS if seed.instruction in request.prompt), "")
        if BETTER in request.prompt:
            return f"{seed} Order them by what they cost."
        if FIRST in request.prompt:
            return f"{seed} Use the list above."
        if WORSE in request.prompt:
            return f"{seed} Use the colour of the list."
        return ASKS_BACK if "list" in request.prompt else "It seasons soup, then it melts ice on a path."


OPTIONS = {"steps": 3, "candidates": 2, "batch": 2, "stages": 2, "development": 3}


def made(engine, folder, **values):
    options = {**OPTIONS, **values.pop("options", {})}
    given = {"method": "auto_evol", "min_instructions": 1, "instructions": 9, "max_rouge": 1.0, "options": options}
    return writing(engine, folder, Synthesize(**{**given, **values}), SEEDS)


def evolve(engine, folder, **values):
    return AutoEvol().write(made(engine, folder, **values))


def test_the_version_that_fails_least_rewrites_all_tasks_and_every_version_is_recorded(tmp_path):
    found = evolve(Model([WORSE, BETTER]), tmp_path)
    versions = files_of(found)["methods.jsonl"]
    assert [(row["version"], row["made_from"], row["failure_rate"], row["chosen"]) for row in versions] == [
        (0, -1, 1.0, False),
        (1, 0, 1.0, False),
        (2, 0, 0.0, True),
    ]
    assert versions[0]["failures"] == {"lost_information": 3} and versions[0]["tried_on"] == 3
    assert versions[2]["text"] == BETTER and versions[2]["feedback"] == "It lost what the task needs."
    assert {(row["operator"], row["method_version"], row["generation"]) for row in found.accepted} == {("method-v2", 2, 1)}
    assert len(found.accepted) == len(SEEDS) and found.dropped == []
    assert all(row["instruction"].endswith("Order them by what they cost.") for row in found.accepted)


def test_a_step_without_a_gain_ends_the_search_and_the_first_version_stays(tmp_path):
    engine = Model([WORSE, WORSE])
    with pytest.raises(YieldError, match="6 lost_information"):
        evolve(engine, tmp_path)
    analyses = [request.id for request in engine.asked if request.id.endswith("/analysis")]
    assert analyses == ["step-1/analysis"]


def test_where_nothing_fails_nothing_is_improved(tmp_path):
    engine = Model([])
    engine._answer = lambda request: (
        f"Name {len(engine.asked)} uses of salt at sea." if FIRST in request.prompt else "It melts."
    )
    found = evolve(engine, tmp_path)
    assert [row["failure_rate"] for row in files_of(found)["methods.jsonl"]] == [0.0]
    assert not any("analysis" in request.id for request in engine.asked)


@pytest.mark.parametrize(("text", "why"), [("1. Ask.", "too_short"), (english().render("auto_evol-first.txt"), "known")])
def test_a_version_that_cannot_be_used_is_recorded_with_the_reason_and_never_tried(tmp_path, text, why):
    engine = Model([text, BETTER])
    rows = files_of(evolve(engine, tmp_path))["methods.jsonl"]
    assert (rows[1]["unusable"], rows[1]["failure_rate"], rows[1]["tried_on"]) == (why, None, 0)
    assert not any(request.id.startswith("v1/") for request in engine.asked)


def test_an_analysis_shows_the_whole_way_of_each_task_and_not_the_development_set(tmp_path):
    engine = Model([WORSE, BETTER])
    evolve(engine, tmp_path)
    (asked,) = [request for request in engine.asked if request.id == "step-1/analysis"]
    held = {request.id.split("/")[1] for request in engine.asked if request.id.startswith("v0/")}
    assert len(held) == 3
    assert asked.prompt.count("After 0: ") == 2 and asked.prompt.count("After 2: ") == 2
    assert not any(seed.instruction in asked.prompt for seed in SEEDS if seed.id in held)


def test_as_many_cases_are_analysed_as_the_context_holds(tmp_path):
    def asked_for_analysis(folder, context_):
        class Narrow(Model):
            tokenizer, context = Letters(), context_

        engine = Narrow([WORSE, BETTER])
        evolve(engine, folder, instruction_tokens=20, response_tokens=20, options={"method_tokens": 350})
        return next(request.prompt for request in engine.asked if request.id == "step-1/analysis")

    both = asked_for_analysis(tmp_path / "wide", 9999)
    assert both.count("Case ") == 2
    assert asked_for_analysis(tmp_path / "narrow", len(both) + 350 - 1).count("Case ") == 1


def test_a_killed_search_is_resumed_and_asks_only_for_the_rest(tmp_path):
    first = Model([WORSE, BETTER])
    whole, number = evolve(first, tmp_path / "whole"), len(first.asked)
    for life in range(1, number, 7):
        with pytest.raises(IndexError):
            evolve(Model([WORSE, BETTER], life), tmp_path / str(life))
        rest = Model([WORSE, BETTER])
        assert evolve(rest, tmp_path / str(life)) == whole
        assert len(rest.asked) == number - life


def test_fewer_seeds_than_a_development_set_and_a_batch_are_refused_at_the_plan(tmp_path):
    path = tmp_path / "seeds.jsonl"
    path.write_text("".join(f'{{"instruction": "Name {n} uses of salt."}}\n' for n in range(59)))
    with pytest.raises(DataError, match=r"59 seed task\(s\) are fewer than .* hold, 60"):
        Synthesize(method="auto_evol", seeds=str(path)).data_digests()
    assert Synthesize(method="auto_evol", seeds=str(path), options={"batch": 9}).data_digests()


def test_what_the_notebook_shows_can_be_shown(tmp_path):
    found = evolve(Model([WORSE, BETTER]), tmp_path)
    rows = AutoEvol().evidence(found).rows
    assert [row["failure rate"] for row in rows] == [1.0, 1.0, 0.0]
    assert rows[2]["used"] == "6 of 6 accepted"
    (axis,) = figure_of(AutoEvol(), found).axes
    assert [bar.get_height() for bar in axis.containers[0]] == [1.0, 1.0, 0.0]
    shown = AutoEvol().example(made(Model([]), tmp_path / "b"))
    assert shown.rows[-1] == {"step": "verdict", "text": "lost_information: please provide"}
