"""LongForm: documents become answers, instructions are written for them, and no document is lost without a reason."""

import json
from dataclasses import replace

import pytest

from isheep_lib.engines.protocol import quiet
from isheep_lib.errors import DataError, YieldError
from isheep_lib.synthesize.candidates import funnel_of
from isheep_lib.synthesize.method import Writing
from isheep_lib.synthesize.methods.backtranslation.longform import STYLES, LongForm
from isheep_lib.synthesize.params import Synthesize
from tests.scripted import Letters, ScriptedEngine
from tests.writings import FRAME, writing

BEES = "Bees visit flowers and drink nectar. In the hive they pass it on until it is thick, and then close the cell with wax."
RIVER = "A river begins as a spring, grows by the streams that join it, and carries its sand down to the sea."
SAID = {"Bees": "Explain how honey is made by a hive.", "river": "Describe the way of water from the hills to the coast."}


class Reader(ScriptedEngine):
    """Counts words as tokens."""

    tokenizer = staticmethod(lambda text, add_special_tokens: {"input_ids": text.split()})


def answer(request):
    return next((said for word, said in SAID.items() if word in request.prompt), "Write something about this.")


@pytest.fixture
def documents(tmp_path):
    rows = [
        {"id": "bees", "text": BEES, "title": "Honey"},
        {"id": "river", "text": RIVER},
        {"id": "note", "text": "Too short."},
    ]
    path = tmp_path / "documents.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def made(engine, folder, documents, **values) -> Writing:
    options = {"documents": str(documents), "benchmark_text": "keep", **values.pop("options", {})}
    params = Synthesize(method="longform", **{"min_instructions": 1, "instructions": 5, "options": options, **values})
    return writing(engine, folder, params, [])


def test_the_answer_is_the_document_and_the_row_says_which_and_how(tmp_path, documents):
    found = LongForm().write(made(Reader(answer), tmp_path, documents))
    rows = {row["document"]: row for row in found.accepted}
    assert set(rows) == {"bees", "river"}
    row = rows["bees"]
    assert (row["instruction"], row["output"], row["finish"]) == (SAID["Bees"], BEES, "end")
    assert row["id"] == "i1-bees"
    assert row["num_tokens"] == len(BEES.split()) + 1
    assert row["style"] in STYLES
    assert [(row["document"], row["reason"]) for row in found.dropped] == [("note", "document_too_short")]


def test_nothing_is_answered_by_the_model(tmp_path, documents):
    engine = Reader(answer)
    writing = made(engine, tmp_path, documents)
    found = LongForm().write(writing)
    asked = len(engine.asked)
    with writing.open_journal("responses") as journal:
        examples = LongForm().respond(writing, found.accepted, journal)
    assert examples == found.accepted
    assert len(engine.asked) == asked == 2
    assert funnel_of(found, examples) == {"in": 3, "kept": 2, "dropped": {"document_too_short": 1}}


class Mortal(Reader):
    """Ends in the middle, after some answers."""

    def __init__(self, lives):
        super().__init__(answer)
        self.lives = lives

    def generate(self, batches, tick=quiet):
        for number, batch in enumerate(super().generate(batches, tick)):
            if number == self.lives:
                raise IndexError
            yield batch


def test_a_killed_writing_is_resumed_and_asks_only_for_the_rest(tmp_path, documents):
    whole = LongForm().write(made(Reader(answer), tmp_path / "whole", documents))
    for life in range(2):
        with pytest.raises(IndexError):
            LongForm().write(made(Mortal(life), tmp_path / str(life), documents))
        rest = Reader(answer)
        assert LongForm().write(made(rest, tmp_path / str(life), documents)) == whole
        assert len(rest.asked) == 2 - life


@pytest.mark.parametrize(
    ("options", "said", "reason"),
    [
        ({"max_document_words": 22}, None, "document_too_long"),
        ({}, "Bees visit flowers and drink nectar in the hive.", "copies_document"),
        ({}, "Honey?", "too_short"),
        ({"max_document_copy": 1.0}, "Bees visit flowers and drink nectar.", ""),
    ],
)
def test_an_instruction_or_a_document_is_dropped_for_this_reason(tmp_path, documents, options, said, reason):
    engine = Reader(lambda request: said if said and "Bees" in request.prompt else answer(request))
    found = LongForm().write(made(engine, tmp_path, documents, options=options))
    lost = {row["document"]: row["reason"] for row in found.dropped}
    assert lost.get("bees", "") == reason


def test_the_length_of_the_document_stands_in_the_instruction_where_it_is_wanted(tmp_path, documents):
    found = LongForm().write(made(Reader(answer), tmp_path, documents, options={"state_length": True}))
    assert {row["instruction"] for row in found.accepted} == {f"{said} Use about 20 words." for said in SAID.values()}


def test_the_length_can_be_said_in_sentences(tmp_path, documents):
    options = {"state_length": True, "length_units": ["sentences"]}
    found = LongForm().write(made(Reader(answer), tmp_path, documents, options=options))
    said = {row["document"]: row["instruction"] for row in found.accepted}
    assert said == {"bees": f"{SAID['Bees']} Answer in 2 sentences.", "river": f"{SAID['river']} Answer in one sentence."}


def test_a_unit_of_length_without_a_length_is_a_contradiction():
    options = LongForm.Options(length_units=["sentences"])
    assert LongForm().conflicts(Synthesize(), options) == ["length_units: no length is stated; set state_length to true"]


def test_each_style_has_a_prompt_of_its_own_with_the_whole_document(tmp_path, documents):
    prompts = set()
    for style in STYLES:
        engine = Reader(answer)
        LongForm().write(made(engine, tmp_path / style, documents, options={"styles": [style]}))
        assert all(BEES in request.prompt or RIVER in request.prompt for request in engine.asked)
        prompts.add(next(request.prompt for request in engine.asked if BEES in request.prompt))
    assert len(prompts) == 3


def test_enough_documents_are_enough(tmp_path, documents):
    engine = Reader(answer)
    found = LongForm().write(made(engine, tmp_path, documents, instructions=1))
    assert len(found.accepted) == len(engine.asked) == 1


def test_too_few_stop_the_stage_with_reasons(tmp_path, documents):
    with pytest.raises(YieldError, match=r"(?s)Only 2 new instructions, 3 are needed.*document_too_short.*give more documents"):
        LongForm().write(made(Reader(answer), tmp_path, documents, min_instructions=3))


def test_documents_count_in_the_fingerprint_by_what_they_say_and_seeds_do_not(tmp_path, documents):
    def digests(path):
        options = {"documents": str(path), "benchmark_text": "keep"}
        return Synthesize(method="longform", min_instructions=1, options=options).data_digests()

    before = digests(documents)
    assert set(before) == {"documents"}
    again = tmp_path / "again.jsonl"
    again.write_text(documents.read_text().replace('"id": "bees", ', '  "id":   "bees", '))
    assert digests(again) == before
    again.write_text(documents.read_text().replace("nectar", "dew"))
    assert digests(again) != before


def test_absent_documents_are_named_with_their_parameter(tmp_path):
    with pytest.raises(DataError, match=r"(?s)does not exist.*synthesize\.options\.documents"):
        Synthesize(method="longform", options={"documents": str(tmp_path / "none.jsonl")}).data_digests()


def test_what_the_notebook_shows_can_be_shown(tmp_path, documents):
    writing = made(Reader(answer), tmp_path, documents)
    method = LongForm()
    assert "3 documents" in repr(method.given(writing))
    assert "max_document_words" in repr(method.prepared(writing))
    example = method.example(writing)
    assert example.rows[0]["answer"] in (BEES, RIVER, "Too short.")
    shown = method.evidence(method.write(writing))
    assert sum(row["accepted"] for row in shown.rows) == 2


def test_a_document_that_the_model_cannot_read_or_that_holds_a_special_token_is_dropped_unasked(tmp_path, documents):
    class Narrow(Reader):
        tokenizer, context = Letters(), 2000

    rows = [{"id": "bees", "text": BEES}, {"id": "long", "text": f"{RIVER} " * 20}, {"id": "tag", "text": f"{RIVER} </s>"}]
    documents.write_text("".join(json.dumps(row) + "\n" for row in rows))
    engine, options = Narrow(answer), {"documents": str(documents), "benchmark_text": "keep"}
    params = Synthesize(method="longform", min_instructions=1, instructions=5, instruction_tokens=50, options=options)
    found = LongForm().write(writing(engine, tmp_path, params, [], replace(FRAME, words=("</s>",))))
    assert [row["document"] for row in found.accepted] == ["bees"]
    lost = {row["document"]: (row["reason"], row["detail"]) for row in found.dropped}
    assert lost["tag"] == ("special_token", "</s>: tag")
    assert lost["long"][0] == "beyond_context" and "and 50 more, the model's context is 2000: long" in lost["long"][1]
    assert len(engine.asked) == 1


def test_the_example_is_a_document_that_will_do_or_says_why_none_will(tmp_path, documents):
    engine = Reader(answer)
    example = LongForm().example(made(engine, tmp_path, documents))
    assert example.rows[0]["answer"] in (BEES, RIVER)
    none = LongForm().example(made(engine, tmp_path, documents, options={"min_document_words": 500}))
    assert none.rows and all(row["reason"].startswith("document_too_short") for row in none.rows)
    assert len(engine.asked) == 1
