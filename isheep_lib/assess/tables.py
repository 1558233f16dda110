"""What the assessment notebook shows: one pair read by every scorer, the ranking, and replies that could not be read."""

from typing import Any

from isheep_lib.analysis.words import copy_share
from isheep_lib.assess.params import Assess
from isheep_lib.assess.reliability_check import example_prompt
from isheep_lib.assess.scoring import Assessment, Scores, odds, too_long
from isheep_lib.display.table import Table, clip
from isheep_lib.engines.generate import ask
from isheep_lib.prompting.chat import user_words
from isheep_lib.prompting.score_parsing import LABELS
from isheep_lib.record.journal import WAITS
from isheep_lib.record.rows import Pair
from isheep_lib.scorers.likelihoods import likelihoods
from isheep_lib.scorers.scorer import Choice, Likelihood, Odds, Written, criteria
from isheep_lib.scorers.table import SCORERS, scorer, scorer_of

SAME = 6e-5  # the batch keeps four to five digits


def example_table(assessment: Assessment, pair: Pair) -> Table:
    """Read one pair with every scorer of this stage, on the first criterion of those that ask."""
    params = assessment.params
    chosen = [scorer(name) for name in dict.fromkeys([*params.scorers, *params.checked_scorers])]
    if not chosen or assessment.engine is None:
        return Table([{"scorer": "none"}], "nothing is assessed")
    if too_long(assessment, [pair], chosen):
        return Table([{"pair": pair.id}], "not read: it leaves no room for a score in the model's context")
    (engine, frame), rows, prompt = assessment.opened, [], example_prompt(assessment, pair)
    for each in chosen:
        if isinstance(each, Choice):
            value, mass = each.score(engine.choices([prompt], LABELS)[0])
            rows.append({"score": each.name, "value": value, "read from": f"{mass:.1%} of the probability is on 1 to 10"})
        if isinstance(each, Odds):
            (value,) = odds(assessment, [pair], each)
            who = "a judge that learned from other tasks" if each.learns else "the model"
            rows.append({"score": each.name, "value": value, "read from": f"Yes against No, said by {who}"})
    for each in SCORERS.values():
        if isinstance(each, Written) and each in chosen:
            reply = ask(engine, assessment.request(each.name, prompt, each, 0)).text
            rows.append({"score": each.name, "value": str(each.score(reply)[0]), "read from": reply})
    (values,) = likelihoods(engine, frame, [pair], [each for each in chosen if isinstance(each, Likelihood)])
    rows += [{"score": name, "value": value, "read from": scorer_of(name).unit} for name, value in values.items()]
    return Table(rows)


def alone_and_together(alone: Table, together: Scores, params: Assess) -> Table:
    """Hold the example's scores against those of the same pair in the batch, and say why where they are not the same.

    Args:
        alone: of `example_table`.
        together: the same pair's row of the batch.
        params: the section `assess`.
    """
    rows = []
    for row in (row for row in alone.rows if "value" in row):
        names = (row["score"], *(f"{row['score']}_{criterion}" for criterion in criteria(params.level)[:1]))
        column = next((name for name in names if name in together.scores or name in together.unread), "")
        value = together.scores.get(column)
        shown = {"score": column or row["score"], "alone": row["value"], "in the batch": "" if value is None else value}
        rows.append(shown | {"in words": _same(row, value, column, together)})
    return Table(rows or [{"score": "none"}], "The same pair alone and in the batch")


def _same(row: dict[str, Any], value: float | None, column: str, together: Scores) -> str:
    if not column:
        return "not run on all pairs, only in the check"
    if value is None:
        return f"not read in the batch: {together.unread[column].replace('_', ' ')}"
    alone = None if row["value"] in (None, "None") else float(row["value"])
    if alone is not None and abs(alone - value) <= SAME:
        return "the same"
    if isinstance(scorer_of(column), Written):
        return "written again: the batch asks with a seed of its own"
    return "not the same: among longer texts a row is padded, and sums in this number format round in another order"


def ranked_table(pairs: list[Pair], scores: list[Scores], params: Assess, number: int) -> Table:
    """Show the pairs with the best and the worst score of the first scorer's first column, with their copy share."""
    names = params.columns()
    if not names:
        return Table([{"scorer": "none"}], "nothing is assessed")
    column, sign = names[0], 1 if scorer_of(names[0]).lower_is_better else -1
    both = [(row.scores[column], pair) for row, pair in zip(scores, pairs, strict=True) if column in row.scores]
    both.sort(key=lambda item: sign * item[0])
    chosen = [("best", item) for item in both[:number]] + [("worst", item) for item in both[number:][-number:]]
    rows = []
    for side, (value, pair) in chosen:
        task = user_words(pair.task)
        shown = {"task": clip(task), "response": clip(pair.output), "copied": f"{copy_share(pair.output, task):.0%}"}
        rows.append({"side": side, column: f"{value:.2f}", **shown})
    return Table(rows)


def unread_table(scores: list[Scores], number: int = 5) -> Table:
    """Show some scores that could not be read, with the text of the last try."""
    found = {
        (row.id, column): {"id": row.id, "score": column, "reason": reason, "tries": len(raw), "raw text": (raw or [""])[-1]}
        for row in scores
        for column, reason in row.unread.items()
        for raw in [row.raw.get(column, [])]
        if reason != WAITS
    }
    rows = [{**row, "raw text": clip(row["raw text"])} for row in found.values()]
    return Table(rows[:number] or [{"scores": "all could be read"}], f"{len(rows)} score(s) could not be read")
