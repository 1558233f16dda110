"""Transcripts: every answer is on record, found by what was asked, and nothing is asked twice."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isheep_lib.engines.params import Model
from isheep_lib.engines.protocol import Completion, Request
from isheep_lib.engines.transcript import Recorded, completion_of, key_of, row_of
from isheep_lib.engines.transformers_engine import TransformersEngine
from isheep_lib.models.base import find_model
from isheep_lib.record.journal import Journal
from tests.scripted import ScriptedEngine

ASKED = [Request("a", "one", 4), Request("b", "two", 4, 0.7, 0.9, 3), Request("c", "three", 4)]


def texts(engine, batches):
    return [one.text for batch in engine.generate(batches) for one in batch]


def test_what_was_answered_is_not_asked_again_also_by_another_process(tmp_path):
    engine = ScriptedEngine(lambda request: request.prompt.upper())
    with Journal(tmp_path / "t.jsonl", "f") as journal:
        recorded = Recorded(engine, journal)
        assert texts(recorded, [[one] for one in ASKED[:2]]) == ["ONE", "TWO"]
        assert recorded.logprobs([("a", "b"), ("a", "b")]) == [(-1.0, 4)] * 2
        assert recorded.choices(["p"], ["1", "2"]) == [[-60.0, -60.0]]
    calls = len(engine.calls)
    with Journal(tmp_path / "t.jsonl", "f") as journal:
        again = Recorded(engine, journal)
        assert texts(again, [[one] for one in ASKED]) == ["ONE", "TWO", "THREE"]
        assert again.logprobs([("a", "b"), ("a", "c")]) == [(-1.0, 4)] * 2
        assert again.choices(["p", "q"], ["1", "2"]) == [[-60.0, -60.0]] * 2
        assert engine.calls[calls:] == [["c"], [("a", "c")], ["q"]]
        assert len(again.rows()) == 7


def test_rows_known_from_elsewhere_become_part_of_the_record(tmp_path):
    with Journal(tmp_path / "one.jsonl", "f") as journal:
        recorded = Recorded(ScriptedEngine(["said"]), journal)
        texts(recorded, [ASKED[:1]])
        known = {row["id"]: row for row in recorded.fresh()}
    with Journal(tmp_path / "two.jsonl", "g") as journal:
        recorded = Recorded(ScriptedEngine(), journal, known)
        assert texts(recorded, [ASKED[:1]]) == ["said"]
        assert recorded.rows() == list(known.values())
        assert recorded.fresh() == []


@pytest.mark.parametrize(
    "change",
    [{"prompt": "other"}, {"max_new_tokens": 5}, {"temperature": 0.1}, {"top_p": 0.5}, {"seed": 1}, {"stop": ("x",)}],
    ids=lambda change: next(iter(change)),
)
def test_whatever_decides_an_answer_makes_another_question_and_a_name_does_not(change):
    assert key_of(replace(ASKED[0], **change)) != key_of(ASKED[0])
    assert key_of(replace(ASKED[0], id="another")) == key_of(ASKED[0])


def test_questions_of_another_kind_are_others():
    assert len({key_of(ASKED[0]), key_of(("one", "4")), key_of(("one", ("4",)))}) == 3


@given(st.lists(st.integers(0, 60), min_size=1, max_size=12), st.sampled_from(["", "song", "<|im_end|>"]))
def test_a_continuation_is_read_back_from_its_tokens(tiny_engine, tokens, stop):
    request = Request("r", "write", 12, stop=(stop,) if stop else ())
    said = tiny_engine.vocabulary.completion(request, tokens)
    row = row_of(request, said, tiny_engine.vocabulary)
    assert set(row) == {"id", "of", "tokens"}
    assert completion_of(request, row, tiny_engine.vocabulary) == said


def test_a_continuation_that_was_read_otherwise_or_has_no_tokens_keeps_its_text(tiny_engine):
    request = Request("r", "write", 12)
    for said in (
        Completion("r", "a text", "stop", 2, ".", (4, 5)),
        Completion("r", "a text", "end", 2, "<|im_end|>"),
    ):
        row = row_of(request, said, tiny_engine.vocabulary)
        assert row["text"] == "a text"
        assert completion_of(request, row, tiny_engine.vocabulary) == said


@pytest.fixture(scope="module")
def tiny_engine(tiny_model):
    return TransformersEngine(find_model(str(tiny_model)), Model(inference_dtype="float32"))
