"""What a server's answer means: a completion, log-probabilities of a prompt's or of the next tokens.

Covers vLLM's fields, and what is left without them. Does not cover asking (`server_engine`).
"""

from dataclasses import replace
from typing import Any

from isheep_lib.engines.protocol import Completion, Request
from isheep_lib.engines.tokens import Vocabulary, encode_rest
from isheep_lib.errors import EngineError
from isheep_lib.server_key import struck

# Why an answer ended: whole, whole by the model's own end, cut by a limit, or refused by the server.
WHOLE, MODELS_END, CUT, REFUSAL = "whole", "models_end", "cut", "refused"
REASONS = {
    **dict.fromkeys(("stop", "stop_sequence", "complete", "completed", "finished", "done"), WHOLE),
    **dict.fromkeys(("eos", "eos_token", "end_turn", "end_of_turn", "end_of_text"), MODELS_END),
    **dict.fromkeys(("length", "max_tokens", "max_new_tokens", "max_output_tokens", "model_length", "token_limit"), CUT),
    **dict.fromkeys(("content_filter", "content_filtered", "refusal", "safety", "recitation", "prohibited_content"), REFUSAL),
    **dict.fromkeys(("blocklist", "spii", "sensitive"), REFUSAL),
}


def first_choice(id_: str, answer: Any) -> Any:
    """Return an answer's first choice.

    Raises:
        EngineError: it is of another form, or the server gave none.
    """
    choices = getattr(answer, "choices", None)
    if isinstance(choices, list) and not choices:
        said = str({name: value for name, value in answer if name != "choices" and value is not None})
        raise EngineError(
            f"The server answered {id_} without any choice (its list is empty); it says {said[:300]}",
            do="a server that filters prompts, or whose model failed, answers so: its log or its provider knows more",
        )
    return choices[0] if isinstance(choices, list) else None


def ended(request: Request, reason: Any, counted: Any) -> str:
    """Say why an answer ended, by the words of many servers; without any it is whole, unless it has all the tokens allowed.

    Raises:
        EngineError: the word is not known.
    """
    if not reason:
        return CUT if isinstance(counted, int) and counted >= request.max_new_tokens else WHOLE
    found = REASONS.get(str(reason).lower().replace("-", "_").removeprefix("finish_reason_"))
    if found is None:
        what = (
            "asks for a tool" if "call" in str(reason) or "tool" in str(reason) else "tells neither whether it is whole or cut"
        )
        raise EngineError(
            f"The answer to {request.id} ended by {str(reason)[:40]!r}, which {what}",
            allowed=", ".join(REASONS),
            do="use a server that answers in text and says why it ended, or none",
        )
    return found


def _choice(id_: str, answer: Any) -> Any:
    choice = first_choice(id_, answer)
    if not hasattr(choice, "finish_reason") or len(answer.choices) != 1:
        raise EngineError(f"The answer to {id_} does not hold one choice", do="check that base_urls are completion servers")
    return choice


def read_completion(vocabulary: Vocabulary, request: Request, answer: Any) -> Completion:
    """Make a completion of an answer, by token ids where there are any; an EngineError if it was filtered, or cut too early."""
    choice = _choice(request.id, answer)
    tokens, counted = getattr(choice, "token_ids", None), getattr(answer.usage, "completion_tokens", None)
    end = ended(request, choice.finish_reason, counted)
    if end == REFUSAL:
        raise EngineError(
            f"The server refused to answer {request.id}: it ended by {choice.finish_reason!r}",
            do="use a server that continues text and filters nothing",
        )
    done = vocabulary.completion(request, tokens) if tokens else None
    if done is None or (done.finish == "length" and end != CUT):
        done = _from_text(vocabulary, request, choice, end, counted)
    if (text := struck(done.text)) != done.text:  # token ids may spell a key
        done = replace(done, text=text, tokens=())
    if done.finish == "length" and (tokens or counted) and done.num_tokens < request.max_new_tokens:
        raise EngineError(
            f"The server cut the answer to {request.id} after {done.num_tokens} of {request.max_new_tokens} tokens",
            do="start it with a larger --max-model-len, or lower context_tokens",
        )
    return done


def _from_text(vocabulary: Vocabulary, request: Request, choice: Any, end: str, counted: int | None) -> Completion:
    """Read an answer without token ids; a server that gives no reason leaves open which stop text ended it."""
    text, reason = choice.text or "", getattr(choice, "stop_reason", None)
    ends, stops = vocabulary.stops(request)
    finish, by = "length" if end == CUT else "stop", ""
    found = [(text.find(stop), stop) for stop in request.stop if stop in text]
    if found:
        cut, reason = min(found)
        text = text[:cut]
    if isinstance(reason, str):
        finish, by = "stop" if reason in stops else "end", reason
    elif reason is not None:
        finish, by = "end", ends.get(reason) or vocabulary.tokenizer.decode([reason])
    elif finish == "stop" and (
        not stops or end == MODELS_END or hasattr(choice, "stop_reason")
    ):  # vLLM: no reason is the model's own end
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
