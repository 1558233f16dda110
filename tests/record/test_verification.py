"""A whole record, and every way to change it: what `isheep verify` finds, and in which words."""

import json
import os
import shutil
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isheep_lib.errors import RecordError
from isheep_lib.record import locks, manifests, verification
from isheep_lib.record.fingerprints import fingerprint
from isheep_lib.record.fixity import inventory
from isheep_lib.record.fixity.sealed import write_sealed

FILES = {
    (0, "evaluate"): {"metrics.json": '{"tasks": {}}\n', "samples-ifeval.jsonl": '{"id":"1"}\n'},
    (1, "synthesize"): {"examples.jsonl": '{"id":"i1"}\n{"id":"i2"}\n', "dropped.jsonl": ""},
    (1, "filter"): {"kept.jsonl": '{"id":"i1"}\n', "dropped.jsonl": '{"id":"i2"}\n'},
    (1, "train"): {"log.jsonl": '{"loss":1.0}\n', "adapter/adapter_model.safetensors": "weights"},
}
READS = {"filter": "iter-1/synthesize/examples.jsonl", "train": "iter-1/filter/kept.jsonl"}


def notebook(*counts):
    cell = {"cell_type": "code", "source": "1 + 1", "metadata": {}}
    cells = [{**cell, "id": f"c{n}", "execution_count": n, "outputs": []} for n in counts]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def stage(run, iteration, name, files, schema=2, **more):
    """Record a stage as the runner does, but for the inventory."""
    folder = manifests.stage_folder(run, iteration, name)
    for file, text in {**files, f"{name}.ipynb": notebook(1, 2)}.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text)
    outputs = {
        path.relative_to(folder).as_posix(): manifests.describe_file(path) for path in folder.rglob("*") if path.is_file()
    }
    read = READS.get(name)
    digests = {read: manifests.describe_file(run / read)["sha256"]} if read else {}
    parts = {"stage": name, "inputs": digests, "parameters": {"threshold": 0.5}}
    manifest = {
        "schema": schema,
        "stage": name,
        "iteration": iteration,
        "parts": parts,
        "fingerprint": fingerprint(parts),
        "parameters": {"threshold": 0.5, "learning_rate": 0.001},
        "outputs": outputs,
        "counts": {"in": 2, "kept": 1, "dropped": {"rule": 1}},
        "tokens": {"generated": 5},
        "seconds": 1.5,
        "git": {"commit": "ab" * 20},
        "environment": {"packages": {"torch": "2.9"}},
        "check": {"auroc": 0.75},
        "held_out": {"before": 2.0, "best": 1.5},
        **more,
    }
    if schema == 1:
        (folder / "manifest.json").write_text(json.dumps(manifest))
    else:
        manifests.write_manifest(folder, manifest)


def make_run(run, schema=2):
    run.mkdir()
    (run / "params.yaml").write_text("seed: 1\nfilter:\n  threshold: 0.5\n")
    for (iteration, name), files in FILES.items():
        stage(run, iteration, name, files, schema)
    (run / "iterate.ipynb").write_text(notebook(1, 2, 3))
    if schema > 1:
        assert inventory.renew(run, "iterate.ipynb") == ""
    return run


@pytest.fixture
def run(tmp_path):
    """Return a finished run of all kinds of files, with its inventory."""
    return make_run(tmp_path / "run")


def failures(run):
    found = {}
    for verdict in verification.verify(run):
        if not verdict.holds:
            found[verdict.item] = f"{found[verdict.item]}; {verdict.detail}" if verdict.item in found else verdict.detail
    return found


MANIFEST = "iter-1/train/manifest.json"


def in_json(file, *path, to=None, drop=False):
    """Return an edit of one value of a JSON file, written as its writer would have."""

    def edit(run):
        values = json.loads((run / file).read_text())
        inner = values
        for name in path[:-1]:
            inner = inner[name]
        if drop:
            del inner[path[-1]]
        else:
            inner[path[-1]] = to
        (run / file).write_text(json.dumps(values, indent=1, ensure_ascii=False, sort_keys=True) + "\n")

    return edit


def resealed(*path, to):
    """Return an edit of a manifest's value whose own digest is made anew."""

    def edit(run):
        values = manifests.read_manifest((run / MANIFEST).parent)
        inner = values
        for name in path[:-1]:
            inner = inner[name]
        inner[path[-1]] = to
        write_sealed(run / MANIFEST, values)

    return edit


def bytes_of(file, content):
    return lambda run: (run / file).write_bytes(content)


def replaced(file, old, new):
    def edit(run):
        before = (run / file).read_bytes()
        assert old in before
        (run / file).write_bytes(before.replace(old, new, 1))

    return edit


def cut(file, size):
    return lambda run: (run / file).write_bytes((run / file).read_bytes()[:size])


def flipped(file, at):
    def edit(run):
        content = bytearray((run / file).read_bytes())
        content[at] ^= 1
        (run / file).write_bytes(content)

    return edit


def gone(file):
    return lambda run: (run / file).unlink()


def renamed(file, name):
    return lambda run: os.rename(run / file, run / name)


def linked(file):
    """Return an edit that puts a link to the same bytes in the place of a file or folder."""

    def edit(run):
        os.rename(run / file, run.parent / "elsewhere")
        (run / file).symlink_to(run.parent / "elsewhere")

    return edit


def added(file, content="x"):
    def edit(run):
        (run / file).parent.mkdir(parents=True, exist_ok=True)
        (run / file).write_text(content)

    return edit


def folder_for(file):
    return lambda run: [(run / file).unlink(), (run / file).mkdir()]


def pipe_for(file):
    return lambda run: [(run / file).unlink(), os.mkfifo(run / file)]


def from_elsewhere(run):
    stage(run, 2, "train", FILES[1, "train"])


def older(file):
    """Return an edit that puts the file of another stage in the place of one."""
    return lambda run: shutil.copy(run / "iter-1/filter/manifest.json", run / file)


DEEP = b"[" * 100_000
SHEET = "record.json"
EDITS = {
    # Values of a manifest, and its own digest as it was: the item that is named, and a word of what is said.
    "a manifest's count of kept rows": (in_json(MANIFEST, "counts", "kept", to=2), MANIFEST, "its own digest"),
    "a manifest's count of rows in": (in_json(MANIFEST, "counts", "in", to=3), MANIFEST, "its own digest"),
    "a reason of a manifest's dropped rows": (in_json(MANIFEST, "counts", "dropped", to={"x": 1}), MANIFEST, "own digest"),
    "a recorded parameter": (in_json(MANIFEST, "parameters", "learning_rate", to=0.01), MANIFEST, "own digest"),
    "a deciding parameter": (in_json(MANIFEST, "parts", "parameters", "threshold", to=0.1), MANIFEST, "own digest"),
    "the recorded commit": (in_json(MANIFEST, "git", "commit", to="cd" * 20), MANIFEST, "own digest"),
    "a recorded package": (in_json(MANIFEST, "environment", "packages", "torch", to="2.8"), MANIFEST, "own digest"),
    "the recorded AUROC": (in_json(MANIFEST, "check", "auroc", to=0.95), MANIFEST, "own digest"),
    "the recorded held-out loss": (in_json(MANIFEST, "held_out", "best", to=0.5), MANIFEST, "own digest"),
    "an output's entry removed": (in_json(MANIFEST, "outputs", "log.jsonl", drop=True), MANIFEST, "own digest"),
    "an output's digest": (in_json(MANIFEST, "outputs", "log.jsonl", "sha256", to="0" * 64), MANIFEST, "own digest"),
    "the stage renamed": (in_json(MANIFEST, "stage", to="filter"), MANIFEST, "own digest"),
    "the iteration renamed": (in_json(MANIFEST, "iteration", to=2), MANIFEST, "own digest"),
    "the tokens": (in_json(MANIFEST, "tokens", "generated", to=6), MANIFEST, "own digest"),
    "the seconds": (in_json(MANIFEST, "seconds", to=1.25), MANIFEST, "own digest"),
    "the schema": (in_json(MANIFEST, "schema", to=1), MANIFEST, "own digest"),
    "an input's digest": (in_json(MANIFEST, "parts", "inputs", to={}), MANIFEST, "own digest"),
    "a value added": (in_json(MANIFEST, "note", to="better"), MANIFEST, "own digest"),
    "a key removed": (in_json(MANIFEST, "counts", drop=True), MANIFEST, "own digest"),
    "the digest removed": (in_json(MANIFEST, "digest", drop=True), MANIFEST, "lost the digest of itself"),
    "the digest changed": (in_json(MANIFEST, "digest", to="0" * 64), MANIFEST, "own digest"),
    # The same with the manifest's own digest made anew: the inventory has another one of the file.
    "a resealed count": (resealed("counts", to={"in": 2, "kept": 2, "dropped": {}}), MANIFEST, "changed"),
    "a resealed AUROC": (resealed("check", "auroc", to=0.95), MANIFEST, "changed"),
    "a resealed commit": (resealed("git", "commit", to="cd" * 20), MANIFEST, "changed"),
    "a resealed stage name": (resealed("stage", to="filter"), "iter-1/train", "its manifest is that of iter-1/filter"),
    "a resealed iteration": (resealed("iteration", to=7), "iter-1/train", "its manifest is that of iter-7/train"),
    "a resealed list of outputs": (resealed("outputs", to={}), MANIFEST, "changed"),
    "an output outside": (
        resealed("outputs", to={"../../params.yaml": {"sha256": "0", "bytes": 1}}),
        MANIFEST,
        "outside of its folder",
    ),
    "an output of a name that no disk has": (
        resealed("outputs", to={"a" * 300: {"sha256": "0", "bytes": 1}, "a\0b": {"sha256": "0", "bytes": 1}}),
        "iter-1/train/a\\x00b",
        "missing",
    ),
    "outputs of another type": (resealed("outputs", to=[]), MANIFEST, "does not hold what manifests do: outputs"),
    "counts of another type": (resealed("counts", "in", to="2"), MANIFEST, "does not hold what manifests do: counts"),
    # What is no manifest at all.
    "a manifest {}": (bytes_of(MANIFEST, b"{}"), MANIFEST, "does not hold what manifests do"),
    "a manifest []": (bytes_of(MANIFEST, b"[]"), MANIFEST, "no JSON object but a list"),
    "a manifest null": (bytes_of(MANIFEST, b"null"), MANIFEST, "no JSON object but null"),
    "a manifest of nothing": (bytes_of(MANIFEST, b""), MANIFEST, "not JSON"),
    "a binary manifest": (bytes_of(MANIFEST, bytes(range(256))), MANIFEST, "not UTF-8"),
    "a manifest of UTF-16": (bytes_of(MANIFEST, "{}".encode("utf-16")), MANIFEST, "not UTF-8"),
    "a manifest that is deep": (bytes_of(MANIFEST, DEEP), MANIFEST, "not JSON"),
    "a manifest of a huge number": (bytes_of(MANIFEST, b'{"stage": ' + b"9" * 5000 + b"}"), MANIFEST, "not JSON"),
    "a key twice": (replaced(MANIFEST, b'"iteration": 1', b'"iteration": 1,\n "iteration": 1'), MANIFEST, "own digest"),
    "a byte order mark": (replaced(MANIFEST, b"{", b"\xef\xbb\xbf{"), MANIFEST, "not JSON"),
    "a space more": (replaced(MANIFEST, b": 1", b":  1"), MANIFEST, "own digest"),
    "a line break less": (cut(MANIFEST, -1), MANIFEST, "own digest"),
    "NaN for a number": (replaced(MANIFEST, b"1.5", b"NaN"), MANIFEST, "own digest"),
    "half a character": (replaced(MANIFEST, b'"2.9"', b'"\\ud800"'), MANIFEST, "own digest"),
    "half a manifest": (cut(MANIFEST, 100), MANIFEST, "not JSON"),
    "another stage's manifest": (older(MANIFEST), "iter-1/train", "that of iter-1/filter"),
    "no manifest": (gone(MANIFEST), MANIFEST, "missing"),
    "a folder for a manifest": (folder_for(MANIFEST), MANIFEST, "no file"),
    "a pipe for a manifest": (pipe_for(MANIFEST), MANIFEST, "no file"),
    # The run's own files.
    "the threshold in params.yaml": (replaced("params.yaml", b"0.5", b"0.4"), "params.yaml", "changed"),
    "a comment in params.yaml": (replaced("params.yaml", b"seed", b"# mine\nseed"), "params.yaml", "changed"),
    "no params.yaml": (gone("params.yaml"), "params.yaml", "missing"),
    "a binary params.yaml": (bytes_of("params.yaml", b"\xff\x00"), "params.yaml", "changed"),
    "an output of iterate.ipynb": (replaced("iterate.ipynb", b"1 + 1", b"1 + 2"), "iterate.ipynb", "changed"),
    "no iterate.ipynb": (gone("iterate.ipynb"), "iterate.ipynb", "missing"),
    "an empty iterate.ipynb": (bytes_of("iterate.ipynb", b""), "iterate.ipynb", "changed"),
    # The inventory.
    "no inventory": (gone(SHEET), SHEET, "missing"),
    "an inventory {}": (bytes_of(SHEET, b"{}"), SHEET, "does not hold what inventories do"),
    "an inventory null": (bytes_of(SHEET, b"null"), SHEET, "no JSON object"),
    "a binary inventory": (bytes_of(SHEET, b"\xff\xfe"), SHEET, "not UTF-8"),
    "a deep inventory": (bytes_of(SHEET, DEEP), SHEET, "not JSON"),
    "a folder for the inventory": (folder_for(SHEET), SHEET, "no file"),
    "another root": (in_json(SHEET, "root", to="0" * 64), SHEET, "own digest"),
    "a file struck from the inventory": (in_json(SHEET, "files", "params.yaml", drop=True), SHEET, "own digest"),
    "a digest in the inventory": (in_json(SHEET, "files", "params.yaml", "sha256", to="0" * 64), SHEET, "own digest"),
    "the inventory without its digest": (in_json(SHEET, "digest", drop=True), SHEET, "contradicts itself"),
    # Files of the stages.
    "a bit of a row": (flipped("iter-1/filter/kept.jsonl", 8), "iter-1/filter/kept.jsonl", "changed"),
    "a bit of the weights": (
        flipped("iter-1/train/adapter/adapter_model.safetensors", 3),
        "iter-1/train/adapter/adapter_model.safetensors",
        "changed",
    ),
    "a row cut": (cut("iter-1/synthesize/examples.jsonl", 12), "iter-1/synthesize/examples.jsonl", "changed"),
    "an empty file filled": (added("iter-1/synthesize/dropped.jsonl"), "iter-1/synthesize/dropped.jsonl", "changed"),
    "rows gone": (gone("iter-1/filter/kept.jsonl"), "iter-1/filter/kept.jsonl", "missing"),
    "rows renamed": (renamed("iter-1/filter/kept.jsonl", "iter-1/filter/k.jsonl"), "iter-1/filter/k.jsonl", "added"),
    "a folder for rows": (folder_for("iter-1/filter/kept.jsonl"), "iter-1/filter/kept.jsonl", "missing"),
    "a pipe for rows": (pipe_for("iter-1/filter/kept.jsonl"), "iter-1/filter/kept.jsonl", "missing"),
    "an edited stage notebook": (
        replaced("iter-1/filter/filter.ipynb", b"1 + 1", b"1 + 2"),
        "iter-1/filter/filter.ipynb",
        "changed",
    ),
    "no stage notebook": (gone("iter-1/filter/filter.ipynb"), "iter-1/filter/filter.ipynb", "missing"),
    "a stage gone": (lambda run: shutil.rmtree(run / "iter-1/filter"), "iter-1/filter/manifest.json", "missing"),
    "a stage renamed": (renamed("iter-1/filter", "iter-1/assess"), "iter-1/assess", "its manifest is that of iter-1/filter"),
    "an iteration renamed": (renamed("iter-0", "iter-5"), "iter-5/evaluate", "its manifest is that of iter-0/evaluate"),
    "a stage added with its manifest": (from_elsewhere, "iter-2/train", "not in record.json"),
    # Files too many.
    "a file beside the run's": (added("notes.txt"), "notes.txt", "added"),
    "a notebook beside the run's": (added("other.ipynb"), "other.ipynb", "added"),
    "a file in a stage": (added("iter-1/train/adapter/extra.bin"), "iter-1/train/adapter/extra.bin", "added"),
    "a file in an iteration": (added("iter-1/extra"), "iter-1/extra", "added"),
    "a folder of files": (added("more/deep/file"), "more/deep/file", "added"),
    "a name that moves the cursor": (added("a\x1b[2Jb"), "a\\x1b[2Jb", "added"),
    "a name of no text": (lambda run: open(os.fsencode(run) + b"/\xff", "w").close(), "\\udcff", "added"),
    "a name of two lines": (added("ok\nFAIL"), "ok\\nFAIL", "added"),
    # Links, whose target can change without the record.
    "a link to the same rows": (linked("iter-1/filter/kept.jsonl"), "iter-1/filter/kept.jsonl", "is a link"),
    "a link to the same parameters": (linked("params.yaml"), "params.yaml", "is a link"),
    "a link to the same stage": (linked("iter-1/filter"), "iter-1/filter", "is a link"),
    "a link to nothing": (lambda run: (run / "x").symlink_to("nowhere"), "x", "is a link"),
}


def test_a_record_as_it_was_written_holds_and_its_root_is_told(run):
    verdicts = verification.verify(run)
    assert [verdict for verdict in verdicts if not verdict.holds] == []
    (sheet,) = [verdict.detail for verdict in verdicts if verdict.item == SHEET]
    assert sheet == f"covers 18 files up to iteration 1; root sha256 {inventory.root_of(run)}"
    assert len(EDITS) > 90


@pytest.mark.parametrize("edit", EDITS)
def test_every_edit_of_a_record_is_named_with_what_is_wrong(run, edit):
    do, item, words = EDITS[edit]
    do(run)
    found = failures(run)
    assert item in found, found
    assert any(word in found[item] for word in words.split("|")), found[item]


RECORD = ["record.json", "params.yaml", "iterate.ipynb", MANIFEST, "iter-0/evaluate/metrics.json", "iter-1/train/train.ipynb"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_byte_changed_added_or_lost_in_any_file_is_found(run, data):
    path = run / data.draw(st.sampled_from(RECORD))
    before = path.read_bytes()
    at, change = data.draw(st.integers(0, len(before) - 1)), data.draw(st.integers(1, 255))
    after = data.draw(
        st.sampled_from(
            [
                before[:at] + bytes([before[at] ^ change]) + before[at + 1 :],
                before[:at] + before[at + 1 :],
                before[:at] + bytes([change]) + before[at:],
                before[:at],
            ]
        )
    )
    path.write_bytes(after)
    try:
        assert failures(run), f"{path.name} at {at}"
    finally:
        path.write_bytes(before)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(RECORD),
    content=st.binary(max_size=60)
    | st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    ).map(lambda value: json.dumps(value).encode()),
)
def test_whatever_a_file_holds_verification_ends_in_words(run, name, content):
    before = (run / name).read_bytes()
    (run / name).write_bytes(content)
    try:
        assert all(isinstance(text, str) for text in failures(run).values())
    finally:
        (run / name).write_bytes(before)


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"null", b"\xff", b"{}", b'{"cells": 1}', b'{"cells": [1]}', b'{"cells": [{"cell_type": "code"}]}', DEEP],
)
def test_a_notebook_that_is_none_is_told_in_words_though_its_digest_fits(run, content):
    (run / "iter-1/train/train.ipynb").write_bytes(content)
    manifest = manifests.read_manifest(run / "iter-1/train")
    manifest["outputs"]["train.ipynb"] = manifests.describe_file(run / "iter-1/train/train.ipynb")
    manifests.write_manifest(run / "iter-1/train", manifest)
    assert "is no executed notebook" in failures(run)["iter-1/train/train.ipynb"]


def test_generated_folders_locks_failed_tries_and_unfinished_work_are_no_part_of_a_record(run):
    for name in ("report/index.html", "export/iteration-1/README.md", ".lock", ".turn", "iter-1/.superseded-train-1/x"):
        added(name)(run)
    for name in ("iterate.failed.ipynb", "iter-1/train/manifest.pending.json", "iter-1/train/.work-1/journal.jsonl"):
        added(name)(run)
    added("iter-1/train/train.failed.ipynb")(run)
    assert failures(run) == {}


def test_names_of_failed_tries_are_additions_where_no_try_leaves_them(run):
    names = ["train.failed.ipynb", "iter-1/iterate.failed.ipynb", "iter-1/train/filter.failed.ipynb", "manifest.pending.json"]
    names += ["iter-1/train/adapter/train.failed.ipynb", "iter-1/train/adapter/manifest.pending.json"]
    for name in names:
        added(name)(run)
    assert failures(run).keys() == set(names)


def test_an_unfinished_stage_is_said_and_its_files_are_no_part_of_the_record(run):
    added("iter-2/synthesize/examples.jsonl")(run)
    verdicts = verification.verify(run)
    assert all(verdict.holds for verdict in verdicts)
    assert verdicts[-1].item == "iter-2/synthesize"
    assert verdicts[-1].detail == "not finished: 1 file(s) of unfinished work, no part of the record"


def test_absent_weights_are_known_by_their_digest_and_not_called_ok(run):
    weights = "iter-1/train/adapter/adapter_model.safetensors"
    (run / weights).unlink()
    found = [verdict for verdict in verification.verify(run) if verdict.item == weights]
    assert [(verdict.holds, verdict.word, verdict.detail[:7]) for verdict in found] == [(True, "absent", "absent:")]


def test_a_record_from_before_inventories_holds_and_what_no_digest_covers_is_said(tmp_path):
    run = make_run(tmp_path / "old", schema=1)
    verdicts = verification.verify(run)
    assert all(verdict.holds for verdict in verdicts)
    assert "no digest covers manifests, params.yaml and iterate.ipynb" in "".join(verdict.detail for verdict in verdicts)
    added("iter-1/train/extra")(run)
    bytes_of(MANIFEST, b"{}")(run)
    assert failures(run).keys() == {MANIFEST}
    added("iter-1/filter/extra")(run)
    assert failures(run)["iter-1/filter/extra"].startswith("added")


def test_an_old_record_that_goes_on_is_covered_from_then_on(tmp_path):
    run = make_run(tmp_path / "old", schema=1)
    stage(run, 2, "train", FILES[1, "train"])
    assert inventory.renew(run, "iter-2/train") == ""
    assert failures(run) == {}
    replaced("iter-1/train/manifest.json", b"0.75", b"0.95")(run)
    assert "changed" in failures(run)["iter-1/train/manifest.json"]


@pytest.mark.parametrize("folder", [".", "iter-1"])
def test_a_folder_without_a_record_is_refused(tmp_path, folder):
    (tmp_path / folder).mkdir(exist_ok=True)
    with pytest.raises(RecordError, match="There is no such run"):
        verification.verify(tmp_path)


def test_a_run_that_has_finished_no_stage_is_no_record_yet(tmp_path):
    (tmp_path / "params.yaml").write_text("seed: 2\n")
    with pytest.raises(RecordError, match="No finished stage here"):
        verification.verify(tmp_path)


def test_a_sweep_is_verified_run_by_run_with_their_roots(tmp_path):
    for name in ("high", "low"):
        make_run(tmp_path / name)
    (tmp_path / "ablate.ipynb").write_text("{}")
    found = {verdict.item: verdict.detail for verdict in verification.verify(tmp_path)}
    assert found["high/record.json"].endswith(inventory.root_of(tmp_path / "high"))
    gone("low/params.yaml")(tmp_path)
    make_params = tmp_path / "low" / "params.yaml"
    make_params.write_text("seed: 2\n")
    assert list(failures(tmp_path)) == ["low/params.yaml"]


def test_a_run_that_is_being_written_is_looked_at_again(run, monkeypatch):
    monkeypatch.setattr(verification.time, "sleep", lambda _: inventory.renew(run, "iter-2/train"))
    stage(run, 2, "train", FILES[1, "train"])
    assert "not in record.json" in failures(run)["iter-2/train"]
    lock = locks.RunLock(run)
    try:
        assert failures(run) == {}
    finally:
        lock.release()


# The inventory as a run grows.


def test_the_inventory_grows_with_the_run_and_large_files_are_not_hashed_again(run, monkeypatch):
    root = inventory.root_of(run)
    stage(run, 2, "train", FILES[1, "train"])
    hashed = []
    digest = manifests.digest_file
    monkeypatch.setattr(manifests, "digest_file", lambda path: hashed.append(path.name) or digest(path))
    assert inventory.renew(run, "iter-2/train") == ""
    assert set(hashed) <= {"manifest.json", "params.yaml", "iterate.ipynb"}
    assert inventory.root_of(run) != root
    assert failures(run) == {}


def test_the_root_follows_from_names_sizes_and_digests_and_not_from_the_summary_that_quotes_it(run):
    root = inventory.root_of(run)
    (run / "iterate.ipynb").write_text(notebook(1))
    assert inventory.renew(run, "iterate.ipynb") == ""
    assert (inventory.root_of(run), failures(run)) == (root, {})
    assert make_run(run.parent / "same") and inventory.root_of(run.parent / "same") == root


def test_nothing_is_written_where_nothing_has_changed(run):
    before = (run / SHEET).stat().st_ino
    assert inventory.renew(run) == ""
    assert (run / SHEET).stat().st_ino == before


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (replaced("params.yaml", b"0.5", b"0.4"), "params.yaml"),
        (resealed("check", "auroc", to=0.95), MANIFEST),
        (lambda run: shutil.rmtree(run / "iter-0"), "iter-0/evaluate/manifest.json"),
        (bytes_of(MANIFEST, b"[]"), "The manifest is no JSON object"),
        (bytes_of(SHEET, b"[]"), "The inventory record.json is no JSON object"),
    ],
)
def test_the_inventory_is_left_as_it_is_where_it_does_not_fit_any_more(run, edit, named):
    edit(run)
    before = (run / SHEET).read_bytes()
    stage(run, 2, "train", FILES[1, "train"])
    said = inventory.renew(run, "iter-2/train")
    assert said.startswith("record.json is left as it is") and named in said
    assert (run / SHEET).read_bytes() == before


def test_a_stage_made_anew_takes_the_place_of_the_old_one(run):
    shutil.rmtree(run / "iter-1/train")
    stage(run, 1, "train", {"log.jsonl": '{"loss":0.5}\n'})
    assert inventory.renew(run, "iter-1/train") == ""
    assert failures(run) == {}


def test_a_run_killed_before_its_inventory_was_renewed_is_mended_by_the_next_start(run):
    stage(run, 2, "train", FILES[1, "train"])
    assert "isheep iterate takes it in" in failures(run)["iter-2/train"]
    assert inventory.renew(run) == ""
    assert failures(run) == {}


def test_readers_see_a_whole_inventory_or_none_while_it_is_renewed(run):
    over, seen = threading.Event(), []

    def read():
        while not over.is_set():
            seen.append(inventory.read(run).root)

    reader = threading.Thread(target=read)
    reader.start()
    for iteration in range(2, 12):
        stage(run, iteration, "train", FILES[1, "train"])
        inventory.renew(run, f"iter-{iteration}/train")
        time.sleep(0.002)
    over.set()
    reader.join()
    assert len(set(seen)) > 1


def test_a_large_file_of_a_record_is_hashed_once(run, monkeypatch):
    opened = []
    real = open

    def counting(path, *arguments, **named):
        opened.append(Path(path).name)
        return real(path, *arguments, **named)

    monkeypatch.setattr("builtins.open", counting)
    verification.verify(run)
    assert opened.count("adapter_model.safetensors") == 1
