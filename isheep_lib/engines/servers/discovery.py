"""The name under which servers must know a model, and the command that starts one."""

import shlex
from pathlib import Path

from isheep_lib.engines.open import model_settings
from isheep_lib.engines.params import Model
from isheep_lib.errors import RecordError
from isheep_lib.models.base import ModelRef, adapter_weights
from isheep_lib.models.merged import merged_folder
from isheep_lib.models.trained import model_of
from isheep_lib.record import manifests
from isheep_lib.record.rows import digest_file, digest_text


def served_name(model: ModelRef, settings: Model) -> str:
    """Return the name under which servers must know a model: the base's, and for a trained one its adapters' digest.

    Raises:
        ModelError: an adapter's weights are not here.
    """
    name = settings.served_model or settings.base_model
    if not model.adapters:
        return name
    digests = [digest_file(adapter_weights(adapter)) for adapter in model.adapters]
    return f"{name}-{(digests[0] if len(digests) == 1 else digest_text(''.join(digests)))[:12]}"


def start_command(model: ModelRef, settings: Model, flags: str = "") -> str:
    """Say how to start a server of a model."""
    name = shlex.quote(served_name(model, settings))
    rest = f"--served-model-name {name} --dtype {settings.inference_dtype}" + (f" {flags}" if flags else "")
    if model.adapters:
        return f"isheep serve RUN ITERATION merges the adapter and prints the command: vllm serve MERGED {rest}"
    return f"start one with: vllm serve {shlex.quote(str(model.path))} {rest}"


def serve_command(run_dir: Path, iteration: int) -> str:
    """Merge the model of an iteration, or raise a RecordError where it was not trained; return the command that serves it."""
    settings = _settings(run_dir)
    trained = list(manifests.of_stage(run_dir, "train"))
    if iteration not in (0, *trained):
        raise RecordError(
            f"Iteration {iteration} is not trained" + (" yet" if iteration > 0 else ""),
            where=manifests.short(run_dir),
            allowed=f"iterations {', '.join(map(str, (0, *trained)))}; 0 is the base model",
            do=f"give one of these, or train it first: isheep iterate {max(1, iteration)} with the run's --params and --run",
        )
    model = model_of(run_dir, settings.base_model, iteration)
    name, folder = shlex.quote(served_name(model, settings)), shlex.quote(str(merged_folder(model)))
    return f"vllm serve {folder} --served-model-name {name} --dtype {settings.inference_dtype}"


def served_models(run_dir: Path) -> list[dict[str, str]]:
    """List the models of a run from the base to the newest, whether their weights are here, and how each is chosen.

    Raises:
        RecordError: it is no run.
    """
    settings, name = _settings(run_dir), shlex.quote(manifests.run_name(run_dir))
    base = {"model": "M_0", "what": f"the base model, {settings.base_model}", "weights": ""}
    rows = [base | {"command": f"isheep serve {name} 0"}]
    for k, (folder, manifest) in manifests.of_stage(run_dir, "train").items():
        what = f"trained in iteration {k}, from M_{manifest.get('starts_from', 0)}"
        found = {"model": f"M_{k}", "what": what, "weights": manifests.weights_state(folder, manifest)}
        rows.append(found | {"command": f"isheep serve {name} {k}"})
    return rows


def _settings(run_dir: Path) -> Model:
    manifests.require_run(run_dir)
    return model_settings(run_dir)
