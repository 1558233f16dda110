"""Which servers have a model: its name there, what each address serves, and the command that starts a server.

Covers names and finding. Does not cover what is asked of a server (`server_engine`).
"""

import os
import shlex
from pathlib import Path
from typing import Any

from isheep_lib.engines.http import KEY, Trouble, as_json
from isheep_lib.engines.params import Model
from isheep_lib.engines.server_pool import Limits, Replicas
from isheep_lib.errors import EngineError, ModelError, RecordError
from isheep_lib.models.base import ModelRef
from isheep_lib.models.merged import merged_folder
from isheep_lib.models.trained import model_of
from isheep_lib.params import run_file
from isheep_lib.record import manifests
from isheep_lib.record.rows import digest_file, digest_text


def served_name(model: ModelRef, settings: Any) -> str:
    """Return the name under which servers must know a model: the base's, and for a trained one its adapters' digest.

    Raises:
        ModelError: an adapter's weights are not here.
    """
    name = settings.served_model or settings.base_model
    if not model.adapters:
        return name
    files = [adapter / "adapter_model.safetensors" for adapter in model.adapters]
    for file in files:
        if not file.is_file():
            raise ModelError(
                "The adapter's weights are not here; a committed record keeps only their digest",
                where=str(file.parent),
                do="train that iteration again, or start a run of your own (-p run NAME)",
            )
    digests = [digest_file(file) for file in files]
    return f"{name}-{(digests[0] if len(digests) == 1 else digest_text(''.join(digests)))[:12]}"


def start_command(model: ModelRef, settings: Any, flags: str = "") -> str:
    """Say how to start a server of a model."""
    name = shlex.quote(served_name(model, settings))
    dtype = "" if settings.inference_dtype == "auto" else f" --dtype {settings.inference_dtype}"
    rest = f"--served-model-name {name}{dtype}" + (f" {flags}" if flags else "")
    if model.adapters:
        return f"isheep serve RUN ITERATION merges the adapter and prints the command: vllm serve MERGED {rest}"
    return f"start one with: vllm serve {shlex.quote(str(model.path))} {rest}"


def connect(settings: Any, **pauses: float) -> Replicas:
    """Prepare connections to all addresses of the settings; the key comes from the environment alone."""
    limits = Limits(settings.concurrency, settings.request_seconds, settings.patience_seconds, **pauses)
    return Replicas(settings.base_urls, os.environ.get(KEY, "").strip(), limits)


def find_servers(servers: Replicas, model: ModelRef, settings: Any) -> tuple[dict[str, int], list[str]]:
    """Ask every address what it serves.

    Returns:
        The context in tokens of each that knows the model, 0 if it does not say, and the addresses not reachable now.

    Raises:
        EngineError: no address knows the model, one wants another key, or one is no such server.
    """
    name = served_name(model, settings)
    known: dict[str, int] = {}
    away, seen = [], []
    for url, answer in servers.survey("/models").items():
        if isinstance(answer, EngineError):
            raise answer
        if isinstance(answer, Trouble):
            away.append(url)
            seen.append(str(answer))
            continue
        cards = read_models(url, answer)
        seen.append(f"{url} serves {', '.join(cards) or 'nothing'}")
        if name in cards:
            known[url] = cards[name]
    if not known:
        what = "No server is reachable" if len(away) == len(seen) else f"No server serves {name!r}"
        raise EngineError(what, where="; ".join(seen), allowed=f"a server of {name!r}", do=start_command(model, settings))
    return known, away


def read_models(url: str, response: Any) -> dict[str, int]:
    """Read a list of models: name to context in tokens, 0 where it is not told.

    Raises:
        EngineError: it is none.
    """
    found = as_json(response)
    cards = found.get("data") if isinstance(found, dict) else None
    if response.status_code != 200 or not isinstance(cards, list) or not all(isinstance(c, dict) and "id" in c for c in cards):
        raise EngineError(
            f"What answers at this address is no OpenAI-compatible server (status {response.status_code})",
            where=f"{url}/models",
            allowed='JSON with a list "data" of models',
            do="check base_urls: an address usually ends in /v1",
        )
    return {str(card["id"]): card.get("max_model_len") or 0 for card in cards}


def versions(servers: Replicas) -> list[str]:
    """Return the distinct versions that servers name, as vLLM does outside /v1."""
    answers = servers.survey("/version", root=True).values()
    found = [as_json(answer) for answer in answers if not isinstance(answer, EngineError | Trouble)]
    return sorted({str(each["version"]) for each in found if isinstance(each, dict) and "version" in each})


def serve_command(run_dir: Path, iteration: int) -> str:
    """Merge the model of an iteration into one folder and return the command that serves it.

    Raises:
        RecordError: there is no such run, or the iteration was not trained.
    """
    known = run_file.run_params(run_dir).get("model")
    if not known:
        raise RecordError("There is no such run", where=manifests.short(run_dir), do="give a name under results")
    if iteration and manifests.read_manifest(manifests.stage_folder(run_dir, iteration, "train")) is None:
        raise RecordError(
            f"Iteration {iteration} is not trained yet", where=manifests.short(run_dir), allowed="0 is the base model"
        )
    settings = Model(**known)
    model = model_of(run_dir, settings.base_model, iteration)
    name, folder = shlex.quote(served_name(model, settings)), shlex.quote(str(merged_folder(model)))
    dtype = "bfloat16" if settings.inference_dtype == "auto" else settings.inference_dtype
    return f"vllm serve {folder} --served-model-name {name} --dtype {dtype}"
