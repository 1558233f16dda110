"""A signature of a run's inventory by an SSH key: who vouches for this record.

    results/<run>/record.json.sig    written by `isheep sign`, checked by `isheep verify --signers FILE`

OpenSSH's own program signs and checks (`ssh-keygen -Y`, since OpenSSH 8.2), so keys, agents and hardware keys work as
they do for commits. Covers calling it. Does not cover whether the record is as the inventory says (`record.verification`).
"""

import shutil
import subprocess
from pathlib import Path

from isheep_lib.errors import RecordError
from isheep_lib.reading.files import ABSENT, FILE, what_lies_at
from isheep_lib.record.fixity.inventory import INVENTORY, SIGNATURE
from isheep_lib.record.provenance import expanded
from isheep_lib.record.rows import write_atomic

NAMESPACE = "isheep-record"  # a signature made for something else, such as a commit, is none here


def sign(run_dir: Path, key: Path) -> Path:
    """Sign a run's inventory with a private key, or with the agent's by its public key; return the signature's file.

    Raises:
        RecordError: there is no ssh-keygen, no such key, or it refused.
    """
    content = (run_dir / INVENTORY).read_bytes()
    path = expanded(str(key))
    if (found := what_lies_at(path)) != FILE:  # ssh-keygen would wait for a pipe's writer for ever
        raise _unsigned(path, f"the key is {found}")
    done = _ssh_keygen("sign", "-f", str(path), content=content)
    if done.returncode:
        raise _unsigned(path, _said(done))
    write_atomic(run_dir / SIGNATURE, done.stdout)
    return run_dir / SIGNATURE


def _unsigned(key: Path, why: str) -> RecordError:
    return RecordError(
        f"The inventory was not signed: {why}",
        where=str(key),
        allowed="a private SSH key, or a public one whose private key the agent has",
        do="make one with ssh-keygen -t ed25519, or give the path of yours",
    )


def check(run_dir: Path, signers: Path | None) -> tuple[bool, str]:
    """Tell whether the signature of a run's inventory holds, and in words whose it is.

    Args:
        signers: lines of a name and a public key (ALLOWED SIGNERS in ssh-keygen's manual); None asks for no name.
    """
    try:
        content, signature = (run_dir / INVENTORY).read_bytes(), str(run_dir / SIGNATURE)
    except OSError as error:
        return False, f"{INVENTORY}, which it would be of, cannot be read: {error.strerror}"
    if signers is None:
        done = _ssh_keygen("check-novalidate", "-s", signature, content=content)
        whose = "; whose that is --signers FILE tells"
        return done.returncode == 0, (_said(done) + whose) if done.returncode == 0 else _unfit(done)
    if (found := what_lies_at(signers)) != FILE:
        do = "give a file of lines with a name and a public key (ALLOWED SIGNERS in man ssh-keygen)"
        raise RecordError(f"{signers} is {'no file' if found == ABSENT else found}", where="--signers", do=do)
    names = _ssh_keygen("find-principals", "-s", signature, "-f", str(signers), content=b"").stdout.decode().split("\n")
    for name in filter(None, names):
        done = _ssh_keygen("verify", "-f", str(signers), "-I", name, "-s", signature, content=content)
        if done.returncode == 0:
            return True, _said(done)
    done = _ssh_keygen("check-novalidate", "-s", signature, content=content)
    if done.returncode == 0:
        return False, f"{signers} does not name its key: {_said(done)}"
    return False, _unfit(done)


def at_hand() -> bool:
    """Tell whether ssh-keygen is installed."""
    return shutil.which("ssh-keygen") is not None


def _unfit(done: "subprocess.CompletedProcess[bytes]") -> str:
    return f"is not of this {INVENTORY} ({_said(done)}); if the run went on since, sign it again"


def _said(done: "subprocess.CompletedProcess[bytes]") -> str:
    lines = (done.stdout + done.stderr).decode("utf-8", "backslashreplace").strip().splitlines()
    wanted = [line for line in lines if not line.startswith(("Signing", "-----"))]
    return "; ".join(wanted) or f"ssh-keygen ended with {done.returncode}"


def _ssh_keygen(action: str, *arguments: str, content: bytes) -> "subprocess.CompletedProcess[bytes]":
    program = shutil.which("ssh-keygen")
    if not program:
        raise RecordError("ssh-keygen is not installed", where="PATH", do="install OpenSSH (on Debian: openssh-client)")
    namespace = [] if action == "find-principals" else ["-n", NAMESPACE]
    command = [program, "-Y", action, *namespace, *arguments]
    return subprocess.run(command, input=content, capture_output=True, check=False)  # noqa: S603
