"""Learned judges: each pair by the judge that has not learned from its task, on one scale, and what the check says of them."""

import pytest

from isheep_lib.assess.judges import SIDES, Generalisation, LearnedJudges, check_kinds
from isheep_lib.assess.known_order import Lesson, Trial, judge_name
from isheep_lib.record.journal import Journal
from isheep_lib.record.rows import Pair
from isheep_lib.scorers.verdict import Question
from tests.frames import hand_made

FRAME = hand_made("f", "<", ">", "END")


def pair(n, output="right"):
    return Pair(f"p{n}/{output}", f"Task {n}.", "", output)


class Bench:
    """Judges by name that say Yes with the odds of a table of words in what they are asked."""

    def __init__(self, **tables):
        self.tables = {name.replace("_", "-"): table for name, table in tables.items()}
        self.asked = []

    def __call__(self, name, prompts):
        self.asked.append((name, len(prompts)))
        table = self.tables[name or "untrained"]
        return [[sum(odds for word, odds in table.items() if word in prompt), 0.0] for prompt in prompts]


def judges(folder, bench, folds=None, held_out=None):
    given = {"Task 0.": 0, "Task 1.": 1, "Task 2.": 0, "Task 3.": 1} if folds is None else folds
    held = held_out or {judge_name(fold): [Lesson(pair(9), "p9"), Lesson(pair(9, "wrong"), "p9", "x")] for fold in (0, 1)}
    return LearnedJudges(bench, Question(FRAME), given, held, lambda: Journal(folder / "judges.jsonl", "f"))


def test_a_pair_is_scored_by_the_judge_of_the_other_half_less_what_that_judge_says_on_the_average(tmp_path):
    bench = Bench(judge_0={"right": 5.0, "wrong": 1.0}, judge_1={"right": -2.0, "wrong": -4.0})
    made = judges(tmp_path, bench)
    assert made.odds([pair(0), pair(1), pair(2, "wrong")]) == [-2.0 + 3.0, 5.0 - 3.0, -4.0 + 3.0]
    assert {name for name, _ in bench.asked} == {"judge-0", "judge-1"}


def test_the_average_is_asked_for_once_and_kept_through_a_crash(tmp_path):
    bench = Bench(judge_0={"right": 5.0}, judge_1={"right": 1.0})
    made = judges(tmp_path, bench)
    first = made.odds([pair(0), pair(1)])
    bench.asked.clear()
    again = judges(tmp_path, bench)
    assert again.odds([pair(0), pair(1)]) == first
    assert bench.asked == [("judge-0", 1), ("judge-1", 1)]


def trial(kind, number=6):
    right = [Lesson(pair(n), f"p{n}") for n in range(number)]
    return Trial(kind, right, [Lesson(pair(n, "wrong"), f"p{n}", kind) for n in range(number)])


def test_the_check_sets_the_untrained_judge_beside_those_without_and_with_the_kind(tmp_path):
    bench = Bench(
        untrained={"right": -1.0},  # backwards
        judge_0={"right": 1.0},  # knows
        judge_0_without_looped={},  # knows nothing of this kind
        judge_0_without_shuffled={"right": 0.5},
    )
    made = judges(tmp_path, bench)
    found = check_kinds(made, [trial("looped"), trial("shuffled")], 100, 0)
    said = {(one.corruption, side): one.auroc for side, one in found.found}
    assert said == {
        ("looped", "verdict"): 0.0,
        ("looped", "learned_without"): 0.5,
        ("looped", "learned"): 1.0,
        ("shuffled", "verdict"): 0.0,
        ("shuffled", "learned_without"): 1.0,
        ("shuffled", "learned"): 1.0,
    }
    assert [list(line)[2:] for line in found.table().rows] == [list(SIDES.values())] * 2
    assert found.document()["looped"]["learned"]["auroc"] == 1.0
    assert len(found.rows) == 24 and {row["tested"] for row in found.rows} == {"looped", "shuffled"}
    bench.asked.clear()
    assert check_kinds(made, [trial("looped"), trial("shuffled")], 100, 0) == found
    assert not bench.asked  # what was said is in the journal


def test_a_check_of_nothing_says_so():
    assert Generalisation([], []).document() == {}
    assert Generalisation([], []).table().rows == [{"judge": "no scorer learns here"}]


def test_what_a_judge_is_asked_is_what_it_learned_to_answer(tmp_path):
    seen = []
    made = judges(tmp_path, lambda name, prompts: seen.extend(prompts) or [[0.0, 0.0]] * len(prompts))
    made.odds([pair(0)])
    assert Question(FRAME).about(pair(0)) in seen


def test_a_task_that_no_half_holds_is_a_mistake_of_ours(tmp_path):
    with pytest.raises(KeyError):
        judges(tmp_path, Bench(judge_0={}, judge_1={})).odds([pair(77)])
