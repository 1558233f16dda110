"""Checks of published numbers: each finds what is planted, passes what is clean, and the paper gives the known findings."""

import html

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from isheep_lib.paper import audit, published
from isheep_lib.paper.audit import CHECKS, checks_table, findings_table
from isheep_lib.paper.consistency import Finding, every_run, grades_given, nearest_share, runs_of
from isheep_lib.paper.published import CATEGORIES, IFEVAL, Claim, Paper, Published

few = settings(max_examples=100, deadline=None)
BY_NAME = {check.name: check.run for check in CHECKS}

# Check, tables, place and severity of all that the published numbers give.
KNOWN = [
    ("order", "3", "icl_prompt iter3", "impossible"),
    ("grid", "3", "ppl iter2 ifeval_prompt_loose", "suspicious"),
    ("grid", "3", "icl_prompt iter3 ifeval_inst_loose", "impossible"),
    ("grid", "4", "both iter3 ifeval_prompt_strict", "impossible"),
    ("grades", "12", "iter6 2 stem", "suspicious"),
    ("same", "3 4", "simple prompt iter3 ifeval_prompt_strict", "contradiction"),
    ("drop", "12", "another passage: the drop comes after the fourth iteration", "contradiction"),
    ("copied", "7 8 9 10", "one_base_iter2 = one_last_iter2 = total_base_iter2 = direct_20k", "copied"),
    ("copied", "7 8 9 10", "one_base_iter3 = one_last_iter3 = total_base_iter3 = direct_30k", "copied"),
    ("models", "1", "Qwen1.5-32B and Qwen1.5-72B iter1 triviaqa", "suspicious"),
    ("far", "11", "combined_prompt iter1 triviaqa", "suspicious"),
    ("far", "11", "combined_prompt iter2 triviaqa", "suspicious"),
    ("far", "11", "combined_prompt iter3 triviaqa", "suspicious"),
]


def made_up(number, rows, keys):
    values = tuple(dict.fromkeys(name for row in rows for name in row if name not in keys))
    return Published(
        number, "made up", keys, values, tuple({name: row.get(name) for name in keys + values} for row in rows), number
    )


def settings_of(number, column, values, step="iter1"):
    """A table of settings a, b, … with one value each."""
    rows = [{"setting": chr(97 + i), "step": step, column: value} for i, value in enumerate(values)]
    return made_up(number, rows, ("setting", "step"))


def ifeval(*values, number="3"):
    return made_up(number, [{"setting": "a", "step": "iter1", **dict(zip(IFEVAL, values, strict=True))}], ("setting", "step"))


def models(*cells):
    """Table 1 with (model, step, triviaqa)."""
    return made_up("1", [{"model": m, "setting": s, "triviaqa": v} for m, s, v in cells], ("model", "setting"))


def opencompass(gen, ppl=((1.0, 2.0), (1.5, 2.5), (3.0, 4.0))):
    """Tables 7 and 8 with one run each; a pair is what both have on one dataset."""
    names = [*(("gen", name) for name in ("humaneval", "mbpp", "nq", "triviaqa")[: len(gen)])]
    names += [("ppl", name) for name in ("boolq", "piqa", "siqa")[: len(ppl)]]
    tables = {}
    for i, (number, run) in enumerate((("7", "one_base_iter2"), ("8", "one_last_iter2"))):
        pairs = zip(names, (*gen, *ppl), strict=True)
        rows = [{"dataset": name, "mode": mode, run: values[i]} for (mode, name), values in pairs]
        tables[number] = made_up(number, rows, ("dataset", "mode"))
    return Paper(tables)


def turns(*rows, average=7.0):
    """Table 12 with (step, turn, score, grades of the categories); one number stands for all categories."""
    full = []
    for step, turn, score, grades in rows:
        grades = grades if isinstance(grades, list) else [grades] * len(CATEGORIES)
        cells = dict(zip(CATEGORIES, grades, strict=True))
        full.append({"step": step, "turn": turn, "single_turn_score": score, **cells, "mt_bench_average": average})
    return made_up("12", full, ("step", "turn"))


def falls(*seconds):
    return turns(*((f"iter{i}", "2", score, score) for i, score in enumerate(seconds, start=1)))


def paper(*tables, **more):
    return Paper({one.number: one for one in tables}, **more)


def claim(holds):
    return Claim("x", "AlpacaEval", "relative", 78.2, 78.16, (), "11.83 / 6.64 − 1 = 78.16 %", {}, holds)


SAME = (("one", "3", "a iter1"), ("one", "4", "a iter1"))
DROPS = (("text", "iter2"),)
EIGHT_STEM = [7.0, 7.0, 7.0, 7.0, 7.0, 7.0, 7.11, 7.0]
# Check, a clean paper, the same with an error, the place of the error, its severity.
PLANTED = {
    "percent": (
        "range",
        paper(settings_of("4", "mbpp", [0.0, 100.0])),
        paper(settings_of("4", "mbpp", [0.0, 100.2])),
        "b iter1 mbpp",
    ),
    "negative": ("range", paper(settings_of("4", "mbpp", [0.0])), paper(settings_of("4", "mbpp", [-0.2])), "a iter1 mbpp"),
    "grade": (
        "range",
        paper(settings_of("2", "mt_bench", [1.0, 10.0])),
        paper(settings_of("2", "mt_bench", [0.9])),
        "a iter1 mt_bench",
    ),
    "loose": ("order", paper(ifeval(30.0, 40.0, 30.0, 40.0)), paper(ifeval(30.0, 40.0, 29.9, 40.0)), "a iter1"),
    "plus": (
        "order",
        paper(
            made_up("1", [{"model": "m", "setting": "base", "humaneval": 10.98, "humaneval_plus": 10.98}], ("model", "setting"))
        ),
        paper(
            made_up("1", [{"model": "m", "setting": "base", "humaneval": 10.98, "humaneval_plus": 11.59}], ("model", "setting"))
        ),
        "m base",
    ),
    "prompts": (
        "grid",
        paper(ifeval(42.14, None, None, None)),
        paper(ifeval(41.14, None, None, None)),
        "a iter1 ifeval_prompt_strict",
    ),
    "instructions": (
        "grid",
        paper(ifeval(None, None, None, 56.12)),
        paper(ifeval(None, None, None, 36.12)),
        "a iter1 ifeval_inst_loose",
    ),
    "dataset": ("grid", opencompass([(21.34, 50.61)], ()), opencompass([(21.34, 50.71)], ()), "humaneval one_last_iter2"),
    "more prompts": (
        "levels",
        paper(ifeval(50.09, 40.05, None, None)),
        paper(ifeval(50.09, 30.0, None, None)),
        "a iter1 strict",
    ),
    "more instructions": (
        "levels",
        paper(ifeval(None, None, 10.17, 40.0)),
        paper(ifeval(None, None, 10.17, 45.0)),
        "a iter1 loose",
    ),
    "turn": (
        "averages",
        paper(turns(("iter1", "1", 7.0, 7.0))),
        paper(turns(("iter1", "1", 7.01, 7.0))),
        "iter1 1 single_turn_score",
    ),
    "both turns": (
        "averages",
        paper(turns(("iter1", "1", 8.0, 8.0), ("iter1", "2", 6.0, 6.0))),
        paper(turns(("iter1", "1", 8.0, 8.0), ("iter1", "2", 6.0, 6.0), average=7.02)),
        "iter1 mt_bench_average",
    ),
    "two tables": (
        "same",
        paper(ifeval(1.0, 2.0, 3.0, None), ifeval(1.0, 2.0, None, 4.0, number="4"), same_runs=SAME),
        paper(ifeval(1.0, 2.0, 3.0, None), ifeval(1.0, 2.1, None, 4.0, number="4"), same_runs=SAME),
        "one ifeval_inst_strict",
    ),
    "drop": ("drop", paper(falls(7.5, 7.6, 3.5, 2.5), drops=DROPS), paper(falls(7.5, 7.0, 6.5, 3.5), drops=DROPS), "text"),
    "claim": ("claims", paper(claims=(claim(True),)), paper(claims=(claim(False),)), "AlpacaEval"),
    "generation": (
        "copied",
        opencompass([(1.0, 1.0), (2.0, 2.0), (3.0, 4.0), (5.0, 6.0)]),
        opencompass([(1.0, 1.0), (2.0, 2.0), (3.0, 3.0), (5.0, 6.0)]),
        "one_base_iter2 = one_last_iter2",
    ),
    "models": (
        "models",
        paper(models(("m", "iter1", 60.81), ("n", "iter2", 60.81), ("n", "iter1", 60.82))),
        paper(models(("m", "iter1", 60.81), ("n", "iter2", 60.82), ("n", "iter1", 60.81))),
        "m and n iter1 triviaqa",
    ),
    "far": (
        "far",
        paper(settings_of("11", "triviaqa", [70.0, 71.0, 70.5, 65.0])),
        paper(settings_of("11", "triviaqa", [70.0, 71.0, 70.5, 64.9])),
        "d iter1 triviaqa",
    ),
    "far in grades": (
        "far",
        paper(settings_of("2", "mt_bench", [7.76, 7.94, 7.90, 7.9])),
        paper(settings_of("2", "mt_bench", [7.9, 7.9, 7.9, 7.44])),
        "d iter1 mt_bench",
    ),
}
WORST = {"copied": "copied", "models": "suspicious", "far": "suspicious"}
WORST |= dict.fromkeys(("averages", "same", "drop", "claims"), "contradiction")


@pytest.mark.parametrize("name", PLANTED)
def test_a_check_finds_the_planted_error_and_passes_the_clean_table(name):
    check, clean, wrong, place = PLANTED[name]
    found, compared = BY_NAME[check](clean)
    assert (found, compared > 0) == ([], True)
    found, compared = BY_NAME[check](wrong)
    assert [(one.check, one.where, one.severity) for one in found] == [(check, place, WORST.get(check, "impossible"))]
    assert compared > 0


@pytest.mark.parametrize(
    ("grade", "severity", "said"), [(7.05, None, ""), (7.11, "suspicious", "of 9: 64/9"), (7.03, "impossible", "no mean")]
)
def test_a_category_rests_on_ten_grades_and_fewer_are_named(grade, severity, said):
    found, compared = BY_NAME["grades"](paper(turns(("iter1", "1", 7.0, [7.0] * 6 + [grade, 7.0]))))
    assert [one.severity for one in found] == ([severity] if severity else [])
    assert all(said in one.what for one in found)
    assert compared == 8


def test_an_average_over_a_missing_grade_counts_the_grades_that_are_there():
    fewer = turns(("iter1", "1", 7.0, 7.0), ("iter1", "2", 3.02, [3.0] * 6 + [3.11, 3.0]), average=5.02)
    assert [one.where for one in BY_NAME["averages"](paper(fewer))[0]] == ["iter1 2 single_turn_score"]  # 238 / 79 = 3.013


def test_a_category_that_no_grades_give_counts_as_ten():
    rest = turns(("iter1", "1", 7.01, [7.0] * 6 + [7.03, 7.0]))  # (7 * 70 + 70.5) / 80
    assert BY_NAME["averages"](paper(rest)) == ([], 1)


@pytest.mark.parametrize(("values", "compared"), [([70.0, 70.0, 10.0], 0), ([70.0, 70.0, 70.0, 10.0], 4)])
def test_a_setting_is_called_far_only_of_three_others(values, compared):
    found, count = BY_NAME["far"](paper(settings_of("11", "triviaqa", values)))
    assert (len(found), count) == (compared // 4, compared)


def test_rows_generated_at_once_are_compared_with_the_iteration_that_has_seen_as_many():
    rows = [{"setting": name, "step": "iter2", "mbpp": 50.0} for name in "abc"]
    table = made_up("2", [*rows, {"setting": "direct", "step": "20k", "mbpp": 40.0}], ("setting", "step"))
    assert [one.where for one in BY_NAME["far"](paper(table))[0]] == ["direct 20k mbpp"]


def test_a_run_that_tables_share_is_taken_from_the_first():
    found = {run.name: run.table for run in runs_of(published.read_paper(), audit.OPENCOMPASS)}
    assert (found["base"], found["iter1"], found["one_last_iter2"], found["direct_30k"]) == ("7", "7", "8", "10")


def test_the_same_run_is_not_compared_with_itself_in_its_other_turn():
    both = (("run", "1", "m iter1"), ("run", "12", "iter1 1"), ("run", "12", "iter1 2"))
    main = made_up("1", [{"model": "m", "setting": "iter1", "mt_bench": 7.0}], ("model", "setting"))
    rows = turns(("iter1", "1", 8.0, 8.0), ("iter1", "2", 6.0, 6.0))
    assert BY_NAME["same"](paper(main, rows, same_runs=both)) == ([], 2)
    other = turns(("iter1", "1", 8.0, 8.0), ("iter1", "2", 6.0, 6.0), average=7.1)
    assert len(BY_NAME["same"](paper(main, other, same_runs=both))[0]) == 2


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_without_tables_a_check_compares_nothing_and_says_so(check):
    assert check.run(Paper({})) == ([], 0)
    row = next(row for row in checks_table(Paper({})).rows if row["check"] == check.name)
    assert (row["comparisons"], row["findings"]) == (0, 0)
    assert row["demands"].endswith(".")


def test_a_value_that_every_number_of_items_could_give_is_not_compared():
    rows = [{"dataset": name, "mode": "ppl", "base": 50.01} for name in ("hellaswag", "mmlu", "squad2")]
    assert BY_NAME["grid"](paper(made_up("7", rows, ("dataset", "mode")))) == ([], 0)


def test_a_value_that_was_cut_is_told_from_an_impossible_one():
    (found,) = BY_NAME["grid"](paper(ifeval(None, None, 39.92, None)))[0]
    assert (found.severity, found.what) == ("suspicious", "39.92 is 216/541 = 39.926 cut, not rounded")


@few
@given(st.integers(1, 3700).flatmap(lambda items: st.tuples(st.integers(0, items), st.just(items))))
def test_every_share_fits_its_grid_rounded_or_cut(share):
    count, items = share
    found, how = nearest_share(float(f"{100 * count / items:.2f}"), items)
    assert how == "rounded"
    assert abs(found - count) * 100 / items <= 0.01 + 1e-6
    cut = (100 * 100 * count // items) / 100
    assert nearest_share(cut, items)[1] in ("rounded", "cut")


@few
@given(st.integers(1, 600), st.integers(0, 10_000))
@example(500, 1639)  # 82/500 is 16.40 exactly
@example(500, 1641)
@example(1, 10_000)
@example(1, 0)
def test_a_value_is_on_the_grid_if_and_only_if_a_share_gives_its_two_decimals(items, hundredths):
    # In whole numbers: k/n is within half a hundredth, or less than one above. 2 * 10000 * k is compared with 2 * v * n.
    errors = [10_000 * k - hundredths * items for k in range(items + 1)]
    rounded = any(2 * abs(error) <= items for error in errors)
    cut = any(0 <= error < items for error in errors)
    expected = "rounded" if rounded else "cut" if cut else ""
    assert nearest_share(hundredths / 100, items)[1] == expected


@few
@given(st.lists(st.integers(2, 20), min_size=10, max_size=10))
def test_the_mean_of_ten_half_grades_rests_on_ten(halves):
    assert grades_given(round(sum(halves) / 20, 2)) == 10


def test_the_paper_has_exactly_the_known_findings():
    assert [(one.check, " ".join(one.tables), one.where, one.severity) for one in audit.run()] == KNOWN


def test_the_findings_give_the_numbers_that_disagree():
    said = {(one.check, one.where): one.what for one in audit.run()}
    assert "36.12 is below IFEval instruction-level strict 53.72" in said["order", "icl_prompt iter3"]
    assert said["same", KNOWN[5][2]] == "42.14 in Table 3 (simple_prompt iter3), 41.14 in Table 4 (both iter3)"
    assert "60.81, the 5 others of iter1 are 70.95 to 71.45" in said["far", "combined_prompt iter1 triviaqa"]
    assert said["copied", KNOWN[7][2]].startswith("5 of 6 are equal")
    assert "gpqa" not in said["copied", KNOWN[7][2]]  # two of the four runs share it
    for value in ("humaneval 56.71", "mbpp 51.80", "nq 27.31", "triviaqa 61.55", "squad2 52.27"):
        assert value in said["copied", KNOWN[7][2]]
    assert "iter3 7.60, iter4 3.48" in said["drop", KNOWN[6][2]]


def test_every_check_of_the_paper_compared_something():
    rows = {row["check"]: row for row in checks_table().rows}
    assert list(rows) == [check.name for check in CHECKS]
    assert all(row["comparisons"] > 0 for row in rows.values())
    assert {name: rows[name]["comparisons"] for name in ("range", "grid", "order", "claims")} == {
        "range": 839,
        "grid": 521,
        "order": 177,
        "claims": 6,
    }


def test_findings_of_one_kind_are_one_row_that_names_them_all():
    shown = findings_table(audit.run())
    assert [row["kind"] for row in shown.rows] == ["impossible"] * 2 + ["contradiction"] * 2 + ["copied"] + ["suspicious"] * 4
    (far,) = [row for row in shown.rows if row["check"] == "far"]
    assert far["found"].count("triviaqa") == 3
    assert all(html.escape(finding.where) in shown._repr_html_() for finding in audit.run())


def test_no_finding_is_said_to_be_none():
    assert findings_table([]).rows == [{"found": "nothing"}]
    one = findings_table([Finding("range", ("12", "3"), "here", "<b>", "impossible")])
    assert one.rows[0]["tables"] == "3, 12"
    assert "&lt;b&gt;" in one._repr_html_()


def test_same_runs_name_rows_that_exist():
    names = {(run.table, run.name) for run in every_run(published.read_paper())}
    assert {(table, row) for _, table, row in published.read_paper().same_runs} <= names
