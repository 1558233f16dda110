"""Opening the engine that the parameters name; the only place that knows every engine."""

import importlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from isheep_lib.engines import vllm_setup
from isheep_lib.engines.params import Model, PromptedModel
from isheep_lib.engines.protocol import Engine
from isheep_lib.errors import RecordError
from isheep_lib.models.base import ModelRef
from isheep_lib.params import run_file
from isheep_lib.params.check import check
from isheep_lib.record import manifests


@dataclass(frozen=True)
class Kind:
    """One way to compute a model.

    Attributes:
        module: of this room; it has `preflight` and the engine, both of a model and the section `model`.
        engine: the class.
        packages: those whose versions decide a result; a server's own are not known here and stand in the manifest.
        purpose: what it is for, and `needs`: what it takes, for docs/engines.md.
    """

    module: str
    engine: str
    packages: tuple[str, ...]
    purpose: str
    needs: str

    def load(self) -> ModuleType:
        """Import the engine's module, which may be slow."""
        return importlib.import_module(f"isheep_lib.engines.{self.module}")

    @property
    def code(self) -> str:
        """The root of the engine's code."""
        return f"engines.{self.module}.{self.engine}"


KINDS = {
    "transformers": Kind(
        *("transformers_engine", "TransformersEngine", ("torch", "transformers", "peft")),
        purpose="a laptop, one GPU (CUDA, MPS); the default",
        needs="nothing more",
    ),
    "vllm": Kind(
        *("vllm_engine", "VllmEngine", ("torch", "transformers", "peft", "vllm")),
        purpose="the GPUs of one node, in the process of the stage",
        needs="`make setup-gpu` ([gpu.md](gpu.md)); on a CPU, for trying, `make setup-vllm`",
    ),
    "server": Kind(
        *("server_engine", "ServerEngine", ("transformers",)),
        purpose="a cluster: one or many OpenAI-compatible servers",
        needs="addresses in `model.base_urls`; the key, if any, in `ISHEEP_SERVER_KEY`",
    ),
    "chat": Kind(  # its prompts have no frame of ours
        *("chat_engine", "ChatEngine", ()),
        purpose="judges alone (`judge.judge_engine`): any server of chat completions",
        needs="addresses in `judge.judge_urls`; the key in `ISHEEP_SERVER_KEY`",
    ),
}


def open_engine(model: ModelRef, settings: Model) -> Engine:
    """Load a model into the engine that the settings name.

    Args:
        model: base and adapters.
        settings: the section `model`, or a stage's parameters, which include it.
    """
    kind = KINDS[settings.engine]
    return getattr(kind.load(), kind.engine)(model, settings)


def check_installed(name: str) -> None:
    """Refuse an engine whose package is not here (EngineError), before a run begins; nothing heavy is imported."""
    if "vllm" in KINDS[name].packages:
        vllm_setup.check_installed()


def preflight(model: ModelRef, settings: Model) -> None:
    """Raise now what would stop an engine later: not installed, not reachable, the model not known, memory too small.

    Raises:
        EngineError, ModelError: with what to do.
    """
    KINDS[settings.engine].load().preflight(model, settings)


def model_settings(run_dir: Path) -> PromptedModel:
    """Return how a run asks its model.

    Raises:
        RecordError: its params.yaml is not there, or says nothing of a model.
        ParameterError: what it says is none.
    """
    path = run_file.params_path(run_dir)
    known = run_file.run_params(run_dir).get("model")
    if not known:
        raise RecordError("The run does not say which model it used", where=manifests.short(path), do="restore that file")
    return check(PromptedModel, known, manifests.short(path))
