"""Opening the engine that the parameters name; the only place that knows every engine."""

import importlib
from dataclasses import dataclass
from types import ModuleType

from isheep_lib.engines.params import Model
from isheep_lib.engines.protocol import Engine
from isheep_lib.models.base import ModelRef


@dataclass(frozen=True)
class Kind:
    """One way to compute a model.

    Attributes:
        module: of this room; it has `preflight` and the engine, both of a model and the section `model`.
        engine: the class.
        packages: those whose versions decide a result; a server's own are not known here and stand in the manifest.
    """

    module: str
    engine: str
    packages: tuple[str, ...]

    def load(self) -> ModuleType:
        """Import the engine's module, which may be slow."""
        return importlib.import_module(f"isheep_lib.engines.{self.module}")

    @property
    def code(self) -> str:
        """The root of the engine's code."""
        return f"engines.{self.module}.{self.engine}"


KINDS = {
    "transformers": Kind("transformers_engine", "TransformersEngine", ("torch", "transformers", "peft")),
    "vllm": Kind("vllm_engine", "VllmEngine", ("torch", "transformers", "peft", "vllm")),
    "server": Kind("server_engine", "ServerEngine", ("transformers",)),
    "chat": Kind("chat_engine", "ChatEngine", ()),  # for judges alone: its prompts have no frame of ours
}


def open_engine(model: ModelRef, settings: Model) -> Engine:
    """Load a model into the engine that the settings name.

    Args:
        model: base and adapters.
        settings: the section `model`, or a stage's parameters, which include it.
    """
    kind = KINDS[settings.engine]
    return getattr(kind.load(), kind.engine)(model, settings)


def preflight(model: ModelRef, settings: Model) -> None:
    """Raise now what would stop an engine later: not installed, not reachable, the model not known, memory too small.

    Raises:
        EngineError, ModelError: with what to do.
    """
    KINDS[settings.engine].load().preflight(model, settings)
