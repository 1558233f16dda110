"""The section `synthesize` of a params file: what all methods share, which method writes, and its own parameters."""

from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field, SerializeAsAny, ValidationInfo, field_validator

from isheep_lib.languages import mismatch, rules
from isheep_lib.languages.words import DECIDES
from isheep_lib.params.kinds import Section
from isheep_lib.params.options import checked_options
from isheep_lib.prompting import chat
from isheep_lib.synthesize.all_methods import METHODS
from isheep_lib.synthesize.constrained.params import Constraining
from isheep_lib.synthesize.extras import own
from isheep_lib.synthesize.extras.needs import refuse_few, seeds_of, suited_data
from isheep_lib.synthesize.method import Method
from isheep_lib.synthesize.seeds import digest_seeds
from isheep_lib.synthesize.shared_params import Shared


def _known(name: str) -> str:
    if name not in METHODS:
        raise ValueError(f"should be one of {', '.join(METHODS)}")
    return name


def _answers_without(method: Method[Any]) -> str:
    """Say why a method has no use for answered seeds before its answers, "" where it has."""
    if method.brings_answers or method.answers_given:
        return "brings answers of its own"
    return "needs an aligned model, which ends its answers by itself" if "an aligned model" in method.needs else ""


class Synthesize(Constraining, Shared):
    """New tasks, written by one method, then responses (paper, Algorithm 1, first two steps)."""

    reads_language: ClassVar[bool] = True

    method: Annotated[str, AfterValidator(_known)] = Field("list", description="how tasks are written, see docs/methods.md")
    options: SerializeAsAny[Section] = Field(
        {}, description="the method's own parameters, see docs/methods.md", validate_default=True
    )

    @field_validator("options", mode="plain")
    @classmethod
    def _checked(cls, given: Any, info: ValidationInfo) -> Section:
        """Check the options by the class of the method."""
        if "method" not in info.data:  # which is told already
            return Section()
        name = info.data["method"]
        return checked_options(given, METHODS[name].Options, f"the method {name}")

    @classmethod
    def known_names(cls) -> list[str]:
        """Name every parameter, those of all methods included."""
        own = dict.fromkeys(name for method in METHODS.values() for name in method.Options.model_fields)
        return [*super().known_names(), *(f"options.{name}" for name in own)]

    @property
    def chosen(self) -> Method[Any]:
        """The method that writes."""
        return METHODS[self.method]

    @property
    def shares_answers(self) -> bool:
        """Whether answers are asked for when all tasks are written, so that several workers can share them."""
        return not self.chosen.brings_answers or self.chosen.answers_last or self.answers > 1

    def conflicts(self) -> list[str]:
        """Name values that contradict one another."""
        problems = [*super().conflicts(), *(f"options.{problem}" for problem in self.chosen.conflicts(self, self.options))]
        given = [name for name in ("seeds", "seed_fields") if getattr(self, name) != Shared.model_fields[name].default]
        if "seeds" not in self.chosen.needs:
            problems += [f"{n}: the method {self.method} reads no seeds; leave it out, or choose one that does" for n in given]
        if self.answers > 1 and self.chosen.answers_given:
            problems.append(f"answers: the method {self.method} comes with an answer to each task, so there is one; set 1")
        if self.constraints != "none" and self.language != "en":
            problems.append(
                f"constraints: their texts are English, and the tasks are in {rules.in_words(self.language)}; set "
                "constraints to none, or language to en"
            )
        if self.answers > 1 and own.decides_answer(self.chosen):
            problems.append(f"answers: the method {self.method} decides itself which answer a task has, so there is one; set 1")
        if self.response_demonstrations and (given := _answers_without(self.chosen)):
            problems.append(f"response_demonstrations: the method {self.method} {given}; set 0, or choose one for base models")
        if self.constraints == "asked" and self.chosen.brings_answers:
            problems.append(f"constraints: the method {self.method} brings answers of its own, of which nothing can be asked")
        return [*problems, *self._teacher_conflicts()]

    def _teacher_conflicts(self) -> list[str]:
        """Name what keeps a teacher from writing."""
        problems, part = [], own.part_of_learner(self.chosen)
        if self.teacher and part:
            problems.append(
                f"teacher: in the method {self.method} the model that is to learn {part}, so no other one can write for it; "
                "leave it empty, or choose another method"
            )
        if self.teacher and self.answers > 1 and self.chosen.brings_answers and not self.chosen.answers_last:
            problems.append(
                f"teacher: the method {self.method} answers as it writes, so of {self.answers} answers one would be the "
                "teacher's and the others the model's; set answers to 1"
            )
        return problems

    def inputs(self, iteration: int) -> list[tuple[int, str, str]]:
        """Name tasks of earlier iterations that new ones are compared with or made from, and what the method carries on."""
        earlier = self.dedup_scope == "run" or self.chosen.reads_earlier(self.options)
        examples = [(k, "synthesize", "examples.jsonl") for k in range(1, iteration) if earlier]
        file = own.carried_file(self.chosen)
        return [*examples, *([(iteration - 1, "synthesize", file)] if file and iteration > 1 else [])]

    def data_digests(self) -> dict[str, str]:
        """Hash the seed tasks and whatever else the method reads, all of which must suit it."""
        seeds = {"seeds": digest_seeds(self.seeds, self.seed_fields, self.language)} if "seeds" in self.chosen.needs else {}
        suited = suited_data(self.chosen, self, self.options)
        if self.response_demonstrations:
            answered = sum(bool(seed.output) for seed in seeds_of(self))
            do = "add answers to seeds, or lower synthesize.response_demonstrations"
            refuse_few(answered, self.response_demonstrations, "with an answer", self.seeds, do)
        return super().data_digests() | seeds | suited | self.chosen.data_digests(self.options)

    def sources(self) -> dict[str, Any]:
        """Say what a record keeps of the texts with licences that tasks are written from, {} where there are none."""
        return self.chosen.sources(self.options) if isinstance(self.chosen, own.Sourced) else {}

    def packages(self) -> list[str]:
        """Name what decides beside the engine."""
        told = [mismatch.DECIDES] if self.instruction_rules and self.language != rules.ANY else []
        return list(dict.fromkeys([*self.chosen.packages(self.options), DECIDES, *told]))

    def prompt_files(self) -> tuple[str, ...]:
        """Name the method's prompts, and the frames."""
        return (*self.chosen.prompt_files(self.options), *chat.FRAMES)

    def code(self) -> tuple[str, ...]:
        """Name the method, and what lists the tasks that prompts showed."""
        several = ("synthesize.respond.told_apart",) if self.answers > 1 else ()
        taught = ("synthesize.extras.writers.open_writer",) if self.teacher else ()
        own = (
            self.chosen.code,
            "synthesize.candidates.shown_tasks",
            "prompting.chat.get_frame",
            "prompting.prompt_files.Prompts",
        )
        return (*own, *several, *taught, *super().code())
