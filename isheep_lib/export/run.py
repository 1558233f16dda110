"""What a run gives to others: the model of an iteration, its pairs, cards of both, and a list with digests.

    export(run_dir, 2, merged=True)     # results/<run>/export/iteration-2

The folder is made beside its place and renamed when it is whole; an earlier export there is replaced, anything else is not.
Covers what is written and where. Does not cover what stands on the cards (`export.model_card`, `export.data_card`), the
forms of the data (`export.data`), or what may be exported (`export.contents`).
"""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from isheep_lib import __version__
from isheep_lib.engines.tokens import Vocabulary, load_vocabulary
from isheep_lib.errors import ModelError, ParameterError
from isheep_lib.export import chat_template, data_card, model_card
from isheep_lib.export.contents import Base, Record, read
from isheep_lib.export.data import messages, write, write_preferences
from isheep_lib.models import trained
from isheep_lib.models.base import ModelRef, find_model
from isheep_lib.models.embedded import Terms, shipped
from isheep_lib.models.merged import merged_folder
from isheep_lib.prompting.chat import DAY, Frame, get_frame
from isheep_lib.prompting.special_tokens import encode
from isheep_lib.record import provenance
from isheep_lib.record.folders import replacing, require_own
from isheep_lib.record.manifests import MANIFEST, describe_file, stage_folder
from isheep_lib.record.rows import digest_file, write_atomic

LIST, FORMAT = "export.json", "isheep export"
NOTICE, TERMS = "NOTICE.txt", "TERMS.html"
TEMPLATE = "chat_template.jinja"
LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # vLLM makes room for one of these


def export(run_dir: Path, iteration: int, merged: bool = False, data_only: bool = False, out: Path | None = None) -> Path:
    """Write the export of an iteration and return its folder, by default `export/iteration-K` in the run's own.

    With `merged` it also holds the base with the adapters merged in; with `data_only` pairs and cards alone.

    Raises:
        ParameterError: both `merged` and `data_only`.
        RecordError: there is nothing to export, the record is damaged, or the folder holds other files.
        ModelError: the base is absent, or not the one that the run was trained on.
    """
    if merged and data_only:
        raise ParameterError("--data-only writes no weights, and --merged is a form of them", do="give one of the two")
    record = read(run_dir, iteration, data_only)
    out = (out or run_dir / "export" / f"iteration-{iteration}").resolve()
    require_own(out, "export", _foreign)
    model = None if data_only else _model(record)
    with replacing(out, "export", _foreign) as fresh:
        _fill(fresh, record, model, merged)
    return out


def _foreign(out: Path) -> list[Path]:
    """List the files of a folder that no export wrote, or that were changed since."""
    known = listed(out)
    paths = [path for path in out.rglob("*") if not path.is_dir() and (path != out / LIST or not known)]
    return [path for path in paths if known.get(path.relative_to(out).as_posix(), {}).get("sha256") != digest_file(path)]


def listed(out: Path) -> dict[str, dict[str, Any]]:
    """Read the files of an earlier export, {} where there is none."""
    try:
        found = json.loads((out / LIST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found["files"] if isinstance(found, dict) and found.get("format") == FORMAT else {}


def _model(record: Record) -> ModelRef:
    """Find the model; its base must be the one that the run was trained on."""
    base = find_model(record.base.name)
    if base.digest != record.base.digest:
        raise ModelError(
            "The base model is not the one that the run was trained on; the adapter would not fit it",
            where=f"{base.name}: {base.digest[:12]}…, the training recorded {record.base.digest[:12]}…",
            do="restore the model's folder, or export the data alone with --data-only",
        )
    return trained.model_of(record.run_dir, record.base.name, record.iteration)


def _fill(folder: Path, record: Record, model: ModelRef | None, merged: bool) -> None:
    """Write everything into an empty folder, the list last."""
    name, system = record.params["aligned_frame"], record.params["system_prompt"]
    # Older runs told the clock's.
    day = record.params.get("template_date") or record.manifest("train").get("finished", DAY)[:10]
    vocabulary = load_vocabulary(model or find_model(record.base.name)) if model or name == "tokenizer" else None
    # Named frames look no further than at a tokenizer's end-of-text token.
    frame = get_frame(
        name, system, vocabulary.tokenizer if vocabulary else SimpleNamespace(special_tokens_map={"eos_token": ""}), day
    )
    takes, shown = frame.system is not None, frame.system or ""
    written = None
    if model and vocabulary:
        vocabulary.tokenizer.chat_template = chat_template.write(frame, vocabulary.tokenizer)
        same = sum(_same_tokens(row, shown, frame, vocabulary.tokenizer) for row in record.rows)
        ends, places = _ends(frame, vocabulary), _write_weights(folder, record, model, vocabulary, frame, merged)
        written = model_card.Weights(*places, frame, ends, ends == vocabulary.ends, _rank(model, record.params), takes, same)
    write(folder / "data", record.rows, record.fates, shown)
    if record.preferences:
        write_preferences(folder / "data", record.preferences, shown)
    write_atomic(folder / "data" / "README.md", data_card.data_card(record))
    write_atomic(folder / "README.md", model_card.model_card(record, written))
    if model and record.base.terms:
        _write_terms(folder, record.base.name, record.base.terms)
    write_atomic(folder / LIST, json.dumps(_list(folder, record), indent=1, sort_keys=True) + "\n")


def _ends(frame: Frame, vocabulary: Vocabulary) -> tuple[int, ...]:
    """Return the tokens that end an answer, the frame's own among them; none where that is no single token."""
    end = chat_template.end_token(frame, vocabulary.tokenizer)
    return tuple(dict.fromkeys([*vocabulary.ends, end])) if end is not None else ()


def _write_weights(
    folder: Path, record: Record, model: ModelRef, vocabulary: Vocabulary, frame: Frame, merged: bool
) -> tuple[tuple[str, ...], str]:
    """Write adapters, or the whole model, and the chat template; return the adapters' folders and that of a whole model."""
    write_atomic(folder / TEMPLATE, vocabulary.tokenizer.chat_template)
    names = ["adapter"] if len(model.adapters) == 1 else [f"adapter-{k}" for k in record.lineage]
    names = names[: len(model.adapters)]  # none where all weights were trained
    for source, name in zip(model.adapters, names, strict=True):
        _copy_adapter(source, folder / name, record.base, model.path)
    whole = ("merged" if merged else "") if names else "model"
    if whole:
        _copy_model(merged_folder(model), folder / whole, vocabulary.tokenizer, _ends(frame, vocabulary))
    return tuple(names), whole


def _copy_adapter(source: Path, target: Path, base: Base, path: Path) -> None:
    """Copy an adapter; its configuration names the base by what peft finds: a repository of the Hub, else the whole path."""
    target.mkdir()
    shutil.copyfile(source / "adapter_model.safetensors", target / "adapter_model.safetensors")
    config = json.loads((source / "adapter_config.json").read_text(encoding="utf-8"))
    config |= {"base_model_name_or_path": base.repository or str(path), "revision": base.revision or None}
    write_atomic(target / "adapter_config.json", json.dumps(config, indent=1, sort_keys=True) + "\n")


def _copy_model(source: Path, target: Path, tokenizer: Any, ends: tuple[int, ...]) -> None:
    """Copy a whole model, with the tokenizer that has the template, and answers that end where they were trained to."""
    target.mkdir()
    for path in sorted(path for path in source.iterdir() if path.is_file()):
        shutil.copyfile(path, target / path.name)
    tokenizer.save_pretrained(target)
    generation = target / "generation_config.json"
    values = json.loads(generation.read_text(encoding="utf-8")) if generation.is_file() else {}
    if ends:
        values = {name: value for name, value in values.items() if name != "_from_model_config"} | {"eos_token_id": list(ends)}
    write_atomic(generation, json.dumps(values, indent=2, sort_keys=True) + "\n")


def _write_terms(folder: Path, base: str, terms: Terms) -> None:
    """Put beside a model what its base's terms ask of whoever passes it on: their notice, and the text itself."""
    write_atomic(folder / NOTICE, f"{terms.notice}\n\nThe weights in this folder were modified: they were trained further.\n")
    shutil.copyfile(shipped(base.removeprefix("embedded:"), *terms.copy), folder / TERMS)


def _same_tokens(row: dict[str, Any], system: str, frame: Frame, tokenizer: Any) -> bool:
    """Tell whether the template makes the tokens of the training out of a pair's task."""
    *asked, _ = messages(row, system)
    ids = tokenizer.apply_chat_template(asked, add_generation_prompt=True, tokenize=True, return_dict=False)
    return ids == encode(tokenizer, frame.prompt(asked[-1]["content"]))


def _rank(model: ModelRef, params: dict[str, Any]) -> int:
    """Return the rank that vLLM must make room for, 0 where it cannot apply the adapters."""
    if len(model.adapters) != 1 or params.get("dora"):
        return 0
    config = json.loads((model.adapters[0] / "adapter_config.json").read_text(encoding="utf-8"))
    most = max([config["r"], *config.get("rank_pattern", {}).values()])
    return next((rank for rank in LORA_RANKS if rank >= most), 0)


def _list(folder: Path, record: Record) -> dict[str, Any]:
    """Describe every file, and what the export was made of."""
    manifests = {}
    for (k, stage), manifest in record.manifests.items():
        path = stage_folder(record.run_dir, k, stage) / MANIFEST
        manifests[f"iter-{k}/{stage}"] = {"fingerprint": manifest["fingerprint"], "sha256": digest_file(path)}
    files = {path.relative_to(folder).as_posix(): describe_file(path) for path in folder.rglob("*") if path.is_file()}
    made = {"isheep": __version__, **provenance.git_state()}
    return {
        "format": FORMAT,
        "schema": 1,
        "run": record.run_dir.name,
        "iteration": record.iteration,
        "made_by": made,
        "manifests": manifests,
        "files": files,
    }
