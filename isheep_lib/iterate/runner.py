"""Runs one notebook in one kernel and believes nothing but its manifest.

Papermill's own status is not trusted: a killed kernel or an interrupt leaves every cell "completed". Here the saved
notebook says which cell failed, the whole process tree of the kernel ends with it, and the finished notebook is
published atomically, its digest inside the manifest that makes the stage done.
"""

import contextlib
import logging
import os
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import papermill
import psutil
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from isheep_lib.errors import ParameterError, StageFailed
from isheep_lib.iterate import session
from isheep_lib.record import manifests
from isheep_lib.record.progress import PROGRESS_FILE, Relay, watching
from isheep_lib.record.rows import make_folder, publish, write_failure

KERNEL_START_SECONDS = 300  # papermill's 60 is short on a cold network disk
FAILURES = (PapermillExecutionError, CellExecutionError, DeadKernelError, CellTimeoutError)


class TruthfulClient(PapermillNotebookClient):
    """Executes cells and, on any failure, leaves the failed and the unrun cells marked as such."""

    def papermill_execute_cells(self) -> None:
        """Execute in order; mark a cell failed for whatever reason it did not end well."""
        for index, cell in enumerate(self.nb.cells):
            self.nb_man.cell_start(cell, index)
            try:
                self.execute_cell(cell, index)
            except BaseException as error:
                self.nb_man.cell_exception(self.nb.cells[index], cell_index=index, exception=error)
                if isinstance(error, CellExecutionError):
                    break  # papermill raises its own error after saving
                raise
            finally:
                self.nb_man.cell_complete(self.nb.cells[index], cell_index=index)


class TruthfulEngine(NBClientEngine):
    """Papermill's engine with the client above, no open ports, and no process left behind."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, *_: Any, **options: Any) -> Any:
        """Execute a managed notebook; papermill calls this."""
        with tempfile.TemporaryDirectory(prefix="isheep-") as sockets:
            config = Config()
            if os.name == "posix":
                config.ConnectionFileMixin.transport = "ipc"
                # Without it kernels of one directory started at once take the same names; short, for a socket's path is.
                config.ConnectionFileMixin.ip = f"{sockets}/k"
            client = TruthfulClient(
                nb_man,
                kernel_name=kernel_name,
                timeout=options.get("execution_timeout"),
                startup_timeout=KERNEL_START_SECONDS,
                config=config,
                coalesce_streams=True,
                log_output=False,
                resources={},
            )
            return cls._execute(client)

    @staticmethod
    def _execute(client: TruthfulClient) -> Any:
        family: list[psutil.Process] = []  # remembered: once a kernel has died, its orphans cannot be found any more
        try:
            with watching(lambda: family.extend(process for process in _family(client) if process not in family)):
                return client.execute()
        finally:
            for process in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()


def _family(client: TruthfulClient) -> list[psutil.Process]:
    process = getattr(getattr(client.km, "provisioner", None), "process", None)
    if process is None:
        return []
    with contextlib.suppress(psutil.NoSuchProcess):
        kernel = psutil.Process(process.pid)
        return [*kernel.children(recursive=True), kernel]
    return []


papermill_engines.register("isheep", TruthfulEngine)
logging.getLogger("papermill").setLevel(logging.ERROR)  # the manifest and the failed notebook say it all


def check_names(notebook: Path, params: dict[str, Any]) -> None:
    """Refuse parameters that the notebook does not have: papermill would only warn, and names are injected as code."""
    known = set(papermill.inspect_notebook(_escape(notebook)))
    unknown = sorted(name for name in params if name not in known or not name.isidentifier())
    if unknown:
        raise ParameterError(f"No such parameter: {', '.join(unknown)}", where=notebook.name, allowed=", ".join(sorted(known)))


def _escape(path: Path) -> str:
    """Papermill formats paths with the parameters; braces in a folder's name must survive that."""
    return str(path).replace("{", "{{").replace("}", "}}")


def execute(notebook: Path, output: Path, params: dict[str, Any]) -> None:
    """Execute a notebook and publish its executed copy, `*.failed.ipynb` if a cell failed.

    Raises:
        StageFailed: a cell raised, or the kernel died; the message is the cell's own.
        ParameterError: a parameter that the notebook does not have.
    """
    check_names(notebook, params)
    make_folder(output.parent)
    partial = output.with_name(f".{output.stem}.partial.ipynb")
    failed = output.with_name(f"{output.stem}.failed.ipynb")
    try:
        with warnings.catch_warnings(action="ignore"):
            papermill.execute_notebook(
                _escape(notebook),
                _escape(partial),
                parameters=params,
                engine_name="isheep",
                kernel_name="python3",
                language="python",
                progress_bar=False,
            )
    except FAILURES as error:
        _publish(partial, failed, notebook)
        raise _failure(error, failed) from error
    except OSError as error:
        raise write_failure(output, error) from error
    except BaseException:
        _publish(partial, failed, notebook)
        raise
    failed.unlink(missing_ok=True)
    _publish(partial, output, notebook)


def _failure(error: Exception, notebook: Path) -> StageFailed:
    if isinstance(error, PapermillExecutionError) and error.ename == StageFailed.__name__:
        return StageFailed(error.evalue)  # a notebook inside this one failed and has said where
    if isinstance(error, PapermillExecutionError):
        reason = f"{error.ename}: {error.evalue}"
    elif isinstance(error, DeadKernelError):
        reason = "The kernel died (killed, or out of memory)"
    else:
        reason = f"{type(error).__name__}: {error}"
    do = "" if "\n  do: " in reason else "what was finished is kept: mend the cause and run again"
    return StageFailed(reason, where=manifests.short(notebook), do=do)


def _publish(partial: Path, output: Path, source: Path) -> None:
    """Move an executed notebook to its name, with paths that hold on any machine."""
    if not partial.is_file():
        return
    book = nbformat.read(partial, as_version=4)
    facts = book.metadata.get("papermill", {})
    facts.update(input_path=manifests.short(source), output_path=manifests.short(output), environment_variables={})
    nbformat.write(book, partial)
    publish(partial, output)


def run_stage(stage: str, iteration: int, run_dir: Path, params: dict[str, Any], notebooks: Path) -> dict[str, Any]:
    """Run a stage notebook, show its progress here, and finish its manifest.

    Returns:
        The manifest.

    Raises:
        StageFailed: the notebook failed or ended without committing.
    """
    folder = manifests.stage_folder(run_dir, iteration, stage)
    make_folder(folder)
    output, state = folder / f"{stage}.ipynb", folder / ".progress.json"
    title = f"iteration {iteration} {stage}:"
    started = time.monotonic()
    (folder / manifests.PENDING).unlink(missing_ok=True)
    # Threads that wait by spinning fight with whatever else the machine runs, and slow both tenfold.
    threads = {"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE")}
    names = {session.UNDER_RUNNER: str(folder), **threads}
    with _environment(names), _relayed(state, title):
        execute(notebooks / f"{stage}.ipynb", output, params)
    manifest = manifests.read_manifest(folder, manifests.PENDING)
    if manifest is None:
        raise StageFailed(
            f"{stage}.ipynb ended without committing (its last cell did not run)", where=manifests.short(output), do="run again"
        )
    manifest["outputs"][output.name] = manifests.describe_file(output)
    manifest["notebook_seconds"] = round(time.monotonic() - started, 1)
    manifests.write_manifest(folder, manifest)
    (folder / manifests.PENDING).unlink()
    session.finish(folder)
    return manifest


def execute_watched(notebook: Path, output: Path, params: dict[str, Any], title: str) -> None:
    """Execute a notebook that itself runs notebooks, and show here how far these are; see `execute`."""
    make_folder(output.parent)
    with _relayed(output.with_name(".progress.json"), title):
        execute(notebook, output, params)


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _relayed(state: Path, title: str) -> Iterator[None]:
    """Show a kernel's progress while this process waits for it."""
    relay = Relay(state, title, os.environ.get(PROGRESS_FILE))
    try:
        with watching(relay.poll), _environment({PROGRESS_FILE: str(state)}):
            yield
    finally:
        state.unlink(missing_ok=True)
