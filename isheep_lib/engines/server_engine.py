"""The server engine: a model behind one or several OpenAI-compatible servers.

Prompts travel as token ids, and answers come back as token ids where the server gives them (vLLM does), so that the
same text has the same tokens, ends and stops as in every other engine.
Covers what is asked, and the check that all servers hold the same weights. Does not cover which servers
(`engines.servers.discovery`), sending and failing over (`engines.servers.pool`), what answers mean
(`engines.servers.responses`), or starting servers (docs/servers.md).
"""

from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
from tenacity import stop_after_delay
from tenacity.wait import wait_base

from isheep_lib.engines.params import Model
from isheep_lib.engines.parity import PROBES
from isheep_lib.engines.protocol import Completion, Request, quiet
from isheep_lib.engines.servers.client import Call, Endpoint, RequestRefused, Trouble
from isheep_lib.engines.servers.discovery import served_name, start_command
from isheep_lib.engines.servers.pool import PAUSE, NoServer, Replicas
from isheep_lib.engines.servers.responses import read_completion, read_tops, read_total
from isheep_lib.engines.tokens import encode_rest, label_paths, load_vocabulary
from isheep_lib.errors import EngineError
from isheep_lib.models.base import ModelRef

# Nats per token between servers of the same weights.
TOLERANCE = {"float32": 0.001, "bfloat16": 0.02}
MOST_TOP = 20  # tokens scored in one request: what vLLM allows by default (--max-logprobs)
POOLER = """--runner pooling --convert embed --pooler-config '{"seq_pooling_type": "MEAN", "use_activation": false}'"""
# What a server would otherwise add: opening tokens, and what the model's generation_config.json says.
PLAIN = {
    "add_special_tokens": False,
    "top_k": -1,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}
# Unlike a judge's server, which is asked without what it refuses: here the same seed must give the same record.
REFUSED = (
    "compare the server's model and limits with base_model, context_tokens and the stage's parameters; nothing is left out of "
    "what a record rests on: use servers that take seed, temperature and top_p, as those of vLLM do"
)
ONE = {"max_tokens": 1, "temperature": 1.0, "top_p": 1.0, "seed": 0}  # only log-probabilities are wanted
Scores = list[tuple[float, int]]


def preflight(model: ModelRef, settings: Model) -> None:
    """Raise an EngineError if no server answers, or none knows the model: with what each serves, and how to start one."""
    Replicas(settings, served_name(model, settings), lambda _: start_command(model, settings)).close()


class ServerEngine:
    """One model behind servers; see the protocol `isheep_lib.engines.protocol.Engine`."""

    def __init__(self, model: ModelRef, settings: Model, pause: wait_base = PAUSE) -> None:
        """Find the servers that know the model, of which only the tokenizer is read here, or raise as `preflight`."""
        self.name = served_name(model, settings)
        self.probe_values: dict[str, Scores] = {}
        self._probes: Sequence[tuple[str, str]] = PROBES
        self._model, self._settings = model, settings
        vocabulary = load_vocabulary(model, settings.context_tokens)
        self._servers = Replicas(settings, self.name, lambda _: start_command(model, settings), self._check_server, pause=pause)
        answers = self._servers.survey(Endpoint.version).values()
        self._versions = sorted({version for version in answers if isinstance(version, str)})
        self._used = list(self._servers.lists)
        contexts = [listed[self.name] for listed in self._servers.lists.values() if listed and listed[self.name]]
        self.vocabulary = replace(vocabulary, context=min([vocabulary.context, *contexts]))
        self.tokenizer, self.context = vocabulary.tokenizer, self.vocabulary.context

    def facts(self) -> dict[str, Any]:
        """Name the model as served, the servers and their versions; the probe in nats per token, once it was made."""
        facts = {
            "engine": "server",
            "served": self.name,
            "dtype": self._settings.inference_dtype,
            "servers": len(self._used),
            "server_versions": self._versions,
        }
        for scores in list(self.probe_values.values())[:1]:
            facts["probe"] = [round(total / number, 4) for total, number in scores]
        return facts

    def batches(self, requests: list[Request]) -> list[list[Request]]:
        """Return one request per batch; see the protocol."""
        self.vocabulary.check_lengths(requests, {r.id: len(self.vocabulary.encode(r.prompt)) for r in requests})
        return [[request] for request in requests]

    def probe(self, pairs: Sequence[tuple[str, str]] = PROBES) -> dict[str, Scores]:
        """Score fixed texts on every server; an EngineError where they disagree, so that no record comes from other weights.

        Returns:
            For each address what `logprobs` would return.
        """

        def score(server: Endpoint) -> Coroutine[Any, Any, Scores]:
            return self._servers.retrying(stop=stop_after_delay(self._servers.timeout))(self._score_on, server, pairs)

        answers = self._servers.survey(score)
        # A server that ended since it was found is probed if it comes back.
        found = {url: own for url, own in answers.items() if not isinstance(own, Trouble)}
        if not found:
            where = "; ".join(map(str, answers.values()))
            raise NoServer("All servers ended before they were probed", where=where, do="start them again")
        agreeing = {url: sum(_gap(own, other) <= self._tolerance for other in found.values()) for url, own in found.items()}
        reference = max(agreeing, key=agreeing.__getitem__)
        for url, own in found.items():
            self._compare(url, own, reference, found[reference])
        self.probe_values, self._probes = found, pairs
        return found

    @property
    def _tolerance(self) -> float:
        return TOLERANCE[self._settings.inference_dtype]

    def _compare(self, url: str, own: Scores, other: str, reference: Scores) -> None:
        gap = _gap(own, reference)
        if gap > self._tolerance:
            raise EngineError(
                f"{url} serves other weights as {self.name!r}: log p of a fixed text differs by {gap:.4f} nats per token",
                where=f"{url}, compared with {other}",
                allowed=f"{self._tolerance} nats per token with inference_dtype {self._settings.inference_dtype}",
                do="start every server on the same folder with the same --dtype, or take this address out of base_urls",
            )

    async def _check_server(self, endpoint: Endpoint) -> None:
        """Compare the weights of a server that comes back with those that were probed."""
        if self.probe_values:
            own = await self._score_on(endpoint, self._probes)
            self._compare(endpoint.url, own, *next(iter(self.probe_values.items())))

    async def _score_on(self, endpoint: Endpoint, pairs: Sequence[tuple[str, str]]) -> Scores:
        return [(await endpoint.ask(self._score_call(i, pair)))[1] for i, pair in enumerate(pairs)]

    def _check_weights(self) -> None:
        if not self.probe_values:
            self.probe()

    def generate(self, batches: list[list[Request]], tick: Callable[[float], None] = quiet) -> Iterator[list[Completion]]:
        """Continue every prompt; see the protocol. Servers tell nothing of unfinished answers: `tick` is not called."""
        self._check_weights()
        yield from self._servers.ask(self._generation(request) for batch in batches for request in batch)

    def _generation(self, request: Request) -> Call:
        tokens, _ = self.vocabulary.stops(request)
        return self._call(
            request.id,
            self.vocabulary.encode(request.prompt),
            partial(read_completion, self.vocabulary, request),
            max_tokens=request.max_new_tokens,
            temperature=request.temperature,
            top_p=request.top_p,
            seed=request.seed,
            stop=list(request.stop),
            extra_body={"stop_token_ids": list(tokens), "skip_special_tokens": True, "return_token_ids": True},
        )

    def _call(self, id_: str, prompt: list[int], read: Callable[[Any], Any], *, extra_body: dict, **sampling: Any) -> Call:
        form: dict[str, Any] = {"model": self.name, "prompt": prompt, **sampling, "extra_body": {**PLAIN, **extra_body}}
        return Call(id_, lambda client: client.completions.create(**form), read, REFUSED)

    def logprobs(self, pairs: list[tuple[str, str]]) -> Scores:
        """Score continuations; see the protocol."""
        self.vocabulary.check_texts([a + b for a, b in map(self.vocabulary.encode_pair, pairs)], spare=1)
        self._check_weights()
        calls = (self._score_call(i, pair) for i, pair in enumerate(pairs) if encode_rest(self.tokenizer, pair[1]))
        found = dict(chain.from_iterable(self._servers.ask(calls)))
        return [found.get(i, (0.0, 0)) for i in range(len(pairs))]

    def _score_call(self, index: int, pair: tuple[str, str]) -> Call:
        return self._total_call(f"text {index + 1}", *self.vocabulary.encode_pair(pair), index)

    def _total_call(self, id_: str, context: list[int], rest: list[int], key: Any) -> Call:
        """Ask for the log-probability of the rest; the result is the key with it."""
        extra = {"prompt_logprobs": 0}
        return self._call(id_, [*context, *rest], lambda answer: (key, read_total(id_, rest, answer)), **ONE, extra_body=extra)

    def choices(self, prompts: list[str], labels: list[str]) -> list[list[float]]:
        """Score labels, a request for each prompt and token of the longest label; see the protocol."""
        tree = label_paths(self.tokenizer, labels)
        encoded = [self.vocabulary.encode(prompt) for prompt in prompts]
        self.vocabulary.check_texts(encoded, spare=len(tree.stem) + 1)
        self._check_weights()
        tokens = tree.wanted
        parts = [[own[start : start + MOST_TOP] for start in range(0, len(own), MOST_TOP)] for own in tokens]
        asked = {(i, d): [*prompt, *tree.stem[:d]] for i, prompt in enumerate(encoded) for d in range(len(tokens))}
        calls = (self._top_call(place, prompt, part) for place, prompt in asked.items() for part in parts[place[1]])
        known = {key: value for tops in chain.from_iterable(self._servers.ask(calls)) for key, value in tops.items()}
        # A server that does not know logprob_token_ids is asked for what it left out, one by one.
        missing = (
            self._total_call(f"prompt {i + 1}", prompt, [token], (i, d, token))
            for (i, d), prompt in asked.items()
            for token in tokens[d]
            if (i, d, token) not in known
        )
        known |= {key: total for key, (total, _) in chain.from_iterable(self._servers.ask(missing))}
        return tree.log_probabilities(known, len(prompts))

    def _top_call(self, place: tuple[int, int], prompt: list[int], tokens: list[int]) -> Call:
        """Ask for the log-probabilities of exactly these next tokens; vLLM wants both numbers of them to agree."""
        id_, extra = f"prompt {place[0] + 1}", {"logprob_token_ids": tokens, "return_tokens_as_token_ids": True}

        def read(answer: Any) -> dict[tuple[int, int, int], float]:
            return {(*place, token): value for token, value in read_tops(id_, tokens, answer).items()}

        return self._call(id_, prompt, read, **ONE, logprobs=len(tokens), extra_body=extra)

    def embed(self, texts: list[str]) -> np.ndarray:
        """Return vectors; see the protocol. A server that generates does not embed: this needs servers of its own."""
        calls = (self._vector_call(i, text) for i, text in enumerate(texts))
        try:
            vectors = dict(chain.from_iterable(self._servers.ask(calls)))
        except (RequestRefused, AttributeError, IndexError, TypeError, ValueError) as error:
            said = error.what if isinstance(error, EngineError) else "its answer holds no vector"
            raise self._no_vectors(f"The server does not embed: {said}") from error
        found = np.stack([vectors[i] for i in range(len(texts))])
        if not np.isfinite(found).all() or np.allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-3):
            raise self._no_vectors("The server's vectors are normalised, or not finite")
        return found

    def _vector_call(self, index: int, text: str) -> Call:
        form: dict[str, Any] = {"model": self.name, "input": self.vocabulary.encode_start(text), "encoding_format": "float"}
        form["extra_body"] = {"add_special_tokens": False, "use_activation": False}

        def read(answer: Any) -> tuple[int, np.ndarray]:
            return index, np.asarray(answer.data[0].embedding, dtype=np.float32)

        return Call(f"text {index + 1}", lambda client: client.embeddings.create(**form), read)

    def _no_vectors(self, what: str) -> EngineError:
        do = start_command(self._model, self._settings, POOLER)
        return EngineError(what, where=", ".join(self._used), allowed="the mean over a text's tokens, in float32", do=do)

    def close(self) -> None:
        """Close all connections."""
        self._servers.close()


def _gap(own: Scores, other: Scores) -> float:
    return max(abs(a / n - b / m) for (a, n), (b, m) in zip(own, other, strict=True))
