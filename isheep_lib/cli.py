"""The command `isheep`: iterate, status, verify, serve. It checks, shows and starts notebooks; it computes nothing itself."""

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
