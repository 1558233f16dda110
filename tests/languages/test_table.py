"""The table of languages in docs/rules.md: each cell is what the code makes of its text."""

import importlib
import sys
from pathlib import Path

import pytest

from isheep_lib.languages import rules

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
table = importlib.import_module("language_table")
sys.path.pop(0)
CELLS = table.cells()
# What every language must come to; the sentence that ends is each language's own.
WANTED = {
    "rules": "accepted",
    "forbidden": "forbidden_word",
    "starts": "accepted",
    "labels": "stray_label",
    "seeds": "accepted",
    "seeds elsewhere": "refused at the plan",
    "no input": "no input",
    "lists": "3 task(s), 1 input(s)",
    "duplicates": "near_duplicate",
    "unlike": "accepted",
    "roles": "dialogue",
    "follow-up": "follow_up",
    "placeholder": "placeholder",
    "echo": "echo",
    "refusals": "a refusal",
    "scores": "8",
    "mismatch": "language_mismatch",
}


@pytest.mark.parametrize("column", table.COLUMNS)
@pytest.mark.parametrize("language", CELLS)
def test_a_cell_says_what_the_rules_make_of_its_text(language, column):
    cell = CELLS[language][column]
    assert table.COLUMNS[column](cell["text"], language) == cell["now"]
    assert cell["now"] == WANTED.get(column, cell["now"])


def test_the_table_holds_every_language_with_rules_and_every_column():
    assert sorted(CELLS) == rules.known()
    assert all(list(row) == list(table.COLUMNS) == list(table.MEANINGS) for row in CELLS.values())


def test_a_text_that_ends_early_ends_with_a_sentence_of_its_own_language():
    ends = [row["sentence ends"] for row in CELLS.values()]
    assert all(cell["text"].startswith(cell["now"]) and cell["now"][-1] in ".。؟।" for cell in ends)


@pytest.mark.parametrize("language", CELLS)
def test_an_answer_is_cut_in_the_middle_of_its_words(language):
    whole, half = CELLS[language]["truncation"]["text"], CELLS[language]["truncation"]["now"]
    assert whole.startswith(half) and 0.3 < len(half) / len(whole) < 0.7


def test_english_came_to_the_same_before_there_were_other_languages():
    differ = {name for name, cell in CELLS["en"].items() if cell["before"] != cell["now"]}
    assert differ == {"seeds elsewhere", "mismatch"}, "what is about a run in another language"
