"""What tests of methods that write from documents share: two documents, and models that read them."""

import json
from pathlib import Path
from typing import Any

from isheep_lib.engines.protocol import Engine, quiet
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.params import Synthesize
from isheep_lib.synthesize.writing import Writing
from tests.scripted import ScriptedEngine
from tests.writings import writing

BEES = "Bees visit flowers and drink nectar. In the hive they pass it on until it is thick, and then close the cell with wax."
RIVER = "A river begins as a spring, grows by the streams that join it, and carries its sand down to the sea."
ROWS = [{"id": "bees", "text": BEES, "title": "Honey"}, {"id": "river", "text": RIVER}, {"id": "note", "text": "Too short."}]


class Reader(ScriptedEngine):
    """Counts words as tokens."""

    tokenizer = staticmethod(lambda text, add_special_tokens: {"input_ids": text.split()})


class Mortal(Reader):
    """Ends in the middle, after some answers."""

    def __init__(self, answer: Any, lives: int) -> None:
        super().__init__(answer)
        self.lives = lives

    def generate(self, batches: Any, tick: Any = quiet) -> Any:
        """Answer until the lives are used up."""
        for batch in super().generate(batches, tick):
            if not self.lives:
                raise IndexError
            self.lives -= 1
            yield batch


def made(
    engine: Engine, folder: Path, method: str, rows: list[dict[str, str]] = ROWS, seeds: tuple[Task, ...] = (), **values: Any
) -> Writing[Any]:
    """Put together what a method writes with from documents that lie in a folder; benchmarks are not looked at."""
    folder.mkdir(exist_ok=True)
    path = folder / "documents.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = {"documents": str(path), "benchmark_text": "keep", **values.pop("options", {})}
    more = {name: values.pop(name) for name in ("earlier", "seed_of") if name in values}
    params = Synthesize(method=method, **{"min_instructions": 1, "instructions": 9, "options": options, **values})
    return writing(engine, folder, params, list(seeds), **more)


def lost(found: Any) -> dict[str, tuple[str, str]]:
    """Return why each dropped candidate was dropped, by id."""
    return {row["id"]: (row["reason"], row["detail"]) for row in found.dropped}
