"""What is computed beside the model is the same on other machines: clusters, maps, intervals, fits."""

import subprocess
import sys

import numpy as np
import pytest

from isheep_lib.analysis import significance, win_rates
from isheep_lib.analysis.collapse import answer_signs
from isheep_lib.analysis.kmeans import cluster
from isheep_lib.analysis.reliability import auroc
from isheep_lib.display import embedding_map
from isheep_lib.engines.exact.rounding import coarse
from isheep_lib.judge.run import _settled
from tests.machines import MACHINES

ROWS, SIZE = 150, 96


def computed() -> str:
    """Return everything that a decision or a recorded number hangs on, as text."""
    draw = np.random.default_rng(5)
    vectors, _ = coarse(draw.normal(size=(ROWS, 8)) @ draw.normal(size=(8, SIZE)) + draw.normal(size=SIZE))
    vectors[1::7] = vectors[::7]  # equal texts, whose distances are equal
    values = {str(i): draw.choice([0.0, 1 / 3, 0.7, 1.0], size=1 + i % 3).tolist() for i in range(60)}
    others = {name: draw.random(len(own)).tolist() for name, own in values.items()}
    places = [
        {"id": str(i), "order": order, "preference": preference, "unread": ""}
        for order in win_rates.ORDERS
        for i, preference in enumerate(draw.random(40))
    ]
    lengths = {str(i): (int(a), int(b)) for i, (a, b) in enumerate(draw.integers(20, 900, (40, 2)))}
    plane = embedding_map.fit(vectors[:100])
    found = [
        [cluster(vectors, number, seed) for number in (5, 45) for seed in range(3)],
        plane.reference.tolist(),
        plane.project(vectors).tolist(),
        plane.inside(plane.reference).tolist(),
        embedding_map.nearest(plane.reference, 0, 20),
        significance.comparison_rows({"task": significance.compare(values, others, 3)}),
        significance.mean_with_error(list(values.values())),
        _settled(win_rates.length_controlled(places, lengths)),
        _settled(win_rates.length_bias(places, lengths)),
        answer_signs([" ".join(draw.choice(list("abcdefgh"), 30)) for _ in range(40)]),
        auroc(vectors[:, 0], vectors[:, 1]),
    ]
    return "\n".join(map(repr, found))


@pytest.mark.parametrize(
    "machine", [pytest.param(MACHINES[3], marks=pytest.mark.long), MACHINES[5]], ids=lambda machine: machine.title
)
def test_statistics_are_the_same_on_another_machine(machine):
    command = [sys.executable, "-c", "from tests.analysis.test_same_everywhere import computed; print(computed())"]
    found = subprocess.run(command, env=machine.told(), capture_output=True, text=True, check=True)
    assert found.stdout.splitlines() == computed().splitlines()
