"""What a run gives to others: it loads elsewhere, says the same as the record, and never replaces what is not its own."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from click.testing import CliRunner

from isheep_lib.cli import main
from isheep_lib.engines.tokens import encode
from isheep_lib.errors import IsheepError, ModelError, ParameterError, RecordError
from isheep_lib.export import data_card
from isheep_lib.export import run as export_run
from isheep_lib.export.contents import Record
from isheep_lib.export.data import FILES, write
from isheep_lib.export.run import export
from isheep_lib.iterate import claims
from isheep_lib.models import trained
from isheep_lib.models.base import find_model
from isheep_lib.models.embedded import EMBEDDED, Embedded, Terms, shipped
from isheep_lib.models.merged import merged_folder
from isheep_lib.prompting.chat import get_frame, user_words
from isheep_lib.record import manifests
from isheep_lib.record.rows import Task, canonical_json, digest_file, write_jsonl

HOSTILE = "<script>go()</script> {{ 7 * 7 }} | `x` \u2028 \x00 😀\n# No heading"
PAIRS = [
    {"id": "i-t0", "instruction": "Name three words.", "input": "", "output": "one two three", "scores": {"a": 0.5}},
    {"id": "i-t1", "instruction": "Count.", "input": "red\nold", "output": "two", "scores": {}},
    {"id": "i-t2", "instruction": HOSTILE, "input": HOSTILE, "output": HOSTILE, "scores": {"a": 1, "b": -0.25}},
]
PAIRS = [{**row, "finish": "end", "num_tokens": 3, "demonstrations": []} for row in PAIRS]
FATES = ["learned", "held_out", "beyond_max_rows"]


def record(run_dir, iteration, stage, outputs, parts=None, parameters=None, **more):
    """Record a finished stage whose files lie there."""
    folder = manifests.stage_folder(run_dir, iteration, stage)
    manifest = {
        "stage": stage,
        "iteration": iteration,
        "fingerprint": f"{iteration}{stage}" * 8,
        "git": {"commit": "0123abc"},
        "environment": {"packages": {"torch": "2.0", "peft": "0.1"}},
        "counts": {"in": 5, "kept": 3, "dropped": {"cut_off": 2}},
        "tokens": {"trained": 99},
        "parts": {"inputs": {}, **(parts or {})},
        "parameters": {"seed": 7, "iteration": iteration, **(parameters or {})},
        "outputs": {name: manifests.describe_file(folder / name) for name in outputs},
    }
    folder.mkdir(parents=True, exist_ok=True)
    manifests.write_manifest(folder, manifest | more)


def made(run_dir, iteration, base, frame="chatml", system="Be brief.", setting="one_base", **train):
    """Record the stages of one iteration; the trained weights lie there already."""
    model = {"base_model": base.name, "aligned_frame": frame, "system_prompt": system, "dtype": "float32"}
    claims.claim_params(run_dir, {"seed": 7, "model": {"base_model": base.name}})
    parts = {"model": {"base": base.digest}}
    seeds = {"seeds": "seeds/tasks.jsonl", "seed_fields": [], "demonstrations": 2, "generated_demonstrations": 1}
    record(run_dir, iteration, "synthesize", [], {**parts, "inputs": {"seeds": "5eed"}}, {**model, **seeds})
    record(run_dir, iteration, "assess", [], parts, model)
    folder = manifests.stage_folder(run_dir, iteration, "filter")
    write_jsonl(folder / "kept.jsonl", PAIRS)
    settings = {"decontaminate": "drop", "decontaminate_against": ["arc_easy"], "threshold": 0.25}
    found = {"steps": [{"step": "rules", "in": 5, "kept": 3}]}
    found["contamination"] = {"pairs": 0, "hits": {}, "not_looked_at": {}}
    record(run_dir, iteration, "filter", ["kept.jsonl"], None, settings, **found)
    folder = manifests.stage_folder(run_dir, iteration, "train")
    fates = [
        {"id": row["id"], "fate": fate, "tokens": 9, "learned": 4, "cut": False} for row, fate in zip(PAIRS, FATES, strict=True)
    ]
    write_jsonl(folder / "rows.jsonl", fates)
    names = ["rows.jsonl", *(str(path.relative_to(folder)) for path in sorted(folder.glob("*/*")))]
    parts |= {"inputs": {f"iter-{iteration}/filter/kept.jsonl": digest_file(run_dir / f"iter-{iteration}/filter/kept.jsonl")}}
    parameters = {**model, "setting": setting, **train}
    starts = iteration - 1 if setting == "one_last" else 0
    held_out = {"before": 2.0, "best": 1.5, "at step": 4}
    record(run_dir, iteration, "train", names, parts, parameters, starts_from=starts, held_out=held_out)


def save_adapter(model, folder, seed):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    config = LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    get_peft_model(AutoModelForCausalLM.from_pretrained(model), config).save_pretrained(folder)
    (folder / "README.md").unlink()


@pytest.fixture(scope="session")
def adapters(tiny_model, once):
    """Two adapters of random weights."""
    folder = once("release-adapters", lambda folder: [save_adapter(tiny_model, folder / str(k), k) for k in (1, 2)])
    return [folder / "1", folder / "2"]


@pytest.fixture
def base(tiny_model, tmp_path, monkeypatch):
    monkeypatch.setenv("ISHEEP_CACHE", str(tmp_path / "cache"))
    return find_model(str(tiny_model))


@pytest.fixture
def run_dir(tmp_path, base, adapters):
    """A run of one iteration."""
    return run_of(tmp_path / "run", base, adapters[:1])


def run_of(folder, base, adapters, **settings):
    for k, adapter in enumerate(adapters, start=1):
        shutil.copytree(adapter, folder / f"iter-{k}/train/adapter")
        made(folder, k, base, **settings)
    return folder


def full_run(folder, base):
    """A run in which all weights were trained."""
    from transformers import AutoModelForCausalLM

    shutil.copytree(base.path, folder / "iter-1/train/model")
    model = AutoModelForCausalLM.from_pretrained(base.path)
    with torch.no_grad():
        model.lm_head.weight.mul_(1.5)
    model.save_pretrained(folder / "iter-1/train/model")
    made(folder, 1, base, method="full")
    return folder


def logits(model):
    with torch.inference_mode():
        return model(torch.arange(20)[None]).logits


def load(folder):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def code(folder, language="python"):
    """Return the blocks of code of a model card."""
    return re.findall(rf"```{language}\n(.*?)\n```", (folder / "README.md").read_text(), re.DOTALL)


def files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


DATA = {f"data/{name}" for name in ("README.md", "alpaca.json", "sharegpt.json", "messages.jsonl", "pairs.parquet")}
COMMON = {"README.md", "export.json", *DATA}


# What is written


def test_an_export_holds_the_adapter_its_template_the_data_and_cards_and_lists_them_with_digests(run_dir):
    folder = export(run_dir, 1)
    assert folder == run_dir / "export/iteration-1"
    adapter = {"adapter/adapter_model.safetensors", "adapter/adapter_config.json"}
    assert files(folder) == COMMON | adapter | {"chat_template.jinja"}
    listed = json.loads((folder / "export.json").read_text())
    assert {name: kept["sha256"] for name, kept in listed["files"].items()} == {
        name: digest_file(folder / name) for name in files(folder) - {"export.json"}
    }
    assert listed["manifests"]["iter-1/train"] == {
        "fingerprint": "1train" * 8,
        "sha256": digest_file(run_dir / "iter-1/train/manifest.json"),
    }
    name = "adapter/adapter_model.safetensors"
    assert listed["files"][name]["sha256"] == digest_file(run_dir / "iter-1/train" / name)
    assert [path.name for path in folder.parent.iterdir()] == ["iteration-1"]


def test_the_same_record_gives_the_same_bytes(run_dir, tmp_path):
    first, second = (export(run_dir, 1, merged=True, out=tmp_path / name) for name in "ab")
    assert files(first) == files(second)
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in files(first))


def test_plain_peft_and_the_merged_folder_say_what_the_run_s_own_model_says(run_dir, base):
    from peft import AutoPeftModelForCausalLM, PeftModel

    folder = export(run_dir, 1, merged=True)
    expected = logits(load(merged_folder(trained.model_of(run_dir, base.name, 1))))
    assert torch.equal(logits(load(folder / "merged")), expected)
    beside = PeftModel.from_pretrained(load(base.path), folder / "adapter")
    assert torch.allclose(logits(beside), expected, atol=1e-5)
    alone = AutoPeftModelForCausalLM.from_pretrained(folder / "adapter")
    assert torch.equal(logits(alone), logits(beside))
    assert not torch.allclose(logits(load(base.path)), expected, atol=1e-2)


def test_a_base_on_the_hub_is_named_to_peft_with_its_commit(tmp_path, base, adapters, monkeypatch):
    from peft import PeftConfig

    commit = "0123456789" * 4
    monkeypatch.setattr("isheep_lib.models.hub.snapshot", lambda name: base.path)
    hub = find_model(f"org/small@{commit}")
    source = run_of(tmp_path / "run", hub, [])
    shutil.copytree(adapters[0], source / "iter-1/train/adapter")
    config = source / "iter-1/train/adapter/adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"base_model_name_or_path": hub.name}))
    made(source, 1, hub)
    folder = export(source, 1)
    read = PeftConfig.from_pretrained(folder / "adapter")
    assert (read.base_model_name_or_path, read.revision) == ("org/small", commit)
    assert f'from_pretrained(base, revision="{commit}")' in code(folder)[0]
    assert f"vllm serve org/small --revision {commit}" in code(folder, "bash")[0]


ALONE = """
import sys
from pathlib import Path
import torch
from peft import AutoPeftModelForCausalLM
from safetensors.torch import save_file
model = AutoPeftModelForCausalLM.from_pretrained(sys.argv[1])
with torch.inference_mode():
    save_file({"logits": model(torch.arange(20)[None]).logits}, sys.argv[2])
"""


def hub_cache(folder, repository, model):
    """Lay a model out as the Hub's client keeps a repository."""
    place = folder / "hub" / f"models--{repository.replace('/', '--')}"
    shutil.copytree(model, place / "snapshots" / ("0" * 40))
    (place / "refs").mkdir()
    (place / "refs/main").write_text("0" * 40)


@pytest.mark.long
def test_an_embedded_base_is_named_to_peft_by_its_repository_and_autopeft_finds_it(tmp_path, base, adapters, monkeypatch):
    from safetensors.torch import load_file

    name = "embedded:smollm2-135m-instruct"
    monkeypatch.setattr("isheep_lib.models.base.unpacked", lambda short: base.path)
    embedded = find_model(name)
    source = run_of(tmp_path / "run", embedded, [])
    shutil.copytree(adapters[0], source / "iter-1/train/adapter")
    config = source / "iter-1/train/adapter/adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"base_model_name_or_path": name}))
    made(source, 1, embedded)
    folder = export(source, 1)
    named = json.loads((folder / "adapter/adapter_config.json").read_text())
    assert (named["base_model_name_or_path"], named["revision"]) == ("HuggingFaceTB/SmolLM2-135M-Instruct", None)
    hub_cache(tmp_path / "home", named["base_model_name_or_path"], base.path)
    offline = {**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", ALONE, str(folder / "adapter"), str(tmp_path / "said.safetensors")]
    done = subprocess.run(command, env=offline, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    expected = logits(load_adapter(base.path, folder / "adapter"))
    assert torch.allclose(load_file(tmp_path / "said.safetensors")["logits"], expected, atol=1e-5)
    assert "whose weights are those before they were put into 4 bits" in (folder / "README.md").read_text()


def load_adapter(base, adapter):
    from peft import PeftModel

    return PeftModel.from_pretrained(load(base), adapter)


def test_a_base_from_a_folder_is_named_by_its_whole_path_from_wherever_the_run_was_started(
    tmp_path, base, adapters, monkeypatch
):
    monkeypatch.chdir(base.path.parent)
    relative = find_model(f"./{base.path.name}")
    source = run_of(tmp_path / "run", relative, [])
    shutil.copytree(adapters[0], source / "iter-1/train/adapter")
    config = source / "iter-1/train/adapter/adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"base_model_name_or_path": relative.name}))
    made(source, 1, relative)
    folder = export(source, 1)
    assert json.loads((folder / "adapter/adapter_config.json").read_text())["base_model_name_or_path"] == str(base.path)
    assert "put the path of the same model there" in (folder / "README.md").read_text()


def test_adapters_on_top_of_one_another_are_numbered_and_the_card_s_code_merges_them_in_order(tmp_path, base, adapters):
    source = run_of(tmp_path / "run", base, adapters, setting="one_last")
    folder = export(source, 2, merged=True)
    assert {name.split("/")[0] for name in files(folder)} >= {"adapter-1", "adapter-2", "merged"}
    assert not (folder / "adapter").exists()
    assert torch.allclose(logits(ran(code(folder)[0], folder)["model"]), logits(load(folder / "merged")), atol=1e-5)
    assert files(export(source, 1)) == files(export(run_of(tmp_path / "one", base, adapters[:1]), 1))


def test_where_all_weights_were_trained_the_whole_model_is_written(tmp_path, base):
    source = full_run(tmp_path / "run", base)
    folder = export(source, 1)
    assert {name.split("/")[0] for name in files(folder)} == {
        "README.md",
        "export.json",
        "data",
        "chat_template.jinja",
        "model",
    }
    assert torch.equal(logits(load(folder / "model")), logits(load(source / "iter-1/train/model")))
    assert (folder / "model/chat_template.jinja").read_bytes() == (folder / "chat_template.jinja").read_bytes()


def ran(lines, folder):
    """Run a card's code in the export's folder and return its names."""
    names = {}
    with contextlib.chdir(folder):
        exec(lines, names)
    return names


def test_the_code_on_the_card_runs_as_it_is_and_both_ways_ask_the_same(run_dir, capsys):
    folder = export(run_dir, 1, merged=True)
    apart, merged = (ran(lines, folder) for lines in code(folder))
    said = capsys.readouterr().out
    assert torch.equal(apart["inputs"]["input_ids"], merged["inputs"]["input_ids"])
    assert torch.equal(apart["answer"], merged["answer"])
    assert said.strip()


@pytest.mark.parametrize("frame", ["plain", "alpaca", "chatml", "llama3"])
def test_the_exported_tokenizer_makes_the_tokens_that_the_training_read(tmp_path, base, adapters, frame):
    from transformers import AutoTokenizer

    folder = export(run_of(tmp_path / "run", base, adapters[:1], frame=frame), 1, merged=True)
    tokenizer, plain = (AutoTokenizer.from_pretrained(path) for path in (folder / "merged", base.path))
    framed = get_frame(frame, "Be brief.", plain)
    for line, row in zip((folder / "data/messages.jsonl").read_text().splitlines()[:2], PAIRS[:2], strict=True):
        messages = json.loads(line)["messages"]
        prompt = framed.prompt(user_words(Task(row["id"], row["instruction"], row["input"])))
        ids = tokenizer.apply_chat_template(messages[:-1], add_generation_prompt=True, return_dict=False)
        assert ids == encode(plain, prompt)
        assert tokenizer.apply_chat_template(messages, tokenize=False) == f"{prompt}{row['output']}{framed.end}"
        assert [m["role"] for m in messages] == ["system"] * (frame in ("chatml", "llama3")) + ["user", "assistant"]
    assert "all 3 pairs" in (folder / "README.md").read_text()


def test_the_frame_read_off_the_base_s_tokenizer_is_exported_with_the_training_s_system_prompt(tmp_path, tiny_model, adapters):
    from transformers import AutoTokenizer

    own = tmp_path / "templated"
    shutil.copytree(tiny_model, own)
    template = "{% for m in messages %}<|im_start|> {{ m.role }} {{ m.content }} <|im_end|> {% endfor %}"
    (own / "chat_template.jinja").write_text(template + "{% if add_generation_prompt %}<|im_start|> one {% endif %}")
    model = find_model(str(own))
    config = json.loads((adapters[0] / "adapter_config.json").read_text()) | {"base_model_name_or_path": model.name}
    adapter = shutil.copytree(adapters[0], tmp_path / "adapter")
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    folder = export(run_of(tmp_path / "run", model, [adapter], frame="tokenizer"), 1, merged=True)
    plain, tokenizer = (AutoTokenizer.from_pretrained(path) for path in (own, folder / "merged"))
    words = [{"role": "user", "content": "Count."}]
    text = plain.apply_chat_template(
        [{"role": "system", "content": "Be brief."}, *words], tokenize=False, add_generation_prompt=True
    )
    assert tokenizer.apply_chat_template(words, tokenize=False, add_generation_prompt=True) == text
    assert json.loads((folder / "data/messages.jsonl").read_text().splitlines()[0])["messages"][0]["content"] == "Be brief."


def test_an_answer_ends_where_it_was_trained_to(tmp_path, tiny_model, adapters):
    from transformers import GenerationConfig

    own = tmp_path / "other-end"
    shutil.copytree(tiny_model, own)
    for name in ("config.json", "generation_config.json"):
        (own / name).write_text(json.dumps(json.loads((own / name).read_text()) | {"eos_token_id": 9}))
    model = find_model(str(own))
    adapter = shutil.copytree(adapters[0], tmp_path / "adapter")
    config = json.loads((adapter / "adapter_config.json").read_text()) | {"base_model_name_or_path": model.name}
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    folder = export(run_of(tmp_path / "run", model, [adapter]), 1, merged=True)
    assert GenerationConfig.from_pretrained(folder / "merged").eos_token_id == [9, 2]


# The data


def test_all_forms_of_the_data_load_and_hold_the_same_rows_in_the_same_order(run_dir, tmp_path):
    from datasets import load_dataset

    folder = export(run_dir, 1) / "data"
    cache = str(tmp_path / "datasets")
    loaded = {"pairs": load_dataset(str(folder), split="train", cache_dir=cache)}
    for name in ("alpaca", "sharegpt", "messages"):
        path = str(folder / FILES[name])
        loaded[name] = load_dataset("json", data_files=path, split="train", cache_dir=cache)
    found = {name: rows.to_list() for name, rows in loaded.items()}
    kept = json.loads(canonical_json(PAIRS))
    words = [row["instruction"] + (f"\n\n{row['input']}" if row["input"] else "") for row in kept]
    assert found["alpaca"] == [{name: row[name] for name in ("instruction", "input", "output")} for row in kept]
    for i, row in enumerate(kept):
        said = [("user", words[i]), ("assistant", row["output"])]
        assert [(m["role"], m["content"]) for m in found["messages"][i]["messages"]] == [("system", "Be brief."), *said]
        turns = found["sharegpt"][i]
        assert [(t["from"], t["value"]) for t in turns["conversations"]] == [("human", words[i]), ("gpt", row["output"])]
        assert turns["system"] == "Be brief."
        pair = found["pairs"][i]
        assert {name: pair[name] for name in row if name != "scores"} == {n: v for n, v in row.items() if n != "scores"}
        assert (pair["fate"], pair["tokens"], pair["learned"], pair["cut"]) == (FATES[i], 9, 4, False)
        assert {name: pair[f"score_{name}"] for name in "ab"} == {name: row["scores"].get(name) for name in "ab"}


def test_the_code_on_the_data_card_runs_as_it_is(run_dir, tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "datasets")
    folder = export(run_dir, 1)
    names = ran(code(folder / "data")[0], folder)
    assert names["pairs"]["output"] == [row["messages"][-1]["content"] for row in names["messages"]]


def test_a_record_that_does_not_tell_fates_gives_empty_ones(run_dir):
    from pyarrow import parquet

    edit(run_dir, "train", lambda manifest: manifest["outputs"].pop("rows.jsonl"))
    found = parquet.read_table(export(run_dir, 1) / "data/pairs.parquet")
    assert [found[name].to_pylist() for name in ("fate", "cut")] == [[None] * 3] * 2
    assert (str(found.schema.field("fate").type), str(found.schema.field("cut").type)) == ("string", "bool")


def test_a_run_with_several_answers_to_a_task_names_the_task_of_each_pair(run_dir, monkeypatch):
    from pyarrow import parquet

    found = parquet.read_table(export(run_dir, 1) / "data/pairs.parquet")
    assert "task" not in found.column_names
    folder = manifests.stage_folder(run_dir, 1, "filter")
    rows = [{**row, "task": row["id"].partition("-")[0]} for row in PAIRS]
    write_jsonl(folder / "kept.jsonl", rows)
    kept = manifests.describe_file(folder / "kept.jsonl")
    edit(run_dir, "filter", lambda manifest: manifest["outputs"].update({"kept.jsonl": kept}))
    edit(run_dir, "synthesize", lambda manifest: manifest["parameters"].update(answers=8))
    digest = {"iter-1/filter/kept.jsonl": kept["sha256"]}
    edit(run_dir, "train", lambda manifest: manifest["parts"]["inputs"].update(digest))
    folder = export(run_dir, 1)
    found = parquet.read_table(folder / "data/pairs.parquet")
    assert found["task"].to_pylist() == ["i"] * 3
    card = (folder / "data/README.md").read_text()
    assert "| task | id of the task" in card
    assert "Each task was answered 8 times" in card


def test_constraints_are_a_column_of_json_where_instructions_hold_any(tmp_path):
    from pyarrow import parquet

    row = {"id": "1", "instruction": "Do. No commas.", "input": "", "output": "Done.", "finish": "end", "scores": {}}
    held = [{"family": "no_commas", "arguments": {}, "text": "No commas.", "kept": True}]
    free = row | {"id": "2", "instruction": "Do."}
    write(tmp_path, [row | {"free_instruction": "Do.", "constraints": held}, free], {}, "")
    found = parquet.read_table(tmp_path / FILES["pairs"]).to_pylist()
    assert [json.loads(found[0]["constraints"]), found[0]["free_instruction"]] == [held, "Do."]
    assert (found[1]["constraints"], found[1]["free_instruction"]) == (None, None)
    write(tmp_path, [free], {}, "")
    assert "constraints" not in parquet.read_table(tmp_path / FILES["pairs"]).column_names


def test_what_is_derived_from_a_model_under_terms_is_given_with_these_and_their_notice(run_dir, tmp_path, monkeypatch):
    folder = tmp_path / "terms_of_tiny"
    folder.mkdir()
    (folder / "TERMS.html").write_text("<p>terms</p>")
    monkeypatch.syspath_prepend(str(tmp_path))
    terms = Terms("Terms of Tiny", "https://a.example/terms", "Tiny is under its terms", ("terms_of_tiny", "TERMS.html"))
    shape = Embedded((), "tiny==1", "pip install tiny==1", "org/tiny", "other", terms=terms)
    monkeypatch.setitem(EMBEDDED, "tiny", shape)
    base = export_run.read(run_dir, 1, False).base
    monkeypatch.setattr(Record, "base", property(lambda _: replace(base, terms=terms)))
    monkeypatch.setattr(export_run, "shipped", lambda _, package, file: shipped("tiny", package, file))
    out = export(run_dir, 1)
    assert (out / "TERMS.html").read_text() == "<p>terms</p>"
    assert "Tiny is under its terms" in (out / "NOTICE.txt").read_text()
    assert "modified" in (out / "NOTICE.txt").read_text()
    assert {"TERMS.html", "NOTICE.txt"} <= set(export_run.listed(out))
    data_only = export(run_dir, 1, data_only=True)
    assert not (data_only / "NOTICE.txt").exists()  # no weights, so nothing that is derived


# Data alone


def test_data_and_cards_are_written_without_weights_and_without_the_base(run_dir, base, monkeypatch):
    weights_file = run_dir / "iter-1/train/adapter/adapter_model.safetensors"
    weights_file.unlink()
    monkeypatch.setattr("isheep_lib.export.run.find_model", lambda name: pytest.fail("the base was looked for"))
    folder = export(run_dir, 1, data_only=True)
    assert files(folder) == COMMON
    card = (folder / "README.md").read_text()
    assert "The weights are not in this folder" in card
    assert "## Loading it" not in card
    assert json.loads((folder / "data/messages.jsonl").read_text().splitlines()[0])["messages"][0]["content"] == "Be brief."


def test_the_committed_record_gives_its_data(root, tmp_path):
    folder = export(root / "results/reference/smollm2-135m", 3, data_only=True, out=tmp_path / "out")
    kept = (root / "results/reference/smollm2-135m/iter-3/filter/kept.jsonl").read_text().strip().split("\n")
    assert len(json.loads((folder / "data/alpaca.json").read_text())) == len(kept)
    assert "license: apache-2.0" in (folder / "README.md").read_text()


# What is refused, before anything is written


def edit(run_dir, stage, change, iteration=1):
    folder = manifests.stage_folder(run_dir, iteration, stage)
    manifest = manifests.read_manifest(folder)
    change(manifest)
    manifests.write_manifest(folder, manifest)


def filter_anew(run_dir):
    write_jsonl(run_dir / "iter-1/filter/kept.jsonl", PAIRS[:2])
    described = manifests.describe_file(run_dir / "iter-1/filter/kept.jsonl")
    edit(run_dir, "filter", lambda manifest: manifest["outputs"].update({"kept.jsonl": described}))


DAMAGES = {
    "no run": (lambda run: shutil.rmtree(run), "no such run"),
    "not trained": (lambda run: (run / "iter-1/train/manifest.json").unlink(), "Iteration 1 is not trained yet"),
    "no filter": (lambda run: (run / "iter-1/filter/manifest.json").unlink(), "iter-1/filter is not done"),
    "no weights": (lambda run: (run / "iter-1/train/adapter/adapter_model.safetensors").unlink(), "--data-only"),
    "weights changed": (lambda run: (run / "iter-1/train/adapter/adapter_model.safetensors").write_bytes(b"x"), "changed"),
    "adapter's config changed": (lambda run: (run / "iter-1/train/adapter/adapter_config.json").write_text("{}"), "changed"),
    "pairs changed": (lambda run: write_jsonl(run / "iter-1/filter/kept.jsonl", PAIRS[:1]), "kept.jsonl: changed"),
    "fates changed": (lambda run: write_jsonl(run / "iter-1/train/rows.jsonl", []), "rows.jsonl: changed"),
    "filtered anew": (filter_anew, "filtered anew since"),
    "another base": (
        lambda run: edit(run, "train", lambda manifest: manifest["parts"]["model"].update(base="f" * 64)),
        "not the one that the run was trained on",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_cannot_be_exported_is_refused_before_anything_is_written(run_dir, tmp_path, damage):
    damaging, said = DAMAGES[damage]
    damaging(run_dir)
    with pytest.raises((RecordError, ModelError)) as caught:
        export(run_dir, 1, out=tmp_path / "out/here")
    assert said in str(caught.value)
    assert not (tmp_path / "out").exists()
    assert not (run_dir / "export").exists()


@pytest.mark.parametrize(
    ("iteration", "said"), [(0, "nothing was trained yet"), (-1, "nothing was trained yet"), (4, "not trained")]
)
def test_an_iteration_without_a_model_is_refused_with_those_that_have_one(run_dir, iteration, said):
    with pytest.raises(RecordError, match=said) as caught:
        export(run_dir, iteration)
    assert "iterations that are trained: 1" in str(caught.value)


def test_no_weights_and_merged_ones_cannot_both_be_asked_for(run_dir):
    with pytest.raises(ParameterError, match="--data-only"):
        export(run_dir, 1, merged=True, data_only=True)


# The folder


def test_an_earlier_export_is_replaced_whole(run_dir):
    folder = export(run_dir, 1, merged=True)
    assert (folder / "merged").is_dir()
    assert export(run_dir, 1) == folder
    assert not (folder / "merged").exists()
    assert [path.name for path in folder.parent.iterdir()] == ["iteration-1"]


FOREIGN = {
    "a file beside": lambda out: (out / "data/notes.txt").write_text("mine"),
    "an edited card": lambda out: (out / "README.md").write_text("mine"),
    "no list": lambda out: (out / "export.json").unlink(),
    "a list of something else": lambda out: (out / "export.json").write_text('{"files": {}}'),
    "a list that is none": lambda out: (out / "export.json").write_text("[1]"),
}


@pytest.mark.parametrize("change", FOREIGN)
def test_what_no_export_wrote_is_never_replaced(run_dir, change):
    out = export(run_dir, 1)
    FOREIGN[change](out)
    before = {name: (out / name).read_bytes() for name in files(out)}
    with pytest.raises(RecordError, match="holds what no export wrote"):
        export(run_dir, 1)
    assert {name: (out / name).read_bytes() for name in files(out)} == before


def test_a_file_that_comes_while_an_export_is_being_written_is_not_lost(run_dir, monkeypatch):
    out, write = export(run_dir, 1), data_card.data_card

    def meanwhile(record):
        (out / "notes.txt").write_text("mine")
        return write(record)

    monkeypatch.setattr(data_card, "data_card", meanwhile)
    with pytest.raises(RecordError, match=r"notes\.txt"):
        export(run_dir, 1)
    assert (out / "notes.txt").read_text() == "mine"


def test_a_file_in_the_folder_s_place_is_left_alone(run_dir, tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(RecordError, match="holds what no export wrote"):
        export(run_dir, 1, out=tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_an_empty_folder_is_taken(run_dir, tmp_path):
    (tmp_path / "out").mkdir()
    assert files(export(run_dir, 1, data_only=True, out=tmp_path / "out")) == COMMON


def test_a_failed_export_leaves_the_earlier_one_and_nothing_half_done(run_dir, monkeypatch):
    out = export(run_dir, 1)
    before = {name: (out / name).read_bytes() for name in files(out)}

    def fail(record):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(data_card, "data_card", fail)
    with pytest.raises(IsheepError, match="The disk is full"):
        export(run_dir, 1, data_only=True)
    assert {name: (out / name).read_bytes() for name in files(out)} == before
    assert [path.name for path in out.parent.iterdir()] == ["iteration-1"]


# The command


def test_the_command_writes_and_says_where(run_dir, tmp_path):
    shown = CliRunner().invoke(main, ["export", str(run_dir), "1", "--merged", "--out", str(tmp_path / "out")])
    assert shown.exit_code == 0, shown.output
    assert shown.output.split("\n")[:6] == ["README.md", "adapter/", "chat_template.jinja", "data/", "export.json", "merged/"]
    assert str(tmp_path / "out/README.md") in shown.output
    assert "Nothing was to do" not in shown.output
    again = CliRunner().invoke(main, ["export", str(run_dir), "1", "--merged", "--out", str(tmp_path / "out")])
    assert "Nothing was to do: the export was there, with the same bytes." in again.output
    fewer = CliRunner().invoke(main, ["export", str(run_dir), "1", "--out", str(tmp_path / "out")])
    assert "Nothing was to do" not in fewer.output


def test_the_command_shows_a_refusal_without_a_traceback(run_dir):
    shown = CliRunner().invoke(main, ["export", str(run_dir), "9"])
    assert (shown.exit_code, shown.exception.__class__) == (1, SystemExit)
    assert "Iteration 9 is not trained yet" in shown.output


@pytest.mark.parametrize(
    ("config", "dora", "rank"),
    [({"r": 2}, False, 8), ({"r": 8, "rank_pattern": {"q_proj": 9}}, False, 16), ({"r": 600}, False, 0), ({"r": 8}, True, 0)],
)
def test_vllm_is_told_to_make_room_for_an_adapters_rank_where_it_can_apply_it(tmp_path, config, dora, rank):
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    one, two = (SimpleNamespace(adapters=(tmp_path,) * number) for number in (1, 2))
    assert export_run._rank(one, {"dora": dora}) == rank
    assert export_run._rank(two, {}) == 0
