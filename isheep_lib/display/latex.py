r"""Text in LaTeX: Latin text for any engine, other scripts for XeLaTeX, with the preamble that a document needs.

    needed("12.5 ± 0.3")    # % Needs: \usepackage[utf8]{inputenc} …, as pdflatex wants it
    needed("中文")           # % Needs XeLaTeX, and this preamble: \usepackage{fontspec} … \usepackage[scheme=plain]{ctex}
    escaped("中文 & 5 %", needs_xelatex("中文"))

ctex chooses fonts for Chinese, Japanese and Korean letters by itself. Every other script stands in a command that changes
the font, and for Arabic and Hebrew the direction (polyglossia, bidi). A letter of a script without a place in the table SCRIPTS
is written as its code point, like [U+1F600].
Covers text. Does not cover tables (`display.save`).
"""

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

from isheep_lib.display.scripts import EAST_ASIAN, script_of
from isheep_lib.display.table import printable

LINE_BREAK = re.compile("\r\n|[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
LETTERS = {
    # A row that begins with a bracket or a star would be taken for an argument of the line end before it.
    **{letter: f"{{{letter}}}" for letter in "[]*"},
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "`": r"\textasciigrave{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}", "'": r"\textquotesingle{}"},
    **{"±": r"$\pm$", "×": r"$\times$", "·": r"$\cdot$", "−": "$-$", "≤": r"$\leq$", "≥": r"$\geq$", "≠": r"$\neq$"},
    **{"≈": r"$\approx$", "→": r"$\rightarrow$", "←": r"$\leftarrow$", "Δ": r"$\Delta$", "∞": r"$\infty$", "°": r"$^{\circ}$"},
    **{"⟨": r"$\langle$", "⟩": r"$\rangle$", "µ": r"$\mu$", "²": "$^{2}$", "³": "$^{3}$", "\u00a0": "~", "…": r"\ldots{}"},
    **{"–": r"\textendash{}", "—": r"\textemdash{}", "‘": r"\textquoteleft{}", "’": r"\textquoteright{}"},
    **{"“": r"\textquotedblleft{}", "”": r"\textquotedblright{}", "„": r"\quotedblbase{}"},
}
ACCENTED = {*map(chr, range(0xC0, 0x100)), *"ŁłŒœŠšŽžŸ"}  # letters that inputenc and T1 know
PACKAGES = r"% Needs: \usepackage[utf8]{inputenc} \usepackage[T1]{fontenc} \usepackage{array,booktabs,graphicx}"
XELATEX = r"% Needs XeLaTeX, and this preamble: \usepackage{fontspec} \usepackage{array,booktabs,graphicx}"
CTEX = r"\usepackage[scheme=plain]{ctex}"  # plain: the words of the document, such as Table, stay English
HANGUL = r"\setCJKmainfont{Noto Serif CJK KR}"  # the Chinese fonts of ctex have no Hangul
# It loads bidi, which wants to be the last package.
POLYGLOSSIA = r"\usepackage{polyglossia} \setmainlanguage{english}"
QUOTES = "“”‘’…—·"  # of full width between letters of East Asia
ISOLATES = dict.fromkeys(range(0x2066, 0x206A))  # marks of direction, for which the commands stand here
JOINERS = "\u200c\u200d"  # they shape the letters beside them


class Script(NamedTuple):
    """How letters of a script are set: the command, the language of polyglossia, the font and its script."""

    command: str
    language: str
    font: str
    feature: str

    @property
    def preamble(self) -> str:
        """Return what a document needs once."""
        if self.language:
            named = rf"\setotherlanguage{{{self.language}}} \newfontfamily\{self.language}font"
        else:
            named = rf"\newfontfamily{self.command}"
        return f"{named}[Script={self.feature}]{{{self.font}}}"


FREE = "FreeSerif.otf"  # GNU FreeFont, a part of TeX Live, as Amiri is
SCRIPTS = {
    "ARABIC": Script(r"\textarabic", "arabic", "Amiri-Regular.ttf", "Arabic"),
    "HEBREW": Script(r"\texthebrew", "hebrew", FREE, "Hebrew"),
    "CYRILLIC": Script(r"\cyrillicfont", "", FREE, "Cyrillic"),
    "GREEK": Script(r"\greekfont", "", FREE, "Greek"),
    "DEVANAGARI": Script(r"\devanagarifont", "", FREE, "Devanagari"),
    "THAI": Script(r"\thaifont", "", FREE, "Thai"),
}


def needed(text: str) -> str:
    """Return the comment that says which engine and preamble a text needs."""
    scripts = _scripts(text)
    if not scripts:
        return PACKAGES
    found = [SCRIPTS[name] for name in SCRIPTS if name in scripts]
    lines = [XELATEX]
    lines += [f"% {CTEX}"] if scripts & EAST_ASIAN else []
    lines += [f"% {HANGUL}"] if "HANGUL" in scripts else []
    lines += [f"% {POLYGLOSSIA}"] if any(script.language for script in found) else []
    return "\n".join(lines + [f"% {script.preamble}" for script in found])


def needs_xelatex(text: str) -> bool:
    """Tell whether a text holds letters that pdflatex cannot set and XeLaTeX can."""
    return bool(_scripts(text))


def escaped(text: str, xelatex: bool = False) -> str:
    """Write text so that nothing in it is a command; without XeLaTeX other letters than Latin ones are code points."""
    whole = unicodedata.normalize("NFC", text).translate(ISOLATES)
    lines = [_runs(line) if xelatex else _letters(line) for line in LINE_BREAK.split(whole)]
    # Two hyphens or commas would become one sign; a line break where no line has begun yet is an error.
    return r"\leavevmode\newline ".join(re.sub(r"([-,])(?=\1)", r"\1{}", line) for line in lines)


def _letters(text: str) -> str:
    return "".join(map(_letter, text))


def _letter(letter: str) -> str:
    if letter in LETTERS:
        return LETTERS[letter]
    if letter.isascii() or letter in ACCENTED:
        return printable(letter)
    return f"{{[}}U+{ord(letter):04X}{{]}}"


def _scripts(text: str) -> set[str]:
    """Name the scripts of a text that need XeLaTeX; a sign that stands for itself in any text, such as µ, needs none."""
    letters = set(unicodedata.normalize("NFC", text)) - LETTERS.keys()
    found = {script_of(letter) for letter in letters if not letter.isascii()}
    return found & (EAST_ASIAN | SCRIPTS.keys())


def _runs(text: str) -> str:
    """Write a line as runs of one script each; a run from right to left keeps what stands between its words."""
    found = []
    for run in re.finditer("|".join([*_patterns(), "."]), text, re.DOTALL):
        name, said = run.lastgroup, run[0]
        if name == "EAST_ASIAN":
            found.append(said)
        elif name:
            inner = "".join(letter if _keeps(letter, name) else _letter(letter) for letter in said)
            command = SCRIPTS[name].command
            found.append(f"{command}{{{inner}}}" if SCRIPTS[name].language else f"{{{command} {inner}}}")
        else:
            found.append(said if script_of(said) == "LATIN" and not said.isascii() else _letter(said))
    return "".join(found)


def _keeps(letter: str, name: str) -> bool:
    return letter in JOINERS or script_of(letter) == name


@lru_cache(maxsize=1)
def _patterns() -> list[str]:
    """Return a pattern for the runs of each script, named as the script."""
    members: dict[str, list[str]] = {}
    for code in (*range(0x370, 0x3100), *range(0x3100, 0xE000), *range(0xF900, 0x10000), *range(0x1B000, 0x33000)):
        members.setdefault(script_of(chr(code)), []).append(chr(code))
    wide = _class([letter for name in sorted(EAST_ASIAN) for letter in members[name]])
    patterns = [f"(?P<EAST_ASIAN>[{QUOTES}]*[{wide}][{wide}{QUOTES}]*)"]
    for name, script in SCRIPTS.items():
        own = _class([letter for letter in members[name] if letter not in LETTERS])
        words = rf"[{own}][{own}{JOINERS}]*"
        patterns.append(f"(?P<{name}>{_from_the_right(own, words) if script.language else f'{words}(?: +{words})*'})")
    return patterns


def _from_the_right(own: str, words: str) -> str:
    """Return the pattern of a run from right to left: brackets stay in pairs, and a line without other letters is one run."""
    neutral = r"(?:[^\w()\[\]]|[\d_])"
    line = rf"\A(?=.*[{own}])(?:[{own}()\[\]]|{neutral})+\Z"
    bracketed = rf"[(\[](?=[^()\[\]]*[{own}])(?:{neutral}|[{own}])*[)\]]"
    item, between = f"(?:{words}|{bracketed})", rf"(?:{neutral}|[(\[]{neutral}*[)\]])*?"
    return f"{line}|{item}(?:{between}{item})*"


def _class(letters: list[str]) -> str:
    """Write letters as ranges of a class of letters."""
    codes, ranges = sorted(map(ord, letters)), []
    for code in codes:
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)
