"""The card of an export's data: how many rows each stage took and left, by which rules, written and judged by whom.

    text = data_card(record)      # Markdown with the lines of YAML that the Hub and the package datasets read

Nothing that a model wrote stands in it.
Covers the values on the card of the data. Does not cover its words (`templates`), the card of the model
(`export.model_card`) or the data themselves (`export.data`).
"""

import statistics
from collections import Counter
from typing import Any

from isheep_lib.display.stage_tables import trust
from isheep_lib.export.contents import STAGES, Record
from isheep_lib.export.data import FATE, FILES, PAIR, PREFERENCES, constrained_columns, more_columns, score_names
from isheep_lib.export.markdown import code, front_matter, plain, render
from isheep_lib.export.model_card import language_metadata, language_of_record, provenance
from isheep_lib.iterate.grade import grade_of_run
from isheep_lib.iterate.run_params import recorded_params
from isheep_lib.languages.rules import in_words
from isheep_lib.scorers.table import scorer_of

SIZES = {1000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M"}
HOLDS = {
    "pairs": "everything known of each pair, one column each",
    "alpaca": "a list of instruction, input and output",
    "sharegpt": "a list of conversations (human, gpt) with the system prompt of the training, if it showed one",
    "messages": "conversations of roles and contents, as the training framed them; an input stands a blank line below its "
    "instruction",
}
APART = ("iteration", "seed", "decontaminate", "decontaminate_against")


def data_card(record: Record) -> str:
    """Write the card."""
    chosen = record.manifest("filter")
    columns = {
        **PAIR,
        **{f"score_{name}": scorer_of(name).unit for name in score_names(record.rows)},
        **more_columns(record.rows),
        **FATE,
        **constrained_columns(record.rows),
    }
    settings = {name: value for name, value in chosen["parameters"].items() if name not in APART}
    values = {
        "front": _front(record),
        "language": in_words(language_of_record(record)),
        "files": [{"name": name, "file": FILES[name], "holds": text} for name, text in HOLDS.items()] + _preferences(record),
        "columns": [{"column": name, "meaning": text} for name, text in columns.items()],
        "counts": _counts(record),
        "steps": [{name: line[name] for name in ("step", "in", "kept")} for line in chosen["steps"]],
        "settings": [{"setting": name, "value": plain(value)} for name, value in settings.items()],
        "scores": _scores(record),
        "trust": _trust(record.manifest("assess").get("check") or {}),
        "model": _model,
        "constrained": sum(bool(row.get("constraints")) for row in record.rows),
        "grade": grade_of_run(record.run_dir).line,
        "written": recorded_params(record.manifest("synthesize"), "the manifest of synthesize"),
    }
    return render("data_card.md.j2", record=record, origin=provenance(record), **values)


def _preferences(record: Record) -> list[dict[str, Any]]:
    """Describe the file of pairs of answers, where there is one."""
    if not record.preferences:
        return []
    kinds = Counter(row["kind"] for row in record.preferences)
    held = ", ".join(f"{number} by {kind}" for kind, number in kinds.items())
    text = f"prompt, chosen and rejected answers that the training learned from, other rows than the others': {held}"
    return [{"name": "preferences", "file": PREFERENCES, "holds": text}]


def _front(record: Record) -> str:
    size = next((name for limit, name in SIZES.items() if len(record.rows) < limit), "n>1M")
    configs = [{"config_name": "default", "data_files": FILES["pairs"]}]  # datasets takes one format from a folder
    tags = ["isheep", "synthetic", "instruction-tuning"]
    spoken = language_metadata(record)
    return front_matter(
        {**spoken, "task_categories": ["text-generation"], "tags": tags, "size_categories": [size], "configs": configs}
    )


def _counts(record: Record) -> list[dict[str, Any]]:
    """Show the funnel of every stage."""
    rows = []
    for stage in STAGES:
        counts = record.manifest(stage)["counts"]
        rows.append({"stage": stage, "rows": "in", "number": counts["in"]})
        rows += [{"stage": "", "rows": f"- {reason}", "number": n} for reason, n in counts["dropped"].items()]
        rows.append({"stage": "", "rows": "kept", "number": counts["kept"]})
    return rows


def _scores(record: Record) -> list[dict[str, Any]]:
    rows = []
    for name in score_names(record.rows):
        values = sorted(row["scores"][name] for row in record.rows if row["scores"].get(name) is not None)
        quarters = statistics.quantiles(values, method="inclusive") if len(values) > 1 else values * 3
        marks = zip(("lowest", "25 %", "median", "75 %", "highest"), [values[0], *quarters, values[-1]], strict=True)
        rows.append({"score": name, "unit": scorer_of(name).unit, "pairs": len(values), **dict(marks)})
    return rows


def _trust(check: dict[str, Any]) -> list[dict[str, str]]:
    rows = []
    for column, found in check.items():
        for kind, value in found["auroc"].items():
            rows.append({"score": column, "wrong pairs": kind.replace("_", " "), "area under the curve": trust(value)})
    return rows or [{"score": "none was checked"}]


def _model(manifest: dict[str, Any]) -> str:
    """Name a model by its parts and their digests."""
    parts = manifest["parts"]["model"]
    added = [f"{name} ({digest[:16]})" for name, digest in parts.items() if name != "base"]
    base = f"the base model {code(manifest['parameters']['base_model'])} ({parts['base'][:16]})"
    return " with ".join([base, *([", ".join(added)] if added else [])])
