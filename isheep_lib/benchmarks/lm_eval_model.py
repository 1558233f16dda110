"""Our engines as a language model of lm-eval: it asks, the engine answers, the journal keeps.

Covers the three questions that lm-eval's tasks ask. Does not cover tasks or results (`benchmarks.lm_eval_tasks`).
"""

from collections.abc import Callable, Iterator
from typing import Any

from lm_eval.api.model import LM

from isheep_lib.benchmarks.data import ITEM
from isheep_lib.engines.generate import generate_all, overlong
from isheep_lib.engines.protocol import Completion, Engine, Request, fill_journal
from isheep_lib.prompting.chat import Frame
from isheep_lib.record.journal import Journal
from isheep_lib.record.rows import canonical_json, digest_text

CHUNK = 128  # continuations scored between two journal entries
STEM = 16  # characters of a digest in an id


class EngineLM(LM):
    """An engine, a frame and a journal; ids name the item and what was asked, so that an answer is found again."""

    def __init__(self, engine: Engine, frame: Frame, journal: Journal, tokens_of: Callable[[str], int]) -> None:
        """Keep what answers, and how many new tokens an answer to a task of lm-eval may have."""
        super().__init__()
        self._engine, self._frame, self._journal, self._tokens_of = engine, frame, journal, tokens_of
        self.completions: dict[tuple[str, str], Completion] = {}
        self.unanswered: dict[
            tuple[str, str], str
        ] = {}  # why, by task and item; what lm-eval makes of these counts for nothing

    @property
    def tokenizer_name(self) -> str:
        """Name the frame for lm-eval's own caches."""
        return self._frame.name

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """Frame messages; see `framed`."""
        return framed(self._frame, chat_history, add_generation_prompt)

    def generate_until(self, requests: list[Any]) -> list[str]:
        """Answer greedily; an item that leaves no room for its answer in the context has none."""
        asked = [self._request(instance) for instance in requests]
        for instance, request in zip(requests, asked, strict=True):
            for why in overlong(self._engine, {"": request.prompt}, request.max_new_tokens).values():
                self.unanswered[_item(instance)] = why
        fitting = [request for i, request in zip(requests, asked, strict=True) if _item(i) not in self.unanswered]
        found = generate_all(self._engine, fitting, self._journal, "answers")
        answered = {_item(i): found[r.id] for i, r in zip(requests, asked, strict=True) if r.id in found}
        self.completions |= answered
        return [answered[_item(i)].text if _item(i) in answered else "" for i in requests]

    def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
        """Score continuations in nats; whether greedy decoding would say them is not computed, no task here asks.

        A choice alone is scored. lm-eval's own classes would also score white space that ends a context, so a frame's
        last line break, which is the same for all choices and yet moves a mean over a choice's letters.
        """
        asked = [(self._context(i.args[0]), self._frame.literal(i.args[1])) for i in requests]
        for instance, pair in zip(requests, asked, strict=True):
            for why in overlong(self._engine, {"": "".join(pair)}).values():
                self.unanswered[_item(instance)] = why
        names = [_identify(i, str(i.idx), list(pair)) for i, pair in zip(requests, asked, strict=True)]
        pairs = {name: pair for i, name, pair in zip(requests, names, asked, strict=True) if _item(i) not in self.unanswered}
        score_pairs(self._engine, pairs, self._journal, "choices")
        return [(self._journal.rows[name]["logprob"] if name in pairs else 0.0, False) for name in names]

    def loglikelihood_rolling(self, requests: list[Any]) -> list[float]:
        """Refuse: no benchmark of the catalogue asks for it."""
        raise NotImplementedError("no benchmark here measures the likelihood of whole texts")

    def _context(self, text: str) -> str:
        """Return a context as it is asked: what a chat frame wrote holds its special tokens, any other text holds none."""
        return self._frame.literal(text) if self._frame.name == "plain" else text

    def _request(self, instance: Any) -> Request:
        context, settings = self._context(instance.args[0]), instance.args[1]
        stops = tuple(dict.fromkeys(stop for stop in (*settings.get("until", []), self._frame.end) if stop))
        limit = self._tokens_of(instance.task_name)
        return Request(_identify(instance, "", [context, limit, *stops]), context, limit, stop=stops)


def _item(instance: Any) -> tuple[str, str]:
    return instance.task_name, instance.doc[ITEM]


def _identify(instance: Any, part: str, asked: list[Any]) -> str:
    """Name what was asked of which item; the digest covers prompt and sampling."""
    place = "/".join(text for text in (instance.task_name, instance.doc[ITEM], part) if text)
    return f"{place}/{digest_text(canonical_json(asked))[:STEM]}"


def score_pairs(engine: Engine, pairs: dict[str, tuple[str, str]], journal: Journal, label: str) -> None:
    """Score continuations that the journal lacks, in chunks that keep the choices of a question together."""
    ids = list(pairs)

    def ask(lacking: list[list[str]], _: object) -> Iterator[list[dict[str, Any]]]:
        waiting = [id_ for chunk in lacking for id_ in chunk if id_ not in journal.rows]
        for start in range(0, len(waiting), CHUNK):
            chunk = waiting[start : start + CHUNK]
            rows = zip(chunk, engine.logprobs([pairs[id_] for id_ in chunk]), strict=True)
            yield [{"id": id_, "logprob": value, "tokens": number} for id_, (value, number) in rows]

    fill_journal(journal, [ids], lambda chunk: dict.fromkeys(chunk, 1), ask, label, "choice")


def framed(frame: Frame, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
    """Frame messages: what is not the assistant's is the user's words; an assistant's last words begin the answer."""
    begun = "" if add_generation_prompt else chat_history[-1]["content"]
    said = chat_history if add_generation_prompt else chat_history[:-1]
    return frame.prompt("\n\n".join(message["content"].strip() for message in said)) + begun
