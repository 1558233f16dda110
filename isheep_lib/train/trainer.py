"""One training as a job: what every process of it does, alone in a kernel or as one of many.

    python -m isheep_lib.train.trainer JOB.json      # started by accelerate, once per process (`launch`)

The optimizer steps, their rows and their dropout follow from the job alone, so that the number of processes and a
resume change nothing but the order in which floats are added.
Covers starting, resuming and ending. Does not cover the steps (`train.learner`), which rows (`train.dataset`), the model
(`train.model`), or starting processes (`train.launch`).
"""

import contextlib
import json
import os
import shutil
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
from transformers import TrainerCallback, TrainingArguments, set_seed
from transformers.utils import logging

from isheep_lib.errors import IsheepError, TrainingError
from isheep_lib.record.progress import Progress
from isheep_lib.record.provenance import peak_memory_mb
from isheep_lib.record.rows import digest_file, write_atomic
from isheep_lib.train import batch_plan, checkpoints, exact, reference
from isheep_lib.train.dataset import size_of
from isheep_lib.train.job import FAILURE, JOB, RESULT, ROWS, WATCHED, Job, clean, load_rows
from isheep_lib.train.learner import Learner
from isheep_lib.train.model import load_trainable


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
    start = reference.read(job.work, job.digest) if job.params.minimised.has_reference else None
    learner = Learner(job, load_trainable(job), arguments, start)
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
        tokens = sum(size_of(learner.rows[i]) for step in learner.plan.steps[began:] for rows in step for i in rows)
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
    found, said = _last(job) if first else (None, [])
    mine = {name: digest_file(job.work / name) for name in (JOB, ROWS, reference.FILE) if (job.work / name).is_file()}
    found, theirs = broadcast_object_list([found, mine])
    if theirs != mine:
        raise TrainingError(
            "This process was started for another training than the first one",
            where=str(job.work / JOB),
            do="start isheep join again once the first machine has come to its training",
        )
    return found, said


def _last(job: Job) -> tuple[Path | None, list[str]]:
    """Find the newest whole checkpoint; without what the starting model said, the training must start from that again."""
    folder = job.work / "checkpoints"
    found, said = checkpoints.last_whole(folder, job.digest)
    if found and job.params.minimised.has_reference and reference.read(job.work, job.digest) is None:
        shutil.rmtree(folder)
        return None, [*said, f"{reference.FILE} is torn or gone, and only the starting model can make it: training starts anew"]
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
