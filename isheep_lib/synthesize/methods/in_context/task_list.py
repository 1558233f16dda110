"""The list: demonstrations as a numbered list that the model continues (I-SHEEP, Algorithm 1, P_t; after Self-Instruct).

A row of `examples.jsonl`:
    {"id": "i1-r0-p003-t1", "instruction": "…", "input": "", "output": "…", "finish": "end", "num_tokens": 41,
     "demonstrations": ["seed-004", …]}
"""

from typing import ClassVar

from isheep_lib.engines.protocol import Completion, Request
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.demonstrated import Demonstrated
from isheep_lib.synthesize.lists import PROMPTS, ListOptions, list_request, parse_list
from isheep_lib.synthesize.method import Need
from isheep_lib.synthesize.rules import Item
from isheep_lib.synthesize.shared_params import Shared
from isheep_lib.synthesize.writing import Writing


class TaskList(Demonstrated[ListOptions]):
    """Seeds shown as a numbered list that the model continues."""

    name = "list"
    source = "I-SHEEP (arXiv 2408.08072), Algorithm 1; prompt after Self-Instruct (arXiv 2212.10560), in our words"
    Options = ListOptions
    needs: ClassVar[tuple[Need, ...]] = ("seeds",)
    prompts = tuple(PROMPTS.values())
    advice = "look at the examples; raise max_batches or instruction_tokens, change the seeds, or lower min_instructions"

    def prompt_files(self, options: ListOptions) -> tuple[str, ...]:
        """Name the one that is filled."""
        return (PROMPTS[options.input_lines],)

    def conflicts(self, shared: Shared, options: ListOptions) -> list[str]:
        """Name values that contradict one another."""
        problems = super().conflicts(shared, options)
        if options.tasks_per_prompt <= options.demonstrations:
            problems.append("tasks_per_prompt: must be more than demonstrations, or no new task is asked for")
        return problems

    def request(self, writing: Writing[ListOptions], id_: str, shown: list[Task], seed: int) -> Request:
        """Ask for the continuation of one list."""
        return list_request(writing, id_, shown, seed)

    def read(self, said: Completion, writing: Writing[ListOptions]) -> list[Item]:
        """Cut the continuation into tasks."""
        first = writing.options.demonstrations + 1
        return parse_list(said.text, first, said.finish, writing.prompts, writing.read_in)
