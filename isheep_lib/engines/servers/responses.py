"""What a server's answer means: a completion, log-probabilities of a prompt's or of the next tokens.

Covers vLLM's fields, and what is left without them. Does not cover asking (`server_engine`).
"""

from typing import Any

from isheep_lib.engines.protocol import Completion, Request
from isheep_lib.engines.tokens import Vocabulary, encode_rest
from isheep_lib.errors import EngineError


def _choice(id_: str, answer: Any) -> Any:
    choices = getattr(answer, "choices", None)
    if not isinstance(choices, list) or len(choices) != 1 or not hasattr(choices[0], "finish_reason"):
        raise EngineError(f"The answer to {id_} does not hold one choice", do="check that base_urls are completion servers")
    return choices[0]


def read_completion(vocabulary: Vocabulary, request: Request, answer: Any) -> Completion:
    """Make a completion of an answer, by token ids where there are any; an EngineError if it was filtered, or cut too early."""
    choice = _choice(request.id, answer)
    if choice.finish_reason not in ("stop", "length"):
        raise EngineError(
            f"The answer to {request.id} ended by {choice.finish_reason!r}",
            allowed="stop or length",
            do="use a server that continues text and filters nothing",
        )
    tokens, counted = getattr(choice, "token_ids", None), getattr(answer.usage, "completion_tokens", None)
    done = vocabulary.completion(request, tokens) if tokens else None
    if done is None or (done.finish == "length" and choice.finish_reason == "stop"):
        done = _from_text(vocabulary, request, choice, counted)
    if done.finish == "length" and (tokens or counted) and done.num_tokens < request.max_new_tokens:
        raise EngineError(
            f"The server cut the answer to {request.id} after {done.num_tokens} of {request.max_new_tokens} tokens",
            do="start it with a larger --max-model-len, or lower context_tokens",
        )
    return done


def _from_text(vocabulary: Vocabulary, request: Request, choice: Any, counted: int | None) -> Completion:
    """Read an answer without token ids; a server that gives no reason leaves open which stop text ended it."""
    text, reason = choice.text or "", getattr(choice, "stop_reason", None)
    ends, stops = vocabulary.stops(request)
    finish, by = choice.finish_reason, ""
    found = [(text.find(stop), stop) for stop in request.stop if stop in text]
    if found:
        cut, reason = min(found)
        text = text[:cut]
    if isinstance(reason, str):
        finish, by = "stop" if reason in stops else "end", reason
    elif reason is not None:
        finish, by = "end", ends.get(reason) or vocabulary.tokenizer.decode([reason])
    elif finish == "stop" and (not stops or hasattr(choice, "stop_reason")):  # vLLM: no reason is the model's own end
        finish, by = "end", ends[vocabulary.ends[0]]
    number = len(encode_rest(vocabulary.tokenizer, text)) if counted is None else counted
    return Completion(request.id, text, finish, number, by)


def read_total(id_: str, rest: list[int], answer: Any) -> tuple[float, int]:
    """Sum the log-probabilities of a request's last tokens."""
    listed: Any = getattr(_choice(id_, answer), "prompt_logprobs", None)
    try:
        found = [each[str(token)]["logprob"] for each, token in zip(listed[-len(rest) :], rest, strict=True)]
    except (TypeError, KeyError, ValueError) as error:
        raise EngineError(
            f"A server gives no log-probabilities of a prompt's tokens ({id_})",
            allowed="a server that knows prompt_logprobs, like vLLM",
            do="use vLLM servers, or the engine transformers",
        ) from error
    return round(sum(found), 4), len(rest)


def read_tops(id_: str, tokens: list[int], answer: Any) -> dict[int, float]:
    """Read those of the wanted next tokens' log-probabilities that a server gave."""
    found = (getattr(_choice(id_, answer).logprobs, "top_logprobs", None) or [{}])[0] or {}
    return {token: found[name] for token in tokens if (name := f"token_id:{token}") in found}
