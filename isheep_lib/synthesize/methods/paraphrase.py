"""Paraphrase: every seed said in other words, once (a trial of the recipe for a method)."""

from typing import ClassVar

from pydantic import Field

from isheep_lib.display.table import Table, samples
from isheep_lib.engines.generate import ask, generate_all
from isheep_lib.engines.protocol import Request
from isheep_lib.params.kinds import Section
from isheep_lib.prompting.chat import user_words
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.candidates import Candidates, Intake, pool_of
from isheep_lib.synthesize.method import Example, Method, Need, Writing
from isheep_lib.synthesize.rules import Item


class ParaphraseOptions(Section):
    """How seeds are asked for in other words."""

    wish: str = Field("Say this task in other words.", description="what is asked before each seed", min_length=1)


class Paraphrase(Method[ParaphraseOptions]):
    """Seeds in other words."""

    name = "paraphrase"
    source = "a trial"
    Options = ParaphraseOptions
    needs: ClassVar[tuple[Need, ...]] = ("seeds", "an aligned model")

    def given(self, writing: Writing[ParaphraseOptions]) -> Table:
        """Show seeds."""
        return samples([vars(task) for task in writing.seeds], ["id", "instruction", "input"], 3, 0)

    def example(self, writing: Writing[ParaphraseOptions]) -> Example:
        """Ask for the first seed."""
        request = _request(writing, writing.seeds[0], "example")
        said = ask(writing.engine, request)
        return Example(request.prompt, said.text, [{"instruction": said.text.strip()}])

    def write(self, writing: Writing[ParaphraseOptions]) -> Candidates:
        """Ask for every seed once."""
        intake = Intake(writing.shared, pool_of([], writing.shared.max_rouge))
        with writing.open_journal("paraphrases") as journal:
            requests = [_request(writing, task, f"i{writing.iteration}-{task.id}") for task in writing.seeds]
            said = generate_all(writing.engine, requests, journal, "paraphrases")
            for request, task in zip(requests, writing.seeds, strict=True):
                done = said[request.id]
                intake.found.tokens += done.num_tokens
                intake.take(request.id, Item(done.text, done.text.strip(), "", done.finish == "length"), {"parents": [task.id]})
        return intake.require("give more seeds, or lower min_instructions")


def _request(writing: Writing[ParaphraseOptions], task: Task, id_: str) -> Request:
    shared, frame = writing.shared, writing.frame
    prompt = frame.prompt(f"{writing.options.wish}\n\n{user_words(task)}")
    sampling = (shared.instruction_tokens, shared.instruction_temperature, shared.instruction_top_p)
    return Request(id_, prompt, *sampling, writing.seed_of(id_), stop=(frame.end,))
