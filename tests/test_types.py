"""The type checker of `make lint` refuses what a parameter class or a stage does not have."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from isheep_lib.iterate.run_params import SECTIONS, STAGE_PARAMS

ROOT = Path(__file__).parents[1]
TY = shutil.which("ty", path=str(Path(sys.executable).parent))
CLASSES = [*SECTIONS.values(), *STAGE_PARAMS.values()]


@pytest.fixture(scope="module")
def check(tmp_path_factory):
    """Return a function that checks lines of code with the project's settings and gives what is said, line by line."""

    def checked(*lines):
        file = tmp_path_factory.mktemp("types") / "seam.py"
        file.write_text("\n".join(lines) + "\n")
        command = [TY, "check", "--project", str(ROOT), "--python", sys.prefix, "--output-format", "concise", str(file)]
        result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        said = [line.split("seam.py:")[1] for line in result.stdout.splitlines() if "seam.py:" in line]
        assert result.returncode == bool(said), result.stdout + result.stderr
        return {int(line.split(":")[0]): line for line in said}

    return checked


def test_a_field_that_a_parameter_class_does_not_have_fails(check):
    imports = [f"from {kind.__module__} import {kind.__name__}" for kind in CLASSES]
    known = [f"def known_{i}(params: {c.__name__}): return params.{next(iter(c.model_fields))}" for i, c in enumerate(CLASSES)]
    wrong = [f"def wrong_{i}(params: {kind.__name__}): return params.no_such_field" for i, kind in enumerate(CLASSES)]
    said = check(*imports, *known, *wrong)
    first = len(imports) + len(known) + 1
    assert sorted(said) == list(range(first, first + len(wrong)))
    assert all("no_such_field" in line for line in said.values())


def test_a_parameter_class_takes_no_argument_that_it_does_not_have(check):
    said = check("from isheep_lib.train.params import Train", "Train(epochs=2)", "Train(epoch=2)", "Train(epochs='two')")
    assert list(said) == [3, 4]


def test_a_stage_offers_what_its_parameters_allow(check):
    said = check(
        "from isheep_lib.iterate.run_params import EvaluateParams, FilterParams",
        "from isheep_lib.iterate.session import StageSession",
        "from isheep_lib.judge.run import open_judge",
        "def asking(stage: StageSession[EvaluateParams]): return stage.open_engine(), stage.params.few_shot",
        "def filtering(stage: StageSession[FilterParams]): return stage.open_engine()",
        "def judging(stage: StageSession[EvaluateParams]): return open_judge(stage)",
    )
    assert list(said) == [5, 6]
