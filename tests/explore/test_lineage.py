"""Where a pair comes from: what its row says, what the method's own files hold of it, and its ancestors back to seeds."""

import pytest

from isheep_lib.explore import pair_history
from isheep_lib.explore import pairs as explore_pairs
from tests.explore.test_explore_pairs import HOSTILE, example, record

SEED = {"id": "seed-1", "instruction": "Name a river.", "input": "", "output": "Don.", "shown": 1}


def written(run_dir, *kept, dropped=(), iteration=1, facts=None, **files):
    """Record a synthesis with the files of a method."""
    rows = {"examples.jsonl": list(kept), "dropped.jsonl": list(dropped), "demonstrations.jsonl": [SEED]}
    rows |= {f"{name}.jsonl": content for name, content in files.items()}
    return record(run_dir, iteration, "synthesize", rows, **(facts or {}))


def row(id_, **lineage):
    found = example(id_, **lineage)
    return found if "demonstrations" in lineage else {name: v for name, v in found.items() if name != "demonstrations"}


def lost(id_, **lineage):
    return {**row(id_, **lineage), "reason": "replaced", "detail": "", "raw": "so"}


def told(table):
    return {line["what"]: line["is"] for line in table.rows}


def test_a_rewriting_is_followed_back_to_its_seed_over_what_was_dropped(tmp_path):
    first = lost("i1-g1-000", parents=["seed-1"], operator="deepen", generation=1)
    second = row("i1-g2-000", parents=["i1-g1-000"], operator="in_breadth", generation=2)
    written(tmp_path, second, dropped=[first])
    story = pair_history.follow(tmp_path, 1, "i1-g2-000")
    assert told(story.origin) == {"operator": "in_breadth", "generation": "2"}
    assert [(line["generations back"], line["id"], line["by"], line["instruction"]) for line in story.ancestors.rows] == [
        (1, "i1-g1-000", "deepen", "Write about i1-g1-000."),
        (2, "seed-1", "", "Name a river."),
    ]
    assert [line["instruction"] for line in story.demonstrations.rows] == ["Write about i1-g1-000."]


def test_parents_of_an_earlier_iteration_are_found_there(tmp_path):
    written(tmp_path, row("i1-c0001", parents=["seed-1"], operator="mutate", cell=["a list", "hard"]))
    written(tmp_path, row("i2-c0000", parents=["i1-c0001"], operator="mutate", cell=["a list", "easy"]), iteration=2)
    ids = [line["id"] for line in pair_history.follow(tmp_path, 2, "i2-c0000").ancestors.rows]
    assert ids == ["i1-c0001", "seed-1"]


def test_a_parent_that_no_file_holds_is_named_without_a_text_and_a_circle_ends(tmp_path):
    written(tmp_path, row("a", parents=["b", "gone"]), row("b", parents=["a"]))
    lines = pair_history.follow(tmp_path, 1, "a").ancestors.rows
    assert [(line["id"], line["instruction"]) for line in lines] == [
        ("b", "Write about b."),
        ("gone", ""),
        ("a", "Write about a."),
    ]


@pytest.mark.parametrize(
    ("lineage", "files", "what", "is_", "held"),
    [
        (
            {"constitution_version": 2, "operator": "revise"},
            {
                "constitution": [
                    {"version": 1, "rule": "Say what you do not know.", "reason": ""},
                    {"version": 2, "rule": "Be good.", "reason": "vague_rule"},
                    {"version": 2, "rule": "Give an example.", "reason": ""},
                    {"version": 3, "rule": "Be short.", "reason": ""},
                ]
            },
            "constitution version",
            "2",
            "1. Say what you do not know.\n2. Give an example.",
        ),
        (
            {"cell": ["a list", "hard"], "fitness": 0.4},
            {"archive": [{"id": "i1-c7", "cell": ["a list", "hard"], "instruction": "List all."}]},
            "cell",
            "a list | hard",
            "the cell holds i1-c7: List all.",
        ),
        ({"cell": ["a list", "hard"]}, {"archive": []}, "cell", "a list | hard", "the cell is empty"),
        (
            {"method_version": 3, "operator": "method-v3"},
            {"methods": [{"version": 3, "text": "Ask for more."}, {"version": 0, "text": "Ask."}]},
            "method version",
            "3",
            "Ask for more.",
        ),
        (
            {"skill": "word limits", "skill_id": "i1-s0", "score": 2},
            {"skills": [{"id": "i1-s0", "weak": 3, "scored": 5}]},
            "skill id",
            "i1-s0",
            "3 of 5 answers are weak",
        ),
        ({"topic": "Tides", "kind": "riddles"}, {}, "topic", "Tides", None),
        ({"topics": ["Tides", "Tea"]}, {}, "topics", "Tides | Tea", None),
        ({"votes": {"42": 3}, "operator": "simplify"}, {}, "votes", "42: 3", None),
    ],
)
def test_what_a_row_says_stands_beside_what_the_method_s_own_file_holds(tmp_path, lineage, files, what, is_, held):
    written(tmp_path, row("p", **lineage), **files)
    (line,) = [line for line in pair_history.follow(tmp_path, 1, "p").origin.rows if line["what"] == what]
    assert (line["is"], line.get("in the record")) == (is_, held)


def test_a_document_is_named_with_where_it_lies(tmp_path):
    sources = {"documents": {"from": "mine/texts", "number": 4, "licences": {"MIT": 4}}}
    written(tmp_path, row("i1-doc-7", document="doc-7", style="query"), facts={"sources": sources})
    assert pair_history.follow(tmp_path, 1, "i1-doc-7").origin.rows == [
        {"what": "document", "is": "doc-7", "in the record": "of mine/texts"},
        {"what": "style", "is": "query"},
    ]


def test_a_task_that_was_made_from_nothing_says_so(tmp_path):
    written(tmp_path, row("p"))
    story = pair_history.follow(tmp_path, 1, "p")
    assert "made from no task" in repr(story.origin)
    assert story.ancestors.rows == [{"parents": "none"}]


def test_tables_of_many_rows_have_a_column_for_each_origin_that_any_row_names(tmp_path):
    dropped = [lost("d", parents=["seed-1"], operator="deepen")]
    written(tmp_path, row("p", parents=["seed-1"], operator="deepen", cell=["x", "y"]), row("q"), dropped=dropped)
    found = explore_pairs.pairs(tmp_path, 1)
    assert found.origins == ["parents", "operator", "cell"]
    assert [(line["operator"], line["cell"]) for line in found.rows] == [("deepen", "x | y"), ("", ""), ("deepen", "")]
    assert set(found.columns) == set(found.rows[0]) == set(found.rows[1])
    assert [line["id"] for line in found.arranged("operator")] == ["p", "d", "q"]


def test_lineage_that_a_model_wrote_is_escaped(tmp_path):
    rules = [{"version": 1, "rule": HOSTILE, "reason": ""}]
    parent = lost("i0", operator=HOSTILE) | {"instruction": HOSTILE}
    written(tmp_path, row("p", topic=HOSTILE, parents=["i0"], constitution_version=1), dropped=[parent], constitution=rules)
    page = (
        pair_history.follow(tmp_path, 1, "p")._repr_html_()
        + explore_pairs.pairs(tmp_path, 1).table(explore_pairs.pairs(tmp_path, 1).rows)._repr_html_()
    )
    assert "<script" not in page and "<b>" not in page
    assert "&lt;script" in page
