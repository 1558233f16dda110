"""A stage being opened and committed: parameters of a notebook, the run's own values, damaged inputs, repetition, reuse."""

import json
import shutil

import pytest

from isheep_lib.engines.generate import generate_all
from isheep_lib.engines.protocol import Request
from isheep_lib.errors import ParameterError, RecordError
from isheep_lib.iterate import asked, claims, fingerprint_parts, session
from isheep_lib.iterate.run_params import STAGE_PARAMS, FilterParams, SynthesizeParams, TrainParams
from isheep_lib.params import run_file
from isheep_lib.params.check import check
from isheep_lib.params.notebook import cell_values
from isheep_lib.prompting.chat import FRAMES
from isheep_lib.record import manifests, provenance, shards
from isheep_lib.record.fingerprints import fingerprint, stale_reason
from isheep_lib.record.rows import write_jsonl
from tests.scripted import ScriptedEngine

PAIR = {"id": "a", "instruction": "Name three rivers.", "input": "", "output": "Rhine, Elbe, Oder", "finish": "end"}


def notebook(run, *cells, **values):
    """Imitate a notebook's globals after its parameter cells have run."""
    values = {"decontaminate": "ignore", **values}  # benchmark data need not be installed
    injected = "# Parameters\n" + "\n".join(f"{name} = {value!r}" for name, value in {"run": str(run), **values}.items())
    names = {"In": ["", 'run: str = "smollm2-135m"', injected, *cells], "pairs": [1, 2], "counts": {}}
    return names | {"run": str(run), **values}


def record(run_dir, iteration, stage, files, **more):
    """Record a finished stage with these row files, and return their digests by their names below the run."""
    folder = manifests.stage_folder(run_dir, iteration, stage)
    for name, rows in files.items():
        write_jsonl(folder / name, rows)
    outputs = {name: manifests.describe_file(folder / name) for name in files}
    manifests.write_manifest(folder, {"outputs": outputs, "parts": {}, **more})
    return {f"iter-{iteration}/{stage}/{name}": kept["sha256"] for name, kept in outputs.items()}


@pytest.fixture
def run(tmp_path):
    """Return a run whose pairs and scores are recorded, so that the filter can be opened."""
    scores = [{"id": "a", "scores": {"pmi": 1.0}, "unread": {}}]
    record(tmp_path / "run", 1, "synthesize", {"examples.jsonl": [PAIR], "demonstrations.jsonl": []})
    record(tmp_path / "run", 1, "assess", {"scores.jsonl": scores})
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"run": "../x"}, "run: '../x' holds .., which leads out of a folder"),
        ({"run": "x" * 300}, "is too long: 300 bytes"),
        ({"run": "a\0b"}, "holds the character \\x00"),
        ({"threshold": "0x10"}, "threshold: '0x10' should be a valid number; it is text: write a decimal number"),
        ({"threshold": "1e-4"}, "without quotes, like 16 or 1.0e-4"),
        ({"min_kept": "1_000"}, "min_kept: '1_000' should be a valid integer"),
        ({"min_kept": 10**30}, "min_kept: '0x"),
        ({"steps": "[rules]"}, "steps: '[rules]' should be a valid list"),
        ({"scorer": "pm\ud800i"}, "holds the character \\ud800"),
        ({"random_control": "yes"}, "write true or false, without quotes"),
        ({"iteration": 10**6}, "iteration: 1000000 should be less than or equal to 1000"),
    ],
)
def test_what_papermill_gives_is_checked_as_a_params_file_is(tmp_path, monkeypatch, values, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ParameterError) as caught:
        session.open_stage("filter", {**notebook("fresh"), **values})
    assert said in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_list_that_holds_itself_is_refused():
    steps = ["rules"]
    steps.append(steps)
    with pytest.raises(ParameterError, match=r"steps\.1: a list or mapping that holds itself"):
        session.open_stage("filter", {**notebook("fresh"), "steps": steps})


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["threshold: float = 1.5  # kept above", "x = 3"], []),
        (["# Parameters\nthresold = 1.5"], ["thresold"]),
        (["%load_ext autoreload", "threshold = 2.0\nsed = 4"], ["sed"]),
        (["threshold = compute()", "import os", "threshold += 1", "a, b = 1, 2", "d['threshold'] = 3", "", "# words"], []),
        (["x = 1", "rows = [1, 2]"], []),
    ],
)
def test_unknown_names_are_parameters_only_where_a_parameters_cell_assigned_them(cells, expected):
    names = {"In": cells, "x": 3, "rows": [1, 2], "thresold": 1.5, "threshold": 1.5, "sed": 4}
    found = cell_values(names, FilterParams)
    assert found["threshold"] == 1.5
    assert [name for name in found if name != "threshold"] == expected


def test_a_front_end_without_history_still_passes_its_parameters():
    assert cell_values({"threshold": 1.5, "run": "x", "kept": 3}, FilterParams) == {"run": "x", "threshold": 1.5}


def test_a_misspelt_parameter_of_a_stage_is_refused_with_the_nearest_name(run):
    with pytest.raises(ParameterError, match="thresold: no such parameter; did you mean threshold"):
        session.open_stage("filter", notebook(run, thresold=1.0))


def test_variables_of_later_cells_are_no_parameters(run):
    stage = session.open_stage("filter", notebook(run, "kept = 3", "rows = [1]"))
    assert stage.params.threshold == 0.25
    stage.lock.release()


def test_values_left_at_their_defaults_are_taken_from_the_run_and_others_are_refused(run):
    claims.claim_params(run, {"seed": 5, "filter": {"threshold": 0.9, "min_kept": 2}})
    stage = session.open_stage("filter", notebook(run))
    assert (stage.params.threshold, stage.params.min_kept, stage.params.seed) == (0.9, 2, 5)
    stage.lock.release()
    with pytest.raises(ParameterError, match=r"filter.threshold: the run has 0.9, now 0.7"):
        session.open_stage("filter", notebook(run, threshold=0.7))
    session.open_stage("filter", notebook(run)).lock.release()  # a refusal holds no lock


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.write_text(path.read_text().replace("Rhine", "Rhone")), "examples.jsonl: changed"),
        (lambda path: path.write_text(path.read_text()[:20]), "examples.jsonl: changed"),
        (lambda path: path.unlink(), "examples.jsonl: missing"),
        (lambda path: (path.parent / "manifest.json").unlink(), "iter-1/synthesize is not done"),
        (lambda path: (path.parent / "manifest.json").write_text("{"), "The manifest is not JSON"),
    ],
)
def test_a_damaged_input_stops_the_stage_before_it_begins(run, damage, said):
    damage(run / "iter-1" / "synthesize" / "examples.jsonl")
    with pytest.raises(RecordError, match=said):
        session.open_stage("filter", notebook(run))


def test_counts_that_do_not_add_up_are_never_recorded(run):
    stage = session.open_stage("filter", notebook(run))
    with pytest.raises(RecordError, match="do not add up"):
        stage.commit({"kept.jsonl": [PAIR]}, counts={"in": 2, "kept": 1, "dropped": {}})
    stage.lock.release()
    assert manifests.read_manifest(stage.folder) is None


def commit(run, rows):
    stage = session.open_stage("filter", notebook(run))
    return stage.commit({"kept.jsonl": rows}, counts={"in": 1, "kept": 1, "dropped": {}})


def test_a_finished_stage_is_repeated_aside_and_compared_with_its_record(run):
    assert "is recorded in" in commit(run, [PAIR])
    record = (run / "iter-1/filter/manifest.json").read_bytes()
    assert "same bytes as the record" in commit(run, [PAIR])
    with pytest.raises(RecordError, match=r"kept\.jsonl"):
        commit(run, [{**PAIR, "output": "Main"}])
    assert (run / "iter-1/filter/manifest.json").read_bytes() == record
    assert json.loads((run / "iter-1/filter/kept.jsonl").read_text())["output"] == PAIR["output"]
    assert sorted(p.name for p in (run / "iter-1/filter").iterdir()) == ["kept.jsonl", "manifest.json"]


MACHINE = {"cores": 2, "instruction_sets": {"torch": "AVX512"}, "threads": 2, "packages": {"torch": "2.9"}}


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (MACHINE, "inputs, code, settings, machine and packages are those of the record"),
        (
            {**MACHINE, "instruction_sets": {"torch": "AVX2"}, "threads": 1},
            "this machine differs: instruction sets (torch) AVX512 → AVX2, threads 2 → 1",
        ),
        ({**MACHINE, "packages": {"torch": "2.10"}}, "packages differ: torch 2.9 → 2.10"),
        ({**MACHINE, "math_libraries": {"torch MKL": "2024.2"}}, "the record does not name its math libraries"),
    ],
    ids=["nothing", "machine", "package", "an older record"],
)
def test_a_repetition_with_other_bytes_says_how_its_machine_differs_from_the_records(run, monkeypatch, now, said):
    monkeypatch.setattr(provenance, "environment", lambda: MACHINE)
    commit(run, [PAIR])
    monkeypatch.setattr(provenance, "environment", lambda: now)
    with pytest.raises(RecordError, match=r"kept\.jsonl") as caught:
        commit(run, [{**PAIR, "output": "Main"}])
    assert caught.value.allowed == f"the same bytes; {said}"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ({"a": 1}, {"a": 1}, ""),
        ({"code": {"x": 1, "y": 2}}, {"code": {"x": 1, "y": 3, "z": 4}}, "differs in code (y, z)"),
        (
            {"code": {}},
            {"code": dict.fromkeys("abcdefghijklmno", 1)},
            "differs in code (a, b, c, d, e, f, g, h, i, j, k, l, and 3 more)",
        ),
        ({"stage": "a", "model": {"base": 1}}, {"stage": "b"}, "differs in model; stage"),
    ],
)
def test_a_stale_stage_names_what_differs(old, new, said):
    assert stale_reason(old, new) == said


def test_only_an_evaluation_may_be_made_anew_with_other_settings(run):
    claims.claim_params(run, {"seed": 5, "filter": {"threshold": 0.9}, "evaluate": {"tasks": ["ifeval:64"]}})
    claims.claim_params(run, {"evaluate": {"tasks": ["ifeval", "piqa:8"]}}, free=("evaluate",))
    assert run_file.run_params(run)["evaluate"] == {"tasks": ["ifeval", "piqa:8"]}
    with pytest.raises(ParameterError, match=r"evaluate\.tasks"):
        claims.claim_params(run, {"evaluate": {"tasks": ["ifeval"]}})
    with pytest.raises(ParameterError, match=r"filter\.threshold"):
        claims.claim_params(run, {"filter": {"threshold": 0.1}}, free=("evaluate",))


@pytest.fixture
def evaluation(tmp_path, monkeypatch):
    """Return a function that opens an evaluation of a made-up model on own data; equal calls are equal evaluations."""
    pytest.importorskip("lm_eval")
    monkeypatch.setenv("ISHEEP_CACHE", str(tmp_path / "cache"))
    write_jsonl(tmp_path / "nq.jsonl", [{"question": "who wrote faust", "answer": ["Goethe"]}])
    opened = []

    def open_evaluation(run="one", model="small", iteration=0, **values):
        folder = tmp_path / model
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_text(model)
        values = {"base_model": str(folder), "inference_dtype": "float32", "iteration": iteration, **values}
        values |= {"tasks": ["nq_open"], "data": [f"nq_open={tmp_path / 'nq.jsonl'}"], "run": str(tmp_path / run)}
        stage = session.open_stage("evaluate", {"In": [], **values})
        opened.append(stage)
        return stage

    yield open_evaluation
    for stage in opened:
        stage.lock.release()


ASKED = [Request("nq_open/0/aa", "who?", 4), Request("nq_open/1/bb", "where?", 4)]


def ask(stage, engine=None):
    """Ask two things and return the answers and the number of questions that the engine was asked."""
    engine = engine or ScriptedEngine(lambda request: request.prompt.upper())
    answering = stage.recorded(lambda: engine, None, stage.params)
    try:
        with stage.journal("answers") as journal:
            found = generate_all(answering, ASKED, journal, "answers")
        asked.keep(stage)
    finally:
        stage.lock.release()
        answering.close()
    return {id_: completion.text for id_, completion in found.items()}, len(engine.asked)


SAID = {"nq_open/0/aa": "WHO?", "nq_open/1/bb": "WHERE?"}


def test_answers_of_the_same_model_are_taken_from_an_earlier_evaluation(evaluation):
    assert ask(evaluation("one")) == (SAID, 2)
    assert ask(evaluation("two")) == (SAID, 0)
    assert ask(evaluation("three", few_shot=3, subset_seed=4, code_sandbox="unconfined")) == (SAID, 0)


@pytest.mark.parametrize(
    "change", [{"model": "large"}, {"inference_dtype": "bfloat16"}, {"numerics": "exact"}, {"context_tokens": 99}], ids=str
)
def test_another_model_or_precision_is_asked_again(evaluation, change):
    ask(evaluation("one"))
    assert ask(evaluation("two", **change)) == (SAID, 2)
    assert ask(evaluation("three")) == (SAID, 0)  # and does not disturb the first


def test_another_device_is_asked_again(evaluation):
    ask(evaluation("one"))
    engine = ScriptedEngine(lambda request: request.prompt.upper())
    engine.facts = lambda: {"device": "another"}
    assert ask(evaluation("two"), engine) == (SAID, 2)


@pytest.mark.parametrize(
    ("root", "times"), [("engines.transformers_engine.TransformersEngine", 2), ("evaluate.run.answer_all", 0)]
)
def test_answers_of_other_engine_code_are_asked_again_and_those_of_other_grading_are_not(evaluation, monkeypatch, root, times):
    ask(evaluation("one"))
    before = fingerprint_parts.code_digests
    monkeypatch.setattr(
        fingerprint_parts, "code_digests", lambda roots: {**before(roots), **({"more": "code"} if root in roots else {})}
    )
    assert ask(evaluation("two")) == (SAID, times)


def test_answers_are_asked_again_where_none_are_to_be_reused(evaluation):
    ask(evaluation("one"))
    assert ask(evaluation("two", reuse_answers=False)) == (SAID, 2)


def test_a_cache_that_cannot_be_written_costs_no_evaluation(evaluation, tmp_path, capsys):
    (tmp_path / "cache").mkdir(exist_ok=True)
    (tmp_path / "cache" / "answers").write_text("a file where a folder should be")
    assert ask(evaluation("one")) == (SAID, 2)
    assert "not kept" in capsys.readouterr().out


def test_a_cell_that_opens_the_engine_once_more_goes_on_with_its_journal(evaluation):
    stage = evaluation("one")
    first = stage.recorded(lambda: ScriptedEngine(["an answer"]), None, stage.params)
    list(first.generate([ASKED[:1]]))
    again = stage.recorded(ScriptedEngine, None, stage.params)
    assert [one.text for batch in again.generate([ASKED[:1]]) for one in batch] == ["an answer"]


def test_whether_answers_are_reused_does_not_make_another_evaluation(evaluation):
    stages = [evaluation(run, reuse_answers=reuse) for run, reuse in (("one", True), ("two", False))]
    assert fingerprint(stages[0].parts) == fingerprint(stages[1].parts)


def test_a_stage_that_is_killed_keeps_its_journal_and_its_answers_are_nobody_elses(evaluation):
    with pytest.raises(IndexError):
        ask(evaluation("one"), ScriptedEngine(["the first"]))  # and then the script ends
    assert ask(evaluation("two")) == (SAID, 2)
    assert ask(evaluation("one")) == ({**SAID, "nq_open/0/aa": "the first"}, 0)  # its own come before those of others


def test_an_evaluation_that_is_killed_does_not_ask_again_what_was_reused(evaluation):
    ask(evaluation("one"))
    stage = evaluation("two")
    answering = stage.recorded(ScriptedEngine, None, stage.params)
    with pytest.raises(IndexError), stage.journal("answers") as journal:
        generate_all(answering, [*ASKED, Request("nq_open/2/cc", "when?", 4)], journal, "answers")
    stage.lock.release()
    assert ask(evaluation("two")) == (SAID, 0)


def train(run_dir, *settings):
    """Record iterations that kept one pair each and were trained in these settings."""
    kept = {}
    for k, setting in enumerate(settings, start=1):
        own = record(run_dir, k, "filter", {"kept.jsonl": [{**PAIR, "id": f"row-{k}"}]})
        kept |= own
        inputs = dict(kept) if setting == "total_base" else own
        adapter = manifests.stage_folder(run_dir, k, "train") / "adapter" / "adapter_model.safetensors"
        adapter.parent.mkdir(parents=True)
        adapter.write_text(str(k))
        outputs = {"adapter/adapter_model.safetensors": manifests.describe_file(adapter)}
        start = k - 1 if setting == "one_last" else 0
        parts = {"inputs": {**inputs, "something/else.npy": "x"}}
        manifests.write_manifest(adapter.parents[1], {"outputs": outputs, "parts": parts, "starts_from": start})


@pytest.mark.parametrize(
    ("setting", "rows"),
    [
        ("one_base", [[], ["row-1"], ["row-2"], ["row-3"]]),
        ("one_last", [[], ["row-1"], ["row-1", "row-2"], ["row-1", "row-2", "row-3"]]),
        ("total_base", [[], ["row-1"], ["row-1", "row-2"], ["row-1", "row-2", "row-3"]]),
    ],
)
def test_a_model_was_trained_on_the_rows_that_its_setting_says(evaluation, tmp_path, setting, rows):
    train(tmp_path / "one", *[setting] * 3)
    for k, expected in enumerate(rows):
        stage = evaluation("one", iteration=k)
        assert [row["id"] for row in stage.training_rows()] == expected
        named = {name for name in stage.parts["inputs"] if "filter" in name}
        assert named == {f"iter-{row.removeprefix('row-')}/filter/kept.jsonl" for row in expected}
        stage.lock.release()


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_text("")], ids=["absent", "changed"])
def test_rows_that_are_not_those_of_the_training_are_refused(evaluation, tmp_path, damage):
    train(tmp_path / "one", "one_base")
    damage(tmp_path / "one/iter-1/filter/kept.jsonl")
    with pytest.raises(RecordError, match="is not what iteration 1 was trained on"):
        evaluation("one", iteration=1).training_rows()


def test_an_evaluation_rests_on_its_data_its_tasks_and_what_grades(evaluation):
    parts = evaluation().parts
    assert set(parts["inputs"]) == {"benchmarks/nq_open"}
    assert set(parts["packages"]) == {"lm_eval", "regex"}
    assert {"tasks/humaneval.yaml", "tasks/squadv2.yaml", *FRAMES} <= set(parts["prompts"])
    assert {"load_tasks", "code_scores", "extract_code", "run_programs", "mean_with_error"} <= set(parts["code"])


def test_other_data_make_another_evaluation(evaluation, tmp_path):
    before = fingerprint(evaluation("one").parts)
    write_jsonl(tmp_path / "nq.jsonl", [{"question": "who wrote egmont", "answer": ["Goethe"]}])
    assert fingerprint(evaluation("two").parts) != before


def test_the_metrics_of_the_model_before_are_those_of_the_iteration_before(evaluation, tmp_path):
    train(tmp_path / "one", "one_base", "one_base")
    write = manifests.write_manifest
    for k in (0, 1):
        write(manifests.stage_folder(tmp_path / "one", k, "evaluate"), {"tasks": k}, "metrics.json")
    found = []
    for k in (0, 1, 2):
        stage = evaluation("one", iteration=k)
        found.append(stage.earlier_metrics())
        stage.lock.release()
    assert found == [None, {"tasks": 0}, {"tasks": 1}]


DATED = "{% for m in messages %}{{ strftime_now('%d %b %Y') }}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}"


@pytest.mark.parametrize(("template", "same"), [(DATED, False), (DATED.replace("{{ strftime_now('%d %b %Y') }}", ""), True)])
def test_the_day_decides_a_stage_only_where_the_models_own_template_writes_it(tiny_model, tmp_path, template, same):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    (folder / "chat_template.jinja").write_text(template)

    def parts(**values):
        params = {"base_model": str(folder), "inference_dtype": "float32", "dtype": "float32", "iteration": 1, **values}
        run_params = check(SynthesizeParams, params, "x")
        return fingerprint_parts.fingerprint_parts(tmp_path / "run", "synthesize", run_params)

    own = {"base_frame": "tokenizer"}
    assert (parts(**own) == parts(**own, template_date="2030-01-02")) == same
    assert parts() == parts(template_date="2030-01-02"), "no other frame asks for a day"
    assert "frame" in parts(**own) and "frame" not in parts()


@pytest.mark.parametrize("training", [{}, {"numerics": "exact"}])
def test_a_name_that_the_model_and_a_stage_both_have_is_the_stages_in_its_notebook(tmp_path, training):
    # An exact training of a run whose tokens are not exact, and the other way round.
    of_model = {"numerics": "plain" if training else "exact", "dtype": "float32"}
    claims.claim_params(tmp_path, {"seed": 5, "model": of_model, "train": training})
    found = claims.complete_params(TrainParams, {"run": str(tmp_path)}, "train")
    assert found == {"run": str(tmp_path), "seed": 5, "dtype": "float32", **training}
    params = TrainParams(**found)
    assert claims.claim_stage(tmp_path, "train", params) == params
    assert run_file.run_params(tmp_path)["model"]["numerics"] == of_model["numerics"]
    assert run_file.run_params(tmp_path)["train"]["numerics"] == params.numerics


def test_a_run_keeps_its_day(tmp_path):
    claims.claim_params(tmp_path, {"model": {"template_date": "2030-01-02"}})
    assert run_file.run_params(tmp_path)["model"]["template_date"] == "2030-01-02"
    with pytest.raises(ParameterError, match="template_date: the run has '2030-01-02', now '2030-01-03'"):
        claims.check_params(tmp_path, {"model": {"template_date": "2030-01-03"}})


def test_what_a_killed_process_was_writing_goes_with_the_unfinished_work(tmp_path):
    (tmp_path / ".work-abc").mkdir()
    (tmp_path / ".kept.jsonl.4711.partial").write_text("half")
    (tmp_path / "kept.jsonl").write_text("whole")
    shards.finish(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.jsonl"]


def test_a_system_prompt_that_a_template_drops_is_said_and_stands_in_the_record(tmp_path, capsys, tiny_model):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.chat_template = "{% for m in messages if m['role'] == 'user' %}Q: {{ m['content'] }}\\nA:{% endfor %}"
    stage = session.StageSession("train", STAGE_PARAMS["train"](system_prompt="Be brief."), tmp_path, {}, None)
    stage.engine_facts = {"engine": "transformers"}
    for name, said in (("chatml", 0), ("tokenizer", 1)):
        stage._frame(name, tokenizer)
        assert capsys.readouterr().out.count("model.system_prompt is not shown to the model") == said
    assert "no place for a system prompt" in stage.engine_facts["system_prompt"]
    assert stage.engine_facts["engine"] == "transformers"


@pytest.mark.parametrize(
    ("numerics", "said"),
    [
        ("plain", ""),
        (
            {"decided": 1200, "again": 3, "scores": 7, "undecided": ["r1"]},
            "; exact: 1,200 tokens, 3 of them decided in float64, 7 scores, 1 undecided",
        ),
    ],
)
def test_a_stage_says_how_its_exact_decisions_were_made(evaluation, numerics, said):
    stage, engine = evaluation("one"), ScriptedEngine()
    engine.facts = lambda: {"numerics": numerics}
    stage.recorded(lambda: engine, None, stage.params)
    assert asked.exactness(stage) == said
