"""Tables of constraints: counts by family, and in words what no answer meets."""

from isheep_lib.display.constraint_tables import families_table


def row(*families, **more):
    held = [{"family": name, "arguments": {}, "text": f"<{name}>", "kept": kept} for name, kept in families]
    return {"id": "1", **({"constraints": held} if held else {}), **more}


def test_families_are_counted_and_those_that_no_answer_meets_are_named():
    rows = [row(("no_commas", True), ("table", False)), row(("no_commas", False)), row(("one_line", True)), row()]
    table = families_table(rows, ["no_commas", "table", "one_line", "no_dashes"])
    assert table.rows == [
        {"family": "no_commas", "instructions": 2, "kept": 1, "share kept": "50%"},
        {"family": "one_line", "instructions": 1, "kept": 1, "share kept": "100%"},
        {"family": "table", "instructions": 1, "kept": 0, "share kept": "0%"},
    ]
    assert table.caption == (
        "3 of 4 instructions hold constraints; 1 of their answers keep them all. "
        "WARNING: no answer meets table: nothing can be learned of them here. In no instruction: no_dashes."
    )


def test_hindsight_shows_the_share_of_free_answers_and_how_many_have_a_contrast():
    rows = [row(("no_commas", True), contrast=["2"]), row(("no_commas", True), contrast=[])]
    for number, each in enumerate(rows):
        each["constraints"][0]["share"] = 0.1 + 0.1 * number
    table = families_table(rows)
    assert table.rows == [
        {"family": "no_commas", "instructions": 2, "kept": 2, "share kept": "100%", "met by free answers": "15.0%"}
    ]
    assert table.caption.endswith("1 have another answer to the task that breaks one.")


def test_rows_without_constraints_say_so():
    assert families_table([row(), row()], ["all"]).rows == [{"constraints": "none in these instructions"}]
