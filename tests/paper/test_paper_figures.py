"""The paper's figures: what is drawn follows from the records, and what cannot stand beside the rest is named."""

import json

import numpy as np
import pytest
import yaml

from isheep_lib.display.embedding_map import fit
from isheep_lib.errors import DataError, ModelError
from isheep_lib.paper import points as paper_points
from isheep_lib.paper.figures import (
    ASIDE,
    AXES,
    IFEVAL,
    PAPER_SHARES,
    accuracy_over,
    instruction_map,
    pipeline,
    shares_over_threshold,
)
from isheep_lib.paper.points import Point, map_of, points_of, shares_of, shares_table
from isheep_lib.record import manifests
from isheep_lib.record.rows import write_jsonl

pytestmark = pytest.mark.usefixtures("no_warnings")
FILTER = {
    "steps": ["rules", "threshold"],
    "scorer": "expected",
    "threshold": 8.0,
    "comparison": "above",
    "random_control": False,
}
PARAMS = {
    "model": {"base_model": "embedded:smollm2-135m-instruct"},
    "synthesize": {"instructions": 56},
    "assess": {"assessor": "current", "scorers": ["expected"]},
    "filter": FILTER,
    "train": {"setting": "one_base"},
}


def made_run(folder, **changes):
    params = {name: {**section, **changes.get(name, {})} for name, section in PARAMS.items()}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    return folder


def done(run, iteration, stage, counts=(10, 7), **files):
    folder = manifests.stage_folder(run, iteration, stage)
    manifests.write_manifest(
        folder, {"stage": stage, "iteration": iteration, "counts": {"in": counts[0], "kept": counts[1], "dropped": {}}}
    )
    for name, rows in files.items():
        write_jsonl(folder / f"{name}.jsonl", rows)
    return run


def evaluated(run, iteration, value=30.0, subset="all 541", digest="d" * 64, frame="chatml", tasks=("ifeval",)):
    values = {metric: {"value": value + i, "standard_error": 2.0, "items": 541} for i, metric in enumerate(IFEVAL)}
    task = {"subset": subset, "digest": digest, "values": values}
    done(run, iteration, "evaluate", (541, 541))
    path = manifests.stage_folder(run, iteration, "evaluate") / "metrics.json"
    path.write_text(json.dumps({"tasks": dict.fromkeys(tasks, task), "frame": frame}))
    return run


def assessed(run, iteration, scores, unread=0, columns=("expected_quality", "expected_following")):
    rows = [{"id": f"p{n}", "scores": dict(zip(columns, row, strict=True)), "unread": {}} for n, row in enumerate(scores)]
    rows += [{"id": f"u{n}", "scores": {}, "unread": dict.fromkeys(columns, "no_number")} for n in range(unread)]
    return done(run, iteration, "assess", scores=rows)


def synthesized(run, iteration, *instructions):
    rows = [{"id": f"i{n}", "instruction": text, "input": ""} for n, text in enumerate(instructions)]
    return done(run, iteration, "synthesize", (len(rows) + 3, len(rows)), examples=rows)


def point(x, iteration, value=30.0, error=2.0):
    return Point(x, iteration, {metric: {"value": value + i, "standard_error": error} for i, metric in enumerate(IFEVAL)})


def lines(axis):
    """Return the points of each labelled line of a panel, error bars left aside."""
    found = {line.get_label(): line for line in axis.get_lines() if not line.get_label().startswith("_")}
    return {label: list(zip(line.get_xdata(), line.get_ydata(), strict=True)) for label, line in found.items()}


def bars(axis):
    """Return the error bars of a panel as (x, low, high)."""
    found = [segment for group in axis.collections if hasattr(group, "get_segments") for segment in group.get_segments()]
    return [(float(one[0][0]), float(one[0][1]), float(one[1][1])) for one in found if len(one) == 2]


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts if text.get_text()]


# Figure 1.


def test_the_pipeline_shows_seven_steps_in_a_loop():
    figure = pipeline()
    found = texts(figure)
    for name in ("seed tasks", "prompts", "responses", "self-assessment", "filter", "train", "evaluate", "next iteration"):
        assert sum(name in text for text in found) == 1
    assert not any(letter.isdecimal() for text in found for letter in text.replace("{t+1}", ""))
    arrows = [text for text in figure.axes[0].texts if getattr(text, "arrow_patch", None)]
    assert len(arrows) == 7


def test_the_pipeline_of_a_run_holds_the_counts_of_its_first_iteration(tmp_path):
    run = made_run(tmp_path)
    for stage, counts in (("synthesize", (132, 56)), ("assess", (56, 55)), ("filter", (55, 26)), ("train", (26, 25))):
        done(run, 1, stage, counts)
        done(run, 2, stage, (999, 998))
    evaluated(evaluated(run, 0), 1)
    found = texts(pipeline(run))
    expected = ["132 in, 56 kept", "56 pairs", "56 in, 55 kept", "55 in, 26 kept", "26 in, 25 kept", "541 items"]
    assert [text for text in found if text.endswith(("kept", "pairs", "items"))] == expected


def test_the_pipeline_of_a_half_done_run_holds_what_there_is(tmp_path):
    run = done(made_run(tmp_path), 1, "synthesize", (132, 56))
    assert [text for text in texts(pipeline(run)) if text.endswith(("kept", "pairs", "items"))] == [
        "132 in, 56 kept",
        "56 pairs",
    ]
    assert not any("kept" in text for text in texts(pipeline(tmp_path / "absent")))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"filter": {"steps": ["rules", "density_perplexity"]}}, "rules, density\nperplexity"),
        ({"filter": {"steps": []}}, "nothing is dropped"),
        ({"train": {"setting": "one_last"}}, "LoRA on $M_t$"),
        ({"assess": {"assessor": "base"}}, "each pair, by $M_{base}$"),
        ({"assess": {"scorers": []}}, "nothing is scored"),
    ],
)
def test_the_pipeline_says_what_a_run_does_in_its_own_way(tmp_path, changes, expected):
    assert expected in texts(pipeline(made_run(tmp_path, **changes)))
    assert expected not in texts(pipeline(made_run(tmp_path / "other")))


# Figure 2.


def test_every_metric_has_a_panel_and_every_iteration_a_line_near_its_place():
    figure = accuracy_over([point(x, k, 20.0 + x + k) for x in (8, -1, 0) for k in (2, 0, 1)], AXES["threshold"])
    assert len(figure.axes) == 4
    assert legend(figure) == ["$M_{0}$ (base)", "$M_{1}$", "$M_{2}$"]
    for i, axis in enumerate(figure.axes):
        assert list(axis.get_xticks()) == [-1, 0, 8]
        for k, drawn in enumerate(lines(axis).values()):
            assert [y for _, y in drawn] == [20.0 + x + k + i for x in (-1, 0, 8)]
            assert [x for x, _ in drawn] == pytest.approx([-1, 0, 8], abs=9 * ASIDE + 1e-9)
        assert sorted(high - low for _, low, high in bars(axis)) == pytest.approx([4.0] * 9)
    assert figure.get_supxlabel() == AXES["threshold"]
    assert "(%)" in figure.get_supylabel()


def test_runs_at_the_same_place_are_all_drawn_and_the_line_goes_through_their_mean():
    axis = accuracy_over([point(2, 1, 30.0), point(2, 1, 40.0), point(4, 1, 50.0)], "").axes[0]
    assert lines(axis)["$M_{1}$"] == [(2, 35.0), (4, 50.0)]
    assert sorted((low + high) / 2 for _, low, high in bars(axis)) == [30.0, 40.0, 50.0]


def test_lines_differ_in_colour_marker_and_style():
    figure = accuracy_over([point(x, k) for x in (0, 8) for k in range(4)], "")
    drawn = [line for line in figure.axes[0].get_lines() if not line.get_label().startswith("_")]
    for look in ("get_color", "get_marker", "get_linestyle"):
        assert len({getattr(line, look)() for line in drawn}) == 4


def test_a_point_without_an_error_or_a_metric_is_drawn_as_far_as_it_goes():
    partial = Point(2, 1, {"prompt_strict": {"value": 10.0, "standard_error": None}})
    figure = accuracy_over([partial, point(4, 1)], "")
    assert [len(lines(axis)["$M_{1}$"]) for axis in figure.axes] == [2, 1, 1, 1]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"steps": []}, -1.0),
        ({"steps": ["rules"]}, 0.0),
        ({"steps": ["rules", "threshold"], "threshold": 6}, 6.0),
        ({"steps": ["threshold", "rules"], "threshold": 0.25}, 0.25),
    ],
)
def test_c_is_counted_as_the_paper_does(tmp_path, changes, expected):
    found = points_of([evaluated(made_run(tmp_path, filter=changes), 1)], "threshold")
    assert ([p.x for p in found.points], found.left_out) == ([expected], [])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"steps": ["rules", "density"]}, "its filter is rules, density, which is no threshold after rules"),
        ({"steps": ["threshold"]}, "its filter is threshold, which is no threshold after rules"),
        ({"random_control": True}, "its pairs are drawn at random (filter.random_control)"),
    ],
)
def test_a_run_without_a_c_is_left_out(tmp_path, changes, reason):
    run = evaluated(made_run(tmp_path, filter=changes), 1)
    assert points_of([run], "threshold") == ([], [{"run": str(run), "left out": reason}])
    assert len(points_of([run], "instructions").points) == 1


def test_the_data_size_is_the_number_of_instructions_wanted(tmp_path):
    run = evaluated(evaluated(made_run(tmp_path, synthesize={"instructions": 20000}), 1, 40.0), 2, 42.0)
    found = points_of([run], "instructions").points
    assert [(p.x, p.iteration, p.values["prompt_strict"]["value"]) for p in found] == [(20000, 1, 40.0), (20000, 2, 42.0)]


@pytest.mark.parametrize(
    ("params", "metrics", "reason"),
    [
        ({"model": {"base_model": "other"}}, {}, "the base model is other, not embedded:smollm2-135m-instruct"),
        ({}, {"subset": "64 of 541 (seed 0)"}, "the subset is 64 of 541 (seed 0), not all 541"),
        ({}, {"digest": "e" * 64}, "the digest of the questions is eeeeeeeeeeee, not dddddddddddd"),
        ({}, {"frame": "plain"}, "the frame of trained models is plain, not chatml"),
        ({"filter": {"scorer": "greedy"}}, {}, "the scorer is greedy above C, not expected above C"),
        ({"filter": {"comparison": "at_least"}}, {}, "the scorer is expected at least C, not expected above C"),
        ({}, {"tasks": ("arc_easy",)}, "IFEval was not evaluated"),
    ],
)
def test_a_run_that_differs_from_the_first_is_left_out_with_the_reason(tmp_path, params, metrics, reason):
    first = evaluated(made_run(tmp_path / "a"), 1)
    other = evaluated(made_run(tmp_path / "b", **params), 1, **metrics)
    found = points_of([first, other], "threshold")
    assert len(found.points) == 1
    assert found.left_out == [{"run": f"{other}, M_1", "left out": reason}]


def test_the_base_model_may_be_asked_in_another_frame_than_trained_models(tmp_path):
    runs = [evaluated(evaluated(made_run(tmp_path / name), 0, frame="plain"), 1) for name in "ab"]
    assert [p.iteration for p in points_of(runs, "threshold").points] == [0, 1, 0, 1]


def test_the_scorer_does_not_matter_where_nothing_is_scored(tmp_path):
    first = evaluated(made_run(tmp_path / "a"), 1)
    other = evaluated(made_run(tmp_path / "b", filter={"steps": ["rules"], "scorer": "greedy"}), 1)
    assert [p.x for p in points_of([first, other], "threshold").points] == [8.0, 0.0]


def test_a_run_that_is_absent_or_not_evaluated_is_left_out(tmp_path):
    found = points_of([tmp_path / "absent", made_run(tmp_path / "begun")], "threshold")
    assert not found.points
    reasons = [row["left out"] for row in found.left_out]
    assert reasons == ["there is no such run, or it has not come to filtering", "nothing is evaluated yet"]


# Figure 3.


def test_the_share_counts_pairs_strictly_above_c_among_all_generated_ones(tmp_path):
    run = assessed(made_run(tmp_path), 1, [(9.0, 8.0), (8.0, 9.0), (8.5, 8.5), (2.0, 10.0)], unread=1)
    found = {share.column: share for share in shares_of(run)}
    assert {name: (s.beyond, s.pairs, s.unread) for name, s in found.items()} == {
        "expected_quality": (2, 5, 1),
        "expected_following": (3, 5, 1),
        "expected_average": (3, 5, 1),  # 8.5, 8.5, 8.5 and 6
    }
    assert found["expected_quality"].percent() == {
        "value": pytest.approx(40.0),
        "standard_error": pytest.approx(100 * (0.4 * 0.6 / 5) ** 0.5),
        "items": 5,
    }


@pytest.mark.parametrize(
    ("filtering", "column", "expected"),
    [
        ({}, "expected_quality", "expected quality above 8"),
        ({"threshold": 6.0}, "expected_quality", "expected quality above 6"),
        ({"threshold": 6.0, "comparison": "at_most"}, "expected_quality", "expected quality at most 6"),
        ({"threshold": 6.0, "steps": ["rules"]}, "expected_quality", "expected quality above 8"),
        ({"threshold": 6.0}, "greedy_following", "greedy following above 8"),
        ({"scorer": "pmi", "threshold": 0.25}, "pmi", "pmi above 0.25"),
        ({"scorer": "mutual_information", "threshold": 0.25}, "mutual_information", "mutual information above 0.25"),
        ({"scorer": "perplexity", "threshold": 50, "comparison": "below"}, "perplexity_pair", "perplexity pair below 50"),
        ({"scorer": "pmi", "steps": ["rules"]}, "pmi", None),
        ({}, "perplexity_pair", None),
    ],
)
def test_c_is_the_runs_own_where_the_scorer_decides_and_the_papers_for_other_scores_of_1_to_10(
    tmp_path, filtering, column, expected
):
    run = assessed(made_run(tmp_path, filter=filtering), 1, [(5.0,)], columns=(column,))
    assert [share.line() for share in shares_of(run)] == ([expected] if expected else [])


def test_every_score_has_a_line_over_iterations_with_its_errors(tmp_path):
    run = made_run(tmp_path)
    assessed(run, 1, [(9.0, 9.0), (1.0, 1.0)])
    assessed(run, 3, [(9.0, 9.0)] * 3 + [(1.0, 9.0)])
    figure = shares_over_threshold(run)
    (axis,) = figure.axes
    assert legend(figure)[1:] == [f"expected {name} above 8" for name in ("quality", "following", "average")]
    drawn = {group.get_label(): group.lines[0] for group in axis.containers}
    assert [list(line.get_ydata()) for line in drawn.values()] == [[50.0, 75.0], [50.0, 100.0], [50.0, 75.0]]
    assert [round(x) for x in drawn["expected quality above 8"].get_xdata()] == [1, 3]
    assert sorted(high - low for _, low, high in bars(axis))[-3:] == pytest.approx([200 * 0.5 / 2**0.5] * 3)
    assert axis.get_ylabel().startswith("share of generated pairs (%)")


@pytest.mark.parametrize(
    ("filtering", "column", "banded"),
    [
        ({}, "expected_quality", True),
        ({"threshold": 6.0}, "expected_quality", False),
        ({"scorer": "pmi"}, "pmi", False),
    ],
)
def test_the_papers_range_stands_only_behind_shares_above_8_of_1_to_10(tmp_path, filtering, column, banded):
    figure = shares_over_threshold(assessed(made_run(tmp_path, filter=filtering), 1, [(9.0,)], columns=(column,)))
    assert ("paper: 50 to 70 % above 8" in legend(figure)) is banded
    assert (len(figure.axes[0].patches) == 1) is banded
    assert PAPER_SHARES == (50.0, 70.0)


def test_an_iteration_that_no_reply_could_be_read_of_is_a_point_at_0(tmp_path):
    run = assessed(made_run(tmp_path), 1, [], unread=4)
    assert [(s.column, s.beyond, s.pairs, s.unread) for s in shares_of(run)] == [
        (f"expected_{name}", 0, 4, 4) for name in ("quality", "following", "average")
    ]


def test_the_table_of_shares_holds_the_numbers_of_the_figure(tmp_path):
    run = assessed(made_run(tmp_path), 2, [(9.0, 9.0), (1.0, 9.0)], unread=2)
    rows = shares_table(run).rows
    assert rows[0] == {
        "iteration": "2",
        "score": "expected quality",
        "C": "above 8",
        "pairs": "4",
        "beyond C": "1",
        "unread": "2",
        "share (%)": "25.0 ± 21.7",
    }
    assert [row["score"] for row in rows] == ["expected quality", "expected following", "expected average"]


# Figure 4.

SEEDS = ["Name three rivers.", "Write a song about bread.", "Count to ten.", "Sort these words.", "Explain the warm garden."]


def made_seeds(folder, instructions=SEEDS):
    path = folder / "seeds.jsonl"
    write_jsonl(path, [{"instruction": text} for text in instructions])
    return str(path)


def model_of(size=4):
    """Return a stand-in for a model that says which texts it was asked about."""
    asked = []

    def vectors(texts, base_model, settings):
        asked.append((list(texts), base_model, settings.base_model))
        return np.array([[len(text), text.count("a"), text.count("e"), text.count("r")][:size] for text in texts], np.float32)

    return vectors, asked


def test_each_iteration_has_a_panel_with_its_instructions_among_the_reference():
    reference = np.array([[0.0, 0.0, 1.0], [3.0, 0.0, 1.0], [0.0, 1.0, 1.0], [3.0, 1.5, 1.0]])
    plane, groups = fit(reference), {1: reference[:2] + 1, 2: reference[:3] - 1}
    figure = instruction_map(plane, groups, "made-up vectors")
    assert [axis.get_title(loc="left") for axis in figure.axes] == [
        "iteration 1: 2 instructions",
        "iteration 2: 3 instructions",
    ]
    for axis, vectors in zip(figure.axes, groups.values(), strict=True):
        grey, colour = axis.collections
        assert np.allclose(grey.get_offsets(), plane.reference)
        assert np.allclose(colour.get_offsets(), plane.project(vectors))
    assert f"{plane.explained[0]:.1%}" in figure.get_supxlabel()
    assert f"{plane.explained[1]:.1%}" in figure.get_supylabel()
    assert figure.get_suptitle() == "grey: 4 tasks of the reference; made-up vectors"


def test_a_task_with_several_answers_has_one_place_on_the_map(tmp_path, monkeypatch):
    run = made_run(tmp_path / "run")
    rows = [{"id": f"t0-a{k}", "task": "t0", "instruction": "Make a list.", "input": "", "output": "x"} for k in range(3)]
    done(run, 1, "synthesize", examples=rows)
    vectors, asked = model_of()
    monkeypatch.setattr(paper_points, "vectors_by_model", vectors)
    map_of(run, [made_seeds(tmp_path)])
    assert asked[0][0] == [*SEEDS, "Make a list."]


def test_the_map_is_of_the_files_tasks_and_places_each_iterations_own(tmp_path, monkeypatch):
    run = made_run(tmp_path / "run")
    synthesized(run, 1, "Make a list.", "Tell me why.")
    synthesized(run, 2, "Give reasons.")
    vectors, asked = model_of()
    monkeypatch.setattr(paper_points, "vectors_by_model", vectors)
    found = map_of(run, [made_seeds(tmp_path)])
    ((texts, name, configured),) = asked
    assert texts == [*SEEDS, "Make a list.", "Tell me why.", "Give reasons."]
    assert name == configured == "embedded:smollm2-135m-instruct"
    assert len(found.plane.reference) == 5
    assert {k: group[:, 0].tolist() for k, group in found.groups.items()} == {1: [12.0, 12.0], 2: [13.0]}
    assert found.how == "final-layer vectors of smollm2-135m-instruct"
    map_of(run, [made_seeds(tmp_path)], "org/other@abc")
    assert asked[1][1] == "org/other@abc"


def test_without_the_model_words_place_the_instructions_and_the_title_says_so(tmp_path, monkeypatch):
    def absent(*_):
        raise ModelError("No model at 'org/other@abc'")

    monkeypatch.setattr(paper_points, "vectors_by_model", absent)
    run = synthesized(made_run(tmp_path / "run"), 1, "Write a song about rivers.")
    figure = instruction_map(*map_of(run, [made_seeds(tmp_path)], "org/other@abc"))
    said = "grey: 5 tasks of the reference; vectors of words (TF-IDF), the model other is not at hand"
    assert figure.get_suptitle() == said


def test_a_set_that_spans_no_plane_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(paper_points, "vectors_by_model", model_of()[0])
    run = synthesized(made_run(tmp_path / "run"), 1, "Count.")
    with pytest.raises(DataError, match="span no map"):
        map_of(run, [made_seeds(tmp_path, SEEDS[:2])])


# All of them.

NOTHING = {
    "accuracies": lambda run: accuracy_over([], ""),
    "shares": shares_over_threshold,
    "map": lambda run: instruction_map(*map_of(run, [])),
}


@pytest.mark.parametrize("name", NOTHING)
def test_nothing_is_drawn_from_nothing_without_failing(tmp_path, name):
    for run in (tmp_path / "absent", made_run(tmp_path / "begun")):
        figure = NOTHING[name](run)
        assert figure.axes == []
        assert figure._repr_png_().startswith(b"\x89PNG")
    assert "no iteration is assessed" in repr(shares_table(tmp_path / "absent"))


def test_every_figure_is_a_picture_and_the_same_data_give_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(paper_points, "vectors_by_model", model_of()[0])
    run = synthesized(assessed(made_run(tmp_path / "run"), 1, [(9.0, 3.0)]), 1, "Make a list.")
    made = (
        lambda: pipeline(run),
        lambda: accuracy_over([point(0.25, 0), point(0.25, 1)], AXES["threshold"]),
        lambda: shares_over_threshold(run),
        lambda: instruction_map(*map_of(run, [made_seeds(tmp_path)])),
    )
    for draw in made:
        assert draw()._repr_png_() == draw()._repr_png_() != b""
