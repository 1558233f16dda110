"""lm-eval at work: its tasks on our data, asked of any of its language models, graded item by item.

    rows = run(suite.of("choice", "answer", "code"), EngineLM(...), framed=True, method="bubblewrap")
    rows["arc_easy"][0]      # {"id": "…", "scores": {"acc": 1.0, "acc_norm": 0.0}, "logprobs": [-7.1, …], "gold": 2}

Prompts, stops and metrics are lm-eval's, or of the files in `tasks` where lm-eval's cannot run without the hub.
Covers building tasks and reading results. Does not cover data (`benchmarks.data`) or statistics (`analysis.significance`).
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from isheep_lib.benchmarks.catalogue import BENCHMARKS, Benchmark
from isheep_lib.benchmarks.code_programs import PROGRAMS
from isheep_lib.benchmarks.data import ITEM, Chosen, shots
from isheep_lib.sandbox.run import Limits, Outcome, run_programs

OWN_TASKS = Path(__file__).parent / "tasks"
GROUP = "isheep"
SHORT = 2  # letters of a label


@dataclass(frozen=True)
class Ran(Outcome):
    """How a program ended, and its code."""

    program: str = ""


def benchmark_of(task: str) -> Benchmark:
    """Find the benchmark of a task's name: mmlu_anatomy is MMLU's, as each subject has a task of its own."""
    return BENCHMARKS.get(task) or BENCHMARKS[task.split("_")[0]]


def load_tasks(chosen: list[Chosen], framed: bool, few_shot: int, method: str) -> dict[str, Any]:
    """Build lm-eval's tasks on chosen items of the kinds choice, answer and code, with examples where the data have some."""
    from lm_eval import tasks as lm_eval_tasks

    folders = dict.fromkeys(c.benchmark.tasks for c in chosen)
    theirs = Path(lm_eval_tasks.__file__).parent
    places: list[str | Path] = [str(OWN_TASKS if folder == "." else theirs / folder) for folder in folders]
    _quiet()
    manager = lm_eval_tasks.TaskManager(include_path=places, include_defaults=False)
    chats = {name: _asked_in_a_chat(entry.cfg or {}) for name, entry in manager.task_index.items()} if framed else {}
    members = [member | chats.get(member["task"], {}) for c in chosen for member in _members(c, framed, few_shot, method)]
    return manager.load([{"group": GROUP, "task": members}])["tasks"] if members else {}


def _asked_in_a_chat(task: dict[str, Any]) -> dict[str, Any]:
    """Return what a task file of ours changes where the model has a chat frame: its words, and no stop texts."""
    words = task["metadata"].get("chat") if isinstance(task.get("metadata"), dict) else None
    return {"doc_to_text": words, "generation_kwargs": {"until": [], "do_sample": False}} if words else {}


def _members(chosen: Chosen, framed: bool, few_shot: int, method: str) -> Iterator[dict[str, Any]]:
    """Override where a task takes its rows from, and how programs are run; MMLU is one task per subject."""
    benchmark, examples = chosen.benchmark, shots(chosen.benchmark) if few_shot and chosen.benchmark.kind == "choice" else []
    name, parts = benchmark.name, dict[str, list[dict[str, Any]]]()
    for doc in chosen.docs:
        parts.setdefault(f"{name}_{doc['subject']}" if "subject" in benchmark.columns else name, []).append(doc)
    for task, docs in parts.items():
        own = [row for row in examples if row["subject"] == docs[0]["subject"]] if examples else []
        member: dict[str, Any] = {
            "task": task,
            "dataset_path": None,
            "dataset_name": None,
            "custom_dataset": _rows_of(docs, own, benchmark.kind == "code"),
            "test_split": "items",
            "validation_split": None,
            "training_split": None,
            "fewshot_split": "shots" if own else None,
            "num_fewshot": min(few_shot, len(own)),
        }
        if benchmark.kind == "code":
            member["filter_list"] = [
                {"name": "run", "filter": [{"function": "custom", "filter_fn": _runner(benchmark, docs, framed, method)}]}
            ]
        yield member


def _rows_of(docs: list[dict[str, Any]], examples: list[dict[str, Any]], texts_alone: bool) -> Callable[..., Any]:
    """Return what lm-eval calls for its rows; the inputs of programs have no common type, and are looked up by item."""

    def rows(**_: Any) -> dict[str, Any]:
        from datasets import Dataset

        # Every row gets the columns of all rows: a dataset would take the first one's alone.
        columns = dict.fromkeys(key for doc in docs for key in doc)
        columns = [name for name in columns if not texts_alone or _are_texts([doc.get(name) for doc in docs])]
        found = {"items": Dataset.from_list([{name: doc.get(name) for name in columns} for doc in docs])}
        return found | ({"shots": Dataset.from_list(examples)} if examples else {})

    return rows


def _are_texts(values: list[Any]) -> bool:
    """Tell whether all values that there are are texts, or all are lists of texts."""
    given = [value for value in values if value is not None]
    lists = given and all(isinstance(value, list) for value in given)
    return all(isinstance(text, str) for value in given for text in (value if lists else [value]))


def _runner(benchmark: Benchmark, docs: list[dict[str, Any]], chat: bool, method: str) -> Callable[..., list[Ran]]:
    """Return lm-eval's filter that runs all programs of a task, a few at a time."""
    program, whole = PROGRAMS[benchmark.program], {doc[ITEM]: doc for doc in docs}

    def outcomes(answers: list[list[str]], asked: list[dict[str, Any]]) -> list[Ran]:
        said = {doc[ITEM]: answer[0] for doc, answer in zip(asked, answers, strict=True)}
        programs = {item: program(whole[item], answer, chat) for item, answer in said.items()}
        found = run_programs(programs, method, Limits(), f"{benchmark.title} programs")
        return [Ran(**vars(found[doc[ITEM]]), program=programs[doc[ITEM]].code) for doc in asked]

    return outcomes


def prompts(chosen: list[Chosen], framed: bool, frame: Callable[..., str] | None = None) -> dict[str, str]:
    """Show what a benchmark's task asks: the prompt of an item whose texts are the names of their columns."""
    blank = [replace(c, docs=[_placeholder(c.docs[0])]) for c in chosen]
    found = {}
    for name, task in load_tasks(blank, framed, 0, "").items():
        task.build_all_requests(apply_chat_template=framed, chat_template=frame)
        asked = [instance.args for instance in task.instances]
        rest = dict.fromkeys(repr(args[1]) for args in asked if isinstance(args[1], str))
        contexts = dict.fromkeys(args[0] for args in asked)
        found[benchmark_of(name).name] = "\n— or —\n".join(contexts) + (f"\n→ {' | '.join(rest)}" if rest else "")
    return found


def _placeholder(value: Any, name: str = "") -> Any:
    """Put the name of its column where a text stands; labels, which are short, stay."""
    if isinstance(value, dict):
        return {key: item if key in (ITEM, "subject") else _placeholder(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [_placeholder(item, f"{name} {number}") for number, item in enumerate(value, start=1)]
    if not isinstance(value, str) or len(value) <= SHORT:
        return value
    return f"⟨{name}⟩ _ ⟨{name}⟩" if " _ " in value else f"⟨{name}⟩"


def run(chosen: list[Chosen], model: Any, framed: bool, few_shot: int = 0, method: str = "") -> dict[str, list[dict[str, Any]]]:
    """Evaluate a language model of lm-eval, ours or its own, and return each benchmark's rows in the order of its items."""
    import lm_eval

    tasks = load_tasks(chosen, framed, few_shot, method)
    if not tasks:
        return {}
    found = lm_eval.evaluate(
        model, {"tasks": tasks, "groups": {}}, bootstrap_iters=0, apply_chat_template=framed, confirm_run_unsafe_code=True
    )
    by_item: dict[str, dict[str, dict[str, Any]]] = {c.benchmark.name: {} for c in chosen}
    for task, samples in found["samples"].items():
        benchmark = benchmark_of(task)
        for sample in samples:
            item = sample["doc"][ITEM]
            why = getattr(model, "unanswered", {}).get((tasks[task].task_name, item))
            row = _row(benchmark, tasks[task], sample, getattr(model, "completions", {}))
            by_item[benchmark.name][item] = {"id": item, "unanswered": why} if why else row
    return {c.benchmark.name: [by_item[c.benchmark.name][doc[ITEM]] for doc in c.docs] for c in chosen}


def _row(benchmark: Benchmark, task: Any, sample: dict[str, Any], completions: dict[tuple[str, str], Any]) -> dict[str, Any]:
    """Keep what the model did and how it was graded; the question itself stays where its data are."""
    item = sample["doc"][ITEM]
    row: dict[str, Any] = {"id": item, "scores": {name: float(sample[name]) for name in sample["metrics"]}}
    if benchmark.kind == "choice":
        row["logprobs"] = [answers[0][0] for answers in sample["resps"]]
        return row | ({} if benchmark.private else {"gold": _gold(task, sample)})
    row["answer"] = sample["resps"][0][0]
    if said := completions.get((task.task_name, item)):
        row |= {"finish": said.finish, "num_tokens": said.num_tokens}
    if benchmark.kind == "code":
        outcome = sample["filtered_resps"][0]
        own = outcome.program.removeprefix(sample["doc"].get("prompt") or "")  # the question stays where its data are
        row |= {"program": own, "outcome": outcome.reason, "detail": outcome.detail}
    return row


def _gold(task: Any, sample: dict[str, Any]) -> int:
    """Return the number of the right choice; some tasks name it by its label, and one by the text that goes before."""
    gold = task.doc_to_text(sample["doc"]) if task.multiple_input else sample["target"]
    return task.doc_to_choice(sample["doc"]).index(gold) if isinstance(gold, str) else gold


def _quiet() -> None:
    """Keep lm-eval's remarks and its bars for work of milliseconds out of the record."""
    import datasets
    from lm_eval.api import task

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    task.tqdm = lambda rows, **_: rows  # ty: ignore[invalid-assignment] - all that is asked of it
    datasets.disable_progress_bars()
