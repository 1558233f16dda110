"""The committed reference record executed again by real kernels: the same, and where it was changed, named."""

import importlib.util
import shutil
from pathlib import Path

import nbformat
import pytest

from isheep_lib.errors import RecordError
from isheep_lib.record import manifests
from isheep_lib.record.rows import digest_file, read_jsonl, write_jsonl
from isheep_lib.rerun.run import differences_table, rerun

absent = importlib.util.find_spec("eval_framework") is None
pytestmark = pytest.mark.skipif(absent, reason="the IFEval prompts are not installed (make setup)")


@pytest.fixture
def reference(root: Path) -> Path:
    return root / "results" / "reference" / "smollm2-135m"


@pytest.fixture
def copied(reference: Path, tmp_path: Path) -> Path:
    """Return a copy of the record as it is committed, without weights."""
    return shutil.copytree(reference, tmp_path / "copied", ignore=shutil.ignore_patterns("*.safetensors"))


def digests(run: Path) -> dict[str, str]:
    return {str(path): digest_file(path) for path in sorted(run.rglob("*")) if path.is_file()}


@pytest.mark.long
def test_all_filters_of_the_reference_come_out_as_they_were_recorded(reference: Path, tmp_path: Path) -> None:
    before, told = digests(reference), []
    found = rerun(reference, ["filter"], into=tmp_path / "again", tell=told.append)
    assert [one.name for one in found] == ["iter-1/filter", "iter-2/filter", "iter-3/filter"] == [one.name for one in told]
    for one in found:
        assert not one.differs, repr(differences_table(found))
        assert one.file_changes == [], "other bytes"
        assert one.cells > 10 and one.files == 3
    assert digests(reference) == before, "the record was written to"


def test_what_was_changed_in_a_record_is_named_by_cell_and_by_row_and_all_else_comes_out_as_recorded(
    copied: Path, tmp_path: Path
) -> None:
    folder = copied / "iter-1" / "filter"
    kept = read_jsonl(folder / "kept.jsonl")
    kept[3]["output"] += " Indeed."
    write_jsonl(folder / "kept.jsonl", kept)
    book = nbformat.read(folder / "filter.ipynb", as_version=4)
    (cell,) = [cell for cell in book.cells if cell.id == "example"]
    for form, text in cell.outputs[0].data.items():
        assert "0.4441" in text
        cell.outputs[0].data[form] = text.replace("0.4441", "0.4451")
    nbformat.write(book, folder / "filter.ipynb")
    manifest = manifests.read_manifest(folder)
    manifest["outputs"] |= {name: manifests.describe_file(folder / name) for name in ("kept.jsonl", "filter.ipynb")}
    manifests.write_manifest(folder, manifest)

    (found,) = rerun(copied, ["filter"], [1], tmp_path / "again")
    assert found.differs
    assert f", {found.files - 1} of 3 files the same bytes, " in found.lines()[0]
    named = [change for change in [*found.cell_changes, *found.file_changes] if change.decides]
    assert [(change.place, change.kind) for change in named] == [("example", "text/html"), ("kept.jsonl", "rows")]
    assert "0.4451" in named[0].before and "0.4441" in named[0].after
    assert named[1].after == f"{len(kept)} row(s), 1 row(s) differ: {kept[3]['id']}"


def test_stages_that_need_an_adapter_which_is_not_committed_are_refused_at_once(copied: Path, tmp_path: Path) -> None:
    with pytest.raises(RecordError) as error:
        rerun(copied, ["assess", "train", "evaluate"], [2], tmp_path / "again")
    assert "iter-2/assess cannot be repeated: the adapter of iteration 1 is not at hand" in error.value.what
    assert "train cannot" not in error.value.what  # it starts from the base model
    assert not (tmp_path / "again").exists()
