"""The transformers engine: any causal language model, on the first GPU (CUDA or MPS) or the CPU.

Covers batched generation with a seed for each row, log-probabilities in bounded memory, vectors.
Same request, same seed, same text whatever shares the batch: with `numerics: exact` on every machine, and the same scores and
vectors, which are then computed in float64; in plain float32 up to ties of the last bits. In bfloat16 a row's last bits depend
on the rows beside it; what holds there is that the same batch gives the same bytes on the same machine, and batches are
composed of all requests, so a resumed stage computes the same ones.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from isheep_lib.engines.batching.decoding import decode
from isheep_lib.engines.batching.prefix_cache import clusters, is_recurrent
from isheep_lib.engines.batching.scoring import Scoring, within
from isheep_lib.engines.exact.arbiter import Arbiter
from isheep_lib.engines.exact.decisions import decide
from isheep_lib.engines.exact.double import DoubleModel, NothingShorter
from isheep_lib.engines.exact.rounding import ERROR
from isheep_lib.engines.params import Model
from isheep_lib.engines.protocol import Completion, Request, quiet
from isheep_lib.engines.tokens import label_paths, load_vocabulary
from isheep_lib.engines.transcript import Asked, key_of
from isheep_lib.models.base import ModelRef, check_adapters
from isheep_lib.models.load import device, load_model
from isheep_lib.models.memory import EXACT, check_room, free_memory, weight_bytes
from isheep_lib.record.provenance import versions

TAIL = 16  # last tokens searched for a stop text
# Tokens of one forward pass: beyond these a CPU's caches overflow (4096 took 1.5 times as long), while a GPU wants more.
BATCH_TOKENS = {"cpu": 1024, "cuda": 16384, "mps": 4096}


def preflight(model: ModelRef, settings: Model) -> None:
    """Refuse adapters of another base, and weights that do not fit the memory; see `engines.preflight`."""
    check_adapters(model)
    format_ = EXACT if settings.numerics == "exact" else settings.inference_dtype
    check_room(weight_bytes(model.path, format_), free_memory(device()), format_, device())


class TransformersEngine:
    """One model in memory; see the protocol `isheep_lib.engines.protocol.Engine`."""

    def __init__(self, model: ModelRef, settings: Model) -> None:
        """Load the model, base and adapters, in `inference_dtype`."""
        self.vocabulary = load_vocabulary(model, settings.context_tokens)
        self.context = self.vocabulary.context
        self.model: Any
        self.model, self.tokenizer = load_model(model, settings.inference_dtype)
        self.dtype, self.pad = settings.inference_dtype, self.vocabulary.pad
        self.batch_tokens = settings.batch_tokens or BATCH_TOKENS[device()]
        alone = is_recurrent(self.model.config)  # every row by itself
        self.cache_tokens = 0 if alone else settings.cache_tokens
        reading = (self.pad, self.batch_tokens, not alone)
        self._fast: Scoring = Scoring(self.model, *reading)
        self._scoring: Scoring = self._fast
        self.arbiter: Arbiter | None = None
        if settings.numerics == "exact":
            double = DoubleModel(model)
            self.arbiter = Arbiter(double, self._logits_of, self.vocabulary.encode)
            self._scoring = Scoring(double.model, *reading)

    @torch.inference_mode()
    def _logits_of(self, tokens: list[int]) -> torch.Tensor:
        return self.model(input_ids=torch.tensor([tokens], device=self.model.device), use_cache=False).logits[0]

    def facts(self) -> dict[str, Any]:
        """Say what computes; see the protocol."""
        return {
            "engine": "transformers",
            "version": versions()["transformers"],
            "dtype": self.dtype,
            "device": torch.cuda.get_device_name(0) if device() == "cuda" else device(),
            "numerics": self.arbiter.facts() if self.arbiter else "plain",
        }

    def close(self) -> None:
        """Give the memory back."""
        # ty: ignore[invalid-assignment] - nothing is asked of a closed engine
        self.model = self._fast = self._scoring = self.arbiter = None
        if device() == "cuda":
            torch.cuda.empty_cache()

    def batches(self, requests: list[Request]) -> list[list[Request]]:
        """Group requests by sampling, then by what they share and by length, within `cache_tokens`; see the protocol."""
        encoded = {r.id: self.vocabulary.encode(r.prompt) for r in requests}
        self.vocabulary.check_lengths(requests, {id_: len(tokens) for id_, tokens in encoded.items()})
        kinds: dict[tuple, list[Request]] = {}
        for request in sorted(requests, key=lambda r: r.id):
            key = (request.max_new_tokens, request.temperature, request.top_p, request.stop)
            kinds.setdefault(key, []).append(request)
        found: list[list[Request]] = []
        for (limit, *_), kind in kinds.items():
            rows = [encoded[r.id] for r in kind]
            for group in within(clusters(rows), lambda i, rows=rows, limit=limit: len(rows[i]) + limit, self.cache_tokens):
                found.append([kind[i] for i in group])
        return found

    def generate(self, batches: list[list[Request]], tick: Callable[[float], None] = quiet) -> Iterator[list[Completion]]:
        """Continue batch after batch; see the protocol."""
        for batch in batches:
            yield self._generate(batch, tick)

    def _generate(self, batch: list[Request], tick: Callable[[float], None]) -> list[Completion]:
        first = batch[0]  # all of a batch have its sampling settings
        ends, texts = self.vocabulary.stops(first)
        draws = torch.tensor(np.stack([np.random.default_rng(r.seed).random(r.max_new_tokens) for r in batch]))

        def choose(scores: torch.Tensor, asked: list[int], new: list[list[int]]) -> torch.Tensor:
            uniform = draws[asked, [len(new[i]) for i in asked]]
            if self.arbiter is None:
                return decide(scores, uniform, first.temperature, first.top_p).tokens
            so_far = [(batch[i].id, rows[i] + new[i]) for i in asked]
            return self.arbiter.choose(scores, uniform, first.temperature, first.top_p, so_far.__getitem__)

        def ended(row: int, new: list[int]) -> bool:
            return new[-1] in ends or (bool(texts) and any(stop in self.tokenizer.decode(new[-TAIL:]) for stop in texts))

        rows = [self.vocabulary.encode(r.prompt) for r in batch]
        logits, past = self._fast.reader.read(rows, [1] * len(rows), keep=1)
        new = decode(
            self.model, logits[:, -1], past, choose, ended, first.max_new_tokens, lambda share: tick(share * len(batch))
        )
        return [self.vocabulary.completion(r, row) for r, row in zip(batch, new, strict=True)]

    def logprobs(self, pairs: list[tuple[str, str]]) -> list[tuple[float, int]]:
        """Score continuations; see the protocol."""
        encoded = [self.vocabulary.encode_pair(pair) for pair in pairs]
        rows = [context + rest for context, rest in encoded]
        self.vocabulary.check_texts(rows)
        with self._scored():
            sums = self._scoring.sums(rows, [len(context) for context, _ in encoded])
        numbers = [len(rest) for _, rest in encoded]
        found = zip(pairs, sums, numbers, strict=True)
        return [(self._rounded(total, 4, ERROR * max(1, number), pair), number) for pair, total, number in found]

    def choices(self, prompts: list[str], labels: list[str]) -> list[list[float]]:
        """Score labels in one forward pass per prompt; see the protocol and `tokens.Labels`."""
        tree = label_paths(self.tokenizer, labels)
        rows = [self.vocabulary.encode(prompt) + list(tree.stem) for prompt in prompts]
        self.vocabulary.check_texts(rows)
        known: dict[tuple[int, int, int], float] = {}
        with self._scored():
            for group, scores in self._scoring.last_logs(rows, len(tree.stem) + 1):
                for depth, tokens in enumerate(tree.wanted):
                    for i, values in zip(group, scores[:, depth, tokens].tolist(), strict=True):
                        known |= {(i, depth, token): value for token, value in zip(tokens, values, strict=True)}
        logs, lost = tree.combined(known, len(rows))
        return [
            [self._rounded(value, 6, ERROR * grown, (prompt, tuple(labels))) for value, grown in zip(*row, strict=True)]
            for prompt, *row in zip(prompts, logs.tolist(), lost.tolist(), strict=True)
        ]

    def embed(self, texts: list[str]) -> np.ndarray:
        """Return vectors; see the protocol. Exact ones are on the grid of `rounding.coarse`."""
        with self._scored():
            vectors = self._scoring.means([self.vocabulary.encode_start(text) for text in texts]).numpy()
        return self.arbiter.coarse(vectors, texts) if self.arbiter else vectors.astype(np.float32)

    def forced(self, rows: list[list[int]], starts: list[int]) -> Iterator[tuple[int, int, torch.Tensor]]:
        """Read rows of tokens and yield the logits that predict each from its start on; see `Scoring.forced`."""
        return self._fast.forced(rows, starts)

    def _scored(self) -> contextlib.AbstractContextManager:
        """Compute scores in the block: in float64 alone where they are to be exact."""
        return NothingShorter() if self.arbiter else contextlib.nullcontext()

    def _rounded(self, value: float, digits: int, error: float, asked: Asked) -> float:
        if self.arbiter:
            self.arbiter.note(value, digits, error, key_of(asked))
        return round(value, digits)
