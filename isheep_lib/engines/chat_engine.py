"""The chat engine: a judge behind OpenAI-compatible chat servers, whose weights and tokenizer we do not have.

    engine = ChatEngine("gpt-4", settings)
    list(engine.generate(engine.batches([Request("r1", "Which answer is better?", 16)])))  # [[Completion("r1", …)]]

A prompt is the user's words; the server frames them with its own chat template.
Covers what is asked, what an answer means, and which addresses have the judge. Does not cover sending and failing over
(`engines.servers.pool`), HTTP and the key (`engines.servers.client`), or how a verdict is read.
"""

import difflib
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from tenacity.wait import wait_base

from isheep_lib.engines.params import Model
from isheep_lib.engines.protocol import Completion, Request, quiet
from isheep_lib.engines.servers.client import Call
from isheep_lib.engines.servers.pool import PAUSE, Replicas
from isheep_lib.engines.servers.refusals import NEW_LIMIT, OLD_LIMIT, fewer
from isheep_lib.engines.servers.responses import CUT, MODELS_END, REFUSAL, WHOLE, ended, first_choice
from isheep_lib.errors import EngineError

if TYPE_CHECKING:
    from openai import AsyncOpenAI

MOST_TRIES = 8  # requests to find out what a server refuses
NOTHING = object()
FILTERED = ("content_filter", "content_policy_violation")  # codes of a refusal that is about the prompt's words alone
REFUSED = "check that base_urls end in /v1, the judge's name, and that it takes prompts and answers of this length"


def preflight(served: str, settings: Model) -> None:
    """Raise an EngineError if no address answers, or none lists the model: with what each lists, and the nearest names."""
    Replicas(settings, served, partial(_advise, served), may_lack_list=True).close()


class ChatEngine:
    """One judge behind servers; of the protocol `isheep_lib.engines.protocol.Engine` it knows what needs no tokens."""

    vocabulary: Any = None
    tokenizer: Any = None
    context = 0  # only the server knows it

    def __init__(self, served: str, settings: Model, pause: wait_base = PAUSE) -> None:
        """Find the servers that have the judge, `served` as they call it, or raise as `preflight`; `pause` is tenacity's."""
        self.name = served
        self._reported: set[str] = set()
        self._answered, self._left_out, self._told = False, frozenset[str](), frozenset[str]()
        self._servers = Replicas(settings, served, partial(_advise, served), may_lack_list=True, pause=pause)

    def facts(self) -> dict[str, Any]:
        """Name the judge as asked for and as replies call it ("" before the first), what it refuses, and what nobody told."""
        return {
            "engine": "chat",
            "requested": self.name,
            "served": ", ".join(sorted(self._reported)),
            "servers": len(self._servers.lists),
            "servers_without_list": list(self._servers.lists.values()).count(None),
            "left_out": sorted(self._left_out - {OLD_LIMIT}),
            "weights": "unknown",
            "dtype": "unknown",
        }

    def batches(self, requests: list[Request]) -> list[list[Request]]:
        """Return one request per batch; prompts that are too long are known to the server alone, which refuses them."""
        return [[request] for request in requests]

    def generate(self, batches: list[list[Request]], tick: Callable[[float], None] = quiet) -> Iterator[list[Completion]]:
        """Ask every prompt; see the protocol. Servers tell nothing of unfinished answers: `tick` is not called.

        An answer's text is "" where the server filtered it or wrote nothing; its tokens are 0 where nobody counted them.

        Raises:
            RequestRefused: a request that no server will ever answer; what was finished before was yielded.
            NoServer: no server answered for as long as the timeout lasts; what was finished before was yielded.
            EngineError: an answer is no chat completion.
        """
        requests = (request for batch in batches for request in batch)
        calls = (Call(r.id, partial(self._send, r), partial(self._read, r), REFUSED) for r in requests)
        for found in self._servers.ask(calls):
            if left_out := sorted(self._left_out - self._told - {OLD_LIMIT}):
                print(f"{self.name} refuses {', '.join(left_out)}: it is asked without, and the record says so")
            self._told |= self._left_out
            yield found

    async def _send(self, request: Request, client: "AsyncOpenAI") -> Any:
        """Ask, without what the server refuses; a prompt that it filters is answered with nothing, like a filtered answer."""
        from openai import BadRequestError, UnprocessableEntityError
        from openai.types.chat import ChatCompletion

        tries, refused = [self._left_out], []
        for left_out in tries:
            try:
                answer = await client.chat.completions.create(**self._form(request, left_out))
            except (BadRequestError, UnprocessableEntityError) as error:
                if error.code in FILTERED:
                    return ChatCompletion.construct(choices=[{"message": {"content": ""}, "finish_reason": "content_filter"}])
                refused.append(error)
                more = fewer(error, left_out, blind=not self._answered)
                tries += [other for other in more if other not in tries][: MOST_TRIES - len(tries)]
            else:
                self._answered, self._left_out = True, self._left_out | left_out
                return answer
        raise refused[0]

    def _form(self, request: Request, left_out: frozenset[str]) -> dict[str, Any]:
        sampling = {"temperature": request.temperature, "top_p": request.top_p, "seed": request.seed}
        stops = [stop for stop in request.stop if stop]
        return {
            "model": self.name,
            "messages": [{"role": "user", "content": request.prompt}],
            **{name: value for name, value in sampling.items() if name not in left_out},
            **({"stop": stops} if stops else {}),  # an empty list is refused by some servers
            NEW_LIMIT if OLD_LIMIT in left_out else OLD_LIMIT: request.max_new_tokens,
        }

    def _read(self, request: Request, answer: Any) -> Completion:
        completion = read_message(request, answer)
        if isinstance(answer.model, str):
            self._reported.add(answer.model)
        return completion

    def _only_writes(self, *_: Any) -> NoReturn:
        raise EngineError(
            f"A chat server judges in writing only: {self.name} gives no log-probabilities and no vectors",
            allowed="written verdicts",
            do="set judge_verdicts: written, or take a judge whose weights are here",
        )

    logprobs: Any = _only_writes
    choices: Any = _only_writes
    embed: Any = _only_writes

    def close(self) -> None:
        """Close all connections; a second time does nothing."""
        self._servers.close()


def read_message(request: Request, answer: Any) -> Completion:
    """Make a completion of an answer; what the server filtered or left empty is "".

    Raises:
        EngineError: it holds no message, or ended in a way that has no meaning here.
    """
    choice = first_choice(request.id, answer)
    message = getattr(choice, "message", None)
    content = _text(getattr(message, "content", NOTHING))
    if content is None:
        raise EngineError(f"The answer to {request.id} holds no message of text", do="check that base_urls are chat servers")
    counted = getattr(answer.usage, "completion_tokens", None)
    refused = not content and getattr(message, "refusal", None)  # some name a refusal apart, and end by "stop"
    end = REFUSAL if refused else ended(request, getattr(choice, "finish_reason", None), counted)
    text = "" if end == REFUSAL or not content.strip() else content
    finish = {WHOLE: "end", MODELS_END: "end", CUT: "length"}.get(end, end)
    return Completion(request.id, text, finish, counted if isinstance(counted, int) else 0)


def _text(content: Any) -> str | None:
    """Join the parts of a message that are its text, not what was thought; None where it has another form."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        return None
    parts = [part if isinstance(part, dict) else {"type": "text", "text": part} for part in content]
    texts = [part.get("text") for part in parts if part.get("type", "text") in ("text", "output_text")]
    found = [text for text in texts if isinstance(text, str)]
    return "".join(found) if len(found) == len(texts) else None


def _advise(served: str, others: list[str]) -> str:
    if not others:
        return "check base_urls and the network, or start the server"
    near = difflib.get_close_matches(served, sorted(set(others)), n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else "give the judge's name as its server lists it"
