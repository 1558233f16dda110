"""Every parameter of a run: its name, type, range, default and meaning, in one place.

A params file is one complete run; its sections are the section classes below. A stage notebook's parameters
are the flat union of `Place`, `Model` and the stage's section.

Covers what there is. Does not cover checking (`params_check`), or where a run's parameters are kept (`store`).
"""

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from isheep_lib.records import parse_fields
from isheep_lib.scorers import Level, Scorer

EngineName = Literal["transformers", "vllm", "server"]
FrameName = Literal["plain", "alpaca", "chatml", "llama3", "tokenizer"]
Corruption = Literal["shuffled", "truncated", "wrong_task"]
FilterStep = Literal["rules", "threshold", "perplexity", "density", "density_perplexity", "top"]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[int, Field(ge=1)]


def _distinct(names: list[str]) -> list[str]:
    if len(set(names)) != len(names):
        raise ValueError("none twice")
    return names


def _fields(pairs: list[str]) -> list[str]:
    parse_fields(pairs)
    return pairs


def _stops(texts: list[str]) -> list[str]:
    if not all(texts):
        raise ValueError("an empty text would stop everything")
    return _distinct(texts)


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
Scorers = Annotated[list[Scorer], AfterValidator(_distinct)]


def execution(default: Any, description: str, **limits: Any) -> Any:
    """Declare a parameter that may differ between sessions of one run: it changes speed, and last bits at most."""
    return Field(default, description=description, json_schema_extra={"execution": True}, **limits)


def routing(default: Any, description: str) -> Any:
    """Declare a parameter that only chooses a stage's inputs or model, which its fingerprint names themselves.

    So two runs that differ in it share what is the same: every setting has the same first iteration.
    """
    return Field(default, description=description, json_schema_extra={"routing": True})


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

    seeds: str = Field("seeds/tasks.jsonl", description="seed tasks: file, or org/name@revision of a dataset", min_length=1)
    seed_fields: Annotated[list[str], AfterValidator(_fields)] = Field(
        [], description="fields of other names: our name, an equals sign, theirs"
    )
    instructions: Positive = Field(56, description="new instructions wanted, the data size I of the paper")
    min_instructions: Positive = Field(24, description="fewer than this stops the run")
    demonstrations: Positive = Field(5, description="tasks shown in a prompt")
    generated_demonstrations: int = Field(0, description="of them tasks accepted earlier in the run, at most", ge=0)
    demonstration_choice: Literal["uniform", "inverse_perplexity", "perplexity", "one_a_cluster"] = Field(
        "uniform", description="how seeds are drawn: alike, by 1 / perplexity, by perplexity, one a K-means cluster"
    )
    tasks_per_prompt: Positive = Field(10, description="tasks that a prompt asks for, the shown ones included")
    prompts_per_batch: Positive = Field(32, description="prompts generated before new tasks are compared")
    max_batches: Positive = Field(4, description="batches after which the stage takes what it has")
    instruction_temperature: float = Field(0.7, description="sampling temperature, 0 is greedy", ge=0.0, le=5.0)
    instruction_top_p: float = Field(0.9, description="nucleus sampling mass", gt=0.0, le=1.0)
    instruction_tokens: Positive = Field(128, description="new tokens a prompt may yield")
    instruction_stops: Annotated[list[str], AfterValidator(_stops)] = Field(
        [], description="texts that end a list, none is the number after tasks_per_prompt on a new line"
    )
    instruction_rules: bool = Field(True, description="apply the heuristic rules to instructions")
    max_rouge: Share = Field(0.7, description="ROUGE-L F against earlier tasks, more is a duplicate")
    dedup_scope: Literal["batch", "round", "run"] = Field(
        "run", description="earlier tasks: the seeds and those of the batch, the iteration, or the whole run"
    )
    response_temperature: float = Field(0.7, description="sampling temperature, 0 is greedy", ge=0.0, le=5.0)
    response_top_p: float = Field(0.95, description="nucleus sampling mass", gt=0.0, le=1.0)
    response_tokens: Positive = Field(192, description="new tokens a response may have")


class Assess(Section):
    """Self-assessment of every pair, and how far it can be trusted."""

    scorers: Scorers = Field(["mutual_information"], description="scorers run on all pairs, none to assess nothing")
    level: Level = Field("both", description="axes that prompted scorers ask about")
    assessment_prompt: Literal["combined", "simple", "icl"] = Field(
        "combined", description="criteria together, one criterion, or with scored examples"
    )
    judge: Literal["current", "base"] = routing("current", "who judges: the model that answered, or the base model")
    sampled_temperature: float = Field(1.0, description="temperature of the scorer sampled", gt=0.0, le=5.0)
    sampled_top_p: float = Field(1.0, description="nucleus sampling mass of the scorer sampled", gt=0.0, le=1.0)
    written_tokens: Positive = Field(16, description="new tokens of a written score and its explanation")
    parse_retries: int = Field(0, description="times that an unreadable sampled score is sampled again", ge=0)
    max_unread: Share = Field(0.5, description="share of pairs without a readable score, more stops the run")
    vectors: bool = Field(False, description="write the pairs' final-layer vectors, which density filters need")
    checked_scorers: Scorers = Field(
        ["mutual_information", "expected", "greedy"], description="scorers whose reliability is checked"
    )
    corruptions: Annotated[list[Corruption], AfterValidator(_distinct)] = Field(
        ["shuffled", "truncated", "wrong_task"], description="wrong responses that true ones are told from"
    )
    checked_pairs: int = Field(12, description="pairs in the self-assessment check, drawn by seed", ge=4)
    bootstrap: int = Field(1000, description="bootstrap resamples of an AUROC interval", ge=100)


class Filter(Section):
    """Steps in the order given, each with its own line in the funnel."""

    steps: Annotated[list[FilterStep], AfterValidator(_distinct)] = Field(
        ["rules", "threshold"], description="filters in order; none at all is the C of -1 in the paper, rules alone its C of 0"
    )
    max_copy_share: Share = Field(0.5, description="rules: share of the response copied from the task, more is an echo")
    scorer: Scorer = Field("mutual_information", description="threshold: whose scores decide")
    axes: Level = Field("both", description="threshold and top: axes of a prompted scorer that decide")
    threshold: float = Field(0.25, description="threshold: C of the paper")
    comparison: Literal["above", "at_least", "below", "at_most"] = Field(
        "above", description="threshold: what a kept score is; the paper's is strictly above"
    )
    max_output_perplexity: float = Field(50.0, description="perplexity: limit of the response, more is dropped", gt=0.0)
    max_pair_perplexity: float = Field(50.0, description="perplexity: limit of task and response together", gt=0.0)
    clusters: int = Field(0, description="density: K of K-means, 0 is three tenths of the pairs (3000 of 10000)", ge=0)
    rows_per_cluster: Positive = Field(1, description="density: pairs kept of a cluster, at random or the lowest perplexity")
    top_scorer: Scorer = Field("mutual_information", description="top: whose scores rank, the mean of its columns")
    top_end: Literal["highest", "lowest"] = Field("highest", description="top: which end of the ranking is kept")
    top_share: float = Field(0.5, description="top: share of the pairs kept", gt=0.0, le=1.0)
    random_control: bool = Field(False, description="keep as many pairs as the steps would, drawn from those that pass rules")
    min_kept: Positive = Field(16, description="fewer than this stops the run")


class Train(Section):
    """LoRA fine-tuning (paper, Appendix E)."""

    setting: Literal["one_base", "one_last", "total_base"] = routing(
        "one_base", "base or last model, trained on the last data or on all so far"
    )
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
    share: bool = Field(True, description="take stages from runs beside this one that made the same of the same inputs")


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


def is_routing(section: type[Section], name: str) -> bool:
    """Tell whether a parameter only chooses a stage's inputs or its model."""
    return bool((section.model_fields[name].json_schema_extra or {}).get("routing"))
