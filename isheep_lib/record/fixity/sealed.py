"""JSON files that carry a digest of themselves, so that every byte of them is covered.

    {
     "counts": {"in": 24, …},
     "digest": "5f0c…"          SHA-256 of all other values as canonical JSON
    }

Such a file has one form only: whatever else stands in it, down to a space, is not what was written.
Covers manifests, inventories and the marks of checkpoints. Does not cover what they say (`record.manifests`, `inventory`).
"""

import json
import stat
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from isheep_lib.errors import RecordError
from isheep_lib.record.rows import canonical_json, digest_text, write_atomic
from isheep_lib.server_key import struck_all

DIGEST = "digest"
KINDS = {list: "a list", str: "a text", int: "a number", float: "a number", bool: "true or false", type(None): "null"}


class Shape(BaseModel):
    """What a sheet must hold at least, each value of its type."""

    model_config = ConfigDict(strict=True, frozen=True)


class Described(Shape):
    """What a sheet keeps of a file."""

    sha256: str
    bytes: int


S = TypeVar("S", bound=Shape)


def sealed(values: dict[str, Any]) -> str:
    """Return the one text of a sheet with these values: readable by people, with its digest."""
    # The key is struck before the digest is taken: the writer would strike it after.
    plain = struck_all(json.loads(json.dumps({name: value for name, value in values.items() if name != DIGEST})))
    whole = {**plain, DIGEST: digest_text(canonical_json(plain))}
    return json.dumps(whole, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def write_sealed(path: Path, values: dict[str, Any]) -> Path:
    """Write a sheet atomically."""
    write_atomic(path, sealed(values))
    return path


def read_sealed(path: Path, what: str, do: str) -> tuple[dict[str, Any], bool] | None:
    """Read a sheet, None where there is none.

    Args:
        what: what the file is, to begin a sentence with: "The manifest".
        do: what to do about one that is damaged.

    Returns:
        Its values without the digest, and whether it carried one.

    Raises:
        RecordError: it cannot be read, is no JSON object, or is not as its digest says.
    """

    def damaged(why: str) -> RecordError:
        return RecordError(f"{what} {why}", where=str(path), do=do)

    try:
        if not stat.S_ISREG(path.stat().st_mode):  # reading from a pipe would wait for ever
            raise damaged("is no file")
        text = path.read_bytes().decode("utf-8")
        values = json.loads(text)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise damaged(f"cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise damaged(f"is not UTF-8 text (byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise damaged(f"is not JSON ({error.msg})") from error
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, lists within lists without end
        raise damaged("is not JSON that this program writes") from error
    if not isinstance(values, dict):
        raise damaged(f"is no JSON object but {KINDS[type(values)]}")
    if DIGEST in values and not _holds(values, text):
        raise damaged("was changed since it was written: its own digest does not fit")
    return {name: value for name, value in values.items() if name != DIGEST}, DIGEST in values


def _holds(values: dict[str, Any], text: str) -> bool:
    try:
        return sealed(values) == text
    except ValueError:  # NaN or half a character, which are never written
        return False


def shaped(kind: type[S], values: dict[str, Any]) -> S:
    """Read values as a shape, or raise a ValueError that names in one line what is absent or of another type."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg'].lower()}" for fault in error.errors()[:5]]
        raise ValueError(ascii("; ".join(faults))[1:-1]) from error
