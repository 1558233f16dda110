"""Scores of every pair: likelihoods, questions, written replies and their tries, shards, and when too few can be read."""

import json
import math
import random
import zlib

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from isheep_lib.assess import scoring
from isheep_lib.assess.params import Assess
from isheep_lib.assess.scoring import Assessment, Scores, require_read, score_pairs
from isheep_lib.errors import EngineError, ParameterError, YieldError
from isheep_lib.iterate.run_params import AssessParams
from isheep_lib.params.check import check
from isheep_lib.params.kinds import is_routing
from isheep_lib.prompting.chat import FRAMES
from isheep_lib.prompting.prompt_files import open_prompts
from isheep_lib.prompting.score_parsing import parse_score
from isheep_lib.record.journal import WAITS, Journal
from isheep_lib.record.rows import Pair, as_pairs
from isheep_lib.record.shards import CommonJournal, ShardJournal
from isheep_lib.scorers import likelihoods as reading
from isheep_lib.scorers import verdict
from isheep_lib.scorers.table import columns, columns_of, scorer
from tests.frames import hand_made
from tests.scripted import Letters, ScriptedEngine

few = settings(max_examples=40, deadline=None)
FRAME = hand_made("f", "<", ">", "END")
READING = ["pmi", "ifd_loss", "ifd_perplexity", "perplexity"]
KINDS = ["combined", "simple", "icl"]
CRITERIA = ["quality", "following"]
LEVELS = {"both": CRITERIA, "quality": ["quality"], "following": ["following"], "none": []}


def read(context, rest):
    """Return a log-probability and a number of tokens that depend on both texts alone."""
    return -random.Random(f"{context}|{rest}").uniform(0.1, 40.0), 1 + len(rest) % 7


class Reader(ScriptedEngine):
    """Reads every text with a likelihood of its own."""

    def logprobs(self, pairs):
        self.calls.append(pairs)
        return [read(context, rest) for context, rest in pairs]


def seed_of(name):
    return zlib.crc32(name.encode())


def made(number, **more):
    rows = [{"id": f"p{n}", "instruction": f"Task {n}.", "input": "", "output": f"answer {n}"} for n in range(number)]
    return [{**row, **more} for row in rows]


def by_id(answers, default="5||so"):
    """Return a script that answers by the request's id."""
    return lambda request: answers.get(request.id, default)


def likelihoods(engine, frame, pairs, scorers):
    return reading.likelihoods(engine, frame, as_pairs(pairs), [scorer(name) for name in scorers])


def asked_of(frame, criterion, pair, kind):
    return Assessment(ScriptedEngine(), frame, AssessParams(assessment_prompt=kind), seed_of).question(
        criterion, Pair.from_row(pair)
    )


def score(engine, pairs, scorers, path, **values):
    with Journal(path / "j.jsonl", "f") as journal:
        return score_pairs(Assessment(engine, FRAME, AssessParams(**values), seed_of), as_pairs(pairs), scorers, journal)


# What scorers read


def plain_likelihoods(pair):
    """Compute every likelihood of one pair the plain way."""

    def loss(context, rest):
        total, number = read(context, rest)
        return -total / number

    task = pair["instruction"] + ("\n\n" + pair["input"] if pair["input"] else "")
    given, alone = loss(f"<{task}>", pair["output"] + "END"), loss("<>", pair["output"] + "END")
    return {
        "pmi": alone - given,
        "ifd_loss": given / alone,
        "ifd_perplexity": math.exp(given) / math.exp(alone),
        "perplexity_output": math.exp(loss("", pair["output"])) if pair["output"] else None,
        "perplexity_pair": math.exp(loss("", f"{task}\n\n{pair['output']}")),
    }


texts = st.text(st.sampled_from("ab {}\n"), max_size=12)
rows = st.lists(st.fixed_dictionaries({"id": st.uuids().map(str), "instruction": texts, "input": texts, "output": texts}))


@few
@given(rows, st.lists(st.sampled_from(READING), unique=True, min_size=1))
@example([{"id": "a", "instruction": "Do.", "input": "1", "output": ""}], READING)
def test_likelihoods_are_those_of_one_pair_at_a_time_and_of_the_wanted_scorers_alone(pairs, scorers):
    found = likelihoods(Reader(), FRAME, pairs, scorers)
    assert len(found) == len(pairs)
    for pair, row in zip(pairs, found, strict=True):
        expected = plain_likelihoods(pair)
        assert list(row) == [column for scorer in scorers for column in columns(scorer, "both")]
        for column, value in row.items():
            if expected[column] is None:
                assert value is None
            else:
                assert value == pytest.approx(expected[column], rel=1e-4, abs=2e-3 if "perplexity_" in column else 1e-5)


@few
@given(rows)
def test_the_ratio_of_perplexities_is_the_exponential_of_the_negative_pmi(pairs):
    for row in likelihoods(Reader(), FRAME, pairs, READING):
        assert row["ifd_perplexity"] == pytest.approx(math.exp(-row["pmi"]), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize(("scorers", "texts_a_pair"), [(READING[:1], 2), (READING[:3], 2), (READING[3:], 2), (READING, 4)])
def test_the_scorers_that_read_share_one_pass_and_read_nothing_in_vain(scorers, texts_a_pair):
    engine = Reader()
    likelihoods(engine, FRAME, made(3), scorers)
    (call,) = engine.calls
    assert len(call) == 3 * texts_a_pair
    assert likelihoods(engine, FRAME, [], scorers) == []


def test_alone_is_the_same_frame_without_words_and_perplexities_are_of_bare_texts():
    engine = Reader()
    likelihoods(engine, FRAME, made(1, input="x"), READING)
    framed = [("<Task 0.\n\nx>", "answer 0END"), ("<>", "answer 0END")]
    assert engine.calls == [[*framed, ("", "answer 0"), ("", "Task 0.\n\nx\n\nanswer 0")]]


def test_an_empty_response_has_no_perplexity_of_its_own_and_every_other_score(tmp_path):
    pairs = made(3)
    pairs[1]["output"] = ""
    found = score(Reader(), pairs, [*READING, "expected"], tmp_path)
    assert [row.unread for row in found] == [{}, {"perplexity_output": "nothing_to_score"}, {}]
    assert len(found[1].scores) == len(found[0].scores) - 1
    assert scoring.counts(found, columns("perplexity", "both"))["dropped"] == {"nothing_to_score": 1}
    assert score(Reader(), pairs, [*READING, "expected"], tmp_path) == found


def test_a_loss_of_zero_leaves_the_ratio_of_losses_undefined(tmp_path):
    class Sure(ScriptedEngine):
        def logprobs(self, pairs):
            return [(0.0, 0) for _ in pairs]

    (row,) = score(Sure(), made(1), READING, tmp_path)
    assert row.unread == {"ifd_loss": "nothing_to_score"}
    assert row.scores == {"pmi": 0, "ifd_perplexity": 1, "perplexity_output": 1, "perplexity_pair": 1}


@pytest.mark.parametrize("number", [0, 1, 15, 16, 17, 40])
def test_every_pair_gets_its_own_scores_across_chunks(tmp_path, number):
    pairs = made(number)
    for row in pairs[number // 2 : number // 2 + 1]:
        row["output"] = "wrong"
    engine = ScriptedEngine(fits=lambda text: "wrong" not in text)
    found = score(engine, pairs, ["pmi", "expected", "perplexity"], tmp_path)
    assert [row.id for row in found] == [row["id"] for row in pairs]
    for n, row in enumerate(found):
        right = n != number // 2
        assert row.unread == row.raw == {}
        assert row.scores["perplexity_output"] == pytest.approx(math.exp(0.25 if right else 0.75), abs=1e-3)
        assert row.scores["expected_quality"] == pytest.approx(8 if right else 1)
        assert row.scores["expected_following"] == pytest.approx(9 if right else 2)


# What the model is asked


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("words", ["plain", "{x}", "{}", "{{0}} {task}", "a\n\nb", "100 % <b>"])
def test_a_question_holds_task_and_response_as_they_are(kind, criterion, words):
    pair = {"id": "a", "instruction": f"Add {words}", "input": f"in {words}", "output": f"out {words}"}
    text = asked_of(FRAME, criterion, pair, kind)
    assert f"Add {words}\n\nin {words}" in text
    assert f"out {words}" in text
    assert (text[0], text[-1]) == ("<", ">")
    assert ("<score>||<explanation>" in text) == (kind != "icl"), "scored examples show the form instead"


def test_a_reply_to_scored_examples_ends_before_the_next_example(tmp_path):
    engine = Reader(by_id({}))
    score(engine, made(1), ["greedy"], tmp_path, assessment_prompt="icl")
    score(engine, made(1), ["sampled"], tmp_path, assessment_prompt="simple")
    assert {r.id.split("/")[0]: r.stop for r in engine.asked} == {"greedy": ("END", "\n\nTask:"), "sampled": ("END",)}


def test_the_kinds_of_questions_all_differ():
    (pair,) = made(1)
    assert len({asked_of(FRAME, criterion, pair, kind) for criterion in CRITERIA for kind in KINDS}) == len(CRITERIA) * len(
        KINDS
    )


@pytest.mark.parametrize("kind", ["combined", "simple"])
def test_both_criteria_share_their_head_with_the_pair_in_it(kind):
    (pair,) = made(1, input="with input")
    one, other = (asked_of(FRAME, criterion, pair, kind) for criterion in CRITERIA)
    head = one[: next(i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)]
    assert "Task 0.\n\nwith input" in head
    assert head.index("answer 0") > head.index("with input")


@pytest.mark.parametrize("criterion", CRITERIA)
def test_scored_examples_stand_before_the_pair_and_can_be_read(criterion):
    text = asked_of(FRAME, criterion, made(1)[0], "icl")
    before, after = text.split("Task 0.")
    judged = [line.split(":", 1)[1] for line in before.splitlines() if line.startswith("Judgement")]
    values = [parse_score(line)[0] for line in judged]
    assert len(set(values)) == len(values) >= 3
    assert max(values) == 10 and min(values) == 1
    assert after.removesuffix(">").endswith(("Judgement of the quality:", "Judgement of following:"))
    assert after.index("answer 0") < after.index("Judgement")


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_level_decides_the_questions_and_the_columns(tmp_path, level, kind):
    engine, pairs, wanted = Reader(by_id({})), made(3), ["greedy", "sampled", "expected"] if level != "none" else []
    found = score(engine, pairs, ["pmi", *wanted], tmp_path, level=level, assessment_prompt=kind)
    names = ["pmi", *(f"{scorer}_{criterion}" for scorer in wanted for criterion in LEVELS[level])]
    assert all(sorted([*row.scores, *row.unread]) == sorted(names) for row in found)
    questions = [asked_of(FRAME, criterion, pair, kind) for pair in pairs for criterion in LEVELS[level]]
    assert sorted(r.prompt for r in engine.asked if r.id.startswith("greedy/")) == sorted(questions)
    assert sorted(r.prompt for r in engine.asked if r.id.startswith("sampled/")) == sorted(questions)
    assert sorted(t for call in engine.calls for t in call if isinstance(t, str) and t.startswith("<")) == sorted(questions)


def test_nothing_asked_is_nothing_done_and_needs_no_model(tmp_path):
    found = score(None, made(2), [], tmp_path)
    assert found == [Scores("p0"), Scores("p1")]
    assert scoring.counts(found, []) == {"in": 2, "kept": 2, "dropped": {}}


@pytest.mark.parametrize("scorers", [["pmi"], ["expected"], ["greedy"], ["sampled", "pmi"]])
def test_a_pair_beyond_the_context_is_unread_by_every_scorer_and_the_others_are_scored(tmp_path, scorers):
    class Narrow(ScriptedEngine):
        tokenizer, context = Letters(), 3000

    engine, pairs = Narrow(by_id({})), made(3)
    pairs[1]["output"] = "long " * 600
    found = score(engine, pairs, scorers, tmp_path, parse_retries=1)
    columns = columns_of(scorers, "both")
    assert found[1].unread == dict.fromkeys(columns, "beyond_context") and not found[1].scores
    assert all(set(row.scores) == set(columns) for row in (found[0], found[2]))
    assert "long long" not in str(engine.calls) + str([request.prompt for request in engine.asked])


# What the model writes


def test_greedy_replies_are_greedy_and_sampled_ones_have_their_own_temperature_and_seeds(tmp_path):
    engine = ScriptedEngine(by_id({}), batch=3)
    values = {"sampled_temperature": 0.6, "sampled_top_p": 0.8, "written_tokens": 33}
    score(engine, made(3), ["sampled", "greedy"], tmp_path, **values)
    assert sorted(r.id for r in engine.asked) == sorted(
        f"{scorer}/p{n}/{criterion}" for scorer in ("greedy", "sampled") for n in range(3) for criterion in CRITERIA
    )
    for request in engine.asked:
        sampled = request.id.startswith("sampled/")
        assert (request.temperature, request.top_p) == ((0.6, 0.8) if sampled else (0.0, 1.0))
        assert (request.max_new_tokens, request.stop) == (33, ("END",))
        assert request.seed == seed_of(request.id)
    assert len({request.seed for request in engine.asked}) == len(engine.asked)


def test_raw_keeps_every_try_and_explanations_stay_in_it(tmp_path):
    answers = {"greedy/p0/quality": "8||short and true", "greedy/p0/following": "eleven||", "greedy/p1/quality": "12||x"}
    found = score(ScriptedEngine(by_id(answers, "3||so so")), made(2), ["greedy"], tmp_path)
    assert [row.scores for row in found] == [{"greedy_quality": 8.0}, {"greedy_following": 3.0}]
    assert [row.unread for row in found] == [{"greedy_following": "no_number"}, {"greedy_quality": "out_of_range"}]
    assert found[0].raw == {"greedy_quality": ["8||short and true"], "greedy_following": ["eleven||"]}
    wanted = columns("greedy", "both")
    assert scoring.counts(found, wanted) == {"in": 2, "kept": 0, "dropped": {"no_number": 1, "out_of_range": 1}}
    assert scoring.counts(found, wanted[:1]) == {"in": 2, "kept": 1, "dropped": {"out_of_range": 1}}
    assert json.loads(json.dumps(scoring.as_rows(found), allow_nan=False))[1]["raw"]["greedy_quality"] == ["12||x"]


def test_an_unreadable_sampled_score_that_the_second_try_can_read_is_read(tmp_path):
    engine = ScriptedEngine(by_id({"sampled/p1/quality": "good", "sampled/p1/quality/try1": "7||good"}), batch=4)
    found = score(engine, made(3), ["sampled"], tmp_path, parse_retries=1)
    assert found[1].scores == {"sampled_quality": 7.0, "sampled_following": 5.0}
    assert found[1].unread == {}
    assert found[1].raw == {"sampled_quality": ["good", "7||good"], "sampled_following": ["5||so"]}
    first, again = (r for r in engine.asked if r.id.startswith("sampled/p1/quality"))
    assert first.seed != again.seed
    assert (first.prompt, first.temperature, first.top_p) == (again.prompt, again.temperature, again.top_p)


def scripted_replies(draws, pairs):
    """Give every question a list of replies, one a try."""
    names = [
        f"{scorer}/{pair['id']}/{criterion}" for scorer in ("greedy", "sampled") for pair in pairs for criterion in CRITERIA
    ]
    return dict(zip(names, draws, strict=False))


def plain_reading(pairs, replies, limit):
    """Read replies the plain way: the first readable try, at most `limit` tries more for a sampled score."""
    found = []
    for pair in pairs:
        row = Scores(pair["id"])
        for name, tries in ((n, t) for n, t in replies.items() if n.split("/")[1] == pair["id"]):
            column = name.split("/")[0] + "_" + name.split("/")[2]
            shown = tries[: 1 + (limit if name.startswith("sampled") else 0)]
            readable = [n for n, text in enumerate(shown) if parse_score(text)[0] is not None]
            row.raw[column] = shown[: readable[0] + 1] if readable else shown
            value, reason = parse_score(row.raw[column][-1])
            if readable:
                row.scores[column] = value
            else:
                row.unread[column] = reason
        found.append(row)
    return found


def answer_tries(replies):
    """Return a script of replies by try."""

    def answer(request):
        name, _, tried = request.id.partition("/try")
        return replies[name][int(tried or 0)]

    return answer


REPLIES = st.lists(st.sampled_from(["8||a", "3", "none", "12||", "7||a 3||b"]), min_size=5, max_size=5)
DRAWS = st.lists(REPLIES, min_size=12, max_size=12)


@few
@given(draws=DRAWS, limit=st.integers(0, 4), batch=st.integers(1, 5), cut=st.integers(0, 200))
@example(draws=[["none"] * 5] * 12, limit=4, batch=2, cut=7)
def test_tries_go_on_until_readable_or_the_limit_and_a_cut_journal_is_resumed(draws, limit, batch, cut, tmp_path_factory):
    pairs, folder = made(3), tmp_path_factory.mktemp("j")
    replies = scripted_replies(draws, pairs)
    engine = ScriptedEngine(answer_tries(replies), batch=batch)
    found = score(engine, pairs, ["greedy", "sampled"], folder, parse_retries=limit)
    expected = plain_reading(pairs, replies, limit)
    assert found == expected
    tries = {c: len(t) for row in expected for c, t in ((f"{row.id}/{c}", t) for c, t in row.raw.items())}
    assert len(engine.asked) == len({r.id for r in engine.asked}) == sum(tries.values())
    assert len({r.seed for r in engine.asked}) == len(engine.asked)
    assert not [r.id for r in engine.asked if r.id.startswith("greedy") and "/try" in r.id]

    again = ScriptedEngine(answer_tries(replies), batch=batch)
    assert score(again, pairs, ["greedy", "sampled"], folder, parse_retries=limit) == expected
    assert again.asked == []

    path = folder / "j.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[: 1 + cut % len(lines)]))
    assert score(again, pairs, ["greedy", "sampled"], folder, parse_retries=limit) == expected
    assert len(again.asked) <= len(engine.asked)


@pytest.mark.parametrize(("reply", "found"), [("perhaps 3||x</think>8||good", {"greedy_quality": 8.0}), ("3||x", {})])
def test_thinking_that_the_frame_opened_is_not_read_as_a_score(tmp_path, reply, found):
    thinking = hand_made("f", "<", "><think>\n", "END")
    with Journal(tmp_path / "j.jsonl", "f") as journal:
        opened = Assessment(ScriptedEngine(lambda request: reply), thinking, AssessParams(level="quality"), seed_of)
        (row,) = score_pairs(opened, as_pairs(made(1)), ["greedy"], journal)
    assert row.scores == found
    assert row.raw == {"greedy_quality": [reply]}


def test_scoring_goes_on_where_it_stopped(tmp_path):
    scorers, first, again = ["pmi", "expected", "perplexity"], Reader(), Reader()
    whole = score(first, made(20), scorers, tmp_path)
    assert score(again, made(20), scorers, tmp_path) == whole
    assert again.calls == []
    path = tmp_path / "j.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))  # the first chunk only
    assert score(again, made(20), scorers, tmp_path) == whole
    assert len(again.calls) == len(first.calls) - 1


# When too few can be read


def with_unread(number, unread, column="sampled_quality"):
    pairs = made(number)
    scores = [Scores(pair["id"], {column: 5.0}, {}, {column: ["5||"]}) for pair in pairs]
    for row in scores[:unread]:
        row.scores, row.unread, row.raw = {}, {column: "no_number"}, {column: ["oh", f"well {row.id}"]}
    return pairs, scores


@few
@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60), st.integers(1, 60))
@example(10, 5, 1, 2)
@example(10, 6, 1, 2)
@example(3, 1, 1, 3)
@example(10, 7, 7, 10)  # 1 - 0.7 is a little more than 0.3
@example(0, 0, 0, 1)
def test_a_share_above_the_limit_stops_and_one_at_the_limit_does_not(number, unread, part, whole):
    assume(unread <= number and part <= whole)
    pairs, scores = with_unread(number, unread)
    if unread * whole > part * number:
        with pytest.raises(YieldError):
            require_read(as_pairs(pairs), scores, ["sampled_quality"], part / whole)
    else:
        require_read(as_pairs(pairs), scores, ["sampled_quality"], part / whole)


def test_the_stop_counts_pairs_and_shows_the_last_reply_of_one_of_each_reason():
    pairs, scores = with_unread(5, 2)
    for row in scores[:2]:
        row.unread["sampled_following"] = "ambiguous"
    scores[4].unread, scores[4].scores = {"perplexity_output": "nothing_to_score"}, {"sampled_quality": 5.0}
    wanted = ["sampled_quality", "sampled_following", "perplexity_output"]
    with pytest.raises(YieldError) as caught:
        require_read(as_pairs(pairs), scores, wanted, 0.5)
    assert "Only 2 pairs with all scores readable, 3 are needed; dropped 3" in str(caught.value)
    assert "2 no_number in sampled_quality such as 'well p0'" in str(caught.value)
    assert "1 nothing_to_score in perplexity_output such as 'Task 4.'" in str(caught.value)
    assert "parse_retries" in str(caught.value) and "max_unread" in str(caught.value)


def test_only_the_wanted_scores_must_be_readable():
    pairs, scores = with_unread(4, 4)
    require_read(as_pairs(pairs), scores, ["greedy_quality"], 0.0)
    require_read(as_pairs(pairs), scores, [], 0.0)
    require_read(as_pairs(pairs), scores, ["sampled_quality"], 1.0)


@pytest.mark.parametrize("waits", [1, 5, 10])
def test_scores_that_wait_for_another_worker_are_not_unreadable(waits):
    pairs, scores = with_unread(10, 0)
    for row in scores[:waits]:
        row.scores, row.unread, row.raw = {}, {"sampled_quality": WAITS}, {}
    require_read(as_pairs(pairs), scores, ["sampled_quality"], 0.0)
    assert scoring.waiting(scores) == waits
    assert scoring.counts(scores, ["sampled_quality"]) == {"in": 10, "kept": 10 - waits, "dropped": {WAITS: waits}}


# Several workers


def part(folder, engine, pairs, shard, of, scorers=("pmi", "expected", "greedy", "sampled"), retries=2):
    """Score as one worker of several, as the notebook does."""
    params = AssessParams(parse_retries=retries)
    with ShardJournal(folder, "scores", "f", shard, of) as journal, CommonJournal(folder / "retries.jsonl", "f") as again:
        return score_pairs(Assessment(engine, FRAME, params, seed_of), as_pairs(pairs), list(scorers), journal, again)


def unreadable_at_first(request):
    """Answer so that half of the sampled scores need a second try, and a few a third."""
    sampled, _, tried = request.id.partition("/try")
    if not sampled.startswith("sampled/"):
        return "6||yes"
    return "9||at last" if int(tried or 0) >= seed_of(sampled) % 2 + seed_of(sampled) % 8 // 7 else "no"


def test_the_first_of_two_workers_leaves_the_rest_waiting_and_only_the_last_tries_again(tmp_path):
    pairs = made(40)
    alone = Reader(unreadable_at_first, batch=2)
    whole = part(tmp_path / "one", alone, pairs, 0, 1)
    tries = [r.id for r in alone.asked if "/try" in r.id]
    assert any(name.endswith("/try2") for name in tries)
    assert all(row.unread == {} for row in whole)

    first, last, late = (Reader(unreadable_at_first, batch=2) for _ in range(3))
    rows = part(tmp_path / "two", first, pairs, 0, 2)
    wanted = [column for scorer in ("pmi", "expected", "greedy", "sampled") for column in columns(scorer, "both")]
    assert all((c in row.scores) != (c in row.unread) for row in rows for c in wanted)
    assert 0 < scoring.waiting(rows) <= len(pairs)
    held = [c for row in rows for c, reason in row.unread.items() if reason == WAITS]
    assert len(held) == pytest.approx(len(pairs) * len(wanted) / 2, rel=0.25)
    assert not [r.id for r in first.asked if "/try" in r.id]
    assert not (tmp_path / "two" / "retries.jsonl").exists()

    assert part(tmp_path / "two", last, pairs, 1, 2) == whole
    assert [r.id for r in last.asked if "/try" in r.id] == tries
    assert {r.id for r in first.asked} & {r.id for r in last.asked} == set()
    assert part(tmp_path / "two", late, pairs, 0, 2) == whole
    assert late.calls == []


def test_a_worker_does_not_stop_over_scores_that_the_last_one_tries_again(tmp_path):
    pairs, wanted = made(12), columns("sampled", "both")

    def second_try(request):
        return "8||now" if "/try" in request.id else "no"

    for shard in range(3):
        rows = part(tmp_path, ScriptedEngine(second_try), pairs, shard, 3, ["sampled"], retries=1)
        require_read(as_pairs(pairs), rows, wanted, 0.1)
    assert all(row.unread == {} and row.scores == dict.fromkeys(wanted, 8.0) for row in rows)


def test_the_last_of_several_workers_stops_where_one_alone_would(tmp_path):
    pairs, wanted = made(12), columns("sampled", "both")
    for shard in range(3):
        rows = part(tmp_path, ScriptedEngine(by_id({}, "no")), pairs, shard, 3, ["sampled"], retries=1)
        if shard < 2:
            require_read(as_pairs(pairs), rows, wanted, 0.1)
    with pytest.raises(YieldError, match=r"dropped 12:\n *12 no_number in sampled_quality"):
        require_read(as_pairs(pairs), rows, wanted, 0.1)


# Parameters

BAD = [
    ("scorers", ["magic"], "greedy"),
    ("scorers", ["expected", "expected"], "none twice"),
    ("scorers", "expected", "list"),
    ("level", "all", "'both', 'quality', 'following' or 'none'"),
    ("level", "none", "none asks nothing, but expected must ask; take it out, or choose a level"),
    ("assessment_prompt", "complex", "'combined', 'simple' or 'icl'"),
    ("assessor", "teacher", "'current' or 'base'"),
    ("sampled_temperature", 0.0, "greater than 0"),
    ("sampled_temperature", 5.1, "less than or equal to 5"),
    ("sampled_temperature", math.nan, "finite"),
    ("sampled_top_p", 0.0, "greater than 0"),
    ("sampled_top_p", 1.1, "less than or equal to 1"),
    ("written_tokens", 0, "greater than or equal to 1"),
    ("written_tokens", 2.5, "integer"),
    ("parse_retries", -1, "greater than or equal to 0"),
    ("max_unread", -0.1, "greater than or equal to 0"),
    ("max_unread", 1.1, "less than or equal to 1"),
    ("vectors", "yes", "boolean"),
    ("checked_scorers", ["text"], "'pmi'"),
    ("checked_scorers", ["greedy", "greedy"], "none twice"),
    ("corruptions", ["scrambled"], "'shuffled', 'truncated' or 'wrong_task'"),
    ("corruptions", ["shuffled", "shuffled"], "none twice"),
    ("checked_pairs", 3, "greater than or equal to 4"),
    ("bootstrap", 99, "greater than or equal to 100"),
    ("learned_kinds", ["shuffled"], "at least 2"),
    ("learned_kinds", ["shuffled", "shuffled"], "none twice"),
    ("learned_kinds", ["shuffled", "rude"], "'constraint_broken'"),
    ("learned_tasks", 3, "greater than or equal to 4"),
    ("learned_epochs", 0, "greater than or equal to 1"),
    ("learned_rate", 0.0, "greater than 0"),
]


@pytest.mark.parametrize(("name", "value", "words"), BAD)
def test_a_parameter_that_cannot_work_is_refused_with_what_can(name, value, words):
    with pytest.raises(ParameterError) as caught:
        check(AssessParams, {name: value}, "x")
    message = str(caught.value)
    assert name in message
    assert words in message
    assert "where: x" in message


def test_every_parameter_of_assessment_can_be_wrong():
    assert {name for name, _, _ in BAD} == set(Assess.model_fields)


@pytest.mark.parametrize(
    ("assessor", "iteration", "model"), [("current", 1, 0), ("current", 3, 2), ("base", 1, 0), ("base", 3, 0)]
)
def test_the_base_model_assesses_every_iteration_where_it_is_to_assess(assessor, iteration, model):
    params = check(AssessParams, {"assessor": assessor}, "x")
    assert params.model_iteration(iteration) == model
    assert is_routing(AssessParams, "assessor")


def test_a_verdict_hashes_its_prompt_and_the_parameters_of_learning_count_only_where_something_learns():
    plain, verdict, learned = (Assess(scorers=[name]) for name in ("pmi", "verdict", "learned"))
    assert "verdict.txt" not in plain.prompt_files()
    assert "verdict.txt" in verdict.prompt_files() and "verdict.txt" in learned.prompt_files()
    assert not [name for name in plain.deciding() if name.startswith("learned_")]
    assert plain.deciding() == Assess(scorers=["pmi"], learned_rate=0.1).deciding()
    assert learned.deciding()["learned_tasks"] == 24
    assert "train.run.fine_tune" in learned.code() and "train.run.fine_tune" not in verdict.code()
    checked = Assess(checked_scorers=["learned"])
    assert checked.learns and "learned_rate" in checked.deciding()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"engine": "vllm"}, "scorers: learned is trained and asked here, not by vllm; set model.engine to transformers"),
        ({"numerics": "exact", "dtype": "bfloat16"}, "scorers: learned is trained exactly, so in float32, but model.dtype"),
        ({"num_shards": 2}, "num_shards: one worker trains the judges of the scorer learned"),
    ],
)
def test_what_keeps_judges_from_learning_is_said_before_anything_is_loaded(values, words):
    with pytest.raises(ParameterError) as caught:
        check(AssessParams, {"checked_scorers": ["learned"], **values}, "x")
    assert words in str(caught.value)
    assert words not in str(problems_of({"checked_scorers": ["verdict"], **values}))


def problems_of(values):
    try:
        check(AssessParams, values, "x")
    except ParameterError as error:
        return str(error)
    return ""


class Odd(ScriptedEngine):
    """Is sure of Yes by the length of what it is asked."""

    def choices(self, prompts, labels):
        self.calls.append(list(prompts))
        assert labels == ["Yes", "No"]
        return [[0.0, -float(len(prompt))] for prompt in prompts]


class Judging:
    """Gives every response the length of its text."""

    def odds(self, pairs):
        return [float(len(pair.output)) for pair in pairs]


def test_a_verdict_asks_the_model_once_a_pair_and_a_learned_one_asks_the_judges(tmp_path):
    pairs, engine = as_pairs(made(20)), Odd()
    params = check(AssessParams, {"scorers": ["verdict", "learned"], "checked_scorers": []}, "x")
    assessment = Assessment(engine, FRAME, params, seed_of, judges=Judging())
    with Journal(tmp_path / "j", "f") as journal:
        rows = score_pairs(assessment, pairs, params.scorers, journal)
    asked = [verdict.Question(FRAME).about(pair) for pair in pairs]
    assert [row.scores["verdict"] for row in rows] == [float(len(text)) for text in asked]
    assert [row.scores["learned"] for row in rows] == [float(len(pair.output)) for pair in pairs]
    assert [text for call in engine.calls for text in call] == asked


def test_a_learned_score_without_judges_is_refused_in_words(tmp_path):
    params = check(AssessParams, {"scorers": ["learned"], "checked_scorers": []}, "x")
    with Journal(tmp_path / "j", "f") as journal, pytest.raises(EngineError, match="No judge was trained"):
        score_pairs(Assessment(Odd(), FRAME, params, seed_of), as_pairs(made(2)), params.scorers, journal)


def test_the_level_none_takes_scorers_that_only_read_and_needs_no_question():
    values = {"level": "none", "scorers": READING, "checked_scorers": ["perplexity"]}
    params = check(AssessParams, values, "x")
    assert list(params.prompt_files()) == [*FRAMES]
    asking = check(AssessParams, {"level": "quality", "assessment_prompt": "icl"}, "x")
    assert list(asking.prompt_files()) == ["quality-icl.txt", *FRAMES]


# In Chinese


ZH = open_prompts("zh")


def in_chinese(engine, path, scorers, **values):
    with Journal(path / "j.jsonl", "f") as journal:
        opened = Assessment(engine, FRAME, AssessParams(**values), seed_of, prompts=ZH)
        return score_pairs(opened, as_pairs(made(1)), scorers, journal)


@pytest.mark.parametrize("kind", ["combined", "simple", "icl"])
def test_chinese_questions_are_asked_and_full_width_replies_are_read(tmp_path, kind):
    engine = ScriptedEngine(["评分：８‖清楚", "［［６］］"])
    (row,) = in_chinese(engine, tmp_path, ["greedy"], assessment_prompt=kind)
    assert row.scores == {"greedy_quality": 8.0, "greedy_following": 6.0}
    assert all("任务：" in request.prompt for request in engine.asked)
    assert {request.stop for request in engine.asked} == {("END", "\n\n任务：") if kind == "icl" else ("END",)}


def test_a_verdict_is_read_from_the_odds_of_the_chinese_answers(tmp_path):
    class Odd(ScriptedEngine):
        def choices(self, prompts, labels):
            assert labels == ["是", "否"] and prompts[0].endswith("请回答“是”或“否”。>")
            return [[-0.5, -2.0]]

    (row,) = in_chinese(Odd(), tmp_path, ["verdict"])
    assert row.scores == {"verdict": 1.5}
