"""Transformers' Trainer with our batches, objectives, held-out figures and checkpoints.

The optimizer steps, their rows and their dropout follow from the job alone. Covers a step and what is said of it, held-out
rows, the starting model's log-probabilities, saving. Does not cover starting and resuming a training (`train.trainer`), which
rows stand together (`train.batch_plan`) or what is minimised (`train.objectives`).
"""

import inspect
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.distributed.fsdp import FSDPModule
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainingArguments

from isheep_lib.errors import TrainingError
from isheep_lib.record.provenance import seed_for
from isheep_lib.train import batch_plan, checkpoints, exact, reference
from isheep_lib.train.dataset import Row, size_of
from isheep_lib.train.job import Job, load_rows
from isheep_lib.train.loss import tensors, token_losses
from isheep_lib.train.objectives.objective import Computed, answer_logs


class Learner(Trainer):
    """Transformers' Trainer with our batches, our loss over a whole step, and checkpoints that say they are whole."""

    def __init__(self, job: Job, model: Any, arguments: TrainingArguments, start: reference.Logs | None = None) -> None:
        """Lay out the training; see `Job`. `start` is what the starting model says, None where that is to be computed."""
        self.job, self.rows, self.held = job, load_rows(job.work, False), load_rows(job.work, True)
        # ty: ignore[invalid-argument-type] - a list has all that is asked of a Dataset
        super().__init__(model=model, args=arguments, train_dataset=self.rows, eval_dataset=self.held)
        self.remove_callback(PrinterCallback)  # the log is a figure and a file, not lines in the notebook
        self.loss_is_scaled_for_ga = True
        self.minimised, self.start = job.params.minimised, start
        self.plan = batch_plan.plan([size_of(row) for row in self.rows], job.params, job.seed)
        self.packed = job.params.batching == "packed"
        inner = model.get_base_model() if hasattr(model, "get_base_model") else model
        self.whole_logits = "logits_to_keep" not in inspect.signature(inner.forward).parameters
        self.per_step = len(self.plan.steps[0])
        self.weights = [sum(self.minimised.weight(self.rows[i]) for each in step for i in each) for step in self.plan.steps]
        self.said = torch.zeros(len(self.minimised.figures), dtype=torch.float64, device=arguments.device)  # of this step

    def get_train_dataloader(self) -> DataLoader:
        """Return this process's forward passes of all epochs, in order."""
        passes: Any = self.plan.passes(self.args.process_index)  # a list has all that is asked of a Dataset
        return DataLoader(passes, batch_size=1, collate_fn=self._collate)

    def _collate(self, items: list[tuple[int, batch_plan.Pass]]) -> dict[str, Any]:
        ((number, chosen),) = items
        return {"number": number, **self._tensors([self.rows[i] for i in chosen])}

    def _tensors(self, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        return tensors([answer for row in rows for answer in row.answers], self.packed)

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        """Compute one forward pass; its dropout follows from its number, whichever process has it."""
        torch.manual_seed(seed_for(self.job.seed, inputs["number"], "train", "dropout"))
        return super().training_step(model, inputs, num_items_in_batch)

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Return the pass's share of the step's loss: its rows' losses by the weight of all rows of the step.

        Raises:
            TrainingError: a loss is not finite.
        """
        number = inputs.pop("number")
        step = number // self.per_step
        rows = [self.rows[i] for i in self.plan.steps[step][number % self.per_step]]
        losses, learned = token_losses(model, inputs, self.whole_logits)
        sums = self.minimised.sums(Computed(losses, learned, rows, self.start or {}), self.job.params.objective_options)
        if not torch.isfinite(sums).all():
            raise not_finite("The training loss", self.state.global_step + 1, rows)
        self.said += sums.detach()
        # Processes average their gradients, so each counts for all of them.
        return sums[0] / self.weights[step] * self.args.world_size

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Return the held-out figures, each over all held-out rows; before the first step, ask the starting model as well."""
        if self.minimised.has_reference and self.start is None:
            self.start = self._of_start()
        figures, options = self.minimised.figures, self.job.params.objective_options
        model: Any = self.model_wrapped
        sums = torch.zeros(len(figures) + 1, dtype=torch.float64, device=self.args.device)
        with exact.as_recorded(model, self.job.params):
            for chosen, losses, learned in self._asked(self.held):
                rows = [self.held[i] for i in chosen]
                found = self.minimised.sums(Computed(losses, learned, rows, self.start or {}), options)
                if not torch.isfinite(found).all():
                    raise not_finite("The held-out loss", self.state.global_step, rows)
                sums[:-1] += found
                sums[-1] += sum(map(self.minimised.weight, rows))
        *totals, number = self.accelerator.reduce(sums, "sum").tolist()
        # Rounded as in the log, so that both find the same step best.
        metrics = {f"eval_{name}": round(total / number, 6) for name, total in zip(figures, totals, strict=True)}
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _asked(self, rows: Sequence[Row]) -> Iterator[tuple[list[int], torch.Tensor, torch.Tensor]]:
        """Compute this process's passes over rows without learning; yield each one's rows, token losses in float64, places."""
        model: Any = self.model_wrapped
        model.eval()
        ranked = sorted(range(len(rows)), key=lambda i: -size_of(rows[i]))
        most, processes = self.job.params.micro_batch, self.args.world_size
        passes = [ranked[i : i + most] for i in range(0, len(ranked), most)]
        passes += [[]] * (-len(passes) % processes)
        for chosen in passes[self.args.process_index :: processes]:
            inputs = self._prepare_inputs(self._tensors([rows[i] for i in chosen]))
            with torch.no_grad():  # not inference_mode: shards gathered there could not be learned from afterwards
                losses, learned = token_losses(model, inputs, self.whole_logits)
            yield chosen, losses.double(), learned

    def _of_start(self) -> reference.Logs:
        """Return the log-probabilities of all answers under the starting weights, and keep them on the disk."""
        logs: reference.Logs = {}
        for rows in (self.rows, self.held):  # apart, so that held-out rows stand beside one another as they do later
            found = torch.zeros(len(rows), 2, dtype=torch.float64, device=self.args.device)
            for chosen, losses, learned in self._asked(rows):
                if chosen:
                    found[chosen] = answer_logs(Computed(losses, learned, [rows[i] for i in chosen], {}))
            whole = self.accelerator.reduce(found, "sum").tolist()
            logs |= {row.id: pair for row, pair in zip(rows, whole, strict=True)}
            if broken := [row for row in rows if not reference.is_finite({row.id: logs[row.id]})]:
                raise not_finite("A log-probability under the starting model", self.state.global_step, broken)
        if self.is_world_process_zero():
            reference.write(self.job.work, self.job.digest, logs)
        return logs

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Keep a line of the log; a gradient that is not finite stops the training before anything of it is saved."""
        step = self.state.global_step - 1
        if not math.isfinite(logs.get("grad_norm", 0.0)):
            rows = [self.rows[i] for chosen in self.plan.steps[step] for i in chosen]
            raise not_finite("The gradient", self.state.global_step, rows)
        if "loss" in logs and len(self.minimised.figures) > 1:
            said = (self.accelerator.reduce(self.said, "sum") / self.weights[step]).tolist()
            logs |= dict(zip(self.minimised.figures[1:], said[1:], strict=True))
            self.said = torch.zeros_like(self.said)
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


def not_finite(what: str, step: int, rows: Sequence[Row]) -> TrainingError:
    """Make the error that names the rows."""
    return TrainingError(
        f"{what} is not finite at step {step}",
        where="rows " + ", ".join(row.id for row in rows),
        do="look at these rows; a lower train.learning_rate or model.dtype float32 may help. The last checkpoint is kept",
    )
