"""What a judge learns: after the question whether a response is right, the one word Yes or No.

    params = recipe(shared, epochs=2, rate=2e-4, tasks=24)
    data = prepare(graded, frame, tokenizer, params, seed)       # then lay_out and fine_tune, as for any training

Covers rows and recipe. Does not cover which responses are right or wrong (`assess.known_order`).
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from isheep_lib.errors import YieldError
from isheep_lib.prompting.special_tokens import encode, encode_rest
from isheep_lib.record.funnel import funnel
from isheep_lib.record.rows import Pair
from isheep_lib.scorers.verdict import Question
from isheep_lib.train.dataset import HELD_OUT, LEARNED, LEFT_OVER, Data, TrainRow
from isheep_lib.train.params import Train, TrainParams

LEAST = 3  # tasks: one is held out
LONG = "beyond_max_length"
DEVELOPMENT = 0.2  # share of the tasks whose loss chooses the checkpoint; the pairs that are judged are others still
RECIPE = {
    "method": "lora",
    "lora_rank": 8,
    "lora_alpha": 16,
    "lora_dropout": 0.05,
    "target_modules": ["all-linear"],
    "warmup_steps": 2,
    "train_batch": 8,
    "micro_batch": 2,
    "max_length": 1024,
    "held_out": DEVELOPMENT,
    "save_steps": 4,
}


@dataclass(frozen=True)
class Graded:
    """A pair and whether its response is right; pairs of one task are learned together or held out together."""

    pair: Pair
    task: str
    right: bool


def recipe(shared: Mapping[str, Any], epochs: int, rate: float, tasks: int) -> TrainParams:
    """Return the parameters of a judge's training.

    Args:
        shared: of the stage that trains it, or of the run: its place, model and numerics.
        epochs: passes over the rows.
        rate: peak of the learning rate.
        tasks: learned from or held out at most, each with a right and a wrong response.
    """
    place = {name: shared[name] for name in TrainParams.model_fields if name in shared and name not in Train.model_fields}
    return TrainParams(**place, **RECIPE, numerics=shared["numerics"], epochs=epochs, learning_rate=rate, max_rows=2 * tasks)


def row_of(graded: Graded, question: Question, tokenizer: Any) -> TrainRow:
    """Turn a question into tokens, as the judge is asked later, with the answer as all that is learned."""
    prompt = encode(tokenizer, question.about(graded.pair))
    answer = encode_rest(tokenizer, question.answers[0 if graded.right else 1])
    return TrainRow(graded.pair.id, prompt + answer, len(prompt))


def prepare(graded: Sequence[Graded], question: Question, tokenizer: Any, params: TrainParams, seed: int) -> Data:
    """Encode, leave out what is too long, draw at most `max_rows` rows by seed and hold a share of their tasks out.

    A task of which a row is too long is left out whole, so that right and wrong stay in equal numbers.

    Raises:
        YieldError: fewer than `LEAST` tasks are left.
    """
    tasks = params.max_rows // 2
    rows = {each.pair.id: row_of(each, question, tokenizer) for each in graded}
    long = {each.task for each in graded if len(rows[each.pair.id].input_ids) > params.max_length}
    order = list(dict.fromkeys(each.task for each in graded if each.task not in long))
    random.Random(seed).shuffle(order)  # noqa: S311 - reproducible, not secret
    chosen = order[:tasks]
    if len(chosen) < LEAST:
        raise YieldError(
            f"A judge can learn from {len(chosen)} task(s); {len(long)} are too long",
            where="assess, scorer learned",
            allowed=f"at least {LEAST}, whose question and answer have at most {params.max_length} tokens",
            do="lower synthesize.response_tokens, synthesize more, or take the scorer learned out",
        )
    held = set(chosen[: max(1, round(params.held_out * len(chosen)))])
    fates = dict.fromkeys(long, LONG) | dict.fromkeys(order[tasks:], LEFT_OVER)
    fates |= {task: HELD_OUT if task in held else LEARNED for task in chosen}
    train, held_out = ([rows[each.pair.id] for each in graded if fates[each.task] == fate] for fate in (LEARNED, HELD_OUT))
    dropped = [{"reason": fates[each.task]} for each in graded if fates[each.task] not in (LEARNED, HELD_OUT)]
    told = [_fate(rows[each.pair.id], fates[each.task]) for each in graded]
    return Data(train, held_out, funnel(len(graded), dropped), told)


def _fate(row: TrainRow, fate: str) -> dict[str, Any]:
    return {"id": row.id, "fate": fate, "tokens": len(row.input_ids)}
