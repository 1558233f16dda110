"""The process of the tests: what they call of the program is asked of its process, and answered in plain values.

    area = Remote(0)     # a function in the other process
    area(1) == 3.14      # the argument goes there, a number comes back; equality is Python's own

Runs inside the sandbox, where no packages are: it imports the standard library and its neighbours alone.
"""

from __future__ import annotations

import builtins
import os

from isheep_lib.sandbox.child import GONE, LARGE, PASSED, confine, execute
from isheep_lib.sandbox.wire import pack, receive, send, unpack

TYPE_CHECKING = False  # typing itself takes longer to import than all that runs here
if TYPE_CHECKING:
    from typing import Any, NoReturn

_settings: dict[str, Any] = {}
_remotes: dict[int, Remote] = {}


class Remote:
    """Something that the program made and that is no plain value; it equals itself alone."""

    def __init__(self, number: int) -> None:
        """Stand for what the program keeps under a number."""
        object.__setattr__(self, "__number__", number)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what Python and its libraries look for is ours
            raise AttributeError(name)
        return _ask("getattr", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        _ask("setattr", self, name, value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it in its own process."""
        return _ask("call", self, args, kwargs)

    def __getitem__(self, key: Any) -> Any:
        return _ask("getitem", self, key)

    def __iter__(self) -> Any:
        return _ask("iter", self)

    def __next__(self) -> Any:
        return _ask("next", self)

    def __len__(self) -> int:
        return _ask("len", self)

    def __bool__(self) -> bool:
        return _ask("bool", self)

    def __str__(self) -> str:
        return _ask("str", self)


def main(settings: dict) -> None:
    """Run the tests."""
    _settings.update(settings)
    confine(settings, _run)


def _run(text: str, settings: dict) -> bytes:
    wanted = settings["names"]
    found = _ask("names", list(wanted.values()))  # comes when the program has come to its end
    names = {alias: found[name] for alias, name in wanted.items() if name in found}
    if wanted and not names:
        raise NameError(f"the program does not define {' or '.join(dict.fromkeys(wanted.values()))}")
    execute(text, {"__name__": "tests", **names})
    return PASSED


def _ask(operation: str, *args: Any) -> Any:
    """Have the program do something; without it there is nothing left to test, whatever the tests would catch."""
    try:
        send(_settings["writes"], pack((operation, args), _number))
        reply = receive(_settings["reads"])
    except (EOFError, BrokenPipeError):
        _leave(GONE)
    except OverflowError:
        _leave(LARGE)
    kind, content = unpack(reply, _remote)
    if kind == "return":
        return content
    name, args = content
    raised = vars(builtins).get(name)
    if raised is StopIteration and operation != "next":
        raised = RuntimeError  # as in a generator: it would end a loop of the tests
    raise (raised if isinstance(raised, type) and issubclass(raised, Exception) else Exception)(*args)


def _leave(message: bytes) -> NoReturn:
    os.write(_settings["result"], message)
    os._exit(0)


def _number(value: Any) -> int:
    if isinstance(value, Remote):
        return value.__number__
    raise TypeError(f"the tests pass a {type(value).__name__}; plain values can be passed, and what the program made")


def _remote(number: int) -> Remote:
    return _remotes.setdefault(number, Remote(number))
