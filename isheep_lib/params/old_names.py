"""Names and values that parameters had before, so that old params files and records keep working.

    renew({"cutoff": 512}, "train")     # Renewed({"max_length": 512}, ["train.cutoff is now train.max_length"], [])

A run's own record is read as it is: its score columns keep the names that they were written with. Covers the table and
its application. Does not cover which parameters there are (`params.py` of the rooms).
"""

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

RENAMED = {
    "model.patience_seconds": "timeout_seconds",
    "assess.judge": "assessor",
    "filter.axes": "criteria",
    "train.cutoff": "max_length",
    "synthesize.demonstrations": "options.demonstrations",
    "synthesize.generated_demonstrations": "options.generated_demonstrations",
    "synthesize.demonstration_choice": "options.demonstration_choice",
    "synthesize.tasks_per_prompt": "options.tasks_per_prompt",
    "synthesize.prompts_per_batch": "options.prompts_per_batch",
    "synthesize.max_batches": "options.max_batches",
    "synthesize.instruction_stops": "options.instruction_stops",
}
# Scorers; a record's column has its scorer's name, so the old one stays a way to name an old column.
SCORERS = {"mutual_information": "pmi"}
NAMES_SCORERS = ("assess.scorers", "assess.checked_scorers", "filter.scorer", "filter.top_scorer")
# Parameters with the one value that is left, and why.
REMOVED = {
    "model.vllm_adapters": ("merged", "adapters are always merged into the weights, which every engine can do and score with"),
    "filter.top_end": ("highest", "nothing keeps the worst pairs; the step top keeps the highest scores"),
}
REMOVED_VALUES = {
    "train.batching": {"shuffled": "grouped trains the same rows in each step with less padding; set grouped"},
    "model.dtype": {"auto": "a run follows from its params file, not from a machine; set float32 or bfloat16"},
    "model.inference_dtype": {"auto": "a run follows from its params file, not from a stopwatch; set float32 or bfloat16"},
}


# Values that went without saying before there was a choice: parameter, the value that implied it, and which it was.
IMPLIED = {"filter.other_languages": ("placeholders", "any_tag", "chinese")}
# What stages recorded before there was a choice did: stage, parameter, value.
BEFORE = {"filter": {"other_languages": "chinese"}}


@dataclass
class Renewed:
    """Values under the names of today, what was renamed, and what is there no more."""

    values: dict[str, Any]
    renamed: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def renew(
    values: Mapping[str, Any], *sections: str, scorers: bool = True, defaults: Mapping[str, Any] | None = None
) -> Renewed:
    """Give a section's values, or a stage's flat ones, the names of today.

    Args:
        values: by name.
        sections: that the values belong to, such as ("model", "train").
        scorers: also rename scorers; a record names its columns with the old ones.
        defaults: values that count as not given, which a notebook has for every name.
    """
    found = Renewed(dict(values))
    for section in sections:
        _rename(found, section, defaults or {})
        _remove(found, section)
        _rename_scorers(found, section, scorers)
        _imply(found, section)
    return found


def renew_file(values: Mapping[str, Any], scorers: bool = True) -> Renewed:
    """Give the values of a params file the names of today."""
    found = Renewed(dict(values))
    for section, inner in values.items():
        if isinstance(inner, dict):
            part = renew(inner, section, scorers=scorers)
            found.values[section] = part.values
            found.renamed += part.renamed
            found.problems += part.problems
    return found


def settled(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a stage's manifest, with a number format that they left open as the stage settled it."""
    values, computed = manifest["parameters"], manifest.get("engine", {}).get("dtype")
    on_gpu = manifest.get("environment", {}).get("device", "cpu") != "cpu"
    meant = {
        "inference_dtype": "float32" if computed == "float32" else "bfloat16",  # a server was taken to run bfloat16
        "dtype": "bfloat16" if on_gpu else "float32",
    }
    before = BEFORE.get(manifest.get("stage", ""), {})
    return before | values | {name: meant[name] for name in meant if values.get(name) == "auto"}


def new_name(parameter: str) -> str:
    """Return what `section.name` is called today."""
    section, _, _ = parameter.partition(".")
    return f"{section}.{RENAMED[parameter]}" if parameter in RENAMED else parameter


def tell(renamed: Iterable[str]) -> None:
    """Warn of old names, all in one line."""
    if said := "; ".join(dict.fromkeys(renamed)):
        warnings.warn(f"Old names in the parameters: {said}", stacklevel=3)


def _rename(found: Renewed, section: str, defaults: Mapping[str, Any]) -> None:
    for parameter, new in RENAMED.items():
        owner, _, old = parameter.partition(".")
        if owner != section or old not in found.values:
            continue
        inner, _, last = new.rpartition(".")
        if not isinstance(found.values.get(inner) or {}, dict):
            continue  # the check says what the section should be
        into = found.values
        if inner:
            into = found.values[inner] = dict(found.values.get(inner) or {})
        if last in into and not (last in defaults and into[last] == defaults[last]):
            found.problems.append(f"{parameter}: is now {section}.{new}, which is given too; keep that one")
        else:
            found.renamed.append(f"{parameter} is now {section}.{new}")
            into[last] = found.values[old]
        del found.values[old]


def _remove(found: Renewed, section: str) -> None:
    for parameter, (only, why) in REMOVED.items():
        owner, _, old = parameter.partition(".")
        if owner == section and old in found.values and (given := found.values.pop(old)) != only:
            found.problems.append(f"{parameter}: {given!r} is no longer there: {why}")
    for parameter, gone in REMOVED_VALUES.items():
        owner, _, name = parameter.partition(".")
        given = found.values.get(name)
        if owner == section and isinstance(given, str) and given in gone:
            del found.values[name]
            found.problems.append(f"{parameter}: {given!r} is no longer there: {gone[given]}")


def _imply(found: Renewed, section: str) -> None:
    for parameter, (by, given, value) in IMPLIED.items():
        owner, _, name = parameter.partition(".")
        if owner == section and found.values.get(by) == given:
            found.values.setdefault(name, value)


def _rename_scorers(found: Renewed, section: str, replace: bool) -> None:
    for parameter in NAMES_SCORERS:
        owner, _, name = parameter.partition(".")
        given = found.values.get(name)
        if owner != section or given is None:
            continue
        old = [each for each in (given if isinstance(given, list) else [given]) if isinstance(each, str) and each in SCORERS]
        found.renamed += [f"the scorer {each} is now {SCORERS[each]}" for each in old]
        if old and replace:
            found.values[name] = [_scorer(each) for each in given] if isinstance(given, list) else _scorer(given)


def _scorer(name: Any) -> Any:
    return SCORERS.get(name, name) if isinstance(name, str) else name
