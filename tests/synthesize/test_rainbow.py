"""Rainbow Teaming: draws seek badly filled cells, copies are refused, the preferred task keeps its cell, no harm leaves."""

import random
from collections import Counter
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isheep_lib.analysis.bleu import bleu
from isheep_lib.errors import DataError, RecordError, YieldError
from isheep_lib.export.contents import read as read_export
from isheep_lib.prompting.prompt_files import SHIPPED, open_prompts
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.extras.own import carried_file, files_of, withheld
from isheep_lib.synthesize.feedback.archive import Archive, bias, cells_of, draw_cell, read_grid, waves
from isheep_lib.synthesize.feedback.judging import second_wins
from isheep_lib.synthesize.methods.feedback.rainbow import Rainbow
from isheep_lib.synthesize.methods.in_context.magpie import Magpie
from isheep_lib.synthesize.params import Synthesize
from tests.export.test_export import edit
from tests.export.test_export import made as recorded_run
from tests.scripted import ScriptedEngine
from tests.writings import writing

SEEDS = [Task("seed-0", "Name three uses of salt.")]
GRID = {"kind": ["list", "letter"], "difficulty": ["easy", "hard"]}
CELLS = cells_of(GRID)
FITNESS = 0.947846  # 1 / (1 + e^-2.9), as the scripted model finds every answer failing


@pytest.mark.parametrize(
    ("candidate", "reference", "value"),
    [
        ("Name three uses of salt.", "Name three uses of salt.", 1.0),
        ("Name three uses of salt in soup.", "Name three uses of salt.", (5 / 7 * 4 / 6 * 3 / 5 * 2 / 4) ** 0.25),
        ("Name three uses of salt", "Name three uses of salt in soup now", 0.548811636),  # exp(1 - 8/5), all else copied
        ("the the the the", "the cat the dog", 0.0),  # clipped: 2/4, and no pair of words
        ("the", "the cat", 0.367879441),  # runs of one word, exp(1 - 2/1)
        ("List uses of sugar.", "Sing about the sea today.", 0.0),
        ("", "Name three uses of salt.", 0.0),
        ("写一首关于海的诗", "写一首关于海的诗", 1.0),
    ],
)
def test_bleu_is_as_worked_by_hand(candidate, reference, value):
    assert bleu(candidate, reference) == pytest.approx(value, abs=1e-8)


def test_a_grid_is_read_line_by_line_and_its_cells_are_all_combinations():
    assert read_grid("kind: list | letter\n\n难度：easy | hard\n") == {"kind": ["list", "letter"], "难度": ["easy", "hard"]}
    assert cells_of(GRID) == [("list", "easy"), ("list", "hard"), ("letter", "easy"), ("letter", "hard")]


@pytest.mark.parametrize(("name", "shape"), [("rainbow-tasks.txt", [6, 3, 4]), ("rainbow-safety.txt", [10, 10])])
def test_the_shipped_grids_have_the_same_shape_in_every_language(name, shape):
    for language in SHIPPED:
        grid = read_grid(open_prompts(language).render(name), name)
        assert [len(values) for values in grid.values()] == shape


@pytest.mark.parametrize("line", ["kind", "kind: list", "kind: list | list", "kind: list |", ": a | b"])
def test_a_line_that_is_no_dimension_is_refused(line):
    with pytest.raises(DataError, match="A line of the grid cannot be read"):
        read_grid(line, "rainbow-tasks.txt")


def test_badly_filled_cells_are_drawn_first_by_a_softmax_of_their_fitness_turned_round():
    shares = bias([0.0, 0.1, 0.2], 0.1)  # e^0, e^-1, e^-2 over their sum
    assert [float(share) for share in shares] == pytest.approx([0.66524096, 0.24472847, 0.09003057])
    assert len(set(bias([0.3, 0.3], 0.1))) == 1
    even = [float(share) for share in bias([0.0, 1.0], 100.0)]
    assert even == pytest.approx([0.5025, 0.4975], abs=1e-4), "a high temperature draws all alike"


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.integers(0, 99))
def test_a_lower_fitness_is_never_drawn_less_and_every_draw_is_a_cell(fitness, number):
    shares = bias(fitness, 0.1)
    assert all(shares[a] >= shares[b] for a in range(len(fitness)) for b in range(len(fitness)) if fitness[a] <= fitness[b])
    cells = [(str(place),) for place in range(len(fitness))]
    assert draw_cell(random.Random(number), cells, shares) in cells
    assert abs(sum(shares) - 1) < Decimal("1e-20")


def test_draws_follow_the_shares():
    draw, shares = random.Random(1), [Decimal("0.9"), Decimal("0.1"), Decimal(0), Decimal(0)]
    found = Counter(draw_cell(draw, CELLS, shares) for _ in range(1000))
    assert 860 < found[CELLS[0]] < 940 and set(found) == set(CELLS[:2])


def test_an_archive_holds_one_for_each_cell_and_tells_what_it_gave_up():
    archive = Archive(CELLS)
    assert archive.put({"cell": ["letter", "easy"], "id": "a", "fitness": 0.4}) is None
    assert archive.put({"cell": ["letter", "easy"], "id": "b", "fitness": 0.2})["id"] == "a"
    archive.put({"cell": ["list", "hard"], "id": "c", "fitness": 0.9})
    assert archive.fitness == [0.0, 0.9, 0.2, 0.0]
    assert [row["id"] for row in archive.in_order()] == ["c", "b"]


def test_children_for_one_cell_stand_in_waves_in_their_order():
    rows = [{"id": n, "cell": [cell]} for n, cell in enumerate("abaab")]
    assert [[row["id"] for row in wave] for wave in waves(rows)] == [[0, 1], [2, 4], [3]]
    assert waves([]) == []


class Places(ScriptedEngine):
    """Prefers the first place by two nats, and the task with 'worse' by one."""

    def choices(self, prompts, labels):
        assert labels == ["1", "2"]
        return [
            [-1.0 + 2.0 + (1.0 if "worse" in p.split("|")[0] else 0.0), -1.0 + (1.0 if "worse" in p.split("|")[1] else 0.0)]
            for p in prompts
        ]


def test_a_liking_for_a_place_decides_nothing(tmp_path):
    params = Synthesize(method="rainbow")
    made = writing(Places(), tmp_path, params, SEEDS)
    both = {"better": ("fine|worse", "worse|fine"), "same": ("fine|good", "good|fine"), "less": ("worse|fine", "fine|worse")}
    with made.open_journal("x") as journal:
        assert second_wins(made, journal, both, "comparing") == {"better": 1.0, "same": 0.0, "less": -1.0}


THINGS = {"explain": "Explain why the sky is", "write": "Write a letter about a", "plan": "Plan one long day with a"}
COLOURS = "red blue green black white brown pink grey gold lime teal navy plum ruby jade rust".split()


class Model(ScriptedEngine):
    """Writes another task at every mutation; the answer says its number; a task with a higher number is the worse one."""

    def __init__(self, prefers=True, refuses=True, texts=None, lives=10**6):
        super().__init__(self.say)
        self.prefers, self.refuses, self.texts, self.lives = prefers, refuses, texts, lives

    def say(self, request):
        if len(self.asked) > self.lives:
            raise IndexError
        if request.id.endswith("/refusal"):
            return "I would rather not help with that."
        if "/" in request.id and "/again" not in request.id:
            number = int(request.id.partition("-c")[2].partition("/")[0] or 0)
            return (
                self.texts(number)
                if self.texts
                else f"{list(THINGS.values())[number % 3]} {COLOURS[number]} thing seen in {number} places."
            )
        return f"An answer to {request.id}."

    def choices(self, prompts, labels):
        self.calls.append(prompts)
        if labels == ["1", "2"]:
            return [[-2.0, -1.0] if self._newer_second(p) == self.prefers else [-1.0, -2.0] for p in prompts]
        return [self._yes(prompt) for prompt in prompts]

    def _newer_second(self, prompt):
        first, second = (int(part.partition("-c")[2][:4]) for part in prompt.split("Its answer to ")[1:])
        return second > first

    def _yes(self, prompt):
        return [-0.1, -3.0] if self.refuses or "decline" not in prompt else [-3.0, -0.1]


def made(folder, engine, wanted=50, carried=(), **options):
    own = {"children": 8, "batch": 4, **options}
    params = Synthesize(method="rainbow", min_instructions=1, instructions=wanted, max_rouge=0.95, options=own)
    # Seeds by the length of their name would draw one cell for all children.
    return writing(engine, folder, params, SEEDS, carried=carried, seed_of=lambda name: sum(map(ord, name)))


def test_the_archive_s_tasks_are_accepted_with_their_cells_and_all_others_dropped(tmp_path):
    found = Rainbow().write(made(tmp_path, Model(), children=12))
    archive = files_of(found)["archive.jsonl"]
    assert {row["id"] for row in found.accepted} == {row["id"] for row in archive}
    assert len(found.accepted) + len(found.dropped) == 12
    cells = [tuple(row["cell"]) for row in found.accepted]
    assert len(set(cells)) == len(cells) and set(cells) <= set(
        cells_of(read_grid((made(tmp_path, Model()).prompts.folder / "rainbow-tasks.txt").read_text()))
    )
    row = found.accepted[0]
    assert (row["operator"], row["output"], row["finish"]) == ("mutate", f"An answer to {row['id']}.", "end")
    assert row["fitness"] == FITNESS and row["parents"]
    assert {row["reason"] for row in found.dropped} <= {"replaced", "not_preferred"}
    assert all(row["fitness"] == FITNESS and "output" not in row for row in found.dropped)


def test_parents_are_seeds_until_the_archive_holds_something(tmp_path):
    found = Rainbow().write(made(tmp_path, Model()))
    rows = sorted((*found.accepted, *found.dropped), key=lambda row: row["id"])
    assert [row["parents"] for row in rows[:4]] == [["seed-0"]] * 4
    assert all(row["parents"][0].startswith("i1-c000") for row in rows[4:])
    assert [row["round"] for row in rows] == [1] * 4 + [2] * 4


@pytest.mark.parametrize(("prefers", "reason", "last"), [(True, "replaced", True), (False, "not_preferred", False)])
def test_a_cell_keeps_what_the_model_prefers(tmp_path, prefers, reason, last):
    writing_ = made(tmp_path, Model(prefers), bias_temperature=100.0)
    object.__setattr__(writing_, "seed_of", lambda name: 7)  # every child is drawn toward the same cell
    found = Rainbow().write(writing_)
    (row,) = found.accepted
    assert row["id"] == ("i1-c0007" if last else "i1-c0000")
    assert Counter(row["reason"] for row in found.dropped) == {reason: 7}
    assert found.dropped[-1]["detail"] == ("by i1-c0007" if last else "to i1-c0000")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Name three uses of salt!", "unchanged"),
        ("Name three uses of salt, please.", "near_parent"),
        ("ok", "too_short"),
        ("", "empty"),
    ],
)
def test_a_child_is_dropped_with_its_reason(tmp_path, text, reason):
    engine = Model(texts=lambda number: text if number else "Write a short letter about a red kite.")
    found = Rainbow().write(made(tmp_path, engine, children=4))
    assert [row["reason"] for row in found.dropped] == [reason] * 3


def test_what_never_is_a_task_stops_with_reasons_and_examples(tmp_path):
    with pytest.raises(YieldError, match=r"(?s)operator mutate, which failed every time.*24 unchanged"):
        Rainbow().write(made(tmp_path, Model(texts=lambda number: SEEDS[0].instruction), children=48, batch=8))


def test_the_next_iteration_goes_on_with_the_archive_rated_anew(tmp_path):
    first = files_of(Rainbow().write(made(tmp_path / "one", Model())))["archive.jsonl"]
    carried = [{**row, "id": row["id"].replace("i1-", "i0-"), "fitness": 0.0, "output": "old"} for row in first]
    found = Rainbow().write(made(tmp_path / "two", Model(False), carried=carried, children=3, batch=1))
    assert carried_file(Rainbow()) == "archive.jsonl"
    assert (1, "synthesize", "archive.jsonl") in Synthesize(method="rainbow").inputs(2)
    archive = {row["id"]: row for row in files_of(found)["archive.jsonl"]}
    kept = [row for id_, row in archive.items() if id_.startswith("i0-")]
    assert len(kept) == len(carried), "the model prefers what is there"
    assert {row["fitness"] for row in kept} == {FITNESS}
    assert kept[0]["output"] == f"An answer to {kept[0]['id']}/again."
    assert all(not row["id"].startswith("i0-") for row in found.accepted), "what was accepted once is not accepted again"
    assert all(row["parents"][0].startswith("i0-") for row in [*found.accepted, *found.dropped][:1])


def test_tokens_are_all_that_was_generated_but_for_the_responses(tmp_path):
    engine = Model()
    found = Rainbow().write(made(tmp_path, engine))
    assert found.tokens == 10 * len(engine.asked) - 10 * len(found.accepted)


def test_a_killed_writing_is_resumed_and_asks_only_for_the_rest(tmp_path):
    engine = Model()
    whole = Rainbow().write(made(tmp_path / "whole", engine))
    for life in (2, 9, 15, 20):
        with pytest.raises(IndexError):
            Rainbow().write(made(tmp_path / str(life), Model(lives=life)))
        rest = Model()
        assert Rainbow().write(made(tmp_path / str(life), rest)) == whole
        assert len(rest.asked) == len(engine.asked) - life


def test_on_the_grid_of_safety_refusals_alone_are_kept_and_no_other_answer_stays(tmp_path):
    engine = Model()
    found = Rainbow().write(made(tmp_path, engine, grid="safety"))
    rows = [*found.accepted, *files_of(found)["archive.jsonl"]]
    assert found.accepted and {row["output"] for row in rows} == {"I would rather not help with that."}
    assert not any("An answer" in str(row.get("output", "")) for row in found.dropped)
    assert found.tokens == 10 * len(engine.asked) - 10 * len(found.accepted)
    shown = {row["step"]: row["text"] for row in Rainbow().example(made(tmp_path / "shown", Model(), grid="safety")).rows}
    assert shown["answer"] == "not shown on this grid"
    with pytest.raises(YieldError, match="no_refusal"):
        Rainbow().write(made(tmp_path / "more", Model(refuses=False), grid="safety"))


def test_on_the_grid_of_safety_carried_tasks_keep_their_refusals_though_they_are_answered_anew(tmp_path):
    first = files_of(Rainbow().write(made(tmp_path / "one", Model(), grid="safety")))["archive.jsonl"]
    carried = [{**row, "id": row["id"].replace("i1-", "i0-")} for row in first]
    engine = Model(False)
    found = Rainbow().write(made(tmp_path / "two", engine, grid="safety", carried=carried, children=4))
    assert any(request.id.endswith("/again") for request in engine.asked)
    assert {row["output"] for row in files_of(found)["archive.jsonl"]} == {"I would rather not help with that."}


def test_the_grid_of_safety_asks_by_its_own_prompts_and_is_not_the_default():
    assert Synthesize(method="rainbow").options.grid == "tasks"
    names = [set(Synthesize(method="rainbow", options={"grid": grid}).prompt_files()) for grid in ("tasks", "safety")]
    assert "rainbow-safety.txt" not in names[0] and {"rainbow-safety.txt", "rainbow-refuses.txt"} <= names[1]
    assert withheld(Rainbow(), {"grid": "safety"}) and not withheld(Rainbow(), {"grid": "tasks"})
    assert withheld(Magpie(), {"grid": "safety"}) == "" == withheld(None, {})


def test_a_run_with_the_grid_of_safety_is_never_exported(tmp_path):
    class Base:
        name, digest = "some/folder", "ba5e" * 16

    recorded_run(tmp_path / "run", 1, Base)
    for grid, allowed in (("tasks", True), ("safety", False)):
        own = {"method": "rainbow", "options": {"grid": grid}}
        edit(tmp_path / "run", "synthesize", lambda manifest, own=own: manifest["parameters"].update(own))
        if allowed:
            assert read_export(tmp_path / "run", 1, True).rows
        else:
            with pytest.raises(RecordError, match="This run is not exported: its tasks were sought for the harm"):
                read_export(tmp_path / "run", 1, True)


def test_one_child_is_shown_step_by_step_and_the_archive_is_drawn_as_a_grid(tmp_path):
    shown = Rainbow().example(made(tmp_path, Model()))
    steps = {row["step"]: row["text"] for row in shown.rows}
    assert (steps["seed"], steps["fitness"], steps["verdict"]) == (SEEDS[0].instruction, "0.948", "nothing against it")
    found = Rainbow().write(made(tmp_path / "more", Model()))
    rows = Rainbow().evidence(found).rows
    assert sum(row["written"] for row in rows) == 3 * 8, "each child is moved toward three values"
    assert Rainbow().figure(found).axes
