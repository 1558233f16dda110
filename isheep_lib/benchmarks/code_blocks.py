r"""The blocks of a chat answer that may hold Python, and their text made readable.

    split("Sure:\n```python\nx = 1\n```\nDone.")    # [Block("python", "x = 1\n")], "Sure:\nDone."

Covers fences and what surrounds them. Does not cover which blocks solve a task (`benchmarks.code_extraction`).
"""

import ast
import doctest
import io
import itertools
import re
import textwrap
import tokenize
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

PYTHON = re.compile(r"i?py(?:thon)?(?:\d[\d.]*|con|-?repl)?")
# Quotes and lists may stand before a fence, and anything before one that names Python.
FENCE = re.compile(
    r"(?P<before>(?:[ \t>]|[-*+][ \t]|\d+[.)][ \t])*)(?P<mark>`{3,}|~{3,})[ \t]*(?P<info>[^`]*)$"
    r"|(?P<words>[^`]*)(?P<late>`{3,})[ \t]*(?P<language>python3?|py)[ \t]*$",
    re.IGNORECASE,
)
ON_ONE_LINE = re.compile(r"^([ \t]*```)[ \t]*(python3?|py)?[ \t]+([^`\n]+)```[ \t]*$", re.MULTILINE | re.IGNORECASE)
BEGINS_LIKE_CODE = re.compile(
    r"\s*(?:(?:async )?def |class |import |from \w+ import |return |@\w|(?:for|if|while|with) .*:\s*$)"
)
STRINGS = re.compile(r"\"\"\".*?\"\"\"|'''.*?'''|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|\#[^\n]*", re.DOTALL)
NO_WIDTH = dict.fromkeys(map(ord, "\ufeff\u200b\u200c\u200d\u2060\u00ad"))
SPACES = dict.fromkeys(
    map(ord, "\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"), " "
)
CELL_COMMAND = re.compile(r"^[ \t]*[!%].*$", re.MULTILINE)  # of a notebook: %timeit, !pip
# What code between lines of prose consists of; words such as "Note: this" are an annotation to Python.
STATEMENTS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Assign, ast.AugAssign)
STATEMENTS += (ast.AnnAssign, ast.If, ast.For, ast.While, ast.With, ast.Try)
LINES_AT_THE_LEFT = 10
CONTINUES = re.compile(r"(?:else|elif|except|finally|case)\b|[)\]}]")


@dataclass(frozen=True)
class Block:
    """What stands between two fences."""

    language: str
    text: str

    @property
    def is_python(self) -> bool:
        """Tell whether it names no other language."""
        return not self.language or bool(PYTHON.fullmatch(self.language))


def split(answer: str) -> tuple[list[Block], str]:
    """Split an answer into its blocks, each made readable, and the text around them.

    A fence may be left open at the end, or the answer may have begun inside one.
    """
    text = ON_ONE_LINE.sub(r"\1\2\n\3\n\1", answer.replace("\r\n", "\n").replace("\r", "\n"))
    lines = text.split("\n")
    first = next((number for number, line in enumerate(lines) if FENCE.match(line)), len(lines))
    before = "\n".join(lines[:first])
    if first < len(lines) and not _info(lines[first]) and is_code(before):
        return _split(["```", *lines])  # the prompt opened this block, and the first fence here closes it
    return _split(lines)


def _split(lines: list[str], by_quotes: bool = True) -> tuple[list[Block], str]:
    blocks, outside, inside, opened, passed_over = list[Block](), list[str](), list[str](), None, False
    for line in lines:
        fence = FENCE.match(line)
        if opened is None:
            if fence:
                opened, inside = fence, []
                outside.append(fence["words"] or "")
            else:
                outside.append(line)
            continue
        mark = opened["mark"] or opened["late"]
        closes = bool(fence) and (fence["mark"] or "").startswith(mark) and not _info(line)
        last = "" if closes else line.rstrip().removesuffix(mark)  # a fence may stick to the last line
        if not closes and last == line.rstrip():
            inside.append(line)
        elif by_quotes and any("\n".join(inside).count(quotes) % 2 for quotes in ('"""', "'''")):
            inside.append(line)  # within a docstring
            passed_over = True
        else:
            blocks.append(_block(opened, [*inside, *([last] if last.strip() else [])], closed=True))
            opened = None
    if opened is not None and passed_over:
        return _split(lines, by_quotes=False)
    if opened is not None:
        blocks.append(_block(opened, inside if inside[-1:] != [""] else inside[:-1], closed=False))
    return blocks, "\n".join(outside)


def _info(line: str) -> str:
    fence = FENCE.match(line)
    return (fence["info"] or fence["language"] or "").strip() if fence else ""


def _block(fence: re.Match[str], lines: list[str], closed: bool) -> Block:
    width = len(fence["before"] or "")
    moved = all(not line[:width].strip(" \t>") for line in lines)
    own = [line[width:] for line in lines] if moved else lines
    text = readable("".join(f"{line}\n" for line in own))
    if parsed(text) is None and not closed:
        text = _whole_statements(text)
    language = re.match(r"[\w+#.-]*", _info(fence[0]).lower().lstrip("{. "))
    return Block(language[0] if language else "", text)


def readable(text: str) -> str:
    """Return text as Python reads it: without what cannot be seen, prompts of a session, commands of a notebook.

    Text that is Python already stays, and so does text that does not become Python.
    """
    for changed in _changed(text):
        if parsed(changed) is not None:
            return changed
    return text


def _changed(text: str) -> Iterator[str]:
    yield text
    text = _visible(text)
    yield text
    if text.lstrip().startswith(">>>"):
        try:
            yield "".join(example.source for example in doctest.DocTestParser().get_examples(text))
        except ValueError:  # lines that are indented in no known way
            return
    text = CELL_COMMAND.sub("", text)
    yield text
    text = textwrap.dedent(text)
    if not re.search(r"^return\b", text, re.MULTILINE):  # the body of a function keeps its place
        yield text


def _visible(text: str) -> str:
    """Take away characters without width and make all spaces plain, but not in strings and comments."""
    parts, end = [], 0
    for kept in STRINGS.finditer(text):
        parts += [text[end : kept.start()].translate(NO_WIDTH | SPACES), kept[0]]
        end = kept.end()
    return "".join([*parts, text[end:].translate(NO_WIDTH | SPACES)])


def code_in_prose(text: str) -> str:
    """Return the statements that stand between lines of prose, at the left or indented together; not mere expressions."""
    text = _visible(text)
    runs = re.findall(r"(?:^(?:[ \t].*)?\n)+", f"{text}\n", re.MULTILINE)
    for lines in (text.split("\n"), "".join(map(textwrap.dedent, runs)).split("\n")):
        kept, start = list[str](), 0
        while start < len(lines):
            end = _end_of_statement(lines, start)
            kept += lines[start:end]
            start = max(end, start + 1)
        if kept:
            return "".join(f"{line}\n" for line in kept)
    return ""


def _end_of_statement(lines: list[str], start: int) -> int:
    """Return where the statement that begins on a line ends, or the line itself where none does."""
    if not re.match(r"[\w@]", lines[start]):
        return start
    first = next((row for row in range(start, len(lines)) if not lines[row].startswith("@")), start)
    ends = (row for row in range(first + 1, len(lines) + 1) if row == len(lines) or _may_begin(lines[row]))
    # Code may hold lines at the left, in a string or in brackets; words are not looked at twice.
    for end in itertools.islice(ends, LINES_AT_THE_LEFT if BEGINS_LIKE_CODE.match(lines[start]) else 1):
        tree = parsed("\n".join(lines[start:end]))
        if tree is not None:
            return end if any(isinstance(node, STATEMENTS) and getattr(node, "value", node) for node in tree.body) else start
    return start


def _may_begin(line: str) -> bool:
    return bool(line[:1].strip()) and line[0] != "#" and not CONTINUES.match(line)


def is_code(text: str) -> bool:
    """Tell code from prose and from printed results: it does more than name values, or at least begins like code."""
    tree = parsed(textwrap.dedent(text))
    if tree is None:
        return bool(BEGINS_LIKE_CODE.match(text.strip().partition("\n")[0]))
    return any(not isinstance(node, ast.Expr) for node in tree.body)


def parsed(text: str) -> ast.Module | None:
    """Return the syntax tree of a text, None where it is no Python."""
    with warnings.catch_warnings(action="ignore"):  # of backslashes in a model's strings
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def _whole_statements(text: str) -> str:
    """Return the longest beginning that is Python, of a text that may have been cut; all of it if there is none."""
    lines, left = text.split("\n"), text
    while left:
        try:
            ast.parse(left)
        except SyntaxError as error:
            end = max((row for row in statement_starts(lines) if row < (error.lineno or 0)), default=0)
            lines = lines[:end]
            left = "".join(f"{line}\n" for line in lines)
        except (ValueError, RecursionError, MemoryError):
            return text
        else:
            return left
    return text


def statement_starts(lines: list[str], inside: bool = False) -> list[int]:
    """Return the lines on which statements outside of any block begin, not misled by strings and brackets.

    Args:
        lines: of a text, perhaps not all Python.
        inside: the text begins inside a function.
    """
    shift = 1 if inside else 0
    text = "\n".join(["def _():", *lines] if inside else lines)
    starts, depth, last = [], 0, 1
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            last = token.start[0]
            blank = token.type in (tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.COMMENT)
            if token.start[1] == 0 and not depth and token.string and not blank and last > shift:
                starts.append(last - 1 - shift)
            if token.type == tokenize.OP:
                depth += (token.string in "([{") - (token.string in ")]}")
    except (tokenize.TokenError, SyntaxError):  # prose, or an end within a string; it begins no earlier than here
        rest = range(max(0, last - shift), len(lines))
        starts += [row for row in rest if lines[row][:1].strip() and lines[row][0] not in ")]}#"][:1]
    return starts
