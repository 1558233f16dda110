"""LaMini-LM: topics are named, checked and spread over prompts, and lists of instructions are asked for."""

import re
import zlib

import pytest

from isheep_lib.engines.protocol import Completion
from isheep_lib.errors import DataError, ParameterError, YieldError
from isheep_lib.params.check import check
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.candidates import Candidates
from isheep_lib.synthesize.extras.asking import read_entries
from isheep_lib.synthesize.extras.own import figure_of
from isheep_lib.synthesize.methods.in_context.lamini import LaMini
from isheep_lib.synthesize.methods.in_context.topics import ROUNDS, brainstorm, load_topics, read_topic, topic_problem
from isheep_lib.synthesize.params import Synthesize
from isheep_lib.synthesize.rules import Item
from tests.scripted import Letters, ScriptedEngine
from tests.writings import writing

SEEDS = [Task(f"seed-{n}", f"Describe plain thing number {n} to a child.") for n in range(3)] + [
    Task("seed-3", "Add these sums.", "2 and\n3")
]
NAMES = ("Astronomy", "Folk music", "Rivers", "Tea", "Chess", "Old maps")


def answer(request):
    if "topics that people read" in request.prompt:
        return "\n".join(f"{n}. {name}" for n, name in enumerate(NAMES, start=1))
    return f"1. Tell the story of {request.id}, in plain words.\n2. Explain {request.id} again and again.\n3. Sum"


def made(engine, folder, seeds=SEEDS, **values):
    options = {"prompts_per_batch": 4, "max_batches": 2, "topics": 4, **values.pop("options", {})}
    given = {"method": "lamini", "min_instructions": 1, "instructions": 99, "max_rouge": 0.95, "options": options}
    return writing(engine, folder, Synthesize(**given | values), seeds, seed_of=lambda name: zlib.crc32(name.encode()))


def topics_of(prompt):
    found = re.search(r"are about these topics: (.*?)\.>", prompt)
    return found.group(1).split(", ") if found else []


@pytest.mark.parametrize(
    ("text", "topic"),
    [
        ("Astronomy", "Astronomy"),
        (" **Folk music** ", "Folk music"),
        ("Chess: an old game", "Chess"),
        ("Tea - how it is made", "Tea"),
        ("Jean-Paul Sartre", "Jean-Paul Sartre"),
        ("Maps (old ones)", "Maps"),
    ],
)
def test_a_topic_is_read_without_its_explanation(text, topic):
    assert read_topic(text) == topic


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Astronomy", ""),
        ("Folk music", ""),
        ("天文学", ""),
        ("The history of tea", "more than 2 words"),
        ("astronomy", "no capital first"),
        ("Chess!", "punctuation last"),
        ("CHESS", "named before"),
        ("42", "no word"),
        ("Tv", "no word"),
        ("", "no word"),
    ],
)
def test_a_topic_is_dropped_for_this_reason(text, reason):
    assert topic_problem(Item(text, text, ""), {"chess"}) == reason


def test_the_topic_that_the_token_limit_ended_is_dropped():
    (item,) = read_entries(Completion("x", "1. Astro", "length", 3))
    assert topic_problem(item, set()) == "cut off"


def test_topics_are_asked_for_until_there_are_enough_and_each_is_named_once(tmp_path):
    engine = ScriptedEngine(["1. Tea\n2. Chess\n3. tea and chess", "1. Chess\n2. Rivers", "1. Folk music\n2. Maps", "Ponds"])
    found = brainstorm(made(engine, tmp_path), 5)
    assert found.names == ["Tea", "Chess", "Rivers", "Folk music", "Maps"]
    assert dict(found.dropped) == {"more than 2 words": 1, "named before": 1, "beyond those wanted": 1}
    assert (len(engine.asked), found.tokens) == (4, 40)
    assert "Leave out: none." in engine.asked[0].prompt


def test_rounds_have_an_end(tmp_path):
    engine = ScriptedEngine(lambda request: f"1. Tea\n2. Tea {chr(ord('A') + int(request.id[8]))}")
    found = brainstorm(made(engine, tmp_path), 50)
    assert found.names == ["Tea", *(f"Tea {letter}" for letter in "ABCDEFGH")]
    assert len(engine.asked) == 4 * ROUNDS


def test_known_topics_are_left_out_of_later_rounds_and_a_round_that_brings_none_is_the_last(tmp_path):
    engine = ScriptedEngine(lambda _: "1. Tea\n2. Chess")
    found = brainstorm(made(engine, tmp_path), 5)
    assert found.names == ["Tea", "Chess"]
    assert len(engine.asked) == 4 * 2
    assert {"Leave out: Tea, Chess." in r.prompt or "Leave out: Chess, Tea." in r.prompt for r in engine.asked[4:]} == {True}


@pytest.mark.parametrize("guided", ["both", "topics", "examples"])
def test_prompts_name_topics_as_guided_says_and_rows_say_which(tmp_path, guided):
    engine = ScriptedEngine(answer)
    found = LaMini().write(made(engine, tmp_path, options={"guided": guided, "prompts_per_batch": 20, "max_batches": 1}))
    asked = {request.id: request for request in engine.asked if not request.id.startswith("topics")}
    named = [bool(topics_of(request.prompt)) for request in asked.values()]
    assert {"both": 0 < sum(named) < 20, "topics": all(named), "examples": not any(named)}[guided]
    for row in (*found.accepted, *found.dropped):
        assert row.get("topics", []) == topics_of(asked[row["id"].rpartition("-")[0]].prompt)
        assert len(row["demonstrations"]) == 3
    assert all(len(row.get("topics", [1, 2, 3])) == 3 for row in found.accepted)
    assert all(request.stop == ("END", "\n24.") for request in asked.values())
    assert any(request.id.startswith("topics") for request in engine.asked) == (guided != "examples")


def test_every_item_of_a_list_is_accepted_or_dropped(tmp_path):
    found = LaMini().write(made(ScriptedEngine(answer), tmp_path, options={"guided": "examples"}))
    assert (len(found.accepted), len(found.dropped)) == (16, 8)
    assert {row["reason"] for row in found.dropped} == {"too_short"}


def test_examples_begin_the_list_that_the_model_goes_on_with(tmp_path):
    said = lambda _: " Tell a story about a fox.\n5. Explain why bread rises in the oven."  # noqa: E731
    engine = ScriptedEngine(said)
    found = LaMini().write(
        made(engine, tmp_path, options={"guided": "examples", "prompts_per_batch": 1, "max_batches": 1}, max_rouge=1.0)
    )
    assert engine.asked[0].prompt.endswith("\n4.")
    assert [row["instruction"] for row in found.accepted] == [
        "Tell a story about a fox.",
        "Explain why bread rises in the oven.",
    ]


def test_examples_show_the_input_with_the_instruction_in_one_line(tmp_path):
    engine = ScriptedEngine(answer)
    LaMini().write(made(engine, tmp_path, options={"guided": "examples", "demonstrations": 4}))
    assert re.search(r"^\d\. Add these sums\. 2 and 3$", engine.asked[0].prompt, re.MULTILINE)


def test_topics_of_ones_own_are_taken_and_none_are_asked_for(tmp_path):
    path = tmp_path / "topics.txt"
    path.write_text("Clouds\n\nOwls\n the sea at night \n")
    engine = ScriptedEngine(answer)
    found = LaMini().write(
        made(engine, tmp_path, options={"guided": "topics", "topic_list": str(path), "topics": 100, "topics_per_prompt": 2})
    )
    assert {name for row in found.accepted for name in row["topics"]} == {"Clouds", "Owls", "the sea at night"}
    assert not any(request.id.startswith("topics") for request in engine.asked)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.txt", "Tea\nChess\ntea\n", "Topics that come twice: tea"),
        ("t.txt", "\n \n", "There is no topic"),
        ("t.jsonl", '{"topic": "Tea"}\n{"name": "Chess"}\n', r"1 row\(s\) have no topic: .*t.jsonl:2"),
        ("t.jsonl", '{"topic": 3}\n', r"1 row\(s\) have no topic"),
    ],
)
def test_topics_that_are_none_are_refused_at_the_plan(tmp_path, name, content, said):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=said):
        Synthesize(method="lamini", options={"topic_list": str(tmp_path / name)}).data_digests()


def test_topics_are_read_from_rows_as_from_lines(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"topic": "Tea"}\n{"topic": " Chess "}\n')
    (tmp_path / "t.txt").write_text("Tea\nChess\n")
    assert load_topics(str(tmp_path / "t.jsonl"), "x") == load_topics(str(tmp_path / "t.txt"), "x") == ["Tea", "Chess"]


def test_an_absent_list_of_topics_is_refused_at_the_plan(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        Synthesize(method="lamini", options={"topic_list": str(tmp_path / "none.txt")}).data_digests()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"guided": "examples", "topics": 5}, "options.topics: no prompt names topics"),
        ({"guided": "examples", "topic_list": "a.txt"}, "options.topic_list: no prompt names topics"),
        ({"topic_list": "a.txt", "topics": 5}, "options.topics: those of topic_list are all taken"),
        ({"topics": 2}, "options.topics: must be at least topics_per_prompt"),
        ({"guided": "half"}, "options.guided: "),
    ],
)
def test_options_that_contradict_one_another_are_refused(options, said):
    with pytest.raises(ParameterError, match=said):
        check(Synthesize, {"method": "lamini", "options": options}, "x")


def test_a_model_that_names_no_topics_stops_the_stage_with_reasons(tmp_path):
    engine = ScriptedEngine(lambda _: "I do not know any topics")
    with pytest.raises(
        YieldError, match=r"(?s)The model named 0 topics, 3 are needed; dropped: 32 more than 2 words.*topic_list"
    ):
        LaMini().write(made(engine, tmp_path))


def test_a_killed_stage_asks_only_for_the_rest(tmp_path):
    first = ScriptedEngine(answer)
    whole = LaMini().write(made(first, tmp_path / "whole", options={"max_batches": 1}))
    for life in (2, 6):
        said = [answer(request) for request in first.asked[:life]]
        with pytest.raises(IndexError):
            LaMini().write(made(ScriptedEngine(said), tmp_path / str(life), options={"max_batches": 1}))
        rest = ScriptedEngine(answer)
        assert LaMini().write(made(rest, tmp_path / str(life), options={"max_batches": 1})) == whole
        assert len(rest.asked) == 8 - life


def test_the_evidence_tells_prompts_with_topics_from_others_and_how_even_they_are():
    rows = [{"topics": ["Tea", "Chess"]}, {"topics": ["Tea", "Chess"]}, {}]
    lost = [{"topics": ["Owls"], "reason": "too_short"}, {"reason": "url"}]
    found = Candidates(rows, lost)
    shown = LaMini().evidence(found).rows
    assert [(row["accepted"], row["dropped"]) for row in shown] == [(2, "1 too_short"), (1, "1 url")]
    assert (shown[0]["topics"], shown[0]["entropy (bits)"]) == ("2 of 3", 1.0)
    (axis,) = figure_of(LaMini(), found).axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["Chess", "Tea", "Owls"]


def test_the_prompts_that_count_are_those_that_are_filled():
    def files(**options):
        return {
            n.partition("-")[2] for n in Synthesize(method="lamini", options=options).prompt_files() if n.startswith("lamini")
        }

    assert files() == {"examples.txt", "guided.txt", "topics.txt"}
    assert files(guided="examples") == {"examples.txt"}
    assert files(guided="topics", topic_list="a.txt") == {"guided.txt"}


def test_the_example_and_the_preparation_show_topics(tmp_path):
    work = made(ScriptedEngine(answer), tmp_path)
    assert LaMini().prepared(work).rows[0]["topics"] == 4
    shown = LaMini().example(work)
    assert topics_of(shown.prompt) == shown.rows[0]["topics"].split(", ")
    assert [row["rule"] for row in shown.rows] == ["passes the rules"] * 2 + ["too_short"]


def test_seeds_too_long_for_the_context_are_named_before_topics_are_asked_for(tmp_path):
    engine = ScriptedEngine(["never asked"])
    engine.tokenizer, engine.context = Letters(), 900
    long = Task("seed-9", "Sum up this text. " + "word " * 200)
    with pytest.raises(DataError, match=r"(?s)1 seed task\(s\) are too long.*seed-9"):
        LaMini().write(made(engine, tmp_path, seeds=[*SEEDS, long], instruction_tokens=20))
    assert engine.asked == []


def test_published_values_are_the_defaults():
    options = Synthesize(method="lamini").options
    assert (options.demonstrations, options.tasks_per_prompt, options.topics_per_prompt) == (3, 20, 3)


def test_seeds_that_do_not_fill_a_prompt_are_refused_at_the_plan(tmp_path):
    path = tmp_path / "seeds.jsonl"
    path.write_text('{"instruction": "Name a bird of the sea."}\n')
    with pytest.raises(DataError, match=r"1 seed task\(s\) cannot fill a prompt that shows 3"):
        Synthesize(method="lamini", seeds=str(path)).data_digests()
