"""Answered seeds before a task: shown to the base model alone, drawn by the task, named in its row, refused where of no use."""

import json
import zlib
from pathlib import Path
from types import SimpleNamespace

import pytest

from isheep_lib.errors import DataError
from isheep_lib.filter.run import advice
from isheep_lib.iterate.run_params import SynthesizeParams, load_run
from isheep_lib.prompting.chat import answer_stops, get_frame
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.all_methods import METHODS
from isheep_lib.synthesize.candidates import Candidates, shown_tasks
from isheep_lib.synthesize.params import Synthesize
from isheep_lib.synthesize.respond import respond, response_prompt
from tests.scripted import ScriptedEngine
from tests.writings import FRAME, writing

ROOT = Path(__file__).resolve().parents[2]
SEEDS = [Task(f"seed-{n}", f"Ask {n}.", "", f"Say {n}.") for n in range(6)] + [Task("mute", "No answer.")]
ROWS = [{"id": f"i1-t{n}", "instruction": f"Add {n}.", "input": "1" if n else ""} for n in range(8)]
TOKENIZER = SimpleNamespace(special_tokens_map={"eos_token": "<eos>"}, all_special_tokens=["<eos>"])
TOKENIZER.get_added_vocab = dict


def seed_of(name):
    return zlib.crc32(name.encode())


def made(engine, folder, number, frame=FRAME, iteration=1):
    own = writing(engine, folder, Synthesize(response_demonstrations=number), SEEDS, frame, seed_of=seed_of)
    vars(own)["iteration"] = iteration
    return own


def answered(engine, folder, number, answers=1, iteration=1):
    own = made(engine, folder, number, iteration=iteration)
    with own.open_journal("responses") as journal:
        return respond(own, ROWS, journal, answers)


def test_a_task_stands_after_as_many_answered_seeds_and_its_row_names_them(tmp_path):
    engine = ScriptedEngine(lambda request: "Said.")
    rows = answered(engine, tmp_path, 2)
    by_id = {seed.id: seed for seed in SEEDS}
    for row, request, task in zip(rows, engine.asked, ROWS, strict=True):
        first, second = (by_id[id_] for id_ in row["response_demonstrations"])
        words = f"{task['instruction']}\n\n{task['input']}" if task["input"] else task["instruction"]
        assert request.prompt == f"<{first.instruction}>{first.output}END<{second.instruction}>{second.output}END<{words}>"
    assert len({tuple(row["response_demonstrations"]) for row in rows}) > 1, "each task has its own"
    assert not any("mute" in row["response_demonstrations"] for row in rows)


def test_all_answers_to_a_task_come_after_the_same_seeds(tmp_path):
    engine = ScriptedEngine(lambda request: f"Said {request.seed}.")
    rows = answered(engine, tmp_path, 3, answers=3)
    assert {len({r.prompt for r in engine.asked[start : start + 3]}) for start in range(0, len(engine.asked), 3)} == {1}
    assert all(row["response_demonstrations"] == rows[n - n % 3]["response_demonstrations"] for n, row in enumerate(rows))


def test_without_them_and_for_trained_models_tasks_are_answered_zero_shot(tmp_path):
    asked = []
    for number, iteration in ((0, 1), (2, 2)):
        engine, folder = ScriptedEngine(lambda request: "Said."), tmp_path / str(number)
        folder.mkdir()
        rows = answered(engine, folder, number, iteration=iteration)
        assert not any("response_demonstrations" in row for row in rows)
        asked.append([(request.prompt, request.stop) for request in engine.asked])
    assert asked[0] == asked[1]
    assert asked[0][0] == (FRAME.prompt("Add 0."), ("END",))


STOPS = {
    "alpaca": ("<eos>", "### Instruction:", "### Response:"),
    "plain": ("<eos>", "\n\n"),
    "chatml": ("<|im_end|>",),
    "llama3": ("<|eot_id|>",),
}


@pytest.mark.parametrize("name", STOPS)
def test_an_answer_ends_where_the_next_turn_would_begin(name, tmp_path):
    frame = get_frame(name, "", TOKENIZER)
    assert answer_stops(frame) == STOPS[name]
    engine = ScriptedEngine(lambda request: "Said.")
    own = made(engine, tmp_path, 1, frame)
    with own.open_journal("responses") as journal:
        respond(own, ROWS[:1], journal)
    (request,) = engine.asked
    assert request.stop == STOPS[name]
    assert all(stop in response_prompt(own, ROWS[0]) for stop in request.stop[1:]), "the seed before shows how an answer ends"


def test_whoever_shows_seeds_counts_them_among_the_shown_tasks(tmp_path):
    rows = answered(ScriptedEngine(lambda request: "Said."), tmp_path, 2)
    shown = shown_tasks(Candidates(accepted=ROWS), SEEDS, rows)
    assert sum(row["shown"] for row in shown) == 2 * len(ROWS)
    assert {row["id"] for row in shown} <= {seed.id for seed in SEEDS[:-1]} and all(row["output"] for row in shown)
    assert shown_tasks(Candidates(accepted=ROWS), SEEDS) == []


def test_methods_of_aligned_models_and_those_with_answers_of_their_own_refuse_them():
    for name, method in METHODS.items():
        problems = [p for p in Synthesize(method=name, response_demonstrations=2).conflicts() if p.startswith("response_dem")]
        needless = "an aligned model" in method.needs or method.brings_answers or method.answers_given
        assert len(problems) == needless, name
    assert not METHODS["list"].brings_answers and METHODS["self_instruct"].brings_answers


def test_too_few_seeds_with_an_answer_are_refused_at_the_plan(tmp_path):
    seeds = tmp_path / "seeds.jsonl"
    rows = [{"instruction": f"Name {n} trees.", "output": "Oak." if n < 2 else ""} for n in range(5)]
    seeds.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "seeds" in Synthesize(seeds=str(seeds), response_demonstrations=2).data_digests()
    with pytest.raises(DataError, match=r"2 seed task\(s\) with an answer cannot fill a prompt that shows 3"):
        Synthesize(seeds=str(seeds), response_demonstrations=3).data_digests()


def test_a_run_without_them_has_the_fingerprint_that_it_had():
    assert "response_demonstrations" not in SynthesizeParams().deciding()
    assert SynthesizeParams(response_demonstrations=4).deciding()["response_demonstrations"] == 4


def test_the_params_files_of_the_base_model_show_answers():
    for name in ("gemma3-270m", "gemma3-270m-zh"):
        assert load_run(ROOT / f"params/{name}.yaml").synthesize.response_demonstrations > 0


@pytest.mark.parametrize(
    ("reasons", "said"),
    [
        (["cut_off"] * 6, "6 of 10 were dropped as cut_off: answers do not end within synthesize.response_tokens"),
        (["language_mismatch"] * 6, "6 of 10 were dropped as language_mismatch: the model does not answer in"),
        (["cut_off"] * 5, "loosen the last steps"),
        (["fails_threshold"] * 10, "loosen the last steps"),
        ([], "loosen the last steps"),
    ],
)
def test_too_few_kept_pairs_say_what_to_do_by_the_reason_that_dropped_most(reasons, said):
    assert advice([{"reason": reason} for reason in reasons], 10).startswith(said)
