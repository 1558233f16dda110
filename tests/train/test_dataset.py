"""Pairs as tokens: golden tokens of every chat frame, where the loss is, what max_length costs, and every pair's fate."""

import itertools
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isheep_lib.engines.tokens import encode
from isheep_lib.errors import YieldError
from isheep_lib.prompting.chat import get_frame
from isheep_lib.record.folders import cache_folder
from isheep_lib.record.rows import Pair
from isheep_lib.train.dataset import (
    MASKED,
    Data,
    Preference,
    TrainRow,
    encode_given,
    encode_row,
    mask_rows,
    masked_text,
    prepare,
    read,
    shown_parts,
    split_rows,
)
from isheep_lib.train.params import Train
from tests.frames import hand_made

FRAME = hand_made("f", "<user> ", " <model>", " <end>")
NAMED = ("plain", "alpaca", "chatml", "llama3", "tokenizer")
OUTCOMES = {"learned", "held_out", "beyond_max_rows", "empty_response", "beyond_cutoff"}
START, END, TURN = "<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"
HEAD, TAIL = "<|start_header_id|>", "<|end_header_id|>"
SPECIAL = ("<s>", "</s>", "<pad>", "<|im_start|>", "<|im_end|>", START, END, TURN, HEAD, TAIL)
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% if m.role == 'assistant' %}{{ eos_token }}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
)


class Words:
    """A tokenizer whose tokens are words."""

    bos_token = None

    def __init__(self):
        self.known = {}

    def __call__(self, text, add_special_tokens):
        return {"input_ids": [self.known.setdefault(word, len(self.known)) for word in text.split()]}

    def decode(self, tokens):
        names = {number: word for word, number in self.known.items()}
        return " ".join(names[token] for token in tokens)


def byte_level(bos, eos, pad, opens=False):
    """Make a tokenizer of single bytes that would join a line's end to a capital O, over the border of prompt and response."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    names = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet()), "ĊO"]
    made = Tokenizer(models.BPE({name: i for i, name in enumerate(names)}, [("Ċ", "O")]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(list(SPECIAL))
    if opens:
        made.post_processor = processors.TemplateProcessing(f"{bos} $A", special_tokens=[(bos, names.index(bos))])
    fast = PreTrainedTokenizerFast(tokenizer_object=made, bos_token=bos, eos_token=eos, pad_token=pad)
    fast.chat_template = TEMPLATE
    return fast


MAKERS = {
    "three that differ": lambda: byte_level("<s>", "</s>", "<pad>"),
    "pads with the end": lambda: byte_level("<s>", "<|im_end|>", "<|im_end|>"),
    "opens by itself": lambda: byte_level(START, END, TURN, opens=True),
}


@pytest.fixture(scope="module", params=MAKERS)
def tokenizer(request):
    return MAKERS[request.param]()


@pytest.fixture(scope="module")
def embedded():
    from transformers import AutoTokenizer

    found = sorted((cache_folder() / "models").glob("smollm2-135m-instruct-*/tokenizer_config.json"))
    if not found:
        pytest.skip("the embedded model was not converted yet")
    return AutoTokenizer.from_pretrained(found[0].parent)


@pytest.fixture(scope="module")
def worded(tiny_model):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_model)


def pair(number=1, output="three ideas", instruction="Name {}"):
    return Pair(f"r{number}", instruction.replace("{}", str(number)), "", output)


def spelled(*parts):
    """List tokens: a special one, or the bytes of the part."""
    return [token for part in parts for token in ([part] if part in SPECIAL else part)]


def read_and_learned(row, tokenizer):
    """Name the tokens without loss and those with loss, as the labels have them."""
    names = tokenizer.convert_ids_to_tokens(row.input_ids)
    sides = [[], []]
    for name, token, label in zip(names, row.input_ids, row.labels, strict=True):
        assert label in (MASKED, token)
        sides[label == token].append(name)
    assert names == sides[0] + sides[1], "all that is learned comes after all that is read"
    return sides


CHATML = ("systemĊShort.", "userĊHi", "assistantĊ")
LLAMA = ("ĊĊShort.", "ĊĊHi", "ĊĊ")
GOLDEN = [
    ("three that differ", "plain", ["HiĊ"], ["Ok", "</s>"]),
    ("three that differ", "alpaca", ["###ĠInstruction:ĊHiĊĊ###ĠResponse:Ċ"], ["Ok", "</s>"]),
    (
        "three that differ",
        "chatml",
        ["<|im_start|>", CHATML[0], "<|im_end|>", "Ċ", "<|im_start|>", CHATML[1], "<|im_end|>", "Ċ", "<|im_start|>", CHATML[2]],
        ["Ok", "<|im_end|>"],
    ),
    ("three that differ", "tokenizer", ["<s>", "[system]Short.[user]Hi[assistant]"], ["Ok", "</s>"]),
    ("pads with the end", "plain", ["HiĊ"], ["Ok", "<|im_end|>"]),
    (
        "pads with the end",
        "chatml",
        ["<|im_start|>", CHATML[0], "<|im_end|>", "Ċ", "<|im_start|>", CHATML[1], "<|im_end|>", "Ċ", "<|im_start|>", CHATML[2]],
        ["Ok", "<|im_end|>"],
    ),
    ("opens by itself", "plain", [START, "HiĊ"], ["Ok", END]),
    ("opens by itself", "alpaca", [START, "###ĠInstruction:ĊHiĊĊ###ĠResponse:Ċ"], ["Ok", END]),
    (
        "opens by itself",  # its pad token ends the answer here
        "llama3",
        [START, HEAD, "system", TAIL, LLAMA[0], TURN, HEAD, "user", TAIL, LLAMA[1], TURN, HEAD, "assistant", TAIL, LLAMA[2]],
        ["Ok", TURN],
    ),
    ("opens by itself", "tokenizer", [START, "[system]Short.[user]Hi[assistant]"], ["Ok", END]),
]


@pytest.mark.parametrize(("maker", "name", "read", "learned"), GOLDEN)
def test_the_tokens_of_a_pair_in_a_frame_are_these(maker, name, read, learned):
    tokenizer = MAKERS[maker]()
    row = encode_row(pair(output="Ok", instruction="Hi"), get_frame(name, "Short.", tokenizer), tokenizer, 1024)
    assert read_and_learned(row, tokenizer) == [spelled(*read), spelled(*learned)]
    assert not row.cut


CHAT_IDS = [1, 9690, 198, 6077, 5453, 30, 2, 198, 1, 4093, 198, 5820, 253, 2380, 30, 2, 198, 1, 520, 9531, 198]
ALPACA_IDS = [3757, 20880, 42, 198, 5820, 253, 2380, 30, 198, 198, 3757, 14212, 42, 198]


@pytest.mark.parametrize(
    ("name", "read"),
    [("plain", [5820, 253, 2380, 30, 198]), ("alpaca", ALPACA_IDS), ("chatml", CHAT_IDS), ("tokenizer", CHAT_IDS)],
)
def test_the_embedded_models_tokens_of_a_pair_are_these(embedded, name, read):
    frame = get_frame(name, "Be brief.", embedded)
    row = encode_row(pair(output="Blue.", instruction="Name a color."), frame, embedded, 1024)
    assert row.input_ids == [*read, 23390, 30, 2]
    assert row.labels == [MASKED] * len(read) + [23390, 30, 2]
    assert embedded.pad_token_id == 2, "this model's end token is its pad token, and is learned all the same"


def test_the_word_level_tokens_of_a_pair_are_these(worded):
    row = encode_row(pair(output="a song", instruction="Name a song"), get_frame("chatml", "", worded), worded, 1024)
    start, end, unknown, newline = 1, 2, 0, []  # this tokenizer drops white space and knows no capital letter
    user, model = [start, unknown, *newline], [start, unknown]
    words = worded.convert_tokens_to_ids(["a", "song"])
    assert row.input_ids == [start, unknown, end, *user, unknown, *words, end, *model, *words, end]
    assert row.labels == [MASKED] * (len(row.input_ids) - 3) + [*words, end]


def test_an_end_that_the_tokenizer_does_not_know_as_one_token_is_learned_whole(embedded):
    row = encode_row(pair(output="Blue."), get_frame("llama3", "Be brief.", embedded), embedded, 1024)
    assert [label for label in row.labels if label != MASKED] == [23390, 30, 44, 108, 85, 320, 79, 311, 108, 46]
    bytes_ = MAKERS["three that differ"]()
    row = encode_row(pair(output="Ok"), get_frame("chatml", "", bytes_), bytes_, 1024)
    assert read_and_learned(row, bytes_)[1] == spelled("Ok", "<|im_end|>")


def checked_against_inference(tokenizer, name):
    frame = get_frame(name, "Be brief.", tokenizer)
    row = encode_row(replace(pair(output="One"), input="2, 3"), frame, tokenizer, 1024)
    assert row.input_ids[: row.read] == encode(tokenizer, frame.prompt("Name 1\n\n2, 3"))
    assert set(row.labels[: row.read]) == {MASKED}
    assert row.labels[-1] == row.input_ids[-1] != MASKED
    return row


@pytest.mark.parametrize("name", NAMED)
def test_the_prompt_is_read_in_the_tokens_that_inference_sends(tokenizer, name):
    row = checked_against_inference(tokenizer, name)
    opening, ids = tokenizer.bos_token_id, row.input_ids
    assert ids.count(opening) <= 1, "one opening token at most"
    assert opening not in ids[1:]


@pytest.mark.parametrize("name", NAMED)
def test_the_embedded_model_reads_the_prompt_that_inference_sends(embedded, name):
    row = checked_against_inference(embedded, name)
    assert row.input_ids[:2] != [embedded.bos_token_id] * 2


@pytest.mark.parametrize("name", NAMED)
def test_a_tokenizer_that_opens_by_itself_opens_once_in_every_frame(name):
    tokenizer = MAKERS["opens by itself"]()
    ids = encode_row(pair(), get_frame(name, "Be brief.", tokenizer), tokenizer, 1024).input_ids
    assert ids[0] == tokenizer.bos_token_id
    assert ids.count(tokenizer.bos_token_id) == 1


def test_only_the_response_and_its_end_token_are_learned():
    tokenizer = Words()
    row = encode_row(pair(), FRAME, tokenizer, 100)
    assert masked_text(row, tokenizer) == ("<user> Name 1 <model>", "three ideas <end>")
    assert row.labels == [MASKED] * 4 + row.input_ids[4:]
    assert (row.learned, row.cut, row.empty) == (3, False, False)


@pytest.mark.parametrize(
    ("max_length", "left", "learned", "cut"),
    [
        (8, "three ideas <end>", 3, False),
        (7, "three ideas <end>", 3, False),
        (6, "three ideas", 2, True),
        (5, "three", 1, True),
        (4, "", 0, True),
        (2, "", 0, True),
    ],
)
def test_a_limit_takes_the_end_first_and_says_so(max_length, left, learned, cut):
    tokenizer = Words()
    row = encode_row(pair(), FRAME, tokenizer, max_length)
    assert len(row.input_ids) == len(row.labels) == min(max_length, 7)
    assert masked_text(row, tokenizer)[1] == left
    assert (row.learned, row.cut) == (learned, cut)
    assert sum(label != MASKED for label in row.labels) == learned


def test_the_table_of_a_row_shows_where_the_loss_begins_and_ends():
    tokenizer = Words()
    row = encode_row(pair(output="a b c d e f g h"), FRAME, tokenizer, 100)
    table = mask_rows(row, tokenizer, around=2)
    assert [(line["token"], line["loss"]) for line in table] == [
        ("1", "no loss"),
        ("<model>", "no loss"),
        ("a", "learned"),
        ("b", "learned"),
        ("…", "…"),
        ("h", "learned"),
        ("<end>", "learned"),
    ]
    assert [line["position"] for line in table] == ["2", "3", "4", "5", "…", "11", "12"]


def test_a_line_break_shows_in_the_table_of_a_row():
    broken = SimpleNamespace(decode=lambda ids: "\n")
    assert mask_rows(TrainRow("a", [1, 2], 1), broken)[0]["token"] == "\\n"


def params(max_length=100, max_rows=10, held_out=0.3):
    return SimpleNamespace(max_length=max_length, max_rows=max_rows, held_out=held_out)


def test_rows_without_a_token_to_learn_are_dropped_and_counted():
    rows = [pair(i) for i in range(3)]
    long = "Name five words here {}"
    rows += [pair(7, "", long), pair(8, instruction=long), pair(9, "")]
    data = prepare(rows, FRAME, Words(), params(max_length=5), 0)
    assert data.counts == {"in": 6, "kept": 3, "dropped": {"empty_response": 2, "beyond_cutoff": 1}}
    assert [fate["fate"] for fate in data.fates[3:]] == ["empty_response", "beyond_cutoff", "empty_response"]
    assert data.facts()["rows shortened by the cutoff"] == 3
    assert [fate["cut"] for fate in data.fates] == [True] * 5 + [False]


def test_a_response_that_a_tokenizer_makes_nothing_of_is_empty(worded):
    rows = [pair(i) for i in range(2)] + [pair(7, output=""), pair(8, output=" "), pair(9, output="\n\t")]
    fates = prepare(rows, get_frame("chatml", "", worded), worded, params(), 0).fates
    assert [fate["fate"] for fate in fates[2:]] == ["empty_response"] * 3


@pytest.mark.parametrize(
    ("rows", "given_", "said"),
    [
        ([pair(i) for i in range(3)], params(max_length=4), "0 of 3 kept rows can be learned: beyond cutoff 3"),
        ([pair(i, output="") for i in range(3)], params(), "0 of 3 kept rows can be learned: empty response 3"),
        ([pair(0), pair(1, output="")], params(), "1 of 2 kept rows can be learned: empty response 1"),
        (
            [pair(0, output=""), *(pair(i, instruction="one two three {}") for i in range(1, 4))],
            params(max_length=6),
            "0 of 4 kept rows can be learned: beyond cutoff 3, empty response 1",
        ),
        ([pair(0)], params(), "1 row"),
        ([], params(), "0 row"),
        ([pair(i) for i in range(5)], params(max_rows=1), "1 row"),
    ],
)
def test_fewer_than_two_rows_are_refused_with_what_became_of_the_others(rows, given_, said):
    with pytest.raises(YieldError) as caught:
        prepare(rows, FRAME, Words(), given_, 0)
    assert caught.value.what.startswith(said)
    assert caught.value.allowed
    assert caught.value.do


@st.composite
def kept_pairs(draw):
    sizes = draw(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 5)), max_size=25))
    return [pair(i, " ".join(["b"] * out), " ".join(["a"] * words)) for i, (words, out) in enumerate(sizes)]


@settings(max_examples=150, deadline=None)
@given(kept_pairs(), st.integers(1, 16), st.integers(1, 12), st.floats(0.01, 0.99), st.integers(0, 3))
def test_every_kept_pair_has_one_fate_and_the_counts_add_up(rows, max_length, most, share, seed):
    made = [encode_row(row, FRAME, Words(), max_length) for row in rows]
    usable = [row.id for row in made if row.learned and not row.empty]
    try:
        data = prepare(rows, FRAME, Words(), params(max_length, most, share), seed)
    except YieldError:
        assert min(len(usable), most) < 2
        return
    assert [fate["id"] for fate in data.fates] == [row.id for row in rows]
    by_fate = {name: [fate["id"] for fate in data.fates if fate["fate"] == name] for name in OUTCOMES}
    assert sum(map(len, by_fate.values())) == len(rows)
    assert [row.id for row in data.train] == by_fate["learned"]
    assert [row.id for row in data.held_out] == by_fate["held_out"]
    assert data.train
    assert data.held_out
    assert {*by_fate["learned"], *by_fate["held_out"], *by_fate["beyond_max_rows"]} == set(usable)
    dropped = {name: len(ids) for name, ids in by_fate.items() if ids and name not in ("learned", "held_out")}
    assert data.counts == {"in": len(rows), "kept": len(data.train) + len(data.held_out), "dropped": dropped}
    assert all(row.learned >= 1 and len(row.input_ids) <= max_length for row in (*data.train, *data.held_out))
    lengths = {row.id: (len(row.input_ids), row.learned, row.cut) for row in made}
    assert {fate["id"]: (fate["tokens"], fate["learned"], fate["cut"]) for fate in data.fates} == lengths


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 60), st.integers(2, 60), st.floats(0.01, 0.99), st.integers(0, 5))
def test_every_row_goes_to_exactly_one_part_and_both_parts_get_some(number, most, share, seed):
    rows = [pair(i) for i in range(number)]
    learned, held, left = split_rows(rows, most, share, seed)
    ids = [r.id for part in (learned, held, left) for r in part]
    assert sorted(ids) == sorted(r.id for r in rows)
    assert all(part == sorted(part, key=rows.index) for part in (learned, held, left)), "rows stay in their order"
    chosen = min(number, most)
    assert len(left) == number - chosen
    assert len(held) == min(max(1, round(share * chosen)), chosen - 1)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=2, max_size=20), st.integers(2, 60), st.floats(0.01, 0.99), st.integers(0, 5))
def test_answers_to_one_task_are_never_on_both_sides(sizes, most, share, seed):
    rows = [replace(pair(n), id=f"r{n}-a{k}", lineage={"task": f"r{n}"}) for n, size in enumerate(sizes) for k in range(size)]
    try:
        learned, held, left = split_rows(rows, most, share, seed)
    except YieldError as error:
        assert most <= max(sizes), "two tasks would have fitted"
        assert "which answer one task" in str(error)
        return
    assert learned and held
    assert not {row.task_id for row in learned} & {row.task_id for row in held}
    assert sorted(row.id for part in (learned, held, left) for row in part) == sorted(row.id for row in rows)
    assert len(learned) + len(held) == min(most, len(rows))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(max_size=5), min_size=2, max_size=40), st.integers(0, 5))
def test_the_split_follows_from_the_seed_and_not_from_what_the_rows_say(texts, seed):
    def split(rows):
        return [[row.id for row in part] for part in split_rows(rows, 30, 0.2, seed)]

    assert split([pair(i) for i in range(len(texts))]) == split([pair(i, text, text) for i, text in enumerate(texts)])


def test_another_seed_holds_other_rows_out():
    rows = [pair(i) for i in range(40)]
    held = [tuple(row.id for row in split_rows(rows, 40, 0.2, seed)[1]) for seed in range(5)]
    assert all(a != b for a, b in itertools.combinations(held, 2))


def test_a_tenth_of_three_thousand_rows_is_held_out():
    rows = [pair(i) for i in range(3500)]
    assert [len(part) for part in split_rows(rows, 3000, 0.1, 1)] == [2700, 300, 500]


def preference(number=1, chosen="three ideas", rejected="two", task="", finish="end"):
    row = {"instruction": f"Name {number}", "input": "", "chosen": chosen, "rejected": rejected, "rejected_finish": finish}
    return Preference.from_row({"id": f"p{number}", "task": task or f"t{number}", "chosen_id": "a", "rejected_id": "b", **row})


def test_both_answers_of_a_pair_stand_behind_the_prompt_and_only_those_that_ended_have_an_end():
    words = Words()
    for finish, end in (("end", " <end>"), ("stop", " <end>"), ("length", "")):
        row = encode_given(preference(finish=finish), FRAME, words, 100)
        assert [masked_text(answer, words) for answer in row.answers] == [
            ("<user> Name 1 <model>", "three ideas <end>"),
            ("<user> Name 1 <model>", f"two{end}"),
        ]
    assert [line["text"] for line in shown_parts(row, words)] == ["<user> Name 1 <model>", "three ideas <end>", "two"]
    assert shown_parts(encode_row(pair(), FRAME, words, 100), words)[1:] == [{"part": "learned", "text": "three ideas <end>"}]


def test_pairs_with_an_answer_that_cannot_be_learned_are_dropped_and_counted():
    rows = [preference(1), preference(2), preference(3, rejected=" "), preference(4, chosen="")]
    rows += [preference(5, "a b c d e f", "a b c d e g"), preference(6, "a b c d e f", "b")]
    data = prepare(rows, FRAME, Words(), params(max_length=8), 0)
    assert data.counts == {"in": 6, "kept": 3, "dropped": {"empty_response": 2, "same_within_cutoff": 1}}
    assert data.fates[5]["cut"] and not data.fates[0]["cut"]
    assert data.fates[0] | {"fate": ""} == {
        "id": "p1",
        "fate": "",
        "tokens": 13,
        "learned": 5,
        "cut": False,
        "chosen_id": "a",
        "rejected_id": "b",
    }
    assert data.facts()["learned tokens"] == sum(fate["learned"] for fate in data.fates if fate["fate"] == "learned")
    assert {"row", "learned", "chosen", "rejected"} == set(data.distribution())
    short = prepare([preference(i) for i in range(3)], FRAME, Words(), params(), 0)
    assert short.distribution()["chosen"]["max"] == 3 and short.distribution()["rejected"]["max"] == 2


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=2, max_size=30), st.floats(0.01, 0.6), st.integers(0, 5))
def test_no_task_is_both_learned_and_held_out(tasks, share, seed):
    rows = [preference(i, task=f"t{task}") for i, task in enumerate(tasks)]
    try:
        learned, held, left = split_rows(rows, 30, share, seed)
    except YieldError as error:
        assert "which answer one task, cannot be split" in error.what
        return
    assert learned and held and not left
    assert {row.task_id for row in learned}.isdisjoint(row.task_id for row in held)
    assert len(learned) + len(held) == len(rows)


def test_several_answers_to_a_task_are_held_out_together():
    rows = [replace(pair(i), lineage={"task": f"t{i // 3}"}) for i in range(12)]
    learned, held, _ = split_rows(rows, 12, 0.2, 1)
    assert len(held) % 3 == 0 and len(learned) % 3 == 0


def test_pairs_of_one_task_alone_are_refused():
    with pytest.raises(YieldError, match=r"4 row\(s\), which answer one task, cannot be split(.|\n)*synthesize more"):
        split_rows([preference(i, task="t") for i in range(4)], 10, 0.3, 0)


def test_rows_are_read_as_the_objective_wants_them():
    row = {"id": "a", "instruction": "Name", "input": "", "output": "x"}
    assert read([row], Train()) == [Pair.from_row(row)]
    written = {"id": "p", "task": "t", "instruction": "Name", "input": "", "chosen": "x", "rejected": "y"}
    written |= {"chosen_id": "c", "rejected_id": "r", "rejected_finish": "length", "kind": "score", "why": "z"}
    (found,) = read([written], Train(objective="dpo"))
    assert (found.chosen.id, found.rejected.id, found.rejected.finish) == ("c", "r", "length")


def test_the_distribution_is_of_the_rows_that_are_learned():
    rows = [TrainRow(str(i), list(range(i)), i // 2) for i in range(10, 110)]
    data = Data(rows, [TrainRow("h", [0] * 500, 1)], {}, [])
    expected = {"min": 10, "p5": 15, "p25": 35, "p50": 60, "p75": 85, "p95": 105, "max": 109}
    assert data.distribution()["row"] == expected
    assert data.distribution()["learned"]["max"] == 55
    assert data.facts() == {
        "training rows": 100,
        "held-out rows": 1,
        "tokens": sum(range(10, 110)),
        "learned tokens": sum(i - i // 2 for i in range(10, 110)),
        "rows shortened by the cutoff": 0,
    }
