"""Models and datasets of the hub: a name without a commit gets one, once, and what the hub refuses is said in words.

    pin("org/name")                         # "org/name@<40-hex commit>", and says where that comes from
    snapshot("org/name@<40-hex commit>")    # the folder of a model, fetched where the cache lacks it

Without the hub (HF_HUB_OFFLINE, no network) the commit is the one that its cache holds. Does not cover reading datasets
(`record.sources`) or where a run keeps its commits (`iterate.hub_ids`).
"""

import re
from functools import cache
from pathlib import Path

from isheep_lib.errors import DataError, IsheepError, ModelError

COMMIT = re.compile(r"[0-9a-f]{40}")
MODEL_ID = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")
WANTED = ["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt"]
PATIENCE_SECONDS = 15.0
UNREACHED = "check the network (HF_HUB_OFFLINE, HF_TOKEN), name a commit that the cache holds, or give the path of a local "


@cache  # one process asks once, so that all runs of a sweep get the same commit
def pin(repository: str, revision: str = "", kind: str = "model") -> str:
    """Name a repository with the commit of a branch or tag, main by default: the hub's, or its cache's; say which.

    Raises:
        ModelError, DataError: by `kind`, "model" or "dataset": the hub refuses, or is not reached and nothing is cached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError, OfflineModeIsEnabled

    branch = revision or "main"
    try:
        commit = HfApi().repo_info(repository, repo_type=kind, revision=revision or None, timeout=PATIENCE_SECONDS).sha
    except (HTTPError, OfflineModeIsEnabled, OSError, TypeError, ValueError) as error:  # a login page is no JSON
        answer = getattr(error, "response", None)
        if isinstance(error, HFValidationError) or (
            isinstance(error, HfHubHTTPError) and answer is not None and answer.status_code < 500
        ):
            raise refused(f"{repository}@{revision}" if revision else repository, kind, error) from error
        name = f"{repository}@{_cached(repository, branch, kind)}"
        print(f"The hub was not reached; {name} is taken, which its local cache holds as {branch}.")
        return name
    print(f"{repository}@{commit} is taken, which is {branch} on the hub now.")
    return f"{repository}@{commit}"


def _cached(repository: str, branch: str, kind: str) -> str:
    """Return the commit that the hub's cache holds of a branch, or of the repository where that is only one."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repository, repo_type=kind)
    held = sorted(path.name for path in folder.glob("snapshots/*") if COMMIT.fullmatch(path.name))
    reference = folder / "refs" / branch
    named = reference.read_text(encoding="utf-8").strip() if reference.is_file() else ""
    if named in held:
        return named
    if len(held) == 1 and branch == "main":
        return held[0]
    raise _error(kind)(
        f"{repository} has no commit, the hub was not reached, and its cache holds "
        + (f"no {branch} but {', '.join(held)}" if held else "nothing of it"),
        where=str(folder),
        allowed="org/name@<40-hex commit>",
        do=UNREACHED + ("file" if kind == "dataset" else "folder"),
    )


def snapshot(name: str) -> Path:
    """Return the folder of a model at a commit, from the cache or fetched; a ModelError says why neither can be."""
    found = MODEL_ID.fullmatch(name)
    repository, revision = (found["repository"], found["revision"] or "") if found else (name, "")
    if not COMMIT.fullmatch(revision):
        raise ModelError(
            f"{name!r} is not pinned to a commit",
            where="base_model",
            allowed="org/name@<40-hex commit>",
            do="take the commit from the model's page, or give the path of a local folder",
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=WANTED))
    except (LocalEntryNotFoundError, HTTPError, OSError) as error:
        raise refused(name, "model", error) from error


def refused(name: str, kind: str, error: Exception) -> IsheepError:
    """Say in words why the hub gives something not out, or that it was not reached."""
    from huggingface_hub import errors

    page = f"https://huggingface.co/{'datasets/' if kind == 'dataset' else ''}{name.partition('@')[0]}"
    local = f"give the path of a local {'file' if kind == 'dataset' else 'folder'}"
    if isinstance(error, errors.GatedRepoError):
        what, do = f"{name} is gated", f"accept its terms at {page} and set HF_TOKEN to a token of that account, or {local}"
    elif isinstance(error, errors.RepositoryNotFoundError):
        what, do = f"{name} is not on the hub, or is private", f"check the id; for a private one set HF_TOKEN; or {local}"
    elif isinstance(error, errors.RevisionNotFoundError):
        what, do = f"{name} has no such branch, tag or commit", f"take one from {page}, or leave it out for the main branch"
    elif isinstance(error, errors.HFValidationError):
        what, do = f"{name} is no id of the hub", f"check the id, or {local}"
    else:
        what = f"{name} is neither in the local cache nor to be had from the hub ({type(error).__name__})"
        do = f"check the id and the network (HF_HUB_OFFLINE, HF_TOKEN), or {local}"
    return _error(kind)(what, where=page, do=do)


def _error(kind: str) -> type[IsheepError]:
    return ModelError if kind == "model" else DataError
