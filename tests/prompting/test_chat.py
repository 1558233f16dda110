"""Prompts and chat frames: text in, framed text out."""

import pickle

import pytest

from isheep_lib.errors import ModelError
from isheep_lib.prompting.chat import NAMED, get_frame, user_words
from isheep_lib.record.folders import cache_folder
from isheep_lib.record.rows import Task

SYSTEM = "You are {careful} & brief."
# What every frame writes: before the user's words, from them to an answer, at the end of the last answer, and from an
# answer to the next words. Models were trained on these texts.
TURN, HEAD, TAIL = "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>\n\n"
PIECES = {
    "plain": ("", "\n", "</s>", "\n\n"),
    "alpaca": ("### Instruction:\n", "\n\n### Response:\n", "</s>", "\n\n### Instruction:\n"),
    "chatml": (
        "<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n",
        "<|im_end|>\n<|im_start|>assistant\n",
        "<|im_end|>",
        "<|im_end|>\n<|im_start|>user\n",
    ),
    "llama3": (
        f"<|begin_of_text|>{HEAD}system{TAIL}{{system}}{TURN}{HEAD}user{TAIL}",
        f"{TURN}{HEAD}assistant{TAIL}",
        TURN,
        f"{TURN}{HEAD}user{TAIL}",
    ),
}
WORDS = ["Say {this} <|now|>", "", " \n spaced\t\n\n", "{{ messages }}{% raw %}", "<|im_end|>\r\n&amp;<é>"]
BRACKETS = (
    "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}{{ END if m['role'] == 'assistant' else '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)


def templated(template=None):
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel({"a": 0}, unk_token="a")), eos_token="</s>")
    tokenizer.chat_template = template
    return tokenizer


def test_users_say_the_input_after_the_instruction():
    assert user_words(Task("a", "Add.", "1, 2")) == "Add.\n\n1, 2"
    assert user_words(Task("a", "Sing.")) == "Sing."


@pytest.mark.parametrize("system", [SYSTEM, "", "two\nlines "])
@pytest.mark.parametrize("name", NAMED)
def test_every_frame_writes_these_texts_around_any_words(name, system):
    frame = get_frame(name, system, templated())
    before, after, end, between = (piece.replace("{system}", system) for piece in PIECES[name])
    assert (frame.name, frame.end, frame.opener()) == (name, end, before)
    for words in WORDS:
        assert frame.prompt(words) == f"{before}{words}{after}"
        turns = [("One?", words), (words, "2")]
        assert frame.conversation(turns[:1], words) == f"{before}One?{after}{words}{between}{words}{after}"
        expected = f"{before}One?{after}{words}{between}{words}{after}2{between}{words}{after}"
        assert frame.conversation(turns, words) == expected
        pair = [{"role": "user", "content": words}, {"role": "assistant", "content": words}]
        assert frame.render(pair) == f"{frame.prompt(words)}{words}{end}"


def test_a_frame_can_be_sent_to_another_process():
    frame = get_frame("chatml", SYSTEM, templated())
    again = pickle.loads(pickle.dumps(frame))
    assert again == frame
    assert again.prompt("a") == frame.prompt("a")


def test_chatml_is_what_the_small_model_was_tuned_on():
    frame = get_frame("chatml", "S", templated())
    assert frame.prompt("U") == "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n"
    assert frame.end == "<|im_end|>"


@pytest.mark.parametrize("name", ["plain", "alpaca"])
def test_a_frame_without_an_end_takes_the_tokenizers(name):
    assert get_frame(name, "", templated()).end == "</s>"


def test_the_tokenizers_own_template_is_the_frame():
    frame = get_frame("tokenizer", "Be brief.", templated(BRACKETS.replace("END", "' </s>\\n'")))
    assert frame.prompt("Hi") == "[system] Be brief.\n[user] Hi\n[assistant] "
    assert frame.conversation([("One?", "1")], "Hi").endswith("One?\n[assistant] 1 </s>\n[user] Hi\n[assistant] ")
    assert (frame.opener(), frame.end) == ("[system] Be brief.\n[user] ", "</s>")


def test_of_several_templates_the_default_is_the_frame():
    tokenizer = templated({"default": CHATML, "tool_use": "{{ raise_exception('no tools') }}"})
    assert get_frame("tokenizer", "S", tokenizer).prompt("Hi") == get_frame("chatml", "S", tokenizer).prompt("Hi")


def test_a_template_without_an_end_takes_the_end_of_text_token():
    assert get_frame("tokenizer", "", templated(BRACKETS.replace("END", "'\\n'"))).end == "</s>"


@pytest.mark.parametrize("refusal", ["", "{{ raise_exception('no system role') }}"])
def test_a_template_that_drops_or_refuses_a_system_prompt_is_shown_none(refusal):
    template = "{% for m in messages %}{% if m['role'] == 'system' %}" + refusal + "{% else %}({{ m['content'] }}){% endif %}"
    frame = get_frame("tokenizer", SYSTEM, templated(template + "{% endfor %}"))
    assert frame.system is None
    assert SYSTEM not in frame.prompt("Hi")


@pytest.mark.parametrize("template", [None, ""])
def test_a_tokenizer_without_a_template_is_refused_with_the_frames_to_choose_from(template):
    with pytest.raises(ModelError) as caught:
        get_frame("tokenizer", "", templated(template))
    message = str(caught.value)
    assert "no chat template" in message
    assert "base_frame or aligned_frame" in message
    assert all(name in message for name in NAMED)
    assert "choose one of these" in message


# Templates that ask for, refuse or drop what others take

NEEDS_SYSTEM = (
    "{% if messages[0]['role'] != 'system' %}{{ raise_exception('a system message first') }}{% endif %}"
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
NEEDS_AND_DROPS_SYSTEM = NEEDS_SYSTEM.replace(
    "<{{ m['role'] }}>{{ m['content'] }}", "<{{ m['role'] }}>{{ m['content'] if not loop.first }}"
)
FORBIDS_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    + NEEDS_SYSTEM.split("endif %}", 1)[1]
)
ONE_TURN = "{% if messages|length > N %}{{ raise_exception('one turn only') }}{% endif %}Q: {{ messages[-1]['content'] }}\nA:"
BY_PLACE = "[INST] {{ messages[1]['content'] }} [/INST]{% if messages[2] %} {{ messages[2]['content'] }}</s>{% endif %}"
PYTHON_ERROR = "{% if messages|length > 1 %}{{ messages[5]['content'] + 1 }}{% endif %}Q: {{ messages[0]['content'] }}\nA:"
PARTS = (
    "{% for m in messages %}<{{ m['role'] }}>{% for p in m['content'] %}{% if p['type'] == 'text' %}{{ p['text'] }}{% endif %}"
    "{% endfor %}</s>{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.mark.parametrize(
    ("template", "prompt", "system", "dropped"),
    [
        (NEEDS_SYSTEM, "<system>Be brief.</s><user>Hi</s><assistant>", "Be brief.", ""),
        (NEEDS_AND_DROPS_SYSTEM, "<system></s><user>Hi</s><assistant>", "Be brief.", "Be brief."),
        (FORBIDS_SYSTEM, "<user>Hi</s><assistant>", None, "Be brief."),
        (ONE_TURN.replace("N", "1"), "Q: Hi\nA:", None, "Be brief."),
        (ONE_TURN.replace("N", "2"), "Q: Hi\nA:", None, "Be brief."),
        (PYTHON_ERROR, "Q: Hi\nA:", None, "Be brief."),
        (BY_PLACE, "[INST] Hi [/INST]", "Be brief.", "Be brief."),
        (PARTS, "<system>Be brief.</s><user>Hi</s><assistant>", "Be brief.", ""),
    ],
    ids=["needs", "needs_and_drops", "forbids", "one_message", "one_turn", "python_error", "by_place", "parts"],
)
def test_what_can_frame_a_question_frames_it_and_a_dropped_system_prompt_is_said(template, prompt, system, dropped):
    frame = get_frame("tokenizer", "Be brief.", templated(template))
    assert (frame.prompt("Hi"), frame.system, frame.dropped) == (prompt, system, dropped)
    assert frame.opener() == prompt.partition("Hi")[0]
    assert frame.end == "</s>"
    assert bool(frame.notes) == bool(dropped)
    assert "model.system_prompt is not shown" in "".join(
        [*frame.notes.values(), "" if dropped else "model.system_prompt is not shown"]
    )


@pytest.mark.parametrize("name", NAMED)
def test_our_own_frames_say_nothing_of_system_prompts(name):
    assert get_frame(name, "Be brief.", templated()).notes == {}


def test_several_turns_in_a_template_for_one_are_one_model_error_with_its_words():
    frame = get_frame("tokenizer", "", templated(ONE_TURN.replace("N", "1")))
    with pytest.raises(ModelError, match="refuses these messages: one turn only") as caught:
        frame.conversation([("One?", "1")], "Two?")
    assert caught.value.where == "frame tokenizer: user, assistant, user"
    assert "plain, alpaca, chatml, llama3" in caught.value.do


@pytest.mark.parametrize("template", ["{{ raise_exception('never') }}", "nothing", "{{ messages[9]['content'] }}", "{% if %}"])
def test_a_template_that_frames_no_question_is_refused(template):
    with pytest.raises(ModelError, match="No chat template of the model's tokenizer frames a question"):
        get_frame("tokenizer", "", templated(template))


def test_of_templates_without_a_default_the_first_that_frames_a_question_is_the_frame(tmp_path):
    named = {"tool_use": "{{ raise_exception('no tools') }}", "rag": CHATML, "zero": "no words"}
    for tokenizer in saved_in_every_form(named, tmp_path):
        assert get_frame("tokenizer", "S", tokenizer).prompt("Hi") == get_frame("chatml", "S", tokenizer).prompt("Hi")
    named.pop("rag")
    for tokenizer in saved_in_every_form(named, tmp_path / "without"):
        with pytest.raises(ModelError, match="frames a question") as caught:
            get_frame("tokenizer", "S", tokenizer)
        assert "templates: tool_use, zero" in caught.value.where


def saved_in_every_form(named, folder):
    """Save named templates as files beside the tokenizer, and as a list in its config, and load both."""
    from transformers import AutoTokenizer

    for form in (True, False):
        templated(dict(named)).save_pretrained(folder / str(form), save_jinja_files=form)
        yield AutoTokenizer.from_pretrained(folder / str(form))


@pytest.mark.parametrize(
    ("after", "end"),
    [
        ("<|end|>\\n' + '</s>", "<|end|>"),  # Phi-3: the end of a turn, then of the conversation
        (" </s>", "</s>"),
        ("<|end|>\\n<|assistant|>\\n", "<|end|>"),  # the next turn is opened whatever is asked for
        ("\\n###\\n", "###"),  # no token at all
        ("", "</s>"),
    ],
)
def test_an_answer_ends_at_the_first_special_token_that_follows_it(after, end):
    template = "{% for m in messages %}{{ m['content'] + (m['role'] == 'assistant') * ('AFTER') }}{% endfor %}".replace(
        "AFTER", after
    )
    tokenizer = templated(template)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|end|>"]})
    assert get_frame("tokenizer", "", tokenizer).end == end


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


def by_template(tokenizer, turns, words, system=""):
    messages = [{"role": "system", "content": system}] if system else []
    for asked, answer in turns:
        messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
    messages.append({"role": "user", "content": words})
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)


@pytest.mark.parametrize("name", [*NAMED, "tokenizer"])
def test_a_conversation_without_earlier_turns_is_a_prompt(name):
    frame = get_frame(name, SYSTEM, templated(CHATML))
    assert frame.conversation([], "Say {this}") == frame.prompt("Say {this}")


@pytest.mark.parametrize("name", [*NAMED, "tokenizer"])
def test_a_conversation_holds_all_turns_in_order_and_the_system_prompt_once_at_most(name):
    frame = get_frame(name, SYSTEM, templated(CHATML))
    text = frame.conversation(TURNS, "Three?")
    places = [text.index(words) for words in ("One {a}?", "1 {b}", "Two?", "2", "Three?")]
    assert places == sorted(places)
    assert text.startswith(frame.prompt("One {a}?") + "1 {b}")
    assert text.endswith(frame.prompt("Three?").removeprefix(frame.opener()))
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
    assert text == "<s>[INST] One {a}?[/INST] 1 {b}</s>[INST] Two?[/INST] 2</s>[INST] Be brief.\n\nLast?[/INST]"


def test_frames_without_an_end_of_their_own_keep_the_end_of_text_token_out_of_a_conversation():
    assert get_frame("plain", "", templated()).conversation([("q", "a")], "r") == "q\na\n\nr\n"
    asked = "### Instruction:\n{}\n\n### Response:\n"
    expected = asked.format("q") + "a\n\n" + asked.format("r")
    assert get_frame("alpaca", "", templated()).conversation([("q", "a")], "r") == expected


def test_the_embedded_models_own_template_makes_the_same_conversation():
    found = sorted((cache_folder() / "models").glob("smollm2-*/tokenizer_config.json"))
    if not found:
        pytest.skip("the embedded model was not converted yet")
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(found[0].parent)
    expected = by_template(tokenizer, TURNS, "Last?", "Be brief.")
    for name in ("chatml", "tokenizer"):
        assert get_frame(name, "Be brief.", tokenizer).conversation(TURNS, "Last?") == expected


DATED = (
    "{% if strftime_now is defined %}{% set today = strftime_now('%A, %d %b %Y, %H:%M') %}{% endif %}{{ today }}"
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}</s>{% endfor %}"
)


def test_a_template_is_told_the_day_of_the_run_and_never_the_clocks(monkeypatch):
    monkeypatch.setattr("transformers.utils.chat_template_utils.datetime", None)  # the clock
    frame = get_frame("tokenizer", "S", templated(DATED), "2030-01-02")
    assert frame.prompt("Hi") == "Wednesday, 02 Jan 2030, 00:00<system>S</s><user>Hi</s>"
    assert get_frame("tokenizer", "S", templated(DATED)).prompt("Hi").startswith("Friday, 26 Jul 2024, 00:00<")
