"""Rules on a single pair: cut off, no words, a role's label, a copy of the task (Appendix C)."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from isheep_lib.analysis.words import copy_share
from isheep_lib.filter.steps.step import PairStep, Reason, ScoredPair
from isheep_lib.languages import rules as languages
from isheep_lib.languages.mismatch import mismatch
from isheep_lib.languages.rules import ANY, Language
from isheep_lib.languages.words import DECIDES, amount, words
from isheep_lib.params.kinds import Section, Share, language_of
from isheep_lib.prompting.chat import user_words
from isheep_lib.prompting.thinking import answer_part
from isheep_lib.record.rows import Pair

CHINESE = re.compile(r"[\u4e00-\u9fff]")
CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]+`", re.DOTALL)
ANY_TAG = re.compile(r"<[A-Za-z][\w \-]*>|\[(?:insert|your|name|date)\b[^\]]*\]", re.IGNORECASE)
SAYS = re.compile(r"[^\W_]|[^\w\s!-/:-@\[-`{-~¡-¿\u2010-\u205e\u3000-\u303f]")  # an emoji may be an answer, a dash is none
# Of any model; those of a run's own model are named in its rows (`synthesize.respond`).
SPECIAL = re.compile(r"<\|\w[\w ./▁-]*\|>|<｜[^｜<>\n]+｜>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>")

Rule = Callable[[Pair, languages.Rules], object]
Placeholders = Literal["to_fill_in", "any_tag"]
OtherLanguages = Literal["mismatch", "chinese"]
MISMATCH = "language_mismatch"
RULES: dict[str, tuple[str, Rule]] = {
    "empty_output": ("the response has no letter, number or symbol", lambda pair, own: not SAYS.search(pair.output)),
    "cut_off": ("the token limit ended the response", lambda pair, own: pair.finish == "length"),
    "special_token": ("a token of the chat frame stands in the text", lambda pair, own: _special(pair)),
    "dialogue": ("a line of the response begins with a role", lambda pair, own: own.finds("role", pair.output)),
    "answer_choices": (
        "multiple choice",
        lambda pair, own: own.finds("choices", _all(pair)) or own.finds("lettered", pair.output),
    ),
    "follow_up": ("the response ends by asking another question", lambda pair, own: own.finds("follow_up", pair.output)),
    MISMATCH: (
        "instruction or response are in another language than the run's, and the task asks for none",
        lambda pair, own: other_language(pair, own),
    ),
    "placeholder": ("a placeholder such as <name>", lambda pair, own: _has_placeholder(_all(pair), own)),
    "input_repeats": ("the input is contained in the instruction", lambda pair, own: _repeats(pair)),
}
# What the release has in place of a rule: its name there, its meaning, and how it decides.
Named = tuple[str, str, Rule]
ANY_TAGS: Named = ("placeholder", RULES["placeholder"][0], lambda pair, own: ANY_TAG.search(_all(pair)))
ANY_CHINESE: Named = ("chinese", "Chinese characters", lambda pair, own: CHINESE.search(_all(pair)))
ECHO_WORDS = 5  # a label or a name may stand in the task


def _all(pair: Pair) -> str:
    return f"{pair.instruction}\n{pair.input}\n{pair.output}"


def _special(pair: Pair) -> object:
    return pair.lineage.get("special_tokens") or SPECIAL.search(_all(pair))


def _has_placeholder(text: str, own: languages.Rules) -> bool:
    """Tell whether a text outside of code has a placeholder; `<name>` is none where `</name>` ends it."""
    said = CODE.sub("", text)
    found = (each for pattern in own.found["placeholder"] for each in pattern.finditer(said))
    return any(not each["blank"] or f"</{each['blank']}>" not in said for each in found)


def _repeats(pair: Pair) -> bool:
    return bool(pair.input) and pair.input.lower() in pair.instruction.lower()


def other_language(pair: Pair, own: languages.Rules) -> str:
    """Say why a pair is in another language than the run's, "" where it is not.

    The instruction must be in the run's language. So must the response, unless the task brings another one with it: the
    instruction names one or asks to translate, or the input is in another itself. So "Translate to French: …" may be
    answered in French, and a French text may be summarised in French.
    """
    language = list(own.tags) or ANY
    if why := mismatch(pair.instruction, language):
        return f"instruction: {why}"
    asked = own.finds("other_language", pair.instruction) or mismatch(pair.input, language)
    why = "" if asked else mismatch(pair.output, language)
    return f"response: {why}" if why else ""


def rule_problem(pair: Pair, max_copy_share: float, options: "RulesOptions | None" = None, language: Language = "en") -> Reason:
    """Return the first rule that a pair breaks and the detail, ("", "") if none; what a model thought aloud is no response.

    Args:
        pair: a task and its response.
        max_copy_share: of the response, copied from the task.
        options: which rules are the release's; the defaults without any.
        language: of the run.
    """
    pair, own = replace(pair, output=answer_part(pair.output)), languages.of(language)
    for name, meaning, broken in _rules(options or RulesOptions()):
        if found := broken(pair, own):
            return name, f"{meaning}; {found}" if name == MISMATCH else meaning
    share = copy_share(pair.output, user_words(pair.task))
    if share > max_copy_share and amount(words(pair.output)) >= ECHO_WORDS:
        return "echo", f"{share:.0%} of the response is copied from the task"
    return "", ""


def _rules(options: "RulesOptions") -> list[Named]:
    """List the rules in their order, each with its meaning, the release's in their places where they are chosen."""
    instead: dict[str, Named] = {"placeholder": ANY_TAGS} if options.placeholders == "any_tag" else {}
    instead |= {MISMATCH: ANY_CHINESE} if options.other_languages == "chinese" else {}
    return [instead.get(name, (name, meaning, broken)) for name, (meaning, broken) in RULES.items()]


class RulesOptions(Section):
    """The options of `rules`."""

    placeholders: Placeholders = Field(
        "to_fill_in", description="rules: placeholders ask to be filled in, or are, as in the release, anything like <word>"
    )
    other_languages: OtherLanguages = Field(
        "mismatch",
        description="rules: other languages than the run's are dropped, or, as in the release, any Chinese character",
    )
    max_copy_share: Share = Field(0.5, description="rules: share of the response copied from the task, more is an echo")


class Rules(PairStep[RulesOptions]):
    """Drops pairs that break a heuristic rule."""

    name: ClassVar[str] = "rules"
    options: ClassVar[type[Section]] = RulesOptions
    packages: ClassVar[tuple[str, ...]] = (DECIDES,)
    meanings: ClassVar[dict[str, str]] = {name: meaning for name, (meaning, _) in RULES.items()} | {
        "chinese": "Chinese characters, in place of language_mismatch where other_languages is chinese",
        "echo": "more than max_copy_share of a response of at least 5 words is copied from the task",
    }

    def problem(self, row: ScoredPair, options: RulesOptions) -> Reason:
        """Return the first rule that the pair breaks."""
        return rule_problem(row.pair, options.max_copy_share, options, language_of(options))
