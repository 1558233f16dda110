"""What to run for a cell of the paper's tables that no run has measured.

    command_for(grid, place, ["triviaqa"], measured)    # "isheep iterate 3 --params params/qwen1.5-7b.yaml"

Sweeps are params/ablations/NAME.yaml for the paper's model, small-NAME.yaml for the embedded one; `measured.ROLES` names them.
Covers writing commands. Does not cover running them (`iterate.chain`).
"""

import shlex
from collections.abc import Sequence

from isheep_lib.benchmarks.catalogue import BENCHMARKS
from isheep_lib.paper.cells import PER_MODEL, STUDIED, Grid, Place, published_name
from isheep_lib.paper.runs import NOBODY, ROLES, Measured, Run
from isheep_lib.record.manifests import read_manifest, stage_folder
from isheep_lib.record.provenance import project_root

TIMES = {"direct_20k": 2, "direct_30k": 3}  # of the data of one iteration
LAST = "LAST"  # stands for the iteration, as one command serves all iterations up to the last


def command_for(grid: Grid, place: Place, lacking: Sequence[str], measured: Measured) -> str:
    """Write the command that would measure a place."""
    run = place.run
    if run is None:
        studied = grid.number in PER_MODEL and published_name(place.model)  # a row of the paper's own model
        return (
            sweep_command(place.role, NOBODY if studied else measured)
            if ROLES[place.role].sweep
            else _main_command(grid, place)
        )
    if place.iteration not in run.metrics:
        return again(run)
    names = list(dict.fromkeys(grid.column(name).benchmark for name in lacking))
    changes = [f"evaluate.tasks:[{','.join(names)}]"]
    judged = [name for name in names if BENCHMARKS[name].kind == "judged"]
    changes += [f"judge.judged:[{','.join(judged)}]"] if judged else []
    files = [f"{name}=FILE" for name in names if not (BENCHMARKS[name].package or name in judged)]
    changes += [f"evaluate.data:[{','.join(files)}]"] if files else []
    return f"{again(run, '-more')} --override {shlex.quote(' '.join(changes))}"


def again(run: Run, ending: str = "", last: str = LAST) -> str:
    """Write the command that goes on with a run, or makes a like one beside it; a record without its weights cannot go on."""
    ending = ending or ("" if _can_go_on(run) else "-more")
    home = run.name if run.name.startswith(("/", ".", "~")) else f"results/{run.name.removeprefix('results/')}"
    return f"isheep iterate {last} --params {shlex.quote(home + '/params.yaml')} --run {shlex.quote(run.name + ending)}"


def _can_go_on(run: Run) -> bool:
    trained = (m for m in (read_manifest(stage_folder(run.folder, k, "train")) for k in run.metrics if k) if m)
    return all((stage_folder(run.folder, m["iteration"], "train") / name).is_file() for m in trained for name in m["outputs"])


def _main_command(grid: Grid, place: Place) -> str:
    model = published_name(place.model) or STUDIED
    last = max(p.iteration for p in grid.places if p.role == place.role and p.model == place.model)
    return f"isheep iterate {last} --params {shlex.quote(f'params/{model.lower()}.yaml')}"


def sweep_command(role: str, measured: Measured) -> str:
    """Write the command that runs a role: in miniature where the first run is of the embedded model, else as the paper."""
    name = ROLES[role].sweep
    small = f"params/ablations/small-{name}.yaml"
    if not measured.runs or not measured.runs[0].base_model.startswith("embedded:"):
        return f"isheep ablate params/ablations/{name}.yaml"
    if role in TIMES:
        return _direct(role, measured.runs[0])
    return f"isheep ablate {small if (project_root() / small).is_file() else f'params/ablations/{name}.yaml'}"


def _direct(role: str, run: Run) -> str:
    """Write the command that generates several times a run's data at once."""
    names = ("synthesize.instructions", "synthesize.max_batches")
    changes = " ".join(f"{name}:{TIMES[role] * (run.param(name) or 1)}" for name in names)
    return f"{again(run, f'-{role}', '1')} --override {shlex.quote(changes)}"
