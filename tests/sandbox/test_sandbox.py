"""Confined programs: what passes, and what no program gets at or leaves behind."""

import ctypes.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from isheep_lib.errors import DataError
from isheep_lib.sandbox import run as sandbox_run
from isheep_lib.sandbox.command import UNUSED_USERS, own_user, refusals
from isheep_lib.sandbox.run import Limits, Outcome, Program, _run, find_sandbox, run_programs, why_not

SECONDS = 1 + os.getpid() / 1e8  # stands in the command line of every process of a program of ours
IMPORTS = "import ctypes, os, signal, socket, sys, time\n"


@pytest.fixture
def confined():
    return usable("bubblewrap")


@pytest.fixture(params=["bubblewrap", "unconfined"])
def method(request):
    return usable(request.param)


def usable(name):
    if reason := why_not(name):
        pytest.skip(f"{name}: {reason}")
    return name


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield
    assert list(folder.iterdir()) == []
    assert gone(f"'seconds': {SECONDS!r}")


def gone(mark, timeout=3.0):
    """Wait until no process has the mark in its command line; the kernel takes a moment to clear a namespace."""
    end = time.monotonic() + timeout
    while True:
        left = [p for p in psutil.process_iter(["cmdline"]) if mark in " ".join(p.info["cmdline"] or [])]
        if not left or time.monotonic() > end:
            return not left
        time.sleep(0.02)


def run_program(program, method, limits=sandbox_run.DEFAULT):
    return run_programs({"program": Program(program)}, method, limits)["program"]


def attack(program, method, seconds=None, **limits):
    return run_program(IMPORTS + program, method, Limits(seconds=seconds or SECONDS, **limits))


def no_slower(seconds):
    """Return limits in which a contained program ends by itself, also on a busy machine."""
    return seconds + SECONDS - 1


@pytest.mark.parametrize(
    ("program", "reason", "detail"),
    [
        ("", "passed", ""),
        ("assert 1 + 1 == 2", "passed", ""),
        ("x = 'é漢\\u2028'\nassert len(x) == 3", "passed", ""),
        ("def f():\r\n    return 1\r\nassert f() == 1", "passed", ""),
        ("import dataclasses, typing, math, heapq, re, numpy\nassert numpy.ones(3).sum() == 3", "passed", ""),
        ("if __name__ == '__main__':\n    raise ValueError", "passed", ""),
        ("import sys\nassert sys.stdin.read() == ''", "passed", ""),
        ("x = 1\n\nassert x == 2  # no", "failed", "AssertionError: assert x == 2  # no"),
        ("assert False, 'why'", "failed", "AssertionError: why"),
        ("def f(:", "failed", "SyntaxError: invalid syntax (<program>, line 1)"),
        ("x = '\0'", "failed", re.compile("(Value|Syntax)Error: source code string cannot contain null bytes")),
        ("raise KeyboardInterrupt('stop')", "failed", "KeyboardInterrupt: stop"),
        ("def f(): f()\nf()", "failed", re.compile("RecursionError: maximum recursion depth exceeded")),
        ("raise ValueError('\\x1b[31mred\\nline\\x07')", "failed", "ValueError:  [31mred line"),
        ("raise ValueError('x' * 5000)", "failed", "ValueError: " + "x" * 188),
        ("class E(Exception):\n    def __str__(self): 1 / 0\nraise E", "failed", "E: raise E"),
        ("import sys\nsys.exit(0)\nassert False", "exit", ""),
        ("raise SystemExit", "exit", ""),
        ("import os\nprint('passed')\nos._exit(0)", "exit", ""),
        ("import os\nos._exit(3)", "exit", ""),
        ("import os\nos.kill(os.getpid(), 9)", "killed", "signal 9"),
        ("import ctypes\nctypes.string_at(0)", "killed", "signal 11"),
        ("x = bytearray(1 << 40)", "memory", ""),
    ],
)
def test_a_program_passes_by_coming_to_its_end_alone(method, program, reason, detail):
    outcome = run_program(program, method, Limits(seconds=no_slower(20)))
    assert (outcome.passed, outcome.reason) == (reason == "passed", reason)
    assert detail.match(outcome.detail) if isinstance(detail, re.Pattern) else outcome.detail == detail


@pytest.mark.parametrize(
    "program",
    [
        "os.write(1, b'S' + bytes(16)); os._exit(0)",
        "[os.write(n, b'Spassed') for n in range(3, 20) if not os.system('') and writable(n)]; os._exit(0)",
        "os.closerange(3, 64)",
        "os.write = print; os._exit = print; sys.exit = print; raise SystemExit(0)",
    ],
)
def test_what_ordinary_cheating_writes_is_no_token(method, program):
    helper = "import fcntl\ndef writable(n):\n    try: return fcntl.fcntl(n, fcntl.F_GETFL) & 3\n    except OSError: return 0\n"
    outcome = attack(helper + program, method)
    assert not outcome.passed


@pytest.mark.parametrize(
    "program",
    [
        "while True: pass",
        "time.sleep(1000)",
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(1000)",
        "while True:\n    try:\n        while True: time.sleep(0.1)\n    except BaseException: pass",
        "os.fork(); os.fork(); time.sleep(1000)",
    ],
)
def test_a_program_that_hangs_is_ended(confined, program):
    assert attack(program, confined) == Outcome(False, "timeout")


def test_an_unconfined_program_that_hangs_is_ended():
    program = "signal.signal(signal.SIGTERM, signal.SIG_IGN); os.fork(); time.sleep(1000)"
    assert attack(program, usable("unconfined")) == Outcome(False, "timeout")


def test_a_program_is_ended_by_its_cpu_time(confined):
    outcome = run_program("while True: pass", confined, Limits(seconds=no_slower(20), cpu_seconds=1))
    assert outcome == Outcome(False, "timeout")


def test_endless_printing_is_ended(method):
    assert attack("while True: print('x' * 1000)", method, seconds=no_slower(20)) == Outcome(False, "output")
    assert attack("print('x' * 60_000)", method, seconds=no_slower(20)).passed


def test_a_program_that_prints_without_end_before_its_tests_have_begun_has_failed(confined, monkeypatch):
    start = sandbox_run._start

    def busy(stack, role, *given):
        side = start(stack, role, *given)
        if role is sandbox_run.TESTER:
            os.killpg(side.process.pid, signal.SIGSTOP)
        return side

    monkeypatch.setattr(sandbox_run, "_start", busy)
    assert attack("while True: print('x' * 1000)", confined, seconds=no_slower(20)) == Outcome(False, "output")
    with pytest.raises(DataError, match="did not start: timeout"):
        attack("pass", confined, seconds=2)


def test_no_file_outside_can_be_read(confined, tmp_path, root):
    secret = tmp_path / "secret"
    secret.write_text("hunter2")
    paths = [secret, Path(__file__), root / "pyproject.toml", "/etc/hostname", "/etc/passwd", "/proc/1/environ", "/etc/shadow"]
    folders = [Path.home() / ".ssh", root, "/proc/self", "/sys", "/work", "/var", sys.prefix]
    program = f"""
for path in {[str(p) for p in paths]}:
    try: open(path).read()
    except OSError: continue
    raise AssertionError(path)
for folder in {[str(p) for p in folders]}:
    assert not os.path.isdir(folder) or not os.listdir(folder), folder
"""
    assert attack(program, confined).passed
    assert not attack(program, usable("unconfined")).passed  # so the program does look


def test_no_package_beside_python_can_be_read(confined):
    program = """
import glob
for library in ("/usr/lib", "/usr/local/lib", "/lib", sys.prefix + "/lib", sys.base_prefix + "/lib"):
    for folder in glob.glob(library + "/python3*/*-packages"):
        assert os.listdir(folder) == [], folder
        try: open(folder + "/new", "w")
        except OSError: continue
        raise AssertionError(folder)
"""
    assert attack(program, confined).passed
    assert not attack(program, usable("unconfined")).passed  # so the program does look


def test_nothing_outside_can_be_written(confined, tmp_path):
    target = tmp_path / "made"
    program = f"""
for path in ({str(target)!r}, os.__file__, "/new", "/dev/new", "/packages/new", "/tmp/../new", sys.executable):
    try: open(path, "a").write("x")
    except OSError: continue
    raise AssertionError(path)
for path in ("/", "/usr/lib", os.__file__, sys.executable):
    assert os.statvfs(path).f_flag & os.ST_RDONLY, path
open("/dev/null", "w").write("x")
open("mine", "w").write("x")
"""
    assert attack(program, confined).passed
    assert not target.exists()


def test_each_program_has_an_empty_folder_of_its_own(method):
    program = "assert os.listdir('.') == [], os.listdir('.')\nopen('x', 'w').write('x')"
    assert [attack(program, method).reason for _ in range(2)] == ["passed"] * 2


def test_no_socket_leads_outside(confined):
    name = f"\0isheep-{os.getpid()}"
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(name)
        unix.listen()
        program = f"""
for family, address in ((socket.AF_INET, {tcp.getsockname()!r}), (socket.AF_UNIX, {name!r}), (socket.AF_INET, ("1.1.1.1", 53))):
    try:
        with socket.socket(family) as s:
            s.settimeout(0.5)
            s.connect(address)
    except OSError: continue
    raise AssertionError(address)
"""
        assert attack(program, confined, seconds=no_slower(10)).passed
        for server in (tcp, unix):
            server.settimeout(0.05)
            with pytest.raises(TimeoutError):
                server.accept()


@pytest.mark.parametrize("call", ["socket", "socketpair"])
def test_no_family_of_sockets_but_the_programs_own_can_be_opened(confined, call):
    program = f"""
def opened(family, kind, protocol=0):
    ends = (ctypes.c_int * 2)(-1, -1)
    number = libc.{call}(family, kind, protocol, ends)
    if number >= 0:
        for end in (number, *ends): end > 2 and os.close(end)
    return number >= 0
libc = ctypes.CDLL(None, use_errno=True)
kinds = [kind | flags for kind in (*range(7), 10) for flags in (0, socket.SOCK_CLOEXEC, socket.SOCK_NONBLOCK)]
found = {{family for family in range(64) for kind in kinds for protocol in (0, 6, 17) if opened(family, kind, protocol)}}
assert found == {{socket.AF_UNIX}}, found
for family in (-1, 1 << 16, (1 << 16) + 1, (1 << 31) - 1, -(1 << 31)): assert not opened(family, 1), family
assert not opened(40, 1) and ctypes.get_errno() == 97, ctypes.get_errno()
"""
    outcome = attack(program, confined, seconds=no_slower(20))
    assert outcome.passed, outcome
    assert not attack(program, usable("unconfined"), seconds=no_slower(20)).passed  # so the program does look


def test_what_a_number_holds_above_its_32_bits_opens_no_family(confined):
    program = """
libc = ctypes.CDLL(None)
for high in (1 << 32, 1 << 63, 0xffffffff << 32):
    for family in (2, 10, 16, 17, 38, 40): assert libc.syscall(41, ctypes.c_uint64(high | family), 1, 0) == -1, (high, family)
"""
    assert attack(program, confined, seconds=no_slower(20)).passed


def test_a_call_by_another_interface_of_the_kernel_ends_the_program(confined):
    program = "libc = ctypes.CDLL(None)\nassert libc.syscall(0x40000000 + 41, 40, 1, 0) == -1\nraise ValueError('refused')"
    outcome = attack(program, confined, seconds=no_slower(20))
    assert outcome.reason == "killed" or outcome.detail == "ValueError: refused", outcome


def test_a_pair_of_sockets_inside_works(confined):
    program = (
        "a, b = socket.socketpair()\na.send(b'x')\nassert b.recv(1) == b'x'\nimport asyncio\nasyncio.run(asyncio.sleep(0))"
    )
    assert attack(program, confined, seconds=no_slower(20)).passed


def test_the_environment_holds_no_secret(method, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    program = "assert set(os.environ) <= {'PYTHONHASHSEED', 'OPENBLAS_NUM_THREADS', 'PWD', 'LC_CTYPE'}, sorted(os.environ)"
    outcome = attack(program, method)
    assert outcome.passed, outcome.detail


def test_a_program_runs_the_same_way_twice(method):
    details = {attack("raise ValueError(hash('a'), list({'a', 'b', 'c'}))", method).detail for _ in range(3)}
    assert len(details) == 1


def test_processes_are_bounded(confined):
    program = """
children = 0
while True:
    try: child = os.fork()
    except OSError: break
    if not child: time.sleep(1000)
    children += 1
    assert children < 12, "too many"
assert children > 3
"""
    outcome = attack(program, confined, seconds=no_slower(20), processes=10)
    assert outcome.passed, outcome


def test_endless_forking_is_ended(confined):
    program = "while True:\n    try: os.fork()\n    except OSError: pass"
    assert attack(program, confined).reason == "timeout"


@pytest.mark.parametrize("target", ["os.getppid()", "1", "-1", "0", "-os.getppid()"])
def test_nobody_outside_can_be_killed(confined, target):
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as bystander:
        outcome = attack(f"try: os.kill({target}, 9)\nexcept OSError: pass", confined)
        assert bystander.poll() is None
        bystander.kill()
    assert outcome.reason in ("passed", "killed")


@pytest.mark.parametrize("leave", ["", "os.setsid()", "os.setsid(); os.fork() and os._exit(0)"])
def test_no_child_outlives_its_program(confined, leave):
    program = f"if not os.fork():\n    {leave or 'pass'}\n    os.closerange(0, 64)\n    time.sleep(1000)\n    os._exit(0)"
    assert attack(program, confined).passed
    assert gone(f"'seconds': {SECONDS!r}", timeout=1.0)


def test_a_child_in_the_group_does_not_outlive_an_unconfined_program():
    assert attack("if not os.fork(): time.sleep(1000)", usable("unconfined")).passed


def test_the_disk_is_bounded(confined):
    program = """
block, total = bytes(1 << 20), 0
try:
    for number in range(50):
        with open(str(number), "wb", buffering=0) as file:
            total += file.write(block)
except OSError as error:
    assert error.errno == 28, error
assert 3 << 20 <= total <= 5 << 20, total
"""
    outcome = attack(program, confined, seconds=no_slower(20), disk_mb=5)
    assert outcome.passed, outcome


def test_one_file_is_bounded(method):
    program = "try: open('x', 'wb').write(bytes(9 << 20))\nexcept OSError: pass\nassert os.path.getsize('x') <= (5 << 20) + 1"
    assert attack(program, method, seconds=no_slower(20), disk_mb=5).passed


def test_the_number_of_files_is_bounded(confined):
    program = "for n in range(10 ** 9):\n    os.close(os.open(str(n), os.O_CREAT | os.O_WRONLY))"
    outcome = attack(program, confined, seconds=no_slower(30), cpu_seconds=30)
    assert outcome.reason == "disk" or "No space left" in outcome.detail


def test_memory_is_bounded(method):
    assert (
        attack("x = []\nwhile True: x.append(bytearray(1 << 20))", method, seconds=no_slower(20), memory_mb=256).reason
        == "memory"
    )


def test_memory_of_all_processes_together_is_bounded(method):
    program = "for _ in range(6): os.fork() or (bytearray(os.urandom(1) * (100 << 20)), time.sleep(1000))\ntime.sleep(1000)"
    assert attack(program, method, seconds=no_slower(20), memory_mb=256, processes=500).reason == "memory"


@pytest.mark.parametrize(
    "call",
    [
        "libc.shmget(0, 1 << 20, 0o1600)",
        "libc.memfd_create(b'x', 0)",
        "libc.unshare(0x10000000)",  # a user namespace, in it a mount namespace, in it as large a tmpfs as one likes
        "libc.syscall(435, bytes(88), 88)",
        "libc.syscall(425, 8, bytes(200))",
        "libc.syscall(426, 0, 0, 0, 0, None, 0)",
        "libc.syscall(427, 0, 0, None, 0)",
        "libc.process_vm_readv(os.getpid(), None, 0, None, 0, 0)",
        "libc.syscall(438, 3, 0, 0)",  # pidfd_getfd
        "libc.mount(b'none', b'/tmp', b'tmpfs', 0, None)",
        "libc.setuid(0) if os.getuid() else -1",
        "libc.ptrace(0, 0, 0, 0)",
        "libc.prctl(21, 0, 0, 0, 0) - 3",  # 2: a filter of system calls is at work
        "libc.prctl(39, 0, 0, 0, 0) - 2",  # 1: no new privileges
    ],
)
def test_calls_that_lead_around_the_limits_are_refused(confined, call):
    outcome = attack(f"libc = ctypes.CDLL(None)\nassert {call} == -1", confined, seconds=no_slower(20))
    assert outcome.passed, outcome


def test_a_program_ends_though_its_caller_was_killed(confined):
    code = f"""
from isheep_lib.sandbox.run import run_programs, Limits, Program
run_programs({{"a": Program("import time; time.sleep(1000)")}}, {confined!r}, Limits(seconds={no_slower(2)}))
"""
    with subprocess.Popen([sys.executable, "-c", code]) as caller:
        mark = f"'seconds': {no_slower(2)!r}"
        while gone(mark, timeout=0) and caller.poll() is None:
            time.sleep(0.02)
        time.sleep(0.5)  # until it runs; before, it would end by finding nobody to tell that it has started
        caller.send_signal(signal.SIGKILL)
    assert gone(mark, timeout=10)


def test_outcomes_come_in_the_order_of_the_programs(method):
    programs = {"slow": "import time; time.sleep(0.3)", "bad": "assert False", "a": "", "exit": "raise SystemExit"}
    outcomes = run_programs({name: Program(code) for name, code in programs.items()}, method, Limits(seconds=no_slower(20)))
    assert [(name, outcome.reason) for name, outcome in outcomes.items()] == [
        ("slow", "passed"),
        ("bad", "failed"),
        ("a", "passed"),
        ("exit", "exit"),
    ]


def test_the_sandbox_that_is_found_works():
    if found := find_sandbox():
        assert run_program("pass", found).passed
    else:
        assert why_not("bubblewrap")


def test_where_no_sandbox_is_the_error_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    why_not.cache_clear()
    try:
        assert find_sandbox() == ""
        for method in ("", "bubblewrap"):
            with pytest.raises(DataError, match="bwrap is not installed") as raised:
                run_program("pass", method)
            assert "apt-get install bubblewrap" in raised.value.do
        assert run_programs({"a": Program("pass")}, "unconfined")["a"].passed
    finally:
        why_not.cache_clear()


@pytest.mark.skipif(not own_user(), reason="only root's programs run as other users")
def test_no_two_programs_of_root_run_as_one_user(confined):
    users = [int(attack("raise ValueError(os.getuid())", confined).detail.removeprefix("ValueError: ")) for _ in range(3)]
    assert len(set(users)) == 3
    assert min(users) >= UNUSED_USERS


def test_where_user_namespaces_are_refused_the_reason_is_bubblewraps_own(monkeypatch, tmp_path):
    (tmp_path / "bwrap").write_text("#!/bin/sh\necho bwrap: No permissions to create new namespace >&2\nexit 1\n")
    (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    why_not.cache_clear()
    try:
        assert find_sandbox() == ""
        with pytest.raises(DataError, match=r"bubblewrap: .*did not start: bwrap: No permissions to create new namespace"):
            run_program("pass", "bubblewrap")
    finally:
        why_not.cache_clear()


def test_where_the_filter_cannot_be_made_the_reason_says_what_to_install(monkeypatch):
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: None if name == "seccomp" else "libc.so.6")
    monkeypatch.delitem(sys.modules, "pyseccomp", raising=False)
    refusals.cache_clear()
    with pytest.raises(DataError, match="libseccomp is not installed") as raised:
        refusals()
    assert "apt-get install libseccomp2" in raised.value.do


def test_a_program_that_takes_all_its_processes_leaves_others_theirs(confined):
    bomb = "while True:\n  try:\n    if os.fork() == 0: time.sleep(20)\n  except OSError: time.sleep(0.01)\n"
    with ThreadPoolExecutor(1) as pool:
        full = pool.submit(attack, bomb, confined, seconds=2.0)
        time.sleep(1.0)
        assert all(run_program("pass", confined).passed for _ in range(3))
        assert full.result().reason == "timeout"


def test_an_unknown_method_is_refused():
    with pytest.raises(DataError, match="'docker'"):
        run_program("pass", "docker")


def test_what_was_said_before_the_first_look_is_in_the_error(monkeypatch):
    code = "import os; os.write(2, b'no such option'); os.fork() or os.execvp('sleep', ['sleep', '20'])"
    monkeypatch.setattr(sandbox_run, "FLAGS", ["-c", code])
    began = time.monotonic()
    with pytest.raises(DataError, match="did not start: no such option"):
        _run(Program("pass"), "unconfined", Limits())
    assert time.monotonic() - began < 10, "waited for a process that still holds the file"


def test_a_sandbox_that_does_not_start_is_no_failed_program(method, monkeypatch):
    monkeypatch.setattr(sandbox_run, "FLAGS", ["--nonsense"])
    with pytest.raises(DataError, match=r"did not start: .*nonsense"):
        run_program("pass", method)
