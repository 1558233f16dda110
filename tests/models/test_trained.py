"""The weights of a run: which model an iteration has, and how it is served."""

import pytest
from click.testing import CliRunner

from isheep_lib.cli import main
from isheep_lib.engines import parity
from isheep_lib.engines.params import PromptedModel
from isheep_lib.engines.servers import discovery as server_discovery
from isheep_lib.errors import RecordError
from isheep_lib.iterate.claims import claim_params
from isheep_lib.models import trained
from isheep_lib.record.manifests import stage_folder, write_manifest
from isheep_lib.record.rows import digest_file, write_jsonl


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model with a blank"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").touch()
    return folder


@pytest.fixture
def run_dir(tmp_path, model):
    claim_params(
        tmp_path / "run", {"seed": 1, "model": PromptedModel(base_model=str(model), served_model="small").model_dump()}
    )
    return tmp_path / "run"


def train(run_dir, *starts):
    """Record trainings 1, 2, … that began with the models of these iterations."""
    for iteration, start in enumerate(starts, start=1):
        write_manifest(stage_folder(run_dir, iteration, "train"), {"outputs": {}, "starts_from": start})


def adapters(run_dir, *iterations):
    return tuple(run_dir / f"iter-{k}" / "train" / "adapter" for k in iterations)


def test_a_model_trained_from_the_base_is_the_base_with_its_own_adapter(run_dir, model):
    train(run_dir, 0, 0, 0)
    assert trained.model_of(run_dir, str(model), 0).adapters == ()
    assert trained.model_of(run_dir, str(model), 1).adapters == adapters(run_dir, 1)
    assert trained.model_of(run_dir, str(model), 3).adapters == adapters(run_dir, 3)


def test_a_model_trained_from_the_last_one_has_all_adapters_before_its_own(run_dir, model):
    train(run_dir, 0, 1, 2)
    assert trained.model_of(run_dir, str(model), 0).adapters == ()
    assert trained.model_of(run_dir, str(model), 2).adapters == adapters(run_dir, 1, 2)
    assert trained.model_of(run_dir, str(model), 3).adapters == adapters(run_dir, 1, 2, 3)


def test_the_models_of_a_run_have_one_base(run_dir, model):
    train(run_dir, 0, 1)
    zero, two = (trained.model_of(run_dir, str(model), k) for k in (0, 2))
    assert (zero.path, zero.digest, zero.name) == (two.path, two.digest, two.name)


def test_the_base_model_is_served_from_its_own_folder_under_its_name(run_dir, model):
    command = server_discovery.serve_command(run_dir, 0)
    assert command == f"vllm serve '{model}' --served-model-name small --dtype float32"
    shown = CliRunner().invoke(main, ["serve", str(run_dir), "0"])
    assert (shown.exit_code, shown.output.strip()) == (0, command)


def test_an_iteration_that_is_not_trained_and_a_run_that_is_not_there_are_named(run_dir, tmp_path):
    with pytest.raises(RecordError, match=r"(?s)Iteration 3 is not trained yet.*allowed: iterations 0; 0 is the base model"):
        server_discovery.serve_command(run_dir, 3)
    with pytest.raises(RecordError, match="no such run"):
        server_discovery.serve_command(tmp_path / "nowhere", 0)


def test_what_a_trained_model_says_is_read_from_its_record_and_an_older_record_has_none(run_dir):
    write_manifest(run_dir / "iter-1" / "train", {"outputs": {}})
    assert parity.trained_values(run_dir, 1) is None


@pytest.fixture
def kept(run_dir):
    """Record two trainings, the second from the first, each on rows of its own; return the row files."""
    paths = [stage_folder(run_dir, k, "filter") / "kept.jsonl" for k in (1, 2)]
    for k, path in enumerate(paths, start=1):
        write_jsonl(path, [{"id": f"{k}-{n}"} for n in range(2)])
        parts = {"inputs": {f"iter-{k}/filter/kept.jsonl": digest_file(path)}}
        write_manifest(stage_folder(run_dir, k, "train"), {"outputs": {}, "starts_from": k - 1, "parts": parts})
    return paths


def test_the_rows_of_all_trainings_are_read_in_their_order_and_the_base_model_has_none(run_dir, kept):
    found = [[row["id"] for row in trained.training_rows(run_dir, k)] for k in range(3)]
    assert found == [[], ["1-0", "1-1"], ["1-0", "1-1", "2-0", "2-1"]]


def test_a_model_that_learned_from_pairs_has_read_both_answers(run_dir):
    path = stage_folder(run_dir, 1, "filter") / "pairs.jsonl"
    row = {"id": "p", "instruction": "Name", "input": "", "chosen": "yes", "rejected": "no", "kind": "cut"}
    write_jsonl(path, [row])
    parts = {"inputs": {"iter-1/filter/pairs.jsonl": digest_file(path)}}
    write_manifest(stage_folder(run_dir, 1, "train"), {"outputs": {}, "starts_from": 0, "parts": parts})
    assert trained.training_rows(run_dir, 1) == [
        {"id": "p/chosen", "instruction": "Name", "input": "", "output": "yes"},
        {"id": "p/rejected", "instruction": "Name", "input": "", "output": "no"},
    ]


@pytest.mark.parametrize(
    "damage", [lambda path: path.unlink(), lambda path: write_jsonl(path, [{"id": "new"}])], ids=["absent", "changed"]
)
def test_rows_that_were_not_trained_on_are_refused_by_name(run_dir, kept, damage):
    damage(kept[0])
    with pytest.raises(RecordError) as caught:
        trained.training_rows(run_dir, 2)
    assert "iter-1/filter/kept.jsonl is not what iteration 2 was trained on" in str(caught.value)
    assert "restore the file" in str(caught.value)
    assert trained.training_rows(run_dir, 0) == []
