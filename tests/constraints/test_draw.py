"""Constraints for one task: drawn by a seed, compatible, appended, held against an answer."""

import random

from hypothesis import given
from hypothesis import strategies as st

from isheep_lib.constraints.draw import Constraint, asked, draw, is_met, read_rows, rows_of
from isheep_lib.constraints.family import FAMILIES, selected


@given(st.integers(0, 2**32), st.integers(1, 4))
def test_what_is_drawn_is_of_several_compatible_families_and_the_same_for_the_same_seed(seed, number):
    families = selected(["all"])
    found = draw(families, number, random.Random(seed))
    assert found == draw(families, number, random.Random(seed))
    names = [constraint.family for constraint in found]
    assert len(set(names)) == len(names) == number
    assert not any(other in FAMILIES[name].conflicts for name in names for other in names)
    for constraint in found:
        family = FAMILIES[constraint.family]
        assert dict(constraint.arguments) in family.choices()
        assert constraint.text in [family.text(constraint.arguments, i) for i in range(len(family.texts))]


def test_fewer_are_drawn_where_no_more_go_together():
    found = draw(selected(["one_line", "lines_exactly"]), 3, random.Random(0))
    assert len(found) == 1


def test_every_family_and_phrasing_is_drawn_sooner_or_later():
    found = [c for seed in range(3000) for c in draw(selected(["all"]), 1, random.Random(seed))]
    assert {c.family for c in found} == set(FAMILIES)
    assert {c.text for c in found if c.family == "no_commas"} == set(FAMILIES["no_commas"].texts)


NO_COMMAS = Constraint("no_commas", {}, "There must be no commas in it.")
NO_DIGITS = Constraint("no_digits", {}, "Write without digits.")


def test_constraints_stand_behind_the_instruction_on_its_line_or_on_one_of_their_own():
    made = {asked("Name a use of salt.", [NO_COMMAS, NO_DIGITS], random.Random(seed)) for seed in range(20)}
    texts = f"{NO_COMMAS.text} {NO_DIGITS.text}"
    assert made == {f"Name a use of salt. {texts}", f"Name a use of salt.\n{texts}"}


def test_constraints_have_a_line_of_their_own_where_the_instruction_is_no_single_whole_sentence():
    for instruction in ("Name a use of salt", "Name a use:\n- salt."):
        made = {asked(instruction, [NO_COMMAS], random.Random(seed)) for seed in range(20)}
        assert made == {f"{instruction}\n{NO_COMMAS.text}"}


def test_a_row_keeps_of_each_constraint_whether_its_answer_meets_it():
    rows = rows_of([NO_COMMAS, NO_DIGITS], "None here, but 3.")
    assert rows == [
        {"family": "no_commas", "arguments": {}, "text": NO_COMMAS.text, "kept": False},
        {"family": "no_digits", "arguments": {}, "text": NO_DIGITS.text, "kept": False},
    ]
    assert read_rows(rows) == [NO_COMMAS, NO_DIGITS]
    assert not is_met({"constraints": rows})
    assert is_met({"constraints": rows_of([NO_COMMAS, NO_DIGITS], "None.")})
    assert is_met({"instruction": "no constraint"})
