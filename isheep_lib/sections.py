"""What parameters are made of: the strict section, checked kinds of values, and what every stage has in common.

Covers `Section` and the sections place, model and shard. Does not cover the stages' own parameters (`params`).
"""

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from isheep_lib.catalogue import ALL, parse_entry, parse_source
from isheep_lib.records import parse_fields
from isheep_lib.scorers import Scorer

EngineName = Literal["transformers", "vllm", "server"]
FrameName = Literal["plain", "alpaca", "chatml", "llama3", "tokenizer"]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[int, Field(ge=1)]


def distinct(names: list[str]) -> list[str]:
    """Refuse a list that names something twice."""
    if len(set(names)) != len(names):
        raise ValueError("none twice")
    return names


def _entries(entries: list[str]) -> list[str]:
    distinct([parse_entry(entry)[0] for entry in entries])
    return entries


def _sources(entries: list[str]) -> list[str]:
    distinct([parse_source(entry)[0] for entry in entries])
    return entries


def _against(entries: list[str]) -> list[str]:
    named = [entry for entry in entries if entry != ALL]
    for entry in named:
        if ":" in entry and "=" not in entry:
            raise ValueError(f"{entry!r} should be a name alone: all items of a benchmark are looked at")
    distinct([(parse_source(entry) if "=" in entry else parse_entry(entry))[0] for entry in named])
    return distinct(entries)


def _rows(entries: list[str]) -> list[str]:
    for entry in entries:
        row, equals, run = entry.partition("=")
        if not (row.strip() and equals and run.strip()):
            raise ValueError(f"{entry!r} should be a row of the tables, an equals sign and a run, like one_base=smollm2-135m")
    return distinct(entries)


def _fields(pairs: list[str]) -> list[str]:
    parse_fields(pairs)
    return pairs


def _stops(texts: list[str]) -> list[str]:
    if not all(texts):
        raise ValueError("an empty text would stop everything")
    return distinct(texts)


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
Scorers = Annotated[list[Scorer], AfterValidator(distinct)]
Rows = Annotated[list[str], AfterValidator(_rows)]
Fields = Annotated[list[str], AfterValidator(_fields)]
Stops = Annotated[list[str], AfterValidator(_stops)]
Entries = Annotated[list[str], AfterValidator(_entries)]
Sources = Annotated[list[str], AfterValidator(_sources)]
Against = Annotated[list[str], AfterValidator(_against)]


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
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="number format of training, auto is bfloat16 on a GPU and float32 on a CPU"
    )


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


class Shard(Section):
    """Which part of a stage this worker fills; the stage commits when all parts are there."""

    shard: int = execution(0, "this worker's number, from 0", ge=0)
    num_shards: Positive = execution(1, "workers that fill the stage together")
