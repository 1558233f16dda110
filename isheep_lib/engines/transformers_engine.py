"""The transformers engine: any causal language model, on the first GPU or the CPU.

Covers batched generation with a seed for each row, and log-probabilities in bounded memory.
Same request, same seed, same text whatever shares the batch: exact for float32 up to ties of the last bits.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from isheep_lib.engines import Completion, Request
from isheep_lib.engines.decoding import ATTENTION, decode, pick
from isheep_lib.errors import DataError, ModelError
from isheep_lib.models import ModelRef

TAIL = 16  # last tokens searched for a stop text
LOGIT_POSITIONS = 1024  # positions whose vocabulary logits are held at once


def encode(tokenizer: Any, text: str) -> list[int]:
    """Turn framed text into tokens, adding the tokenizer's own opening tokens only where the text lacks them."""
    opened = bool(tokenizer.bos_token) and text.startswith(tokenizer.bos_token)
    return tokenizer(text, add_special_tokens=not opened)["input_ids"]


def encode_rest(tokenizer: Any, text: str) -> list[int]:
    """Turn text that continues a context into tokens."""
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def load_model(model: ModelRef, dtype: str) -> tuple[Any, Any]:
    """Load model and tokenizer, the adapter merged in; safetensors only, no code from the model's folder."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = AutoTokenizer.from_pretrained(model.path, padding_side="left", trust_remote_code=False)
    wanted = getattr(torch, dtype)
    loaded = AutoModelForCausalLM.from_pretrained(
        model.path, dtype=torch.float32 if model.adapter else wanted, use_safetensors=True, trust_remote_code=False
    )
    if loaded.config._attn_implementation == "sdpa":
        loaded.set_attn_implementation(ATTENTION)
    if model.adapter is not None:
        from peft import PeftModel

        if not (model.adapter / "adapter_model.safetensors").is_file():
            raise ModelError(
                "The adapter's weights are not here; a committed record keeps only their digest",
                where=str(model.adapter),
                do="train that iteration again, or start a run of your own (-p run NAME)",
            )
        loaded = PeftModel.from_pretrained(loaded, model.adapter).merge_and_unload(safe_merge=True)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return loaded.to(device, wanted).eval(), tokenizer  # merged in float32 first: small deltas drown in bfloat16


class TransformersEngine:
    """One model in memory; see the protocol `isheep_lib.engines.Engine`."""

    def __init__(self, model: ModelRef, dtype: str, batch_size: int, batch_tokens: int) -> None:
        """Load the model.

        Args:
            model: base and adapter.
            dtype: "float32" or "bfloat16".
            batch_size: sequences generated together.
            batch_tokens: tokens, padding included, scored together.
        """
        self.model, self.tokenizer = load_model(model, dtype)
        self.batch_size, self.batch_tokens = batch_size, batch_tokens
        self.context = AutoConfig.from_pretrained(model.path).get_text_config().max_position_embeddings
        self.ends = self._end_tokens()

    def _end_tokens(self) -> list[int]:
        configured = self.model.generation_config.eos_token_id
        ends = configured if isinstance(configured, list) else [configured]
        return [token for token in {*ends, self.tokenizer.eos_token_id} if token is not None]

    def batches(self, requests: list[Request]) -> list[list[Request]]:
        """Group requests by sampling, then by length, at most `batch_size` together.

        Raises:
            DataError: a prompt and its continuation do not fit the model's context; all such ids are listed.
        """
        lengths = {r.id: len(encode(self.tokenizer, r.prompt)) for r in requests}
        long = [
            f"{r.id}: {lengths[r.id]} + {r.max_new_tokens}" for r in requests if lengths[r.id] + r.max_new_tokens > self.context
        ]
        if long:
            raise DataError(
                f"{len(long)} prompt(s) are too long:\n  " + "\n  ".join(long[:20]),
                allowed=f"prompt and new tokens together at most {self.context}, the model's context",
                do="shorten these tasks, or lower the tokens parameter of the stage",
            )
        groups: dict[tuple, list[Request]] = {}
        for request in requests:
            key = (request.max_new_tokens, request.temperature, request.top_p, request.stop)
            groups.setdefault(key, []).append(request)
        found = []
        for group in groups.values():
            group.sort(key=lambda r: (lengths[r.id], r.id))
            found += [group[i : i + self.batch_size] for i in range(0, len(group), self.batch_size)]
        return found

    def generate(self, batch: list[Request], tick: Callable[[float], None] = lambda share: None) -> list[Completion]:
        """Continue the prompts of one batch, all with the same sampling settings."""
        first = batch[0]
        special = {stop: self._special_token(stop) for stop in first.stop}
        texts = [stop for stop, token in special.items() if token is None]
        ends = {*self.ends, *(token for token in special.values() if token is not None)}
        draws = torch.tensor(np.stack([np.random.default_rng(r.seed).random(r.max_new_tokens) for r in batch]))

        def choose(scores: torch.Tensor, rows: list[int], step: int) -> torch.Tensor:
            return pick(scores, draws[rows, step], first.temperature, first.top_p)

        def ended(row: int, new: list[int]) -> bool:
            return new[-1] in ends or (bool(texts) and any(stop in self.tokenizer.decode(new[-TAIL:]) for stop in texts))

        tokens, mask = self._pad_left([encode(self.tokenizer, r.prompt) for r in batch])
        new = decode(self.model, tokens, mask, choose, ended, first.max_new_tokens, tick)
        return [self._completion(r, row, ends) for r, row in zip(batch, new, strict=True)]

    def _special_token(self, text: str) -> int | None:
        token = self.tokenizer.convert_tokens_to_ids(text)
        return token if text in self.tokenizer.all_special_tokens or text in self.tokenizer.get_added_vocab() else None

    def _completion(self, request: Request, new: list[int], ends: set[int]) -> Completion:
        finish = "end" if new[-1] in ends else "length"
        text = self.tokenizer.decode(new[:-1] if finish == "end" else new, skip_special_tokens=True)
        cut = min((text.find(stop) for stop in request.stop if stop in text), default=-1)
        return Completion(request.id, text if cut < 0 else text[:cut], finish if cut < 0 else "stop", len(new))

    def _pad_left(self, rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        width = max(len(row) for row in rows)
        pad = self.tokenizer.pad_token_id
        tokens = torch.tensor([[pad] * (width - len(row)) + row for row in rows], device=self.model.device)
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=self.model.device)
        return tokens, mask

    def logprobs(self, pairs: list[tuple[str, str]]) -> list[tuple[float, int]]:
        """Score continuations; see the protocol."""
        # Without any context the first token would have nothing to be predicted from.
        nothing = [self.tokenizer.bos_token_id if self.tokenizer.bos_token_id is not None else self.ends[0]]
        encoded = [(encode(self.tokenizer, a) or nothing, encode_rest(self.tokenizer, b)) for a, b in pairs]
        order = sorted(range(len(pairs)), key=lambda i: (len(encoded[i][0]) + len(encoded[i][1]), i))
        results: list[tuple[float, int]] = [(0.0, 0)] * len(pairs)
        for group in self._score_groups(encoded, order):
            for i, value in zip(group, self._score([encoded[i] for i in group]), strict=True):
                results[i] = value
        return results

    def _score_groups(self, encoded: list[tuple[list[int], list[int]]], order: list[int]) -> list[list[int]]:
        groups: list[list[int]] = []
        width = rest = 0
        for i in order:
            length, tail = len(encoded[i][0]) + len(encoded[i][1]), len(encoded[i][1]) + 1
            size = len(groups[-1]) + 1 if groups else 1
            wide, far = max(width, length), max(rest, tail)
            if not groups or wide * size > self.batch_tokens or far * size > LOGIT_POSITIONS:
                groups.append([])
                wide, far = length, tail
            groups[-1].append(i)
            width, rest = wide, far
        return groups

    @torch.inference_mode()
    def _score(self, rows: list[tuple[list[int], list[int]]]) -> list[tuple[float, int]]:
        tokens, mask = self._pad_left([context + rest for context, rest in rows])
        keep = max(len(rest) for _, rest in rows) + 1
        logits = self._forward(tokens, mask, keep)
        values = []
        for row, (_, rest) in zip(logits, rows, strict=True):
            if not rest:
                values.append((0.0, 0))
                continue
            scores = torch.log_softmax(row[-len(rest) - 1 : -1].float(), dim=-1)
            target = torch.tensor(rest, device=scores.device)[:, None]
            values.append((round(scores.gather(1, target).sum().item(), 4), len(rest)))
        return values

    def _forward(self, tokens: torch.Tensor, mask: torch.Tensor, keep: int) -> torch.Tensor:
        """Return the logits of the last `keep` positions, shape rows x keep x vocabulary."""
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        return self.model(
            input_ids=tokens, attention_mask=mask, position_ids=positions, logits_to_keep=keep, use_cache=False
        ).logits

    def choices(self, prompts: list[str], labels: list[str]) -> list[list[float]]:
        """Score labels in one forward pass a prompt where longer labels share one stem ("10" begins like "1").

        A label's probability excludes that of longer labels which begin with it.
        """
        paths = [tuple(encode_rest(self.tokenizer, label)) for label in labels]
        stem = max((path[:-1] for path in paths), key=len)
        if any(path[:-1] != stem[: len(path) - 1] for path in paths):
            raise ModelError(f"The labels {labels} share no stem in this model's tokens", do="use the scorer text")
        encoded = [encode(self.tokenizer, prompt) for prompt in prompts]
        order = sorted(range(len(prompts)), key=lambda i: (len(encoded[i]), i))
        results: list[list[float]] = [[]] * len(prompts)
        rows = [(encoded[i], list(stem)) for i in range(len(prompts))]
        for group in self._score_groups(rows, order):
            for i, values in zip(group, self._choose([encoded[i] for i in group], stem, paths), strict=True):
                results[i] = values
        return results

    @torch.inference_mode()
    def _choose(self, prompts: list[list[int]], stem: tuple[int, ...], paths: list[tuple[int, ...]]) -> list[list[float]]:
        tokens, mask = self._pad_left([prompt + list(stem) for prompt in prompts])
        scores = torch.log_softmax(self._forward(tokens, mask, len(stem) + 1).double(), dim=-1)
        whole = torch.stack([sum(scores[:, depth, token] for depth, token in enumerate(path)) for path in paths], dim=1).exp()
        own = whole.clone()
        for i, path in enumerate(paths):
            # Only direct extensions count: a still longer label is inside the one it extends.
            longer = [j for j, other in enumerate(paths) if other[: len(path)] == path and len(other) == len(path) + 1]
            own[:, i] -= whole[:, longer].sum(dim=1)
        return [[round(v, 6) for v in row] for row in own.clamp(min=1e-30).log().tolist()]
