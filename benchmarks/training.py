"""Compares how rows share forward passes, on the lengths of the pairs that the I-SHEEP authors released.

    python benchmarks/training.py FOLDER [--rows 96] [--micro 4] [--repeats 2] [--model …] [--dtype float32]
    # with released_*_kept.json; prints a table and writes benchmarks/training.md

The ways take turns, so that whatever else the machine does hits all of them. Tokens are those of rows, never padding.
Their rows are used as data and not copied.
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
from pathlib import Path

import torch
from transformers import AutoTokenizer

from isheep_lib.iterate.run_params import TrainParams
from isheep_lib.models.base import find_model
from isheep_lib.prompting.chat import get_frame
from isheep_lib.record.rows import Pair
from isheep_lib.train.batch_plan import padding_share
from isheep_lib.train.dataset import prepare
from isheep_lib.train.run import fine_tune, held_out_change, lay_out

HERE = Path(__file__).parent
WAYS = ("grouped", "packed")
NOTE = (
    "Both learn from the same rows in the same optimizer steps. Grouped rows stand beside rows of like length of the same",
    "step and are padded to the longest of their forward pass; packed ones follow one another without padding. Losses differ",
    "by dropout, whose masks follow the shape of a pass, and by the order of sums.",
)


def released(folder: Path, number: int) -> list[Pair]:
    """Draw pairs from the released sets, in equal shares."""
    files = sorted(folder.glob("released_*_kept.json"))
    if not files:
        sys.exit(f"{folder} holds no released_*_kept.json")
    found = []
    for file in files:
        rows = [row for row in json.loads(file.read_text(encoding="utf-8")) if row["output"]]
        for i, row in enumerate(random.Random(0).sample(rows, -(-number // len(files)))):
            found.append(Pair(f"{file.stem}-{i}", *(row.get(name) or "" for name in ("instruction", "input", "output"))))
    return found[:number]


def measure(way: str, rows: list[Pair], options: argparse.Namespace) -> dict:
    """Train once from the start and return speed and losses."""
    model = find_model(options.model)
    tokenizer = AutoTokenizer.from_pretrained(model.path)
    params = TrainParams(
        batching=way,
        micro_batch=options.micro,
        dtype=options.dtype,
        learning_rate=2e-4,
        warmup_steps=2,
        epochs=1,
        save_steps=10_000,
    )
    data = prepare(rows, get_frame("chatml", params.system_prompt, tokenizer), tokenizer, params, 0)
    layout = lay_out(model, data, params, 0)
    with tempfile.TemporaryDirectory() as folder:
        result = fine_tune(layout, Path(folder) / "work", Path(folder) / "out")
    held = held_out_change(result.log)
    padding = padding_share(layout.plan, [len(row.input_ids) for row in data.train], way)
    return {
        "speed": result.speed["tokens_a_second"],
        "padding": padding,
        **held,
        "loss": statistics.fmean(row["loss"] for row in result.log if "loss" in row),
        "memory": result.speed["peak_memory_mb"],
        "tokens": result.tokens,
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=96)
    parser.add_argument("--micro", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--model", default="embedded:smollm2-135m-instruct")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--out", type=Path, default=HERE / "training.md")
    options = parser.parse_args()
    rows = released(options.folder, options.rows)
    found: dict[str, list[dict]] = {way: [] for way in WAYS}
    for _ in range(options.repeats):
        for way in WAYS:
            found[way].append(measure(way, rows, options))
    plain = statistics.median(one["speed"] for one in found["grouped"])
    lines = [
        "| batching | padding | tokens per second | ratio | mean training loss | held-out loss before | after |",
        "|---|---|---|---|---|---|---|",
    ]
    for way, runs in found.items():
        speed, one = statistics.median(run["speed"] for run in runs), runs[0]
        lines.append(
            f"| {way} | {one['padding']:.0%} | {speed:.0f} | {speed / plain:.2f} | {one['loss']:.4f} | {one['before']:.4f} "
            f"| {one['best']:.4f} |"
        )
    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else f"{torch.get_num_threads()} CPU threads"
    head = (
        f"# Batches of training\n\n{options.model}, {options.dtype}, {device}; {options.rows} released pairs, "
        f"{found['grouped'][0]['tokens']} tokens per training; {options.micro} rows per forward pass, 16 an optimizer step; "
        f"median of {options.repeats}; losses in nats per token. Made by `python benchmarks/training.py FOLDER`.\n"
    )
    text = "\n".join([head, *lines, "", *NOTE]) + "\n"
    options.out.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
