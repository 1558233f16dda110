"""Names of the hub in a run's parameters: those without a commit get one, which the run's `params.yaml` keeps.

    settled = settle(run_params, recorded)      # a resumed run takes the commits that it began with, without asking

Covers which parameters name the hub. Does not cover asking it (`models.hub`).
"""

from typing import Any, TypeVar

from isheep_lib.benchmarks.catalogue import parse_source
from isheep_lib.models import hub
from isheep_lib.models.base import local_folder
from isheep_lib.params.kinds import Section
from isheep_lib.record.sources import dataset_named

S = TypeVar("S", bound=Section)
MODELS = ("base_model", "judge_model", "teacher")
DATASETS = ("seeds", "documents")  # one source
OWN_DATA = ("data", "decontaminate_against")  # a list of benchmark=source


def settle(section: S, recorded: dict[str, Any]) -> S:
    """Put commits where models and datasets of the hub are named without one; each that is asked for is said.

    Args:
        section: of parameters, with sections in it or flat.
        recorded: the same parameters as the run keeps them, {} before it begins.

    Raises:
        ModelError, DataError: the hub refuses one, or is not reached and nothing is cached.
    """
    changed: dict[str, Any] = {}
    for name in type(section).model_fields:
        value, before = getattr(section, name), recorded.get(name)
        if isinstance(value, Section):
            changed[name] = settle(value, before if isinstance(before, dict) else {})
        elif name in MODELS and not _asks_others(section, name):
            changed[name] = _model(value, before)
        elif name in DATASETS:
            changed[name] = _dataset(value, before)
        elif name in OWN_DATA:
            changed[name] = [_entry(entry, before if isinstance(before, list) else []) for entry in value]
    return section.model_copy(update={name: value for name, value in changed.items() if value != getattr(section, name)})


def _asks_others(section: Section, name: str) -> bool:
    """Tell whether a judge is not looked for, or is known to its server alone."""
    judged, engine = getattr(section, "judged", True), getattr(section, "judge_engine", "")
    return name == "judge_model" and (not judged or engine == "chat")


def _model(name: str, before: Any) -> str:
    found = hub.MODEL_ID.fullmatch(name)
    if not found or local_folder(name) or hub.COMMIT.fullmatch(found["revision"] or ""):
        return name
    return _pinned(found["repository"], found["revision"] or "", "model", before)


def _dataset(source: str, before: Any) -> str:
    found = dataset_named(source)
    if not found or hub.COMMIT.fullmatch(found["commit"] or ""):
        return source
    rest = source.partition("#")[1] + source.partition("#")[2]
    earlier = before.partition("#")[0] if isinstance(before, str) else None
    return _pinned(found["repository"], found["commit"] or "", "dataset", earlier) + rest


def _entry(entry: str, before: list[Any]) -> str:
    if "=" not in entry:
        return entry
    name, source = parse_source(entry)
    earlier = dict(parse_source(known) for known in before if isinstance(known, str) and "=" in known)
    pinned = _dataset(source, earlier.get(name))
    return entry if pinned == source else f"{name}={pinned}"


def _pinned(repository: str, revision: str, kind: str, before: Any) -> str:
    """Return the name that the run began with, if it left the commit open, else ask."""
    if not revision and isinstance(before, str) and before.startswith(f"{repository}@"):
        return before
    return hub.pin(repository, revision, kind)
