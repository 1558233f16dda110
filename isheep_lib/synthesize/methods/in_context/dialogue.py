"""The dialogue: demonstrations as turns of a conversation in the model's own frame, which it goes on with (P_t).

A row of `examples.jsonl`:
    {"id": "i1-r0-p003-t0", "instruction": "…", "input": "", "output": "…", "finish": "end", "num_tokens": 41,
     "demonstrations": ["seed-004", …]}
"""

from typing import ClassVar, Literal

from pydantic import Field

from isheep_lib.engines.protocol import Completion, Request
from isheep_lib.errors import DataError
from isheep_lib.prompting.chat import user_words
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.demonstrated import Demonstrated
from isheep_lib.synthesize.demonstrations import DemonstrationOptions
from isheep_lib.synthesize.extras.needs import seeds_of
from isheep_lib.synthesize.method import Need
from isheep_lib.synthesize.rules import Item, unquoted
from isheep_lib.synthesize.shared_params import Shared
from isheep_lib.synthesize.writing import SHOWN, Writing


class DialogueOptions(DemonstrationOptions):
    """Which tasks are shown, and whose words they are."""

    shown_as: Literal["assistant", "user"] = Field(
        "assistant", description="whose turns the tasks are: the assistant's, asked for a task; or the user's, each answered"
    )


class Dialogue(Demonstrated[DialogueOptions]):
    """Seeds shown as turns of a conversation in the model's chat frame, whose next turn is a new task."""

    name = "dialogue"
    source = "I-SHEEP (arXiv 2408.08072), Algorithm 1, its demonstrations in the frame of an aligned model; prompt in our words"
    Options = DialogueOptions
    needs: ClassVar[tuple[Need, ...]] = ("seeds", "an aligned model")
    prompts = ("dialogue.txt",)
    advice = "look at the examples; raise max_batches or instruction_tokens, change the seeds, or lower min_instructions"

    def check_data(self, shared: Shared, options: DialogueOptions) -> dict[str, str]:
        """Refuse seeds without answers, too, where they are the user's turns."""
        mute = [task.id for task in seeds_of(shared) if not task.output]
        if mute and options.shown_as == "user":
            raise DataError(
                f"{len(mute)} seed task(s) have no output: {', '.join(mute[:SHOWN])}",
                where=shared.seeds,
                allowed="seeds with an output, which answers them in the conversation that is shown",
                do="add outputs, remove these seeds, or set synthesize.options.shown_as to assistant",
            )
        return super().check_data(shared, options)

    def most(self, shared: Shared, options: DialogueOptions) -> int:
        """Return how many turns are written at most."""
        return options.most_prompts

    def request(self, writing: Writing[DialogueOptions], id_: str, shown: list[Task], seed: int) -> Request:
        """Ask for the turn after those that show tasks."""
        shared, frame = writing.shared, writing.frame
        if writing.options.shown_as == "user":
            prompt = frame.opener([(user_words(task), task.output) for task in shown])
            stop = frame.user_stops()
        else:
            asked = writing.prompts.render("dialogue.txt")
            prompt, stop = frame.conversation([(asked, user_words(task)) for task in shown], asked), (frame.end,)
        sampling = (shared.instruction_tokens, shared.instruction_temperature, shared.instruction_top_p)
        return Request(id_, prompt, *sampling, seed, stop=stop)

    def read(self, said: Completion, writing: Writing[DialogueOptions]) -> list[Item]:
        """Take the turn as one task."""
        return [Item(said.text, unquoted(said.text), "", cut=said.finish == "length")]
