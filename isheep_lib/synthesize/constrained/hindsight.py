"""Hindsight: what a free answer happens to meet is put into its instruction (HIR, arXiv 2302.05206; CRAB, arXiv 2410.24175).

    relabelled(writing.seed_of, rows, params)     # rows with "constraints", "free_instruction" and "contrast"

What most answers meet anyway teaches nothing, and to name it teaches that it can be ignored. So a family with arguments, a
fact of an answer, is used where at most `constraint_max_share` of this run's free answers meet it, and drawn by its
surprisal, -log2 of that share: the rare first. Contrast is what the other answers to the same task give: those that do not
meet what was put into the instruction. With `constraint_contrast: own` each answer gets facts of its own, so that one task
stands with several constraints, each answered otherwise; with `shared` all answers to a task get one instruction, which at
least one of them keeps and one breaks: kept and broken make a pair for preferences. Answers that the token limit ended are
neither counted nor a source. Covers rows. Does not cover checks (`constraints.checks`).
"""

import math
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from isheep_lib.constraints.draw import Constraint, asked, is_met, phrased, rows_of
from isheep_lib.constraints.family import FAMILIES, Family, compatible, selected
from isheep_lib.prompting.thinking import answer_part
from isheep_lib.record.rows import canonical_json
from isheep_lib.synthesize.constrained.params import Constraining

Row = dict[str, Any]
Fact = tuple[str, str]  # a family's name, and its arguments as canonical JSON
Facts = dict[str, dict[Fact, Mapping[str, int | str]]]  # by row, with the arguments


def relabelled(seed_of: Callable[[str], int], rows: Sequence[Row], params: Constraining) -> list[Row]:
    """Put into each instruction what its answer meets and few others do; rows without such a fact stay free."""
    families = selected(params.constraint_families)
    met = {row["id"]: facts_of(answer_part(row["output"]), families) for row in rows if row["finish"] != "length"}
    shares = shares_of(met)
    rare = {fact for fact, share in shares.items() if share <= params.constraint_max_share}
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.get("task", row["id"]), []).append(row)
    made: dict[str, Row] = {}
    for task, group in groups.items():
        sources = [[row] for row in group] if params.constraint_contrast == "own" else [group]
        for source in sources:
            seed = seed_of(f"{task if len(source) > 1 else source[0]['id']}/hindsight")
            found = _found(met, source, group, (rare, shares), (params.constraints_per_task, seed))
            made |= {row["id"]: row for row in _labelled(source, group, found, shares, seed)}
    return [made.get(row["id"], row) for row in rows]


def facts_of(answer: str, families: Sequence[Family]) -> dict[Fact, Mapping[str, int | str]]:
    """List what an answer meets of families, with arguments."""
    return {
        (family.name, canonical_json(arguments)): arguments
        for family in families
        for arguments in family.choices()
        if family.is_kept(answer, arguments)
    }


def shares_of(met: Facts) -> dict[Fact, float]:
    """Return which share of the answers meets each fact that any of them meets."""
    counts = Counter(fact for facts in met.values() for fact in facts)
    return {fact: number / len(met) for fact, number in counts.items()}


def _found(
    met: Facts,
    source: Sequence[Row],
    group: Sequence[Row],
    known: tuple[set[Fact], Mapping[Fact, float]],
    wanted: tuple[int, int],
) -> list[Constraint]:
    """Draw facts that one answer of the source meets together; of several answers to a task not all may meet one."""
    (rare, shares), (most, seed) = known, wanted
    randomness = random.Random(seed)  # noqa: S311 - reproducible, not secret
    others = [met[row["id"]] for row in group if row["id"] in met]
    holders = [met[row["id"]] for row in source if row["id"] in met]
    found: list[Constraint] = []
    for _ in range(randomness.randint(1, most)):
        facts = {fact for held in holders for fact in held if fact in rare}
        facts = {fact for fact in facts if len(group) == 1 or not all(fact in held for held in others)}
        rarest = _rarest(facts, shares, [constraint.family for constraint in found], randomness)
        if not rarest:
            break
        surprisal = [-math.log2(shares[fact]) for fact in rarest]
        fact = randomness.choices(rarest, surprisal)[0] if sum(surprisal) else randomness.choice(rarest)
        holders = [held for held in holders if fact in held]
        found.append(phrased(FAMILIES[fact[0]], holders[0][fact], randomness))
    return found


def _rarest(facts: set[Fact], shares: Mapping[Fact, float], chosen: Sequence[str], randomness: random.Random) -> list[Fact]:
    """Return of each family that goes with those chosen the fact that fewest answers meet, one of equals at random."""
    named = [family for family in FAMILIES.values() if any(name == family.name for name, _ in facts)]
    by_family = {family.name: sorted(fact for fact in facts if fact[0] == family.name) for family in compatible(named, chosen)}
    lowest = {name: min(shares[fact] for fact in found) for name, found in by_family.items()}
    return [randomness.choice([fact for fact in found if shares[fact] == lowest[name]]) for name, found in by_family.items()]


def _labelled(
    source: Sequence[Row], group: Sequence[Row], found: Sequence[Constraint], shares: Mapping[Fact, float], seed: int
) -> list[Row]:
    """Return the rows of a source with an instruction that holds what was found, and who of the task's answers breaks it."""
    if not found:
        return []
    checked = {row["id"]: _rows(found, answer_part(row["output"]), shares) for row in group}
    contrast = [row["id"] for row in group if not is_met({"constraints": checked[row["id"]]})]
    instruction = asked(source[0]["instruction"], found, random.Random(seed))  # noqa: S311 - reproducible, not secret
    return [
        {
            **row,
            "instruction": instruction,
            "free_instruction": row["instruction"],
            "constraints": checked[row["id"]],
            "contrast": [id_ for id_ in contrast if id_ != row["id"]],
        }
        for row in source
    ]


def _rows(found: Sequence[Constraint], answer: str, shares: Mapping[Fact, float]) -> list[Row]:
    """Return what a row keeps of constraints, each with the share of free answers that meet it."""
    rows = rows_of(found, answer)
    return [row | {"share": round(shares[row["family"], canonical_json(row["arguments"])], 4)} for row in rows]
