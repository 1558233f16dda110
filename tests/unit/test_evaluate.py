"""Evaluation: the prompts and checkers where installed, accuracies, errors, signs of a collapse."""

import importlib.util
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isheep_lib import evaluate
from isheep_lib.engines.scripted import ScriptedEngine
from isheep_lib.errors import DataError
from isheep_lib.evaluate import accuracies, answer, answer_signs, check_answers, ifeval_prompts, metrics, subset_name
from isheep_lib.journal import Journal
from isheep_lib.params import EvaluateParams
from isheep_lib.prompts import Frame

few = settings(max_examples=50, deadline=None)
outcomes = st.lists(st.lists(st.booleans(), min_size=1, max_size=3), min_size=2, max_size=12)
needs_prompts = pytest.mark.skipif(
    importlib.util.find_spec("eval_framework") is None, reason="the package with IFEval's prompts is not installed"
)


def sample(strict, loose=None, text="One two.", finish="end"):
    return {"strict": strict, "loose": strict if loose is None else loose, "answer": text, "finish": finish}


@needs_prompts
def test_all_541_prompts_are_there_once():
    keys = [row["key"] for row in ifeval_prompts(0, 0)]
    assert len(keys) == len(set(keys)) == evaluate.TOTAL == 541
    assert keys == sorted(keys)


@needs_prompts
def test_a_subset_is_fixed_by_its_seed_and_grows_with_its_size():
    small, large = ([row["key"] for row in ifeval_prompts(number, 0)] for number in (16, 64))
    assert (len(small), len(large)) == (16, 64)
    assert set(small) < set(large)
    assert small == sorted(small)
    assert small == [row["key"] for row in ifeval_prompts(16, 0)]
    assert small != [row["key"] for row in ifeval_prompts(16, 1)]
    assert len(ifeval_prompts(541, 3)) == 541


@needs_prompts
def test_other_prompts_than_the_known_ones_are_refused(monkeypatch):
    monkeypatch.setattr(evaluate, "DATA_DIGEST", "0" * 64)
    with pytest.raises(DataError) as caught:
        ifeval_prompts(1, 0)
    assert "not the known 541" in str(caught.value)
    assert "input_data.jsonl" in str(caught.value)
    assert "--force-reinstall" in str(caught.value)


def test_absent_prompts_are_answered_with_how_to_install_them(monkeypatch):
    monkeypatch.setattr(evaluate, "DATA_PACKAGE", "no_such_package_here")
    with pytest.raises(DataError) as caught:
        ifeval_prompts(1, 0)
    assert "no_such_package_here" in str(caught.value)
    assert "do: pip install" in str(caught.value)


@pytest.mark.parametrize(
    ("number", "name"), [(0, "all 541 prompts"), (541, "all 541 prompts"), (64, "64 of 541 prompts (fixed subset, seed 3)")]
)
def test_a_subset_is_named(number, name):
    assert subset_name(EvaluateParams(ifeval_prompts=number, subset_seed=3)) == name


@few
@given(outcomes)
def test_accuracies_are_shares_of_prompts_and_of_instructions(rows):
    found = accuracies([sample(row) for row in rows])
    flat = [value for row in rows for value in row]
    assert found["prompt_strict"]["value"] == pytest.approx(100 * sum(map(all, rows)) / len(rows), abs=1e-3)
    assert found["inst_strict"]["value"] == pytest.approx(100 * sum(flat) / len(flat), abs=1e-3)
    assert (found["prompt_strict"]["items"], found["inst_strict"]["items"]) == (len(rows), len(flat))
    assert found["prompt_loose"] == found["prompt_strict"]
    assert list(found) == list(evaluate.ACCURACIES)


@few
@given(st.lists(st.booleans(), min_size=2, max_size=30))
def test_the_error_of_independent_values_is_that_of_a_mean(values):
    found = accuracies([sample([value]) for value in values])
    mean = sum(values) / len(values)
    expected = 100 * math.sqrt(mean * (1 - mean) / (len(values) - 1))
    assert found["prompt_strict"]["standard_error"] == pytest.approx(expected, abs=1e-3)
    assert found["inst_strict"] == found["prompt_strict"]


def test_instructions_of_one_prompt_that_agree_add_no_certainty():
    alone = accuracies([sample([n % 2 == 0]) for n in range(10)])["inst_strict"]
    repeated = accuracies([sample([n % 2 == 0] * 3) for n in range(10)])["inst_strict"]
    assert repeated["items"] == 3 * alone["items"]
    assert repeated["standard_error"] == pytest.approx(alone["standard_error"])


def test_strict_and_loose_are_told_apart():
    found = accuracies([sample([False, True], [True, True]), sample([True], [True])])
    assert [found[name]["value"] for name in evaluate.ACCURACIES] == [50.0, 66.6667, 100.0, 100.0]


@pytest.mark.parametrize(
    ("samples", "signs"),
    [
        ([sample([True], text="a b c")], {"mean_words": 3.0, "distinct_2": 1.0, "refusal_rate": 0.0, "cut_off_rate": 0.0}),
        (
            [sample([True], text="a b a b"), sample([True], text="I'm sorry", finish="length")],
            {"mean_words": 3.5, "distinct_2": 0.8, "refusal_rate": 0.5, "cut_off_rate": 0.5},
        ),
        ([sample([True], text="")] * 2, {"mean_words": 0.0, "distinct_2": 0.0, "refusal_rate": 0.0, "cut_off_rate": 0.0}),
    ],
)
def test_signs_are_length_diversity_refusals_and_cut_answers(samples, signs):
    assert answer_signs(samples) == signs


@pytest.mark.parametrize("number", [1, 2, 5])
def test_metrics_of_any_number_of_samples_are_a_json_document(number):
    document = metrics([sample([True, n % 2 == 0]) for n in range(number)], EvaluateParams())
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["ifeval"]["inst_strict"]["items"] == 2 * number


def test_answers_are_greedy_framed_and_in_the_order_of_prompts(tmp_path):
    prompts = [
        {"key": 20, "prompt": "long words", "instruction_id_list": ["a:b"]},
        {"key": 3, "prompt": "x", "instruction_id_list": []},
    ]
    engine = ScriptedEngine(lambda request: str(len(request.prompt)), batch=2)
    with Journal(tmp_path / "j.jsonl", "f") as journal:
        samples = answer(engine, Frame("f", "<", ">", "END"), prompts, EvaluateParams(answer_tokens=7), journal)
    assert [(s["id"], s["prompt"], s["answer"], s["instructions"]) for s in samples] == [
        ("20", "long words", "12", ["a:b"]),
        ("3", "x", "3", []),
    ]
    assert {(r.temperature, r.max_new_tokens, r.stop) for r in engine.asked} == {(0.0, 7, ("END",))}


@pytest.fixture(scope="module")
def checkers(tmp_path_factory):
    pytest.importorskip("lm_eval")
    if importlib.util.find_spec("punkt") is None:
        pytest.skip("the package with the sentence model is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ISHEEP_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("NLTK_DATA", "")  # put back after the test
        yield evaluate.load_checkers()


CASES = [
    ("punctuation:no_comma", {}, "A limerick without any", True, True),
    ("punctuation:no_comma", {}, "First, second", False, False),
    ("change_case:english_lowercase", {}, "every word is quiet in this english sentence", True, True),
    ("change_case:english_lowercase", {}, "Some words are not quiet in this English sentence", False, False),
    ("detectable_format:json_format", {}, '{"a": 1}', True, True),
    ("detectable_format:json_format", {}, "a: 1", False, False),
    ("startend:quotation", {}, '"quoted"', True, True),
    ("startend:quotation", {}, 'Sure:\n"quoted"', False, True),  # loosely, the first line may go
    ("length_constraints:number_sentences", {"relation": "at least", "num_sentences": 2}, "Dr. Who came. He left.", True, True),
    (
        "length_constraints:number_sentences",
        {"relation": "at least", "num_sentences": 3},
        "Dr. Who came. He left.",
        False,
        False,
    ),
    ("keywords:existence", {"keywords": ["salt"]}, "", False, False),
]


def test_the_checkers_follow_known_answers(checkers):
    prompts = [
        {"key": n, "prompt": "p", "instruction_id_list": [kind], "kwargs": [values]}
        for n, (kind, values, *_) in enumerate(CASES)
    ]
    samples = [{"id": str(n), "answer": case[2], "finish": "end"} for n, case in enumerate(CASES)]
    checked = check_answers(samples, prompts, checkers)
    assert [(row["strict"], row["loose"]) for row in checked] == [([case[3]], [case[4]]) for case in CASES]
    assert [row["answer"] for row in checked] == [case[2] for case in CASES]


def test_checking_twice_gives_the_same_whatever_was_checked_before(checkers):
    kinds = ["keywords:letter_frequency", "language:response_language"]
    prompt = {
        "key": 5,
        "prompt": "p",
        "instruction_id_list": kinds,
        "kwargs": [{"let_relation": "at least"}, {"language": "fr"}],
    }
    row = {"id": "5", "answer": "Bonjour a tous et merci", "finish": "end"}
    first = check_answers([row], [prompt], checkers)
    other = {**prompt, "key": 6}
    assert check_answers([row, row], [other, prompt], checkers)[1] == first[0]
