"""What a server's answer means: a completion, log-probabilities of a prompt's or of the next tokens.

Covers vLLM's fields, and what is left without them. Does not cover asking (`server_engine`).
"""

from typing import Any

from isheep_lib.engines.http import Call
from isheep_lib.engines.protocol import Completion, Request
from isheep_lib.engines.tokens import Vocabulary, encode_rest
from isheep_lib.errors import EngineError


def _choice(id_: str, answer: dict) -> dict[str, Any]:
    choices = answer.get("choices")
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
        raise EngineError(f"The answer to {id_} does not hold one choice", do="check that base_urls are completion servers")
    return choices[0]


def read_completion(vocabulary: Vocabulary, request: Request, answer: dict) -> Completion:
    """Make a completion of an answer, by its token ids where the server gives them.

    Raises:
        EngineError: it was filtered, or cut before the request's limit.
    """
    choice = _choice(request.id, answer)
    if choice.get("finish_reason") not in ("stop", "length"):
        raise EngineError(
            f"The answer to {request.id} ended by {choice.get('finish_reason')!r}",
            allowed="stop or length",
            do="use a server that continues text and filters nothing",
        )
    tokens, counted = choice.get("token_ids"), (answer.get("usage") or {}).get("completion_tokens")
    done = vocabulary.completion(request, tokens) if tokens else None
    if done is None or (done.finish == "length" and choice["finish_reason"] == "stop"):
        done = _from_text(vocabulary, request, choice, counted)
    if done.finish == "length" and (tokens or counted) and done.num_tokens < request.max_new_tokens:
        raise EngineError(
            f"The server cut the answer to {request.id} after {done.num_tokens} of {request.max_new_tokens} tokens",
            do="start it with a larger --max-model-len, or lower context_tokens",
        )
    return done


def _from_text(vocabulary: Vocabulary, request: Request, choice: dict, counted: int | None) -> Completion:
    """Read an answer without token ids; a server that gives no reason leaves open which stop text ended it."""
    text, reason = choice.get("text") or "", choice.get("stop_reason")
    ends, stops = vocabulary.stops(request)
    finish, by = choice["finish_reason"], ""
    found = [(text.find(stop), stop) for stop in request.stop if stop in text]
    if found:
        cut, reason = min(found)
        text = text[:cut]
    if isinstance(reason, str):
        finish, by = "stop" if reason in stops else "end", reason
    elif reason is not None:
        finish, by = "end", ends.get(reason) or vocabulary.tokenizer.decode([reason])
    elif finish == "stop" and (not stops or "stop_reason" in choice):  # vLLM: no reason is the model's own end
        finish, by = "end", ends[vocabulary.ends[0]]
    number = len(encode_rest(vocabulary.tokenizer, text)) if counted is None else counted
    return Completion(request.id, text, finish, number, by)


def read_total(call: Call, answer: dict) -> tuple[float, int]:
    """Sum the log-probabilities of a request's last tokens."""
    rest, listed = call.about[1], _choice(call.id, answer).get("prompt_logprobs")
    try:
        found = [each[str(token)]["logprob"] for each, token in zip(listed[-len(rest) :], rest, strict=True)]
    except (TypeError, KeyError, ValueError) as error:
        raise EngineError(
            f"A server gives no log-probabilities of a prompt's tokens ({call.id})",
            allowed="a server that knows prompt_logprobs, like vLLM",
            do="use vLLM servers, or the engine transformers",
        ) from error
    return round(sum(found), 4), len(rest)


def read_tops(call: Call, answer: dict) -> dict[tuple[int, int, int], float]:
    """Read those of the wanted next-token log-probabilities that a server gave, by prompt, depth and token."""
    top = ((_choice(call.id, answer).get("logprobs") or {}).get("top_logprobs") or [{}])[0] or {}
    names = {f"token_id:{token}": token for token in call.body["logprob_token_ids"]}
    return {(*call.about, names[name]): value for name, value in top.items() if name in names}
