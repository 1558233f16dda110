"""Synthesis: reading lists of tasks, rules on instructions, deduplication, responses."""

import tempfile
import zlib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from isheep_lib.errors import DataError, YieldError
from isheep_lib.filter.steps.rules import rule_problem
from isheep_lib.iterate.run_params import SynthesizeParams
from isheep_lib.params.old_names import renew
from isheep_lib.prompting.prompt_files import english
from isheep_lib.prompting.special_tokens import literal
from isheep_lib.record.rows import Pair, Task
from isheep_lib.synthesize.candidates import Candidates, funnel_of, shown_tasks
from isheep_lib.synthesize.lists import ListOptions, list_prompt, parse_list
from isheep_lib.synthesize.respond import respond
from isheep_lib.synthesize.rules import Item, instruction_problem
from tests.frames import hand_made
from tests.scripted import Letters, ScriptedEngine
from tests.writings import writing

few = settings(max_examples=50, deadline=None)
lines = st.sampled_from(
    [
        *("7. Instruction: Name a river.", "8. Instruction:", "7. Input: 1. red\n2. blue", "7. Output: Seine", "Input: none"),
        *("7.", "8. plain words", "12. Instruction: skip", "2. Instruction: again", "", "   ", "Instruction:", "7 . INPUT :"),
    ]
)
continuations = st.text() | st.lists(lines | st.text(max_size=20)).map("\n".join)
SEEDS = [
    Task(f"seed-{n}", text) for n, text in enumerate(["Name a large river.", "Add these two sums.", "Write a short poem."])
]
FRAME = hand_made("f", "<", ">", "END")


def tasks(text, finish="end", first=6):
    return [(item.instruction, item.input) for item in parse_list(text, first, finish, english())]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [("", "")]),
        (" Name a river.", [("Name a river.", "")]),
        (" Name a river.\n6. Input: <none>", [("Name a river.", "")]),
        (" Name a river.\n6. Input:", [("Name a river.", "")]),
        (" Add.\n6. Input: 1, 2\n7. Instruction: Sort.\n7. Input: b, a\n", [("Add.", "1, 2"), ("Sort.", "b, a")]),
        (" Add.\nInput: 1, 2\n7. Instruction: Sort.", [("Add.", "1, 2"), ("Sort.", "")]),  # the number is missing
        (" Add.\n 6 . input : 1, 2", [("Add.", "1, 2")]),
        (" Add.\n7. Sort these.\n8. Sing.", [("Add.", ""), ("Sort these.", ""), ("Sing.", "")]),  # labels are missing
        (" Add.\n7. Instruction:Sort.", [("Add.", ""), ("Sort.", "")]),
        (" Add.\n9. Instruction: Sort.\n10. Sing.", [("Add.", ""), ("Sort.", ""), ("Sing.", "")]),  # a wrong number
        (" Add.\n2. Instruction: Sort.\n3. Sing.", [("Add.", ""), ("Sort.", ""), ("Sing.", "")]),
        (" Add.\n9. Sort.", [("Add.\n9. Sort.", "")]),  # unlabelled and not the next number
        (" Sort.\n6. Input: 1. red\n2. blue\n3. green", [("Sort.", "1. red\n2. blue\n3. green")]),
        (" Sort.\n6. Input:\n1. red\n2. blue\n7. Instruction: Sing.", [("Sort.", "1. red\n2. blue"), ("Sing.", "")]),
        (" Add.\n6. Input: 1, 2\n6. Output: 3", [("Add.", "1, 2")]),
        (" Add.\n6. Output: 3\n7. Instruction: Sing.", [("Add.", ""), ("Sing.", "")]),
        (" Add.\nOutput: 3\nInput: 1, 2", [("Add.", "1, 2")]),
        (" Add.\n6. Input: 1\n6. Input: 2", [("Add.", "1")]),  # the first counts
        (" Add.\n7. Input: 1, 2\n8. Instruction: Sing.", [("Add.", "1, 2"), ("Sing.", "")]),  # the input's number is wrong
        (" Add.\n7. Output: 3\n7. Instruction: Sing.", [("Add.", ""), ("Sing.", "")]),
        (" Version 7. Instruction: is inside a line", [("Version 7. Instruction: is inside a line", "")]),
        ("\n7. Instruction: Sing.", [("", ""), ("Sing.", "")]),
    ],
)
def test_a_continued_list_is_cut_into_tasks(text, expected):
    assert tasks(text) == expected


@pytest.mark.parametrize(
    "word", ["<none>", "<None>", "none", "None.", "n/a", "N/A", "<noinput>", "No input", "< no input >", "-", "."]
)
def test_an_input_that_says_none_is_none(word):
    assert tasks(f" Sing.\n6. Input: {word}") == [("Sing.", "")]


@pytest.mark.parametrize("word", ["None of the above", "noon", "42", "no inputs were given", "nano", "0"])
def test_an_input_that_only_begins_like_none_is_kept(word):
    assert tasks(f" Sing.\n6. Input: {word}") == [("Sing.", word)]


@pytest.mark.parametrize(("finish", "cut"), [("length", [False, True]), ("end", [False, False]), ("stop", [False, False])])
def test_only_the_last_task_of_a_text_that_met_the_limit_is_cut(finish, cut):
    assert [item.cut for item in parse_list(" Add.\n7. Instruction: Sort the", 6, finish, english())] == cut


@few
@given(continuations, st.integers(1, 30), st.sampled_from(["end", "stop", "length"]))
@example("\n7. x\u2028 8. y\r7. Input: z", 6, "end")
def test_parsing_a_list_loses_no_text(text, first, finish):
    items = parse_list(text, first, finish, english())
    assert "".join(item.raw for item in items) == f"{first}. Instruction:{text}"
    assert all(item.instruction in item.raw and item.input in item.raw for item in items)
    assert all(item.instruction == item.instruction.strip() for item in items)


def test_a_number_of_thousands_of_digits_does_not_stop_the_parser():
    assert tasks(f" Add.\n{'7' * 5000}. x")[0][0].startswith("Add.")


GOOD = "Name three uses of salt at home."


@pytest.mark.parametrize(
    ("item", "problem"),
    [
        (Item("", GOOD, ""), ""),
        (Item("", GOOD, "salt, bread"), ""),
        (Item("", '"To be or not to be": who wrote this?', ""), ""),
        (Item("", "(Optional) Name three uses of salt.", ""), ""),
        (Item("", "3 apples cost 2 euros, what do 9 cost?", ""), ""),
        (Item("", GOOD, "", cut=True), "cut_off"),
        (Item("", "", "", cut=True), "cut_off"),
        (Item("", "", ""), "empty"),
        (Item("", "Sing a song", ""), "too_short"),
        (Item("", "word " * 151, ""), "too_long"),
        (Item("", "word " * 150, ""), ""),
        (Item("", "- Name three uses of salt.", ""), "starts_oddly"),
        (Item("", "<task> Name uses of salt.", ""), "starts_oddly"),
        (Item("", "¿Dónde está la biblioteca hoy?", ""), "starts_oddly"),
        (Item("", "说出三种盐的用途 a b c d", ""), "starts_oddly"),
        (Item("", f"{GOOD} Output: Cooking.", ""), "stray_label"),
        (Item("", GOOD, "x Instruction : y"), "stray_label"),
        (Item("", f"{GOOD} <noinput>", ""), "stray_label"),
        (Item("", "Describe the image in two sentences.", ""), "forbidden_word"),
        (Item("", "Go to the shop and buy salt.", ""), "forbidden_word"),
        (Item("", GOOD, "see the attached File"), "forbidden_word"),
        (Item("", "Imagine a filed report on mapping and drawing.", ""), ""),
        (Item("", "Summarize the page at https://a.example today.", ""), "url"),
        (Item("", GOOD, "WWW.a.example"), "url"),
        (Item("", "( ( ( ( (", ""), "no_words"),
    ],
)
def test_an_instruction_breaks_this_rule_first_and_without_rules_only_what_is_no_task_is_dropped(item, problem):
    assert instruction_problem(item) == problem
    without = problem if problem in ("cut_off", "empty") else ""
    assert instruction_problem(item, rules=False) == without


@few
@given(st.text(), st.text(), st.booleans(), st.booleans())
def test_the_rules_judge_any_text(instruction, given_input, cut, rules):
    assert isinstance(instruction_problem(Item("", instruction, given_input, cut), rules), str)


LISTED = [Task("a", "Sing loud.", "la\nli"), Task("b", "Add.")]
WITHOUT_EMPTY = ListOptions(demonstrations=2, tasks_per_prompt=12, input_lines="where_given")


def test_the_prompt_numbers_the_demonstrations_and_ends_with_the_next_one():
    text = list_prompt([Task("a", "Sing."), Task("b", "Add.", "1, 2")], ListOptions(tasks_per_prompt=12), english())
    assert text.endswith("1. Instruction: Sing.\n1. Input: <none>\n2. Instruction: Add.\n2. Input: 1, 2\n3. Instruction:")
    assert "12" in text


def test_a_prompt_may_leave_out_the_lines_of_inputs_that_no_task_has():
    text = list_prompt(LISTED, WITHOUT_EMPTY, english())
    assert text.endswith("1. Instruction: Sing loud.\n1. Input: la\nli\n2. Instruction: Add.\n3. Instruction:")
    assert "none" not in text
    assert "12" in text


@pytest.mark.parametrize("options", [ListOptions(), WITHOUT_EMPTY], ids=["always", "where_given"])
def test_the_prompts_own_demonstrations_can_be_read_back(options):
    text = list_prompt(LISTED, options, english()).split("1. Instruction:", 1)[1]
    assert tasks(text, first=1) == [("Sing loud.", "la\nli"), ("Add.", ""), ("", "")]


def test_one_task_a_prompt_ends_at_the_next_number(tmp_path):
    engine = ScriptedEngine([" Explain how bees make honey.", " Describe a calm autumn day."])
    options = {"demonstrations": 2, "tasks_per_prompt": 3, "prompts_per_batch": 2, "input_lines": "where_given"}
    params = SynthesizeParams(instructions=2, min_instructions=1, options=options)
    found = params.chosen.write(writing(engine, tmp_path, params, SEEDS, FRAME))
    assert [row["instruction"] for row in found.accepted] == ["Explain how bees make honey.", "Describe a calm autumn day."]
    assert [request.stop for request in engine.asked] == [("\n4.",)] * 2


def parameters(**values):
    small = {"instructions": 3, "min_instructions": 1, "demonstrations": 2, "tasks_per_prompt": 5, "prompts_per_batch": 1}
    return SynthesizeParams(**renew({**small, "max_batches": 3, **values}, "synthesize").values)


def collect(engine, path, earlier=(), seed_of=len, **values):
    params = parameters(**values)
    return params.chosen.write(writing(engine, path, params, SEEDS, FRAME, earlier=list(earlier), seed_of=seed_of))


def hash_of(name):
    return zlib.crc32(name.encode())


def listed(*instructions):
    return " " + "\n".join(f"{'' if n == 3 else f'{n}. Instruction: '}{t}" for n, t in enumerate(instructions, start=3))


def test_batches_go_on_until_enough_tasks_are_accepted(tmp_path):
    engine = ScriptedEngine(
        [
            listed("Explain how bees make honey.", "Explain how bees make honey now.", "Short."),
            listed("List five quiet board games.", "Translate good morning into French.", "Describe a calm autumn day."),
            "never asked",
        ]
    )
    found = collect(engine, tmp_path)
    assert [row["id"] for row in found.accepted] == ["i1-r0-p000-t0", "i1-r1-p000-t0", "i1-r1-p000-t1"]
    assert [row["reason"] for row in found.dropped] == ["near_duplicate", "too_short", "beyond_target"]
    assert found.dropped[0]["detail"] == "ROUGE-L 0.91 with: Explain how bees make honey."
    assert found.dropped[0]["raw"] == "4. Instruction: Explain how bees make honey now.\n"
    assert found.tokens == 20
    assert len(engine.waiting) == 1
    assert funnel_of(found, found.accepted) == {
        "in": 6,
        "kept": 3,
        "dropped": {"beyond_target": 1, "near_duplicate": 1, "too_short": 1},
    }


def test_seeds_and_tasks_of_earlier_iterations_count_as_duplicates(tmp_path):
    texts = [listed("Name one large river.", "Explain how bees make honey.", "Describe a calm autumn day.")]
    found = collect(ScriptedEngine(texts), tmp_path, [Task("i1-a", "explain how bees make honey")], instructions=1)
    assert [row["instruction"] for row in found.accepted] == ["Describe a calm autumn day."]
    assert [row["detail"].split(": ")[1] for row in found.dropped] == ["Name a large river.", "explain how bees make honey"]


def test_every_prompt_has_its_own_seed_demonstrations_and_stop(tmp_path):
    engine = ScriptedEngine([listed("Explain how bees make honey."), listed("Describe a calm autumn day.")])
    asked_for = []
    collect(engine, tmp_path, seed_of=lambda id_: asked_for.append(id_) or len(asked_for), prompts_per_batch=2, max_batches=1)
    assert len(set(asked_for)) == len(asked_for) == 4
    first, second = engine.asked
    assert (first.id, second.id) == ("i1-r0-p000", "i1-r0-p001")
    assert first.seed != second.seed
    assert first.stop == ("\n6.",)
    assert first.prompt.endswith("3. Instruction:")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, ("\n6.",)),
        ({"tasks_per_prompt": 16}, ("\n17.",)),
        ({"instruction_stops": ["\n16", "16.", "16 ."]}, ("\n16", "16.", "16 .")),
    ],
)
def test_stop_texts_that_are_given_replace_the_next_number(tmp_path, values, expected):
    engine = ScriptedEngine([listed("Explain how bees make honey.")])
    collect(engine, tmp_path, max_batches=1, **values)
    assert [request.stop for request in engine.asked] == [expected]


def test_without_rules_a_list_loses_only_what_is_cut_empty_or_a_duplicate(tmp_path):
    texts = listed("Sing!", "", "- see the picture at www.a.example", "Name a large river", "Sing on and")
    engine = ScriptedEngine([texts], finish="length")
    found = collect(engine, tmp_path, instructions=9, max_batches=1, instruction_rules=False)
    assert [row["instruction"] for row in found.accepted] == ["Sing!", "- see the picture at www.a.example"]
    assert [row["reason"] for row in found.dropped] == ["empty", "near_duplicate", "cut_off"]


def rouge(one, other):
    """Compute 2 LCS / (m + n) by the definition, of words without punctuation."""
    a, b = ([word.strip(".").lower() for word in text.split()] for text in (one, other))
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            table[i + 1][j + 1] = table[i][j] + 1 if x == y else max(table[i][j + 1], table[i + 1][j])
    return 2 * table[-1][-1] / (len(a) + len(b))


def read_plainly(batches, earlier, scope, limit, wanted):
    """Accept and drop one instruction after the other: (text, "" or the reason)."""
    seeds, accepted, verdicts = [task.instruction for task in SEEDS], [], []
    for batch in batches:
        if len(accepted) >= wanted:
            break
        own = []
        for text in (text for prompt in batch for text in prompt):
            known = seeds + {"batch": own, "round": accepted, "run": earlier + accepted}[scope]
            near = any(rouge(text, one) > limit for one in known)
            verdicts.append((text, "near_duplicate" if near else "beyond_target" if len(accepted) >= wanted else ""))
            if not verdicts[-1][1]:
                own.append(text)
                accepted.append(text)
    return verdicts


vocabulary = st.sampled_from(["bees", "cats", "make", "old", "honey", "large", "river", "name"])
instructions = st.lists(vocabulary, min_size=4, max_size=6).map(lambda found: " ".join(found) + ".")
prompts_texts = st.lists(instructions, min_size=1, max_size=4)
batches_texts = st.integers(1, 3).flatmap(
    lambda n: st.lists(st.lists(prompts_texts, min_size=n, max_size=n), min_size=1, max_size=3)
)


@few
@given(batches_texts, st.lists(instructions, max_size=3), st.sampled_from(["batch", "round", "run"]), st.integers(1, 9))
def test_a_scope_of_deduplication_is_that_of_a_plain_loop(batches, earlier, scope, wanted):
    expected = read_plainly(batches, earlier, scope, 0.72, wanted)
    assume(any(not reason for _, reason in expected))
    engine = ScriptedEngine([listed(*texts) for batch in batches for texts in batch])
    values = {"prompts_per_batch": len(batches[0]), "max_batches": len(batches), "max_rouge": 0.72}
    tasks = [Task(f"i1-{n}", text) for n, text in enumerate(earlier)]
    with tempfile.TemporaryDirectory() as folder:
        found = collect(engine, Path(folder), tasks, dedup_scope=scope, instructions=wanted, **values)
    assert [row["instruction"] for row in found.accepted] == [text for text, reason in expected if not reason]
    lost = [(row["instruction"], row["reason"]) for row in found.dropped]
    assert lost == [(text, reason) for text, reason in expected if reason]


BEES, CALM, GAMES = "Explain how bees make honey.", "Describe a calm autumn day.", "List five quiet board games."


@pytest.mark.parametrize(
    ("scope", "accepted"),
    [
        ("batch", [BEES, CALM, BEES, GAMES]),
        ("round", [BEES, CALM, GAMES]),
        ("run", [BEES, GAMES]),
    ],
)
def test_a_task_may_come_again_in_another_batch_or_iteration_as_the_scope_says(tmp_path, scope, accepted):
    engine = ScriptedEngine([listed(BEES, CALM, "Name a large river."), listed(BEES, GAMES, GAMES)])
    found = collect(engine, tmp_path, [Task("i1-a", CALM)], dedup_scope=scope, instructions=9, max_batches=2)
    assert [row["instruction"] for row in found.accepted] == accepted
    assert len(found.accepted) + len(found.dropped) == 6


def test_generated_demonstrations_come_from_earlier_iterations_and_earlier_batches_only(tmp_path):
    said = [
        [f"{verb} {number} {thing} today." for verb, thing in (("Paint", "doors"), ("Sell", "shoes"))] for number in range(6)
    ]
    engine = ScriptedEngine([listed(*texts) for texts in said])
    earlier = [Task("i0-a", CALM, "in May"), Task("i0-b", GAMES)]
    values = {"demonstrations": 2, "generated_demonstrations": 1, "prompts_per_batch": 2, "max_rouge": 1.0}
    found = collect(engine, tmp_path, earlier, hash_of, instructions=99, **values)
    assert len(found.accepted) == 12
    batch_of = {task.id: -1 for task in earlier} | {row["id"]: int(row["id"].split("-")[1][1:]) for row in found.accepted}
    texts = {task.id: task.instruction for task in [*SEEDS, *earlier]}
    texts |= {row["id"]: row["instruction"] for row in found.accepted}
    prompts = {request.id: request.prompt for request in engine.asked}
    used = set()
    for row in found.accepted:
        generated = [id_ for id_ in row["demonstrations"] if id_ in batch_of]
        assert len(row["demonstrations"]) == 2
        assert len(generated) == 1
        assert batch_of[generated[0]] < batch_of[row["id"]]
        assert all(texts[id_] in prompts[row["id"].rsplit("-", 1)[0]] for id_ in row["demonstrations"])
        used.add(batch_of[generated[0]])
    assert -1 in used
    assert used & {0, 1}
    assert any("Input: in May" in prompt for prompt in prompts.values())


def test_the_first_batch_of_a_run_shows_seeds_alone(tmp_path):
    engine = ScriptedEngine([listed(BEES), listed(CALM)])
    found = collect(engine, tmp_path, generated_demonstrations=1, instructions=2)
    first, second = (row["demonstrations"] for row in found.accepted)
    assert {id_[:4] for id_ in first} == {"seed"}
    assert sorted(id_[:4] for id_ in second) == ["i1-r", "seed"]


def wrote(id_, *shown):
    return {"id": id_, "instruction": f"Task {id_}.", "input": "", "demonstrations": list(shown)}


def test_a_shown_task_counts_the_tasks_that_followed_it_whether_accepted_or_dropped():
    found = Candidates([wrote("a", "seed-0", "seed-2")], [wrote("b", "seed-0", "seed-2"), wrote("c", "seed-2", "seed-0")])
    found.dropped.append(wrote("d", "seed-0"))
    known = [Task("seed-0", "Add.", "1, 2", "3"), *SEEDS[1:]]
    assert shown_tasks(found, known) == [
        {"id": "seed-0", "instruction": "Add.", "input": "1, 2", "output": "3", "shown": 4},
        {"id": "seed-2", "instruction": SEEDS[2].instruction, "input": "", "output": "", "shown": 3},
    ]


def test_tasks_of_earlier_iterations_and_of_earlier_batches_are_listed_behind_the_seeds_once_shown():
    found = Candidates([wrote("i2-a", "i1-x", "seed-1"), wrote("i2-b", "i2-a", "seed-1")], [wrote("i2-c", "i1-x")])
    shown = shown_tasks(found, [*SEEDS, Task("i1-x", CALM), Task("i1-y", GAMES)])
    assert [(row["id"], row["shown"]) for row in shown] == [("seed-1", 2), ("i1-x", 2), ("i2-a", 1)]
    assert [row["instruction"] for row in shown] == [SEEDS[1].instruction, CALM, "Task i2-a."]


def test_every_task_of_a_collection_counts_for_the_tasks_in_its_prompt(tmp_path):
    engine = ScriptedEngine([listed(BEES, "Hum."), listed(CALM), listed(GAMES, GAMES, BEES), listed("Sing.")])
    values = {"generated_demonstrations": 1, "prompts_per_batch": 2, "max_batches": 2, "instructions": 9}
    found = collect(engine, tmp_path, [Task("i0-a", "Spell a long word.")], hash_of, **values)
    shown = shown_tasks(found, [*SEEDS, Task("i0-a", "Spell a long word.")])
    written = [*found.accepted, *found.dropped]
    assert sum(row["shown"] for row in shown) == 2 * len(written) == 14
    assert {row["id"]: row["shown"] for row in shown} == Counter(id_ for row in written for id_ in row["demonstrations"])
    prompts = "".join(request.prompt for request in engine.asked)
    assert all(row["instruction"] in prompts for row in shown)


def test_prompts_that_showed_nothing_list_nothing():
    assert shown_tasks(Candidates(), SEEDS) == []


def test_too_few_tasks_stop_the_stage_with_reasons_and_advice(tmp_path):
    with pytest.raises(YieldError) as caught:
        collect(ScriptedEngine([listed("Sing now.", "Hum.")] * 2), tmp_path, max_batches=2, min_instructions=2)
    message = str(caught.value)
    assert "Only 0" in message
    assert "2 are needed" in message
    assert "too_short" in message
    assert "'Sing now.'" in message
    assert "max_batches" in message


def test_a_resumed_collection_asks_only_for_what_is_missing(tmp_path):
    first, second = listed("Explain how bees make honey."), listed("Describe a calm autumn day.")
    whole = collect(ScriptedEngine([first, second]), tmp_path, max_batches=2)
    (tmp_path / "again").mkdir()
    stopped = ScriptedEngine([first])  # ends with the second prompt
    with pytest.raises(IndexError):
        collect(stopped, tmp_path / "again", max_batches=2)
    resumed = ScriptedEngine([second])
    assert collect(resumed, tmp_path / "again", max_batches=2) == whole
    assert [request.id for request in resumed.asked] == ["i1-r1-p000"]


def test_responses_are_asked_in_the_models_frame_and_trimmed(tmp_path):
    rows = [{"id": "a", "instruction": "Add.", "input": "1, 2"}, {"id": "b", "instruction": "Sing.", "input": ""}]
    engine = ScriptedEngine(["  3 \n", "La"], finish="length")
    made = writing(engine, tmp_path, parameters(), SEEDS, FRAME)
    with made.open_journal("responses") as journal:
        answered = respond(made, rows, journal)
    assert answered == [
        {**rows[0], "output": "3", "finish": "length", "num_tokens": 10},
        {**rows[1], "output": "La", "finish": "length", "num_tokens": 10},
    ]
    assert [(r.prompt, r.stop) for r in engine.asked] == [("<Add.\n\n1, 2>", ("END",)), ("<Sing.>", ("END",))]


class Narrow(ScriptedEngine):
    """Has a context of letters."""

    tokenizer = Letters()

    def __init__(self, answers, context):
        super().__init__(answers)
        self.context = context


def test_all_seeds_that_could_make_a_prompt_too_long_are_named_before_anything_is_asked(tmp_path):
    short = [Task(f"seed-{n}", f"Name {n} rivers.") for n in range(4)]
    seeds = [*short, Task("seed-8", "Sort these words. " + "word " * 90), Task("seed-9", "Add these numbers.", "1, " * 150)]
    params = parameters(instruction_tokens=50)
    longest = len(list_prompt(short[:2], params.options, english()))
    engine = Narrow(["never asked"], longest + 50 + 20)
    with pytest.raises(DataError) as caught:
        params.chosen.write(writing(engine, tmp_path, params, seeds, FRAME))
    assert caught.value.what == "2 seed task(s) are too long:\n  seed-9: 470 tokens\n  seed-8: 468 tokens"
    assert str(engine.context) in caught.value.allowed
    assert "any 2 of the others" in caught.value.do
    assert engine.asked == []
    fitting = Narrow([listed("Explain how bees make honey.")] * 3, longest + 50 + 20)
    assert params.chosen.write(writing(fitting, tmp_path, params, short, FRAME)).accepted


def test_a_task_that_leaves_no_room_for_its_response_is_dropped_with_its_length(tmp_path):
    engine = Narrow([listed("Explain how bees make honey.", "Describe a calm autumn day " + "and night " * 12 + ".")], 10**6)
    found = collect(engine, tmp_path, max_batches=1, response_tokens=10**6 - 100)
    assert [row["instruction"] for row in found.accepted] == ["Explain how bees make honey."]
    assert [row["reason"] for row in found.dropped] == ["beyond_context"]
    assert "and 999900 more, the model's context is 1000000" in found.dropped[0]["detail"]


SPEAKING = replace(FRAME, words=("</s>", "<|im_end|>"))


def test_words_that_are_special_tokens_are_marked_in_lists_and_dropped_in_tasks(tmp_path):
    seeds = [Task("seed-0", "What does </s> mean?"), Task("seed-1", "Name two rivers.")]
    params = parameters(max_batches=1)
    engine = ScriptedEngine([listed("Explain how bees make honey.", "Say what </s> does in a web page.")])
    found = params.chosen.write(writing(engine, tmp_path, params, seeds, SPEAKING))
    assert literal("What does </s> mean?", ["</s>"]) in engine.asked[0].prompt
    assert [row["instruction"] for row in found.accepted] == ["Explain how bees make honey."]
    assert [(row["reason"], row["instruction"]) for row in found.dropped] == [
        ("special_token", "Say what </s> does in a web page.")
    ]


def test_a_response_with_a_word_that_is_a_special_token_names_it_in_its_row(tmp_path):
    rows = [{"id": name, "instruction": "Sing.", "input": ""} for name in "ab"]
    made = writing(ScriptedEngine(["one </s> two", "La"]), tmp_path, parameters(), SEEDS, SPEAKING)
    with made.open_journal("responses") as journal:
        one, other = respond(made, rows, journal)
    assert one["special_tokens"] == ["</s>"] and "special_tokens" not in other
    assert rule_problem(Pair.from_row(one), 1.0)[0] == "special_token"
    assert rule_problem(Pair.from_row(other), 1.0)[0] == ""
