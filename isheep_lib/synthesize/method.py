"""A way of writing tasks, as one object: its name, its parameters, what it needs, why it drops, and the writing itself.

The table of all methods is `synthesize.all_methods`; each has a file in `synthesize.methods`. Covers what methods have in
common. Does not cover which one a run has chosen (`synthesize.params`).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal

from isheep_lib.display.table import Table
from isheep_lib.params.kinds import Section
from isheep_lib.record.journal import Journal
from isheep_lib.synthesize.candidates import Candidates
from isheep_lib.synthesize.respond import respond
from isheep_lib.synthesize.shared_params import Shared
from isheep_lib.synthesize.writing import Own, Writing

Need = Literal["seeds", "documents", "tables", "an aligned model", "a sandbox"]


@dataclass(frozen=True)
class Example:
    """One prompt, what the model made of it, and how that is read."""

    prompt: str
    said: str
    rows: list[dict[str, Any]]


class Method(ABC, Generic[Own]):
    """A published way of writing tasks; its parameters are checked, and its name and code count, only where it is chosen.

    Attributes:
        name: in `synthesize.method`.
        source: publication, and what was changed.
        Options: class of `synthesize.options`.
        needs: what must be at hand.
        brings_answers: whether accepted tasks come with a response.
        people: what people wrote, beside seeds and prompts, that decides about texts; "" for nothing.
        prompts: files in `prompting/prompts`.
        reasons: why it drops a candidate, beside the rules on instructions, with the meaning.
        answers_given: each task comes with an answer that no model wrote.
        answers_last: though tasks come with responses, these are asked for when all tasks are written.
    """

    name: ClassVar[str]
    source: ClassVar[str]
    Options: ClassVar[type[Section]]
    needs: ClassVar[tuple[Need, ...]] = ("seeds",)
    brings_answers: ClassVar[bool] = False
    people: ClassVar[str] = ""
    prompts: ClassVar[tuple[str, ...]] = ()
    reasons: ClassVar[dict[str, str]] = {}
    answers_given: ClassVar[bool] = False
    answers_last: ClassVar[bool] = False

    @property
    def code(self) -> str:
        """The root of the method's code (see `record.code`)."""
        kind = type(self)
        return f"{kind.__module__.removeprefix('isheep_lib.')}.{kind.__name__}"

    def conflicts(self, shared: Shared, options: Own) -> list[str]:
        """Name values that contradict one another, as `field: what is wrong`."""
        return []

    def prompt_files(self, options: Own) -> tuple[str, ...]:
        """Name those of `prompts` that these options use."""
        return self.prompts

    def data_digests(self, options: Own) -> dict[str, str]:
        """Hash the data, seeds apart, that the method reads."""
        return {}

    def packages(self, options: Own) -> list[str]:
        """Name the packages, the engine's apart, whose version decides what is written."""
        return []

    def most(self, shared: Shared, options: Own) -> int | None:
        """Return how many tasks these seeds and options can bring at most, None where they set no limit."""
        return None

    def reads_earlier(self, options: Own) -> bool:
        """Tell whether tasks of earlier iterations are shown or rewritten."""
        return False

    @abstractmethod
    def given(self, writing: Writing[Own]) -> Table:
        """Show what the method starts from."""

    def prepared(self, writing: Writing[Own]) -> Table:
        """Show what the method has worked out of that before the first prompt."""
        return Table([{"parameter": name, "value": str(value)} for name, value in writing.options.model_dump().items()])

    @abstractmethod
    def example(self, writing: Writing[Own]) -> Example:
        """Ask for one candidate and show how it is read."""

    @abstractmethod
    def write(self, writing: Writing[Own]) -> Candidates:
        """Write tasks until enough are accepted, or there is nothing left to write from.

        Raises:
            YieldError: fewer than `min_instructions` were accepted; with the top reasons and examples.
        """

    def respond(self, writing: Writing[Own], accepted: list[dict[str, Any]], journal: Journal) -> list[dict[str, Any]]:
        """Return answered tasks, a row for each of `answers`; what a candidate has no response for yet, the model writes."""
        return respond(writing, accepted, journal, writing.shared.answers)

    def evidence(self, candidates: Candidates) -> Table:
        """Show what the method's own choices brought."""
        return Table([{"accepted": len(candidates.accepted), "dropped": len(candidates.dropped), "tokens": candidates.tokens}])
