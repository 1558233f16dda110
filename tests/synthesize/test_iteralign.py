"""IterAlign: rules are read and chosen, bad answers are answered again by them, and the constitution has its versions."""

import pytest

from isheep_lib.errors import YieldError
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.extras import own
from isheep_lib.synthesize.methods.revision.iteralign import IterAlign
from isheep_lib.synthesize.params import Synthesize
from isheep_lib.synthesize.revising.constitution import Rule, read_rules, taken
from tests.scripted import ScriptedEngine
from tests.writings import writing

SEEDS = [Task(f"seed-{n}", f"Name {n} plain uses of salt.") for n in range(2, 8)]
FIRST, SECOND = "Say plainly what you do not know.", "Give one example for each of your claims."
VAGUE = "Be a good assistant at all times."


@pytest.mark.parametrize(
    ("said", "rules"),
    [
        (f"1. {FIRST}\n2. {SECOND}", [FIRST, SECOND]),
        (f"Rules:\n- {FIRST}\n- {SECOND}\n", [FIRST, SECOND]),
        (f"1) Say plainly\n   what you do not know.\n2) {SECOND}", [FIRST, SECOND]),
        (f"{FIRST}\n\n{SECOND}", [FIRST, SECOND]),
        ("", []),
    ],
)
def test_rules_are_read_from_mark_to_mark(said, rules):
    assert read_rules(said) == rules


class Model(ScriptedEngine):
    """Answers badly until a rule is in the prompt; writes the given rules, a list for each round."""

    def __init__(self, rules, good=(), lives=10**6):
        super().__init__(self.say)
        self.rules, self.good, self.lives = list(rules), good, lives

    def say(self, request):
        if len(self.asked) > self.lives:
            raise IndexError
        if request.id.endswith("-rules"):
            return self.rules[int(request.id.partition("-g")[2].partition("-")[0] or 1) - 1]
        task = next(seed.instruction for seed in SEEDS if seed.instruction in request.prompt)
        return f"Honestly, {task}" if "You answer by these rules" in request.prompt else f"Whatever: {task}"

    def choices(self, prompts, labels):
        self.calls.append(prompts)
        assert labels == ["Yes", "No"]
        bad = [
            ("Whatever" in prompt and not any(text in prompt for text in self.good)) or VAGUE in prompt for prompt in prompts
        ]
        return [[-0.1, -2.3] if yes else [-2.3, -0.1] for yes in bad]


def made(engine, folder, carried=(), **values):
    options = {"batch": 2, "rounds": 3, "rules": 3, **values.pop("options", {})}
    given = {"method": "iteralign", "min_instructions": 1, "instructions": 9, "max_rouge": 1.0, "options": options}
    return writing(engine, folder, Synthesize(**{**given, **values}), SEEDS, carried=carried)


def test_bad_answers_become_rules_and_answers_by_the_rules_are_learned_with_their_version(tmp_path):
    engine = Model([f"1. {FIRST}\n2. {VAGUE}\n3. Ok.", f"1. {FIRST}", f"1. {SECOND}"])
    found = IterAlign().write(made(engine, tmp_path))
    assert len(found.accepted) == 6 and found.dropped == []
    row = found.accepted[0]
    assert row["output"].startswith("Honestly") and row["first_output"].startswith("Whatever")
    assert [row["constitution_version"] for row in found.accepted] == [1, 1, 1, 1, 2, 2]
    assert [row["generation"] for row in found.accepted] == [1, 1, 2, 2, 3, 3]
    assert {row["parents"][0] for row in found.accepted} == {seed.id for seed in SEEDS}
    rules = own.files_of(found)["constitution.jsonl"]
    assert [(rule["version"], rule["rule"], rule["reason"]) for rule in rules] == [
        (1, FIRST, ""),
        (1, VAGUE, "vague_rule"),
        (1, "Ok.", "no_rule_in_form"),
        (2, FIRST, "known_rule"),
        (2, SECOND, ""),
    ]


def test_the_learned_pair_holds_no_rule_and_the_prompt_of_its_answer_holds_all(tmp_path):
    engine = Model([f"1. {FIRST}\n2. {SECOND}"])
    found = IterAlign().write(made(engine, tmp_path, options={"rounds": 1}))
    asked = [request for request in engine.asked if request.id.endswith("/revised")]
    assert asked and all(f"1. {FIRST}\n2. {SECOND}" in request.prompt for request in asked)
    assert not any(FIRST in str(value) for row in found.accepted for value in row.values())


def test_a_round_without_a_bad_answer_ends_the_stage_and_good_answers_are_dropped_by_name(tmp_path):
    shuffled = IterAlign()._seeds(made(Model([]), tmp_path / "a"))
    good = [seed.instruction for seed in shuffled[1:]]
    engine = Model([f"1. {FIRST}"], good=good)
    found = IterAlign().write(made(engine, tmp_path / "b"))
    assert [row["reason"] for row in found.dropped] == ["no_violation"] * 3
    assert len(found.accepted) == 1
    assert max(row["generation"] for row in found.dropped) == 2, "the third batch is asked no more"


def test_bad_answers_are_dropped_as_long_as_no_rule_is_taken_and_too_few_stop_the_stage(tmp_path):
    with pytest.raises(YieldError, match="6 no_constitution"):
        IterAlign().write(made(Model([f"1. {VAGUE}", "", "- No."]), tmp_path))


def test_an_answer_that_the_rules_do_not_change_is_dropped(tmp_path):
    engine = Model([f"1. {FIRST}"])
    engine._answer = lambda request: f"1. {FIRST}" if request.id.endswith("-rules") else "Whatever."
    with pytest.raises(YieldError, match="2 answer_unchanged"):
        IterAlign().write(made(engine, tmp_path, options={"rounds": 1}))


def test_a_rule_that_the_token_limit_ended_is_not_taken_and_no_more_than_are_asked_for(tmp_path):
    engine = Model([f"1. {FIRST}\n2. {SECOND}"])
    found = IterAlign().write(made(engine, tmp_path / "a", options={"rounds": 1, "rules": 1}))
    assert [rule["reason"] for rule in own.files_of(found)["constitution.jsonl"]] == ["", "beyond_wanted"]
    engine = Model([f"1. {FIRST}\n2. Give one"])
    engine.finish = "length"
    found = IterAlign().write(made(engine, tmp_path / "b", options={"rounds": 1}))
    assert [rule["reason"] for rule in own.files_of(found)["constitution.jsonl"]] == ["", "cut_off"]


def test_the_next_iteration_goes_on_with_the_constitution_and_reads_it_as_an_input(tmp_path):
    old = vars(Rule("i0-g1-rule-0", 0, 4, FIRST))
    found = IterAlign().write(made(Model([f"1. {SECOND}"]), tmp_path, [old], options={"rounds": 1}))
    rules = own.files_of(found)["constitution.jsonl"]
    assert [(rule["iteration"], rule["version"], rule["rule"]) for rule in rules] == [(0, 4, FIRST), (1, 5, SECOND)]
    assert {row["constitution_version"] for row in found.accepted} == {5}
    params = Synthesize(method="iteralign")
    assert params.inputs(1) == []
    assert (2, "synthesize", "constitution.jsonl") in params.inputs(3)
    assert (1, "synthesize", "constitution.jsonl") not in params.inputs(3)
    assert not any(name == "constitution.jsonl" for _, _, name in Synthesize().inputs(3))


def test_a_refused_rule_is_no_part_of_the_constitution():
    rules = [Rule("a", 1, 1, FIRST), Rule("b", 1, 1, SECOND, "vague_rule")]
    assert taken(rules) == [FIRST]


def test_a_killed_writing_is_resumed_and_asks_only_for_the_rest(tmp_path):
    rules = [f"1. {FIRST}", f"1. {SECOND}", "1. Keep to what was asked for and nothing else."]
    first = Model(rules)
    whole, number = IterAlign().write(made(first, tmp_path / "whole")), len(first.asked)
    for life in (0, 2, 4, 9):
        with pytest.raises(IndexError):
            IterAlign().write(made(Model(rules, lives=life), tmp_path / str(life)))
        rest = Model(rules)
        assert IterAlign().write(made(rest, tmp_path / str(life))) == whole
        assert len(rest.asked) == number - life


def test_what_the_notebook_shows_can_be_shown(tmp_path):
    found = IterAlign().write(made(Model([f"1. {FIRST}"] * 3), tmp_path))
    rows = IterAlign().evidence(found).rows
    assert rows[0][""] == "taken"
    left = own.figure_of(IterAlign(), found).axes[0]
    assert [bar.get_height() for bar in left.containers[0]] == [2, 2, 2]
    plain = made(Model([f"1. {FIRST}"]), tmp_path / "b")
    assert "none yet" in repr(IterAlign().prepared(plain))
    steps = {row["step"]: row["text"] for row in IterAlign().example(plain).rows}
    assert steps["bad"].endswith("% yes") and steps["rule 1"] == f"{FIRST} (taken)"
