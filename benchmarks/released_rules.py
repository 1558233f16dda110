"""Applies our rules to the pairs that the I-SHEEP authors released, which had passed theirs.

    python benchmarks/released_rules.py FOLDER     # with released_*_kept.json; writes benchmarks/released_rules.md and .csv

Their rows are not copied: the table counts reasons, the CSV names file, row (from 0), reason and our detail.
"""

import csv
import json
import re
import sys
from collections import Counter
from pathlib import Path

from isheep_lib.filter.steps.rules import rule_problem
from isheep_lib.filter.steps.table import MEANINGS
from isheep_lib.record.rows import Pair
from isheep_lib.synthesize.lists import Item
from isheep_lib.synthesize.near_duplicates import NearDuplicates
from isheep_lib.synthesize.rules import FORBIDDEN_WORDS, instruction_problem

HERE = Path(__file__).parent
COPY_SHARE, ROUGE = 0.5, 0.7  # defaults of the params file
OURS = {"cut_off", "special_token", "echo"}  # rules that the release does not have
READING = (
    "Near duplicates pass the release because it compares a new instruction with the seeds and its own batch only;",
    "the file of iteration 3 shows what that adds up to. Instructions are compared without their inputs, as the",
    "paper does, so a task asked again of another text counts. An echo has high mutual information with its task,",
    "and extractive answers are echoes, too. A placeholder may stand in a letter that was given. The release drops any",
    "`<word>` (`filter.placeholders: any_tag`), so also source code and HTML: 28, 62 and 1 rows hold what that drops.",
)
INSTRUCTION_RULES = {
    "too_short": "fewer than 4 words",
    "too_long": "more than 150 words",
    "starts_oddly": "starts with punctuation or non-ASCII",
    "stray_label": 'a label such as "Input:" inside a field',
    "forbidden_word": "image, graph, file, draw, video and the like",
    "url": "a URL",
    "no_words": "no word at all",
    "near_duplicate": f"ROUGE-L F above {ROUGE} with an earlier row of the same file",
}


def reason_of(row: dict, pool: NearDuplicates) -> tuple[str, str]:
    """Return our first reason against a row, and a detail without the row's own text."""
    instruction, given = row["instruction"], row.get("input") or ""
    reason, detail = instruction_problem(Item("", instruction, given)), ""
    if reason == "forbidden_word":
        detail = FORBIDDEN_WORDS.search(f"{instruction}\n{given}").group(0).lower()
    if not reason and (near := pool.find(instruction)):
        reason, detail = "near_duplicate", f"{near[1]:.2f}"
    pool.add(instruction)
    if not reason:
        pair = Pair("", instruction, given, row["output"])
        reason, detail = rule_problem(pair, COPY_SHARE)
    return reason, detail


def table(found: dict[str, list[tuple[str, str]]]) -> list[str]:
    """Count reasons, one column per file."""
    files = list(found)
    counts = {name: Counter(reason for reason, _ in rows) for name, rows in found.items()}
    reasons = sorted({r for c in counts.values() for r in c if r}, key=lambda r: -sum(c[r] for c in counts.values()))
    lines = [f"| reason | meaning | {' | '.join(files)} |", "|---|---|" + "---|" * len(files)]
    lines.append(f"| rows | | {' | '.join(str(len(found[name])) for name in files)} |")
    for reason in reasons:
        meaning = INSTRUCTION_RULES.get(reason) or MEANINGS[reason]
        own = " (a rule of ours)" if reason in OURS else ""
        lines.append(f"| `{reason}` | {meaning}{own} | {' | '.join(str(counts[name][reason]) for name in files)} |")
    kept = [f"{counts[name][''] / len(found[name]):.0%}" for name in files]
    return [*lines, f"| kept | | {' | '.join(kept)} |"]


def main(folder: Path) -> None:
    """Apply the rules to every file and write both results."""
    found = {}
    for path in sorted(folder.glob("released_*_kept.json")):
        pool = NearDuplicates(ROUGE)
        rows = json.loads(path.read_text(encoding="utf-8"))
        name = re.sub(r"^released_|_kept$", "", path.stem).replace("_", " ")
        found[name] = [reason_of(row, pool) for row in rows]
    if not found:
        sys.exit(f"no released_*_kept.json in {folder}")
    with open(HERE / "released_rules.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file", "row", "reason", "detail"])
        writer.writerows([name, i, *why] for name, rows in found.items() for i, why in enumerate(rows) if why[0])
    text = ["# Our rules on the pairs that the authors released", "", *(__doc__ or "").split("\n\n")[0].split("\n"), ""]
    text += [
        "Written by `python benchmarks/released_rules.py FOLDER`; a row is counted under the first reason that strikes it, and",
        "",
    ]
    text[-1:] = ["`released_rules.csv` names every such row with its reason.", "", *table(found), "", *READING, ""]
    (HERE / "released_rules.md").write_text("\n".join(text), encoding="utf-8")
    print("\n".join(table(found)))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else sys.exit(__doc__))
