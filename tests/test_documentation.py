"""The pages: every link leads somewhere, what they name in the library is there, and the first page stays short."""

import ast
import re
from collections import Counter
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parents[1]
FENCES = re.compile(r"^(`{3,}).*?^\1`*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
SPAN = re.compile(r"`[^`\n]+`")
PLACE = re.compile(r"`([\w.]+)`(?: and `(\w+)`)? \(`([\w/]+\.py)`\)|`([\w.]+)` in `([\w/]+\.py)`|`([a-z_]+/[\w/]+\.py)`")
FOLDERS = ("*.md", "docs/*.md", "docs/zh/*.md", "benchmarks/*.md", "seeds/*.md", "results/*.md", "isheep_lib/**/*.md")
PAGES = sorted(str(path.relative_to(ROOT)) for pattern in FOLDERS for path in ROOT.glob(pattern))

# Each page in Chinese beside the English one that it follows.
CHINESE = {"README.zh.md": "README.md"} | {
    f"docs/zh/{path.name}": f"docs/{path.name}" for path in (ROOT / "docs/zh").glob("*.md")
}


def words_of(page: Path) -> str:
    """Return a page without its code blocks, where brackets are code."""
    return FENCES.sub("", page.read_text(encoding="utf-8"))


def links_of(page: Path) -> list[str]:
    """List where a page's links lead; brackets in code are none."""
    return LINK.findall(SPAN.sub("", words_of(page)))


def anchors(page: Path) -> set[str]:
    """Name a page's headings as GitHub's anchors do."""
    titles = re.findall(r"^#+ (.+)$", words_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", PAGES)
def test_links_between_files_lead_to_a_file_and_to_a_heading_of_it(name):
    page = ROOT / name
    for link in links_of(page):
        if re.match(r"[a-z]+:", link):
            continue
        place, _, anchor = unquote(link).partition("#")
        target = (page.parent / place) if place else page
        assert target.exists(), f"{link} leads nowhere"
        assert not anchor or anchor in anchors(target), f"{link} names no heading"


def test_the_first_page_can_be_read_in_a_few_minutes():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 1500


def defined(path: Path) -> set[str]:
    """Name what a module defines at its top, and the methods of its classes."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = [*tree.body, *(node for outer in tree.body if isinstance(outer, ast.ClassDef) for node in outer.body)]
    named = {node.name for node in inside if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
    assigned = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
    assigned += [node.target for node in tree.body if isinstance(node, ast.AnnAssign)]
    return named | {target.id for target in assigned if isinstance(target, ast.Name)}


@pytest.mark.parametrize("name", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_modules_and_definitions_that_a_page_names_exist(name):
    found = PLACE.findall(words_of(ROOT / name))
    assert len(found) > 5, "the page names nothing, or the pattern finds nothing"
    for first, second, beside, inner, within, alone in found:
        place = beside or within or alone
        path = next((base / place for base in (ROOT, ROOT / "isheep_lib") if (base / place).is_file()), None)
        assert path, f"{place} is not there"
        for definition in filter(None, (first, second, inner)):
            assert definition in defined(path), f"{place} defines no {definition}"


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def levels(name: str) -> list[int]:
    return [len(marks) for marks in re.findall(r"^(#+) ", words_of(ROOT / name), re.MULTILINE)]


def commands(name: str) -> list[list[str]]:
    """Return the lines of each block of code without their comments, which are translated."""
    blocks = [found[0].split("\n") for found in FENCES.finditer(read(name))]
    return [[re.sub(r"(^|\s+)#.*", "", line).rstrip() for line in block] for block in blocks]


def leads_to(name: str) -> Counter[str]:
    """Count the English pages, files and addresses that a page's links lead to, but for the one to its other language."""
    found: Counter[str] = Counter()
    for link in links_of(ROOT / name):
        place, _, anchor = unquote(link).partition("#")
        if not re.match(r"[a-z]+:", link):
            path = str(((ROOT / name).parent / place).resolve().relative_to(ROOT)) if place else name
            place = CHINESE.get(path, path) + ("#" if anchor else "")
        found[place] += 1
    return found - Counter([CHINESE.get(name, name)])


def spans(name: str) -> Counter[str]:
    return Counter(SPAN.findall(words_of(ROOT / name)))


def numbers(name: str) -> Counter[str]:
    """Count the numbers of a page, but for those in code, links and small ones, which a language may write as words."""
    text = re.sub(r"`[^`\n]+`|\]\([^)]*\)", " ", words_of(ROOT / name))
    return Counter(number for number in re.findall(r"(?<![\w.])\d[\d,.]*\d|(?<![\w.])\d", text) if len(number) > 1)


# What a page in Chinese must have in common with the English one, so that a change of one fails until the other follows.
@pytest.mark.parametrize("compared", [levels, commands, leads_to, spans, numbers])
@pytest.mark.parametrize("name", CHINESE)
def test_a_page_in_chinese_has_the_headings_commands_links_names_and_numbers_of_the_english_one(name, compared):
    chinese, english = compared(name), compared(CHINESE[name])
    assert english, "the English page holds none, or the pattern finds none"
    assert chinese == english


@pytest.mark.parametrize("name", CHINESE)
def test_pages_in_both_languages_lead_to_each_other_in_their_first_lines(name):
    for page, other in ((name, CHINESE[name]), (CHINESE[name], name)):
        place = LINK.search(read(page).split("\n")[2])
        assert place and ((ROOT / page).parent / place[1]).resolve() == ROOT / other


@pytest.mark.parametrize("name", CHINESE)
def test_a_page_in_chinese_is_written_in_chinese(name):
    han, latin = (len(re.findall(letters, words_of(ROOT / name))) for letters in ("[\u3400-\u9fff]", "[A-Za-z]+"))
    assert han > 2 * latin
    assert not re.search(r"[\u3400-\u9fff][,.;:?!](?:\s|$)", words_of(ROOT / name)), "full-width marks stand after Chinese"
