"""Ways to tell which of two answers to one task is better: by score, by a constraint kept and broken, by whole and cut.

Covers the answers of one task. Does not cover which answers there are, or rows (`filter.preference_pairs`).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from isheep_lib.analysis.sentences import shortened
from isheep_lib.filter.params import Filter
from isheep_lib.filter.steps.step import Reason, ScoredPair
from isheep_lib.languages.words import count_words
from isheep_lib.scorers.table import scorer

BENCHMARK_ITEM = "benchmark_item"
ALONE: Reason = ("only_answer", "no other answer to the same words is here")


@dataclass(frozen=True)
class Answer:
    """An answer of a task, and whether the filter keeps it."""

    row: ScoredPair
    kept: bool

    @property
    def id(self) -> str:
        """Its own."""
        return self.row.id

    @property
    def text(self) -> str:
        """What the model wrote."""
        return self.row.pair.output

    @property
    def cut(self) -> bool:
        """Whether the token limit ended it."""
        return self.row.pair.finish == "length"


@dataclass(frozen=True)
class Rejected:
    """What is less good than a chosen answer."""

    id: str
    text: str
    finish: str  # end, stop or length: without an end, none is learned


@dataclass
class Found:
    """Pairs of one kind, as (chosen, rejected, why), and of every answer that is in none the reason."""

    pairs: list[tuple[Answer, Rejected, str]] = field(default_factory=list)
    reasons: dict[str, Reason] = field(default_factory=dict)

    def add(self, chosen: Answer, rejected: Answer | str, why: str) -> None:
        """Add a pair; a text is the chosen answer's own, ended too early."""
        if isinstance(rejected, str):
            side = Rejected(chosen.id, rejected, "end")
        else:
            side = Rejected(rejected.id, rejected.text, rejected.row.pair.finish)
        self.pairs.append((chosen, side, why))


class PairKind(ABC):
    """A way to tell which of two answers is better; `meanings` are those of its reasons."""

    name: ClassVar[str]
    meanings: ClassVar[dict[str, str]]

    @abstractmethod
    def choose(self, answers: Sequence[Answer], params: Filter) -> Found:
        """Make pairs of the answers to one task, in their order, each answer in at most one."""


class ByScore(PairKind):
    """The best answer that is kept, and the worst of all: one pair a task."""

    name: ClassVar[str] = "score"
    meanings: ClassVar[dict[str, str]] = {
        "unread_score": "a score that orders answers could not be read",
        "none_kept": "no answer of the task is kept by the filter",
        "all_alike": "all other answers of the task have the same words",
        "too_close": "the best answer's score is not better than the worst's by more than min_margin: a tie",
        "between": "it is neither the best nor the worst answer of its task",
    }

    def choose(self, answers: Sequence[Answer], params: Filter) -> Found:
        """Order the answers by the mean of the scorer's columns, from its good end; of equal ones the first."""
        names = params.pair_columns()
        readable = [a for a in answers if all(name in a.row.scores for name in names)]
        found = Found()
        for answer in answers:
            if answer not in readable:
                found.reasons[answer.id] = ("unread_score", f"{params.pair_scorer} could not be read")
        values = {a.id: sum(a.row.scores[name] for name in names) / len(names) for a in readable}
        reason = self._pair(found, readable, values, params)
        in_pair = {id_ for chosen, rejected, _ in found.pairs for id_ in (chosen.id, rejected.id)}
        found.reasons |= {a.id: reason for a in readable if a.id not in in_pair}
        return found

    def _pair(self, found: Found, readable: list[Answer], values: Mapping[str, float], params: Filter) -> Reason:
        """Add the pair, and return why the other answers are in none."""
        if len(readable) < 2:
            return ALONE
        kept = [answer for answer in readable if answer.kept]
        if not kept:
            return "none_kept", f"none of {len(readable)} answers is kept by the filter"
        sign = -1 if scorer(params.pair_scorer).lower_is_better else 1
        best = max(kept, key=lambda answer: sign * values[answer.id])
        others = [answer for answer in readable if answer.text.strip() != best.text.strip()]
        if not others:
            return "all_alike", f"all {len(readable)} answers have the same words"
        worst = min(others, key=lambda answer: sign * values[answer.id])
        said = f"{params.pair_scorer} {values[best.id]:.3g} against {values[worst.id]:.3g}"
        if sign * (values[best.id] - values[worst.id]) <= params.min_margin:
            return "too_close", f"{said}, not more than {params.min_margin:g} better"
        found.add(best, worst, said)
        return "between", said


class ByConstraint(PairKind):
    """A kept answer that keeps all constraints of its instruction, and one that breaks some; as many pairs as both allow."""

    name: ClassVar[str] = "constraint"
    meanings: ClassVar[dict[str, str]] = {
        "no_constraints": "its instruction has no constraint that code checks",
        "not_kept": "it keeps all constraints, or is whole, but the filter drops it",
        "none_keeps": "no kept answer of the task keeps all constraints",
        "none_breaks": "no answer of the task breaks a constraint",
        "no_counterpart": "the task has fewer answers of the other side, and those are in pairs already",
    }

    def choose(self, answers: Sequence[Answer], params: Filter) -> Found:
        """Pair them in their order."""
        found, checked = Found(), [answer for answer in answers if _constraints(answer)]
        lacks: Reason = ("no_constraints", "the instruction has none")
        found.reasons = {answer.id: lacks for answer in answers if not _constraints(answer)}
        keeping = [answer for answer in checked if not _broken(answer)]
        breaking = [answer for answer in checked if _broken(answer)]
        found.reasons |= {a.id: ("not_kept", "the filter drops it") for a in keeping if not a.kept}
        kept = [answer for answer in keeping if answer.kept]
        for good, bad in zip(kept, breaking, strict=False):
            number, broken = len(_constraints(good)), _broken(bad)
            found.add(good, bad, f"keeps {number} of {number} constraints; the other breaks {len(broken)}: {broken[0]}")
        if len(checked) == 1:
            found.reasons |= {checked[0].id: ALONE} if checked[0].id not in found.reasons else {}
            return found
        for rest, opposite, none in ((kept, breaking, "none_breaks"), (breaking, kept, "none_keeps")):
            name = "no_counterpart" if opposite else none
            detail = f"{len(opposite)} answer(s) of the other side for {len(rest)} of this"
            found.reasons |= {answer.id: (name, detail) for answer in rest[len(opposite) :]}
        return found


class ByCut(PairKind):
    """A kept answer that ended by itself, and one to the same task that the token limit ended, else itself ended too early."""

    name: ClassVar[str] = "cut"
    meanings: ClassVar[dict[str, str]] = {
        "none_whole": "the token limit ended it, and no whole answer of the task is left to stand against it",
        "too_short": "it has one sentence of few words, of which nothing can be cut",
    }

    def choose(self, answers: Sequence[Answer], params: Filter) -> Found:
        """Pair them in their order; what is cut ends with the sentence whose end is nearest to the middle."""
        found, cut = Found(), [answer for answer in answers if answer.cut]
        for answer in answers:
            if answer.cut:
                continue
            if not answer.kept:
                found.reasons[answer.id] = ("not_kept", "the filter drops it")
            elif other := next((each for each in cut if each.text.strip() != answer.text.strip()), None):
                cut.remove(other)
                found.add(answer, other, "ended by itself; the other was cut by the token limit")
            elif part := shortened(answer.text):
                said = f"whole; the other is itself, ended after {count_words(part)} of {count_words(answer.text)} words"
                found.add(answer, part, said)
            else:
                found.reasons[answer.id] = ("too_short", "nothing can be cut of it")
        found.reasons |= {answer.id: ("none_whole", "no whole answer is left for it") for answer in cut}
        return found


KINDS: dict[str, PairKind] = {kind.name: kind for kind in (ByScore(), ByConstraint(), ByCut())}
# Every reason why an answer is in no pair, for the docs.
MEANINGS = {
    BENCHMARK_ITEM: "it repeats an item of a benchmark",
    "only_answer": "the task has no other answer, or none to the same words",
    **{name: text for kind in KINDS.values() for name, text in kind.meanings.items()},
}


def _constraints(answer: Answer) -> list[dict[str, Any]]:
    return list(answer.row.pair.lineage.get("constraints", ()))


def _broken(answer: Answer) -> list[str]:
    return [constraint["text"] for constraint in _constraints(answer) if not constraint["kept"]]
