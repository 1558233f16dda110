"""Tables of evaluations: what is shown, what is escaped, what is never said without a test."""

import pytest

from isheep_lib.analysis import significance
from isheep_lib.analysis.collapse import SIGNS
from isheep_lib.analysis.contamination import Hit
from isheep_lib.analysis.significance import compare
from isheep_lib.benchmarks.catalogue import BENCHMARKS
from isheep_lib.benchmarks.comparison import Compared
from isheep_lib.benchmarks.data import Chosen, Suite
from isheep_lib.benchmarks.ifeval import ACCURACIES
from isheep_lib.display import evaluation_tables
from isheep_lib.display.evaluation_tables import METRICS, difference, practice_table, scores_table, types_table
from isheep_lib.record import manifests

HOSTILE = "<script>go()</script> & more"


def chosen(name, number=1, total=None, **doc):
    docs = [{"item_id": str(i), **doc} for i in range(number)]
    return Chosen(BENCHMARKS[name], docs, total or number, "0123456789" * 6, "some-package==1.0", 0, docs)


def task(name, *, value=20.0, error=1.25, trained_on=0, clean=None, subset="all 64"):
    metric = BENCHMARKS[name].metric
    values = {metric: {"value": value, "standard_error": error, "items": 64}}
    return {
        "metric": metric,
        "subset": subset,
        "digest": "d",
        "values": values,
        "trained_on": trained_on,
        "clean": values if clean is None else clean,
    }


def made(*tasks, frame="chatml", absent=(), signs=None):
    """Make the metrics of a model that was evaluated on these tasks."""
    known = dict.fromkeys(SIGNS, 0.25) | {"answers": 64} | (signs or {})
    named = dict(tasks)
    return {"tasks": named, "answered": {}, "absent": dict.fromkeys(absent, "why"), "signs": known, "frame": frame}


def record(run_dir, iteration, metrics, stage="evaluate"):
    folder = manifests.stage_folder(run_dir, iteration, stage)
    manifests.write_manifest(folder, {"stage": stage, "iteration": iteration})
    if metrics is not None:
        manifests.write_manifest(folder, metrics, "metrics.json")


def html(table):
    return table._repr_html_()


@pytest.mark.parametrize(
    ("sandbox", "said"),
    [("bubblewrap", "run in a sandbox (bubblewrap)"), ("unconfined", "run UNCONFINED"), ("", "")],
)
def test_the_suite_says_what_confines_programs(sandbox, said):
    caption = evaluation_tables.suite_table(Suite([chosen("humaneval")], {}, sandbox), 0).caption
    assert (said in caption) if said else caption == ""


def test_the_suite_shows_items_metric_data_and_examples_and_what_is_left_out():
    suite = Suite([chosen("mmlu", 4, 14042), chosen("mt_bench")], {"squadv2": "no package ships it"})
    mmlu, bench, left = evaluation_tables.suite_table(suite, 5).rows
    assert mmlu == {
        "benchmark": "MMLU",
        "items": "4 of 14042 (seed 0)",
        "split": BENCHMARKS["mmlu"].split,
        "examples before": 5,
        "metric": "accuracy",
        "data": "some-package==1.0, 01234567",
        "licence": BENCHMARKS["mmlu"].licence,
    }
    assert (bench["items"], bench["metric"], bench["examples before"]) == ("all 1", "by the stage judge", 0)
    assert left == {"benchmark": "SQuAD2.0", "items": "left out", "data": "no package ships it"}


def test_every_metric_that_a_benchmark_may_show_first_has_a_title():
    shown = {b.metric for b in BENCHMARKS.values() if b.kind != "judged"}
    assert shown | set(ACCURACIES) <= set(METRICS)
    assert len(set(METRICS.values())) == len(METRICS)


def test_a_score_stands_beside_that_of_the_model_before():
    now, before = made(("arc_easy", task("arc_easy"))), made(("arc_easy", task("arc_easy", value=30.0)))
    assert evaluation_tables.scores_table(now, before).rows == [
        {
            "benchmark": BENCHMARKS["arc_easy"].title,
            "items": "all 64",
            "metric": "accuracy, by length",
            "percent": "20.0 ± 1.2",
            "model before": "30.0 ± 1.2",
        }
    ]
    assert "model before" not in evaluation_tables.scores_table(now).columns


def test_a_benchmark_that_the_model_before_was_not_asked_says_so():
    now, before = made(("nq_open", task("nq_open"))), made(("arc_easy", task("arc_easy")))
    assert evaluation_tables.scores_table(now, before).rows[0]["model before"] == "not evaluated"


def test_a_score_of_one_item_has_no_error_and_says_so():
    metrics = made(("nq_open", task("nq_open", error=None)))
    assert evaluation_tables.scores_table(metrics).rows[0]["percent"] == "20.0 ± not defined"


def test_scores_without_items_trained_on_stand_beside_the_others():
    clean = {"acc_norm": {"value": 18.0, "standard_error": 2.0, "items": 60}}
    metrics = made(
        ("arc_easy", task("arc_easy", trained_on=4, clean=clean)),
        ("nq_open", task("nq_open")),
        ("piqa", task("piqa", trained_on=64, clean={})),
    )
    rows = evaluation_tables.scores_table(metrics).rows
    assert [row["clean items only"] for row in rows] == ["18.0 ± 2.0 (60)", "the same", "no clean item"]
    assert "clean items only" not in evaluation_tables.scores_table(made(("nq_open", task("nq_open")))).columns


def test_scores_name_the_benchmarks_without_data():
    caption = evaluation_tables.scores_table(made(("nq_open", task("nq_open")), absent=["squadv2", "gpqa_diamond"])).caption
    assert "SQuAD2.0 was left out" in caption
    assert "GPQA" in caption


def hit(benchmark, text, number=0):
    return Hit(f"row-{number}", "instruction", benchmark, f"item-{number}", "exact", text)


def test_words_of_private_benchmarks_are_never_shown():
    assert BENCHMARKS["gpqa_diamond"].private
    table = evaluation_tables.hits_table([hit("gpqa_diamond", "secret question"), hit("arc_easy", "public question")])
    assert [row["shared words"] for row in table.rows] == ["not shown", "public question"]
    assert "secret" not in html(table) + repr(table)


def test_the_first_repetitions_are_shown_and_all_are_counted():
    table = evaluation_tables.hits_table([hit("arc_easy", "w " * 200, n) for n in range(25)])
    assert len(table.rows) == 20
    assert table.caption == "25 repetition(s) of benchmark items, the first 20"
    assert (table.rows[3]["item"], table.rows[3]["row"], table.rows[3]["where"]) == ("item-3", "row-3", "instruction")
    assert len(table.rows[0]["shared words"]) < 160
    assert evaluation_tables.hits_table([hit("arc_easy", "a")]).caption == "1 repetition(s) of benchmark items"


def test_no_repetition_is_said_in_words():
    assert "none" in repr(evaluation_tables.hits_table([]))


def sides(number, before, after):
    """Return the values of two models that have the first items right, so many each."""
    return compare(*({str(i): [float(i < right)] for i in range(number)} for right in (before, after)))


def pair(before, after, left_out=None, **found):
    return Compared(before, after, found, left_out or {})


def test_better_and_worse_are_said_where_the_test_says_so():
    table = evaluation_tables.comparison_table(
        [pair("M_0", "M_1", arc_easy=sides(100, 20, 60), piqa=sides(100, 60, 20), nq_open=sides(100, 20, 22))]
    )
    assert [row["verdict"] for row in table.rows] == ["improved", "worse", "no difference shown"]
    assert [row["benchmark"] for row in table.rows] == [BENCHMARKS[n].title for n in ("arc_easy", "piqa", "nq_open")]
    assert "Holm over the benchmarks of two models" in table.caption


def test_a_verdict_is_that_of_significance_alone(monkeypatch):
    monkeypatch.setattr(significance, "verdict", lambda *_: "as told")
    table = evaluation_tables.comparison_table([pair("M_0", "M_1", arc_easy=sides(100, 20, 90), nq_open=sides(100, 90, 20))])
    assert [row["verdict"] for row in table.rows] == ["as told", "as told"]
    said = " ".join(str(value) for row in table.rows for value in row.values()) + table.caption
    assert "improved" not in said
    assert "worse" not in said


def test_the_benchmarks_of_two_models_are_one_family():
    one = sides(12, 0, 6)  # p = 0.03
    alone = evaluation_tables.comparison_table([pair("M_1", "M_2", arc_easy=one), pair("M_0", "M_2", arc_easy=one)])
    assert [(row["models"], row["verdict"]) for row in alone.rows] == [("M_1 to M_2", "improved"), ("M_0 to M_2", "improved")]
    both = evaluation_tables.comparison_table([pair("M_1", "M_2", arc_easy=one, nq_open=one)])
    assert {row["verdict"] for row in both.rows} == {"no difference shown"}


def test_comparisons_that_were_left_out_are_named_with_why():
    left = {"nq_open": "M_0 was not evaluated on it", "squadv2": "other digest: a and b"}
    table = evaluation_tables.comparison_table([pair("M_0", "M_1", left, arc_easy=sides(100, 20, 60))])
    assert "left out: NQ (M_0 to M_1): M_0 was not evaluated on it" in table.caption
    assert "left out: SQuAD2.0 (M_0 to M_1): other digest: a and b" in table.caption
    nothing = evaluation_tables.comparison_table([pair("M_0", "M_1", left)])
    assert "nothing can be compared" in repr(nothing)
    assert "M_0 was not evaluated on it" in nothing.caption


def test_without_an_earlier_evaluation_nothing_is_compared():
    assert "no earlier evaluation" in repr(evaluation_tables.comparison_table([]))


def test_signs_stand_beside_those_of_the_model_before_and_none_is_said_in_words():
    now = made(signs={"distinct_2": None, "mean_words": 11.0})
    before = made(signs={"mean_words": 12.0, "cut_off_rate": None})
    rows = {row["sign"]: row for row in evaluation_tables.signs_table(now, before).rows}
    assert list(rows) == list(SIGNS.values())
    assert rows[SIGNS["distinct_2"]] == {"sign": SIGNS["distinct_2"], "value": "too few answers", "model before": 0.25}
    assert (rows[SIGNS["mean_words"]]["value"], rows[SIGNS["mean_words"]]["model before"]) == (11.0, 12.0)
    assert rows[SIGNS["cut_off_rate"]]["model before"] == "too few answers"
    assert "model before" not in evaluation_tables.signs_table(now).columns
    assert "None" not in html(evaluation_tables.signs_table(now, before))


def test_a_sign_of_zero_is_a_value():
    assert evaluation_tables.sign(made(signs={"refusal_rate": 0.0}), "refusal_rate") == 0.0


def answered():
    suite = Suite([chosen(name, 2) for name in ("gpqa_diamond", "ifeval", "mt_bench", "humaneval")], {})
    rows = {
        "gpqa_diamond": [{"id": str(i), "scores": {"acc": 1.0}, "logprobs": [-1.0]} for i in range(2)],
        "ifeval": [{"id": str(i), "answer": HOSTILE, "scores": {"prompt_strict": 0.0, "prompt_loose": 1.0}} for i in range(2)],
        "mt_bench": [{"id": str(i), "answers": ["first turn", HOSTILE]} for i in range(2)],
        "humaneval": [
            {"id": str(i), "answer": "", "scores": {"pass_at_1": 0.0}, "outcome": "error", "detail": HOSTILE} for i in range(2)
        ],
    }
    return suite, rows


def test_what_a_model_wrote_is_escaped():
    suite, rows = answered()
    shown = html(evaluation_tables.answers_table(suite, rows, 2, 1)) + html(
        evaluation_tables.hits_table([hit("arc_easy", HOSTILE)])
    )
    assert "&lt;script&gt;go()&lt;/script&gt; &amp; more" in shown
    assert "<script>" not in shown


def test_open_answers_are_shown_with_how_they_were_graded_and_choices_are_not():
    suite, rows = answered()
    found = evaluation_tables.answers_table(suite, rows, 1, 1).rows
    assert [row["benchmark"] for row in found] == ["IFEval", "MT-Bench", "HumanEval"]
    assert found[0]["grade"] == "prompt-level strict 0, prompt-level loose 1"
    assert found[1]["answer"] == f"first turn\n\n{HOSTILE}"
    assert (found[1]["grade"], found[2]["grade"]) == ("", f"pass@1 0 (error: {HOSTILE})")
    assert len(evaluation_tables.answers_table(suite, rows, 9, 1).rows) == 6


@pytest.fixture
def run_dir(tmp_path):
    """Return a run with the base model and two trained ones evaluated, and other stages."""
    record(tmp_path, 0, made(("arc_easy", task("arc_easy")), frame="plain"))
    record(tmp_path, 10, made(("arc_easy", task("arc_easy", value=21.0, subset="8 of 64 (seed 0)"))))
    record(tmp_path, 2, made(("arc_easy", task("arc_easy", value=22.0)), ("nq_open", task("nq_open"))))
    record(tmp_path, 1, None)
    record(tmp_path, 3, made(), "filter")
    return tmp_path


def test_metrics_are_those_of_evaluated_iterations_in_their_order(run_dir):
    assert list(evaluation_tables.metrics_of(run_dir)) == [0, 2, 10]


def test_results_show_every_metric_with_a_column_a_model(run_dir):
    table = evaluation_tables.results_table(evaluation_tables.metrics_of(run_dir))
    assert table.columns == ["benchmark", "items", "metric", "M_0 (base)", "M_2", "M_10"]
    arc, nq = table.rows
    assert (arc["M_0 (base)"], arc["M_2"], arc["M_10"]) == ("20.0 ± 1.2", "22.0 ± 1.2", "21.0 ± 1.2")
    assert arc["items"] == "8 of 64 (seed 0) / all 64"  # different subsets are both named
    assert (nq["M_0 (base)"], nq["M_2"]) == ("not evaluated", "20.0 ± 1.2")


def test_a_run_without_an_evaluation_can_be_shown(tmp_path):
    found = evaluation_tables.metrics_of(tmp_path)
    assert evaluation_tables.results_table(found).caption == "no evaluation yet"
    assert evaluation_tables.drift_table(found).rows == [{"sign": title} for title in SIGNS.values()]
    assert "none" in repr(evaluation_tables.warnings_table(found))


def test_drift_has_a_column_a_model_and_says_how_many_answers_each_rests_on():
    found = {0: made(signs={"answers": 64}), 3: made(signs={"answers": 12, "distinct_1": None})}
    table = evaluation_tables.drift_table(found)
    assert table.columns == ["sign", "M_0 (base)", "M_3"]
    assert table.caption == "of 64 (M_0 (base)), 12 (M_3) open answers"
    row = next(row for row in table.rows if row["sign"] == SIGNS["distinct_1"])
    assert (row["M_0 (base)"], row["M_3"]) == (0.25, "too few answers")


def warned(table):
    return [(row["iteration"], row["against"], row["sign"]) for row in table.rows]


def test_a_sign_that_moved_too_far_is_a_warning():
    found = {1: made(signs={"median_words": 40.0}), 2: made(signs={"median_words": 15.0})}
    assert warned(evaluation_tables.warnings_table(found)) == [("2", "1", SIGNS["median_words"])]
    steady = {1: made(), 2: made()}
    assert evaluation_tables.warnings_table(steady).rows == [{"warnings": "none: no sign moved further than its rule allows"}]


def test_a_base_model_in_another_frame_is_no_measure_of_a_collapse():
    series = {1: made(signs={"median_words": 15.0}), 2: made(signs={"median_words": 15.0})}
    other = {0: made(signs={"median_words": 200.0}, frame="plain"), **series}
    same = {0: made(signs={"median_words": 200.0}), **series}
    assert "none" in evaluation_tables.warnings_table(other).rows[0]["warnings"]
    assert warned(evaluation_tables.warnings_table(same)) == [
        ("1", "0", SIGNS["median_words"]),
        ("2", "0", SIGNS["median_words"]),
    ]


@pytest.mark.parametrize(
    ("value", "error", "items", "shown"),
    [
        (0.0, 0.0, 32, "0.0 (< 8.9)"),
        (100.0, 0.0, 32, "100.0 (> 91.1)"),
        (0.0, None, 1, "0.0 ± not defined"),
        (50.0, 8.9, 32, "50.0 ± 8.9"),
    ],
)
def test_items_that_all_came_out_alike_have_a_bound_and_no_error_of_zero(value, error, items, shown):
    assert evaluation_tables.with_error({"value": value, "standard_error": error, "items": items}) == shown


def followed_metrics(**more):
    accuracy = {"value": 50.0, "standard_error": 10.0, "items": 2}
    task = {"subset": "all 2", "values": dict.fromkeys(ACCURACIES, accuracy), "trained_on": 0, "clean": {}, **more}
    return {"tasks": {"ifeval": task}, "absent": {}}


def test_accuracies_are_also_shown_without_prompts_whose_check_draws():
    settled = {name: {"value": 40.0, "standard_error": 9.0, "items": 1} for name in ACCURACIES}
    plain, both = (scores_table(followed_metrics(**more)).rows for more in ({}, {"without_chance": settled}))
    assert len(plain) == 4 and both[:4] == plain
    assert {(row["items"], row["percent"]) for row in both[4:]} == {("1 prompts", "40.0 ± 9.0")}


def test_types_are_shown_with_whether_they_were_practised():
    types = {"a:x": {"items": 2, "strict": 50.0, "loose": 100.0}, "b:y": {"items": 1, "strict": 0.0, "loose": 0.0}}
    assert "practised" not in types_table(followed_metrics(types=types)).columns
    rows = types_table(followed_metrics(types=types, practised={"types": ["a:x"]})).rows
    assert [(row["type"], row["instructions"], row["followed, strict"], row["practised"]) for row in rows] == [
        ("a:x", 2, "50 %", "yes"),
        ("b:y", 1, "0 %", "no"),
    ]
    assert types_table({"tasks": {}}).rows == [{"types of instructions": "neither IFEval nor IFBench was asked"}]


def test_practised_types_stand_beside_the_others_with_a_test_against_the_base_model():
    accuracy = {"value": 50.0, "standard_error": 10.0, "items": 2}
    practised = {"types": ["a:x"], "strict": {"seen": accuracy}, "loose": {"seen": accuracy}}
    compared = {"ifeval": {"seen": compare({"1": [0.0], "2": [1.0]}, {"1": [1.0], "2": [1.0]})}}
    rows = practice_table(followed_metrics(practised=practised), compared).rows
    assert [(row["types"], row["percent"], row["against the base model"]) for row in rows] == [
        ("practised in training", "50.0 ± 10.0", difference(compared["ifeval"]["seen"])),
        ("practised in training", "50.0 ± 10.0", ""),
        ("not practised", "none", ""),
        ("not practised", "none", ""),
    ]
    assert difference(compared["ifeval"]["seen"]).startswith("+50.0 (")
    assert "no row that the model was trained on" in str(practice_table(followed_metrics(), {}).rows)
