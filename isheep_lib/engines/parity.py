"""Parity: whether an engine computes what the weights say, on a few fixed texts.

The reference is the plainest computation there is, one text at a time through the model with its adapter beside it, in
float32. Merging, number formats, other engines and servers are held against it: a mismatch means other weights, another
tokenizer or a wrong adapter, and stops the run before anything is asked.
Covers the texts, the reference, the comparison. Does not cover when it is made (`train`, `iterate.session`).
"""

import contextlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from isheep_lib.engines.params import Model
from isheep_lib.engines.protocol import Engine
from isheep_lib.engines.tokens import encode, encode_rest
from isheep_lib.errors import EngineError
from isheep_lib.models.base import ModelRef
from isheep_lib.models.folder import read_json
from isheep_lib.models.memory import check_room, free_memory, weight_bytes
from isheep_lib.record import manifests
from isheep_lib.record.folders import cache_folder
from isheep_lib.record.rows import write_atomic

PROBES = (
    (
        "Question: What do bees collect from flowers?\nAnswer:",
        " Bees collect nectar and pollen. They carry both to the hive, where the nectar becomes honey and the pollen feeds"
        " the young. On the way from flower to flower some of the pollen is lost, and so the plants are fertilised.",
    ),
    (
        "1. Instruction: Name three tools that a gardener uses.",
        "\n1. Input: <none>\n1. Output: A spade, a rake and a hose.\n2. Instruction: Explain why leaves change their colour in"
        " autumn.\n2. Input: <none>\n2. Output: The green of a leaf fades when the days grow short, and other colours show.",
    ),
    (
        "The train left the station at seven, and by noon",
        " it had crossed the river twice and climbed into the hills. Most of the passengers slept. An old man by the window"
        " counted the bridges, as he had done every summer since he was a boy, and wrote their number into a small book.",
    ),
    (
        "def area(width, height):\n    return",
        " width * height\n\n\ndef volume(width, height, depth):\n    return area(width, height) * depth\n\n\n"
        "sides = [(3, 4, 5), (1, 2, 2)]\nfor side in sides:\n    print(side, volume(*side))",
    ),
)
# Nats per token, the mean over a text. What other arithmetic in the same format does stays well below these.
TOLERANCE = {"float32": 0.002, "bfloat16": 0.05}


@dataclass(frozen=True)
class Probe:
    """One text's log-probability a token, in nats: by the base model, with the adapter beside it, and merged."""

    text: str
    base: float
    adapter: float
    merged: float


def plain_values(model: Any, tokenizer: Any) -> list[float]:
    """Return log p of each probe's continuation, in nats per token, one text at a time."""
    import torch

    values = []
    for context, rest in PROBES:
        before, after = encode(tokenizer, context), encode_rest(tokenizer, rest)
        tokens = torch.tensor([before + after], device=model.device)
        with torch.inference_mode():
            logs = model(input_ids=tokens).logits[0].float().log_softmax(-1)
        chosen = [logs[len(before) - 1 + i, token].item() for i, token in enumerate(after)]
        values.append(round(sum(chosen) / len(chosen), 6))
    return values


def compare(expected: list[float], found: list[float], dtype: str, who: str) -> float:
    """Return the largest difference, in nats per token; one over the tolerance of the number format is an EngineError."""
    worst = max(abs(a - b) for a, b in zip(expected, found, strict=True))
    if worst > TOLERANCE[dtype]:
        raise EngineError(
            f"{who} computes something else than the weights say: log p differs by {worst:.3f} nats per token",
            where="; ".join(f"{a:.3f} is {b:.3f}" for a, b in zip(expected, found, strict=True)),
            allowed=f"{TOLERANCE[dtype]} in {dtype}",
            do="check that it loads this model, this adapter and this tokenizer; nothing was asked of it yet",
        )
    return round(worst, 6)


def check_trained(model: ModelRef, adapter: Path, exact: bool = False) -> list[Probe]:
    """Compare an adapter beside the base with the adapter merged into it, in float32; none where these do not fit here.

    Args:
        exact: compute in float64, so that every machine finds the same.

    Raises:
        EngineError: merging changed what the model says.
    """
    from peft import PeftModel

    from isheep_lib.engines.exact.double import NothingShorter
    from isheep_lib.models.load import load_model

    dtype = "float64" if exact else "float32"
    if not _fits(model, dtype):
        return []
    with NothingShorter() if exact else contextlib.nullcontext():
        plain, tokenizer = load_model(model, dtype)
        base = plain_values(plain, tokenizer)
        beside = PeftModel.from_pretrained(plain, adapter).eval()
        with_adapter = plain_values(beside, tokenizer)
        del plain, beside
        merged = plain_values(load_model(replace(model, adapters=(*model.adapters, adapter)), dtype)[0], tokenizer)
    compare(with_adapter, merged, "float32", "The merged model")
    return _probes(base, with_adapter, merged)


def check_weights(model: ModelRef, trained: Path) -> list[Probe]:
    """Say what a model says of the texts before and after all its weights were trained; there is nothing to merge."""
    from isheep_lib.models.load import load_model

    if not _fits(model):
        return []
    base = plain_values(*load_model(model, "float32"))
    after = plain_values(*load_model(ModelRef(model.name, trained, ""), "float32"))
    return _probes(base, after, after)


def _probes(base: list[float], adapter: list[float], merged: list[float]) -> list[Probe]:
    texts = [context + rest for context, rest in PROBES]
    return [Probe(*values) for values in zip(texts, base, adapter, merged, strict=True)]


def _fits(model: ModelRef, dtype: str = "float32") -> bool:
    try:
        check_room(weight_bytes(model.path, dtype), free_memory("cpu"), dtype, "cpu")
    except EngineError:
        return False
    return True


def check_engine(engine: Engine, expected: list[float], dtype: str) -> float:
    """Compare an open engine with the reference, and return or raise as `compare`."""
    found = [round(total / number, 6) for total, number in engine.logprobs(list(PROBES))]
    return compare(expected, found, dtype, f"The engine {engine.facts()['engine']}")


def base_values(model: ModelRef) -> list[float] | None:
    """Return the reference of a base model, computed once per model; None where it does not fit this machine's memory."""
    path = cache_folder() / "parity" / f"{model.digest}.json"
    known = read_json(path) or {}  # a memory: what is damaged is computed again
    if known.get("probes") == [list(probe) for probe in PROBES] and "values" in known:
        return known["values"]
    if not _fits(model):
        return None
    from isheep_lib.models.load import load_model

    values = plain_values(*load_model(model, "float32", "cpu"))  # the GPU is for the engine, which may want it untouched
    write_atomic(path, json.dumps({"probes": PROBES, "values": values}) + "\n")
    return values


def document(probes: list[Probe]) -> dict[str, Any]:
    """Return the parity of a trained model as a document."""
    worst = max((abs(probe.adapter - probe.merged) for probe in probes), default=0.0)
    change = max((abs(probe.adapter - probe.base) for probe in probes), default=0.0)
    return {
        "unit": "nats per token",
        "largest difference, adapter and merged": round(worst, 6),
        "largest change by the adapter": round(change, 6),
        "probes": [asdict(probe) for probe in probes],
    }


def rows(probes: list[Probe]) -> list[dict[str, str]]:
    """Return the parity of a trained model as rows of a table."""
    if not probes:
        return [{"text": "not compared: the weights in float32 do not fit this machine's memory"}]
    return [
        {
            "text": probe.text,
            "base": f"{probe.base:.4f}",
            "adapter": f"{probe.adapter:.4f}",
            "merged": f"{probe.merged:.4f}",
            "difference": f"{abs(probe.adapter - probe.merged):.6f}",
        }
        for probe in probes
    ]


def hold_against_weights(engine: Engine, run_dir: Path, model: ModelRef, iteration: int, settings: Model) -> dict[str, Any]:
    """Compare an open engine with what M_k's weights say, before it is asked anything; return facts for the record."""
    if not iteration and settings.engine == "transformers":
        return {"compared": "nothing, this engine is the reference of a base model"}
    expected = trained_values(run_dir, iteration) if iteration else base_values(model)
    if expected is None:
        return {
            "compared": "nothing, the training recorded no parity" if iteration else "nothing, the weights are too large here"
        }
    worst = check_engine(engine, expected, settings.inference_dtype)
    tolerance = TOLERANCE[settings.inference_dtype]
    return {"compared": "log p of fixed texts, nats per token", "largest_difference": worst, "tolerance": tolerance}


def trained_values(run_dir: Path, iteration: int) -> list[float] | None:
    """Read what the model of an iteration says of the fixed texts, None in a record without parity."""
    folder = manifests.stage_folder(run_dir, iteration, "train")
    manifest = manifests.read_manifest(folder)
    if manifest is None or "parity.json" not in manifest["outputs"]:
        return None
    manifests.require_intact(folder, ["parity.json"])
    return [probe["adapter"] for probe in json.loads((folder / "parity.json").read_text(encoding="utf-8"))["probes"]] or None
