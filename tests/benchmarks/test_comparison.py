"""Models of one run, item by item: which are compared, on what, and what is left out by name."""

import pytest

from isheep_lib.analysis.significance import compare
from isheep_lib.benchmarks.comparison import Evaluated, against_earlier, along, by_practice, compare_models, recorded, values_of
from isheep_lib.errors import DataError
from isheep_lib.record import manifests
from isheep_lib.record.rows import write_jsonl


def facts(metric="acc_norm", subset="all 4", digest="d1"):
    return {"metric": metric, "subset": subset, "digest": digest, "values": {}}


def choices(*right, other=0.5):
    return [{"id": f"q{i}", "scores": {"acc": other, "acc_norm": float(value)}} for i, value in enumerate(right)]


def instructions(*followed):
    return [
        {
            "id": str(i),
            "strict": row,
            "loose": row,
            "scores": {"prompt_strict": float(all(row)), "prompt_loose": float(all(row))},
        }
        for i, row in enumerate(followed)
    ]


def side(name, **rows):
    tasks = {task: facts("prompt_strict" if task == "ifeval" else "acc_norm") for task in rows}
    return Evaluated(name, tasks, rows.__getitem__)


def record(run_dir, iteration, tasks=None, **rows):
    folder = manifests.stage_folder(run_dir, iteration, "evaluate")
    for name, content in rows.items():
        write_jsonl(folder / f"samples-{name}.jsonl", content)
    manifests.write_manifest(folder, {"tasks": tasks or {name: facts() for name in rows}}, "metrics.json")
    manifests.write_manifest(folder, {"stage": "evaluate"})


def test_the_first_metric_of_a_benchmark_is_compared_item_by_item():
    before, after = choices(0, 0, 1, 1), choices(1, 1, 1, 0, other=0.0)
    compared = compare_models(side("M_0", arc_easy=before), side("M_1", arc_easy=after))
    assert (compared.before, compared.after, compared.left_out) == ("M_0", "M_1", {})
    found = compared.found["arc_easy"]
    assert found == compare({"q0": [0], "q1": [0], "q2": [1], "q3": [1]}, {"q0": [1], "q1": [1], "q2": [1], "q3": [0]})
    assert (found.difference, found.only_before, found.only_after) == (25.0, 1, 2)


def test_rows_may_come_in_another_order():
    before, after = choices(0, 0, 1, 1), choices(1, 1, 1, 0)
    turned = compare_models(side("M_0", arc_easy=before[::-1]), side("M_1", arc_easy=after))
    assert turned == compare_models(side("M_0", arc_easy=before), side("M_1", arc_easy=after))


def test_values_are_those_of_the_metric_and_of_ifeval_s_prompts():
    assert values_of("arc_easy", choices(1, 0)) == {"q0": [1.0], "q1": [0.0]}
    assert values_of("ifeval", instructions([True, False], [True])) == {"0": [0.0], "1": [1.0]}


UNFAIR = [
    ({"subset": "all 4"}, {"subset": "2 of 4 (seed 0)"}, "other subset: all 4 and 2 of 4 (seed 0)"),
    ({"digest": "d1"}, {"digest": "d2"}, "other digest: d1 and d2"),
    ({"metric": "acc_norm"}, {"metric": "acc"}, "other metric: acc_norm and acc"),
    ({"subset": "a", "digest": "b"}, {"subset": "c", "digest": "d"}, "other subset: a and c; other digest: b and d"),
]


@pytest.mark.parametrize(("one", "two", "said"), UNFAIR)
def test_other_data_are_left_out_by_name_with_what_differs(one, two, said):
    sides = [
        Evaluated(name, {"arc_easy": facts(**kind), "piqa": facts()}, lambda task: choices(1, 0))
        for name, kind in (("M_0", one), ("M_1", two))
    ]
    compared = compare_models(*sides)
    assert compared.left_out == {"arc_easy": said}
    assert list(compared.found) == ["piqa"]


def test_what_only_one_model_was_asked_is_left_out_and_says_which():
    compared = compare_models(side("M_0", arc_easy=choices(1)), side("M_1", piqa=choices(1)))
    assert compared.found == {}
    assert compared.left_out == {"arc_easy": "M_1 was not evaluated on it", "piqa": "M_0 was not evaluated on it"}


def test_items_that_differ_although_the_data_are_the_same_are_refused():
    with pytest.raises(DataError, match="Not comparable: 1 item"):
        compare_models(side("M_0", arc_easy=choices(1)), side("M_1", arc_easy=choices(1, 0)))


def test_a_record_is_read_once_its_stage_is_done(tmp_path):
    assert recorded(tmp_path, 0) is None
    record(tmp_path, 0, arc_easy=choices(1, 0))
    found = recorded(tmp_path, 0)
    assert (found.name, list(found.tasks), found.rows("arc_easy")) == ("M_0", ["arc_easy"], choices(1, 0))
    (manifests.stage_folder(tmp_path, 0, "evaluate") / manifests.MANIFEST).unlink()
    assert recorded(tmp_path, 0) is None  # metrics alone are no record


def names(compared):
    return [(found.before, found.after) for found in compared]


@pytest.mark.parametrize(
    ("done", "asked", "pairs"),
    [
        ([0, 1, 2, 3], [0, 1, 2, 3], [("M_0", "M_1"), ("M_1", "M_2"), ("M_2", "M_3"), ("M_0", "M_3")]),
        ([0, 1, 2, 3], [3, 0, 2, 1], [("M_0", "M_1"), ("M_1", "M_2"), ("M_2", "M_3"), ("M_0", "M_3")]),
        ([0, 1], [0, 1], [("M_0", "M_1")]),
        ([0, 2], [0, 1, 2], [("M_0", "M_2")]),
        ([1, 2], [0, 1, 2], [("M_1", "M_2")]),
        ([0], [0], []),
        ([], [0, 1], []),
    ],
)
def test_each_model_is_compared_with_the_one_before_and_the_last_with_the_base(tmp_path, done, asked, pairs):
    for k in done:
        record(tmp_path, k, arc_easy=choices(k % 2, 1))
    assert names(along(tmp_path, asked)) == pairs


@pytest.mark.parametrize(
    ("iteration", "pairs"), [(0, []), (1, [("M_0", "M_1")]), (2, [("M_1", "M_2"), ("M_0", "M_2")]), (4, [("M_0", "M_4")])]
)
def test_a_model_just_evaluated_is_compared_with_the_one_before_and_the_base(tmp_path, iteration, pairs):
    for k in (0, 1):
        record(tmp_path, k, arc_easy=choices(0, 1))
    compared = against_earlier(tmp_path, iteration, {"tasks": {"arc_easy": facts()}}, {"arc_easy": choices(1, 1)})
    assert names(compared) == pairs
    assert all(found.found["arc_easy"].difference == 50.0 for found in compared)


def of_types(*followed):
    """Make checked rows of (type, strict)."""
    rows = instructions(*([value for _, value in row] for row in followed))
    return [row | {"instructions": [kind for kind, _ in own]} for row, own in zip(rows, followed, strict=True)]


def test_types_that_were_practised_are_compared_with_the_base_model_apart_from_the_others(tmp_path):
    base = of_types([("a", False), ("b", True)], [("a", False)], [("b", False)])
    now = of_types([("a", True), ("b", True)], [("a", True)], [("b", False)])
    task = facts("prompt_strict")
    record(tmp_path, 0, {"ifeval": task}, ifeval=base)
    practised = {"ifeval": task | {"practised": {"types": ["a"]}}}
    found = by_practice(tmp_path, {"tasks": practised}, {"ifeval": now})
    assert {group: (each.difference, each.values) for group, each in found["ifeval"].items()} == {
        "seen": (100.0, 2),
        "unseen": (0.0, 2),
    }
    unanswered = [*now[:1], {"id": "1", "unanswered": "long"}, now[2]]
    found = by_practice(tmp_path, {"tasks": practised}, {"ifeval": unanswered})
    assert found["ifeval"]["seen"].items == 1


def test_nothing_is_compared_by_practice_without_practice_a_base_or_the_same_items(tmp_path):
    rows, task = of_types([("a", True)]), facts("prompt_strict") | {"practised": {"types": ["a"]}}
    assert by_practice(tmp_path, {"tasks": {"ifeval": task}}, {"ifeval": rows}) == {}
    record(tmp_path, 0, {"ifeval": facts("prompt_strict", subset="all 9")}, ifeval=rows)
    assert by_practice(tmp_path, {"tasks": {"ifeval": task}}, {"ifeval": rows}) == {}
    assert by_practice(tmp_path, {"tasks": {"ifeval": facts("prompt_strict")}}, {"ifeval": rows}) == {}
