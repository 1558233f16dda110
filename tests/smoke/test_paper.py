"""The paper's notebook with a real kernel, over a finished run of the tiny model."""

import json

import pytest

from isheep_lib.errors import StageFailed
from isheep_lib.iterate import runner
from isheep_lib.paper import published
from isheep_lib.record import verification


def outputs(path):
    cells = json.loads(path.read_text())["cells"]
    return {cell["id"]: json.dumps(cell["outputs"], ensure_ascii=False) for cell in cells if cell["cell_type"] == "code"}


def test_the_notebook_shows_and_writes_every_table_and_figure(root, finished, tmp_path):
    executed, out = tmp_path / "paper.ipynb", tmp_path / "out"
    params = {"runs": [f"one_base={finished}", f"threshold={finished}"], "out": str(out)}
    runner.execute(root / "notebooks/paper.ipynb", executed, params)
    assert verification.verify_notebook(executed) == []
    shown = outputs(executed)
    assert "all checks hold" in shown["checks"]
    assert "tiny-model" in shown["setup"] and "another model" in shown["table-seven"]
    for number in published.NUMBERS:
        for part in ("changes", "left-out", "not-run"):
            assert (out / f"table-{number}-{part}.tex").is_file()
    for name in ("figure-1", "figure-3", "figure-4"):
        assert (out / f"{name}.pdf").stat().st_size > 1000
    assert "good" in shown["table-six"]


def test_a_wrong_row_ends_the_notebook_with_the_known_ones(root, tmp_path):
    with pytest.raises(StageFailed, match="did you mean one_base"):
        runner.execute(root / "notebooks/paper.ipynb", tmp_path / "paper.ipynb", {"runs": ["one_bas=x"], "out": str(tmp_path)})
