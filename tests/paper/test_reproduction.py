"""The paper's tables beside runs: which number may stand where, what is subtracted, what is said of a change."""

import pytest
import yaml

from isheep_lib.analysis.significance import IMPROVED, NOTHING_SHOWN, WORSE, mean_with_error
from isheep_lib.benchmarks.catalogue import BENCHMARKS
from isheep_lib.benchmarks.ifeval import accuracies
from isheep_lib.display.folded import Folded
from isheep_lib.display.table import Table
from isheep_lib.errors import ParameterError
from isheep_lib.paper import changes, commands, examples, published, reproduction, summary
from isheep_lib.paper.cells import LEFT_OUT, NOT_RUN, OTHER_JUDGE, OTHER_MODEL, build, published_name, step
from isheep_lib.paper.changes import NOT_TOLD, OTHER, SAME, change_table, claims_table, direction, pairs, published_changes
from isheep_lib.paper.runs import REFERENCE, ROLES, Measured, gather
from isheep_lib.record import manifests
from isheep_lib.record.rows import write_jsonl

BIG = f"Qwen/Qwen1.5-72B@{'a' * 40}"
ASKED = {"system_prompt": "Be good.", "few_shot": 0, "answer_tokens": 256}


def choices(*right):
    return [
        {"id": f"q{i}", "scores": {"acc": float(v), "acc_norm": float(v), "exact_match": float(v)}} for i, v in enumerate(right)
    ]


def prompts(*followed):
    return [
        {"id": str(i), "strict": row, "loose": row, "scores": dict.fromkeys(("prompt_strict", "prompt_loose"), float(all(row)))}
        for i, row in enumerate(followed)
    ]


def facts(name, rows, subset="", digest="d1"):
    values = accuracies(rows) if name == "ifeval" else {}
    if not values:
        values = {metric: mean_with_error([row["scores"][metric] for row in rows]) for metric in rows[0]["scores"]}
    known = BENCHMARKS[name]
    return {"metric": known.metric, "subset": subset or f"all {known.items}", "digest": digest, "values": values}


def evaluated(folder, k, model=BIG, base="b" * 64, frame="chatml", subset="", asked=ASKED, **rows):
    """Record M_k's evaluation; a keyword holds the graded rows of a benchmark."""
    stage = manifests.stage_folder(folder, k, "evaluate")
    metrics = {"tasks": {name: facts(name, group, subset) for name, group in rows.items()}, "frame": frame}
    outputs = {"metrics.json": manifests.write_manifest(stage, metrics, "metrics.json")}
    for name, group in rows.items():
        outputs[f"samples-{name}.jsonl"] = stage / f"samples-{name}.jsonl"
        write_jsonl(stage / f"samples-{name}.jsonl", group)
    manifest = {"stage": "evaluate", "iteration": k, "git": {"commit": "c" * 40}, "parts": {"model": {"base": base}}}
    manifest["parameters"] = {"base_model": model, **asked}
    manifest["outputs"] = {name: manifests.describe_file(path) for name, path in outputs.items()}
    manifests.write_manifest(stage, manifest)
    return folder


def params(folder, **sections):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "params.yaml").write_text(yaml.safe_dump({"seed": 1, **sections}))
    return folder


def judged(folder, k, judge="gpt-4-0613", win_rate=0.5, average=7.5, subset=("all 805", "all 80")):
    grades = dict.fromkeys(published.CATEGORIES, 5.0) | {"average": average}
    means = [{"turn": t, "single_turn_score": 7.5 + t, **grades} for t in (1, 2)]
    described = {
        "name": judge,
        "local": False,
        "own": False,
        "digest": "",
        "engine": "chat",
        "frame": "",
        "verdicts": "written",
    }
    found = {
        "judge": described,
        "alpaca_eval": {"subset": subset[0], "digest": "d", "win_rate": {"win_rate": win_rate, "se": 0.02, "items": 805}},
        "mt_bench": {"subset": subset[1], "digest": "d", "means": means, "ses": [dict.fromkeys(row, 0.25) for row in means]},
    }
    found["mt_bench"]["ns"] = [dict.fromkeys(row, 80) for row in means]
    stage = manifests.stage_folder(folder, k, "judge")
    path = manifests.write_manifest(stage, found, "metrics.json")
    manifest = {"stage": "judge", "iteration": k, "self_preference": {}, "outputs": {path.name: manifests.describe_file(path)}}
    manifests.write_manifest(stage, manifest)
    return folder


def whole(folder, accuracy=(0.2, 0.4, 0.6), **more):
    """Record base, iter1, iter2 with a hundred TriviaQA questions, answered better and better."""
    for k, share in enumerate(accuracy):
        evaluated(folder, k, triviaqa=choices(*(i < 100 * share for i in range(100))), **more)
    return folder


def given(**runs):
    return gather([f"{role}={folder}" for role, folder in runs.items()])


def cell(number, found, labels, column):
    grid = build(number, found)
    (place,) = [place for place in grid.places if place.name == labels]
    return grid.cell(place, column)


# Which runs.


def test_every_wrong_entry_is_named_at_once_with_the_known_rows(tmp_path):
    whole(tmp_path / "good")
    (tmp_path / "empty").mkdir()
    params(whole(tmp_path / "last"), train={"setting": "one_last"})
    entries = [f"one_bas={tmp_path}/good", f"ppl={tmp_path}/absent", f"density={tmp_path}/empty", f"total_base={tmp_path}/last"]
    entries += [f"quality={tmp_path}/good", f"quality={tmp_path}/last"]
    with pytest.raises(ParameterError) as caught:
        gather(entries)
    said = str(caught.value).splitlines()
    assert len([line for line in said if line.startswith("  ") and "=" in line.split(":")[0]]) == 5
    for part in ("did you mean one_base?", "there is no folder", "no evaluation is finished", "train.setting is one_last"):
        assert part in str(caught.value)
    assert "given twice" in str(caught.value)
    assert all(role in caught.value.allowed for role in ROLES)


def test_a_file_that_was_changed_stops_the_run_from_being_shown(tmp_path):
    path = whole(tmp_path / "run") / "iter-1/evaluate/metrics.json"
    path.write_text(path.read_text().replace("40.0", "90.0"))
    with pytest.raises(ParameterError, match=r"metrics\.json \(changed\)"):
        given(one_base=tmp_path / "run")


def test_without_runs_the_reference_record_is_looked_at(root):
    assert [run.title for run in gather([]).runs] == list(REFERENCE)


def test_a_sweep_is_every_run_inside_but_random_controls_and_unfinished_ones(tmp_path):
    for name, control in (("C0", False), ("C1", False), ("C1-random", True)):
        params(whole(tmp_path / "sweep" / name), filter={"threshold": 0.5, "random_control": control})
    params(tmp_path / "sweep" / "C2", filter={"threshold": 2.0})
    assert [run.name.rpartition("/")[2] for run in given(threshold=tmp_path / "sweep").of("threshold")] == ["C0", "C1"]
    with pytest.raises(ParameterError, match="only random controls"):
        given(threshold=tmp_path / "sweep/C1-random")


def test_a_row_of_one_run_takes_no_folder_of_runs(tmp_path):
    params(whole(tmp_path / "sweep/inside"))
    with pytest.raises(ParameterError, match="no evaluation is finished"):
        given(one_last=tmp_path / "sweep")


# What may stand beside what.


def test_the_same_model_on_the_whole_benchmark_is_subtracted_with_its_standard_error(tmp_path):
    found = given(one_base=whole(tmp_path / "run"))
    here = cell("1", found, "Qwen1.5-72B iter2", "triviaqa")
    assert (here.text, here.published) == ("60.0 ± 4.9", 61.55)
    assert here.difference == "-1.6 ± 4.9"
    assert cell("7", found, "base", "triviaqa").difference == f"{20 - 58.07:+.1f} ± 4.0"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"model": "org/Small-1B"}, OTHER_MODEL),
        ({"subset": "64 of 7993 (seed 0)"}, "64 of 7993 items"),
        ({"subset": "all 100"}, "100 of 7993 items"),
    ],
)
def test_otherwise_the_difference_says_why_there_is_none(tmp_path, more, said):
    found = given(one_base=whole(tmp_path / "run", **more))
    assert cell("7", found, "iter1", "triviaqa").difference == said
    assert cell("7", found, "iter1", "triviaqa").text == "40.0 ± 4.9"


@pytest.mark.parametrize(
    ("name", "is_it"),
    [("Qwen/qwen1.5-72b@abc", "Qwen1.5-72B"), ("./m/Meta-Llama-3-70B", "Llama-3-70B"), ("Qwen/Qwen1.5-72B-Chat", ""), ("", "")],
)
def test_a_base_model_is_known_by_the_last_part_of_its_name(tmp_path, name, is_it):
    run = given(one_base=whole(tmp_path / "run", model=name)).runs[0]
    assert published_name(run.model) == is_it


UNFAIR = {
    "other weights": ({"base": "e" * 64}, "base model Qwen1.5-72B (eeeeeeee), not Qwen1.5-72B (bbbbbbbb)"),
    "other items": ({"subset": "50 of 7993 (seed 0)"}, "items 50 of 7993 (seed 0), not all 7993"),
    "other frame": ({"frame": "llama3"}, "frame llama3, not chatml"),
    "other system prompt": ({"asked": ASKED | {"system_prompt": "Be bad."}}, "system prompt Be bad., not Be good."),
}


@pytest.mark.parametrize("case", UNFAIR)
def test_an_unfair_run_is_left_out_of_every_part_and_listed_with_the_reason(tmp_path, case):
    more, why = UNFAIR[case]
    found = given(one_base=whole(tmp_path / "a"), one_last=whole(tmp_path / "b", **more))
    here = cell("8", found, "one_last iter2", "triviaqa")
    assert (here.value, here.text, here.difference) == (None, LEFT_OUT, LEFT_OUT)
    (row,) = reproduction.left_out_table(found, ["8"]).rows
    assert (row["run"], row["rows"], row["columns"]) == (f"one_last={tmp_path}/b", "one_last iter2", "TriviaQA")
    assert row["why"].startswith(why)
    assert "one_last" not in str(change_table("8", found))
    assert LEFT_OUT in str(reproduction.measured_tables("8", found)[0])


def test_a_fair_run_is_not_left_out(tmp_path):
    found = given(one_base=whole(tmp_path / "a"), one_last=whole(tmp_path / "b"))
    assert reproduction.left_out_table(found).rows == []
    assert cell("8", found, "one_last iter2", "triviaqa").text == "60.0 ± 4.9"


def test_the_base_model_may_be_asked_in_another_frame_and_the_change_says_so(tmp_path):
    run = whole(tmp_path / "a")
    evaluated(run, 0, frame="plain", triviaqa=choices(*(i < 20 for i in range(100))))
    found = given(one_base=run)
    assert reproduction.left_out_table(found).rows == []
    assert "base (frame plain) to iter2" in [row["change"] for row in change_table("1", found).rows]


def test_a_frame_that_changes_within_a_run_leaves_the_later_model_out(tmp_path):
    run = whole(tmp_path / "a")
    evaluated(run, 2, frame="llama3", triviaqa=choices(1, 0))
    (row, *_) = reproduction.left_out_table(given(one_base=run), ["1"]).rows
    assert (row["rows"], row["why"]) == ("iter2", "frame llama3, not chatml")


def test_tokens_of_an_answer_matter_where_answers_are_open_only(tmp_path):
    longer = ASKED | {"answer_tokens": 999}
    for name, asked in (("a", ASKED), ("b", longer)):
        for k in (1, 2):
            evaluated(tmp_path / name, k, asked=asked, ifeval=prompts([True], [False]), boolq=choices(1, 0))
    found = given(one_base=tmp_path / "a", one_last=tmp_path / "b")
    assert cell("8", found, "one_last iter2", "boolq").why == ""
    assert cell("2", found, "one_last iter2", "ifeval_prompt_strict").problem == "tokens of an answer 999, not 256"


def test_two_judges_are_never_compared_and_only_gpt_four_is_subtracted(tmp_path):
    one, other = judged(whole(tmp_path / "a"), 1), judged(whole(tmp_path / "b"), 2, judge="small")
    found = given(one_base=one, one_last=other)
    assert cell("1", found, "Qwen1.5-72B iter1", "alpaca_eval").difference == f"{50 - 6.64:+.1f} ± 2.0"
    assert cell("1", found, "Qwen1.5-72B iter1", "mt_bench").text == "7.50 ± 0.25"
    assert cell("12", found, "iter1 turn 2", "single_turn_score").difference == f"{9.5 - 5.11:+.2f} ± 0.25"
    assert cell("2", found, "one_last iter2", "alpaca_eval").problem == "judge small, not gpt-4-0613"
    alone = given(one_base=judged(whole(tmp_path / "c"), 1, judge="small"))
    assert cell("1", alone, "Qwen1.5-72B iter1", "mt_bench").difference == OTHER_JUDGE


def test_a_grade_that_could_not_be_read_is_no_number(tmp_path):
    run = judged(whole(tmp_path / "a"), 1, win_rate=None, average=None)
    assert cell("1", given(one_base=run), "Qwen1.5-72B iter1", "alpaca_eval").text == NOT_RUN


def test_a_model_of_table_1_has_rows_of_its_own_and_a_llama_stands_in_table_5(tmp_path):
    small = whole(tmp_path / "s", model="org/Small-1B", base="1" * 64)
    llama = whole(tmp_path / "l", model="meta/Meta-Llama-3-70B@x", base="2" * 64)
    found = gather([f"one_base={small}", f"one_base={llama}"])
    names = [place.name for place in build("1", found).places if place.run]
    assert names == ["Small-1B base", "Small-1B iter1", "Small-1B iter2"]
    assert [place.run is not None for place in build("5", found).places] == [True, True, True]
    shown = reproduction.measured_tables("1", found)[1].rows
    assert [row["setting"] for row in shown if row["model"] == "Qwen1.5-4B"] == ["all rows"]


def test_a_second_run_with_other_items_is_left_out_but_its_own_change_is_shown(tmp_path):
    first, second = whole(tmp_path / "a", subset="100 of 7993 (seed 0)"), whole(tmp_path / "b")
    found = gather([f"one_base={first}", f"one_base={second}"])
    assert "left out" in str(reproduction.measured_tables("1", found)[1])
    models = {row["model"] for row in change_table("1", found).rows}
    assert models == {"Qwen1.5-72B", f"Qwen1.5-72B ({second})"}


def test_the_baseline_stands_with_the_model_it_starts_from(tmp_path):
    one = whole(tmp_path / "a", model="org/Small-1B")
    baseline = evaluated(tmp_path / "s", 1, model="org/Small-1B", triviaqa=choices(1, 0))
    assert cell("1", given(one_base=one, self_instruct=baseline), "Small-1B self_instruct", "triviaqa").text == "50.0 ± 50.0"
    stray = evaluated(tmp_path / "t", 1, model="org/Other", base="f" * 64, triviaqa=choices(1, 0))
    here = cell("1", given(one_base=one, self_instruct=stray), "Small-1B self_instruct", "triviaqa")
    assert (here.why, here.problem.startswith("base model Other (ffffffff)")) == (LEFT_OUT, True)


@pytest.mark.parametrize(
    ("name", "role", "iteration"),
    [
        *(("base", "one_base", 0), ("iter6", "one_base", 6), ("dromedary_iter1", "one_base", 1)),
        *(("self_instruct", "self_instruct", 1), ("direct_20k", "direct_20k", 1), ("one_last_iter3", "one_last", 3)),
        *(
            ("both_iter2", "simple_prompt", 2),
            ("combined_prompt_iter3", "one_base", 3),
            ("density_ppl_iter1", "density_ppl", 1),
        ),
    ],
)
def test_names_of_the_tables_say_role_and_iteration(name, role, iteration):
    assert step(name) == (role, iteration)


def test_every_place_of_the_paper_stands_for_a_known_role():
    places = [place for number in published.NUMBERS for place in build(number, Measured(())).places]
    assert {place.role for place in places} == set(ROLES) - {"threshold", "data_size"}


def test_the_combined_prompt_s_numbers_in_table_3_are_those_of_the_main_run():
    main = {p.name: p.values for p in build("1", Measured(())).places}
    for place in build("3", Measured(())).places:
        if place.role == "one_base":
            assert place.values == {c: main[f"Qwen1.5-72B iter{place.iteration}"][c] for c in place.values}


# Half-done runs, and what is missing.


def test_a_half_done_run_fills_what_it_has_and_the_rest_is_not_run_with_its_command(tmp_path):
    run = evaluated(tmp_path / "half", 1, triviaqa=choices(1, 0))
    (tmp_path / "half/iter-2/evaluate").mkdir(parents=True)
    found = given(one_base=run)
    assert cell("7", found, "iter1", "triviaqa").why == ""
    assert cell("7", found, "iter2", "triviaqa").text == NOT_RUN
    rows = reproduction.missing_table("7", found).rows
    assert [row["not run"] for row in rows] == ["base, iter2, iter3", "iter1"]
    assert rows[0]["command"] == f"isheep iterate 3 --params {run}/params.yaml --run {run}"
    assert f"--run {run}-more --override 'evaluate.tasks:[boolq,piqa," in rows[1]["command"]
    assert "evaluate.data:[gpqa_diamond=FILE,squadv2=FILE]'" in rows[1]["command"]


def test_commands_name_the_paper_s_files_and_small_ones_for_the_embedded_model(tmp_path, monkeypatch):
    big, small = (given(one_base=whole(tmp_path / n, model=m)) for n, m in (("a", BIG), ("b", "embedded:tiny")))
    sweeps = tmp_path / "params/ablations"
    sweeps.mkdir(parents=True)
    for name in ("setting", "threshold"):
        (sweeps / f"small-{name}.yaml").touch()
    monkeypatch.setattr(commands, "project_root", lambda: tmp_path)
    assert commands.sweep_command("one_last", big) == "isheep ablate params/ablations/setting.yaml"
    assert commands.sweep_command("one_last", small) == "isheep ablate params/ablations/small-setting.yaml"
    direct = commands.sweep_command("direct_30k", small)
    assert direct.startswith("isheep iterate 1 --params ") and "-direct_30k --override 'synthesize.instructions:" in direct
    assert commands.sweep_command("direct_30k", big) == "isheep ablate params/ablations/setting.yaml"
    assert commands.sweep_command("density", small) == "isheep ablate params/ablations/filter.yaml"
    table = {row["model"]: row["command"] for row in reproduction.missing_table("1", small).rows if row["columns"] == "all"}
    assert table["Qwen1.5-32B"] == "isheep iterate 4 --params params/qwen1.5-32b.yaml"
    assert table["Qwen1.5-72B"] == "isheep ablate params/ablations/setting.yaml"  # its last row, Self-Instruct
    (llama,) = reproduction.missing_table("5", small).rows
    assert llama["command"] == "isheep iterate 3 --params params/llama-3-70b.yaml"


def test_a_record_without_its_weights_is_not_gone_on_with_but_made_again_beside_it(tmp_path):
    (run,) = given(one_base=whole(tmp_path / "a")).runs
    assert commands.again(run).endswith(f"--run {run.folder}")
    train = manifests.stage_folder(run.folder, 1, "train")
    train.mkdir(parents=True, exist_ok=True)
    manifests.write_manifest(train, {"iteration": 1, "outputs": {"adapter/adapter_model.safetensors": {}}})
    assert commands.again(run).endswith(f"--run {run.folder}-more")
    (train / "adapter").mkdir()
    (train / "adapter/adapter_model.safetensors").touch()
    assert commands.again(run).endswith(f"--run {run.folder}")


def test_every_published_number_is_measured_left_out_or_not_run(tmp_path):
    unfair = whole(tmp_path / "b", frame="llama3")
    found = given(one_base=judged(whole(tmp_path / "a"), 1), one_last=unfair)
    assert reproduction.all_accounted(found)
    *rows, total = reproduction.summary_table(found).rows
    of = {row["table"]: row for row in rows}
    assert (of["7"]["measured"], of["7"]["compared"], of["7"]["not run"]) == (3, 3, 61)
    assert of["8"]["left out"] == 1
    assert total["published"] == sum(row["published"] for row in rows)


# Changes.


@pytest.mark.parametrize(
    ("verdict", "difference", "known", "said"),
    [
        (NOTHING_SHOWN, 3.0, [1.0], NOT_TOLD),
        (IMPROVED, 3.0, [1.0], SAME),
        (IMPROVED, 3.0, [-1.0], OTHER),
        (WORSE, -3.0, [-1.0, -2.0], SAME),
        (WORSE, -3.0, [-1.0, 2.0], "worse; the published models differ"),
        (WORSE, -3.0, [0.0], "worse; no published change"),
        (IMPROVED, 3.0, [], "improved; no published change"),
    ],
)
def test_a_direction_is_said_only_where_the_test_tells_it_from_nothing(verdict, difference, known, said):
    assert direction(verdict, difference, known) == said


def test_a_model_that_the_paper_does_not_have_is_compared_by_its_changes(tmp_path):
    found = given(one_base=whole(tmp_path / "run", model="org/Small-1B", subset="100 of 7993 (seed 0)"))
    first, second = change_table("7", found).rows
    assert (first["change"], first["published"]) == ("iter1 to iter2", f"{61.55 - 60.81:+.2f}")
    assert first["measured (95 % interval)"].startswith("+20.0 (+")
    assert (second["change"], second["direction"]) == ("base to iter2", SAME)
    ranges = {row["change"]: row["published"] for row in change_table("1", found).rows}
    assert ranges["base to iter2"] == "-14.30 to +3.48 (6 models)"


def test_p_values_are_corrected_over_the_rows_of_the_table(tmp_path):
    found = given(one_base=whole(tmp_path / "run", accuracy=(0.3, 0.3, 0.36)))
    row = next(row for row in change_table("7", found).rows if row["change"] == "iter1 to iter2")
    assert row["p (Holm)"] == "0.062"  # 2 ** -5, twice
    assert row["direction"] == NOT_TOLD


def test_a_change_the_other_way_is_said_to_be_one(tmp_path):
    found = given(one_base=whole(tmp_path / "run", accuracy=(0.6, 0.4, 0.2)))
    assert {row["direction"] for row in change_table("7", found).rows} == {OTHER}


def test_settings_are_compared_with_the_main_one_at_the_same_iteration(tmp_path):
    found = given(one_base=whole(tmp_path / "a"), one_last=whole(tmp_path / "b"), direct_20k=whole(tmp_path / "c"))
    named = [(before.name, after.name) for before, after in pairs(build("2", found))]
    assert ("one_base iter2", "one_last iter2") in named
    assert ("dromedary iter1", "one_last iter2") in named
    assert ("dromedary iter1", "direct 20k") in named
    assert len(set(named)) == len(named)


def test_the_prompt_level_alone_is_tested_of_the_four_accuracies(tmp_path):
    for k in (1, 2):
        evaluated(tmp_path / "a", k, ifeval=prompts([True, False], [k == 2], [True]))
    (row,) = change_table("2", given(one_base=tmp_path / "a")).rows
    assert (row["benchmark"], row["items"]) == ("IFEval", "3")
    assert row["measured (95 % interval)"].startswith("+33.3")


def test_a_table_without_two_models_says_that_it_has_no_changes(tmp_path):
    found = given(one_base=evaluated(tmp_path / "a", 1, triviaqa=choices(1, 0)))
    assert "none" in change_table("7", found).rows[0]["changes"]
    assert "none" in change_table("12", given(one_base=judged(whole(tmp_path / "b"), 1))).rows[0]["changes"]


def test_published_changes_need_both_numbers():
    grid = build("1", Measured(()))
    at = {place.name: place for place in grid.places}
    base, last = at["Qwen1.5-72B base"], at["Qwen1.5-72B iter5"]
    assert published_changes(grid, base, last, "triviaqa") == [12.04]
    assert published_changes(grid, base, last, "alpaca_eval") == []


def test_headline_claims_are_measured_where_the_paper_s_model_was_run(tmp_path):
    run = tmp_path / "run"
    for k, right in ((0, 40), (5, 60)):
        evaluated(run, k, triviaqa=choices(*(i < right for i in range(100))))
    rows = {row["claim"]: row["measured"] for row in claims_table(given(one_base=run)).rows}
    assert (rows["TriviaQA"], rows["SQuAD2.0"]) == ("+20.00", NOT_RUN)
    assert changes._claimed("relative", [3.0, 2.0]) == pytest.approx(50.0)
    assert changes._claimed("absolute", [3.0, 2.0, 7.0, 4.0]) == 2.0
    part = given(one_base=whole(tmp_path / "b", subset="9 of 7993 (seed 0)"))
    assert {row["measured"] for row in claims_table(part).rows} == {NOT_RUN}


# What is shown and written.


def test_published_tables_hold_every_number_of_their_file(root):
    for number in published.NUMBERS:
        shown = [value for table in reproduction.published_tables(number) for row in table.rows for value in row.values()]
        table = published.table(number)
        for row in table.rows:
            for name in table.values:
                if row[name] is not None:
                    assert f"{row[name]:.2f}" in shown


@pytest.mark.parametrize("number", published.NUMBERS)
def test_no_table_is_wider_than_a_page(number, tmp_path):
    found = given(one_base=judged(whole(tmp_path / "a"), 1))
    for table in (*reproduction.published_tables(number), *reproduction.measured_tables(number, found)):
        assert len(table.columns) <= 9
    assert len(change_table(number, found).columns) <= 9


def test_a_set_shows_its_parts_in_order_and_writes_them_all(tmp_path):
    found = given(one_base=whole(tmp_path / "run"))
    shown = reproduction.table_set("7", found, tmp_path / "out")
    assert [title for title, _ in shown.parts] == ["As published", "As measured", "Difference", "Changes", "Not run"]
    written = {path.name for path in (tmp_path / "out").iterdir()}
    for part in ("published", "measured", "difference", "changes", "left-out", "not-run"):
        assert {f"table-7-{part}.{ending}" for ending in ("md", "tex", "csv")} <= written
    assert shown._repr_html_().index("As published") < shown._repr_html_().index("Not run") and "<h4></h4>" not in str(shown)


def test_a_table_that_nothing_was_measured_for_is_shown_as_published_with_the_command(tmp_path):
    shown = reproduction.table_set("4", given(one_base=whole(tmp_path / "run")), tmp_path / "out")
    assert [title for title, _ in shown.parts] == ["As published", "Not run"]
    assert (tmp_path / "out/table-4-measured.csv").is_file()


def test_a_table_without_a_measurement_is_one_line_and_what_is_not_run_is_folded(tmp_path):
    found = given(one_base=whole(tmp_path / "run"))
    measured, none = (reproduction.table_set(number, found, tmp_path / "out") for number in "74")
    assert none._repr_html_().startswith("<details><summary>Table 4: nothing of it is measured; 48 published numbers")
    assert repr(none).startswith("Table 4: nothing of it is measured") and "isheep ablate" in repr(none), "as text all is there"
    assert not measured.line and measured._repr_html_().startswith("<h4>As published</h4>")
    folded = {title: one.line for title, one in measured.parts if isinstance(one, Folded)}
    assert list(folded) == ["Not run"] and "with the commands that would measure them" in folded["Not run"]


def test_the_summary_says_first_how_much_is_measured_and_which_tables_are_not(tmp_path):
    found = given(one_base=whole(tmp_path / "run"))
    counts = reproduction.summary_table(found)
    total = counts.rows[-1]
    first, *rest = summary.told(found, counts).said.split("\n")
    assert first.startswith(f"Of {total['published']} published numbers {total['not run']} are not run; 1 run(s) of ")
    assert f" measured {total['measured']} numbers in the same places, of which {total['compared']} may" in first
    assert total["compared"] > 0 and len(rest) == 1
    assert rest[0].startswith("Nothing is measured of table(s) ")


def test_a_summary_of_numbers_that_may_not_be_compared_says_what_that_takes(tmp_path):
    found = given(one_base=whole(tmp_path / "run"))
    row = {"table": "1", "published": 4, "measured": 2, "compared": 0, "left out": 0, "not run": 2}
    said = summary.told(found, Table([row, row | {"table": "all"}])).said.split("\n")
    assert said[1:] == [
        "None may: that takes the same model and the whole benchmark. What can be compared is how a model changes."
    ]


def test_titles_of_runs_are_escaped(tmp_path):
    run = whole(tmp_path / "<b>run", model="org/<script>1")
    html = given(one_base=run).table()._repr_html_() + reproduction.table_set("1", given(one_base=run), tmp_path)._repr_html_()
    assert "<script>" not in html and "<b>" not in html


def test_items_stand_above_the_measured_numbers(tmp_path):
    found = given(one_base=whole(tmp_path / "run", subset="100 of 7993 (seed 0)"))
    assert reproduction.measured_tables("11", found)[0].rows[0]["TriviaQA"] == "100 of 7993"
    by_name = {row["benchmark"]: row for row in reproduction.measured_tables("7", found)[0].rows}
    assert by_name["TriviaQA"]["items"] == "100 of 7993"


@pytest.mark.parametrize(("scorer", "said"), [("pmi", True), ("mutual_information", True), ("expected", False)])
def test_a_run_whose_filter_asks_no_prompt_is_named_where_prompts_are_compared(tmp_path, scorer, said):
    run = params(whole(tmp_path / "run"), filter={"scorer": scorer, "steps": ["rules", "threshold"]})
    captions = {number: reproduction.measured_tables(number, given(one_base=run))[0].caption for number in ("7", "11")}
    assert (f"one_base by {scorer.replace('_', ' ')}" in captions["11"]) == said
    assert "decides" not in captions["7"]


def test_the_difference_says_once_how_we_measure_otherwise():
    (table,) = reproduction.difference_tables("7", Measured(()))
    notes = {row["benchmark"]: row["note"] for row in table.rows}
    assert notes["BoolQ"] == notes["PIQA"] and notes["ARC easy"].startswith(f"{notes['BoolQ']}, ")
    assert notes["NQ"] == ""
    assert table.caption.count("log-probabilities") == 1


# Table 6 and Figure 2.


def scored(folder, values, scorer="expected"):
    stage, pairs = manifests.stage_folder(folder, 1, "assess"), manifests.stage_folder(folder, 1, "synthesize")
    ids = [f"p{i}" for i in range(len(values))]
    rows = [
        {"id": name, "scores": {f"{scorer}_quality": q, f"{scorer}_following": f}}
        for name, (q, f) in zip(ids, values, strict=True)
    ]
    write_jsonl(stage / "scores.jsonl", rows)
    texts = [{"id": name, "instruction": f"<i>{name}", "input": "", "output": "long " * 99} for name in ids]
    write_jsonl(pairs / "examples.jsonl", texts)
    for at in (stage, pairs):
        manifests.write_manifest(at, {"stage": at.name, "iteration": 1, "outputs": {}})
    return folder


def test_examples_come_from_the_four_corners_furthest_out_first(tmp_path):
    values = [(9, 9), (7, 7), (9, 2), (7, 4), (2, 9), (4, 7), (1, 1), (4, 4)]
    found = given(one_base=scored(whole(tmp_path / "run"), values))
    table = reproduction.examples_table(found)
    assert [(row["quality"], row["following"], row["pair"]) for row in table.rows] == [
        ("good", "good", "p0"),
        ("good", "poor", "p2"),
        ("poor", "good", "p4"),
        ("poor", "poor", "p6"),
    ]
    assert "<i>" not in table._repr_html_() and len(table.rows[0]["response"]) < 300


def test_an_empty_corner_says_so_and_runs_without_both_axes_get_a_command(tmp_path):
    rows = examples.corners_table(scored(tmp_path / "a", [(1, 1), (2, 2), (3, 3)]), "").rows
    assert [row["task"] == "no pair in this corner" for row in rows] == [False, True, True, False]
    found = given(one_base=whole(tmp_path / "b"))
    (row,) = reproduction.examples_table(found).rows
    assert row["command"].endswith('--override "assess.scorers:[pmi,expected]"')


def test_a_figure_names_its_runs_or_the_command_and_what_it_leaves_out(tmp_path):
    run = params(whole(tmp_path / "a"), filter={"threshold": 1.0, "random_control": False})
    rows = reproduction.figure_table("threshold", given(threshold=run), [{"run": "b", "left out": "why"}]).rows
    assert [row["run"] for row in rows] == [str(run), "b"]
    (row,) = reproduction.figure_table("data_size", given(one_base=run)).rows
    assert row["command"] == "isheep ablate params/ablations/data-size.yaml"


def test_the_reference_record_fills_the_tables_it_can(root):
    found = gather([])
    assert reproduction.all_accounted(found)
    assert {row["direction"] for row in change_table("7", found).rows} == {NOT_TOLD}
    assert reproduction.left_out_table(found).rows == []
    assert cell("7", found, "iter3", "piqa").difference == OTHER_MODEL


def test_every_run_is_shown_with_its_grade_also_where_its_record_states_none(tmp_path):
    run = params(whole(tmp_path / "run"), synthesize={"instruction_rules": False}, filter={"steps": []})
    assert [row["grade"] for row in given(one_base=run).table().rows] == ["A"]
    assert [row["grade"] for row in given(one_base=whole(tmp_path / "older")).table().rows] == ["B"]
