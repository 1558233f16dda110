"""The finished run that several files of tests look at."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.runs import BIN, PARAMS, call, written


@pytest.fixture(scope="session")
def finished(root: Path, tiny_model: Path, once: Callable[[str, Callable[[Path], None]], Path]) -> Iterator[Path]:
    """Run two iterations with papermill's own command, as a user would; for looking at, by several processes at a time."""

    def make(folder: Path) -> None:
        parameters = {"iteration": 2, "params": PARAMS, "run": folder / "whole", "override": f"model.base_model:{tiny_model}"}
        flags = [text for name, value in parameters.items() for text in ("-p", name, str(value))]
        result = call(root, str(BIN / "papermill"), "notebooks/iterate.ipynb", str(folder / "iterate.ipynb"), *flags)
        assert result.returncode == 0, result.stderr[-3000:]
        assert "train, stage 4 of 5 of iteration 2 of 2: training" in result.stderr, (
            "progress did not reach the terminal through two levels of kernels"
        )

    run = once("runs", make) / "whole"
    before = written(run)
    yield run
    assert written(run) == before, "a test wrote into the finished run, where tests of other processes look"
