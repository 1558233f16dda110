"""Runs one notebook in one kernel and believes nothing but its manifest.

Papermill's own status is not trusted: a killed kernel or an interrupt leaves every cell "completed". Here the saved
notebook says which cell failed, the whole process tree of the kernel ends with it, and the finished notebook is
published atomically, its digest inside the manifest that makes the stage done.
"""

import asyncio
import contextlib
import logging
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import papermill
import psutil
from jupyter_core.utils import ensure_event_loop
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from isheep_lib.errors import ParameterError, StageFailed
from isheep_lib.iterate import session, stopping
from isheep_lib.record import folders, manifests, shards
from isheep_lib.record.fixity import inventory
from isheep_lib.record.progress import PROGRESS_FILE, Relay, State, watching
from isheep_lib.record.rows import make_folder, publish, write_failure
from isheep_lib.server_key import struck

INJECTED = "injected-parameters"
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
                if not isinstance(error, CellExecutionError):
                    stopping.end(_family(self))  # now: a kernel that is asked to end finishes its cell first
                    _leave_tasks()
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
        with folders.temporary(Path(tempfile.gettempdir()), "isheep-") as sockets:
            config = Config()
            config.ConnectionFileMixin.connection_file = str(sockets / "kernel.json")
            if os.name == "posix":
                config.ConnectionFileMixin.transport = "ipc"
                # Without it kernels of one directory started at once take the same names; short, for a socket's path is.
                config.ConnectionFileMixin.ip = str(sockets / "k")
            client = TruthfulClient(
                nb_man,
                kernel_name=kernel_name,
                timeout=options.get("execution_timeout"),
                startup_timeout=KERNEL_START_SECONDS,
                config=config,
                extra_arguments=["--IPKernelApp.log_level=50"],  # what a cell says is its output; this would go to the terminal
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
            stopping.end(family)


def _family(client: TruthfulClient) -> list[psutil.Process]:
    process = getattr(getattr(client.km, "provisioner", None), "process", None)
    return stopping.family_of(process.pid) if process else []


def _leave_tasks() -> None:
    """Let what still waits for an ended kernel fail in silence; asyncio would print it after the last line."""
    for task in asyncio.all_tasks(ensure_event_loop()):
        task.add_done_callback(lambda done: done.cancelled() or done.exception())


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
    try:
        _publish(partial, output, notebook)
        if (output.parent / inventory.INVENTORY).is_file():
            inventory.renew(output.parent, output.name)
    except OSError as error:
        raise write_failure(output, error) from error


def _failure(error: Exception, notebook: Path) -> StageFailed:
    if isinstance(error, PapermillExecutionError) and error.ename == StageFailed.__name__:
        return StageFailed(error.evalue)  # a notebook inside this one failed and has said where
    if isinstance(error, PapermillExecutionError):
        reason = "It was interrupted" if error.ename == KeyboardInterrupt.__name__ else f"{error.ename}: {error.evalue}"
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
    _fold(book.cells)
    partial.write_text(struck(nbformat.writes(book)).rstrip("\n") + "\n", encoding="utf-8")
    publish(partial, output)


def _fold(cells: list[Any]) -> None:
    """Hide the given parameters where the notebook hides its own: a table below shows all of them, once.

    Jupyter folds such a source. A page that nbconvert makes cannot fold, and a reader of it configures nothing: its templates
    leave out what nbconvert's own TagRemovePreprocessor marks like this. Only copies are marked, scripts are made of sources.
    """
    own = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    for cell in cells:
        if INJECTED in cell.metadata.get("tags", []) and any(_is_hidden(one) for one in own):
            cell.metadata.setdefault("jupyter", {})["source_hidden"] = True
        if _is_hidden(cell):
            cell.metadata["transient"] = {"remove_source": True}


def _is_hidden(cell: Any) -> bool:
    return bool(cell.metadata.get("jupyter", {}).get("source_hidden"))


def run_stage(
    stage: str,
    iteration: int,
    run_dir: Path,
    params: dict[str, Any],
    notebooks: Path,
    where: str = "",
    left: Callable[[State], float | None] = lambda _: None,
) -> dict[str, Any]:
    """Run a stage notebook, show its progress here, and finish its manifest.

    Args:
        where: names the stage's place in the run beside its progress.
        left: estimates, from how far the stage is, the seconds until the run is done.

    Returns:
        The manifest.

    Raises:
        StageFailed: the notebook failed or ended without committing.
    """
    folder = manifests.stage_folder(run_dir, iteration, stage)
    make_folder(folder)
    output, state = folder / f"{stage}.ipynb", folder / ".progress.json"
    started = time.monotonic()
    (folder / manifests.PENDING).unlink(missing_ok=True)
    # Threads that wait by spinning fight with whatever else the machine runs, and slow both tenfold.
    threads = {"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE")}
    names = {session.UNDER_RUNNER: str(folder), **threads}
    place = where or f"{stage} of iteration {iteration}"
    with _environment(names), _relayed(state, lambda now: replace(now, where=place, left=left(now))):
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
    inventory.renew(run_dir, f"iter-{iteration}/{stage}")
    shards.finish(folder)
    return manifest


def execute_watched(notebook: Path, output: Path, params: dict[str, Any], title: str = "") -> None:
    """Execute a notebook that itself runs notebooks, and show here how far these are, under a title; see `execute`."""

    def titled(state: State) -> State:
        return replace(state, where=": ".join(filter(None, (title, state.where))))

    make_folder(output.parent)
    with _relayed(output.with_name(".progress.json"), titled):
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
def _relayed(state: Path, place: Callable[[State], State]) -> Iterator[None]:
    """Show a kernel's progress while this process waits for it."""
    relay = Relay(state, place, os.environ.get(PROGRESS_FILE))
    relay.begin()
    try:
        with watching(relay.poll), _environment({PROGRESS_FILE: str(state)}):
            yield
    finally:
        relay.end()
        state.unlink(missing_ok=True)
