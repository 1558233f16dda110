"""Looks for the signs of a collapse in the pairs that the I-SHEEP authors released.

    python benchmarks/released_drift.py FOLDER     # with released_*_kept.json; writes benchmarks/released_drift.md

Their rows are not copied: the tables hold what `isheep_lib.analysis.collapse` measures and warns of, each number computed.
"""

import json
import re
import sys
from collections import defaultdict
from pathlib import Path

from isheep_lib.analysis.collapse import DISTINCT_OF, ENOUGH, ERRORS, SIGNS, answer_signs, rule_rows, warning_rows, warnings
from isheep_lib.analysis.words import distinct_n

HERE = Path(__file__).parent
NAME = re.compile(r"released_(?P<model>\w+?)_(?:base|iter(?P<iteration>\d+))_kept")
READING = (
    "The outputs are those that passed the authors' rules and scores, so refusals and empty answers are rare in all sets. How",
    "an output ended was not released, so the share that was cut is not known. The last two rows look at whole sets: there",
    "the one falls and the other rises with the size of a set, so sets of different size cannot be compared by them, and no",
    "rule does.",
)


def read_sets(folder: Path) -> dict[str, dict[int, list[str]]]:
    """Read the outputs of every released set by model and iteration; the base model's is 0."""
    found: dict[str, dict[int, list[str]]] = defaultdict(dict)
    for path in sorted(folder.glob("released_*_kept.json")):
        named = NAME.fullmatch(path.stem)
        if not named:
            sys.exit(f"{path}: neither base nor an iteration")
        rows = json.loads(path.read_text(encoding="utf-8"))
        found[named["model"]][int(named["iteration"] or 0)] = [row["output"] for row in rows]
    return found


def repeats(texts: list[str]) -> float:
    """Return the share of texts that equal an earlier one, but for case and spaces."""
    return 1 - len({" ".join(text.split()).lower() for text in texts}) / len(texts)


def markdown(rows: list[dict]) -> list[str]:
    """Write rows as a Markdown table."""
    lines = ["| " + " | ".join(rows[0]) + " |", "|---" * len(rows[0]) + "|"]
    return lines + ["| " + " | ".join(shown(value) for value in row.values()) + " |" for row in rows]


def shown(value: object) -> str:
    """Write a cell: whole numbers as they are, other numbers with three decimals at most."""
    if value is None:
        return "not known"
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def report(sets: dict[str, dict[int, list[str]]]) -> list[str]:
    """Write the table of signs, then the warnings of each model, then the rules."""
    signs = {model: {k: answer_signs(texts) for k, texts in by.items()} for model, by in sets.items()}
    columns = [(f"{model} " + (f"iteration {k}" if k else "base"), model, k) for model, by in sets.items() for k in sorted(by)]
    rows = [{"sign": SIGNS[name], **{title: signs[model][k][name] for title, model, k in columns}} for name in SIGNS]
    whole = {title: sets[model][k] for title, model, k in columns}
    rows.append({"sign": "distinct pairs of words, whole set (share)", **{t: distinct_n(x, 2) for t, x in whole.items()}})
    rows.append({"sign": "answers that equal an earlier one, whole set (share)", **{t: repeats(x) for t, x in whole.items()}})
    lines = ["## Signs", "", *markdown(rows), "", *READING]
    lines += ["", "## Warnings"]
    for model, series in signs.items():
        found = warning_rows(warnings(series))
        none = "No rule strikes." if len(series) > 1 else "One set, so there is nothing to compare it with."
        lines += ["", f"### {model}", "", *(markdown(found) if found else [none])]
    lines += ["", "## Rules", "", *markdown(rule_rows()), ""]
    return [
        *lines,
        "Each set is compared with the first of its model and with the one before, both among those at hand. Sets of fewer",
        f"than {ENOUGH} outputs are not compared. A share must also rise by more than {ERRORS} standard errors. Diversity is",
        f"that expected among {DISTINCT_OF} words or pairs of words drawn from a set, equal answers are those expected among",
        f"{ENOUGH} outputs.",
    ]


def main(folder: Path) -> None:
    """Measure every set and write the page."""
    sets = read_sets(folder)
    if not sets:
        sys.exit(f"no released_*_kept.json in {folder}")
    head = [
        "# Signs of a collapse in the pairs that the authors released",
        "",
        *(__doc__ or "").split("\n\n")[0].split("\n"),
        "",
    ]
    head += ["Written by `python benchmarks/released_drift.py FOLDER`; no number is typed by hand.", ""]
    text = "\n".join([*head, *report(sets), ""])
    (HERE / "released_drift.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else sys.exit(__doc__))
