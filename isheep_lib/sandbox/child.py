"""What runs inside the sandbox: take on the limits, run one program, say how it ended.

`sandbox.run` hands the text of this file to a fresh Python that sees no packages; so it imports the standard library alone.
Does not cover what that Python sees of this machine (`sandbox.command`), or starting and watching it (`sandbox.run`).
"""

import os
import resource
import sys

PACKAGES = "/packages"  # where the few packages that programs may import lie in the sandbox
TMP = "/tmp"  # noqa: S108  # the sandbox's own
STARTED, FAILED, MEMORY, EXIT = b"S", b"F", b"M", b"X"
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


def run(source: int, size: int, result: int) -> None:
    """Run the program, and tell how it ended in a file: by the token alone that it came to its end.

    The token follows the program in its file and is read after it: no variable of Python holds it while the program runs.
    """
    write, read, leave = os.write, os.read, os._exit  # the program may replace those of the module
    text = read(source, size).decode()
    module = type(sys)("program")  # not __main__: what stands under `if __name__ == "__main__"` is no part of an answer
    sys.modules["program"] = module
    write(result, STARTED)
    try:
        exec(compile(text, "<program>", "exec"), module.__dict__)  # noqa: S102
        message = read(source, 64)
    except SystemExit:
        message = EXIT
    except MemoryError:
        message = MEMORY
    except BaseException as error:  # noqa: BLE001  # KeyboardInterrupt, too, is a way to fail
        message = FAILED + describe(error, text)
    write(result, message)
    leave(0)


def describe(error: BaseException, text: str) -> bytes:
    """Return the last line of the traceback; without a message, the line of the program instead."""
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


def main(settings: dict) -> None:
    """Take on the limits of the settings and run the program."""
    if settings["user"]:
        become(settings["user"])
    limit(**{name: settings[name] for name in ("memory_mb", "disk_mb", "cpu_seconds", "processes")})
    sys.path += settings["packages"]
    run(settings["source"], settings["size"], settings["result"])
