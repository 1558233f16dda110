"""Pages of a run that must not be given to others: counts and results, and no word of what was written."""

import pytest

from isheep_lib.iterate import claims
from isheep_lib.record.rows import write_jsonl
from isheep_lib.report import pages
from tests.report.test_pages import assert_sound, finish, notebook, pair

SECRET = "SECRET7f3a"
SAID = "its tasks were sought for the harm that answers do"


def written(run, grid, where):
    """Record an iteration whose texts hold a word, by a method that is named in the run's parameters or in a manifest."""
    method = {"method": "rainbow", "options": {"grid": grid}}
    claims.claim_params(run, {"seed": 1, "model": {"base_model": "a/b"}} | ({"synthesize": method} if where == "run" else {}))
    shown = {"output_type": "display_data", "data": {"text/plain": SECRET}}
    texts = {"instruction": SECRET, "input": SECRET, "output": SECRET}
    task = {"id": "t9", **texts, "reason": "no_refusal", "detail": SECRET, "raw": SECRET}
    facts = {"parameters": method} if where == "manifest" else {}
    folder = finish(run, 1, "synthesize", shown, kept=1, facts=facts, examples=[pair(1) | texts], archive=[texts])
    write_jsonl(folder / "dropped.jsonl", [task])
    finish(run, 1, "assess", shown, scores=[{"id": "i1-t1", "scores": {"greedy": 1.25}}])
    folder = finish(run, 1, "filter", shown, kept=1)
    write_jsonl(folder / "kept.jsonl", [pair(1, scores={}) | texts])
    write_jsonl(folder / "dropped.jsonl", [])
    notebook(run / "iter-1/train/train.failed.ipynb", {"output_type": "error", "traceback": [SECRET]})
    notebook(run / "iterate.ipynb", shown, source=SECRET)
    return run


@pytest.mark.parametrize("where", ["run", "manifest"])
def test_on_the_grid_of_safety_pages_hold_no_text_and_say_that_and_why(tmp_path, where):
    run = written(tmp_path / "run", "safety", where)
    found = assert_sound(pages.write(run).parent)
    assert not [path.name for path in (run / "report").iterdir() if SECRET in path.read_text()]
    for name in ("index.html", "iter-1.html", "iter-1-synthesize.html", "iter-1-train.html", "notebook-iterate.html"):
        assert f"left out of these pages, which are made to be handed over: {SAID}" in " ".join(found[name].text.split()), name
    assert "kept" in found["iter-1.html"].text, "counts are shown"


@pytest.mark.parametrize("where", ["run", "manifest"])
def test_on_the_default_grid_pages_show_pairs_and_notebooks(tmp_path, where):
    found = assert_sound(pages.write(written(tmp_path / "run", "tasks", where)).parent)
    for name in ("iter-1.html", "iter-1-synthesize.html", "iter-1-train.html", "notebook-iterate.html"):
        assert SECRET in found[name].text, name
    assert "left out" not in found["index.html"].text
