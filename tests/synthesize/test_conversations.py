"""Conversations as seeds, in all shapes: who says what decides what is the instruction, never the place in the list."""

import json
import warnings

import pyarrow
import pytest
from pyarrow import parquet

from isheep_lib.errors import DataError
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.conversations import FIELDS, read_conversation
from isheep_lib.synthesize.seeds import load_seeds

SYSTEM = "You are a helpful assistant."
ASKED, ANSWERED = "盐有什么用？", "Cooking."
TASK = Task("seed-001", ASKED, "", ANSWERED)
SHAPES = {  # role key, text key, names of system, user, assistant
    "openai": ("role", "content", "system", "user", "assistant"),
    "developer": ("role", "content", "developer", "user", "assistant"),
    "sharegpt": ("from", "value", "system", "human", "gpt"),
    "chatgpt": ("from", "value", "system", "human", "chatgpt"),
    "gemma": ("role", "content", "system", "user", "model"),
    "oasst": ("role", "text", "system", "prompter", "assistant"),
    "speaker": ("speaker", "message", "System", " User ", "Bot"),
}


def turns(shape, *said):
    by, what, *names = SHAPES[shape]
    named = dict(zip(("system", "user", "assistant"), names, strict=True))
    return [{by: named.get(who, who), what: text} for who, text in said]


def load(tmp_path, rows, fields=()):
    path = tmp_path / "s.json"
    path.write_text(json.dumps(rows), encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return load_seeds(str(path), list(fields))


def refusal(tmp_path, rows, fields=()):
    with pytest.raises(DataError) as caught:
        load(tmp_path, rows, fields)
    return str(caught.value)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("field", FIELDS)
def test_the_first_user_turn_is_the_instruction_and_the_system_turn_is_not(tmp_path, shape, field):
    said = [("system", SYSTEM), ("user", f" {ASKED}\n"), ("assistant", ANSWERED), ("user", "More?"), ("assistant", "Ice.")]
    assert load(tmp_path, [{field: turns(shape, *said)}]) == [TASK]
    assert load(tmp_path, [{field: turns(shape, *said[1:3])}]) == [TASK]


def test_conversations_in_a_table_are_read_as_in_json(tmp_path):
    rows = [{"messages": turns("openai", ("system", SYSTEM), ("user", ASKED), ("assistant", ANSWERED))}]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "s.parquet")
    with pytest.warns(UserWarning, match="system turn"):
        assert load_seeds(str(tmp_path / "s.parquet"), []) == [TASK]


def test_what_becomes_of_system_turns_is_said(tmp_path):
    rows = [
        {"messages": turns("openai", ("system", SYSTEM), ("user", "Name a metal."))},
        {"messages": turns("openai", ("user", "Name a tree."))},
    ]
    (tmp_path / "s.json").write_text(json.dumps(rows))
    with pytest.warns(UserWarning, match=r"s\.json: 1 of 2 conversations have a system turn.*model\.system_prompt"):
        load_seeds(str(tmp_path / "s.json"), [])


@pytest.mark.parametrize(
    ("said", "output"),
    [
        ([("user", ASKED)], ""),
        ([("user", ASKED), ("assistant", "")], ""),
        ([("user", ASKED), ("assistant", None)], ""),
        ([("user", ASKED), ("system", "Be brief."), ("assistant", ANSWERED)], ANSWERED),
        ([("system", ""), ("system", SYSTEM), ("user", ASKED), ("assistant", ANSWERED)], ANSWERED),
        ([("user", ASKED), ("assistant", ANSWERED), ("tool", "{}"), ("narrator", 3)], ANSWERED),
        (
            [("user", [{"type": "text", "text": "盐有什么"}, {"type": "text", "text": "用？"}]), ("assistant", ["Cooking."])],
            ANSWERED,
        ),
    ],
)
def test_what_stands_around_the_first_question_and_its_answer_does_no_harm(tmp_path, said, output):
    task = load(tmp_path, [{"messages": turns("openai", *said)}])[0]
    assert (task.instruction.replace("\n", ""), task.output) == (ASKED, output)


@pytest.mark.parametrize(
    ("conversation", "problem"),
    [
        ([], "a conversation must be a list of turns with role and content"),
        ("hello", "a conversation must be a list of turns with role and content"),
        ({"role": "user"}, "a conversation must be a list of turns with role and content"),
        (["hello"], "turn 1 must be an object with role and content, or from and value"),
        ([{"content": "x"}], "turn 1 must be an object with role and content, or from and value"),
        ([{"role": "narrator", "content": "x"}], "turn 1: the role 'narrator' should be one of user, human"),
        ([{"role": 7, "content": "x"}], "turn 1: the role 7 should be one of user, human"),
        ([("system", SYSTEM)], "no user turn, only system turns"),
        ([("assistant", "Hello!"), ("user", ASKED)], "turn 1, the first, is the assistant's; a seed begins with the user's"),
        ([("system", SYSTEM), ("assistant", "Hi"), ("user", ASKED)], "turn 2, the first, is the assistant's"),
        ([("tool", "{}"), ("user", ASKED)], "turn 1, the first, is the tool's"),
        ([("user", " \n"), ("assistant", "x")], "turn 1, the user's, is empty"),
        ([("user", None), ("assistant", "x")], "turn 1, the user's, is empty"),
        ([{"role": "user"}], "turn 1, the user's, is empty"),
        (
            [("user", ASKED), ("user", "and pepper?"), ("assistant", "x")],
            "turn 2 is the user's; a seed has the assistant's answer",
        ),
        ([("user", ASKED), ("tool", "{}"), ("assistant", "x")], "turn 2 is the tool's"),
        ([("user", ASKED), ("function_call", "{}")], "turn 2 is the tool's"),
        (
            [{"role": "user", "content": ASKED}, {"role": "assistant", "content": None, "tool_calls": [{"id": 1}]}],
            "turn 2 calls a tool; a seed's answer is text",
        ),
        ([("user", 3)], "turn 1: what is said must be text or a list of parts of text"),
        ([("user", {"text": "x"})], "turn 1: what is said must be text or a list of parts of text"),
        ([("user", [{"type": "image_url", "image_url": "x"}])], "turn 1 holds a part that is no text ('image_url')"),
        ([("user", [{"type": "text", "text": 3}])], "turn 1 holds a part that is no text ('text')"),
        ([("user", [3])], "turn 1 holds a part that is no text ('int')"),
    ],
)
def test_a_conversation_that_holds_no_seed_says_which_turn_and_why(tmp_path, conversation, problem):
    if isinstance(conversation, list):
        conversation = [turns("openai", turn)[0] if isinstance(turn, tuple) else turn for turn in conversation]
    assert problem in "; ".join(read_conversation(conversation).problems)
    message = refusal(tmp_path, [{"messages": conversation}])
    assert f"s.json:1, item 1: messages: {problem}" in message
    assert "  do: " in message


def test_half_a_character_in_a_turn_is_named(tmp_path):
    message = refusal(tmp_path, [{"messages": turns("openai", ("user", "x\ud800"))}])
    assert "instruction must be valid Unicode" in message


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (["instruction=messages.0.content"], "instruction (messages.0.content) is the system's turn, not the user's"),
        (["instruction=messages.2.content"], "instruction (messages.2.content) is the assistant's turn, not the user's"),
        (
            ["instruction=messages.1.content", "output=messages.1.content"],
            "output (messages.1.content) is the user's turn, not the assistant's",
        ),
    ],
)
def test_a_mapping_to_somebody_elses_turn_is_refused(tmp_path, fields, said):
    message = refusal(
        tmp_path, [{"messages": turns("openai", ("system", SYSTEM), ("user", ASKED), ("assistant", ANSWERED))}], fields
    )
    assert said in message
    assert "without this mapping conversations are read by their roles" in message


def test_a_mapping_may_name_turns_or_a_list_of_them(tmp_path):
    said = turns("sharegpt", ("system", SYSTEM), ("user", ASKED), ("assistant", ANSWERED))
    fields = ["instruction=talk.1.value", "output=talk.2.value"]
    assert load(tmp_path, [{"talk": said}], fields) == [TASK]
    assert load(tmp_path, [{"talk": said}], ["instruction=talk"]) == [TASK]
    assert load(tmp_path, [{"talk": said, "gold": "Ice."}], ["instruction=talk", "output=gold"])[0].output == "Ice."
    assert load(tmp_path, [{"messages": said, "id": "a", "input": "x"}]) == [Task("a", ASKED, "x", ANSWERED)]


def test_a_row_with_an_instruction_keeps_it(tmp_path):
    row = {"instruction": "Name a metal.", "messages": turns("openai", ("user", ASKED))}
    assert load(tmp_path, [row])[0].instruction == "Name a metal."
