"""The command: what it says, how it exits, and that it checks before it starts anything."""

import importlib.util
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from isheep_lib.cli import main
from isheep_lib.command import in_its_words
from isheep_lib.iterate import runner
from isheep_lib.models.base import ModelRef
from isheep_lib.record import manifests, provenance
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


@pytest.mark.parametrize("module", ["isheep_lib", "isheep_lib.cli"])
def test_python_m_is_the_command(module):
    result = subprocess.run([sys.executable, "-m", module, "verify", "nobody"], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "There is no such run" in result.stderr
    result = subprocess.run([sys.executable, "-m", module, "iterate"], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr.startswith("Usage: isheep iterate ")


def test_the_next_command_can_be_copied_into_a_shell(monkeypatch, tmp_path):
    monkeypatch.setattr(runner, "execute", lambda *_: None)
    run = tmp_path / "it's $HOME; a run"
    result = called("iterate", 1, "--run", run)
    assert result.exit_code == 0, result.output
    said = shlex.split(result.output.split("Next: ")[1])
    assert said == ["open", f"{run}/iterate.ipynb,", "or", "isheep", "status", str(run)]


def test_a_run_of_a_sweep_is_told_by_its_whole_name(monkeypatch, tmp_path, root):
    monkeypatch.setattr(runner, "execute", lambda *_: None)
    assert "isheep status mine/low\n" in called("iterate", 1, "--run", "mine/low").output
    params = tmp_path / "p.yaml"
    params.write_text((root / "params/smollm2-135m.yaml").read_text().replace("run: smollm2-135m", "run: mine/deep/low"))
    assert "isheep status mine/deep/low\n" in called("iterate", 1, "--params", params).output


def test_overrides_given_one_by_one_are_one(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(runner, "execute", lambda _, __, given: seen.append(given["override"]))
    more = ["--override", 'model.system_prompt:"You are brief."', "--override", "train.epochs:1"]
    result = called("iterate", 1, "--run", tmp_path / "run", *more)
    assert result.exit_code == 0, result.output
    assert seen == ['model.system_prompt:"You are brief." train.epochs:1']
    result = called("iterate", 1, *more, "--override", "train.epochs:2")
    assert result.exit_code == 1
    assert "train.epochs: given twice, as train.epochs:1 and as train.epochs:2" in result.output


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
    (notebook, output, params) = seen[0]
    assert (notebook.name, output) == ("paper.ipynb", tmp_path / "paper.ipynb")
    assert params == {"out": str(tmp_path), "runs": ["one_base=a", "one_last=b"]}
    assert "Next: open" in result.output


def stopped(*arguments: object, monkeypatch: pytest.MonkeyPatch) -> Result:
    """Call a command that is told to end as soon as its notebook starts."""

    def killed(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(runner, "execute", killed)
    return called(*arguments)


def test_a_command_that_is_stopped_says_in_one_line_what_is_kept_and_how_it_goes_on(monkeypatch, tmp_path, reference):
    shutil.copytree(Path(reference) / "iter-1", tmp_path / "my run/iter-1")
    given = ("iterate", 2, "--run", tmp_path / "my run", "--override", "filter.threshold:0.5")
    result = stopped(*given, monkeypatch=monkeypatch)
    assert result.exit_code == 128 + signal.SIGTERM
    assert result.stderr.splitlines()[-1] == (
        "Stopped: 5 finished stage(s) are kept, and what the one at work had done so far; to go on: "
        f"isheep iterate 2 --run '{tmp_path}/my run' --override filter.threshold:0.5"
    )


def test_a_dry_run_says_what_it_takes_by_which_record_and_leaves_nothing(tmp_path):
    result = called("iterate", 1, "--run", tmp_path / "new", "--dry")
    assert result.exit_code == 0, result.output
    row = next(line for line in result.output.splitlines() if line.startswith("iter-1/train"))
    assert "96 pairs x epochs" in row
    assert re.search(r"^\d: results/\S+/iter-\d, on \S.*$", result.output, re.MULTILINE)
    assert re.search(r"^memory: \d\.\d GiB at most, by \w+$", result.output, re.MULTILINE)
    assert re.search(r"^disk: \d+ MiB for the run's files", result.output, re.MULTILINE)
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_of_a_model_that_nobody_ran_says_what_is_unknown_and_what_is_lacking(tmp_path, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: find_spec(name, *more) if name != "vllm" else None)
    given = (
        "--params",
        "params/qwen1.5-7b.yaml",
        "--run",
        tmp_path / "new",
        "--override",
        'judge.judged:["mt_bench"] judge.judge_engine:transformers',
    )
    result = called("iterate", 2, *given, "--dry")
    assert result.exit_code == 1
    rows = {line.split()[0]: line for line in result.output.splitlines() if line.startswith("iter-")}
    assert list(rows)[-1] == "iter-2/judge"
    assert "10,000 pairs" in rows["iter-1/assess"]
    assert all("unknown" in line for name, line in rows.items() if not name.endswith("filter"))
    assert "memory: unknown" in result.output
    assert "vLLM is not installed" in result.output
    assert "pip install -c constraints.txt -e '.[vllm]'" in result.output
    assert list(tmp_path.iterdir()) == []


def test_a_dry_sweep_asks_records_and_starts_nothing(tmp_path, no_kernel, root):
    result = called("ablate", root / "params/ablations/small-threshold.yaml", "--name", tmp_path / "s", "--dry")
    assert result.exit_code == 0, result.output
    assert "Records of this model say what every stage costs" in result.output
    other = called("ablate", root / "params/ablations/judge.yaml", "--name", tmp_path / "s", "--dry")
    assert "A probe (--probe) would run one iteration with 50 of 10,000 instructions" in other.output
    assert list(tmp_path.iterdir()) == []


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


def test_every_run_of_a_sweep_is_verified():
    result = called("verify", SWEEP)
    assert result.exit_code == 0
    seen = [line.split()[1].partition("/")[0] for line in result.output.splitlines() if "iter-1/filter: " in line]
    assert seen == ["direct", "one_base", "one_last", "total_base"]


def test_a_run_of_a_sweep_that_has_finished_nothing_yet_stops_no_verification(tmp_path):
    (tmp_path / "s/low").mkdir(parents=True)
    (tmp_path / "s/low/params.yaml").write_text("seed: 1\n")
    (tmp_path / "s/ablate.ipynb").write_text("{}")
    result = called("verify", tmp_path / "s")
    assert result.exit_code == 0
    assert "none  low: no stage is finished yet" in result.output


def test_verification_says_on_which_machine_a_record_was_made_and_changes_no_verdict(reference, monkeypatch):
    before = called("verify", reference)
    here = {**provenance.environment(), "cores": 99}
    monkeypatch.setattr(provenance, "environment", lambda: here)
    after = called("verify", reference)
    assert before.output.splitlines()[:-1] == after.output.splitlines()[:-1]
    assert before.exit_code == after.exit_code == 0
    made = provenance.machine_of(manifests.read_manifest(Path(reference) / "iter-1/train")["environment"])
    assert after.output.splitlines()[-1].startswith(f"16 stage(s) made on {made}; this machine differs: ")
    assert "cores 2 → 99" in after.output.splitlines()[-1]


def test_absent_weights_are_not_ok_and_what_that_means_is_said(reference, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(reference, run, ignore=shutil.ignore_patterns("*.safetensors"))
    verified, shown, served = called("verify", run), called("status", run), called("serve", run)
    line = next(line for line in verified.output.splitlines() if "adapter_model.safetensors" in line)
    assert verified.exit_code == 0
    assert line.startswith("absent  iter-1/train/adapter/adapter_model.safetensors")
    assert "3 file(s) are absent. Absent weights are known by their digests alone" in verified.output
    for result in (shown, served):
        assert [word for line in result.output.splitlines() for word in line.split() if word == "absent"] == ["absent"] * 3
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


@pytest.mark.parametrize("run", [name for name in manifests.known_runs() if name.startswith("reference/")])
def test_the_base_model_of_every_committed_run_can_be_served(run, monkeypatch):
    monkeypatch.setattr("isheep_lib.engines.servers.discovery.model_of", lambda run, name, k: ModelRef(name, Path("b"), ""))
    result = called("serve", run, 0)
    assert result.exit_code == 0, result.output
    assert result.output.startswith("vllm serve b --served-model-name embedded:")


SAID = "or another name for a new run (-p run NAME); give -p stale keep; -p limit 3; isheep iterate 1 --run NAME"


@pytest.mark.parametrize(
    ("command", "run", "stale"),
    [("iterate", "--run", "--stale"), ("ablate", "--name", "--stale"), ("rerun", "--into", "-p stale")],
)
def test_a_message_speaks_of_the_command_s_own_options(command, run, stale):
    said = in_its_words(main.commands[command], SAID)
    assert said == f"or another name for a new run ({run} NAME); give {stale} keep; -p limit 3; isheep iterate 1 --run NAME"


def test_no_message_that_iterate_shows_keeps_papermills_flags(root):
    files = set((root / "isheep_lib").rglob("*.py")) - {root / "isheep_lib/command.py"}
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
