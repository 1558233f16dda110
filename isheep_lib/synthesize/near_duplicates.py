"""Near-duplicates: decides, by ROUGE-L, whether a new text is too close to any earlier one.

An example:
    near = NearDuplicates(0.7)
    near.add("Name three uses of salt.")
    near.find("Name three good uses of salt.")  # ("Name three uses of salt.", 0.909...)

Covers ROUGE-L without stemming. For text of Latin script the words, the arithmetic and so the decisions, at the limit too,
are those of the package rouge_score; words of other scripts, of which that package knows none, stand between them in their
order (`languages.words.rouge_words`). A text is always split alike, whatever it is compared with, so the measure of two texts
is the same both ways. Texts without any word are duplicates where they are equal, but for case and spaces. Does not cover what
becomes of a duplicate (`synthesize`).
"""

from array import array
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterator

import numpy as np
from rapidfuzz import process
from rapidfuzz.distance import LCSseq

from isheep_lib.errors import ParameterError
from isheep_lib.languages.words import plainly_written, rouge_words

UNKNOWN = 0  # stands for every word that no earlier text has


def f_measure(lcs: np.ndarray | int, earlier: np.ndarray | int, new: np.ndarray | int) -> np.ndarray | float:
    """Return ROUGE-L F from the lengths of the longest common subsequence, the earlier text and the new one, all above 0.

    The operations and their order are rouge_score's, with the earlier text as target and the new one as prediction, since
    2 lcs / (earlier + new) rounds differently. Exchanging the two texts changes nothing, not even the last bit.
    """
    precision, recall = lcs / new, lcs / earlier
    return 2 * precision * recall / (precision + recall)


class NearDuplicates:
    """Finds the nearest earlier text whose ROUGE-L F-measure with a text is above a limit.

    A common subsequence is no longer than the number of words that two texts share, so an index from words to texts
    counts those for all earlier texts at once, and the subsequence itself is sought where they would suffice.
    """

    def __init__(self, limit: float) -> None:
        """Call a text a duplicate when its measure is strictly above `limit`.

        Raises:
            ParameterError: the limit is not a share.
        """
        if not 0 <= limit <= 1:
            raise ParameterError(f"A limit of ROUGE-L is {limit!r}", allowed="0 (any shared word) to 1 (nothing)")
        self.limit = limit
        self.compared = 0  # pairs whose longest common subsequence was computed
        self._texts: list[str] = []
        self._lengths = array("q")  # in words
        self._spelled: list[array] = []  # each text as the numbers of its words
        self._numbers: dict[str, int] = {}
        self._wordless: defaultdict[str, list[str]] = defaultdict(list)  # texts without words by what makes them equal
        # The second "the" of a text is an entry of its own, so that the texts listed share as many "the" as are counted.
        self._holders: defaultdict[tuple[str, int], array] = defaultdict(lambda: array("q"))

    def __len__(self) -> int:
        """Return the number of texts added."""
        return len(self._texts)

    def add(self, text: str) -> None:
        """Remember a text."""
        words = rouge_words(text)
        if not words:
            self._wordless[_signs(text)].append(text)
        for entry in _entries(words):
            self._holders[entry].append(len(self))
        self._spelled.append(array("I", [self._numbers.setdefault(word, len(self._numbers) + 1) for word in words]))
        self._lengths.append(len(words))
        self._texts.append(text)

    def find(self, text: str, apart: Collection[str] = ()) -> tuple[str, float] | None:
        """Return the nearest earlier text and its measure if that is above the limit; of equally near ones the first.

        Args:
            text: the new one.
            apart: earlier texts that it may resemble, such as those it was made from.
        """
        words = rouge_words(text)
        if not words:
            equal = next((earlier for earlier in self._wordless.get(_signs(text), ()) if earlier not in apart), None)
            return (equal, 1.0) if equal is not None and self.limit < 1 else None
        places, lengths = self._candidates(words)
        if apart:
            others = np.array([self._texts[place] not in apart for place in places], dtype=bool)
            places, lengths = places[others], lengths[others]
        if not places.size:
            return None
        self.compared += places.size
        spelled = array("I", [self._numbers.get(word, UNKNOWN) for word in words])
        choices = [self._spelled[place] for place in places]
        lcs = process.cdist([spelled], choices, scorer=LCSseq.similarity, dtype=np.int64)[0]
        measures = np.asarray(f_measure(lcs, lengths, len(words)))
        best = measures.argmax()
        return (self._texts[places[best]], float(measures[best])) if measures[best] > self.limit else None

    def _candidates(self, words: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return places and lengths of the earlier texts that share enough words to be above the limit."""
        none = np.empty(0, np.int64)
        holders = [self._holders[entry] for entry in _entries(words) if entry in self._holders]
        if not holders:
            return none, none
        shared = np.bincount(np.concatenate(holders))
        places = np.flatnonzero(shared >= self._least(len(words)))
        lengths = np.asarray(self._lengths)[places]
        enough = f_measure(shared[places], lengths, len(words)) > self.limit
        return places[enough], lengths[enough]

    def _least(self, new: int) -> int:
        """Return the shortest subsequence that can suffice: best is an earlier text that consists of nothing else."""
        return 1 + bisect_right(range(1, new + 1), self.limit, key=lambda lcs: f_measure(lcs, lcs, new))


def _signs(text: str) -> str:
    """Return what two texts without words have in common if they are equal."""
    return " ".join(plainly_written(text.lower()).split())


def _entries(words: list[str]) -> Iterator[tuple[str, int]]:
    """Pair each word with how often it came before."""
    before: dict[str, int] = {}
    for word in words:
        before[word] = before.get(word, -1) + 1
        yield word, before[word]
