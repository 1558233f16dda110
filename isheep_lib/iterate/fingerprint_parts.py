"""The parts of a stage's fingerprint: everything that decides its result, each by name so that a difference can be named.

Covers collecting. Does not cover what a stage needs (its section of parameters), or what is done with a difference
(`iterate.chain`, `iterate.session`).
"""

from pathlib import Path
from typing import Any

from isheep_lib.engines.open import KINDS
from isheep_lib.engines.params import TrainedModel
from isheep_lib.engines.tokens import digest_own_frame
from isheep_lib.errors import RecordError
from isheep_lib.iterate.run_params import StageParams, prompts_of
from isheep_lib.languages.rules import digests, together
from isheep_lib.models.base import find_model
from isheep_lib.models.trained import trained_weights
from isheep_lib.params.kinds import language_of
from isheep_lib.record import manifests, provenance
from isheep_lib.record.code import code_digests


def fingerprint_parts(run_dir: Path, stage: str, params: StageParams) -> dict[str, Any]:
    """Collect everything that decides a stage's result.

    Raises:
        RecordError: an input of an earlier stage is not done or not as recorded.
        ModelError, DataError: the model or the data are absent.
    """
    iteration = params.iteration
    parts: dict[str, Any] = {"stage": stage, "parameters": params.deciding()}
    parts["inputs"] = {
        f"iter-{k}/{made_by}/{file}": _output(run_dir, k, made_by, file)["sha256"]
        for k, made_by, file in params.inputs(iteration)
    }
    if params.sees_training_rows:
        parts["inputs"] |= manifests.trained_on(run_dir, iteration)
    parts["inputs"] |= params.data_digests()
    parts |= params.more_parts()
    if params.asks_model and isinstance(params, TrainedModel):
        base = find_model(params.base_model)
        parts["model"] = {"base": base.digest}
        if params.frame_of(params.model_iteration(iteration)) == "tokenizer":
            parts["frame"] = digest_own_frame(base, params.system_prompt, params.template_date)
        for k in manifests.lineage(run_dir, params.model_iteration(iteration)):
            parts["model"] |= _trained(run_dir, k)
    engine = getattr(params, "judge_engine", "") or getattr(params, "engine", "")  # that the stage asks, if any
    if "model" in parts or "judge" in parts:
        parts["engine"] = provenance.versions(KINDS[engine or "transformers"].packages)
    if deciding := params.packages():
        parts["packages"] = provenance.versions(tuple(deciding))
    prompts = prompts_of(params)
    parts["prompts"] = prompts.digests(*params.prompt_files()) | params.other_prompts()
    read = together("en", language_of(params), prompts.language)  # what a model writes may be English again
    parts["code"] = code_digests(params.code()) | (digests(read) if params.reads_language else {})
    if engine:
        parts["engine_code"] = code_digests((KINDS[engine].code,))
    return parts


def _trained(run_dir: Path, iteration: int) -> dict[str, str]:
    """Name what an iteration trained, by the digests of its weights."""
    files = trained_weights(run_dir, iteration)
    names = files if len(files) > 1 else [file.split("/")[0] for file in files]
    digests = [_output(run_dir, iteration, "train", file)["sha256"] for file in files]
    return {f"iter-{iteration}/{name}": digest for name, digest in zip(names, digests, strict=True)}


def _output(run_dir: Path, iteration: int, stage: str, file: str) -> dict[str, Any]:
    folder = manifests.stage_folder(run_dir, iteration, stage)
    outputs = manifests.require_intact(folder, [file])["outputs"]
    if file not in outputs:
        made = ", ".join(name for name in outputs if name.endswith(".jsonl")) or "no rows"
        do = f"run {stage}.ipynb with what makes it, such as evaluate.tasks with the benchmarks that are judged"
        raise RecordError(f"iter-{iteration}/{stage} has made no {file}", where=manifests.short(folder), allowed=made, do=do)
    return outputs[file]
