"""How many texts another machine repeats, exact and not: instruction sets, threads and batches played on this machine.

    python benchmarks/machines.py --tokens 20000 > benchmarks/machines.md

The embedded model samples answers to the seed tasks. On every other machine each place of every text is decided anew, given
the tokens before it: where all decisions of a text are the recorded ones, that machine would have written the same text, since
each follows from those before. That costs a tenth of writing it. Shown per machine: texts repeated whole, places decided
otherwise, and how many places were computed in float64. The controls decide plainly, in float32 and bfloat16.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.detection import requests
from tests.machines import MACHINES, OWN, Machine

FORMATS = {
    "exact": {"inference_dtype": "float32", "numerics": "exact"},
    "float32": {"inference_dtype": "float32"},
    "bfloat16": {"inference_dtype": "bfloat16"},
}


def opened(form: str, machine: Machine) -> Any:
    """Open the embedded model as a machine would."""
    from isheep_lib.engines.params import Model
    from isheep_lib.engines.transformers_engine import TransformersEngine
    from isheep_lib.models.base import find_model

    return TransformersEngine(find_model("embedded:smollm2-135m-instruct"), Model(**{**FORMATS[form], **machine.batches}))


def asked(tokens: int) -> list[Any]:
    """Ask for enough answers, some cool, some hot."""
    from transformers import AutoTokenizer

    from isheep_lib.models.base import find_model

    tokenizer = AutoTokenizer.from_pretrained(find_model("embedded:smollm2-135m-instruct").path)
    every = [request for temperature in (0.7, 1.0) for request in requests(175, 192, temperature, tokenizer)]
    return every[: max(1, tokens // 100)]


def write(form: str, tokens: int, path: Path) -> None:
    """Write the texts, as tokens, with what they took."""
    from isheep_lib.engines.transcript import key_of

    engine, questions = opened(form, OWN), asked(tokens)
    by_key = {key_of(request): request for request in questions}
    from dataclasses import replace

    found, began = {}, time.monotonic()
    for batch in engine.generate(engine.batches([replace(r, id=key) for key, r in by_key.items()])):
        found |= {one.id: list(one.tokens) for one in batch}
    seconds = time.monotonic() - began
    path.write_text(json.dumps({"rows": found, "seconds": seconds, "facts": engine.facts()}))


def force(form: str, tokens: int, path: Path, number: int) -> None:
    """Decide every place anew on this machine and print what came out."""
    import numpy as np
    import torch

    from isheep_lib.engines.exact.decisions import decide
    from isheep_lib.engines.transcript import key_of

    rows = json.loads(path.read_text())["rows"]
    engine = opened(form, MACHINES[number])
    questions = [request for request in asked(tokens) if key_of(request) in rows]
    prompts = [engine.vocabulary.encode(request.prompt) for request in questions]
    new = [rows[key_of(request)] for request in questions]
    other, places, began = {}, 0, time.monotonic()
    for i, first, logits in engine.forced([a + b for a, b in zip(prompts, new, strict=True)], [len(p) for p in prompts]):
        request, places = questions[i], places + len(logits)
        draws = torch.tensor(np.random.default_rng(request.seed).random(request.max_new_tokens))[first : first + len(logits)]
        sampling = (request.temperature, request.top_p)
        if engine.arbiter:

            def so_far(line: int, i: int = i, first: int = first) -> tuple[str, list[int]]:
                return questions[i].id, prompts[i] + new[i][: first + line]

            taken = engine.arbiter.choose(logits, draws, *sampling, so_far)
        else:
            taken = decide(logits, draws, *sampling).tokens
        differing = (taken.cpu() != torch.tensor(new[i][first : first + len(logits)])).sum()
        other[i] = other.get(i, 0) + int(differing)
    print(
        json.dumps(
            {
                "texts": len(new),
                "whole": sum(not n for n in other.values()),
                "places": places,
                "otherwise": sum(other.values()),
                "again": engine.arbiter.counts.again if engine.arbiter else 0,
                "seconds": time.monotonic() - began,
            }
        )
    )


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=20000)
    parser.add_argument("--formats", nargs="+", default=list(FORMATS), choices=list(FORMATS))
    parser.add_argument("--write", nargs=2, metavar=("FORMAT", "FILE"))
    parser.add_argument("--force", nargs=3, metavar=("FORMAT", "FILE", "MACHINE"))
    given = parser.parse_args()
    if given.write:
        write(given.write[0], given.tokens, Path(given.write[1]))
    elif given.force:
        force(given.force[0], given.tokens, Path(given.force[1]), int(given.force[2]))
    else:
        table(given.tokens, given.formats)


def called(tokens: int, machine: Machine, *arguments: str) -> str:
    """Do a part in a process of its own, as a machine would."""
    command = [sys.executable, __file__, "--tokens", str(tokens), *arguments]
    return subprocess.run(command, env=machine.told(), check=True, stdout=subprocess.PIPE, text=True).stdout


def table(tokens: int, formats: list[str]) -> None:
    """Write on this machine, decide on every other one, and print."""
    print("| arithmetic | machine | texts repeated whole | places decided otherwise | computed in float64 | seconds |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for form in formats:
            file = Path(folder) / f"{form}.json"
            called(tokens, OWN, "--write", form, str(file))
            made = json.loads(file.read_text())
            number = sum(map(len, made["rows"].values()))
            print(f"| {form} | as it is, writing {number:,} tokens | | | | {made['seconds']:.0f} |", flush=True)
            for place, machine in enumerate(MACHINES):
                found = json.loads(called(tokens, machine, "--force", form, str(file), str(place)).splitlines()[-1])
                print(
                    f"| {form} | {machine.title} | {found['whole']} of {found['texts']} | {found['otherwise']:,} of "
                    f"{found['places']:,} | {found['again']:,} | {found['seconds']:.0f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
