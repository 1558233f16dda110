r"""The words of a language's file of rules, and the regular expressions that are made of them.

    PATTERNS["forbidden_word"](Words(…))     # re.compile(r"\b(?:image|images|…)\b")

Covers how words become expressions, the same way in every language. Does not cover the files (`languages.rules`).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

NEVER = r"(?!)"
# Vowel signs and the like, which `\w` does not know and which belong to the letter before them.
MARKS = r"\u0300-\u036f\u0610-\u061a\u064b-\u065f\u0670\u0900-\u0903\u093a-\u094f\u0951-\u0957\u0962\u0963"
WIDE = "．）、）"  # marks after a choice's letter that need no space


@dataclass(frozen=True)
class Words:
    """A language's file of rules; every list holds regular expressions, in which letters stand for either case.

    Attributes:
        name, own_name: of the language, in English and in itself.
        scripts: that it is written in, as Unicode names them.
        first_letters: "ascii", as the released rule has it, or "any": letters of every script may come first.
        opening_marks: that may stand before the first letter of an instruction.
        min_words, max_words: of an instruction (`words.count_words`).
        word_edges: where a forbidden word ends: "both" sides are no letters; "start" alone, where endings are attached;
            "marked", both, and vowel signs are letters; "none", where words are not parted.
        word_prefix: what may be attached before a forbidden word.
        colons: after a label.
        forbidden_words: things that a model of text cannot see, open or make.
        instruction_labels, input_labels, output_labels: before a colon, the parts of a task.
        item_labels, answer_labels: further labels of a task and of an answer in a list, which may stand in any text.
        list_marks: signs between an item's number and its text, full-width ones as ASCII.
        list_ordinals: what else numbers an item, # being the number.
        list_stops: texts after the number of an item that is not asked for.
        list_no_input: what a list says in place of an input, where that is not what no_input holds.
        leaked: what stands in a task only where a prompt's form has leaked into it.
        roles: before a colon at the beginning of a line, who speaks, or the part of a task.
        choices: before a colon, the choices of a question.
        choice_letters, choice_marks: alphabets of choices, and what stands after such a letter.
        follow_up: before a number and a mark, a further question.
        question_marks: that end a question.
        no_input: what data, or a model, say where a task has no input.
        refusals: how an answer begins that declines.
        apologies: of an answer that declines somewhere.
        of_itself: how a model speaks of being one.
        placeholder_asks: before what should be put in, within brackets.
        placeholder_alone: alone within square brackets.
        placeholder_blanks: last words of what should be put in; placeholder_of: first ones, within square brackets.
        other_languages: by which a task is about another language: to translate, and names of languages.
        prompt_leaks: words of a prompt that asks to rewrite a task, which stand in a rewriting where they leaked.
        rewriting_labels: before a colon, a rewritten task.
        stop_words: words that say nothing alone; for English the code has those of scikit-learn.
    """

    name: str
    own_name: str
    scripts: list[str] = field(default_factory=list)
    first_letters: str = "any"
    opening_marks: str = ""
    min_words: int = 1
    max_words: int = 150
    word_edges: str = "both"
    word_prefix: str = ""
    colons: str = ":"
    forbidden_words: list[str] = field(default_factory=list)
    instruction_labels: list[str] = field(default_factory=list)
    input_labels: list[str] = field(default_factory=list)
    output_labels: list[str] = field(default_factory=list)
    item_labels: list[str] = field(default_factory=list)
    answer_labels: list[str] = field(default_factory=list)
    list_marks: str = "."
    list_ordinals: list[str] = field(default_factory=list)
    list_stops: list[str] = field(default_factory=list)
    list_no_input: list[str] = field(default_factory=list)
    leaked: list[str] = field(default_factory=list)
    roles: list[str] = field(default_factory=list)
    choices: list[str] = field(default_factory=list)
    choice_letters: list[str] = field(default_factory=list)
    choice_marks: str = ".)"
    follow_up: list[str] = field(default_factory=list)
    question_marks: str = "?"
    no_input: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    apologies: list[str] = field(default_factory=list)
    of_itself: list[str] = field(default_factory=list)
    placeholder_asks: list[str] = field(default_factory=list)
    placeholder_alone: list[str] = field(default_factory=list)
    placeholder_blanks: list[str] = field(default_factory=list)
    placeholder_of: list[str] = field(default_factory=list)
    other_languages: list[str] = field(default_factory=list)
    prompt_leaks: list[str] = field(default_factory=list)
    rewriting_labels: list[str] = field(default_factory=list)
    stop_words: list[str] = field(default_factory=list)


def _one_of(items: Sequence[str]) -> str:
    return "|".join(items) or NEVER


def _edged(items: Sequence[str], words: Words) -> str:
    """Find one of some words where it is not a part of another word, as the language tells."""
    before, after = {
        "both": (r"\b", r"\b"),
        "start": (r"\b", ""),
        "none": ("", ""),
        "marked": (rf"(?<![\w{MARKS}])", rf"(?![\w{MARKS}])"),
    }[words.word_edges]
    return f"{before}{words.word_prefix}(?:{_one_of(items)}){after}"


def _stray_label(words: Words) -> str:
    labels = [*words.instruction_labels, *words.input_labels, *words.output_labels]
    edge = r"\b" if words.word_edges in ("both", "start") else ""
    return rf"{edge}(?:{_one_of(labels)})[ \t]*[{words.colons}]|{_one_of(words.leaked)}"


def _lettered(words: Words) -> str:
    """Find two lines that begin with the letters of choices, one after the other at least."""
    spaced = "".join(mark for mark in words.choice_marks if mark not in WIDE)
    wide = "".join(mark for mark in words.choice_marks if mark in WIDE)
    mark = rf"(?:[{re.escape(spaced)}]\s+" + (rf"|[{wide}]\s*)" if wide else ")")
    opens = r"[(（]?" if wide else r"\(?"
    pairs = [rf"^\s*{opens}[{a[:-1]}]{mark}\S.*\n\s*{opens}[{a[1:]}]{mark}\S" for a in words.choice_letters]
    return _one_of(pairs)


def _follow_up(words: Words) -> str:
    asked = rf"\n\s*\n[^\n]{{0,200}}[{words.question_marks}]\s*$"
    return rf"\n\s*\n\s*(?:{_one_of(words.follow_up)})\s*\d*\s*[{words.colons}.]|{asked}"


def _no_input(words: Words) -> str:
    return rf"\A\W*(?:{_one_of(words.no_input)})\W*\Z"


def _refusal(words: Words) -> str:
    edge = r"\b" if words.word_edges == "both" else ""
    return rf"^\W*(?:{_one_of(words.refusals)}|(?:{_one_of(words.of_itself)}){edge})"


def _rewriting(words: Words) -> str:
    """Find the label before a rewritten task; in full-width forms it may be dressed: `【改写后的任务】：`."""
    dressed = r"[\s】*]*[:：][\s*]*" if "：" in words.colons else r"\s*:\s*"
    return rf"^\W*(?:{_one_of(words.rewriting_labels)}){dressed}"


def _placeholder(words: Words) -> str:
    """Find what asks to be filled in: `[Your Name]`, `[insert the date]`, `<name>`.

    An index (`row[name]`), a link, a list comprehension, a type's parameter (`Map<Name>`) and an element with its end are
    none.
    """
    parted = words.word_edges != "none"
    gap, before = (r"[ _-]", r"(?:[^\W\d_][\w'’]*[ ]){0,3}") if parted else ("", r"[^\W\d_]{0,6}")
    letter = r"\w" if parted else "A-Za-z0-9_"  # before a bracket, of an index
    asks = rf"(?:{_one_of(words.placeholder_asks)}){gap}[^<>\[\]\n]{{1,80}}"
    blank = rf"{before}(?:{_one_of(words.placeholder_blanks)})"
    inside = rf"{asks}|{_one_of(words.placeholder_alone)}|{blank}|(?:{_one_of(words.placeholder_of)}) [^\[\]\n]{{1,60}}"
    square = rf"(?<![{letter}\])])\[(?:{inside})\](?!\()"
    if not parted:
        square += rf"|【(?:{asks}|{blank})】"
    return rf"{square}|(?<![{letter}<])<(?:{asks}|(?P<blank>{blank}))>"


def _compiled(expression: Callable[[Words], str], flags: re.RegexFlag = re.IGNORECASE) -> Callable[[Words], re.Pattern[str]]:
    return lambda words: re.compile(expression(words), flags)


# What an expression finds, to how it is made of a language's words.
PATTERNS: dict[str, Callable[[Words], re.Pattern[str]]] = {
    "stray_label": _compiled(_stray_label),
    "forbidden_word": _compiled(lambda words: _edged(words.forbidden_words, words)),
    "role": _compiled(lambda w: rf"^\s*(?:{_one_of(w.roles)})\s*[{w.colons}]", re.IGNORECASE | re.MULTILINE),
    "choices": _compiled(lambda w: rf"(?:{_one_of(w.choices)})\s*[{w.colons}]"),
    "lettered": _compiled(_lettered, re.MULTILINE),
    "follow_up": _compiled(_follow_up),
    "placeholder": _compiled(_placeholder),
    "no_input": _compiled(_no_input),
    "refusal": _compiled(_refusal),
    "apology": _compiled(lambda w: _edged(w.apologies, w)),
    "other_language": _compiled(lambda w: _edged(w.other_languages, w)),
    "of_itself": _compiled(lambda w: _one_of(w.of_itself)),
    "prompt_leak": _compiled(lambda w: rf"{_one_of(w.prompt_leaks)}|#\w[\w ]*#"),
    "rewriting": _compiled(_rewriting),
}
# What reads a model's text, in `any` language by the words of all.
READING = ("no_input", "refusal", "apology", "of_itself", "prompt_leak", "rewriting")
