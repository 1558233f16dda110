"""The model card of an export: what the model is, how it was made, how it scores, how to load it.

    text = model_card(record, weights)      # Markdown with the lines of YAML that the Hub reads

Nothing that a model wrote stands in it.
Covers the values on the card of a model. Does not cover its words (`templates`), the card of its data (`export.data_card`) or
reading the record (`export.contents`).
"""

from typing import Any

from isheep_lib.display import evaluation_tables
from isheep_lib.export.contents import Record, makers
from isheep_lib.export.loading import Weights
from isheep_lib.export.markdown import counts, front_matter, plain, render
from isheep_lib.iterate.grade import grade_of_run
from isheep_lib.iterate.run_params import SynthesizeParams, recorded_params
from isheep_lib.languages.rules import Language, in_words, tags_of
from isheep_lib.languages.tags import shortened
from isheep_lib.train.objectives.table import OBJECTIVES

SETTINGS = {
    "one_base": "One_base: the base model, trained on the pairs of this iteration alone",
    "one_last": "One_last: the model of the iteration before, trained further on the pairs of this iteration",
    "total_base": "Total_base: the base model, trained on the pairs of this iteration and of all before it",
}
METHODS = {
    "lora": "an adapter (LoRA)",
    "qlora": "an adapter (LoRA) on a base in 4 bits; the adapter is given here for the base as it is, not in 4 bits",
    "full": "all weights",
}
PLACE = ("base_model", "iteration", "aligned_frame", "system_prompt", "setting", "method", "main_address")
PATTERNS = {
    "answers": "for texts that people wrote",
    "documents": "from texts that people wrote",
    "seeds": "after the pattern of seed tasks",
    "": "after nothing but its own chat frame",
}
SHOWN = {"seeds": "seed tasks", "documents": "texts"}  # what stood in prompts, by what the method needs


def model_card(record: Record, weights: Weights | None) -> str:
    """Write the card; without weights it says where they are not."""
    own = record.metrics.get(record.iteration)
    values = {
        "front": _front(record, weights),
        "facts": _facts(record),
        "training": _training(record),
        "held_out": held_out(record),
        "own": own,
        "results": evaluation_tables.results_table(record.metrics).rows if own else [],
        "errors": evaluation_tables.ERRORS,
        "frames": {k: metrics["frame"] for k, metrics in record.metrics.items()},
        "repeated": {name: task["trained_on"] for name, task in own["tasks"].items() if task["trained_on"]} if own else {},
    }
    return render("model_card.md.j2", record=record, weights=weights, origin=provenance(record), **values)


def _front(record: Record, weights: Weights | None) -> str:
    base, values = record.base, {}
    if base.licence:
        values["license"] = base.licence
    if base.repository:
        values["base_model"] = base.repository
        values["base_model_relation"] = "finetune" if record.method == "full" else "adapter"
    values["library_name"] = "transformers" if record.method == "full" or (weights and not weights.adapters) else "peft"
    values |= language_metadata(record)
    values["pipeline_tag"] = "text-generation"
    values["tags"] = ["isheep", "self-alignment", "synthetic-data", *(["lora"] if record.method != "full" else [])]
    values["tags"] += [record.objective] if record.preferences else []
    return front_matter(values)


def language_of_record(record: Record) -> Language:
    """Return the language of the tasks; those of records that name none are English."""
    return record.manifest("synthesize")["parameters"].get("language", "en")


def language_metadata(record: Record) -> dict[str, list[str]]:
    """Return the language as the Hub reads it: languages without their regions, and the whole tags where they say more."""
    tags = tags_of(language_of_record(record))
    plain = list(dict.fromkeys(shortened(tag)[-1] for tag in tags)) or ["multilingual"]
    return {"language": plain} | ({"language_bcp47": tags} if tags and tags != plain else {})


def _facts(record: Record) -> list[dict[str, str]]:
    base, params = record.base, record.params
    facts = {
        "run, iteration": f"{record.run_dir.name}, {record.iteration}",
        "base model": base.name,
        "its digest (SHA-256 over its files)": base.digest,
        "grade": grade_of_run(record.run_dir).line,
        "language of the tasks": in_words(language_of_record(record)),
        "setting": SETTINGS[params["setting"]],
        "trained": METHODS[record.method],
        "objective": f"{record.objective}: {OBJECTIVES[record.objective].source}",
        "trainings that lead to it": ", ".join(f"iteration {k}" for k in record.lineage),
    }
    for k in record.lineage:
        for name, digest in record.weight_files(k).items():
            if name.endswith(".safetensors"):
                facts[f"iter-{k}/train/{name} (SHA-256)"] = digest
    facts["licence"] = (
        f"{base.terms.name}, {base.terms.url}"
        if base.terms
        else base.licence or ("not stated here: it follows from the licence of the base model, which the record does not hold")
    )
    return [{"": name, "value": text} for name, text in facts.items()]


def _training(record: Record) -> list[dict[str, Any]]:
    """Show what was done with which parameters, and what became of the pairs."""
    manifest = record.manifest("train")
    fates = [row["fate"] for row in record.fates.values()]
    facts: dict[str, Any] = {name: value for name, value in record.params.items() if name not in PLACE}
    became = {f"pairs {fate.replace('_', ' ')}": fates.count(fate) for fate in dict.fromkeys(fates)}
    became = became or {"pairs learned and held out": manifest["counts"]["kept"]}
    facts |= became | {"tokens seen": manifest["tokens"].get("trained", "not recorded")}
    if "trainable" in manifest:
        facts["weights trained"] = manifest["trainable"]
    return [{"parameter": name, "value": plain(value)} for name, value in facts.items()]


def held_out(record: Record) -> str:
    """Say whether training helped on pairs that it did not see."""
    change = record.manifest("train").get("held_out")
    if not change:
        return "The record holds no held-out loss."
    before, best = change["before"], change["best"]
    if best < before:
        unit, step = OBJECTIVES[record.objective].unit, change["at step"]
        said = f"The loss on held-out pairs fell from {before:.4f} to {best:.4f} {unit} (step {step})."
        if "accuracy at best" in change:
            was, now = change["accuracy before"], change["accuracy at best"]
            said += f" Of held-out pairs of answers {now:.0%} have a margin for the chosen one, {was:.0%} before."
        return said
    return (
        f"**The loss on held-out pairs did not fall:** {before:.4f} before, {best:.4f} at its best. This model learned nothing "
        "that carries over to pairs it has not seen."
    )


def provenance(record: Record) -> dict[str, Any]:
    """Collect for a card which stages, code and packages a model and its pairs came from."""
    made = makers(record)
    rows = [
        {
            "stage": f"iter-{k}/{stage}",
            "fingerprint": manifest["fingerprint"][:16],
            "commit": manifest.get("git", {}).get("commit", "not known"),
            "rows in": manifest["counts"]["in"],
            "kept": manifest["counts"]["kept"],
        }
        for (k, stage), manifest in made.items()
    ]
    versions: dict[str, set[str]] = {}
    for manifest in made.values():
        for name, version in manifest["environment"]["packages"].items():
            versions.setdefault(name, set()).add(version)
    return {
        "stages": rows,
        "packages": counts({name: " and ".join(sorted(found)) for name, found in sorted(versions.items())}),
        **_sources(record),
    }


def _sources(record: Record) -> dict[str, Any]:
    """Say what tasks were written from: each source with its digest, and the words for it."""
    tasks = record.manifest("synthesize")
    written = recorded_params(tasks, "the manifest of synthesize")
    assert isinstance(written, SynthesizeParams)  # noqa: S101 - for the type checker: so that stage was read
    named = {
        "seeds": ("Seed tasks", written.seeds),
        "documents": ("Documents", written.options.model_dump().get("documents", "")),
        "tables": ("Tables", written.options.model_dump().get("tables", "")),
    }
    found = [(*named[name], digest) for name, digest in tasks["parts"]["inputs"].items() if name in named]
    needs, by_people = written.chosen.needs, written.chosen.answers_given
    from_what = "answers" if by_people else next((name for name in PATTERNS if name in needs), "")
    return {
        "sources": found,
        "licences": _licences(tasks),
        "pattern": PATTERNS[from_what],
        "shown": " and ".join(words for name, words in SHOWN.items() if name in needs),
        "from_seeds": "seeds" in needs,
        "by_people": by_people,
        "teacher": written.teacher,
    }


def _licences(tasks: dict[str, Any]) -> list[tuple[str, int, str]]:
    """List what tasks were written from, with its number and licences; [] for a record that names none."""
    return [(name, each["number"], counts(each["licences"])) for name, each in tasks.get("sources", {}).items()]
