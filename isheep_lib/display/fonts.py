"""Fonts for letters of any script in a figure: found among those installed, the same ones each time on the same machine.

    provide(figure)     # before it is drawn; a figure whose letters its own font has stays as it is

Matplotlib shapes text and orders it from right to left itself (3.11 and later, by libraqm), so nothing is reordered here.
Where no font has a letter, a box with the sign of its script stands in its place, and one line under the figure says which
font to install.
Covers choosing fonts. Does not cover drawing (`display.figures`).
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

from isheep_lib.display.scripts import script_of

BOXES = "Last Resort High-Efficiency"  # matplotlib's own: each letter is a box with the sign of its script
MATHEMATICAL = ("cm", "STIX", BOXES)  # families that hold no text
REGULAR = {400, "normal", "regular", "book"}
# Families that are liked for a script, in this order; the first is what to install. A Japanese text has kana, and its Han
# letters have forms of their own, so the script that tells the language is asked first.
JAPANESE = ("Noto Sans CJK JP", "Source Han Sans JP", "Hiragino Sans", "Yu Gothic", "IPAexGothic")
KOREAN = ("Noto Sans CJK KR", "Source Han Sans KR", "Apple SD Gothic Neo", "Malgun Gothic", "NanumGothic")
CHINESE = ("Noto Sans CJK SC", "Source Han Sans SC", "PingFang SC", "Microsoft YaHei", "WenQuanYi Micro Hei", "SimHei")
LIKED = {
    "HIRAGANA": JAPANESE,
    "KATAKANA": JAPANESE,
    "HANGUL": KOREAN,
    "CJK": CHINESE,
    "BOPOMOFO": CHINESE,
    "ARABIC": ("Noto Sans Arabic", "Noto Naskh Arabic", "Geeza Pro"),
    "HEBREW": ("Noto Sans Hebrew", "Arial Hebrew"),
    "DEVANAGARI": ("Noto Sans Devanagari", "Kohinoor Devanagari", "Nirmala UI", "Lohit Devanagari"),
    "THAI": ("Noto Sans Thai", "Thonburi", "Leelawadee UI"),
}


def provide(figure: Figure) -> None:
    """Give each text of a figure fonts that have its letters, and say under the figure which font is missing."""
    shown = [text for text in _texts(figure) if text.get_text()]
    lacking = {text: letters for text in shown if (letters := _lacking(text))}
    if not lacking:
        return
    families, left = covering(set().union(*lacking.values()))
    for text in lacking:
        # What is in the list already was found when the figure was drawn before, to another file.
        text.set_fontfamily(list(dict.fromkeys([*text.get_fontfamily(), *families, BOXES])))
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        if any(label in lacking for label in axis.get_majorticklabels()):
            axis.set_tick_params(labelfontfamily=[*_base(), *families, BOXES])
    if left:
        _say(figure, advice(left))


def covering(letters: Iterable[str]) -> tuple[list[str], set[str]]:
    """Choose installed families that have letters, those liked for their scripts first, then those that have most of them.

    Returns:
        The families in the order of choice, and the letters that no font has.
    """
    left, chosen = set(letters), []

    def take(family: str) -> None:
        chosen.append(family)
        left.difference_update(_letters_of_family(family))

    for script, liked in LIKED.items():
        own = {letter for letter in left if script_of(letter) == script}
        if family := next((family for family in liked if own & _letters_of_family(family)), ""):
            take(family)
    while family := max(_families(), key=lambda family: len(left & _letters_of_family(family)), default=""):
        if not left & _letters_of_family(family):
            break
        take(family)
    return chosen, left


def advice(letters: Iterable[str]) -> str:
    """Say which fonts to install for letters."""
    wanted: dict[str, None] = {}
    for letter in sorted(letters):
        liked = LIKED.get(script_of(letter))
        wanted[liked[0] if liked else f"a font with U+{ord(letter):04X}"] = None
    return f"Boxes stand for letters that no font installed here has. Install {', '.join(wanted)}, and draw again."


def _say(figure: Figure, line: str) -> None:
    """Write a line under a figure, below what stands there; a figure that is drawn again says it once."""
    below = figure.get_supxlabel()
    if line not in below:
        figure.supxlabel(f"{below}\n{line}".strip(), **({} if below else {"fontsize": 7.0}))


def _texts(figure: Figure) -> Iterator[Text]:
    """Yield every text of a figure, once the axes have written the labels of their ticks."""
    for axes in figure.axes:
        axes.xaxis.get_majorticklabels()
        axes.yaxis.get_majorticklabels()
    for found in figure.findobj(Text):
        if isinstance(found, Text):
            yield found


def _base() -> list[str]:
    return font_manager.FontProperties().get_family()


def _lacking(text: Text) -> set[str]:
    """Return the letters of a text that its first font has not."""
    letters = set(text.get_text()) - {"\n"}
    if all(letter.isascii() for letter in letters):
        return set()
    first = font_manager.findfont(text.get_fontproperties())
    return letters - _letters(str(first), getattr(first, "face_index", 0))


@lru_cache
def _letters(path: str, face: int) -> frozenset[str]:
    return frozenset(map(chr, FT2Font(path, face_index=face).get_charmap()))


@lru_cache
def _letters_of_family(family: str) -> frozenset[str]:
    entry = _families().get(family)
    return _letters(entry.fname, entry.index) if entry else frozenset()


@lru_cache(maxsize=1)
def _families() -> dict[str, Any]:
    """Return an upright, regular font of each family installed, by name; matplotlib's own list may be older than a font."""
    manager = font_manager.fontManager
    known = {entry.fname for entry in manager.ttflist}
    for path in sorted(set(font_manager.findSystemFonts()) - known):
        try:
            manager.addfont(path)
        except (OSError, RuntimeError):  # what matplotlib cannot draw with, such as coloured bitmaps
            continue
    found = sorted(manager.ttflist, key=lambda entry: (entry.name, entry.fname, entry.index), reverse=True)
    upright = [entry for entry in found if entry.style == "normal" and entry.weight in REGULAR]
    by_name = {entry.name: entry for entry in upright if not entry.name.startswith(MATHEMATICAL)}
    return dict(sorted(by_name.items()))
