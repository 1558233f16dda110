"""What bad input gets at the command line: a clear message, before any kernel starts."""

import pytest
from click.testing import CliRunner

from isheep_lib.cli import main

LIST = ["--params", "params/methods/list.yaml"]  # a run that reads seeds


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["0"], "iteration: 0 should be greater than or equal to 1"),
        (["1", "--stale", "maybe"], "stale: 'maybe' should be 'stop', 'redo' or 'keep'"),
        (["1", "--params", "params/nothing.yaml"], "params/nothing.yaml does not exist"),
        (["1", "--override", "train.epoch:3 filter.threshold:high"], "did you mean train.epochs?"),
        (["1", "--override", "train.epoch:3 filter.threshold:high"], "filter.threshold: 'high' should be a valid number"),
        (["1", "--override", "train.learning_rate:0x1"], "'0x1' should be a valid number; it is text"),
        (["1", *LIST, "--override", "synthesize.seeds:seeds/none.jsonl"], "seeds/none.jsonl does not exist"),
        (["1", "--override", "synthesize.seeds:mine.jsonl"], "synthesize.seeds: the method magpie reads no seeds"),
        (["1", "--override", "filter.scorer:expected"], "needs 'expected', not run on all pairs"),
        (["1", "--override", "filter.steps:[rules,density]"], "density needs the pairs' vectors; set assess.vectors to true"),
        (["1", "--override", "filter.steps:[rule]"], "'rule' should be 'rules', 'threshold', 'perplexity', 'density'"),
        (
            ["1", *LIST, "--override", "synthesize.generated_demonstrations:5"],
            "must be fewer than demonstrations, or no seed is shown",
        ),
        (["1", "--override", "filter.decontaminate:yes"], "filter.decontaminate: 'yes' should be 'drop', 'list' or 'ignore'"),
        (["1", "--override", "filter.decontaminate:dropp"], "'dropp' should be 'drop', 'list' or 'ignore'"),
        (["1", "--override", "filter.decontaminate_against:[arc_easi]"], "did you mean arc_easy?"),
        (["1", "--override", "filter.decontaminate_against:[arc_easy=none.jsonl]"], "none.jsonl does not exist"),
        (["1", "--override", "train.setting:last"], "train.setting: 'last' should be 'one_base', 'one_last' or 'total_base'"),
    ],
)
def test_iterate_refuses_bad_input_and_writes_nothing(root, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(root)
    result = CliRunner().invoke(main, ["iterate", *arguments, "--run", str(tmp_path / "run")])
    assert result.exit_code == 1
    assert said in result.output
    assert not (tmp_path / "run").exists()


def test_an_absent_model_is_named_with_what_to_do(root, tmp_path, monkeypatch):
    monkeypatch.chdir(root)
    given = ["--run", str(tmp_path / "run"), "--override", "model.base_model:/no/such/model"]
    result = CliRunner().invoke(main, ["iterate", "1", *given])
    assert result.exit_code == 1
    assert "No model at '/no/such/model'" in result.output
    assert "do: " in result.output
    assert not list((tmp_path / "run").glob("iter-*"))


@pytest.mark.parametrize("command", ["status", "verify"])
def test_a_run_that_does_not_exist_is_named(command):
    result = CliRunner().invoke(main, [command, "no-such-run"])
    assert result.exit_code == 1
    assert "no-such-run" in result.output
