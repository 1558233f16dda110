"""Dromedary: topics are read by its rules, questions come from kind and topic, and answers are learned without principles."""

from collections import Counter

import pytest

from isheep_lib.errors import DataError, YieldError
from isheep_lib.prompting.prompt_files import english
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.extras import own
from isheep_lib.synthesize.methods.revision.dromedary import Dromedary, kinds
from isheep_lib.synthesize.params import Synthesize
from isheep_lib.synthesize.revising.topics import read_topics
from tests.scripted import Letters, ScriptedEngine
from tests.writings import writing

SEEDS = [Task(f"seed-{n}", f"Name {n} plain uses of salt.") for n in range(2, 9)]
PRINCIPLE = english().render("dromedary-principles.txt").splitlines()[0]


@pytest.mark.parametrize(
    ("said", "most", "good", "bad"),
    [
        ("1. Tides\n2. Old ships\n", 5, ["Tides", "Old ships"], []),
        ("- Tides\n* Ships\n\n• Wind", 5, ["Tides", "Ships", "Wind"], []),
        ("Tides\ntides\nTIDES", 5, ["Tides"], [("tides", "small_letter"), ("TIDES", "known")]),
        ("1. Tides of the sea\n2. Tides.", 5, [], [("Tides of the sea", "too_long"), ("Tides.", "punctuation")]),
        ("1. 12 men\n2. Ünder water", 5, ["Ünder water"], [("12 men", "small_letter")]),
        ("Tides\nShips", 1, ["Tides"], [("Ships", "beyond_wanted")]),
        ("", 5, [], []),
    ],
)
def test_a_topic_has_three_words_at_most_a_capital_no_full_stop_and_comes_once(said, most, good, bad):
    assert read_topics(said, most) == (good, bad)


def test_a_topic_that_another_kind_has_is_known():
    assert read_topics("Tides", 5, ["tides"]) == ([], [("Tides", "known")])


class Model(ScriptedEngine):
    """Lists topics, asks about the topic that a prompt names, and answers."""

    def __init__(self, topics=None, lives=10**6):
        super().__init__(self.say)
        self.topics, self.lives = topics, lives

    def say(self, request):
        if len(self.asked) > self.lives:
            raise IndexError
        if request.id.startswith(("topics-", "example-topics")):
            return self.topics if self.topics is not None else f"1. Alpha {request.id[-2:]}\n2. Beta {request.id[-2:]}\n3. gone"
        if PRINCIPLE in request.prompt:
            return f"An answer to {request.id}."
        topic = request.prompt.partition("It is about this topic: ")[2].partition(".")[0]
        return f"Explain {topic} with {request.id.replace('-', ' ')} in mind, number {request.seed}."


def made(engine, folder, **values):
    options = {"prompts_per_batch": 6, "max_batches": 2, "topics": 2, "demonstrations": 3, **values.pop("options", {})}
    given = {"method": "dromedary", "min_instructions": 1, "instructions": 12, "max_rouge": 1.0, "options": options}
    numbers = {}
    seed_of = values.pop("seed_of", lambda name: numbers.setdefault(name, len(numbers)))
    return writing(engine, folder, Synthesize(**{**given, **values}), SEEDS, seed_of=seed_of)


def test_a_question_is_of_a_kind_about_a_topic_and_the_row_says_which(tmp_path):
    engine = Model()
    found = Dromedary().write(made(engine, tmp_path))
    assert len(found.accepted) == 12
    prompts = {request.id: request.prompt for request in engine.asked}
    for row in found.accepted:
        prompt = prompts[row["id"].rpartition("-")[0]]
        assert row["kind"] in prompt and row["topic"] in prompt and row["topic"] in row["instruction"]
        assert len(row["demonstrations"]) == 3
        assert all(seed.instruction in prompt for seed in SEEDS if seed.id in row["demonstrations"])
    topics = own.files_of(found)["topics.jsonl"]
    assert Counter(row["reason"] for row in topics) == {"": 40, "small_letter": 20}


def test_answers_are_asked_with_the_principles_and_learned_without_them(tmp_path):
    engine = Model()
    plain = made(engine, tmp_path)
    found = Dromedary().write(plain)
    before = len(engine.asked)
    with plain.open_journal("responses") as journal:
        rows = Dromedary().respond(plain, found.accepted, journal)
    asked = engine.asked[before:]
    assert len(asked) == len(rows) == 12
    assert all(PRINCIPLE in request.prompt for request in asked)
    for row, request in zip(rows, asked, strict=True):
        assert row["instruction"] in request.prompt
        assert row["output"] == f"An answer to {row['id']}."
        assert not any(PRINCIPLE in str(value) for value in row.values())


def test_no_topic_at_all_stops_the_stage_with_reasons_and_examples(tmp_path):
    with pytest.raises(YieldError, match=r"No kind of questions got a topic; dropped: 20 too_long, such as 'The many tides"):
        Dromedary().write(made(Model("The many tides of the sea"), tmp_path))


def test_a_killed_writing_is_resumed_and_asks_only_for_the_rest(tmp_path):
    first = Model()
    whole, number = Dromedary().write(made(first, tmp_path / "whole", seed_of=len)), len(first.asked)
    for life in (0, 5, 20, 25):
        with pytest.raises(IndexError):
            Dromedary().write(made(Model(lives=life), tmp_path / str(life), seed_of=len))
        rest = Model()
        assert Dromedary().write(made(rest, tmp_path / str(life), seed_of=len)) == whole
        assert len(rest.asked) == number - life


def test_a_context_without_room_for_the_principles_is_told_before_anything_is_asked(tmp_path):
    class Narrow(Model):
        tokenizer, context = Letters(), 1500

    engine = Narrow()
    with pytest.raises(DataError, match="The principles leave no room for a question and its answer"):
        Dromedary().write(made(engine, tmp_path))
    assert engine.asked == []


def test_the_twenty_kinds_differ_and_more_answers_than_one_are_refused(tmp_path):
    found = kinds(made(Model(), tmp_path))
    assert len(set(found)) == len(found) == 20
    assert len(english().render("dromedary-principles.txt").splitlines()) == 16
    assert "answers: the method dromedary" in "".join(Synthesize(method="dromedary", answers=2).conflicts())


def test_what_the_notebook_shows_can_be_shown(tmp_path):
    found = Dromedary().write(made(Model(), tmp_path))
    rows = Dromedary().evidence(found).rows
    assert (sum(row["topics"] for row in rows), sum(row["accepted"] for row in rows)) == (40, 12)
    (axis,) = own.figure_of(Dromedary(), found).axes[:1]
    assert sum(bar.get_width() for bar in axis.containers[0]) == 12
    plain = made(Model(), tmp_path / "b")
    steps = {row["step"]: row["text"] for row in Dromedary().example(plain).rows}
    assert PRINCIPLE in steps["asked with"] and PRINCIPLE not in steps["learned as the answer to"]
    assert "16" in repr(Dromedary().prepared(plain)) and "false belief" in repr(Dromedary().given(plain))
