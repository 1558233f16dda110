"""The model card of an export: what the model is, how it was made, how it scores, how to load it.

    text = model_card(record, weights)      # Markdown with the lines of YAML that the Hub reads

Nothing that a model wrote stands in it.
Covers the card of a model. Does not cover that of its data (`export.data_card`) or reading the record (`export.contents`).
"""

from typing import Any

from isheep_lib.display import evaluation_tables
from isheep_lib.export.contents import Record, makers
from isheep_lib.export.loading import Weights, loading
from isheep_lib.export.markdown import block, code, escape, front_matter, table

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


def model_card(record: Record, weights: Weights | None) -> str:
    """Write the card; without weights it says where they are not."""
    parts = [_front(record, weights), _title(record, weights), "## What it is", table(_facts(record))]
    if weights:
        parts += ["## Loading it", *loading(record, weights), "## Chat frame", *_frame(record, weights)]
    parts += ["## Training", *_training(record), "## Evaluation", *_evaluation(record), "## Limits", _limits(record)]
    return "\n\n".join([*parts, "## Where it comes from", *provenance(record)]) + "\n"


def _front(record: Record, weights: Weights | None) -> str:
    base, values = record.base, {}
    if base.licence:
        values["license"] = base.licence
    if base.repository:
        values["base_model"] = base.repository
        values["base_model_relation"] = "finetune" if record.method == "full" else "adapter"
    values["library_name"] = "transformers" if record.method == "full" or (weights and not weights.adapters) else "peft"
    values["pipeline_tag"] = "text-generation"
    values["tags"] = ["isheep", "self-alignment", "synthetic-data", *(["lora"] if record.method != "full" else [])]
    return front_matter(values)


def _title(record: Record, weights: Weights | None) -> str:
    what = "M" if weights else "The weights are not in this folder; isheep trains them again. This is the card of M"
    return "\n\n".join(
        [
            f"# {escape(record.run_dir.name)}, iteration {record.iteration}",
            f"{what}_{record.iteration} of a run of isheep, a reproduction of I-SHEEP (arXiv 2408.08072). A language model "
            "wrote instructions after the pattern of seed tasks, answered them, scored its own answers and kept some; this "
            "model was trained on what was kept. No person wrote or checked the answers that it learned from. The pairs of "
            "this iteration, and what is known of them, are in [data](data/README.md).",
        ]
    )


def _facts(record: Record) -> list[dict[str, str]]:
    base, params = record.base, record.params
    facts = {
        "run, iteration": f"{record.run_dir.name}, {record.iteration}",
        "base model": base.name,
        "its digest (SHA-256 over its files)": base.digest,
        "setting": SETTINGS[params["setting"]],
        "trained": METHODS[record.method],
        "trainings that lead to it": ", ".join(f"iteration {k}" for k in record.lineage),
    }
    for k in record.lineage:
        for name, digest in record.weight_files(k).items():
            if name.endswith(".safetensors"):
                facts[f"iter-{k}/train/{name} (SHA-256)"] = digest
    facts["licence"] = base.licence or (
        "not stated here: it follows from the licence of the base model, which the record does not hold"
    )
    return [{"": name, "value": text} for name, text in facts.items()]


def _frame(record: Record, weights: Weights) -> list[str]:
    """Show the frame as text, and how far the template keeps to it."""
    frame, number = weights.frame, len(record.rows)
    system = (
        "Without a system message it has the system prompt of the training."
        if weights.takes_system
        else "It takes no system message, as the training showed none."
    )
    known = f"all {number}" if weights.same == number else f"{weights.same} of {number}"
    return [
        f"The model was trained in the frame {code(frame.name)}; asked in another one it is another model. Framed words, "
        "where WORDS are the user's:",
        block(frame.prompt("WORDS")),
        f"An answer ends with {code(frame.end)}. `chat_template.jinja` is this frame: `tokenizer.apply_chat_template` made of "
        f"the tasks of {known} pairs here the tokens that the training read. {system}",
    ]


# What was done, and what came of it


def _training(record: Record) -> list[str]:
    manifest = record.manifest("train")
    fates = [row["fate"] for row in record.fates.values()]
    facts: dict[str, Any] = {name: value for name, value in record.params.items() if name not in PLACE}
    counts = {f"pairs {fate.replace('_', ' ')}": fates.count(fate) for fate in dict.fromkeys(fates)}
    counts = counts or {"pairs learned and held out": manifest["counts"]["kept"]}
    facts |= counts | {"tokens seen": manifest["tokens"].get("trained", "not recorded")}
    if "trainable" in manifest:
        facts["weights trained"] = manifest["trainable"]
    return [table([{"parameter": name, "value": _plain(value)} for name, value in facts.items()]), held_out(record)]


def held_out(record: Record) -> str:
    """Say whether training helped on pairs that it did not see."""
    change = record.manifest("train").get("held_out")
    if not change:
        return "The record holds no held-out loss."
    before, best = change["before"], change["best"]
    if best < before:
        return f"The loss on held-out pairs fell from {before:.4f} to {best:.4f} nats a token (step {change['at step']})."
    return (
        f"**The loss on held-out pairs did not fall:** {before:.4f} before, {best:.4f} at its best. This model learned nothing "
        "that carries over to pairs it has not seen."
    )


def _evaluation(record: Record) -> list[str]:
    if record.iteration not in record.metrics:
        return ["This model was not evaluated."]
    own = record.metrics[record.iteration]
    notes = [
        evaluation_tables.ERRORS
        + ". Values are percent, on the items named. A difference smaller than its errors shows nothing."
    ]
    if 0 not in record.metrics:
        notes.append("The base model was not evaluated, so the table does not show what training changed.")
    frames = {k: metrics["frame"] for k, metrics in record.metrics.items()}
    if len(set(frames.values())) > 1:
        said = ", ".join(f"M_{k} in the frame {frame}" for k, frame in frames.items())
        notes.append(f"The models were asked in different frames ({said}), so their scores are not comparable.")
    if repeated := {name: task["trained_on"] for name, task in own["tasks"].items() if task["trained_on"]}:
        said = ", ".join(f"{name} {number}" for name, number in repeated.items())
        notes.append(f"Items that the model was trained on are among these: {said}.")
    if own["absent"]:
        notes.append(f"Left out for want of data: {', '.join(own['absent'])}.")
    return [table(evaluation_tables.results_table(record.metrics).rows), *notes]


def _limits(record: Record) -> str:
    found = [
        "Everything it learned was written by a model and chosen by scores that the same model gave; errors of the base are "
        "learned, too, and can grow from one iteration to the next.",
        "It was not trained to refuse anything, and nobody looked through its answers for what is harmful, private or wrong.",
        f"Its last training saw {record.manifest('train')['counts']['kept']} pairs, single turns only, in the languages of the "
        "seed tasks.",
    ]
    if record.method == "qlora":
        found.append("It was trained on the base in 4 bits and is evaluated, and given here, on the base in full.")
    return "\n".join(f"- {text}" for text in found)


def provenance(record: Record) -> list[str]:
    """Show which stages, code and packages a model and its pairs came from."""
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
    packages = ", ".join(f"{name} {' and '.join(sorted(found))}" for name, found in sorted(versions.items()))
    seed, tasks = record.params["seed"], record.manifest("synthesize")
    said = f"Random seed {seed}. Seed tasks: {code(tasks['parameters']['seeds'])}, SHA-256 {tasks['parts']['inputs']['seeds']}."
    return [table(rows), said, f"Packages: {escape(packages)}.", "`export.json` has the digest of every file here."]


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
