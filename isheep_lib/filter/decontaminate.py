"""Decontamination: pairs and shown tasks that repeat items of benchmarks."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from isheep_lib.analysis.contamination import Hit, Index, Item
from isheep_lib.benchmarks import data as benchmarks_data
from isheep_lib.benchmarks.catalogue import BENCHMARKS
from isheep_lib.benchmarks.data import ABSENT, data_digest, read_docs, why_absent
from isheep_lib.filter.params import Filter
from isheep_lib.record.rows import Pair


def find_hits(params: Filter, pairs: Sequence[Pair], shown: list[dict[str, Any]]) -> tuple[list[Hit], dict[str, str]]:
    """Find the benchmark items that pairs, or the tasks shown in prompts, repeat.

    Args:
        params: which benchmarks.
        pairs: of the iteration.
        shown: rows of `demonstrations.jsonl`; tasks of pairs are looked at once, as pairs.

    Returns:
        The hits, and why benchmarks could not be looked at, by name.
    """
    absent = {}

    def items() -> Iterator[Item]:
        for name, own in params.benchmarks().items():
            benchmark = BENCHMARKS[name]
            if data_digest(name, own) == ABSENT:
                absent[name] = why_absent(benchmark, "filter.decontaminate_against")
            else:
                yield from benchmarks_data.items(benchmark, read_docs(benchmark, own))

    tasks = {pair.task_id for pair in pairs}
    return Index([*(pair.as_row() for pair in pairs), *(row for row in shown if row["id"] not in tasks)]).find(items()), absent


def listed(hits: Sequence[Hit]) -> list[dict[str, Any]]:
    """Make rows of hits; the words of questions that must not be published are left out."""
    return [{**vars(hit), "text": "" if BENCHMARKS[hit.benchmark].private else hit.text} for hit in hits]


def contamination_counts(hits: Sequence[Hit], pairs: Sequence[Pair], absent: dict[str, str]) -> dict[str, Any]:
    """Count for the manifest: pairs and shown tasks that repeat items, hits by benchmark, benchmarks not looked at."""
    ids = {pair.id for pair in pairs}
    found = {hit.row_id for hit in hits}
    by_benchmark = Counter(hit.benchmark for hit in hits)
    return {
        "pairs": len(found & ids),
        "demonstrations": len(found - ids),
        "hits": dict(sorted(by_benchmark.items())),
        "not_looked_at": absent,
    }
