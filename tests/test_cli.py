"""The command: what it says, how it exits, and that it checks before it starts anything."""

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from isheep_lib.cli import main
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
        (["rerun", "nobody"], "No finished stage here"),
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
    assert "every run: Qwen/Qwen1.5-72B has no commit, the hub was not reached" in result.output


def test_papers_runs_and_folder_reach_the_notebook(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(runner, "execute_watched", lambda *given: seen.append(given))
    result = called("paper", "--run", "one_base=a", "--run", "one_last=b", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    (notebook, output, params, _) = seen[0]
    assert (notebook.name, output) == ("paper.ipynb", tmp_path / "paper.ipynb")
    assert params == {"out": str(tmp_path), "runs": ["one_base=a", "one_last=b"]}
    assert "Next: open" in result.output
