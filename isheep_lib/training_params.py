"""The parameters of training: the paper's recipe as defaults, and on how many processes it runs.

Covers the section `train` of a params file. Does not cover the other sections (`params`, `sections`).
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from isheep_lib.sections import Positive, Section, distinct, execution, routing


class Train(Section):
    """LoRA fine-tuning (paper, Appendix E)."""

    setting: Literal["one_base", "one_last", "total_base"] = routing(
        "one_base", "base or last model, trained on the last data or on all so far"
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
    train_batch: Positive = Field(16, description="rows an optimizer step, of all processes together")
    micro_batch: Positive = Field(1, description="rows a forward pass of one process at most")
    batching: Literal["grouped", "packed", "shuffled"] = Field(
        "grouped", description="rows of a step side by side by length, one after the other without padding, or as drawn"
    )
    cutoff: int = Field(1024, description="tokens of prompt and response, longer rows are cut", ge=8)
    max_rows: Positive = Field(3000, description="rows drawn from the kept ones at most")
    held_out: float = Field(0.1, description="share of the rows kept out for the held-out loss", gt=0.0, lt=1.0)
    save_steps: Positive = Field(100, description="steps between checkpoints and held-out losses")
    gradient_checkpointing: bool = execution(False, "compute activations twice instead of keeping them: slower, less memory")
    num_processes: Positive = execution(1, "processes that train together, one a GPU, on all machines")
    num_machines: Positive = execution(1, "machines that they are on; the others run isheep join")
    parallel: str = execution("ddp", "several processes: ddp, fsdp2, zero3, or the path of an accelerate config", min_length=1)
    main_address: str = execution("127.0.0.1:29500", "several machines: where the first one is reached", pattern=r".+:\d+")
