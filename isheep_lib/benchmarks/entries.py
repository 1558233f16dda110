"""How a params file names benchmarks: with a size, with data of one's own, or those that no pair may repeat."""

from typing import Annotated

from pydantic import AfterValidator

from isheep_lib.benchmarks.catalogue import ALL, parse_entry, parse_source
from isheep_lib.params.kinds import distinct


def _entries(entries: list[str]) -> list[str]:
    distinct([parse_entry(entry)[0] for entry in entries])
    return entries


def _sources(entries: list[str]) -> list[str]:
    distinct([parse_source(entry)[0] for entry in entries])
    return entries


def _against(entries: list[str]) -> list[str]:
    named = [entry for entry in entries if entry != ALL]
    for entry in named:
        if ":" in entry and "=" not in entry:
            raise ValueError(f"{entry!r} should be a name alone: all items of a benchmark are looked at")
    distinct([(parse_source(entry) if "=" in entry else parse_entry(entry))[0] for entry in named])
    return distinct(entries)


Entries = Annotated[list[str], AfterValidator(_entries)]
Sources = Annotated[list[str], AfterValidator(_sources)]
Against = Annotated[list[str], AfterValidator(_against)]
