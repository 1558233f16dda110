"""Writes ARTIFACT.md: each claim beside the command that shows it, what that takes, and what must come out.

    text()    # the page, from tools/claims.yaml

A claim's numbers are no text of its row: they are read here from what is committed, and computed again where that takes
seconds (roots from the bytes of all files, verdicts from items, checks from the published tables). So a record that changes
changes the page, and `make lint` says so. A reader is a function of READERS; a row names it and its arguments.
"""

import ast
import atexit
import csv
import json
import re
import shutil
import sys
import tarfile
import tempfile
import textwrap
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from isheep_lib.ablate import verdict
from isheep_lib.ablate.sweep import open_sweep
from isheep_lib.ablate.table import rows_of
from isheep_lib.benchmarks import comparison
from isheep_lib.display import evaluation_tables, verdicts
from isheep_lib.engines.transcript import TRANSCRIPT
from isheep_lib.iterate.run_params import load_run
from isheep_lib.paper import audit, published, reproduction
from isheep_lib.params.run_file import run_params
from isheep_lib.record import manifests, verification
from isheep_lib.record.fixity import inventory

ROOT = Path(__file__).resolve().parents[1]
CLAIMS = ROOT / "tools/claims.yaml"
PACKED = "runs.tar.xz"
COLUMNS = ("claim", "command", "minutes", "memory (GB)", "disk (GB)", "expected", "tolerance", "file to look at")


def folder_of(record: str) -> Path:
    """Return the folder of a committed record; a packed sweep is unpacked elsewhere."""
    folder = ROOT / "results/reference" / record
    return unpacked(folder) if (folder / PACKED).is_file() else folder


@cache
def unpacked(folder: Path) -> Path:
    """Lay a sweep's runs beside its notebook and tables, in a folder that is deleted at the end."""
    place = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    with tarfile.open(folder / PACKED) as packed:
        packed.extractall(place, filter="data")
    shutil.copytree(folder, place / folder.name, dirs_exist_ok=True, ignore=shutil.ignore_patterns(PACKED))
    return place / folder.name


def packages(*names: str) -> int:
    """Count the packages of locks."""
    texts = [(ROOT / f"requirements/{name}.txt").read_text(encoding="utf-8") for name in names]
    return sum(len(re.findall(r"^[\w.-]+==", text, re.MULTILINE)) for text in texts)


def files(record: str) -> int:
    """Hash all files of a run or sweep again and count those that are as recorded; one that is not ends here."""
    found = verification.verify(folder_of(record))
    if bad := [f"{one.item}: {one.detail}" for one in found if not one.holds]:
        sys.exit(f"results/reference/{record} is not as it was recorded: {bad[0]}")
    return sum(int(number) for one in found for number in re.findall(r"^(\d+) of \d+ files hash", one.detail))


def root(record: str) -> str:
    """Return the beginning of a run's root digest, collected again from its files."""
    return inventory.collect(folder_of(record)).root[:16]


def digest(record: str, name: str) -> str:
    """Return the beginning of the digest of a file that a run made, also of one that is not committed."""
    return inventory.collect(folder_of(record)).files[name]["sha256"][:16]


def rows(record: str, name: str) -> int:
    """Count the rows of a file of a run."""
    return lines(str(folder_of(record) / name))


def lines(file: str) -> int:
    """Count the lines of a committed file."""
    return len((ROOT / file).read_text(encoding="utf-8").splitlines())


def answered(record: str) -> int:
    """Count the tokens of all answers that a run's transcripts hold."""
    paths = folder_of(record).rglob(TRANSCRIPT)
    answers = [json.loads(line) for path in paths for line in path.read_text(encoding="utf-8").splitlines()]
    return sum(len(answer["tokens"].split()) for answer in answers if answer.get("tokens"))


def stages(record: str, *names: str) -> list[dict[str, Any]]:
    """Read the manifests of stages, named iter-<k>/<stage>; of all where none is named."""
    folder = folder_of(record)
    return [m for path, m in manifests.all_manifests(folder) if not names or path.relative_to(folder).as_posix() in names]


def minutes(record: str, *names: str) -> int:
    """Return how long stages took, kernels included."""
    return round(sum(found["notebook_seconds"] for found in stages(record, *names)) / 60)


def memory(record: str, *names: str) -> float:
    """Return the peak of memory of stages."""
    return max(found["environment"]["peak_memory_mb"] for found in stages(record, *names)) / 1024


def helped(record: str) -> str:
    """Say whether a run helped, from the items of its benchmarks."""
    folder = folder_of(record)
    evaluated = list(evaluation_tables.metrics_of(folder))
    told = verdicts.of_run(comparison.against_base(folder, evaluated), comparison.lengths_since(folder, evaluated))
    return told.said.split("\n")[0]


def percent(record: str, iteration: int, benchmark: str) -> str:
    """Return a model's first metric on a benchmark, with its standard error."""
    path = folder_of(record) / f"iter-{iteration}/evaluate/metrics.json"
    found = json.loads(path.read_text(encoding="utf-8"))["tasks"][benchmark]
    return "{value:.1f} ± {standard_error:.1f}".format(**found["values"][found["metric"]])


def told_apart(record: str) -> str:
    """Say which settings of a sweep differ, from the items of their benchmarks."""
    with warnings.catch_warnings(action="ignore"):  # a sweep may have names from before; isheep ablate says which
        sweep = open_sweep(str(ROOT / f"params/ablations/{record}.yaml"), name=str(folder_of(record)))
    return " ".join(verdict.of_sweep(sweep, rows_of(sweep)).said.split("\n")[:2])


def beside() -> list[str]:
    """Return which records stand beside the paper's tables in the committed paper.ipynb."""
    cells = json.loads((ROOT / "results/reference/paper/paper.ipynb").read_text(encoding="utf-8"))["cells"]
    (given,) = ["".join(cell["source"]) for cell in cells if "injected-parameters" in cell["metadata"].get("tags", [])]
    return ast.literal_eval(re.search(r"^runs = (.*)$", given, re.MULTILINE)[1])


def at_hand() -> list[str]:
    """Return them with packed ones unpacked."""
    given = [run.partition("=") for run in beside()]
    return [f"{setting}={folder_of(name.removeprefix('reference/'))}" for setting, _, name in given]


def paper_runs() -> str:
    """Write them as options of `isheep paper`."""
    return " ".join(f"--run {run}" for run in beside())


def numbers(column: str) -> int:
    """Sum a column of the table of published numbers beside these records."""
    return int(reproduction.summary_table(reproduction.gather(at_hand())).rows[-1][column])


def claims_that_follow() -> str:
    """Compute the paper's headline claims again from its Table 1."""
    found = published.claims()
    return f"{sum(claim.holds for claim in found)} of {len(found)}"


def compared() -> int:
    """Count the comparisons of the audit of the published tables."""
    return sum(row["comparisons"] for row in audit.checks_table().rows)


def findings() -> int:
    """Count what the audit of the published tables finds."""
    return len(audit.run())


def cell(file: str, row: str, column: str) -> str:
    """Return a cell of the first table of a page that has both, by its column and by the cells that its row begins with."""
    wanted = row.split(" | ")
    for table in re.findall(r"(?:^\|.*\n)+", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE):
        head, _, *lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
        for line in lines:
            if column in head and line[: len(wanted)] == wanted:
                return line[head.index(column)]
    sys.exit(f"tools/claims.yaml: {file} has no table with a row {row!r} and a column {column!r}")


def struck(file: str, name: str, reason: str) -> int:
    """Count the rows of a file that a rule strikes, in the CSV that lists them."""
    with (ROOT / file).open(encoding="utf-8", newline="") as opened:
        return sum(row["file"] == name and row["reason"] == reason for row in csv.DictReader(opened))


def make_sense(way: str) -> str:
    """Count the instructions of a way of writing that were rated as making sense."""
    found = json.loads((ROOT / "benchmarks/instructions.json").read_text(encoding="utf-8"))[way]["ratings"]
    return f"{found.count('0')} of {len(found)}"


READERS: dict[str, Callable[..., Any]] = {
    one.__name__: one
    for one in (
        *(
            packages,
            files,
            root,
            digest,
            rows,
            lines,
            answered,
            minutes,
            memory,
            percent,
            helped,
            told_apart,
            numbers,
            paper_runs,
        ),
        *(claims_that_follow, compared, findings, cell, struck, make_sense),
    )
}


def value(given: Any) -> Any:
    """Return a number as it is, and what a reader makes of its arguments where one is named."""
    if not isinstance(given, list):
        return given
    if given[0] not in READERS:
        sys.exit(f"tools/claims.yaml: no reader {given[0]}; there are {', '.join(READERS)}")
    return READERS[given[0]](*given[1:])


def shown(number: Any) -> str:
    """Write a number of a column."""
    return f"{number:.1f}".removesuffix(".0") if isinstance(number, float) else str(number)


def filled(text: str, values: dict[str, Any]) -> str:
    """Put what readers find in the place of its name."""
    return re.sub(r"\{(\w+)\}", lambda found: in_a_sentence(value(values[found[1]])), text)


def in_a_sentence(found: Any) -> str:
    """Write a value in a sentence."""
    return f"{found:,}" if isinstance(found, int) else str(found)


def line(claim: dict[str, Any]) -> str:
    """Return the row of a claim."""
    values = claim.get("values", {})
    costs = [shown(value(claim[name])) for name in ("minutes", "memory", "disk")]
    look = f"[{Path(claim['look']).name}]({claim['look']})"
    said = [filled(claim[name], values) for name in ("command", "expected")]
    cells = [claim["claim"], f"`{said[0]}`", *costs, said[1], shown(claim["tolerance"]), look]
    return "| " + " | ".join(cells) + " |"


def read_claims() -> dict[str, Any]:
    """Read the rows."""
    return yaml.safe_load(CLAIMS.read_text(encoding="utf-8"))


def with_gives(path: Path, record: str, said: str, values: dict[str, Any]) -> str:
    """Return a params file whose header says what a committed record of it gave; nothing where it is now another run."""
    text = re.sub(r"^# Gives:.*\n(?:#   .*\n)*", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    now, then = load_run(path).model_dump(), run_params(folder_of(record))
    # Parameters that there were not then have their defaults.
    parts = {name: kept if isinstance(kept, dict) else {"": kept} for name, kept in then.items() if name != "run"}
    others = {name: found if isinstance(found, dict) else {"": found} for name, found in now.items()}
    if any(others[name].get(key) != kept for name, part in parts.items() for key, kept in part.items()):
        return text
    told = f"# Gives: {filled(said, values)} (results/reference/{record})"
    wrapped = "\n".join(textwrap.wrap(told, 124, subsequent_indent="#   ", break_on_hyphens=False))
    return re.sub(r"^(# Takes:.*\n(?:#   .*\n)*)", lambda found: f"{found[1]}{wrapped}\n", text, count=1, flags=re.MULTILINE)


def params_files() -> dict[Path, str]:
    """Return the params files of which a record is committed."""
    rows = read_claims()["gives"]
    return {ROOT / row["params"]: with_gives(ROOT / row["params"], row["record"], row["says"], row["values"]) for row in rows}


def text() -> str:
    """Return ARTIFACT.md."""
    given = read_claims()
    parts = ["# Claims, each beside its command and its number", "", given["head"].strip()]
    for part in given["parts"]:
        whole = sum(value(claim["minutes"]) for claim in part["claims"])
        parts += ["", f"## {part['title']}", "", part["says"].strip().replace("{minutes}", shown(whole)), ""]
        parts += ["| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|", *map(line, part["claims"])]
    return "\n".join(parts) + "\n"
