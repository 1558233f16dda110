r"""Names of folders that a user chooses: of runs and sweeps, below `results/`, or a whole path.

    name_problem("thresholds/low")      # ""
    name_problem("../x")                # "holds .., which leads out of results; give a whole path"

Covers what a name or path may be. Does not cover where it leads (`record.manifests.run_folder`).
"""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

MOST_BYTES = 200  # of one name; file systems hold 255, and names get longer: .NAME-k2j4h5g6, NAME-control-seed-2408
MOST_PATH_BYTES = 3000  # a path may have 4096, and a run's own folders and files are inside
DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}  # to Windows
ALLOWED = "a name like my-run or sweep/my-run, or a whole path (/… or ~/…), or one from here (./…)"


def path_problem(text: str) -> str:
    """Say why a path can be none, "" if it can: characters that cannot be shown, names that are too long, no such home."""
    if not text.isprintable():
        odd = next(character for character in text if not character.isprintable())
        return f"holds the character {odd.encode('unicode_escape').decode('ascii')}, which cannot be seen"
    long = next((part for part in text.split("/") if len(part.encode()) > MOST_BYTES), "")
    if long:
        return f"is too long: {len(long.encode())} bytes in one name, at most {MOST_BYTES}"
    if len(text.encode()) > MOST_PATH_BYTES:
        return f"is too long: {len(text.encode())} bytes, at most {MOST_PATH_BYTES}"
    try:
        Path(text).expanduser()
    except RuntimeError:
        return "begins with ~, and there is no such home folder"
    return ""


def name_problem(text: str) -> str:
    """Say why a run or a sweep cannot have this name or path, "" if it can."""
    if problem := path_problem(text):
        return problem
    parts = text.rstrip("/").split("/")
    if ".." in parts:
        return "holds .., which leads out of a folder; give a whole path"
    if text.startswith(("/", "~/", "./")):
        return "" if text.strip("/.~ ") else "names no folder of its own"
    return next((problem for part in parts if (problem := _part_problem(part))), "")


def _part_problem(part: str) -> str:
    if not part:
        return "holds a name that is empty"
    if part[0] in ".-~":
        return f"begins with {part[0]!r}, which hides a folder or reads as an option"
    if part != part.strip() or part.endswith("."):
        return "begins or ends with a blank, or ends with a dot"
    if "\\" in part:
        return "holds a backslash, which parts folders on other systems"
    if part.split(".")[0].lower() in DEVICES:
        return "is the name of a device on other systems"
    return ""


def _checked(text: str) -> str:
    if text and (problem := name_problem(text)):
        raise ValueError(f"{problem}; allowed is {ALLOWED}")
    return text.rstrip("/") or text


FolderName = Annotated[str, AfterValidator(_checked)]
