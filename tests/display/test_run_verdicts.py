"""Whether a run helped, in words: better, worse, both, not told, or nothing to say; and what it would have taken."""

import pytest

from isheep_lib.analysis.lengths import compare_lengths
from isheep_lib.analysis.significance import compare, items_needed, smallest_detectable
from isheep_lib.benchmarks.comparison import Compared
from isheep_lib.display import run_figures, verdicts
from isheep_lib.display.folded import Folded


def side(right, items=100):
    return {str(i): [float(i in right)] for i in range(items)}


def pair(left_out=None, **found):
    """Return M_0 beside M_1: by benchmark, which items each has right."""
    return Compared("M_0", "M_1", {name: compare(side(a), side(b)) for name, (a, b) in found.items()}, left_out or {})


BETTER, WORSE, ALIKE, NEAR = (
    (range(10), range(60)),
    (range(60), range(10)),
    (range(10), range(10)),
    (range(10), range(12)),
)


@pytest.mark.parametrize(
    ("compared", "said"),
    [
        (pair(boolq=BETTER), "It helped: M_1 is better than M_0 on BoolQ (+50.0 points, 95 % interval"),
        (pair(boolq=WORSE), "It hurt: M_1 is worse than M_0 on BoolQ (-50.0 points, 95 % interval"),
        (pair(boolq=BETTER, piqa=WORSE), "It helped and it hurt: M_1 is better than M_0 on BoolQ (+50.0 points"),
        (pair(boolq=BETTER, piqa=NEAR), "It helped: M_1 is better than M_0 on BoolQ"),
        (
            pair(boolq=NEAR, piqa=ALIKE),
            "It is not shown to have helped: M_1 and M_0 cannot be told apart on any of 2 benchmarks",
        ),
        (
            pair(boolq=NEAR),
            "It is not shown to have helped: M_1 and M_0 cannot be told apart on BoolQ (+2.0 points, 95 % interval",
        ),
        (pair(boolq=ALIKE), "It is not shown to have helped: M_1 and M_0 cannot be told apart on BoolQ; no mean differs."),
    ],
    ids=["better", "worse", "both", "one of two", "not told", "one", "alike"],
)
def test_the_first_words_answer_whether_it_helped(compared, said):
    assert verdicts.helped(compared).startswith(said)
    assert verdicts.of_run([compared], None).said.startswith(said)


def test_what_is_not_shown_on_some_benchmarks_is_counted():
    assert verdicts.helped(pair(boolq=BETTER, piqa=NEAR)).endswith("; no difference is shown on 1 of 2.")
    assert ", and worse on PIQA (-50.0 points" in verdicts.helped(pair(boolq=BETTER, piqa=WORSE))


def test_p_values_in_words_are_those_after_holm():
    alone, beside = pair(boolq=(range(10), range(17))), pair(boolq=(range(10), range(17)), piqa=ALIKE, social_iqa=ALIKE)
    assert verdicts.helped(alone).startswith("It helped: ")
    assert "p 0.016 after Holm" in verdicts.helped(alone)
    assert "p 0.047 after Holm" in verdicts.helped(beside), "three tests, so three times as much"


@pytest.mark.parametrize(
    ("against_base", "said"),
    [
        ([], "Whether it helped cannot be said yet: no trained model is evaluated."),
        ([pair()], "Whether it helped cannot be said yet: no benchmark was asked of both models."),
        ([pair({"boolq": "other subset: 1 and 2"})], "Whether it helped cannot be said yet: other subset: 1 and 2."),
    ],
    ids=["base only", "nothing", "not comparable"],
)
def test_where_nothing_can_be_compared_the_reason_is_said(against_base, said):
    told = verdicts.of_run(against_base, None)
    assert (told.said, told.parts) == (said, ())


def test_tests_that_show_nothing_are_folded_below_their_number_and_the_others_are_open():
    shown, folded = verdicts.of_run([pair(boolq=BETTER, piqa=NEAR, arc_easy=ALIKE)], None).parts
    assert [row["benchmark"] for row in shown.rows] == ["BoolQ"]
    assert isinstance(folded, Folded) and folded.line == "no difference shown: 2 of 3 tests"
    assert [row["benchmark"] for row in folded.table.rows] == ["PIQA", "ARC easy"]
    assert verdicts.tests([]).said == "There is no earlier evaluation to compare with."
    assert len(verdicts.tests([pair(boolq=NEAR)] * 2).parts[0].table.rows) == 2


def test_what_is_left_out_of_a_comparison_is_named():
    assert "Not compared: PIQA (other items)." in verdicts.of_run([pair({"piqa": "other items"}, boolq=NEAR)], None).said
    assert "Left out: PIQA (M_0 to M_1): other items." in verdicts.tests([pair({"piqa": "other items"}, boolq=NEAR)]).said


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (pair(boolq=BETTER), ""),
        (pair(boolq=ALIKE), "With the items asked, a difference must be 7.8 points to be seen four times in five."),
        (
            pair(boolq=NEAR),
            "; to see one as large as that on BoolQ (+2.0), it would have taken about 390 items in place of 100.",
        ),
        (
            Compared("M_0", "M_1", {"boolq": compare(side(range(2), 4), side(range(3), 4))}, {}),
            "With as few items nothing could have been seen; to see one as large as that on BoolQ (+25.0)",
        ),
    ],
    ids=["all shown", "nothing differs", "too few for so little", "hardly any"],
)
def test_what_it_would_have_taken_is_said_of_what_is_not_shown(found, said):
    told = verdicts.needed(found.found)
    assert said in told if said else told == ""


@pytest.mark.parametrize("right", [range(11), range(12), range(14)], ids=len)
def test_the_number_of_items_needed_is_the_least_that_would_do(right):
    found = compare(side(range(10)), side(right))
    needed = items_needed(found)
    differing = (found.only_before + found.only_after) / found.items
    assert smallest_detectable(needed, differing, found.step) <= found.difference
    fewer = smallest_detectable(needed - 1, differing, found.step)
    assert fewer is None or fewer > found.difference
    assert items_needed(compare(side(range(10)), side(range(10)))) is None


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (
            {"a": 10, "b": 20, "c": 30},
            "The answers became shorter: 120 characters before, 20 after, in the mean over 3 open items",
        ),
        ({"a": 510, "b": 520, "c": 530}, "The answers became longer: 120 characters before, 520 after"),
        ({"a": 100, "b": 140, "c": 120}, "The answers stayed about as long: 120 characters before, 120 after"),
        ({}, "No open answers were asked of both models"),
    ],
    ids=["shorter", "longer", "as long", "none"],
)
def test_it_is_said_whether_answers_became_shorter(after, said):
    before = {"a": 110, "b": 120, "c": 130, "d": 9999}
    assert verdicts.length_words(compare_lengths(before, after)).startswith(said)


def test_lengths_are_compared_on_shared_items_in_any_order():
    one = compare_lengths({"a": 1, "b": 5}, {"b": 2, "a": 4, "c": 7})
    assert one == compare_lengths({"b": 5, "a": 1}, {"c": 1, "a": 4, "b": 2})
    assert (one.items, one.before, one.after, one.difference) == (2, 3.0, 3.0, 0.0)


def test_the_figure_of_what_changed_is_never_narrower_than_five_points_a_side_and_counts_what_is_alike():
    (axis,) = run_figures.differences([pair(boolq=NEAR, piqa=ALIKE)]).axes
    low, high = axis.get_xlim()
    assert low == -high and high >= 5
    assert "1 more benchmark(s)" in axis.get_title(loc="left")
    assert [label.get_text() for label in axis.get_yticklabels()] == ["BoolQ"]
    assert axis.title.get_fontsize() >= max(label.get_fontsize() for label in axis.get_yticklabels())
    assert not run_figures.differences([]).axes


def test_each_model_has_a_marker_of_its_own_which_a_reader_without_colours_tells_apart():
    found = [Compared("M_0", f"M_{k}", pair(boolq=NEAR).found, {}) for k in range(1, 5)]
    drawn, names = run_figures.differences(found).axes[0].get_legend_handles_labels()
    assert names == ["M_1", "M_2", "M_3", "M_4"]
    assert len({bar[0].get_marker() for bar in drawn}) == 4
