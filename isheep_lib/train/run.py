"""Training: fine-tuning the base model, or the last one, on D_t (Algorithm 1, M_{t+1}; settings of Appendix E).

    layout = train.lay_out(stage.model, data, stage.params, seed)    # every complaint comes now, before weights load
    result = train.fine_tune(layout, stage.work, stage.out)

Covers what a training will do, doing it here or by several processes, taking the best checkpoint, judging it. Does not
cover rows and labels (`train.dataset`), batches (`train.batch_plan`), the steps themselves (`train.trainer`) or starting
processes (`train.launch`).
"""

import gc
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from isheep_lib.engines import parity
from isheep_lib.models.base import ModelRef, check_adapters
from isheep_lib.models.folder import TEMPLATES
from isheep_lib.models.merged import merged_folder
from isheep_lib.train import batch_plan, checkpoints, exact, launch, reference
from isheep_lib.train.dataset import Data, size_of
from isheep_lib.train.job import RESULT, Job, save_rows
from isheep_lib.train.model import check_context, check_double, check_packing, check_targets
from isheep_lib.train.params import Train, TrainParams

TOKENIZER_FILES = ("tokenizer*", "special_tokens_map.json", "vocab*", "merges.txt", "added_tokens.json", "*.jinja", "*.model")
TOKENIZER_FILES += (f"{TEMPLATES}/*.jinja",)


@dataclass(frozen=True)
class Layout:
    """A training that could start: who learns what, in which batches."""

    model: ModelRef
    data: Data
    params: TrainParams
    seed: int
    plan: batch_plan.Plan

    def rows(self) -> list[dict[str, str]]:
        """Describe it as rows of a table."""
        params, lengths = self.params, [[len(answer.input_ids) for answer in row.answers] for row in self.data.train]
        each = batch_plan.accumulation(params)
        padding = batch_plan.padding_share(self.plan, lengths, params.batching)
        what = "pairs of answers" if params.minimised.of_pairs else "rows"
        facts = {
            "minimised": _minimised(params),
            "trained": _trained(params),
            "number format": f"float64, recorded in float32 on a grid of {exact.spacing(params.learning_rate)}"
            if params.numerics == "exact"
            else f"{params.dtype}, what is trained in float32",
            "processes": f"{params.num_processes}, {params.parallel}" if params.num_processes > 1 else "1, this kernel",
            f"{what} per optimizer step": f"{params.train_batch} = {params.micro_batch} a pass x {params.num_processes} "
            f"process(es) x {each} accumulated pass(es)",
            "optimizer steps": f"{len(self.plan.steps)} = {self.plan.steps_per_epoch} x {params.epochs} epoch(s)",
            "padding": f"{padding:.1%} of the positions computed ({params.batching})",
        }
        return [{"fact": name, "value": value} for name, value in facts.items()]


def _minimised(params: TrainParams) -> str:
    objective, own = params.minimised, params.objective_options.model_dump()
    options = ", ".join(f"{name} {value}" for name, value in own.items())
    return f"{objective.name}{f' ({options})' if options else ''}: {(type(objective).__doc__ or '').strip().splitlines()[0]}"


def _trained(params: TrainParams) -> str:
    if params.method == "full":
        return "all weights"
    kinds = [name for name, on in (("DoRA", params.dora), ("rsLoRA", params.rslora)) if on] or ["LoRA"]
    base = ", base in 4 bits" if params.method == "qlora" else ""
    return f"{' and '.join(kinds)} of rank {params.lora_rank} on {', '.join(params.target_modules)}{base}"


def lay_out(model: ModelRef, data: Data, params: TrainParams, seed: int) -> Layout:
    """Plan a training and refuse what cannot work (TrainingError, ModelError), before any weights are read."""
    launch.check_devices(params)
    check_adapters(model)
    if params.method != "full":
        check_targets(model.path, params)
    check_context(model.path, [answer for row in [*data.train, *data.held_out] for answer in row.answers])
    if params.batching == "packed":
        check_packing(model.path)
    if params.numerics == "exact":
        check_double(model.path, params)
    plan = batch_plan.plan([size_of(row) for row in data.train], params, seed)
    return Layout(model, data, params, seed, plan)


@dataclass(frozen=True)
class Trained:
    """What training left."""

    log: list[dict[str, float]]  # a row per step, and one a held-out loss
    best: int  # the step whose weights were kept
    trainable: int  # number of weights trained
    tokens: int  # tokens of the rows learned, over all epochs
    speed: dict[str, Any]  # what differs from machine to machine: seconds, tokens per second, memory
    files: tuple[str, ...]  # outputs, below the stage's folder
    rounding: dict[str, Any]  # of an exact training: the grid, and how many weights lie near an edge of it
    start: list[dict[str, Any]] = field(default_factory=list)  # what the starting model says of pairs of answers, if asked

    def rows(self) -> list[dict[str, Any]]:
        """Describe it as a row of a table."""
        facts = {
            "optimizer steps": int(max(row["step"] for row in self.log)),
            "kept step": self.best,
            "trainable parameters": self.trainable,
            "tokens seen": self.tokens,
        }
        if self.rounding:
            near = self.rounding["near_edge"]
            facts["weights near a rounding edge"] = f"{near}, so {'not ' if near else ''}proven to be the same everywhere"
        return [facts]

    def costs(self) -> dict[str, Any]:
        """Describe what it took, which is another machine's own."""
        return {"tokens per second": self.speed["tokens_a_second"], "peak memory (MiB)": self.speed["peak_memory_mb"]}


def fine_tune(layout: Layout, work: Path, out: Path) -> Trained:
    """Train, here or by several processes, and put the best checkpoint's weights into `out`; resumes after a crash.

    Raises:
        TrainingError: a loss is not finite, or a process failed.
    """
    dtype = "float64" if layout.params.numerics == "exact" else "float32"
    job = Job(merged_folder(layout.model, dtype), layout.params, layout.seed, work)
    save_rows(layout.data, work)
    file = job.save()
    try:
        if layout.params.num_processes > 1:
            launch.start(file, layout.params)
        else:
            _train_here(job)
    finally:
        file.unlink()  # nobody can join any more
    result = json.loads((work / RESULT).read_text(encoding="utf-8"))
    for line in result["said"] if layout.params.num_processes > 1 else []:  # alone, the training has said it here itself
        print(line)
    best = checkpoints.best_step(result["log"])
    files = _take(work / "checkpoints" / f"checkpoint-{best}", layout, out)
    rounding = {}
    if layout.params.numerics == "exact":
        rounding = exact.put_on_grid(out / "adapter" / "adapter_model.safetensors", layout.params.learning_rate)
    tokens = sum(map(size_of, layout.data.train)) * layout.params.epochs
    speed = {name: result[name] for name in ("seconds", "began_after_step", "tokens_a_second", "peak_memory_mb", "device")}
    logs = reference.read(work, job.digest) if layout.params.minimised.has_reference else None
    start = reference.as_rows(logs, [*layout.data.train, *layout.data.held_out]) if logs else []
    return Trained(result["log"], best, result["trainable"], tokens, speed, files, rounding, start)


def _train_here(job: Job) -> None:
    """Train in this process and give the memory back."""
    import torch

    from isheep_lib.train import trainer

    trainer.train(job)
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _take(checkpoint: Path, layout: Layout, out: Path) -> tuple[str, ...]:
    """Copy the weights of a checkpoint into the record; return the files' names."""
    if layout.params.method == "full":
        folder, patterns = (
            out / "model",
            ("*.safetensors", "model.safetensors.index.json", "config.json", "generation_config.json"),
        )
    else:
        folder, patterns = out / "adapter", ("adapter_model.safetensors", "adapter_config.json")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for source, wanted in ((layout.model.path, TOKENIZER_FILES if folder.name == "model" else ()), (checkpoint, patterns)):
        for path in sorted({path for pattern in wanted for path in source.glob(pattern)}):
            target = folder / path.relative_to(source)
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(path, target)
    if folder.name == "adapter":
        _tidy(folder / "adapter_config.json", layout.model.name)
    return tuple(str(path.relative_to(out)) for path in sorted(folder.rglob("*")) if path.is_file())


def _tidy(config: Path, name: str) -> None:
    """Name the base as the params file does instead of a path of this machine."""
    values = json.loads(config.read_text(encoding="utf-8")) | {"base_model_name_or_path": name}
    if isinstance(values["target_modules"], list):
        values["target_modules"] = sorted(values["target_modules"])  # a set inside peft, in no stable order
    config.write_text(json.dumps(values, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def held_out_change(log: list[dict[str, float]]) -> dict[str, Any]:
    """Return the held-out loss before training, the best one after, the step it was reached at, and whether it is lower.

    Where pairs of answers were learned from, also every other figure before and at that step (see `PairObjective`).
    """
    held = [row for row in log if "eval_loss" in row]
    step = checkpoints.best_step(log)
    first, last = held[0], next(row for row in held if row["step"] == step)
    change: dict[str, Any] = {"before": first["eval_loss"], "best": last["eval_loss"], "at step": step}
    change["improved"] = change["best"] < change["before"]
    others = [name.removeprefix("eval_") for name in first if name.startswith("eval_") and name != "eval_loss"]
    return change | {
        f"{name} {when}": row[f"eval_{name}"] for name in others for when, row in (("before", first), ("at best", last))
    }


def verdict(log: list[dict[str, float]], params: Train) -> str:
    """Say in sentences whether training helped on rows that it did not see."""
    change, unit = held_out_change(log), params.minimised.unit
    said = (
        f"The held-out loss fell from {change['before']:.4f} to {change['best']:.4f} {unit}."
        if change["improved"]
        else f"WARNING: the held-out loss did not fall: {change['before']:.4f} before, {change['best']:.4f} at its best. This "
        "model learned nothing that carries over to pairs it has not seen; look at train.learning_rate, train.epochs and "
        "the kept pairs before using it."
    )
    return f"{said}\n{_of_pairs(change, params)}" if params.minimised.of_pairs else said


def _of_pairs(change: dict[str, Any], params: Train) -> str:
    """Say which answers the model prefers now, and whether it finds chosen ones, or both kinds, less likely than before."""
    said = (
        f"Of held-out pairs {change['accuracy at best']:.0%} have a margin for the chosen answer "
        f"({change['accuracy before']:.0%} before); the mean margin went from {change['margin before']:.4f} "
        f"to {change['margin at best']:.4f}."
    )
    chosen, rejected = ((change[f"{side} before"], change[f"{side} at best"]) for side in ("chosen", "rejected"))
    words = f"chosen answers {chosen[0]:.4f} to {chosen[1]:.4f}, rejected ones {rejected[0]:.4f} to {rejected[1]:.4f}"
    if chosen[1] >= chosen[0]:
        return f"{said} The mean log-probability of a token went: {words}."
    what = "Chosen and rejected answers both" if rejected[1] < rejected[0] else "Chosen answers"
    do = "Lower train.learning_rate" + (", or raise train.objective_options.sft_weight." if params.objective == "dpo" else ".")
    return f"{said}\nWARNING: {what} grew less likely, in the mean log-probability of a token: {words}. {do}"


def check_parity(layout: Layout, out: Path) -> list[parity.Probe]:
    """Compare what was trained with what the next stages will load; none where the weights do not fit this machine."""
    if layout.params.method == "full":
        return parity.check_weights(layout.model, out / "model")
    return parity.check_trained(layout.model, out / "adapter", layout.params.numerics == "exact")
