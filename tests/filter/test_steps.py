"""Every step of the filter: its name, its options, what it needs, and a meaning of every reason that it gives."""

from typing import get_args

import numpy as np
import pytest

from isheep_lib.filter.params import Filter
from isheep_lib.filter.steps.step import Given, ScoredPair
from isheep_lib.filter.steps.table import CONTROL, DECONTAMINATE, MEANINGS, STEPS, StepName
from isheep_lib.record.rows import Pair

ROWS = [ScoredPair(Pair(str(n), f"Task {n}.", "", "" if n == 3 else "Some words."), {"pmi": n / 4}) for n in range(6)]


def test_the_names_that_parameters_allow_are_those_of_the_table():
    assert list(STEPS) == list(get_args(StepName))
    assert all(name == step.name for name, step in STEPS.items())
    assert all(set(step.options.model_fields) <= set(Filter.model_fields) for step in STEPS.values())


STRIKE = ("rules", "threshold", "perplexity", "density", "density_perplexity", "top", "random_control")


@pytest.mark.parametrize("step", [*STEPS.values(), CONTROL, DECONTAMINATE], ids=lambda step: step.name)
def test_every_step_gives_reasons_that_have_a_meaning_and_strikes_only_pairs_that_come(step):
    given = Given(1, np.zeros((len(ROWS), 2), np.float32) if step.needs_vectors else None, number=2)
    found = step.apply(ROWS, Filter(), given)
    assert set(found) <= {row.id for row in ROWS}
    assert {reason for reason, _ in found.values()} <= set(step.meanings) <= set(MEANINGS)
    assert all(detail for _, detail in found.values())
    assert found or step.name not in STRIKE


@pytest.mark.parametrize("name", STEPS)
def test_a_step_names_the_parameter_and_the_scorer_that_it_decides_by(name):
    by = STEPS[name].by(Filter())
    assert by or name not in ("threshold", "perplexity", "density_perplexity", "top")
    if by and by.parameter != "steps":
        assert getattr(Filter(), by.parameter) == by.scorer
    assert by is None or by.columns


@pytest.mark.parametrize(
    ("constraints", "reason", "detail"),
    [
        (None, "", ""),
        ([], "", ""),
        ([("no_digits", True)], "", ""),
        ([("no_digits", False)], "breaks_constraint", "no_digits: <no_digits>"),
        ([("one_line", True), ("no_digits", False), ("table", False)], "breaks_constraint", "no_digits: <no_digits>"),
    ],
)
def test_an_answer_that_breaks_a_constraint_of_its_instruction_goes_with_the_first_such(constraints, reason, detail):
    held = [{"family": name, "arguments": {}, "text": f"<{name}>", "kept": kept} for name, kept in constraints or []]
    pair = Pair.from_row(
        {"id": "1", "instruction": "Do.", "input": "", "output": "Done."} | ({"constraints": held} if held else {})
    )
    assert STEPS["constraints_kept"].problem(ScoredPair(pair, {}), Filter()) == (reason, detail)
    assert pair.as_row().get("constraints", []) == held, "it stays a candidate, with what it keeps and breaks"
