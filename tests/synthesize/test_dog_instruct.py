"""DoG-Instruct: texts wrapped into tasks with answers of other words, which must stay with the text."""

import pytest

from isheep_lib.engines.protocol import Completion
from isheep_lib.errors import YieldError
from isheep_lib.synthesize.methods.backtranslation.dog_instruct import DogInstruct, grounding, read_wrapped
from tests.synthesize.grounded import BEES, RIVER, Mortal, Reader, lost, made

TASK = "I want to know how a hive makes honey."
TOLD = "Bees drink nectar from flowers. In the hive they pass it on until it is thick, and close each cell with wax."
WATER = "A river grows by streams and carries sand down to the sea."
WAY = DogInstruct()


def wrapped(instruction=TASK, output=TOLD, given="none"):
    return f"#instruction#: {instruction}\n#input#: {given}\n#output#: {output}"


def answer(request):
    return wrapped() if BEES in request.prompt else wrapped("How does a river reach the sea?", WATER)


def write(engine, folder, **values):
    return WAY.write(made(engine, folder, "dog_instruct", **values))


@pytest.mark.parametrize(
    ("said", "parts"),
    [
        (wrapped(), (TASK, "", TOLD)),
        (wrapped(given="Two jars."), (TASK, "Two jars.", TOLD)),
        (f"Here it is.\n\n{wrapped()}", (TASK, "", TOLD)),
        (f"Instruction: {TASK}\nOutput: {TOLD}", (TASK, "", TOLD)),
        (f"**Instruction:** {TASK}\n**Input:** N/A\n**Output:** {TOLD}\nMore.", (TASK, "", f"{TOLD}\nMore.")),
        (f'# Instruction #: "{TASK}"\n#OUTPUT#: {TOLD}', (TASK, "", TOLD)),
        (f"#instruction#: {TASK}", ("", "", "")),
        (f"#output#: {TOLD}", ("", "", "")),
        (f"{wrapped()}\n#output#: Again.", ("", "", "")),
        (f"{wrapped()}\n\n{wrapped()}", ("", "", "")),
        ("", ("", "", "")),
    ],
)
def test_parts_are_read_by_their_labels_and_twice_is_not_readable(said, parts):
    item, output = read_wrapped(Completion("x", said, "end", 5))
    assert (item.instruction, item.input, output) == parts
    assert not item.cut
    assert item.raw == said


@pytest.mark.parametrize(
    ("answer", "share"),
    [
        ("Bees drink nectar.", 1.0),
        ("Bees drink coffee.", 2 / 3),
        ("Wasps sting.", 0.0),
        ("In 1904 bees came.", 1 / 3),
        ("It is so.", 0.0),
        ("", 0.0),
    ],
)
def test_grounding_is_the_share_of_telling_words_that_stand_in_the_text(answer, share):
    assert grounding(answer, BEES) == pytest.approx(share, abs=1e-4)


def test_the_answer_is_the_models_and_the_row_says_how_far_it_is_grounded(tmp_path):
    found = write(Reader(answer), tmp_path)
    rows = {row["document"]: row for row in found.accepted}
    assert (rows["bees"]["instruction"], rows["bees"]["output"]) == (TASK, TOLD)
    assert rows["bees"]["grounding"] == pytest.approx(12 / 14, abs=1e-4)  # all but "from" and "each"
    assert rows["bees"]["num_tokens"] == len(TOLD.split()) + 1
    assert (rows["river"]["grounding"], rows["river"]["finish"]) == (1.0, "end")
    assert lost(found) == {"i1-note": ("document_too_short", "2 words: note")}


@pytest.mark.parametrize(
    ("said", "reason", "detail"),
    [
        (
            wrapped(output="Wasps build houses of paper under roofs, as everybody knows who ever saw one."),
            "ungrounded",
            "0%, without wasps",
        ),
        (wrapped(output=f"{TOLD} This takes 40 days."), "foreign_number", "40"),
        (wrapped(output=f"1. {TOLD}"), "", ""),
        (wrapped(f"{TASK} Say it in 40 words.", f"{TOLD} These are 40 words."), "", ""),
        (wrapped(output="Bees drink nectar."), "answer_too_short", "12% of the text"),
        (wrapped("Bees visit flowers and drink nectar."), "copies_document", "100%"),
        (wrapped("Honey?"), "too_short", ""),
        ("I cannot do this.", "unreadable", ""),
    ],
)
def test_a_wrapped_text_is_dropped_for_this_reason(tmp_path, said, reason, detail):
    found = write(Reader(lambda request: said if BEES in request.prompt else answer(request)), tmp_path)
    dropped = lost(found)
    assert dropped.get("i1-bees", ("", ""))[0] == reason
    assert dropped.get("i1-bees", ("", ""))[1].startswith(detail)


def test_what_the_limit_cut_is_dropped_as_cut_whatever_parts_it_has(tmp_path):
    with pytest.raises(YieldError, match=r"(?s)cut_off"):
        write(Reader(answer, finish="length"), tmp_path)


def test_limits_are_the_options(tmp_path):
    short = Reader(lambda request: wrapped(output="Bees drink nectar.") if BEES in request.prompt else answer(request))
    assert "i1-bees" not in lost(write(short, tmp_path / "a", options={"min_answer_share": 0.0}))
    strict = write(Reader(answer), tmp_path / "b", options={"min_grounding": 0.95})
    assert lost(strict)["i1-bees"] == ("ungrounded", "86%, without from, each")


def test_there_is_room_for_the_task_and_its_answer(tmp_path):
    engine = Reader(answer)
    write(engine, tmp_path, instruction_tokens=30, response_tokens=50)
    assert {request.max_new_tokens for request in engine.asked} == {80}
    assert all(BEES in request.prompt or RIVER in request.prompt for request in engine.asked)


def test_a_killed_writing_is_resumed_and_asks_only_for_the_rest(tmp_path):
    whole = write(Reader(answer), tmp_path / "whole")
    for lives in range(2):
        with pytest.raises(IndexError):
            write(Mortal(answer, lives), tmp_path / str(lives))
        rest = Reader(answer)
        assert write(rest, tmp_path / str(lives)) == whole
        assert len(rest.asked) == 2 - lives


def test_what_the_notebook_shows_can_be_shown(tmp_path):
    writing = made(Reader(answer), tmp_path, "dog_instruct")
    example = WAY.example(writing)
    assert example.rows[0]["rule"] == "passes"
    assert example.rows[0]["output"] in (TOLD, WATER)
    shown = WAY.evidence(WAY.write(writing))
    assert [(row["grounding"], row["accepted"], row["dropped"]) for row in shown.rows] == [("75% to 100%", 2, 0)]
    none = made(Reader(answer), tmp_path, "dog_instruct", options={"min_document_words": 500})
    assert WAY.example(none).prompt == "no document will do"
