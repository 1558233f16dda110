"""The command `isheep`: it checks, shows and starts notebooks; it computes nothing itself."""

import shlex
import sys
from pathlib import Path
from typing import cast

import click

from isheep_lib import __version__
from isheep_lib.command import Commands, kept, quoted


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__)
def main() -> None:
    """I-SHEEP: a language model aligns itself, and every step is on record."""


@main.command()
@click.argument("iteration", type=int)
@click.option("--params", default="params/smollm2-135m.yaml", show_default=True, help="Params file, one complete run.")
@click.option("--run", default="", help="Name under results, or a path; the params file's by default.")
@click.option(
    "--override",
    multiple=True,
    help='Changes to the params file, like "train.epochs:1 evaluate.answer_tokens:512". Repeatable.',
)
@click.option("--stale", default="stop", show_default=True, help="Stages made by other code or settings: stop, redo or keep.")
@click.option("--share/--no-share", default=True, help="Take stages that a run beside this one made of the same inputs.")
@click.option("--dry", is_flag=True, help="Plan and estimate only: nothing is loaded or written.")
def iterate(dry: bool, **given: object) -> None:
    """Bring a run to an iteration: finished stages are reused, missing ones run."""
    from isheep_lib.benchmarks import comparison
    from isheep_lib.display import evaluation_tables, verdicts
    from isheep_lib.iterate import needs, outcome, runner
    from isheep_lib.iterate.chain import prepare
    from isheep_lib.record import manifests, stages
    from isheep_lib.record.provenance import project_root

    given["override"] = " ".join(cast("tuple[str, ...]", given["override"]))
    if dry:
        _forecast(given)
        return
    params, run_params, run_dir = prepare(given)
    needs.check(run_params, run_dir, params.iteration)
    output, steps = run_dir / "iterate.ipynb", stages.steps(params.iteration, bool(run_params.judge.judged))
    before = outcome.finished(run_dir, steps)
    click.echo(f"results go to {manifests.short(run_dir)}", err=True)
    with kept(run_dir):
        runner.execute(project_root() / "notebooks" / "iterate.ipynb", output, given)
    evaluated = evaluation_tables.metrics_of(run_dir)
    click.echo(evaluation_tables.results_table(evaluated))
    if any(evaluated):  # models after the base
        compared = comparison.against_base(run_dir, list(evaluated)), comparison.lengths_since(run_dir, list(evaluated))
        click.echo(f"\n{verdicts.of_run(*compared).said}")
    click.echo(f"\n{outcome.told(before, outcome.finished(run_dir, steps))}")
    click.echo(f"Next: open {quoted(output)}, or isheep status {shlex.quote(manifests.run_name(run_dir))}")


def _forecast(given: dict[str, object]) -> None:
    """Show what a run would take; exit 1 where it cannot start."""
    from isheep_lib.iterate.dry import look_ahead
    from isheep_lib.record import manifests

    forecast, problems = look_ahead(given)
    click.echo(f"The run in {manifests.short(forecast.run_dir)}\n\n{forecast.table()!r}\n")
    click.echo("\n".join(forecast.lines()))
    if problems:
        click.echo("\n" + "\n\n".join(["It cannot start yet:", *problems]), err=True)
        sys.exit(1)


@main.command()
@click.argument("run")
def status(run: str) -> None:
    """Show a run at a glance: what is done, what it brought, what runs now; of a sweep, each of its runs in a line."""
    from isheep_lib.display import evaluation_tables, stage_tables
    from isheep_lib.iterate import chain
    from isheep_lib.record import manifests

    run_dir = manifests.run_folder(run)
    if manifests.is_sweep(run_dir):
        click.echo(repr(stage_tables.sweep_table(run_dir, chain.status)))
        return
    rows = chain.status(run_dir)
    click.echo(repr(stage_tables.status_table(rows)))
    click.echo(f"\n{evaluation_tables.results_table(evaluation_tables.metrics_of(run_dir))!r}")


@main.command()
@click.argument("run")
@click.option("--signers", default="", help="Also ask for a signature by one of these: lines of a name and a public SSH key.")
def verify(run: str, signers: str) -> None:
    """Hash everything a run, or each run of a sweep, recorded; exit 1 when something differs, is missing or was added."""
    from isheep_lib.record import manifests, provenance, verification

    run_dir = manifests.run_folder(run)
    verdicts = verification.verify(run_dir, provenance.expanded(signers) if signers else None)
    for verdict in verdicts:
        click.echo(f"{verdict.word:4}  {verdict.item}: {verdict.detail}")
    failed, absent = (sum(verdict.word == word for verdict in verdicts) for word in (verification.FAIL, manifests.ABSENT))
    click.echo(f"\n{failed} difference(s)" if failed else "\nEverything at hand is as it was recorded.")
    if absent:
        click.echo(f"{absent} file(s) are absent. {manifests.ABSENCE}")
    for line in manifests.made_on(manifests.runs_in(run_dir) if manifests.is_sweep(run_dir) else [run_dir]):
        click.echo(line)
    sys.exit(1 if failed else 0)


@main.command()
@click.argument("run")
@click.option("--key", required=True, help="Your private SSH key, or a public one whose private key the agent has.")
def sign(run: str, key: str) -> None:
    """Sign a run's record.json, and with it every file of the record, if all is as it was recorded; see SECURITY.md."""
    from isheep_lib.record import manifests, verification
    from isheep_lib.record.fixity import inventory, signature

    run_dir = manifests.run_folder(run)
    verification.require_whole(run_dir)
    written = signature.sign(run_dir, Path(key))
    click.echo(f"{manifests.short(written)} signs the root sha256 {inventory.root_of(run_dir)}")


@main.command()
@click.argument("run")
@click.argument("iteration", type=int, required=False)
def serve(run: str, iteration: int | None) -> None:
    """Print the command that serves the model of an iteration (0 is the base model) to the engine `server`.

    Without ITERATION, list the models of the run. The adapter is merged into the base model first, once; see docs/servers.md.
    """
    from isheep_lib.display.table import Table
    from isheep_lib.engines.servers import discovery as server_discovery
    from isheep_lib.record import manifests

    run_dir = manifests.run_folder(run)
    if iteration is not None:
        click.echo(server_discovery.serve_command(run_dir, iteration))
        return
    models = server_discovery.served_models(run_dir)
    click.echo(f"{Table(models)!r}\n\nNext: choose one; its command prints the command of vLLM that serves it.")
    if any(model["weights"] == manifests.ABSENT for model in models):
        click.echo(manifests.ABSENCE)


@main.command()
@click.argument("run")
@click.argument("iteration", type=int)
@click.option("--machine", type=int, required=True, help="This machine's number, from 1; the first is 0 and runs iterate.")
@click.option("--timeout", "--patience", default=3600.0, show_default=True, help="Seconds to wait for the training to begin.")
@click.option("--print", "only_print", is_flag=True, help="Show the commands of accelerate and torchrun instead of running.")
def join(run: str, iteration: int, machine: int, timeout: float, only_print: bool) -> None:
    """Give this machine's processes to a training that another machine has begun; see docs/scaling.md."""
    from isheep_lib.record import manifests
    from isheep_lib.train import launch

    do = launch.commands if only_print else launch.join
    click.echo(do(manifests.run_folder(run), iteration, machine, timeout))


@main.command()
@click.argument("sweep")
@click.option("--name", default="", help="Folder under results for the runs; the sweep file's name by default.")
@click.option("--override", multiple=True, help="Changes to the params file for all runs, after the sweep file's. Repeatable.")
@click.option("--dry", is_flag=True, help="Plan and estimate only, by records at hand: nothing is loaded or written.")
@click.option("--probe", is_flag=True, help="First run a small probe where no record says what a stage costs.")
@click.option("--stale", default="stop", show_default=True, help="Stages made by other code or settings: stop, redo or keep.")
def ablate(**given: object) -> None:
    """Run a sweep: the YAML file SWEEP names axes, values and seeds (params/ablations holds those of the paper)."""
    from isheep_lib.ablate import estimate
    from isheep_lib.ablate.runs import check_runs, plan_table, work
    from isheep_lib.ablate.sweep import open_sweep
    from isheep_lib.ablate.table import ablation_table, unfinished_table
    from isheep_lib.iterate import runner
    from isheep_lib.record.provenance import project_root

    given["override"] = override = " ".join(cast("tuple[str, ...]", given["override"]))
    opened = open_sweep(str(given["sweep"]), str(given["name"]), override)
    click.echo(f"{plan_table(opened)!r}\n")
    if given["dry"] and not given["probe"]:
        click.echo(f"{estimate.estimate_table(opened)!r}\n\n{estimate.probe_sentence(opened)}")
        check_runs(opened, str(given["stale"]), models=False)
        return
    check_runs(opened, str(given["stale"]))
    planned = work(opened)
    output = opened.folder / "ablate.ipynb"
    with kept(opened.folder):
        runner.execute_watched(project_root() / "notebooks" / "ablate.ipynb", output, given)
    click.echo(f"\n{ablation_table(opened)!r}\n\n{unfinished_table(opened)!r}\n")
    if all(item.done for item in planned):
        click.echo(f"Nothing was to do: all {len(planned)} stages of the sweep were done before.")
    click.echo(f"Next: open {quoted(output)}")


@main.command()
@click.option("--run", "runs", multiple=True, help="A row of the tables, an equals sign, a run: one_last=NAME. Repeatable.")
@click.option("--out", default="results/paper", show_default=True, help="Folder for the notebook, tables and figures.")
def paper(runs: tuple[str, ...], out: str) -> None:
    """Regenerate the paper's tables and figures, as published and as measured by your runs."""
    from isheep_lib.iterate import runner
    from isheep_lib.paper.params import PaperParams
    from isheep_lib.params.check import check
    from isheep_lib.record import provenance

    given = {"out": out, **({"runs": list(runs)} if runs else {})}
    check(PaperParams, given, "isheep paper")
    output = provenance.folder_of(out) / "paper.ipynb"
    runner.execute_watched(provenance.project_root() / "notebooks" / "paper.ipynb", output, given)
    click.echo(f"Next: open {quoted(output)}; tables and figures lie beside it")


@main.command()
@click.argument("run", default="")
@click.option("--iteration", default=1, show_default=True, help="Whose pairs are looked at.")
@click.option("--pair", default="", help="Id of the pair that is followed; the first kept one by default.")
@click.option("--search", default="", help="Show only pairs with this text in task or response.")
@click.option("--sort", default="id", show_default=True, help="Column; a minus before it puts the largest first.")
@click.option(
    "--ask-models", is_flag=True, help="Ask the models before and after the followed task again; needs their weights."
)
@click.option("--map-model", default="", help="Model whose vectors place pairs on the map; the run's base model by default.")
@click.option("--open", "shown", is_flag=True, help="Do not execute it: open it in JupyterLab, with menus.")
def explore(run: str, shown: bool, **given: object) -> None:
    """Look at the pairs of a run, by default your newest: a copy of explore.ipynb under results/explore, executed or opened."""
    from isheep_lib.explore import own_copy, pairs
    from isheep_lib.record import manifests

    if shown:
        own_copy.require_jupyter()
    run_dir = manifests.run_folder(run or own_copy.usual_run())
    pairs.pairs(run_dir, int(str(given["iteration"]))).arranged(str(given["sort"]))
    click.echo(f"looking at {manifests.run_name(run_dir)}", err=True)
    if shown:
        own_copy.open_in_jupyter(own_copy.prepare(run_dir, given))
    else:
        output, name = own_copy.execute(run_dir, given), shlex.quote(manifests.run_name(run_dir))
        click.echo(f"Next: open {quoted(output)}, or choose by menus: isheep explore {name} --open")


@main.command()
@click.argument("run")
@click.option("--out", default="", help="Folder to write; the run's own folder report by default.")
def report(run: str, out: str) -> None:
    """Write a run as pages to hand over: one folder of HTML that opens without a server, offline, on a phone."""
    from isheep_lib.record import manifests, provenance
    from isheep_lib.report import pages

    run_dir = manifests.run_folder(run)
    folder = provenance.folder_of(out) if out else run_dir / "report"
    before = pages.listed(folder)
    index = pages.write(run_dir, folder)
    if pages.listed(folder) == before:
        click.echo("Nothing was to do: the report was there, and the record says the same as then.")
    click.echo(f"Next: open {quoted(index)}")


@main.command()
@click.argument("run")
@click.argument("iteration", type=int)
@click.option("--merged", is_flag=True, help="Also write the base model with the adapters merged in.")
@click.option("--data-only", is_flag=True, help="Write pairs and cards alone, as from a record without weights.")
@click.option("--out", default="", help="Folder to write; export/iteration-K in the run's own by default.")
def export(run: str, iteration: int, merged: bool, data_only: bool, out: str) -> None:
    """Write the model of an iteration and its pairs for others: weights, data, cards; see docs/export.md."""
    from isheep_lib.export import run as export_run
    from isheep_lib.record import manifests, provenance

    run_dir = manifests.run_folder(run)
    target = provenance.folder_of(out) if out else run_dir / "export" / f"iteration-{iteration}"
    before = export_run.listed(target)
    folder = export_run.export(run_dir, iteration, merged, data_only, target)
    for path in sorted(folder.iterdir()):
        click.echo(f"{path.name}{'/' if path.is_dir() else ''}")
    same = export_run.listed(folder) == before
    click.echo("\nNothing was to do: the export was there, with the same bytes." if same else "")
    click.echo(f"Next: read {quoted(folder / 'README.md')}")


@main.command()
@click.argument("run")
@click.option("--stage", "stages", multiple=True, help="Only this stage, on the record's files. Repeatable.")
@click.option("--iteration", "iterations", multiple=True, type=int, help="Only this iteration. Repeatable.")
@click.option("--into", default="", help="New folder for the repetition; results/rerun-RUN by default.")
def rerun(run: str, stages: tuple[str, ...], iterations: tuple[int, ...], into: str) -> None:
    """Execute a record again in a new place and show cell by cell what differs; exit 1 when something does."""
    from isheep_lib.record import manifests, provenance
    from isheep_lib.rerun import run as rerun_run
    from isheep_lib.rerun.run import Repeated, differences_table, summary

    def tell(repeated: Repeated) -> None:
        click.echo("\n".join(repeated.lines()))

    folder = provenance.folder_of(into) if into else None
    found = rerun_run.rerun(manifests.run_folder(run), stages, iterations, folder, tell)
    differing = any(repeated.differs for repeated in found)
    if differing:
        click.echo(f"\n{differences_table(found)!r}")
    click.echo(f"\n{summary(found)[-1]}")
    sys.exit(1 if differing else 0)


@main.command()
@click.argument("run")
@click.option("--stage", "stages", multiple=True, help="Only this stage. Repeatable.")
@click.option("--iteration", "iterations", multiple=True, type=int, help="Only this iteration. Repeatable.")
@click.option("--sample", default=0, show_default=True, help="Answers and scores to look at, 0 is all; trains only if named.")
def check(run: str, stages: tuple[str, ...], iterations: tuple[int, ...], sample: int) -> None:
    """Hold a record against the model here, token by token and without generating; exit 1 where it is not explained."""
    from isheep_lib.engines.exact.verdict import NOT_EXPLAINED
    from isheep_lib.record import manifests
    from isheep_lib.rerun import check as rerun_check

    found = rerun_check.check(manifests.run_folder(run), stages, iterations, sample, lambda one: click.echo(one.line()))
    click.echo(f"\n{rerun_check.summary(found)}")
    sys.exit(any(one.verdict == NOT_EXPLAINED for one in found))


if __name__ == "__main__":
    main(prog_name="isheep")
