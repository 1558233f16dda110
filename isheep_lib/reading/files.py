"""Opening files that others wrote: only what is a file, as UTF-8 text, unpacked if it is compressed.

    regular_file(path)            # refuses folders, pipes, sockets, devices, names that no file can have
    read_text(path)               # "...", also of s.jsonl.gz and s.jsonl.zst, with or without a byte order mark

Covers bytes and text. Does not cover what the text says (`reading.strict_json`, `reading.delimited`).
"""

import gzip
import io
import os
import stat
import zlib
from pathlib import Path
from typing import IO

from isheep_lib.errors import DataError, IsheepError

KINDS = {
    stat.S_IFREG: "a file",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
FILE, FOLDER, ABSENT = "a file", "a folder", "nothing"
MOST_UNPACKED = 2**31  # bytes; a few kilobytes can unpack to a full disk
FORMS = {b"\x1f\x8b": "gzip", b"\x28\xb5": "zstd"}  # by the first bytes, which begin no UTF-8 text
ENDINGS = {".gz": "gzip", ".zst": "zstd"}
FOREIGN = {
    b"BZh": "compressed with bzip2",
    b"\xfd7zXZ": "compressed with xz",
    b"PK\x03\x04": "a zip archive (as .xlsx and .docx are)",
    b"7z\xbc\xaf": "a 7z archive",
    b"%PDF": "a PDF",
    b"ARROW1": "an Arrow file",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
PLAIN = "UTF-8 text, also compressed with gzip or zstd"


def what_lies_at(path: Path) -> str:
    """Say what a path leads to: "a file", "a folder", "a named pipe", "nothing", or why it cannot be looked at."""
    try:
        return KINDS.get(stat.S_IFMT(path.stat().st_mode), "no regular file")
    except (FileNotFoundError, NotADirectoryError):
        return ABSENT
    except OSError as error:  # a circle of links, a name that is too long, a folder that may not be entered
        return f"not to be looked at ({error.strerror})"
    except ValueError:
        return "no path (it holds a character that no file's name can have)"


def regular_file(path: Path, error: type[IsheepError] = DataError) -> Path:
    """Return a path that leads to a regular file, or raise the error; opening a pipe would wait for its writer for ever."""
    found = what_lies_at(path)
    if found == FILE:
        return path
    what = f"{path.name} does not exist" if found == ABSENT else f"{path.name} is {found}"
    raise error(what, where=str(path), allowed="a regular file, or a link to one", do="check the path")


def read_text(path: Path, error: type[IsheepError] = DataError) -> str:
    """Read a file of UTF-8 text, unpacked if it is compressed with gzip or zstd, without a byte order mark."""
    content = read_bytes(path, error)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        kind = next((f"; it looks like {kind}" for start, kind in FOREIGN.items() if content.startswith(start)), "")
        what = f"{path.name} is not UTF-8 text (byte {problem.start}){kind}"
        raise error(what, where=str(path), allowed=PLAIN, do="save it as UTF-8") from problem
    if "\0" in text:
        at = content.index(b"\0")
        what = f"{path.name} is no text: it holds a NUL (byte {at}), as UTF-16 and binary files do"
        raise error(what, where=str(path), allowed=PLAIN, do="save it as UTF-8")
    return text


def read_bytes(path: Path, error: type[IsheepError] = DataError) -> bytes:
    """Read a file's bytes, unpacked if it is compressed with gzip or zstd, which its first bytes say."""
    form = None
    try:
        with open(regular_file(path, error), "rb") as file:
            start = file.read(2)
            file.seek(0)
            form = FORMS.get(start[:2]) or ENDINGS.get(path.suffix)
            if form is None:
                return file.read()
            unpacked = _unpack(file, form)
    except (EOFError, zlib.error, OSError) as problem:  # an OSError without a number comes from unpacking
        number = problem.errno if isinstance(problem, OSError) else None
        what = f"cannot be read: {os.strerror(number)}" if number else f"cannot be unpacked as {form}: {problem}"
        raise error(f"{path.name} {what}", where=str(path), do="fetch the file again") from problem
    if len(unpacked) > MOST_UNPACKED:
        what = f"{path.name} unpacks to more than {MOST_UNPACKED / 2**30:g} GiB"
        raise error(what, where=str(path), do="take a part of it, or unpack it yourself")
    return unpacked


def _unpack(file: IO[bytes], form: str) -> bytes:
    if form == "zstd":
        import pyarrow

        with pyarrow.CompressedInputStream(file, "zstd") as stream:
            return _some(stream)
    with gzip.open(file) as stream:
        return _some(stream)


def _some(stream: IO[bytes] | gzip.GzipFile) -> bytes:
    """Read at most one byte more than may be unpacked; `read(n)` of some streams gives less, and more later."""
    found = io.BytesIO()
    while found.tell() <= MOST_UNPACKED and (part := stream.read(min(2**20, MOST_UNPACKED + 1 - found.tell()))):
        found.write(part)
    return found.getvalue()
