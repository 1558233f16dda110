"""Instruction Backtranslation: tasks written backward from texts, scored by the model itself, kept at the top."""

import json

import pytest

from isheep_lib.engines.protocol import Completion
from isheep_lib.errors import DataError, ParameterError, YieldError
from isheep_lib.params.check import check
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.candidates import funnel_of, shown_tasks
from isheep_lib.synthesize.methods.backtranslation.instruction_backtranslation import InstructionBacktranslation, read_score
from isheep_lib.synthesize.params import Synthesize
from tests.synthesize.grounded import BEES, RIVER, Mortal, Reader, lost, made

SEEDS = (
    Task("s-1", "Say why bread rises.", "", "Yeast makes gas."),
    Task("s-2", "Name a metal.", "", "Iron."),
    Task("s-3", "Sum this up.", "A long text.", "Short."),
    Task("s-4", "Write a poem."),
)
SAID = {BEES: "Explain how honey is made by a hive.", RIVER: "Describe the way of water from the hills to the coast."}
SCORES = {"hive": "It is complete.\nScore: 5", "coast": "It is loose.\nScore: 3"}
OPTIONS = {"demonstrations": 2}
WAY = InstructionBacktranslation()


def answer(request):
    if "Judge how well" in request.prompt:
        return next(said for word, said in SCORES.items() if f"{word}." in request.prompt.split("Text:")[0])
    return next(said for text, said in SAID.items() if f"Text:\n{text}" in request.prompt)


def write(engine, folder, options=OPTIONS, **values):
    values = {"seeds": SEEDS, **values}
    return WAY.write(made(engine, folder, "instruction_backtranslation", options=options, **values))


@pytest.mark.parametrize(
    ("said", "score"),
    [
        ("It is fine.\nScore: 5", 5),
        ("Score: 4", 4),
        ("**Score: 3**", 3),
        ("It helps.\n\nScore: 2/5\n\n", 2),
        ("score = 1.", 1),
        ("5 reasons to like it. Score: 2", None),
        ("Score: 7", None),
        ("Score: 45", None),
        ("Score: 4 or 5", None),
        ("Score: 5\nBut it is short.", None),
        ("Score:", None),
        ("5", None),
        ("", None),
    ],
)
def test_a_score_is_the_whole_last_line_or_none(said, score):
    assert read_score(Completion("x", said, "end", 3)) == score


def test_the_text_is_the_answer_and_the_row_says_from_what_and_how_good(tmp_path):
    found = write(Reader(answer), tmp_path)
    (row,) = found.accepted
    assert (row["instruction"], row["output"], row["input"]) == (SAID[BEES], BEES, "")
    assert (row["id"], row["document"], row["score"]) == ("i1-bees", "bees", 5)
    assert sorted(row["demonstrations"]) == ["s-1", "s-2"]
    assert lost(found) == {
        "i1-river": ("low_score", "3 of 5"),
        "i1-note": ("document_too_short", "2 words: note"),
    }
    assert found.tokens == 40
    assert funnel_of(found, found.accepted)["in"] == 3
    assert {row["id"]: row["shown"] for row in shown_tasks(found, list(SEEDS))} == {"s-1": 2, "s-2": 2}


def test_seeds_are_shown_backward_the_answer_before_its_task_and_only_those_that_can_be(tmp_path):
    engine = Reader(answer)
    write(engine, tmp_path)
    prompt = next(request.prompt for request in engine.asked if f"Text:\n{BEES}" in request.prompt)
    assert prompt.index("Yeast makes gas.") < prompt.index("Say why bread rises.") < prompt.index(BEES)
    assert "Sum this up" not in prompt
    assert "poem" not in prompt


def test_a_lower_limit_keeps_more_and_a_judgement_without_a_score_loses_the_pair(tmp_path):
    assert len(write(Reader(answer), tmp_path / "a", {**OPTIONS, "min_score": 3}).accepted) == 2
    vague = Reader(
        lambda request: "It is very good." if "Judge" in request.prompt and "coast" in request.prompt else answer(request)
    )
    assert lost(write(vague, tmp_path / "b"))["i1-river"] == ("unreadable_score", "")


class Sure(Reader):
    """Prefers the fifth label where the text is of bees, else finds the second and third alike."""

    def choices(self, prompts, labels):
        assert labels == ["1", "2", "3", "4", "5"]
        self.calls.append(prompts)
        return [[-9, -9, -9, -9, -0.1] if BEES in prompt else [-3.0, -0.7, -0.7, -3.0, -3.0] for prompt in prompts]


def test_by_probabilities_the_likeliest_number_counts_and_of_two_the_lower(tmp_path):
    options = {**OPTIONS, "curation": "probabilities", "min_score": 4}
    found = write(Sure(answer), tmp_path, options)
    assert [(row["document"], row["score"]) for row in found.accepted] == [("bees", 5)]
    assert lost(found)["i1-river"] == ("low_score", "2 of 5")


def test_without_curation_nothing_is_scored(tmp_path):
    engine = Reader(answer)
    found = write(engine, tmp_path, {**OPTIONS, "curation": "none"})
    assert {row["document"] for row in found.accepted} == {"bees", "river"}
    assert not any("score" in row for row in found.accepted)
    assert len(engine.asked) == 2


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("Task: Bees visit flowers and drink nectar.", "copies_document"),
        ("Say why bread rises today.", "near_duplicate"),
        ("Honey?", "too_short"),
    ],
)
def test_what_fails_before_it_is_scored_is_not_scored(tmp_path, said, reason):
    engine = Reader(lambda request: said if f"Text:\n{BEES}" in request.prompt else answer(request))
    found = write(engine, tmp_path, {**OPTIONS, "min_score": 3})
    assert lost(found)["i1-bees"][0] == reason
    assert len(engine.asked) == 3


def test_a_killed_writing_is_resumed_and_asks_only_for_the_rest(tmp_path):
    whole = write(Reader(answer), tmp_path / "whole")
    for lives in range(4):
        with pytest.raises(IndexError):
            write(Mortal(answer, lives), tmp_path / str(lives))
        rest = Reader(answer)
        assert write(rest, tmp_path / str(lives)) == whole
        assert len(rest.asked) == 4 - lives


def test_when_every_pair_is_poor_the_stage_stops_with_reasons(tmp_path):
    poor = Reader(lambda request: "No.\nScore: 1" if "Judge" in request.prompt else answer(request))
    with pytest.raises(YieldError, match=r"(?s)Only 0 new instructions, 1 are needed.*low_score.*lower min_score"):
        write(poor, tmp_path)


def test_seeds_without_answers_are_refused_at_the_plan(tmp_path):
    seeds, documents = tmp_path / "seeds.jsonl", tmp_path / "documents.jsonl"
    documents.write_text(json.dumps({"text": BEES}) + "\n")
    seeds.write_text("".join(json.dumps({"instruction": task.instruction, "input": task.input}) + "\n" for task in SEEDS))
    options = {"documents": str(documents), "benchmark_text": "keep"}
    params = Synthesize(method="instruction_backtranslation", seeds=str(seeds), min_instructions=1, options=options)
    with pytest.raises(DataError, match=r"0 seed task\(s\) with an output and no input cannot fill a prompt of 3"):
        params.data_digests()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"curation": "none", "min_score": 4}, "options.min_score: nothing is scored with curation none"),
        ({"curation": "probabilities", "curation_tokens": 9}, "options.curation_tokens: no score is written"),
        ({"min_score": 6}, "options.min_score: 6 should be"),
        ({"min_document_words": 900}, "options.min_document_words: must be at most max_document_words"),
    ],
)
def test_contradictions_are_told(options, told):
    with pytest.raises(ParameterError) as caught:
        check(Synthesize, {"method": "instruction_backtranslation", "options": options}, "x")
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("curation", "asked"), [("written", "curate"), ("probabilities", "curate-probabilities"), ("none", "")]
)
def test_only_prompts_that_are_asked_count(curation, asked):
    files = WAY.prompt_files(WAY.Options(curation=curation))
    assert [name for name in files if "curate" in name] == [f"instruction_backtranslation-{asked}.txt"] * bool(asked)


def test_what_the_notebook_shows_can_be_shown(tmp_path):
    writing = made(Reader(answer), tmp_path, "instruction_backtranslation", seeds=SEEDS, options=OPTIONS)
    assert "3 documents" in repr(WAY.given(writing))
    example = WAY.example(writing)
    assert example.rows[0]["score"] in (5, 3)
    shown = WAY.evidence(WAY.write(writing))
    assert [(row["score"], row["accepted"], row["dropped"]) for row in shown.rows] == [(5, 1, 0), (3, 0, 1)]
    likely = made(
        Sure(answer), tmp_path, "instruction_backtranslation", seeds=SEEDS, options={**OPTIONS, "curation": "probabilities"}
    )
    assert set(WAY.example(likely).rows[0]["probabilities"]) == {"1", "2", "3", "4", "5"}
