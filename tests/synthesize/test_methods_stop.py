"""What every method says where it cannot go on: at the plan what data cannot bring, later that no answer was of use."""

import json
import zlib

import pytest

from isheep_lib.errors import DataError, YieldError
from isheep_lib.sandbox.run import find_sandbox
from isheep_lib.synthesize.all_methods import METHODS
from isheep_lib.synthesize.params import Synthesize
from tests.talking import SEEDS, Talker, values_of
from tests.writings import writing

unconfined = pytest.mark.skipif(not find_sandbox(), reason="bubblewrap does not work here")
NAMES = [pytest.param(name, marks=unconfined) if name == "wizard_coder" else name for name in METHODS]
# UDIT makes most of its tasks by rules, whatever a model says; of these it chooses the answers, of which it must be sure.
CHOSEN = {"udit": {"kinds": ["sentiment", "topic"], "tasks_per_document": 2, "min_confidence": 1.0, "benchmark_text": "keep"}}


class Useless(Talker):
    """Says the same to everything, and means yes, which is no task, no answer and no rule."""

    def __init__(self, method):
        super().__init__(method)
        self._form = lambda request, new: "salt?"

    def logprobs(self, pairs):
        self.calls.append(pairs)
        return [(-1.0, 4) for _ in pairs]

    def choices(self, prompts, labels):
        self.calls.append(prompts)
        return [[-0.1 - n for n in range(len(labels))] for _ in prompts]


@pytest.mark.parametrize("name", NAMES)
def test_a_model_that_says_nothing_of_use_stops_every_method_with_reasons_and_examples(name, tmp_path):
    values = values_of(name) | {"instruction_rules": True}
    values["options"] = CHOSEN.get(name, values["options"])
    engine = Useless(name)
    plain = writing(engine, tmp_path, Synthesize(**values), SEEDS, seed_of=lambda record: zlib.crc32(record.encode()))
    with pytest.raises(YieldError) as caught:
        METHODS[name].write(plain)
    said = str(caught.value)
    assert "such as " in said, said
    assert caught.value.do
    assert len(engine.asked) < 400, "it was not asked without end"


SCARCE = {
    "magpie": {"prompts_per_batch": 5, "max_batches": 4},
    "dialogue": {"prompts_per_batch": 5, "max_batches": 4},
    "unnatural_instructions": {"prompts_per_batch": 5, "max_batches": 4, "demonstrations": 2, "reformulations": 9},
    "dromedary": {"prompts_per_batch": 5, "max_batches": 4},
    "evol_instruct": {"rounds": 2, "parents": 10},
    "wizard_coder": {"rounds": 2},
    "wizard_math": {"rounds": 2},
    "auto_evol": {"rounds": 2, "parents": 10, "development": 4, "batch": 2},
    "iteralign": {"batch": 10, "rounds": 2},
    "selective_reflection": {"parents": 20},
    "llm2llm": {"rounds": 2},
    "autodetect": {"skills": 3, "added_skills": 1, "cases": 5, "first_cases": 5},
    "rainbow": {"children": 20},
}


@pytest.fixture
def seeds(tmp_path):
    """Return a file of twenty seeds, of two kinds."""
    rows = [
        {"instruction": f"Add {n} and {n} here.", "input": "now", "output": str(2 * n), "kind": "code" if n % 2 else "number"}
        for n in range(20)
    ]
    path = tmp_path / "seeds.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.mark.parametrize("name", [pytest.param(name, marks=unconfined) if name == "wizard_coder" else name for name in SCARCE])
def test_what_cannot_bring_as_many_tasks_as_are_needed_is_refused_at_the_plan(name, seeds):
    more = {"seeds": seeds} if "seeds" in METHODS[name].needs else {}
    enough, short = (Synthesize(method=name, min_instructions=number, options=SCARCE[name], **more) for number in (20, 21))
    assert METHODS[name].most(enough, enough.options) == 20
    enough.data_digests()
    with pytest.raises(DataError, match=f"The method {name} brings 20 new instructions at most"):
        short.data_digests()


def test_methods_that_lists_and_tables_feed_have_no_limit_that_a_plan_knows():
    free = {name for name, way in METHODS.items() if way.most(s := Synthesize(method=name), s.options) is None}
    documents = {"longform", "instruction_backtranslation", "dog_instruct", "udit"}  # which count their documents themselves
    assert free - documents == {"list", "self_instruct", "lamini", "dynosaur", "llms_as_instructors"}


@pytest.mark.parametrize("name", ["list", "dialogue", "self_instruct", "lamini"])
def test_seeds_that_do_not_fill_a_prompt_are_refused_at_the_plan_by_all_that_show_seeds(name, tmp_path):
    path = tmp_path / "seeds.jsonl"
    path.write_text('{"instruction": "Name a bird of the sea."}\n')
    with pytest.raises(DataError, match=r"1 seed task\(s\) cannot fill a prompt that shows \d"):
        Synthesize(method=name, seeds=str(path)).data_digests()
