"""The server engine: a model behind one or several OpenAI-compatible servers.

Prompts travel as token ids, and answers come back as token ids where the server gives them (vLLM does), so that the
same text has the same tokens, ends and stops as in every other engine.
Covers what is asked, and the check that all servers hold the same weights. Does not cover which servers
(`engines.server_discovery`), sending and failing over (`engines.server_pool`), what answers mean
(`engines.server_responses`), or starting servers (docs/servers.md).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from isheep_lib.engines.http import Call, Endpoint, RequestRefused, Trouble
from isheep_lib.engines.parity import PROBES
from isheep_lib.engines.protocol import Completion, Request, quiet
from isheep_lib.engines.server_discovery import connect, find_servers, read_models, served_name, start_command, versions
from isheep_lib.engines.server_pool import NoServer
from isheep_lib.engines.server_responses import read_completion, read_tops, read_total
from isheep_lib.engines.tokens import encode_rest, label_paths, load_vocabulary
from isheep_lib.errors import EngineError
from isheep_lib.models.base import ModelRef

# Nats a token between servers of the same weights; "auto" is taken for the wider one.
TOLERANCE = {"float32": 0.001, "bfloat16": 0.02, "auto": 0.02}
MOST_TOP = 20  # tokens scored in one request: what vLLM allows by default (--max-logprobs)
POOLER = """--runner pooling --convert embed --pooler-config '{"seq_pooling_type": "MEAN", "use_activation": false}'"""
# What a server would otherwise take from the model's generation_config.json.
PLAIN = {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}
ONE = {"max_tokens": 1, "temperature": 1.0, "top_p": 1.0, "seed": 0}  # only log-probabilities are wanted
Scores = list[tuple[float, int]]


def preflight(model: ModelRef, settings: Any) -> None:
    """Raise if no server answers, or none knows the model.

    Raises:
        EngineError: with what each address serves and the command that starts a server.
    """
    servers = connect(settings)
    try:
        find_servers(servers, model, settings)
    finally:
        servers.close()


class ServerEngine:
    """One model behind servers; see the protocol `isheep_lib.engines.protocol.Engine`."""

    def __init__(self, model: ModelRef, settings: Any, **pauses: float) -> None:
        """Find the servers that know the model.

        Args:
            model: base and adapters; only the tokenizer is read here.
            settings: the section `params.Model`.
            pauses: seconds of `replicas.Limits` other than its defaults.

        Raises:
            EngineError: no server is reachable, or none knows the model.
        """
        self.name = served_name(model, settings)
        self.probe_values: dict[str, Scores] = {}
        self._probes: Sequence[tuple[str, str]] = PROBES
        self._model, self._settings = model, settings
        self._servers = connect(settings, **pauses)
        try:
            known, away = find_servers(self._servers, model, settings)
            vocabulary = load_vocabulary(model, settings.context_tokens)
            self._servers.use([*known, *away], self._admit)
            self._versions = versions(self._servers)
        except BaseException:
            self._servers.close()
            raise
        for url in away:
            self._servers.lose(url)
        self._used = list(known)
        self._vocabulary = replace(vocabulary, context=min([vocabulary.context, *(size for size in known.values() if size)]))
        self.tokenizer = vocabulary.tokenizer

    def facts(self) -> dict[str, Any]:
        """Name the model as served, the servers and their versions; the probe in nats a token, once it was made."""
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
        """Return one request a batch; see the protocol."""
        self._vocabulary.check_lengths(requests, {r.id: len(self._vocabulary.encode(r.prompt)) for r in requests})
        return [[request] for request in requests]

    def probe(self, pairs: Sequence[tuple[str, str]] = PROBES) -> dict[str, Scores]:
        """Score fixed texts on every server, so that no record comes from other weights.

        Args:
            pairs: context and continuation, no continuation empty.

        Returns:
            For each address what `logprobs` would return.

        Raises:
            EngineError: the servers do not agree.
        """
        found: dict[str, Scores] = {}
        for url in self._used:
            try:
                found[url] = self._score(pairs, [url])
            except NoServer:  # ended since it was found; it is probed if it comes back
                if len(self._used) == 1:
                    raise
                self._servers.lose(url)
        if not found:
            raise NoServer("All servers ended before they were probed", where=", ".join(self._used), do="start them again")
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
                f"{url} serves other weights as {self.name!r}: log p of a fixed text differs by {gap:.4f} nats a token",
                where=f"{url}, compared with {other}",
                allowed=f"{self._tolerance} nats a token with inference_dtype {self._settings.inference_dtype}",
                do="start every server on the same folder with the same --dtype, or take this address out of base_urls",
            )

    async def _admit(self, endpoint: Endpoint) -> None:
        """Check a server that comes back: it may have been started again with another model."""
        if self.name not in read_models(endpoint.url, await endpoint.get("/models")):
            raise Trouble(f"{endpoint.url} serves other names than {self.name!r}", lost=True)
        if self.probe_values:
            calls = [self._score_call(i, pair) for i, pair in enumerate(self._probes)]
            own = [read_total(call, await endpoint.post(call)) for call in calls]
            self._compare(endpoint.url, own, *next(iter(self.probe_values.items())))

    def _check_weights(self) -> None:
        if not self.probe_values:
            self.probe()

    def generate(self, batches: list[list[Request]], tick: Callable[[float], None] = quiet) -> Iterator[list[Completion]]:
        """Continue every prompt; see the protocol. Servers tell nothing of unfinished answers: `tick` is not called."""
        self._check_weights()
        calls = (Call(r.id, "/completions", self._body(r), r) for batch in batches for r in batch)
        for answers in self._servers.ask(calls):
            yield [read_completion(self._vocabulary, call.about, answer) for call, answer in answers]

    def _body(self, request: Request) -> dict[str, Any]:
        tokens, _ = self._vocabulary.stops(request)
        return {
            **self._prompt(self._vocabulary.encode(request.prompt)),
            "max_tokens": request.max_new_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "seed": request.seed,
            "stop": list(request.stop),
            "stop_token_ids": list(tokens),
            "skip_special_tokens": True,
            "return_token_ids": True,
        }

    def _prompt(self, tokens: list[int]) -> dict[str, Any]:
        return {"model": self.name, "prompt": tokens, "add_special_tokens": False, **PLAIN}

    def logprobs(self, pairs: list[tuple[str, str]]) -> Scores:
        """Score continuations; see the protocol."""
        self._vocabulary.check_texts([a + b for a, b in map(self._vocabulary.encode_pair, pairs)], spare=1)
        self._check_weights()
        return self._score(pairs)

    def _score(self, pairs: Sequence[tuple[str, str]], urls: list[str] | None = None) -> Scores:
        calls = (self._score_call(i, pair) for i, pair in enumerate(pairs) if encode_rest(self.tokenizer, pair[1]))
        scores: Scores = [(0.0, 0)] * len(pairs)
        for answers in self._servers.ask(calls, urls):
            for call, answer in answers:
                scores[call.about[0]] = read_total(call, answer)
        return scores

    def _score_call(self, index: int, pair: tuple[str, str]) -> Call:
        context, rest = self._vocabulary.encode_pair(pair)
        return self._total_call(f"text {index + 1}", context, rest, index)

    def _total_call(self, id_: str, context: list[int], rest: list[int], about: Any) -> Call:
        return Call(id_, "/completions", {**self._prompt([*context, *rest]), **ONE, "prompt_logprobs": 0}, (about, rest))

    def choices(self, prompts: list[str], labels: list[str]) -> list[list[float]]:
        """Score labels, a request for each prompt and token of the longest label; see the protocol."""
        tree = label_paths(self.tokenizer, labels)
        encoded = [self._vocabulary.encode(prompt) for prompt in prompts]
        self._vocabulary.check_texts(encoded, spare=len(tree.stem) + 1)
        self._check_weights()
        wanted = [
            (i, d, token)
            for i in range(len(prompts))
            for d in range(len(tree.stem) + 1)
            for token in sorted({path[d] for path in tree.paths if len(path) > d})
        ]
        calls = self._top_calls(encoded, tree.stem, wanted)
        known = {
            key: value for answers in self._servers.ask(calls) for pair in answers for key, value in read_tops(*pair).items()
        }
        # A server that does not know logprob_token_ids is asked for what it left out, one by one.
        missing = (
            self._total_call(f"prompt {i + 1}", [*encoded[i], *tree.stem[:d]], [token], (i, d, token))
            for i, d, token in wanted
            if (i, d, token) not in known
        )
        known |= {
            call.about[0]: read_total(call, answer)[0] for answers in self._servers.ask(missing) for call, answer in answers
        }
        logs = np.zeros((len(prompts), len(labels), len(tree.stem) + 1))
        for i, row in enumerate(logs):
            for path, values in zip(tree.paths, row, strict=True):
                values[: len(path)] = [known[i, d, token] for d, token in enumerate(path)]
        return tree.log_probabilities(logs)

    def _top_calls(self, encoded: list[list[int]], stem: tuple[int, ...], wanted: list[tuple[int, int, int]]) -> Iterator[Call]:
        """Ask for the log-probabilities of exactly the wanted next tokens, (prompt, depth, token)."""
        places: dict[tuple[int, int], list[int]] = {}
        for i, d, token in wanted:
            places.setdefault((i, d), []).append(token)
        for (i, d), tokens in places.items():
            for part in (tokens[start : start + MOST_TOP] for start in range(0, len(tokens), MOST_TOP)):
                # vLLM wants both numbers to agree.
                top = {"logprobs": len(part), "logprob_token_ids": part, "return_tokens_as_token_ids": True}
                yield Call(f"prompt {i + 1}", "/completions", {**self._prompt([*encoded[i], *stem[:d]]), **ONE, **top}, (i, d))

    def embed(self, texts: list[str]) -> np.ndarray:
        """Return vectors; see the protocol. A server that generates does not embed: this needs servers of its own."""
        form = {"model": self.name, "encoding_format": "float", "add_special_tokens": False, "use_activation": False}
        calls = (
            Call(f"text {i + 1}", "/embeddings", {**form, "input": self._vocabulary.encode(text)}, i)
            for i, text in enumerate(texts)
        )
        vectors: dict[int, np.ndarray] = {}
        try:
            for answers in self._servers.ask(calls):
                vectors |= {c.about: np.asarray(answer["data"][0]["embedding"], dtype=np.float32) for c, answer in answers}
        except (RequestRefused, KeyError, IndexError, TypeError, ValueError) as error:
            said = error.what if isinstance(error, EngineError) else "its answer holds no vector"
            raise self._no_vectors(f"The server does not embed: {said}") from error
        found = np.stack([vectors[i] for i in range(len(texts))])
        if not np.isfinite(found).all() or np.allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-3):
            raise self._no_vectors("The server's vectors are normalised, or not finite")
        return found

    def _no_vectors(self, what: str) -> EngineError:
        do = start_command(self._model, self._settings, POOLER)
        return EngineError(what, where=", ".join(self._used), allowed="the mean over a text's tokens, in float32", do=do)

    def close(self) -> None:
        """Close all connections."""
        self._servers.close()


def _gap(own: Scores, other: Scores) -> float:
    return max(abs(a / n - b / m) for (a, n), (b, m) in zip(own, other, strict=True))
