"""The transformers engine: any causal language model, on the first GPU (CUDA or MPS) or the CPU.

Covers batched generation with a seed for each row, log-probabilities in bounded memory, vectors.
Same request, same seed, same text whatever shares the batch: in float32 exact up to ties of the last bits. In bfloat16
a row's last bits depend on the rows beside it; what holds there is that the same batch gives the same bytes on the same
machine, and batches are composed of all requests, so a resumed stage computes the same ones.
"""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast

from isheep_lib.engines.batching.decoding import decode
from isheep_lib.engines.batching.prefix_cache import Reader, clusters, is_recurrent
from isheep_lib.engines.exact.arbiter import Arbiter
from isheep_lib.engines.exact.decisions import decide
from isheep_lib.engines.exact.double import DoubleModel
from isheep_lib.engines.params import Model
from isheep_lib.engines.protocol import Completion, Request, quiet
from isheep_lib.engines.tokens import label_paths, load_vocabulary
from isheep_lib.models.base import ModelRef, check_adapters
from isheep_lib.models.load import device, load_model
from isheep_lib.models.memory import check_room, free_memory, weight_bytes
from isheep_lib.record.provenance import versions

TAIL = 16  # last tokens searched for a stop text
# Tokens of one forward pass: beyond these a CPU's caches overflow (4096 took 1.5 times as long), while a GPU wants more.
BATCH_TOKENS = {"cpu": 1024, "cuda": 16384, "mps": 4096}
LOGIT_POSITIONS = 512  # positions whose vocabulary logits are held at once


def preflight(model: ModelRef, settings: Model) -> None:
    """Refuse adapters of another base, and weights that do not fit the memory; see `engines.preflight`."""
    check_adapters(model)
    check_room(weight_bytes(model.path, settings.inference_dtype), free_memory(device()), settings.inference_dtype, device())


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
        self.cache_tokens, self.shared_tokens = (0, 0) if alone else (settings.cache_tokens, self.batch_tokens)
        self._reader: Reader = Reader(self.model, self.pad, self.batch_tokens)
        self._vectors: Reader = Reader(_Vectors(self.model), self.pad, self.batch_tokens)
        self._exact_output: dict[str, torch.nn.Module] | None = None
        self.arbiter: Arbiter | None = None
        if settings.numerics == "exact":
            self.arbiter = Arbiter(DoubleModel(model), self._logits_of, self.vocabulary.encode)

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
        self.model = self._reader = self._vectors = self._exact_output = self.arbiter = None
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
            for group in _within(clusters(rows), lambda i, rows=rows, limit=limit: len(rows[i]) + limit, self.cache_tokens):
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
        logits, past = self._reader.read(rows, [1] * len(rows), keep=1)
        new = decode(
            self.model, logits[:, -1], past, choose, ended, first.max_new_tokens, lambda share: tick(share * len(batch))
        )
        return [self.vocabulary.completion(r, row) for r, row in zip(batch, new, strict=True)]

    @torch.inference_mode()
    def logprobs(self, pairs: list[tuple[str, str]]) -> list[tuple[float, int]]:
        """Score continuations; see the protocol."""
        encoded = [self.vocabulary.encode_pair(pair) for pair in pairs]
        rows = [context + rest for context, rest in encoded]
        self.vocabulary.check_texts(rows)
        starts = [len(context) for context, _ in encoded]
        sharing: dict[tuple[int, ...], list[int]] = {}
        for i in sorted(range(len(rows)), key=lambda i: (len(rows[i]), i)):
            sharing.setdefault(tuple(encoded[i][0]), []).append(i)
        units = sharing.values() if self.shared_tokens else [[i] for unit in sharing.values() for i in unit]
        alone = [unit for unit in units if len(unit) == 1]
        shared = [unit for unit in units if len(unit) > 1]  # the choices of one question
        results: list[tuple[float, int]] = [(0.0, 0)] * len(rows)
        for units, find in ((alone, self._vectors_of), (shared, self._shared_vectors_of)):
            for group in _within(units, lambda i: len(rows[i]), self.batch_tokens):
                values = self._score(*find([rows[i] for i in group], [starts[i] for i in group]))
                for i, value in zip(group, values, strict=True):
                    results[i] = (round(value, 4), len(encoded[i][1]))
        return results

    @torch.inference_mode()
    def forced(self, rows: list[list[int]], starts: list[int]) -> Iterator[tuple[int, int, torch.Tensor]]:
        """Read rows of tokens and yield the logits that predict each from its start on, in parts of bounded memory.

        Yields:
            Number of the row, place after its start of the first token predicted, logits of shape places x vocabulary.
        """
        units = clusters(rows) if self.shared_tokens else [[i] for i in range(len(rows))]
        find = self._shared_vectors_of if self.shared_tokens else self._vectors_of
        for group in _within(units, lambda i: len(rows[i]), self.batch_tokens):
            vectors, _ = find([rows[i] for i in group], [starts[i] for i in group])
            for i, own in zip(group, vectors, strict=True):
                for first in range(0, len(own), LOGIT_POSITIONS):
                    yield i, first, self._head(own[first : first + LOGIT_POSITIONS])

    def _vectors_of(self, rows: list[list[int]], starts: list[int]) -> tuple[list[torch.Tensor], list[list[int]]]:
        """Return the vectors that predict each row's tokens from its start, and these tokens."""
        hidden, _ = self._hidden(rows)
        ends = [row[start:] for row, start in zip(rows, starts, strict=True)]
        return [
            hidden[i, start - 1 : start - 1 + len(end)] for i, (start, end) in enumerate(zip(starts, ends, strict=True))
        ], ends

    def _shared_vectors_of(self, rows: list[list[int]], starts: list[int]) -> tuple[list[torch.Tensor], list[list[int]]]:
        """Do the same for rows that begin alike, reading what they share once."""
        ends = [row[start:] for row, start in zip(rows, starts, strict=True)]
        hidden, _ = self._vectors.read(rows, [len(end) + 1 for end in ends], max(map(len, ends)) + 1, use_cache=False)
        return [hidden[i, hidden.shape[1] - 1 - len(end) : -1] for i, end in enumerate(ends)], ends

    def _score(self, vectors: list[torch.Tensor], ends: list[list[int]]) -> list[float]:
        """Add up log p of tokens given the vectors that predict them, with logits of few positions at a time."""
        owners = [i for i, end in enumerate(ends) for _ in end]
        if not owners:
            return [0.0] * len(ends)
        every, targets = torch.cat(vectors), torch.tensor([token for end in ends for token in end], device=vectors[0].device)
        sums = [0.0] * len(ends)
        for first in range(0, len(owners), LOGIT_POSITIONS):
            part = slice(first, first + LOGIT_POSITIONS)
            logits = self._head(every[part])
            chosen = logits.gather(1, targets[part, None])[:, 0] - logits.logsumexp(-1)
            for owner, value in zip(owners[part], chosen.tolist(), strict=True):
                sums[owner] += value
        return sums

    def _hidden(self, rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the final layer's vectors, rows x width x size, and a mask of the same rows and width.

        Padding stands on the right, where no token of the text can see it; so no mask slows attention down.
        """
        width = max(len(row) for row in rows)
        tokens = torch.tensor([row + [self.pad] * (width - len(row)) for row in rows], device=self.model.device)
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=self.model.device)
        return self.model.base_model(input_ids=tokens, use_cache=False).last_hidden_state, mask

    def _head(self, hidden: torch.Tensor) -> torch.Tensor:
        """Turn vectors, places x size, into float32 logits by the model's own code, which may scale or cap them.

        In bfloat16 two logits near 20 differ by an eighth or not at all, which is most of what tells "A" from "B".
        """
        if self._exact_output is None:
            last = self.model.get_output_embeddings()
            names = [name for name, module in self.model._modules.items() if module is last and self.dtype != "float32"]
            self._exact_output = {name: copy.deepcopy(last).float() for name in names}
        given = hidden.float() if self._exact_output else hidden
        head = copy.copy(self.model)
        head._modules = {**self.model._modules, **self._exact_output, self.model.base_model_prefix: _Given(given[None])}
        return head(input_ids=None, use_cache=False).logits[0].float()

    def choices(self, prompts: list[str], labels: list[str]) -> list[list[float]]:
        """Score labels in one forward pass a prompt; see the protocol and `tokens.Labels`."""
        tree = label_paths(self.tokenizer, labels)
        rows = [self.vocabulary.encode(prompt) + list(tree.stem) for prompt in prompts]
        self.vocabulary.check_texts(rows)
        known: dict[tuple[int, int, int], float] = {}
        for group in _within(clusters(rows), lambda i: len(rows[i]), self.shared_tokens):
            scores = self._last_logs([rows[i] for i in group], len(tree.stem) + 1)
            for depth, tokens in enumerate(tree.wanted):
                for i, values in zip(group, scores[:, depth, tokens].tolist(), strict=True):
                    known |= {(i, depth, token): value for token, value in zip(tokens, values, strict=True)}
        return tree.log_probabilities(known, len(rows))

    @torch.inference_mode()
    def _last_logs(self, rows: list[list[int]], keep: int) -> torch.Tensor:
        logits, _ = self._reader.read(rows, [keep] * len(rows), keep, use_cache=False)
        return torch.log_softmax(logits.float(), dim=-1)

    @torch.inference_mode()
    def embed(self, texts: list[str]) -> np.ndarray:
        """Return vectors; see the protocol."""
        rows = [self.vocabulary.encode_start(text) for text in texts]
        order = sorted(range(len(rows)), key=lambda i: (len(rows[i]), i))
        vectors = np.zeros((len(rows), self.model.config.get_text_config().hidden_size), dtype=np.float32)
        for group in _within([[i] for i in order], lambda i: len(rows[i]), self.batch_tokens):
            hidden, mask = self._hidden([rows[i] for i in group])
            vectors[group] = ((hidden.float() * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)).cpu().numpy()
        return vectors


class _Given(torch.nn.Module):
    """Stands where a model's layers stand and returns vectors that they have made."""

    def __init__(self, hidden: torch.Tensor) -> None:
        super().__init__()
        self.hidden = hidden

    @property
    def decoder(self) -> "_Given":
        """Itself: OPT's head asks the part of its layers that writes."""
        return self

    def forward(self, *_: Any, **__: Any) -> BaseModelOutputWithPast:
        """Return the vectors."""
        return _Hidden(last_hidden_state=self.hidden)  # ty: ignore[invalid-argument-type] - any tensor will do


class _Hidden(BaseModelOutputWithPast):
    """What layers return; whatever else a head may look for, such as a recurrent cache, is None."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("_"):
            raise AttributeError(name)


class _Vectors:
    """A model's layers without its head, in the form that a reader asks."""

    def __init__(self, model: Any) -> None:
        self._layers, self.config, self.device = model.base_model, model.config, model.device
        self.forward = model.base_model.forward  # what it takes

    def __call__(self, *, logits_to_keep: int = 0, **asked: Any) -> CausalLMOutputWithPast:
        """Return the last positions' vectors where logits would stand."""
        return CausalLMOutputWithPast(logits=self._layers(**asked).last_hidden_state[:, -logits_to_keep:])


def _within(units: list[list[int]], cost: Callable[[int], int], limit: int) -> list[list[int]]:
    """Pack units into groups whose rows, each at the cost of the dearest, stay within a limit; a unit is cut if it must."""
    groups: list[list[int]] = []
    dearest = 0
    for unit in units:
        for part in _cut(unit, cost, limit):
            here = max(dearest, *(cost(i) for i in part))
            if not groups or here * (len(groups[-1]) + len(part)) > limit:
                groups.append([])
                here = max(cost(i) for i in part)
            groups[-1] += part
            dearest = here
    return groups


def _cut(unit: list[int], cost: Callable[[int], int], limit: int) -> list[list[int]]:
    size = max(1, limit // max(cost(i) for i in unit))
    return [unit[i : i + size] for i in range(0, len(unit), size)]
