"""Benchmark items in what tasks are written from: documents that hold one are known before anything is written.

    repeats({"document-001": "…"})      # {"document-001": "boolq 00017 (13-gram)"}

Looks for the items of all benchmarks whose data are here, as the filter does in pairs (`analysis.contamination`). Does not
cover pairs (`filter.decontaminate`).
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache

from isheep_lib.analysis.contamination import Index, Item
from isheep_lib.benchmarks import data
from isheep_lib.benchmarks.catalogue import BENCHMARKS


def repeats(texts: Mapping[str, str]) -> dict[str, str]:
    """Say by name which benchmark item a text holds, of several the first; texts without one are not named."""
    return dict(_repeats(tuple(texts.items())))


def benchmark_digests() -> dict[str, str]:
    """Hash what texts are compared with, or say that it is absent, by the benchmark's name."""
    return {f"benchmarks/{name}": digest for name, digest in data.data_digests(dict.fromkeys(BENCHMARKS, "")).items()}


@lru_cache(maxsize=4)  # a plan, a fingerprint and the writing itself look at the same texts
def _repeats(texts: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for hit in Index({"id": name, "input": text} for name, text in texts).find(_items()):
        found.setdefault(hit.row_id, f"{hit.benchmark} {hit.item_id} ({hit.kind})")
    return tuple(found.items())


def _items() -> Iterator[Item]:
    for name, benchmark in BENCHMARKS.items():
        if data.data_digest(name) != data.ABSENT:
            yield from data.items(benchmark, data.read_docs(benchmark))
