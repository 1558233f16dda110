"""Letters of any script in figures: the fonts are found, missing ones are named, and nothing warns."""

import io
import re

import matplotlib as mpl
import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.image import imread

from isheep_lib.display import figures, fonts
from isheep_lib.display.save import save_figure

pytestmark = pytest.mark.usefixtures("no_warnings")
NO_FONT = "Boxes stand for letters that no font installed here has. Install {}, and draw again."


def write_font(path, family, letters):
    """Write a font in which every letter is a square."""
    names = {ord(letter): f"u{ord(letter):x}" for letter in letters}
    pen = TTGlyphPen(None)
    for number, corner in enumerate([(100, 0), (100, 700), (800, 700), (800, 0)]):
        (pen.lineTo if number else pen.moveTo)(corner)
    pen.closePath()
    square, order = pen.glyph(), [".notdef", *names.values()]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(order)
    builder.setupCharacterMap(names)
    builder.setupGlyf(dict.fromkeys(order, square))
    builder.setupHorizontalMetrics(dict.fromkeys(order, (900, 100)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=800, usWinAscent=800, usWinDescent=200)
    builder.setupPost()
    builder.save(path)


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Return a function that installs fonts beside matplotlib's own, and nothing else is installed."""
    manager, paths = font_manager.fontManager, []
    own = [entry for entry in manager.ttflist if mpl.get_data_path() in entry.fname]
    monkeypatch.setattr(manager, "ttflist", own)
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [str(path) for path in paths])

    def install(**letters):
        for family, own_letters in letters.items():
            paths.append(tmp_path / f"{family}.ttf")
            write_font(paths[-1], family.replace("_", " "), own_letters)

    caches = (fonts._families, fonts._letters_of_family, fonts._letters)
    for cache in caches:
        cache.cache_clear()
    yield install
    for cache in caches:
        cache.cache_clear()


def titled(title, names=("kept",)):
    figure = figures.funnel({"in": 3, "kept": 1, "dropped": dict.fromkeys(names, 1)}, "pairs")
    figure.axes[0].set_title(title)
    return figure


def line_under(figure):
    return figure.get_supxlabel()


def drawn(figure):
    return imread(io.BytesIO(figure._repr_png_()))


def test_a_figure_of_latin_text_keeps_its_font_and_says_nothing(installed):
    figure = titled("naïve ± 3 Δ")
    drawn(figure)
    assert figure.axes[0].title.get_fontfamily() == font_manager.FontProperties().get_family()
    assert not line_under(figure)


def test_an_installed_font_with_the_letters_is_used_in_titles_and_beside_ticks(installed):
    installed(A_Han_Font="中文字")
    figure = titled("中文 abc", ["字"])
    bare = drawn(titled("abc", ["x"]))
    assert not np.array_equal(drawn(figure), bare)
    assert "A Han Font" in figure.axes[0].title.get_fontfamily()
    assert all("A Han Font" in label.get_fontfamily() for label in figure.axes[0].get_yticklabels())
    assert not line_under(figure)


@pytest.mark.parametrize(
    ("letters", "families"),
    [
        ("中文", ["Noto Sans CJK SC"]),
        ("中文か", ["Noto Sans CJK JP"]),  # kana: the Han letters are Japanese ones
        ("か", ["Noto Sans CJK JP"]),
        ("中ก", ["Noto Sans CJK SC", "A Wide One"]),
        ("ก", ["A Wide One"]),  # among those that nobody prefers: the one with most of the letters, then the first by name
        ("กข", ["Z Two"]),
        ("\u0915", []),
        ("", []),
    ],
)
def test_the_choice_of_fonts_does_not_depend_on_the_order_of_installation(installed, letters, families):
    given = {"Z_Two": "กข", "Noto_Sans_CJK_SC": "中文", "Noto_Sans_CJK_JP": "中文か", "A_Wide_One": "中ก", "SimHei": "中文"}
    for order in (given, dict(reversed(given.items()))):
        installed(**order)
        for cache in (fonts._families, fonts._letters_of_family):
            cache.cache_clear()
        chosen, left = fonts.covering(letters)
        assert chosen == families
        assert left == set(letters) - set("".join(given.values()))


@pytest.mark.parametrize(
    ("title", "install"),
    [
        ("中文", "Noto Sans CJK SC"),
        ("한국어", "Noto Sans CJK KR"),
        ("नमस्ते", "Noto Sans Devanagari"),
        ("中น", "Noto Sans Thai, Noto Sans CJK SC"),
        ("\U0001f916", "a font with U+1F916"),
        ("\ue000", "a font with U+E000"),
    ],
)
def test_without_a_font_boxes_stand_and_one_line_says_what_to_install(installed, tmp_path, title, install):
    figure = titled(title)
    drawn(figure)
    save_figure(figure, tmp_path, "f")  # drawn twice more
    assert line_under(figure) == NO_FONT.format(install)


def test_the_line_stands_below_what_stood_under_the_figure(installed):
    figure = titled("中")
    figure.supxlabel("what it shows")
    drawn(figure)
    assert line_under(figure) == "what it shows\n" + NO_FONT.format("Noto Sans CJK SC")


def test_a_font_installed_after_matplotlib_looked_is_found(installed):
    assert fonts.covering("中") == ([], {"中"})
    fonts._families.cache_clear()
    fonts._letters_of_family.cache_clear()
    installed(New="中")
    assert fonts.covering("中") == (["New"], set())


# DejaVu Sans, which comes with matplotlib, has Arabic and Hebrew letters. \u202d forces the order from left to right: what a
# reader must see is spelled out there letter by letter, with Arabic's joined forms as letters of their own.
@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("אב", "\u202dבא"),
        ("a אב c", "\u202da בא c"),
        ("سلام", "\u202d\ufee1\ufefc\ufeb3"),  # meem alone, lam and alef as one, seen that begins
        ("بت", "\u202d\ufe96\ufe91"),
    ],
)
def test_text_from_right_to_left_is_ordered_and_joined(text, seen):
    assert np.array_equal(drawn(titled(text)), drawn(titled(seen)))
    assert not np.array_equal(drawn(titled(text)), drawn(titled(text[::-1])))


def test_every_figure_is_made_where_fonts_are_provided(root):
    made = re.compile(r"\b(?:Figure|Drawing|subplots|plt\.\w+)\(")
    places = [
        path
        for folder in ("isheep_lib", "notebooks")
        for path in (root / folder).rglob("*.*")
        if path.suffix in (".py", ".ipynb")
    ]
    found = {path.relative_to(root).as_posix() for path in places if made.search(re.sub(r"def \w+\(", "", path.read_text()))}
    assert found == {"isheep_lib/display/figures.py"}
