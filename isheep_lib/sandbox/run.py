"""Model-written Python, run confined: no network, no files but Python's own, limits on time, memory, disk and processes.

    method = find_sandbox()  # "bubblewrap" or ""
    run_programs({"one": "assert 1 + 1 == 2"}, method)  # {"one": Outcome(passed=True, reason="passed", detail="")}

Each program gets a process of its own in a fresh temporary folder, without environment or stdin. It has passed when it
came to its end: only then it hands back a token it was given for this one run. `sys.exit(0)`, `os._exit(0)` or
printing do not do that. A program that searches its open files for the token could.

Covers running and telling how a program ended. Does not cover which program to run (`benchmarks.code_extraction`), what it
sees (`sandbox.command`), or what happens inside the sandbox (`sandbox.child`).
"""

import contextlib
import functools
import os
import resource
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from isheep_lib.errors import DataError
from isheep_lib.record.progress import Progress
from isheep_lib.sandbox import child as sandbox_child
from isheep_lib.sandbox.child import EXIT, FAILED, MEMORY, PACKAGES, STARTED, TMP
from isheep_lib.sandbox.command import FLAGS, bubblewrap, offered, own_user, python, refusals

ENVIRONMENT = {"PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"}
FILES = 20_000  # in a program's folder; empty ones take memory, too
TICK = 0.05


@dataclass(frozen=True)
class Limits:
    """What one program may use; memory counts each process and all of them together."""

    seconds: float = 10.0
    cpu_seconds: int = 10
    memory_mb: int = 1024
    disk_mb: int = 64
    processes: int = 32
    output_kb: int = 64


@dataclass(frozen=True)
class Outcome:
    """How a program ended.

    Reasons are "passed", "failed" (an exception), "exit" (it ended before its last line), "timeout", "memory", "disk",
    "output" (too much of it) and "killed". The detail is one line, clipped and free of control characters.
    """

    passed: bool
    reason: str
    detail: str = ""


DEFAULT = Limits()


def find_sandbox() -> str:
    """Return "bubblewrap" where it works, or ""."""
    return "" if why_not("bubblewrap") else "bubblewrap"


def sandbox_method(wanted: str) -> str:
    """Choose how programs run, "" for not at all: confined where that works, else "unconfined" where it is `wanted`."""
    return find_sandbox() or ("unconfined" if wanted == "unconfined" else "")


@functools.cache
def why_not(method: str) -> str:
    """Return why a method does not work here, or ""; it is tried once, by running a program."""
    if method == "bubblewrap" and not shutil.which("bwrap"):
        return "the command bwrap is not installed"
    try:
        outcome = _run("import json", method, Limits(seconds=120.0))  # a busy machine is no reason to run no programs
    except DataError as error:
        return error.what
    return "" if outcome.passed else f"a program that should pass ended with {outcome.reason}: {outcome.detail}"


def require_method(method: str) -> None:
    """Check that programs can be run by this method, or raise a DataError: it is unknown, "" or does not work here."""
    names = "bubblewrap or unconfined"
    if method not in ("bubblewrap", "unconfined", ""):
        raise DataError(f"Programs cannot be run by {method!r}", allowed=names)
    wanted = method or "bubblewrap"
    if not method or why_not(wanted):
        raise DataError(
            f"There is no sandbox to run model-written programs in: {wanted}: {why_not(wanted)}",
            allowed=names,
            do="install bubblewrap (apt-get install bubblewrap) and allow user namespaces, or run as root; where the machine "
            'is itself disposable, "unconfined" runs the programs with limits but with your files and network in reach',
        )


def run_programs(
    programs: dict[str, str], method: str, limits: Limits = DEFAULT, label: str = "programs"
) -> dict[str, Outcome]:
    """Run programs by id, as many at a time as there are cores; outcomes come in the order of the programs."""
    require_method(method)
    with Progress(label, total=len(programs)) as progress, ThreadPoolExecutor(os.cpu_count()) as pool:
        futures = {name: pool.submit(_run, program, method, limits) for name, program in programs.items()}
        try:
            for future in as_completed(futures.values()):
                future.result()
                progress.advance()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return {name: future.result() for name, future in futures.items()}


def _run(program: str, method: str, limits: Limits) -> Outcome:
    """Start a program and watch it to its end."""
    text, token = program.encode(errors="replace"), secrets.token_bytes(16)
    settings = asdict(limits) | {"user": 0, "size": len(text), "packages": [PACKAGES]}
    with contextlib.ExitStack() as stack:
        source, result, printed, rules = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(4))
        _fill(source, text + token)
        settings |= {"source": source.fileno(), "result": result.fileno()}
        before, folder = [], "/"
        if method == "bubblewrap":
            _fill(rules, refusals())
            settings["user"] = own_user()
            before = bubblewrap(settings["user"], limits.disk_mb, rules.fileno())
        else:
            settings["packages"] = sorted({str(path.parent) for path in offered()})
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="isheep-", ignore_cleanup_errors=True))
        inside = Path(sandbox_child.__file__).read_text(encoding="utf-8")
        process = subprocess.Popen(  # noqa: S603
            [*before, python(), *FLAGS, "-c", f"{inside}\nmain({settings!r})"],
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=ENVIRONMENT,
            pass_fds=[file.fileno() for file in (source, result, rules)],
            start_new_session=True,
        )
        reached = _watch(process, printed, limits, method)
        said, message = os.pread(printed.fileno(), 4096, 0), os.pread(result.fileno(), 4096, 0)
    if not message.startswith(STARTED):
        raise DataError(f"The sandbox ({method}) did not start: {_one_line(said[-300:]) or reached}")
    return Outcome(False, reached) if reached else _outcome(message, token, process.returncode)


def _fill(file: BinaryIO, content: bytes) -> None:
    file.write(content)
    file.seek(0)


def _watch(process: subprocess.Popen[bytes], printed: BinaryIO, limits: Limits, method: str) -> str:
    """Wait until a program is gone or has used too much, clear away, and return which limit was reached, or ""."""
    deadline, reached = time.monotonic() + limits.seconds, ""
    try:
        while not reached and process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(TICK)
            if os.fstat(printed.fileno()).st_size > limits.output_kb << 10:
                reached = "output"
            elif process.poll() is None:
                reached = "timeout" if time.monotonic() > deadline else _used_up(process.pid, limits, method)
        return reached
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # and its namespace's first process, so all that is in there
        process.wait()


def _used_up(process: int, limits: Limits, method: str) -> str:
    """Look at what no limit of the kernel covers: the memory of all processes together, the number of files."""
    pids = list(_tree(process))
    if sum(map(_resident, pids)) > limits.memory_mb << 20:
        return "memory"
    for pid in pids[1:] if method == "bubblewrap" else []:
        with contextlib.suppress(OSError):
            room = os.statvfs(f"/proc/{pid}/root{TMP}")
            own = room.f_blocks * room.f_frsize == limits.disk_mb << 20  # not this machine's own folder
            if own and room.f_files - room.f_ffree > FILES:
                return "disk"
    return ""


def _outcome(message: bytes, token: bytes, code: int) -> Outcome:
    """Say how a program that reached no limit of ours ended, from what it handed back and its exit code."""
    verdict, detail = message[1:2], _one_line(message[2:])
    if message.endswith(token):
        return Outcome(True, "passed")
    if verdict == FAILED:
        return Outcome(False, "failed", detail)
    if verdict in (MEMORY, EXIT):
        return Outcome(False, "memory" if verdict == MEMORY else "exit")
    number = -code if code < 0 else max(0, code - 128)
    if number == signal.SIGXCPU:
        return Outcome(False, "timeout")
    return Outcome(False, "killed", f"signal {number}") if number else Outcome(False, "exit")


def _tree(pid: int) -> Iterator[int]:
    """Yield a process and all below it; a namespace's first process adopts those whose parent is gone."""
    yield pid
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                yield from _tree(int(child))


def _resident(pid: int) -> int:
    """Return the bytes of memory that a process holds; 0 if it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
    except (OSError, IndexError):
        return 0


def _one_line(text: bytes) -> str:
    """Make what a program said safe to print."""
    line = text.decode(errors="replace")
    return "".join(c if c.isprintable() else " " for c in line).strip()[:200]
