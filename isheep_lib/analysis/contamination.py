"""Benchmark items that stand in training rows: the same question or text, found by runs of shared words.

    rows = [{"id": "a", "instruction": "What is the capital of France?", "input": "", "output": "Paris."}]
    Index(rows).find([Item("trivia", "7", ("what is the Capital of France",))])
    # [Hit(row_id="a", field="instruction", benchmark="trivia", item_id="7", kind="exact",
    #      text="what is the capital of france")]

The kinds of hits, strongest first:
    exact     a text is all of a field, or of an instruction and its input
    contains  a text of 6 words or more stands whole in a row
    13-gram   13 words in a row are the same
    8-gram    8 are, and of a text of 13 words or more 80% stand there in the same order
Words that many items share, such as "which of the following is an example of", count for none of them. In scripts without
spaces each character is a word (`languages.words`), but where 6 or 13 words decide, two of these count as one.

Covers verbatim overlap, whatever the case, punctuation and spacing. Does not cover paraphrases, translations, texts under
4 words, where items come from, or what becomes of a hit.
"""

import unicodedata
from array import array
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, pairwise

import numpy as np
from rapidfuzz.distance import LCSseq

from isheep_lib.languages.words import amount, is_sign, words

SIZE = 8  # words of a window; a shorter text is one window
SHORTEST = 4  # words of a text that is compared at all
CONTAINED = 6  # words of a text that may stand anywhere in a row; a shorter one has to be all of an instruction or input
LONG = 13  # words of a shared run that is decisive by itself, and of a text that need not be whole: in shorter questions
# the word that differs is mostly the one that matters ("the more common name for the disease ...")
SHARE = 0.8  # of a long text's words that stand in their order where one of its windows does
SLACK = 8  # words by which a row's version of that text may begin earlier or end later
COMMON = 10  # items with one window, from which on it tells nothing; up to six questions share a passage within their text
TELLING = 4  # different words of two letters or more in a window; "1 2 3 4", "x y z" and "ha ha ha" tell nothing
KINDS = ("exact", "contains", "13-gram", "8-gram")  # strongest first
FIELDS = ("instruction", "input", "output")
CLIP = 200  # characters of the shared words in a hit
BATCH = 2000  # items looked up at a time
BORDER, UNKNOWN = 0, -1  # between tasks and outputs of rows; between texts of items, and for words that no row has


@dataclass(frozen=True)
class Item:
    """An item of a benchmark with the texts to look for, such as its question and its passage."""

    benchmark: str
    id: str
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Hit:
    """A row's field that has a text of an item; `text` is the longest run of shared words, clipped."""

    row_id: str
    field: str
    benchmark: str
    item_id: str
    kind: str
    text: str


def normalised(text: str) -> list[str]:
    """Split text into words that are the same in all cases, widths and ligatures; underscores divide, too."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return words(unicodedata.normalize("NFKC", folded).replace("_", " "))  # folding takes some letters apart


def hits_by_benchmark(hits: Iterable[Hit]) -> dict[str, int]:
    """Count the hits of each benchmark, most first."""
    counts = Counter(hit.benchmark for hit in hits)
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def hits_by_kind(hits: Iterable[Hit]) -> dict[str, int]:
    """Count the hits of each kind, strongest first, also of kinds without any."""
    counts = Counter(hit.kind for hit in hits)
    return {kind: counts[kind] for kind in KINDS}


class _Windows:
    """All windows of one size in the rows' stream, sorted; the place of a window is that of its first copy."""

    def __init__(self, keys: np.ndarray) -> None:
        self._order = np.argsort(keys, kind="stable").astype(np.int32)
        self._keys = keys[self._order]

    def __len__(self) -> int:
        return len(self._keys)

    def places(self, keys: np.ndarray) -> np.ndarray:
        """Return the place of each window, UNKNOWN for those that no row has."""
        return _find(self._keys, keys)

    def positions(self, place: int) -> list[int]:
        """Return where in the stream a window begins."""
        return self._order[place : np.searchsorted(self._keys, self._keys[place], "right")].tolist()


@dataclass(frozen=True)
class _Candidate:
    """A text that shares windows with some row: where in the text these begin, and their places."""

    item: Item
    words: list[str]
    size: int
    offsets: list[int]
    places: list[int]


@dataclass(frozen=True)
class _Run:
    """Consecutive words that a text and the stream share."""

    position: int
    offset: int
    length: int


class Index:
    """Rows, indexed by their windows of 4 to 8 words, past which items are streamed.

    All words lie in one stream, a row's input directly behind its instruction, as a model reads them; what runs over from
    one to the other is of the instruction. Windows are numbered without collisions: pairs of words, pairs of such pairs,
    and a window of 4 to 8 words by the four at its beginning and the four at its end.
    """

    def __init__(self, rows: Iterable[dict]) -> None:
        """Index rows with the fields id, instruction, input and output; an absent field is empty."""
        self._numbers: dict[str, int] = {}
        self._fields: list[tuple[str, str]] = []  # row and field
        self._starts: list[int] = []  # of the fields, in the stream
        self._ends: list[int] = []
        stream = array("q")
        for row in rows:
            for field in FIELDS:
                self._fields.append((row["id"], field))
                self._starts.append(len(stream))
                split = normalised(row.get(field) or "")
                stream.extend(self._numbers.setdefault(word, len(self._numbers) + 1) for word in split)
                self._ends.append(len(stream))
                if field != "instruction":
                    stream.append(BORDER)
        stream.extend([BORDER] * SIZE)
        self._stream = np.array(stream)
        self._spelled = ["", *self._numbers]
        self._twos = np.unique(_pairs(self._stream, 1))
        self._fours = np.unique(_pairs(_find(self._twos, _pairs(self._stream, 1)), 2))
        fours = self._number_fours(self._stream)
        self._windows = {size: _Windows(_pairs(fours, size - SHORTEST)) for size in range(SHORTEST, SIZE + 1)}

    def find(self, items: Iterable[Item]) -> list[Hit]:
        """Return the strongest hit of each field and item, in the order of rows, fields, benchmarks and ids.

        Which windows are common is counted over these items, so all benchmarks should come in one call.
        """
        counts = {size: np.zeros(len(windows), np.int32) for size, windows in self._windows.items()}
        candidates: list[_Candidate] = []
        passages: set[str] = set()
        rest = iter(items)
        while batch := list(islice(rest, BATCH)):
            candidates += self._look_up(batch, passages, counts)
        best: dict[tuple[int, str, str], tuple[int, int, str]] = {}
        for candidate in candidates:
            for field, runs in self._runs(candidate, counts[candidate.size]).items():
                found = self._strongest(candidate, field, runs)
                key = (field, candidate.item.benchmark, candidate.item.id)
                if found and found < best.get(key, (len(KINDS), 0, "")):
                    best[key] = found
        return [
            Hit(*self._fields[field], benchmark, item, KINDS[kind], text)
            for (field, benchmark, item), (kind, _, text) in sorted(best.items())
        ]

    def _number_fours(self, numbers: np.ndarray) -> np.ndarray:
        return _find(self._fours, _pairs(_find(self._twos, _pairs(numbers, 1)), 2))

    def _look_up(self, batch: list[Item], passages: set[str], counts: dict[int, np.ndarray]) -> Iterator[_Candidate]:
        """Count the windows that items share with rows, and yield the texts whose own windows are among them."""
        split = [(place, found) for place, item in enumerate(batch) for found in map(normalised, item.texts)]
        texts = [(place, found) for place, found in split if len(found) >= SHORTEST]
        numbers, starts = array("q"), []
        for _, found in texts:
            starts.append(len(numbers))
            numbers.extend(self._numbers.get(word, UNKNOWN) for word in found)
            numbers.append(UNKNOWN)
        numbers.extend([UNKNOWN] * SIZE)
        items = np.array([place for place, _ in texts], np.int64)
        sizes = np.array([min(len(found), SIZE) for _, found in texts], np.int64)
        new = np.array([_is_new(found, passages) for _, found in texts], bool)
        fours = self._number_fours(np.array(numbers))
        for size, windows in self._windows.items():
            places = windows.places(_pairs(fours, size - SHORTEST))
            shared = np.flatnonzero(places != UNKNOWN)
            owners = np.searchsorted(starts, shared, "right") - 1
            once = np.unique((items[owners] << 32 | places[shared])[new[owners]])  # an item counts a window once
            np.add.at(counts[size], once & 0xFFFFFFFF, 1)
            own = sizes[owners] == size
            shared, owners = shared[own], owners[own]
            matched, begins = np.unique(owners, return_index=True)
            for owner, (begin, end) in zip(matched, pairwise([*begins, len(shared)]), strict=True):
                mine = shared[begin:end]
                place, found = texts[owner]
                yield _Candidate(batch[place], found, size, (mine - starts[owner]).tolist(), places[mine].tolist())

    def _runs(self, candidate: _Candidate, counts: np.ndarray) -> dict[int, list[_Run]]:
        """Join a text's telling windows to runs, by the fields in which these begin."""
        size = candidate.size
        starts = sorted(
            (position - offset, offset)
            for offset, place in zip(candidate.offsets, candidate.places, strict=True)
            if counts[place] < COMMON and (size < SIZE or _tells(candidate.words[offset : offset + size]))
            for position in self._windows[size].positions(place)
        )
        joined: list[_Run] = []
        for shift, offset in starts:
            last = joined[-1] if joined else None
            if last and last.position - last.offset == shift and last.offset + last.length - size == offset - 1:
                joined[-1] = _Run(last.position, last.offset, last.length + 1)
            else:
                joined.append(_Run(shift + offset, offset, size))
        runs = defaultdict(list)
        for run in joined:
            whole = self._whole(candidate.words, run.position - run.offset) or run
            runs[bisect_right(self._starts, whole.position) - 1].append(whole)
        return runs

    def _whole(self, split: list[str], position: int) -> _Run | None:
        """Return a whole text as a run if it stands at a position, common windows and all."""
        return _Run(position, 0, len(split)) if self._words(position, position + len(split)) == split else None

    def _words(self, start: int, end: int) -> list[str]:
        return [self._spelled[number] for number in self._stream[max(start, 0) : end].tolist()]

    def _strongest(self, candidate: _Candidate, field: int, runs: list[_Run]) -> tuple[int, int, str] | None:
        """Return the kind of hit, as its place in KINDS, the run's length, negative, and its words; None if it is no hit."""
        length, name = amount(candidate.words), self._fields[field][1]
        ends = self._ends[field : field + (2 if name == "instruction" else 1)]
        longest = min(runs, key=lambda run: (-run.length, run.offset))
        shared = candidate.words[longest.offset : longest.offset + longest.length]
        whole = len(shared) == len(candidate.words)
        fills = whole and any(run.position == self._starts[field] and run.position + run.length in ends for run in runs)
        if fills and (length >= CONTAINED or name != "output"):
            kind = "exact"
        elif whole and length >= CONTAINED and _tells(candidate.words):
            kind = "contains"
        elif amount(shared) >= LONG:
            kind = "13-gram"
        elif length >= LONG and any(self._resembles(candidate.words, run, field) for run in runs):
            kind = "8-gram"
        else:
            return None
        return KINDS.index(kind), -longest.length, " ".join(shared)[:CLIP]

    def _resembles(self, split: list[str], run: _Run, field: int) -> bool:
        """Tell whether most words of a text stand in its order about a run."""
        name = self._fields[field][1]
        first, last = field - (name == "input"), field + (name == "instruction")  # of the task, or the output alone
        start = max(run.position - run.offset - SLACK, self._starts[first])
        end = min(run.position - run.offset + len(split) + SLACK, self._ends[last])
        return LCSseq.similarity(split, self._words(start, end)) >= SHARE * len(split)


def _is_new(split: list[str], passages: set[str]) -> bool:
    """Tell whether a text counts for what is common.

    One passage under many questions is one text; one short question of many items counts with each, as it tells nothing.
    """
    if amount(split) < LONG:
        return True
    text = " ".join(split)
    known = text in passages
    passages.add(text)
    return not known


def _tells(split: list[str]) -> bool:
    return sum((len(word) > 1 and not word.isdigit()) or is_sign(word) for word in set(split)) >= TELLING


def _pairs(numbers: np.ndarray, distance: int) -> np.ndarray:
    """Join each number with the one at a distance behind it; negative ones give keys that no others give."""
    return numbers[: len(numbers) - distance] << 32 | numbers[distance:]


def _find(known: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Return the first place of each key among sorted known ones, or UNKNOWN."""
    places = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return np.where(known[places] == keys, places, UNKNOWN)
