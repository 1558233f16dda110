"""Paraphrase: one candidate for each seed."""

from isheep_lib.record.rows import Task
from isheep_lib.synthesize.methods.paraphrase import Paraphrase
from isheep_lib.synthesize.params import Synthesize
from tests.scripted import ScriptedEngine
from tests.writings import writing


def test_every_seed_is_asked_for_once_in_the_models_frame(tmp_path):
    seeds = [Task("seed-0", "Name three uses of salt."), Task("seed-1", "Explain how bees make honey.")]
    engine = ScriptedEngine(["List some ways to use salt.", "Salt?"])
    found = Paraphrase().write(writing(engine, tmp_path, Synthesize(method="paraphrase", min_instructions=1), seeds))
    assert [(row["instruction"], row["parents"]) for row in found.accepted] == [("List some ways to use salt.", ["seed-0"])]
    assert [row["reason"] for row in found.dropped] == ["too_short"]
    assert engine.asked[0].prompt == "<Say this task in other words.\n\nName three uses of salt.>"
