"""One pair from the tasks shown in its prompt to what the next model does: every station of it, from the record.

    story = follow(run_dir, 1, "i1-r0-p003-t1")
    story.verdicts                              # what each step of the filter says of it

Covers one pair, trained rows told from held-out ones, and answers of the models before and after. Does not cover many pairs
(`explore.pairs`).
"""

import difflib
import shlex
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from isheep_lib.display.table import FoldedTable, Table
from isheep_lib.engines.generate import ask
from isheep_lib.engines.open import model_settings, open_engine, preflight
from isheep_lib.engines.parity import hold_against_weights
from isheep_lib.engines.protocol import Request
from isheep_lib.engines.vectors import vectors_by_words
from isheep_lib.errors import DataError, ModelError, RecordError
from isheep_lib.explore import lineage
from isheep_lib.explore.recorded import rows_of
from isheep_lib.filter.params import Filter
from isheep_lib.filter.run import verdicts
from isheep_lib.filter.steps.step import UNREAD, ScoredPair, Step
from isheep_lib.iterate.run_params import recorded_params
from isheep_lib.models.trained import model_of
from isheep_lib.params import run_file
from isheep_lib.prompting.chat import get_frame, user_words
from isheep_lib.record import manifests
from isheep_lib.record.rows import Pair, Task, task_of
from isheep_lib.synthesize.params import Synthesize

NEAREST = 3  # recorded answers shown
LONG = 500  # letters of a text that show before it is opened
FATES = {"learned": "trained on", "held_out": "held out", "beyond_max_rows": "left over"}


@dataclass(frozen=True)
class Story:
    """The stations of one pair, each a table."""

    demonstrations: Table
    origin: Table
    ancestors: Table
    pair: Table
    answers: Table
    scores: Table
    verdicts: Table
    training: Table
    afterwards: Table

    def _repr_html_(self) -> str:
        tables = {field.name: getattr(self, field.name) for field in fields(self)}
        return "".join(f"<h4>{name}</h4>{table._repr_html_()}" for name, table in tables.items())

    def __repr__(self) -> str:
        """Return all stations as text."""
        return "\n\n".join(f"{field.name}\n{getattr(self, field.name)!r}" for field in fields(self))


def training_fates(run_dir: Path, iteration: int) -> tuple[dict[str, str], str]:
    """Tell of every kept pair what M_k's training did with it, as its record says.

    Returns:
        Fates by id; where they cannot be known, none, and why.
    """
    rows = rows_of(run_dir, iteration, "train", "rows.jsonl")
    if rows is None:
        return {}, f"iter-{iteration}/train is not done, or its record does not tell the pairs apart"
    said: dict[str, list[str]] = {}
    for row in rows:
        fate = FATES.get(row["fate"], row["fate"].replace("_", " "))
        for id_, how in _parts(row):
            said.setdefault(id_, []).append(f"{fate}{how}")
    return {id_: "; ".join(dict.fromkeys(fates)) for id_, fates in said.items()}, ""


def _parts(row: dict[str, Any]) -> list[tuple[str, str]]:
    """Name the answers of a training row, each with its part in a pair of answers."""
    sides = [(row[f"{side}_id"], f" as {side}") for side in ("chosen", "rejected") if f"{side}_id" in row]
    return sides or [(row["id"], "")]


def follow(run_dir: Path, iteration: int, id_: str, ask_models: bool = False) -> Story:
    """Follow one pair, or what the synthesis dropped before it became one.

    With `ask_models` M_{k-1} and M_k are asked the same task, greedily; else recorded answers like its response are shown.

    Raises:
        DataError: no such id; the nearest ones are named.
        ModelError: a model that is to be asked is not at hand.
    """
    row = _find(run_dir, iteration, id_)
    scored = {r["id"]: r for r in rows_of(run_dir, iteration, "assess", "scores.jsonl") or []}.get(id_)
    if "reason" in row:
        afterwards = Table([{"afterwards": "it never became a pair, so nothing was learned from it"}])
    elif ask_models:
        afterwards = ask_both(run_dir, iteration, row)
    else:
        afterwards = recorded_answers(run_dir, iteration, row["output"])
    return Story(
        lineage.shown(run_dir, iteration, row),
        lineage.origin(run_dir, iteration, row),
        lineage.ancestors(run_dir, iteration, row),
        FoldedTable(
            [{"part": part, "text": row[part]} for part in ("instruction", "input", "output", "raw") if row.get(part)],
            short=LONG,
        ),
        _answers_of_task(run_dir, iteration, row),
        _scores(run_dir, iteration, scored),
        _verdicts(run_dir, iteration, row, scored),
        _training(run_dir, iteration, row),
        afterwards,
    )


def _find(run_dir: Path, iteration: int, id_: str) -> dict[str, Any]:
    examples = rows_of(run_dir, iteration, "synthesize", "examples.jsonl")
    if examples is None:
        where = manifests.short(manifests.stage_folder(run_dir, iteration, "synthesize"))
        raise RecordError(f"Iteration {iteration} has no pairs yet", where=where, do="choose an iteration that is done")
    known = {row["id"]: row for row in [*(rows_of(run_dir, iteration, "synthesize", "dropped.jsonl") or []), *examples]}
    if id_ not in known:
        near = difflib.get_close_matches(id_, known, n=5, cutoff=0.0)
        raise DataError(
            f"Iteration {iteration} has no pair {id_!r}",
            where=manifests.short(run_dir),
            allowed=f"the nearest: {', '.join(near)}",
        )
    return known[id_]


def _answers_of_task(run_dir: Path, iteration: int, row: dict[str, Any]) -> Table:
    """Show all answers to the pair's task, its own among them, each with its scores and what became of it."""
    files = (("synthesize", "examples.jsonl"), ("synthesize", "dropped.jsonl"), ("filter", "dropped.jsonl"))
    made, repeated, dropped = (rows_of(run_dir, iteration, *file) or [] for file in files)
    scored = {r["id"]: r["scores"] for r in rows_of(run_dir, iteration, "assess", "scores.jsonl") or []}
    reasons = {r["id"]: r["reason"] for r in [*repeated, *dropped]}
    kept = "kept" if rows_of(run_dir, iteration, "filter", "kept.jsonl") is not None else "undecided"
    found = [
        {
            "id": r["id"],
            **scored.get(r["id"], {}),
            "tokens": r.get("num_tokens", ""),
            "became": reasons.get(r["id"], kept),
            "output": r["output"],
        }
        for r in [*made, *repeated]
        if "output" in r and task_of(r) == task_of(row)
    ]
    return FoldedTable(found or [{"answers": "none"}], f"{len(found)} answer(s) to its task", LONG)


def _scores(run_dir: Path, iteration: int, scored: dict[str, Any] | None) -> Table:
    """Show each score and the texts that it was read from."""
    if scored is None:
        return Table([{"scores": "none: it was not assessed"}])
    rows: list[dict[str, Any]] = [{"score": name, "value": value} for name, value in scored["scores"].items()]
    rows += [{"score": name, "value": f"unread: {reason}"} for name, reason in scored["unread"].items()]
    said = scored["raw"]
    rows = [{**row, **({"read from": " / ".join(said[row["score"]])} if row["score"] in said else {})} for row in rows]
    return FoldedTable(rows or [{"scores": "no scorer was run"}], short=LONG)


def _verdicts(run_dir: Path, iteration: int, row: dict[str, Any], scored: dict[str, Any] | None) -> Table:
    """Show what each step says of the pair, and what the record says became of it."""
    if "reason" in row:
        return Table([{"step": "synthesize", "verdict": ": ".join(filter(None, (row["reason"], row["detail"])))}])
    manifest = manifests.read_manifest(manifests.stage_folder(run_dir, iteration, "filter"))
    if manifest is None or scored is None:
        return Table([{"step": "filter", "verdict": f"iter-{iteration}/filter is not done"}])
    params = recorded_params(manifest, f"the manifest of iter-{iteration}/filter")
    if not isinstance(params, Filter):
        raise RecordError(
            "The manifest is not that of a filter", where=f"iter-{iteration}/filter", do="isheep verify shows more"
        )
    dropped = {r["id"]: r for r in rows_of(run_dir, iteration, "filter", "dropped.jsonl") or []}.get(row["id"])
    reason, detail = (dropped["reason"], dropped["detail"]) if dropped else ("", "")
    alone = verdicts(ScoredPair(Pair.from_row(row), scored["scores"]), params)
    whole = {step.name: _whole_verdict(step, reason, detail) for step in params.applied() if step.name not in alone}
    rows = [{"step": step.name, "verdict": {**alone, **whole}[step.name]} for step in params.applied()]
    became = f"dropped, {reason}: {detail}" if dropped else "kept"
    return Table([*rows, {"step": "recorded", "verdict": became}], "The first step that strikes decides; each is asked here")


def _whole_verdict(step: Step, reason: str, detail: str) -> str:
    """Say what a step that looks at all pairs together made of a pair, by the recorded reason."""
    if reason in step.meanings and reason not in UNREAD:
        return f"{reason}: {detail}"
    return "looks at all pairs together, and did not strike this one" if not reason else "looks at all pairs together"


def _training(run_dir: Path, iteration: int, row: dict[str, Any]) -> Table:
    """Show whether a model learned from the pair."""
    fates, unknown = training_fates(run_dir, iteration)
    meaning = {
        "trained on": f"M_{iteration} was trained on it",
        "held out": f"held out: it measured the loss of M_{iteration} and was not learned",
        "left over": "left over: more rows were kept than train.max_rows",
        "beyond cutoff": "no: its prompt alone is longer than train.max_length",
        "empty response": "no: its response is empty",
    }
    fate = fates.get(row["id"], "")
    of_pairs = f"as an answer of a pair: {fate}" if " as " in fate else f"no: M_{iteration} did not see it"
    said = unknown or meaning.get(fate, of_pairs)
    return Table([{"model": f"M_{iteration}", "used in training": said}])


def recorded_answers(run_dir: Path, iteration: int, text: str) -> Table:
    """Show answers of M_k to benchmark items that are nearest to a text in words, beside those of M_{k-1}."""
    after, before = (_answers(run_dir, k) for k in (iteration, iteration - 1))
    if not after:
        return Table([{"afterwards": f"M_{iteration} has no recorded answers: iter-{iteration}/evaluate is not done"}])
    names = list(after)
    vectors = vectors_by_words([text, *(after[name]["answer"] for name in names)])
    likeness = vectors[1:] @ vectors[0]
    order = sorted(range(len(names)), key=lambda i: (-likeness[i], i))[:NEAREST]
    rows = []
    for i in order:
        row: dict[str, Any] = {"benchmark and item": names[i], "likeness": float(likeness[i])}
        for k, answers in ((iteration - 1, before), (iteration, after)):
            found = answers.get(names[i], {"answer": "not asked", "scores": {}})
            row[f"answer of M_{k}"] = found["answer"]
            row[f"scores of M_{k}"] = ", ".join(f"{name} {value:g}" for name, value in found["scores"].items())
        rows.append(row)
    caption = (
        f"Recorded answers of M_{iteration} to benchmark items, the nearest in words to this response (TF-IDF, 1 is the same "
        "words). The records hold answers and no questions: ask_models asks this task itself"
    )
    return FoldedTable(rows, caption, LONG)


def _answers(run_dir: Path, iteration: int) -> dict[str, dict[str, Any]]:
    """Read a model's recorded free answers by benchmark and item."""
    manifest = manifests.read_manifest(manifests.stage_folder(run_dir, iteration, "evaluate")) or {"outputs": {}}
    found = {}
    for file in (name for name in manifest["outputs"] if name.startswith("samples-") and name.endswith(".jsonl")):
        for row in rows_of(run_dir, iteration, "evaluate", file) or []:
            if isinstance(row.get("answer"), str) and row["answer"].strip():
                found[f"{file.removeprefix('samples-').removesuffix('.jsonl')} {row['id']}"] = row
    return found


def ask_both(run_dir: Path, iteration: int, row: dict[str, Any]) -> Table:
    """Ask the model before and the model after a pair's task, each in its own frame and greedily.

    Raises:
        ModelError: an adapter's weights are not at hand.
        RecordError: the iteration is not trained yet.
    """
    settings = model_settings(run_dir)
    limit = run_file.run_params(run_dir).get("synthesize", {}).get("response_tokens", Synthesize().response_tokens)
    pair = [(k, model_of(run_dir, settings.base_model, k)) for k in (iteration - 1, iteration)]
    params_file = shlex.quote(manifests.short(run_file.params_path(run_dir)))
    absent = [a for _, model in pair for a in model.adapters if not (a / "adapter_model.safetensors").is_file()]
    if absent:
        raise ModelError(
            f"The weights of {absent[0].parents[1].name} are not at hand; a committed record keeps only their digest",
            where=manifests.short(absent[0]),
            allowed="ask_models False shows recorded answers instead",
            do=f"isheep iterate {iteration} --params {params_file} --run NAME makes a run "
            "of your own with its weights; then look at NAME",
        )
    words = user_words(Task(row["id"], row["instruction"], row.get("input", "")))
    rows = [{"model": f"M_{iteration - 1}, as recorded", "answer": row["output"], "ended by": row["finish"]}]
    for k, model in pair:
        preflight(model, settings)
        engine = open_engine(model, settings)
        try:
            hold_against_weights(engine, run_dir, model, k, settings)
            frame = get_frame(settings.frame_of(k), settings.system_prompt, engine.tokenizer, settings.template_date)
            said = ask(engine, Request(row["id"], frame.prompt(words), limit, stop=(frame.end,)))
        finally:
            engine.close()
        rows.append({"model": f"M_{k}, asked now, greedy", "answer": said.text, "ended by": said.finish})
    return FoldedTable(rows, f"The task of {row['id']} asked again", LONG)
