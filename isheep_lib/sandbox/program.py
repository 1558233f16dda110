"""The process of a program: it runs what a model wrote, and then does what the tests ask until they have ended.

It holds no test, no expected value and no verdict: what it says of itself is a reason at most.
Runs inside the sandbox, where no packages are: it imports the standard library and its neighbours alone.
"""

from __future__ import annotations

import builtins
import sys

from isheep_lib.sandbox.child import confine, execute
from isheep_lib.sandbox.wire import pack, receive, send, unpack

TYPE_CHECKING = False  # typing itself takes longer to import than all that runs here
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# What the tests may ask of anything that the program made, besides the names of its module.
OPERATIONS: dict[str, Callable[..., Any]] = {
    "call": lambda function, args, kwargs: function(*args, **kwargs),
    "getattr": getattr,
    "setattr": setattr,
    "getitem": lambda value, key: value[key],
    "iter": iter,
    "next": next,
    "len": len,
    "bool": bool,
    "str": str,
}


def main(settings: dict) -> None:
    """Run the program and serve its tests."""
    confine(settings, _run)


def _run(text: str, settings: dict) -> bytes:
    module = type(sys)("program")  # not __main__: what stands under `if __name__ == "__main__"` is no part of an answer
    sys.modules["program"] = module
    execute(text, module.__dict__)
    kept: list[Any] = []  # never let go, so that no identity is used twice
    numbers: dict[int, int] = {}

    def keep(value: Any) -> int:
        if id(value) not in numbers:
            numbers[id(value)] = len(kept)
            kept.append(value)
        return numbers[id(value)]

    operations = OPERATIONS | {"names": lambda names: {name: vars(module)[name] for name in names if name in vars(module)}}
    while True:
        request = receive(settings["reads"])
        try:
            operation, args = unpack(request, kept.__getitem__)
            reply = pack(("return", operations[operation](*args)), keep)
        except Exception as error:  # noqa: BLE001  # it is the tests that say which may be raised
            reply = pack(("raise", _built_in(error)), keep)
        send(settings["writes"], reply)


def _built_in(error: Exception) -> tuple[str, tuple[Any, ...]]:
    """Name the nearest built-in exception, and what it is made of."""
    kind = next(kind for kind in type(error).__mro__ if vars(builtins).get(kind.__name__) is kind)
    return kind.__name__, error.args if kind is type(error) else tuple(filter(None, [str(error)]))
