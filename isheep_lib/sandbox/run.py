"""Model-written Python, run confined: no network, no files but Python's own, limits on time, memory, disk and processes.

    method = find_sandbox()  # "bubblewrap" or ""
    one = Program("def one(): return 1", "assert one() == 1", {"one": "one"})
    run_programs({"one": one}, method)  # {"one": Outcome(passed=True, reason="passed", detail="")}

A program and its tests each get a process and a sandbox of their own, in a fresh temporary folder, without environment or
stdin. The tests call what the program defines through two pipes, over which plain values come back (`sandbox.wire`), and the
verdict is theirs alone: the program neither sees them nor reaches their process.

Covers running and telling how a program ended. Does not cover which program to run (`benchmarks.code_programs`), what it
sees (`sandbox.command`), or what happens inside the sandbox (`sandbox.program`, `sandbox.tester`).
"""

import contextlib
import functools
import os
import resource
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

from isheep_lib.errors import DataError
from isheep_lib.record.progress import Progress
from isheep_lib.sandbox.child import EXIT, FAILED, GONE, LARGE, MEMORY, PACKAGES, PASSED, STARTED, TMP
from isheep_lib.sandbox.command import FLAGS, PROGRAM, TESTER, bubblewrap, inside, offered, own_user, python, refusals

ENVIRONMENT = {"PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"}
FILES = 20_000  # in a program's folder; empty ones take memory, too
TICK = 0.05


@dataclass(frozen=True)
class Program:
    """What a model wrote, and how it is tested.

    Attributes:
        code: the model's part, which is run to its end first.
        tests: code that raises where the program is wrong.
        names: what the tests call of the program, by their own names for it.
    """

    code: str
    tests: str = ""
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Limits:
    """What one program may use, and its tests as much again; memory counts each process and all of them together."""

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
        outcome = _run(Program("import json"), method, Limits(seconds=120.0))  # a busy machine is no reason to run no programs
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
    programs: dict[str, Program], method: str, limits: Limits = DEFAULT, label: str = "programs"
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


@dataclass
class _Side:
    """A started process, the program's or that of its tests: what it prints, and what it says of its end."""

    process: subprocess.Popen[bytes]
    printed: BinaryIO
    pipe: int
    message: bytes = b""

    def listen(self, seconds: float) -> bool:
        """Wait for a message for a while, and tell whether it is whole."""
        poll = select.poll()
        poll.register(self.pipe, select.POLLIN)
        if poll.poll(seconds * 1000):
            self.message += os.read(self.pipe, 4096)
        return len(self.message) > len(STARTED)

    def end(self) -> None:
        """Kill the process and all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # and its namespace's first process, so all that is in there
        self.process.wait()


def _run(program: Program, method: str, limits: Limits) -> Outcome:
    """Start a program and its tests, and watch them to their end."""
    with contextlib.ExitStack() as stack:
        with contextlib.ExitStack() as ends:
            (asked, asks), (hears, answers) = _pipe(ends), _pipe(ends)
            answering = _start(stack, PROGRAM, program.code, {"reads": asked, "writes": answers}, method, limits)
            given = {"reads": hears, "writes": asks, "names": dict(program.names)}
            asking = _start(stack, TESTER, program.tests, given, method, limits)
        reached = _watch(asking, answering, limits, method)
        if asking.message == STARTED + GONE:  # the program's own end says more
            with contextlib.suppress(subprocess.TimeoutExpired):
                answering.process.wait(1.0)
        codes = [side.process.poll() for side in (asking, answering)]
        for side in (asking, answering):
            side.end()
            side.listen(0.0)
        idle = [side for side in (asking, answering) if not side.message.startswith(STARTED)]
        # On a busy machine a program may print too much before its tests have begun.
        if idle and not (len(idle) == 1 and reached in ("output", "memory", "disk")):
            said = _one_line(os.pread(idle[0].printed.fileno(), 4096, 0)[-300:])
            raise DataError(f"The sandbox ({method}) did not start: {said or reached}")
    if reached:
        return Outcome(False, reached)
    verdict = asking.message[1:2]
    if verdict == PASSED:
        return Outcome(True, "passed")
    if verdict == LARGE:
        return Outcome(False, "output")
    return _ended(answering.message, codes[1]) if verdict == GONE else _ended(asking.message, codes[0])


def _pipe(stack: contextlib.ExitStack) -> tuple[int, int]:
    ends = os.pipe()
    for end in ends:
        stack.callback(os.close, end)
    return ends


def _start(
    stack: contextlib.ExitStack, role: ModuleType, text: str, given: dict[str, Any], method: str, limits: Limits
) -> _Side:
    """Start the process of a role with its text and what it is given, pipes among it, until the stack is left."""
    source, printed, rules = (_file(stack) for _ in range(3))
    said, says = _pipe(stack)
    content = text.encode(errors="replace")
    _fill(source, content)
    settings = asdict(limits) | given | {"source": source.fileno(), "size": len(content), "result": says}
    settings |= {"user": 0, "packages": [PACKAGES]}
    before, folder = [], "/"
    if method == "bubblewrap":
        _fill(rules, refusals())
        settings["user"] = own_user()
        before = bubblewrap(settings["user"], limits.disk_mb, rules.fileno())
    else:
        settings["packages"] = sorted({str(path.parent) for path in offered()})
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="isheep-", ignore_cleanup_errors=True))
    process = subprocess.Popen(  # noqa: S603
        [*before, python(), *FLAGS, "-c", f"{inside(role)}.main({settings!r})"],
        stdin=subprocess.DEVNULL,
        stdout=printed,
        stderr=subprocess.STDOUT,
        cwd=folder,
        env=ENVIRONMENT,
        pass_fds=[source.fileno(), rules.fileno(), says, given["reads"], given["writes"]],
        start_new_session=True,
    )
    side = _Side(process, printed, said)
    stack.callback(side.end)
    return side


def _file(stack: contextlib.ExitStack) -> BinaryIO:
    return stack.enter_context(tempfile.TemporaryFile())


def _fill(file: BinaryIO, content: bytes) -> None:
    file.write(content)
    file.seek(0)


def _watch(asking: _Side, answering: _Side, limits: Limits, method: str) -> str:
    """Wait until the tests have ended or a limit is reached, and return which, or ""."""
    deadline = time.monotonic() + limits.seconds
    while True:
        ended = asking.listen(TICK) or asking.process.poll() is not None
        if any(os.fstat(side.printed.fileno()).st_size > limits.output_kb << 10 for side in (asking, answering)):
            return "output"  # also where it ended just now
        if ended:
            return ""
        if answering.process.poll() is not None:
            answering.end()  # what it left behind would keep the tests waiting
        for side in (asking, answering):
            if reached := _used_up(side.process.pid, limits, method):
                return reached
        if time.monotonic() > deadline:
            return "timeout"


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


def _ended(message: bytes, code: int | None) -> Outcome:
    """Say how a process ended that did not pass, from what it said and its exit code; None while it still runs."""
    verdict, detail = message[1:2], _one_line(message[2:])
    if verdict == FAILED:
        return Outcome(False, "failed", detail)
    if verdict == MEMORY:
        return Outcome(False, "memory")
    number = 0 if code is None or verdict == EXIT else -code if code < 0 else max(0, code - 128)
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
