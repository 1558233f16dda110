"""How many tokens it takes to find that a record is not what it says: an edited word, another temperature, a 4-bit copy.

    python benchmarks/detection.py --answers 24 --draws 20 > benchmarks/detection.md

Answers of the embedded model are sampled honestly, at another temperature, and by a copy whose weights are rounded to 4 bits;
all are held against the honest model and settings as `isheep check` does. A draw is the answers in a random order; counted
are the tokens read until the first one that is not explained.
"""

import argparse
import json
import random
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from safetensors.torch import load_file, save_file

from isheep_lib.engines.exact.token_check import hold
from isheep_lib.engines.exact.verdict import Sample
from isheep_lib.engines.params import Model
from isheep_lib.engines.protocol import Request
from isheep_lib.engines.transcript import key_of, row_of, tokens_of
from isheep_lib.engines.transformers_engine import TransformersEngine
from isheep_lib.models.base import ModelRef, find_model
from isheep_lib.prompting.chat import get_frame

SEEDS = Path(__file__).parents[1] / "seeds" / "tasks.jsonl"
GROUP = 64  # weights that share a scale


def four_bit(model: ModelRef, folder: Path) -> ModelRef:
    """Write a copy whose matrices are rounded to 16 levels per group, to the nearest, biggest weight at the last level."""
    for path in model.path.iterdir():
        if path.is_file():
            shutil.copyfile(path, folder / path.name)
    for path in folder.glob("*.safetensors"):
        weights = load_file(path)
        for name, value in weights.items():
            if value.ndim == 2 and value.shape[1] % GROUP == 0 and "embed" not in name:
                groups = value.float().reshape(-1, GROUP)
                scale = groups.abs().amax(-1, keepdim=True).clamp(min=1e-12) / 7
                weights[name] = ((groups / scale).round().clamp(-8, 7) * scale).reshape(value.shape).to(value.dtype)
        save_file(weights, path, metadata={"format": "pt"})
    return ModelRef(f"{model.name} in 4 bits", folder, "4bit")


def requests(number: int, tokens: int, temperature: float, tokenizer: Any) -> list[Request]:
    """Ask for answers to seed tasks."""
    frame = get_frame("chatml", "You are a helpful assistant.", tokenizer)
    tasks = [json.loads(line) for line in SEEDS.read_text(encoding="utf-8").splitlines()[:number]]
    return [
        Request(task["id"], frame.prompt(task["instruction"]), tokens, temperature, 0.95, seed, stop=(frame.end,))
        for seed, task in enumerate(tasks)
    ]


def written(model: ModelRef, settings: Model, asked: list[Request]) -> tuple[dict[str, dict[str, Any]], Any]:
    """Let a model answer; return rows of a transcript by request id, and the vocabulary."""
    engine = TransformersEngine(model, settings)
    rows = {}
    for batch in engine.generate(engine.batches(asked)):
        rows |= {one.id: row_of(next(r for r in asked if r.id == one.id), one, engine.vocabulary) for one in batch}
    vocabulary = engine.vocabulary
    engine.close()
    return rows, vocabulary


def outside(model: ModelRef, settings: Model, asked: list[Request], rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Hold rows against a model as answers to these requests; return what `hold` says."""
    return hold({key_of(r): r for r in asked}, {key_of(r): rows[r.id] for r in asked}, model, settings, Sample())


def edited(rows: dict[str, dict[str, Any]], seed: int) -> dict[str, dict[str, Any]]:
    """Replace one token of each answer by another of the same answers."""
    chance = random.Random(seed)
    every = sorted({token for row in rows.values() for token in tokens_of(row)})
    found = {}
    for name, row in rows.items():
        tokens = tokens_of(row)
        tokens[chance.randrange(max(1, len(tokens) - 1))] = chance.choice(every)
        found[name] = {**row, "tokens": " ".join(map(str, tokens))}
    return found


def until_found(found: dict[str, Any], rows: dict[str, dict[str, Any]], draws: int) -> list[int]:
    """Count tokens up to the first that is not explained, in random orders of the answers."""
    first = {}
    for one in found["first"]:
        first[one["id"]] = min(one["token"], first.get(one["id"], one["token"]))
    counts = []
    for draw in range(draws):
        names, read = sorted(rows), 0
        random.Random(draw).shuffle(names)
        for name in names:
            if name in first:
                counts.append(read + first[name])
                break
            read += len(tokens_of(rows[name]))
        else:
            counts.append(read)
    return counts


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=int, default=24)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--draws", type=int, default=20)
    given = parser.parse_args()
    model = find_model("embedded:smollm2-135m-instruct")
    settings = Model(inference_dtype="float32", numerics="exact")
    from transformers import AutoTokenizer

    asked = requests(given.answers, given.tokens, 0.7, AutoTokenizer.from_pretrained(model.path))
    honest, _ = written(model, settings, asked)
    hotter, _ = written(model, settings, [replace(r, temperature=0.8) for r in asked])
    plain = settings.model_copy(update={"numerics": "plain"})
    brain = plain.model_copy(update={"inference_dtype": "bfloat16"})
    unknown = plain.model_copy(update={"engine": "vllm"})  # held against the likelihood alone
    short, _ = written(model, brain, asked)
    hotter_short, _ = written(model, brain, [replace(r, temperature=0.8) for r in asked])
    with tempfile.TemporaryDirectory() as name:
        fourth = four_bit(model, Path(name))
        rounded, _ = written(fourth, plain, asked)
        rounded_short, _ = written(fourth, brain, asked)
    cases = [
        ("as recorded", settings, honest),
        ("one token of each answer edited", settings, edited(honest, 0)),
        ("sampled at 0.8 instead of 0.7", settings, hotter),
        ("weights rounded to 4 bits", settings, rounded),
        ("as recorded, bfloat16", brain, short),
        ("sampled at 0.8 instead of 0.7, bfloat16", brain, hotter_short),
        ("weights rounded to 4 bits, bfloat16", brain, rounded_short),
        ("as recorded, draws unknown", unknown, honest),
        ("sampled at 0.8 instead of 0.7, draws unknown", unknown, hotter),
        ("weights rounded to 4 bits, draws unknown", unknown, rounded),
    ]
    print(
        "| record | tokens | the same | not explained | verdict | tokens until found: median, most of "
        f"{given.draws} draws |\n|---|---|---|---|---|---|"
    )
    for title, how, rows in cases:
        found = outside(model, how, asked, rows)
        by_token = found["first"] and how is settings  # bfloat16 is told by how many tokens differ in all
        until = until_found(found, rows, given.draws) if by_token else []
        said = f"{median(until):.0f}, {max(until)}" if until else "-"
        print(
            f"| {title} | {found['tokens']} | {found['same']} | {found['outside']} | {found['verdict']} | {said} |", flush=True
        )


if __name__ == "__main__":
    main()
