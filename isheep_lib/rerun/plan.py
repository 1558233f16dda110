"""What a record allows to be executed again: which stages, what each reads, and with which parameters.

Covers planning, and refusing what cannot work before anything is executed. Does not cover executing (`rerun.run`,
`rerun.check`).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from isheep_lib.errors import ParameterError, RecordError
from isheep_lib.iterate.run_params import STAGE_PARAMS, recorded_params
from isheep_lib.record.manifests import (
    ABSENT,
    all_manifests,
    differences,
    read_manifest,
    require_run,
    run_folder,
    short,
    stage_folder,
)
from isheep_lib.record.stages import LEAVES, ORDER

Place = tuple[int, str]  # iteration and stage
OWN = ("shard", "num_shards")  # a worker's, not the stage's


def plan(
    run_dir: Path, stages: Sequence[str], iterations: Sequence[int]
) -> tuple[dict[Place, dict[str, Any]], dict[Place, list[Place]]]:
    """Choose stages of a record, in the order of work, and refuse what cannot be executed again.

    Returns:
        The manifests of all recorded stages, and what each chosen stage reads.

    Raises:
        ParameterError, RecordError: the choice does not do, or files are not as recorded or not at hand.
    """
    require_run(run_dir)
    recorded = recorded_stages(run_dir)
    reads = {at: read_by(at, recorded) for at in choose(recorded, stages, iterations)}
    require_whole(run_dir, [*reads, *(place for places in reads.values() for place in places)])
    require_repeatable(run_dir, recorded, reads)
    return recorded, reads


def recorded_stages(run_dir: Path) -> dict[Place, dict[str, Any]]:
    """Return the manifests of all finished stages; a RecordError where there are none."""
    manifests = all_manifests(run_dir)
    if not manifests:
        do = "give a run's name under results, or its folder"
        raise RecordError("No finished stage here", where=short(run_dir), do=do)
    return {(int(folder.parent.name[5:]), folder.name): manifest for folder, manifest in manifests}


def choose(recorded: dict[Place, Any], stages: Sequence[str], iterations: Sequence[int]) -> list[Place]:
    """Choose in the order of work."""
    known = sorted({k for k, _ in recorded})
    problems = [f"{name} is no stage" for name in dict.fromkeys(stages) if name not in ORDER]
    problems += [f"iteration {k} is not recorded" for k in dict.fromkeys(iterations) if k not in known]
    found = [(k, name) for k, name in recorded if (not stages or name in stages) and (not iterations or k in iterations)]
    if not problems and not found:
        problems = [f"no {' or '.join(stages)} is recorded" + (f" of iteration {_list(iterations)}" if iterations else "")]
    if problems:
        allowed = f"stages {', '.join(n for n in ORDER if n in {s for _, s in recorded})}; iterations {_list(known)}"
        raise ParameterError("Nothing to repeat: " + "; ".join(problems), allowed=allowed, do="choose from what is recorded")
    return found


def _list(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def read_by(place: Place, recorded: dict[Place, dict[str, Any]]) -> list[Place]:
    """Name the stages whose files a recorded stage read: its inputs, the adapters of its model, earlier measurements."""
    parts = recorded[place]["parts"]
    inputs = [name.split("/") for name in parts["inputs"] if name.startswith("iter-")]
    found = {(int(iteration[5:]), stage) for iteration, stage, *_ in inputs}
    found |= {(int(name.split("/")[0][5:]), "train") for name in parts.get("model", {}) if name.startswith("iter-")}
    if place[1] in LEAVES:  # a measurement stands beside those before it
        before = list(recorded)[: list(recorded).index(place)]
        found |= {earlier for earlier in before if earlier[1] in LEAVES}
    return sorted(found, key=lambda at: (at[0], ORDER.index(at[1])))


def require_whole(run_dir: Path, places: Sequence[Place]) -> None:
    """Refuse a record whose files are not as recorded, all of them named; weights may be absent."""
    bad = []
    for place in dict.fromkeys(places):
        folder = stage_folder(run_dir, *place)
        manifest = read_manifest(folder) or {"outputs": {}}
        bad += [found for found in differences(folder, manifest) if found.kind != ABSENT]
    if bad:
        listed = "\n  ".join(f"{found.path.relative_to(run_dir)}: {found.kind} ({found.detail})" for found in bad)
        where, do = short(run_dir), "restore them; isheep verify shows the whole run"
        raise RecordError(f"{len(bad)} file(s) are not as they were recorded:\n  {listed}", where=where, do=do)


def require_repeatable(run_dir: Path, recorded: dict[Place, Any], reads: dict[Place, list[Place]]) -> None:
    """Refuse stages that read what is neither at hand nor repeated before them, all of them named."""
    problems = []
    for (k, stage), places in reads.items():
        for needed in (place for place in places if place not in reads):
            folder = stage_folder(run_dir, *needed)
            if needed not in recorded:
                problems.append(f"iter-{k}/{stage} cannot be repeated: iter-{needed[0]}/{needed[1]} is not recorded")
            elif differences(folder, recorded[needed]):
                problems.append(f"iter-{k}/{stage} cannot be repeated: the adapter of iteration {needed[0]} is not at hand")
    if problems:
        do = "leave out --stage and --iteration: the whole record is then repeated, which makes the adapters"
        raise RecordError("\n  ".join(problems), where=short(run_dir), do=do)


def parameters_in(at: Place, manifest: dict[str, Any], place: Path) -> dict[str, Any]:
    """Return the recorded parameters for the new place; answers are asked anew, by one worker."""
    run = short(place) if run_folder(short(place)) == place else str(place)
    anew = {"reuse_answers": False} if "reuse_answers" in STAGE_PARAMS[at[1]].model_fields else {}
    alone = {"shard": 0, "num_shards": 1} if "shard" in STAGE_PARAMS[at[1]].model_fields else {}
    where = f"iter-{at[0]}/{at[1]}/manifest.json"
    checked = recorded_params(manifest, where, run=run, **anew, **alone).model_dump()
    return {name: value for name, value in checked.items() if name not in OWN}
