"""IFD and its reverse: how much an instruction tells of its answer, and how much an answer tells of its instruction.

    ratio(1.2, 1.5)     # exp(1.2 - 1.5): below 1, what stands before the text helps to foresee it

IFD = ppl(answer | instruction) / ppl(answer); reversed IFD = ppl(instruction | answer, asked to guess it) / ppl(instruction)
(Selective Reflection-Tuning, arXiv 2402.10110, Section 3). Covers the model's losses and the ratios. Does not cover what they
decide (each method).
"""

import math
from collections.abc import Callable, Mapping

from isheep_lib.engines.generate import CHUNK, overlong
from isheep_lib.engines.protocol import SPARE, fill_journal
from isheep_lib.prompting.chat import user_words
from isheep_lib.record.journal import Journal
from isheep_lib.record.rows import Pair
from isheep_lib.synthesize.writing import Writing

Texts = tuple[str, str]  # what stands before, and what is foreseen


def ratio(after: float, alone: float) -> float:
    """Return the ratio of two perplexities from their losses in nats per token, of five digits as in every score."""
    return round(math.exp(after - alone), 5)


def ifd(writing: Writing, journal: Journal, pairs: Mapping[str, Pair]) -> dict[str, float]:
    """Return the instruction-following difficulty of pairs as a ratio of perplexities; without those beyond the context."""

    def of(pair: Pair) -> tuple[Texts, Texts]:
        frame = writing.frame
        answer = frame.literal(pair.output) + frame.end
        return (frame.prompt(user_words(pair)), answer), (frame.prompt(""), answer)

    return _ratios(writing, journal, pairs, of, "difficulty")


def reversed_ifd(writing: Writing, journal: Journal, pairs: Mapping[str, Pair]) -> dict[str, float]:
    """Return the reversed difficulty of pairs as a ratio of perplexities; without those beyond the context."""

    def of(pair: Pair) -> tuple[Texts, Texts]:
        frame = writing.frame
        asked = frame.literal(user_words(pair)) + frame.end
        return (frame.prompt(writing.prompts.render("reflection-guess.txt", answer=pair.output)), asked), (
            frame.prompt(""),
            asked,
        )

    return _ratios(writing, journal, pairs, of, "reversed difficulty")


def _ratios(
    writing: Writing, journal: Journal, pairs: Mapping[str, Pair], of: Callable[[Pair], tuple[Texts, Texts]], label: str
) -> dict[str, float]:
    texts = {i: of(pair) for i, pair in pairs.items()}
    long = overlong(writing.engine, {i: "".join(after) for i, (after, _) in texts.items()}, SPARE)
    names = [i for i in texts if i not in long]
    chunks = [names[start : start + CHUNK] for start in range(0, len(names), CHUNK)]

    def ask(chunk: list[str]) -> list[dict]:
        found = writing.engine.logprobs([text for i in chunk for text in texts[i]])
        losses = [-total / max(1, number) for total, number in found]
        ratios = [ratio(after, alone) for after, alone in zip(losses[::2], losses[1::2], strict=True)]
        return [{"id": f"{label}/{chunk[0]}", "ratios": ratios}]

    fill_journal(journal, chunks, lambda c: {f"{label}/{c[0]}": len(c)}, lambda lacking, _: map(ask, lacking), label)
    rows = [journal.rows[f"{label}/{chunk[0]}"]["ratios"] for chunk in chunks]
    return {i: value for chunk, values in zip(chunks, rows, strict=True) for i, value in zip(chunk, values, strict=True)}
