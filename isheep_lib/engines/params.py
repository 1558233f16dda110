"""The section `model` of a params file: which model, its chat frames, and what computes it."""

from datetime import date
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

from isheep_lib.params.kinds import Positive, Section, execution, routing
from isheep_lib.prompting.chat import DAY

EngineName = Literal["transformers", "vllm", "server"]
Format = Literal["float32", "bfloat16"]  # named, so that a run follows from its params file on every machine
FrameName = Literal["plain", "alpaca", "chatml", "llama3", "tokenizer"]


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


def _day(given: Any) -> Any:
    """Write a date as text; YAML reads one without quotes as a date."""
    return given.isoformat() if type(given) is date else given


def _is_day(text: str) -> str:
    try:
        same = date.fromisoformat(text).isoformat() == text
    except ValueError:
        same = False
    if not same:
        raise ValueError("should be a date, written as 2024-07-26")
    return text


Urls = Annotated[list[str], AfterValidator(_addresses)]
Day = Annotated[str, BeforeValidator(_day), AfterValidator(_is_day)]


class TrainedModel(Section):
    """The one model that plays every role, as far as training needs to know it."""

    base_model: str = Field(
        "embedded:smollm2-135m-instruct",
        description="embedded name, folder, or hub id; one without @commit gets that of the first run",
        min_length=1,
    )
    aligned_frame: FrameName = Field("chatml", description="chat frame of the trained models")
    system_prompt: str = Field("You are a helpful assistant.", description="system line of the chat frames")
    template_date: Day = routing(DAY, "frame tokenizer: the day that a template with today's date is told, never the clock's")
    dtype: Format = Field("float32", description="number format of training; what is trained is float32 in either")

    def frame_of(self, model_iteration: int) -> str:
        """Name the chat frame of a model of the run: what training makes is aligned."""
        return self.aligned_frame


class Model(TrainedModel):
    """The model, and what computes it."""

    base_frame: FrameName = Field("chatml", description="chat frame of the base model, plain if it has none")
    engine: EngineName = Field("transformers", description="what computes: a library in this process, or servers")
    inference_dtype: Format = Field("float32", description="number format of inference; servers: what they were started with")
    numerics: Literal["plain", "exact"] = Field(
        "plain",
        description="exact: tokens, scores and vectors are those of exact arithmetic anywhere (transformers, float32)",
    )
    context_tokens: int = Field(0, description="prompt and new tokens together at most, 0 is the model's own limit", ge=0)
    batch_tokens: int = execution(0, "transformers: tokens read in one forward pass, 0 suits the device", ge=0)
    cache_tokens: Positive = execution(49152, "transformers: tokens held for sequences generated together")
    tensor_parallel: Positive = execution(1, "vllm: GPUs that share the model")
    gpu_memory: float = execution(0.85, "vllm: share of the GPU's memory to use", gt=0.0, le=1.0)
    base_urls: Urls = execution([], "server: addresses of OpenAI-compatible servers, like http://127.0.0.1:8000/v1")
    served_model: str = Field("", description="server: the base model's name there, empty is base_model")
    concurrency: Positive = execution(32, "server: requests in flight at each address")
    request_seconds: Positive = execution(600, "server: longest time for one answer")
    timeout_seconds: Positive = execution(120, "server: longest time without any server before the stage stops")

    def frame_of(self, model_iteration: int) -> str:
        """Name the chat frame of the model of an iteration, 0 being the base model."""
        return self.aligned_frame if model_iteration else self.base_frame

    def conflicts(self) -> list[str]:
        """Name values that contradict one another."""
        problems = super().conflicts()
        if self.engine == "server" and not self.base_urls:
            problems.append("base_urls: the engine server needs at least one address, like http://127.0.0.1:8000/v1")
        if self.numerics == "exact" and (self.engine, self.inference_dtype) != ("transformers", "float32"):
            problems.append(
                f"numerics: exact answers come from the engine transformers in float32, not from {self.engine} in "
                f"{self.inference_dtype}; set numerics to plain, or these two"
            )
        return problems


class PromptedModel(Model):
    """The model, and what it is asked with."""

    prompts: Annotated[str, Field(min_length=1)] = routing(
        "auto", "prompts that ask it: en, zh, a folder of one's own, or auto, which follows synthesize.language"
    )
