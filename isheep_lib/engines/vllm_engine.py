"""The vLLM engine: in this process, on GPUs, or on a CPU for tests.

Covers starting vLLM, generation, scores and vectors. Does not cover `vllm serve` (`server_engine`).
One request, one seed, one text: exact in float32 up to ties of the last bits, as batches differ from session to session.
vLLM seeds the random generators of this process and binds its threads on a CPU; nothing here relies on either.
"""

import gc
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from isheep_lib.engines.params import Model
from isheep_lib.engines.protocol import Completion, Request, quiet
from isheep_lib.engines.tokens import label_paths, load_vocabulary
from isheep_lib.engines.vllm_setup import gpu_bytes, preflight, prepare
from isheep_lib.errors import EngineError
from isheep_lib.models.base import ModelRef
from isheep_lib.models.merged import merged_folder
from isheep_lib.record.provenance import versions

READ_TOKENS = 2048  # tokens of one step: bounds the vocabulary logits that prompt log-probabilities need
SLICE_TOKENS = 65536  # prompt tokens whose results are held at once
REPORT_TOKENS = 16  # new tokens between two reports on a running request
PAUSE_SECONDS = 1.0  # between two groups of completions
HOTTEST = 2.0  # vLLM refuses higher temperatures


class VllmEngine:
    """One model at a time in vLLM, loaded at its first use; see the protocol `isheep_lib.engines.protocol.Engine`."""

    def __init__(self, model: ModelRef, settings: Model) -> None:
        """Prepare vLLM for `inference_dtype`; weights are loaded when the first request comes.

        Raises:
            EngineError: vLLM is not installed, or memory is too small.
            ModelError: an adapter is not at hand, or belongs to another base.
        """
        preflight(model, settings)
        self.model, self.settings = model, settings
        self.vocabulary = load_vocabulary(model, settings.context_tokens)
        self.tokenizer, self.context = self.vocabulary.tokenizer, self.vocabulary.context
        self.on_gpu = bool(gpu_bytes())
        prepare(self.on_gpu, settings.tensor_parallel)
        self._folder = merged_folder(model)
        self._llm: Any = None
        self._runner = ""

    def _open(self, runner: str) -> Any:
        """Return vLLM as a "generate" or a "pooling" engine; the other one is closed first."""
        if self._runner != runner:
            self.close()
            try:
                with warnings.catch_warnings():  # vLLM looks through all of torch, and meets what torch will drop
                    warnings.simplefilter("ignore", FutureWarning)
                    self._llm, self._runner = self._start(runner), runner
            except (ValueError, RuntimeError) as error:
                raise EngineError(
                    f"vLLM did not start: {error}",
                    where=self.model.name,
                    do="read vLLM's own lines above; change context_tokens, gpu_memory or tensor_parallel",
                ) from error
        return self._llm

    def _start(self, runner: str) -> Any:
        from vllm import LLM
        from vllm.config import PoolerConfig

        options = {
            "model": str(self._folder),
            "load_format": "safetensors",
            "dtype": self.settings.inference_dtype,
            "tensor_parallel_size": self.settings.tensor_parallel,
            "gpu_memory_utilization": self.settings.gpu_memory,
            "max_model_len": self.vocabulary.context,
            "max_num_batched_tokens": READ_TOKENS,
            "generation_config": "vllm",  # nothing applies that a request does not say
            "enforce_eager": not self.on_gpu,  # on a CPU it starts in seconds instead of minutes
            "use_tqdm_on_load": False,
        }
        if not self.on_gpu:
            # There a seeded request fails whose prompt is read in two steps: a CPU's generator cannot be set back.
            options |= {"enable_chunked_prefill": False, "max_num_batched_tokens": max(READ_TOKENS, self.vocabulary.context)}
        if runner == "generate":
            return LLM(**options, enable_prefix_caching=True)
        # A mean needs the whole text in one step.
        options["max_num_batched_tokens"] = max(READ_TOKENS, self.vocabulary.context)
        mean = PoolerConfig(seq_pooling_type="MEAN", use_activation=False)
        return LLM(**options, runner="pooling", convert="embed", pooler_config=mean)

    def facts(self) -> dict[str, Any]:
        """Say what computes; see the protocol."""
        from vllm.platforms import current_platform

        return {
            "engine": "vllm",
            "version": versions()["vllm"],
            "dtype": self.settings.inference_dtype,
            "device": current_platform.get_device_name(),
            "tensor_parallel": self.settings.tensor_parallel,
            "adapters": "merged" if self.model.adapters else "none",
        }

    def batches(self, requests: list[Request]) -> list[list[Request]]:
        """Take every request by itself, prompts with the same beginning side by side; see the protocol."""
        hot = [r.id for r in requests if r.temperature > HOTTEST]
        if hot:
            raise EngineError(f"vLLM samples at temperatures up to {HOTTEST:.0f}", where=hot[0], do="lower the temperature")
        encoded = {r.id: self.vocabulary.encode(r.prompt) for r in requests}
        self.vocabulary.check_lengths(requests, {id_: len(tokens) for id_, tokens in encoded.items()})
        return [[r] for r in sorted(requests, key=lambda r: (encoded[r.id], r.id))]

    def generate(self, batches: list[list[Request]], tick: Callable[[float], None] = quiet) -> Iterator[list[Completion]]:
        """Give vLLM all requests at once and yield what is finished, at most once a second; see the protocol."""
        engine = self._open("generate").llm_engine
        asked = {r.id: r for batch in batches for r in batch}
        running: dict[str, float] = {}  # work done on a request, in requests
        try:
            for request in asked.values():
                prompt = {"prompt_token_ids": self.vocabulary.encode(request.prompt)}
                engine.add_request(request.id, prompt, self._sampling(request))
                running[request.id] = 0.0
            finished: list[Completion] = []
            shown = time.monotonic()
            while engine.has_unfinished_requests():
                for output in engine.step():
                    request, answer = asked[output.request_id], output.outputs[0]
                    running[request.id] = len(answer.token_ids) / request.max_new_tokens
                    if output.finished:
                        del running[request.id]
                        finished.append(self._completion(request, answer))
                if time.monotonic() - shown >= PAUSE_SECONDS:
                    shown = time.monotonic()
                    tick(sum(running.values()) + len(finished))
                    if finished:
                        yield finished
                        finished = []
            if finished:
                yield finished
        finally:
            if running:
                engine.abort_request(list(running))

    def _sampling(self, request: Request) -> Any:
        from vllm import SamplingParams

        ends, stops = self.vocabulary.stops(request)
        return SamplingParams(
            temperature=request.temperature,
            top_p=request.top_p,
            seed=request.seed,
            max_tokens=request.max_new_tokens,
            stop=stops,
            stop_token_ids=list(ends),
            detokenize=bool(stops),
            stream_interval=REPORT_TOKENS,
        )

    def _completion(self, request: Request, answer: Any) -> Completion:
        if answer.finish_reason not in ("stop", "length"):
            raise EngineError(f"vLLM gave up a request: {answer.finish_reason}", where=request.id, do="run the stage again")
        found = self.vocabulary.completion(request, list(answer.token_ids))
        if isinstance(answer.stop_reason, str) and found.finish != "stop":
            # Some tokenizers drop a leading space of a whole text, which vLLM has seen token by token.
            return replace(found, text=answer.text, finish="stop", stopped_by=answer.stop_reason)
        return found

    def logprobs(self, pairs: list[tuple[str, str]]) -> list[tuple[float, int]]:
        """Score continuations, each in one pass over context and continuation; see the protocol."""
        encoded = [self.vocabulary.encode_pair(pair) for pair in pairs]
        rows = {i: context + rest for i, (context, rest) in enumerate(encoded) if rest}
        values = [(0.0, 0)] * len(pairs)
        for i, output in self._ask(rows, lambda i: {"prompt_logprobs": 0, "flat_logprobs": True}):
            context, rest = encoded[i]
            logs = [output.prompt_logprobs[len(context) + j][token].logprob for j, token in enumerate(rest)]
            values[i] = (round(sum(logs), 4), len(rest))
        return values

    def choices(self, prompts: list[str], labels: list[str]) -> list[list[float]]:
        """Score labels by the next token after the prompt and after each part of the labels' stem; see the protocol."""
        tree = label_paths(self.tokenizer, labels)
        tokens = tree.wanted
        encoded = [self.vocabulary.encode(prompt) for prompt in prompts]
        rows = {(i, d): row + list(tree.stem[:d]) for i, row in enumerate(encoded) for d in range(len(tokens))}
        known = {}
        for (i, d), output in self._ask(rows, lambda row: {"logprob_token_ids": tokens[row[1]]}):
            (scores,) = output.outputs[0].logprobs
            known |= {(i, d, token): scores[token].logprob for token in tokens[d]}
        return tree.log_probabilities(known, len(prompts))

    def embed(self, texts: list[str]) -> np.ndarray:
        """Return mean vectors of the final layer; see the protocol. Another engine of vLLM is loaded for it."""
        rows = dict(enumerate(map(self.vocabulary.encode_start, texts)))
        vectors: list[Any] = [None] * len(texts)
        for part in self._slices(rows):
            outputs = self._open("pooling").embed([_prompt(rows[i]) for i in part], use_tqdm=False)
            for i, output in zip(part, outputs, strict=True):
                vectors[i] = np.asarray(output.outputs.embedding, dtype=np.float32)
        return np.stack(vectors)

    def _ask(self, rows: dict[Any, list[int]], options: Callable[[Any], dict[str, Any]]) -> Iterator[tuple[Any, Any]]:
        """Read rows of tokens, each with its own options, and yield vLLM's outputs by key."""
        from vllm import SamplingParams

        for part in self._slices(rows):
            settings = [SamplingParams(temperature=0.0, max_tokens=1, detokenize=False, **options(key)) for key in part]
            prompts = [_prompt(rows[key]) for key in part]
            outputs = self._open("generate").generate(prompts, settings, use_tqdm=False)
            yield from zip(part, outputs, strict=True)

    def _slices(self, rows: dict[Any, list[int]]) -> Iterator[list[Any]]:
        """Divide rows, those with the same beginning side by side, into parts of at most `SLICE_TOKENS`.

        Raises:
            DataError: rows that do not fit the context with the one token that vLLM always adds.
        """
        lengths = {f"text {key}": len(row) for key, row in rows.items()}
        self.vocabulary.check_lengths([Request(name, "", 1) for name in lengths], lengths)
        part: list[Any] = []
        held = 0
        for key in sorted(rows, key=lambda key: (rows[key], key)):
            if part and held + len(rows[key]) > SLICE_TOKENS:
                yield part
                part, held = [], 0
            part.append(key)
            held += len(rows[key])
        if part:
            yield part

    def close(self) -> None:
        """Give back memory and processes."""
        if self._llm is None:
            return
        self._llm.llm_engine.engine_core.shutdown()
        self._llm, self._runner = None, ""
        gc.collect()
        if self.on_gpu:
            import torch

            torch.cuda.empty_cache()


def _prompt(tokens: list[int]) -> dict[str, list[int]]:
    return {"prompt_token_ids": tokens}
