"""Deduplication against rouge_score: the ratio of speeds, the decisions compared, 50 000 instructions, and as many in Chinese.

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

from isheep_lib.languages.words import rouge_words
from isheep_lib.synthesize.near_duplicates import NearDuplicates

LIMIT, ROUNDS = 0.7, 2
SAMPLE, LARGE, CHECKED = 50_000, 50_000, 500  # pairs for rouge_score; texts of the large set; of these, checked
MARGIN = 0.1  # pairs within this of the limit, or above it, are scored by rouge_score without exception
ROOT = Path(__file__).parents[1]
MAIN = "released_72b_iter3_kept.json"
RELEASED = (MAIN, "released_72b_base_kept.json", "released_7b_base_kept.json")
Found = tuple[str, float] | None
# Of our own making: what is asked, of what, and how, from which Chinese instructions are put together.
ASKED = (
    *("写一首关于{}的短诗", "用三句话解释{}", "列出学习{}的五个步骤", "比较{}和{}的优点与缺点", "为{}设计一个简单的计划"),
    *("讲一个与{}有关的小故事", "说明{}为什么重要", "给小学生介绍{}", "总结{}的主要特点", "描述第一次接触{}时的感受"),
    *(
        "写一封邮件，邀请朋友一起了解{}",
        "给出三条关于{}的建议",
        "回答一个常见的问题：{}是怎样产生的",
        "写一段{}爱好者之间的对话",
    ),
    *(
        "把{}的历史分成几个阶段来讲",
        "举例说明{}在日常生活中的用处",
        "为一家卖{}的小店写一句广告",
        "找出人们对{}的两个误解并加以纠正",
    ),
)
ABOUT = (
    *(
        "春天",
        "茶叶",
        "火车旅行",
        "图书馆",
        "编程语言Python",
        "城市交通",
        "海洋生物",
        "传统节日",
        "家常菜",
        "天气预报",
        "太阳能",
    ),
    *("中学数学", "摄影", "古典音乐", "足球比赛", "城市公园", "垃圾分类", "睡眠", "手工陶器", "民间传说", "养猫", "阳台种菜"),
    *(
        "外语学习",
        "数据备份",
        "二手书",
        "长跑训练",
        "面包烘焙",
        "地铁安全",
        "天文望远镜",
        "博物馆",
        "山区教育",
        "人工智能",
        "木工",
    ),
    *(
        "河流保护",
        "书法",
        "围棋",
        "志愿服务",
        "时间管理",
        "家庭预算",
        "急救知识",
        "候鸟迁徙",
        "老城区改造",
        "电影配乐",
        "沙漠绿化",
    ),
)
HOW = (
    *("", "", "不超过一百字。", "语气要亲切。", "请使用简单的词语。", "要有开头和结尾。", "最后提出一个问题。", "请分点作答。"),
    *(
        "不要使用专业术语。",
        "请写给没有经验的人。",
        "至少举两个例子。",
        "用第一人称来写。",
        "请保持客观。",
        "加上一个合适的标题。",
    ),
)


def instructions(folder: Path | None) -> tuple[list[str], list[str]]:
    """Return the instructions for the ratio, and all that the large set is made from."""
    if folder:
        sets = [[row["instruction"] for row in json.loads((folder / name).read_text(encoding="utf-8"))] for name in RELEASED]
        return sets[0], list(itertools.chain(*sets))
    rows = (ROOT / "seeds" / "tasks.jsonl").read_text(encoding="utf-8").splitlines()
    seeds = [json.loads(row)["instruction"] for row in rows]
    return recombined(seeds, 4000), seeds


def chinese() -> list[str]:
    """Put 1500 Chinese instructions together."""
    rng = random.Random(2)
    return [rng.choice(ASKED).format(*rng.sample(ABOUT, 2)) + "。" + rng.choice(HOW) for _ in range(1500)]


def recombined(texts: list[str], size: int, glue: str = " ") -> list[str]:
    """Make a set of a given size: the texts, texts spliced where they share a word, and near-copies of all these.

    Nine of ten new texts follow one text up to a random word and go on as another does after the same word, two to four
    times; so word frequencies, phrases and lengths stay natural. One of ten repeats a text but for one word. Without a glue
    words are single characters.
    """
    rng = random.Random(0)
    split = [text.split() if glue else list(text) for text in texts]
    after = defaultdict(list)
    for words in split:
        for place, word in enumerate(words):
            after[word].append((words, place))
    made = list(texts)
    while len(made) < size:
        if rng.random() < 0.1:
            whole = rng.choice(made)
            words = whole.split() if glue else list(whole)
            words[rng.randrange(len(words))] = rng.choice(rng.choice(split))
        else:
            words = rng.choice(split)
            for _ in range(rng.randint(2, 4)):
                cut = rng.randrange(len(words))
                other, place = rng.choice(after[words[cut]])
                words = [*words[:cut], *other[place:]]
        made.append(glue.join(words))
    rng.shuffle(made)
    return made


def deduplicate(texts: list[str], keep: str) -> tuple[NearDuplicates, list[Found], int, float]:
    """Compare each text with those before it; keep "all", or "new" ones only.

    Returns:
        The pool, what was found, the pairs that this decides, seconds.
    """
    near, found, pairs = NearDuplicates(LIMIT), [], 0
    started = time.process_time()
    for text in texts:
        pairs += len(near)
        found.append(near.find(text))
        if keep == "all" or not found[-1]:
            near.add(text)
    return near, found, pairs, time.process_time() - started


class OurWords:
    """A tokenizer for rouge_score, which knows no words of other scripts than Latin by itself."""

    tokenize = staticmethod(rouge_words)


def rouge(pairs: Iterable[tuple[str, str]], tokenizer: OurWords | None) -> tuple[list[float], float]:
    """Score pairs as a first script would, one by one; return the measures and seconds."""
    from rouge_score import rouge_scorer  # here, as it loads much that would count as memory of the other side

    scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False, tokenizer=tokenizer)
    started = time.process_time()
    measures = [scorer.score(earlier, new)["rougeL"].fmeasure for earlier, new in pairs]
    return measures, time.process_time() - started


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
    split = [rouge_words(text) for text in texts]
    found = {}
    for new in places:
        near = process.cdist(split[new : new + 1], split[:new], scorer=Indel.normalized_similarity)[0] >= LIMIT - MARGIN
        found[new] = [(texts[earlier], texts[new]) for earlier in near.nonzero()[0]] if split[new] else []
    return found


def wrong_finds(close: dict[int, list[tuple[str, str]]], found: dict[int, Found], tokenizer: OurWords | None) -> int:
    """Count texts whose nearest earlier text, or its measure, is not that of a loop over all pairs with rouge_score."""
    wrong = 0
    for new, pairs in close.items():
        measures, _ = rouge(pairs, tokenizer)
        best = max(measures, default=0.0)
        wrong += found[new] != ((pairs[measures.index(best)][0], best) if best > LIMIT else None)
    return wrong


def ratio(texts: list[str], every: bool, tokenizer: OurWords | None) -> dict:
    """Measure both sides on the pairs of one set and compare their decisions."""
    near, found, total, seconds = min((deduplicate(texts, "all") for _ in range(ROUNDS)), key=lambda one: one[3])
    rng = random.Random(0)
    drawn = [sorted(rng.sample(range(len(texts)), 2)) for _ in range(SAMPLE)]
    pairs = list(itertools.combinations(texts, 2)) if every else [(texts[i], texts[j]) for i, j in drawn]
    measures, spent = rouge(pairs, tokenizer)
    scaled = spent * total / len(pairs)
    close = close_pairs(texts, range(len(texts)))
    tight = list(itertools.chain(*close.values()))
    tight_measures, _ = rouge(tight, tokenizer)
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
            "texts: nearest before it",
            [one[1] if one else 0.0 for one in found],
            wrong_finds(close, dict(enumerate(found)), tokenizer),
        ),
    ]
    return {"sides": sides, "checks": checks, "ratio": scaled / seconds, "texts": len(texts)}


def _side(side: str, pairs: int, computed: int, seconds: float) -> dict:
    rate = f"{pairs / seconds:.0f}"
    return {"side": side, "pairs": pairs, "LCS computed": computed, "seconds": f"{seconds:.2f}", "pairs per second": rate}


def _check(compared: str, measures: list[float], wrong: int) -> dict:
    above = sum(measure > LIMIT for measure in measures)
    return {"compared": compared, "number": len(measures), "above the limit": above, "differing": wrong}


def large(texts: list[str], keep: str, tokenizer: OurWords | None) -> dict:
    """Deduplicate the large set; report also whether what was found for some texts is what a loop over all pairs finds."""
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
        wrong = wrong_finds(close_pairs(texts, places), {place: found[place] for place in places}, tokenizer)
        row["differing"] = f"{wrong} of {CHECKED}"
    return row | {"differing": row.get("differing", "not compared")}


def one_side(side: str, given: argparse.Namespace) -> dict:
    """Make one measurement; those of the Chinese set are named so."""
    what = side.removeprefix("chinese-")
    if what != side:
        texts = recombined(chinese(), 4000 if what == "ratio" else LARGE, glue="")
        return ratio(texts, False, OurWords()) if what == "ratio" else large(texts, what, OurWords())
    first, parts = instructions(given.folder)
    return ratio(first, given.every, None) if what == "ratio" else large(recombined(parts, LARGE), what, None)


def measure(side: str, given: argparse.Namespace) -> dict:
    """Run one measurement in a process of its own."""
    print(f"measuring: {side}", file=sys.stderr, flush=True)
    options = [str(given.folder)] * bool(given.folder) + ["--every"] * given.every
    command = [sys.executable, __file__, *options, "--side", side]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(result.stdout)


def report(given: argparse.Namespace) -> str:
    """Measure everything and write it up."""
    found, other = measure("ratio", given), measure("chinese-ratio", given)
    rows = [min((measure(keep, given) for _ in range(ROUNDS)), key=lambda row: row["seconds"]) for keep in ("all", "new")]
    chinese_rows = [measure(f"chinese-{keep}", given) for keep in ("all", "new")]
    source = f"the {found['texts']} instructions of `{MAIN}`" if given.folder else f"{found['texts']} texts made from our seeds"
    parts = "the instructions of the three released sets" if given.folder else "the seed tasks' instructions"
    targets = [
        target_row
        for title, one, both in (("", found, rows), ("Chinese: ", other, chinese_rows))
        for target_row in (
            {"target": f"{title}ratio of pairs per second", "wanted": "at least 200", "measured": f"{one['ratio']:.0f}"},
            {
                "target": f"{title}{LARGE} texts, seconds",
                "wanted": "at most 120",
                "measured": max(row["seconds"] for row in both),
            },
            {
                "target": f"{title}{LARGE} texts, peak of memory (MB)",
                "wanted": "at most 1024",
                "measured": max(row["peak of the process (MB)"] for row in both),
            },
        )
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
Each of {other["texts"]} Chinese texts, with rouge_score given the words of `rouge_words`, as by itself it finds none:

{_markdown(other["sides"])}
{_markdown(other["checks"])}
{LARGE} Chinese texts:

{_markdown(chinese_rows)}
The Chinese texts are put together from phrases of our own by a seeded generator, and spliced and copied in the same way at
single characters. Everything runs in one thread, and seconds are the processor's, which other programs do not lengthen; of
`NearDuplicates` the faster of two rounds counts (of the large Chinese set there is one), rouge_score ran once.
"LCS computed" are the pairs left after the bound from shared words. Pairs at {LIMIT - MARGIN:.1f} or above were found by
comparing all pairs with another function (rapidfuzz's Indel, no index, no bounds), so the third row of decisions covers every
pair; `differing` in the tables of large sets does the same for {CHECKED} texts drawn at random. The large set is the
instructions themselves, splices of three to five of them at words they share, and, a tenth of what is added, copies with one
word changed; its vocabulary is that of its parts, so a word is shared by more texts than in as many independent ones. The
peak is `ru_maxrss`: interpreter and
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
    sides = ("ratio", "all", "new", "chinese-ratio", "chinese-all", "chinese-new")
    parser.add_argument("--side", choices=sides, help="measure one side and print it as JSON")
    given = parser.parse_args()
    if given.side:
        print(json.dumps(one_side(given.side, given)))
        return
    if not given.folder:
        print("No folder of released sets given: measuring texts made from the seed tasks alone", file=sys.stderr)
    text = report(given)
    print(text)
    Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
