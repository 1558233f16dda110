"""Rainbow Teaming: an archive of tasks, one for each cell of a grid, mutated toward cells where the model does not fail yet.

A row of `examples.jsonl`:
    {"id": "i1-c0012", "instruction": "…", "input": "", "output": "…", "finish": "end", "num_tokens": 58,
     "parents": ["seed-003"], "operator": "mutate", "cell": ["a letter", "hard", "at most one sentence"], "round": 2,
     "fitness": 0.42}

What a row of `archive.jsonl` holds, see `feedback.archive`; the next iteration goes on with it. The grid of the paper, with
risks and styles of attack, is there for who names it; its rows hold refusals alone, and no run with it is exported.
"""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from statistics import fmean
from typing import Any, ClassVar, Literal

from pydantic import Field

from isheep_lib.display.table import Table
from isheep_lib.engines.generate import ask
from isheep_lib.params.kinds import Positive, Section, Share
from isheep_lib.prompting.chat import user_words
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.candidates import Candidates, Intake, pool_of
from isheep_lib.synthesize.evolving.rounds import read_rewriting
from isheep_lib.synthesize.extras.own import WithFiles, rows_of
from isheep_lib.synthesize.feedback.archive import Cell, bias, cells_of, draw_cell
from isheep_lib.synthesize.feedback.quality_diversity import (
    Child,
    Course,
    begin,
    grid_of,
    mutation,
    rate,
    take_batch,
    text_problem,
)
from isheep_lib.synthesize.method import Example, Method, Need
from isheep_lib.synthesize.rules import Item
from isheep_lib.synthesize.shared_params import Shared
from isheep_lib.synthesize.writing import Writing

FILE = "archive.jsonl"
ADVICE = "look at the examples; raise children or max_bleu, give other seeds, or lower min_instructions"
BENIGN = ("rainbow-tasks.txt", "rainbow-mutate.txt", "rainbow-lacking.txt", "rainbow-prefer.txt")
SAFETY = ("rainbow-safety.txt", "rainbow-mutate.txt", "rainbow-harmful.txt", "rainbow-more_harmful.txt")
REFUSING = ("rainbow-refuse.txt", "rainbow-refuses.txt")


class RainbowOptions(Section):
    """The grid, how many children are written, and which parents and cells they are drawn from."""

    grid: Literal["tasks", "safety"] = Field(
        "tasks", description="kind, difficulty and constraint of tasks; or risks and styles of attack, never exported"
    )
    children: Positive = Field(2000, description="tasks written in an iteration at most (2,000 in the paper)")
    batch: Positive = Field(16, description="children written between two states of the archive (1 in the paper)")
    bias_temperature: float = Field(0.1, description="softmax over cells, small seeks the badly filled ones", gt=0.0, le=100.0)
    max_bleu: Share = Field(0.6, description="BLEU of a child against its parent, more is a copy")


class Rainbow(Method[RainbowOptions]):
    """An archive of tasks, one for each cell of a grid, mutated toward cells where the model does not fail yet."""

    name = "rainbow"
    source = "Rainbow Teaming (arXiv 2402.16822); the model itself mutates, answers and judges; grids and prompts in our words"
    Options = RainbowOptions
    needs: ClassVar[tuple[Need, ...]] = ("seeds", "an aligned model")
    brings_answers = True
    one_answer = True
    carries: ClassVar[str] = FILE
    people = "the grid"
    prompts = (*BENIGN, *(name for name in SAFETY if name not in BENIGN), *REFUSING)
    reasons: ClassVar[dict[str, str]] = {
        "unchanged": "a mutation says what the task before it says",
        "near_parent": "BLEU against the parent is above `max_bleu`",
        "not_judged": "task and answer, or two of both, leave no room for a judgement in the model's context",
        "not_preferred": "the model prefers the task that the cell holds",
        "replaced": "a later task took its cell",
        "no_refusal": "on the grid of safety: the answer is no refusal by the model's own word",
    }

    def prompt_files(self, options: RainbowOptions) -> tuple[str, ...]:
        """Name the prompts of the grid."""
        return BENIGN if options.grid == "tasks" else (*SAFETY, *REFUSING)

    def withheld(self, options: Mapping[str, Any]) -> str:
        """Say why nothing of a run with these options may be exported, "" where it may."""
        return "its tasks were sought for the harm that answers do" if options.get("grid") == "safety" else ""

    def most(self, shared: Shared, options: RainbowOptions) -> int:
        """Return how many children are written."""
        return options.children

    def given(self, writing: Writing[RainbowOptions]) -> Table:
        """Show the grid."""
        rows = [{"dimension": name, "values": " | ".join(values)} for name, values in grid_of(writing).items()]
        number = len(cells_of(grid_of(writing)))
        return Table(rows, f"{number} cells; the first children are mutated from {len(writing.seeds)} seeds")

    def prepared(self, writing: Writing[RainbowOptions]) -> Table:
        """Show the archive that an earlier iteration left."""
        rows = [
            {"cell": ", ".join(row["cell"]), "task": row["instruction"], "fitness": row["fitness"]} for row in writing.carried
        ]
        return Table(rows or [{"cell": "none is filled yet"}], "the archive that this iteration begins with")

    def example(self, writing: Writing[RainbowOptions]) -> Example:
        """Mutate one seed toward a cell, step by step."""
        grid, seed = grid_of(writing), self._seeds(writing)[0]
        cells = cells_of(grid)
        cell = draw_cell(random.Random(writing.seed_of("example/cell")), cells, bias([0.0] * len(cells), 1.0))  # noqa: S311
        steps, task, item = {"seed": user_words(seed)}, seed, Item("", seed.instruction, seed.input)
        prompt, said = "", ""
        for name, value in zip(grid, cell, strict=True):
            request = mutation(writing, f"example/{name}", task, name, value)
            done = ask(writing.engine, request)
            prompt, said, item = prompt or request.prompt, said or done.text, read_rewriting(done)
            steps[f"{name}: {value}"], task = item.instruction, Task("example", item.instruction)
        child = Child("example", seed, cell, item, 1)
        problem = text_problem(Intake(writing, pool_of([], 1.0)), child)
        if not problem:
            with writing.open_journal("example") as journal:
                ((answer, fitness),) = rate(writing, journal, {child.id: child.row}).values()
            said_back = answer["output"] if writing.options.grid == "tasks" else "not shown on this grid"
            steps |= {"answer": said_back, "fitness": "not judged" if fitness is None else f"{fitness:.3f}"}
        steps["verdict"] = ": ".join(filter(None, problem)) if problem else "nothing against it"
        return Example(prompt, said, [{"step": name, "text": text} for name, text in steps.items()])

    def write(self, writing: Writing[RainbowOptions]) -> Candidates:
        """Mutate, answer and compare batch by batch; what holds a cell at the end, and is new, is accepted.

        Raises:
            YieldError: fewer than `min_instructions` were accepted, or no child of many came into the archive.
        """
        options, cells = writing.options, cells_of(grid_of(writing))
        known = [task.instruction for task in (*writing.seeds, *writing.earlier)]
        intake = Intake(writing, pool_of(known, writing.shared.max_rouge))
        seeds = self._seeds(writing)
        with writing.open_journal("mutations") as mutations, writing.open_journal("archive") as journal:
            course = begin(writing, intake, journal, cells)
            for first in range(0, options.children, options.batch):
                ids = [f"i{writing.iteration}-c{n:04d}" for n in range(first, min(first + options.batch, options.children))]
                shares = bias(course.archive.fitness, options.bias_temperature)
                drawn = {id_: _drawn(writing, course, id_, seeds, shares) for id_ in ids}
                take_batch(writing, intake, (mutations, journal), course, drawn)
            course.settle(writing, intake, journal)
        found = intake.require(ADVICE)
        return WithFiles(found.accepted, found.dropped, found.tokens, {FILE: course.archive.in_order()})

    def evidence(self, candidates: Candidates) -> Table:
        """Show what children toward each value of the grid brought."""
        rows: list[dict[str, Any]] = []
        everything = [*candidates.accepted, *candidates.dropped]
        for value in dict.fromkeys(value for row in everything for value in row["cell"]):
            kept = [row for row in candidates.accepted if value in row["cell"]]
            lost = Counter(row["reason"] for row in candidates.dropped if value in row["cell"])
            row = {"toward": value, "written": len(kept) + lost.total(), "accepted": len(kept)}
            row |= {"mean fitness": round(fmean(each["fitness"] for each in kept), 3) if kept else ""}
            rows.append(row | {"mostly lost by": next((reason for reason, _ in lost.most_common(1)), "")})
        return Table(rows or [{"toward": "nothing was written"}], "what children toward each value of the grid brought")

    def figure(self, candidates: Candidates) -> Any:
        """Draw the archive as a grid."""
        from isheep_lib.synthesize.feedback.figures import archive_grid

        return archive_grid(rows_of(candidates, FILE))

    def _seeds(self, writing: Writing[RainbowOptions]) -> list[Task]:
        """Return the seeds; all must fit the model's context, whichever are drawn."""
        grid = grid_of(writing)
        prompts = {
            seed.id: max((mutation(writing, "", seed, name, value).prompt for name in grid for value in grid[name]), key=len)
            for seed in writing.seeds
        }
        long = writing.overlong(prompts, writing.shared.instruction_tokens)
        writing.refuse_seeds(long, "shorten or remove them, or lower synthesize.instruction_tokens")
        return writing.seeds


def _drawn(
    writing: Writing[RainbowOptions], course: Course, id_: str, seeds: Sequence[Task], shares: Sequence[Decimal]
) -> tuple[Task, Cell]:
    """Draw a child's parent, from the archive as soon as it holds anything, and the cell that it is mutated toward."""
    draw = random.Random(writing.seed_of(f"{id_}/parent"))  # noqa: S311 - reproducible, not secret
    elites = [Task(row["id"], row["instruction"]) for row in course.archive.in_order()]
    return draw.choice(elites or list(seeds)), draw_cell(draw, course.archive.cells, shares)
