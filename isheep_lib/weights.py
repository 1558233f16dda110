"""The weights of a run: the model of each iteration, what made it, what it says of fixed texts, and how to serve it.

Covers base plus the adapter that an iteration trained. Does not cover finding a base (`models`) or asking it (`engines`).
"""

import json
import shlex
from pathlib import Path
from typing import Any

from isheep_lib import store
from isheep_lib.engines import Engine, parity
from isheep_lib.engines.merged import merged_folder
from isheep_lib.engines.serving import served_name
from isheep_lib.errors import RecordError
from isheep_lib.fingerprint import trained_weights
from isheep_lib.models import ModelRef, find_model, trained_model
from isheep_lib.params import Model
from isheep_lib.records import digest_file, read_jsonl


def model_of(run_dir: Path, base_model: str, iteration: int) -> ModelRef:
    """Return M_k of a run: the base model with the adapters that lead to iteration k, or the weights trained in it.

    Iteration 0 is the bare base.

    Raises:
        ModelError: all weights were trained, and they are not here.
    """
    base = find_model(base_model)
    folders = [store.stage_folder(run_dir, k, "train") for k in store.lineage(run_dir, iteration)]
    if folders and any(name.startswith("model/") for name in trained_weights(run_dir, iteration)):
        return trained_model(f"{base.name}, iteration {iteration}", folders[-1] / "model")
    return ModelRef(base.name, base.path, base.digest, tuple(folder / "adapter" for folder in folders))


def hold_against_weights(engine: Engine, run_dir: Path, model: ModelRef, iteration: int, settings: Any) -> dict[str, Any]:
    """Compare an open engine with what the weights say, before anything is asked of it; return facts for the record.

    Args:
        engine: the engine.
        run_dir: the run's folder; its training has recorded what M_k says.
        model: M_k.
        iteration: k; 0 is the base model.
        settings: the section `params.Model`, or a stage's parameters.

    Raises:
        EngineError: it computes something else; see `engines.parity`.
    """
    if not iteration and settings.engine == "transformers":
        return {"compared": "nothing, this engine is the reference of a base model"}
    expected = trained_values(run_dir, iteration) if iteration else parity.base_values(model)
    if expected is None:
        return {
            "compared": "nothing, the training recorded no parity" if iteration else "nothing, the weights are too large here"
        }
    worst = parity.check_engine(engine, expected, settings.inference_dtype)
    tolerance = parity.TOLERANCE[settings.inference_dtype]
    return {"compared": "log p of fixed texts, nats a token", "largest_difference": worst, "tolerance": tolerance}


def trained_values(run_dir: Path, iteration: int) -> list[float] | None:
    """Read what the model of an iteration says of the fixed texts, None in a record without parity."""
    folder = store.stage_folder(run_dir, iteration, "train")
    manifest = store.read_manifest(folder)
    if manifest is None or "parity.json" not in manifest["outputs"]:
        return None
    store.require_intact(folder, ["parity.json"])
    return [probe["adapter"] for probe in json.loads((folder / "parity.json").read_text(encoding="utf-8"))["probes"]] or None


def training_rows(run_dir: Path, iteration: int) -> list[dict[str, Any]]:
    """Read every row that the model of an iteration was trained on; the base model has none.

    Raises:
        RecordError: a file is absent, or not the one that was trained on.
    """
    rows: list[dict[str, Any]] = []
    for name, digest in store.trained_on(run_dir, iteration).items():
        path = run_dir / name
        if not path.is_file() or digest_file(path) != digest:
            raise RecordError(
                f"{name} is not what iteration {iteration} was trained on",
                where=store.short(path),
                do="restore the file, or make the training anew with isheep iterate --stale redo",
            )
        rows += read_jsonl(path)
    return rows


def serve_command(run_dir: Path, iteration: int) -> str:
    """Merge the model of an iteration into one folder and return the command that serves it.

    Raises:
        RecordError: there is no such run, or the iteration was not trained.
    """
    known = store.run_params(run_dir).get("model")
    if not known:
        raise RecordError("There is no such run", where=store.short(run_dir), do="give a name under results")
    if iteration and store.read_manifest(store.stage_folder(run_dir, iteration, "train")) is None:
        raise RecordError(
            f"Iteration {iteration} is not trained yet", where=store.short(run_dir), allowed="0 is the base model"
        )
    settings = Model(**known)
    model = model_of(run_dir, settings.base_model, iteration)
    name, folder = shlex.quote(served_name(model, settings)), shlex.quote(str(merged_folder(model)))
    dtype = "bfloat16" if settings.inference_dtype == "auto" else settings.inference_dtype
    return f"vllm serve {folder} --served-model-name {name} --dtype {dtype}"
