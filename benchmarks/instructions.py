"""How many of the instructions that a way of writing brings make sense, rated blind.

    python benchmarks/instructions.py write FILE           # minutes: the default run's model writes 60 in each way
    python benchmarks/instructions.py blind FILE SHEET     # shuffled, without the way, to be rated by the rules below
    python benchmarks/instructions.py rate FILE RATINGS    # a line each: 0, or the number of the first broken rule
    python benchmarks/instructions.py table FILE

Rules, written down before anything was rated. An instruction makes sense if it breaks none; the first broken one is noted:
  1. asks: it asks for something, so that one can tell what an answer would be about (no statement, answer, or talk of tasks);
  2. whole: nothing that it refers to is missing (a text, a list, a table, an earlier turn, somebody it takes for known);
  3. coherent: its parts belong together and what it presupposes is possible (no loop, no contradiction, no word salad);
  4. answerable: an assistant that reads and writes plain text could answer it.
Awkward wording, an easy question, or one with a wrong detail that an answer could set right breaks none.
"""

import argparse
import json
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

MODEL = "embedded:smollm2-135m-instruct"
WAYS: dict[str, dict[str, Any]] = {
    "list": {"method": "list"},
    "dialogue, tasks as the assistant's turns": {"method": "dialogue"},
    "dialogue, tasks as the user's turns": {"method": "dialogue", "options": {"shown_as": "user"}},
    "magpie": {"method": "magpie"},
}
BROKEN = {"1": "asks nothing", "2": "something is missing", "3": "incoherent", "4": "not answerable in text"}


def written(way: dict[str, Any], number: int, folder: Path) -> dict[str, Any]:
    """Write tasks in one way, with the sampling of the default run."""
    from isheep_lib.engines.params import Model
    from isheep_lib.engines.transformers_engine import TransformersEngine
    from isheep_lib.models.base import find_model
    from isheep_lib.prompting.chat import get_frame
    from isheep_lib.record.journal import Journal
    from isheep_lib.record.provenance import seed_for
    from isheep_lib.synthesize.params import Synthesize
    from isheep_lib.synthesize.writing import Writing

    engine = TransformersEngine(find_model(MODEL), Model(inference_dtype="float32"))
    frame = get_frame("chatml", "You are a helpful assistant.", engine.tokenizer)
    options = {"max_batches": 9, **way.get("options", {})}
    params = Synthesize(**{**way, "options": options, "instructions": number, "min_instructions": number})
    seeds = (lambda name: seed_for(2408, 1, "synthesize", name), lambda name: Journal(folder / f"{name}.jsonl", "f"))
    found = params.chosen.write(Writing(engine, frame, params, params.options, 1, [], *seeds))
    engine.close()
    beyond = [row for row in found.dropped if row["reason"] == "beyond_target"]
    return {
        "instructions": ["\n\n".join(filter(None, (row["instruction"], row["input"]))) for row in found.accepted],
        "passed": len(found.accepted) + len(beyond),
        "written": len(found.accepted) + len(found.dropped),
        "dropped": Counter(row["reason"] for row in found.dropped),
        "tokens": found.tokens,
    }


def shuffled(tasks: dict[str, Any]) -> list[tuple[str, str]]:
    """Return all instructions with their ways, in the order of the sheet."""
    rows = [(way, text) for way, found in tasks.items() for text in found["instructions"]]
    random.Random(0).shuffle(rows)
    return rows


def rated(tasks: dict[str, Any], ratings: list[str]) -> dict[str, Any]:
    """Put ratings, in the order of the sheet, beside the instructions."""
    found: dict[str, dict[str, str]] = {way: {} for way in tasks}
    for (way, text), rating in zip(shuffled(tasks), ratings, strict=True):
        found[way][text] = rating
    return {way: {**one, "ratings": [found[way][text] for text in one["instructions"]]} for way, one in tasks.items()}


def table(tasks: dict[str, Any]) -> None:
    """Print what was rated how, by way."""
    columns = ["way of writing", "make sense", *BROKEN.values(), "pass rules and deduplication", "tokens for each that passes"]
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for way, found in tasks.items():
        counts, number = Counter(found["ratings"]), len(found["ratings"])
        broken = " | ".join(str(counts[rule]) for rule in BROKEN)
        print(
            f"| {way} | {counts['0']} of {number} ({counts['0'] / number:.0%}) | {broken} | "
            f"{found['passed']} of {found['written']} | {found['tokens'] / found['passed']:.0f} |"
        )


def main() -> None:
    """Write, hide, rate, or count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("write", "blind", "rate", "table"))
    parser.add_argument("tasks", type=Path)
    parser.add_argument("file", type=Path, nargs="?", help="the sheet, or its ratings")
    parser.add_argument("--number", type=int, default=60)
    given = parser.parse_args()
    if given.step == "write":
        with tempfile.TemporaryDirectory() as folder:
            tasks = {name: written(way, given.number, Path(folder, str(n))) for n, (name, way) in enumerate(WAYS.items())}
    else:
        tasks = json.loads(given.tasks.read_text())
    if given.step == "blind":
        given.file.write_text("".join(f"## {n}\n{text}\n\n" for n, (_, text) in enumerate(shuffled(tasks), 1)))
    elif given.step == "table":
        table(tasks)
    else:
        tasks = tasks if given.step == "write" else rated(tasks, given.file.read_text().split())
        given.tasks.write_text(json.dumps(tasks, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
