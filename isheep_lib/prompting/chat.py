"""Prompts and chat frames: text files in, framed text out.

`render("quality-combined.txt", task="…", response="…")` fills a prompt; `Frame.prompt("…")` puts words into a chat frame,
`Frame.conversation([("…", "…")], "…")` puts earlier turns before them, and `Frame.render` frames any messages.

Words of messages that are special tokens of the model are marked, so that they stay words (`prompting.special_tokens`).
Covers rendering and hashing. Does not cover tokens (engines).
"""

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import chain, cycle
from pathlib import Path
from typing import Any

from isheep_lib.errors import ModelError
from isheep_lib.prompting.special_tokens import literal, special_words
from isheep_lib.record.rows import Pair, Task, digest_file

FOLDER = Path(__file__).parent / "prompts"
NAMED = ("plain", "alpaca", "chatml", "llama3")
FRAMES = tuple(f"frames/{name}.jinja" for name in NAMED)
MARK = "SYSTEM7f3a"  # a system prompt that no template holds by itself
DAY = "2024-07-26"  # where templates that know no date have it from, too


def render(name: str, **values: str) -> str:
    """Fill a prompt file; the variables given and the variables in the file must be the same.

    Raises:
        ValueError: variables are missing or unused, which is a mistake of ours.
    """
    text = (FOLDER / name).read_text(encoding="utf-8").removesuffix("\n")
    wanted = {field for _, field, _, _ in string.Formatter().parse(text) if field}
    if wanted != set(values):
        raise ValueError(f"{name} wants {sorted(wanted)}, got {sorted(values)}")
    return text.format(**values)


def digest(name: str) -> str:
    """Hash a prompt file."""
    return digest_file(FOLDER / name)


def digests(*names: str) -> dict[str, str]:
    """Hash prompt files, by name."""
    return {name: digest(name) for name in names}


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
    """

    name: str
    template: str
    end: str = ""
    system: str | None = None
    tokens: Mapping[str, Any] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    day: str = DAY

    def render(self, messages: Sequence[Mapping[str, str]], **options: bool) -> str:
        """Frame messages after the system prompt.

        Args:
            messages: each a role, user or assistant, and its content.
            options: of transformers' `apply_chat_template`: with `add_generation_prompt` an answer comes next, with
                `continue_final_message` the last message stays open.
        """
        from transformers.utils.chat_template_utils import render_jinja_template

        first = [] if self.system is None else [{"role": "system", "content": self.system}]
        said = [*first, *({**message, "content": self.literal(message["content"])} for message in messages)]
        given = dict[str, Any](self.tokens, strftime_now=date.fromisoformat(self.day).strftime)  # in place of the clock
        texts, _ = render_jinja_template([said], chat_template=self.template, **given, **options)
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

    def opener(self) -> str:
        """Return what stands before the user's first words: the model goes on in the user's place."""
        return self.render(_turns(""), continue_final_message=True)


def get_frame(name: str, system: str, tokenizer: Any, day: str = DAY) -> Frame:
    """Return a frame by name, "tokenizer" being the tokenizer's own chat template.

    A template that asks for today's date is told `day`, as YYYY-MM-DD. Where a template ends an answer with nothing, the
    tokenizer's end-of-text token does.

    Raises:
        ModelError: the frame is "tokenizer" and the tokenizer has no chat template.
    """
    template = _own(tokenizer) if name == "tokenizer" else (FOLDER / f"frames/{name}.jinja").read_text(encoding="utf-8")
    frame = Frame(name, template, tokens=tokenizer.special_tokens_map, day=day)
    frame = replace(frame, system=system if _takes_system(frame) else None)
    pair = _turns("a", "a")
    whole = frame.render(pair)
    end = whole.removeprefix(frame.render(pair, continue_final_message=True)).strip()
    return replace(frame, end=end or frame.tokens["eos_token"], words=special_words(tokenizer, whole))


def _turns(*texts: str) -> list[dict[str, str]]:
    return [{"role": role, "content": text} for role, text in zip(cycle(("user", "assistant")), texts, strict=False)]


def _own(tokenizer: Any) -> str:
    if not tokenizer.chat_template:
        raise ModelError(
            "The model's tokenizer has no chat template",
            where="base_frame or aligned_frame",
            allowed=", ".join(NAMED),
            do="choose one of these frames in the params file",
        )
    return tokenizer.get_chat_template()


def _takes_system(frame: Frame) -> bool:
    from jinja2 import TemplateError

    try:
        return MARK in replace(frame, system=MARK).prompt("a")
    except TemplateError:  # some templates refuse a system message
        return False
