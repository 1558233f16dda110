"""Opening files that others wrote: what is no file is refused at once, packed text is unpacked, other bytes are named."""

import gzip
import os
import socket

import pyarrow
import pytest

from isheep_lib.errors import DataError, ModelError
from isheep_lib.reading import files
from isheep_lib.reading.files import read_text, regular_file, what_lies_at

TEXT = "Salz, 盐, ملح\n" * 3
ZSTD = pyarrow.Codec("zstd")


def zstd(text):
    return ZSTD.compress(text.encode(), asbytes=True)


def refusal(path, error=DataError):
    with pytest.raises(error) as caught:
        read_text(path, error)
    return str(caught.value)


@pytest.fixture
def odd(tmp_path):
    """Every kind of thing that is no regular file, by name."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    (tmp_path / "to-pipe").symlink_to(tmp_path / "pipe")
    (tmp_path / "to-nothing").symlink_to(tmp_path / "gone")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "socket"))
    yield tmp_path
    listener.close()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("pipe", "pipe is a named pipe"),
        ("to-pipe", "to-pipe is a named pipe"),
        ("folder", "folder is a folder"),
        ("socket", "socket is a socket"),
        ("circle", "circle is not to be looked at (Too many levels of symbolic links)"),
        ("to-nothing", "to-nothing does not exist"),
        ("gone", "gone does not exist"),
        ("gone/x", "x does not exist"),
        ("x" * 300, "is not to be looked at (File name too long)"),
        ("a\0b", "is no path"),
        ("a\ud800b", "is no path"),
        ("/dev/zero", "zero is a device"),
    ],
)
def test_what_is_no_regular_file_is_refused_before_it_is_opened(odd, name, said):
    message = refusal(odd / name, ModelError)
    assert said in message
    assert "  where: " in message
    assert "  do: " in message
    message.encode()  # it can be printed


def test_a_link_to_a_file_is_a_regular_file(tmp_path):
    (tmp_path / "a").write_text(TEXT)
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert regular_file(tmp_path / "b") == tmp_path / "b"
    assert what_lies_at(tmp_path / "b") == "a file"


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("t.txt", lambda b: b),
        ("t.txt.gz", gzip.compress),
        ("t.txt", gzip.compress),  # the first bytes decide
        ("t.gz", lambda b: gzip.compress(b[:20]) + gzip.compress(b[20:])),
        ("t.zst", lambda b: ZSTD.compress(b, asbytes=True)),
        ("t.jsonl", lambda b: ZSTD.compress(b, asbytes=True)),
        ("t.zst", lambda b: ZSTD.compress(b[:20], asbytes=True) + ZSTD.compress(b[20:], asbytes=True)),
    ],
)
def test_text_is_the_same_however_it_is_packed(tmp_path, name, pack, mark):
    (tmp_path / name).write_bytes(pack(mark + TEXT.encode()))
    assert read_text(tmp_path / name) == TEXT


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.gz", b"plain", "t.gz cannot be unpacked as gzip: Not a gzipped file"),
        ("t.gz", gzip.compress(TEXT.encode(), mtime=0)[:-6], "t.gz cannot be unpacked as gzip"),
        ("t.gz", gzip.compress(TEXT.encode(), mtime=0)[:12] + b"\xff\xff\xff", "t.gz cannot be unpacked as gzip"),
        ("t.zst", b"plain", "t.zst cannot be unpacked as zstd"),
        ("t.zst", zstd(TEXT)[:-6], "t.zst cannot be unpacked as zstd"),
        ("t.txt", b"Caf\xe9", "t.txt is not UTF-8 text (byte 3)"),
        ("t.txt", "盐".encode("gb18030"), "t.txt is not UTF-8 text (byte 0)"),
        ("t.txt", TEXT.encode("utf-16"), "t.txt is not UTF-8 text (byte 0); it looks like UTF-16"),
        ("t.txt", "plain".encode("utf-16-le"), "t.txt is no text: it holds a NUL (byte 1)"),
        ("t.txt", b"PK\x03\x04\xff", "it looks like a zip archive"),
        ("t.txt", b"BZh91AY&SY\xff", "it looks like compressed with bzip2"),
    ],
)
def test_bytes_that_are_no_text_are_named_with_their_place(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    message = refusal(tmp_path / name)
    assert said in message
    assert str(tmp_path / name) in message
    assert "  do: " in message


@pytest.mark.parametrize("pack", [gzip.compress, lambda b: ZSTD.compress(b, asbytes=True)])
def test_what_unpacks_to_more_than_memory_should_hold_is_refused_while_unpacking(tmp_path, monkeypatch, pack):
    monkeypatch.setattr(files, "MOST_UNPACKED", 2**21)
    (tmp_path / "fits.gz").write_bytes(pack(b"x" * 2**21))
    assert len(read_text(tmp_path / "fits.gz")) == 2**21
    (tmp_path / "bomb.gz").write_bytes(pack(b"x" * 2**25))
    read = []
    real = files._some
    monkeypatch.setattr(files, "_some", lambda stream: read.append(real(stream)) or read[-1])
    assert "bomb.gz unpacks to more than 0.00195312 GiB" in refusal(tmp_path / "bomb.gz")
    assert len(read[0]) == 2**21 + 1
