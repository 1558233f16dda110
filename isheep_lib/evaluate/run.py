"""Evaluation: every benchmark of the suite answered and graded item by item, and what the numbers rest on.

A row of `samples-arc_easy.jsonl`; questions stay where their data are:
    {"id": "Mercury_417466", "scores": {"acc": 1.0, "acc_norm": 1.0}, "logprobs": [-7.1, -9.0, -12.4, -8.8], "gold": 0}
An item that leaves no room for its answer in the model's context is named and not asked:
    {"id": "Mercury_417466", "unanswered": "2047 tokens and 4 more, the model's context is 2048"}

Covers asking for all kinds of answers, the scores with their errors, and the items that training data hold. Does not cover
single kinds (`benchmarks.lm_eval_tasks`, `benchmarks.ifeval`, `benchmarks.ifbench`), comparing models
(`benchmarks.comparison`) or judging answers (`judge`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from isheep_lib.analysis.collapse import answer_signs
from isheep_lib.analysis.contamination import Hit, Index
from isheep_lib.analysis.significance import mean_with_error
from isheep_lib.benchmarks import data as benchmarks_data
from isheep_lib.benchmarks import followed, ifbench, ifeval
from isheep_lib.benchmarks.comparison import answered
from isheep_lib.benchmarks.data import ITEM, Chosen, Suite, items
from isheep_lib.benchmarks.lm_eval_tasks import benchmark_of, prompts, run
from isheep_lib.engines.generate import generate_all, overlong
from isheep_lib.engines.protocol import Completion, Engine, Request
from isheep_lib.errors import DataError
from isheep_lib.evaluate.params import Evaluate
from isheep_lib.languages.rules import Language
from isheep_lib.prompting.chat import Frame
from isheep_lib.record.journal import Journal
from isheep_lib.record.rows import canonical_json, digest_text
from isheep_lib.sandbox.run import sandbox_method, why_not

Rows = dict[str, list[dict[str, Any]]]  # by benchmark
CHECKING = {"ifeval": ifeval, "ifbench": ifbench}
HARNESS = ("choice", "answer", "code")
MT_BENCH = "mt_bench"
QUESTION = {"ifeval": "prompt", "ifbench": "prompt", "alpaca_eval": "instruction"}  # the column that is asked as it is


def open_suite(params: Evaluate) -> Suite:
    """Read the data of the benchmarks and find the sandbox, before any model is loaded.

    Benchmarks that run programs are left out, by name, where no sandbox is found and running without one is not allowed.

    Raises:
        DataError: data are altered, or nothing is left to evaluate.
    """
    suite = benchmarks_data.open_suite(params.tasks, params.data, params.subset_seed)
    programs = [chosen.benchmark.name for chosen in suite.of("code")]
    method = sandbox_method(params.code_sandbox) if programs else ""
    if programs and not method:
        kept = [chosen for chosen in suite.chosen if chosen.benchmark.name not in programs]
        do = "install it (apt-get install bubblewrap) where namespaces are allowed, or see evaluate.code_sandbox"
        why = f"it runs programs that the model writes, and there is no sandbox (bubblewrap: {why_not('bubblewrap')}); {do}"
        suite = Suite(kept, suite.absent | dict.fromkeys(programs, why))
    if not suite.chosen:
        lines = "\n  ".join(f"{name}: {reason}" for name, reason in suite.absent.items())
        raise DataError(f"There is nothing to evaluate:\n  {lines}", where="evaluate.tasks", do="run make setup")
    for chosen in suite.of("instructions"):
        CHECKING[chosen.benchmark.name].load_checkers()  # complains now about what it lacks
    return replace(suite, sandbox=method)


def answer_all(engine: Engine, frame: Frame, suite: Suite, params: Evaluate, journal: Journal) -> Rows:
    """Ask everything of every benchmark and grade what can be graded here."""
    from isheep_lib.benchmarks.lm_eval_model import EngineLM  # lm-eval takes a while to import

    rows: Rows = {}
    for chosen in suite.of("instructions", "judged"):
        if chosen.benchmark.name == MT_BENCH:
            rows[MT_BENCH] = converse(engine, frame, chosen.docs, params.answer_tokens, journal)
        else:
            asked = {doc[ITEM]: request(chosen, doc, frame, params.answer_tokens) for doc in chosen.docs}
            answers, long = _answers(engine, asked, journal, f"{chosen.benchmark.title} answers")
            found = {doc[ITEM]: as_row(doc, answers[doc[ITEM]]) for doc in chosen.docs if doc[ITEM] in answers}
            rows[chosen.benchmark.name] = _in_order(chosen.docs, found, long)
    for chosen in suite.of("instructions"):
        given, docs = answered(rows[chosen.benchmark.name]), {doc[ITEM]: doc for doc in chosen.docs}
        checking = CHECKING[chosen.benchmark.name]
        checked = checking.check_answers(given, [docs[row["id"]] for row in given], checking.load_checkers())
        by_id = {row["id"]: row for row in checked}
        rows[chosen.benchmark.name] = [by_id.get(row["id"], row) for row in rows[chosen.benchmark.name]]
    model = EngineLM(engine, frame, journal, lambda task: benchmark_of(task).tokens or params.answer_tokens)
    rows |= run(suite.of(*HARNESS), model, is_framed(frame), params.few_shot, suite.sandbox)
    return {chosen.benchmark.name: rows[chosen.benchmark.name] for chosen in suite.chosen}


def first_prompts(suite: Suite, frame: Frame, params: Evaluate) -> dict[str, str]:
    """Show what every benchmark asks: the first prompt of an open one, the others with names of columns for texts."""
    from isheep_lib.benchmarks.lm_eval_model import framed

    shown = {}
    for chosen in suite.of("instructions"):
        shown[chosen.benchmark.name] = request(chosen, chosen.docs[0], frame, params.answer_tokens).prompt
    return shown | prompts(suite.of(*HARNESS), is_framed(frame), partial(framed, frame))


def counts(suite: Suite, rows: Rows) -> dict[str, Any]:
    """Count items: all that were chosen are graded or answered, or leave no room for an answer in the model's context."""
    total = sum(len(chosen.docs) for chosen in suite.chosen)
    long = sum(map(_unanswered, rows.values()))
    kept = sum(map(len, rows.values())) - long
    return {"in": total, "kept": kept, "dropped": {"beyond_context": long} if long else {}}


def _unanswered(rows: list[dict[str, Any]]) -> int:
    return len(rows) - len(answered(rows))


def _answers(
    engine: Engine, asked: dict[str, Request], journal: Journal, label: str
) -> tuple[dict[str, Completion], dict[str, str]]:
    """Ask what fits the model's context; return answers by item, and why the other items have none."""
    long = {item: why for item, r in asked.items() for why in overlong(engine, {"": r.prompt}, r.max_new_tokens).values()}
    found = generate_all(engine, [r for item, r in asked.items() if item not in long], journal, label)
    return {item: found[r.id] for item, r in asked.items() if r.id in found}, long


def _in_order(docs: list[dict[str, Any]], found: dict[str, dict[str, Any]], long: dict[str, str]) -> list[dict[str, Any]]:
    """Return a row for every item, also where it has no answer."""
    return [found.get(doc[ITEM]) or {"id": doc[ITEM], "unanswered": long[doc[ITEM]]} for doc in docs]


def is_framed(frame: Frame) -> bool:
    """Tell whether a model is asked in a chat, and so gets the chat variants of tasks."""
    return frame.name != "plain"


def request(chosen: Chosen, doc: dict[str, Any], frame: Frame, tokens: int) -> Request:
    """Ask for a greedy answer to an open question."""
    prompt = frame.prompt(doc[QUESTION[chosen.benchmark.name]])
    return _request(f"{chosen.benchmark.name}/{doc[ITEM]}", prompt, frame, tokens)


def _request(place: str, prompt: str, frame: Frame, tokens: int) -> Request:
    stop = (frame.end,) if frame.end else ()
    digest = digest_text(canonical_json([prompt, tokens, *stop]))[:16]  # an answer is found again by what was asked
    return Request(f"{place}/{digest}", prompt, tokens, stop=stop)


def as_row(doc: dict[str, Any], answer: Completion) -> dict[str, Any]:
    """Keep an answer with why it ended."""
    return {"id": doc[ITEM], "answer": answer.text, "finish": answer.finish, "num_tokens": answer.num_tokens}


def converse(engine: Engine, frame: Frame, docs: list[dict[str, Any]], tokens: int, journal: Journal) -> list[dict[str, Any]]:
    """Ask MT-Bench's two turns; the second is asked after the model's own first answer."""

    def ask(turn: int, prompts: dict[str, str], label: str) -> tuple[dict[str, Completion], dict[str, str]]:
        asked = {item: _request(f"{MT_BENCH}/{item}/{turn}", text, frame, tokens) for item, text in prompts.items()}
        return _answers(engine, asked, journal, label)

    turns = {doc[ITEM]: doc["turns"] for doc in docs}
    said, long = ask(1, {item: frame.prompt(first) for item, (first, _) in turns.items()}, "MT-Bench, first turns")
    talks = {item: frame.conversation([(turns[item][0], answer.text)], turns[item][1]) for item, answer in said.items()}
    then, longer = ask(2, talks, "MT-Bench, second turns")
    found = {
        doc[ITEM]: {
            "id": doc[ITEM],
            "category": doc["category"],
            "answers": [turn.text for turn in both],
            "finish": [turn.finish for turn in both],
            "num_tokens": [turn.num_tokens for turn in both],
        }
        for doc in docs
        if doc[ITEM] in then
        for both in [(said[doc[ITEM]], then[doc[ITEM]])]
    }
    return _in_order(docs, found, long | longer)


def tokens_of(rows: Rows) -> int:
    """Count the tokens of all open answers."""
    numbers = [row.get("num_tokens", 0) for group in rows.values() for row in group]
    return sum(sum(number) if isinstance(number, list) else number for number in numbers)


def find_trained_on(suite: Suite, training: Iterable[dict[str, Any]]) -> list[Hit]:
    """Find the evaluated items that rows the model was trained on repeat.

    All items of the benchmarks are looked at, since common phrases are told by how many items have them.
    """
    rows = list(training)
    if not rows:
        return []
    every = (item for chosen in suite.chosen for item in items(chosen.benchmark, chosen.every))
    asked = {(chosen.benchmark.name, doc[ITEM]) for chosen in suite.chosen for doc in chosen.docs}
    return [hit for hit in Index(rows).find(every) if (hit.benchmark, hit.item_id) in asked]


def metrics(
    suite: Suite,
    rows: Rows,
    hits: list[Hit],
    frame: Frame,
    practised: Mapping[str, Sequence[str]] | None = None,
    language: Language = "en",
) -> dict[str, Any]:
    """Return everything that this stage measures, in percent, with what it rests on.

    Args:
        language: of the run, named among the results where it is not English.
        practised: types of instructions by benchmark that the model's training rows practised (`followed.practised_types`).
    """
    flagged: dict[str, set[str]] = {}
    for hit in hits:
        flagged.setdefault(hit.benchmark, set()).add(hit.item_id)
    tasks, absent = {}, dict(suite.absent)
    for chosen in suite.of("instructions", *HARNESS):
        name, graded = chosen.benchmark.name, answered(rows[chosen.benchmark.name])
        if not graded:
            absent[name] = f"none of its items leaves room for an answer: {rows[name][0]['unanswered']}"
            continue
        clean = [row for row in graded if row["id"] not in flagged.get(name, ())]
        tasks[name] = {
            "metric": chosen.benchmark.metric,
            "subset": chosen.subset,
            "digest": chosen.digest,
            "values": scores(name, graded),
            "trained_on": len(graded) - len(clean),
            "clean": scores(name, clean) if clean else {},
        }
        if name in CHECKING:
            tasks[name] |= followed.more_of(name, graded, practised or {})
        if long := _unanswered(rows[name]):
            tasks[name]["unanswered"] = long
    open_answers = [
        row for chosen in suite.of("instructions", "judged") for row in rows[chosen.benchmark.name] if "answer" in row
    ]
    signs = answer_signs([row["answer"] for row in open_answers], [row["finish"] for row in open_answers], language)
    spoken = {} if language == "en" else {"language": language}
    subsets = {chosen.benchmark.name: chosen.subset for chosen in suite.of("judged")}
    return {"tasks": tasks, "answered": subsets, "absent": absent, "signs": signs, "frame": frame.name} | spoken


def scores(name: str, graded: list[dict[str, Any]]) -> dict[str, dict[str, float | int | None]]:
    """Compute each metric of a benchmark over graded items."""
    if name in CHECKING:
        return ifeval.accuracies(graded)
    return {metric: mean_with_error([row["scores"][metric] for row in graded]) for metric in graded[0]["scores"]}
