"""Pairs of answers to one task, of which one is preferred, for training by preference; and why an answer is in none.

A row of `pairs.jsonl`:
    {"id": "i1-r0-t2-a3-score", "task": "i1-r0-t2", "instruction": "…", "input": "", "chosen": "…", "rejected": "…",
     "chosen_id": "i1-r0-t2-a3", "rejected_id": "i1-r0-t2-a0", "rejected_finish": "end", "kind": "score",
     "why": "pmi 0.61 against 0.12"}

What is chosen is an answer that the filter keeps; in a random control chance exchanges the two of a pair. What is rejected may
be one that the filter drops, but none that repeats a benchmark item. Covers rows and reasons. Does not cover which of two
answers is better (`filter.pair_kinds`), what is kept (`filter.run`) or learning from pairs (`train`).
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from isheep_lib.errors import DataError
from isheep_lib.filter.pair_kinds import BENCHMARK_ITEM, KINDS, Answer, Rejected
from isheep_lib.filter.params import Filter
from isheep_lib.filter.run import Filtered
from isheep_lib.filter.steps.step import Reason, ScoredPair
from isheep_lib.record.funnel import funnel, require


@dataclass(frozen=True)
class Preferences:
    """Rows of `pairs.jsonl` and of `unpaired.jsonl`, in the order of the answers; nothing where no kind was asked for."""

    kinds: tuple[str, ...]
    pairs: list[dict[str, Any]]
    unpaired: list[dict[str, Any]]

    def outputs(self) -> dict[str, list[dict[str, Any]]]:
        """Return the files, none where no kind was asked for."""
        return {"pairs.jsonl": self.pairs, "unpaired.jsonl": self.unpaired} if self.kinds else {}

    def facts(self) -> dict[str, Any]:
        """Count for the manifest: pairs by kind, and answers that are in none by reason."""
        if not self.kinds:
            return {}
        by_kind = Counter(row["kind"] for row in self.pairs)
        dropped = funnel(len(self.unpaired), self.unpaired)["dropped"]
        return {"preferences": {"pairs": {kind: by_kind[kind] for kind in self.kinds}, "unpaired": dropped}}

    def rows(self) -> list[dict[str, Any]]:
        """Describe it as rows of a table."""
        if not self.kinds:
            return [{"pairs of answers": "none asked for (filter.preferences)", "number": ""}]
        counts = self.facts()["preferences"]
        found = [{"pairs of answers": f"by {kind}", "number": number} for kind, number in counts["pairs"].items()]
        return found + [{"pairs of answers": f"in none: {name}", "number": n} for name, n in counts["unpaired"].items()]

    def require(self, number: int) -> None:
        """Stop where there are fewer pairs than asked for (YieldError), with the reasons and an example of each."""
        if self.kinds:
            do = (
                "ask for more answers a task or more tasks (synthesize), lower filter.min_margin, add a kind to "
                "filter.preferences, or lower filter.min_pairs"
            )
            require(len(self.pairs), number, "pairs of answers", self.unpaired, do)


def make_pairs(rows: Sequence[ScoredPair], filtered: Filtered, params: Filter, seed: int = 0) -> Preferences:
    """Make pairs of every kind that is asked for; with `random_control` in an order by chance.

    Args:
        rows: all answers with their scores.
        filtered: what the steps kept and dropped of them.
        params: the section `filter`.
        seed: of the draw by which a random control orders the two answers.

    Raises:
        DataError: no answer has the scores that order them.
    """
    _require_scores(rows, params)
    kept = {row["id"] for row in filtered.kept}
    repeating = {row["id"]: row["detail"] for row in filtered.dropped if row["reason"] == BENCHMARK_ITEM}
    tasks: dict[tuple[str, str, str], list[Answer]] = {}
    for row in rows:
        if row.id not in repeating:
            tasks.setdefault(_task(row), []).append(Answer(row, row.id in kept))
    pairs, reasons = [], {id_: {"": (BENCHMARK_ITEM, detail)} for id_, detail in repeating.items()}
    used: set[str] = set()
    for (task, *_), answers in tasks.items():
        for kind in params.preferences:
            found = KINDS[kind].choose(answers, params)
            pairs += [_pair(task, kind, *each) for each in found.pairs]
            used |= {id_ for chosen, rejected, _ in found.pairs for id_ in (chosen.id, rejected.id)}
            for id_, reason in found.reasons.items():
                reasons.setdefault(id_, {})[kind] = reason
    if params.random_control:
        draw = random.Random(seed)  # noqa: S311 - reproducible, not secret
        pairs = [_exchanged(pair) if draw.random() < 0.5 else pair | {"why": f"by chance; {pair['why']}"} for pair in pairs]
    unpaired = [_unpaired(row, reasons[row.id]) for row in rows if row.id not in used] if params.preferences else []
    return Preferences(tuple(params.preferences), pairs, unpaired)


def _task(row: ScoredPair) -> tuple[str, str, str]:
    """Name what was asked; answers of one task may have been asked with other words, and these are not compared."""
    pair = row.pair
    return pair.lineage.get("task", pair.id), pair.instruction, pair.input


def _pair(task: str, kind: str, chosen: Answer, rejected: Rejected, why: str) -> dict[str, Any]:
    pair = chosen.row.pair
    return {
        "id": f"{pair.id}-{kind}",
        "task": task,
        "instruction": pair.instruction,
        "input": pair.input,
        "chosen": pair.output,
        "rejected": rejected.text,
        "chosen_id": pair.id,
        "rejected_id": rejected.id,
        "rejected_finish": rejected.finish,
        "kind": kind,
        "why": why,
    }


def _exchanged(pair: dict[str, Any]) -> dict[str, Any]:
    """Return a pair with the rejected answer as the chosen one; where the token limit ended it, it has no end to learn."""
    sides = {"chosen": pair["rejected"], "rejected": pair["chosen"], "rejected_finish": "end"}
    ids = {"chosen_id": pair["rejected_id"], "rejected_id": pair["chosen_id"], "chosen_finish": pair["rejected_finish"]}
    return pair | sides | ids | {"why": f"exchanged by chance; {pair['why']}"}


def _unpaired(row: ScoredPair, reasons: dict[str, Reason]) -> dict[str, Any]:
    """Say why an answer is in no pair: the reason of the first kind, and what each kind says."""
    first = next(iter(reasons.values()))[0]
    detail = "; ".join(f"{kind}: {said}" if kind else said for kind, (_, said) in reasons.items())
    pair = row.pair
    return {"id": row.id, "task": _task(row)[0], "instruction": pair.instruction, "reason": first, "detail": detail}


def _require_scores(rows: Sequence[ScoredPair], params: Filter) -> None:
    names = params.pair_columns()
    missing = [name for name in names if not any(name in row.scores for row in rows)]
    if rows and missing:
        raise DataError(
            f"Pairs by score need {', '.join(missing)}, which no answer has",
            where="filter.preferences, filter.pair_scorer",
            allowed=", ".join(sorted({name for row in rows for name in row.scores})) or "no scores at all",
            do="choose a scorer that assess ran on all pairs (assess.scorers, assess.level)",
        )
