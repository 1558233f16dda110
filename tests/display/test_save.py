"""Tables and figures as files: nothing in a cell changes or breaks them, and the same data give the same bytes."""

import csv
import html
import os
import re
import shutil
import subprocess
import time

import mistune
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isheep_lib.display import figures
from isheep_lib.display.latex import ACCENTED, PACKAGES, XELATEX, escaped, needed, needs_xelatex
from isheep_lib.display.save import save_figure, save_table
from isheep_lib.display.table import Table, clip
from isheep_lib.errors import ParameterError, RecordError

few = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
NASTY = ["=A1", "-1.2", "\r", "\r\n", "a|b", "\\|", "{0}", '"', "'", "\x1b[1m", "\u2028", "0012", "[x", "*", "--", "中"]
nasty = st.sampled_from(NASTY)
texts = st.one_of(nasty, st.text(max_size=6), st.lists(nasty, max_size=3).map("".join))
headers = st.lists(texts, min_size=1, max_size=3, unique=True)
grids = headers.flatmap(lambda names: st.lists(st.fixed_dictionaries(dict.fromkeys(names, texts)), min_size=1, max_size=3))

# Everything that a paper's table may hold; pdflatex compiles it where it is installed.
SIGNS = "é ß Œ 中文 \U0001f600 “quoted” ‘so’ … – — a\u0301 x\u0301 `c` 'd' \"e\" ,, ⟨f⟩ 1\u00a0000 µ ² ° ≈"
HARD = Table(
    [
        {"row_name": "one_base", "IFEval (%)": "12.5 ± 0.3", "text": "[a] -- ~x^2 & {b} #1 $5 \\end <|im_end|>\n\nnext"},
        {"row_name": "*", "IFEval (%)": "≤ 5 → −3", "text": SIGNS},
    ],
    "5 % of A_b & more → 3 ± 1",
)


def written(table, folder, ending):
    save_table(table, folder, "table-1")
    return (folder / f"table-1.{ending}").read_bytes().decode()


def rows_of(table, folder):
    save_table(table, folder, "table-1")
    with open(folder / "table-1.csv", encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def body_of(table, folder):
    return written(table, folder, "tex").split("\\midrule\n")[1].split("\\bottomrule")[0]


@few
@given(grids)
def test_reading_the_csv_back_gives_the_cells_once_an_apostrophe_at_their_beginning_is_dropped(tmp_path, grid):
    found = [[cell.removeprefix("'") for cell in row] for row in rows_of(Table(grid), tmp_path)]
    assert found == [list(grid[0]), *([row[name] for name in grid[0]] for row in grid)]


@few
@given(grids)
def test_every_line_of_the_markdown_has_the_same_number_of_columns(tmp_path, grid):
    lines = written(Table(grid), tmp_path, "md").removesuffix("\n").splitlines()
    assert len(lines) == len(grid) + 2
    # A bar behind an escaping backslash belongs to a cell.
    assert {re.sub(r"\\.", "", line).count("|") for line in lines} == {len(grid[0]) + 1}


@few
@given(grids)
def test_latex_holds_nothing_that_a_cell_could_break_it_with(tmp_path, grid):
    text = written(Table(grid), tmp_path, "tex")
    assert PACKAGES in text or XELATEX in text
    assert {letter for letter in text if not letter.isascii()} <= ACCENTED or XELATEX in text
    rows = text.split("\\toprule\n")[1].split("\\bottomrule")[0].replace("\\midrule\n", "").removesuffix("\n").split("\n")
    assert len(rows) == len(grid) + 1
    for row in rows:
        # What is left of escaped letters and formulas.
        bare = re.sub(r"\$[^$]*\$", "", re.sub(r"\\[&%$#_{}]", "", row.removesuffix(r" \\")))
        assert not re.search(r"[%#$^_]|--|,,", bare)
        assert bare.count("&") == len(grid[0]) - 1
        assert bare.count("{") == bare.count("}")
        assert not bare.lstrip().startswith(("[", "*"))  # an argument of the line end before


@pytest.mark.parametrize("cell", ["0012", "1e-5", "3.10", "-1.2", "1,000", "12.5 ± 0.3", "nan", "True", ".5", "1_000", "1e400"])
def test_no_number_is_formatted_again(tmp_path, cell):
    table = Table([{"value": cell}])
    assert f"| {cell} |" in re.sub(" +", " ", written(table, tmp_path, "md"))
    assert body_of(table, tmp_path) == cell.replace("±", r"$\pm$").replace("_", r"\_") + " \\\\\n"
    assert rows_of(table, tmp_path) == [["value"], [cell]]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("=1+1", "'=1+1"),
        ("+cmd|x", "'+cmd|x"),
        ("- echo", "'- echo"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("'tis", "''tis"),
        ("-", "'-"),
        ("-1.2", "-1.2"),
        ("+3", "+3"),
        ("-1e-5", "-1e-5"),
        ("-1.2 ± 0.3", "-1.2 ± 0.3"),
        ("-12.5 %", "-12.5 %"),
        ("-1+A1", "'-1+A1"),
        ("-1\n=A1", "'-1\n=A1"),
        ("a=b", "a=b"),
        ("", ""),
    ],
)
def test_a_cell_that_a_spreadsheet_would_run_has_an_apostrophe_before_it_unless_it_is_a_number(tmp_path, cell, expected):
    assert rows_of(Table([{"text": cell}]), tmp_path) == [["text"], [expected]]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("50 % of a_b & #1 $2", r"50 \% of a\_b \& \#1 \$2"),
        ("{x} ~ ^ \\ |", r"\{x\} \textasciitilde{} \textasciicircum{} \textbackslash{} \textbar{}"),
        ("± ≤ − →", r"$\pm$ $\leq$ $-$ $\rightarrow$"),
        ("a -- b", "a -{}- b"),
        ("[1] *", "{[}1{]} {*}"),
        ("e\u0301 ñ", "é ñ"),
        ("\U0001f600", "{[}U+1F600{]}"),
        ("中文，“好”——5 %", r"中文，“好”——5 \%"),
        ("“so” · 中·文", r"\textquotedblleft{}so\textquotedblright{} $\cdot$ 中·文"),
        ("테스트 ｡ か", "테스트 ｡ か"),
        ("قال: نعم 100% (1) لا & ok", r"\textarabic{قال: نعم 100\% (1) لا} \& ok"),
        ("مرحبا (نعم)!", r"\textarabic{مرحبا (نعم)!}"),  # no other letters: all of it is read from the right
        ("see (نعم) or (لا)!", r"see \textarabic{(نعم)} or \textarabic{(لا)}!"),
        ("(see نعم)", r"(see \textarabic{نعم})"),
        ("- نعم & 5%", r"\textarabic{- نعم \& 5\%}"),
        (clip("שלום" * 2, 4), r"\texthebrew{שלום} \ldots{} (+4 characters)"),
        ("שלום, עולם", r"\texthebrew{שלום, עולם}"),
        ("Привет, мир", r"{\cyrillicfont Привет}, {\cyrillicfont мир}"),
        ("नमस्ते दुनिया", r"{\devanagarifont नमस्ते दुनिया}"),
        ("می\u200cخواهم", "\\textarabic{می\u200cخواهم}"),
        ("中 ş \U0001f600", "中 ş {[}U+1F600{]}"),
        ("ş", "{[}U+015F{]}"),
        ("a\nb", r"a\leavevmode\newline b"),
        ("a\x00b", "a b"),
    ],
)
def test_what_means_something_in_latex_is_escaped(tmp_path, cell, expected):
    assert body_of(Table([{"text": cell}]), tmp_path) == f"{expected} \\\\\n"


@pytest.mark.parametrize(
    ("cell", "preamble"),
    [
        ("a é ± µ Δ \U0001f600", [PACKAGES]),
        ("中文", [XELATEX, r"% \usepackage[scheme=plain]{ctex}"]),
        ("中文한국", [XELATEX, r"% \usepackage[scheme=plain]{ctex}", r"% \setCJKmainfont{Noto Serif CJK KR}"]),
        (
            "中文 عربي",
            [
                XELATEX,
                r"% \usepackage[scheme=plain]{ctex}",
                r"% \usepackage{polyglossia} \setmainlanguage{english}",
                r"% \setotherlanguage{arabic} \newfontfamily\arabicfont[Script=Arabic]{Amiri-Regular.ttf}",
            ],
        ),
        ("мир", [XELATEX, r"% \newfontfamily\cyrillicfont[Script=Cyrillic]{FreeSerif.otf}"]),
        ("\u2126", [XELATEX, r"% \newfontfamily\greekfont[Script=Greek]{FreeSerif.otf}"]),  # the ohm sign, composed: omega
    ],
)
@pytest.mark.parametrize("place", ["cell", "header", "caption"])
def test_the_first_lines_of_a_table_say_which_preamble_it_needs(tmp_path, cell, preamble, place):
    row = {"header": {cell: "x"}, "cell": {"text": cell}, "caption": {"text": "x"}}[place]
    lines = written(Table([row], cell if place == "caption" else ""), tmp_path, "tex").split("\n")
    assert lines[: lines.index(r"\begin{table}[htbp]")] == preamble


@few
@given(st.text(max_size=12))
def test_every_command_for_a_script_in_a_table_is_defined_by_its_preamble(text):
    said, commands = needed(text), re.findall(r"\\(text(?:arabic|hebrew)|\w+font)\b", escaped(text, needs_xelatex(text)))
    assert all(re.search(rf"\\setotherlanguage{{{c.removeprefix('text')}}}|\\newfontfamily\\{c}\[", said) for c in commands)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("a|b", r"a\|b"),
        ("a\r\nb\nc", "a<br>b<br>c"),
        ("<script>", r"\<script\>"),
        ("*a* _b_ `c` [d](e)", r"\*a\* \_b\_ \`c\` \[d\](e)"),
        ("prompt_strict", "prompt_strict"),
        ("&lt; R&D", r"\&lt; R&D"),
    ],
)
def test_what_means_something_in_markdown_is_escaped(tmp_path, cell, expected):
    assert f"| {expected} |" in re.sub(" +", " ", written(Table([{"text": cell}]), tmp_path, "md"))


@few
@given(st.text(alphabet="ab1|\\`*_[]()<>&lt;~$#-+!:.\"'\n ", min_size=1, max_size=12))
def test_a_reader_of_markdown_shows_the_cell(tmp_path, cell):
    page = mistune.create_markdown(escape=False, plugins=["table"])(written(Table([{"h": cell, "k": "z"}]), tmp_path, "md"))
    shown = re.findall(r"<td[^>]*>(.*?)</td>", page, re.DOTALL)
    plain = [html.unescape(re.sub("<[^>]*>", "", re.sub("<br ?/?>", " ", text))) for text in shown]
    assert [" ".join(text.split()) for text in plain] == [" ".join(cell.split()), "z"]


def test_latex_has_rules_a_caption_a_label_and_a_width_that_fits(tmp_path):
    text = written(HARD, tmp_path, "tex")
    for part in (r"\toprule", r"\midrule", r"\bottomrule", r"\label{tab:table-1}", r"\resizebox{\ifdim"):
        assert text.count(part) == 1
    assert r"\caption{5 \% of A\_b \& more $\rightarrow$ 3 $\pm$ 1}" in text


def test_a_long_text_is_set_in_lines_and_numbers_flush_right(tmp_path):
    row = {"name": "a", "value": "1.5 ± 0.1", "long": "word " * 20, "empty": ""}
    assert r"\begin{tabular}{lr>{\raggedright\arraybackslash}p{18em}l}" in written(Table([row]), tmp_path, "tex")
    assert re.search(r"\n\|:-+\|-+:\|:-+\|:-+\|\n", written(Table([row]), tmp_path, "md"))


@pytest.mark.parametrize("table", [Table([], "nothing yet"), Table([{}])])
def test_a_table_without_columns_says_so(tmp_path, table):
    save_table(table, tmp_path, "table-1")
    assert all("none" in (tmp_path / f"table-1.{ending}").read_text() for ending in ("md", "tex", "csv"))


def test_saving_returns_what_was_saved_so_that_a_notebook_shows_it(tmp_path):
    figure = a_figure()
    assert save_table(HARD, tmp_path, "t") is HARD
    assert save_figure(figure, tmp_path, "f") is figure
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.pdf", "f.png", "t.csv", "t.md", "t.tex"]


def test_half_a_character_is_replaced(tmp_path):
    assert rows_of(Table([{"a": "x\ud800"}]), tmp_path) == [["a"], ["x?"]]


@pytest.mark.parametrize("name", ["", "Table-1", "table_1", "../table", "table 1", "t.md", "é", "a\n"])
def test_another_name_is_refused_and_nothing_is_written(tmp_path, name):
    with pytest.raises(ParameterError, match="allowed: small letters"):
        save_table(HARD, tmp_path, name)
    with pytest.raises(ParameterError, match="allowed: small letters"):
        save_figure(a_figure(), tmp_path, name)
    assert not list(tmp_path.iterdir())


def a_figure():
    return figures.funnel({"in": 5, "kept": 2, "dropped": {"cut_off": 2, "echo": 1}}, "pairs")


def test_the_same_table_and_the_same_figure_give_the_same_bytes(tmp_path):
    figure = a_figure()
    for folder in ("one", "two"):
        save_table(HARD, tmp_path / folder, "t")
        save_figure(figure, tmp_path / folder, "f")
        time.sleep(1.1 if folder == "one" else 0)  # PDF dates have seconds
    save_figure(a_figure(), tmp_path / "three", "f")
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name
    assert (tmp_path / "one/f.pdf").read_bytes() == (tmp_path / "three/f.pdf").read_bytes()


def test_a_pdf_embeds_truetype_fonts_and_names_neither_program_nor_date(tmp_path):
    save_figure(a_figure(), tmp_path, "f")
    content = (tmp_path / "f.pdf").read_bytes()
    assert b"/FontFile2" in content
    assert b"/Type3" not in content
    assert b"matplotlib" not in content.lower()
    assert b"CreationDate" not in content
    assert b"Matplotlib" not in (tmp_path / "f.png").read_bytes()


def test_a_failed_write_leaves_the_old_file_and_nothing_half(tmp_path, monkeypatch):
    save_figure(a_figure(), tmp_path, "f")
    before = (tmp_path / "f.png").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RecordError, match="The disk is full"):
        save_figure(figures.lengths([]), tmp_path, "f")
    assert (tmp_path / "f.png").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.pdf", "f.png"]


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="pdflatex is not installed")
def test_pdflatex_compiles_a_table_with_everything_in_it(tmp_path):
    packages = PACKAGES.removeprefix("% Needs: ")
    save_table(HARD, tmp_path, "t")
    document = f"\\documentclass{{article}}{packages}\\begin{{document}}\\input{{t.tex}}\\end{{document}}"
    (tmp_path / "main.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "main.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]


MANY = Table([{"语言": "中文：“你好”——5 %", "others": "مرحبا 2020 (نعم) & שלום Привет नमस्ते สวัสดี αβ ş"}], "日本語の表")


def tex_holds(*files):
    """Tell whether XeLaTeX is installed with some files of TeX Live."""
    if not shutil.which("xelatex"):
        return False
    return all(subprocess.run(["kpsewhich", name], capture_output=True).returncode == 0 for name in files)


@pytest.mark.skipif(
    not tex_holds("ctex.sty", "polyglossia.sty", "bidi.sty", "FreeSerif.otf", "Amiri-Regular.ttf"),
    reason="xelatex is not installed, or without ctex, polyglossia or the fonts",
)
def test_xelatex_compiles_a_table_in_many_scripts_with_the_preamble_that_it_names(tmp_path):
    save_table(MANY, tmp_path, "t")
    comments = [line for line in (tmp_path / "t.tex").read_text(encoding="utf-8").split("\n") if line.startswith("% ")]
    packages = "\n".join(line.rpartition("preamble: ")[2].removeprefix("% ") for line in comments)
    document = f"\\documentclass{{article}}\n{packages}\n\\begin{{document}}\\input{{t.tex}}\\end{{document}}"
    (tmp_path / "main.tex").write_text(document, encoding="utf-8")
    command = ["xelatex", "-interaction=nonstopmode", "-halt-on-error", "main.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Missing character" not in (tmp_path / "main.log").read_text(encoding="utf-8", errors="replace")


NUMBERED = Table([{"a": 1}], "as measured; in %", "Table 1, part 2 of 2, ")


@pytest.mark.parametrize(
    ("table", "given", "caption"),
    [
        (NUMBERED, {}, r"\caption{As measured; in \%}"),
        (NUMBERED, {"subject": "Models"}, r"\caption{Models: as measured; in \%}"),
        (NUMBERED, {"subject": "measured"}, r"\caption{As measured; in \%}"),
        (NUMBERED, {"continued": True}, r"\caption[]{As measured; in \% (continued)}"),
        (Table([{"a": 1}], "", "Table 1"), {}, None),
    ],
)
def test_latex_numbers_a_table_itself(tmp_path, table, given, caption):
    save_table(table, tmp_path, "t", **given)
    text = (tmp_path / "t.tex").read_text()
    assert "Table 1" not in text
    assert (caption in text) if caption else (r"\caption" not in text)
    assert (r"\ContinuedFloat" in text) == bool(given.get("continued"))
    assert (tmp_path / "t.md").read_text().startswith("Table 1")


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="pdflatex is not installed")
def test_a_continued_table_keeps_the_number_and_is_listed_once(tmp_path):
    for name, continued in (("a", False), ("b", True), ("c", False)):
        save_table(NUMBERED, tmp_path, name, continued=continued)
    packages = PACKAGES.removeprefix("% Needs: ") + r"\usepackage{caption}"
    inputs = r"\listoftables " + " ".join(rf"\input{{{name}}}" for name in "abc") + r"\ref{tab:b}"
    (tmp_path / "main.tex").write_text(f"\\documentclass{{article}}{packages}\\begin{{document}}{inputs}\\end{{document}}")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "main.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    assert re.findall(r"numberline \{(\d)\}", (tmp_path / "main.lot").read_text()) == ["1", "2"]
    labels = dict(re.findall(r"newlabel\{tab:(\w)\}\{\{(\d)\}", (tmp_path / "main.aux").read_text()))
    assert labels == {"a": "1", "b": "1", "c": "2"}
