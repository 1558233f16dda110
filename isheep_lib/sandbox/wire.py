"""What a program and its tests say to each other: messages through pipes, plain values as they are, all others by a number.

    unpack(pack((1, {2.5}), keep), find)    # (1, {2.5})

A subclass of a built-in type crosses as what it is a subclass of, so no comparison of its own reaches the other side.
Runs inside the sandbox, where no packages are, at the start of every program: it imports no more than it must.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # typing itself takes longer to import than all that runs here
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

LARGEST = 64 << 20  # bytes of a message
SIZE = 8  # bytes of a length
TYPES = {
    kind.__name__: kind
    for kind in (bool, int, float, complex, str, bytes, list, tuple, set, frozenset, dict, range, type(None))
}
NUMBERS = "biufc"  # kinds of numpy's arrays


def pack(value: Any, keep: Callable[[Any], int]) -> bytes:
    """Write a value as bytes; `keep` gives a number to what is not plain."""
    parts: list[bytes] = []
    _write(value, keep, parts)
    return b"".join(parts)


def _write(value: Any, keep: Callable[[Any], int], parts: list[bytes]) -> None:
    kind, content = _plain(value, keep)
    parts.append(kind + len(content).to_bytes(SIZE, "big"))
    if isinstance(content, bytes):
        parts.append(content)
    else:
        for item in content:
            _write(item, keep, parts)


def _plain(value: Any, keep: Callable[[Any], int]) -> tuple[bytes, bytes | Sequence[Any]]:
    """Return the kind of a value, and its bytes or its parts."""
    if value is None:
        return b"n", b""
    if isinstance(value, bool):
        return b"b", b"1" if value else b""
    if isinstance(value, str):
        return b"s", str.encode(value, "utf-8", "surrogatepass")
    if isinstance(value, int):
        return b"i", int.to_bytes(value, (int.bit_length(value) >> 3) + 1, "big", signed=True)
    if isinstance(value, float):
        return b"f", float.hex(value).encode()
    if isinstance(value, complex):
        return b"c", (value.real, value.imag)
    if isinstance(value, bytes | bytearray):
        return b"y", bytes(value)
    if isinstance(value, dict):
        return b"d", [part for pair in value.items() for part in pair]
    for letter, collection in COLLECTIONS.items():
        if isinstance(value, collection):
            return letter, list(value)
    if isinstance(value, range):
        return b"r", (value.start, value.stop, value.step)
    if isinstance(value, type) and TYPES.get(value.__name__) is value:
        return b"k", value.__name__.encode()
    if type(value).__module__ == "numpy" and getattr(getattr(value, "dtype", None), "kind", "O") in NUMBERS:
        if value.shape == ():
            return _plain(value.item(), keep)
        return b"a", (value.tolist(), value.dtype.str, value.shape)
    return b"o", keep(value).to_bytes(SIZE, "big")


def unpack(text: bytes, find: Callable[[int], Any]) -> Any:
    """Read a value; `find` returns what has a number. What is none in this form raises an exception of some kind."""
    return _read(text, 0, find)[0]


def _read(text: bytes, start: int, find: Callable[[int], Any]) -> tuple[Any, int]:
    kind, size = text[start : start + 1], int.from_bytes(text[start + 1 : start + 1 + SIZE], "big")
    start += 1 + SIZE
    if kind == b"o":
        return find(int.from_bytes(text[start : start + size], "big")), start + size
    if kind in LEAVES:
        return LEAVES[kind](text[start : start + size]), start + size
    make, items = BRANCHES[kind], []
    for _ in range(size):
        item, start = _read(text, start, find)
        items.append(item)
    return make(items), start


def _array(items: list[Any]) -> Any:
    import numpy  # only where the other side has one

    plain, dtype, shape = items
    return numpy.array(plain, dtype).reshape(shape)


COLLECTIONS: dict[bytes, type] = {b"l": list, b"t": tuple, b"e": set, b"z": frozenset}
LEAVES: dict[bytes, Callable[[bytes], Any]] = {
    b"n": lambda _: None,
    b"b": bool,
    b"s": lambda text: text.decode("utf-8", "surrogatepass"),
    b"i": lambda text: int.from_bytes(text, "big", signed=True),
    b"f": lambda text: float.fromhex(text.decode()),
    b"y": bytes,
    b"k": lambda text: TYPES[text.decode()],
}
BRANCHES: dict[bytes, Callable[[list[Any]], Any]] = COLLECTIONS | {
    b"c": lambda parts: complex(*parts),
    b"d": lambda parts: dict(zip(parts[::2], parts[1::2], strict=True)),
    b"r": lambda parts: range(*parts),
    b"a": _array,
}


def send(pipe: int, content: bytes) -> None:
    """Write a message, its length first."""
    rest = memoryview(len(content).to_bytes(SIZE, "big") + content)
    while rest:
        rest = rest[os.write(pipe, rest) :]


def receive(pipe: int) -> bytes:
    """Read a message; an EOFError where none comes any more, an OverflowError for one that is too large."""
    size = int.from_bytes(_exactly(pipe, SIZE), "big")
    if size > LARGEST:
        raise OverflowError(size)
    return _exactly(pipe, size)


def _exactly(pipe: int, size: int) -> bytes:
    text = bytearray()
    while len(text) < size:
        part = os.read(pipe, min(size - len(text), 1 << 20))
        if not part:
            raise EOFError
        text += part
    return bytes(text)
