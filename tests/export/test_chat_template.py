"""A frame as a tokenizer's own template: the same text, the same tokens, and whatever stands in the words stays words."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import TemplateError

from isheep_lib.engines.tokens import encode
from isheep_lib.export import chat_template
from isheep_lib.prompting.chat import Frame, get_frame
from tests.prompting.test_chat import (
    CHATML,
    DEFAULT_SYSTEM,
    LLAMA3,
    NAMED,
    NO_SYSTEM,
    SYSTEM_LAST,
    THINKING,
    TURNS,
    by_template,
    templated,
)

SYSTEM = "Be {careful} & 'brief' \\n."
ALL = [*((name, None) for name in NAMED)]
ALL += [("tokenizer", template) for template in (CHATML, DEFAULT_SYSTEM, LLAMA3, NO_SYSTEM, THINKING, SYSTEM_LAST)]
SLOTLESS = [("plain", None), ("alpaca", None), ("tokenizer", NO_SYSTEM)]
few = settings(max_examples=60, deadline=None)
HOSTILE = ["{{ 7 * 7 }}", "{% if x %}", "'}}", "\\n'", "{# c #}", "é\u2028\n\t\x00😀", '"{%- endif -%}"']


def exported(name, template, system):
    """Return a frame and a tokenizer that has it as its template."""
    tokenizer = templated(template)
    frame = get_frame(name, system, tokenizer)
    tokenizer.chat_template = chat_template.write(frame, tokenizer)
    return frame, tokenizer


@pytest.mark.parametrize(("name", "template"), ALL)
@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_template_is_the_frame(name, template, number):
    frame, tokenizer = exported(name, template, SYSTEM)
    assert by_template(tokenizer, TURNS[:number], "Last {{x}}?") == frame.conversation(TURNS[:number], "Last {{x}}?")


@pytest.mark.parametrize(("name", "template"), [pair for pair in ALL if pair not in SLOTLESS])
def test_the_training_s_own_system_prompt_and_none_are_the_same_and_another_takes_its_place(name, template):
    frame, tokenizer = exported(name, template, SYSTEM)
    assert frame.system == SYSTEM
    assert by_template(tokenizer, TURNS, "Last?", SYSTEM) == frame.conversation(TURNS, "Last?")
    other = get_frame(name, "Be long.", templated(template))
    assert by_template(tokenizer, TURNS, "Last?", "Be long.") == other.conversation(TURNS, "Last?")


@pytest.mark.parametrize(("name", "template"), SLOTLESS)
def test_a_frame_without_a_place_for_a_system_prompt_refuses_one(name, template):
    frame, tokenizer = exported(name, template, SYSTEM)
    assert frame.system is None
    with pytest.raises(TemplateError, match="no system"):
        by_template(tokenizer, [], "Hello", SYSTEM)


@pytest.mark.parametrize("name", NAMED)
def test_a_pair_is_the_text_of_its_training_with_what_ends_it(name):
    frame, tokenizer = exported(name, None, SYSTEM)
    pair = [{"role": "user", "content": "One?"}, {"role": "assistant", "content": "1"}]
    assert tokenizer.apply_chat_template(pair, tokenize=False) == f"{frame.prompt('One?')}1{frame.end}"


@pytest.mark.parametrize(("name", "template"), ALL)
def test_an_answer_ends_with_what_was_learned_to_end_it(name, template):
    frame, tokenizer = exported(name, template, SYSTEM)
    pair = [{"role": "user", "content": "One?"}, {"role": "assistant", "content": "1"}]
    assert tokenizer.apply_chat_template(pair, tokenize=False).rstrip().endswith(f"1{frame.end}")


def test_without_a_generation_prompt_no_answer_is_begun():
    frame, tokenizer = exported("chatml", None, "S")
    text = tokenizer.apply_chat_template([{"role": "user", "content": "One?"}], tokenize=False)
    assert text == f"{frame.opener()}One?<|im_end|>"


def test_without_earlier_messages_a_user_s_turn_can_be_opened():
    frame, tokenizer = exported("llama3", None, "S")
    text = tokenizer.apply_chat_template([{"role": "user", "content": ""}], tokenize=False, continue_final_message=True)
    assert text == frame.opener()


@pytest.mark.parametrize("start", ["\n", "  {% if true %}b{% endif %}", " \n\n  {%- if true %}b{% endif %}\n", "{# c #}\n"])
@pytest.mark.parametrize("named", [True, False])
def test_what_stands_before_a_template_does_not_touch_its_white_space(start, named):
    template = start + CHATML.replace(
        "m['content']", "m['content']" if named else "'' if m['role'] == 'system' else m['content']"
    )
    frame, tokenizer = exported("tokenizer", template, SYSTEM)
    assert (frame.system is None) != named
    assert by_template(tokenizer, TURNS, "Last?") == frame.conversation(TURNS, "Last?")


@pytest.mark.parametrize("roles", [["assistant"], ["user", "user"], ["user", "system"], ["system", "assistant"], ["tool"]])
def test_messages_out_of_turn_are_refused(roles):
    _, tokenizer = exported("chatml", None, "S")
    with pytest.raises(TemplateError, match="take turns"):
        tokenizer.apply_chat_template([{"role": role, "content": "x"} for role in roles], tokenize=False)


texts = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=12))


@few
@given(st.sampled_from(ALL), texts, st.lists(st.tuples(texts, texts), max_size=2), texts)
def test_any_system_prompt_and_any_words_come_out_as_they_are(kind, system, turns, words):
    frame, tokenizer = exported(*kind, system)
    assert by_template(tokenizer, turns, words) == frame.conversation(turns, words)


@pytest.mark.parametrize("name", NAMED)
def test_a_template_has_the_tokens_that_a_tokenizer_adds_by_itself(name):
    from tokenizers.processors import TemplateProcessing

    tokenizer = templated(None)
    tokenizer.add_special_tokens({"bos_token": "<s>"})
    opening = TemplateProcessing(single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", tokenizer.bos_token_id)])
    tokenizer.backend_tokenizer.post_processor = opening
    frame = get_frame(name, "S", tokenizer)
    tokenizer.chat_template = chat_template.write(frame, tokenizer)
    asked = [{"role": "user", "content": "a a"}]
    ids = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_dict=False)
    assert ids == encode(tokenizer, frame.prompt("a a"))
    assert ids[0] == tokenizer.bos_token_id
    assert by_template(tokenizer, [], "a a") == f"<s>{frame.prompt('a a')}"


@pytest.mark.parametrize(("end", "known"), [("</s>", True), ("a a", False), ("b", False), ("", False)])
def test_an_end_is_a_token_only_where_one_token_says_just_that(end, known):
    tokenizer = templated(None)
    found = chat_template.end_token(Frame("f", "", end), tokenizer)
    assert found == (tokenizer.eos_token_id if known else None)


def test_a_template_that_writes_the_date_is_exported_with_the_day_of_the_training(monkeypatch):
    dated = "{% if strftime_now is defined %}{{ strftime_now('%d %b %Y') }}|{{ strftime_now(\"%Y\") }}{% endif %}" + CHATML
    tokenizer = templated(dated)
    frame = get_frame("tokenizer", SYSTEM, tokenizer, "2030-01-02")
    tokenizer.chat_template = chat_template.write(frame, tokenizer)
    monkeypatch.setattr("transformers.utils.chat_template_utils.datetime", None)  # the clock
    assert by_template(tokenizer, TURNS, "Last?") == frame.conversation(TURNS, "Last?")
    assert "02 Jan 2030|2030" in by_template(tokenizer, [], "a")
