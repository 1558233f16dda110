"""A run is looked at: rows, sorting and searching, one pair followed, the map, menus, repetition over iterations."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from isheep_lib.display import embedding_map
from isheep_lib.engines import vectors as engines_vectors
from isheep_lib.engines.params import PromptedModel
from isheep_lib.errors import DataError, ModelError, ParameterError, RecordError
from isheep_lib.explore import pair_history, pair_map, widgets
from isheep_lib.explore import pairs as explore_pairs
from isheep_lib.explore.pairs import Pairs, histograms, lengths_and_duplicates, next_commands, trend_figure, trend_table
from isheep_lib.filter.params import Filter
from isheep_lib.record import manifests
from isheep_lib.record.rows import write_jsonl
from isheep_lib.train.params import Train

HOSTILE = "<script>go()</script> & <b>bold</b>"
SCORES = {"p0": 0.9, "p1": 0.1, "p2": 0.5, "p10": 0.7, "p3": 0.8}
DROPPED = {
    "p1": ("fails_threshold", "pmi 0.1 is not above 0.25"),
    "p3": ("same_cluster", "cluster 0 has 2 pairs"),
}


def example(id_, **more):
    row = {"id": id_, "instruction": f"Write about {id_}.", "input": "", "output": f"Salt is {id_}.", "finish": "end"}
    return {**row, "demonstrations": ["seed-1", "seed-2"], **more}


def record(run_dir, iteration, stage, rows, **facts):
    """Write the rows of a stage and its manifest."""
    folder = manifests.stage_folder(run_dir, iteration, stage)
    for name, content in rows.items():
        write_jsonl(folder / name, content)
    outputs = {name: manifests.describe_file(folder / name) for name in rows}
    counts = {"in": 0, "kept": 0, "dropped": {}}
    manifests.write_manifest(folder, {"stage": stage, "iteration": iteration, "outputs": outputs, "counts": counts, **facts})
    return folder


def synthesized(run_dir, iteration=1, **changed):
    pairs = [{**example(id_), **changed.get(id_, {})} for id_ in SCORES]
    ideas = [{**example("p4"), "reason": "near_duplicate", "detail": "ROUGE-L 1.00", "raw": "1. Write about p0."}]
    del ideas[0]["output"]
    shown = [{"id": "seed-1", "instruction": "Say hello.", "input": "", "output": "Hello.", "shown": 2}]
    record(run_dir, iteration, "synthesize", {"examples.jsonl": pairs, "dropped.jsonl": ideas, "demonstrations.jsonl": shown})
    return pairs


def assessed(run_dir, iteration=1):
    rows = [{"id": i, "scores": {"pmi": v}, "unread": {}, "raw": {}} for i, v in SCORES.items()]
    rows[0]["unread"], rows[0]["raw"] = {"greedy_quality": "no_number"}, {"greedy_quality": ["fine"]}
    rows[1]["scores"]["greedy_quality"], rows[1]["raw"] = 8.0, {"greedy_quality": ["8||good"]}
    return record(run_dir, iteration, "assess", {"scores.jsonl": rows}, parameters={"judge": "current"})


def filtered(run_dir, pairs, iteration=1):
    rows = [{**pair, "scores": {"pmi": SCORES[pair["id"]]}} for pair in pairs]
    gone = [{**r, "reason": DROPPED[r["id"]][0], "detail": DROPPED[r["id"]][1]} for r in rows if r["id"] in DROPPED]
    kept = [row for row in rows if row["id"] not in DROPPED]
    params = Filter(steps=["rules", "threshold", "density"]).model_dump() | {"seed": 7, "iteration": iteration}
    return record(run_dir, iteration, "filter", {"kept.jsonl": kept, "dropped.jsonl": gone}, parameters=params), kept


FATES = {"p0": "learned", "p2": "held_out", "p10": "beyond_max_rows"}


def trained(run_dir, iteration=1, fates=FATES):
    rows = [{"id": id_, "fate": fate, "tokens": 9, "learned": 4, "cut": False} for id_, fate in fates.items()]
    params = Train().model_dump() | {"seed": 7, "iteration": iteration}
    record(run_dir, iteration, "train", {"rows.jsonl": rows}, parameters=params, parts={"inputs": {}}, starts_from=0)


def evaluated(run_dir, iteration, answers):
    rows = [{"id": id_, "answer": answer, "scores": {"em": 1.0}} for id_, answer in answers.items()]
    record(run_dir, iteration, "evaluate", {"samples-nq_open.jsonl": rows, "samples-boolq.jsonl": [{"id": "1", "gold": 1}]})


@pytest.fixture
def run_dir(tmp_path):
    """Return a run with one whole iteration."""
    run_dir = tmp_path / "run"
    pairs = synthesized(run_dir)
    assessed(run_dir)
    filtered(run_dir, pairs)
    trained(run_dir)
    params = {"seed": 7, "model": PromptedModel(base_model="nowhere/at/all", inference_dtype="float32").model_dump()}
    (run_dir / "params.yaml").write_text(yaml.safe_dump(params))
    return run_dir


@pytest.fixture
def no_engine(monkeypatch):
    """Let words place the pairs, as where no model is at hand."""
    monkeypatch.setattr(engines_vectors, "open_engine", None)


def ids(rows):
    return [row["id"] for row in rows]


def test_every_row_says_what_became_of_it(run_dir):
    found = explore_pairs.pairs(run_dir, 1)
    assert {row["id"]: (row["fate"], row["reason"]) for row in found.rows} == {
        "p0": ("kept", ""),
        "p1": ("dropped", "fails_threshold"),
        "p2": ("kept", ""),
        "p10": ("kept", ""),
        "p3": ("dropped", "same_cluster"),
        "p4": ("no pair", "near_duplicate"),
    }
    assert found.missing == []
    assert found.scores == ["pmi", "greedy_quality"]
    assert [found.rows[i]["greedy_quality"] for i in (0, 1, 2)] == [None, 8.0, None]
    assert found.rows[0]["instruction words"] == found.rows[0]["output words"] == 3
    assert (found.rows[5]["output"], found.rows[5]["output words"]) == ("", None)
    assert set(found.columns) == set(found.rows[0]) == set(found.rows[5])
    assert found.first() == "p0"


def test_what_training_did_with_a_pair_is_what_its_record_says(run_dir):
    wanted = {"p0": "trained on", "p2": "held out", "p10": "left over"}
    assert {row["id"]: row["trained"] for row in explore_pairs.pairs(run_dir, 1).rows if row["trained"]} == wanted
    said = {id_: pair_history.follow(run_dir, 1, id_).training.rows[0]["used in training"] for id_ in [*wanted, "p1"]}
    start = {"trained on": "M_1 was trained on it", "held out": "held out: it measured", "left over": "left over: more rows"}
    for id_, fate in wanted.items():
        assert said[id_].startswith(start[fate])
    assert said["p1"] == "no: M_1 did not see it"


def test_a_pair_that_could_not_be_learned_says_why(run_dir):
    trained(run_dir, fates={"p0": "beyond_cutoff", "p2": "empty_response"})
    said = [pair_history.follow(run_dir, 1, id_).training.rows[0]["used in training"] for id_ in ("p0", "p2")]
    assert said == ["no: its prompt alone is longer than train.max_length", "no: its response is empty"]


def test_an_answer_says_its_part_in_pairs_of_answers(run_dir):
    sides = {"learned": ("p0", "p2"), "held_out": ("p10", "p10"), "beyond_max_rows": ("p0", "p1")}
    rows = [{"id": f"{c}-cut", "fate": fate, "chosen_id": c, "rejected_id": r} for fate, (c, r) in sides.items()]
    params = Train(objective="dpo").model_dump() | {"seed": 7, "iteration": 1}
    record(run_dir, 1, "train", {"rows.jsonl": rows}, parameters=params, parts={"inputs": {}}, starts_from=0)
    found = {row["id"]: row["trained"] for row in explore_pairs.pairs(run_dir, 1).rows if row["trained"]}
    assert found == {
        "p0": "trained on as chosen; left over as chosen",
        "p1": "left over as rejected",
        "p2": "trained on as rejected",
        "p10": "held out as chosen; held out as rejected",
    }
    said = [pair_history.follow(run_dir, 1, id_).training.rows[0]["used in training"] for id_ in ("p2", "p3")]
    assert said == ["as an answer of a pair: trained on as rejected", "no: M_1 did not see it"]


def test_a_training_record_without_rows_leaves_them_unknown(run_dir):
    folder = manifests.stage_folder(run_dir, 1, "train")
    manifest = manifests.read_manifest(folder)
    manifests.write_manifest(folder, {**manifest, "outputs": {}})
    found = explore_pairs.pairs(run_dir, 1)
    assert found.missing == [
        "what was trained on is not known: iter-1/train is not done, or its record does not tell the pairs apart"
    ]
    assert {row["trained"] for row in found.rows} == {""}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, ["p0", "p1", "p2", "p3", "p4", "p10"]),
        ({"sort": "-id"}, ["p10", "p4", "p3", "p2", "p1", "p0"]),
        ({"sort": "pmi"}, ["p1", "p2", "p10", "p3", "p0", "p4"]),
        ({"sort": "-pmi"}, ["p0", "p3", "p10", "p2", "p1", "p4"]),
        ({"sort": "reason", "fate": "dropped"}, ["p1", "p3"]),
        ({"fate": "no pair"}, ["p4"]),
        ({"reason": "same_cluster"}, ["p3"]),
        ({"search": "ABOUT P1"}, ["p1", "p10"]),
        ({"search": "salt is p2"}, ["p2"]),
        ({"search": "."}, ["p0", "p1", "p2", "p3", "p4", "p10"]),
        ({"search": "absent"}, []),
    ],
)
def test_rows_are_sorted_and_searched(run_dir, asked, expected):
    assert ids(explore_pairs.pairs(run_dir, 1).arranged(**asked)) == expected


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"sort": "greedy_qualty"}, r"'greedy_qualty' is none; did you mean greedy_quality\?"),
        ({"sort": "--id"}, "sort: '-id' is none"),
        ({"sort": ""}, "sort: '' is none"),
        ({"fate": "keept"}, r"did you mean kept\?"),
        ({"reason": "same_clutser"}, r"did you mean same_cluster\?"),
    ],
)
def test_unknown_columns_fates_and_reasons_are_refused_by_name(run_dir, asked, said):
    with pytest.raises(ParameterError, match=said):
        explore_pairs.pairs(run_dir, 1).arranged(**asked)


def test_a_table_shows_some_rows_and_says_of_how_many(run_dir):
    found = explore_pairs.pairs(run_dir, 1)
    table = found.table(found.rows, 2)
    assert table.caption == "the first 2 of 6 rows; iteration 1 has 6 in all"
    assert [row["id"] for row in table.rows] == ["p0", "p1"]
    assert table.rows[0]["greedy_quality"] == ""
    left_out = {"input", "detail", "reason", "greedy_quality"}
    assert set(found.columns) - set(table.columns) == {"input"}
    assert set(found.columns) - set(found.table(found.rows[:1]).columns) >= left_out
    assert found.table([]).rows == [{"rows": "none match"}]


def test_rows_are_counted_by_fate_and_reason(run_dir):
    assert [tuple(row.values()) for row in explore_pairs.pairs(run_dir, 1).counts().rows] == [
        ("kept", "", 3),
        ("dropped", "fails_threshold", 1),
        ("dropped", "same_cluster", 1),
        ("no pair", "near_duplicate", 1),
    ]


def test_a_run_that_is_not_there_is_told_with_the_names_of_others(tmp_path):
    with pytest.raises(RecordError, match="There is no such run"):
        explore_pairs.pairs(tmp_path / "absent", 1)
    with pytest.raises(RecordError, match="reference/smollm2-135m"):
        explore_pairs.pairs(manifests.run_folder("reference/smollm2-135"), 1)


def test_an_iteration_that_is_not_there_is_told_with_those_that_are(run_dir):
    with pytest.raises(RecordError, match=r"(?s)Iteration 4 has no pairs yet.*allowed: 1\n.*isheep iterate 4"):
        explore_pairs.pairs(run_dir, 4)
    with pytest.raises(RecordError, match="Iteration 4 has no pairs yet"):
        pair_history.follow(run_dir, 4, "p0")


@pytest.mark.parametrize("stages", [[], ["assess"], ["assess", "filter"]])
def test_a_run_that_is_half_done_shows_what_there_is_and_names_the_rest(tmp_path, no_engine, stages):
    pairs = synthesized(tmp_path)
    if "assess" in stages:
        assessed(tmp_path)
    if "filter" in stages:
        filtered(tmp_path, pairs)
    found = explore_pairs.pairs(tmp_path, 1)
    said = " ".join(found.missing)
    for stage in ("assess", "filter", "train"):
        assert (f"iter-1/{stage} is not done" in said) == (stage not in stages)
    assert ids(found.made) == list(SCORES)
    assert {row["fate"] for row in found.made} == ({"kept", "dropped"} if "filter" in stages else {"undecided"})
    assert found.first() == "p0"
    assert found.missing[0] in repr(found.table(found.arranged()))
    story = pair_history.follow(tmp_path, 1, "p0")
    assert ("not assessed" in repr(story.scores)) == ("assess" not in stages)
    assert ("filter is not done" in repr(story.verdicts)) == ("filter" not in stages)
    assert "iter-1/evaluate is not done" in repr(story.afterwards)
    assert len(histograms(found)._repr_png_()) > 100
    assert next_commands(found).rows[0]["to"] == "make what is missing"
    assert len(pair_map.place(found).points) == 5


def test_a_changed_file_is_not_shown(run_dir):
    path = manifests.stage_folder(run_dir, 1, "filter") / "kept.jsonl"
    path.write_text(path.read_text() + "\n")
    with pytest.raises(RecordError, match=r"kept\.jsonl: changed"):
        explore_pairs.pairs(run_dir, 1)


def test_one_pair_is_followed_through_every_station(run_dir):
    evaluated(run_dir, 0, {"a": "rivers and gardens", "b": "Pepper"})
    evaluated(run_dir, 1, {"a": "gardens", "b": "Salt is p10, I say.", "c": " "})
    story = pair_history.follow(run_dir, 1, "p10")
    assert [(row["id"], row["output"]) for row in story.demonstrations.rows] == [("seed-1", "Hello."), ("seed-2", "")]
    assert [row["text"] for row in story.pair.rows] == ["Write about p10.", "Salt is p10."]
    assert story.scores.rows == [{"score": "pmi", "value": 0.7}]
    assert [(row["step"], row["verdict"]) for row in story.verdicts.rows] == [
        ("decontaminate", "looks at all pairs together, and did not strike this one"),
        ("rules", "passes"),
        ("threshold", "passes"),
        ("density", "looks at all pairs together, and did not strike this one"),
        ("recorded", "kept"),
    ]
    nearest, other = story.afterwards.rows
    assert nearest["benchmark and item"] == "nq_open b"
    assert (nearest["answer of M_0"], nearest["answer of M_1"]) == ("Pepper", "Salt is p10, I say.")
    assert nearest["scores of M_1"] == "em 1"
    assert nearest["likeness"] > other["likeness"]
    assert "hold answers and no questions" in story.afterwards.caption
    assert "verdicts\n" in repr(story)


@pytest.mark.parametrize(
    ("id_", "step", "verdict"),
    [
        ("p1", "threshold", "fails_threshold: pmi 0.1 is not above 0.25"),
        ("p1", "density", "looks at all pairs together"),
        ("p1", "recorded", "dropped, fails_threshold: pmi 0.1 is not above 0.25"),
        ("p3", "density", "same_cluster: cluster 0 has 2 pairs"),
        ("p4", "synthesize", "near_duplicate: ROUGE-L 1.00"),
    ],
)
def test_a_dropped_pair_shows_the_step_that_struck_it(run_dir, id_, step, verdict):
    found = {row["step"]: row["verdict"] for row in pair_history.follow(run_dir, 1, id_).verdicts.rows}
    assert found[step] == verdict


def test_an_instruction_that_never_became_a_pair_shows_what_the_model_wrote(run_dir):
    story = pair_history.follow(run_dir, 1, "p4", ask_models=True)
    assert {row["part"]: row["text"] for row in story.pair.rows}["raw"] == "1. Write about p0."
    assert "never became a pair" in repr(story.afterwards)


def test_scores_show_the_texts_that_they_were_read_from(run_dir):
    unread = {"score": "greedy_quality", "value": "unread: no_number", "read from": "fine"}
    assert unread in pair_history.follow(run_dir, 1, "p0").scores.rows
    read = {"score": "greedy_quality", "value": 8.0, "read from": "8||good"}
    assert read in pair_history.follow(run_dir, 1, "p1").scores.rows


def test_an_unknown_id_is_told_with_the_nearest_ones(run_dir):
    with pytest.raises(DataError, match=r"no pair 'p100'(?s:.*)the nearest: p10"):
        pair_history.follow(run_dir, 1, "p100")


def test_a_run_that_names_no_model_asks_none_and_is_placed_by_words(run_dir):
    (run_dir / "params.yaml").unlink()
    with pytest.raises(RecordError, match="does not say which model"):
        pair_history.follow(run_dir, 1, "p0", ask_models=True)
    placed = pair_map.place(explore_pairs.pairs(run_dir, 1))
    assert "by their words (TF-IDF), as the model is not at hand: the run does not say which model" in placed.caption


def test_models_without_their_weights_are_not_asked_and_the_command_is_said(run_dir, tiny_model):
    params = yaml.safe_load((run_dir / "params.yaml").read_text())
    params["model"]["base_model"] = str(tiny_model)
    (run_dir / "params.yaml").write_text(yaml.safe_dump(params))
    with pytest.raises(
        ModelError, match=r"(?s)weights of iter-1 are not at hand.*isheep iterate 1 --params .*params.yaml --run NAME"
    ):
        pair_history.follow(run_dir, 1, "p0", ask_models=True)


def test_both_models_are_asked_in_their_own_frames_and_closed(run_dir, tiny_model, monkeypatch):
    params = yaml.safe_load((run_dir / "params.yaml").read_text())
    params["model"] |= {"base_model": str(tiny_model), "base_frame": "plain"}
    params["synthesize"] = {"response_tokens": 33}
    (run_dir / "params.yaml").write_text(yaml.safe_dump(params))
    adapter = manifests.stage_folder(run_dir, 1, "train") / "adapter"
    adapter.mkdir()
    (adapter / "adapter_model.safetensors").touch()
    asked, closed, held = [], [], []

    def answer(engine, request):
        asked.append((request.prompt, request.max_new_tokens, request.temperature, request.stop))
        return SimpleNamespace(text=f"answer {len(asked)}", finish="end")

    def opened(model, settings):
        return SimpleNamespace(
            tokenizer=SimpleNamespace(special_tokens_map={"eos_token": "END"}), close=lambda: closed.append(model.adapters)
        )

    monkeypatch.setattr(pair_history, "preflight", lambda model, settings: None)
    monkeypatch.setattr(pair_history, "open_engine", opened)
    monkeypatch.setattr(pair_history, "ask", answer)
    monkeypatch.setattr(pair_history, "hold_against_weights", lambda engine, run, model, k, settings: held.append(k))
    rows = pair_history.follow(run_dir, 1, "p0", ask_models=True).afterwards.rows
    assert [row["answer"] for row in rows] == ["Salt is p0.", "answer 1", "answer 2"]
    assert [row["model"] for row in rows] == ["M_0, as recorded", "M_0, asked now, greedy", "M_1, asked now, greedy"]
    assert held == [0, 1]
    assert closed == [(), (adapter,)]
    (before, *rest), (after, *same) = asked
    assert rest[:2] == same[:2] == [33, 0.0]
    assert "<|im_start|>" in after
    assert "<|im_start|>" not in before
    assert "Write about p0." in before


def test_pairs_lie_where_their_recorded_vectors_put_them(run_dir, no_engine):
    folder = manifests.stage_folder(run_dir, 1, "assess")
    np.save(folder / "vectors.npy", np.array([[0, 0, 1], [9, 0, 1], [0, 1, 1], [8, 1, 1], [0, 2, 1]], np.float32))
    manifest = manifests.read_manifest(folder)
    manifest["outputs"]["vectors.npy"] = manifests.describe_file(folder / "vectors.npy")
    manifests.write_manifest(folder, manifest)
    placed = pair_map.place(explore_pairs.pairs(run_dir, 1))
    assert "5 pairs of iteration 1, task and response together, by the vectors that assess recorded, of M_0" in placed.caption
    assert [row["id"] for row in placed.neighbours("p0", 2).rows] == ["p2", "p3"]
    assert placed.neighbours("p1", 1).rows[0] | {"distance": 0} == {
        "id": "p10",
        "distance": 0,
        "fate": "kept",
        "instruction": "Write about p10.",
    }
    assert "no place on the map" in repr(placed.neighbours("p4"))
    assert {row["group"]: row["points"] for row in placed.spread.rows} == {"all": 5, "kept": 3, "dropped": 2}
    picture = placed.picture("p1")
    (axis,) = picture.axes
    names = [text.get_text() for text in axis.get_legend().get_texts()]
    assert names == ["kept (3)", "fails_threshold (1)", "same_cluster (1)"]
    assert "p1 is ringed" in axis.get_title(loc="left").replace("\n", " ")
    *groups, ring = (part.get_offsets().tolist() for part in axis.collections)
    assert ring == groups[1] == [placed.points[3].tolist()]
    assert placed.caption in placed.spread.caption


def test_without_vectors_and_without_a_model_words_place_the_pairs_and_the_caption_says_so(run_dir, no_engine):
    placed = pair_map.place(explore_pairs.pairs(run_dir, 1))
    assert len(placed.points) == 5
    assert "by their words (TF-IDF), as the model is not at hand: no model at 'nowhere/at/all'" in placed.caption


def test_the_base_model_places_pairs_whose_vectors_were_not_recorded(run_dir, tiny_model, monkeypatch):
    asked = []

    def vectors(texts, name, settings):
        asked.append((list(texts), name, settings.inference_dtype))
        return np.random.default_rng(0).normal(size=(len(texts), 4)).astype(np.float32)

    monkeypatch.setattr(pair_map, "vectors_by_model", vectors)
    pair_map.place(explore_pairs.pairs(run_dir, 1))
    assert "the final layer of other" in pair_map.place(explore_pairs.pairs(run_dir, 1), "other").caption
    assert [name for _, name, _ in asked] == ["nowhere/at/all", "other"]
    assert asked[0][0][0] == "Write about p0.\n\nSalt is p0."
    assert asked[0][2] == "float32"


def test_of_very_many_pairs_only_those_that_are_drawn_are_embedded(run_dir, no_engine, monkeypatch):
    monkeypatch.setattr(embedding_map, "thinned", lambda number: [0, 2, 3])
    placed = pair_map.place(explore_pairs.pairs(run_dir, 1))
    assert ids(placed.rows) == ["p0", "p2", "p10"]
    assert "5 pairs of iteration 1, 3 of 5," in placed.caption


def test_too_few_pairs_give_no_map_but_no_error(tmp_path, no_engine):
    record(tmp_path, 1, "synthesize", {"examples.jsonl": [example("p0"), example("p1")], "dropped.jsonl": []})
    placed = pair_map.place(explore_pairs.pairs(tmp_path, 1))
    assert placed.caption.startswith("No map: 2 vector(s)")
    assert placed.picture()._repr_png_()


def test_repetition_is_counted_over_all_instructions_of_the_run(run_dir):
    synthesized(run_dir, 2, p0={"instruction": "Name three uses of salt."}, p1={"instruction": "Name three good uses of salt."})
    found = lengths_and_duplicates(run_dir)
    exact, near = "share of the written seen before, exactly", "share of the written seen before, ROUGE-L above 0.7"
    assert [found[1][name] for name in ("pairs", "instructions written")] == [5, 6]
    assert found[1][exact] == 0.0
    assert found[2][exact] == pytest.approx(4 / 6)
    assert found[2][near] == pytest.approx(5 / 6)
    assert found[1]["median words of an instruction"] == 3.0
    assert 0 < found[2]["distinct pairs of words, responses"] <= 1
    assert list(trend_table(found).rows[0]) == ["measure", "iteration 1", "iteration 2"]
    assert len(trend_figure(found)._repr_png_()) > 1000


def several(run_dir):
    """Record two tasks with two and three answers, one of which says what another one says."""
    rows = [
        {**example(f"t{n}-a{k}"), "task": f"t{n}", "instruction": f"Write about t{n}."} for n in (0, 1) for k in range(2 + n)
    ]
    kept, same = rows[:4], [{**rows[4], "reason": "same_answer", "detail": "says what t1-a0 says"}]
    record(run_dir, 1, "synthesize", {"examples.jsonl": kept, "dropped.jsonl": same, "demonstrations.jsonl": []})
    scores = [{"id": row["id"], "scores": {"pmi": n / 10}, "unread": {}, "raw": {}} for n, row in enumerate(kept)]
    record(run_dir, 1, "assess", {"scores.jsonl": scores})
    scored = [{**row, "scores": {"pmi": n / 10}} for n, row in enumerate(kept)]
    gone = [{**row, "reason": "not_best", "detail": "pmi 0"} for row in scored[::2]]
    params = Filter(steps=["best_answer"]).model_dump() | {"seed": 7, "iteration": 1}
    record(run_dir, 1, "filter", {"kept.jsonl": scored[1::2], "dropped.jsonl": gone}, parameters=params)


def test_a_task_with_several_answers_was_written_once(tmp_path):
    several(tmp_path)
    found = lengths_and_duplicates(tmp_path)[1]
    assert (found["pairs"], found["instructions written"]) == (4, 2)
    assert found["share of the written seen before, exactly"] == 0.0
    assert found["distinct pairs of words, instructions"] == 3 / 4


def test_a_pair_is_followed_beside_the_other_answers_to_its_task(tmp_path):
    several(tmp_path)
    story = pair_history.follow(tmp_path, 1, "t1-a0")
    assert [(row["id"], row.get("pmi"), row["became"]) for row in story.answers.rows] == [
        ("t1-a0", 0.2, "not_best"),
        ("t1-a1", 0.3, "kept"),
        ("t1-a2", None, "same_answer"),
    ]
    assert {row["step"]: row["verdict"] for row in story.verdicts.rows}["best_answer"] == "not_best: pmi 0"


def test_an_answer_that_repeats_another_one_is_no_pair_and_says_whose_it_repeats(tmp_path):
    several(tmp_path)
    row = next(row for row in explore_pairs.pairs(tmp_path, 1).rows if row["id"] == "t1-a2")
    assert (row["fate"], row["reason"]) == ("no pair", "same_answer")
    story = pair_history.follow(tmp_path, 1, "t1-a2", ask_models=True)
    assert story.verdicts.rows == [{"step": "synthesize", "verdict": "same_answer: says what t1-a0 says"}]
    assert "never became a pair" in repr(story.afterwards)


def test_figures_of_nothing_can_be_drawn(tmp_path):
    assert trend_figure({})._repr_png_()
    assert trend_table({}).rows == [{"measure": "no iteration has pairs yet"}]
    nothing = Pairs(tmp_path, 1, [], ["pmi"], [])
    assert histograms(nothing)._repr_png_()
    assert nothing.first() == ""


@pytest.fixture
def live(monkeypatch):
    """Let the kernel say that a person may answer."""
    shell = SimpleNamespace(kernel=SimpleNamespace(_allow_stdin=True))
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    return shell.kernel


def test_a_session_is_live_only_where_a_person_may_answer(live, monkeypatch):
    assert widgets.is_live()
    live._allow_stdin = False
    assert not widgets.is_live()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    assert not widgets.is_live()
    monkeypatch.delitem(sys.modules, "IPython")
    assert not widgets.is_live()


@pytest.mark.parametrize("package", ["itables", "ipywidgets"])
def test_without_the_packages_a_live_session_says_what_is_missing(run_dir, live, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    found = explore_pairs.pairs(run_dir, 1)
    shown = widgets.sortable(found) if package == "itables" else widgets.menus(run_dir, 1)
    assert ".[explore]" in repr(shown)


def test_an_executed_notebook_gets_no_scripts(run_dir):
    assert "<script" not in widgets.sortable(explore_pairs.pairs(run_dir, 1))._repr_html_()
    assert "<script" not in widgets.menus(run_dir, 1)._repr_html_()


def test_menus_choose_rows_and_follow_one(run_dir):
    package = pytest.importorskip("ipywidgets")
    menus = widgets.Menus(package, run_dir, 1)
    assert "p10" in menus.rows.value
    menus.fate.value = "dropped"
    assert "p10" not in menus.rows.value
    assert "same_cluster" in menus.rows.value
    menus.reason.value = "fails_threshold"
    assert "same_cluster" not in menus.rows.value
    menus.fate.value = menus.reason.value = "all"
    menus.search.value = "about p2"
    assert "p10" not in menus.rows.value
    menus.search.value, menus.sort.value = "", "-id"
    assert menus.rows.value.index(">p10<") < menus.rows.value.index(">p0<")
    menus.id.value = "p3"
    assert "cluster 0 has 2 pairs" in menus.story.value
    menus.id.value = "nothing"
    assert "the nearest" in menus.story.value


def test_menus_turn_to_another_iteration(run_dir):
    package = pytest.importorskip("ipywidgets")
    record(run_dir, 2, "synthesize", {"examples.jsonl": [example("q7")], "dropped.jsonl": []})
    menus = widgets.Menus(package, run_dir, 1)
    menus.fate.value, menus.reason.value, menus.sort.value = "dropped", "same_cluster", "pmi"
    menus.id.value = "p0"
    menus.iteration.value = 2
    assert menus.fate.value == "dropped"
    menus.fate.value = "all"
    assert "q7" in menus.rows.value
    assert "p3" not in menus.rows.value
    assert menus.story.value == menus.id.value == ""
    assert menus.id.options == ("q7",)


def hostile(run_dir):
    texts = dict.fromkeys(("instruction", "input", "output"), HOSTILE)
    pairs = synthesized(run_dir, p0=texts, p2={**texts, "demonstrations": [HOSTILE]})
    for row in pairs:
        row["detail"] = HOSTILE
    assessed(run_dir)
    filtered(run_dir, pairs)
    evaluated(run_dir, 1, {"a": HOSTILE})
    return explore_pairs.pairs(run_dir, 1)


def test_whatever_a_model_wrote_is_escaped_everywhere(tmp_path, no_engine):
    found = hostile(tmp_path)
    placed = pair_map.place(found)
    story = pair_history.follow(tmp_path, 1, "p2")
    assert placed.picture("p0")._repr_png_()
    shown = [found.table(found.rows), found.counts(), story, placed.neighbours("p1")]
    shown += [placed.spread, next_commands(found)]
    for page in (part._repr_html_() for part in shown):
        assert "<script" not in page
        assert "<b>" not in page
    assert "&lt;script" in story._repr_html_()


def test_menus_escape_what_a_model_wrote(tmp_path):
    menus = widgets.Menus(pytest.importorskip("ipywidgets"), tmp_path, 1) if hostile(tmp_path) else None
    menus.id.value = "p0"
    for page in (menus.rows.value, menus.story.value):
        assert "<script" not in page
        assert "&lt;script" in page


def test_sortable_tables_keep_the_markup_of_a_model_as_text(tmp_path):
    itables, pandas = pytest.importorskip("itables"), pytest.importorskip("pandas")
    found = hostile(tmp_path)
    found.rows[0]["output"] = "two\nlines"
    page = widgets.table_page(itables, pandas, found)
    assert "go()" in page
    assert "two lines" in page
    assert HOSTILE not in page
    assert "<script>go" not in page
    assert "<b>bold" not in page
