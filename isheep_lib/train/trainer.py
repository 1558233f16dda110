"""One training as a job: what every process of it does, alone in a kernel or as one of many.

    python -m isheep_lib.train.trainer JOB.json      # started by accelerate, once a process (`launch`)

The optimizer steps, their rows and their dropout follow from the job alone, so that the number of processes and a
resume change nothing but the order in which floats are added.
Covers the steps, checkpoints, the held-out loss, resuming. Does not cover which rows (`train.dataset`), which of them together
(`train.batch_plan`), the model (`train.model`), or starting processes (`train.launch`).
"""

import contextlib
import inspect
import json
import math
import os
import sys
import threading
import time
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NoReturn

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from torch.distributed.elastic.multiprocessing.errors import record
from torch.distributed.fsdp import FSDPModule
from torch.utils.data import DataLoader
from transformers import (
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)
from transformers.utils import logging

from isheep_lib.errors import IsheepError, TrainingError
from isheep_lib.record.progress import Progress
from isheep_lib.record.provenance import peak_memory_mb, seed_for
from isheep_lib.record.rows import digest_file, write_atomic
from isheep_lib.train import batch_plan, checkpoints, exact
from isheep_lib.train.dataset import TrainRow
from isheep_lib.train.job import FAILURE, JOB, RESULT, ROWS, WATCHED, Job, clean, load_rows
from isheep_lib.train.loss import tensors, token_losses
from isheep_lib.train.model import load_trainable


class Learner(Trainer):
    """Transformers' Trainer with our batches, our loss over a whole step's tokens, and checkpoints that say they are whole."""

    def __init__(self, job: Job, model: Any, arguments: TrainingArguments) -> None:
        """Lay out the training; see `Job`."""
        self.job, self.rows, self.held = job, load_rows(job.work, False), load_rows(job.work, True)
        # ty: ignore[invalid-argument-type] - a list has all that is asked of a Dataset
        super().__init__(model=model, args=arguments, train_dataset=self.rows, eval_dataset=self.held)
        self.remove_callback(PrinterCallback)  # the log is a figure and a file, not lines in the notebook
        self.loss_is_scaled_for_ga = True
        self.plan = batch_plan.plan([len(row.input_ids) for row in self.rows], job.params, job.seed)
        self.packed = job.params.batching == "packed"
        inner = model.get_base_model() if hasattr(model, "get_base_model") else model
        self.whole_logits = "logits_to_keep" not in inspect.signature(inner.forward).parameters
        per_step = len(self.plan.steps[0])
        self.learned = [sum(self.rows[i].learned for rows in step for i in rows) for step in self.plan.steps]
        self.step_of = lambda number: number // per_step

    def get_train_dataloader(self) -> DataLoader:
        """Return this process's forward passes of all epochs, in order."""
        passes: Any = self.plan.passes(self.args.process_index)  # a list has all that is asked of a Dataset
        return DataLoader(passes, batch_size=1, collate_fn=self._collate)

    def _collate(self, items: list[tuple[int, batch_plan.Pass]]) -> dict[str, Any]:
        ((number, chosen),) = items
        return {"number": number, **tensors([self.rows[i] for i in chosen], self.packed)}

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        """Compute one forward pass; its dropout follows from its number, whichever process has it."""
        torch.manual_seed(seed_for(self.job.seed, inputs["number"], "train", "dropout"))
        return super().training_step(model, inputs, num_items_in_batch)

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Return the pass's share of the step's loss: its tokens' losses by the number of learned tokens in the whole step.

        Raises:
            TrainingError: a loss is not finite.
        """
        number = inputs.pop("number")
        losses, _ = token_losses(model, inputs, self.whole_logits)
        total = losses.sum()
        if not torch.isfinite(total):
            chosen = [self.rows[i] for i in self.plan.steps[self.step_of(number)][number % len(self.plan.steps[0])]]
            raise not_finite("The training loss", self.state.global_step + 1, chosen)
        # Processes average their gradients, so each counts for all of them.
        return total / self.learned[self.step_of(number)] * self.args.world_size

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Return the held-out loss, in nats a learned token over all held-out rows."""
        model: Any = self.model_wrapped
        processes = self.args.world_size
        model.eval()
        ranked = sorted(range(len(self.held)), key=lambda i: -len(self.held[i].input_ids))
        most = self.job.params.micro_batch
        passes = [ranked[i : i + most] for i in range(0, len(ranked), most)]
        passes += [[]] * (-len(passes) % processes)
        sums = torch.zeros(2, dtype=torch.float64, device=self.args.device)
        with exact.as_recorded(model, self.job.params):
            for chosen in passes[self.args.process_index :: processes]:
                inputs = self._prepare_inputs(tensors([self.held[i] for i in chosen], self.packed))
                with torch.no_grad():  # not inference_mode: shards gathered there could not be learned from afterwards
                    losses, learned = token_losses(model, inputs, self.whole_logits)
                if not torch.isfinite(losses.sum()):
                    raise not_finite("The held-out loss", self.state.global_step, [self.held[i] for i in chosen])
                sums += torch.stack([losses.double().sum(), learned.sum().double()])
        total, number = self.accelerator.reduce(sums, "sum").tolist()
        metrics = {"eval_loss": round(total / number, 6)}  # as in the log, so that both find the same step best
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Keep a line of the log; a gradient that is not finite stops the training before anything of it is saved."""
        if not math.isfinite(logs.get("grad_norm", 0.0)):
            step = self.plan.steps[self.state.global_step - 1]
            raise not_finite("The gradient", self.state.global_step, [self.rows[i] for chosen in step for i in chosen])
        super().log(logs, start_time)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save what was trained; sharded weights are gathered one by one, the frozen ones stay where they are."""
        if not self.is_fsdp_enabled:
            super().save_model(output_dir, _internal_call)
            return
        model: Any = self.model
        state = {}
        for module in model.modules():
            if isinstance(module, FSDPModule):
                module.reshard()  # the held-out loss leaves some gathered, as no backward pass follows it
        for name, weight in model.named_parameters():
            if weight.requires_grad:
                whole = weight.full_tensor()  # every process takes part
                if self.args.should_save:
                    state[name] = whole.cpu()
        if self.args.should_save:
            self.accelerator.unwrap_model(model).save_pretrained(output_dir, state_dict=state)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()
        if self.is_world_process_zero():
            folder = self.job.work / "checkpoints"
            checkpoints.mark_whole(folder / f"checkpoint-{self.state.global_step}", self.job.digest)
            checkpoints.drop_old(folder)  # only now: a crash always finds one that is whole


def not_finite(what: str, step: int, rows: list[TrainRow]) -> TrainingError:
    """Make the error that names the rows."""
    return TrainingError(
        f"{what} is not finite at step {step}",
        where="rows " + ", ".join(row.id for row in rows),
        do="look at these rows; a lower train.learning_rate or model.dtype float32 may help. The last checkpoint is kept",
    )


class _Shown(TrainerCallback):
    def __init__(self, progress: Progress | None) -> None:
        self.progress = progress

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.progress:
            self.progress.advance(state.global_step - self.progress.count)
        if state.global_step >= state.max_steps:
            control.should_evaluate = True  # the last step may be the best one, too


def train(job: Job) -> None:
    """Train, from the last whole checkpoint on, and leave the result beside the checkpoints.

    Raises:
        TrainingError: a loss is not finite, or other processes were started than the training was laid out for.
    """
    processes = int(os.environ["WORLD_SIZE"]) if "LOCAL_RANK" in os.environ else 1  # as torchrun and accelerate tell it
    if processes != job.params.num_processes:
        raise TrainingError(
            f"{processes} process(es) were started for a training of {job.params.num_processes}",
            where=f"train.parallel {job.params.parallel}",
            allowed="an accelerate config whose distributed_type starts as many as it is told: MULTI_GPU, FSDP or DEEPSPEED",
        )
    logging.disable_progress_bar()
    with exact.arithmetic(job.params):
        _train(job)


def _train(job: Job) -> None:
    arguments = _arguments(job)  # before the model: sharded loading asks for it
    found, said = _agreed(job)
    arguments.eval_on_start = found is None  # the starting model's held-out loss, step 0 of the curve
    set_seed(job.seed)
    learner = Learner(job, load_trainable(job), arguments)
    first = learner.is_world_process_zero()
    began, started = checkpoints.step_of(found) if found else 0, time.monotonic()
    if first:
        for line in said:
            print(line)
    bar = Progress("training", len(learner.plan.steps), "step", began) if first else contextlib.nullcontext()
    with bar as progress:
        learner.add_callback(_Shown(progress))
        try:
            learner.train(resume_from_checkpoint=str(found) if found else None)
        except UnpicklingError as error:  # torch refuses what is not plain numbers
            do = "delete this folder, which somebody made or changed: the training goes on from the one before"
            raise TrainingError(f"A checkpoint holds what no training saves: {error}", where=str(found), do=do) from error
    seconds = time.monotonic() - started
    if first:
        tokens = sum(len(learner.rows[i].input_ids) for step in learner.plan.steps[began:] for rows in step for i in rows)
        model: Any = learner.model
        result = {
            "log": clean(learner.state.log_history, learner.plan.steps_per_epoch),
            "trainable": sum(getattr(p, "ds_numel", p.numel()) for p in model.parameters() if p.requires_grad),
            "said": said,
            "began_after_step": began,
            "seconds": round(seconds, 1),
            "tokens_a_second": round(tokens / seconds, 1),
            "peak_memory_mb": torch.cuda.max_memory_allocated() >> 20 if torch.cuda.is_available() else peak_memory_mb(),
            "device": str(arguments.device.type),
        }
        write_atomic(job.work / RESULT, json.dumps(result) + "\n")


def _agreed(job: Job) -> tuple[Path | None, list[str]]:
    """Let the first process choose the checkpoint; one that was started for another training is a TrainingError."""
    first = PartialState().is_main_process
    found, said = checkpoints.last_whole(job.work / "checkpoints", job.digest) if first else (None, [])
    mine = {name: digest_file(job.work / name) for name in (JOB, ROWS)}
    found, theirs = broadcast_object_list([found, mine])
    if theirs != mine:
        raise TrainingError(
            "This process was started for another training than the first one",
            where=str(job.work / JOB),
            do="start isheep join again once the first machine has come to its training",
        )
    return found, said


def _arguments(job: Job) -> TrainingArguments:
    params, cuda = job.params, torch.cuda.is_available()
    rows = len(load_rows(job.work, False))
    arguments = TrainingArguments(
        output_dir=str(job.work / "checkpoints"),
        per_device_train_batch_size=params.micro_batch,
        per_device_eval_batch_size=params.micro_batch,
        gradient_accumulation_steps=batch_plan.accumulation(params),
        learning_rate=params.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=params.warmup_steps,
        num_train_epochs=1,  # our batches hold all of them
        max_steps=-(-rows // params.train_batch) * params.epochs,
        # DeepSpeed knows no other way to a base in bfloat16.
        bf16=params.dtype == "bfloat16" and (params.method == "full" or "ACCELERATE_USE_DEEPSPEED" in os.environ),
        gradient_checkpointing=params.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False, "context_fn": exact.contexts(params)},
        logging_steps=1,
        logging_nan_inf_filter=False,
        eval_strategy="steps",
        eval_steps=params.save_steps,
        save_strategy="steps",
        save_steps=params.save_steps,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        seed=job.seed,
        use_cpu=not cuda,
        ddp_backend="gloo" if params.num_processes > 1 and not cuda else None,
        ddp_find_unused_parameters=False,
        average_tokens_across_devices=False,  # our loss is a whole step's already
        dataloader_pin_memory=cuda,
        report_to=[],
        disable_tqdm=True,
        log_level="error",
    )
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1  # one process has one GPU: no DataParallel over all that it sees
    return arguments


def _end_with_starter() -> None:
    """End this process once standard input closes: whoever started it is gone, and may already be training anew."""
    while os.read(0, 1):
        pass
    os._exit(1)


@record  # else the log says of an error only that there was one
def main(path: Path) -> int:
    """Do this process's part; a problem the user can mend goes into a file that the notebook reads."""
    if os.environ.get(WATCHED):
        threading.Thread(target=_end_with_starter, daemon=True).start()
    job = Job.load(path)
    try:
        train(job)
    except IsheepError as error:
        values = {"error": type(error).__name__, **{n: getattr(error, n) for n in ("what", "where", "allowed", "do")}}
        write_atomic(job.work / FAILURE, json.dumps(values) + "\n")
        return 1
    if torch.distributed.is_initialized():
        torch.distributed.barrier()  # a process that leaves first would break what others still send it
        torch.distributed.destroy_process_group()
    return 0


def leave(code: int) -> NoReturn:
    """End this process without Python's own clearing up: DeepSpeed keeps groups alive, whose threads would abort it then."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    leave(main(Path(sys.argv[1])) or 0)
