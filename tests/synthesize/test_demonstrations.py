"""Demonstrations: who is drawn how often, from where, and that the model is asked once."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isheep_lib.record.journal import Journal
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.demonstrations import KEY, Demonstrations, prepare_demonstrations
from isheep_lib.synthesize.lists import ListOptions
from tests.scripted import ScriptedEngine
from tests.writings import FRAME

few = settings(max_examples=80, deadline=None)
SEEDS = [Task(f"seed-{n}", f"Name {n} rivers.") for n in range(8)]
EARLIER = [Task(f"i1-{n}", f"Describe {n} towns.") for n in range(6)]
PERPLEXITIES = [1.5, 3.0, 6.0, 12.0]
DRAWS = 6000


def parameters(demonstrations=3, **values):
    return ListOptions(**{"demonstrations": demonstrations, "tasks_per_prompt": 20, **values})


def drawn(given_demonstrations, seed, earlier=(), **values):
    return [task.id for task in given_demonstrations.draw(list(earlier), parameters(**values), seed)]


def agrees(count, probability, draws=DRAWS):
    """Tell whether a count lies within five standard deviations of what a probability promises."""
    return abs(count - draws * probability) <= 5 * math.sqrt(draws * probability * (1 - probability))


ways = st.sampled_from(
    [
        (Demonstrations(SEEDS), "uniform"),
        (Demonstrations(SEEDS, perplexities=[1.0, 2.0, 900.0, 4.0, 1.0, 1.0, 33.0, 1.5]), "perplexity"),
        (Demonstrations(SEEDS, perplexities=[1.0, 2.0, 900.0, 4.0, 1.0, 1.0, 33.0, 1.5]), "inverse_perplexity"),
        (Demonstrations(SEEDS, clusters=[[0, 3], [1, 2, 7], [4], [5, 6]]), "one_a_cluster"),
        (Demonstrations(SEEDS, clusters=[[0, 1, 2, 3, 4, 5, 6, 7]]), "one_a_cluster"),
    ]
)


@few
@given(ways, st.integers(1, 8), st.integers(0, 7), st.integers(0, 6), st.integers(0, 2**32))
def test_any_way_draws_the_number_wanted_without_repetition(way, number, generated, there, seed):
    demonstrations, choice = way
    generated = min(generated, number - 1)
    values = {"demonstrations": number, "generated_demonstrations": generated, "demonstration_choice": choice}
    found = drawn(demonstrations, seed, EARLIER[:there], **values)
    assert len(found) == len(set(found)) == number
    written = [id_ for id_ in found if id_ in {task.id for task in EARLIER[:there]}]
    own = [id_ for id_ in found if id_ in {task.id for task in SEEDS}]
    assert len(written) == min(generated, there)
    assert len(own) == number - len(written) >= 1
    assert found == drawn(demonstrations, seed, EARLIER[:there], **values)


def test_seeds_are_drawn_uniformly():
    first = Counter(drawn(Demonstrations(SEEDS), seed)[0] for seed in range(DRAWS))
    anywhere = Counter(id_ for seed in range(DRAWS) for id_ in drawn(Demonstrations(SEEDS), seed))
    assert all(agrees(first[task.id], 1 / 8) for task in SEEDS)
    assert all(agrees(anywhere[task.id], 3 / 8) for task in SEEDS)


def test_generated_tasks_are_drawn_uniformly_and_stand_anywhere_among_the_seeds():
    found = [drawn(Demonstrations(SEEDS), seed, EARLIER, generated_demonstrations=2) for seed in range(DRAWS)]
    counts = Counter(id_ for ids in found for id_ in ids)
    assert all(agrees(counts[task.id], 2 / 6) for task in EARLIER)
    assert all(agrees(counts[task.id], 1 / 8) for task in SEEDS)
    assert all(agrees(sum(ids[place].startswith("seed") for ids in found), 1 / 3) for place in range(3))


def test_without_earlier_tasks_a_prompt_is_the_same_as_without_generated_ones():
    for seed in range(20):
        alone = drawn(Demonstrations(SEEDS), seed, EARLIER)
        assert drawn(Demonstrations(SEEDS), seed, [], generated_demonstrations=2) == alone


@pytest.mark.parametrize(("choice", "sign"), [("perplexity", 1), ("inverse_perplexity", -1)])
def test_weighted_seeds_are_drawn_one_after_the_other_in_proportion_to_the_weights_left(choice, sign):
    weighted = Demonstrations(SEEDS[:4], perplexities=PERPLEXITIES)
    found = [tuple(drawn(weighted, seed, demonstrations=2, demonstration_choice=choice)) for seed in range(DRAWS)]
    weights = {task.id: value**sign for task, value in zip(SEEDS, PERPLEXITIES, strict=False)}
    total = sum(weights.values())
    first, ordered = Counter(one for one, _ in found), Counter(found)
    assert all(agrees(first[one], weights[one] / total) for one in weights)
    pairs = [(one, other) for one in weights for other in weights if one != other]
    assert all(agrees(ordered[one, o], weights[one] / total * weights[o] / (total - weights[one])) for one, o in pairs)


def test_weighted_seeds_fill_the_places_that_generated_tasks_leave():
    weighted = Demonstrations(SEEDS[:4], perplexities=PERPLEXITIES)
    values = {"generated_demonstrations": 2, "demonstration_choice": "perplexity"}
    counts = Counter(id_ for seed in range(DRAWS) for id_ in drawn(weighted, seed, EARLIER, **values))
    total = sum(PERPLEXITIES)
    assert all(agrees(counts[task.id], value / total) for task, value in zip(SEEDS, PERPLEXITIES, strict=False))


def test_no_two_seeds_come_from_one_cluster_and_all_seeds_have_their_turn():
    clusters = [[0, 3], [1, 2, 7], [4], [5, 6]]
    of = {f"seed-{place}": number for number, group in enumerate(clusters) for place in group}
    values = {"demonstrations": 3, "demonstration_choice": "one_a_cluster"}
    found = [drawn(Demonstrations(SEEDS, clusters=clusters), seed, **values) for seed in range(DRAWS)]
    assert all(len({of[id_] for id_ in ids}) == 3 for ids in found)
    counts = Counter(id_ for ids in found for id_ in ids)
    assert all(agrees(counts[id_], 3 / 4 / len(clusters[number])) for id_, number in of.items())


def test_fewer_clusters_than_wanted_are_each_shown_and_the_rest_is_drawn_from_all_seeds():
    clusters = [[0, 1, 2, 3, 4, 5, 6], [7]]
    values = {"demonstrations": 4, "demonstration_choice": "one_a_cluster"}
    found = [drawn(Demonstrations(SEEDS, clusters=clusters), seed, **values) for seed in range(50)]
    assert all("seed-7" in ids and len(set(ids)) == 4 for ids in found)


class Knowing(ScriptedEngine):
    """Knows a log probability and a vector of every text by the number in it."""

    def logprobs(self, pairs):
        self.calls.append(pairs)
        return [(-2.0 * int(text.split()[1]), 2 + int(text.split()[1])) for _, text in pairs]

    def embed(self, texts):
        self.calls.append(texts)
        return np.array([[100.0 * (int(text.split()[1]) % 3), 0.0] for text in texts], np.float32)


def prepare(engine, path, **values):
    with Journal(path / "j.jsonl", "f") as journal:
        return prepare_demonstrations(engine, FRAME, SEEDS, parameters(**values), len, journal)


def test_a_perplexity_is_that_of_the_seed_alone_by_token(tmp_path):
    engine = Knowing()
    found = prepare(engine, tmp_path, demonstration_choice="inverse_perplexity")
    assert engine.calls == [[("", task.instruction) for task in SEEDS]]
    assert found.perplexities == pytest.approx([math.exp(2.0 * n / (2 + n)) for n in range(8)], abs=1e-4)
    assert found.clusters == []


def test_the_input_of_a_seed_belongs_to_its_text(tmp_path):
    engine = ScriptedEngine()
    seeds = [Task("a", "Add.", "1, 2"), Task("b", "Sing.")]
    with Journal(tmp_path / "j.jsonl", "f") as journal:
        prepare_demonstrations(engine, FRAME, seeds, parameters(demonstration_choice="perplexity"), len, journal)
    assert engine.calls == [[("", "Add.\n\n1, 2"), ("", "Sing.")]]


def test_a_text_of_no_tokens_does_not_stop_the_drawing(tmp_path):
    engine = ScriptedEngine()
    engine.logprobs = lambda pairs: [(0.0, 0) for _ in pairs]
    found = prepare(engine, tmp_path, demonstration_choice="perplexity")
    assert found.perplexities == [1.0] * 8
    assert len(drawn(found, 0, demonstration_choice="perplexity")) == 3


def test_there_are_as_many_clusters_as_demonstrations_and_they_hold_every_seed(tmp_path):
    found = prepare(Knowing(), tmp_path, demonstration_choice="one_a_cluster")
    assert sorted(found.clusters) == [[0, 3, 6], [1, 4, 7], [2, 5]]
    assert found.perplexities == []


def test_seeds_drawn_alike_ask_the_model_nothing_and_leave_no_row(tmp_path):
    engine = Knowing()
    assert prepare(engine, tmp_path, demonstration_choice="uniform") == Demonstrations(SEEDS)
    assert engine.calls == []
    with Journal(tmp_path / "j.jsonl", "f") as journal:
        assert journal.rows == {}


@pytest.mark.parametrize("choice", ["perplexity", "inverse_perplexity", "one_a_cluster"])
def test_what_the_journal_knows_is_not_asked_again(tmp_path, choice):
    first = prepare(Knowing(), tmp_path, demonstration_choice=choice)
    again = Knowing()
    second = prepare(again, tmp_path, demonstration_choice=choice)
    assert again.calls == []
    assert second == first
    values = {"demonstration_choice": choice}
    assert [drawn(first, seed, **values) for seed in range(20)] == [drawn(second, seed, **values) for seed in range(20)]
    with Journal(tmp_path / "j.jsonl", "f") as journal:
        assert list(journal.rows) == [KEY]


@pytest.mark.parametrize(
    ("demonstrations", "expected"),
    [
        (Demonstrations(SEEDS), [8]),
        (Demonstrations(SEEDS[:4], perplexities=[6.0, 1.5, 12.0, 3.0]), [1.5, 12.0]),
        (Demonstrations(SEEDS, clusters=[[2, 0], [1], [3, 4, 5, 6, 7]]), [0, 1]),
    ],
)
def test_the_table_shows_what_weighs_or_groups_the_seeds(demonstrations, expected):
    assert [next(iter(row.values())) for row in demonstrations.table(2).rows] == expected


def test_few_seeds_are_each_shown_once_with_their_perplexity():
    rows = Demonstrations(SEEDS[:4], perplexities=PERPLEXITIES).table(6).rows
    assert [row["perplexity"] for row in rows] == PERPLEXITIES
