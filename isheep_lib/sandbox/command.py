"""The command that starts a Python in bubblewrap: what a program sees of this machine, and what it is refused.

    [*bubblewrap(user=0, disk_mb=64, seccomp=5), python(), *FLAGS, "-c", f"{inside(PROGRAM)}.main(...)"]

Does not cover running it (`sandbox.run`) or what happens inside (`sandbox.program`, `sandbox.tester`).
"""

import errno
import functools
import importlib.util
import marshal
import os
import secrets
import shutil
import socket
import sys
import tempfile
from pathlib import Path
from types import ModuleType

from isheep_lib.errors import DataError
from isheep_lib.sandbox import child, program, tester, wire

FLAGS = ["-s", "-S", "-P", "-B", "-X", "utf8"]  # not -I: it would ignore the seed of hashing
OFFERED = ("numpy",)  # tests of the plus benchmarks import it
UNUSED_USERS = 0x70000000  # the first of 2 ** 28 that systemd leaves free
NEW_USER_NAMESPACE = 0x10000000
# What a process without any right can call to hold memory that no limit counts (shared memory belongs to no process), to
# reach keys of the user or another process, or to ask the kernel for work that this filter does not see.
REFUSED = ["memfd_create", "memfd_secret", "shmget", "semget", "msgget", "add_key", "request_key", "keyctl"]
REFUSED += ["ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "kcmp", "unshare", "setns"]
REFUSED += ["bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register"]


PROGRAM, TESTER = program, tester  # what a process inside can be
_SHARED = (child, wire)


@functools.cache
def inside(role: ModuleType) -> str:
    """Return Python that makes the module of a role, with what it imports of ours, and ends in its name."""
    files = {module.__name__: Path(str(module.__file__)) for module in (*_SHARED, role)}
    # Compiled here, once: there it would take as long as the start of Python.
    modules = [(name, compile(path.read_text("utf-8"), name, "exec")) for name, path in files.items()]
    return f"""import marshal, sys
for name, code in marshal.loads({marshal.dumps(modules)!r}):
    module = sys.modules[name] = type(sys)(name)
    exec(code, vars(module))
module"""


@functools.cache
def python() -> str:
    """Return the Python itself, not the one of a virtual environment."""
    return os.path.realpath(getattr(sys, "_base_executable", sys.executable))


@functools.cache
def offered() -> list[Path]:
    """Return the folders of the packages that programs may import, with the libraries they bring."""
    found = filter(None, map(importlib.util.find_spec, OFFERED))
    folders = [Path(folder) for spec in found for folder in spec.submodule_search_locations or []]
    return [path for folder in folders for path in (folder, Path(f"{folder}.libs")) if path.is_dir()]


def own_user() -> int:
    """Return a user for one program, 0 for the present one.

    The kernel never counts root's processes, and counts those of others by user and user namespace. So true root makes no such
    namespace, and its programs become one user of 2 ** 28 each.
    """
    is_root = os.geteuid() == 0 and Path("/proc/self/uid_map").read_text().split() == ["0", "0", str(2**32 - 1)]
    return UNUSED_USERS + secrets.randbelow(1 << 28) if is_root else 0


@functools.cache
def view() -> list[str]:
    """Return bubblewrap's words for what a program sees beside its folder: Python and its libraries, read-only, and devices."""
    binds, words = [(str(path), f"{child.PACKAGES}/{path.name}") for path in offered()], []
    library = Path(sys.base_prefix).resolve() / "lib"
    for path in map(Path, ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", library, python())):
        if path.is_symlink():
            words += ["--symlink", str(path.readlink()), str(path)]
        elif path.exists():
            binds.append((str(path), str(path)))
    # bubblewrap gives the folders on the way to a target the modes they have here, perhaps closed to all but their owner.
    for folder in sorted({"/dev", *(str(folder) for _, target in binds for folder in Path(target).parents)} - {"/"}):
        words += ["--perms", "0755", "--dir", folder]
    for source, target in dict.fromkeys(binds):
        words += ["--ro-bind", source, target]
        # Packages beside Python may hold a benchmark's own data, and so the answers.
        for pattern in ("python3*/site-packages", "python3*/dist-packages"):
            for packages in map(str, Path(source).glob(pattern)):
                words += ["--tmpfs", packages, "--remount-ro", packages]
    for name in ("null", "zero", "random", "urandom"):
        words += ["--dev-bind", f"/dev/{name}", f"/dev/{name}"]
    return words


@functools.cache
def refusals() -> bytes:
    """Return the filter of system calls that bubblewrap installs; a DataError where libseccomp is not installed."""
    try:
        import pyseccomp  # fails without the library
    except RuntimeError as error:
        raise DataError("libseccomp is not installed", do="install it (apt-get install libseccomp2)") from error
    rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    for name in REFUSED:
        rules.add_rule(pyseccomp.ERRNO(errno.EPERM), name)
    # No namespace holds every family of sockets: those of virtual machines lead to the host, netlink to the kernel.
    for name in ("socket", "socketpair"):
        other = pyseccomp.Arg(0, pyseccomp.NE, socket.AF_UNIX)
        rules.add_rule(pyseccomp.ERRNO(errno.EAFNOSUPPORT), name, other)
    flag = pyseccomp.Arg(0, pyseccomp.MASKED_EQ, NEW_USER_NAMESPACE, NEW_USER_NAMESPACE)
    rules.add_rule(pyseccomp.ERRNO(errno.EPERM), "clone", flag)
    rules.add_rule(pyseccomp.ERRNO(errno.ENOSYS), "clone3")  # its flags lie in memory; the C library falls back to clone
    with tempfile.TemporaryFile() as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()


def bubblewrap(user: int, disk_mb: int, seccomp: int) -> list[str]:
    """Return bubblewrap's part of the command for a program of this user; it reads the filter from an open file's number."""
    words = [shutil.which("bwrap") or "bwrap", "--die-with-parent"]
    words += ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    words += ["--cap-drop", "ALL", "--seccomp", str(seccomp)]
    words += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"] if user else ["--unshare-user"]
    room = ["--perms", "1777", "--size", str(disk_mb << 20), "--tmpfs", child.TMP]
    return [*words, *view(), *room, "--remount-ro", "/", "--chdir", child.TMP, "--"]
