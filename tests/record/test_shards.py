"""Several workers fill one stage: the same bytes as one worker, whoever comes, dies, comes again or comes last."""

import contextlib
import itertools
import random
import re
import subprocess
import sys
import threading
from pathlib import Path

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isheep_lib.assess import reliability_check, scoring
from isheep_lib.assess.tables import unread_table
from isheep_lib.engines.protocol import Request
from isheep_lib.errors import ParameterError, RecordError
from isheep_lib.iterate import claims, session
from isheep_lib.iterate.run_params import AssessParams, SynthesizeParams
from isheep_lib.iterate.session import StageSession
from isheep_lib.params import run_file
from isheep_lib.record import locks
from isheep_lib.record.journal import Held, Journal
from isheep_lib.record.manifests import read_manifest, write_manifest
from isheep_lib.record.rows import as_pairs
from isheep_lib.record.shards import CommonJournal, ShardJournal
from isheep_lib.scorers.table import columns_of
from isheep_lib.synthesize import candidates
from isheep_lib.synthesize import respond as synthesize_respond
from isheep_lib.synthesize.writing import Writing
from tests.frames import hand_made
from tests.scripted import ScriptedEngine

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
FRAME = hand_made("f", "<", ">", "END")
TASKS = [{"id": f"t{n:02d}", "instruction": f"Task {n}.", "input": ""} for n in range(23)]
PAIRS = [{**row, "id": f"p{n:02d}", "output": f"answer {n}"} for n, row in enumerate(TASKS * 2)]
SYLLABLES = ["".join(letters) for letters in itertools.product("bdfgklmnprst", "aeiou", "lmnrst")]
few = settings(max_examples=15, deadline=None)


class Ended(Exception):
    """A worker that is ended in the middle."""


class Mortal(ScriptedEngine):
    """Answers so many batches and passes, then ends as a killed worker does; the journal keeps what was appended."""

    def __init__(self, answers, life=10_000, **script):
        super().__init__(answers, **script)
        self.life = life

    def live(self):
        self.life -= 1
        if self.life < 0:
            raise Ended

    def generate(self, batches, tick=lambda units: None):
        for completions in super().generate(batches, tick):
            self.live()
            yield completions

    def logprobs(self, pairs):
        self.live()
        return super().logprobs(pairs)


def answer(request):
    """Write a new list of tasks for a list prompt, a score for a question about a pair, and something for the rest."""
    rng = random.Random(request.seed)
    if request.prompt.endswith("Instruction:"):
        texts = [f"Write {' '.join(rng.sample(SYLLABLES, 6))}." for _ in range(3)]
        return " " + "\n".join(f"{'' if n == 3 else f'{n}. Instruction: '}{text}" for n, text in enumerate(texts, start=3))
    return f"{rng.randint(0, 12)}||so" if "||" in request.prompt else f"answer {rng.randint(0, 99)}"


def number_in(name):
    return int(re.search(r"\d+", name)[0])


def written_with(engine):
    return Writing(engine, FRAME, SynthesizeParams(), SynthesizeParams().options, 1, [], number_in, Journal)


def respond(folder, shard=0, of=1, life=10_000):
    engine = Mortal(answer, life, batch=2)
    with ShardJournal(folder, "responses", "f", shard, of) as journal:
        return synthesize_respond.respond(written_with(engine), TASKS, journal), engine


def respond_thrice(folder, shard=0, of=1, life=10_000):
    engine = Mortal(answer, life, batch=2)  # no whole number of tasks
    with ShardJournal(folder, "responses", "f", shard, of) as journal:
        return synthesize_respond.respond(written_with(engine), TASKS, journal, 3), engine


def assessment(engine):
    return scoring.Assessment(engine, FRAME, AssessParams(), number_in)


def score(folder, shard=0, of=1, life=10_000):
    engine = Mortal(answer, life, batch=5, fits=lambda text: len(text) % 3 == 0)
    with ShardJournal(folder, "scores", "f", shard, of) as journal:
        scorers = ["greedy", "pmi", "expected"]
        found = scoring.score_pairs(assessment(engine), as_pairs(PAIRS), scorers, journal)
        return scoring.as_rows(found), engine


def killed(work, *arguments):
    try:
        work(*arguments)
    except Ended:
        return


@st.composite
def histories(draw):
    """Workers that were killed somewhere, of any number of shards each, and then a full set in any order."""
    of = st.integers(1, 6)
    lost = [(draw(st.integers(0, n - 1)), n, draw(st.integers(0, 6))) for n in draw(st.lists(of, max_size=4))]
    last = draw(of)
    return lost, [(shard, last) for shard in draw(st.permutations(range(last)))]


@pytest.mark.parametrize("work", [respond, respond_thrice, score])
@few
@given(history=histories())
def test_any_workers_in_any_order_leave_the_rows_of_one_worker(work, history, tmp_path_factory):
    lost, rest = history
    whole, _ = work(tmp_path_factory.mktemp("one"))
    folder = tmp_path_factory.mktemp("many")
    for shard, of, life in lost:
        killed(work, folder, shard, of, life)
    for shard, of in rest:
        rows, _ = work(folder, shard, of)
    assert rows == whole


@few
@given(history=histories())
def test_what_any_journal_holds_is_never_generated_again(history, tmp_path_factory):
    lost, rest = history
    folder, asked, kept = tmp_path_factory.mktemp("many"), [], set()
    for shard, of, life in [*lost, *((shard, of, 10_000) for shard, of in rest)]:
        engine = Mortal(answer, life, batch=2)
        with ShardJournal(folder, "responses", "f", shard, of) as journal:
            kept |= set(journal.rows)
            with contextlib.suppress(Ended):
                synthesize_respond.respond(written_with(engine), TASKS, journal)
        assert not kept & {request.id for request in engine.asked}
        asked += engine.asked
    assert {request.id for request in asked} == {row["id"] for row in TASKS}


@few
@given(data=st.data())
def test_a_worker_killed_at_any_byte_of_its_journal_is_resumed_by_any_other_number_of_workers(data, tmp_path_factory):
    whole, _ = respond(tmp_path_factory.mktemp("one"))
    folder = tmp_path_factory.mktemp("many")
    respond(folder, 1, 3)
    path = folder / "responses.shard-1-of-3.jsonl"
    path.write_bytes(path.read_bytes()[: data.draw(st.integers(0, path.stat().st_size))])
    before = path.read_bytes()
    of = data.draw(st.sampled_from([1, 2, 5]))
    for shard in range(of):
        rows, _ = respond(folder, shard, of)
    assert rows == whole
    assert path.read_bytes() == before, "a worker changed another one's journal"


@pytest.mark.parametrize("moment", range(0, 5))
def test_whoever_appends_last_sees_everything_even_if_the_other_worked_in_between(tmp_path, moment):
    whole, _ = score(tmp_path / "one")
    other = []

    class Interrupted(Mortal):
        def live(self):
            super().live()
            if self.life == 9_999 - moment:
                other.append(score(tmp_path / "two", 1, 2)[0])

    with ShardJournal(tmp_path / "two", "scores", "f", 0, 2) as journal:
        engine = Interrupted(answer, batch=5, fits=lambda text: len(text) % 3 == 0)
        scorers = ["pmi", "greedy", "expected"]
        found = scoring.score_pairs(assessment(engine), as_pairs(PAIRS), scorers, journal)
    assert scoring.as_rows(found) == whole
    assert len(other) == 1 and other[0] != whole


def test_a_shard_is_whole_batches_and_whole_chunks(tmp_path):
    rows, engine = respond(tmp_path, 1, 4)
    assert engine.calls == [["t02", "t03"], ["t10", "t11"], ["t18", "t19"]]
    assert [row["id"] for row in rows] == ["t02", "t03", "t10", "t11", "t18", "t19"]
    _, engine = score(tmp_path, 0, 2)
    assert {len(call) for call in engine.calls if isinstance(call[0], tuple)} == {
        2 * scoring.CHUNK,
        2 * (len(PAIRS) % scoring.CHUNK),
    }


def test_a_worker_that_waits_for_others_says_so_for_every_pair(tmp_path):
    rows, _ = score(tmp_path, 0, 3)
    found = [scoring.Scores(**row) for row in rows]
    wanted = columns_of(("greedy", "pmi", "expected"), "both")
    counts = scoring.counts(found, wanted)
    assert counts["dropped"]["waits_for_other_shard"] == scoring.waiting(found) > 0
    assert counts["in"] == counts["kept"] + sum(counts["dropped"].values()) == len(PAIRS)
    assert all((c in row.scores) != (c in row.unread) for row in found for c in wanted)
    assert "waits" not in repr(unread_table(found))
    check = reliability_check.run_check(assessment(ScriptedEngine()), as_pairs(PAIRS), found, None)
    assert check == reliability_check.Check([], {}, [], [])


def test_a_journal_that_another_worker_is_writing_is_read_and_left_alone(tmp_path):
    with ShardJournal(tmp_path, "responses", "f", 0, 2) as other, ShardJournal(tmp_path, "responses", "f", 1, 2) as mine:
        other.append([{"id": "a"}])
        with open(other.path, "ab") as file:
            file.write(b'{"id":"b","_c":')
        before = other.path.read_bytes()
        mine.refresh()
        assert mine.rows == {"a": {"id": "a"}}
        assert other.path.read_bytes() == before
        (tmp_path / "responses.shard-0-of-9.jsonl").write_bytes(b"")  # a worker that is just starting
        (tmp_path / "responses.shard-1-of-9.jsonl").write_bytes(before.replace(b'"f"', b'"other"'))
        mine.refresh()
        assert mine.rows == {"a": {"id": "a"}}


def test_of_another_workers_damaged_journal_the_rows_before_the_damage_are_read(tmp_path):
    with ShardJournal(tmp_path, "responses", "f", 0, 2) as other:
        other.append([{"id": "a"}, {"id": "b"}, {"id": "c"}, {"id": "d"}])
    other.path.write_bytes(other.path.read_bytes().replace(b'"c"', b'"x"'))
    with ShardJournal(tmp_path, "responses", "f", 1, 2) as mine:
        assert mine.rows == {"a": {"id": "a"}}


def test_a_second_worker_with_the_same_number_is_refused(tmp_path):
    with ShardJournal(tmp_path, "responses", "f", 3, 64), pytest.raises(Held) as caught:
        ShardJournal(tmp_path, "responses", "f", 3, 64, timeout=0.0)
    assert "shard 3 of 64 of this stage (each worker needs its own number)" in str(caught.value)


@pytest.mark.parametrize(("shard", "of"), [(3, 3), (64, 3), (1, 1)])
def test_a_shard_beyond_their_number_is_refused(tmp_path, shard, of):
    with pytest.raises(ParameterError, match=f"shard: {shard} is not below num_shards.*{of}; shards count from 0"):
        session.open_stage("assess", {"run": str(tmp_path / "run"), "shard": shard, "num_shards": of})
    assert not (tmp_path / "run").exists()


def lists(journal, engine):
    """Do one step that cannot be divided; return its rows."""
    with journal:
        for id_ in ("a", "b"):
            if id_ not in journal.rows:
                (done,) = next(iter(engine.generate([[Request(id_, "p", 1)]])))
                journal.append([{"id": id_, "text": done.text}])
        return {id_: journal.rows[id_]["text"] for id_ in ("a", "b")}


def test_a_step_of_all_workers_is_done_by_the_first_and_read_by_the_others(tmp_path):
    first, second = ScriptedEngine(["1", "2"]), ScriptedEngine()
    path = tmp_path / "instructions.jsonl"
    assert lists(CommonJournal(path, "f"), first) == {"a": "1", "b": "2"}
    before = path.read_bytes()
    assert lists(CommonJournal(path, "f"), second) == {"a": "1", "b": "2"}
    assert second.asked == []
    assert path.read_bytes() == before
    with Journal(path, "f") as unsharded:
        assert unsharded.rows["a"] == {"id": "a", "text": "1"}


@pytest.mark.parametrize("dies", [False, True])
def test_the_others_wait_for_the_writer_and_take_over_when_it_dies(tmp_path, monkeypatch, dies):
    monkeypatch.setattr("isheep_lib.record.shards.POLL_SECONDS", 0.01)
    path, engine, found = tmp_path / "instructions.jsonl", ScriptedEngine(["again"]), []
    writer = CommonJournal(path, "f")
    assert writer.rows == {}
    writer.append([{"id": "a", "text": "1"}])
    waits = threading.Thread(target=lambda: found.append(lists(CommonJournal(path, "f"), engine)))
    waits.start()
    waits.join(0.2)
    assert waits.is_alive() and engine.asked == []
    if dies:
        writer.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    else:
        writer.append([{"id": "b", "text": "2"}])
        writer.__exit__(None, None, None)
    waits.join(20)
    assert found == [{"a": "1", "b": "again" if dies else "2"}]
    assert [request.id for request in engine.asked] == (["b"] if dies else [])


def test_a_worker_without_work_in_a_step_of_all_waits_for_nobody(tmp_path):
    with CommonJournal(tmp_path / "check.jsonl", "f") as writer:
        assert writer.rows == {}
        with CommonJournal(tmp_path / "check.jsonl", "f"):
            pass
    assert not CommonJournal(tmp_path / "none.jsonl", "f").path.exists()


@pytest.mark.parametrize(("old", "again"), [(b'"1"', ["a", "b"]), (b'"2"', ["a", "b"]), (b'"rows":2', ["b"])])
def test_a_finished_step_that_was_damaged_is_done_again_from_there(tmp_path, old, again):
    path, engine = tmp_path / "i.jsonl", ScriptedEngine(["1", "2"][-len(again) :])
    lists(CommonJournal(path, "f"), ScriptedEngine(["1", "2"]))
    whole = path.read_bytes()
    path.write_bytes(whole.replace(old, old.translate(bytes.maketrans(b"12", b"77"))))
    assert lists(CommonJournal(path, "f"), engine) == {"a": "1", "b": "2"}
    assert [request.id for request in engine.asked] == again
    assert path.read_bytes() == whole


# From here on whole stages: the notebooks' own cells, run in this process with a scripted engine.


@pytest.fixture
def model(tmp_path):
    """Return a folder that looks like a model; nobody loads it."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


@pytest.fixture
def worker(model, monkeypatch):
    """Return a function that runs a stage notebook as one worker and returns what its last cell said."""
    books = {}
    for name in ("synthesize", "assess", "filter"):
        cells = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4).cells
        books[name] = {cell.id: cell.source for cell in cells if cell.cell_type == "code"}
    small = {"instructions": 12, "min_instructions": 4, "demonstrations": 2, "tasks_per_prompt": 5, "prompts_per_batch": 4}
    small |= {"checked_pairs": 6, "bootstrap": 100, "scorers": ["pmi", "greedy"]}
    monkeypatch.setattr(scoring, "CHUNK", 2)

    def run(stage, folder, shard=0, of=1, engine=None, until="record", **more):
        engine = engine or ScriptedEngine(answer, batch=2, fits=lambda text: len(text) % 3 == 0)
        monkeypatch.setattr(StageSession, "open_engine", lambda self: (engine, FRAME))
        known = session.STAGE_PARAMS[stage].model_fields
        names = {name: field.default for name, field in known.items()} | {n: v for n, v in small.items() if n in known}
        names |= {"run": str(folder), "base_model": str(model), "inference_dtype": "float32"}
        names |= {"shard": shard, "num_shards": of, **more}
        for id_, source in books[stage].items():
            if id_ == until != "record":
                return names
            if id_ == "record":
                *lines, last = source.split("\n")
                exec("\n".join([*lines, f"said = {last}"]), names)
            elif id_ != "parameters":
                exec(source, names)
        return names["said"]

    return run


def outputs(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file() and p.name != "manifest.json"}


@pytest.mark.parametrize("answers", [1, 3])
def test_three_workers_leave_the_same_bytes_as_one_and_only_the_last_records(worker, tmp_path, answers):
    one, many = tmp_path / "one", tmp_path / "many"
    for stage in ("synthesize", "assess"):
        more = {"answers": answers} if stage == "synthesize" else {}
        assert "is recorded in" in worker(stage, one, **more)
        folder = many / "iter-1" / stage
        for shard in (2, 0):
            said = worker(stage, many, shard, 3, **more)
            assert said.startswith(f"shard {shard} of 3 is done: ")
            assert "rows of other shards are still missing; the last worker records the stage" in said
            assert read_manifest(folder) is None
            assert not locks.is_held(many)
        assert "is recorded in" in worker(stage, many, 1, 3, **more)
        assert outputs(folder) == outputs(one / "iter-1" / stage)
        assert sorted(p.name for p in folder.iterdir()) == sorted([*outputs(folder), "manifest.json"])
        manifests = [read_manifest(run / "iter-1" / stage) for run in (one, many)]
        for part in ("fingerprint", "counts", "tokens", "outputs"):
            assert manifests[0][part] == manifests[1][part]
        assert (many / "iter-1" / stage / "manifest.json").is_file()
    assert "shard" not in run_file.params_path(many).read_text()
    assert outputs(many / "iter-1/synthesize")["demonstrations.jsonl"].count(b"\n") > 2, "no shown task is recorded"


def test_of_three_answers_to_each_task_the_notebooks_keep_the_best_and_say_what_became_of_the_others(worker, tmp_path):
    run = tmp_path / "run"
    engine = ScriptedEngine(
        lambda r: answer(r) if "Task" not in r.id and "Instruction" in r.prompt[-13:] else f"say {r.seed % 5}"
    )
    assert "is recorded in" in worker("synthesize", run, engine=engine, answers=3)
    counts = read_manifest(run / "iter-1/synthesize")["counts"]
    assert counts["kept"] + counts["dropped"].get("same_answer", 0) == 36
    assert 0 < counts["dropped"]["same_answer"] < 24
    assert read_manifest(run / "iter-1/synthesize")["tokens"]["responses"] == 360, (
        "an answer that repeats another one costs as much"
    )
    assert "is recorded in" in worker("assess", run, scorers=["pmi"], checked_scorers=["pmi"])
    names = worker("filter", run, steps=["best_answer"], decontaminate="ignore", min_kept=4, until="checks")
    kept, dropped = names["kept"], names["dropped"]
    assert len(kept) == len({row["task"] for row in kept}) == 12
    assert {row["reason"] for row in dropped} == {"not_best"} and all(row["scores"] for row in dropped)
    assert len(kept) + len(dropped) == counts["kept"]
    assert "12 tasks, " in repr(names["choice_table"](names["result"].came["best_answer"], names["stage"].params))
    names["stage"].lock.release()


def test_a_worker_without_anything_at_hand_shows_that_and_ends_well(worker, tmp_path):
    assert "12 rows of other shards are still missing" in worker("synthesize", tmp_path / "run", 63, 64)
    worker("synthesize", tmp_path / "run")
    assert "12 rows of other shards are still missing" in worker("assess", tmp_path / "run", 63, 64)
    names = worker("assess", tmp_path / "run", 63, 64, until="checks")
    assert "the last worker makes the check" in repr(names["stage_tables"].reliability_table(names["check"].found))
    assert b"PNG" in names["figures"].calibration(names["check"])._repr_png_()[:8]


def test_counts_of_a_worker_that_is_not_the_last_add_up(worker, tmp_path):
    names = worker("synthesize", tmp_path / "run", 1, 4, until="samples")
    counts = names["counts"]
    assert counts["dropped"]["waits_for_other_shard"] == len(names["found"].accepted) - len(names["examples"]) > 0
    assert counts["in"] == counts["kept"] + sum(counts["dropped"].values())


def test_one_worker_alone_finishes_what_others_left(worker, tmp_path):
    worker("synthesize", tmp_path / "one")
    for shard in range(2):
        worker("synthesize", tmp_path / "run", shard, 3)
    engine = ScriptedEngine(answer, batch=2)
    assert "is recorded in" in worker("synthesize", tmp_path / "run", engine=engine)
    assert 0 < sum("Task" not in r.id and "-t" in r.id for r in engine.asked) < 12
    assert outputs(tmp_path / "run/iter-1/synthesize") == outputs(tmp_path / "one/iter-1/synthesize")


def test_shards_that_are_all_there_are_recorded_without_generating(worker, tmp_path):
    for shard in range(2):
        worker("synthesize", tmp_path / "run", shard, 2, until="funnel")["stage"].lock.release()
    engine = ScriptedEngine(answer, batch=2)
    assert "is recorded in" in worker("synthesize", tmp_path / "run", engine=engine)
    assert {request.id for request in engine.asked} == {"example"}


def test_a_worker_that_comes_when_the_stage_is_recorded_ends_well(worker, tmp_path, capsys):
    worker("synthesize", tmp_path / "run")
    before = (tmp_path / "run/iter-1/synthesize/manifest.json").read_bytes()
    with pytest.raises(SystemExit) as caught:
        worker("synthesize", tmp_path / "run", 3, 64)
    assert caught.value.code == 0
    assert "iter-1/synthesize is done and recorded" in capsys.readouterr().out
    assert not locks.is_held(tmp_path / "run")
    assert (tmp_path / "run/iter-1/synthesize/manifest.json").read_bytes() == before


def test_a_worker_with_other_code_than_the_record_is_refused(worker, tmp_path):
    worker("synthesize", tmp_path / "run")
    folder = tmp_path / "run/iter-1/synthesize"
    manifest = read_manifest(folder)
    write_manifest(folder, {**manifest, "parts": {**manifest["parts"], "code": {"synthesize": "other"}}})
    with pytest.raises(RecordError, match=r"differs in code(.|\n)*--stale redo"):
        worker("synthesize", tmp_path / "run", 3, 64)
    assert not locks.is_held(tmp_path / "run")


def test_two_workers_that_both_see_everything_record_once(worker, tmp_path):
    for shard in range(2):
        worker("synthesize", tmp_path / "run", shard, 3)
    names = [worker("synthesize", tmp_path / "run", 2, 3, until="funnel") for _ in range(3)]
    counts = candidates.funnel_of(names[0]["found"], names[0]["examples"])
    begin, said = threading.Barrier(3), []

    def commit(values):
        begin.wait()
        found = values["found"]
        rows = {"examples.jsonl": values["examples"], "dropped.jsonl": found.dropped}
        rows["demonstrations.jsonl"] = candidates.shown_tasks(found, values["writing"].seeds)
        said.append(values["stage"].commit(rows, counts=counts))

    threads = [threading.Thread(target=commit, args=(values,)) for values in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum("is recorded in" in line for line in said) == 1
    assert sum("another worker has recorded the stage" in line for line in said) == 2
    assert sorted(p.name for p in (tmp_path / "run/iter-1/synthesize").iterdir()) == [
        "demonstrations.jsonl",
        "dropped.jsonl",
        "examples.jsonl",
        "manifest.json",
    ]


def test_unfinished_work_stays_until_the_last_worker_leaves(worker, tmp_path):
    late = worker("synthesize", tmp_path / "run", 1, 2, until="responses")["stage"]
    worker("synthesize", tmp_path / "run", 0, 3)
    worker("synthesize", tmp_path / "run", 1, 3)
    assert "is recorded in" in worker("synthesize", tmp_path / "run", 2, 3)
    assert late.work.is_dir()
    with late.journal("responses") as journal:
        assert len(journal.rows) == 12
    said = late.commit({}, counts={"in": 0, "kept": 0, "dropped": {}})
    assert "another worker has recorded the stage" in said
    assert not late.work.exists()


def test_a_lone_worker_never_records_a_stage_with_missing_rows(worker, tmp_path, monkeypatch):
    class Deaf(ScriptedEngine):
        def generate(self, batches, tick=lambda units: None):
            for completions in super().generate(batches, tick):
                yield [completion for completion in completions if not completion.id.endswith("t1")]

    with pytest.raises(AssertionError, match="an accepted task has no response"):
        worker("synthesize", tmp_path / "run", engine=Deaf(answer, batch=2))
    stage = worker("synthesize", tmp_path / "other", until="prompt")["stage"]
    with pytest.raises(RecordError, match=r"2 row\(s\) were not computed"):
        stage.commit({}, counts={"in": 2, "kept": 0, "dropped": {"waits_for_other_shard": 2}})


def test_workers_share_a_run_and_nobody_else_has_it_meanwhile(tmp_path):
    first, second = locks.RunLock(tmp_path, "shard 0 of 2"), locks.RunLock(tmp_path, "shard 1 of 2")
    assert locks.is_held(tmp_path)
    with pytest.raises(RecordError, match=r"being filled by workers \(the last to start: shard 1 of 2, process \d+ on "):
        locks.RunLock(tmp_path, timeout=0.0)
    first.release()
    assert locks.is_held(tmp_path)
    assert second.is_last()
    second.release()
    assert not locks.is_held(tmp_path)
    alone = locks.RunLock(tmp_path)
    with pytest.raises(RecordError, match=r"being written by another process \(process \d+ on "):
        locks.RunLock(tmp_path, "shard 1 of 2", timeout=0.0)
    alone.release()


def test_a_worker_that_is_killed_leaves_no_lock(tmp_path):
    code = (
        "import os, signal, sys; from pathlib import Path; from isheep_lib.record.locks import RunLock; "
        "lock = RunLock(Path(sys.argv[1]), 'shard 0 of 2'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code, tmp_path]).returncode == -9
    locks.RunLock(tmp_path).release()


def test_workers_that_start_together_all_claim_the_run(tmp_path):
    begin, problems = threading.Barrier(8), []

    def claim(number):
        begin.wait()
        try:
            with locks.turn(tmp_path):
                claims.claim_params(tmp_path, {"seed": 1, "model": {"dtype": "float32", "batch_tokens": number}})
        except RecordError as error:
            problems.append(error)

    threads = [threading.Thread(target=claim, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert run_file.run_params(tmp_path)["model"]["dtype"] == "float32"
