"""The list: demonstrations as a numbered list that the model continues (I-SHEEP, Algorithm 1, P_t; after Self-Instruct).

A row of `examples.jsonl`:
    {"id": "i1-r0-p003-t1", "instruction": "…", "input": "", "output": "…", "finish": "end", "num_tokens": 41,
     "demonstrations": ["seed-004", …]}
"""

from typing import ClassVar

from isheep_lib.display.table import Table, samples
from isheep_lib.engines.generate import ask, generate_all
from isheep_lib.errors import DataError
from isheep_lib.prompting.chat import user_words
from isheep_lib.synthesize.candidates import Candidates, Intake, pool_of
from isheep_lib.synthesize.demonstrations import Demonstrations, prepare_demonstrations
from isheep_lib.synthesize.list_options import ListOptions
from isheep_lib.synthesize.lists import PROMPTS, list_prompt, list_request, parse_list
from isheep_lib.synthesize.method import Example, Method, Need
from isheep_lib.synthesize.rules import instruction_problem
from isheep_lib.synthesize.shared_params import Shared
from isheep_lib.synthesize.writing import Writing


class TaskList(Method[ListOptions]):
    """Seeds shown as a numbered list that the model continues."""

    name = "list"
    source = "I-SHEEP (arXiv 2408.08072), Algorithm 1; prompt after Self-Instruct (arXiv 2212.10560), in our words"
    Options = ListOptions
    needs: ClassVar[tuple[Need, ...]] = ("seeds",)
    prompts = tuple(PROMPTS.values())

    def prompt_files(self, options: ListOptions) -> tuple[str, ...]:
        """Name the one that is filled."""
        return (PROMPTS[options.input_lines],)

    def conflicts(self, shared: Shared, options: ListOptions) -> list[str]:
        """Name values that contradict one another."""
        problems = []
        if options.tasks_per_prompt <= options.demonstrations:
            problems.append("tasks_per_prompt: must be more than demonstrations, or no new task is asked for")
        if options.generated_demonstrations >= options.demonstrations:
            problems.append("generated_demonstrations: must be fewer than demonstrations, or no seed is shown")
        return problems

    def packages(self, options: ListOptions) -> list[str]:
        """Name what makes clusters."""
        return ["numpy"] if options.demonstration_choice == "one_a_cluster" else []

    def reads_earlier(self, options: ListOptions) -> bool:
        """Tell whether tasks of earlier iterations are shown."""
        return options.generated_demonstrations > 0

    def given(self, writing: Writing[ListOptions]) -> Table:
        """Show seeds."""
        rows = [vars(task) for task in writing.seeds]
        return samples(rows, ["id", "kind", "instruction", "input", "output"], 3, 0, f"{len(rows)} seed tasks, for example")

    def prepared(self, writing: Writing[ListOptions]) -> Table:
        """Show what weighs or groups the seeds."""
        return self._demonstrations(writing).table(8)

    def example(self, writing: Writing[ListOptions]) -> Example:
        """Continue one list and cut it into tasks."""
        options, shared, seed = writing.options, writing.shared, writing.seed_of("example")
        shown = self._demonstrations(writing).draw(writing.earlier, options, seed)
        request = list_request("example", shown, writing.frame, shared, options, seed)
        said = ask(writing.engine, request)
        items = parse_list(said.text, options.demonstrations + 1, said.finish)
        rules = shared.instruction_rules
        problems = [instruction_problem(item, rules, writing.frame.words) or "passes the rules" for item in items]
        rows = [{"instruction": i.instruction, "input": i.input, "rule": p} for i, p in zip(items, problems, strict=True)]
        return Example(request.prompt, said.text, rows)

    def write(self, writing: Writing[ListOptions]) -> Candidates:
        """Generate batches of lists until enough tasks are accepted or the batches are used up.

        Deduplication compares with the seeds and, as `dedup_scope` says, with what was accepted in this batch, in this
        stage, or in the whole run, in the order of batches, prompts and items; so a batch depends on finished ones only.

        Raises:
            YieldError: fewer than `min_instructions` were accepted; with the top reasons and examples.
        """
        shared, options, demonstrations = writing.shared, writing.options, self._demonstrations(writing)
        known = [task.instruction for task in demonstrations.seeds]
        before = [task.instruction for task in writing.earlier if shared.dedup_scope == "run"]
        intake = Intake(writing, pool_of([*known, *before], shared.max_rouge))
        with writing.open_journal("instructions") as journal:
            for batch in range(options.max_batches):
                if intake.full:
                    break
                if batch and shared.dedup_scope == "batch":
                    intake.pool = pool_of(known, shared.max_rouge)
                tasks = writing.earlier + intake.found.tasks()
                ids = [f"i{writing.iteration}-r{batch}-p{n:03d}" for n in range(options.prompts_per_batch)]
                shown = {i: demonstrations.draw(tasks, options, writing.seed_of(f"{i}/demonstrations")) for i in ids}
                requests = [list_request(i, shown[i], writing.frame, shared, options, writing.seed_of(i)) for i in ids]
                lists = generate_all(writing.engine, requests, journal, f"instructions, batch {batch + 1}")
                for id_ in ids:
                    intake.found.tokens += lists[id_].num_tokens
                    lineage = {"demonstrations": [task.id for task in shown[id_]]}
                    items = parse_list(lists[id_].text, options.demonstrations + 1, lists[id_].finish)
                    for number, item in enumerate(items):
                        intake.take(f"{id_}-t{number}", item, lineage)
        return intake.require(
            "look at the examples; raise max_batches or instruction_tokens, change the seeds, or lower min_instructions"
        )

    def _demonstrations(self, writing: Writing[ListOptions]) -> Demonstrations:
        """Weigh or group the seeds, which must suffice for one prompt."""
        options, seeds = writing.options, writing.seeds
        if len(seeds) < options.demonstrations:
            raise DataError(
                f"{len(seeds)} seed task(s) cannot fill a prompt of {options.demonstrations} demonstrations",
                where=writing.shared.seeds,
                do="add seeds, or lower synthesize.options.demonstrations",
            )
        writing.refuse_seeds(
            overlong_seeds(writing),
            f"shorten or remove them: with any {options.demonstrations} of the others a prompt fits; or lower "
            "synthesize.options.demonstrations or synthesize.instruction_tokens",
        )
        with writing.open_journal("demonstrations") as journal:
            return prepare_demonstrations(writing.engine, writing.frame, seeds, options, writing.seed_of, journal)


def overlong_seeds(writing: Writing[ListOptions]) -> dict[str, str]:
    """Say by id how long the seeds are without which every prompt fits the model's context, whichever seeds are drawn."""
    options, limit, written = writing.options, writing.shared.instruction_tokens, writing.options.generated_demonstrations
    counts = writing.lengths({task.id: user_words(task) for task in writing.seeds})
    ranked = sorted(writing.seeds, key=lambda task: -counts.get(task.id, 0))
    for first in range(len(ranked)):
        # A task that the model wrote is no longer than what it may write.
        sizes = {options.demonstrations: limit, options.demonstrations - written: limit * (1 + written)}
        if not any(
            writing.overlong({"": list_prompt(ranked[first : first + size], options)}, spare) for size, spare in sizes.items()
        ):
            return {task.id: f"{counts[task.id]} tokens" for task in ranked[:first]}
    return {task.id: f"{counts[task.id]} tokens" for task in ranked}
