"""WizardMath: numbers are read, votes are counted with their ties, and most answers decide, against worked examples."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isheep_lib.errors import DataError, YieldError
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.evolving.votes import final_number, vote
from isheep_lib.synthesize.extras.own import files_of
from isheep_lib.synthesize.methods.evolution.wizard_math import OPERATORS, UPWARD, WizardMath
from isheep_lib.synthesize.params import Synthesize
from tests.scripted import ScriptedEngine
from tests.writings import writing

SEEDS = [
    Task("seed-0", "Tom has 3 apples and buys 4 more. How many has he?", output="7", kind="number"),
    Task("seed-1", "When does a film of 90 minutes end that starts at 18:50?", output="20:20", kind="number"),
    Task("seed-2", "Sing a song about apples.", output="7", kind="creative"),
]
WHOLE = "Tom has 3 apples, buys 4 more and gives 2 away. How many does he have now?"


@pytest.mark.parametrize(
    ("said", "number"),
    [
        ("3 + 4 = 7", 7),
        ("The answer is 7. I used 2 steps.", 7),
        ("Answer: 1,234.50 euros", Fraction("1234.5")),
        ("#### -12", -12),
        ("So \\boxed{3/4} it is, by rule 9.", Fraction(3, 4)),
        ("The final answer is: **$5**", 5),
        ("He pays 1 200", 200),
        ("10-5", 5),
        ("It is −4 degrees.", -4),
        ("The answer is 6. No, the answer is 8.", 8),
        ("<think>the answer is 3</think>4", 4),
        ("1/0", None),
        ("seven", None),
        ("", None),
    ],
)
def test_the_number_is_the_last_that_an_answer_calls_its_answer_else_the_last_one(said, number):
    assert final_number(said) == number


@pytest.mark.parametrize(
    ("answers", "winner", "counts", "unread", "first", "tied"),
    [
        (["12", "13", "12", "no"], "12", {"12": 2, "13": 1}, 1, 0, []),
        (["12", "13"], "", {"12": 1, "13": 1}, 0, -1, ["12", "13"]),
        (["1", "2", "2", "1", "3"], "", {"1": 2, "2": 2, "3": 1}, 0, -1, ["1", "2"]),
        (["0.5", "1/2", "7"], "1/2", {"1/2": 2, "7": 1}, 0, 0, []),
        (["no", "none"], "", {}, 2, -1, []),
        (["5"], "5", {"5": 1}, 0, 0, []),
        ([], "", {}, 0, -1, []),
    ],
)
def test_most_answers_decide_and_of_a_tie_nobody_wins(answers, winner, counts, unread, first, tied):
    found = vote(answers)
    assert (found.winner, found.counts, found.unread, found.first, found.tied) == (winner, counts, unread, first, tied)


def test_the_first_answer_that_ended_by_itself_speaks_for_the_winner():
    assert vote(["7 and", "8", "7", "7"], [False, True, True, True]).first == 2
    assert vote(["7 and", "8", "7"], [False, True, False]).first == 0


@given(st.lists(st.integers(-3, 3), max_size=9), st.randoms(use_true_random=False))
def test_the_order_of_the_answers_decides_nothing_but_who_speaks(numbers, draw):
    mixed = list(numbers)
    draw.shuffle(mixed)
    one, other = (vote([str(number) for number in order]) for order in (numbers, mixed))
    assert (one.winner, one.counts, one.tied) == (other.winner, other.counts, other.tied)
    assert bool(one.winner) == (bool(numbers) and not one.tied)
    if one.winner:
        assert numbers[one.first] == int(one.winner)
        assert all(numbers.count(int(one.winner)) > numbers.count(n) for n in {*numbers} - {int(one.winner)})


def evolve(engine, folder, seeds=SEEDS, **options):
    values = {"method": "wizard_math", "min_instructions": 1, "instructions": 9}
    own = {"rounds": 1, "operators": ["add_constraint"], "votes": 4, "parents": 1, "kinds": ["number"], "checked_seeds": 0}
    params = Synthesize(**values, options={**own, **options})
    return WizardMath().write(writing(engine, folder, params, seeds[:1] if not options.get("checked_seeds") else seeds))


def test_the_answer_is_the_first_that_says_what_most_say_and_the_row_tells_the_vote(tmp_path):
    found = evolve(ScriptedEngine([WHOLE, "6 is left", "5 are left", "He has 5", "none"]), tmp_path)
    (row,) = found.accepted
    assert (row["id"], row["output"], row["voted"]) == ("i1-g1-000", "5 are left", "5")
    assert (row["votes"], row["unread"]) == ({"5": 2, "6": 1}, 1)
    assert (row["operator"], row["direction"], row["parents"]) == ("add_constraint", "up", ["seed-0"])
    assert found.tokens == 10 + 30, "the rewriting, and the answers beside the one that is kept"


@pytest.mark.parametrize(
    ("answers", "reason", "detail"),
    [
        (["5", "6", "5", "6"], "tied", "5, 6: 2 of 4 each"),
        (["no", "no", "no", "no"], "no_number", "4 answers"),
        (["5", "no", "no", "no"], "too_few_votes", "1 of 4"),
    ],
)
def test_a_problem_without_a_winner_is_dropped_with_the_vote(tmp_path, answers, reason, detail):
    with pytest.raises(YieldError, match=f"1 {reason}"):
        evolve(ScriptedEngine([WHOLE, *answers]), tmp_path)
    found = evolve(ScriptedEngine([WHOLE, *answers, WHOLE, *["5"] * 4]), tmp_path / "more", rounds=2)
    (row,) = found.dropped
    assert (row["reason"], row["detail"]) == (reason, detail)
    assert f"{int(reason == 'tied')} tied votes" in WizardMath().evidence(found).title


def test_the_same_vote_answers_seeds_whose_answers_are_known_and_says_how_often_it_is_right(tmp_path):
    engine = ScriptedEngine(["7", "7", "8", "7", WHOLE, "5", "5", "5", "4"])
    found = evolve(engine, tmp_path, checked_seeds=16)
    (row,) = files_of(found)["checked_seeds.jsonl"]
    assert row == {"id": "seed-0", "known": "7", "voted": "7", "right": True, "votes": {"7": 3, "8": 1}, "unread": 0}
    assert "of 1 seeds with known answers the vote decides 1 and is right on 1" in WizardMath().evidence(found).title
    assert found.tokens == 40 + 10 + 30


def test_a_killed_writing_is_resumed_and_asks_only_for_the_rest(tmp_path):
    said = ["7", "7", "8", "7", WHOLE, "5", "5", "5", "4"]
    whole = evolve(ScriptedEngine(said), tmp_path / "whole", checked_seeds=16)
    for life in (2, 4, 5, 7):
        with pytest.raises(IndexError):
            evolve(ScriptedEngine(said[:life]), tmp_path / str(life), checked_seeds=16)
        rest = ScriptedEngine(said[life:])
        assert evolve(rest, tmp_path / str(life), checked_seeds=16) == whole
        assert len(rest.asked) == len(said) - life


def test_upward_and_downward_operators_have_prompts_of_their_own_and_rows_say_which_way_they_go(tmp_path):
    own = writing(ScriptedEngine([]), tmp_path, Synthesize(method="wizard_math"), SEEDS)
    prompts = {WizardMath().prompt(own, SEEDS[0], operator) for operator in OPERATORS}
    assert len(prompts) == 5 and all(SEEDS[0].instruction in prompt for prompt in prompts)
    assert [WizardMath().lineage(name)["direction"] for name in OPERATORS] == ["up"] * 3 + ["down"] * 2
    assert len(UPWARD) == 3


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ('{"instruction": "Sing a song.", "kind": "creative", "output": "7"}', "No seed task is of the kind number or maths"),
        ('{"instruction": "Add 3 and 4.", "kind": "number"}', "None of the 1 seeds that are problems has a number"),
        ('{"instruction": "Add 3 and 4.", "kind": "number", "output": "It is 7."}', "None of the 1 seeds"),
    ],
)
def test_seeds_without_a_problem_or_without_a_checkable_output_are_refused_at_the_plan(tmp_path, row, said):
    path = tmp_path / "seeds.jsonl"
    path.write_text(row + "\n")
    with pytest.raises(DataError, match=said):
        Synthesize(method="wizard_math", seeds=str(path)).data_digests()
    if "None" in said:
        few = {"min_instructions": 8, "options": {"checked_seeds": 0}}
        assert Synthesize(method="wizard_math", seeds=str(path), **few).data_digests()


def test_contradictions_are_named_all_at_once():
    options = {"votes": 2, "min_votes": 3}
    problems = "\n".join(Synthesize(method="wizard_math", response_temperature=0.0, answers=2, options=options).conflicts())
    for said in ("options.min_votes: must be at most votes", "options.votes: at response_temperature 0", "answers: the method"):
        assert said in problems


def test_one_candidate_is_shown_step_by_step(tmp_path):
    own = {"votes": 3, "operators": ["simplify"], "kinds": ["number"]}
    params = Synthesize(method="wizard_math", min_instructions=1, options=own)
    shown = WizardMath().example(writing(ScriptedEngine([WHOLE, "5", "5", "6"]), tmp_path, params, SEEDS))
    steps = {row["step"]: row["text"] for row in shown.rows}
    assert (steps["operator"], steps["output"], steps["votes"]) == ("simplify", "5", "{'5': 2, '6': 1}")
