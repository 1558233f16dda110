"""Commands that start a Python in a sandbox: what it sees of this machine, and through which program.

    before_python("bubblewrap", ...)  # ["/usr/bin/bwrap", "--unshare-ipc", ..., "--"]

Covers bubblewrap, util-linux's unshare, and whom root's programs run as. Does not cover running them (`sandbox`) or what
happens inside (`sandbox.child`).
"""

import contextlib
import functools
import importlib.util
import os
import secrets
import shutil
import socket
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from isheep_lib.errors import DataError
from isheep_lib.sandbox import child

FLAGS = ["-s", "-S", "-P", "-B", "-X", "utf8"]  # not -I: it would ignore the seed of hashing
OFFERED = ("numpy",)  # tests of the plus benchmarks import it
UNUSED_USERS = range(60578, 61184)  # systemd leaves them free; root's programs run as these
COMMANDS = {"bubblewrap": "bwrap", "namespaces": "unshare"}


@functools.cache
def inside() -> str:
    """Return the text that Python runs in the sandbox."""
    return Path(child.__file__).read_text(encoding="utf-8")


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


@functools.cache
def view_of_system() -> list[tuple[str, str, str]]:
    """Return what a program sees beside its folder, as (kind, path in the sandbox, path here).

    Kinds are "bind" (read-only), "device", "link" and "empty" (packages of the system, which may hold anything).
    """
    base = Path(sys.base_prefix).resolve()
    view: list[tuple[str, str, str]] = []
    for path in map(Path, ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", base / "lib", python())):
        if path.is_symlink():
            view.append(("link", str(path), str(path.readlink())))
        elif path.exists() and not any(kind == "bind" and path.is_relative_to(seen) for kind, seen, _ in view):
            view.append(("bind", str(path), str(path)))
    bound = [Path(path) for kind, path, _ in view if kind == "bind"]
    packages = [sysconfig.get_path("purelib", vars={"base": str(base)}), "/usr/lib/python3/dist-packages"]
    for path in map(Path, packages):
        if path.is_dir() and any(path.is_relative_to(seen) for seen in bound):
            view.append(("empty", str(path), ""))
    view += [("bind", f"{child.PACKAGES}/{path.name}", str(path)) for path in offered()]
    return view + [("device", f"/dev/{name}", f"/dev/{name}") for name in ("null", "zero", "random", "urandom")]


def bubblewrap(as_root: bool, disk_mb: int, filter_pipe: int) -> list[str]:
    """Return bubblewrap's part of the command; it reads the filter of system calls from a pipe."""
    words = [_path("bubblewrap"), "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--die-with-parent"]
    words += ["--cap-drop", "ALL", "--seccomp", str(filter_pipe)]
    # Root's own processes are never counted: it sets the sandbox up as itself and becomes another user inside.
    words += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"] if as_root else ["--unshare-user"]
    view = view_of_system()
    # It gives the folders on the way to a target the modes they have here, perhaps closed to all but their owner.
    for folder in sorted({str(folder) for _, target, _ in view for folder in Path(target).parents} - {"/"}):
        words += ["--perms", "0755", "--dir", folder]
    for kind, target, source in view:
        words += {
            "bind": ["--ro-bind", source, target],
            "device": ["--dev-bind", source, target],
            "link": ["--symlink", source, target],
            "empty": ["--size", "4096", "--tmpfs", target, "--remount-ro", target],
        }[kind]
    room = ["--perms", "1777", "--size", str(disk_mb << 20), "--tmpfs", child.TMP]
    return [*words, *room, "--remount-ro", "/", "--chdir", child.TMP, "--"]


def unshare(as_root: bool) -> list[str]:
    """Return the part of the command that makes namespaces; `confined` does the rest inside."""
    words = [_path("namespaces"), "--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child"]
    return [*words, *([] if as_root else ["--user", "--map-root-user"]), "--"]


def _path(method: str) -> str:
    return shutil.which(COMMANDS[method]) or COMMANDS[method]


@contextlib.contextmanager
def own_user() -> Iterator[int]:
    """Hold a user that no other program on this machine runs as: the kernel counts processes by user, not by sandbox.

    Raises:
        DataError: all of them are taken.
    """
    for user in secrets.SystemRandom().sample(UNUSED_USERS, len(UNUSED_USERS)):
        with socket.socket(socket.AF_UNIX) as claim:
            if _claimed(claim, user):
                yield user
                return
    raise DataError(f"{len(UNUSED_USERS)} programs run already", do="wait for them to end")


def _claimed(claim: socket.socket, user: int) -> bool:
    """Take a name that one process at a time can have, that is no file, and that ends with its process."""
    try:
        claim.bind(f"\0isheep-user-{user}")
    except OSError:
        return False
    return True
