"""What methods of synthesis write with, in tests: a scripted model, given seeds, journals in a folder."""

from pathlib import Path
from typing import Any

from isheep_lib.engines.protocol import Engine
from isheep_lib.prompting.chat import Frame
from isheep_lib.record.journal import Journal
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.params import Synthesize
from isheep_lib.synthesize.writing import Writing
from tests.frames import hand_made

FRAME = hand_made("f", "<", ">", "END")


def writing(
    engine: Engine, folder: Path, params: Synthesize, seeds: list[Task], frame: Frame = FRAME, **more: Any
) -> Writing[Any]:
    """Put together what a method writes with; `more` is earlier tasks, seed_of, or open_journal."""
    given = {"earlier": [], "seed_of": len, "open_journal": lambda name: Journal(folder / f"{name}.jsonl", "f"), **more}
    made = Writing(engine, frame, params, params.options, 1, **given)
    vars(made)["seeds"] = seeds  # instead of the file
    return made
