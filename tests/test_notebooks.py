"""The source notebooks: clean, short, literal parameters that agree with the parameter classes."""

import ast
import re
from pathlib import Path

import nbformat
import papermill
import pytest

from isheep_lib.iterate.run_params import STAGE_PARAMS
from isheep_lib.notebooks import OTHER_PARAMS

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
KINDS = {**STAGE_PARAMS, **OTHER_PARAMS}
BOOKS = sorted(FOLDER.glob("*.ipynb"))


def code_cells(path: Path) -> list:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def test_there_is_one_notebook_a_parameter_class():
    assert {path.stem for path in BOOKS} == set(KINDS)


@pytest.mark.parametrize("path", BOOKS, ids=lambda p: p.stem)
def test_source_notebooks_are_valid_stripped_and_have_readable_ids(path):
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    assert book.metadata.kernelspec.name == "python3"
    for cell in book.cells:
        assert not cell.id.isdigit() and cell.id.replace("-", "").isalpha(), cell.id
        assert not cell.get("outputs") and cell.get("execution_count") is None
    assert len({cell.id for cell in book.cells}) == len(book.cells)


@pytest.mark.parametrize("path", BOOKS, ids=lambda p: p.stem)
def test_the_parameters_cell_is_first_literal_and_equal_to_the_class(path):
    cells = code_cells(path)
    first = [cell.id for cell in cells].index("parameters")
    assert [i for i, cell in enumerate(cells) if "parameters" in cell.metadata.get("tags", [])] == [first]
    assert [cell.id for cell in cells[:first]] in ([], ["first-screen"]), "only the first screen stands before parameters"
    assert cells[first].metadata.get("jupyter", {}).get("source_hidden") or not first, "parameters push the rest down"
    fields = KINDS[path.stem].model_fields
    seen = papermill.inspect_notebook(str(path))
    assert list(seen) == list(fields), "papermill cannot see every parameter"
    values = {node.target.id: ast.literal_eval(node.value) for node in ast.parse(cells[first].source).body}
    assert values == {name: field.default for name, field in fields.items()}
    told = {name: facts["help"].removesuffix("  # fmt: skip") for name, facts in seen.items()}
    assert told == {name: field.description for name, field in fields.items()}


@pytest.mark.parametrize("path", BOOKS, ids=lambda p: p.stem)
def test_cells_are_short_and_hold_no_definitions_loops_or_shell(path):
    for cell in code_cells(path):
        if "parameters" in cell.metadata.get("tags", []):
            continue
        assert cell.source.count("\n") < 15, f"{cell.id} is long"
        tree = ast.parse(cell.source)  # magics and shell lines do not parse
        banned = (ast.FunctionDef, ast.ClassDef, ast.For, ast.While, ast.Lambda, ast.Try)
        assert not [node for node in ast.walk(tree) if isinstance(node, banned)], cell.id


@pytest.mark.parametrize("path", BOOKS, ids=lambda p: p.stem)
def test_notebooks_import_only_the_library(path):
    for cell in code_cells(path):
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Import | ast.ImportFrom):
                assert (getattr(node, "module", None) or node.names[0].name).startswith("isheep_lib")


@pytest.mark.parametrize("path", BOOKS, ids=lambda p: p.stem)
def test_no_cell_assigns_to_a_parameter_so_that_cells_can_be_run_again(path):
    for cell in (cell for cell in code_cells(path) if cell.id != "parameters"):
        stored = {n.id for n in ast.walk(ast.parse(cell.source)) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        assert not stored & set(KINDS[path.stem].model_fields), cell.id


@pytest.mark.parametrize("path", BOOKS, ids=lambda p: p.stem)
def test_prose_comes_before_code(path):
    kinds = [cell.cell_type for cell in nbformat.read(path, as_version=4).cells]
    assert kinds[0] == "markdown"
    assert "code code code code" not in " ".join(kinds)


@pytest.mark.parametrize("path", [p for p in BOOKS if p.stem in STAGE_PARAMS], ids=lambda p: p.stem)
def test_the_last_cell_of_a_stage_commits(path):
    assert "stage.commit(" in code_cells(path)[-1].source


SCREENS = [*STAGE_PARAMS, "iterate", "ablate", "paper"]


@pytest.mark.parametrize("name", SCREENS)
def test_what_came_out_stands_first_and_is_filled_once_outside_what_records_are_compared_by(name):
    cells = code_cells(FOLDER / f"{name}.ipynb")
    filling = [cell for cell in cells if "first_screen.fill(" in cell.source]
    assert f'first_screen.place("{name}.ipynb"' in cells[0].source
    assert len(filling) == 1
    for cell in (cells[0], *filling):
        assert "nbval-ignore-output" in cell.metadata.tags, "an old record does not have it"


def test_the_contents_of_the_paper_s_notebook_lead_to_its_headings():
    book = nbformat.read(FOLDER / "paper.ipynb", as_version=4)
    text = {cell.id: cell.source for cell in book.cells if cell.cell_type == "markdown"}
    headings = {line.removeprefix("## ").replace(" ", "-") for source in text.values() for line in source.split("\n")}
    links = re.findall(r"\]\(#(.+)\)", text["contents"])
    assert len(links) > 15 and set(links) <= headings
