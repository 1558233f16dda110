"""Prompts and chat frames: text in, framed text out."""

import hashlib

import pytest
import yaml

from isheep_lib import prompts
from isheep_lib.errors import ModelError
from isheep_lib.prompts import FOLDER, Frame, get_frame, render, user_words
from isheep_lib.records import Task

SYSTEM = "You are {careful} & brief."
NAMED = list(yaml.safe_load((FOLDER / "frames.yaml").read_text()))


class FakeTokenizer:
    """Renders chats like "[system] s [user] u [assistant] a </s>"."""

    eos_token = "</s>"

    def __init__(self, template="yes", end=" </s>\n"):
        self.chat_template, self.end = template, end

    def apply_chat_template(self, messages, tokenize, add_generation_prompt):
        assert tokenize is False
        text = "".join(f"[{m['role']}] {m['content']}" + (self.end if m["role"] == "assistant" else "\n") for m in messages)
        return text + ("[assistant] " if add_generation_prompt else "")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("synthesize.txt", {"count": "12", "tasks": "1. Instruction: Sing {loudly} {0} {{x}}."}),
        ("quality-combined.txt", {"task": "Print {name} and {}.", "response": "{'a': 1}"}),
        ("following-combined.txt", {"task": "One.\n\nTwo.", "response": ""}),
    ],
)
def test_a_prompt_holds_the_given_words_unchanged(name, values):
    text = render(name, **values)
    assert all(value in text for value in values.values())
    assert not text.endswith("\n")


@pytest.mark.parametrize(
    "values", [{}, {"task": "t"}, {"response": "r"}, {"task": "t", "response": "r", "more": "m"}, {"task": "t", "reponse": "r"}]
)
def test_missing_and_unused_variables_are_refused(values):
    with pytest.raises(ValueError, match=r"quality-combined.txt wants \['response', 'task'\]"):
        render("quality-combined.txt", **values)


def test_the_judges_ask_for_the_format_that_is_parsed():
    for name in ("quality-combined.txt", "following-combined.txt"):
        assert "<score>||<explanation>" in render(name, task="t", response="r")


def test_the_list_prompt_ends_where_the_model_goes_on():
    assert render("synthesize.txt", count="3", tasks="1. Instruction:").endswith("1. Instruction:")


def test_a_prompts_digest_is_that_of_its_file():
    assert prompts.digest("quality-combined.txt") == hashlib.sha256((FOLDER / "quality-combined.txt").read_bytes()).hexdigest()


def test_users_say_the_input_after_the_instruction():
    assert user_words(Task("a", "Add.", "1, 2")) == "Add.\n\n1, 2"
    assert user_words(Task("a", "Sing.")) == "Sing."


@pytest.mark.parametrize("name", NAMED)
def test_every_frame_puts_words_into_the_middle_and_has_an_end(name):
    frame = get_frame(name, SYSTEM, FakeTokenizer())
    words = "Say {this} <|now|>"
    framed = frame.prompt(words)
    assert framed == f"{frame.before}{words}{frame.after}"
    assert frame.name == name
    assert frame.end
    assert "{system}" not in framed


@pytest.mark.parametrize("name", ["chatml", "llama3"])
def test_frames_with_a_system_line_hold_it_as_it_is(name):
    assert SYSTEM in get_frame(name, SYSTEM, FakeTokenizer()).before


def test_chatml_is_what_the_small_model_was_tuned_on():
    frame = get_frame("chatml", "S", FakeTokenizer())
    assert frame.prompt("U") == "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n"
    assert frame.end == "<|im_end|>"


@pytest.mark.parametrize("name", ["plain", "alpaca"])
def test_a_frame_without_an_end_takes_the_tokenizers(name):
    assert get_frame(name, "", FakeTokenizer()).end == "</s>"


def test_a_frame_is_read_off_a_chat_template():
    frame = get_frame("tokenizer", "Be brief.", FakeTokenizer())
    assert frame == Frame("tokenizer", "[system] Be brief.\n[user] ", "\n[assistant] ", "</s>")


def test_a_template_without_an_end_takes_the_end_of_text_token():
    assert get_frame("tokenizer", "", FakeTokenizer(end="\n")).end == "</s>"


@pytest.mark.parametrize("template", [None, ""])
def test_a_tokenizer_without_a_template_is_refused_with_the_frames_to_choose_from(template):
    with pytest.raises(ModelError) as caught:
        get_frame("tokenizer", "", FakeTokenizer(template))
    message = str(caught.value)
    assert "no chat template" in message
    assert "base_frame or aligned_frame" in message
    assert all(name in message for name in NAMED)
    assert "choose one of these" in message
