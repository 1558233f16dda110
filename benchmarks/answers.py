"""Measures what n answers to a task cost: tokens written, and tokens read with and without what the prompts share.

`python benchmarks/answers.py [--tasks 3] [--limit 40] [--numbers 1 2 4 8]` asks the embedded model for n answers to each of
some seed tasks, scores the last n by mutual information, and prints a table. It asserts nothing.
"""

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from isheep_lib.display.table import Table
from isheep_lib.engines.batching.prefix_cache import Reader
from isheep_lib.engines.params import Model
from isheep_lib.engines.protocol import Request
from isheep_lib.engines.transformers_engine import TransformersEngine
from isheep_lib.models.base import find_model
from isheep_lib.prompting.chat import Frame, get_frame, user_words
from isheep_lib.record.provenance import seed_for
from isheep_lib.record.rows import Pair, Task
from isheep_lib.scorers.likelihoods import likelihoods
from isheep_lib.scorers.reading import Pmi

MODEL = "embedded:smollm2-135m-instruct"
SEEDS = Path(__file__).parents[1] / "seeds" / "tasks.jsonl"
TEMPERATURE, TOP_P = 0.7, 0.95  # of the default run


@contextmanager
def positions() -> Iterator[list[int]]:
    """Count the positions that readers compute in the block, padding included."""
    counted, plain = [0], Reader._forward  # the one place through which all that is read goes

    def forward(self: Reader, past: Any, rows: list[list[int]], keep: int, use_cache: bool, width: int = 0) -> Any:
        counted[0] += len(rows) * (width or max(map(len, rows)))
        return plain(self, past, rows, keep, use_cache, width)

    Reader._forward = forward
    try:
        yield counted
    finally:
        Reader._forward = plain


def asked(tasks: list[Task], number: int, limit: int, frame: Frame) -> list[Request]:
    """Ask for answers as `synthesize.respond` does: the first with the seed of a single one."""
    found = []
    for task in tasks:
        for k in range(number):
            seed = seed_for(2408, 1, "synthesize", f"{task.id}{f'-a{k}' if k else ''}/response")
            prompt = frame.prompt(user_words(task))
            found.append(Request(f"{task.id}-a{k}", prompt, limit, TEMPERATURE, TOP_P, seed, (frame.end,)))
    return found


def measured(engine: TransformersEngine, frame: Frame, tasks: list[Task], number: int, limit: int) -> tuple[dict, list[Pair]]:
    """Answer tasks so often; return the row of the table, and the pairs."""
    requests, started, worked = asked(tasks, number, limit, frame), time.perf_counter(), time.process_time()
    with positions() as read:
        said = {one.id: one for batch in engine.generate(engine.batches(requests)) for one in batch}
    times = (time.perf_counter() - started, time.process_time() - worked)
    prompts = sum(len(engine.vocabulary.encode(request.prompt)) for request in requests)
    named = {f"{task.id}-a{k}": task for task in tasks for k in range(number)}
    pairs = [Pair(i, t.instruction, t.input, said[i].text.strip(), said[i].finish) for i, t in named.items()]
    row = {
        "answers a task": number,
        "answers": len(said),
        "different": len({(task.id, said[i].text.strip()) for i, task in named.items()}),
        "written": sum(one.num_tokens for one in said.values()),
        "of prompts": prompts,
        "read of them": read[0],
        "saved": f"{1 - read[0] / prompts:.0%}",
        "seconds": round(times[0], 1),
        "of the processor": round(times[1], 1),
    }
    return row, pairs


def main() -> None:
    """Print what answers cost, and what scoring the last of them did."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=3)
    parser.add_argument("--limit", type=int, default=40)
    parser.add_argument("--numbers", type=int, nargs="+", default=[1, 2, 4, 8])
    given = parser.parse_args()
    rows = [json.loads(line) for line in SEEDS.read_text(encoding="utf-8").splitlines()[: given.tasks]]
    tasks = [Task(row["id"], row["instruction"], row["input"]) for row in rows]
    engine = TransformersEngine(find_model(MODEL), Model(base_model=MODEL, inference_dtype="float32"))
    frame = get_frame("chatml", "You are a helpful assistant.", engine.tokenizer)
    found = [measured(engine, frame, tasks, number, given.limit) for number in given.numbers]
    print(Table([row for row, _ in found], f"{MODEL}, {given.tasks} tasks, at most {given.limit} tokens per answer"))
    _, pairs = found[-1]
    texts = [(frame.prompt(words), frame.literal(p.output) + frame.end) for p in pairs for words in ("", user_words(p.task))]
    whole = sum(sum(map(len, engine.vocabulary.encode_pair(text))) for text in texts)
    with positions() as read:
        likelihoods(engine, frame, pairs, [Pmi("pmi")])
    print(f"scoring {len(pairs)} pairs by pmi: {whole} tokens of texts, {read[0]} read ({1 - read[0] / whole:.0%} saved)")


if __name__ == "__main__":
    main()
