"""What the starting model says of every answer: computed once, before the first step, and kept for a training that resumes.

    write(work, job.digest, found)         # reference.json, sealed
    read(work, job.digest)                 # None where it is absent, changed or of another training

Covers the file. Does not cover computing (`train.learner`).
"""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from isheep_lib.errors import RecordError
from isheep_lib.record.fixity.sealed import Shape, read_sealed, shaped, write_sealed
from isheep_lib.train.dataset import PairRow, Row

FILE = "reference.json"
Logs = dict[str, list[float]]  # of each pair the log-probabilities of the chosen and of the rejected answer, in nats


class _Kept(Shape):
    job: str
    logs: Logs


def write(work: Path, job: str, logs: Logs) -> None:
    """Keep what was computed for a training, whose digest is `job`."""
    write_sealed(work / FILE, {"job": job, "logs": logs})


def read(work: Path, job: str) -> Logs | None:
    """Return what was kept for this training, to the bit; None where it has to be computed."""
    try:
        found = read_sealed(work / FILE, FILE, "")
        kept = shaped(_Kept, found[0]) if found and found[1] else None
    except (RecordError, ValueError):
        return None
    return kept.logs if kept and kept.job == job else None


def as_rows(logs: Logs, rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Describe it for the record: log-probabilities in nats, with the numbers of tokens that they are sums over."""
    found = []
    for row in rows:
        if isinstance(row, PairRow):
            chosen, rejected = (round(value, 6) for value in logs[row.id])
            tokens = {"chosen_tokens": row.chosen.learned, "rejected_tokens": row.rejected.learned}
            found.append({"id": row.id, "chosen": chosen, "rejected": rejected, **tokens})
    return found


def is_finite(logs: Logs) -> bool:
    """Tell whether every log-probability is a number."""
    return all(math.isfinite(value) for pair in logs.values() for value in pair)
