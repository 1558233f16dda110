"""Names of the hub: a commit is found once, on the hub or in its cache, and a refusal is told in words. Nothing is sent."""

import shutil

import httpx2
import huggingface_hub
import pytest
from huggingface_hub import constants
from huggingface_hub.utils._http import default_client_factory

from isheep_lib.errors import DataError, ModelError
from isheep_lib.models import hub
from isheep_lib.models.base import find_model

COMMIT, OTHER = "0123456789abcdef" * 2 + "01234567", "f" * 40


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ISHEEP_CACHE", str(tmp_path / "isheep"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    hub.pin.cache_clear()
    yield tmp_path / "hub"
    hub.pin.cache_clear()


@pytest.fixture
def answering(monkeypatch):
    """Return a function that puts a hub behind the client's own HTTP, and returns the paths that are asked of it."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)

    def install(answer):
        asked = []

        def handle(request):
            asked.append(request.url.path)
            return answer(request)

        huggingface_hub.set_client_factory(lambda: httpx2.Client(transport=httpx2.MockTransport(handle)))
        return asked

    yield install
    huggingface_hub.set_client_factory(default_client_factory)


def knows(commit):
    return lambda request: httpx2.Response(200, json={"id": "org/name", "sha": commit}, request=request)


def refuses(status, code="", message="no"):
    return lambda request: httpx2.Response(
        status, headers={"X-Error-Code": code, "X-Error-Message": message}, json={}, request=request
    )


def fails(request):
    raise httpx2.ConnectError("no route to host")


def cached(cache, commit, folder=None, branch="main", kind="models"):
    """Lay a repository out as the hub's client does."""
    place = cache / f"{kind}--org--name"
    if branch:
        (place / "refs").mkdir(parents=True, exist_ok=True)
        (place / "refs" / branch).write_text(commit)
    snapshot = place / "snapshots" / commit
    if folder:
        shutil.copytree(folder, snapshot)
    else:
        snapshot.mkdir(parents=True)
    return snapshot


@pytest.mark.parametrize(
    ("revision", "kind", "path"),
    [
        ("", "model", "/api/models/org/name"),
        ("v1.0", "model", "/api/models/org/name/revision/v1.0"),
        ("", "dataset", "/api/datasets/org/name"),
    ],
)
def test_a_name_gets_the_commit_of_the_hub_once_a_process_and_it_is_said(answering, capsys, revision, kind, path):
    asked = answering(knows(COMMIT))
    assert hub.pin("org/name", revision, kind) == hub.pin("org/name", revision, kind) == f"org/name@{COMMIT}"
    assert asked == [path]
    assert capsys.readouterr().out.count(f"org/name@{COMMIT} is taken, which is {revision or 'main'} on the hub now.") == 1


@pytest.mark.parametrize("why", [None, fails, refuses(503), refuses(500)], ids=["offline", "no network", "503", "500"])
def test_without_the_hub_the_commit_of_its_cache_is_taken_and_it_is_said(answering, cache, capsys, monkeypatch, why):
    cached(cache, OTHER, branch="")
    cached(cache, COMMIT)
    if why:
        answering(why)
    else:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert hub.pin("org/name") == f"org/name@{COMMIT}"
    assert "The hub was not reached" in capsys.readouterr().out
    (cache / "models--org--name/refs/main").unlink()
    hub.pin.cache_clear()
    with pytest.raises(ModelError, match=f"holds no main but {COMMIT}, {OTHER}"):
        hub.pin("org/name")
    (cache / f"models--org--name/snapshots/{OTHER}").rmdir()
    assert hub.pin("org/name") == f"org/name@{COMMIT}"  # the only one
    with pytest.raises(ModelError, match=f"holds no v2 but {COMMIT}"):
        hub.pin("org/name", "v2")


@pytest.mark.parametrize(("kind", "error", "local"), [("model", ModelError, "folder"), ("dataset", DataError, "file")])
def test_without_the_hub_and_its_cache_it_is_said_what_to_do(kind, error, local):
    with pytest.raises(
        error, match="org/name has no commit, the hub was not reached, and its cache holds nothing of it"
    ) as caught:
        hub.pin("org/name", "", kind)
    assert caught.value.do.endswith(f"the path of a local {local}")
    assert "HF_HUB_OFFLINE" in caught.value.do


@pytest.mark.parametrize(
    ("answer", "words", "do"),
    [
        (
            refuses(404, "RepoNotFound"),
            "org/name is not on the hub, or is private",
            "check the id; for a private one set HF_TOKEN",
        ),
        (refuses(401, "", "Invalid username or password."), "is not on the hub, or is private", "set HF_TOKEN"),
        (
            refuses(403, "GatedRepo"),
            "org/name is gated",
            "its terms at https://huggingface.co/org/name and set HF_TOKEN",
        ),
        (refuses(404, "RevisionNotFound"), "no such branch, tag or commit", "leave it out for the main branch"),
    ],
)
def test_what_the_hub_refuses_is_told_in_words_whether_cached_or_not(answering, cache, answer, words, do):
    cached(cache, COMMIT)
    answering(answer)
    with pytest.raises(ModelError, match=words) as caught:
        hub.pin("org/name")
    assert do in caught.value.do
    with pytest.raises(DataError) as caught:
        hub.pin("org/name", "", "dataset")
    assert caught.value.where == "https://huggingface.co/datasets/org/name"


def test_an_id_that_the_hub_cannot_have_is_refused_without_asking(answering):
    asked = answering(knows(COMMIT))
    with pytest.raises(ModelError, match=r"org/-\.\.- is no id of the hub"):
        hub.pin("org/-..-")
    assert asked == []


def test_a_cached_model_is_found_at_its_commit_offline(cache, tiny_model):
    snapshot = cached(cache, COMMIT, tiny_model)
    assert find_model(f"org/name@{COMMIT}").path == snapshot
    (snapshot / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="holds no safetensors model") as caught:
        find_model(f"org/name@{COMMIT}")
    assert f"org/name@{COMMIT}, {snapshot}" in caught.value.where


def test_a_gated_model_is_told_in_words_when_it_is_fetched(answering):
    answering(refuses(403, "GatedRepo"))
    with pytest.raises(ModelError, match=f"org/name@{COMMIT} is gated"):
        find_model(f"org/name@{COMMIT}")


def test_a_file_that_holds_no_json_is_no_answer_of_the_hub(answering):
    answering(lambda request: httpx2.Response(200, content="<html>a login page", request=request))
    with pytest.raises(ModelError, match="was not reached"):
        hub.pin("org/name")
