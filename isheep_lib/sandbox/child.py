"""What both processes do first inside the sandbox: take on the limits, run a text, say how that ended.

`sandbox.run` hands this module, `wire` and one of `program` and `tester` to a fresh Python that sees no packages; so they
import the standard library and each other alone. Does not cover what that Python sees of this machine (`sandbox.command`),
or starting and watching it (`sandbox.run`).
"""

from __future__ import annotations

import os
import resource
import sys

TYPE_CHECKING = False  # typing itself takes longer to import than all that runs here
if TYPE_CHECKING:
    from collections.abc import Callable

PACKAGES = "/packages"  # where the few packages that programs may import lie in the sandbox
TMP = "/tmp"  # noqa: S108  # the sandbox's own
STARTED, PASSED, FAILED, MEMORY, EXIT, GONE, LARGE = b"S", b"P", b"F", b"M", b"X", b"G", b"L"
DETAIL = 400  # bytes, so that a message is one write


def become(user: int) -> None:
    """Become an ordinary user, which also takes every capability away; root alone can."""
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def limit(memory_mb: int, disk_mb: int, cpu_seconds: int, processes: int) -> None:
    """Bound this process and those it starts; a limit that is lower already stays."""
    for kind, wanted in (
        (resource.RLIMIT_AS, memory_mb << 20),
        (resource.RLIMIT_FSIZE, disk_mb << 20),
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_NPROC, processes),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        ceiling = sys.maxsize if hard == resource.RLIM_INFINITY else hard
        # The second limit of CPU time kills, the first one says why.
        resource.setrlimit(kind, (min(wanted, ceiling), min(wanted + 1, ceiling)))


def confine(settings: dict, work: Callable[[str, dict], bytes]) -> None:
    """Take on the limits of the settings, do the work with the text that lies ready, and say how that ended."""
    if settings["user"]:
        become(settings["user"])
    limit(**{name: settings[name] for name in ("memory_mb", "disk_mb", "cpu_seconds", "processes")})
    sys.path += settings["packages"]
    write, leave, result = os.write, os._exit, settings["result"]  # a program may replace those of the module
    text = os.pread(settings["source"], settings["size"], 0).decode()
    write(result, STARTED)
    try:
        message = work(text, settings)
    except SystemExit:
        message = EXIT
    except MemoryError:
        message = MEMORY
    except BaseException as error:  # noqa: BLE001  # KeyboardInterrupt, too, is a way to fail
        message = FAILED + describe(error, text)
    write(result, message)
    leave(0)


def execute(text: str, names: dict) -> None:
    """Run a text in names of its own."""
    exec(compile(text, "<program>", "exec"), names)  # noqa: S102


def describe(error: BaseException, text: str) -> bytes:
    """Return the last line of the traceback; without a message, the line of the text instead."""
    try:
        message = str(error)
    except BaseException:  # noqa: BLE001  # the program may define its own
        message = ""
    line, step = 0, error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == "<program>":
            line = step.tb_lineno
        step = step.tb_next
    if not message and line:
        message = "".join(text.split("\n")[line - 1 : line]).strip()
    return f"{type(error).__name__}: {message}".encode(errors="replace")[:DETAIL]
