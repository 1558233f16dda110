"""What all engines share about tokens: the same text gives the same tokens, ends and labels in every one of them.

Covers encoding, end and stop tokens, the context limit, labels as token paths. Does not cover computing.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from isheep_lib.engines.protocol import Completion, Request
from isheep_lib.errors import DataError, ModelError
from isheep_lib.models.base import ModelRef
from isheep_lib.prompting.chat import get_frame, template_end
from isheep_lib.prompting.special_tokens import encode, encode_rest
from isheep_lib.record.rows import digest_text

# Where configs name the most positions; the first of them that is there.
CONTEXT_NAMES = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length", "seq_length", "n_ctx")
LEAST = 1e-30  # probability of a label; less counts as this
UNLIMITED = 10**9  # tokenizers without a limit name a larger one


@dataclass(frozen=True)
class Vocabulary:
    """A model's tokenizer with its limits."""

    tokenizer: Any  # of the base model, padding on the left
    ends: tuple[int, ...]  # tokens that end every answer
    context: int  # prompt and new tokens together at most
    pad: int = 0  # stands in empty places, where nothing is read: any token that the model has

    def encode(self, text: str) -> list[int]:
        """Turn framed text into tokens; see `special_tokens.encode`."""
        return encode(self.tokenizer, text)

    def encode_pair(self, pair: tuple[str, str]) -> tuple[list[int], list[int]]:
        """Turn context and continuation into tokens; without a context the first token follows an opening or end token."""
        opening = self.tokenizer.bos_token_id if self.tokenizer.bos_token_id is not None else self.ends[0]
        return self.encode(pair[0]) or [opening], encode_rest(self.tokenizer, pair[1])

    def encode_start(self, text: str) -> list[int]:
        """Turn a text into tokens, as many as the context holds beside one more; an empty text is an opening token."""
        return self.encode_pair((text, ""))[0][: self.context - 1]

    def check_lengths(self, requests: list[Request], lengths: dict[str, int]) -> None:
        """Refuse prompts that do not fit the context, all at once and before anything runs: a DataError with the record ids."""
        long = [r for r in requests if lengths[r.id] + r.max_new_tokens > self.context]
        if long:
            listed = "\n  ".join(f"{r.id}: {lengths[r.id]} + {r.max_new_tokens}" for r in long[:20])
            more = f"\n  and {len(long) - 20} more" if len(long) > 20 else ""
            raise DataError(
                f"{len(long)} prompt(s) are too long:\n  {listed}{more}",
                allowed=f"prompt and new tokens together at most {self.context}, the model's context",
                do="shorten these tasks, or lower the tokens parameter of the stage",
            )

    def check_texts(self, rows: list[list[int]], spare: int = 0) -> None:
        """Refuse texts, as tokens, that leave no room for `spare` more; see `check_lengths`."""
        lengths = {f"text {i}": len(row) for i, row in enumerate(rows)}
        self.check_lengths([Request(id_, "", spare) for id_ in lengths], lengths)

    def stops(self, request: Request) -> tuple[dict[int, str], list[str]]:
        """Divide what ends a request's answer into end tokens, with their text, and stop texts."""
        special = {stop: self._special(stop) for stop in request.stop}
        tokens = {token: self.tokenizer.decode([token]) for token in self.ends}
        tokens |= {token: stop for stop, token in special.items() if token is not None}
        return tokens, [stop for stop, token in special.items() if token is None]

    def _special(self, text: str) -> int | None:
        known = text in self.tokenizer.all_special_tokens or text in self.tokenizer.get_added_vocab()
        return self.tokenizer.convert_tokens_to_ids(text) if known else None

    def completion(self, request: Request, new: list[int]) -> Completion:
        """Make a completion of the tokens that a model wrote, the token that ended it included."""
        ends, stops = self.stops(request)
        ended = bool(new) and new[-1] in ends
        text = self.tokenizer.decode(new[:-1] if ended else new, skip_special_tokens=True)
        found = [(text.find(stop), stop) for stop in stops if stop in text]
        if found:
            cut, stop = min(found)
            return Completion(request.id, text[:cut], "stop", len(new), stop, tuple(new))
        finish, by = ("end", ends[new[-1]]) if ended else ("length", "")
        return Completion(request.id, text, finish, len(new), by, tuple(new))


def load_vocabulary(model: ModelRef, context_tokens: int = 0) -> Vocabulary:
    """Load tokenizer and limits of a base model.

    Args:
        context_tokens: prompt and new tokens together at most, 0 takes the model's own limit.

    Raises:
        ModelError: it is beyond the model's own, or 0 where the model names none.
    """
    from transformers import AutoTokenizer

    from isheep_lib.models.load import load_config

    tokenizer: Any = AutoTokenizer.from_pretrained(model.path, padding_side="left", trust_remote_code=False)
    config = load_config(model.path).get_text_config()
    own = own_context(model.path, config, tokenizer)
    if own and context_tokens > own:
        raise ModelError(
            f"context_tokens is {context_tokens}", where=model.name, allowed=f"at most {own}, the model's own; 0 takes it"
        )
    if not own and not context_tokens:
        raise ModelError(
            "The model names no limit of its context",
            where=f"{model.path / 'config.json'}: none of {', '.join(CONTEXT_NAMES)}",
            allowed="a number of tokens in model.context_tokens, prompt and new tokens together",
            do="set model.context_tokens in the params file, such as 2048",
        )
    ends = _ends(model.path, config, tokenizer)
    pads = (tokenizer.pad_token_id, *ends, 0)
    return Vocabulary(tokenizer, ends, context_tokens or own, next(t for t in pads if _has(config, t)))


def own_context(folder: Path, config: Any, tokenizer: Any) -> int:
    """Return the model's own limit of tokens, 0 where neither config nor tokenizer names one: ALiBi and Mamba need none."""
    written = json.loads((folder / "config.json").read_text(encoding="utf-8"))  # a class may drop a name it does not know
    written = {**written, **(written.get("text_config") or {})}
    found = [getattr(config, name, None) or written.get(name) for name in CONTEXT_NAMES]
    found.append(tokenizer.model_max_length if tokenizer.model_max_length < UNLIMITED else None)
    return next((number for number in found if isinstance(number, int) and number > 0), 0)


def _has(config: Any, token: Any) -> bool:
    """Tell whether the model's embedding has a token."""
    return isinstance(token, int) and 0 <= token < getattr(config, "vocab_size", token + 1)


def _ends(folder: Path, config: Any, tokenizer: Any) -> tuple[int, ...]:
    """Collect what ends an answer by any file: generation_config.json, config.json, the tokenizer, its chat template."""
    generation = folder / "generation_config.json"
    values = json.loads(generation.read_text(encoding="utf-8")) if generation.is_file() else {}
    named = (values.get("eos_token_id"), getattr(config, "eos_token_id", None), tokenizer.eos_token_id)
    found: list[Any] = [token for given in named for token in (given if isinstance(given, list) else [given])]
    found += [tokenizer.convert_tokens_to_ids(end) for end in [template_end(tokenizer)] if end]
    ends = tuple(dict.fromkeys(token for token in found if _has(config, token)))
    if not ends:
        raise ModelError(
            "Nothing ends an answer of this model",
            where=f"{folder}: eos_token_id in generation_config.json or config.json, eos_token in tokenizer_config.json",
            do="name the token that ends a text in one of them",
        )
    return ends


@cache
def digest_own_frame(model: ModelRef, system: str, day: str) -> str:
    """Hash what a model's own chat template makes of a question and an answer; the other frames are files."""
    from transformers import AutoTokenizer

    frame = get_frame("tokenizer", system, AutoTokenizer.from_pretrained(model.path, trust_remote_code=False), day)
    return digest_text(frame.prompt("question") + "answer" + frame.end)


@dataclass(frozen=True)
class Labels:
    """Labels as token paths along one stem ("10" begins like "1"), so that few positions decide all of them."""

    stem: tuple[int, ...]  # the tokens on which the longest label's last token follows
    paths: tuple[tuple[int, ...], ...]  # the tokens of each label; all but the last are the stem's first

    @property
    def wanted(self) -> list[list[int]]:
        """The tokens that a label may go on with after the prompt and 0, 1, … tokens of the stem."""
        return [sorted({path[d] for path in self.paths if len(path) > d}) for d in range(len(self.stem) + 1)]

    def log_probabilities(self, known: dict[tuple[int, int, int], float], prompts: int) -> list[list[float]]:
        """Combine log p of the wanted tokens, by prompt, depth and token, to log p(label and no longer label), in nats."""
        return [[round(v, 6) for v in row] for row in self.combined(known, prompts)[0].tolist()]

    def combined(self, known: dict[tuple[int, int, int], float], prompts: int) -> tuple[np.ndarray, np.ndarray]:
        """Do the same without rounding, and say how many times larger each error is than those of what was known.

        Returns:
            Log p, and the factor, both prompts x labels: p("1") without p("10") may be a small difference of large numbers.
        """
        sums = [[sum(known[i, d, t] for d, t in enumerate(path)) for path in self.paths] for i in range(prompts)]
        whole = np.exp(np.array(sums, dtype=np.float64).reshape(prompts, len(self.paths)))
        own, terms = whole.copy(), whole.copy()
        for i, path in enumerate(self.paths):
            # Only direct extensions count: a still longer label is inside the one it extends.
            longer = [j for j, other in enumerate(self.paths) if other[: len(path)] == path and len(other) == len(path) + 1]
            own[:, i] -= whole[:, longer].sum(axis=1)
            terms[:, i] += whole[:, longer].sum(axis=1)
        own = own.clip(min=LEAST)
        lengths = np.array([len(path) for path in self.paths])
        return np.log(own), lengths * np.maximum(terms / own, 1.0)


def label_paths(tokenizer: Any, labels: list[str]) -> Labels:
    """Find the token paths of labels, or raise a ModelError where they share no stem in this tokenizer."""
    paths = tuple(tuple(encode_rest(tokenizer, label)) for label in labels)
    stem = max((path[:-1] for path in paths), key=len)
    if any(path[:-1] != stem[: len(path) - 1] for path in paths):
        raise ModelError(f"The labels {labels} share no stem in this model's tokens", do="use the scorer text")
    return Labels(stem, paths)
