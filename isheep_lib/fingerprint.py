"""The fingerprint of a stage: everything that decides its result, part by part, and one hash over it.

Covers computing and comparing. Does not cover what is done with a difference (`chain`, `session`).
"""

from pathlib import Path
from typing import Any

from isheep_lib import provenance, stages, store
from isheep_lib.benchmarks import data_digests
from isheep_lib.errors import ModelError, RecordError
from isheep_lib.models import find_model
from isheep_lib.params import STAGE_PARAMS, is_execution, is_routing
from isheep_lib.prompts import digest as prompt_digest
from isheep_lib.records import canonical_json, digest_file, digest_text
from isheep_lib.sandbox import sandbox_method
from isheep_lib.seeds import digest_seeds

TASKS = Path(__file__).parent / "tasks"  # questions in our own words
# Packages whose version decides a result; a server's own are not known here and stand in the manifest.
DECIDING = {
    "transformers": ("torch", "transformers", "peft"),
    "vllm": ("torch", "transformers", "peft", "vllm"),
    "server": ("transformers",),
    "chat": (),
}


def fingerprint_parts(run_dir: Path, stage: str, params: dict[str, Any]) -> dict[str, Any]:
    """Collect everything that decides a stage's result, each part by name so that a difference can be named.

    Raises:
        RecordError: an input of an earlier stage is not done or not as recorded.
        ModelError, DataError: the model or the seeds are absent.
    """
    kind, iteration = STAGE_PARAMS[stage], params["iteration"]
    apart = {n for n in params if n in ("run", "seeds") or is_execution(kind, n) or is_routing(kind, n)}
    parts: dict[str, Any] = {"stage": stage, "parameters": {n: v for n, v in params.items() if n not in apart}}
    parts["inputs"] = {
        f"iter-{k}/{name}/{file}": _output(run_dir, k, name, file)["sha256"]
        for k, name, file in stages.inputs_of(stage, iteration, params)
    }
    if stage == "evaluate":
        parts["inputs"] |= store.trained_on(run_dir, iteration)
    parts["inputs"] |= {f"benchmarks/{name}": digest for name, digest in data_digests(stages.data_of(stage, params)).items()}
    if stages.runs_programs(stage, params):
        parts["programs"] = "run" if sandbox_method(params["code_sandbox"]) else "left out"
    if "seeds" in params:
        parts["inputs"]["seeds"] = digest_seeds(params["seeds"], params["seed_fields"])
    if stages.STAGES[stage].model:
        parts["model"] = {"base": find_model(params["base_model"]).digest}
        for k in store.lineage(run_dir, stages.trained_in(stage, iteration, params)):
            parts["model"] |= _trained(run_dir, k)
    if stage == "judge":
        parts["judge"] = _judge(params)
    engine = params.get("judge_engine") or params.get("engine", "")
    if "model" in parts or "judge" in parts:
        packages = provenance.versions()
        parts["engine"] = {name: packages[name] for name in DECIDING[engine or "transformers"] if name in packages}
    if deciding := stages.packages_of(stage, params):
        parts["packages"] = {name: provenance.versions()[name] for name in deciding}
    parts["prompts"] = {name: prompt_digest(name) for name in stages.prompts_of(stage, params)}
    if stage == "evaluate":
        parts["prompts"] |= {f"tasks/{path.name}": digest_file(path) for path in sorted(TASKS.glob("*.yaml"))}
    parts["code"] = provenance.code_digests(stage, engine)
    return parts


def _judge(params: dict[str, Any]) -> dict[str, str]:
    """Name a judge by its weights, or, where nobody knows these, as its server does."""
    if params["judge_engine"] == "chat":
        return {"served": params["judge_model"]}
    if not params["judge_model"]:
        return {"model": find_model(params["base_model"]).digest}
    try:
        return {"model": find_model(params["judge_model"]).digest}
    except ModelError as error:
        raise ModelError(error.what, where=f"judge.judge_model {error.where}", allowed=error.allowed, do=error.do) from error


def trained_weights(run_dir: Path, iteration: int) -> list[str]:
    """Name the weight files that an iteration's training left: an adapter's, or a whole model's."""
    outputs = store.require_intact(store.stage_folder(run_dir, iteration, "train"), [])["outputs"]
    return [name for name in sorted(outputs) if name.endswith(store.WEIGHTS)]


def _trained(run_dir: Path, iteration: int) -> dict[str, str]:
    """Name what an iteration trained, by the digests of its weights."""
    files = trained_weights(run_dir, iteration)
    names = files if len(files) > 1 else [file.split("/")[0] for file in files]
    digests = [_output(run_dir, iteration, "train", file)["sha256"] for file in files]
    return {f"iter-{iteration}/{name}": digest for name, digest in zip(names, digests, strict=True)}


def _output(run_dir: Path, iteration: int, stage: str, file: str) -> dict[str, Any]:
    folder = store.stage_folder(run_dir, iteration, stage)
    outputs = store.require_intact(folder, [file])["outputs"]
    if file not in outputs:
        made = ", ".join(name for name in outputs if name.endswith(".jsonl")) or "no rows"
        do = f"run {stage}.ipynb with what makes it, such as evaluate.tasks with the benchmarks that are judged"
        raise RecordError(f"iter-{iteration}/{stage} has made no {file}", where=store.short(folder), allowed=made, do=do)
    return outputs[file]


def fingerprint(parts: dict[str, Any]) -> str:
    """Hash the parts into the one value that must match for a stage to be reused."""
    return digest_text(canonical_json(parts))


def stale_reason(recorded: dict[str, Any], now: dict[str, Any]) -> str:
    """Name the parts of a fingerprint that differ, "" when none does."""
    names = sorted({*recorded, *now})
    reasons = []
    for name in names:
        old, new = recorded.get(name), now.get(name)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            inner = sorted(k for k in {*old, *new} if old.get(k) != new.get(k))
            reasons.append(f"{name} ({', '.join(inner)})")
        else:
            reasons.append(name)
    return f"differs in {'; '.join(reasons)}" if reasons else ""
