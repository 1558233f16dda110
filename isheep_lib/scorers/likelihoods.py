"""The losses that scorers read, all of a chunk of pairs in one pass of the model.

"task" is the response after its task and "alone" the response in the same frame without words, so that both see the same
kind of text; "output" and "pair" are the bare texts of the response, and of task and response together.
"""

from collections.abc import Callable, Sequence

from isheep_lib.engines.protocol import Engine
from isheep_lib.prompting.chat import Frame, user_words
from isheep_lib.record.rows import Pair
from isheep_lib.scorers.scorer import Likelihood

# Context and continuation by name; a group's texts stand side by side for each pair.
TEXTS: tuple[dict[str, Callable[[Frame, Pair], tuple[str, str]]], ...] = (
    {
        "task": lambda frame, pair: (frame.prompt(user_words(pair.task)), frame.literal(pair.output) + frame.end),
        "alone": lambda frame, pair: (frame.prompt(""), frame.literal(pair.output) + frame.end),
    },
    {
        "output": lambda frame, pair: ("", frame.literal(pair.output) or frame.end),
        "pair": lambda frame, pair: ("", frame.literal(f"{user_words(pair.task)}\n\n{pair.output}")),
    },
)


def likelihoods(
    engine: Engine, frame: Frame, pairs: Sequence[Pair], scorers: Sequence[Likelihood]
) -> list[dict[str, float | None]]:
    """Compute the columns of scorers that only read, for each pair; None where there is nothing to read."""
    needs = {name for scorer in scorers for name in scorer.needs}
    wanted = [
        (i, name, text(frame, pair))
        for group in TEXTS
        for i, pair in enumerate(pairs)
        for name, text in group.items()
        if name in needs
    ]
    found = engine.logprobs([text for _, _, text in wanted]) if wanted else []
    losses: list[dict[str, float]] = [{} for _ in pairs]
    for (i, name, _), (total, number) in zip(wanted, found, strict=True):
        losses[i][name] = -total / max(1, number)
    return [
        {column: value for scorer in scorers for column, value in scorer.score(row, pair).items()}
        for row, pair in zip(losses, pairs, strict=True)
    ]
