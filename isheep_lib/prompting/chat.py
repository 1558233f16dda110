"""Prompts and chat frames: text files in, framed text out.

`render("quality-combined.txt", task="…", response="…")` fills a prompt; `Frame.prompt("…")` puts words into a chat frame,
and `Frame.conversation([("…", "…")], "…")` puts earlier turns before them.

Covers rendering and hashing. Does not cover tokens (engines).
"""

import string
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jinja2 import TemplateError

from isheep_lib.errors import ModelError
from isheep_lib.record.rows import Task, digest_file

FOLDER = Path(__file__).parent / "prompts"
FRAMES = "frames.yaml"


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


def user_words(task: Task) -> str:
    """Join instruction and input as the user would say them."""
    return f"{task.instruction}\n\n{task.input}" if task.input else task.instruction


@dataclass(frozen=True)
class Frame:
    """What stands around the user's words, and what ends an answer.

    Attributes:
        name: as in the parameters.
        before: up to the user's first words.
        after: from the user's words to the answer that the model is to write.
        end: ends an answer.
        between: from an answer to the user's next words; where it is empty, `end` and `before`.
        replied: from the user's words to an earlier answer; where it is empty, `after`.
    """

    name: str
    before: str
    after: str
    end: str
    between: str = ""
    replied: str = ""

    def prompt(self, words: str) -> str:
        """Frame words so that the model's answer comes next."""
        return f"{self.before}{words}{self.after}"

    def conversation(self, turns: list[tuple[str, str]], words: str) -> str:
        """Frame words after earlier turns, each the user's words and the answer; a system prompt stands only at the start."""
        between, replied = self.between or self.end + self.before, self.replied or self.after
        return self.prompt("".join(f"{asked}{replied}{answer}{between}" for asked, answer in turns) + words)


@cache
def _frames() -> dict[str, dict[str, str]]:
    return yaml.safe_load((FOLDER / FRAMES).read_text(encoding="utf-8"))


def get_frame(name: str, system: str, tokenizer: Any) -> Frame:
    """Return a frame by name; an empty `end` becomes the tokenizer's end-of-text token.

    Raises:
        ModelError: the frame is "tokenizer" and the tokenizer has no chat template.
    """
    if name == "tokenizer":
        return _frame_of(tokenizer, system)
    parts = _frames()[name]
    before, end = parts["before"].format(system=system), parts["end"] or tokenizer.eos_token
    return Frame(name, before, parts["after"], end, parts["between"])


def _frame_of(tokenizer: Any, system: str) -> Frame:
    """Read a frame off the chat template by rendering it around markers."""
    if not tokenizer.chat_template:
        raise ModelError(
            "The model's tokenizer has no chat template",
            where="base_frame or aligned_frame",
            allowed=", ".join(_frames()),
            do="choose one of these frames in the params file",
        )
    asked, answered, again = "ASKED-7f3a", "ANSWERED-7f3a", "AGAIN-7f3a"
    messages = [{"role": "system", "content": system}, {"role": "user", "content": asked}]
    try:
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    except TemplateError:  # some templates know no system role
        messages = messages[1:]
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    before, after = text.split(asked)
    messages.append({"role": "assistant", "content": answered})
    whole = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=False)
    end = whole.split(answered)[1].strip() or tokenizer.eos_token
    # Without a system message: some templates would put it before the last words, and so once more into the middle.
    turns = [{"role": "user", "content": asked}, messages[-1], {"role": "user", "content": again}]
    longer = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    asking, following = longer.split(answered)
    # Before an answer that is to come, some templates write more, or less, than before one that stands there.
    replied = asking.split(asked)[1]
    return Frame("tokenizer", before, after, end, following.split(again)[0], "" if replied == after else replied)
