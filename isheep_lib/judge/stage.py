"""What judging uses of its open stage, which a room above this one opens (`iterate.session`)."""

from pathlib import Path
from typing import Any, Protocol

from isheep_lib.judge.params import JudgeParams


class Stage(Protocol):
    """What judging uses of an open stage (`iterate.session`)."""

    params: JudgeParams
    run_dir: Path
    parts: dict[str, Any]
    engine_facts: dict[str, Any]

    def read(self, stage: str, file: str, iteration: int | None = None) -> list[dict]:
        """Read the rows of an earlier stage."""
