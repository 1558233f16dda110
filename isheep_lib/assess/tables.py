"""What the assessment notebook shows: one pair read by every scorer, the ranking, and replies that could not be read."""

from typing import Any

from isheep_lib.analysis.words import copy_share
from isheep_lib.assess.reliability_check import example_prompt
from isheep_lib.assess.scoring import Scores, likelihoods, task_words, written_request
from isheep_lib.display.table import Table, clip
from isheep_lib.engines.generate import ask
from isheep_lib.engines.protocol import Engine
from isheep_lib.prompting.chat import Frame
from isheep_lib.prompting.score_parsing import LABELS, expectation, parse_score
from isheep_lib.record.journal import WAITS
from isheep_lib.record.score_columns import LOWER_IS_BETTER, PROMPTED, WRITTEN, columns, scorer_of, unit


def example_table(engine: Engine | None, frame: Frame | None, pair: dict[str, Any], params: Any) -> Table:
    """Read one pair with every scorer of this stage, on the first criterion of those that ask."""
    scorers = list(dict.fromkeys([*params.scorers, *params.checked_scorers]))
    if not scorers or engine is None or frame is None:
        return Table([{"scorer": "none"}], "nothing is assessed")
    rows, prompt = [], example_prompt(frame, pair, params)
    if "expected" in scorers:
        value, mass = expectation(engine.choices([prompt], LABELS)[0])
        rows.append({"score": "expected", "value": value, "read from": f"{mass:.1%} of the probability is on 1 to 10"})
    for name in (name for name in WRITTEN if name in scorers):
        reply = ask(engine, written_request(name, prompt, frame, params, name, 0)).text
        rows.append({"score": name, "value": str(parse_score(reply)[0]), "read from": reply})
    (values,) = likelihoods(engine, frame, [pair], [name for name in scorers if name not in PROMPTED])
    rows += [{"score": name, "value": value, "read from": unit(name)} for name, value in values.items()]
    return Table(rows)


def ranked_table(pairs: list[dict[str, Any]], scores: list[Scores], params: Any, number: int) -> Table:
    """Show the pairs with the best and the worst score of the first scorer's first column, with their copy share."""
    names = [column for scorer in params.scorers for column in columns(scorer, params.level)]
    if not names:
        return Table([{"scorer": "none"}], "nothing is assessed")
    column, sign = names[0], 1 if scorer_of(names[0]) in LOWER_IS_BETTER else -1
    both = [(row.scores[column], pair) for row, pair in zip(scores, pairs, strict=True) if column in row.scores]
    both.sort(key=lambda item: sign * item[0])
    chosen = [("best", item) for item in both[:number]] + [("worst", item) for item in both[number:][-number:]]
    rows = []
    for side, (value, pair) in chosen:
        task = task_words(pair)
        shown = {"task": clip(task), "response": clip(pair["output"]), "copied": f"{copy_share(pair['output'], task):.0%}"}
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
