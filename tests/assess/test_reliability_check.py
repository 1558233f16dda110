"""The check of how far self-assessment can be trusted: wrong responses, AUROC, calibration, and what the notebook shows."""

import itertools
import json
import math
import random
import re
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isheep_lib.analysis.reliability import auroc
from isheep_lib.assess import reliability_check
from isheep_lib.assess.reliability_check import (
    Check,
    calibration,
    checked_sample,
    corrupt,
    reliability,
    run_check,
    shuffled,
    truncated,
)
from isheep_lib.assess.scoring import Assessment, Scores, score_pairs
from isheep_lib.assess.tables import alone_and_together, example_table, ranked_table, unread_table
from isheep_lib.display.table import Table
from isheep_lib.errors import YieldError
from isheep_lib.iterate.run_params import AssessParams
from isheep_lib.languages.words import WITHOUT_SPACES
from isheep_lib.record.journal import WAITS, Journal
from isheep_lib.record.rows import Pair
from isheep_lib.scorers.table import columns
from tests.frames import hand_made
from tests.scripted import ScriptedEngine

few = settings(max_examples=50, deadline=None)
FRAME = hand_made("f", "<", ">", "END")
CORRUPTIONS = ["shuffled", "truncated", "wrong_task"]
ASKED = ["pmi", "ifd_loss", "ifd_perplexity", "perplexity", "expected", "greedy", "sampled"]
score_lists = st.lists(st.integers(1, 10) | st.just(math.nan) | st.floats(-3, 3), max_size=8)
phrases = st.lists(st.sampled_from("red blue cat dog sat ran home".split()), min_size=1, max_size=6).map(" ".join)


def made(number, outputs=None):
    outputs = outputs or [f"answer {n} indeed." for n in range(number)]
    return [Pair(f"p{n}", f"Task {n}.", "", outputs[n]) for n in range(number)]


def numbered(number):
    return made(number, [f"answer {n} indeed." for n in range(number)])


def seed_of(name):
    return zlib.crc32(name.encode())


def fits(text):
    """Know the right answer of every pair."""
    return any(f"Task {n}." in text and f"answer {n} indeed." in text for n in range(60))


def judge():
    return ScriptedEngine(lambda request: "8||yes" if fits(request.prompt) else "2||no", batch=3, fits=fits)


def assessment(engine, **values):
    return Assessment(engine, FRAME, AssessParams(**values), seed_of)


def asked_of(criterion, pair, kind):
    return assessment(judge(), assessment_prompt=kind).question(criterion, pair)


def checked(folder, pairs, engine=None, scored_by=None, **values):
    """Score all pairs and make the check, each with an engine of its own."""
    params = AssessParams(**{"checked_pairs": 6, "bootstrap": 100, **values})
    with Journal(folder / "scores.jsonl", "f") as journal:
        scores = score_pairs(Assessment(scored_by or judge(), FRAME, params, seed_of), pairs, params.scorers, journal)
    with Journal(folder / "check.jsonl", "f") as journal:
        return scores, run_check(Assessment(engine or judge(), FRAME, params, seed_of), pairs, scores, journal)


# Wrong responses


@few
@given(st.integers(2, 40), st.integers(0, 2**31))
def test_shuffled_responses_are_a_derangement(number, seed):
    pairs = numbered(number)
    found = shuffled(pairs, seed)
    assert sorted(found) == sorted(pair.output for pair in pairs)
    assert all(new != pair.output for new, pair in zip(found, pairs, strict=True))
    assert found == shuffled(pairs, seed)


def test_shuffling_depends_on_the_seed():
    assert len({tuple(shuffled(numbered(12), seed)) for seed in range(5)}) > 1


@few
@given(st.lists(st.text(min_size=1).filter(str.strip), max_size=8))
def test_truncated_responses_are_the_first_half_of_the_words_and_stand_at_the_beginning(outputs):
    for text, found in zip(outputs, truncated(made(len(outputs), outputs)), strict=True):
        said = text.split()
        if not WITHOUT_SPACES.search(text):
            assert found.split() == said[: math.ceil(len(said) / 2)]
        assert text.startswith(found)
        assert found == found.rstrip()


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("one", "one"),
        ("one two", "one"),
        ("one two three", "one two"),
        ("a\n\nb  c d", "a\n\nb"),
        ("  a b", "  a"),
        ("春天来了，花开了。", "春天来了"),
        ("タワーへ", "タワー"),
    ],
)
def test_half_of_a_response_keeps_its_layout(output, expected):
    assert truncated(made(1, [output])) == [expected]


def plain_wrong_task(pair, others):
    """Find the response to the nearest other task by trying all."""

    def bag(row):
        return set(re.findall(r"\w+", f"{row.instruction} {row.input}".lower()))

    best, found = -1.0, ""
    for other in others:
        if other.id == pair.id or other.output in ("", pair.output):
            continue
        union = bag(pair) | bag(other)
        near = len(bag(pair) & bag(other)) / len(union) if union else 0.0
        if near > best:
            best, found = near, other.output
    return found


@few
@given(
    st.lists(st.tuples(phrases, phrases | st.just(""), st.sampled_from(["", "x", "y", "z", "w"])), max_size=10),
    st.randoms(use_true_random=False),
)
def test_the_wrong_tasks_response_is_that_of_the_nearest_other_task(rows, draw):
    pairs = [Pair(f"p{n}", a.upper(), b, c) for n, (a, b, c) in enumerate(rows)]
    sample = draw.sample(pairs, len(pairs) // 2)
    assert reliability_check.wrong_task(sample, pairs) == [plain_wrong_task(pair, pairs) for pair in sample]


def test_tasks_that_share_most_words_are_near():
    said = ("Name a colour of fire", "Add 2 and 3", "Name a colour of grass")
    pairs = [replace(pair, instruction=words) for pair, words in zip(made(3, ["red", "blue", "green"]), said, strict=True)]
    assert reliability_check.wrong_task(pairs, pairs) == ["green", "red", "red"]
    assert reliability_check.wrong_task(pairs[:1], pairs[:1]) == [""]


def several(tasks, answers):
    """Make several answers to each task."""
    return [
        replace(pair, id=f"{pair.id}-a{k}", output=f"{pair.output} {k}", lineage={"task": pair.id})
        for pair in made(tasks)
        for k in range(answers)
    ]


def test_another_answer_to_the_same_task_is_no_wrong_one():
    pairs = several(6, 4)
    sample = checked_sample(pairs, 6, 1)
    assert [pair.task_id for pair in sample] == [f"p{n}" for n in range(6)], "a task is checked once"
    for kind in ("shuffled", "wrong_task"):
        for pair, wrong in zip(sample, corrupt(kind, sample, pairs, 3), strict=True):
            assert wrong.output and wrong.output not in {other.output for other in pairs if other.task_id == pair.task_id}


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_a_wrong_pair_is_the_same_task_under_an_id_of_its_own(kind):
    pairs = numbered(9)
    wrong = corrupt(kind, pairs[2:7], pairs, 3)
    for pair, other in zip(pairs[2:7], wrong, strict=True):
        assert replace(other, id=pair.id, output=pair.output) == pair
        assert other.output != pair.output
    every = [row.id for rows in (pairs, *(corrupt(k, pairs, pairs, 3) for k in CORRUPTIONS)) for row in rows]
    assert len(set(every)) == len(every)


@few
@given(st.lists(st.sampled_from(["", " \n", "a", "b"]), max_size=20), st.integers(1, 25), st.integers(0, 99))
def test_the_checked_sample_is_a_part_without_empty_outputs_in_order(outputs, number, seed):
    pairs = made(len(outputs), outputs)
    found = checked_sample(pairs, number, seed)
    ids = [int(row.id[1:]) for row in found]
    assert ids == sorted(set(ids))
    assert len(found) == min(number, sum(bool(text.strip()) for text in outputs))
    assert all(row.output.strip() and row in pairs for row in found)


# Reliability


@few
@given(score_lists, score_lists)
def test_auroc_is_the_share_of_pairs_in_order(positive, negative):
    both = [(p, n) for p, n in itertools.product(positive, negative) if not (math.isnan(p) or math.isnan(n))]
    wins = [1.0 if p > n else 0.5 if p == n else 0.0 for p, n in both]
    found = auroc(np.array(positive, dtype=float), np.array(negative, dtype=float))
    if wins:
        assert found == pytest.approx(sum(wins) / len(wins))
    else:
        assert math.isnan(found)


def scored(values, column="x"):
    return [Scores(f"p{n}", {} if value is None else {column: value}) for n, value in enumerate(values)]


def test_a_perfect_score_is_told_from_chance_with_certainty():
    found = reliability(scored([8, 9, 10, 9]), scored([1, 2, 3, 1]), "x", 200, seed=1)
    assert (found.auroc, found.low, found.high) == (1.0, 1.0, 1.0)
    assert (found.true_pairs, found.wrong_pairs, found.unread) == (4, 4, 0)


@pytest.mark.parametrize("column", [c for scorer in ASKED for c in columns(scorer, "both")])
def test_what_is_good_is_the_end_that_the_column_is_meant_to_have(column):
    lower = column.startswith(("ifd", "perplexity"))
    found = reliability(scored([1, 2, 3], column), scored([4, 5, 6], column), column, 100, seed=1)
    assert found.auroc == (1.0 if lower else 0.0)


def test_the_interval_encloses_the_auroc_and_widens_for_fewer_pairs():
    rng = random.Random(0)
    values = [rng.gauss(0.5, 1) for _ in range(200)], [rng.gauss(0, 1) for _ in range(200)]
    many = reliability(scored(values[0]), scored(values[1]), "x", 300, seed=1)
    fewer = reliability(scored(values[0][:20]), scored(values[1][:20]), "x", 300, seed=1)
    for found in (many, fewer):
        assert found.low <= found.auroc <= found.high
    assert many.high - many.low < fewer.high - fewer.low
    assert many == reliability(scored(values[0]), scored(values[1]), "x", 300, seed=1)


def test_scores_that_could_not_be_read_are_counted_and_left_out():
    found = reliability(scored([9, None, 8]), scored([None, None, 1]), "x", 100, seed=1)
    assert (found.auroc, found.true_pairs, found.wrong_pairs, found.unread) == (1.0, 2, 1, 3)


@pytest.mark.parametrize(("true", "wrong"), [([None, None], [1, 2]), ([1, 2], [None, None]), ([], [])])
def test_a_side_without_a_score_gives_no_number(true, wrong):
    found = reliability(scored(true), scored(wrong), "x", 100, seed=1, corruption="truncated")
    assert all(math.isnan(value) for value in (found.auroc, found.low, found.high))
    document = calibration([], Check(scored(true), {"truncated": scored(wrong)}, [found], ["x"]))
    kept = document["x"]["auroc"]["truncated"]
    assert kept["value"] is kept["low"] is kept["high"] is None
    json.dumps(document, allow_nan=False)


# The check


def test_the_check_finds_scorers_that_know_the_right_pairs(tmp_path):
    _, check = checked(tmp_path, numbered(10), checked_scorers=ASKED)
    names = [column for scorer in ASKED for column in columns(scorer, "both")]
    assert check.columns == names
    assert [(r.column, r.corruption) for r in check.found] == list(itertools.product(names, CORRUPTIONS))
    assert {r.column: r.auroc for r in check.found if r.column != "perplexity_output"} == dict.fromkeys(
        [name for name in names if name != "perplexity_output"], 1.0
    )
    assert all(r.auroc == 0.5 for r in check.found if r.column == "perplexity_output")  # it does not see the task
    assert len(check.true) == 6
    assert {kind: len(rows) for kind, rows in check.wrong.items()} == dict.fromkeys(CORRUPTIONS, 6)
    assert len({row.id for row in check.rows()}) == len(check.rows()) == 24
    assert all(list(row.scores) and not row.unread for row in check.rows())


def test_every_auroc_of_the_check_is_that_of_its_own_kind_of_wrong_pairs(tmp_path):
    def answer(request):
        return f"{1 + seed_of(request.prompt) % 10}||so"

    engine = ScriptedEngine(answer)
    _, check = checked(tmp_path, numbered(12), engine, engine, scorers=["greedy"], checked_scorers=["greedy", "sampled"])
    for found in check.found:
        sides = [[row.scores[found.column] for row in rows] for rows in (check.true, check.wrong[found.corruption])]
        wins = [1.0 if p > n else 0.5 if p == n else 0.0 for p, n in itertools.product(*sides)]
        assert found.auroc == pytest.approx(sum(wins) / len(wins))
        assert all(row.id.endswith(f"/{found.corruption}") for row in check.wrong[found.corruption])
    assert len({r.auroc for r in check.found}) > 3


def test_scorers_that_all_pairs_have_are_not_asked_again_for_the_true_ones(tmp_path):
    known, fresh = ["pmi", "greedy"], ["expected", "perplexity"]
    engine = judge()
    scores, check = checked(tmp_path, numbered(10), engine, scorers=known, checked_scorers=[*known, *fresh])
    by_id = {row.id: row for row in scores}
    for row in check.true:
        assert by_id[row.id].scores.items() <= row.scores.items()
        assert by_id[row.id].raw == row.raw
    assert not [request.id for request in engine.asked if fits(request.prompt)]
    questions = {asked_of(criterion, pair, "combined") for pair in numbered(10) for criterion in ("quality", "following")}
    texts = [text for call in engine.calls for text in call if not isinstance(text, str)]
    assert not [rest for context, rest in texts if context and fits(context + rest)]
    assert sum(text in questions for call in engine.calls for text in call) == 2 * 6  # expected, of the true pairs
    assert all(r.auroc == 1.0 for r in check.found if r.column != "perplexity_output")


def test_a_check_of_known_scorers_alone_and_one_of_fresh_ones_alone_agree(tmp_path):
    wanted = ["pmi", "greedy"]
    (tmp_path / "known").mkdir()
    (tmp_path / "fresh").mkdir()
    _, known = checked(tmp_path / "known", numbered(10), scorers=wanted, checked_scorers=wanted)
    _, fresh = checked(tmp_path / "fresh", numbered(10), scorers=[], checked_scorers=wanted)
    assert known == fresh


def test_the_check_is_resumed_from_its_journal(tmp_path):
    wanted = {"scorers": ["expected"], "checked_scorers": ["pmi", "sampled", "expected"], "parse_retries": 1}
    _, whole = checked(tmp_path, numbered(10), **wanted)
    engine = judge()
    assert checked(tmp_path, numbered(10), engine, **wanted)[1] == whole
    assert engine.calls == []


@pytest.mark.parametrize("kinds", [[], ["truncated"], ["wrong_task", "shuffled"]])
def test_the_kinds_of_wrong_pairs_are_those_asked_for(tmp_path, kinds):
    _, check = checked(tmp_path, numbered(8), checked_scorers=["pmi", "greedy"], corruptions=kinds)
    assert list(check.wrong) == kinds
    assert len(check.found) == 3 * len(kinds)
    assert len(check.true) == 6
    assert all(list(facts["auroc"]) == kinds for facts in calibration([], check).values())


def test_a_level_divides_the_check_too(tmp_path):
    _, check = checked(tmp_path, numbered(8), level="following", checked_scorers=["greedy", "expected"])
    assert check.columns == ["greedy_following", "expected_following"]


def test_a_check_of_nothing_or_before_all_scores_are_there_is_empty(tmp_path):
    empty, pairs = Check([], {}, [], []), numbered(8)
    assert checked(tmp_path, pairs, checked_scorers=[])[1] == empty
    known = [Scores(pair.id) for pair in pairs]
    assert run_check(Assessment(None, None, AssessParams(), seed_of), pairs, known, None) == empty
    known[3].unread["pmi"] = WAITS
    assert run_check(Assessment(judge(), FRAME, AssessParams(), seed_of), pairs, known, None) == empty
    assert empty.rows() == []
    assert calibration(known, empty) == {}


def test_a_check_needs_two_pairs_with_a_response(tmp_path):
    with pytest.raises(YieldError, match="Only 1 pairs with a response to check, 2 are needed"):
        checked(tmp_path, made(3, ["", "answer", " "]))


# Calibration


column_values = st.lists(st.none() | st.floats(1, 10) | st.sampled_from([9.4999, 9.5, 10.0, 1.0]), min_size=4, max_size=12)


@few
@given(column_values, st.booleans(), st.sampled_from(["expected_quality", "pmi"]))
def test_mean_and_saturation_are_over_all_pairs_if_the_scorer_was_run_on_all_else_over_the_sample(values, everywhere, column):
    rows = scored(values, column)
    sample = rows[:3]
    check = Check(sample, {"shuffled": rows[-3:]}, [reliability(sample, rows[-3:], column, 100, 1)], [column])
    document = calibration(rows if everywhere else scored([None] * len(rows)), check)
    read = [value for value in (values if everywhere else values[:3]) if value is not None]
    facts = document[column]
    assert facts["scored"] == len(read)
    if read:
        assert facts["mean"] == pytest.approx(sum(read) / len(read), abs=1e-4)
    else:
        assert facts["mean"] is None
    if read and column == "expected_quality":
        assert facts["saturation"] == pytest.approx(sum(v >= 9.5 for v in read) / len(read), abs=1e-4)
    else:
        assert facts["saturation"] is None
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_calibration_is_rounded_and_has_every_auroc_by_column_and_kind():
    found = [
        reliability_check.Reliability("greedy_quality", "shuffled", 2 / 3, 0.5, 1.0, 3, 4, 1),
        reliability_check.Reliability("greedy_quality", "truncated", 1 / 3, 0.25, 0.5, 3, 3, 2),
    ]
    check = Check(scored([10.0, 7.0, 3.0], "greedy_quality"), {}, found, ["greedy_quality"])
    assert calibration([], check) == {
        "greedy_quality": {
            "scored": 3,
            "mean": 6.6667,
            "saturation": 0.3333,
            "auroc": {
                "shuffled": {"value": 0.6667, "low": 0.5, "high": 1.0, "true_pairs": 3, "wrong_pairs": 4, "unread": 1},
                "truncated": {"value": 0.3333, "low": 0.25, "high": 0.5, "true_pairs": 3, "wrong_pairs": 3, "unread": 2},
            },
        }
    }


def test_calibration_of_a_whole_check_covers_every_checked_column(tmp_path):
    scores, check = checked(tmp_path, numbered(10), scorers=["greedy"], checked_scorers=["greedy", "expected", "perplexity"])
    document = calibration(scores, check)
    assert list(document) == check.columns
    assert {column: facts["scored"] for column, facts in document.items()} == {
        **dict.fromkeys(["greedy_quality", "greedy_following"], 10),
        **dict.fromkeys(["expected_quality", "expected_following", "perplexity_output", "perplexity_pair"], 6),
    }
    assert [facts["saturation"] for facts in document.values()] == [0.0, 0.0, 0.0, 0.0, None, None]
    json.dumps(document, allow_nan=False)


# What the notebook shows


@pytest.mark.parametrize(
    ("scorers", "checked_scorers", "vectors", "expected"),
    [([], [], False, False), (["greedy"], [], False, True), ([], ["perplexity"], False, True), ([], [], True, True)],
)
def test_a_stage_without_any_scorer_and_vectors_needs_no_model(scorers, checked_scorers, vectors, expected):
    params = AssessParams(scorers=scorers, checked_scorers=checked_scorers, vectors=vectors)
    assert reliability_check.asks(params) is expected


@pytest.mark.parametrize(
    ("values", "asks"),
    [
        ({"scorers": ["perplexity"], "checked_scorers": []}, None),
        ({"scorers": ["expected"], "checked_scorers": []}, "quality"),
        ({"scorers": [], "checked_scorers": ["greedy"], "level": "following"}, "following"),
    ],
)
def test_the_example_shows_what_is_asked_about_the_first_axis(values, asks):
    (pair,) = made(1)
    shown = reliability_check.example_prompt(assessment(judge(), assessment_prompt="simple", **values), pair)
    assert shown == (asked_of(asks, pair, "simple") if asks else "no scorer asks the model a question")


def test_one_example_is_read_in_all_ways_of_the_stage():
    (pair,) = numbered(1)
    params = AssessParams(scorers=["perplexity", "sampled"], checked_scorers=["expected", "greedy", "ifd_loss", "sampled"])
    engine = judge()
    table = example_table(Assessment(engine, FRAME, params, seed_of), pair)
    names = ["expected", "greedy", "sampled", "perplexity_output", "perplexity_pair", "ifd_loss"]
    assert [row["score"] for row in table.rows] == names
    assert table.rows[0]["value"] == pytest.approx(8)
    assert "100.0%" in table.rows[0]["read from"]
    assert [(row["value"], row["read from"]) for row in table.rows[1:3]] == [("8.0", "8||yes")] * 2
    assert [(r.temperature, r.top_p) for r in engine.asked] == [(0.0, 1.0), (1.0, 1.0)]
    assert "ratio of losses" in repr(table)


@pytest.mark.parametrize(
    ("name", "alone", "together", "said"),
    [
        ("pmi", 0.44412, Scores("p0", {"pmi": 0.4441}), "the same"),
        ("expected", 7.25, Scores("p0", {"expected_quality": 7.3}), "not the same: among longer texts a row is padded"),
        ("sampled", "8.0", Scores("p0", {"sampled_quality": 3.0}), "written again: the batch asks with a seed of its own"),
        ("sampled", "None", Scores("p0", {"sampled_quality": 3.0}), "written again"),
        ("greedy", "8.0", Scores("p0", {}, {"greedy_quality": "no_number"}), "not read in the batch: no number"),
        ("greedy", "8.0", Scores("p0", {"pmi": 1.0}), "not run on all pairs, only in the check"),
    ],
    ids=["same", "rounded", "sampled", "unread alone", "unread in the batch", "not in the batch"],
)
def test_a_pair_has_one_score_alone_and_in_the_batch_or_the_reason_is_said(name, alone, together, said):
    (row,) = alone_and_together(Table([{"score": name, "value": alone}]), together, AssessParams()).rows
    assert row["in words"].startswith(said)
    assert alone_and_together(Table([{"scorer": "none"}]), together, AssessParams()).rows == [{"score": "none"}]


def test_nothing_assessed_is_said():
    (pair,) = made(1)
    params = AssessParams(scorers=[], checked_scorers=[])
    assert "nothing is assessed" in repr(example_table(Assessment(None, None, params, seed_of), pair))
    assert "nothing is assessed" in repr(ranked_table([pair], [Scores("p0")], params, 3))
    assert "no scorer asks" in reliability_check.example_prompt(Assessment(None, None, params, seed_of), pair)


def test_vectors_are_of_task_and_response_together_in_the_order_of_pairs(tmp_path):
    pairs, scores = made(3, ["a", "bb", "ccc"]), [Scores(f"p{n}") for n in range(3)]
    engine, params = ScriptedEngine(), AssessParams(vectors=True)
    written = reliability_check.write_vectors(Assessment(engine, FRAME, params, seed_of), pairs, scores, tmp_path / "out")
    assert written == ("vectors.npy",)
    found = np.load(tmp_path / "out" / "vectors.npy")
    assert found.dtype == np.float32
    assert found.tolist() == engine.embed([f"Task {n}.\n\n{pair.output}" for n, pair in enumerate(pairs)]).tolist()


def test_vectors_are_written_where_wanted_and_by_the_last_worker_alone(tmp_path):
    pairs, scores = made(2), [Scores("p0"), Scores("p1", {}, {"x": WAITS})]
    assert reliability_check.write_vectors(assessment(ScriptedEngine()), pairs, scores[:1] * 2, tmp_path) == ()
    assert reliability_check.write_vectors(assessment(ScriptedEngine(), vectors=True), pairs, scores, tmp_path) == ()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("scorer", "best_first"), [("pmi", ["2.00", "1.00"]), ("ifd_loss", ["0.50", "1.00"])])
def test_the_ranked_table_shows_each_pair_once_the_best_first_with_its_copy_share(scorer, best_first):
    pairs = made(4, ["answer one", "Task 1.", "<b>", "unread"])
    rows = scored([0.5, 2.0, 1.0, None], scorer)
    table = ranked_table(pairs, rows, AssessParams(scorers=[scorer, "perplexity"]), 2)
    assert [(row["side"], row[scorer]) for row in table.rows[:2]] == [("best", value) for value in best_first]
    assert [row["side"] for row in table.rows] == ["best", "best", "worst"]
    assert {row[scorer]: row["copied"] for row in table.rows} == {"0.50": "0%", "2.00": "100%", "1.00": "0%"}
    assert "<b>" not in table._repr_html_()


def test_unread_scores_are_shown_once_with_their_last_try():
    rows = [
        Scores("a", {}, {"sampled_quality": "no_number"}, {"sampled_quality": ["x", "<script>"]}),
        Scores("b", {}, {"sampled_quality": WAITS, "perplexity_output": "nothing_to_score"}),
    ]
    table = unread_table([*rows, rows[0]])  # the check names pairs again that all pairs named
    assert table.rows == [
        {"id": "a", "score": "sampled_quality", "reason": "no_number", "tries": 2, "raw text": "<script>"},
        {"id": "b", "score": "perplexity_output", "reason": "nothing_to_score", "tries": 0, "raw text": ""},
    ]
    assert "2 score(s) could not be read" in table.caption
    assert "<script>" not in table._repr_html_()
    assert len(unread_table(rows, 1).rows) == 1
    assert "all could be read" in repr(unread_table([]))
