"""What a run is: values left at their defaults are taken from its `params.yaml`, others must agree with it."""

from pathlib import Path
from typing import Any

from isheep_lib.errors import ParameterError
from isheep_lib.iterate.hub_ids import settle
from isheep_lib.iterate.run_params import SECTIONS, StageParams
from isheep_lib.params.kinds import Section, Spoken, is_execution
from isheep_lib.params.old_names import renew_file
from isheep_lib.params.run_file import params_path, run_params
from isheep_lib.params.yaml_file import dump_yaml
from isheep_lib.record.fixity import inventory
from isheep_lib.record.manifests import run_folder, short
from isheep_lib.record.rows import write_atomic


def complete_params(kind: type[StageParams], given: dict[str, Any], stage: str) -> dict[str, Any]:
    """Take from the run, where there is one, every value of a stage that is not given or left at its default."""
    run = given.get("run", kind.model_fields["run"].default)
    known = run_params(run_folder(run)) if isinstance(run, str) and run else {}
    of_model = {name: value for name, value in known.get("model", {}).items() if name not in SECTIONS[stage].model_fields}
    of_tasks = {name: value for name, value in known.get("synthesize", {}).items() if name in Spoken.model_fields}
    flat = {**of_tasks, **of_model, **known.get(stage, {}), **({"seed": known["seed"]} if "seed" in known else {})}
    own = {name for name in kind.model_fields if name in flat and given.get(name, (d := kind.model_fields[name].default)) == d}
    return {**given, **{name: flat[name] for name in own}}


def as_sections(kind: type[Section], values: dict[str, Any], stage: str) -> dict[str, Any]:
    """Sort flat stage parameters into the sections of a params file; a name that both have is the stage's."""
    sections: dict[str, Any] = {"seed": values["seed"]}
    own = set(SECTIONS[stage].model_fields)
    for name, others in (("model", own), (stage, set())):
        fields = [n for n in SECTIONS[name].model_fields if n in kind.model_fields and n not in others]
        if fields:
            sections[name] = {field: values[field] for field in fields}
    if stage != "synthesize" and "language" in kind.model_fields:
        sections["synthesize"] = {"language": values["language"]}
    return sections


def claim_stage(run_dir: Path, stage: str, params: StageParams) -> StageParams:
    """Make a stage's checked parameters the run's own (`check_params`), with the commits that it has or now gets."""
    recorded = run_params(run_dir)
    params = settle(params, {**recorded.get("model", {}), **recorded.get(stage, {})})
    claim_params(run_dir, as_sections(type(params), params.model_dump(), stage))
    return params


def check_params(run_dir: Path, values: dict[str, Any], free: tuple[str, ...] = ()) -> None:
    """Refuse values that differ from what a run is (ParameterError), but in free sections, on which no other stage depends."""
    known, given = flatten(renew_file(run_params(run_dir)).values), flatten(renew_file(values).values)
    changed = [
        f"{name}: the run has {known[name]!r}, now {value!r}"
        for name, value in given.items()
        if name in known and known[name] != value and not _execution(name) and name.split(".")[0] not in free
    ]
    if changed:
        raise ParameterError(
            "These parameters differ from those of the run:\n  " + "\n  ".join(changed),
            where=short(params_path(run_dir)),
            do="give the run's own values (--params with this file does), or another name for a new run (-p run NAME)",
        )


def claim_params(run_dir: Path, values: dict[str, Any], free: tuple[str, ...] = ()) -> None:
    """Check values (`check_params`) and make them the run's own; sections not named stay as they are."""
    check_params(run_dir, values, free)
    known = run_params(run_dir)
    merged = {**known, **{n: {**known.get(n, {}), **v} if isinstance(v, dict) else v for n, v in values.items()}}
    if merged != known:
        text = "# What this run is; written by the run.\n" + dump_yaml(merged)
        inventory.announce(run_dir, params_path(run_dir).name, text)
        write_atomic(params_path(run_dir), text)


def flatten(values: dict[str, Any]) -> dict[str, Any]:
    """Name every value of nested mappings by its dotted path."""
    flat = {}
    for name, value in values.items():
        inner = flatten(value) if isinstance(value, dict) else {}
        flat |= {f"{name}.{n}": v for n, v in inner.items()} if inner else {name: value}
    return flat


def _execution(name: str) -> bool:
    section, _, field = name.partition(".")
    return section in SECTIONS and field in SECTIONS[section].model_fields and is_execution(SECTIONS[section], field)
