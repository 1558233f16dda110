"""Small trainings of the tiny model; imported by the tests of training."""

import random
from pathlib import Path
from typing import Any

import pytest

from isheep_lib.iterate.run_params import TrainParams
from isheep_lib.models.base import find_model
from isheep_lib.train import batch_plan
from isheep_lib.train.dataset import Data, PairRow, TrainRow, size_of
from isheep_lib.train.run import Layout, Trained, fine_tune

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


def drawn_pairs(name: str, number: int, longest: int = 24) -> list[PairRow]:
    """Draw pairs of answers of several lengths behind the same prompt."""
    rng, rows = random.Random(name), []
    for i in range(number):
        prompt = [rng.randrange(3, 60) for _ in range(rng.randint(1, 6))]
        sides = [prompt + [rng.randrange(3, 60) for _ in range(rng.randint(2, longest - len(prompt)))] for _ in range(2)]
        chosen, rejected = (TrainRow(f"{name}{i}{side}", ids, len(prompt)) for side, ids in zip("ab", sides, strict=True))
        rows.append(PairRow(f"{name}{i}", chosen, rejected))
    return rows


PAIRS = Data(drawn_pairs("learned", 7), drawn_pairs("held", 3), {}, [])
DATA = Data(drawn("learned", 7), drawn("held", 3), {}, [])  # the last step of an epoch is not full


def laid_out(model: Path, **changed) -> Layout:
    params = train_params(**{"micro_batch": 1, **changed})
    data = PAIRS if params.minimised.of_pairs else DATA
    plan = batch_plan.plan([size_of(row) for row in data.train], params, SEED)
    return Layout(find_model(str(model)), data, params, SEED, plan)


def fine_tuned(model: Path, folder: Path, **changed) -> Trained:
    return fine_tune(laid_out(model, **changed), folder / "work", folder / "out")


def largest_difference(one: Path, other: Path) -> float:
    a, b = weights_in(one / "out"), weights_in(other / "out")
    assert a.keys() == b.keys()
    return max((a[name] - b[name]).abs().max().item() for name in a)


def weights_in(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return {name: weight for path in folder.rglob("*.safetensors") for name, weight in load_file(path).items()}


def assert_the_same(one: tuple[Path, Trained], other: tuple[Path, Trained]) -> None:
    # Sums in another order differ in last bits, which AdamW's division enlarges: 1.2e-6 on one CPU, below 1e-6 on another.
    assert largest_difference(one[0], other[0]) < 5e-6
    assert other[1].best == one[1].best
    assert len(other[1].log) == len(one[1].log)
    for expected, found in zip(one[1].log, other[1].log, strict=True):
        assert found == pytest.approx(expected, abs=2e-6)
