"""Ending before one's time: signals, families of processes, a kernel whose parent is gone."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from isheep_lib.iterate import stopping

SLEEPER = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"], start_new_session=True)
"""
COMMAND = f"""{SLEEPER}
from isheep_lib.iterate.stopping import signals
with signals():
    try:
        print("ready", flush=True)
        time.sleep(300)
    except KeyboardInterrupt as stop:
        print("stopped by", stop.number, flush=True)
        time.sleep(300)  # what takes its time to end
"""
KERNEL = f"""{SLEEPER}
from isheep_lib.iterate.stopping import end_with_parent
end_with_parent()
print(child.pid, flush=True)
time.sleep(300)
"""
PARENT = """
import os, subprocess, sys, time
told = {{**os.environ, "JPY_PARENT_PID": {told}}}
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], env=told, start_new_session=True)
print(child.pid, flush=True)
time.sleep(300)
"""


def started(*program: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", *program], stdout=subprocess.PIPE, text=True, start_new_session=True)


def ended(pid: int, seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize("number", stopping.SIGNALS)
def test_a_signal_to_end_is_raised_and_a_second_one_ends_everything_at_once(number: int) -> None:
    process = started(COMMAND)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    children = psutil.Process(process.pid).children()
    process.send_signal(number)
    assert process.stdout.readline() == f"stopped by {int(number)}\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == 128 + signal.SIGINT
    assert all(ended(child.pid) for child in children)


def test_a_signal_that_was_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopping.signals():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_handlers_are_as_before_once_the_work_is_over() -> None:
    before = [signal.getsignal(number) for number in stopping.SIGNALS]
    with pytest.raises(stopping.Stopped), stopping.signals():
        os.kill(os.getpid(), signal.SIGTERM)
    assert [signal.getsignal(number) for number in stopping.SIGNALS] == before


def test_a_kernel_and_its_children_end_with_who_started_it() -> None:
    parent = started(PARENT.format(told="str(os.getpid())"), KERNEL)
    assert parent.stdout
    kernel, child = (int(parent.stdout.readline()) for _ in range(2))
    assert psutil.pid_exists(child)
    parent.kill()
    parent.wait()
    assert ended(kernel)
    assert ended(child)


def test_a_process_that_no_front_end_started_is_let_be(tmp_path: Path) -> None:
    parent = started(PARENT.format(told="'1'"), KERNEL)
    assert parent.stdout
    family = [int(parent.stdout.readline()) for _ in range(2)]
    parent.kill()
    parent.wait()
    try:
        assert not ended(family[0], seconds=4 * stopping.LOOK_SECONDS)
    finally:
        stopping.end([psutil.Process(pid) for pid in family])
