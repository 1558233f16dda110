"""Measures what exact decisions cost: tokens per second of exact, plain float32 and bfloat16, side by side, as ratios.

`python benchmarks/exact.py [--rows 24] [--temperature 0.7] [--top-p 0.9]` asks the embedded model for lists and answers as the
default run does, every engine the same requests in turn, and prints a table. It asserts nothing: times belong to a machine.
"""

import argparse
import json
import random
import time
from dataclasses import replace
from pathlib import Path

from isheep_lib.display.table import Table
from isheep_lib.engines.open import open_engine
from isheep_lib.engines.params import Model
from isheep_lib.engines.protocol import Engine, Request
from isheep_lib.models.base import find_model
from isheep_lib.prompting.chat import Frame, get_frame, user_words
from isheep_lib.prompting.prompt_files import english
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.lists import ListOptions, list_prompt

MODEL = "embedded:smollm2-135m-instruct"
SEEDS = Path(__file__).parents[1] / "seeds" / "tasks.jsonl"
TOGETHER = 12  # requests of one turn
SIDES = {
    "exact": {"inference_dtype": "float32", "numerics": "exact"},
    "float32": {"inference_dtype": "float32"},
    "bfloat16": {"inference_dtype": "bfloat16"},
}


def requests(rows: int, temperature: float, top_p: float | None, frame: Frame) -> list[Request]:
    """Ask for half as many lists as rows, and answers to as many other seed tasks, sampled as in the default run."""
    known = [json.loads(line) for line in SEEDS.read_text(encoding="utf-8").splitlines()]
    tasks = [Task(row["id"], row["instruction"], row["input"]) for row in known]
    found = []
    for i in range(rows // 2):
        shown = frame.literal(list_prompt(random.Random(i).sample(tasks, 5), ListOptions(), english()))
        found.append(Request(f"list-{i}", shown, 128, temperature, top_p or 0.9, i, ("\n11.",)))
    for i, task in enumerate(tasks[: rows - rows // 2]):
        asked = frame.prompt(user_words(task))
        found.append(Request(f"answer-{i}", asked, 192, temperature, top_p or 0.95, i, (frame.end,)))
    return found


def spent(engine: Engine, asked: list[Request]) -> tuple[float, float, int]:
    """Return seconds by the clock and of the processor that a continuation of requests takes, and its tokens."""
    started, worked = time.perf_counter(), time.process_time()
    tokens = sum(done.num_tokens for batch in engine.generate(engine.batches(asked)) for done in batch)
    return time.perf_counter() - started, time.process_time() - worked, tokens


def main() -> None:
    """Print a row for each side: tokens, tokens per second, and the ratio of exact to it; by the clock and of the processor."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=24)
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--top-p", type=float, help="of all requests; the default run's are 0.9 and 0.95")
    given = parser.parse_args()
    model = find_model(MODEL)
    engines = {side: open_engine(model, Model(base_model=MODEL, **changed)) for side, changed in SIDES.items()}
    frame = get_frame("chatml", "You are a helpful assistant.", engines["exact"].tokenizer)
    asked = requests(given.rows, given.temperature, given.top_p, frame)
    for engine in engines.values():  # the error at a temperature is measured once
        spent(engine, [replace(asked[0], max_new_tokens=2)])
    totals = dict.fromkeys(SIDES, (0.0, 0.0, 0))
    for first in range(0, len(asked), TOGETHER):  # in turn, so that what else the machine does strikes all of them
        for side, engine in engines.items():
            found = spent(engine, asked[first : first + TOGETHER])
            totals[side] = tuple(a + b for a, b in zip(totals[side], found, strict=True))
    rates = {side: (tokens / clock, tokens / work) for side, (clock, work, tokens) in totals.items()}
    rows = [
        {
            "side": side,
            "tokens": totals[side][2],
            "tokens per second": round(rates[side][0], 1),
            "exact over it": round(rates["exact"][0] / rates[side][0], 3),
            "the same by processor time": round(rates["exact"][1] / rates[side][1], 3),
        }
        for side in SIDES
    ]
    print(Table(rows, f"{MODEL}, temperature {given.temperature}, top_p {given.top_p or '0.9 and 0.95'}"))
    print(json.dumps(engines["exact"].facts()["numerics"]))


if __name__ == "__main__":
    main()
