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
from isheep_lib.prompting.chat import get_frame
from isheep_lib.prompting.special_tokens import encode, encode_rest
from isheep_lib.record.rows import digest_text


@dataclass(frozen=True)
class Vocabulary:
    """A model's tokenizer with its limits."""

    tokenizer: Any  # of the base model, padding on the left
    ends: tuple[int, ...]  # tokens that end every answer
    context: int  # prompt and new tokens together at most

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
            return Completion(request.id, text[:cut], "stop", len(new), stop)
        return Completion(request.id, text, "end" if ended else "length", len(new), ends[new[-1]] if ended else "")


def load_vocabulary(model: ModelRef, context_tokens: int = 0) -> Vocabulary:
    """Load tokenizer and limits of a base model; a context beyond the model's own is a ModelError, 0 takes that."""
    from transformers import AutoConfig, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(model.path, padding_side="left", trust_remote_code=False)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    config = AutoConfig.from_pretrained(model.path, trust_remote_code=False).get_text_config()
    context = config.max_position_embeddings
    if context_tokens > context:
        raise ModelError(
            f"context_tokens is {context_tokens}", where=model.name, allowed=f"at most {context}, the model's own; 0 takes it"
        )
    return Vocabulary(tokenizer, _ends(model.path, config, tokenizer), context_tokens or context)


def _ends(path: Path, config: Any, tokenizer: Any) -> tuple[int, ...]:
    generation = path / "generation_config.json"
    values = json.loads(generation.read_text(encoding="utf-8")) if generation.is_file() else {}
    configured = values.get("eos_token_id", config.eos_token_id)
    found = [*(configured if isinstance(configured, list) else [configured]), tokenizer.eos_token_id]
    return tuple(dict.fromkeys(token for token in found if token is not None))


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
        sums = [[sum(known[i, d, t] for d, t in enumerate(path)) for path in self.paths] for i in range(prompts)]
        whole = np.exp(np.array(sums).reshape(prompts, len(self.paths)))
        own = whole.copy()
        for i, path in enumerate(self.paths):
            # Only direct extensions count: a still longer label is inside the one it extends.
            longer = [j for j, other in enumerate(self.paths) if other[: len(path)] == path and len(other) == len(path) + 1]
            own[:, i] -= whole[:, longer].sum(axis=1)
        return [[round(v, 6) for v in row] for row in np.log(own.clip(min=1e-30)).tolist()]


def label_paths(tokenizer: Any, labels: list[str]) -> Labels:
    """Find the token paths of labels, or raise a ModelError where they share no stem in this tokenizer."""
    paths = tuple(tuple(encode_rest(tokenizer, label)) for label in labels)
    stem = max((path[:-1] for path in paths), key=len)
    if any(path[:-1] != stem[: len(path) - 1] for path in paths):
        raise ModelError(f"The labels {labels} share no stem in this model's tokens", do="use the scorer text")
    return Labels(stem, paths)
