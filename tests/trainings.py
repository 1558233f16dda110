"""Small trainings of the tiny model; imported by the tests of training."""

import random
from typing import Any

from isheep_lib.labels import TrainRow
from isheep_lib.params import TrainParams

SEED = 5
SMALL = {
    "run": "r",
    "dtype": "float32",
    "lora_rank": 2,
    "lora_alpha": 4,
    "lora_dropout": 0.2,
    "learning_rate": 1e-2,
    "warmup_steps": 1,
    "epochs": 2,
    "train_batch": 4,
    "micro_batch": 2,
    "save_steps": 2,
}


def train_params(**changed: Any) -> TrainParams:
    return TrainParams(**{**SMALL, **changed})


def drawn(name: str, number: int, longest: int = 24) -> list[TrainRow]:
    """Draw rows of several lengths whose tokens the tiny model knows."""
    rng, rows = random.Random(name), []
    for i in range(number):
        length = rng.randint(6, longest)
        rows.append(TrainRow(f"{name}{i}", [rng.randrange(3, 60) for _ in range(length)], rng.randint(1, length - 3)))
    return rows
