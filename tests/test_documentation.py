"""The pages: every link leads somewhere, what they name in the library is there, and the first page stays short."""

import ast
import re
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parents[1]
FENCES = re.compile(r"^(`{3,}).*?^\1`*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
PLACE = re.compile(r"`([\w.]+)`(?: and `(\w+)`)? \(`([\w/]+\.py)`\)|`([\w.]+)` in `([\w/]+\.py)`|`([a-z_]+/[\w/]+\.py)`")
FOLDERS = ("*.md", "docs/*.md", "benchmarks/*.md", "seeds/*.md", "results/*.md", "isheep_lib/**/*.md")
PAGES = sorted(str(path.relative_to(ROOT)) for pattern in FOLDERS for path in ROOT.glob(pattern))


def words_of(page: Path) -> str:
    """Return a page without its code blocks, where brackets are code."""
    return FENCES.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """Name a page's headings as GitHub's anchors do."""
    titles = re.findall(r"^#+ (.+)$", words_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", PAGES)
def test_links_between_files_lead_to_a_file_and_to_a_heading_of_it(name):
    page = ROOT / name
    for link in LINK.findall(words_of(page)):
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
