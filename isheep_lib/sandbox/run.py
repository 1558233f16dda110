"""Model-written Python, run confined: no network, no files but Python's own, limits on time, memory, disk and processes.

    method = find_sandbox()  # "bubblewrap", "namespaces" or ""
    run_program("assert 1 + 1 == 2", method)  # Outcome(passed=True, reason="passed", detail="")

Each program gets a process of its own in a fresh temporary folder, without environment or stdin. It has passed when it
came to its end: only then it hands back a token it was given for this one run. `sys.exit(0)`, `os._exit(0)` or
printing do not do that. A program that searches its own process for the token could: it lies unread in a pipe.

Covers running and telling how a program ended. Does not cover which program to run (`benchmarks.code_extraction`), or what
happens inside the sandbox (`sandbox.child`).
"""

import contextlib
import functools
import os
import resource
import secrets
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from isheep_lib.errors import DataError
from isheep_lib.record.progress import Progress
from isheep_lib.sandbox.child import EXIT, FAILED, MEMORY, PACKAGES, REFUSED, STARTED, TMP, system_call_filter
from isheep_lib.sandbox.command import COMMANDS, FLAGS, bubblewrap, inside, offered, own_user, python, unshare, view_of_system

Method = Literal["bubblewrap", "namespaces", "unconfined"]
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
    """Return the first confined method that works here, or ""; each is tried once, by running a program."""
    return next((method for method in ("bubblewrap", "namespaces") if not why_not(method)), "")


def sandbox_method(wanted: str) -> str:
    """Choose how programs run, "" for not at all: confined where that works, else "unconfined" where it is `wanted`."""
    return find_sandbox() or ("unconfined" if wanted == "unconfined" else "")


@functools.cache
def why_not(method: str) -> str:
    """Return why a method does not work here, or ""."""
    if method != "unconfined" and (sys.platform != "linux" or os.uname().machine not in REFUSED):
        return "it needs Linux on x86_64 or aarch64"
    command = COMMANDS.get(method)
    if command and not shutil.which(command):
        return f"the command {command} is not installed"
    try:
        outcome = _run("import json", method, Limits(seconds=120.0))  # a busy machine is no reason to run no programs
    except DataError as error:
        return error.what
    return "" if outcome.passed else f"a program that should pass ended with {outcome.reason}: {outcome.detail}"


def require_method(method: str) -> None:
    """Check that programs can be run by this method.

    Raises:
        DataError: the method is unknown, "" (none was found), or does not work here.
    """
    names = "bubblewrap, namespaces or unconfined"
    if method not in ("bubblewrap", "namespaces", "unconfined", ""):
        raise DataError(f"Programs cannot be run by {method!r}", allowed=names)
    missing = [f"{name}: {why_not(name)}" for name in ([method] if method else ["bubblewrap", "namespaces"]) if why_not(name)]
    if missing or not method:
        raise DataError(
            "There is no sandbox to run model-written programs in: " + "; ".join(missing),
            allowed=names,
            do="install bubblewrap (apt install bubblewrap), or allow user namespaces, or run as root; where the machine "
            'is itself disposable, "unconfined" runs the programs with limits but with your files and network in reach',
        )


def run_program(program: str, method: str, limits: Limits = DEFAULT) -> Outcome:
    """Run one program and tell how it ended.

    Raises:
        DataError: the method does not work here.
    """
    require_method(method)
    return _run(program, method, limits)


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
    """Start a program with its three pipes and watch it to its end."""
    token = secrets.token_bytes(16)
    with contextlib.ExitStack() as stack:
        user = stack.enter_context(own_user()) if os.geteuid() == 0 and method != "unconfined" else 0
        source = stack.enter_context(tempfile.TemporaryFile())
        source.write(program.encode(errors="replace"))
        source.seek(0)
        token_read = _filled(stack, token)
        result_read, result_write = os.pipe()
        stack.callback(os.close, result_read)
        pipes = [source.fileno(), token_read, result_write]
        settings: dict[str, Any] = {**asdict(limits), "method": method, "user": user, "files": FILES, "pipes": pipes}
        settings["packages"] = [PACKAGES]
        folder, before = None, []
        if method == "bubblewrap":
            pipes.append(_filled(stack, system_call_filter(os.uname().machine)))
            before, settings["pipes"] = bubblewrap(user > 0, limits.disk_mb, pipes[-1]), pipes[:3]
        elif method == "namespaces":
            before, settings["view"] = unshare(user > 0), view_of_system()
        else:
            settings["packages"] = sorted({str(path.parent) for path in offered()})
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="isheep-", ignore_cleanup_errors=True))
        try:
            process = subprocess.Popen(  # noqa: S603
                [*before, python(), *FLAGS, "-c", f"{inside()}\nmain({settings!r})"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=folder or "/",
                env=ENVIRONMENT,
                pass_fds=pipes,
                start_new_session=True,
            )
        finally:
            os.close(result_write)
        watch = _Watch(process, result_read, limits, method)
        return watch.outcome(token, watch.until_the_end())


def _filled(stack: contextlib.ExitStack, content: bytes) -> int:
    """Return the reading end of a pipe that holds this and nothing more."""
    read, write = os.pipe()
    stack.callback(os.close, read)
    os.write(write, content)
    os.close(write)
    return read


class _Watch:
    """Watches one program until it has said how it ended, is gone, or has used too much; then nothing of it is left."""

    def __init__(self, process: subprocess.Popen[bytes], result: int, limits: Limits, method: str) -> None:
        self._process, self._result, self._limits, self._method = process, result, limits, method
        self._message, self._printed = b"", b""
        os.set_blocking(result, False)

    def until_the_end(self) -> str:
        """Wait and clear away; return which limit was reached, or ""."""
        try:
            return self._wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)  # and its namespace's first process, so all that is in there
            self._process.wait()
            with self._process.stdout as output:
                with contextlib.suppress(BlockingIOError):  # unconfined, another process may still hold it
                    os.set_blocking(output.fileno(), False)
                    self._printed += os.read(output.fileno(), 1 << 16)  # said since the last look: as much as a pipe holds
                self._read_result(seconds=0.0 if self._method == "unconfined" else 5.0)

    def _wait(self) -> str:
        output = self._process.stdout.fileno()
        deadline = time.monotonic() + self._limits.seconds
        looked = time.monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            selector.register(self._result, selectors.EVENT_READ)
            while len(self._message) < 2 and selector.get_map() and self._process.poll() is None:
                for key, _ in selector.select(max(0.0, min(TICK, deadline - time.monotonic()))):
                    data = os.read(key.fd, 1 << 16)
                    if not data:
                        selector.unregister(key.fd)
                    elif key.fd == output:
                        self._printed += data
                    else:
                        self._message += data
                if len(self._printed) > self._limits.output_kb << 10:
                    return "output"
                if time.monotonic() > deadline:
                    return "timeout"
                if time.monotonic() - looked > TICK:
                    looked = time.monotonic()
                    if reason := self._used_up():
                        return reason
        return ""

    def _read_result(self, seconds: float) -> None:
        """Read what is left; the pipe closes when the last process in the sandbox is gone."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                data = os.read(self._result, 1 << 16)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    return
                time.sleep(0.001)
                continue
            if not data:
                return
            self._message = (self._message + data)[:4096]

    def _used_up(self) -> str:
        """Look at what no limit of the kernel covers: the memory of all processes together, the number of files."""
        pids = list(_tree(self._process.pid))
        if sum(map(_resident, pids)) > self._limits.memory_mb << 20:
            return "memory"
        for pid in pids[1:]:
            with contextlib.suppress(OSError):
                room = os.statvfs(f"/proc/{pid}/root{TMP}")
                own = room.f_blocks * room.f_frsize == self._limits.disk_mb << 20  # not this machine's own folder
                if self._method == "bubblewrap" and own and room.f_files - room.f_ffree > FILES:
                    return "disk"
        return ""

    def outcome(self, token: bytes, reason: str) -> Outcome:
        """Say how the program ended.

        Raises:
            DataError: it never began.
        """
        started, verdict, detail = self._message[:1], self._message[1:2], _one_line(self._message[2:])
        if started != STARTED:
            raise DataError(f"The sandbox ({self._method}) did not start: {_one_line(self._printed[-300:]) or reason}")
        if reason:
            return Outcome(False, reason)
        if self._message.endswith(token):
            return Outcome(True, "passed")
        if verdict == FAILED:
            return Outcome(False, "failed", detail)
        if verdict in (MEMORY, EXIT):
            return Outcome(False, "memory" if verdict == MEMORY else "exit")
        code = self._process.returncode
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
