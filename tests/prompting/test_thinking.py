"""Thinking aloud is no answer."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isheep_lib.prompting.thinking import answer_part

few = settings(max_examples=50, deadline=None)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("8||good", "8||good"),
        ("", ""),
        ("<think>3 or 4?</think>8", "8"),
        ("3 or 4?</think>8", "8"),  # the prompt opened the thinking
        ("<think>a</think>b<think>c</think>d", "d"),
        ("<think>a</think>\n\nb", "\n\nb"),
        ("<think>3 or 4?", ""),
        ("8. <think>or 9?", ""),
        ("<think>a</think>b<think>c", ""),
        ("8<think>sure</think>", ""),
        ("<THINK>a</THINK>b", "b"),
        ("<thinking>a</thinking>b", "b"),
        ("[THINK]a[/THINK]b", "b"),
        ('head, tail = text.split("</think>")', 'head, tail = text.split("</think>")'),
        ("The mark `<think>` opens it.", "The mark `<think>` opens it."),
        ("<think>`</think>` ends it</think>b", "b"),
        ("if a <thinker> b", "if a <thinker> b"),
    ],
)
def test_an_answer_is_what_follows_the_last_thinking(text, answer):
    assert answer_part(text) == answer


@pytest.mark.parametrize("prompt", ["Q\n<think>\n", "Q<think>", "Q [THINK]"])
def test_thinking_that_the_prompt_opened_and_nobody_closed_is_no_answer(prompt):
    assert answer_part("Perhaps 3", prompt) == ""
    assert answer_part("Perhaps 3</think>8", prompt) == "8"


@few
@given(st.text(), st.text(), st.text(st.characters(exclude_characters="<[\"'`")))
def test_what_was_thought_changes_nothing(first, second, answer):
    assert answer_part(f"<think>{first}</think>{answer}") == answer_part(f"<think>{second}</think>{answer}") == answer
