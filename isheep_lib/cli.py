"""The command `isheep`: it checks, shows and starts notebooks; it computes nothing itself."""

import sys

import click

from isheep_lib import __version__
from isheep_lib.errors import IsheepError, StageFailed


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """I-SHEEP: a language model aligns itself, and every step is on record."""


@main.command()
@click.argument("iteration", type=int)
@click.option("--params", default="params/smollm2-135m.yaml", show_default=True, help="Params file, one complete run.")
@click.option("--run", default="", help="Name under results, or a path; the params file's by default.")
@click.option("--override", default="", help='Changes to the params file, like "train.epochs:1 evaluate.answer_tokens:512".')
@click.option("--stale", default="stop", show_default=True, help="Stages made by other code or settings: stop, redo or keep.")
@click.option("--share/--no-share", default=True, help="Take stages that a run beside this one made of the same inputs.")
def iterate(**given: object) -> None:
    """Bring a run to an iteration: finished stages are reused, missing ones run."""
    from isheep_lib import runner, scoreboard, store
    from isheep_lib.chain import prepare
    from isheep_lib.provenance import project_root

    _, _, run_dir = _or_exit(prepare, given)
    output = run_dir / "iterate.ipynb"
    click.echo(f"results go to {store.short(run_dir)}", err=True)
    _or_exit(runner.execute, project_root() / "notebooks" / "iterate.ipynb", output, given)
    click.echo(scoreboard.results_table(scoreboard.metrics_of(run_dir)))
    click.echo(f"\nNext: open {store.short(output)}, or isheep status {given['run'] or run_dir.name}")


@main.command()
@click.argument("run")
def status(run: str) -> None:
    """Show a run at a glance: what is done, what it brought, what runs now."""
    from isheep_lib import chain, report, scoreboard, store

    run_dir = store.run_folder(run)
    click.echo(repr(report.Table(_or_exit(chain.status, run_dir))))
    click.echo(f"\n{scoreboard.results_table(scoreboard.metrics_of(run_dir))!r}")


@main.command()
@click.argument("run")
def verify(run: str) -> None:
    """Hash everything a run recorded; exit 1 when something differs."""
    from isheep_lib import chain, store

    verdicts = _or_exit(chain.verify, store.run_folder(run))
    for verdict in verdicts:
        click.echo(f"{'ok  ' if verdict.holds else 'FAIL'}  {verdict.item}: {verdict.detail}")
    failed = sum(not verdict.holds for verdict in verdicts)
    click.echo(f"\n{failed} difference(s)" if failed else "\nEverything at hand is as it was recorded.")
    sys.exit(1 if failed else 0)


@main.command()
@click.argument("run")
@click.argument("iteration", type=int)
def serve(run: str, iteration: int) -> None:
    """Print the command that serves the model of an iteration (0 is the base model) to the engine `server`.

    The adapter is merged into the base model first, once; see docs/servers.md.
    """
    from isheep_lib import store, weights

    click.echo(_or_exit(weights.serve_command, store.run_folder(run), iteration))


@main.command()
@click.argument("run")
@click.argument("iteration", type=int)
@click.option("--machine", type=int, required=True, help="This machine's number, from 1; the first is 0 and runs iterate.")
@click.option("--patience", default=3600.0, show_default=True, help="Seconds to wait for the training to begin.")
@click.option("--print", "only_print", is_flag=True, help="Show the commands of accelerate and torchrun instead of running.")
def join(run: str, iteration: int, machine: int, patience: float, only_print: bool) -> None:
    """Give this machine's processes to a training that another machine has begun; see docs/scaling.md."""
    from isheep_lib import launch, store

    do = launch.commands if only_print else launch.join
    click.echo(_or_exit(do, store.run_folder(run), iteration, machine, patience))


@main.command()
@click.argument("sweep")
@click.option("--name", default="", help="Folder under results for the runs; the sweep file's name by default.")
@click.option("--override", default="", help="Changes to the params file for all runs, after those of the sweep file.")
@click.option("--dry", is_flag=True, help="Plan and estimate only (a probe is run where nothing is known).")
@click.option("--stale", default="stop", show_default=True, help="Stages made by other code or settings: stop, redo or keep.")
def ablate(**given: object) -> None:
    """Run a sweep: the YAML file SWEEP names axes, values and seeds (params/ablations holds those of the paper)."""
    from isheep_lib import ablation, runner, store, sweep_work
    from isheep_lib.provenance import project_root
    from isheep_lib.sweep import open_sweep

    opened = _or_exit(open_sweep, str(given["sweep"]), str(given["name"]), str(given["override"]))
    click.echo(sweep_work.plan_table(opened))
    _or_exit(sweep_work.check_runs, opened, str(given["stale"]))
    output = opened.folder / "ablate.ipynb"
    _or_exit(runner.execute_watched, project_root() / "notebooks" / "ablate.ipynb", output, given, "sweep:")
    click.echo(f"\n{ablation.ablation_table(opened)!r}\n\nNext: open {store.short(output)}")


@main.command()
@click.option("--run", "runs", multiple=True, help="A row of the tables, an equals sign, a run: one_last=NAME. Repeatable.")
@click.option("--out", default="results/paper", show_default=True, help="Folder for the notebook, tables and figures.")
def paper(runs: tuple[str, ...], out: str) -> None:
    """Regenerate the paper's tables and figures, as published and as measured by your runs."""
    from isheep_lib import provenance, runner, store
    from isheep_lib.params import PaperParams
    from isheep_lib.params_check import check

    given = {"out": out, **({"runs": list(runs)} if runs else {})}
    _or_exit(check, PaperParams, given, "isheep paper")
    output = provenance.folder_of(out) / "paper.ipynb"
    _or_exit(runner.execute_watched, provenance.project_root() / "notebooks" / "paper.ipynb", output, given, "paper:")
    click.echo(f"Next: open {store.short(output)}; tables and figures lie beside it")


@main.command()
@click.argument("run")
@click.option("--out", default="", help="Folder to write; the run's own folder report by default.")
def report(run: str, out: str) -> None:
    """Write a run as pages to hand over: one folder of HTML that opens without a server, offline, on a phone."""
    from isheep_lib import pages, provenance, store

    index = _or_exit(pages.write, store.run_folder(run), provenance.folder_of(out) if out else None)
    click.echo(f"Next: open {store.short(index)}")


@main.command()
@click.argument("run")
@click.argument("iteration", type=int)
@click.option("--merged", is_flag=True, help="Also write the base model with the adapters merged in.")
@click.option("--data-only", is_flag=True, help="Write pairs and cards alone, as from a record without weights.")
@click.option("--out", default="", help="Folder to write; export/iteration-K in the run's own by default.")
def export(run: str, iteration: int, merged: bool, data_only: bool, out: str) -> None:
    """Write the model of an iteration and its pairs for others: weights, data, cards; see docs/export.md."""
    from isheep_lib import provenance, release, store

    target = provenance.folder_of(out) if out else None
    folder = _or_exit(release.export, store.run_folder(run), iteration, merged, data_only, target)
    for path in sorted(folder.iterdir()):
        click.echo(f"{path.name}{'/' if path.is_dir() else ''}")
    click.echo(f"\nNext: read {store.short(folder / 'README.md')}")


@main.command()
@click.argument("run")
@click.option("--stage", "stages", multiple=True, help="Only this stage, on the record's files. Repeatable.")
@click.option("--iteration", "iterations", multiple=True, type=int, help="Only this iteration. Repeatable.")
@click.option("--into", default="", help="New folder for the repetition; results/rerun-RUN by default.")
def rerun(run: str, stages: tuple[str, ...], iterations: tuple[int, ...], into: str) -> None:
    """Execute a record again in a new place and show cell by cell what differs; exit 1 when something does."""
    from isheep_lib import provenance, replay, store

    def tell(repeated: replay.Repeated) -> None:
        click.echo("\n".join(repeated.lines()))

    folder = provenance.folder_of(into) if into else None
    found = _or_exit(replay.rerun, store.run_folder(run), stages, iterations, folder, tell)
    differing = any(repeated.differs for repeated in found)
    if differing:
        click.echo(f"\n{replay.differences_table(found)!r}")
    click.echo(f"\n{replay.summary(found)[-1]}")
    sys.exit(1 if differing else 0)


def _or_exit(function, *arguments):  # noqa: ANN001, ANN002, ANN202 - passes any call through
    """Call, and turn a problem the user can mend into its message alone."""
    try:
        return function(*arguments)
    except StageFailed as error:
        # The message of a stage that failed in a kernel already names its class.
        click.echo(f"\n{error}", err=True)
    except IsheepError as error:
        click.echo(f"\n{type(error).__name__}: {error}", err=True)
    sys.exit(1)
