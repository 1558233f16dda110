"""What every method of writing tasks brings with one model: candidates, pairs, tokens, and why candidates were dropped.

    python benchmarks/methods.py run SWEEP FOLDER [NAME …]     # minutes per method: synthesis alone, with the sweep's changes
    python benchmarks/methods.py table FOLDER                  # from the records there

A method is a file of `params/methods`, with the changes that the sweep file makes for all and for its value; a file that the
sweep leaves out takes those for all. One pair is enough to end well here, so that a poor method has numbers, too.
"""

import resource
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from isheep_lib.ablate.sweep import SweepFile, choices
from isheep_lib.errors import IsheepError
from isheep_lib.export.markdown import table
from isheep_lib.filter.steps.step import Given, ScoredPair
from isheep_lib.filter.steps.table import STEPS
from isheep_lib.iterate import claims, runner
from isheep_lib.iterate.run_params import FilterParams, load_run
from isheep_lib.params.check import check
from isheep_lib.params.kinds import Shard
from isheep_lib.params.overrides import layered
from isheep_lib.params.run_file import run_params
from isheep_lib.params.yaml_file import read_yaml
from isheep_lib.record import manifests
from isheep_lib.record.rows import as_pairs, read_jsonl

ROOT = Path(__file__).parents[1]
SECONDS = "processor-seconds.txt"  # beside a run's stages, written by `run`


def changes_of(sweep: str) -> dict[str, str]:
    """Return the changes of each method, by the name of its params file."""
    values, lines = read_yaml(ROOT / sweep)
    file = check(SweepFile, values, sweep, lines)
    own = {Path(v.params).stem: v.override for axis, named in file.axes.items() for _, v in choices(axis, named) if v.params}
    names = [path.stem for path in sorted((ROOT / "params/methods").glob("*.yaml"))]
    return {name: layered([file.override, own.get(name, ""), "synthesize.min_instructions:1"]) for name in names}


def run(sweep: str, folder: str, names: list[str]) -> None:
    """Write tasks once by each method, and keep the processor time that its kernel took."""
    for name, change in changes_of(sweep).items():
        if names and name not in names:
            continue
        params = load_run(ROOT / f"params/methods/{name}.yaml", change, f"{folder}/{name}")
        run_dir = manifests.run_folder(params.run)
        claims.claim_params(run_dir, params.model_dump(exclude={"run"}))
        given = params.stage("synthesize", 1).model_dump(exclude=set(Shard.model_fields))
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        try:
            runner.run_stage("synthesize", 1, run_dir, given, ROOT / "notebooks")
        except IsheepError as error:
            print(f"{name}: {error}", file=sys.stderr)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        (run_dir / SECONDS).write_text(f"{used:.0f}\n")


def row_of(run_dir: Path) -> dict[str, Any]:
    """Read what one method brought."""
    folder, seconds = manifests.stage_folder(run_dir, 1, "synthesize"), run_dir / SECONDS
    manifest, known = manifests.read_manifest(folder), run_params(run_dir)
    row: dict[str, Any] = {"method": run_dir.name, "asked for": known["synthesize"]["instructions"]}
    if manifest is None:
        return row | {"written": "not finished", "seconds": seconds.read_text().strip() if seconds.is_file() else ""}
    counts, tokens = manifest["counts"], sum(manifest["tokens"].values())
    dropped = {reason: number for reason, number in counts["dropped"].items() if reason != "beyond_target"}
    written, accepted = counts["kept"] + sum(dropped.values()), counts["kept"]
    most = ", ".join(f"{number} {reason}" for reason, number in sorted(dropped.items(), key=lambda item: -item[1])[:3])
    return row | {
        "written": written,
        "accepted": accepted,
        "of written": f"{accepted / written:.0%}",
        "pass the rules": len(passing(run_dir)),
        "tokens": f"{tokens:,}",
        "tokens per pair": f"{tokens / accepted:,.0f}",
        "seconds": seconds.read_text().strip(),
        "dropped most": most or "none",
    }


def passing(run_dir: Path) -> list[str]:
    """Name the pairs that pass the filter's rules."""
    params = FilterParams(**{"steps": ["rules"], "language": run_params(run_dir)["synthesize"]["language"]})
    pairs = as_pairs(read_jsonl(manifests.stage_folder(run_dir, 1, "synthesize") / "examples.jsonl"))
    out = STEPS["rules"].apply([ScoredPair(pair, {}) for pair in pairs], params, Given())
    return [pair.id for pair in pairs if pair.id not in out]


def main() -> None:
    """Run methods, or print the table of those that ran."""
    match sys.argv[1:]:
        case ["run", sweep, folder, *names]:
            run(sweep, folder, names)
        case ["table", folder]:
            rows = [row_of(run_dir) for run_dir in manifests.runs_in(Path(folder).resolve())]
            columns = list(dict.fromkeys(name for row in rows for name in row))
            print(table([{name: row.get(name, "") for name in columns} for row in rows]))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
