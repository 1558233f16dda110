"""Tables from records."""

from types import SimpleNamespace

import pytest

from isheep_lib.analysis.reliability import Reliability
from isheep_lib.display import stage_tables
from isheep_lib.record import manifests
from isheep_lib.record.stages import ORDER

HOSTILE = "<script>go()</script> & more"


@pytest.fixture
def run_dir(tmp_path):
    """Return a run with two evaluated models and one whole iteration."""

    def finish(iteration, stage, **more):
        folder = manifests.stage_folder(tmp_path, iteration, stage)
        facts = {"stage": stage, "iteration": iteration, "seconds": 12.4, "tokens": {"a": 100, "b": 20}}
        manifests.write_manifest(folder, {**facts, "counts": {"in": 9, "kept": 6, "dropped": {"echo": 3}}, **more})
        return folder

    for iteration in (0, 1):
        finish(iteration, "evaluate")
    finish(1, "train", notebook_seconds=99.6)
    finish(1, "filter", tokens={})
    clear = {"value": 0.8123, "low": 0.6, "high": 0.9, "true_pairs": 9, "wrong_pairs": 8, "unread": 0}
    unread = {"value": None, "low": None, "high": None, "true_pairs": 1, "wrong_pairs": 9, "unread": 8}
    read = {"scored": 9, "mean": 1.234, "saturation": None}
    check = {"pmi": {**read, "auroc": {"shuffled": clear, "wrong_task": {**clear, "value": 0.5}}}}
    finish(2, "assess", check=check)
    check["greedy_quality"] = {"scored": 1, "mean": 9.876, "saturation": 0.4567, "auroc": {"shuffled": unread}}
    finish(1, "assess", check=check)
    (finish(1, "synthesize") / "synthesize.ipynb").write_text("{}")
    return tmp_path


def test_a_funnel_shows_every_step_with_its_share():
    table = stage_tables.funnel_table({"in": 8, "kept": 5, "dropped": {"echo": 2, "cut_off": 1}})
    assert table.rows == [
        {"step": "in", "rows": 8, "share": "100%"},
        {"step": "- echo", "rows": 2, "share": "25%"},
        {"step": "- cut_off", "rows": 1, "share": "12%"},
        {"step": "kept", "rows": 5, "share": "62%"},
    ]


def test_a_funnel_of_nothing_can_be_shown():
    assert [row["rows"] for row in stage_tables.funnel_table({"in": 0, "kept": 0, "dropped": {}}).rows] == [0, 0]


def test_samples_show_some_rows_of_every_reason_escaped():
    rows = [{"id": n, "reason": "echo" if n % 3 else "url", "instruction": HOSTILE} for n in range(30)]
    table = stage_tables.samples_by_reason(rows, ["instruction"], 2, seed=1)
    assert [row["reason"] for row in table.rows] == ["url", "url", "echo", "echo"]
    assert "<script>" not in table._repr_html_()
    assert stage_tables.samples_by_reason([], ["instruction"], 2, 1).rows == []


def test_the_steps_of_the_filter_show_what_each_kept():
    lines = [
        {"step": "rules", "in": 8, "kept": 6},
        {"step": "top", "in": 6, "kept": 0},
        {"step": "threshold", "in": 0, "kept": 0},
    ]
    assert stage_tables.steps_table(lines).rows == [
        {"step": "rules", "in": 8, "kept": 6, "share": "75%"},
        {"step": "top", "in": 6, "kept": 0, "share": "0%"},
        {"step": "threshold", "in": 0, "kept": 0, "share": "0%"},
    ]


def test_a_filter_without_steps_keeps_everything():
    assert stage_tables.steps_table([]).rows == [{"step": "none", "in": "", "kept": "everything", "share": ""}]


CHECKED = {"value": 0.3, "low": 0.1, "high": 0.45, "true_pairs": 12, "wrong_pairs": 12, "unread": 0}


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (CHECKED, "WARNING: prefers answers cut in half"),
        ({**CHECKED, "high": 0.55}, "does not tell whole answers from cut ones, and leans to the cut ones"),
        ({**CHECKED, "value": 0.6, "high": 0.8}, "does not tell whole answers from cut ones"),
        ({**CHECKED, "value": 0.8, "low": 0.6, "high": 0.9}, "prefers whole answers"),
        ({**CHECKED, "value": None, "low": None, "high": None, "wrong_pairs": 3}, "not known: too few readable scores"),
        (None, "not known: put its scorer into assess.checked_scorers"),
    ],
)
def test_it_is_said_in_words_whether_a_score_prefers_whole_answers_to_cut_ones(found, said):
    check = {"pmi": {"auroc": {"shuffled": {**CHECKED, "low": 0.9}} | ({"truncated": found} if found else {})}}
    (row,) = stage_tables.cut_preference(check, ["pmi"]).rows
    assert row["in words"].startswith(said)
    assert ("leans" in row["in words"]) == ("leans" in said)
    assert "not known" in stage_tables.cut_preference({}, ["pmi"]).rows[0]["in words"]


def test_nothing_is_said_of_scores_where_none_chooses():
    assert stage_tables.cut_preference({"pmi": {"auroc": {}}}, []).rows[0]["score"].startswith("none chooses")


NAN = float("nan")
FOUND = [
    Reliability("unread", "shuffled", NAN, NAN, NAN, 0, 0, 48),
    Reliability("lucky", "shuffled", 1.0, 1.0, 1.0, 3, 24, 21),
    Reliability("worse", "shuffled", 0.2, 0.1, 0.4, 24, 24, 0),
    Reliability("chance", "shuffled", 0.55, 0.5, 0.7, 24, 24, 0),
    Reliability("better", "shuffled", 0.9, 0.8, 0.95, 24, 20, 4),
]


def test_reliabilities_are_ranked_with_a_verdict():
    table = stage_tables.reliability_table(FOUND)
    assert [(row["score"], row["verdict"]) for row in table.rows] == [
        ("lucky", "too few readable scores"),
        ("better", "better than chance"),
        ("chance", "not told from chance"),
        ("worse", "worse than chance"),
        ("unread", "too few readable scores"),
    ]
    assert table.rows[1]["95 % interval"] == "0.80 to 0.95"
    assert table.rows[1]["true / wrong scores"] == "24 / 20"
    assert (table.rows[4]["AUROC"], table.rows[4]["95 % interval"]) == ("not readable", "")


def test_reliabilities_stand_together_by_the_kind_of_wrong_pairs():
    wrong_task = Reliability("better", "wrong_task", 0.6, 0.55, 0.65, 24, 24, 0)
    table = stage_tables.reliability_table([wrong_task, *FOUND])
    assert [row["wrong pairs"] for row in table.rows] == ["shuffled"] * 5 + ["wrong task"]
    assert table.rows[-1]["AUROC"] == "0.60"


def test_a_check_that_was_not_made_says_why():
    assert "the last worker makes the check" in repr(stage_tables.reliability_table([]))


def test_an_auroc_has_one_last_digit_in_the_check_and_wherever_its_record_is_shown():
    value = 1163.5 / 2304  # 0.50499, recorded as 0.505
    (row,) = stage_tables.reliability_table([Reliability("verdict", "shuffled", value, value, value, 48, 48, 0)]).rows
    recorded = {"value": round(value, 4), "low": round(value, 4), "high": round(value, 4), "true_pairs": 48, "wrong_pairs": 48}
    assert stage_tables.trust(recorded) == f"{row['AUROC']} ({row['95 % interval']})"


def test_a_plan_is_a_grid_of_iterations_and_stages_with_reasons():
    taken = {"iteration": 1, "stage": "synthesize", "shared_from": "first"}
    steps = [
        SimpleNamespace(iteration=1, stage="assess", state="stale", note="differs in code (assess)", manifest=None),
        SimpleNamespace(iteration=0, stage="evaluate", state="done", note="", manifest={}),
        SimpleNamespace(iteration=1, stage="synthesize", state="done", note="", manifest=taken),
    ]
    table = stage_tables.plan_table(steps)
    assert table.columns == ["iteration", *ORDER]
    assert [(row["iteration"], row["synthesize"], row["assess"], row["evaluate"]) for row in table.rows] == [
        ("0", "", "", "done"),
        ("1", "done", "stale", ""),
    ]
    said = "iter-1/assess is stale: it differs in code (assess); 1 taken from the run first: iter-1/synthesize"
    assert table.caption == said


def test_the_ledger_lists_finished_stages_in_the_order_of_work(run_dir):
    table = stage_tables.ledger(run_dir)
    assert [(row["iteration"], row["stage"]) for row in table.rows] == [
        ("0", "evaluate"),
        *(("1", stage) for stage in ORDER if stage != "judge"),
        ("2", "assess"),
    ]
    by_stage = {row["stage"]: row for row in table.rows if row["iteration"] == "1"}
    assert (by_stage["assess"]["seconds"], by_stage["train"]["seconds"]) == ("12", "100")
    assert (by_stage["assess"]["tokens"], by_stage["filter"]["tokens"]) == (120, 0)
    assert (by_stage["assess"]["in"], by_stage["assess"]["kept"]) == (9, 6)
    assert by_stage["synthesize"]["notebook"] == "iter-1/synthesize/synthesize.ipynb"
    assert by_stage["train"]["notebook"] == "run by hand"
    assert "<a href='iter-1/synthesize/synthesize.ipynb'>" in table._repr_html_()


def test_trust_has_a_column_an_iteration_and_rows_for_aurocs_mean_and_saturation(run_dir):
    table = stage_tables.trust_table(run_dir)
    assert table.columns == ["score", "measure", "iteration 1", "iteration 2"]
    found = [(row["score"], row["measure"], row["iteration 1"], row.get("iteration 2")) for row in table.rows]
    assert found == [
        ("greedy_quality", "AUROC, shuffled", "too few readable scores", None),
        ("greedy_quality", "mean", "9.88", None),
        ("greedy_quality", "saturation", "0.46", None),
        ("pmi", "AUROC, shuffled", "0.81 (0.60 to 0.90)", "0.81 (0.60 to 0.90)"),
        ("pmi", "AUROC, wrong task", "0.50 (0.60 to 0.90)", "0.50 (0.60 to 0.90)"),
        ("pmi", "mean", "1.23", "1.23"),
    ]


def test_calibration_is_of_the_iterations_that_made_a_check_in_the_order_of_work(tmp_path):
    for iteration in (10, 2, 1, 3):
        facts = {"stage": "assess", "iteration": iteration, "check": {} if iteration == 3 else {"a": iteration}}
        manifests.write_manifest(manifests.stage_folder(tmp_path, iteration, "assess"), facts)
    assert list(stage_tables.calibration_of(tmp_path).items()) == [(1, {"a": 1}), (2, {"a": 2}), (10, {"a": 10})]


def test_an_empty_run_can_be_shown(tmp_path):
    assert stage_tables.ledger(tmp_path).rows == []
    assert stage_tables.trust_table(tmp_path).rows == []
    assert stage_tables.calibration_of(tmp_path) == {}
