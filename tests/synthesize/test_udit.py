"""UDIT: eight kinds of tasks from plain text, by rules that are followed by hand here, and by the model where it is sure."""

import math
from random import Random

import pytest

from isheep_lib.analysis.sentences import sentences
from isheep_lib.errors import ParameterError, YieldError
from isheep_lib.params.check import check
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.methods.backtranslation import pseudo_labels
from isheep_lib.synthesize.methods.backtranslation.udit import KINDS, Udit
from isheep_lib.synthesize.params import Synthesize
from tests.synthesize.grounded import BEES, RIVER, Mortal, Reader, lost, made

TALE = (
    "The old ferry left the harbour of Ostrey at seven. On board were nine sailors and a cook called Ilse Brandt. "
    "Near the lighthouse the engine stopped, and the ferry drifted. After two hours the sailors found water in the fuel. "
    "The cook gave everybody soup. At noon the ferry reached the harbour of Skerra in 1904."
)
PARTS = sentences(TALE)
WAY = Udit()
ROWS = [{"id": "tale", "text": TALE}]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("A line\nand another.", ["A line", "and another."]),
        ("It is 3.5 m. Yes.", ["It is 3.5 m.", "Yes."]),
        ("---\n\nText.", ["Text."]),
        ("", []),
    ],
)
def test_sentences_end_at_their_marks_and_at_line_ends(text, parts):
    assert sentences(text) == parts


@pytest.mark.parametrize(
    ("sentence", "found"),
    [
        ("The ferry left Ostrey for Skerra.", ["Ostrey", "Skerra"]),
        ("Ostrey lies on a hill, they say.", []),
        ("A cook called Ilse Brandt made soup.", ["Ilse Brandt"]),
        ("It was 7:45 in 1904 and cost 3,5 crowns.", ["7:45", "1904", "3,5"]),
        ("In the year I was born.", []),
        ("He met (Anna) and Åse.", ["Anna", "Åse"]),
        ("Она жила в Старой Руссе, близ Новгорода.", ["Старой Руссе", "Новгорода"]),
        ("nothing here is named at all", []),
    ],
)
def test_names_are_numbers_and_capitalised_runs_within_a_sentence(sentence, found):
    assert pseudo_labels.names(sentence) == found


def test_a_gap_leaves_out_a_name_or_number_that_stands_there_once():
    drawn = {pseudo_labels.gap(PARTS, Random(n)).answer for n in range(40)}
    assert drawn == {"Ostrey", "Ilse Brandt", "Skerra", "1904"}
    left = pseudo_labels.gap(["They sailed to Skerra before noon on Monday."], Random(0))
    assert left.sentence.replace("___", left.answer) == "They sailed to Skerra before noon on Monday."
    assert pseudo_labels.gap(["They went to Skerra and from Skerra on again."], Random(0)) is None
    assert pseudo_labels.gap(["It was Skerra."], Random(0)) is None


def test_a_choice_offers_words_of_the_text_nearest_in_length_and_the_right_one_once():
    given, answer = pseudo_labels.choice(PARTS, Random(1))
    sentence, *offered = given.split("\n")
    assert [line[:3] for line in offered] == ["(a)", "(b)", "(c)", "(d)"]
    assert answer in offered
    whole = sentence.replace("___", answer[4:])
    assert whole in PARTS
    assert not any(line[4:] in whole for line in offered if line != answer)
    assert pseudo_labels.choice(PARTS[:1], Random(1)) is None


def test_keywords_are_the_long_words_and_numbers_of_a_sentence_of_three_to_six():
    assert pseudo_labels.keywords([PARTS[2]], Random(0)) == ("drifted, engine, ferry, lighthouse, stopped", PARTS[2])
    assert pseudo_labels.keywords(["He is at the end of it all."], Random(0)) is None


def test_the_telling_sentence_shares_most_words_with_the_rest():
    # Of ten words "The ferry reached the harbour and the ferry stopped there" has the, ferry, harbour and the in the others.
    lines = ["The ferry was on its way at dawn.", "Nobody said much about it all day.", "A gull sat on our mast again."]
    main = "The ferry was on its way about all day again."
    assert pseudo_labels.telling_sentence([*lines, main]) == 3
    assert pseudo_labels.telling_sentence([main, *lines]) == 0
    assert pseudo_labels.telling_sentence([main, lines[0], lines[1]]) is None


def test_neighbours_stand_together_and_differ():
    one, other = pseudo_labels.neighbours(PARTS, Random(3))
    assert PARTS.index(other) == PARTS.index(one) + 1
    assert pseudo_labels.neighbours([PARTS[0], "Short.", PARTS[1]], Random(0)) is None


class Model(Reader):
    """Rewords sentences, and is as sure of the second label as it is told."""

    def __init__(self, answer=None, sure=0.9):
        super().__init__(answer or reworded)
        self.sure = sure

    def choices(self, prompts, labels):
        self.calls.append(prompts)
        rest = math.log((1 - self.sure) / (len(labels) - 1))
        return [[math.log(self.sure) if n == 1 else rest for n in range(len(labels))] for _ in prompts]


def reworded(request):
    asked = request.prompt.split("\n\n")[-1]
    return (
        "Kindly do the following: " + asked[:20].strip(" .?>") + "."
        if "instruction" in request.prompt
        else "Put otherwise, it was so."
    )


def write(engine, folder, kinds=KINDS, rows=ROWS, **values):
    options = {"kinds": list(kinds), "tasks_per_document": len(kinds), **values.pop("options", {})}
    return WAY.write(made(engine, folder, "udit", rows=rows, options=options, **values))


def test_one_document_gives_a_task_of_every_kind_with_its_answer(tmp_path):
    found = write(Model(), tmp_path, options={"rephrase": False})
    rows = {row["kind"]: row for row in found.accepted}
    assert set(rows) == set(KINDS)
    assert all(row["id"] == f"i1-tale-{kind}" and row["document"] == "tale" for kind, row in rows.items())
    assert rows["closed_book"]["input"].replace("___", rows["closed_book"]["output"]) in PARTS
    assert rows["extractive"]["input"].startswith(f"{TALE}\n\n")
    assert rows["structure_to_text"]["output"] in PARTS
    assert rows["summarisation"]["output"] in PARTS
    assert rows["summarisation"]["output"] not in rows["summarisation"]["input"]
    assert rows["sentiment"]["output"] == "negative"
    assert rows["sentiment"]["instruction"].endswith("Answer with one of: positive, negative, neutral.")
    assert (rows["topic"]["output"], rows["topic"]["confidence"]) == ("food", 0.9)
    assert rows["paraphrase"]["output"] in ("yes", "no")
    assert found.dropped == []


def test_two_sentences_are_labelled_by_whether_the_reworded_one_is_the_other(tmp_path):
    labels = set()
    for n in range(12):
        found = write(
            Model(),
            tmp_path / str(n),
            ["paraphrase"],
            options={"rephrase": False},
            seed_of=lambda name, n=n: len(name) + 1000 * n,
        )
        (row,) = found.accepted
        first, second = row["input"].split("\n")
        assert second == "2. Put otherwise, it was so."
        engine = Model()
        write(
            engine,
            tmp_path / f"again-{n}",
            ["paraphrase"],
            options={"rephrase": False},
            seed_of=lambda name, n=n: len(name) + 1000 * n,
        )
        asked = engine.asked[0].prompt
        assert (first[3:] in asked) == (row["output"] == "yes")
        labels.add(row["output"])
    assert labels == {"yes", "no"}


def test_instructions_are_the_models_own_words_where_these_pass_the_rules(tmp_path):
    good = write(Model(), tmp_path / "good", ["topic"])
    assert good.accepted[0]["instruction"].startswith("Kindly do the following: ")
    assert good.tokens == 30
    bad = write(Model(lambda request: "No."), tmp_path / "bad", ["topic"])
    assert bad.accepted[0]["instruction"].split(" Answer with")[0] in {
        "Say what the text is mainly about.",
        "Sort the following text under one heading.",
        "To which field does the text belong?",
    }


@pytest.mark.parametrize(
    ("kinds", "rows", "engine", "reason"),
    [
        (["sentiment"], ROWS, Model(sure=0.7), "unsure"),
        (["paraphrase"], ROWS, Model(lambda request: "Two. Sentences."), "no_paraphrase"),
        (["summarisation"], [{"id": "tale", "text": BEES}], Model(), "nothing_to_ask"),
        (["closed_book"], [{"id": "tale", "text": RIVER}], Model(), "nothing_to_ask"),
    ],
)
def test_what_gives_no_task_is_dropped_for_this_reason(tmp_path, kinds, rows, engine, reason):
    with pytest.raises(YieldError, match=reason):
        write(engine, tmp_path / "alone", kinds, rows)
    both = [*rows, {"id": "other", "text": TALE.replace("ferry", "boat")}]
    found = WAY.write(
        made(Model(), tmp_path, "udit", rows=both, options={"kinds": ["structure_to_text", *kinds], "tasks_per_document": 2})
    )
    assert len(found.accepted) + len(found.dropped) == 4


def test_the_limit_of_confidence_is_met_by_what_equals_it(tmp_path):
    assert write(Model(sure=0.78), tmp_path, ["sentiment"]).accepted[0]["confidence"] == 0.78


def test_a_task_of_an_earlier_iteration_is_not_made_again(tmp_path):
    options = {"rephrase": False}
    first = write(Model(), tmp_path / "a", ["structure_to_text", "topic"], options=options)
    earlier = [Task(row["id"], row["instruction"], row["input"]) for row in first.accepted if row["kind"] == "topic"]
    again = write(Model(), tmp_path / "b", ["structure_to_text", "topic"], options=options, earlier=earlier)
    assert lost(again) == {"i1-tale-topic": ("repeated", "")}
    worded = write(Model(), tmp_path / "d", ["structure_to_text", "topic"], earlier=earlier)  # now in the model's words
    assert lost(worded) == {"i1-tale-topic": ("repeated", "")}
    apart = write(
        Model(), tmp_path / "c", ["structure_to_text", "topic"], options=options, earlier=earlier, dedup_scope="round"
    )
    assert apart.dropped == []


def test_words_of_an_earlier_iteration_may_come_again_with_another_input(tmp_path):
    first = write(Model(), tmp_path / "a", ["topic"])
    earlier = [Task(row["id"], row["instruction"], "Another text.") for row in first.accepted]
    assert write(Model(), tmp_path / "b", ["topic"], earlier=earlier).dropped == []


def test_no_more_documents_are_looked_at_than_the_wanted_tasks_need(tmp_path):
    rows = [{"id": f"d-{n}", "text": f"{TALE} The end came on day {n + 10} of it."} for n in range(5)]
    found = write(Model(), tmp_path, ["structure_to_text", "topic"], rows, options={"rephrase": False}, instructions=4)
    assert len(found.accepted) == 4
    assert found.dropped == []
    assert len({row["document"] for row in found.accepted}) == 2


def test_one_instruction_may_stand_in_tasks_of_many_documents(tmp_path):
    rows = [{"id": f"d-{n}", "text": f"{TALE} The end came on day {n + 10} of it."} for n in range(4)]
    found = write(Model(), tmp_path, ["topic"], rows, options={"rephrase": False})
    assert len(found.accepted) == 4
    assert len({row["instruction"] for row in found.accepted}) < 4


def test_a_killed_writing_is_resumed_and_asks_only_for_the_rest(tmp_path):
    kinds = ["paraphrase", "topic"]
    whole = write(Model(), tmp_path / "whole", kinds)
    for lives in range(7):
        with pytest.raises(IndexError):
            write(
                type("Dying", (Mortal,), {"choices": Model.choices, "sure": 0.9})(reworded, lives), tmp_path / str(lives), kinds
            )
        rest = Model()
        assert write(rest, tmp_path / str(lives), kinds) == whole
        assert len(rest.asked) == 7 - lives


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"kinds": ["topic"]}, "options.tasks_per_document: must be at most the number of kinds, 1"),
        (
            {"kinds": ["sentiment", "extractive"], "topics": ["a", "b"]},
            "options.topics: none is offered without the kind topic",
        ),
        ({"kinds": ["closed_book", "extractive"], "min_confidence": 0.5}, "options.min_confidence: no label is chosen"),
        ({"kinds": ["topic", "topic"]}, "none twice"),
        ({"kinds": ["riddle", "topic"]}, "options.kinds.0"),
    ],
)
def test_contradictions_are_told(options, told):
    with pytest.raises(ParameterError) as caught:
        check(Synthesize, {"method": "udit", "options": options}, "x")
    assert told in str(caught.value)


def test_only_prompts_that_are_asked_count():
    files = WAY.prompt_files(WAY.Options(kinds=["sentiment", "extractive"], rephrase=False))
    assert files == ("udit-templates.txt", "udit-offer.txt", "udit-feelings.txt", "udit-sentiment.txt")


def test_what_the_notebook_shows_can_be_shown(tmp_path):
    writing = made(Model(), tmp_path, "udit", rows=ROWS, options={"tasks_per_document": 8})
    example = WAY.example(writing)
    assert [row["kind"] for row in example.rows] == list(KINDS)
    shown = WAY.evidence(WAY.write(writing))
    assert sum(row["accepted"] for row in shown.rows) == 8
