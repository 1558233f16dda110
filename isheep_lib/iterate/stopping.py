"""How work ends before its time: signals, families of processes, kernels that nobody waits for.

    with signals():                # in a command: INT, TERM and HUP are raised as Stopped, a second one ends everything at once
    end(family)                    # processes, none of which is asked
    end_with_parent()              # in a kernel: it and its children end with whoever started it

Covers ending processes. Does not cover what is kept of their work (journals, checkpoints, manifests).
"""

import contextlib
import functools
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from types import FrameType

import psutil

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LOOK_SECONDS = 0.3  # between looks for the parent; Jupyter's own look is once a second and leaves children behind


class Stopped(KeyboardInterrupt):
    """The command was told to end."""

    def __init__(self, number: int) -> None:
        """Remember the signal."""
        super().__init__()
        self.number = number


@contextlib.contextmanager
def signals() -> Iterator[None]:
    """Raise a signal to end as `Stopped`, so that the work's processes end too; one that is ignored stays so (nohup)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    heard = [number for number, handler in before.items() if handler in (signal.SIG_DFL, signal.default_int_handler)]
    for number in heard:
        signal.signal(number, _stop)
    try:
        yield
    finally:
        for number in heard:
            signal.signal(number, before[number])


def _stop(number: int, _: FrameType | None) -> None:
    for other in SIGNALS:
        if signal.getsignal(other) is _stop:
            signal.signal(other, _stop_at_once)
    raise Stopped(number)


def _stop_at_once(number: int, _: FrameType | None) -> None:
    end(psutil.Process().children(recursive=True))
    os._exit(128 + number)


def end(family: Sequence[psutil.Process]) -> None:
    """Kill processes, parents before children where they come in this order, so that none starts another in between."""
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def family_of(pid: int) -> list[psutil.Process]:
    """Return a process and all that descend from it, parents before children; nothing where it has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        head = psutil.Process(pid)
        return [head, *head.children(recursive=True)]
    return []


@functools.cache
def end_with_parent() -> None:
    """End this kernel and its children once the process that started it is gone; nothing outside a kernel."""
    parent = os.getppid()
    if os.environ.get("JPY_PARENT_PID") != str(parent):
        return
    # A front end interrupts a kernel that it shuts down, which the kernel would report as an error of its own.
    logging.getLogger("IPKernelApp").setLevel(logging.CRITICAL)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    end(psutil.Process().children(recursive=True))
    os._exit(1)
