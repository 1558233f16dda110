"""lm-eval at work: scores that are known beforehand, what an engine is asked, agreement with lm-eval's own classes."""

import csv
import hashlib
import importlib.util
import json
import random
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from isheep_lib.benchmarks import ifeval, lm_eval_tasks
from isheep_lib.benchmarks.catalogue import BENCHMARKS, GPQA_CHOICES, asked_in
from isheep_lib.benchmarks.data import ITEM, open_suite, read_docs, shots
from isheep_lib.benchmarks.lm_eval_model import EngineLM
from isheep_lib.engines.params import Model
from isheep_lib.engines.transformers_engine import TransformersEngine
from isheep_lib.evaluate.run import HARNESS
from isheep_lib.models.base import find_model
from isheep_lib.prompting.chat import get_frame
from isheep_lib.record.journal import Journal
from isheep_lib.record.rows import read_jsonl, write_jsonl
from isheep_lib.sandbox.run import find_sandbox
from tests.frames import hand_made
from tests.scripted import ScriptedEngine

ROOT = Path(__file__).resolve().parents[2]
NAMES = [name for name in asked_in("en") if BENCHMARKS[name].kind in HARNESS]
FRAME = hand_made("asked", "<user>", "</user><model>", "END")
PLAIN = hand_made("plain", "", "\n", "END")
RANDOM_KEYS = (1122, 1129)  # lm-eval's checkers draw a letter for these two; ours seed the drawing by prompt


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("check_benchmarks", ROOT / "tools" / "check_benchmarks.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def method():
    return find_sandbox() or "unconfined"


PASSAGE = "The mill on the Arrow was built of oak in 1812 by Ann Hale. It burnt down twice."
QUESTIONS = {
    "When was the mill built?": ["1812", "in 1812"],
    "Who built the mill?": ["Ann Hale"],
    "What is the mill made of?": ["oak", "of oak"],
    "How often did it burn down?": ["twice"],
    "Who owned the mill first?": [],
    "How many wheels has the mill?": [],
}


def squad_rows():
    return [
        {"id": f"q{i}", "title": "A mill", "context": PASSAGE, "question": question, "answers": {"text": answers}}
        for i, (question, answers) in enumerate(QUESTIONS.items())
    ]


def write_squad(path):
    """Write the nested form."""
    asked = [
        {"id": row["id"], "question": row["question"], "answers": [{"text": text} for text in row["answers"]["text"]]}
        for row in squad_rows()
    ]
    data = {"version": "v2.0", "data": [{"title": "A mill", "paragraphs": [{"context": PASSAGE, "qas": asked}]}]}
    path.write_text(json.dumps(data), encoding="utf-8")


def write_gpqa(path):
    rows = [
        {"Record ID": f"rec{i}", "Question": f"How much is {i},\ntwice?", **dict.fromkeys(GPQA_CHOICES, "")} for i in range(8)
    ]
    for i, row in enumerate(rows):
        row |= {name: str(2 * i + j) for j, name in enumerate(GPQA_CHOICES)}
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def plus_rows(kind):
    """Make records like EvalPlus's own: inputs of any type, and for MBPP a docstring and no list of tests."""
    bodies = {
        "double": ("x", "x * 2", [[1], ["a"], [[1, "b"]]]),
        "first": ("xs", "xs[0]", [[["u", 1]], ["text"]]),
        "both": ("a, b", "[a, b]", [[1, {"k": 2.5}], [None, True]]),
    }
    rows = []
    for i, (name, (given, value, inputs)) in enumerate(bodies.items()):
        head, said = f"def {name}({given}):\n", f"    return {value}\n"
        docstring = f'"""\nWrite a function {name} of {given}.\nassert {name} is not None\n"""\n'
        code = {"prompt": f'{head}    """Say {name}."""\n', "canonical_solution": said}
        if kind == "Mbpp":
            code = {"prompt": docstring, "canonical_solution": head + said}
        rows.append(
            {"task_id": f"{kind}/{900 + i}", "entry_point": name, **code, "base_input": inputs[:1], "plus_input": inputs[1:]}
        )
    # The hub's form has a test of its own, and other columns.
    test = "def check(candidate):\n    assert candidate(3) == 9\n" if kind == "HumanEval" else "assert square(3) == 9"
    own = {"task_id": f"{kind}/990", "entry_point": "square", "test": test, "canonical_solution": "    return n * n\n"}
    own["prompt"] = "def square(n):\n"
    if kind == "Mbpp":
        own |= {"prompt": "Square a number.", "code": "def square(n):\n    return n * n\n", "test_list": [test]}
    return [*rows, own]


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Write data of our own for the benchmarks that no package ships."""
    folder = tmp_path_factory.mktemp("data")
    write_squad(folder / "squad.json")
    write_gpqa(folder / "gpqa.csv")
    write_jsonl(folder / "humaneval_plus.jsonl", plus_rows("HumanEval"))
    write_jsonl(folder / "mbpp_plus.jsonl", plus_rows("Mbpp"))
    files = {"squadv2": "squad.json", "gpqa_diamond": "gpqa.csv", "humaneval_plus": "humaneval_plus.jsonl"}
    return [f"{name}={folder / file}" for name, file in (files | {"mbpp_plus": "mbpp_plus.jsonl"}).items()]


@pytest.fixture(scope="module")
def suite(sources):
    return open_suite([f"{name}:10" for name in NAMES], sources, 0)


def chosen_of(suite, *names):
    found = {one.benchmark.name: one for one in suite.chosen}
    for name in names:
        if name not in found:
            pytest.skip(f"{name} is not here: {suite.absent[name]}")
    return [found[name] for name in names]


@pytest.fixture(scope="module")
def measured(tool, suite, method):
    """Evaluate the two scripted models on everything, once framed and once not."""
    return {framed: tool.check(suite.chosen, framed, method) for framed in (False, True)}


@pytest.mark.parametrize("framed", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_right_answers_score_100_and_no_opinion_scores_what_the_data_say(measured, suite, name, framed):
    (one,) = chosen_of(suite, name)
    rows = [row for row in measured[framed] if row["task"] == name]
    assert one.benchmark.metric in [row["metric"] for row in rows]
    for row in rows:
        assert (row["gold"], row["empty"], row["agrees"]) == (100.0, pytest.approx(row["expected"]), "yes")


@pytest.mark.slow
@pytest.mark.parametrize("framed", [False, True])
def test_the_same_with_200_items_of_each(tool, sources, method, framed):
    rows = tool.check(open_suite([f"{name}:200" for name in NAMES], sources, 0).chosen, framed, method)
    assert [row for row in rows if row["agrees"] != "yes"] == []


def test_two_of_the_six_questions_on_a_passage_have_no_answer(measured):
    rows = [row for row in measured[False] if row["task"] == "squadv2"]
    assert {row["metric"]: row["empty"] for row in rows} == {m: pytest.approx(100 / 3) for m in ("exact_match", "f1")}


@pytest.mark.parametrize("task", ["squadv2", "gpqa_diamond"])
@pytest.mark.parametrize("column", ["gold", "empty"])
def test_the_check_fails_where_a_model_scores_otherwise(tool, suite, monkeypatch, task, column):
    known = tool.check(chosen_of(suite, task), False, "")
    kind = "generate_until" if task == "squadv2" else "loglikelihood"
    usual = getattr(tool.Scripted, kind)

    def wrong(self, requests):
        found = usual(self, requests)
        if self.knows == (column == "empty"):
            return found
        return ["oak"] * len(found) if task == "squadv2" else [(float(i.idx == 3), False) for i in requests]

    monkeypatch.setattr(tool.Scripted, kind, wrong)
    rows = tool.check(chosen_of(suite, task), False, "")
    assert [row["agrees"] for row in known] == ["yes"] * len(known)
    assert [row["agrees"] for row in rows] == ["NO"] * len(known)
    assert all(row[column] != other[column] for row, other in zip(rows, known, strict=True))


# Continuations, or for WinoGrande the ends of contexts, as the data have them.
TEXTS = {
    "boolq": lambda doc: ["no", "yes"],
    "piqa": lambda doc: [doc["sol1"], doc["sol2"]],
    "social_iqa": lambda doc: [doc["answerA"], doc["answerB"], doc["answerC"]],
    "winogrande": lambda doc: [doc["option1"], doc["option2"]],
    "arc_easy": lambda doc: doc["choices"]["text"],
    "arc_challenge": lambda doc: doc["choices"]["text"],
    "openbookqa": lambda doc: doc["choices"]["text"],
    "commonsense_qa": lambda doc: list("ABCDE"),
    "mmlu": lambda doc: list("ABCD"),
    "gpqa_diamond": lambda doc: ["(A)", "(B)", "(C)", "(D)"],
}


@pytest.mark.parametrize("name", TEXTS)
def test_choices_are_those_of_the_data_in_their_order_and_the_gold_one_is_numbered(tool, suite, name):
    chosen = chosen_of(suite, name)
    model = tool.Scripted(knows=True)
    rows = lm_eval_tasks.run(chosen, model, framed=False)[name]
    for doc, row in zip(chosen[0].docs, rows, strict=True):
        asked, texts = model.asked[name, doc[ITEM]], TEXTS[name](doc)
        if name == "winogrande":
            assert all(context.endswith(text) for (context, _), text in zip(asked, texts, strict=True))
        else:
            assert [continuation for _, continuation in asked] == [f" {text}" for text in texts]
        assert row["logprobs"] == [0.0 if i == tool.RIGHT[name](doc) else -1.0 for i in range(len(texts))]
        if BENCHMARKS[name].private:
            assert "gold" not in row
        else:
            assert row["gold"] == tool.RIGHT[name](doc)


def drawing(tool):
    """Make a model whose answers depend on what is asked alone."""

    def drawn(instance):
        return hashlib.sha256(repr(instance.args).encode()).digest()[0]

    class Model(tool.Scripted):
        def loglikelihood(self, requests):
            return [(-drawn(i) / 10, False) for i in requests]

        def generate_until(self, requests):
            answers = ["twice", "", "    return x * 2\n", "1812", "def double(x):\n    return x * 2\n"]
            return [answers[drawn(i) % len(answers)] for i in requests]

    return Model(knows=False)


def test_scores_do_not_depend_on_the_order_of_items_or_on_other_benchmarks(tool, suite, method):
    every = [replace(one, docs=one.docs[:6]) for one in suite.chosen if one.benchmark.name not in ("humaneval", "mbpp")]
    together = lm_eval_tasks.run(every, drawing(tool), framed=False, few_shot=2, method=method)
    turned = [replace(one, docs=one.docs[::-1]) for one in every[::-1]]
    backwards = lm_eval_tasks.run(turned, drawing(tool), framed=False, few_shot=2, method=method)
    assert {name: rows[::-1] for name, rows in backwards.items()} == together
    scores = {row["scores"][BENCHMARKS[name].metric] for name, rows in together.items() for row in rows}
    assert scores == {0.0, 1.0}
    for one in every:
        if one.benchmark.name in ("mmlu", "squadv2", "mbpp_plus", "hellaswag"):
            alone = lm_eval_tasks.run([one], drawing(tool), framed=False, few_shot=2, method=method)
            assert alone == {one.benchmark.name: together[one.benchmark.name]}


def test_rows_come_in_the_order_of_items_although_each_subject_is_a_task_of_its_own(tool, suite):
    (one,) = chosen_of(suite, "mmlu")
    by_subject = {}
    for doc in one.every:
        by_subject.setdefault(doc["subject"], []).append(doc)
    first, second, *_ = by_subject.values()
    docs = [first[0], second[0], first[1], second[1]]
    rows = lm_eval_tasks.run([replace(one, docs=docs)], tool.Scripted(knows=True), framed=False)["mmlu"]
    assert [(row["id"], row["gold"]) for row in rows] == [(doc[ITEM], doc["answer"]) for doc in docs]


def test_nothing_chosen_is_nothing_run():
    assert lm_eval_tasks.run([], None, framed=False) == {}


def test_what_a_benchmark_asks_is_shown_without_its_questions(suite):
    for framed in (False, True):
        shown = lm_eval_tasks.prompts(suite.chosen, framed, EngineLM(None, FRAME, None, lambda _: 0).apply_chat_template)
        assert list(shown) == [one.benchmark.name for one in suite.chosen]
        for one in suite.chosen:
            for column in (column for text in one.benchmark.texts for column in text.split()):
                assert str(one.docs[0][column]) not in shown[one.benchmark.name]
            assert ("<user>" in shown[one.benchmark.name]) == framed
            assert "⟨" in shown[one.benchmark.name]


# --- our engines as a language model of lm-eval


@pytest.fixture
def ask(tmp_path):
    """Return a function that evaluates a scripted engine and gives the rows, the engine and the journal's ids."""

    def run(chosen, frame, engine, method="", few_shot=0, journal="j"):
        with Journal(tmp_path / f"{journal}.jsonl", "f") as opened:
            model = EngineLM(engine, frame, opened, lambda task: len(task))
            rows = lm_eval_tasks.run(chosen, model, frame is not PLAIN, few_shot, method)
            return rows, list(opened.rows)

    return run


def pairs_of(engine):
    return [pair for call in engine.calls for pair in call]


@pytest.mark.parametrize("frame", [PLAIN, FRAME])
def test_five_examples_of_the_same_subject_precede_a_question_of_mmlu(ask, suite, frame):
    chosen = chosen_of(suite, "mmlu")
    engine = ScriptedEngine()
    ask(chosen, frame, engine, few_shot=5)
    examples = shots(BENCHMARKS["mmlu"])
    contexts = {}
    for context, rest in pairs_of(engine):
        contexts.setdefault(context, []).append(rest)
    assert len(contexts) == len(chosen[0].docs)
    for doc in chosen[0].docs:
        (context,) = [text for text in contexts if doc["question"].strip() in text]
        own = [row for row in examples if row["subject"] == doc["subject"]]
        assert len(own) == 5
        places = [context.index(f"{row['question'].strip()}\nA. {row['choices'][0]}\n") for row in own]
        assert places == sorted(places)
        assert max(places) < context.index(doc["question"].strip())
        assert [context.count(f"\nAnswer: {letter}\n\n") for letter in "ABCD"] == [
            sum(row["answer"] == i for row in own) for i in range(4)
        ]
        assert context.count("\nAnswer:") == 6
        if frame is PLAIN:
            assert context.endswith("\nAnswer:")
            assert contexts[context] == [" A", " B", " C", " D"]
        else:
            assert context.startswith("<user>The following are multiple choice questions")
            assert context.endswith("\nAnswer:</user><model>")
            assert context.count("<model>") == context.count("<user>") == 1
            assert contexts[context] == ["A", "B", "C", "D"]


def test_without_examples_a_question_stands_alone(ask, suite):
    chosen = chosen_of(suite, "mmlu")
    engine = ScriptedEngine()
    ask(chosen, PLAIN, engine)
    assert {context.count("\nAnswer:") for context, _ in pairs_of(engine)} == {1}


def test_an_id_names_task_item_choice_and_what_was_asked(ask, suite):
    chosen = chosen_of(suite, "gpqa_diamond", "squadv2")
    _, plain = ask(chosen, PLAIN, ScriptedEngine(lambda request: "oak"))
    _, framed = ask(chosen, FRAME, ScriptedEngine(lambda request: "oak"), journal="k")
    assert len(set(plain)) == len(plain) == 4 * 8 + 6
    assert set(plain).isdisjoint(framed)
    without = [{id_.rpartition("/")[0] for id_ in ids} for ids in (plain, framed)]
    choices = {f"gpqa_diamond/rec{item}/{choice}" for item in range(8) for choice in range(4)}
    assert without[0] == without[1] == choices | {f"squadv2/q{item}" for item in range(6)}
    assert all(re.fullmatch(r"[0-9a-f]{16}", id_.rpartition("/")[2]) for id_ in plain)


def test_what_the_journal_knows_is_not_asked_again(ask, suite):
    chosen = chosen_of(suite, "gpqa_diamond", "squadv2")
    first = ScriptedEngine(lambda request: "oak", fits=lambda text: text.endswith("(C)"))
    rows, ids = ask(chosen, PLAIN, first)
    assert [row["scores"]["acc"] for row in rows["gpqa_diamond"]] == [float(doc["gold"] == 2) for doc in chosen[0].docs]
    again = ScriptedEngine([])
    assert ask(chosen, PLAIN, again) == (rows, ids)
    assert (again.asked, again.calls) == ([], [])


def test_answers_are_greedy_with_the_stops_of_task_and_frame(ask, suite):
    chosen = chosen_of(suite, "squadv2")
    engine = ScriptedEngine(lambda request: "unanswerable", finish="stop")
    rows, _ = ask(chosen, FRAME, engine)
    assert {(r.temperature, r.max_new_tokens, r.stop) for r in engine.asked} == {(0.0, len("squadv2"), ("\n", "END"))}
    assert all(
        r.prompt.startswith("<user>Answer the question") and r.prompt.endswith("\nAnswer:</user><model>") for r in engine.asked
    )
    row = {"answer": "unanswerable", "finish": "stop", "num_tokens": 10}
    assert rows["squadv2"][5] == {"id": "q5", "scores": {"exact_match": 1.0, "f1": 1.0}, **row}
    assert rows["squadv2"][0] == {"id": "q0", "scores": {"exact_match": 0.0, "f1": 0.0}, **row}


@pytest.mark.parametrize("name", ["humaneval_plus", "mbpp_plus", "humaneval", "mbpp"])
def test_programs_are_run_and_a_model_with_a_frame_is_asked_for_a_code_block(ask, suite, tool, method, name):
    """The same answer passes where its form was asked for: a block in a chat, code alone without a frame."""
    (one,) = chosen_of(suite, name)
    chosen = [replace(one, docs=one.docs[:3])]
    begun = {doc[ITEM]: doc["prompt"] if name.startswith("humaneval") else "" for doc in chosen[0].docs}
    code = {doc[ITEM]: tool.solution(doc) for doc in chosen[0].docs}
    items = {doc[ITEM]: doc for doc in chosen[0].docs}

    def item(request):
        return next(name for name in items if f"/{name}/" in request.id)

    block = ScriptedEngine(lambda r: f"Here:\n```python\n{begun[item(r)]}{code[item(r)]}\n```\nDone.")
    bare = ScriptedEngine(lambda r: code[item(r)])
    for frame, engine in ((FRAME, block), (PLAIN, bare)):
        rows, _ = ask(chosen, frame, engine, method, journal=frame.name)
        assert [(row["scores"], row["outcome"], row["detail"]) for row in rows[name]] == [
            ({"pass_at_1": 1.0}, "passed", "")
        ] * 3
        ran, own = (
            [text.replace("\r\n", "\n").strip() for text in texts]
            for texts in ([row["program"] for row in rows[name]], code.values())
        )
        assert ran == own or (frame is FRAME and all(text.endswith(end) for text, end in zip(ran, own, strict=True)))
        assert all(("code block" in request.prompt) == (frame is FRAME) for request in engine.asked)
        assert all(("\ndef" in request.stop) == (frame is PLAIN and name.startswith("humaneval")) for request in engine.asked)
    rows, _ = ask(chosen, PLAIN, ScriptedEngine(lambda r: "\n".join(block.asked[0].prompt for _ in "12")), method, journal="x")
    assert {row["outcome"] for row in rows[name]} == {"failed"}
    assert all(row["detail"] for row in rows[name])


# --- against lm-eval's own classes


@pytest.mark.parametrize("name", ["plain", "chatml"])
def test_a_tiny_model_gets_the_numbers_that_lm_eval_s_own_class_gives_it(tmp_path, tiny_model, suite, name):
    from lm_eval.models.huggingface import HFLM

    engine = TransformersEngine(
        find_model(str(tiny_model)), Model(inference_dtype="float32", batch_tokens=512, cache_tokens=400)
    )
    frame = get_frame(name, "Be brief.", engine.tokenizer)

    class Short(HFLM):
        max_gen_toks = 24

        def apply_chat_template(self, chat_history, add_generation_prompt=True):
            return EngineLM(None, frame, None, len).apply_chat_template(chat_history, add_generation_prompt)

    chosen = [replace(one, docs=one.docs[:5]) for one in chosen_of(suite, "arc_easy", "winogrande", "nq_open")]
    other_model = Short(pretrained=str(tiny_model), dtype="float32", device="cpu", batch_size=1)
    theirs = lm_eval_tasks.run(chosen, other_model, framed=name != "plain")
    with Journal(tmp_path / "j.jsonl", "f") as journal:
        ours = lm_eval_tasks.run(chosen, EngineLM(engine, frame, journal, lambda _: 24), framed=name != "plain")
    for name in ("arc_easy", "winogrande"):
        for row, other in zip(ours[name], theirs[name], strict=True):
            assert row["logprobs"] == pytest.approx(other["logprobs"], abs=1e-3)
            assert {**row, "logprobs": 0} == {**other, "logprobs": 0}
    values = [value for row in ours["arc_easy"] for value in row["logprobs"]]
    assert len(set(values)) > 5
    said = [[(row["id"], row["answer"], row["scores"]) for row in rows["nq_open"]] for rows in (ours, theirs)]
    assert said[0] == said[1]
    assert any(answer for _, answer, _ in said[0])


@pytest.fixture
def checkers(tmp_path, monkeypatch):
    if importlib.util.find_spec("punkt") is None:
        pytest.skip("the package with the sentence model is not installed")
    monkeypatch.setenv("ISHEEP_CACHE", str(tmp_path))
    monkeypatch.setenv("NLTK_DATA", "")  # put back after the test
    return ifeval.load_checkers()


def recorded_answers():
    """Return answers by key: those of the reference record, else some of ours."""
    files = sorted(ROOT.glob("results/reference/smollm2-135m/iter-*/evaluate/samples-ifeval.jsonl"))
    found = {row["id"]: row["answer"] for path in files for row in read_jsonl(path)}
    lines = ["* A first line, in full.", "SECOND LINE", '"quoted"', "P.S. the end", "<<title>>", "a\n\n***\n\nb", "{}"]
    return found or {
        doc[ITEM]: "\n".join(random.Random(doc[ITEM]).choices(lines, k=4)) for doc in read_docs(BENCHMARKS["ifeval"])
    }


def test_the_four_accuracies_of_ifeval_are_those_of_lm_eval_s_own_task(checkers):
    """Two prompts are left out, for which lm-eval draws a random letter."""
    if importlib.util.find_spec("eval_framework") is None:
        pytest.skip("the package with IFEval's prompts is not installed")
    import lm_eval
    from datasets import Dataset
    from lm_eval.api.model import LM

    answers = recorded_answers()
    docs = [doc for doc in read_docs(BENCHMARKS["ifeval"]) if doc[ITEM] in answers and doc["key"] not in RANDOM_KEYS]
    assert len(docs) > 50

    class Recorded(LM):
        def generate_until(self, requests):
            return [answers[instance.doc[ITEM]] for instance in requests]

        def loglikelihood(self, requests):
            raise NotImplementedError

        loglikelihood_rolling = loglikelihood

    place = str(Path(lm_eval.tasks.__file__).parent / "ifeval")
    data = {"dataset_path": None, "test_split": "items", "custom_dataset": lambda **_: {"items": Dataset.from_list(docs)}}
    manager = lm_eval.tasks.TaskManager(include_path=[place], include_defaults=False)
    tasks = manager.load([{"group": "own", "task": [{"task": "ifeval", **data}]}])["tasks"]
    theirs = lm_eval.evaluate(Recorded(), {"tasks": tasks, "groups": {}}, bootstrap_iters=0)["results"]["ifeval"]
    rows = ifeval.check_answers([{"id": doc[ITEM], "answer": answers[doc[ITEM]]} for doc in docs], docs, checkers)
    ours = {name: found["value"] for name, found in ifeval.accuracies(rows).items()}
    assert ours == {name: round(100 * theirs[f"{name.replace('_', '_level_')}_acc,none"], 4) for name in ifeval.ACCURACIES}
    assert len(set(ours.values())) > 1
    assert 0 < ours["inst_strict"] < 100
