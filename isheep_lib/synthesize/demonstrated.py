"""What methods have in common whose prompts show tasks: which ones, whether they fit, and batches of such prompts.

Covers seeds and tasks written earlier, drawn as `demonstrations` does. Does not cover how a prompt shows them (each method).
"""

from abc import abstractmethod
from typing import ClassVar, TypeVar

from isheep_lib.display.table import Table, samples
from isheep_lib.engines.generate import ask
from isheep_lib.engines.protocol import Completion, Request
from isheep_lib.prompting.chat import user_words
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.candidates import Candidates, Prompt, write_in_batches
from isheep_lib.synthesize.demonstrations import DemonstrationOptions, Demonstrations, prepare_demonstrations
from isheep_lib.synthesize.extras.needs import refuse_few, seeds_of
from isheep_lib.synthesize.method import Example, Method
from isheep_lib.synthesize.rules import Item
from isheep_lib.synthesize.shared_params import Shared
from isheep_lib.synthesize.writing import Writing

Shown = TypeVar("Shown", bound=DemonstrationOptions)


class Demonstrated(Method[Shown]):
    """A method whose prompts show seeds, and perhaps tasks that the model wrote earlier.

    Attributes:
        advice: what to do where too few tasks were accepted.
    """

    advice: ClassVar[str]

    @abstractmethod
    def request(self, writing: Writing[Shown], id_: str, shown: list[Task], seed: int) -> Request:
        """Ask for new tasks, given some."""

    @abstractmethod
    def read(self, said: Completion, writing: Writing[Shown]) -> list[Item]:
        """Cut what the model wrote into tasks."""

    def conflicts(self, shared: Shared, options: Shown) -> list[str]:
        """Name values that contradict one another."""
        if options.generated_demonstrations >= options.demonstrations:
            return ["generated_demonstrations: must be fewer than demonstrations, or no seed is shown"]
        return []

    def check_data(self, shared: Shared, options: Shown) -> dict[str, str]:
        """Refuse seeds that do not fill the first prompt, which may have no other tasks to show."""
        there, do = len(seeds_of(shared)), "add seeds, or lower synthesize.options.demonstrations"
        refuse_few(there, options.demonstrations, "", shared.seeds, do)
        return {}

    def packages(self, options: Shown) -> list[str]:
        """Name what makes clusters."""
        return ["numpy"] if options.demonstration_choice == "one_a_cluster" else []

    def reads_earlier(self, options: Shown) -> bool:
        """Tell whether tasks of earlier iterations are shown."""
        return options.generated_demonstrations > 0

    def given(self, writing: Writing[Shown]) -> Table:
        """Show seeds."""
        rows = [vars(task) for task in writing.seeds]
        return samples(rows, ["id", "kind", "instruction", "input", "output"], 3, 0, f"{len(rows)} seed tasks, for example")

    def prepared(self, writing: Writing[Shown]) -> Table:
        """Show what weighs or groups the seeds."""
        return self._demonstrations(writing).table(8)

    def example(self, writing: Writing[Shown]) -> Example:
        """Ask once and cut the answer into tasks."""
        seed = writing.seed_of("example")
        shown = self._demonstrations(writing).draw(writing.earlier, writing.options, seed)
        request = self.request(writing, "example", shown, seed)
        said = ask(writing.engine, request)
        items = self.read(said, writing)
        problems = [writing.rule_problem(item) or "passes the rules" for item in items]
        rows = [{"instruction": i.instruction, "input": i.input, "rule": p} for i, p in zip(items, problems, strict=True)]
        return Example(request.prompt, said.text, rows)

    def write(self, writing: Writing[Shown]) -> Candidates:
        """Show tasks, prompt by prompt, and take in what the model adds; see `write_in_batches`."""
        options, demonstrations = writing.options, self._demonstrations(writing)

        def prompt_of(id_: str, tasks: list[Task]) -> Prompt:
            shown = demonstrations.draw(tasks, options, writing.seed_of(f"{id_}/demonstrations"))
            request = self.request(writing, id_, shown, writing.seed_of(id_))
            return Prompt(request, {"demonstrations": [task.id for task in shown]}, lambda said: self.read(said, writing))

        return write_in_batches(writing, [task.instruction for task in writing.seeds], prompt_of, self.advice)

    def _demonstrations(self, writing: Writing[Shown]) -> Demonstrations:
        """Weigh or group the seeds."""
        options, seeds = writing.options, writing.seeds
        writing.refuse_seeds(
            self.overlong_seeds(writing),
            f"shorten or remove them: with any {options.demonstrations} of the others a prompt fits; or lower "
            "synthesize.options.demonstrations or synthesize.instruction_tokens",
        )
        with writing.open_journal("demonstrations") as journal:
            return prepare_demonstrations(writing.engine, writing.frame, seeds, options, writing.seed_of, journal)

    def overlong_seeds(self, writing: Writing[Shown]) -> dict[str, str]:
        """Say by id how long the seeds are without which every prompt fits the model's context, whichever seeds are drawn."""
        options, limit, written = writing.options, writing.shared.instruction_tokens, writing.options.generated_demonstrations
        counts = writing.lengths({task.id: user_words(task) for task in writing.seeds})
        ranked = sorted(writing.seeds, key=lambda task: -counts.get(task.id, 0))
        # A task that the model wrote is no longer than what it may write.
        sizes = {options.demonstrations: limit, options.demonstrations - written: limit * (1 + written)}
        for first in range(len(ranked)):
            shown = {size: ranked[first : first + size] for size in sizes}
            if not any(
                writing.overlong({"": self.request(writing, "", shown[size], 0).prompt}, spare) for size, spare in sizes.items()
            ):
                return {task.id: f"{counts[task.id]} tokens" for task in ranked[:first]}
        return {task.id: f"{counts[task.id]} tokens" for task in ranked}
