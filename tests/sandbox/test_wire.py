"""What crosses between a program and its tests: plain values as they are, everything else by its number."""

import contextlib
import math
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isheep_lib.sandbox.wire import LARGEST, pack, receive, send, unpack

few = settings(max_examples=100, deadline=None)
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.complex_numbers(allow_nan=False)
    | st.text(st.characters())
    | st.binary()
    | st.sampled_from([int, str, list, type(None), range(3), range(-5, 9, 2), 1 << 9999, -(1 << 9999), "\ud800", -0.0])
)
hashable = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3))
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.sets(hashable, max_size=3)
        | st.dictionaries(hashable, inner, max_size=3)
    ),
    max_leaves=20,
)


def no_object(value):
    raise AssertionError(f"{value!r} is plain")


def shape(value):
    """Tell apart what is equal and not the same: 1, 1.0 and True, 0.0 and -0.0."""
    if isinstance(value, list | tuple):
        return (type(value), [shape(item) for item in value])
    if isinstance(value, dict):
        return (dict, [(shape(key), shape(item)) for key, item in value.items()])
    if isinstance(value, set | frozenset):
        return (type(value), sorted(map(repr, map(shape, value))))
    return (type(value), value.hex() if isinstance(value, float) else value if isinstance(value, int) else repr(value))


@few
@given(values)
def test_a_plain_value_comes_back_as_it_was(value):
    assert shape(unpack(pack(value, no_object), no_object)) == shape(value)


def test_what_is_no_number_comes_back():
    found = unpack(pack([math.nan, complex(math.nan, math.inf)], no_object), no_object)
    assert math.isnan(found[0])
    assert math.isnan(found[1].real)
    assert found[1].imag == math.inf


@few
@given(st.lists(st.integers() | st.text(), max_size=3))
def test_what_is_no_plain_value_crosses_by_its_number(plain):
    kept = [object(), print, len]
    text = pack([plain, *kept, {1: kept[0]}], kept.index)
    assert unpack(text, kept.__getitem__) == [plain, *kept, {1: kept[0]}]


@few
@given(st.binary(max_size=60), st.data())
def test_what_is_no_message_is_an_error_and_no_more(text, data):
    text = data.draw(st.just(text) | st.just(pack([(1, "a"), {2.5: {3}}], no_object)[: -len(text) or None]))
    with contextlib.suppress(LookupError, ValueError, TypeError, ArithmeticError):
        unpack(text, lambda number: number)


@pytest.mark.parametrize("size", [0, 1, 70_000, 3 << 20])
def test_a_message_goes_through_a_pipe_in_pieces(size):
    reads, writes = os.pipe()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(send, writes, bytes(size)).add_done_callback(lambda _: os.close(writes))
        assert receive(reads) == bytes(size)
        with pytest.raises(EOFError):
            receive(reads)
    os.close(reads)


def test_a_message_that_says_it_is_too_long_is_not_waited_for():
    reads, writes = os.pipe()
    os.write(writes, (LARGEST + 1).to_bytes(8, "big"))
    with pytest.raises(OverflowError):
        receive(reads)
    os.close(reads)
    os.close(writes)
