"""What judging uses of its open stage, which a room above this one opens (`iterate.session`)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from isheep_lib.engines.params import Model
from isheep_lib.engines.protocol import Engine
from isheep_lib.judge.params import JudgeParams
from isheep_lib.models.base import ModelRef
from isheep_lib.prompting.prompt_files import Prompts


class Stage(Protocol):
    """What judging uses of an open stage (`iterate.session`)."""

    params: JudgeParams
    run_dir: Path
    parts: dict[str, Any]
    engine_facts: dict[str, Any]

    @property
    def prompts(self) -> Prompts:
        """The prompts that this stage asks with."""

    def recorded(self, opened: Callable[[], Engine], model: ModelRef | None, settings: Model) -> Engine:
        """Open what answers this stage, its answers on record."""

    def read(self, stage: str, file: str, iteration: int | None = None) -> list[dict]:
        """Read the rows of an earlier stage."""
