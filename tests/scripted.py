"""An engine for tests: it answers as its script says and remembers what it was asked.

    ScriptedEngine(["first answer", "second"])                    # in the order of requests
    ScriptedEngine(lambda request: request.prompt.upper())        # by request

Covers the whole protocol without a model.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from isheep_lib.engines.protocol import Completion, Request, quiet


class Letters:
    """A tokenizer whose tokens are letters."""

    is_fast = True

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        """Take every letter for a token."""
        return {"input_ids": [ord(letter) for letter in text]}


class ScriptedEngine:
    """Answers from a queue or by a function.

    Attributes:
        waiting: answers of the queue that nobody has asked for yet.
        asked: requests in the order of asking.
        calls: what each call was given: the ids of a batch, pairs, or prompts.
        closed: whether it was told to let go.
    """

    vocabulary: Any = None
    tokenizer: Any = None
    context = 0  # nobody knows it

    def __init__(
        self,
        answers: Iterable[str] | Callable[[Request], str] = (),
        *,
        finish: str = "end",
        batch: int = 1,
        fits: Callable[[str], bool] = bool,
    ) -> None:
        """Write the script.

        Args:
            answers: a queue, or a function of the request.
            finish: why every answer ends.
            batch: requests computed together.
            fits: tells of a text whether it deserves a good score.
        """
        self._answer = None if isinstance(answers, Iterable) else answers
        self.waiting = list(answers) if isinstance(answers, Iterable) else []
        self.finish, self.batch, self.fits = finish, batch, fits
        self.asked: list[Request] = []
        self.calls: list[list[Any]] = []
        self.closed = False

    def facts(self) -> dict[str, Any]:
        """Say that this is no model."""
        return {"engine": "scripted"}

    def batches(self, requests: list[Request]) -> list[list[Request]]:
        """Divide requests in their order."""
        return [requests[start : start + self.batch] for start in range(0, len(requests), self.batch)]

    def generate(self, batches: list[list[Request]], tick: Callable[[float], None] = quiet) -> Iterator[list[Completion]]:
        """Answer batch by batch; an empty queue raises IndexError, as a worker that is ended in the middle."""
        for batch in batches:
            self.calls.append([request.id for request in batch])
            self.asked += batch
            tick(len(batch))
            yield [Completion(r.id, self._answer(r) if self._answer else self.waiting.pop(0), self.finish, 10) for r in batch]

    def logprobs(self, pairs: list[tuple[str, str]]) -> list[tuple[float, int]]:
        """Find four tokens in everything, likelier where context and continuation fit."""
        self.calls.append(pairs)
        return [(-1.0 if self.fits(context + rest) else -3.0, 4) for context, rest in pairs]

    def choices(self, prompts: list[str], labels: list[str]) -> list[list[float]]:
        """Be sure of one label: the ninth where the prompt fits, else the second, and one less for quality."""
        self.calls.append(prompts)
        best = [(8 if self.fits(prompt) else 1) - ("quality" in prompt) for prompt in prompts]
        return [[0.0 if i == number else -60.0 for i in range(len(labels))] for number in best]

    def embed(self, texts: list[str]) -> np.ndarray:
        """Place a text by its length and by its first letter."""
        return np.array([[len(text), ord(text[0]) if text else 0] for text in texts], dtype=np.float32).reshape(-1, 2)

    def close(self) -> None:
        """Remember that it was told."""
        self.closed = True
