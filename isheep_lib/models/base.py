"""Models by reference: an embedded name, a hub id with a revision, or a folder; always safetensors in the end.

Covers finding and hashing base models. Does not cover unpacking embedded ones (`models.embedded`) or running them (`engines`).
Environment: `ISHEEP_CACHE` (default ~/.cache/isheep); `HF_TOKEN` and `HF_HUB_OFFLINE` as the hub's client reads them.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from isheep_lib.errors import ModelError
from isheep_lib.models import hub
from isheep_lib.models.embedded import EMBEDDED, sources_of, unpacked
from isheep_lib.models.folder import counted_files, folder_faults, read_json, refuse_faults
from isheep_lib.reading.files import ABSENT, FOLDER, what_lies_at
from isheep_lib.record.folders import cache_folder
from isheep_lib.record.provenance import expanded
from isheep_lib.record.rows import canonical_json, digest_file, digest_text, write_atomic


@dataclass(frozen=True)
class ModelRef:
    """A base model on disk and the adapters on top of it."""

    name: str  # as the params file says it
    path: Path  # folder with safetensors, config and tokenizer
    digest: str  # SHA-256 over the folder's files
    adapters: tuple[Path, ...] = ()  # folders of LoRA adapters, merged in this order; none for the bare base


def local_folder(name: str) -> Path | None:
    """Return the folder that a model's name leads to from here, None where it leads to none or cannot be looked at."""
    path = expanded(name)
    return path if what_lies_at(path) == FOLDER else None


def find_model(name: str) -> ModelRef:
    """Find a base model without loading it, converting an embedded one at its first use; a ModelError says what is wrong."""
    if name.startswith("embedded:"):
        path = unpacked(name.removeprefix("embedded:"))
    elif found := local_folder(name):
        path = found.resolve()
    elif hub.MODEL_ID.fullmatch(name):
        path = hub.snapshot(name)
    else:
        raise _nowhere(name)
    refuse_faults(path, folder_faults(path), name)
    return ModelRef(name, path, digest_model(path))


def foresee(name: str) -> None:
    """Raise the ModelError of `find_model` as far as it is seen without unpacking, fetching or hashing anything."""
    if name.startswith("embedded:"):
        sources_of(name.removeprefix("embedded:"))
    elif found := local_folder(name):
        refuse_faults(found, folder_faults(found), name)
    elif not hub.MODEL_ID.fullmatch(name):
        raise _nowhere(name)


def _nowhere(name: str) -> ModelError:
    what = what_lies_at(expanded(name))
    return ModelError(
        f"No model at {name!r}" if what == ABSENT else f"No model at {name!r:.200}, which is {what}",
        where="base_model",
        allowed=f"embedded:{', embedded:'.join(EMBEDDED)}, a hub id like org/name@<40-hex commit>, or a folder",
        do="check the name, or the folder's path",
    )


def trained_model(name: str, path: Path) -> ModelRef:
    """Return a model whose weights a run has trained itself, or raise a ModelError where they are absent."""
    if not list(path.glob("*.safetensors")):
        raise _no_weights("trained", path)
    return ModelRef(name, path, digest_model(path))


def check_adapters(model: ModelRef) -> None:
    """Refuse adapters whose weights are absent or that were trained on another base (ModelError, with both names)."""
    for adapter in model.adapters:
        adapter_weights(adapter)
        base = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))["base_model_name_or_path"]
        if base != model.name:
            raise ModelError(
                f"The adapter was trained on {base}, not on {model.name}",
                where=str(adapter),
                do="give base_model as the run has it, or start a run of your own: isheep iterate ITERATION --run NAME",
            )


def adapter_weights(adapter: Path) -> Path:
    """Return the file of an adapter's weights, or raise a ModelError where it is absent."""
    file = adapter / "adapter_model.safetensors"
    if not file.is_file():
        raise _no_weights("adapter's", adapter)
    return file


def _no_weights(whose: str, folder: Path) -> ModelError:
    return ModelError(
        f"The {whose} weights are not here; a committed record keeps only their digest",
        where=str(folder),
        do="train it again: isheep iterate ITERATION --params PARAMS_OF_THE_RUN --run NAME makes a run of your own",
    )


def digest_model(path: Path) -> str:
    """Hash a model folder; file digests are remembered by size and time, as weights are large."""
    memory = cache_folder() / "digests.json"
    known = read_json(memory) or {}  # only a memory: what is lost or damaged is hashed again
    parts, changed = {}, False
    for file in counted_files(path):
        stat = file.stat()
        key = f"{file.resolve()}:{stat.st_size}:{stat.st_mtime_ns}"
        if key not in known:
            known[key], changed = digest_file(file), True
        parts[str(file.relative_to(path))] = known[key]
    if changed:
        write_atomic(memory, canonical_json(known))
    return digest_text(canonical_json(parts))
