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
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.modeling_outputs import BaseModelOutputWithPast

from isheep_lib.engines import Completion, Request, quiet
from isheep_lib.engines.decoding import ATTENTION, decode, pick
from isheep_lib.engines.prefill import Reader, clusters
from isheep_lib.engines.room import check_room, free_memory, weight_bytes
from isheep_lib.engines.tokens import label_paths, load_vocabulary
from isheep_lib.models import ModelRef, check_adapters
from isheep_lib.provenance import versions

TAIL = 16  # last tokens searched for a stop text
# Tokens of one forward pass: beyond these a CPU's caches overflow (4096 took 1.5 times as long), while a GPU wants more.
BATCH_TOKENS = {"cpu": 1024, "cuda": 16384, "mps": 4096}
LOGIT_POSITIONS = 512  # positions whose vocabulary logits are held at once


def device() -> str:
    """Name the device that models run on here."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def preflight(model: ModelRef, settings: Any) -> None:
    """Refuse adapters of another base, and weights that do not fit the memory; see `engines.preflight`."""
    check_adapters(model)
    check_room(weight_bytes(model.path, settings.inference_dtype), free_memory(device()), settings.inference_dtype, device())


def load_model(model: ModelRef, dtype: str, place: str = "") -> tuple[Any, Any]:
    """Load model and tokenizer, the adapters merged in; safetensors only, no code from the model's folder.

    Args:
        model: base and adapters.
        dtype: number format.
        place: torch's name of a device, the best one here by default.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()
    check_adapters(model)
    tokenizer = AutoTokenizer.from_pretrained(model.path, padding_side="left", trust_remote_code=False)
    wanted = getattr(torch, dtype)
    loaded = AutoModelForCausalLM.from_pretrained(
        model.path, dtype=torch.float32 if model.adapters else wanted, use_safetensors=True, trust_remote_code=False
    )
    if loaded.config._attn_implementation == "sdpa":
        loaded.set_attn_implementation(ATTENTION)
    for adapter in model.adapters:
        from peft import PeftModel

        loaded = PeftModel.from_pretrained(loaded, adapter).merge_and_unload(safe_merge=True)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return loaded.to(place or device(), wanted).eval(), tokenizer  # merged in float32 first: small deltas drown in bfloat16


class TransformersEngine:
    """One model in memory; see the protocol `isheep_lib.engines.Engine`."""

    def __init__(self, model: ModelRef, dtype: str, batch_tokens: int, cache_tokens: int, context_tokens: int = 0) -> None:
        """Load the model.

        Args:
            model: base and adapters.
            dtype: "float32" or "bfloat16".
            batch_tokens: tokens, padding included, read in one forward pass; 0 suits the device.
            cache_tokens: tokens, padding and new ones included, of sequences generated together.
            context_tokens: prompt and new tokens together at most; 0 is the model's own limit.
        """
        self.vocabulary = load_vocabulary(model, context_tokens)
        self.model, self.tokenizer = load_model(model, dtype)
        self.dtype, self.cache_tokens = dtype, cache_tokens
        self.batch_tokens = batch_tokens or BATCH_TOKENS[device()]
        self._reader = Reader(self.model, self.tokenizer.pad_token_id, self.batch_tokens)

    def facts(self) -> dict[str, Any]:
        """Say what computes; see the protocol."""
        return {
            "engine": "transformers",
            "version": versions()["transformers"],
            "dtype": self.dtype,
            "device": torch.cuda.get_device_name(0) if device() == "cuda" else device(),
        }

    def close(self) -> None:
        """Give the memory back."""
        self.model = self._reader = None
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

        def choose(scores: torch.Tensor, rows: list[int], step: int) -> torch.Tensor:
            return pick(scores, draws[rows, step], first.temperature, first.top_p)

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
        order = sorted(range(len(rows)), key=lambda i: (len(rows[i]), i))
        results: list[tuple[float, int]] = [(0.0, 0)] * len(rows)
        for group in _within([[i] for i in order], lambda i: len(rows[i]), self.batch_tokens):
            starts = [len(encoded[i][0]) for i in group]
            for i, value in zip(group, self._score([rows[i] for i in group], starts), strict=True):
                results[i] = (round(value, 4), len(encoded[i][1]))
        return results

    def _score(self, rows: list[list[int]], starts: list[int]) -> list[float]:
        """Add up log p of each row's tokens from its start, with logits of few positions at a time."""
        hidden, _ = self._hidden(rows)
        places = [(r, at) for r, start in enumerate(starts) for at in range(start, len(rows[r]))]
        sums = [0.0] * len(rows)
        for first in range(0, len(places), LOGIT_POSITIONS):
            part = places[first : first + LOGIT_POSITIONS]
            index = torch.tensor([(r, at - 1) for r, at in part], device=hidden.device)
            target = torch.tensor([rows[r][at] for r, at in part], device=hidden.device)
            logits = self._head(hidden[index[:, 0], index[:, 1]]).float()
            chosen = logits.gather(1, target[:, None])[:, 0] - logits.logsumexp(-1)
            for (r, _), value in zip(part, chosen.tolist(), strict=True):
                sums[r] += value
        return sums

    def _hidden(self, rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the final layer's vectors, rows x width x size, and a mask of the same rows and width.

        Padding stands on the right, where no token of the text can see it; so no mask slows attention down.
        """
        width, pad = max(len(row) for row in rows), self.tokenizer.pad_token_id
        tokens = torch.tensor([row + [pad] * (width - len(row)) for row in rows], device=self.model.device)
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=self.model.device)
        return self.model.base_model(input_ids=tokens, use_cache=False).last_hidden_state, mask

    def _head(self, hidden: torch.Tensor) -> torch.Tensor:
        """Turn vectors, places x size, into logits by the model's own code, which may scale or cap them."""
        head = copy.copy(self.model)
        head._modules = {**self.model._modules, self.model.base_model_prefix: _Given(hidden[None])}
        return head(input_ids=None, use_cache=False).logits[0]

    def choices(self, prompts: list[str], labels: list[str]) -> list[list[float]]:
        """Score labels in one forward pass a prompt; see the protocol and `tokens.Labels`."""
        known = label_paths(self.tokenizer, labels)
        rows = [self.vocabulary.encode(prompt) + list(known.stem) for prompt in prompts]
        self.vocabulary.check_texts(rows)
        results: list[list[float]] = [[]] * len(rows)
        for group in _within(clusters(rows), lambda i: len(rows[i]), self.batch_tokens):
            scores = self._last_logs([rows[i] for i in group], len(known.stem) + 1)
            logs = np.zeros((len(group), len(labels), len(known.stem) + 1))
            for number, path in enumerate(known.paths):
                for depth, token in enumerate(path):
                    logs[:, number, depth] = scores[:, depth, token].double().cpu().numpy()
            for i, values in zip(group, known.log_probabilities(logs), strict=True):
                results[i] = values
        return results

    @torch.inference_mode()
    def _last_logs(self, rows: list[list[int]], keep: int) -> torch.Tensor:
        logits, _ = self._reader.read(rows, [keep] * len(rows), keep, use_cache=False)
        return torch.log_softmax(logits.float(), dim=-1)

    @torch.inference_mode()
    def embed(self, texts: list[str]) -> np.ndarray:
        """Return vectors; see the protocol."""
        rows = [self.vocabulary.encode_pair((text, ""))[0] for text in texts]
        self.vocabulary.check_texts(rows)
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

    def forward(self, **_: Any) -> BaseModelOutputWithPast:
        """Return the vectors."""
        return BaseModelOutputWithPast(last_hidden_state=self.hidden)


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
