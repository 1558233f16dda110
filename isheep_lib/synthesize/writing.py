"""What a method writes with: the model, parameters, earlier tasks, seeds of its own randomness, and journals."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeVar

from isheep_lib.engines.generate import lengths, overlong
from isheep_lib.engines.protocol import Engine
from isheep_lib.errors import DataError
from isheep_lib.languages.rules import Language, together
from isheep_lib.params.kinds import Section
from isheep_lib.prompting.chat import Frame
from isheep_lib.prompting.prompt_files import DEFAULT, Prompts, english
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.rules import Item, instruction_problem
from isheep_lib.synthesize.seeds import load_seeds
from isheep_lib.synthesize.shared_params import Shared

Own = TypeVar("Own", bound=Section)
SHOWN = 20  # seeds that an error names


@dataclass(frozen=True)
class Writing(Generic[Own]):
    """What a method writes with.

    Attributes:
        engine: the model M_{t-1}.
        frame: its chat frame.
        shared: parameters that all methods have.
        options: parameters of the method.
        iteration: t, for ids of rows.
        earlier: tasks accepted in earlier iterations, where the method or the deduplication reads them.
        seed_of: name of a record or a draw to its seed.
        open_journal: name of a step to its journal; one worker does it, others wait and read.
        prompts: the texts that ask, in the language of the run.
        carried: rows of the file that the method left in the iteration before, where it carries one on.
    """

    engine: Engine
    frame: Frame
    shared: Shared
    options: Own
    iteration: int
    earlier: list[Task]
    seed_of: Callable[[str], int]
    open_journal: Callable[[str], AbstractContextManager[Any]]
    prompts: Prompts = field(default_factory=english)
    carried: Sequence[dict[str, Any]] = ()

    @cached_property
    def seeds(self) -> list[Task]:
        """Read the seed tasks."""
        return load_seeds(self.shared.seeds, self.shared.seed_fields, self.shared.language)

    @property
    def read_in(self) -> Language:
        """The languages that texts are read in: the run's, that of its prompts, and English, to which models fall back."""
        return together(DEFAULT, self.shared.language, self.prompts.language)

    def rule_problem(self, item: Item) -> str:
        """Name the rule that an instruction breaks in this run, "" if none."""
        return instruction_problem(item, self.shared.instruction_rules, self.frame.words, self.shared.language)

    def overlong(self, prompts: Mapping[str, str], spare: int) -> dict[str, str]:
        """Say by name how long those prompts are that leave no room for `spare` new tokens."""
        return overlong(self.engine, prompts, spare)

    def lengths(self, texts: Mapping[str, str]) -> dict[str, int]:
        """Count the tokens of texts by name, {} where no text is too long."""
        return lengths(self.engine, texts)

    def refuse_seeds(self, long: Mapping[str, str], do: str) -> None:
        """Refuse seeds that do not fit the model's context, with what is said of each by id, before anything is written."""
        if long:
            listed = "\n  ".join(f"{id_}: {said}" for id_, said in list(long.items())[:SHOWN])
            more = f"\n  and {len(long) - SHOWN} more" if len(long) > SHOWN else ""
            limit, context = self.shared.instruction_tokens, self.engine.context
            raise DataError(
                f"{len(long)} seed task(s) are too long:\n  {listed}{more}",
                where=self.shared.seeds,
                allowed=f"a prompt and {limit} new tokens together at most {context}, the model's context",
                do=do,
            )
