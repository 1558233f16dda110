"""Prompts and chat frames: text in, framed text out."""

import hashlib

import pytest
import yaml

from isheep_lib.errors import ModelError
from isheep_lib.prompting import chat
from isheep_lib.prompting.chat import FOLDER, Frame, get_frame, render, user_words
from isheep_lib.record.folders import cache_folder
from isheep_lib.record.rows import Task

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
    assert chat.digest("quality-combined.txt") == hashlib.sha256((FOLDER / "quality-combined.txt").read_bytes()).hexdigest()


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
    assert frame == Frame("tokenizer", "[system] Be brief.\n[user] ", "\n[assistant] ", "</s>", " </s>\n[user] ")


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


# Conversations

TURNS = [("One {a}?", "1 {b}"), ("Two?", "2")]
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
DEFAULT_SYSTEM = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou are a default.<|im_end|>\n{% endif %}" + CHATML
)
LLAMA3 = (
    "<|begin_of_text|>{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n{{ m['content'] | trim }}"
    "<|eot_id|>{% endfor %}{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
NO_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}<s>"
    "{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST]{% else %} {{ m['content'] }}</s>"
    "{% endif %}{% endfor %}"
)
THINKING = CHATML.replace("<|im_start|>assistant\n{% endif %}", "<|im_start|>assistant\n<think>\n{% endif %}")
SYSTEM_LAST = (
    "{% set first = messages[0] %}<s>{% for m in messages %}{% if m['role'] == 'user' %}[INST] "
    "{% if loop.last and first['role'] == 'system' %}{{ first['content'] }}\n\n{% endif %}"
    "{{ m['content'] }}[/INST]{% elif m['role'] == 'assistant' %} {{ m['content'] }}</s>{% endif %}{% endfor %}"
)


def templated(template):
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel({"a": 0}, unk_token="a")), eos_token="</s>")
    tokenizer.chat_template = template
    return tokenizer


def by_template(tokenizer, turns, words, system=""):
    messages = [{"role": "system", "content": system}] if system else []
    for asked, answer in turns:
        messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
    messages.append({"role": "user", "content": words})
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)


@pytest.mark.parametrize("name", [*NAMED, "tokenizer"])
def test_a_conversation_without_earlier_turns_is_a_prompt(name):
    frame = get_frame(name, SYSTEM, FakeTokenizer())
    assert frame.conversation([], "Say {this}") == frame.prompt("Say {this}")


@pytest.mark.parametrize("name", [*NAMED, "tokenizer"])
def test_a_conversation_holds_all_turns_in_order_and_the_system_prompt_once_at_most(name):
    frame = get_frame(name, SYSTEM, FakeTokenizer())
    text = frame.conversation(TURNS, "Three?")
    places = [text.index(words) for words in ("One {a}?", "1 {b}", "Two?", "2", "Three?")]
    assert places == sorted(places)
    assert text.startswith(frame.prompt("One {a}?") + "1 {b}")
    assert text.endswith("Three?" + frame.after)
    assert text.count(SYSTEM) == (name not in ("plain", "alpaca"))
    assert "{system}" not in text


@pytest.mark.parametrize(
    ("name", "template", "system"),
    [
        ("chatml", CHATML, "Be brief."),
        ("llama3", LLAMA3, "Be brief."),
        ("tokenizer", CHATML, "Be brief."),
        ("tokenizer", DEFAULT_SYSTEM, "Be brief."),
        ("tokenizer", LLAMA3, "Be brief."),
        ("tokenizer", NO_SYSTEM, ""),
        ("tokenizer", THINKING, "Be brief."),
    ],
)
@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_conversation_is_what_the_chat_template_makes_of_it(name, template, system, number):
    tokenizer = templated(template)
    frame = get_frame(name, system or "not known", tokenizer)
    assert frame.conversation(TURNS[:number], "Last?") == by_template(tokenizer, TURNS[:number], "Last?", system)


def test_a_template_that_puts_the_system_prompt_last_has_it_once_all_the_same():
    text = get_frame("tokenizer", "Be brief.", templated(SYSTEM_LAST)).conversation(TURNS, "Last?")
    assert text == "<s>[INST] Be brief.\n\nOne {a}?[/INST] 1 {b}</s>[INST] Two?[/INST] 2</s>[INST] Last?[/INST]"


def test_frames_without_an_end_of_their_own_keep_the_end_of_text_token_out_of_a_conversation():
    assert get_frame("plain", "", FakeTokenizer()).conversation([("q", "a")], "r") == "q\na\n\nr\n"
    asked = "### Instruction:\n{}\n\n### Response:\n"
    expected = asked.format("q") + "a\n\n" + asked.format("r")
    assert get_frame("alpaca", "", FakeTokenizer()).conversation([("q", "a")], "r") == expected


def test_a_frame_made_by_hand_leads_on_with_its_end_and_its_beginning():
    assert Frame("f", "<", ">", "END").conversation([("q", "a")], "r") == "<q>aEND<r>"


def test_the_embedded_models_own_template_makes_the_same_conversation():
    found = sorted((cache_folder() / "models").glob("smollm2-*/tokenizer_config.json"))
    if not found:
        pytest.skip("the embedded model was not converted yet")
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(found[0].parent)
    expected = by_template(tokenizer, TURNS, "Last?", "Be brief.")
    for name in ("chatml", "tokenizer"):
        assert get_frame(name, "Be brief.", tokenizer).conversation(TURNS, "Last?") == expected
