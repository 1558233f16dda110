"""Pairs of known order, made of a run's own: a response as it is, and the same task with one that is wrong in a known way.

    plan = courses(pairs, ["shuffled", "looped"], seed_of)
    plan.lessons["judge-0"]      # what a judge learns from: right and wrong in equal numbers, of one half of the tasks

A judge that learned from one half of the tasks is asked about the other half alone, so no score rests on a response, or on
another response to the same task, that its judge has seen. Covers the wrong responses and the split. Does not cover
learning (`iterate.judge_training`) or how well it went (`assess.judges`).
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from isheep_lib.assess.reliability_check import shuffled, truncated, wrong_task
from isheep_lib.errors import YieldError
from isheep_lib.prompting.chat import user_words
from isheep_lib.record.funnel import require
from isheep_lib.record.rows import Pair

LEAST = 4  # in each half; below it an AUROC is no evidence
NONE, CUT, EMPTY, ANOTHER = "no_wrong_response", "cut_off", "empty_response", "another_response_to_the_task"


@dataclass(frozen=True)
class Lesson:
    """A pair whose order is known: right, or wrong by a kind; `of` is the id of the pair that it was made from."""

    pair: Pair
    of: str
    kind: str = ""  # "" where it is right

    @property
    def right(self) -> bool:
        """Whether it is as the model wrote it."""
        return not self.kind


@dataclass(frozen=True)
class Trial:
    """One kind: lessons of the half of the tasks that a judge has not learned from, right and wrong in the same order."""

    kind: str
    right: list[Lesson]
    wrong: list[Lesson]


@dataclass(frozen=True)
class Courses:
    """What all judges of a run learn from and are tested by.

    Attributes:
        folds: half of each task, 0 or 1, by its words.
        lessons: by the judge's name.
        tested: what judges of half 0 are tested by, kind by kind, all of half 1.
        fates: why a pair of the run gives no lesson, by id.
        absent: kinds of which a half of the tasks has too few wrong responses.
    """

    folds: dict[str, int]
    lessons: dict[str, list[Lesson]]
    tested: list[Trial]
    fates: dict[str, str]
    absent: list[str]


def judge_name(fold: int, without: str = "") -> str:
    """Name the judge that learned from a half of the tasks, perhaps without one kind."""
    return f"judge-{fold}" + (f"-without-{without}" if without else "")


def whole(pairs: Sequence[Pair]) -> tuple[list[Pair], dict[str, str]]:
    """Choose one response of every task that can stand for a right one, and say of all others by id why they do not.

    A response that the token limit ended is one that is cut, so it is no example of a whole one. Where constraints are checked,
    one that keeps all of them goes first.
    """
    found: dict[str, Pair] = {}
    reasons = {pair.id: EMPTY for pair in pairs if not pair.output.strip()}
    reasons |= {pair.id: CUT for pair in pairs if pair.finish == "length"}
    for pair in (pair for pair in pairs if pair.id not in reasons):
        best = found.setdefault(user_words(pair.task), pair)
        if best is not pair and _broken(best) and not _broken(pair):
            found[user_words(pair.task)] = pair
    chosen = {pair.id for pair in found.values()}
    reasons |= {pair.id: ANOTHER for pair in pairs if pair.id not in chosen and pair.id not in reasons}
    return [pair for pair in pairs if pair.id in chosen], reasons


def _broken(pair: Pair) -> bool:
    """Tell whether a pair breaks a constraint that its task holds."""
    return any(not each["kept"] for each in pair.lineage.get("constraints", ()))


def folds(pairs: Sequence[Pair], seed: int) -> dict[str, int]:
    """Divide tasks into two halves by chance: 0 or 1 by the words of the task, so that all its responses go together."""
    tasks = list(dict.fromkeys(user_words(pair.task) for pair in pairs))
    random.Random(seed).shuffle(tasks)  # noqa: S311 - reproducible, not secret
    return {task: place % 2 for place, task in enumerate(tasks)}


def looped(pairs: Sequence[Pair]) -> list[str]:
    """Return the first half of every response's words and then the same again, as a model that has begun to loop."""
    return [f"{half} {half}" for half in truncated(list(pairs))]


def constraint_broken(pairs: Sequence[Pair], others: Sequence[Pair]) -> list[str]:
    """Return, for every task whose response keeps its constraints, another response to it that breaks one; "" where none is."""
    broken: dict[str, str] = {}
    for other in others:
        if _broken(other) and other.output.strip():
            broken.setdefault(user_words(other.task), other.output)
    return ["" if _broken(pair) else broken.get(user_words(pair.task), "") for pair in pairs]


def wrong_responses(kind: str, pairs: list[Pair], others: Sequence[Pair], seed: int) -> list[str]:
    """Return a wrong response of a kind for each pair, "" where there is none.

    Args:
        kind: as `assess.learned_kinds` names it.
        pairs: one of each task; shuffled responses and those of the wrong task are theirs.
        others: all pairs of the run, for other responses to the same tasks.
        seed: of what is drawn.
    """
    makers: dict[str, Callable[[], list[str]]] = {
        "shuffled": lambda: shuffled(pairs, seed),
        "truncated": lambda: truncated(pairs),
        "wrong_task": lambda: wrong_task(pairs, pairs),
        "looped": lambda: looped(pairs),
        "constraint_broken": lambda: constraint_broken(pairs, others),
    }
    found = makers[kind]()
    return ["" if text.strip() == pair.output.strip() else text for pair, text in zip(pairs, found, strict=True)]


def wrong_lessons(kind: str, pairs: list[Pair], others: Sequence[Pair], seed: int) -> list[Lesson]:
    """Return the wrong lessons of a kind, of those pairs that have one."""
    texts = wrong_responses(kind, pairs, others, seed)
    return [Lesson(_with(pair, kind, text), pair.id, kind) for pair, text in zip(pairs, texts, strict=True) if text]


def _with(pair: Pair, kind: str, text: str) -> Pair:
    return replace(pair, id=f"{pair.id}/{kind}", output=text)


def lessons(pairs: list[Pair], kinds: Sequence[str], others: Sequence[Pair], seed: int) -> tuple[list[Lesson], dict[str, str]]:
    """Make of every pair a right lesson and a wrong one, the kinds in turn; say by id which pairs gave none.

    A pair that has no wrong response of the kind whose turn it is gets one of the next.
    """
    by_kind = {kind: {lesson.of: lesson for lesson in wrong_lessons(kind, pairs, others, seed)} for kind in kinds}
    found, reasons = [], {}
    for place, pair in enumerate(pairs):
        turn = [*kinds[place % len(kinds) :], *kinds[: place % len(kinds)]]
        wrong = next((by_kind[kind][pair.id] for kind in turn if pair.id in by_kind[kind]), None)
        if wrong is None:
            reasons[pair.id] = NONE
        else:
            found += [Lesson(pair, pair.id), wrong]
    return found, reasons


def courses(pairs: list[Pair], kinds: Sequence[str], seed_of: Callable[[str], int]) -> Courses:
    """Plan two judges that learn from all kinds, one for each half of the tasks, and one without each kind, of half 0.

    Raises:
        YieldError: too few tasks have a whole response, or too few kinds have wrong ones.
    """
    chosen, fates = whole(pairs)
    halves_of = folds(chosen, seed_of("judges/folds"))
    halves = [[pair for pair in chosen if halves_of[user_words(pair.task)] == fold] for fold in (0, 1)]
    short = [{"reason": fates[pair.id], "instruction": pair.instruction} for pair in pairs if pair.id in fates]
    do = "raise synthesize.response_tokens, so that responses end, or synthesize.instructions; or take the scorer learned out"
    require(min(map(len, halves)), LEAST, "tasks with a whole response in each half", short, do)
    seed = seed_of("judges/wrong")
    wrong = {kind: [wrong_lessons(kind, half, pairs, seed) for half in halves] for kind in kinds}
    there = [kind for kind in kinds if min(map(len, wrong[kind])) >= LEAST]
    if len(there) < 2:
        counts = ", ".join(f"{kind} {' and '.join(str(len(half)) for half in wrong[kind])}" for kind in kinds)
        raise YieldError(
            f"Of {len(there)} kind(s) there are wrong responses enough, 2 are needed; in the halves: {counts}",
            where="assess.learned_kinds",
            allowed=f"at least {LEAST} in each half of the tasks",
            do="name other kinds; constraint_broken needs several answers to tasks whose constraints are checked",
        )
    found = {judge_name(fold): lessons(half, there, pairs, seed) for fold, half in enumerate(halves)}
    found |= {judge_name(0, kind): lessons(halves[0], [k for k in there if k != kind], pairs, seed) for kind in there}
    rights = {pair.id: Lesson(pair, pair.id) for pair in halves[1]}
    tested = [Trial(kind, [rights[lesson.of] for lesson in wrong[kind][1]], wrong[kind][1]) for kind in there]
    lost = {id_: reason for name in (judge_name(0), judge_name(1)) for id_, reason in found[name][1].items()}
    every = halves_of | {user_words(pair.task): 0 for pair in pairs if user_words(pair.task) not in halves_of}
    absent = [kind for kind in kinds if kind not in there]
    return Courses(every, {name: made for name, (made, _) in found.items()}, tested, fates | lost, absent)
