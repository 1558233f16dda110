"""Magpie: an aligned model, given nothing but the opening of a user's turn, writes the turn, then answers it.

A row of `examples.jsonl`:
    {"id": "i1-r0-p003-t0", "instruction": "…", "input": "", "output": "…", "finish": "end", "num_tokens": 41}
"""

from typing import ClassVar

from isheep_lib.display.table import Table
from isheep_lib.engines.generate import ask
from isheep_lib.engines.protocol import Completion, Request
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.candidates import BatchOptions, Candidates, Prompt, write_in_batches
from isheep_lib.synthesize.method import Example, Method, Need
from isheep_lib.synthesize.rules import Item, unquoted
from isheep_lib.synthesize.shared_params import Shared
from isheep_lib.synthesize.writing import Writing


class Magpie(Method[BatchOptions]):
    """The user's turn written by the model itself, from the opening of its chat frame alone."""

    name = "magpie"
    source = "Magpie (arXiv 2406.08464); no seeds, no prompt but the frame's own opening"
    Options = BatchOptions
    needs: ClassVar[tuple[Need, ...]] = ("an aligned model",)

    def most(self, shared: Shared, options: BatchOptions) -> int:
        """Return how many turns are written at most."""
        return options.most_prompts

    def given(self, writing: Writing[BatchOptions]) -> Table:
        """Show the opening, which is all that there is."""
        return Table([{"frame": writing.frame.name, "opening": writing.frame.opener(), "seeds": "none are read"}])

    def example(self, writing: Writing[BatchOptions]) -> Example:
        """Let the model write one turn."""
        request = _request(writing, "example")
        said = ask(writing.engine, request)
        (item,) = _read(said)
        rule = writing.rule_problem(item) or "passes the rules"
        return Example(request.prompt, said.text, [{"instruction": item.instruction, "rule": rule}])

    def write(self, writing: Writing[BatchOptions]) -> Candidates:
        """Let the model write turns, all after the same opening, each with a seed of its own; see `write_in_batches`."""

        def prompt_of(id_: str, tasks: list[Task]) -> Prompt:
            return Prompt(_request(writing, id_), {}, _read)

        return write_in_batches(
            writing, [], prompt_of, "look at the examples; raise max_batches or instruction_tokens, or lower min_instructions"
        )


def _request(writing: Writing[BatchOptions], id_: str) -> Request:
    """Ask for one turn of the user's."""
    shared, frame = writing.shared, writing.frame
    sampling = (shared.instruction_tokens, shared.instruction_temperature, shared.instruction_top_p)
    return Request(id_, frame.opener(), *sampling, writing.seed_of(id_), stop=frame.user_stops())


def _read(said: Completion) -> list[Item]:
    return [Item(said.text, unquoted(said.text), "", cut=said.finish == "length")]
