"""Selective Reflection-Tuning: ratios of perplexities by hand, and which revisions they let stay."""

import math

import pytest

from isheep_lib.errors import DataError, YieldError
from isheep_lib.record.journal import Journal
from isheep_lib.record.rows import Pair, Task
from isheep_lib.synthesize.extras import own
from isheep_lib.synthesize.method import Writing
from isheep_lib.synthesize.methods.revision.selective_reflection import SelectiveReflection
from isheep_lib.synthesize.params import Synthesize
from isheep_lib.synthesize.revising.difficulty import ifd, ratio, reversed_ifd
from tests.scripted import ScriptedEngine
from tests.writings import writing

Q0, A0 = "Name some uses of salt at home.", "Soup needs salt."
Q1, A1 = "Name two uses of salt in winter and explain each of them.", "Salt melts ice and keeps meat."
A2 = "It melts ice, since brine freezes later, and it dries meat."
SEEDS = [Task("seed-0", Q0, output=A0), Task("seed-1", "Sing a song about salt.")]
ALONE = 1.0  # nats per token of any text that nothing stands before


class Losses(ScriptedEngine):
    """Revises by a script, and finds texts as likely as it is told: (what stands before, the text) to nats per token."""

    def __init__(self, losses, said=(Q1, A1, A2)):
        super().__init__(self.say)
        self.losses, self.left, self.read = losses, list(said), []

    def say(self, request):
        return self.left.pop(0)

    def logprobs(self, pairs):
        found = []
        for before, text in pairs:
            text = text.removesuffix("END")
            guess = "Which task did the user give" in before
            known = next((t for t in (A2, A1, A0) if guess and t in before), "") or next(
                (q for q in (Q1, Q0) if q in before), ""
            )
            loss = ALONE if before == "<>" else self.losses[known, text]
            self.read.append((known, text))
            found.append((-4 * loss, 4))
        return found


def made(engine, folder, seeds=SEEDS, **values) -> Writing:
    params = Synthesize(**{"method": "selective_reflection", "min_instructions": 1, "instructions": 9, **values})
    return writing(engine, folder, params, seeds)


def losses(old=0.5, new=0.7, back=0.9, better=0.6, final=0.8):
    """Write the losses of the answers after their tasks, and of the tasks after their answers, for a plain course."""
    return {(Q0, A0): old, (Q1, A1): new, (A0, Q0): back, (A1, Q1): back, (A2, Q1): better, (A2, Q0): better} | {
        (Q1, A2): final,
        (Q0, A2): final,
    }


def test_a_ratio_of_perplexities_is_the_exponential_of_the_difference_of_losses():
    assert ratio(0.5, 1.0) == round(math.exp(-0.5), 5) == 0.60653
    assert ratio(1.5, 1.0) == 1.64872
    assert ratio(1.0, 1.0) == 1.0


def test_both_ratios_of_a_pair_are_read_after_the_other_text_and_alone(tmp_path):
    engine = Losses({(Q0, A0): 0.5, (A0, Q0): 0.25})
    pair = {"x": Pair("x", Q0, "", A0)}
    with Journal(tmp_path / "j.jsonl", "f") as journal:
        plain = made(engine, tmp_path)
        assert ifd(plain, journal, pair) == {"x": round(math.exp(-0.5), 5)}
        assert reversed_ifd(plain, journal, pair) == {"x": round(math.exp(-0.75), 5)}
        assert engine.read == [(Q0, A0), ("", A0), (A0, Q0), ("", Q0)]
        ifd(plain, journal, pair)
        assert len(engine.read) == 4, "what is in the journal is read no more"


@pytest.mark.parametrize(
    ("found", "operator", "instruction", "output"),
    [
        (losses(), "instruction+response", Q1, A2),
        (losses(better=0.95), "instruction", Q1, A1),
        (losses(new=0.4), "response", Q0, A2),
        (losses(new=0.5), "response", Q0, A2),
        (losses(better=0.9), "instruction", Q1, A1),
    ],
    ids=["both", "the answer tells less", "the task is easier", "the task is as hard", "the answer tells as much"],
)
def test_a_revised_task_stays_where_it_is_harder_and_a_revised_answer_where_it_tells_more(
    tmp_path, found, operator, instruction, output
):
    (row,) = SelectiveReflection().write(made(Losses(found), tmp_path)).accepted
    assert (row["operator"], row["instruction"], row["output"]) == (operator, instruction, output)
    assert (row["parents"], row["id"]) == (["seed-0"], "i1-seed-0")
    assert row["ifd_before"] == ratio(found[Q0, A0], ALONE)
    assert row["rifd_revised"] == ratio(found[A2, instruction], ALONE)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (losses(new=0.4, better=0.95), "nothing_better"),
        (losses(final=1.0), "no_help"),
        (losses(final=1.2), "no_help"),
        (losses(back=1.3, better=1.0), "no_trace"),
    ],
)
def test_a_pair_is_dropped_for_this_reason_with_its_ratios(tmp_path, found, reason):
    with pytest.raises(YieldError, match=f"1 {reason}"):
        SelectiveReflection().write(made(Losses(found), tmp_path))


@pytest.mark.parametrize(("said", "why"), [("Salt?", "no task by the rules"), (Q0, "unchanged"), ("", "empty")])
def test_a_revision_that_is_no_new_task_is_not_answered_and_the_answer_may_still_be_revised(tmp_path, said, why):
    engine = Losses(losses(), [said, A2])
    (row,) = SelectiveReflection().write(made(engine, tmp_path)).accepted
    assert (row["operator"], "ifd_before" in row) == ("response", False), why
    assert len(engine.asked) == 2


def test_a_killed_writing_is_resumed_and_asks_only_for_the_rest(tmp_path):
    whole = SelectiveReflection().write(made(Losses(losses()), tmp_path / "whole"))
    assert whole.tokens == 20, "of the instruction and of the answer that was replaced"
    for life in range(3):
        said = [Q1, A1, A2]
        with pytest.raises(IndexError):
            SelectiveReflection().write(made(Losses(losses(), said[:life]), tmp_path / str(life)))
        rest = Losses(losses(), said[life:])
        assert SelectiveReflection().write(made(rest, tmp_path / str(life))) == whole
        assert len(rest.asked) == 3 - life


def test_seeds_without_outputs_are_refused_at_the_plan(tmp_path):
    path = tmp_path / "seeds.jsonl"
    path.write_text('{"instruction": "Sing a short song."}\n')
    with pytest.raises(DataError, match=r"(?s)None of the 1 seed tasks has an output.*output=answer"):
        Synthesize(method="selective_reflection", seeds=str(path)).data_digests()
    assert "answers: the method" in "".join(Synthesize(method="selective_reflection", answers=2).conflicts())


def test_a_seeds_instruction_may_stay_where_its_answer_was_revised(tmp_path):
    found = SelectiveReflection().write(made(Losses(losses(new=0.4)), tmp_path))
    assert found.accepted[0]["instruction"] == Q0
    assert own.copied(SelectiveReflection(), found, SEEDS) == set()


def test_what_the_notebook_shows_can_be_shown(tmp_path):
    found = SelectiveReflection().write(made(Losses(losses()), tmp_path))
    (row,) = SelectiveReflection().evidence(found).rows
    assert (row["revised"], row["pairs"], row["accepted"]) == ("instruction+response", 1, 1)
    left, right = own.figure_of(SelectiveReflection(), found).axes[:2]
    assert [len(points.get_offsets()) for axis in (left, right) for points in axis.collections] == [1, 1, 1, 1]
    shown = SelectiveReflection().example(made(Losses(losses()), tmp_path / "b"))
    assert shown.rows[-1] == {"step": "verdict", "text": "revised: instruction, response"}
    assert shown.said == Q1
