"""The card of an export's data: how many rows each stage took and left, by which rules, written and judged by whom.

    text = data_card(record)      # Markdown with the lines of YAML that the Hub and the package datasets read

Nothing that a model wrote stands in it.
Covers the card of the data. Does not cover that of the model (`export.model_card`) or the data themselves (`export.data`).
"""

import statistics
from typing import Any

from isheep_lib.display.stage_tables import FEW
from isheep_lib.export.contents import STAGES, Record
from isheep_lib.export.data import FATE, FILES, MORE, PAIR, score_names
from isheep_lib.export.markdown import block, code, escape, front_matter, table
from isheep_lib.export.model_card import provenance
from isheep_lib.scorers.table import scorer_of

SIZES = {1000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M"}
LOAD = """\
from datasets import load_dataset

pairs = load_dataset("data", split="train")
messages = load_dataset("json", data_files="data/messages.jsonl", split="train")"""
APART = ("iteration", "seed", "decontaminate", "decontaminate_against")


def data_card(record: Record) -> str:
    """Write the card."""
    parts = [_front(record), _title(record), "## Files", *_files(record), "## How many rows, and why", *_counts(record)]
    parts += ["## Scores", *_scores(record), "## Where it comes from", _sources(record), *provenance(record)]
    parts += ["## Benchmark items", _decontamination(record), "## Licence", _licence(record), "## Limits", _limits()]
    return "\n\n".join(parts) + "\n"


def _front(record: Record) -> str:
    size = next((name for limit, name in SIZES.items() if len(record.rows) < limit), "n>1M")
    configs = [{"config_name": "default", "data_files": FILES["pairs"]}]  # datasets takes one format from a folder
    tags = ["isheep", "synthetic", "instruction-tuning"]
    return front_matter({"task_categories": ["text-generation"], "tags": tags, "size_categories": [size], "configs": configs})


def _title(record: Record) -> str:
    k = record.iteration
    return (
        f"# {escape(record.run_dir.name)}, the pairs of iteration {k}\n\n"
        f"{len(record.rows)} instructions with responses, D_{k} of a run of isheep, a reproduction of I-SHEEP (arXiv "
        "2408.08072): a language model wrote both, after the pattern of seed tasks, and scored them; these are the pairs that "
        f"the filter kept, from which M_{k} was trained. No person wrote or checked them. No text of them stands on this page."
    )


def _files(record: Record) -> list[str]:
    words = {
        "pairs": "everything known of each pair, one column each",
        "alpaca": "a list of instruction, input and output",
        "sharegpt": "a list of conversations (human, gpt) with the system prompt of the training, if it showed one",
        "messages": "conversations of roles and contents, as the training framed them; an input stands a blank line below its "
        "instruction",
    }
    rows = [{"name": name, "file": FILES[name], "holds": text} for name, text in words.items()]
    columns = {**PAIR, **{f"score_{name}": scorer_of(name).unit for name in score_names(record.rows)}, **MORE, **FATE}
    return [
        "The same rows in the same order in each:",
        table(rows),
        block(LOAD, "python"),
        "Columns of `pairs.parquet`:",
        table([{"column": name, "meaning": text} for name, text in columns.items()]),
    ]


def _counts(record: Record) -> list[str]:
    """Show the funnel of every stage, and each step of the filter with its settings."""
    rows = []
    for stage in STAGES:
        counts = record.manifest(stage)["counts"]
        rows.append({"stage": stage, "rows": "in", "number": counts["in"]})
        rows += [{"stage": "", "rows": f"- {reason}", "number": n} for reason, n in counts["dropped"].items()]
        rows.append({"stage": "", "rows": "kept", "number": counts["kept"]})
    chosen = record.manifest("filter")
    settings = {name: value for name, value in chosen["parameters"].items() if name not in APART}
    note = "What assess counts as dropped are pairs without a readable score; it leaves them to the filter."
    if record.params["setting"] == "total_base":
        note += " The training also took the rows of all iterations before, which are not here."
    return [
        table(rows),
        note,
        "The filter's steps, in order:",
        table([{name: line[name] for name in ("step", "in", "kept")} for line in chosen["steps"]]),
        "Its settings; those of steps that did not run had no effect:",
        table([{"setting": name, "value": _plain(value)} for name, value in settings.items()]),
    ]


def _scores(record: Record) -> list[str]:
    rows = []
    for name in score_names(record.rows):
        values = sorted(row["scores"][name] for row in record.rows if row["scores"].get(name) is not None)
        quarters = statistics.quantiles(values, method="inclusive") if len(values) > 1 else values * 3
        marks = zip(("lowest", "25 %", "median", "75 %", "highest"), [values[0], *quarters, values[-1]], strict=True)
        rows.append({"score": name, "unit": scorer_of(name).unit, "pairs": len(values), **dict(marks)})
    if not rows:
        return ["No score was computed."]
    return [
        "Of the pairs kept:",
        table(rows),
        "How well scores tell true pairs from the same tasks with wrong responses, as the run measured it (area under the "
        "curve, 0.5 is chance, with a 95 % interval):",
        table(_trust(record.manifest("assess").get("check") or {})),
    ]


def _trust(check: dict[str, Any]) -> list[dict[str, str]]:
    rows = []
    for column, found in check.items():
        for kind, value in found["auroc"].items():
            few = min(value["true_pairs"], value["wrong_pairs"]) < FEW
            text = "too few readable scores" if few else f"{value['value']:.2f} ({value['low']:.2f} to {value['high']:.2f})"
            rows.append({"score": column, "wrong pairs": kind.replace("_", " "), "area under the curve": text})
    return rows or [{"score": "none was checked"}]


def _sources(record: Record) -> str:
    """Name the seeds and the models that wrote and judged."""
    wrote, judged = record.manifest("synthesize"), record.manifest("assess")
    fields = wrote["parameters"]["seed_fields"]
    mapping = f", fields {escape(', '.join(fields))}" if fields else ""
    lines = [
        f"Written by {_model(wrote)}.",
        f"Scored by {_model(judged)}.",
        f"After the pattern of the seed tasks {code(wrote['parameters']['seeds'])}{mapping}; their own text is not here.",
        f"With {wrote['parameters']['generated_demonstrations']} of {wrote['parameters']['demonstrations']} tasks shown in a "
        "prompt taken from earlier pairs of the run, at most.",
    ]
    return "\n".join(f"- {line}" for line in lines)


def _model(manifest: dict[str, Any]) -> str:
    """Name a model by its parts and their digests."""
    parts = manifest["parts"]["model"]
    added = [f"{name} ({digest[:16]})" for name, digest in parts.items() if name != "base"]
    base = f"the base model {code(manifest['parameters']['base_model'])} ({parts['base'][:16]})"
    return " with ".join([base, *([", ".join(added)] if added else [])])


def _decontamination(record: Record) -> str:
    manifest = record.manifest("filter")
    how, found = manifest["parameters"]["decontaminate"], manifest["contamination"]
    if how == "ignore":
        return "Pairs were not compared with benchmark items: some may repeat them."
    done = "dropped" if how == "drop" else "listed only, and are among these pairs"
    named = ", ".join(f"{name} {number}" for name, number in found["hits"].items()) or "none"
    against = ", ".join(manifest["parameters"]["decontaminate_against"])
    lines = [
        f"Pairs were compared with the items of: {escape(against)}.",
        f"Those that repeat one were {done}: {found['pairs']} pair(s).",
        f"Repetitions found, by benchmark: {escape(named)}.",
    ]
    if absent := found["not_looked_at"]:
        lines.append(f"Not looked at, for want of data: {escape(', '.join(absent))}.")
    return "\n".join(f"- {line}" for line in lines)


def _licence(record: Record) -> str:
    licence = f" (the base model's is {record.base.licence})" if record.base.licence else ""
    return (
        f"None is stated. A model wrote the pairs, so the terms of its licence{licence}, and those of the seed tasks that "
        "stood in its prompts, may bear on their use; look at both before you publish them."
    )


def _limits() -> str:
    found = (
        "Responses can be wrong, empty of content, unsafe or private; the filter looks at form and at the model's own scores.",
        "Instructions resemble the seed tasks, in subject and in language.",
        "The scores are the model's opinion of itself; the table above says how far they can tell right from wrong.",
        "Near duplicates are removed by words (ROUGE-L), not by meaning.",
    )
    return "\n".join(f"- {text}" for text in found)


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
