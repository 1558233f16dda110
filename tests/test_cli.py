"""The command: what it says, how it exits, and that it checks before it starts anything."""

import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from isheep_lib.cli import in_its_words, main
from isheep_lib.iterate import runner
from isheep_lib.rerun import run as rerun_run
from isheep_lib.rerun.notebook_diff import Change
from isheep_lib.rerun.run import Repeated


@pytest.fixture
def reference(root: Path) -> str:
    return str(root / "results/reference/smollm2-135m")


@pytest.fixture(autouse=True)
def no_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("execute", "execute_watched", "run_stage"):
        monkeypatch.setattr(runner, name, lambda *_, **__: pytest.fail("a notebook was started"))


def called(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ablate", "none.yaml"], "none.yaml does not exist"),
        (["paper", "--run", "one_base"], "should be a row of the tables, an equals sign and a run"),
        (["paper", "--run", "a=b", "--run", "a=b"], "none twice"),
        (["report", "nobody"], "There is no such run"),
        (["rerun", "nobody"], "There is no such run"),
        (["verify", "nobody"], "There is no such run"),
        (["serve", "nobody"], "There is no such run"),
        (["export", "nobody", "1"], "There is no such run"),
        (["explore", "nobody"], "There is no such run"),
        (["explore", "reference/smollm2-135m", "--iteration", "9"], "Iteration 9 has no pairs yet"),
        (["explore", "reference/smollm2-135m", "--sort", "pmii"], "sort: 'pmii' is none"),
    ],
)
def test_what_is_wrong_is_said_in_words_and_the_exit_is_1(arguments, said):
    result = called(*arguments)
    assert result.exit_code == 1
    assert said in result.output
    assert "Traceback" not in result.output


def test_a_rerun_of_what_is_not_recorded_names_what_is(reference):
    result = called("rerun", reference, "--stage", "judge")
    assert result.exit_code == 1
    assert "no judge is recorded" in result.output
    assert "synthesize, assess, filter, train, evaluate" in result.output


def repeated(*changes: Change) -> Repeated:
    return Repeated(1, "filter", 14, 3, list(changes), [], [], 4.0, 4.0)


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ([], 0, "Everything repeated came out as it was recorded."),
        ([Change("scores", "text/html", "0.5", "0.6")], 1, "Different: iter-1/filter"),
        ([Change("title", "source", "old", "new", decides=False)], 0, "rewritten since: title"),
    ],
)
def test_a_rerun_tells_each_stage_and_exits_by_what_differs(monkeypatch, reference, changes, code, said):
    def rerun(run_dir, stages, iterations, into, tell):
        assert (stages, iterations, into) == (("filter",), (1,), Path("/tmp/x"))
        tell(repeated(*changes))
        return [repeated(*changes)]

    monkeypatch.setattr(rerun_run, "rerun", rerun)
    result = called("rerun", reference, "--stage", "filter", "--iteration", 1, "--into", "/tmp/x")
    assert result.exit_code == code
    assert said in result.output
    assert "iter-1/filter: " in result.output
    assert ("0.6" in result.output) == bool(code)


def test_a_report_is_written_where_it_is_wanted_and_the_index_is_named(reference, tmp_path):
    run = tmp_path / "run"
    ignored = shutil.ignore_patterns("*.safetensors", "iter-[123]")
    shutil.copytree(reference, run, ignore=ignored)
    result = called("report", run, "--out", tmp_path / "pages")
    assert result.exit_code == 0, result.output
    assert f"Next: open {tmp_path / 'pages' / 'index.html'}" in result.output
    assert (tmp_path / "pages/index.html").is_file()


def test_a_sweep_is_planned_before_the_machine_is_asked(tmp_path, root):
    result = called("ablate", root / "params/ablations/judge.yaml", "--name", tmp_path / "s")
    assert result.exit_code == 1
    assert "4 runs of 64 stages" in result.output
    assert "is not pinned to a commit" in result.output


def test_papers_runs_and_folder_reach_the_notebook(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(runner, "execute_watched", lambda *given: seen.append(given))
    result = called("paper", "--run", "one_base=a", "--run", "one_last=b", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    (notebook, output, params, _) = seen[0]
    assert (notebook.name, output) == ("paper.ipynb", tmp_path / "paper.ipynb")
    assert params == {"out": str(tmp_path), "runs": ["one_base=a", "one_last=b"]}
    assert "Next: open" in result.output


SWEEP = "reference/small-setting"


@pytest.mark.parametrize("arguments", [["report"], ["rerun"], ["serve"], ["explore"], ["export", 1]], ids=lambda a: a[0])
def test_where_one_run_is_meant_a_sweep_is_called_a_sweep_and_its_runs_are_named(arguments):
    result = called(arguments[0], SWEEP, *arguments[1:])
    assert result.exit_code == 1
    assert f"{SWEEP} is a sweep of 4 run(s), and this takes one run" in result.output
    assert f"{SWEEP}/one_last" in result.output


def test_status_of_a_sweep_has_a_line_for_each_run():
    result = called("status", SWEEP)
    assert result.exit_code == 0
    assert f"{SWEEP} is a sweep of 4 run(s)" in result.output
    lines = dict(line.split(maxsplit=1) for line in result.output.splitlines() if line)
    assert lines["one_last"].split() == ["2", "11", "done", "9"]


def test_every_run_of_a_sweep_is_verified(monkeypatch):
    from isheep_lib.record import verification

    seen = []
    monkeypatch.setattr(verification, "verify", lambda run_dir: seen.append(run_dir.name) or [])
    assert called("verify", SWEEP).exit_code == 0
    assert seen == ["direct", "one_base", "one_last", "total_base"]


def test_a_run_of_a_sweep_that_has_finished_nothing_yet_stops_no_verification(tmp_path):
    (tmp_path / "s/low").mkdir(parents=True)
    (tmp_path / "s/low/params.yaml").write_text("seed: 1\n")
    (tmp_path / "s/ablate.ipynb").write_text("{}")
    result = called("verify", tmp_path / "s")
    assert result.exit_code == 0
    assert "none  low: no stage is finished yet" in result.output


def test_absent_weights_are_not_ok_and_what_that_means_is_said(reference, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(reference, run, ignore=shutil.ignore_patterns("*.safetensors", "iter-[23]"))
    verified, shown, served = called("verify", run), called("status", run), called("serve", run)
    line = next(line for line in verified.output.splitlines() if "adapter_model.safetensors" in line)
    assert verified.exit_code == 0
    assert line.startswith("absent  iter-1/train/adapter/adapter_model.safetensors")
    assert "1 file(s) are absent. Absent weights are known by their digests alone" in verified.output
    for result in (shown, served):
        assert [word for line in result.output.splitlines() for word in line.split() if word == "absent"] == ["absent"]
        assert "Absent weights are known by their digests alone" in result.output


def test_serve_lists_every_model_and_how_to_choose_it(reference):
    result = called("serve", reference)
    assert result.exit_code == 0
    rows = [line.split() for line in result.output.splitlines() if line.startswith("M_")]
    assert [(row[0], row[-1]) for row in rows] == [(f"M_{k}", str(k)) for k in range(4)]
    assert all(f"isheep serve reference/smollm2-135m {k}" in result.output for k in range(4))
    refused = called("serve", reference, 7)
    assert refused.exit_code == 1
    assert "allowed: iterations 0, 1, 2, 3; 0 is the base model" in refused.output


SAID = "or another name for a new run (-p run NAME); give -p stale keep; -p limit 3; isheep iterate 1 --run NAME"


@pytest.mark.parametrize(
    ("command", "run", "stale"),
    [("iterate", "--run", "--stale"), ("ablate", "--name", "--stale"), ("rerun", "--into", "-p stale")],
)
def test_a_message_speaks_of_the_command_s_own_options(command, run, stale):
    said = in_its_words(main.commands[command], SAID)
    assert said == f"or another name for a new run ({run} NAME); give {stale} keep; -p limit 3; isheep iterate 1 --run NAME"


def test_no_message_that_iterate_shows_keeps_papermills_flags(root):
    files = set((root / "isheep_lib").rglob("*.py")) - {root / "isheep_lib/cli.py"}
    found = {flag for path in files for flag in re.findall(r"(?<!\w)-p \w+", path.read_text())}
    assert {"-p run", "-p stale"} <= found
    assert all("-p" not in in_its_words(main.commands["iterate"], flag) for flag in found), found


def test_a_report_that_was_there_says_that_nothing_was_to_do(reference, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(reference, run, ignore=shutil.ignore_patterns("*.safetensors", "iter-[123]"))
    first, second = (called("report", run) for _ in range(2))
    assert "Nothing was to do" not in first.output
    assert "Nothing was to do: the report was there" in second.output
    (run / "report/index.html").write_text("changed")
    assert "Nothing was to do" not in called("report", run).output


def test_a_finished_sweep_says_that_nothing_was_to_do(monkeypatch, tmp_path, root):
    from isheep_lib.ablate import runs, table

    done = [False]
    monkeypatch.setattr(runner, "execute_watched", lambda *_: None)
    monkeypatch.setattr(runs, "check_runs", lambda *_: None)
    monkeypatch.setattr(runs, "work", lambda _: [runs.Work(None, 1, "filter", finished) for finished in done])
    monkeypatch.setattr(runs, "plan_table", lambda _: "plan")
    monkeypatch.setattr(table, "ablation_table", lambda _: "table")
    arguments = ("ablate", root / "params/ablations/small-threshold.yaml", "--name", tmp_path / "s")
    assert "Nothing was to do" not in called(*arguments).output
    done[0] = True
    assert "Nothing was to do: all 1 stages of the sweep were done before." in called(*arguments).output
