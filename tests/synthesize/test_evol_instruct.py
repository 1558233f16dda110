"""Evol-Instruct: rewriting round by round, reading a rewriting, and every reason of the eliminator, against worked examples."""

import pytest
from isheep_lib.synthesize.methods.evolution.evol_instruct import OPERATORS, EvolInstruct

from isheep_lib.engines.protocol import Completion
from isheep_lib.errors import DataError, YieldError
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.candidates import Candidates
from isheep_lib.synthesize.evolving.rounds import HOPELESS, read_rewriting, require_successes
from isheep_lib.synthesize.extras.own import figure_of
from isheep_lib.synthesize.params import Synthesize
from tests.scripted import Letters, ScriptedEngine
from tests.writings import writing

SEEDS = [Task("seed-0", "Name three uses of salt.")]
WHOLE = "Name three uses of salt in a kitchen, and give a reason for each of them."
MORE = "Name three uses of salt in a kitchen and order them by the amount that each of them needs."
ANSWER = "Salt seasons soup, keeps cabbage and cleans pans."


class Equals(ScriptedEngine):
    """Rewrites and answers from a queue, and finds two tasks equal where the words say so."""

    def choices(self, prompts, labels):
        self.calls.append(prompts)
        assert labels == ["Yes", "No"]
        return [[-0.1, -2.3] if "the very same" in prompt else [-2.3, -0.1] for prompt in prompts]


def evolve(engine, folder, seeds=SEEDS, **values):
    options = {"rounds": 1, "operators": ["deepen"], **values.pop("options", {})}
    params = Synthesize(**{"method": "evol_instruct", "min_instructions": 1, "instructions": 9, "options": options, **values})
    return EvolInstruct().write(writing(engine, folder, params, seeds))


@pytest.mark.parametrize(
    ("said", "instruction", "cut"),
    [
        (WHOLE, WHOLE, False),
        (f"  {WHOLE}\n", WHOLE, False),
        (f'"{WHOLE}"', WHOLE, False),
        (f"Rewritten task: {WHOLE}", WHOLE, False),
        (f"**The new task:** {WHOLE}".replace("**", ""), WHOLE, False),
        ('Say "yes" or "no".', 'Say "yes" or "no".', False),
        ("", "", False),
    ],
)
def test_a_rewriting_is_the_text_without_label_and_quotes(said, instruction, cut):
    item = read_rewriting(Completion("x", said, "length" if cut else "end", 3))
    assert (item.instruction, item.input, item.cut, item.raw) == (instruction, "", cut, said)


def test_what_passes_has_its_answer_its_parent_its_operator_and_its_round(tmp_path):
    found = evolve(Equals([WHOLE, ANSWER]), tmp_path)
    row = {"id": "i1-g1-000", "instruction": WHOLE, "input": "", "output": ANSWER, "finish": "end", "num_tokens": 10}
    assert found.accepted == [{**row, "parents": ["seed-0"], "operator": "deepen", "generation": 1}]
    assert (found.dropped, found.tokens) == ([], 10)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("Salt?", "too_short"),
        ("Name three uses of SALT!", "unchanged"),
        ("Here is the rewritten task, name three uses of salt.", "leaked_marker"),
        ("Answer #Rewritten Prompt# with three uses of salt.", "leaked_marker"),
        ("As an AI I would ask for three uses of salt.", "malformed"),
        ("Name\n\nthree\n\nuses\n\nof\n\nsalt\n\nplease.", "malformed"),
        ("Name uses of salt:\n" + "".join(f"- use {n}\n" for n in range(11)), "malformed"),
        ("Give a task that is the very same as the first one.", "equal"),
    ],
)
def test_a_rewriting_is_eliminated_for_this_reason_before_it_is_answered(tmp_path, said, reason):
    engine = Equals([said, MORE, ANSWER])
    found = evolve(engine, tmp_path, options={"rounds": 2})
    assert [(row["reason"], row["generation"], row["raw"]) for row in found.dropped] == [(reason, 1, said)]
    assert [row["generation"] for row in found.accepted] == [2]
    assert [request.id for request in engine.asked] == ["i1-g1-000", "i1-g2-000", "i1-g2-000"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("Sorry, that is not possible.", "apology"),
        ("", "says_nothing"),
        ("... --- ...", "says_nothing"),
        ("It is what it is.", "says_nothing"),
    ],
)
def test_a_rewriting_is_eliminated_by_its_answer(tmp_path, answer, reason):
    found = evolve(Equals([WHOLE, answer, MORE, ANSWER]), tmp_path, options={"rounds": 2})
    assert [(row["reason"], row["output"]) for row in found.dropped] == [(reason, answer)]
    assert len(found.accepted) == 1


def test_a_long_answer_may_be_sorry(tmp_path):
    answer = "Sorry to say it: " + "salt keeps food and " * 20
    assert len(evolve(Equals([WHOLE, answer]), tmp_path).accepted) == 1


def test_a_failed_task_is_rewritten_again_and_a_good_one_is_rewritten_further(tmp_path):
    engine = Equals(["Salt?", WHOLE, ANSWER, MORE, ANSWER])
    found = evolve(engine, tmp_path, options={"rounds": 3})
    assert [row["parents"] for row in (*found.dropped, *found.accepted)] == [["seed-0"], ["seed-0"], ["i1-g2-000"]]
    assert "Name three uses of salt." in engine.asked[1].prompt
    assert WHOLE in engine.asked[3].prompt


def test_a_rewriting_may_resemble_what_it_was_made_from_and_no_other_task(tmp_path):
    other = Task("seed-1", "Explain how bees make honey.")
    near = {SEEDS[0].instruction: "Name three good uses of salt.", other.instruction: "Explain how old bees make honey."}
    crossed = dict(zip(near, reversed(near.values()), strict=True))
    for texts, kept in ((near, 2), (crossed, 0)):
        engine = Equals(lambda request, texts=texts: next((t for seed, t in texts.items() if seed in request.prompt), ANSWER))
        folder = tmp_path / str(kept)
        if kept:
            assert len(evolve(engine, folder, [*SEEDS, other], options={"parents": 2}).accepted) == kept
        else:
            with pytest.raises(YieldError, match="2 near_duplicate"):
                evolve(engine, folder, [*SEEDS, other], options={"parents": 2})


def test_enough_is_enough_and_the_rest_is_dropped_by_name(tmp_path):
    seeds = [Task("seed-0", "Name three uses of salt."), Task("seed-1", "Explain how bees make honey.")]
    engine = Equals(["Describe a calm autumn day in May.", "List five quiet board games for two.", ANSWER, ANSWER])
    found = evolve(engine, tmp_path, seeds, options={"rounds": 4, "parents": 2}, instructions=1)
    assert [row["reason"] for row in found.dropped] == ["beyond_target"]
    assert {row["generation"] for row in (*found.accepted, *found.dropped)} == {1}


def test_too_few_stop_the_stage_with_reasons(tmp_path):
    with pytest.raises(YieldError, match=r"(?s)Only 0 new instructions.*too_short.*raise rounds or parents"):
        evolve(Equals(["Salt?"]), tmp_path)


def test_a_killed_rewriting_is_resumed_and_asks_only_for_the_rest(tmp_path):
    whole = evolve(Equals([WHOLE, ANSWER, MORE, ANSWER]), tmp_path / "whole", options={"rounds": 2})
    for life in range(4):
        folder = tmp_path / str(life)
        said = [WHOLE, ANSWER, MORE, ANSWER]
        with pytest.raises(IndexError):
            evolve(Equals(said[:life]), folder, options={"rounds": 2})
        rest = Equals(said[life:])
        assert evolve(rest, folder, options={"rounds": 2}) == whole
        assert len(rest.asked) == 4 - life


def test_every_task_draws_its_operator_by_its_own_seed(tmp_path):
    params = Synthesize(method="evol_instruct", min_instructions=1, options={"rounds": 1, "parents": 40})
    seeds = [Task(f"seed-{n}", f"Write about number {n} in two plain lines.") for n in range(40)]
    numbers = {}
    engine = Equals(lambda request: f"Tell the story {request.seed} of {'bcd'[request.seed % 3]} " + request.id)
    made = writing(engine, tmp_path, params, seeds, seed_of=lambda name: numbers.setdefault(name, len(numbers)))
    found = EvolInstruct().write(made)
    drawn = {row["operator"] for row in (*found.accepted, *found.dropped)}
    assert drawn == set(OPERATORS)
    shown = EvolInstruct().evidence(found)
    assert [row["operator"] for row in shown.rows] == list(OPERATORS)
    assert sum(row["written"] for row in shown.rows) == 40


def test_all_seeds_without_room_for_a_rewriting_are_named_before_anything_is_asked(tmp_path):
    class Narrow(Equals):
        tokenizer, context = Letters(), 1500

    engine = Narrow(["never asked"])
    seeds = [*SEEDS, Task("seed-1", "Sort these. " + "word " * 300), Task("seed-2", "Add these.", "1, " * 500)]
    with pytest.raises(DataError) as caught:
        evolve(engine, tmp_path, seeds, instruction_tokens=50, options={"parents": 1})
    assert "seed-0" not in caught.value.what
    assert caught.value.what.startswith("2 seed task(s) are too long:")
    assert "seed-1: " in caught.value.what and "seed-2: " in caught.value.what
    assert engine.asked == []


@pytest.mark.parametrize(("weights", "low", "high"), [([], 0.3, 0.7), ([19.0, 1.0], 0.85, 1.0)])
def test_operators_are_drawn_as_often_as_their_weights_say_and_without_weights_all_alike(tmp_path, weights, low, high):
    options = {"rounds": 1, "parents": 60, "operators": ["deepen", "in_breadth"], "weights": weights}
    params = Synthesize(method="evol_instruct", min_instructions=1, instructions=60, max_rouge=1.0, options=options)
    seeds, numbers = [Task(f"seed-{n}", f"Write about number {n} in two plain lines.") for n in range(60)], {}
    made = writing(
        Equals(lambda request: f"Tell the story of {request.id} in full."),
        tmp_path,
        params,
        seeds,
        seed_of=lambda name: numbers.setdefault(name, len(numbers)),
    )
    found = EvolInstruct().write(made)
    drawn = [row["operator"] for row in found.accepted]
    assert len(drawn) == 60
    assert low < drawn.count("deepen") / 60 < high


def test_an_operator_that_fails_every_time_stops_the_stage_with_reasons_and_examples(tmp_path):
    seeds = [Task(f"seed-{n}", f"Write about number {n} in two plain lines.") for n in range(HOPELESS)]
    engine = Equals(["Salt?"] * 99)
    with pytest.raises(YieldError, match=r"(?s)operator deepen, which failed every time.*24 too_short.*such as 'Salt\?'"):
        evolve(engine, tmp_path, seeds, options={"rounds": 4, "parents": HOPELESS})
    assert len(engine.asked) == HOPELESS, "it stops after the round in which that is known"


def test_an_operator_that_failed_fewer_times_is_no_reason_to_stop(tmp_path):
    lost = [{"operator": "deepen", "reason": "equal"}] * (HOPELESS - 1)
    full = [{"operator": "deepen", "reason": "beyond_target"}] * HOPELESS
    require_successes(Candidates([], [*lost, *full]))
    require_successes(Candidates([{"operator": "deepen"}], [*lost, *lost]))


@pytest.mark.parametrize("weights", [[1.0], [1.0, 2.0, 3.0]])
def test_weights_that_are_not_one_for_each_operator_are_told(weights):
    options = {"operators": ["deepen", "in_breadth"], "weights": weights}
    problems = Synthesize(method="evol_instruct", options=options).conflicts()
    assert problems == [
        f"options.weights: {len(weights)} for 2 operators; give one for each, in their order, or none for all alike"
    ]


def test_one_candidate_is_shown_step_by_step(tmp_path):
    params = Synthesize(method="evol_instruct", min_instructions=1, options={"operators": ["deepen"]})
    shown = EvolInstruct().example(writing(Equals([WHOLE, ANSWER]), tmp_path, params, SEEDS))
    steps = {row["step"]: row["text"] for row in shown.rows}
    assert (steps["was"], steps["operator"], steps["is"]) == (SEEDS[0].instruction, "deepen", WHOLE)
    assert (steps["output"], steps["verdict"]) == (ANSWER, "nothing against it")
    failed = EvolInstruct().example(writing(Equals(["Salt?"]), tmp_path / "b", params, SEEDS))
    assert failed.rows[-1] == {"step": "verdict", "text": "too_short"}


def test_the_figure_of_generations_counts_every_rewriting(tmp_path):
    found = evolve(Equals(["Salt?", WHOLE, ANSWER]), tmp_path, options={"rounds": 2})
    left, right = figure_of(EvolInstruct(), found).axes[:2]
    bars = [[bar.get_height() for bar in container] for container in left.containers]
    assert bars == [[0, 1], [1, 0]]  # accepted and dropped, by generation
    assert [list(line.get_ydata()) for line in right.lines] == [[float(len(WHOLE.split()))]]
