"""The section `train` of a params file: the paper's recipe as defaults, and on how many processes it runs."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SerializeAsAny, ValidationInfo, field_validator

from isheep_lib.engines.params import TrainedModel
from isheep_lib.params.kinds import Place, Positive, Section, StageSection, distinct, execution, routing
from isheep_lib.params.options import checked_options
from isheep_lib.prompting import chat
from isheep_lib.record.code import root_of
from isheep_lib.train.objectives.objective import Objective
from isheep_lib.train.objectives.table import OBJECTIVES, ObjectiveName

OF_OBJECTIVE = ("objective", "objective_options")


class Train(StageSection):
    """LoRA fine-tuning (paper, Appendix E)."""

    setting: Literal["one_base", "one_last", "total_base"] = routing(
        "one_base", "base or last model, trained on the last data or on all so far"
    )
    objective: ObjectiveName = Field(
        "sft",
        description="what is minimised: the loss of kept answers, or one of pairs of answers (docs/training.md)",
    )
    objective_options: SerializeAsAny[Section] = Field(
        {}, description="the objective's own parameters (docs/training.md)", validate_default=True
    )
    method: Literal["lora", "qlora", "full"] = Field(
        "lora", description="an adapter, an adapter on a base in 4 bits, or all weights"
    )
    lora_rank: Positive = Field(8, description="rank of the adapter")
    lora_alpha: Positive = Field(16, description="scale of the adapter")
    lora_dropout: float = Field(0.05, description="dropout inside the adapter", ge=0.0, lt=1.0)
    target_modules: Annotated[list[str], Field(min_length=1), AfterValidator(distinct)] = Field(
        ["all-linear"], description="layers with an adapter: all-linear, or ends of their names like q_proj"
    )
    dora: bool = Field(False, description="weights taken apart into size and direction (DoRA)")
    rslora: bool = Field(False, description="the adapter scaled by alpha over the root of its rank (rsLoRA)")
    learning_rate: float = Field(5.0e-5, description="peak of the cosine schedule", gt=0.0, lt=1.0)
    warmup_steps: int = Field(20, description="steps of linear warm-up", ge=0)
    epochs: Positive = Field(2, description="passes over the training rows")
    train_batch: Positive = Field(16, description="rows, or pairs of answers, per optimizer step, of all processes together")
    micro_batch: Positive = Field(1, description="rows, or pairs of answers, per forward pass of one process at most")
    batching: Literal["grouped", "packed"] = Field(
        "grouped", description="rows of a step side by side by length, or one after the other without padding"
    )
    max_length: int = Field(1024, description="tokens of prompt and response, longer rows are cut", ge=8)
    max_rows: Positive = Field(3000, description="rows drawn from the kept ones at most")
    held_out: float = Field(0.1, description="share of the rows kept out for the held-out loss", gt=0.0, lt=1.0)
    save_steps: Positive = Field(100, description="steps between checkpoints and held-out losses")
    numerics: Literal["plain", "exact"] = Field(
        "plain", description="exact: an adapter of the same bytes on every machine, learned in float64 (lora, one process)"
    )
    gradient_checkpointing: bool = execution(False, "compute activations twice instead of keeping them: slower, less memory")
    num_processes: Positive = execution(1, "processes that train together, one per GPU, on all machines")
    num_machines: Positive = execution(1, "machines that they are on; the others run isheep join")
    parallel: str = execution("ddp", "several processes: ddp, fsdp2, zero3, or the path of an accelerate config", min_length=1)
    main_address: str = execution("127.0.0.1:29500", "several machines: where the first one is reached", pattern=r".+:\d+")

    @field_validator("objective_options", mode="plain")
    @classmethod
    def _checked(cls, given: Any, info: ValidationInfo) -> Section:
        """Check the options by the class of the objective."""
        if "objective" not in info.data:  # which is told already
            return Section()
        name = info.data["objective"]
        return checked_options(given, OBJECTIVES[name].Options, f"the objective {name}")

    @classmethod
    def known_names(cls) -> list[str]:
        """Name every parameter, those of all objectives included."""
        own = dict.fromkeys(name for objective in OBJECTIVES.values() for name in objective.Options.model_fields)
        return [*super().known_names(), *(f"objective_options.{name}" for name in own)]

    @property
    def minimised(self) -> Objective[Any]:
        """The objective."""
        return OBJECTIVES[self.objective]

    @property
    def learns_from(self) -> str:
        """The file of the filter that is learned from."""
        return "pairs.jsonl" if self.minimised.of_pairs else "kept.jsonl"

    def deciding(self) -> dict[str, Any]:
        """Return the values that decide the result; the loss alone is what was minimised before there was a choice."""
        apart = OF_OBJECTIVE if self.objective == "sft" else ()
        return {name: value for name, value in super().deciding().items() if name not in apart}

    def conflicts(self) -> list[str]:
        """Name values that contradict one another."""
        problems, batch, processes = super().conflicts(), self.train_batch, self.num_processes
        if batch % (self.micro_batch * processes):
            fitting = [n for n in range(1, batch + 1) if batch % (n * processes) == 0]
            allowed = f"{', '.join(map(str, fitting))} would do" if fitting else f"num_processes itself does not divide {batch}"
            problems.append(
                f"micro_batch: {self.micro_batch} x {processes} process(es) does not divide train_batch {batch}; {allowed}"
            )
        if processes % self.num_machines:
            problems.append(f"num_machines: {self.num_machines} does not divide num_processes, {processes}")
        if "all-linear" in self.target_modules and len(self.target_modules) > 1:
            problems.append("target_modules: all-linear stands alone, it is every layer already")
        if self.method == "full" and (self.dora or self.rslora):
            problems.append("method: full trains all weights; dora and rslora are for adapters")
        if self.numerics == "exact" and (self.method, processes) != ("lora", 1):
            problems.append(
                f"numerics: exact training takes method lora and one process, not {self.method} and {processes}; "
                "set these, or numerics to plain"
            )
        if self.method == "qlora" and self.parallel != "ddp" and processes > 1:
            problems.append("parallel: a base in 4 bits is whole on every process; set ddp")
        return problems

    def format_conflicts(self, dtype: str) -> list[str]:
        """Name what contradicts the number format of training, which stands in the section of the model."""
        if self.numerics == "plain" or dtype == "float32":
            return []
        return [f"numerics: exact training records float32, but model.dtype is {dtype}; set that, or numerics to plain"]

    def model_iteration(self, iteration: int) -> int:
        """Return the iteration whose model is trained further."""
        return iteration - 1 if self.setting == "one_last" else 0

    def inputs(self, iteration: int) -> list[tuple[int, str, str]]:
        """Name the kept pairs, or the pairs of answers, of this iteration or of all so far."""
        first = 1 if self.setting == "total_base" else iteration
        return [(k, "filter", self.learns_from) for k in range(first, iteration + 1)]

    def prompt_files(self) -> tuple[str, ...]:
        """Name the frames."""
        return chat.FRAMES

    def code(self) -> tuple[str, ...]:
        """Name what lays out and trains, with the chosen objective alone; the trainer runs in processes of its own."""
        own = ["dataset.read", "dataset.prepare", "run.lay_out", "run.fine_tune", "run.check_parity", "run.held_out_change"]
        named = (f"train.{name}" for name in [*own, "trainer.main"])
        return (*named, root_of(type(self.minimised)), "engines.parity.document", "prompting.chat.get_frame")


class TrainParams(Train, TrainedModel, Place):
    """Parameters of `train.ipynb`."""

    def conflicts(self) -> list[str]:
        """Name values that contradict one another."""
        return [*super().conflicts(), *self.format_conflicts(self.dtype)]
