"""Looking at a run: its pairs with scores and fates, sorted and searched, on a map, and over iterations.

    found = pairs(run_dir, 1)
    found.table(found.arranged(sort="-pmi", search="salt"))

A row: id, fate (kept, dropped, undecided, or no pair: what the synthesis dropped), reason, detail, one column a score,
whether the next model was trained on it, lengths in words, where it comes from (operator, document, topic, …), the texts.
Covers rows, tables and figures of one run. Does not cover one pair in depth (`explore.pair_history`), the map
(`explore.pair_map`) or menus (`explore.widgets`).
"""

import difflib
import re
import shlex
import statistics
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from isheep_lib.analysis.words import distinct_n
from isheep_lib.display.figures import BLUE, DARK, GREY, RED, nothing, panels
from isheep_lib.display.table import FoldedTable, Table
from isheep_lib.errors import ParameterError, RecordError
from isheep_lib.explore.lineage import COLUMNS, origins
from isheep_lib.explore.pair_history import training_fates
from isheep_lib.explore.recorded import rows_of
from isheep_lib.languages.words import words
from isheep_lib.record import manifests
from isheep_lib.record.rows import first_of_each, task_of
from isheep_lib.scorers.table import scorer_of
from isheep_lib.synthesize.near_duplicates import NearDuplicates

FATES = KEPT, DROPPED, UNDECIDED, NO_PAIR = "kept", "dropped", "undecided", "no pair"
COLORS = {KEPT: BLUE, DROPPED: RED, UNDECIDED: GREY}
SHOWN = 12  # rows of a static table
TEXT = 180  # letters of a text in it that show before it is opened
LONGEST = 4000  # letters of it that show then; one pair followed shows more
NEAR = 0.7  # ROUGE-L F above which an instruction was seen before, the paper's limit
TEXTS = ("instruction", "input", "output")


@dataclass(frozen=True)
class Pairs:
    """The rows of one iteration, pairs first and in their order, then what never became a pair."""

    run_dir: Path
    iteration: int
    rows: list[dict[str, Any]]  # see the module
    scores: list[str]  # names of the score columns
    missing: list[str]  # what the record does not hold yet, a sentence each
    origins: list[str] = field(default_factory=list)  # columns that say where rows come from, of which this run has any

    @property
    def columns(self) -> list[str]:
        """Name all columns, in the order of the tables."""
        lengths = ("instruction words", "output words")
        return ["id", *TEXTS, "fate", "reason", "detail", *self.origins, *self.scores, "trained", *lengths]

    @property
    def made(self) -> list[dict[str, Any]]:
        """The rows that are pairs."""
        return [row for row in self.rows if row["fate"] != NO_PAIR]

    def first(self) -> str:
        """Name the first kept pair, or the first row where none is kept."""
        return next((row["id"] for row in self.rows if row["fate"] == KEPT), self.rows[0]["id"] if self.rows else "")

    def arranged(self, sort: str = "id", search: str = "", fate: str = "", reason: str = "") -> list[dict[str, Any]]:
        """Return the rows of a fate and a reason ("" for all) whose texts hold the one searched for, in either case, sorted.

        The largest come first where a minus stands before the column; rows without its value come last.

        Raises:
            ParameterError: no such column, fate or reason.
        """
        column = sort.removeprefix("-")
        for name, value, known in (
            ("sort", column, self.columns),
            ("fate", fate or KEPT, FATES),
            ("reason", reason, ["", *{row["reason"] for row in self.rows}]),
        ):
            if value not in known:
                near = difflib.get_close_matches(value, known, n=1, cutoff=0.5)
                raise ParameterError(
                    f"{name}: {value!r} is none" + (f"; did you mean {near[0]}?" if near else ""),
                    allowed=", ".join(sorted(filter(None, known))),
                )
        wanted = search.casefold()
        found = [
            row
            for row in self.rows
            if fate in ("", row["fate"])
            and reason in ("", row["reason"])
            and any(wanted in row[part].casefold() for part in TEXTS)
        ]
        valued = [row for row in found if row[column] not in (None, "")]
        valued.sort(key=lambda row: _natural(row[column]), reverse=sort.startswith("-"))
        return [*valued, *(row for row in found if row[column] in (None, ""))]

    def table(self, rows: list[dict[str, Any]], number: int = SHOWN) -> Table:
        """Show rows with long texts folded, at most `number` of them; columns that are empty in all of them are left out."""
        shown = [{c: "" if row[c] is None else row[c] for c in self.columns} for row in rows[:number]]
        filled = [column for column in self.columns if any(row[column] != "" for row in shown)]
        few = f"the first {number} of {len(rows)}" if len(rows) > number else f"{len(rows)}"
        caption = f"{few} rows; iteration {self.iteration} has {len(self.rows)} in all"
        narrow = [{column: row[column] for column in filled} for row in shown]
        return FoldedTable(narrow or [{"rows": "none match"}], "; ".join([caption, *self.missing]), TEXT, LONGEST)

    def counts(self) -> Table:
        """Count rows by fate and reason."""
        found = Counter((row["fate"], row["reason"]) for row in self.rows)
        ranked = sorted(found.items(), key=lambda item: (FATES.index(item[0][0]), -item[1]))
        return Table([{"fate": fate, "reason": reason, "rows": n} for (fate, reason), n in ranked], "; ".join(self.missing))


def _natural(value: Any) -> list[Any]:
    """Sort numbers inside text as numbers: t2 before t10."""
    if not isinstance(value, str):
        return [value]
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", value.casefold())]


def iterations(run_dir: Path) -> list[int]:
    """List the iterations that have pairs.

    Raises:
        RecordError: it is no run; the nearest ones are named.
    """
    manifests.require_run(run_dir)
    return list(manifests.of_stage(run_dir, "synthesize"))


def pairs(run_dir: Path, iteration: int) -> Pairs:
    """Read everything that an iteration recorded of its pairs; what is not done yet is named and left empty.

    Raises:
        RecordError: no such run, the iteration has no pairs yet, or a file is not as it was recorded.
    """
    done = iterations(run_dir)
    if iteration not in done:
        raise RecordError(
            f"Iteration {iteration} has no pairs yet",
            where=manifests.short(run_dir),
            allowed=", ".join(map(str, done)) or "no iteration has",
            do=f"isheep iterate {iteration} makes them",
        )
    examples = rows_of(run_dir, iteration, "synthesize", "examples.jsonl") or []
    scored = rows_of(run_dir, iteration, "assess", "scores.jsonl")
    kept = rows_of(run_dir, iteration, "filter", "kept.jsonl")
    dropped = {row["id"]: row for row in rows_of(run_dir, iteration, "filter", "dropped.jsonl") or []}
    fates, unknown = training_fates(run_dir, iteration)
    missing = [f"no scores yet: iter-{iteration}/assess is not done"] if scored is None else []
    missing += [f"nothing is decided yet: iter-{iteration}/filter is not done"] if kept is None else []
    missing += [f"what was trained on is not known: {unknown}"] if unknown else []
    by_id = {row["id"]: row for row in scored or []}
    names = list(dict.fromkeys(name for row in scored or [] for name in (*row["scores"], *row["unread"])))
    rows = []
    for pair in examples:
        end = dropped.get(pair["id"], {})
        fate = UNDECIDED if kept is None else DROPPED if end else KEPT
        values = by_id.get(pair["id"], {}).get("scores", {})
        rows.append(_row(pair, fate, end, {name: values.get(name) for name in names}, fates.get(pair["id"], "")))
    for idea in rows_of(run_dir, iteration, "synthesize", "dropped.jsonl") or []:
        rows.append(_row(idea, NO_PAIR, idea, dict.fromkeys(names), ""))
    told = [name for name in COLUMNS if any(name in row for row in rows)]
    rows = [dict.fromkeys(told, "") | row for row in rows]
    return Pairs(run_dir, iteration, rows, names, missing, told)


def _row(given: dict[str, Any], fate: str, end: dict[str, Any], scores: dict[str, Any], trained: str) -> dict[str, Any]:
    texts = {part: given.get(part) or "" for part in TEXTS}
    lengths = {f"{p} words": len(words(texts[p])) if p in given else None for p in ("instruction", "output")}
    said = {"reason": end.get("reason", ""), "detail": end.get("detail", "")}
    return {"id": given["id"], "fate": fate, **said, **scores, "trained": trained, **lengths, **texts, **origins(given)}


def histograms(found: Pairs) -> Figure:
    """Draw each score's histogram, one colour per fate; nothing where there are no scores."""
    if not found.scores:
        return nothing()
    figure, axes = panels(len(found.scores), min(3, len(found.scores)))
    for axis, name in zip(axes, found.scores, strict=True):
        sides = {fate: [r[name] for r in found.made if r["fate"] == fate and r[name] is not None] for fate in COLORS}
        every = [value for side in sides.values() for value in side]
        shown = {fate: side for fate, side in sides.items() if side}
        axis.hist(
            list(shown.values()) or [[]],
            bins=np.histogram_bin_edges(every or [0.0, 1.0], bins=16),
            stacked=True,
            color=[COLORS[fate] for fate in shown] or [GREY],
            label=[f"{fate} ({len(side)})" for fate, side in shown.items()] or [f"no {name} could be read"],
        )
        axis.set_xlabel(f"{name.replace('_', ' ')} ({scorer_of(name).unit})", fontsize=9)
        axis.set_ylabel("pairs")
        axis.legend(fontsize=8, frameon=False)
    return figure


def lengths_and_duplicates(run_dir: Path) -> dict[int, dict[str, float]]:
    """Measure every iteration's texts: lengths, how much was written before in the run, diversity.

    "Written" are all instructions that the model wrote, also those that never became pairs: what the synthesis itself
    removes shows there only.
    """
    seen: set[str] = set()
    near = NearDuplicates(NEAR)
    found: dict[int, dict[str, float]] = {}
    for iteration in iterations(run_dir):
        made = rows_of(run_dir, iteration, "synthesize", "examples.jsonl") or []
        ideas = [row for row in rows_of(run_dir, iteration, "synthesize", "dropped.jsonl") or [] if row.get("instruction")]
        tasks = first_of_each(made, task_of)
        every = first_of_each([*made, *ideas], task_of)
        written = [row["instruction"] for row in sorted(every, key=lambda row: _natural(task_of(row)))]
        exact = close = 0
        for text in written:
            exact += text in seen
            close += near.find(text) is not None
            seen.add(text)
            near.add(text)
        found[iteration] = {
            "pairs": len(made),
            "instructions written": len(written),
            "median words of an instruction": _median(row["instruction"] for row in tasks),
            "median words of a response": _median(row["output"] for row in made),
            "share of the written seen before, exactly": exact / max(1, len(written)),
            f"share of the written seen before, ROUGE-L above {NEAR:g}": close / max(1, len(written)),
            "distinct pairs of words, instructions": distinct_n(row["instruction"] for row in tasks),
            "distinct pairs of words, responses": distinct_n(row["output"] for row in made),
        }
    return found


def _median(texts: Any) -> float:
    return float(statistics.median([len(words(text)) for text in texts] or [0]))


def trend_table(by_iteration: dict[int, dict[str, float]]) -> Table:
    """Show `lengths_and_duplicates`, one column per iteration."""
    names = list(dict.fromkeys(name for row in by_iteration.values() for name in row))
    rows = [{"measure": name, **{f"iteration {k}": row[name] for k, row in by_iteration.items()}} for name in names]
    return Table(rows or [{"measure": "no iteration has pairs yet"}])


def trend_figure(by_iteration: dict[int, dict[str, float]]) -> Figure:
    """Draw `lengths_and_duplicates` over iterations: lengths, repetition, diversity."""
    measures = (("words (median)", "median words"), ("share of instructions written", "share of"), ("distinct-2", "distinct"))
    figure, axes = panels(3, 3)
    names = list(dict.fromkeys(name for row in by_iteration.values() for name in row))
    for axis, (label, start) in zip(axes, measures, strict=True):
        for name, color in zip((n for n in names if n.startswith(start)), (BLUE, RED), strict=False):
            short = name.removeprefix("median words of ").removeprefix("share of the written ").split("pairs of words, ")[-1]
            axis.plot(list(by_iteration), [row[name] for row in by_iteration.values()], "o-", color=color, label=short)
        axis.set_xlabel("iteration")
        axis.set_xticks(list(by_iteration))
        axis.set_ylabel(label, color=DARK)
        axis.margins(y=0.1)
        axis.set_ylim(bottom=0)
        if by_iteration:
            axis.legend(fontsize=7, frameon=False)
    return figure


def next_commands(shown: Pairs) -> Table:
    """Say what can be looked at next, each with its command."""
    run, k = manifests.run_name(shown.run_dir), shown.iteration
    again = f"isheep explore {shlex.quote(run)}"
    rows = (
        [{"to": "make what is missing", "command": f"isheep iterate {k}, with the run's --params and --run"}]
        if shown.missing
        else []
    )
    rows += [
        {"to": f"look at iteration {n}", "command": f"{again} --iteration {n}"} for n in iterations(shown.run_dir) if n != k
    ]
    rows += [
        {"to": "follow another pair", "command": f"{again} --iteration {k} --pair {shlex.quote(shown.rows[-1]['id'])}"},
        {"to": "ask both models its task again", "command": f"{again} --iteration {k} --ask-models"},
        {"to": "choose by menus, sort and search in JupyterLab", "command": f"{again} --iteration {k} --open"},
    ]
    return Table(rows)
