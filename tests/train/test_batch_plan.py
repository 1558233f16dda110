"""The plan of a training: which rows share an optimizer step, a forward pass and a process."""

from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isheep_lib.train.batch_plan import accumulation, padding_share, plan

many = settings(max_examples=150, deadline=None)
row_lengths = st.lists(st.integers(1, 60), min_size=1, max_size=50)
BATCHINGS = ("grouped", "packed")


def params(micro=1, processes=1, accumulated=4, batching="grouped", epochs=2):
    return SimpleNamespace(
        train_batch=micro * processes * accumulated,
        micro_batch=micro,
        num_processes=processes,
        batching=batching,
        epochs=epochs,
    )


layouts = st.builds(
    params,
    micro=st.integers(1, 5),
    processes=st.integers(1, 4),
    accumulated=st.integers(1, 4),
    batching=st.sampled_from(BATCHINGS),
    epochs=st.integers(1, 3),
)


def rows_of(step):
    return [row for rows in step for row in rows]


def padded(step, lengths):
    return sum(len(rows) * max(lengths[row] for row in rows) for rows in step if rows)


@many
@given(row_lengths, layouts, st.integers(0, 3))
def test_an_epoch_learns_every_row_once(lengths, given_, seed):
    found = plan(lengths, given_, seed)
    assert found.steps_per_epoch == -(-len(lengths) // given_.train_batch)
    assert len(found.steps) == found.steps_per_epoch * given_.epochs
    for epoch in range(given_.epochs):
        steps = found.steps[epoch * found.steps_per_epoch : (epoch + 1) * found.steps_per_epoch]
        assert sorted(row for step in steps for row in rows_of(step)) == list(range(len(lengths)))
        assert all(len(rows_of(step)) == given_.train_batch for step in steps[:-1])


@many
@given(row_lengths, st.sampled_from([4, 6, 12, 16]), st.data(), st.integers(0, 3))
def test_a_steps_rows_are_the_same_however_they_are_shared_out(lengths, batch, data, seed):
    divisors = st.sampled_from([n for n in range(1, batch + 1) if batch % n == 0])
    shares = []
    for batching in BATCHINGS:
        micro = data.draw(divisors)
        processes = data.draw(st.sampled_from([n for n in range(1, batch + 1) if batch // micro % n == 0]))
        layout = params(micro, processes, batch // (micro * processes), batching)
        shares.append([sorted(rows_of(step)) for step in plan(lengths, layout, seed).steps])
    assert shares[0] == shares[1]


def test_the_seed_decides_which_rows_share_a_step():
    lengths = list(range(1, 41))
    orders = {tuple(map(frozenset, map(rows_of, plan(lengths, params(), seed).steps))) for seed in range(4)}
    assert len(orders) == 4
    assert plan(lengths, params(), 3) == plan(lengths, params(), 3)


def test_each_epoch_has_an_order_of_its_own():
    found = plan(list(range(1, 41)), params(), 0)
    first, second = found.steps[: found.steps_per_epoch], found.steps[found.steps_per_epoch :]
    assert [set(rows_of(step)) for step in first] != [set(rows_of(step)) for step in second]


@many
@given(row_lengths, layouts, st.integers(0, 3))
def test_all_processes_passes_interleave_to_the_whole(lengths, given_, seed):
    found = plan(lengths, given_, seed)
    each = [found.passes(process) for process in range(given_.num_processes)]
    assert {len(passes) for passes in each} == {accumulation(given_) * len(found.steps)}
    whole = [item for together in zip(*each, strict=True) for item in together]
    assert [number for number, _ in whole] == list(range(len(whole)))
    assert [rows for _, rows in whole] == [rows for step in found.steps for rows in step]
    for passes in each:  # a process's accumulated passes belong to one step
        steps = [number // len(found.steps[0]) for number, _ in passes]
        assert steps == [i // accumulation(given_) for i in range(len(passes))]


@many
@given(row_lengths, layouts, st.integers(0, 3))
def test_a_pass_is_within_the_limit_and_idle_only_at_an_epochs_end(lengths, given_, seed):
    found = plan(lengths, given_, seed)
    number = given_.train_batch // given_.micro_batch
    for i, step in enumerate(found.steps):
        assert len(step) == number
        assert all(len(rows) <= given_.micro_batch for rows in step)
        if (i + 1) % found.steps_per_epoch:
            assert all(step)
        assert step == tuple(sorted(step, key=lambda rows: not rows)), "idle passes come last"


@many
@given(st.integers(1, 5), st.integers(1, 8), st.data(), st.integers(0, 3))
def test_grouping_pads_a_whole_step_as_little_as_any_way_can(micro, number, data, seed):
    lengths = data.draw(st.lists(st.integers(1, 60), min_size=micro * number, max_size=micro * number))
    (grouped,) = plan(lengths, params(micro, 1, number, "grouped", 1), seed).steps
    other = data.draw(st.permutations(range(len(lengths))))
    chunks = [other[i : i + micro] for i in range(0, len(other), micro)]
    assert padded(grouped, lengths) <= padded(chunks, lengths)
    widths = [max(lengths[row] for row in rows) for rows in grouped]
    assert widths == sorted(widths, reverse=True), "processes that work at the same time have passes of like width"


@many
@given(row_lengths, layouts, st.integers(0, 3))
def test_packed_passes_share_the_rows_out_evenly(lengths, given_, seed):
    given_.batching = "packed"
    for step in plan(lengths, given_, seed).steps:
        passes = [rows for rows in step if rows]
        assert len(passes) == min(len(step), len(rows_of(step))), "no pass is idle while another has two rows"
        sums = [sum(lengths[row] for row in rows) for rows in passes]
        assert max(sums) - min(sums) <= max(lengths[row] for row in rows_of(step))


@many
@given(row_lengths, layouts, st.integers(0, 3))
def test_the_share_of_padding_is_a_share_that_packing_and_single_rows_lack(lengths, given_, seed):
    found = plan(lengths, given_, seed)
    share = padding_share(found, [[length] for length in lengths], given_.batching)
    assert 0.0 <= share < 1.0
    tokens = given_.epochs * sum(lengths)
    if given_.batching == "packed" or given_.micro_batch == 1 or len(set(lengths)) == 1:
        assert share == 0.0
    else:
        assert share == pytest.approx(1 - tokens / sum(padded(step, lengths) for step in found.steps))


@pytest.mark.parametrize(
    ("lengths", "sums"),
    [
        ([8, 5, 4, 3], [9, 11]),  # 8 + 3 and 5 + 4
        ([20, 1, 1, 1], [2, 21]),  # no pass has a third row
        ([20, 1, 1], [2, 20]),
    ],
)
def test_the_packed_passes_of_known_rows(lengths, sums):
    (step,) = plan(lengths, params(2, 1, 2, "packed", 1), 0).steps
    assert sorted(sum(lengths[row] for row in rows) for rows in step) == sums


def test_the_padding_of_known_rows():
    lengths = [10, 1, 10, 1]
    for batching, expected in (("grouped", 0.0), ("packed", 0.0)):
        assert padding_share(plan(lengths, params(2, 1, 2, batching), 0), [[n] for n in lengths], batching) == expected
    assert padding_share(plan([8, 2], params(2, 1, 1), 0), [[8], [2]], "grouped") == pytest.approx(6 / 16)
    pairs = [[5, 3], [1, 1]]  # both answers of a pair stand in its pass
    assert padding_share(plan([8, 2], params(2, 1, 1), 0), pairs, "grouped") == pytest.approx(10 / 20)
    assert padding_share(plan([8, 2], params(1, 1, 2), 0), pairs, "grouped") == pytest.approx(2 / 12)


@pytest.mark.parametrize(("micro", "processes", "accumulated"), [(1, 1, 16), (4, 2, 2), (16, 1, 1), (2, 8, 1)])
def test_passes_are_accumulated_until_the_step_is_full(micro, processes, accumulated):
    assert accumulation(params(micro, processes, accumulated)) == accumulated
