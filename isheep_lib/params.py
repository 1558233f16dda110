"""Every parameter of a run: its name, type, range, default and meaning, in one place.

A params file is one complete run; its sections are the section classes below. A stage notebook's parameters
are the flat union of `Place`, `Model` and the stage's section.

Covers what there is. Does not cover checking (`params_check`), or where a run's parameters are kept (`store`).
"""

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

EngineName = Literal["transformers", "vllm", "server"]
FrameName = Literal["plain", "alpaca", "chatml", "llama3", "tokenizer"]
Scorer = Literal["mutual_information", "expected", "text"]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[int, Field(ge=1)]


def _some(names: list[str]) -> list[str]:
    if not names or len(set(names)) != len(names):
        raise ValueError("at least one, none twice")
    return names


def _addresses(urls: list[str]) -> list[str]:
    for url in urls:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no http or https address")
        if parts.username or parts.password or parts.query:
            raise ValueError("an address is recorded and must hold no key or password; set ISHEEP_SERVER_KEY")
    if len({url.rstrip("/") for url in urls}) != len(urls):
        raise ValueError("none twice")
    return urls


Urls = Annotated[list[str], AfterValidator(_addresses)]


def execution(default: Any, description: str, **limits: Any) -> Any:
    """Declare a parameter that may differ between sessions of one run: it changes speed, and last bits at most."""
    return Field(default, description=description, json_schema_extra={"execution": True}, **limits)


class Section(BaseModel):
    """Strict, closed and immutable parameters."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Place(Section):
    """Which record a stage belongs to."""

    run: str = Field("smollm2-135m", description="name under results, or a path", min_length=1)
    iteration: int = Field(1, description="1 is the first, which starts from the base model", ge=1)
    seed: int = Field(2408, description="all randomness of the run derives from it", ge=0, lt=2**31)


class EvaluatedPlace(Place):
    """Evaluation also covers the base model."""

    iteration: int = Field(1, description="0 is the base model, k the model trained in iteration k", ge=0)


class TrainedModel(Section):
    """The one model that plays every role, as far as training needs to know it."""

    base_model: str = Field(
        "embedded:smollm2-135m-instruct", description="embedded name, hub id with @revision, or folder", min_length=1
    )
    aligned_frame: FrameName = Field("chatml", description="chat frame of the trained models")
    system_prompt: str = Field("You are a helpful assistant.", description="system line of the chat frames")
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="number format of training, float32 on a CPU")


class Model(TrainedModel):
    """The model, and how it is asked."""

    base_frame: FrameName = Field("chatml", description="chat frame of the base model, plain if it has none")
    engine: EngineName = Field("transformers", description="what computes: a library in this process, or servers")
    inference_dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="number format of inference, auto measures once a run which is faster here"
    )
    context_tokens: int = Field(0, description="prompt and new tokens together at most, 0 is the model's own limit", ge=0)
    batch_tokens: int = execution(0, "transformers: tokens read in one forward pass, 0 suits the device", ge=0)
    cache_tokens: Positive = execution(49152, "transformers: tokens held for sequences generated together")
    vllm_adapters: Literal["merged", "lora"] = Field(
        "merged", description="vllm: adapters merged into the weights, or applied as LoRA requests"
    )
    tensor_parallel: Positive = execution(1, "vllm: GPUs that share the model")
    gpu_memory: float = execution(0.85, "vllm: share of the GPU's memory to use", gt=0.0, le=1.0)
    base_urls: Urls = execution([], "server: addresses of OpenAI-compatible servers, like http://127.0.0.1:8000/v1")
    served_model: str = Field("", description="server: the base model's name there, empty is base_model")
    concurrency: Positive = execution(32, "server: requests in flight at each address")
    request_seconds: Positive = execution(600, "server: longest time for one answer")
    patience_seconds: Positive = execution(120, "server: longest time without any server before the stage stops")


class Synthesize(Section):
    """Instructions in context, then responses (paper, Algorithm 1, first two steps)."""

    seeds: str = Field("seeds/tasks.jsonl", description="seed tasks, JSON lines with an instruction", min_length=1)
    instructions: Positive = Field(56, description="new instructions wanted, the data size I of the paper")
    min_instructions: Positive = Field(24, description="fewer than this stops the run")
    demonstrations: Positive = Field(5, description="seed tasks shown in a prompt")
    tasks_per_prompt: Positive = Field(10, description="tasks that a prompt asks for, the shown ones included")
    prompts_per_round: Positive = Field(32, description="prompts generated before new tasks are compared")
    max_rounds: Positive = Field(4, description="rounds after which the stage takes what it has")
    instruction_temperature: float = Field(0.7, description="sampling temperature, 0 is greedy", ge=0.0, le=5.0)
    instruction_top_p: float = Field(0.9, description="nucleus sampling mass", gt=0.0, le=1.0)
    instruction_tokens: Positive = Field(128, description="new tokens a prompt may yield")
    max_rouge: Share = Field(0.7, description="ROUGE-L F against seeds and accepted tasks, more is a duplicate")
    response_temperature: float = Field(0.7, description="sampling temperature, 0 is greedy", ge=0.0, le=5.0)
    response_top_p: float = Field(0.95, description="nucleus sampling mass", gt=0.0, le=1.0)
    response_tokens: Positive = Field(192, description="new tokens a response may have")


class Assess(Section):
    """Self-assessment of every pair, and how far it can be trusted."""

    scorers: Annotated[list[Scorer], AfterValidator(_some)] = Field(
        ["mutual_information"], description="scorers run on all pairs"
    )
    checked_scorers: Annotated[list[Scorer], AfterValidator(_some)] = Field(
        ["mutual_information", "expected", "text"], description="scorers whose reliability is checked"
    )
    checked_pairs: int = Field(12, description="pairs in the self-assessment check, drawn by seed", ge=4)
    text_temperature: float = Field(0.0, description="sampling temperature of written scores, 0 is greedy", ge=0.0, le=5.0)
    text_tokens: Positive = Field(16, description="new tokens a written score may have")
    bootstrap: int = Field(1000, description="bootstrap resamples of an AUROC interval", ge=100)


class Filter(Section):
    """Heuristic rules, then the threshold."""

    rules: bool = Field(True, description="apply the heuristic rules")
    max_copy_share: Share = Field(0.5, description="share of the response copied from the task, more is an echo")
    scorer: Scorer = Field("mutual_information", description="whose scores decide")
    threshold: float = Field(0.25, description="kept when every score of the scorer is above it")
    min_kept: Positive = Field(16, description="fewer than this stops the run")


class Train(Section):
    """LoRA fine-tuning of the base model (paper, Appendix E)."""

    lora_rank: Positive = Field(8, description="rank of the adapter")
    lora_alpha: Positive = Field(16, description="scale of the adapter")
    lora_dropout: float = Field(0.05, description="dropout inside the adapter", ge=0.0, lt=1.0)
    learning_rate: float = Field(0.0002, description="peak of the cosine schedule", gt=0.0, lt=1.0)
    warmup_steps: int = Field(2, description="steps of linear warm-up", ge=0)
    epochs: Positive = Field(2, description="passes over the training rows")
    train_batch: Positive = Field(8, description="rows an optimizer step")
    micro_batch: Positive = Field(2, description="rows a forward pass, divides train_batch")
    cutoff: int = Field(512, description="tokens of prompt and response, longer rows are cut", ge=8)
    max_rows: Positive = Field(3000, description="rows drawn from the kept ones at most")
    held_out: float = Field(0.1, description="share of the rows kept out for the held-out loss", gt=0.0, lt=1.0)
    save_steps: Positive = Field(4, description="steps between checkpoints and held-out losses")


class Evaluate(Section):
    """IFEval, and what a collapse would show in."""

    ifeval_prompts: int = Field(64, description="fixed seeded subset of the 541 prompts, 0 is all", ge=0, le=541)
    subset_seed: int = Field(0, description="which subset, the same for every iteration", ge=0)
    answer_tokens: Positive = Field(256, description="new tokens an answer may have")


class Shard(Section):
    """Which part of a stage this worker fills; the stage commits when all parts are there."""

    shard: int = execution(0, "this worker's number, from 0", ge=0)
    num_shards: Positive = execution(1, "workers that fill the stage together")


class SynthesizeParams(Synthesize, Shard, Model, Place):
    """Parameters of `synthesize.ipynb`."""


class AssessParams(Assess, Shard, Model, Place):
    """Parameters of `assess.ipynb`."""


class FilterParams(Filter, Place):
    """Parameters of `filter.ipynb`; no model is loaded."""


class TrainParams(Train, TrainedModel, Place):
    """Parameters of `train.ipynb`."""


class EvaluateParams(Evaluate, Model, EvaluatedPlace):
    """Parameters of `evaluate.ipynb`."""


class IterateParams(Section):
    """Parameters of `iterate.ipynb`."""

    iteration: int = Field(1, description="bring the run to this iteration", ge=1)
    params: str = Field("params/smollm2-135m.yaml", description="params file, one complete run", min_length=1)
    run: str = Field("", description="name under results or a path, empty takes the params file's")
    override: str = Field("", description="changes to the params file, like train.epochs:1 evaluate.ifeval_prompts:0")
    stale: Literal["stop", "redo", "keep"] = Field("stop", description="what to do with stages made by other code")


STAGE_PARAMS: dict[str, type[Section]] = {
    "synthesize": SynthesizeParams,
    "assess": AssessParams,
    "filter": FilterParams,
    "train": TrainParams,
    "evaluate": EvaluateParams,
}
SECTIONS: dict[str, type[Section]] = {
    "model": Model,
    "synthesize": Synthesize,
    "assess": Assess,
    "filter": Filter,
    "train": Train,
    "evaluate": Evaluate,
}


class RunParams(Section):
    """A params file: every parameter of a run."""

    run: str = Field(description="name under results", min_length=1)
    seed: int = Field(description="all randomness of the run derives from it", ge=0, lt=2**31)
    model: Model
    synthesize: Synthesize
    assess: Assess
    filter: Filter
    train: Train
    evaluate: Evaluate

    def stage(self, stage: str, iteration: int) -> dict[str, Any]:
        """Return the flat parameters of one stage notebook."""
        fields = STAGE_PARAMS[stage].model_fields
        flat = {**self.model.model_dump(), **getattr(self, stage).model_dump()}
        flat |= {"run": self.run, "iteration": iteration, "seed": self.seed}
        return {name: flat[name] for name in fields if name in flat}  # a shard is a worker's own


def is_execution(section: type[Section], name: str) -> bool:
    """Tell whether a parameter changes speed only."""
    return bool((section.model_fields[name].json_schema_extra or {}).get("execution"))
