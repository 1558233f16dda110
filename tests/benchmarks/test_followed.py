"""What checked rows say by type, by practice, and without prompts whose check draws."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isheep_lib.benchmarks.followed import by_practice, by_type, more_of, practised_types, values_by_practice, without_chance
from isheep_lib.constraints.family import FAMILIES


def row(id_, *followed):
    """Make a checked row of (type, strict, loose)."""
    kinds, strict, loose = (list(column) for column in zip(*followed, strict=True))
    scores = {"prompt_strict": float(all(strict)), "prompt_loose": float(all(loose))}
    return {"id": id_, "instructions": kinds, "strict": strict, "loose": loose, "scores": scores}


ROWS = [row("1", ("a:x", True, True), ("b:y", False, True)), row("2", ("a:x", False, False)), row("1122", ("b:y", True, True))]


def test_types_are_counted_over_all_prompts():
    assert by_type(ROWS) == {
        "a:x": {"items": 2, "strict": 50.0, "loose": 50.0},
        "b:y": {"items": 2, "strict": 50.0, "loose": 100.0},
    }


def test_practised_types_and_the_others_have_an_accuracy_each_by_instruction():
    found = by_practice(ROWS, ["a:x"])
    assert {group: (each["value"], each["items"]) for group, each in found.items()} == {"seen": (50.0, 2), "unseen": (50.0, 2)}
    assert by_practice(ROWS, ["a:x"], "loose")["unseen"]["value"] == 100.0
    assert set(by_practice(ROWS, ["a:x", "b:y"])) == {"seen"}
    assert values_by_practice(ROWS, ["a:x"])["seen"] == {"1": [1.0], "2": [0.0], "1122": []}


KINDS = st.sampled_from(["a:x", "b:y", "c:z"])
FOLLOWED = st.lists(st.tuples(KINDS, st.booleans(), st.booleans()), min_size=1, max_size=3)


@given(st.lists(FOLLOWED, min_size=1, max_size=8), st.sets(KINDS))
def test_groups_and_types_divide_the_instructions(prompts, types):
    rows = [row(str(n), *followed) for n, followed in enumerate(prompts)]
    total = sum(map(len, prompts))
    assert sum(each["items"] for each in by_type(rows).values()) == total
    groups = by_practice(rows, types)
    assert sum(each["items"] for each in groups.values()) == total
    right = sum(strict for followed in prompts for _, strict, _ in followed)
    assert sum(each["value"] * each["items"] for each in groups.values()) == pytest.approx(100 * right, abs=0.01)


def test_only_ifeval_has_prompts_whose_check_draws_and_their_absence_is_no_second_score():
    assert [each["id"] for each in without_chance(ROWS)] == ["1", "2"]
    assert more_of("ifeval", ROWS, {})["without_chance"]["prompt_strict"]["items"] == 2
    assert "without_chance" not in more_of("ifeval", ROWS[:2], {})
    assert "without_chance" not in more_of("ifeval", ROWS[2:], {}), "nothing is left"
    assert "without_chance" not in more_of("ifbench", ROWS, {})


def test_what_was_practised_is_read_from_the_rows_that_were_learned():
    def learned(*families):
        return {
            "id": "1",
            "instruction": "Do it.",
            "constraints": [{"family": name, "arguments": {}, "text": "", "kept": True} for name in families],
        }

    assert practised_types([{"id": "1", "instruction": "Do it."}]) == {}
    assert practised_types([learned("no_dashes")]) == {"ifeval": [], "ifbench": []}
    found = practised_types(
        [learned("no_commas", "numbers_at_least"), learned("words_at_most"), {"id": "1", "instruction": "Do."}]
    )
    assert found == {
        "ifeval": ["length_constraints:number_words", "punctuation:no_comma"],
        "ifbench": ["count:numbers", "count:word_count_range"],
    }
    assert more_of("ifeval", ROWS, found)["practised"]["types"] == found["ifeval"]
    assert "practised" not in more_of("ifeval", ROWS, {})


def test_rows_made_of_pairs_of_answers_practise_what_their_instruction_asks():
    rows = [{"id": "1-score/chosen", "instruction": "Speak of salt. There must be no commas in it.", "output": "Salt."}]
    assert practised_types(rows) == {"ifeval": ["punctuation:no_comma"], "ifbench": []}


@pytest.mark.parametrize("benchmark", ["ifeval", "ifbench"])
def test_the_types_that_families_are_like_are_types_of_the_benchmark(benchmark):
    from isheep_lib.benchmarks.catalogue import BENCHMARKS, PACKAGES
    from isheep_lib.benchmarks.data import ABSENT, data_digest, read_docs

    if data_digest(benchmark) == ABSENT:
        pytest.skip(f"{PACKAGES[BENCHMARKS[benchmark].package]} is not installed")
    known = {kind for doc in read_docs(BENCHMARKS[benchmark]) for kind in doc["instruction_id_list"]}
    assert {kind for family in FAMILIES.values() for kind in getattr(family, benchmark)} <= known
