"""HumanEvalFix: what is shown is the mistake, what passes is its correction."""

import pytest

from isheep_lib.benchmarks import lm_eval_tasks
from isheep_lib.benchmarks.data import open_suite
from isheep_lib.record.rows import write_jsonl
from isheep_lib.sandbox.run import find_sandbox
from tools.check_benchmarks import Scripted

TEST = "def check(candidate):\n    assert candidate(3) == 6\n"
ROW = {"task_id": "Python/0", "prompt": "def double(x):\n", "entry_point": "double", "test": TEST}
ROW |= {"buggy_solution": "    return x * 3\n", "canonical_solution": "    return x * 2\n"}


@pytest.mark.parametrize("framed", [False, True])
@pytest.mark.parametrize(("body", "passed"), [("canonical_solution", 1.0), ("buggy_solution", 0.0)])
def test_the_correction_passes_and_the_mistake_fails(tmp_path, framed, body, passed):
    write_jsonl(tmp_path / "fix.jsonl", [ROW])
    suite = open_suite(["human_eval_fix"], [f"human_eval_fix={tmp_path / 'fix.jsonl'}"], 0)

    class Answers(Scripted):
        def generate_until(self, requests):
            (instance,) = requests
            assert ROW["buggy_solution"].strip() in instance.args[0]
            return [f"```python\n{ROW['prompt']}{ROW[body]}```" if framed else ROW[body]]

    method = find_sandbox() or "unconfined"
    (row,) = lm_eval_tasks.run(suite.chosen, Answers(False, framed), framed, method=method)["human_eval_fix"]
    assert row["scores"] == {"pass_at_1": passed}
