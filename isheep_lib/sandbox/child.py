"""What runs inside the sandbox: take on the limits, give up every privilege, run one program, say how it ended.

`sandbox` hands the text of this file to a fresh Python that sees no packages; so it imports the standard library alone.
Covers the private root of the method "namespaces", limits, the filter of system calls, and the run itself.
Does not cover starting and watching (`sandbox`).
"""

# To import pathlib would take as long as to start Python, so paths are text here.
# ruff: noqa: PTH102, PTH103, PTH112, PTH120, PTH211

import os
import resource
import struct
import sys

PACKAGES = "/packages"  # where the few packages that programs may import lie in the sandbox
STARTED, FAILED, MEMORY, EXIT = b"S", b"F", b"M", b"X"
DETAIL = 400  # bytes, so that a message is one write

# Calls that give memory or rights beyond the limits: new namespaces bring new file systems in memory, and shared
# memory belongs to no process. The numbers are those of x86_64 and aarch64.
AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
CLONE = {"x86_64": 56, "aarch64": 220}
CLONE3 = 435  # its flags lie in memory, which no filter reads; the C library falls back to clone
REFUSED = {
    # unshare, setns, mount, umount2, pivot_root, chroot, ptrace, memfd_create, shmget, msgget, semget, bpf,
    # perf_event_open, userfaultfd, add_key, request_key, keyctl, open_by_handle_at
    "x86_64": (272, 308, 165, 166, 155, 161, 101, 319, 29, 68, 64, 321, 298, 323, 248, 249, 250, 304),
    "aarch64": (97, 268, 40, 39, 41, 51, 117, 279, 194, 186, 190, 280, 241, 282, 217, 218, 219, 265),
}
# io_uring_setup, open_tree, move_mount, fsopen, fsmount, mount_setattr, memfd_secret: the same everywhere
REFUSED_EVERYWHERE = (425, 428, 429, 430, 432, 442, 447)
NEW_NAMESPACES = 0x7E020000
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
TMP = "/tmp"  # noqa: S108  # the sandbox's own; also where its root is mounted while it is made


def system_call_filter(machine: str) -> bytes:
    """Return the filter as the kernel's small programs for socket filters (see seccomp(2))."""
    load, equal, at_least, any_bit, back = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, refuse, absent = 0x7FFF0000, 0x00050000 | 1, 0x00050000 | 38  # EPERM, ENOSYS
    code = [(load, 0, 0, 4), (equal, 1, 0, AUDIT[machine]), (back, 0, 0, refuse), (load, 0, 0, 0)]
    code += [(at_least, 0, 1, 0x40000000), (back, 0, 0, refuse)]  # the numbers of 32 bits under x86_64
    code += [(equal, 0, 1, CLONE3), (back, 0, 0, absent)]
    for number in (*REFUSED[machine], *REFUSED_EVERYWHERE):
        code += [(equal, 0, 1, number), (back, 0, 0, refuse)]
    code += [(equal, 0, 3, CLONE[machine]), (load, 0, 0, 16), (any_bit, 0, 1, NEW_NAMESPACES), (back, 0, 0, refuse)]
    code += [(back, 0, 0, allow)]
    return b"".join(struct.pack("=HBBI", *step) for step in code)


def build_root(view: list[tuple[str, str, str]], disk_mb: int, files: int) -> None:
    """Make a root of its own in memory: what the view names, read-only, and an empty /tmp of limited size."""
    read_only, no_suid, no_dev, bind, deep, private, detach = 1, 2, 4, 4096, 16384, 1 << 18, 2
    _call("mount", b"none", b"/", None, deep | private, None)
    _call("mount", b"none", TMP.encode(), b"tmpfs", no_suid | no_dev, b"size=1m,mode=755")
    os.chdir(TMP)
    os.mkdir("old")
    _call("syscall", PIVOT_ROOT[os.uname().machine], b".", b"old")
    os.mkdir("/new")
    _call("mount", b"none", b"/new", b"tmpfs", no_suid | no_dev, b"size=1m,mode=755")
    for kind, target, source in view:
        _place(kind, f"/new{target}", source, bind | deep, read_only)
    os.makedirs(f"/new{TMP}", exist_ok=True)
    room = f"size={disk_mb}m,nr_inodes={files},mode=1777"
    _call("mount", b"none", f"/new{TMP}".encode(), b"tmpfs", no_suid | no_dev, room.encode())
    _call("mount", b"none", b"/new", None, 32 | read_only | no_suid | no_dev, None)  # 32: change the mount
    os.chdir("/new")
    _call("syscall", PIVOT_ROOT[os.uname().machine], b".", b".")  # the new root covers the one with /old ...
    _call("umount2", b".", detach)  # ... which goes for good
    os.chdir(TMP)


def _place(kind: str, target: str, source: str, bind: int, read_only: int) -> None:
    """Put one entry of the view into the new root."""
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if kind == "link":
        os.symlink(source, target)
    elif kind == "empty":
        _call("mount", b"none", target.encode(), b"tmpfs", read_only, b"size=4k,mode=755")
    else:
        if os.path.isdir(f"/old{source}"):
            os.makedirs(target, exist_ok=True)
        else:
            open(target, "w").close()
        _call("mount", f"/old{source}".encode(), target.encode(), None, bind, None)
        # mount_setattr of what lies below, too: read-only, no set-user-id; devices work where they are meant.
        attributes = struct.pack("=QQQQ", 3 if kind == "device" else 7, 0, 0, 0)
        _call("syscall", 442, -100, target.encode(), 0x8000, attributes, len(attributes))


def _call(name: str, *arguments: bytes | int | None) -> None:
    """Call a function of the C library that returns 0 or sets errno."""
    import ctypes  # here, for the other methods start in half the time without

    library = ctypes.CDLL(None, use_errno=True)
    passed = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    if getattr(library, name)(*passed) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}{arguments}: {os.strerror(number)}")


def become(user: int) -> None:
    """Become an ordinary user, which also takes every capability away; root alone can."""
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def give_up_rights(user: int, machine: str) -> None:
    """Drop capabilities for good, gain none by running files, and refuse system calls (bubblewrap does this by itself)."""
    import ctypes

    capability = 0
    while ctypes.CDLL(None).prctl(24, capability, 0, 0, 0) == 0:  # PR_CAPBSET_DROP; fails after the kernel's last one
        capability += 1
    if user:
        become(user)
    version = struct.pack("=II", 0x20080522, 0)
    _call("capset", version, bytes(24))
    _call("prctl", 38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    steps = ctypes.create_string_buffer(system_call_filter(machine))
    program = struct.pack("@HP", (len(steps) - 1) // 8, ctypes.addressof(steps))
    _call("prctl", 22, 2, program, 0, 0)  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
    _call("prctl", 1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG, SIGKILL: becoming another user cleared it


def wait_for_child(seconds: float) -> None:
    """As the namespace's first process, start a child that goes on; wait, then end, and everything ends with it."""
    import signal  # like ctypes: too slow for those that do without

    child = os.fork()
    if not child:
        return
    # The first process gets only the signals it handles; this one comes where nobody outside is left to end it.
    signal.signal(signal.SIGALRM, lambda *_: os._exit(1))
    signal.alarm(int(seconds) + 2)
    while True:
        ended, status = os.wait()
        if ended == child:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)


def limit(memory_mb: int, disk_mb: int, cpu_seconds: int, processes: int) -> None:
    """Set the limits of one process; a limit that is lower already stays."""
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


def run(source: int, token: int, result: int) -> None:
    """Run the program, and tell how it ended through a pipe: by the token alone that it came to its end.

    The token waits unread in a pipe until then: no variable of Python holds it while the program runs.
    """
    write, read, leave = os.write, os.read, os._exit  # the program may replace those of the module
    with open(source, "rb") as file:
        text = file.read().decode()
    module = type(sys)("program")  # not __main__: what stands under `if __name__ == "__main__"` is no part of an answer
    sys.modules["program"] = module
    write(result, STARTED)
    try:
        exec(compile(text, "<program>", "exec"), module.__dict__)  # noqa: S102
        message = read(token, 64)
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
    """Enter the sandbox as the settings say and run the program."""
    limits = {name: settings[name] for name in ("memory_mb", "disk_mb", "cpu_seconds", "processes")}
    if settings["method"] == "namespaces":
        build_root(settings["view"], settings["disk_mb"], settings["files"])
        give_up_rights(settings["user"], os.uname().machine)
    elif settings["user"]:
        become(settings["user"])
    limit(**limits)
    if settings["method"] == "namespaces":
        wait_for_child(settings["seconds"])
    sys.path += settings["packages"]
    run(*settings["pipes"])
