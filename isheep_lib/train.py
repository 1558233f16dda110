"""Training: LoRA fine-tuning of the base model, or of the last one, on D_t (Algorithm 1, M_{t+1}; settings of Appendix E).

Covers rendering rows to tokens with a loss mask, the split, the Trainer, resuming. Does not cover which rows
(`filter`). Loss is on the response and its end token only; the mask never looks at the pad token, which is the end
token in some tokenizers and would then never be learned.
"""

import json
import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DataCollatorForSeq2Seq,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)
from transformers.utils import logging

from isheep_lib.counts import funnel
from isheep_lib.engines.merged import merged_folder
from isheep_lib.engines.tokens import encode, encode_rest
from isheep_lib.errors import YieldError
from isheep_lib.models import ModelRef
from isheep_lib.progress import Progress
from isheep_lib.prompts import Frame, user_words
from isheep_lib.records import Task

MASKED = -100
ADAPTER_FILES = ("adapter/adapter_model.safetensors", "adapter/adapter_config.json")


@dataclass(frozen=True)
class TrainRow:
    """Tokens of one row; labels are MASKED outside the response."""

    id: str
    input_ids: list[int]
    labels: list[int]
    cut: bool

    def trainer_row(self) -> dict[str, list[int]]:
        """Return what the collator wants."""
        return {"input_ids": self.input_ids, "attention_mask": [1] * len(self.input_ids), "labels": self.labels}


def encode_row(row: dict[str, Any], frame: Frame, tokenizer: Any, cutoff: int) -> TrainRow:
    """Turn a pair into tokens and labels, cut at `cutoff` tokens."""
    prompt = encode(tokenizer, frame.prompt(user_words(Task(row["id"], row["instruction"], row["input"]))))
    response = encode_rest(tokenizer, row["output"]) + encode_rest(tokenizer, frame.end)
    ids, labels = prompt + response, [MASKED] * len(prompt) + response
    return TrainRow(row["id"], ids[:cutoff], labels[:cutoff], len(ids) > cutoff)


def split_rows(
    rows: list[dict[str, Any]], max_rows: int, held_out: float, seed: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    """Draw at most `max_rows` rows by seed and hold a share out; both parts get at least one row.

    Returns:
        Training rows, held-out rows, rows left over.

    Raises:
        YieldError: fewer than two rows.
    """
    if len(rows) < 2:
        raise YieldError(f"{len(rows)} kept row(s) cannot be split", do="lower filter.threshold, or synthesize more")
    order = list(range(len(rows)))
    random.Random(seed).shuffle(order)  # noqa: S311 - reproducible, not secret
    chosen, left = order[:max_rows], order[max_rows:]
    number = min(max(1, round(held_out * len(chosen))), len(chosen) - 1)
    parts = sorted(chosen[number:]), sorted(chosen[:number]), sorted(left)
    train, held, rest = ([rows[i] for i in part] for part in parts)
    return train, held, rest


@dataclass(frozen=True)
class Data:
    """Rows as tokens, and what became of every kept pair."""

    train: list[TrainRow]
    held_out: list[TrainRow]
    counts: dict[str, Any]

    @property
    def train_ids(self) -> list[str]:
        """Ids that are learned."""
        return [row.id for row in self.train]

    @property
    def held_out_ids(self) -> list[str]:
        """Ids that only measure."""
        return [row.id for row in self.held_out]

    def facts(self) -> dict[str, int]:
        """Count rows, tokens, and rows shortened by the cutoff."""
        learned = sum(label != MASKED for row in self.train for label in row.labels)
        return {
            "training rows": len(self.train),
            "held-out rows": len(self.held_out),
            "tokens": sum(len(row.input_ids) for row in self.train),
            "learned tokens": learned,
            "rows shortened by the cutoff": sum(row.cut for row in [*self.train, *self.held_out]),
        }


def prepare(rows: list[dict[str, Any]], frame: Frame, tokenizer: Any, params: Any, seed: int) -> Data:
    """Encode, drop rows without a token to learn, split.

    Raises:
        YieldError: fewer than two usable rows.
    """
    encoded = {row["id"]: encode_row(row, frame, tokenizer, params.cutoff) for row in rows}
    usable = [row for row in rows if any(label != MASKED for label in encoded[row["id"]].labels)]
    train, held_out, left = split_rows(usable, params.max_rows, params.held_out, seed)
    dropped = [{"reason": "beyond_max_rows"}] * len(left) + [{"reason": "beyond_cutoff"}] * (len(rows) - len(usable))
    return Data([encoded[r["id"]] for r in train], [encoded[r["id"]] for r in held_out], funnel(len(rows), dropped))


def held_out_change(log: list[dict[str, float]]) -> dict[str, float]:
    """Return the held-out loss before training, the best one after, and the step it was reached at."""
    held = [row for row in log if "eval_loss" in row]
    best = min(held, key=lambda row: (row["eval_loss"], row["step"]))
    return {"before": held[0]["eval_loss"], "best": best["eval_loss"], "at step": int(best["step"])}


def masked_text(row: TrainRow, tokenizer: Any) -> tuple[str, str]:
    """Decode the part that is read and the part that is learned."""
    learned = [label for label in row.labels if label != MASKED]
    return tokenizer.decode(row.input_ids[: len(row.input_ids) - len(learned)]), tokenizer.decode(learned)


@dataclass
class Trained:
    """What training left: the log of steps, and counts."""

    log: list[dict[str, float]]
    trainable: int
    steps: int
    tokens: int


class _Shown(TrainerCallback):
    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.progress.advance(state.global_step - self.progress.count)
        if state.global_step >= state.max_steps:
            control.should_evaluate = True  # the last step may be the best one, too


def fine_tune(
    model: ModelRef,
    data: Data,
    params: Any,
    seed: int,
    work: Path,
    out: Path,
) -> Trained:
    """Train an adapter and put the best checkpoint's into `out/adapter`; resumes from the last whole checkpoint.

    Args:
        model: the base model, or in the setting One_last the last one, whose adapters are merged first.
        data: rows to learn, and held-out rows whose loss chooses the best checkpoint.
        params: `TrainParams`.
        seed: of adapter initialisation, dropout and order.
        work: folder of checkpoints.
        out: the stage's output folder.
    """
    logging.disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(model.path, trust_remote_code=False)
    base = AutoModelForCausalLM.from_pretrained(
        merged_folder(model), dtype=getattr(torch, params.dtype), use_safetensors=True, trust_remote_code=False
    )
    set_seed(seed)  # right before the adapter's random matrices
    adapted = get_peft_model(base, _lora(params))
    trainer = Trainer(
        model=adapted,
        args=_arguments(params, seed, work),
        train_dataset=[row.trainer_row() for row in data.train],
        eval_dataset=[row.trainer_row() for row in data.held_out],
        data_collator=DataCollatorForSeq2Seq(tokenizer, label_pad_token_id=MASKED, padding=True),
    )
    trainer.remove_callback(PrinterCallback)  # the log is a figure and a file, not lines in the notebook
    total = -(-len(data.train) // params.train_batch) * params.epochs
    checkpoint = last_checkpoint(work)
    with Progress("training", total, unit="step") as progress:
        trainer.add_callback(_Shown(progress))
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    adapted.save_pretrained(out / "adapter")
    _tidy(out / "adapter", model.name)
    trainable, _ = adapted.get_nb_trainable_parameters()
    tokens = sum(len(row.input_ids) for row in data.train) * params.epochs
    return Trained(_clean(trainer.state.log_history), trainable, trainer.state.global_step, tokens)


def _lora(params: Any) -> LoraConfig:
    return LoraConfig(
        r=params.lora_rank,
        lora_alpha=params.lora_alpha,
        lora_dropout=params.lora_dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def _arguments(params: Any, seed: int, work: Path) -> TrainingArguments:
    cuda = torch.cuda.is_available()
    return TrainingArguments(
        output_dir=str(work / "checkpoints"),
        per_device_train_batch_size=params.micro_batch,
        per_device_eval_batch_size=params.micro_batch,
        gradient_accumulation_steps=params.train_batch // params.micro_batch,
        learning_rate=params.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=params.warmup_steps,
        num_train_epochs=params.epochs,
        logging_steps=1,
        eval_strategy="steps",
        eval_on_start=True,  # the base model's held-out loss, step 0 of the curve
        eval_steps=params.save_steps,
        save_strategy="steps",
        save_steps=params.save_steps,
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        seed=seed,
        data_seed=seed,
        use_cpu=not cuda,
        dataloader_pin_memory=cuda,
        report_to=[],
        disable_tqdm=True,
        log_level="error",
    )


def last_checkpoint(work: Path) -> Path | None:
    """Return the newest checkpoint whose files are whole; a torn one is removed."""
    found = sorted((work / "checkpoints").glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    for checkpoint in reversed(found):
        try:
            json.loads((checkpoint / "trainer_state.json").read_text())
            return checkpoint
        except (FileNotFoundError, json.JSONDecodeError):
            shutil.rmtree(checkpoint)
    return None


def _tidy(adapter: Path, name: str) -> None:
    """Leave what loads the adapter, and name the base as the params file does instead of a path of this machine."""
    config = adapter / "adapter_config.json"
    values = json.loads(config.read_text()) | {"base_model_name_or_path": name}
    values["target_modules"] = sorted(values["target_modules"])  # a set inside peft, in no stable order
    config.write_text(json.dumps(values, indent=1, sort_keys=True) + "\n")
    (adapter / "README.md").unlink(missing_ok=True)


KEPT = ("step", "epoch", "loss", "grad_norm", "learning_rate", "eval_loss")


def _clean(history: list[dict[str, float]]) -> list[dict[str, float]]:
    """Keep what two runs of the same training share: no timings, no totals, no evaluation that a resume repeats."""
    rows: dict[tuple[float, bool], dict[str, float]] = {}
    for row in history:
        if "loss" in row or "eval_loss" in row:
            kept = {key: round(float(row[key]), 6) for key in KEPT if key in row}
            rows.setdefault((row["step"], "eval_loss" in row), kept)
    return list(rows.values())
