"""Figures: each is drawn from nothing, from one row and from many."""

from types import SimpleNamespace

import numpy as np
import pytest

from isheep_lib.analysis.collapse import SIGNS
from isheep_lib.assess.reliability_check import Check, calibration, reliability
from isheep_lib.assess.scoring import Scores
from isheep_lib.benchmarks.catalogue import BENCHMARKS
from isheep_lib.display import figures

pytestmark = pytest.mark.usefixtures("no_warnings")
KINDS = ("shuffled", "truncated", "wrong_task")
NAMES = ["expected_quality", "greedy_quality", "pmi", "perplexity_pair"]
SWEEP = SimpleNamespace(comparison="above", threshold=2.0)


def rows(number, start=0.0, names=NAMES):
    return [Scores(f"p{n}", dict.fromkeys(names, start + n + 1)) for n in range(number)]


def made_check(number, names=NAMES, kinds=KINDS, read=NAMES):
    true, wrong = rows(number, names=read), {kind: rows(number, i / 2, read) for i, kind in enumerate(kinds)}
    found = [reliability(true, side, name, 100, 1, kind) for name in names for kind, side in wrong.items()]
    return Check(true, wrong, found, names)


def made_metrics(*names, value=20.0, error=1.5, sign=0.5):
    tasks = {
        name: {
            "metric": BENCHMARKS[name].metric,
            "subset": "8 of 64 (seed 0)",
            "values": {BENCHMARKS[name].metric: {"value": value, "standard_error": error, "items": 8}},
        }
        for name in names
    }
    return {"tasks": tasks, "signs": dict.fromkeys(SIGNS, sign)}


def over_iterations(*checks):
    return {k: calibration([], check) for k, check in enumerate(checks, start=1)}


LOG = [{"step": 1, "loss": 2.0, "learning_rate": 1e-4, "grad_norm": 1.0}, {"step": 1, "eval_loss": 2.1}]
NUMBERS = {"accuracy": 0.5, "margin": 0.0, "chosen": -1.0, "rejected": -2.0}
OF_PAIRS = [LOG[0] | NUMBERS, LOG[1] | {f"eval_{name}": value for name, value in NUMBERS.items()}]
SCORED = [{"scores": {"a": float(n), "b": 9.0}} for n in range(9)] + [{"scores": {"a": 1.0}}]
ONE, TWO = made_metrics("arc_easy", "nq_open"), made_metrics("nq_open", "arc_easy", value=30.0)
DRAWN = {
    "funnel of nothing": lambda: figures.funnel({"in": 0, "kept": 0, "dropped": {}}, "pairs"),
    "funnel": lambda: figures.funnel({"in": 5, "kept": 2, "dropped": {"cut_off": 2, "echo": 1}}, "pairs"),
    "lengths of nothing": lambda: figures.lengths([]),
    "lengths of one": lambda: figures.lengths([{"instruction": "Do.", "output": ""}]),
    "lengths": lambda: figures.lengths([{"instruction": "a b" * n, "output": "c " * n} for n in range(9)]),
    "no check": lambda: figures.calibration(Check([], {}, [], [])),
    "a check of one column": lambda: figures.calibration(made_check(12, NAMES[:1])),
    "a check of one pair": lambda: figures.calibration(made_check(1)),
    "a check": lambda: figures.calibration(made_check(12)),
    "a check of nothing readable": lambda: figures.calibration(made_check(6, read=[])),
    "a check whose first column is unread": lambda: figures.calibration(made_check(6, read=NAMES[1:])),
    "a check without wrong pairs": lambda: figures.calibration(made_check(6, kinds=())),
    "no iterations": lambda: figures.calibration_over_iterations({}),
    "one iteration": lambda: figures.calibration_over_iterations(over_iterations(made_check(6))),
    "iterations": lambda: figures.calibration_over_iterations(over_iterations(made_check(6), made_check(9, NAMES[1:]))),
    "iterations without a readable score": lambda: figures.calibration_over_iterations(over_iterations(made_check(6, read=[]))),
    "iterations without wrong pairs": lambda: figures.calibration_over_iterations(over_iterations(made_check(6, kinds=()))),
    "a sweep without a threshold": lambda: figures.threshold_sweep(SCORED, [], SWEEP),
    "a sweep of nothing": lambda: figures.threshold_sweep([], ["a"], SWEEP),
    "a sweep of one": lambda: figures.threshold_sweep(SCORED[:1], ["a"], SWEEP),
    "a sweep": lambda: figures.threshold_sweep(SCORED, ["a", "b"], SWEEP),
    "training without a held-out loss": lambda: figures.training_curves(LOG[:1]),
    "training": lambda: figures.training_curves(LOG),
    "training on pairs": lambda: figures.training_curves(OF_PAIRS, "nats per pair"),
    "scores of no benchmark": lambda: figures.scores(made_metrics(), None),
    "scores of one item": lambda: figures.scores(made_metrics("nq_open", error=None), None),
    "scores": lambda: figures.scores(ONE, TWO),
    "scores that the model before lacks": lambda: figures.scores(TWO, made_metrics("piqa")),
    "scores of no model": lambda: figures.scores_over_iterations({}),
    "scores of one model": lambda: figures.scores_over_iterations({0: ONE}),
    "scores of models": lambda: figures.scores_over_iterations({0: ONE, 1: TWO, 3: made_metrics("piqa", error=None)}),
    "drift of no model": lambda: figures.drift_over_iterations({}),
    "drift of one model": lambda: figures.drift_over_iterations({0: ONE}),
    "drift of a model with too few answers": lambda: figures.drift_over_iterations({0: made_metrics(sign=None), 1: ONE}),
}


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_is_drawn_without_a_warning(name):
    assert DRAWN[name]()._repr_png_().startswith(b"\x89PNG")


def test_a_training_on_pairs_shows_margin_accuracy_and_both_log_probabilities():
    plain, of_pairs = (figures.training_curves(log).axes for log in (LOG, OF_PAIRS))
    assert [axis.get_ylabel() for axis in plain] == ["loss (nats per token)", "learning rate", "gradient norm"]
    assert [axis.get_ylabel() for axis in of_pairs[3:]] == ["margin", "pairs with a margin above 0", "log p (nats per token)"]
    assert [text.get_text() for text in of_pairs[5].get_legend().get_texts()] == ["chosen, held out", "rejected, held out"]


def test_the_same_data_give_the_same_bytes():
    assert DRAWN["iterations"]()._repr_png_() == DRAWN["iterations"]()._repr_png_()


def test_a_check_names_every_kind_of_pairs_with_its_auroc():
    (axis,) = [a for a in figures.calibration(made_check(12, NAMES[:1])).axes if a.get_visible()]
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["true pairs", "shuffled", "truncated", "wrong task"]
    assert all(float(tick).is_integer() for tick in axis.get_yticks()), "there is no half of a pair"
    assert axis.get_title(loc="left").startswith("AUROC 0.50 (shuffled)\nAUROC 0.")
    assert axis.get_xlabel() == "expected quality (1 to 10)"


def test_the_legend_stands_where_something_is_drawn():
    found = figures.calibration(made_check(6, read=NAMES[1:])).axes
    assert [axis.get_legend() is not None for axis in found[:2]] == [False, True]


def test_only_scores_with_a_top_have_a_line_for_mean_and_saturation():
    found = figures.calibration_over_iterations(over_iterations(made_check(6), made_check(6))).axes
    shown = [axis for axis in found if axis.get_visible()]
    assert [len(axis.get_lines()) for axis in shown] == [*[len(NAMES) + 1] * 3, 2, 2]
    assert list(shown[0].get_xticks()) == [1, 2]
    assert [axis.get_ylabel() for axis in shown[:3]] == [
        f"AUROC against {kind}" for kind in ("shuffled", "truncated", "wrong task")
    ]


@pytest.mark.parametrize("comparison", ["above", "at_least", "below", "at_most"])
def test_a_sweep_says_what_each_threshold_would_keep_of_all_pairs(comparison):
    values = [0.5, 3.0, 1.0, 2.0]
    scored = [*({"scores": {"a": value, "b": 1.5}} for value in values), {"scores": {"b": 1.5}}]
    axis = figures.threshold_sweep(scored, ["a", "b"], SimpleNamespace(comparison=comparison, threshold=2.0)).axes[1]
    line = axis.get_lines()[0]
    upwards = comparison in ("above", "at_least")
    deciding = sorted((min if upwards else max)(value, 1.5) for value in values)
    assert list(line.get_xdata()) == deciding
    between = [(a + b) / 2 for a, b in zip(deciding, [*deciding[1:], deciding[-1] + 1], strict=True)]
    for threshold, next_one, share in zip(between, [*deciding[1:], 99.0], line.get_ydata(), strict=True):
        if threshold < next_one:  # of equal scores the last step counts
            assert share == pytest.approx(sum(v > threshold if upwards else v < threshold for v in deciding) / len(scored))


def heights(figure):
    """Return the value of each bar by series."""
    (axis,) = figure.axes
    return {group.get_label(): [bar.get_width() for bar in group] for group in axis.containers if hasattr(group, "patches")}


def test_each_benchmark_has_a_bar_a_model_and_names_its_items():
    figure = figures.scores(ONE, TWO)
    assert heights(figure) == {"model before": [30.0, 30.0], "this model": [20.0, 20.0]}
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == [f"{BENCHMARKS[name].title} (8 of 64 (seed 0))" for name in ("arc_easy", "nq_open")]
    assert heights(figures.scores(ONE, None)) == {"this model": [20.0, 20.0]}


def test_the_bar_of_a_benchmark_is_its_first_metric():
    metrics = made_metrics("arc_easy")
    metrics["tasks"]["arc_easy"]["values"] = {"acc": {"value": 1.0, "standard_error": 1.0}} | ONE["tasks"]["arc_easy"]["values"]
    assert heights(figures.scores(metrics, None)) == {"this model": [20.0]}


def panels(figure):
    """Return the points of each panel by its title."""
    shown = [axis for axis in figure.axes if axis.get_visible()]
    lines = {axis.get_title(loc="left").replace("\n", " "): axis.get_lines()[0] for axis in shown}
    return {title: dict(zip(line.get_xdata(), line.get_ydata(), strict=True)) for title, line in lines.items()}


def test_every_benchmark_has_a_panel_over_iterations_with_gaps_where_it_was_not_evaluated():
    found = panels(figures.scores_over_iterations({0: made_metrics("arc_easy"), 2: TWO}))
    assert list(found) == [f"{BENCHMARKS[name].title} (%)" for name in ("arc_easy", "nq_open")]
    arc, nq = found.values()
    assert arc == {0: 20.0, 2: 30.0}
    assert (list(nq), nq[2], nq[0] == nq[0]) == ([0, 2], 30.0, False)


def test_small_differences_look_small_and_titles_are_larger_than_ticks():
    drift = figures.drift_over_iterations({0: made_metrics(sign=0.438), 1: made_metrics(sign=0.445)})
    shown = [axis for axis in drift.axes if axis.get_visible()]
    ends = (-figures.END, 1 + figures.END)  # a point at 0 or 1 is whole
    assert [axis.get_ylim() for axis in shown] == [pytest.approx(ends)] * len(SIGNS)
    assert all(axis._left_title.get_fontsize() > axis.get_yticklabels()[0].get_fontsize() for axis in shown)
    loss = figures.training_curves([LOG[0], {"step": 1, "eval_loss": 2.0001}, {"step": 2, "eval_loss": 2.0002}]).axes[0]
    low, high = loss.get_ylim()
    assert high - low == pytest.approx(0.1, abs=0.001)


def test_legends_name_only_what_is_drawn_and_lines_differ_in_grey():
    one_unread = made_check(6, NAMES[:1])
    one_unread.wrong["truncated"][:] = rows(6, names=[])
    (axis,) = [a for a in figures.calibration(one_unread).axes if a.get_visible()]
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["true pairs", "shuffled", "wrong task"]
    (loss, *_) = figures.training_curves(LOG[:1]).axes
    assert [text.get_text() for text in loss.get_legend().get_texts()] == ["training"]
    lines = figures.calibration_over_iterations(over_iterations(made_check(6), made_check(6))).axes[0].get_lines()
    looks = [(line.get_marker(), line.get_linestyle()) for line in lines]
    assert len(set(looks[: len(NAMES)])) == len(NAMES)


def test_every_sign_has_a_panel_over_iterations():
    found = panels(figures.drift_over_iterations({0: made_metrics(sign=0.25), 1: made_metrics(sign=0.75)}))
    assert list(found) == list(SIGNS.values())
    assert all(points == {0: 0.25, 1: 0.75} for points in found.values())


def drawn(figure):
    """Return the places of each group's points, the ring's last, and the names in the legend."""
    (axis,) = figure.axes
    legend = [text.get_text() for text in axis.get_legend().get_texts()] if axis.get_legend() else []
    return [part.get_offsets().tolist() for part in axis.collections], legend


PLACES = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])


def test_points_lie_at_their_places_by_group_and_the_marked_one_is_ringed():
    figure = figures.points(PLACES, ["kept", "cut_off", "kept"], ("x", "y"), "by words", marked=1)
    assert drawn(figure) == ([[[0.0, 1.0], [4.0, 5.0]], [[2.0, 3.0]], [[2.0, 3.0]]], ["kept (2)", "cut_off (1)"])
    axis = figure.axes[0]
    assert (axis.get_xlabel(), axis.get_ylabel(), axis.get_title(loc="left")) == ("x", "y", "by words")
    unmarked, _ = drawn(figures.points(PLACES, ["kept", "cut_off", "kept"], ("x", "y"), ""))
    assert len(unmarked) == 2


@pytest.mark.parametrize("places", [np.zeros((0, 2)), np.zeros((1, 2)), np.full((3, 2), 4.0)], ids=["none", "one", "same"])
def test_maps_of_nothing_and_of_one_place_can_be_shown(places):
    assert figures.points(places, ["a"] * len(places), ("x", "y"), "title")._repr_png_()


def test_the_same_points_give_the_same_bytes_and_dollar_signs_are_no_formulas():
    one, other = (figures.points(PLACES, ["$\\x$", "b", "c"], ("x", "y"), "$\\nothing$ <b>", 2)._repr_png_() for _ in range(2))
    assert one == other


def test_groups_beyond_the_palette_share_one_colour():
    number = len(figures.GROUPS) + 2
    figure = figures.points(np.eye(number, 2), [f"g{i}" for i in range(number)], ("x", "y"), "")
    colours = [tuple(part.get_facecolor()[0]) for part in figure.axes[0].collections]
    assert colours[-1] == colours[-2]
    assert len(set(colours)) == number - 1
