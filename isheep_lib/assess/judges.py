"""Judges that have learned from pairs of known order: their scores, and how far these hold for what they have not learned.

    judges.odds(pairs)                                # each pair by the judge that learned from the other half of the tasks
    check_kinds(judges, tested, resamples, seed)      # AUROC by kind: untrained, learned without that kind, learned with it

A judge that tells a response from one of a kind that it was shown may have learned the kind alone. So for every kind one more
judge is trained on all others, and asked about tasks and a kind that it has never seen.
Covers asking. Does not cover the rows (`assess.known_order`) or the training (`iterate.judge_training`).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any

from isheep_lib.assess.known_order import Lesson, Trial, judge_name
from isheep_lib.assess.reliability_check import Reliability, reliability
from isheep_lib.assess.scoring import CHUNK, Scores
from isheep_lib.display.stage_tables import trust
from isheep_lib.display.table import Table
from isheep_lib.prompting.chat import user_words
from isheep_lib.record.journal import Journal
from isheep_lib.record.rows import Pair
from isheep_lib.scorers.verdict import Question, Verdict

SCORE = Verdict("verdict").score
UNTRAINED, WITHOUT, WITH = "verdict", "learned_without", "learned"
SIDES = {UNTRAINED: "not trained", WITHOUT: "trained on the other kinds", WITH: "trained on this kind, too"}
Ask = Callable[[str, list[str]], list[list[float]]]  # a judge by name, and prompts; "" is the model that assesses


@dataclass(frozen=True)
class LearnedJudges:
    """Two judges, each for the tasks that the other has learned from.

    Attributes:
        ask: how a judge is asked.
        question: that is asked, in the frame of the model that assesses.
        folds: half of each task, by its words.
        held_out: lessons that chose the checkpoint of each judge, by its name.
        open_journal: opens that of what they said, and closes it: a cell may be executed again.
    """

    ask: Ask
    question: Question
    folds: Mapping[str, int]
    held_out: Mapping[str, list[Lesson]]
    open_journal: Callable[[], AbstractContextManager[Journal]]

    def odds(self, pairs: Sequence[Pair]) -> list[float]:
        """Return the log odds that each response is right, less those that its judge gives on the average.

        The average is over what chose the judge's checkpoint, right and wrong in equal numbers: so the scores of two judges
        have one scale, also where one of them says Yes more readily.
        """
        found: dict[int, float] = {}
        for fold in (0, 1):
            places = [i for i, pair in enumerate(pairs) if self.folds[user_words(pair.task)] == 1 - fold]
            values = self._odds(judge_name(fold), [pairs[i] for i in places])
            found |= {i: round(value - self._centre(fold), 4) for i, value in zip(places, values, strict=True)}
        return [found[i] for i in range(len(pairs))]

    def _odds(self, name: str, pairs: Sequence[Pair]) -> list[float]:
        logs = self.ask(name, [self.question.about(pair) for pair in pairs]) if pairs else []
        return [SCORE(each) for each in logs]

    def _centre(self, fold: int) -> float:
        name = judge_name(fold)
        values = self._known(f"centre/{name}", name, [lesson.pair for lesson in self.held_out[name]])
        return math.fsum(values) / len(values)

    def _known(self, key: str, name: str, pairs: list[Pair]) -> list[float]:
        """Ask a judge once, and take what it said from the journal then."""
        with self.open_journal() as journal:
            if key not in journal.rows:
                parts = [pairs[first : first + CHUNK] for first in range(0, len(pairs), CHUNK)]
                journal.append([{"id": key, "odds": [value for part in parts for value in self._odds(name, part)]}])
            return journal.rows[key]["odds"]

    def test(self, tested: Trial) -> dict[str, list[float]]:
        """Ask every side about a kind; what was said before is in the journal.

        Returns:
            By side the log odds of the right pairs, then of the wrong ones.
        """
        names = {UNTRAINED: "", WITHOUT: judge_name(0, tested.kind), WITH: judge_name(0)}
        pairs = [lesson.pair for lesson in (*tested.right, *tested.wrong)]
        return {side: self._known(f"test/{tested.kind}/{side}", name, pairs) for side, name in names.items()}


@dataclass(frozen=True)
class Generalisation:
    """How well each side tells right from wrong by kinds, on tasks that no judge asked has learned from."""

    found: list[tuple[str, Reliability]]  # side and what it reaches
    rows: list[dict[str, Any]]  # each pair with what every side said of it

    def document(self) -> dict[str, Any]:
        """Return it by kind and side; what is undefined is null."""
        document: dict[str, dict[str, Any]] = {}
        for side, one in self.found:
            values = {name: value for name, value in asdict(one).items() if name not in ("column", "corruption")}
            plain = {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in values.items()}
            plain = {name: round(value, 4) if isinstance(value, float) else value for name, value in plain.items()}
            document.setdefault(one.corruption, {})[side] = plain
        return document

    def table(self) -> Table:
        """Show it, a line a kind."""
        return kinds_table(self.document())


def kinds_table(document: dict[str, dict[str, Any]]) -> Table:
    """Show what is recorded by kind and side, as under "auroc" of `learned.json`, a line a kind."""
    rows = []
    for kind, sides in document.items():
        said = {SIDES[side]: trust({**one, "value": one["auroc"]}) for side, one in sides.items()}
        rows.append({"wrong responses": kind.replace("_", " "), "pairs": sides[UNTRAINED]["true_pairs"], **said})
    caption = "AUROC with 95 % bootstrap interval over pairs, 0.5 is chance; tasks that no judge has learned from"
    return Table(rows or [{"judge": "no scorer learns here"}], caption)


def check_kinds(judges: LearnedJudges, tested: Sequence[Trial], resamples: int, seed: int) -> Generalisation:
    """Ask the untrained judge and the trained ones about every kind, and compare.

    Args:
        tested: kinds, each with pairs of the half of tasks that the judges asked have not learned from.
        resamples: of the bootstrap over pairs, right and wrong together.
        seed: of the bootstrap.
    """
    found, rows = [], []
    for each in tested:
        said, number = judges.test(each), len(each.right)
        for side, values in said.items():
            right, wrong = (
                [Scores(str(i), {side: v}) for i, v in enumerate(part)] for part in (values[:number], values[number:])
            )
            found.append((side, reliability(right, wrong, side, resamples, seed, each.kind)))
        for i, lesson in enumerate((*each.right, *each.wrong)):
            odds = {side: values[i] for side, values in said.items()}
            rows.append({"id": lesson.pair.id, "tested": each.kind, "right": lesson.right, "odds": odds})
    return Generalisation(found, rows)
