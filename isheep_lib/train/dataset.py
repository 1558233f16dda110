"""What is learned: answers as tokens with a label for each, the split, and what became of every row of the filter.

    rows = read(stage.inputs("filter", params.learns_from), params)
    data = prepare(rows, frame, tokenizer, params, seed)   # data.train, data.held_out, data.counts

Loss is on the response and the token that ends it, on nothing else. The labels never look at the pad token, which is
the end token in some tokenizers and would then never be learned. Of a pair of answers both stand behind the same prompt.
Covers tokens, labels, truncation, the split. Does not cover which pairs (`filter`), batches (`train.batch_plan`) or training.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from isheep_lib.errors import YieldError
from isheep_lib.prompting.chat import Frame, user_words
from isheep_lib.prompting.special_tokens import encode, encode_rest
from isheep_lib.record.funnel import funnel
from isheep_lib.record.rows import Pair
from isheep_lib.train.params import Train

MASKED = -100  # the label of a token that is read and not learned, as torch's cross entropy has it
LEARNED, HELD_OUT, LEFT_OVER = "learned", "held_out", "beyond_max_rows"
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class TrainRow:
    """Tokens of one pair; all after the first `read` are learned."""

    id: str  # of the pair
    input_ids: list[int]  # the framed prompt, the response, and what ends it, at most `max_length` tokens
    read: int  # tokens of the prompt
    cut: bool = False  # the limit has shortened the response, so its end is not learned
    empty: bool = False  # the response has no token of its own, or white space alone

    @property
    def answers(self) -> tuple["TrainRow", ...]:
        """Itself: what of it stands in a forward pass."""
        return (self,)

    @property
    def labels(self) -> list[int]:
        """The token itself where it is learned, MASKED elsewhere."""
        return [MASKED] * min(self.read, len(self.input_ids)) + self.input_ids[self.read :]

    @property
    def learned(self) -> int:
        """Number of tokens with loss."""
        return max(0, len(self.input_ids) - self.read)


@dataclass(frozen=True)
class PairRow:
    """Tokens of two answers to one task, the first of which is preferred."""

    id: str  # of the pair of answers
    chosen: TrainRow
    rejected: TrainRow

    @property
    def answers(self) -> tuple[TrainRow, ...]:
        """What of it stands in a forward pass."""
        return self.chosen, self.rejected


Row = TrainRow | PairRow


@dataclass(frozen=True)
class Preference:
    """A row of `pairs.jsonl`: two answers to one task."""

    id: str
    task_id: str
    chosen: Pair
    rejected: Pair

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "Preference":
        """Read a row; an answer that the token limit ended, in a control the chosen one too, has no end to learn."""
        asked = row["instruction"], row["input"]
        chosen = Pair(row["chosen_id"], *asked, row["chosen"], row.get("chosen_finish", "end"))
        return cls(row["id"], row["task"], chosen, Pair(row["rejected_id"], *asked, row["rejected"], row["rejected_finish"]))


Given = Pair | Preference


def read(rows: Sequence[Mapping[str, Any]], params: Train) -> list[Given]:
    """Read rows of the file that the objective learns from."""
    kind = Preference if params.minimised.of_pairs else Pair
    return [kind.from_row(row) for row in rows]


def encode_given(given: Given, frame: Frame, tokenizer: Any, max_length: int) -> Row:
    """Turn a row into tokens; an answer of a pair that never ended has no end here either."""
    if isinstance(given, Pair):
        return encode_row(given, frame, tokenizer, max_length)
    sides = (encode_row(side, frame, tokenizer, max_length, side.finish != "length") for side in (given.chosen, given.rejected))
    return PairRow(given.id, *sides)


def encode_row(pair: Pair, frame: Frame, tokenizer: Any, max_length: int, ends: bool = True) -> TrainRow:
    """Turn a pair into tokens, the prompt exactly as the model is asked later, cut at `max_length` tokens."""
    prompt = encode(tokenizer, frame.prompt(user_words(pair.task)))
    response = encode_rest(tokenizer, frame.literal(pair.output))
    ids = prompt + response + (encode_rest(tokenizer, frame.end) if ends else [])
    return TrainRow(pair.id, ids[:max_length], len(prompt), len(ids) > max_length, not response or not pair.output.strip())


def split_rows(rows: list[Given], max_rows: int, held_out: float, seed: int) -> tuple[list[Given], list[Given], list[Given]]:
    """Draw at most `max_rows` rows by seed and hold a share out; both parts get at least one row.

    Answers to one task go to one side, so that no task is learned whose other answer measures the loss: the share held out
    is then that nearest to the wanted one.

    Returns:
        Training rows, held-out rows, rows left over.

    Raises:
        YieldError: fewer than two rows, or tasks, or `max_rows` leaves fewer.
    """
    tasks: dict[str, list[int]] = {}
    for i, row in enumerate(rows):
        tasks.setdefault(row.task_id, []).append(i)
    drawn = list(tasks.values())
    random.Random(seed).shuffle(drawn)  # noqa: S311 - reproducible, not secret
    order = [i for answers in drawn for i in answers]
    chosen, left = order[:max_rows], order[max_rows:]
    borders = [at for at in range(1, len(chosen)) if rows[chosen[at - 1]].task_id != rows[chosen[at]].task_id]
    if not borders:
        one = ", which answer one task," if len(chosen) > 1 else ""
        raise YieldError(
            f"{len(chosen)} row(s){one} cannot be split into some to learn and some held out",
            allowed="at least 2, of different tasks",
            do="lower filter.threshold, synthesize more, or raise train.max_rows",
        )
    wanted = max(1, round(held_out * len(chosen)))
    number = min(borders, key=lambda at: (abs(at - wanted), at))
    parts = sorted(chosen[number:]), sorted(chosen[:number]), sorted(left)
    train, held, rest = ([rows[i] for i in part] for part in parts)
    return train, held, rest


@dataclass(frozen=True)
class Data:
    """Rows as tokens, and what became of every kept pair."""

    train: Sequence[Row]  # rows to learn
    held_out: Sequence[Row]  # rows whose loss chooses the checkpoint
    counts: dict[str, Any]  # rows in, kept, and dropped by reason
    # Of each row given, in order: learned, held_out, or the reason why it is neither; tokens, learned tokens, cut.
    fates: list[dict[str, Any]]

    def facts(self) -> dict[str, int]:
        """Count rows, tokens, and rows shortened by the cutoff."""
        return {
            "training rows": len(self.train),
            "held-out rows": len(self.held_out),
            "tokens": sum(map(size_of, self.train)),
            "learned tokens": sum(answer.learned for row in self.train for answer in row.answers),
            "rows shortened by the cutoff": sum(_is_cut(row) for row in [*self.train, *self.held_out]),
        }

    def distribution(self) -> dict[str, dict[str, int]]:
        """Return quantiles of the training rows' tokens, all of them and the learned ones; of pairs also by side."""
        sides = {"row": [size_of(row) for row in self.train]}
        sides |= {"learned": [sum(answer.learned for answer in row.answers) for row in self.train]}
        pairs = [row for row in self.train if isinstance(row, PairRow)]
        if pairs:
            sides |= {"chosen": [row.chosen.learned for row in pairs], "rejected": [row.rejected.learned for row in pairs]}
        return {name: _quantiles(values) for name, values in sides.items()}


def size_of(row: Row) -> int:
    """Return the number of a row's tokens, of both answers where it is a pair."""
    return sum(len(answer.input_ids) for answer in row.answers)


def _is_cut(row: Row) -> bool:
    return any(answer.cut for answer in row.answers)


def _quantiles(values: list[int]) -> dict[str, int]:
    ranked = sorted(values)
    found = {f"p{round(100 * q)}": ranked[min(len(ranked) - 1, int(q * len(ranked)))] for q in QUANTILES}
    return {"min": ranked[0], **found, "max": ranked[-1]}


def prepare(rows: Sequence[Given], frame: Frame, tokenizer: Any, params: Train, seed: int) -> Data:
    """Encode, drop rows without a token of a response to learn, split; a YieldError says why too few are left."""
    encoded = {row.id: encode_given(row, frame, tokenizer, params.max_length) for row in rows}
    reasons = {id_: _unusable(row) for id_, row in encoded.items()}
    usable = [row for row in rows if not reasons[row.id]]
    dropped = [{"reason": reason} for reason in reasons.values() if reason]
    if len(usable) < 2 and dropped:
        counts = funnel(len(rows), dropped)["dropped"]
        raise YieldError(
            f"{len(usable)} of {len(rows)} kept rows can be learned: "
            + ", ".join(f"{reason.replace('_', ' ')} {number}" for reason, number in counts.items()),
            where="train",
            allowed=f"a prompt of fewer than {params.max_length} tokens (train.max_length) and a response that is not empty",
            do="raise train.max_length, add the step rules to filter.steps, or synthesize more",
        )
    parts = split_rows(usable, params.max_rows, params.held_out, seed)
    fates = {row.id: fate for fate, part in zip((LEARNED, HELD_OUT, LEFT_OVER), parts, strict=True) for row in part}
    fates |= {id_: reason for id_, reason in reasons.items() if reason}
    train, held_out = ([encoded[row.id] for row in part] for part in parts[:2])
    counts = funnel(len(rows), [{"reason": fate} for fate in fates.values() if fate not in (LEARNED, HELD_OUT)])
    return Data(train, held_out, counts, [_fate(encoded[row.id], fates[row.id]) for row in rows])


def _fate(row: Row, fate: str) -> dict[str, Any]:
    learned = sum(answer.learned for answer in row.answers)
    found = {"id": row.id, "fate": fate, "tokens": size_of(row), "learned": learned, "cut": _is_cut(row)}
    return found | ({"chosen_id": row.chosen.id, "rejected_id": row.rejected.id} if isinstance(row, PairRow) else {})


def _unusable(row: Row) -> str:
    """Say why nothing of a row can be learned, "" where something can."""
    if any(answer.empty for answer in row.answers):
        return "empty_response"
    if any(not answer.learned for answer in row.answers):
        return "beyond_cutoff"
    if isinstance(row, PairRow) and row.chosen.input_ids == row.rejected.input_ids:
        return "same_within_cutoff"
    return ""


def shown_parts(row: Row, tokenizer: Any) -> list[dict[str, str]]:
    """Decode what is read and what is learned, as rows of a table."""
    read = tokenizer.decode(row.answers[0].input_ids[: row.answers[0].read])
    names = ["chosen, grows likelier", "rejected, against it"] if isinstance(row, PairRow) else ["learned"]
    found = [{"part": "read, no loss", "text": read}]
    return found + [{"part": n, "text": masked_text(a, tokenizer)[1]} for n, a in zip(names, row.answers, strict=True)]


def masked_text(row: TrainRow, tokenizer: Any) -> tuple[str, str]:
    """Decode the part that is read and the part that is learned."""
    return tokenizer.decode(row.input_ids[: row.read]), tokenizer.decode(row.input_ids[row.read :])


def mask_rows(row: TrainRow, tokenizer: Any, around: int = 4) -> list[dict[str, str]]:
    """Return the tokens where the labels change, as rows of a table: the last ones read, the first and last learned."""
    ids, read = row.input_ids, row.read
    ends = len(ids) - around
    shown = [i for i in range(len(ids)) if read - around <= i < read + around or (i >= read and i >= ends)]
    rows: list[dict[str, str]] = []
    for before, i in zip([shown[0] - 1, *shown], shown, strict=False):
        if i > before + 1:
            rows.append(dict.fromkeys(("position", "token", "id", "loss"), "…"))
        token = repr(tokenizer.decode([ids[i]]))[1:-1]  # a line break shows as one
        rows.append({"position": str(i), "token": token, "id": str(ids[i]), "loss": "learned" if i >= read else "no loss"})
    return rows
