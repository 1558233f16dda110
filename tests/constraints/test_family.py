"""The table of families: whole, told apart, counted against the benchmarks, chosen by name."""

import inspect
import re
import string

import pytest

from isheep_lib.constraints.checks.table import CHECKS
from isheep_lib.constraints.family import FAMILIES, GROUPS, compatible, digest, name_problem, named_in, selected, types_like


def test_there_are_enough_families_unlike_those_of_ifeval_and_the_count_is_known():
    # What a run may say of itself rests on these numbers.
    counts = {name: len(selected([name])) for name in GROUPS}
    assert counts == {
        "all": 44,
        "disjoint_from_ifeval": 24,
        "disjoint_from_ifbench": 30,
        "disjoint_from_both": 15,
        "like_ifeval": 20,
        "like_ifbench": 14,
    }


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
def test_a_family_asks_in_several_phrasings_for_what_its_check_takes(family):
    assert len(set(family.texts)) >= 3
    asked = set(inspect.signature(CHECKS[family.checker]).parameters) - {"text"}
    assert set(family.values) == asked
    for text in family.texts:
        assert {name for _, name, _, _ in string.Formatter().parse(text) if name} == asked, text
    assert all(len(values) == len(set(values)) > 1 for values in family.values.values())
    assert all(family.text(arguments, 0) for arguments in family.choices())
    assert family.rarity


def test_every_check_belongs_to_a_family():
    assert {family.checker for family in FAMILIES.values()} == set(CHECKS)


def test_families_that_conflict_say_so_of_each_other_and_never_of_themselves():
    for family in FAMILIES.values():
        assert family.name not in family.conflicts
        assert all(family.name in FAMILIES[other].conflicts for other in family.conflicts), family.name


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("no_questions", "ends_with_question"),
        ("no_digits", "numbers_at_least"),
        ("one_line", "lines_exactly"),
        ("json_only", "table"),
        ("lower_case", "capitals"),
        ("words_at_least", "words_at_most"),
        ("no_dashes", "bullets_exactly"),
    ],
)
def test_families_that_contradict_each_other_are_not_asked_together(one, other):
    assert FAMILIES[other] not in compatible(list(FAMILIES.values()), [one])


def test_no_two_phrasings_of_the_table_are_the_same():
    texts = [text for family in FAMILIES.values() for text in family.texts]
    assert len({re.sub(r"\W+", " ", text.lower()) for text in texts}) == len(texts)


def test_families_are_chosen_by_group_and_by_name_each_once_in_the_order_of_the_table():
    chosen = [family.name for family in selected(["table", "no_commas", "disjoint_from_both", "no_dashes"])]
    assert chosen == [n for n in FAMILIES if n in {*chosen}]
    assert len(set(chosen)) == len(chosen) == 16
    assert "no_commas" in chosen


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no_comas", "did you mean no_commas?"),
        ("disjoint_ifeval", "did you mean disjoint_from_ifeval?"),
        ("xyzzy", "groups are all"),
    ],
)
def test_a_name_that_is_none_gets_the_nearest(name, said):
    assert said in name_problem(name)
    assert not name_problem("all") and not name_problem("no_commas")


def test_types_that_were_practised_are_those_that_the_families_are_like():
    assert types_like(["no_commas", "words_at_least", "gone"], "ifeval") == {
        "punctuation:no_comma",
        "length_constraints:number_words",
    }
    assert types_like(["words_at_least"], "ifbench") == {"count:word_count_range"}
    assert types_like(["no_dashes"], "ifeval") == set()


def test_the_digest_is_that_of_the_file():
    assert re.fullmatch("[0-9a-f]{64}", digest())


def test_a_family_is_named_by_any_of_its_texts_and_by_no_other_family_s():
    for family in FAMILIES.values():
        for arguments in family.choices():
            for phrasing in range(len(family.texts)):
                assert named_in(f"Speak of salt. {family.text(arguments, phrasing)}") == {family.name}
    assert named_in("Speak of salt, please, without any of that.") == set()
