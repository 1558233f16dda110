"""Deduplication against rouge_score: the ratio of speeds, the decisions compared, and 50 000 instructions.

    python benchmarks/dedup.py FOLDER          # with the authors' released sets (released_*_kept.json) in FOLDER
    python benchmarks/dedup.py FOLDER --every  # rouge_score on every pair instead of a sample: a quarter of an hour
    python benchmarks/dedup.py                 # with texts made from this project's seed tasks alone

Prints what it writes to benchmarks/dedup.md. One process a measurement, one thread; the faster of two rounds counts.
"""

import argparse
import importlib.metadata
import itertools
import json
import os
import platform
import random
import resource
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from rapidfuzz import process
from rapidfuzz.distance import Indel

from isheep_lib.synthesize.near_duplicates import WORD, NearDuplicates

LIMIT, ROUNDS = 0.7, 2
SAMPLE, LARGE, CHECKED = 50_000, 50_000, 500  # pairs for rouge_score; texts of the large set; of these, checked
MARGIN = 0.1  # pairs within this of the limit, or above it, are scored by rouge_score without exception
ROOT = Path(__file__).parents[1]
MAIN = "released_72b_iter3_kept.json"
RELEASED = (MAIN, "released_72b_base_kept.json", "released_7b_base_kept.json")
Found = tuple[str, float] | None


def instructions(folder: Path | None) -> tuple[list[str], list[str]]:
    """Return the instructions for the ratio, and all that the large set is made from."""
    if folder:
        sets = [[row["instruction"] for row in json.loads((folder / name).read_text(encoding="utf-8"))] for name in RELEASED]
        return sets[0], list(itertools.chain(*sets))
    rows = (ROOT / "seeds" / "tasks.jsonl").read_text(encoding="utf-8").splitlines()
    seeds = [json.loads(row)["instruction"] for row in rows]
    return recombined(seeds, 4000), seeds


def recombined(texts: list[str], size: int) -> list[str]:
    """Make a set of a given size: the texts, texts spliced where they share a word, and near-copies of all these.

    Nine of ten new texts follow one text up to a random word and go on as another does after the same word, two to four
    times; so word frequencies, phrases and lengths stay natural. One of ten repeats a text but for one word.
    """
    rng = random.Random(0)
    split = [text.split() for text in texts]
    after = defaultdict(list)
    for words in split:
        for place, word in enumerate(words):
            after[word].append((words, place))
    made = list(texts)
    while len(made) < size:
        if rng.random() < 0.1:
            words = rng.choice(made).split()
            words[rng.randrange(len(words))] = rng.choice(rng.choice(split))
        else:
            words = rng.choice(split)
            for _ in range(rng.randint(2, 4)):
                cut = rng.randrange(len(words))
                other, place = rng.choice(after[words[cut]])
                words = [*words[:cut], *other[place:]]
        made.append(" ".join(words))
    rng.shuffle(made)
    return made


def deduplicate(texts: list[str], keep: str) -> tuple[NearDuplicates, list[Found], int, float]:
    """Compare each text with those before it; keep "all", or "new" ones only.

    Returns:
        The pool, what was found, the pairs that this decides, seconds.
    """
    near, found, pairs = NearDuplicates(LIMIT), [], 0
    started = time.perf_counter()
    for text in texts:
        pairs += len(near)
        found.append(near.find(text))
        if keep == "all" or not found[-1]:
            near.add(text)
    return near, found, pairs, time.perf_counter() - started


def rouge(pairs: Iterable[tuple[str, str]]) -> tuple[list[float], float]:
    """Score pairs as a first script would, one by one; return the measures and seconds."""
    from rouge_score import rouge_scorer  # here, as it loads much that would count as memory of the other side

    scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
    started = time.perf_counter()
    measures = [scorer.score(earlier, new)["rougeL"].fmeasure for earlier, new in pairs]
    return measures, time.perf_counter() - started


def differing(pairs: Iterable[tuple[str, str]], measures: list[float]) -> int:
    """Count pairs on which a pool of the earlier text alone decides, or measures, otherwise than rouge_score."""
    wrong, last, near = 0, None, NearDuplicates(LIMIT)
    for (earlier, new), measure in zip(pairs, measures, strict=True):
        if earlier is not last:
            last, near = earlier, NearDuplicates(LIMIT)
            near.add(earlier)
        wrong += near.find(new) != ((earlier, measure) if measure > LIMIT else None)
    return wrong


def close_pairs(texts: list[str], places: Iterable[int]) -> dict[int, list[tuple[str, str]]]:
    """Return, for texts at some places, their pairs with earlier texts that are near the limit or above it.

    These come from comparing all pairs by another method, without bounds or index.
    """
    split = [WORD.findall(text.lower()) for text in texts]
    found = {}
    for new in places:
        near = process.cdist(split[new : new + 1], split[:new], scorer=Indel.normalized_similarity)[0] >= LIMIT - MARGIN
        found[new] = [(texts[earlier], texts[new]) for earlier in near.nonzero()[0]] if split[new] else []
    return found


def wrong_finds(close: dict[int, list[tuple[str, str]]], found: dict[int, Found]) -> int:
    """Count texts whose nearest earlier text, or its measure, is not that of a loop over all pairs with rouge_score."""
    wrong = 0
    for new, pairs in close.items():
        measures, _ = rouge(pairs)
        best = max(measures, default=0.0)
        wrong += found[new] != ((pairs[measures.index(best)][0], best) if best > LIMIT else None)
    return wrong


def ratio(folder: Path | None, every: bool) -> dict:
    """Measure both sides on the pairs of one set and compare their decisions."""
    texts, _ = instructions(folder)
    near, found, total, seconds = min((deduplicate(texts, "all") for _ in range(ROUNDS)), key=lambda one: one[3])
    rng = random.Random(0)
    drawn = [sorted(rng.sample(range(len(texts)), 2)) for _ in range(SAMPLE)]
    pairs = list(itertools.combinations(texts, 2)) if every else [(texts[i], texts[j]) for i, j in drawn]
    measures, spent = rouge(pairs)
    scaled = spent * total / len(pairs)
    close = close_pairs(texts, range(len(texts)))
    tight = list(itertools.chain(*close.values()))
    tight_measures, _ = rouge(tight)
    sides = [
        _side("NearDuplicates", total, near.compared, seconds),
        _side("rouge_score, pair by pair", len(pairs), len(pairs), spent),
    ]
    if not every:
        sides.append(_side("the same, scaled to all pairs", total, total, scaled))
    checks = [
        _check("every pair" if every else "pairs drawn at random", measures, differing(pairs, measures)),
        _check(f"pairs at {LIMIT - MARGIN:.1f} or above", tight_measures, differing(tight, tight_measures)),
        _check(
            "texts: nearest before it", [one[1] if one else 0.0 for one in found], wrong_finds(close, dict(enumerate(found)))
        ),
    ]
    return {"sides": sides, "checks": checks, "ratio": scaled / seconds, "texts": len(texts)}


def _side(side: str, pairs: int, computed: int, seconds: float) -> dict:
    rate = f"{pairs / seconds:.0f}"
    return {"side": side, "pairs": pairs, "LCS computed": computed, "seconds": f"{seconds:.2f}", "pairs per second": rate}


def _check(compared: str, measures: list[float], wrong: int) -> dict:
    above = sum(measure > LIMIT for measure in measures)
    return {"compared": compared, "number": len(measures), "above the limit": above, "differing": wrong}


def large(folder: Path | None, keep: str) -> dict:
    """Deduplicate the large set; report also what was found for some texts, to be checked elsewhere."""
    texts = recombined(instructions(folder)[1], LARGE)
    near, found, pairs, seconds = deduplicate(texts, keep)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    row = {
        "kept": f"{keep} ({len(near)})",
        "duplicates": sum(map(bool, found)),
        "pairs": pairs,
        "LCS computed": near.compared,
        "seconds": round(seconds, 2),
        "peak of the process (MB)": peak,
    }
    if keep == "all":
        places = random.Random(1).sample(range(LARGE), CHECKED)
        row["differing"] = f"{wrong_finds(close_pairs(texts, places), {place: found[place] for place in places})} of {CHECKED}"
    return row | {"differing": row.get("differing", "not compared")}


def measure(side: str, given: argparse.Namespace) -> dict:
    """Run one measurement in a process of its own."""
    print(f"measuring: {side}", file=sys.stderr, flush=True)
    options = [str(given.folder)] * bool(given.folder) + ["--every"] * given.every
    command = [sys.executable, __file__, *options, "--side", side]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(result.stdout)


def report(given: argparse.Namespace) -> str:
    """Measure everything and write it up."""
    found = measure("ratio", given)
    rows = [min((measure(keep, given) for _ in range(ROUNDS)), key=lambda row: row["seconds"]) for keep in ("all", "new")]
    source = f"the {found['texts']} instructions of `{MAIN}`" if given.folder else f"{found['texts']} texts made from our seeds"
    parts = "the instructions of the three released sets" if given.folder else "the seed tasks' instructions"
    seconds, peak = (max(row[name] for row in rows) for name in ("seconds", "peak of the process (MB)"))
    targets = [
        {"target": "ratio of pairs per second", "wanted": "at least 200", "measured": f"{found['ratio']:.0f}"},
        {"target": f"{LARGE} texts, seconds", "wanted": "at most 120", "measured": seconds},
        {"target": f"{LARGE} texts, peak of memory (MB)", "wanted": "at most 1024", "measured": peak},
    ]
    return f"""# Deduplication, measured

Written by `python benchmarks/dedup.py{" FOLDER" * bool(given.folder)}{" --every" * given.every}`: limit {LIMIT}, {_machine()}.

{_markdown(targets)}
Each of {source} against all before it, all of them kept:

{_markdown(found["sides"])}
Decisions and measures against rouge_score's:

{_markdown(found["checks"])}
{LARGE} texts, made from {parts}:

{_markdown(rows)}
Everything runs in one thread; of `NearDuplicates` the faster of two rounds counts, rouge_score ran once. "LCS computed" are
the pairs left after the bound from shared words. Pairs at {LIMIT - MARGIN:.1f} or above were found by comparing all pairs with
another function (rapidfuzz's Indel, no index, no bounds), so the third row of decisions covers every pair; `differing` in the
last table does the same for {CHECKED} texts drawn at random. The large set is the instructions themselves, splices of three
to five of them at words they share, and, a tenth of what is added, copies with one word changed; its vocabulary is that of
its parts, so a word is shared by more texts than in as many independent ones. The peak is `ru_maxrss`: interpreter and
libraries count.
"""


def _machine() -> str:
    named = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("rapidfuzz", "numpy", "rouge_score"))
    return f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, {named}"


def _markdown(rows: list[dict]) -> str:
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in (rows[0], rows[0].fromkeys(rows[0], "---").values())]
    lines += ["| " + " | ".join(map(str, row.values())) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the report and write it beside this file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", type=Path, help="of the released sets")
    parser.add_argument("--every", action="store_true", help="score every pair with rouge_score, not a sample")
    parser.add_argument("--side", choices=("ratio", "all", "new"), help="measure one side and print it as JSON")
    given = parser.parse_args()
    if given.side:
        print(json.dumps(ratio(given.folder, given.every) if given.side == "ratio" else large(given.folder, given.side)))
        return
    if not given.folder:
        print("No folder of released sets given: measuring texts made from the seed tasks alone", file=sys.stderr)
    text = report(given)
    print(text)
    Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
