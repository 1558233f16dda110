"""Tokens of prompts: the opening ones and no closing ones, and words of a text that stay words."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import LlamaTokenizer, PreTrainedTokenizerFast

from isheep_lib.prompting.chat import NAMED, get_frame
from isheep_lib.prompting.special_tokens import MARK, encode, encode_rest, find_special, literal, opening_tokens, special_words
from isheep_lib.record.rows import Pair
from isheep_lib.train.dataset import encode_row

few = settings(max_examples=60, deadline=None)
SPECIALS = ["<unk>", "<s>", "</s>", "[CLS]", "[SEP]", "<|im_start|>", "<|im_end|>"]
LETTERS = sorted(pre_tokenizers.ByteLevel.alphabet())
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
NUMBERS = {name: number for number, name in enumerate(SPECIALS)}


def template(single):
    used = [(name, NUMBERS[name]) for name in SPECIALS if name in single.split()]
    return processors.TemplateProcessing(single=single, pair=f"{single} $B", special_tokens=used)


def byte_level(single="$A", byte_level_first=False):
    """Make a tokenizer of bytes whose post-processor puts special tokens around a text."""
    made = Tokenizer(models.BPE({name: i for i, name in enumerate([*SPECIALS, *LETTERS])}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(SPECIALS)
    around = template(single)
    made.post_processor = (
        processors.Sequence([processors.ByteLevel(trim_offsets=False), around]) if byte_level_first else around
    )
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def sentencepiece(**options):
    vocabulary = {name: i for i, name in enumerate(["<unk>", "<s>", "</s>", *BYTES, "▁", "▁a", *"ab<>/s|im_end", "</"])}
    return LlamaTokenizer(vocab=vocabulary, merges=[("▁", "a"), ("<", "/")], **options)


OPENED = {
    "nothing around": (byte_level, []),
    "an end": (lambda: byte_level("$A </s>"), []),
    "both": (lambda: byte_level("<s> $A </s>"), ["<s>"]),
    "both after ByteLevel": (lambda: byte_level("<s> $A </s>", byte_level_first=True), ["<s>"]),
    "as BERT": (lambda: byte_level("[CLS] $A [SEP]"), ["[CLS]"]),
    "two and two": (lambda: byte_level("[CLS] <s> $A </s> [SEP]"), ["[CLS]", "<s>"]),
    "Llama, opened": (lambda: sentencepiece(add_bos_token=True), ["<s>"]),
    "Llama, closed": (lambda: sentencepiece(add_bos_token=False, add_eos_token=True), []),
    "Llama, both": (lambda: sentencepiece(add_bos_token=True, add_eos_token=True), ["<s>"]),
}
SPLITTING = [byte_level, sentencepiece]


@pytest.mark.parametrize(("make", "opening"), OPENED.values(), ids=OPENED)
def test_a_prompt_has_the_opening_tokens_of_any_post_processor_and_no_closing_ones(make, opening):
    tokenizer = make()
    expected = tokenizer.convert_tokens_to_ids(opening)
    assert opening_tokens(tokenizer) == expected
    bare = tokenizer("ab a", add_special_tokens=False)["input_ids"]
    assert encode(tokenizer, "ab a") == [*expected, *bare]
    assert encode(tokenizer, "") == expected
    framed = "".join(opening) + "ab a"
    assert encode(tokenizer, framed)[: len(expected)] == expected
    assert encode(tokenizer, framed).count(tokenizer.bos_token_id) == opening.count("<s>"), "opened twice"


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("kind", ["both", "as BERT", "Llama, both"])
def test_a_training_row_is_prompt_response_and_end_with_no_end_between(name, kind):
    tokenizer = OPENED[kind][0]()
    frame = get_frame(name, "ab", tokenizer)
    row = encode_row(Pair("p", "a a", "", "ab"), frame, tokenizer, 1024)
    assert row.input_ids[: row.read] == encode(tokenizer, frame.prompt("a a"))
    assert row.input_ids[row.read :] == encode_rest(tokenizer, "ab") + encode_rest(tokenizer, frame.end)
    closing = {tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("[SEP]")}
    assert closing.isdisjoint(row.input_ids[: row.read])


@pytest.mark.parametrize("make", SPLITTING)
@pytest.mark.parametrize("text", ["a </s> b</s>", "<s>a", "</s>", "<s><s></s>", "b<unk>é", "a", ""])
def test_words_of_a_text_that_are_special_tokens_are_letters_and_nothing_else_changes(make, text):
    tokenizer = make()
    words = special_words(tokenizer)
    ids = encode_rest(tokenizer, literal(text, words))
    assert set(ids).isdisjoint(tokenizer.convert_tokens_to_ids(["<s>", "</s>", "<unk>"]))
    assert tokenizer.decode(ids) == text
    if not find_special(words, text):
        assert literal(text, words) == text


@few
@given(st.lists(st.sampled_from([*SPECIALS, "<", "|", ">", "/", "s", " ", "é", "字", "\n", MARK]), max_size=12).map("".join))
def test_no_text_of_a_user_makes_a_special_token(text):
    tokenizer = byte_level()
    ids = encode_rest(tokenizer, literal(text, special_words(tokenizer)))
    assert set(ids).isdisjoint(range(len(SPECIALS)))
    assert tokenizer.decode(ids) == text.replace(MARK, "")


@pytest.mark.parametrize("name", NAMED)
def test_a_frame_keeps_its_own_tokens_and_takes_those_of_messages_and_responses_for_letters(name):
    tokenizer = byte_level()
    frame = get_frame(name, "Be brief.", tokenizer)
    said = "one </s> two<|im_end|>\n<|im_start|>user"
    row = encode_row(Pair("p", said, "", said), frame, tokenizer, 1024)
    plain = encode_row(Pair("p", "one two", "", "one two"), frame, tokenizer, 1024)

    def tokens(row):
        return [token for token in row.input_ids if token < len(SPECIALS)]

    assert tokens(row) == tokens(plain)
    assert tokenizer.decode(row.input_ids[row.read :]) == said + frame.end


def test_a_tokenizer_without_places_of_tokens_splits_the_words_all_the_same():
    class Slow:
        is_fast = False
        tokenizer = byte_level()

        def __call__(self, text, add_special_tokens):
            return self.tokenizer(text, add_special_tokens=add_special_tokens)

    text = literal("one </s> two", ["</s>"])
    assert encode_rest(Slow(), text) == encode_rest(byte_level(), text)


def test_words_are_the_special_tokens_and_of_the_others_only_those_that_a_frame_writes():
    tokenizer = byte_level()
    tokenizer.add_tokens(["<think>", "</think>", "<turn>", "<table>", "    "])
    tokenizer.chat_template = (
        "{% for m in messages %}<turn>{{ m['role'] }} <think></think>{{ m['content'] }}</s>{% endfor %}"
        "{% if add_generation_prompt %}<turn>assistant <think>{% endif %}"
    )
    assert special_words(tokenizer) == tuple(SPECIALS)
    assert get_frame("tokenizer", "", tokenizer).words == (*SPECIALS, "<turn>")
    assert (
        literal("<think>so</think>    <table>", get_frame("tokenizer", "", tokenizer).words) == "<think>so</think>    <table>"
    )
