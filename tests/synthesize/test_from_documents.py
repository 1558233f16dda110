"""Documents as grounds: what is known of them at the plan, and what a record keeps of their licences."""

import json

import pytest

from isheep_lib.analysis.contamination import Item
from isheep_lib.errors import DataError, ParameterError
from isheep_lib.params.check import check
from isheep_lib.synthesize.documents import licences, load_documents, parse_document_fields
from isheep_lib.synthesize.grounds import benchmark_text
from isheep_lib.synthesize.grounds.from_documents import DocumentOptions, faults
from isheep_lib.synthesize.params import Synthesize

QUESTION = "Which of the harbour masters of Ostrey lit the lamp on the night of the second flood?"
PLAIN = (
    "The keeper lit the lamp at dusk, wrote the hour into the book, and went down to the harbour for bread. Nothing else came."
)
PLANTED = f"From a quiz that our class made in spring. {QUESTION} Nobody knew, and everybody laughed about it for a week."


@pytest.fixture
def planted(monkeypatch):
    items = [Item("invented", "7", (QUESTION,))]
    monkeypatch.setattr(benchmark_text, "_items", lambda: iter(items))
    benchmark_text._repeats.cache_clear()
    yield
    benchmark_text._repeats.cache_clear()


@pytest.fixture
def source(tmp_path):
    rows = [
        {"id": "plain", "text": PLAIN, "licence": "MIT"},
        {"id": "quiz", "text": PLANTED, "licence": "MIT"},
        {"id": "note", "text": "Back at six."},
        {"id": "long", "text": f"{PLAIN} " * 30, "licence": "CC0-1.0"},
    ]
    path = tmp_path / "documents.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def section(source, **values):
    options = {"documents": source, **values.pop("options", {})}
    return Synthesize(**{"method": "longform", "min_instructions": 1, "options": options, **values})


def test_each_document_that_will_not_do_has_one_reason(planted, source):
    documents = load_documents(source, "here")
    options = DocumentOptions(documents=source)
    assert faults(documents, options) == [
        None,
        ("benchmark_text", "invented 7 (contains): quiz"),
        ("document_too_short", "3 words: note"),
        ("document_too_long", "720 words: long"),
    ]
    kept = DocumentOptions(documents=source, benchmark_text="keep")
    assert [problem is None for problem in faults(documents, kept)] == [True, True, False, False]


def test_what_is_not_compared_is_not_in_the_fingerprint(planted, source):
    assert set(section(source, options={"benchmark_text": "keep"}).data_digests()) == {"documents"}
    assert "benchmarks/boolq" in section(source).data_digests()


def test_too_few_documents_are_told_at_the_plan_with_the_reasons(planted, source):
    with pytest.raises(DataError) as caught:
        section(source, min_instructions=2).data_digests()
    message = str(caught.value)
    assert "1 of 4 document(s) will do, for at most 1 new instructions" in message
    for told in ("document_too_short: 1, such as 3 words: note", "benchmark_text: 1, such as invented 7 (contains): quiz"):
        assert told in message
    assert section(source, min_instructions=2, options={"benchmark_text": "keep"}).data_digests()


def test_a_record_keeps_how_many_documents_each_licence_has(source):
    found = section(source).sources()
    assert found == {"documents": {"from": source, "number": 4, "licences": {"CC0-1.0": 1, "MIT": 2, "not stated": 1}}}
    assert Synthesize().sources() == {}
    assert licences([]) == {}


def test_fields_of_other_names_are_read_and_license_is_a_spelling(tmp_path):
    path = tmp_path / "d.jsonl"
    path.write_text(json.dumps({"content": PLAIN, "name": "Dusk", "license": "MIT"}) + "\n")
    (document,) = load_documents(str(path), "here", ["text=content", "title=name"])
    assert (document.text, document.title, document.licence) == (PLAIN, "Dusk", "MIT")
    with pytest.raises(DataError, match="no text"):
        load_documents(str(path), "here")


def test_documents_in_parquet_are_read(tmp_path):
    import pyarrow
    from pyarrow import parquet

    path = tmp_path / "d.parquet"
    parquet.write_table(pyarrow.table({"id": ["a"], "body": [PLAIN]}), path)
    (document,) = load_documents(str(path), "here", ["text=body"])
    assert (document.id, document.text) == ("a", PLAIN)


@pytest.mark.parametrize(
    ("pairs", "told"),
    [
        (["text"], "should have the form ours=theirs"),
        (["text="], "should have the form ours=theirs"),
        (["body=content"], "'body' should be one of id, text, title, source, licence"),
        (["text=a", "text=b"], "text is named twice"),
    ],
)
def test_a_mapping_that_is_wrong_is_refused_with_its_parameter(pairs, told):
    with pytest.raises(ValueError, match=told):
        parse_document_fields(pairs)
    with pytest.raises(ParameterError, match="options") as caught:
        check(Synthesize, {"method": "longform", "options": {"document_fields": pairs}}, "x")
    assert told in str(caught.value)
