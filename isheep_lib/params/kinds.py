"""What parameters are made of: the strict section, checked kinds of values, and what every stage has in common.

Covers `Section`, the place of a record, and shards. Does not cover the sections themselves (`params.py` of each room).
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from isheep_lib.languages import rules
from isheep_lib.params.names import FolderName

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[int, Field(ge=1)]
MOST_ITERATIONS = 1000


# Named in a fingerprint by what they hold, not by where it lies.
APART = ("run", "seeds")


def distinct(names: list[str]) -> list[str]:
    """Refuse a list that names something twice."""
    if len(set(names)) != len(names):
        raise ValueError("none twice")
    return names


def execution(default: Any, description: str, **limits: Any) -> Any:
    """Declare a parameter that may differ between sessions of one run: it changes speed, and last bits at most."""
    return Field(default, description=description, json_schema_extra={"execution": True}, **limits)


def routing(default: Any, description: str) -> Any:
    """Declare a parameter that only chooses a stage's inputs, model or frame, which its fingerprint names themselves.

    So two runs that differ in it share what is the same: every setting has the same first iteration.
    """
    return Field(default, description=description, json_schema_extra={"routing": True})


class Section(BaseModel):
    """Strict, closed and immutable parameters."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    @classmethod
    def known_names(cls) -> list[str]:
        """Name every parameter, for the nearest one to a name that is none."""
        return list(cls.model_fields)

    def conflicts(self) -> list[str]:
        """Name what no single field can check, as `field: what is wrong`; a section adds its own to those of `super()`."""
        return []


class StageSection(Section):
    """The section of a stage; it says what decides the stage's result, beside its own values."""

    asks_model: ClassVar[bool] = True
    sees_training_rows: ClassVar[bool] = False  # reads what its model was trained on
    reads_language: ClassVar[bool] = False  # applies the rules of the run's language

    def model_iteration(self, iteration: int) -> int:
        """Return the iteration whose model the stage uses; 0 is the base model."""
        return iteration - 1

    def inputs(self, iteration: int) -> list[tuple[int, str, str]]:
        """Name the files of other stages that the stage reads, as (iteration, stage, file)."""
        return []

    def data_digests(self) -> dict[str, str]:
        """Hash the data that the stage reads and no stage made, by name; a DataError where they cannot be read."""
        return {}

    def sources(self) -> dict[str, Any]:
        """Say what a record keeps of data that others may have rights in, by name, such as the licences of documents."""
        return {}

    def packages(self) -> list[str]:
        """Name the packages, the engine's apart, whose version decides what the stage makes."""
        return []

    def prompt_files(self) -> tuple[str, ...]:
        """Name the prompts, and the frames, that the stage uses."""
        return ()

    def other_prompts(self) -> dict[str, str]:
        """Hash what else asks, by name: the task files of benchmarks."""
        return {}

    def code(self) -> tuple[str, ...]:
        """Name the definitions that the stage's notebook calls for its result, as `room.module.name` (see `record.code`)."""
        return ()

    def deciding(self) -> dict[str, Any]:
        """Return the values that decide the result: none that changes speed only, or whose choice other parts name."""
        kind = type(self)
        apart = {name for name in kind.model_fields if name in APART or is_execution(kind, name) or is_routing(kind, name)}
        return self.model_dump(exclude=apart)

    def more_parts(self) -> dict[str, Any]:
        """Return further parts of the stage's fingerprint."""
        return {}


class Place(Section):
    """Which record a stage belongs to."""

    run: FolderName = Field("smollm2-135m", description="name under results, or a path", min_length=1)
    iteration: int = Field(1, description="1 is the first, which starts from the base model", ge=1, le=MOST_ITERATIONS)
    seed: int = Field(2408, description="all randomness of the run derives from it", ge=0, lt=2**31)


class EvaluatedPlace(Place):
    """Evaluation also covers the base model."""

    iteration: int = Field(1, description="0 is the base model, k the model trained in iteration k", ge=0, le=MOST_ITERATIONS)


class Spoken(Section):
    """Which language the tasks are in; it chooses the rules of texts, whose digests are named in a fingerprint."""

    language: Annotated[str | list[str], AfterValidator(rules.checked)] = routing(
        "en", "language of the tasks, a BCP 47 tag, several, or any; see docs/rules.md"
    )


class Shard(Section):
    """Which part of a stage this worker fills; the stage commits when all parts are there."""

    shard: int = execution(0, "this worker's number, from 0", ge=0)
    num_shards: Positive = execution(1, "workers that fill the stage together")

    def conflicts(self) -> list[str]:
        """Name values that contradict one another."""
        problems = super().conflicts()
        if self.shard >= self.num_shards:
            problems.append(f"shard: {self.shard} is not below num_shards, {self.num_shards}; shards count from 0")
        return problems


def language_of(params: Section) -> rules.Language:
    """Return the language of a run by a stage's parameters; a section alone does not know it, and takes the default."""
    return params.language if isinstance(params, Spoken) else "en"


def language_recorded(values: Mapping[str, Any]) -> rules.Language:
    """Return the language of a run by its recorded values, by section; runs before there was a choice are English."""
    section = values.get("synthesize")
    return section.get("language", "en") if isinstance(section, Mapping) else "en"


def is_execution(section: type[Section], name: str) -> bool:
    """Tell whether a parameter changes speed only."""
    return _is_marked(section, name, "execution")


def is_routing(section: type[Section], name: str) -> bool:
    """Tell whether a parameter only chooses a stage's inputs or its model."""
    return _is_marked(section, name, "routing")


def _is_marked(section: type[Section], name: str, mark: str) -> bool:
    marks = section.model_fields[name].json_schema_extra
    return isinstance(marks, dict) and bool(marks.get(mark))
