"""What a method writes with: the model, parameters, earlier tasks, seeds of its own randomness, and journals."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

from isheep_lib.engines.protocol import Engine
from isheep_lib.params.kinds import Section
from isheep_lib.prompting.chat import Frame
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.seeds import load_seeds
from isheep_lib.synthesize.shared_params import Shared

Own = TypeVar("Own", bound=Section)


@dataclass(frozen=True)
class Writing(Generic[Own]):
    """What a method writes with.

    Attributes:
        engine: the model M_{t-1}.
        frame: its chat frame.
        shared: parameters that all methods have.
        options: parameters of the method.
        iteration: t, for ids of rows.
        earlier: tasks accepted in earlier iterations, where the method or the deduplication reads them.
        seed_of: name of a record or a draw to its seed.
        open_journal: name of a step to its journal; one worker does it, others wait and read.
    """

    engine: Engine
    frame: Frame
    shared: Shared
    options: Own
    iteration: int
    earlier: list[Task]
    seed_of: Callable[[str], int]
    open_journal: Callable[[str], AbstractContextManager[Any]]

    @cached_property
    def seeds(self) -> list[Task]:
        """Read the seed tasks."""
        return load_seeds(self.shared.seeds, self.shared.seed_fields)
