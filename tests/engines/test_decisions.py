"""Next tokens: drawn as their probabilities say, the same within an error that is called certain, else called uncertain."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given

from isheep_lib.engines.exact.arbiter import scatter
from isheep_lib.engines.exact.decisions import NONE, Error, decide

pytestmark = pytest.mark.hypothesis


def by_hand(logits, uniform, temperature, top_p):
    """Choose in plain Python: a nucleus by probability, then the id whose share holds the number."""
    if temperature == 0:
        return max(range(len(logits)), key=lambda i: (logits[i], -i))
    shares = np.exp(np.array(logits, dtype=np.float64) / temperature)
    shares /= shares.sum()
    nucleus, mass = [], 0.0
    for i in sorted(range(len(shares)), key=lambda i: (-shares[i], i)):
        if mass < top_p:
            nucleus.append(i)
        mass += shares[i]
    point, mass = uniform * sum(shares[i] for i in nucleus), 0.0
    for i in sorted(nucleus):
        mass += shares[i]
        if mass > point:
            return i
    return max(nucleus)


logits = st.lists(st.floats(-8, 8, width=32), min_size=1, max_size=40)
numbers = st.floats(0, 1, exclude_max=True)
temperatures = st.sampled_from([0.0, 0.3, 0.7, 1.0, 2.0])
masses = st.sampled_from([0.01, 0.5, 0.9, 0.95, 1.0])


@given(logits, numbers, temperatures, masses)
def test_the_token_is_the_one_that_the_plain_rule_gives_or_is_called_uncertain(values, uniform, temperature, top_p):
    rows = torch.tensor([values], dtype=torch.float64)
    found = decide(rows, torch.tensor([uniform]), temperature, top_p, Error(1e-12, 1e-12))
    if found.certain[0]:
        assert int(found.tokens[0]) == by_hand(values, uniform, temperature, top_p)


@given(logits, numbers, temperatures, masses, st.integers(0, 2**31), st.sampled_from([1e-6, 1e-3, 0.1]))
def test_a_certain_token_stays_whatever_the_error_is(values, uniform, temperature, top_p, seed, size):
    rows, uniform = torch.tensor([values], dtype=torch.float64), torch.tensor([uniform], dtype=torch.float64)
    noise = torch.tensor(np.random.default_rng(seed).choice([-size / 2, 0.0, size / 2], len(values)))
    moved = rows + noise
    scatter = float(((noise / (temperature or 1)).exp() - 1).norm())  # no errors of these sizes can do more (Cauchy-Schwarz)
    found = decide(rows, uniform, temperature, top_p, Error(size + 1e-12, scatter + 1e-12))
    if found.certain[0]:
        assert int(decide(moved, uniform, temperature, top_p).tokens[0]) == int(found.tokens[0])


@pytest.mark.parametrize(
    ("values", "uniform", "temperature", "top_p", "error", "certain"),
    [
        ([1.0, 1.0 + 1e-4], 0.0, 0.0, 1.0, Error(1e-3, 0.0), False),  # the two best are too close
        ([1.0, 1.1], 0.0, 0.0, 1.0, Error(1e-3, 0.0), True),
        ([0.0, 0.0], 0.49, 1.0, 1.0, Error(0.0, 1e-3), True),
        ([0.0, 0.0], 0.5, 1.0, 1.0, Error(0.0, 1e-3), False),  # on the boundary between the two
        ([0.0, 0.0], 0.4997, 1.0, 1.0, Error(0.0, 1e-3), False),
        ([0.0, 0.0], 0.4995, 1.0, 1.0, Error(0.0, 1e-3), True),  # errors of two tokens partly cancel: 1e-3 times sqrt(1 / 8)
        # 0.9 and 0.1: whether the second belongs to a nucleus of 0.9 is open, and matters above 0.9 alone
        ([float(np.log(0.9)), float(np.log(0.1))], 0.8, 1.0, 0.9, Error(0.0, 1e-3), True),
        ([float(np.log(0.9)), float(np.log(0.1))], 0.95, 1.0, 0.9, Error(0.0, 1e-3), False),
    ],
)
def test_what_is_close_is_called_uncertain_and_nothing_else(values, uniform, temperature, top_p, error, certain):
    found = decide(torch.tensor([values], dtype=torch.float64), torch.tensor([uniform]), temperature, top_p, error)
    assert bool(found.certain[0]) is certain


@given(st.lists(st.floats(-2, 2), min_size=2, max_size=12), st.integers(0, 2**31), st.sampled_from([0.7, 1.0]))
def test_the_scatter_is_the_largest_error_of_a_set_over_its_scale(values, seed, temperature):
    fast = np.array(values)
    exact = fast + np.random.default_rng(seed).normal(0, 1e-4, len(fast))
    p, q = (np.exp(logits / temperature) / np.exp(logits / temperature).sum() for logits in (fast, exact))
    ratios = []
    for order in (range(len(p)), sorted(range(len(p)), key=lambda i: -p[i])):
        for size in range(1, len(p)):
            inside = np.isin(np.arange(len(p)), list(order)[:size])
            mass = p[inside].sum()
            spread = np.sqrt((1 - mass) ** 2 * (p[inside] ** 2).sum() + mass**2 * (p[~inside] ** 2).sum())
            ratios.append(abs(mass - q[inside].sum()) / spread)
    found = scatter(torch.tensor(fast), torch.tensor(exact), temperature)
    assert found == pytest.approx(max(ratios), rel=0.05, abs=1e-6)


def test_tokens_come_as_often_as_their_share_of_the_nucleus_says():
    shares = torch.tensor([0.05, 0.5, 0.2, 0.15, 0.1], dtype=torch.float64)
    grid = (torch.arange(10000) + 0.5) / 10000
    found = decide(shares.log().repeat(len(grid), 1), grid, 1.0, 0.8, NONE).tokens
    expected = [0.0, 0.5 / 0.85, 0.2 / 0.85, 0.15 / 0.85, 0.0]
    assert np.bincount(found, minlength=5) / len(grid) == pytest.approx(expected, abs=2e-4)


def test_a_nucleus_beyond_the_first_candidates_is_found_by_sorting_everything():
    rows = torch.zeros(2, 5000, dtype=torch.float64)
    found = decide(rows, torch.tensor([0.0, 0.999999]), 1.0, 0.89995, NONE)
    assert found.tokens.tolist() == [0, 4499]
