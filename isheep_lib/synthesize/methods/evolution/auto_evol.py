"""Auto Evol-Instruct: the model improves its own way of rewriting where it fails, then rewrites tasks by the best version.

A row of `examples.jsonl`:
    {"id": "i1-g1-004", "instruction": "…", "input": "", "output": "…", "finish": "end", "num_tokens": 58,
     "parents": ["seed-012"], "operator": "method-v3", "method_version": 3, "generation": 1}

A row of `methods.jsonl`, one for each version of the way of rewriting:
    {"id": "v3", "version": 3, "made_from": 0, "text": "…", "failure_rate": 0.12, "failures": {"stagnant": 6},
     "tried_on": 50, "unusable": "", "feedback": "…", "chosen": true}
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field

from isheep_lib.display.table import Table, clip
from isheep_lib.engines.protocol import Request
from isheep_lib.errors import DataError
from isheep_lib.params.kinds import Positive
from isheep_lib.record.journal import Journal
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.candidates import Candidates, Intake
from isheep_lib.synthesize.evolving import eliminator
from isheep_lib.synthesize.evolving.rounds import Answered, Draft, Evolving, EvolvingOptions, Problem, filled, one_response
from isheep_lib.synthesize.evolving.versions import Improvement, apply_version, failure
from isheep_lib.synthesize.extras.needs import seeds_of
from isheep_lib.synthesize.extras.own import WithFiles, rows_of
from isheep_lib.synthesize.method import Need
from isheep_lib.synthesize.shared_params import Shared
from isheep_lib.synthesize.writing import Writing

FILE = "methods.jsonl"


class AutoOptions(EvolvingOptions):
    """How long the way of rewriting is improved, on what, and how often tasks are rewritten by it."""

    rounds: Positive = Field(1, description="times that every task is rewritten by the version that is chosen")
    steps: Positive = Field(10, description="improvements at most; one without a gain ends them")
    candidates: Positive = Field(5, description="new versions that each step compares")
    batch: Positive = Field(10, description="seeds that are rewritten for the analysis of a step")
    stages: Positive = Field(3, description="times that each of them is rewritten before the analysis")
    development: Positive = Field(50, description="other seeds, on which the failure rate of versions is compared")
    method_tokens: Positive = Field(512, description="new tokens that an analysis or a version may have")


class AutoEvol(Evolving[AutoOptions]):
    """Tasks rewritten by a way of rewriting that the model itself has improved where it failed."""

    name = "auto_evol"
    source = "Auto Evol-Instruct (arXiv 2406.00770); the model itself rewrites, analyses and improves; prompts in our words"
    Options = AutoOptions
    needs: ClassVar[tuple[Need, ...]] = ("seeds", "an aligned model")
    people = "rules that eliminate rewritings, and words that tell failures"
    advice = "look at the examples; raise rounds or parents, raise instruction_tokens, or lower min_instructions"
    prompts = tuple(f"auto_evol-{name}.txt" for name in ("first", "apply", "case", "stage", "analyse", "improve"))
    reasons: ClassVar[dict[str, str]] = {
        "unchanged": eliminator.UNCHANGED,
        "leaked_marker": eliminator.LEAKED_MARKER,
        "stagnant": "the response only acknowledges the task, and asks back",
        "unqualified": "the response agrees and asks back, or asks what is meant",
        "lost_information": "the response asks for information that the task should give",
    }

    def check_data(self, shared: Shared, options: AutoOptions) -> dict[str, str]:
        """Refuse fewer seeds than the development set and a batch hold together."""
        seeds, wanted = seeds_of(shared), options.development + options.batch
        if len(seeds) < wanted:
            raise DataError(
                f"{len(seeds)} seed task(s) are fewer than a development set and a batch hold, {wanted}",
                where=shared.seeds,
                do="give more seeds, or lower synthesize.options.development or synthesize.options.batch",
            )
        return {}

    def operators(self, options: AutoOptions) -> Sequence[str]:
        """Name the way of rewriting that all begins with."""
        return ["method-v0"]

    def lineage(self, operator: str) -> dict[str, Any]:
        """Say which version of the way of rewriting was used."""
        return {"method_version": int(operator.rpartition("v")[2])}

    def prompt(self, writing: Writing[AutoOptions], task: Task, operator: str) -> str:
        """Ask for one rewriting by the first version, in words."""
        return filled(writing, "auto_evol-apply.txt", task, method=writing.prompts.render("auto_evol-first.txt"))

    def text_problem(self, draft: Draft, intake: Intake) -> Problem | None:
        """Return the first reason to eliminate a rewriting by its text alone."""
        return eliminator.rewriting_problem(draft, intake)

    def answered(self, writing: Writing[AutoOptions], journal: Journal, drafts: Mapping[str, Draft]) -> dict[str, Answered]:
        """Answer rewritings once each; a response that tells a failure eliminates them."""
        answers = one_response(writing, journal, drafts)
        return {i: Answered(row, failure(row["output"])) for i, row in answers.items()}

    def write(self, writing: Writing[AutoOptions]) -> Candidates:
        """Improve the way of rewriting, then rewrite and answer by the version that fails least.

        Raises:
            YieldError: fewer than `min_instructions` were accepted, or nothing was that the chosen version wrote.
        """
        with writing.open_journal("methods") as journal:
            search = Improvement(writing, writing.options, journal)
            best = search.run(writing.prompts.render("auto_evol-first.txt"), self.seeds_of(writing))

        def request(id_: str, task: Task, operator: str) -> Request:
            return apply_version(writing, best.text, id_, task)

        found = self.in_rounds(writing, [f"method-v{best.number}"], request)
        rows = [version.row(best.number) for version in search.versions]
        return WithFiles(found.accepted, found.dropped, found.tokens + search.tokens, {FILE: rows})

    def evidence(self, candidates: Candidates) -> Table:
        """Show every version with its failure rate, and what the chosen one brought."""
        brought = super().evidence(candidates).rows[0]
        rows = rows_of(candidates, FILE)
        shown = [
            {
                "version": row["version"],
                "made from": row["made_from"] if row["version"] else "",
                "failure rate": row["unusable"] or row["failure_rate"],
                "failures": ", ".join(f"{number} {name}" for name, number in row["failures"].items()),
                "used": f"{brought.get('accepted', 0)} of {brought.get('written', 0)} accepted" if row["chosen"] else "",
                "text": clip(row["text"], 160),
            }
            for row in rows
        ]
        return Table(shown, "every version of the way of rewriting, and how often it failed on the development set")

    def figure(self, candidates: Candidates) -> Any:
        """Draw the failure rates of all versions."""
        from isheep_lib.synthesize.extras.figures import versions

        return versions(rows_of(candidates, FILE))
