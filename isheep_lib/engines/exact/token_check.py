"""Recorded answers held against a model without generating: is each token the one that the row's own number leads to?

    hold(asked, rows, model, settings, Sample(200))["verdict"]        # "explained", or in what the record is not

What a record may differ by is not assumed but measured here. A record in float32: where the error bound of this machine's
float32 leaves two outcomes; an exact record: never, as close places are computed in float64. A record in bfloat16: the same
pass is made in bfloat16, and tokens may differ as often, and as far, as they do between the two on these very places.
vLLM and servers draw from generators of their own, so their sampled tokens are held against their likelihood alone: its sum
must be what sampling makes of it (the surprise is as large as the entropy, within four standard deviations).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from isheep_lib.engines.exact import score_check
from isheep_lib.engines.exact.decisions import decide
from isheep_lib.engines.exact.distance import miss
from isheep_lib.engines.exact.verdict import EXPLAINED, NOT_CHECKED, NOT_EXPLAINED, Sample
from isheep_lib.engines.params import Model
from isheep_lib.engines.protocol import Request
from isheep_lib.engines.tokens import Vocabulary
from isheep_lib.engines.transcript import Asked, tokens_of
from isheep_lib.models.base import ModelRef
from isheep_lib.record.progress import Progress

FIRST = 100  # tokens outside that are named
EDGE = 1e-3  # mass that one candidate at the edge of the nucleus may shift, where float32 leaves it open
NOISE = 4.0  # how many times the largest noise measured here, and standard deviations, are still noise


@dataclass(frozen=True)
class Answer:
    """One recorded continuation: its request, and the tokens of prompt and answer."""

    request: Request
    prompt: list[int]
    new: list[int]

    @property
    def uniform(self) -> torch.Tensor:
        """The numbers that its tokens were drawn with, float64."""
        return torch.tensor(np.random.default_rng(self.request.seed).random(self.request.max_new_tokens)[: len(self.new)])


@dataclass
class Tally:
    """What came out of the places looked at."""

    tokens: int = 0
    same: int = 0  # what this machine takes
    explained: int = 0  # another one, within the record's number format
    outside: list[dict[str, Any]] = field(default_factory=list)
    largest: float = 0.0  # distance of a token, in probability mass (greedy ones: in logits)
    noise: int = 0  # bfloat16: places where this machine's own bfloat16 takes another token than its float32
    largest_noise: float = 0.0
    likelihood: int = 0  # tokens held against their likelihood alone
    surprise: float = 0.0  # their log-probabilities over what sampling expects, in nats
    variance: float = 0.0


def hold(
    asked: Mapping[str, Asked], rows: Mapping[str, dict[str, Any]], model: ModelRef | None, settings: Model, sample: Sample
) -> dict[str, Any]:
    """Hold answers and scores against a model; see above.

    Args:
        asked: what was asked, by the id of its row.
        rows: of the transcript.
        model: the weights, None where only a server has them.
        settings: what the record was made with.
        sample: how much of it is looked at.

    Returns:
        A document: counts, the largest distance, the first tokens outside, a verdict.
    """
    if model is None:
        return {"verdict": NOT_CHECKED, "why": "only a server has the weights, so what follows from its answers is checked"}
    kinds: dict[str, list[str]] = {"answers": [], "scores": []}
    for key in sorted(asked):
        kinds["answers" if isinstance(asked[key], Request) else "scores"].append(key)
    chosen = {name: keys[: sample.size or None] for name, keys in kinds.items()}
    if not any(chosen.values()):
        return {"verdict": EXPLAINED, "why": "the stage asked nothing"}
    from isheep_lib.engines.transformers_engine import TransformersEngine

    exact = settings.numerics == "exact" and settings.engine == "transformers"  # a judge elsewhere is not
    kind = "exact" if exact else settings.inference_dtype
    kept = [(asked[key], rows[key]) for key in chosen["scores"]]
    own, values = _in_its_format(model, settings, [(asked[key], rows[key]) for key in chosen["answers"]], kept)
    engine = TransformersEngine(model, checking(settings))
    try:
        answers = [_answer(asked[key], rows[key], engine.vocabulary) for key in chosen["answers"]]
        with Progress(sample.label, sum(len(answer.new) for answer in answers), "token") as progress:
            tally = _hold_answers(engine, answers, _Way(kind, settings.engine == "transformers", own), progress)
        here = score_check.computed(engine, kept)
    finally:
        engine.close()
    noise = score_check.distances(values, here) if values else []
    scores = score_check.document(score_check.distances(score_check.recorded(kept), here), noise, kind, NOISE)
    return _document(kind, tally, scores, {name: len(keys) for name, keys in kinds.items()}, len(answers))


def checking(settings: Model) -> Model:
    """Return the settings by which a record is checked: here, in a format that is no shorter than the record's."""
    numerics = "exact" if settings.inference_dtype == "float32" else "plain"  # close places of such a record are decided
    return settings.model_copy(update={"engine": "transformers", "inference_dtype": "float32", "numerics": numerics})


def _answer(asked: Asked, row: dict[str, Any], vocabulary: Vocabulary) -> Answer:
    """Put an answer's tokens together; what is on record as text alone is read as tokens once more."""
    from isheep_lib.prompting.special_tokens import encode_rest

    assert isinstance(asked, Request)  # noqa: S101 - for the type checker: so they were chosen
    new = tokens_of(row) if "tokens" in row else encode_rest(vocabulary.tokenizer, row["text"])
    return Answer(asked, vocabulary.encode(asked.prompt), list(new))


def _places(engine: Any, answers: list[Answer]) -> Any:
    """Yield each answer with the place of a first token and the logits from there on."""
    read = [answer for answer in answers if answer.new]
    rows = [answer.prompt + answer.new for answer in read]
    for i, first, logits in engine.forced(rows, [len(answer.prompt) for answer in read]):
        yield read[i], first, logits


def _in_its_format(
    model: ModelRef, settings: Model, answers: Sequence[score_check.Kept], scores: Sequence[score_check.Kept]
) -> tuple[dict[tuple[str, int], int], list[list[float]]]:
    """Take every token, by request and place, and every score anew as a record in bfloat16 has them; nothing for others."""
    from isheep_lib.engines.transformers_engine import TransformersEngine

    if settings.inference_dtype != "bfloat16":
        return {}, []
    engine = TransformersEngine(model, checking(settings).model_copy(update={"inference_dtype": "bfloat16"}))
    found = {}
    try:
        read = [_answer(asked, row, engine.vocabulary) for asked, row in answers]
        for answer, first, logits in _places(engine, read):
            request, uniform = answer.request, answer.uniform[first : first + len(logits)]
            tokens = decide(logits, uniform, request.temperature, request.top_p).tokens
            found |= {(request.id, first + n): token for n, token in enumerate(tokens.tolist())}
        return found, score_check.computed(engine, scores)
    finally:
        engine.close()


@dataclass(frozen=True)
class _Way:
    """How answers are held: the record's number format, whether its draws are ours, and what bfloat16 takes here by place."""

    kind: str
    own_numbers: bool
    noise: Mapping[tuple[str, int], int]


def _hold_answers(engine: Any, answers: list[Answer], way: _Way, progress: Progress) -> Tally:
    tally = Tally()
    for answer, first, logits in _places(engine, answers):
        progress.advance(len(logits))
        if answer.request.temperature > 0 and not way.own_numbers:
            _weigh(tally, answer, first, logits)
            continue
        request, uniform = answer.request, answer.uniform[first : first + len(logits)]
        here = decide(logits, uniform, request.temperature, request.top_p).tokens.tolist()
        recorded = answer.new[first : first + len(logits)]
        tally.tokens += len(recorded)
        tally.same += sum(a == b for a, b in zip(here, recorded, strict=True))
        for n, (token, taken) in enumerate(zip(recorded, here, strict=True)):
            other = way.noise.get((request.id, first + n), taken)
            if other != taken:
                far = miss(logits[n], other, float(uniform[n]), request.temperature, request.top_p)
                tally.noise, tally.largest_noise = tally.noise + 1, max(tally.largest_noise, far)
            if token != taken:
                _judge(tally, engine, way.kind, answer, first + n, logits[n], taken)
    return tally


def _judge(tally: Tally, engine: Any, kind: str, answer: Answer, place: int, logits: torch.Tensor, taken: int) -> None:
    """Decide about one token that this machine would not have taken at first sight."""
    request, token, number = answer.request, answer.new[place], answer.uniform[place : place + 1]
    settings = (request.temperature, request.top_p)
    far = miss(logits, token, float(number), *settings)
    if kind != "bfloat16":
        so_far = (request.id, answer.prompt + answer.new[:place])
        exact = int(engine.arbiter.choose(logits[None], number, *settings, lambda _: so_far)[0])
        if exact == token:
            tally.same += 1
            return
        error = engine.arbiter.error(request.temperature)
        is_open = not bool(decide(logits[None], number, *settings, error).certain[0])
        if kind == "float32" and is_open and far <= (error.gap if request.temperature == 0 else EDGE):
            tally.explained += 1
            tally.largest = max(tally.largest, far)
            return
    tally.largest = max(tally.largest, far)
    said = {"id": request.id, "token": place + 1, "distance": round(far, 6)}
    texts = engine.tokenizer.batch_decode([[token], [taken]])
    tally.outside.append({**said, "recorded": texts[0], "here": texts[1]})


def _weigh(tally: Tally, answer: Answer, first: int, logits: torch.Tensor) -> None:
    """Add up how surprising sampled tokens are, beside what sampling expects; one outside the nucleus is outside."""
    request = answer.request
    logs = (logits.double() / request.temperature).log_softmax(-1)
    shares = logs.exp()
    if request.top_p < 1:
        values, order = shares.sort(descending=True, stable=True)
        inside = torch.zeros_like(shares, dtype=torch.bool).scatter(-1, order, values.cumsum(-1) - values < request.top_p)
        logs = (logs.masked_fill(~inside, -math.inf)).log_softmax(-1)
        shares = logs.exp()
    tokens = torch.tensor(answer.new[first : first + len(logits)], device=logits.device)
    own = logs.gather(-1, tokens[:, None])[:, 0]
    finite = own.isfinite()
    expected = torch.where(shares > 0, shares * logs, 0.0).sum(-1)
    square = torch.where(shares > 0, shares * logs.square(), 0.0).sum(-1)
    tally.tokens += len(tokens)
    tally.likelihood += len(tokens)
    tally.surprise += float((own - expected)[finite].sum())
    tally.variance += float((square - expected.square())[finite].sum())
    for n in (~finite).nonzero()[:, 0].tolist():
        text = answer.new[first + n]
        tally.outside.append({"id": request.id, "token": first + n + 1, "distance": None, "recorded": text, "here": None})


def _document(kind: str, tally: Tally, scores: dict[str, Any], asked: dict[str, int], answers: int) -> dict[str, Any]:
    outside = _outside(kind, tally)
    deviations = tally.surprise / math.sqrt(tally.variance) if tally.variance else 0.0
    reasons = []
    if outside:
        reasons.append(f"{outside} token(s) are not what the weights say")
    if abs(deviations) > NOISE:
        reasons.append(f"sampled tokens are {deviations:+.1f} standard deviations from what sampling makes likely")
    if scores["outside"]:
        reasons.append(f"{scores['outside']} score(s) are not what the weights say")
    return {
        "verdict": NOT_EXPLAINED if reasons else EXPLAINED,
        "why": "; ".join(reasons),
        "number_format": kind,
        "answers": asked["answers"],
        "answers_checked": answers,
        "tokens": tally.tokens,
        "same": tally.same,
        "explained": len(tally.outside) - outside + tally.explained,
        "outside": outside,
        "by_likelihood": tally.likelihood,
        "deviations": round(deviations, 2),
        "largest_distance": round(tally.largest, 6),
        "noise": {"tokens": tally.noise, "largest_distance": round(tally.largest_noise, 6)} if kind == "bfloat16" else {},
        "first": tally.outside[:FIRST] if outside else [],
        "scores": {"asked": asked["scores"], **scores},
    }


def _outside(kind: str, tally: Tally) -> int:
    """Count tokens that the number format does not explain."""
    if kind != "bfloat16":
        return len(tally.outside)
    far = [one for one in tally.outside if one["distance"] is None or one["distance"] > NOISE * tally.largest_noise]
    usual = tally.noise + NOISE * math.sqrt(max(1, tally.noise))
    return len(far) or (len(tally.outside) if len(tally.outside) > usual else 0)
