"""A cache with room for tokens to come holds what one without room does, and copies only when the room is used up."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from isheep_lib.engines.batching.decoding import ROOM, RoomyLayer, make_room

few = settings(max_examples=30, deadline=None)
steps = st.lists(st.one_of(st.integers(1, ROOM + 9), st.lists(st.integers(0, 2), min_size=1, max_size=3)), max_size=6)


def filled(rows: int, length: int) -> DynamicCache:
    cache = DynamicCache()
    for number in range(2):
        cache.update(states(rows, length, number), states(rows, length, number + 7), number)
    return cache


def states(rows: int, length: int, seed: int) -> torch.Tensor:
    return torch.randn(rows, 2, length, 4, generator=torch.Generator().manual_seed(seed))


@few
@given(st.integers(1, 9), steps)
def test_whatever_is_added_and_selected_is_held_as_without_room(length, steps):
    """A number adds so many tokens, a list selects rows, where they are still there."""
    plain, roomy, rows = filled(3, length), filled(3, length), 3
    make_room(roomy)
    for seed, step in enumerate(steps):
        if isinstance(step, list):
            index = torch.tensor([row % rows for row in step])
            plain.batch_select_indices(index)
            roomy.batch_select_indices(index)
            rows = len(index)
            continue
        for number in range(2):
            new = states(rows, step, seed + number), states(rows, step, seed + number + 50)
            for a, b in zip(plain.update(*new, number), roomy.update(*new, number), strict=True):
                assert torch.equal(a, b)
        assert plain.get_seq_length() == roomy.get_seq_length()


def test_a_token_is_added_without_a_copy_while_there_is_room():
    cache = filled(3, 5)
    make_room(cache)
    places = set()
    for _ in range(ROOM):
        cache.update(states(3, 1, 0), states(3, 1, 0), 0)
        places.add(cache.layers[0].keys.data_ptr())
    assert len(places) == 1
    cache.update(states(3, 2, 0), states(3, 2, 0), 0)
    assert cache.layers[0].keys.data_ptr() not in places


def test_layers_that_hold_a_window_or_nothing_yet_stay_what_they_are():
    cache = filled(1, 3)
    cache.layers[0] = DynamicSlidingWindowLayer(4)
    cache.layers.append(DynamicLayer())
    make_room(cache)
    assert [type(layer) for layer in cache.layers] == [DynamicSlidingWindowLayer, RoomyLayer, DynamicLayer]
