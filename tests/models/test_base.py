"""Models by reference: names, folders, digests; no model is loaded."""

import json
import os

import pytest

from isheep_lib.errors import ModelError
from isheep_lib.models import base as models_base
from isheep_lib.models.base import ModelRef, check_adapters, digest_model, find_model
from isheep_lib.record.folders import cache_folder

COMMIT = "0123456789abcdef" * 2 + "01234567"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ISHEEP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "tiny"
    path.mkdir()
    for name in ("config.json", "tokenizer.json", "model.safetensors", "README.md"):
        (path / name).write_text(f"content of {name}")
    return path


def refusal(name):
    with pytest.raises(ModelError) as caught:
        find_model(str(name))
    return str(caught.value)


def test_a_folder_is_found_with_its_digest(folder):
    found = find_model(str(folder))
    assert (found.name, found.path, found.adapters) == (str(folder), folder, ())
    assert found.digest == digest_model(folder)
    assert len(found.digest) == 64


def test_a_folder_is_found_from_the_current_one_and_from_home(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert find_model("tiny").path == folder
    monkeypatch.setenv("HOME", str(folder.parent))
    assert find_model("~/tiny").path == folder


@pytest.mark.parametrize("gone", ["config.json", "model.safetensors"])
def test_a_folder_without_a_model_is_refused_with_what_belongs_there(folder, gone):
    (folder / gone).unlink()
    message = refusal(folder)
    assert "holds no safetensors model" in message
    assert str(folder) in message
    assert "config.json, *.safetensors" in message
    assert "save_pretrained" in message


@pytest.mark.parametrize("name", ["no-such-folder", "/no/such/folder", "a/b/c", "org/na me@x", "embedded", "org/name@", "a@b"])
def test_a_name_that_is_nothing_is_refused_with_the_forms_allowed(name):
    message = refusal(name)
    assert repr(name) in message
    assert "base_model" in message
    assert "embedded:smollm2-135m-instruct" in message
    assert "org/name@<40-hex commit>" in message
    assert "check the name" in message


@pytest.mark.parametrize("revision", ["", "@main", "@v1", f"@{COMMIT[:39]}", f"@{COMMIT}0", f"@{COMMIT.upper()}"])
def test_a_hub_id_without_a_whole_commit_is_refused(revision):
    message = refusal(f"org/name{revision}")
    assert f"'org/name{revision}' is not pinned to a commit" in message
    assert "take the commit from the model's page" in message


def test_an_unknown_embedded_name_is_answered_with_the_known_ones():
    message = refusal("embedded:gpt-5")
    assert "'gpt-5'" in message
    assert "smollm2-135m-instruct" in message


def test_a_hub_model_is_taken_at_its_commit(folder, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    asked = []

    def download(repository, revision, allow_patterns):
        asked.append((repository, revision))
        assert not any("bin" in pattern or pattern == "*" for pattern in allow_patterns)
        return str(folder)

    monkeypatch.setattr(hub, "snapshot_download", download)
    assert find_model(f"org/name@{COMMIT}").path == folder
    assert asked == [("org/name", COMMIT)]


def test_a_hub_model_that_cannot_be_had_is_explained(monkeypatch):
    hub = pytest.importorskip("huggingface_hub")

    def download(*_, **__):
        raise hub.errors.LocalEntryNotFoundError("offline")

    monkeypatch.setattr(hub, "snapshot_download", download)
    message = refusal(f"org/name@{COMMIT}")
    assert f"org/name@{COMMIT} is neither in the local cache nor to be had" in message
    assert "HF_HUB_OFFLINE" in message


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_changed_file_changes_the_digest(folder, name):
    before = digest_model(folder)
    (folder / name).write_text("something else")
    assert digest_model(folder) != before


def test_an_added_or_renamed_file_changes_the_digest(folder):
    before = digest_model(folder)
    (folder / "merges.txt").write_text("")
    added = digest_model(folder)
    (folder / "merges.txt").rename(folder / "vocab.txt")
    assert len({before, added, digest_model(folder)}) == 3


def test_notes_and_the_folders_name_do_not_change_the_digest(folder):
    before = digest_model(folder)
    (folder / "README.md").write_text("a new note")
    assert digest_model(folder) == before
    assert digest_model(folder.rename(folder.with_name("moved"))) == before


def test_weights_are_hashed_once_while_size_and_time_stay(folder, monkeypatch):
    hashed = []
    real = models_base.digest_file
    monkeypatch.setattr(models_base, "digest_file", lambda path: hashed.append(path.name) or real(path))
    first = digest_model(folder)
    assert "model.safetensors" in hashed
    hashed.clear()
    assert digest_model(folder) == first
    assert hashed == []
    os.utime(folder / "model.safetensors", ns=(1, 1))
    assert digest_model(folder) == first
    assert hashed == ["model.safetensors"]


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"{", b"\xff", b"[" * 100_000, b"9" * 5000])
def test_a_damaged_memory_of_digests_is_made_anew(folder, cache, content):
    first = digest_model(folder)
    (cache / "digests.json").write_bytes(content)
    assert digest_model(folder) == first
    assert len(json.loads((cache / "digests.json").read_bytes())) == 3


def test_the_cache_lies_where_the_environment_says(cache, monkeypatch):
    assert cache_folder() == cache
    monkeypatch.delenv("ISHEEP_CACHE")
    monkeypatch.setenv("HOME", str(cache.parent))
    assert cache_folder() == cache.parent / ".cache" / "isheep"


def adapter(folder, base, weights=True):
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}))
    if weights:
        (folder / "adapter_model.safetensors").touch()
    return folder


def test_an_adapter_of_another_base_or_without_weights_is_refused_with_both_names(tmp_path):
    good, other = adapter(tmp_path / "good", "small"), adapter(tmp_path / "other", "large")
    empty = adapter(tmp_path / "empty", "small", weights=False)
    check_adapters(ModelRef("small", tmp_path, "d", (good,)))
    with pytest.raises(ModelError, match="trained on large, not on small"):
        check_adapters(ModelRef("small", tmp_path, "d", (good, other)))
    with pytest.raises(ModelError, match="weights are not here"):
        check_adapters(ModelRef("small", tmp_path, "d", (empty,)))
