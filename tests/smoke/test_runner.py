"""The runner with real kernels: whatever ends a notebook, the saved copy and the verdict tell the truth."""

import json
import signal
import subprocess
import sys
import time

import nbformat
import psutil
import pytest
from nbconvert import HTMLExporter

from isheep_lib.errors import ParameterError, StageFailed
from isheep_lib.iterate import runner
from isheep_lib.record import manifests, verification

PARAMETERS = "depth: int = 1  # how deep"


def write_notebook(folder, *cells, name="filter", folded=False):
    book = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "", "language": "python"}})
    book.cells = [nbformat.v4.new_code_cell(source) for source in (PARAMETERS, *cells)]
    book.cells[0].metadata |= {"tags": ["parameters"]} | ({"jupyter": {"source_hidden": True}} if folded else {})
    folder.mkdir(exist_ok=True)
    nbformat.write(book, folder / f"{name}.ipynb")
    return folder / f"{name}.ipynb"


def page(path):
    """Convert a notebook as a reader does, who configures nothing."""
    return HTMLExporter().from_filename(str(path))[0]


def statuses(path):
    cells = json.loads(path.read_text())["cells"]
    return [
        c["metadata"]["papermill"]["status"] for c in cells if "papermill-error-cell-tag" not in c["metadata"].get("tags", [])
    ]


def test_a_good_notebook_is_published_with_its_parameters_and_without_machine_paths(tmp_path):
    source = write_notebook(tmp_path / "{odd} folder", "print(depth)", folded=True)
    output = tmp_path / "{odd} folder" / "out.ipynb"
    runner.execute(source, output, {"depth": 7})
    assert verification.verify_notebook(output) == []
    assert json.loads(output.read_text())["cells"][2]["outputs"][0]["text"] == ["7\n"]
    assert not list(output.parent.glob(".*"))
    assert json.loads(output.read_text())["cells"][1]["metadata"]["jupyter"] == {"source_hidden": True}, "the given parameters"
    assert not [said for said in ("# how deep", "# Parameters") if said in page(output)], "a page would show parameters thrice"
    assert "<pre>7\n</pre>" in page(output) and "# how deep" in page(source), "only copies are marked"


def test_a_place_at_the_top_holds_what_a_later_cell_tells_and_says_so_where_none_did(tmp_path):
    place = "from isheep_lib.display import first_screen\nfirst_screen.place('x.ipynb')"
    fill = "from isheep_lib.display.folded import Told\nfirst_screen.fill(Told('Said <last>.'))"
    runner.execute(write_notebook(tmp_path, place, "1 + 1", fill, name="good"), tmp_path / "whole.ipynb", {"depth": 2})
    shown_parameters = [said for said in ("# how deep", "# Parameters") if said in page(tmp_path / "whole.ipynb")]
    assert len(shown_parameters) == 2, "a notebook that does not fold its own parameters shows what it was given"
    with pytest.raises(StageFailed, match="ZeroDivisionError"):
        runner.execute(write_notebook(tmp_path, place, "1 / 0", fill, name="bad"), tmp_path / "broken.ipynb", {})
    shown = []
    for name in ("whole.ipynb", "broken.failed.ipynb"):
        cells = nbformat.read(tmp_path / name, as_version=4).cells
        (top,) = next(cell for cell in cells if cell.source == place).outputs
        assert not next(cell for cell in cells if cell.source == fill).outputs, "the later cell shows nothing of its own"
        shown.append((top.data["text/plain"], top.data["text/html"]))
    assert shown[0][0] == "Said <last>." and "<strong>Said &lt;last&gt;.</strong>" in shown[0][1]
    assert shown[1][0].startswith("Not finished: x.ipynb says here what came out")


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("raise ValueError('the reason')", "ValueError: the reason"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "The kernel died"),
    ],
)
def test_a_failed_cell_and_the_cells_after_it_are_marked_as_such(tmp_path, cell, reason):
    output = tmp_path / "out.ipynb"
    with pytest.raises(StageFailed, match=reason):
        runner.execute(write_notebook(tmp_path, "1 + 1", cell, "print('never')"), output, {})
    assert not output.exists()
    assert statuses(tmp_path / "out.failed.ipynb") == ["completed", "completed", "failed", "pending"]


def test_a_notebook_that_exits_early_is_not_done(tmp_path):
    notebooks = write_notebook(tmp_path / "notebooks", "import sys\nsys.exit(0)").parent
    with pytest.raises(StageFailed, match="ended without committing"):
        runner.run_stage("filter", 1, tmp_path / "run", {}, notebooks)
    assert manifests.read_manifest(tmp_path / "run/iter-1/filter") is None


def test_processes_that_a_kernel_left_behind_end_with_it(tmp_path):
    start = "import subprocess, pathlib, time, os, signal\np = subprocess.Popen(['sleep', '300'], start_new_session=True)\n"
    note = f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(p.pid))\ntime.sleep(2.5)\n"
    with pytest.raises(StageFailed):
        runner.execute(
            write_notebook(tmp_path, start + note + "os.kill(os.getpid(), signal.SIGKILL)"), tmp_path / "o.ipynb", {}
        )
    orphan = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 5
    while psutil.pid_exists(orphan) and psutil.Process(orphan).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the orphan lives on"
        time.sleep(0.1)


RUNS = """
import sys
from pathlib import Path
from jupyter_core.utils import run_sync
from isheep_lib.iterate import runner
from isheep_lib.iterate.stopping import signals
with signals():
    runner.execute(Path(sys.argv[1]), Path(sys.argv[1]).with_name("out.ipynb"), {})
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_kernel_amid_a_cell_and_its_children_end_with_the_command_and_leave_no_folder_for_long(tmp_path, monkeypatch, number):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "t"))
    (tmp_path / "t").mkdir()
    start = "import subprocess, pathlib, time, os\nfrom isheep_lib.iterate.stopping import end_with_parent\nend_with_parent()\n"
    child = "p = subprocess.Popen(['sleep', '300'], start_new_session=True)\n"
    note = f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(f'{{os.getpid()}} {{p.pid}}')\nwhile True: time.sleep(0.1)\n"
    with open(tmp_path / "log", "w") as log:
        notebook = str(write_notebook(tmp_path, start + child + note))
        command = subprocess.Popen([sys.executable, "-c", RUNS, notebook], stdout=log, stderr=log)
    while not (tmp_path / "pid").exists() or " " not in (tmp_path / "pid").read_text():
        assert command.poll() is None, (tmp_path / "log").read_text()
        time.sleep(0.05)
    family = [psutil.Process(int(pid)) for pid in (tmp_path / "pid").read_text().split()]
    command.send_signal(number)
    command.wait(timeout=30)
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive
    said = (tmp_path / "log").read_text()
    assert "IPKernelApp" not in said
    assert "ZMQError" not in said
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "t"))  # which this process has settled before
    runner.execute(write_notebook(tmp_path, "1 + 1"), tmp_path / "again.ipynb", {})
    assert not list((tmp_path / "t").glob("isheep-*"))


@pytest.mark.parametrize("name", ["dept", "a=__import__('os').system('touch pwned');z"])
def test_a_parameter_that_the_notebook_does_not_have_never_starts_a_kernel(tmp_path, name):
    with pytest.raises(ParameterError, match="No such parameter"):
        runner.execute(write_notebook(tmp_path, "print(depth)"), tmp_path / "o.ipynb", {name: 1})
    assert not list(tmp_path.glob("*o.*"))
    assert not (tmp_path / "pwned").exists()


SLOW_TO_LEAVE = """
import asyncio, gc, os, signal, sys, threading, time
from pathlib import Path
from jupyter_core.utils import run_sync
from isheep_lib.iterate import runner
from isheep_lib.iterate.stopping import signals

cleanup = runner.TruthfulClient._cleanup_kernel
def late(self):
    run_sync(asyncio.sleep)(2.5)  # a busy machine: what watches the kernel looks once more meanwhile
    cleanup(self)
runner.TruthfulClient._cleanup_kernel = late

notebook, amid = map(Path, sys.argv[1:])
def interrupt():
    while not amid.exists():
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt, daemon=True).start()
try:
    with signals():
        runner.execute(notebook, notebook.with_name("out.ipynb"), {})
except KeyboardInterrupt:
    print("stopped", file=sys.stderr)
gc.collect()
"""


def test_an_interrupted_command_says_nothing_after_its_last_line_however_long_its_kernel_takes_to_end(tmp_path):
    amid = tmp_path / "amid"
    notebook = write_notebook(tmp_path, f"import time\nopen({str(amid)!r}, 'w').close()\ntime.sleep(60)")
    ended = subprocess.run([sys.executable, "-c", SLOW_TO_LEAVE, notebook, amid], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0
    assert ended.stderr.splitlines()[-1] == "stopped"
    assert "Kernel died" not in ended.stderr.split("stopped")[-1]
