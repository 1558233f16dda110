"""Chat frames: words in, framed text out.

`Frame.prompt("…")` puts words into a chat frame,
`Frame.conversation([("…", "…")], "…")` puts earlier turns before them, and `Frame.render` frames any messages.

Words of messages that are special tokens of the model are marked, so that they stay words (`prompting.special_tokens`).
Covers frames. Does not cover the prompts that stand in them (`prompting.prompt_files`) or tokens (engines).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import chain, cycle
from pathlib import Path
from typing import Any

from isheep_lib.errors import ModelError
from isheep_lib.prompting.special_tokens import literal, special_words
from isheep_lib.record.rows import Pair, Task

FOLDER = Path(__file__).parent / "prompts"  # prompts by language, and frames
NAMED = ("plain", "alpaca", "chatml", "llama3")
FRAMES = tuple(f"frames/{name}.jinja" for name in NAMED)
DAY = "2024-07-26"  # where templates that know no date have it from, too
SYSTEM, ASKED, WORDS = "SYSTEM7f3a", "ASKED7f3a", "WORDS7f3a"  # what no template holds by itself
NEXT = "NEXT7f3a"
REFUSALS = (AttributeError, IndexError, KeyError, TypeError, ValueError, ZeroDivisionError)  # of templates, beside Jinja's own


def user_words(task: Task | Pair) -> str:
    """Join instruction and input as the user would say them."""
    return f"{task.instruction}\n\n{task.input}" if task.input else task.instruction


@dataclass(frozen=True)
class Frame:
    """A chat template with the system prompt that opens it.

    Attributes:
        name: as in the parameters.
        template: Jinja over `messages`, `add_generation_prompt` and the special tokens, as tokenizers carry it.
        end: ends an answer.
        system: the system prompt, None where the template has no place for one.
        tokens: the special tokens that the template may use, by name.
        words: what the model's tokenizer takes for a special token; in messages these are letters.
        day: what a template that asks for today's date is told, YYYY-MM-DD.
        parts: whether the template wants contents as lists of parts, as those of models that also see do.
        dropped: the system prompt that the tokenizer's template does not show, "" where it shows what it is given.
    """

    name: str
    template: str
    end: str = ""
    system: str | None = None
    tokens: Mapping[str, Any] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    day: str = DAY
    parts: bool = False
    dropped: str = ""

    @property
    def notes(self) -> dict[str, str]:
        """What a record must keep of the frame beside its name: that it shows no system prompt."""
        said = "The chat template has no place for a system prompt; model.system_prompt is not shown to the model."
        return {"system_prompt": said} if self.dropped else {}

    def render(self, messages: Sequence[Mapping[str, str]], **options: bool) -> str:
        """Frame messages after the system prompt.

        Args:
            messages: each a role, user or assistant, and its content.
            options: of transformers' `apply_chat_template`: with `add_generation_prompt` an answer comes next, with
                `continue_final_message` the last message stays open.

        Raises:
            ModelError: the template refuses the messages, as some do after the first turn.
        """
        from jinja2 import TemplateError
        from transformers.utils.chat_template_utils import render_jinja_template

        first = [] if self.system is None else [{"role": "system", "content": self.system}]
        said: list[Any] = [*first, *({**message, "content": self.literal(message["content"])} for message in messages)]
        if self.parts:
            said = [{**message, "content": [{"type": "text", "text": message["content"]}]} for message in said]
        given = dict[str, Any](self.tokens, strftime_now=date.fromisoformat(self.day).strftime)  # in place of the clock
        try:
            texts, _ = render_jinja_template([said], chat_template=self.template, **given, **options)
        except (TemplateError, *REFUSALS) as error:
            raise ModelError(
                f"The chat template refuses these messages: {(str(error).splitlines() or [''])[0]}",
                where=f"frame {self.name}: {', '.join(message['role'] for message in said)}",
                do=f"choose another frame ({', '.join(NAMED)}), or leave out what asks several turns, such as mt_bench",
            ) from error
        return texts[0]

    def literal(self, text: str) -> str:
        """Mark what would be a special token in a text that stands beside the template's own words."""
        return literal(text, self.words)

    def prompt(self, words: str) -> str:
        """Frame words so that the model's answer comes next."""
        return self.conversation([], words)

    def conversation(self, turns: Sequence[tuple[str, str]], words: str) -> str:
        """Frame words after earlier turns, each the user's words and the answer."""
        return self.render(_turns(*chain(*turns), words), add_generation_prompt=True)

    def opener(self, turns: Sequence[tuple[str, str]] = ()) -> str:
        """Return what stands before the user's words, after earlier turns if any: the model goes on in the user's place."""
        return self.conversation(turns, WORDS).partition(WORDS)[0]

    def user_stops(self) -> tuple[str, ...]:
        """Return what ends the user's words: the token that ends an answer, and else what stands before the answer."""
        between = self.prompt(WORDS).partition(WORDS)[2].strip()
        return (self.end,) if self.end in between or not between else (self.end, between)


def answer_stops(frame: Frame) -> tuple[str, ...]:
    """Return what ends an answer after turns that show how: the end, else what opens the next turn, or another answer."""
    before, _, after = frame.conversation([(ASKED, WORDS)], NEXT).partition(ASKED)[2].partition(WORDS)
    after = after.partition(NEXT)[0]
    if frame.end and frame.end in after:
        return (frame.end,)
    return tuple(filter(None, (frame.end, after.strip() or after, before.strip())))


def get_frame(name: str, system: str, tokenizer: Any, day: str = DAY) -> Frame:
    """Return a frame by name, "tokenizer" being the tokenizer's own chat template.

    A template that asks for today's date is told `day`, as YYYY-MM-DD. Where a template ends an answer with nothing, or
    frames no answer, the tokenizer's end-of-text token does.

    Raises:
        ModelError: the frame is "tokenizer" and the tokenizer has no chat template that frames a question.
    """
    tokens = tokenizer.special_tokens_map
    if name == "tokenizer":
        frame = _own(tokenizer, system, day)
        end = _end(frame, _marks(tokenizer))
    else:
        frame = Frame(name, (FOLDER / f"frames/{name}.jinja").read_text(encoding="utf-8"), tokens=tokens, day=day)
        frame = replace(frame, system=system if SYSTEM in _shown(replace(frame, system=SYSTEM)) else None)
        end = _end(frame, set())
    end = end or tokens.get("eos_token", "")
    return replace(frame, end=end, words=special_words(tokenizer, _shown(frame) + end))


def template_end(tokenizer: Any) -> str:
    """Return the special token that the tokenizer's own chat template puts after an answer, "" where it has none."""
    try:
        end = get_frame("tokenizer", "", tokenizer).end
    except ModelError:
        return ""
    return end if end in _marks(tokenizer) else ""


def _turns(*texts: str) -> list[dict[str, str]]:
    return [{"role": role, "content": text} for role, text in zip(cycle(("user", "assistant")), texts, strict=False)]


def _own(tokenizer: Any, system: str, day: str) -> Frame:
    """Return the tokenizer's own template as a frame: of several the one called default, else the first that frames words."""
    given = tokenizer.chat_template or {}
    named = {"": given} if isinstance(given, str) else {"default": given["default"]} if "default" in given else given
    for _, template in sorted(named.items()):
        frame = _shaped(Frame("tokenizer", template, tokens=tokenizer.special_tokens_map, day=day), system)
        if frame:
            return frame
    raise ModelError(
        "No chat template of the model's tokenizer frames a question"
        if named
        else "The model's tokenizer has no chat template",
        where="base_frame or aligned_frame" + (f"; templates: {', '.join(sorted(named))}" if any(named) else ""),
        allowed=", ".join(NAMED),
        do="choose one of these frames in the params file",
    )


def _shaped(frame: Frame, system: str) -> Frame | None:
    """Give a frame the system prompt and the form of contents with which its template shows words, None where none does."""
    for parts in (False, True):
        tried = replace(frame, parts=parts)
        with_system, without = (_shown(replace(tried, system=first)) for first in (SYSTEM, None))
        if SYSTEM in with_system:
            return replace(tried, system=system)
        if without or with_system:  # some templates refuse a system message, some ask for one that they do not show
            return replace(tried, system=None if without else system, dropped=system)
    return None


def _shown(frame: Frame) -> str:
    """Return a prompt with words in it, "" where the template refuses or drops them."""
    try:
        text = frame.prompt(WORDS)
    except ModelError:
        return ""
    return text if WORDS in text else ""


def _end(frame: Frame, marks: set[str]) -> str:
    """Return what a template writes after an answer up to the first of some marks, "" for nothing or no answers at all.

    What follows that token, like Phi-3's end of text after the end of a turn, ends the conversation.
    """
    try:
        before, _, after = frame.render(_turns(ASKED, WORDS)).partition(WORDS)
    except ModelError:  # one turn is all that it takes
        return ""
    if ASKED not in before:  # the answer was taken for a question, or dropped
        return ""
    ends = [(after.index(mark), -len(mark)) for mark in marks if mark and mark in after]
    place, length = min(ends, default=(len(after), 0))
    return after[: place - length].strip()


def _marks(tokenizer: Any) -> set[str]:
    return {*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()}
