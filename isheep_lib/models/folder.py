"""A model's folder looked at from outside: what kind of folder it is, and whether all its files are here and can be read.

    refuse_faults(path, folder_faults(path))      # one ModelError with all that is wrong, or nothing

Covers what names, sizes and first bytes tell, in milliseconds. Does not cover what the files hold (`models.contents`).
"""

import json
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isheep_lib.errors import ModelError

INDEX, WHOLE = "model.safetensors.index.json", "model.safetensors"
TEMPLATES = "additional_chat_templates"  # a folder of named templates
COUNTED = (".safetensors", ".json", ".jinja", ".model", ".txt")
NEEDED = "config.json, *.safetensors and the tokenizer's files"
POINTER = b"version https://git-lfs.github.com/spec/"
TORCH_FILES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
AGAIN = "fetch the model again, whole, such as with hf download"
SAVE = "save the model there with save_pretrained"


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a model's folder."""

    file: str  # and the field in it, if any; "" for the folder
    what: str
    do: str


def refuse_faults(folder: Path, faults: Sequence[Fault], name: str = "") -> None:
    """Raise one ModelError with all faults of a folder, each with its file and what to do; `name` is the params file's."""
    if not faults:
        return
    called = f"{name}, " if name and name != str(folder) else ""
    if len(faults) == 1:
        (fault,) = faults
        raise ModelError(fault.what, where=f"{called}{folder / fault.file}", allowed=NEEDED, do=fault.do)
    lines = "\n  ".join(f"{fault.file or 'the folder'}: {fault.what}; {fault.do}" for fault in faults)
    raise ModelError(f"{len(faults)} faults of a model's folder:\n  {lines}", where=f"{called}{folder}", allowed=NEEDED)


def weight_files(folder: Path) -> list[Path]:
    """List the files that a model's weights are loaded from: those that its index names, or the only one."""
    if (folder / WHOLE).is_file() or not (folder / INDEX).is_file():
        return [folder / WHOLE] if (folder / WHOLE).is_file() else []
    return [folder / name for name in sorted(set(read_index(folder).values()))]


def read_index(folder: Path) -> dict[str, str]:
    """Read which file each weight is in, {} where the index cannot be read."""
    try:
        found = json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    own = isinstance(found, dict) and all(isinstance(name, str) and Path(name).name == name for name in found.values())
    return found if own else {}


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a JSON object, None where the file holds none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def counted_files(folder: Path) -> list[Path]:
    """List the files that make up a model, named templates included."""
    own = [path for path in folder.iterdir() if path.suffix in COUNTED]
    return sorted([*own, *(folder / TEMPLATES).glob("*.jinja")])


def folder_faults(folder: Path) -> list[Fault]:
    """Find what is wrong with a folder by its files' names, kinds and first bytes; nothing that could hang is opened."""
    try:
        held = sorted([*folder.iterdir(), *(folder / TEMPLATES).glob("*")])
    except OSError as error:
        return [Fault("", f"The folder cannot be looked into: {error.strerror}", "make it readable")]
    faults = [fault for path in held if (fault := _unreadable(path))]
    if faults:
        return faults
    faults = [
        Fault(path.name, "A Git LFS pointer stands where the file itself should be", "run git lfs pull in the clone")
        for path in counted_files(folder)
        if path.is_file() and _first_bytes(path) == POINTER
    ]
    if (folder / "adapter_config.json").is_file():
        return [*faults, _adapter(folder)]
    if not (folder / "config.json").is_file():
        faults.append(Fault("config.json", "The folder holds no safetensors model: config.json is not here", SAVE))
    if not faults:
        faults += _missing_weights(folder)
    return faults


def _unreadable(path: Path) -> Fault | None:
    """Say why a file cannot be read, or must not be opened: a pipe waits for ever."""
    wanted = path.suffix in COUNTED
    try:
        mode = path.stat().st_mode
    except OSError as error:  # a link to nothing, as in a cache whose files were moved
        return Fault(path.name, f"The file cannot be read: {error.strerror}", AGAIN) if wanted else None
    if kind := KINDS.get(stat.S_IFMT(mode)):
        return Fault(path.name, f"{path.name} is {kind}, no file", "move it away")
    if wanted and not os.access(path, os.R_OK):
        return Fault(path.name, "The file cannot be read: permission denied", "make it readable")
    return None


def _first_bytes(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(len(POINTER))


def _adapter(folder: Path) -> Fault:
    base = (read_json(folder / "adapter_config.json") or {}).get("base_model_name_or_path") or "unknown"
    if (folder / WHOLE).is_file() or (folder / INDEX).is_file():
        what = f"An adapter's config lies beside a whole model; transformers would load the adapter's base, {base}, instead"
        return Fault("adapter_config.json", what, "move it and adapter_model.safetensors into a folder of their own")
    return Fault(
        "adapter_config.json",
        f"The folder holds an adapter, not a model; its base is {base}",
        "give the base, or merge the adapter into it (peft's merge_and_unload) and save the whole with save_pretrained",
    )


def _missing_weights(folder: Path) -> list[Fault]:
    if (folder / WHOLE).is_file():
        return []
    if (folder / INDEX).is_file():
        files = weight_files(folder) if read_json(folder / INDEX) else []
        if not files:
            return [Fault(INDEX, 'The index names no files of this folder in "weight_map"', AGAIN)]
        absent = [path.name for path in files if not path.is_file()]
        listed = ", ".join(absent[:5]) + (", …" if len(absent) > 5 else "")
        return [Fault(INDEX, f"{len(absent)} of {len(files)} files of weights are not here: {listed}", AGAIN)] * bool(absent)
    shards = [path.name for path in folder.glob("model-*-of-*.safetensors")]
    if shards:
        return [Fault(INDEX, f"The index is not here, which says what {len(shards)} files of weights hold", AGAIN)]
    if others := sorted(path.name for pattern in TORCH_FILES for path in folder.glob(pattern)):
        do = "load it with transformers where you trust it, and save it with save_pretrained, which writes safetensors"
        return [
            Fault(others[0], "The folder holds no safetensors model: its weights are in torch's own form, which runs code", do)
        ]
    if others := sorted(path.name for pattern in ("*.gguf", "*.msgpack", "*.h5", "*.onnx") for path in folder.glob(pattern)):
        return [Fault(others[0], "The folder holds no safetensors model but one in another form", "fetch its safetensors")]
    return [Fault("", "The folder holds no safetensors model", SAVE)]
