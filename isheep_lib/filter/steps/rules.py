"""Rules on a single pair: cut off, no words, a role's label, a copy of the task (Appendix C)."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from isheep_lib.analysis.words import copy_share
from isheep_lib.filter.steps.step import PairStep, Reason, ScoredPair
from isheep_lib.languages.words import DECIDES, amount, words
from isheep_lib.params.kinds import Section, Share
from isheep_lib.prompting.chat import user_words
from isheep_lib.prompting.thinking import answer_part
from isheep_lib.record.rows import Pair

ROLE = re.compile(r"^\s*(?:assistant|system|human|question|output|user|input|instruction)\s*:", re.IGNORECASE | re.MULTILINE)
CHOICES = re.compile(r"answer choices\s*:", re.IGNORECASE)
LETTERED = re.compile(r"^\s*\(?[A-D][.)]\s+\S.*\n\s*\(?[B-E][.)]\s+\S", re.MULTILINE)
FOLLOW_UP = re.compile(r"\n\s*\n\s*(?:question|q)\s*\d*\s*[:.]|\n\s*\n[^\n]{0,200}\?\s*$", re.IGNORECASE)
CHINESE = re.compile(r"[\u4e00-\u9fff]")
# A placeholder asks to be filled in: "[Your Name]", "[insert the date]", "[Company Name]", "<your name>", "<name>". An index
# (`row[name]`), a link, a list comprehension, a type's parameter (`Map<Name>`) and an element with its end are none.
FILL_IN = r"(?:insert|enter|fill in|your)[ _-][^<>\[\]\n]{1,80}"
BLANK = r"(?:[^\W\d_][\w'’]*[ ]){0,3}(?:name|date|address)"
SQUARE = rf"(?<![\w\])])\[(?:{FILL_IN}|insert|{BLANK}|(?:name|date) of [^\[\]\n]{{1,60}})\](?!\()"
ANGLE = rf"(?<![\w<])<(?:{FILL_IN}|(?P<blank>{BLANK}))>"
PLACEHOLDER = re.compile(f"{SQUARE}|{ANGLE}", re.IGNORECASE)
CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]+`", re.DOTALL)
ANY_TAG = re.compile(r"<[A-Za-z][\w \-]*>|\[(?:insert|your|name|date)\b[^\]]*\]", re.IGNORECASE)
SAYS = re.compile(r"[^\W_]|[^\w\s!-/:-@\[-`{-~¡-¿\u2010-\u205e\u3000-\u303f]")  # an emoji may be an answer, a dash is none
# Of any model; those of a run's own model are named in its rows (`synthesize.respond`).
SPECIAL = re.compile(r"<\|\w[\w ./▁-]*\|>|<｜[^｜<>\n]+｜>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>")

Rule = Callable[[Pair], object]
Placeholders = Literal["to_fill_in", "any_tag"]
RULES: dict[str, tuple[str, Rule]] = {
    "empty_output": ("the response has no letter, number or symbol", lambda pair: not SAYS.search(pair.output)),
    "cut_off": ("the token limit ended the response", lambda pair: pair.finish == "length"),
    "special_token": ("a token of the chat frame stands in the text", lambda pair: _special(pair)),
    "dialogue": ("a line of the response begins with a role", lambda pair: ROLE.search(pair.output)),
    "answer_choices": ("multiple choice", lambda pair: CHOICES.search(_all(pair)) or LETTERED.search(pair.output)),
    "follow_up": ("the response ends by asking another question", lambda pair: FOLLOW_UP.search(pair.output)),
    "chinese": ("Chinese characters", lambda pair: CHINESE.search(_all(pair))),
    "placeholder": ("a placeholder such as <name>", lambda pair: _has_placeholder(_all(pair))),
    "input_repeats": ("the input is contained in the instruction", lambda pair: _repeats(pair)),
}
RELEASED: dict[str, tuple[str, Rule]] = {
    "placeholder": (RULES["placeholder"][0], lambda pair: ANY_TAG.search(_all(pair))),
}
ECHO_WORDS = 5  # a label or a name may stand in the task


def _all(pair: Pair) -> str:
    return f"{pair.instruction}\n{pair.input}\n{pair.output}"


def _special(pair: Pair) -> object:
    return pair.lineage.get("special_tokens") or SPECIAL.search(_all(pair))


def _has_placeholder(text: str) -> bool:
    """Tell whether a text outside of code has a placeholder; `<name>` is none where `</name>` ends it."""
    said = CODE.sub("", text)
    return any(not found["blank"] or f"</{found['blank']}>" not in said for found in PLACEHOLDER.finditer(said))


def _repeats(pair: Pair) -> bool:
    return bool(pair.input) and pair.input.lower() in pair.instruction.lower()


def rule_problem(pair: Pair, max_copy_share: float, placeholders: Placeholders = "to_fill_in") -> Reason:
    """Return the first rule that a pair breaks and the detail, ("", "") if none; what a model thought aloud is no response."""
    pair = replace(pair, output=answer_part(pair.output))
    for name, (meaning, broken) in (RULES | (RELEASED if placeholders == "any_tag" else {})).items():
        if broken(pair):
            return name, meaning
    share = copy_share(pair.output, user_words(pair.task))
    if share > max_copy_share and amount(words(pair.output)) >= ECHO_WORDS:
        return "echo", f"{share:.0%} of the response is copied from the task"
    return "", ""


class RulesOptions(Section):
    """The options of `rules`."""

    placeholders: Placeholders = Field(
        "to_fill_in", description="rules: placeholders ask to be filled in, or are, as in the release, anything like <word>"
    )
    max_copy_share: Share = Field(0.5, description="rules: share of the response copied from the task, more is an echo")


class Rules(PairStep[RulesOptions]):
    """Drops pairs that break a heuristic rule."""

    name: ClassVar[str] = "rules"
    options: ClassVar[type[Section]] = RulesOptions
    packages: ClassVar[tuple[str, ...]] = (DECIDES,)
    meanings: ClassVar[dict[str, str]] = {name: meaning for name, (meaning, _) in RULES.items()} | {
        "echo": "more than max_copy_share of a response of at least 5 words is copied from the task"
    }

    def problem(self, row: ScoredPair, options: RulesOptions) -> Reason:
        """Return the first rule that the pair breaks."""
        return rule_problem(row.pair, options.max_copy_share, options.placeholders)
