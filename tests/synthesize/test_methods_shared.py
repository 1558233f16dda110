"""Every method with several workers: one writes the tasks, the others read them, and all rows are those of one worker alone."""

import zlib
from functools import partial
from pathlib import Path

import pytest

from isheep_lib.errors import ParameterError
from isheep_lib.iterate.run_params import SynthesizeParams
from isheep_lib.params.check import check
from isheep_lib.record.journal import Journal
from isheep_lib.record.shards import CommonJournal, ShardJournal
from isheep_lib.sandbox.run import find_sandbox
from isheep_lib.synthesize.all_methods import METHODS
from isheep_lib.synthesize.params import Synthesize
from tests.talking import SEEDS, Talker, values_of
from tests.writings import writing

unconfined = pytest.mark.skipif(not find_sandbox(), reason="bubblewrap does not work here")
NAMES = [pytest.param(name, marks=unconfined) if name == "wizard_coder" else name for name in METHODS]


def worked(name: str, folder: Path, shard: int = 0, of: int = 1):
    """Go through the stage as its notebook does, as one of several workers; return tasks, answered rows, and requests."""
    engine, way, kind = Talker(name), METHODS[name], Journal if of == 1 else CommonJournal
    journals = {"open_journal": lambda step: kind(folder / f"{step}.jsonl", "f")}
    seed_of = lambda record: zlib.crc32(record.encode())  # noqa: E731
    plain = writing(engine, folder, Synthesize(**values_of(name)), SEEDS, seed_of=seed_of, **journals)
    for shows in (way.given, way.prepared, way.example):
        shows(plain)
    shown = len(engine.asked)
    found = way.write(plain)
    wrote = engine.asked[shown:]
    with ShardJournal(folder, "responses", "f", shard, of) as journal:
        return found, way.respond(plain, found.accepted, journal), wrote


@pytest.mark.parametrize("name", NAMES)
def test_workers_leave_the_rows_of_one_and_the_second_one_writes_no_task(name, tmp_path):
    found, rows, wrote = worked(name, tmp_path / "one")
    assert wrote and found.accepted and len(rows) == len(found.accepted)
    first = worked(name, tmp_path / "many", 1, 2)
    last = worked(name, tmp_path / "many", 0, 2)
    assert first[0] == last[0] == found
    assert last[1] == rows
    assert last[2] == []
    assert (len(first[1]) < len(rows)) == Synthesize(**values_of(name)).shares_answers


@pytest.mark.parametrize("name", METHODS)
def test_workers_without_anything_to_share_are_refused_before_a_model_loads(name):
    values = {name_: value for name_, value in values_of(name).items() if name_ != "options"} | {"num_shards": 3}
    made = partial(check, SynthesizeParams, values, "x")
    if Synthesize(**values_of(name)).shares_answers:
        assert made().num_shards == 3
    else:
        with pytest.raises(ParameterError, match=f"num_shards: the method {name} has its answers as soon as"):
            made()


def test_further_answers_to_each_task_can_be_shared():
    values = {"method": "self_instruct", "num_shards": 3, "answers": 2}
    assert check(SynthesizeParams, values, "x").shares_answers
