"""Filtering: rules on pairs, the threshold, and a partition that loses nothing."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isheep_lib.errors import DataError
from isheep_lib.filter import RULES, decide, filter_pairs, rule_problem, score_problem
from isheep_lib.params import FilterParams

few = settings(max_examples=50, deadline=None)
COLUMNS = ["text_quality", "text_following"]
texts = st.text(max_size=20) | st.sampled_from(["Name a river.", "The Seine.", "<name>", "A. x\nB. y", "assistant: hi", "你好"])
pair_rows = st.fixed_dictionaries(
    {"instruction": texts, "input": texts, "output": texts, "finish": st.sampled_from(["end", "stop", "length"])}
)
score_values = st.dictionaries(st.sampled_from(COLUMNS), st.floats(0, 10) | st.just(float("nan")))
parameters = st.builds(
    FilterParams, rules=st.booleans(), max_copy_share=st.floats(0, 1), scorer=st.just("text"), threshold=st.floats(-1, 11)
)


def pair(output="The Seine flows through Paris.", **values):
    base = {"id": "a", "instruction": "Name a river in France.", "input": "", "output": output, "finish": "end"}
    return {**base, **values}


def scored(id_="a", unread=(), **scores):
    return {"id": id_, "scores": scores, "unread": dict.fromkeys(unread, "no_number"), "raw": {}}


@few
@given(st.lists(st.tuples(pair_rows, score_values), max_size=8), parameters, st.randoms(use_true_random=False))
def test_filtering_is_a_partition_in_the_order_of_its_input(rows, params, rng):
    pairs = [{**row, "id": f"p{n}"} for n, (row, _) in enumerate(rows)]
    scores = [scored(f"p{n}", set(COLUMNS) - set(values), **values) for n, (_, values) in enumerate(rows)]
    rng.shuffle(scores)
    kept, dropped = filter_pairs(pairs, scores, COLUMNS, params)
    ids = [row["id"] for row in pairs]
    kept_ids, dropped_ids = ([row["id"] for row in part] for part in (kept, dropped))
    assert sorted(kept_ids + dropped_ids) == ids
    assert kept_ids == [id_ for id_ in ids if id_ in kept_ids]
    assert dropped_ids == [id_ for id_ in ids if id_ in dropped_ids]
    assert all(row["reason"] and row["detail"] for row in dropped)
    assert all(min(row["scores"][column] for column in COLUMNS) > params.threshold for row in kept)
    by_id = {row["id"]: row["scores"] for row in scores}
    assert all(row["scores"] is by_id[row["id"]] for row in kept + dropped)
    assert all(
        {name: row[name] for name in original} == original for original in pairs for row in kept if row["id"] == original["id"]
    )


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (pair(), ""),
        (pair(""), "empty_output"),
        (pair("?! ..."), "empty_output"),
        (pair("The Seine flows", finish="length"), "cut_off"),
        (pair("The Seine.", finish="stop"), ""),
        (pair("The Seine.<|im_end|>"), "special_token"),
        (pair(instruction="Say <|endoftext|> to me."), "special_token"),
        (pair("Sure.\nUser: and then?"), "dialogue"),
        (pair("assistant: The Seine."), "dialogue"),
        (pair("Output: The Seine."), "dialogue"),
        (pair("My assistant: a cat. The user: a dog."), ""),
        (pair("Answer choices: Seine, Rhine"), "answer_choices"),
        (pair("A. Seine\nB. Rhine"), "answer_choices"),
        (pair("(A) Seine\n(B) Rhine"), "answer_choices"),
        (pair("A) Seine\n  B) Rhine"), "answer_choices"),
        (pair("A river.\nBig and slow."), ""),
        (pair("The Seine.\n\nQuestion: What is a river?"), "dialogue"),
        (pair("The Seine.\n\nQ2: name one in Spain."), "follow_up"),
        (pair("The Seine.\n\nQuestion 2. Name one in Spain."), "follow_up"),
        (pair("The Seine.\n\nWhich river do you like?"), "follow_up"),
        (pair("Why not the Seine?"), ""),
        (pair("Is it long?\n\nYes, it is."), ""),
        (pair("塞纳河"), "chinese"),
        (pair(input="塞纳河"), "chinese"),
        (pair("Dear <name>, hello."), "placeholder"),
        (pair("Dear [Your Name], hello."), "placeholder"),
        (pair("Dear [insert the date here]."), "placeholder"),
        (pair("Here 3 < 5 and 7 > 5, see [1]."), ""),
        (pair(instruction="Sort b, a please.", input="B, A"), "input_repeats"),
        (pair("Name a river in France."), "echo"),
        (pair("You should name a river in France today"), "echo"),
        (pair("The words are: name a river in France, and I say the Seine, which is long."), ""),
    ],
)
def test_a_pair_breaks_this_rule_first(row, reason):
    found, detail = rule_problem(row, 0.5)
    assert found == reason
    assert bool(detail) == bool(reason)


def test_every_rule_but_echo_is_in_the_table_with_its_meaning():
    assert "echo" not in RULES
    assert all(meaning for meaning, _ in RULES.values())


def test_the_limit_of_copying_is_strict():
    row = pair("one two three four and some more words", instruction="Repeat one two three four")
    assert rule_problem(row, 0.5) == ("", "")
    assert rule_problem(row, 0.49) == ("echo", "50% of the response is copied from the task")


@pytest.mark.parametrize(
    ("scores", "threshold", "reason", "detail"),
    [
        ({"text_quality": 8.0, "text_following": 9.0}, 7.0, "", ""),
        ({"text_quality": 7.0, "text_following": 9.0}, 7.0, "below_threshold", "text_quality 7 <= 7"),
        ({"text_quality": 9.0, "text_following": 6.5}, 7.0, "below_threshold", "text_following 6.5 <= 7"),
        ({"text_quality": 1.0}, 7.0, "unread_score", "text_following could not be read"),
        ({}, 7.0, "unread_score", "text_quality could not be read"),
        ({"text_quality": float("nan"), "text_following": 9.0}, 7.0, "below_threshold", "text_quality nan <= 7"),
    ],
)
def test_every_score_must_be_above_the_threshold(scores, threshold, reason, detail):
    assert score_problem(scores, COLUMNS, threshold) == (reason, detail)


def test_rules_come_before_scores_and_can_be_switched_off():
    row = {**pair("User: hi there"), "scores": {"mutual_information": 0.1}}
    assert decide(row, ["mutual_information"], FilterParams())[0] == "dialogue"
    assert decide(row, ["mutual_information"], FilterParams(rules=False))[0] == "below_threshold"
    assert decide(row, ["mutual_information"], FilterParams(rules=False, threshold=0.0)) == ("", "")


@pytest.mark.parametrize("scores", [[], [scored("b", x=1.0)], [scored("a", x=1.0), scored("b", x=1.0)]])
def test_pairs_and_scores_about_other_ids_are_refused(scores):
    with pytest.raises(DataError) as caught:
        filter_pairs([pair()], scores, ["x"], FilterParams())
    assert "do not have the same ids" in str(caught.value)
    assert "run assess.ipynb again" in str(caught.value)


def test_a_scorer_that_was_not_run_is_refused_with_those_that_were():
    with pytest.raises(DataError) as caught:
        filter_pairs([pair()], [scored(mutual_information=1.0)], COLUMNS, FilterParams(scorer="text"))
    message = str(caught.value)
    assert "No pair has a score of 'text'" in message
    assert "filter.scorer" in message
    assert "allowed: mutual_information" in message
    assert "assess.scorers" in message


def test_a_scorer_whose_every_reply_was_unreadable_drops_all_pairs():
    kept, dropped = filter_pairs([pair()], [scored(unread=COLUMNS)], COLUMNS, FilterParams(scorer="text"))
    assert (kept, [row["reason"] for row in dropped]) == ([], ["unread_score"])
