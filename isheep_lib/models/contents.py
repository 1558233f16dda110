"""What a model's files hold, looked at before a run begins: whether config, weights and tokenizer are one model.

    refuse_faults(path, content_faults(path))     # reads headers and the config, no weights
    refuse_faults(path, weight_faults(path))      # streams the weights once, for numbers that are none

The model is made without memory (torch's device meta), and transformers says which weights it lacks or finds in another
shape, under whatever names checkpoints have. Does not cover files that are absent (`models.folder`).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from isheep_lib.models.folder import AGAIN, SAVE, Fault, read_json, weight_files

SLICE = 2**26  # numbers of one weight looked at together
FLOATS = ("F64", "F32", "F16", "BF16")
SHOWN = 4  # names that a fault lists
# What transformers and its parts raise for files of another form than they expect.
UNFIT = (ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, OSError, RuntimeError)
UNFIT += (TypeError, ValueError)


def content_faults(folder: Path) -> list[Fault]:
    """Find what config, tokenizer and the headers of the weights contradict one another in."""
    faults = _header_faults(folder)
    written = read_json(folder / "config.json")
    if written is None:
        return [*faults, Fault("config.json", "The config is no JSON object", AGAIN)]
    from isheep_lib.models.load import load_config

    config, why = _tried(lambda: load_config(folder))
    if why:
        return [*faults, _config_fault(written, why)]
    rows = getattr(config.get_text_config(), "vocab_size", 0) or 0
    return [*faults, *([] if faults else _shape_faults(folder, config)), *_tokenizer_faults(folder, rows)]


def _tried(work: Callable[[], Any]) -> tuple[Any, str]:
    """Return what a call of transformers gave, or the first lines of why it could not."""
    from huggingface_hub.errors import StrictDataclassError

    try:
        return work(), ""
    except (*UNFIT, StrictDataclassError) as error:
        said = error
    except Exception as error:
        if type(error) is not Exception:  # the parser of tokenizer.json has no class of its own
            raise
        said = error
    return None, f"{type(said).__name__}: {' '.join(str(said).split())[:300]}"


def _config_fault(written: dict[str, Any], why: str) -> Fault:
    kind = written.get("model_type")
    if written.get("auto_map"):
        do = f"take a model of a family that transformers knows, which {kind!r} is not; code of a model's own is never run"
        return Fault("config.json: auto_map", "The model asks for Python code of its own", do)
    do = f"mend it, or take a model of a family that this transformers knows, or {AGAIN}"
    return Fault("config.json", f"transformers cannot read the config of a {kind!r} model ({why})", do)


def _header_faults(folder: Path) -> list[Fault]:
    """Find weight files whose header, or whose size, is not what the header says."""
    from safetensors import SafetensorError, safe_open

    faults = []
    for path in weight_files(folder):
        try:
            with safe_open(path, framework="np") as weights:
                kinds = {name: weights.get_slice(name).get_dtype() for name in weights.keys()}  # noqa: SIM118 - of no mapping
        except (SafetensorError, OSError) as error:
            faults.append(Fault(path.name, f"The weights are cut or damaged ({error})", AGAIN))
            continue
        small = [name for name, kind in kinds.items() if kind.startswith(("F8", "F6", "F4"))]
        if small and "quantization_config" not in (read_json(folder / "config.json") or {}):
            what = f"{_listed(small)} are numbers of {kinds[small[0]]}, whose scales the config does not explain"
            faults.append(Fault(path.name, what, "take the weights in bfloat16, float16 or float32"))
    return faults


def _shape_faults(folder: Path, config: Any) -> list[Fault]:
    """Make the model without memory and find weights that it lacks, or that have another shape there."""
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    before = logging.get_verbosity()
    logging.set_verbosity_error()  # transformers would tell as a table what becomes a fault here
    try:
        found, why = _tried(
            lambda: AutoModelForCausalLM.from_pretrained(
                folder,
                config=config,
                device_map="meta",
                ignore_mismatched_sizes=True,
                output_loading_info=True,
                use_safetensors=True,
                trust_remote_code=False,
            )
        )
    finally:
        logging.set_verbosity(before)
    if why:
        return [Fault("config.json", f"transformers makes no causal language model of it ({why})", "take such a model")]
    info = found[1]
    faults = []
    if lacking := sorted(info["missing_keys"]):
        what = f"{len(lacking)} weights that the config asks for are not here: {_listed(lacking)}"
        faults.append(Fault("config.json", what, AGAIN))
    if others := [f"{name} is {_size(here)} and not {_size(wanted)}" for name, here, wanted in sorted(info["mismatched_keys"])]:
        what = f"{len(others)} weights have another shape than the config says: {_listed(others)}"
        faults.append(Fault("config.json", what, f"mend the config, or {AGAIN}"))
    return faults


def _tokenizer_faults(folder: Path, rows: int) -> list[Fault]:
    """Load the tokenizer, and find tokens beyond the rows of the embedding; a pad token there is never read."""
    from transformers import AutoTokenizer

    broken = [
        Fault(name, "The file is no JSON object", AGAIN)
        for name in ("tokenizer.json", "tokenizer_config.json")
        if (folder / name).is_file() and read_json(folder / name) is None
    ]
    if broken:
        return broken
    tokenizer, why = _tried(lambda: AutoTokenizer.from_pretrained(folder, trust_remote_code=False))
    if why:
        return [_no_tokenizer(folder, why)]
    known = tokenizer.get_vocab()
    beyond = sorted(word for word, token in known.items() if token >= rows > 0 and token != tokenizer.pad_token_id)
    if not known:
        return [_no_tokenizer(folder, "it knows no words")]
    if beyond:
        what = f"The tokenizer has {len(beyond)} tokens beyond the {rows} rows of the model's embedding: {_listed(beyond)}"
        return [Fault("tokenizer.json", what, "give the model the tokenizer that it was trained with")]
    return []


def _no_tokenizer(folder: Path, why: str) -> Fault:
    names = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "sentencepiece.bpe.model")
    if not any((folder / name).is_file() for name in names):
        return Fault("tokenizer.json", "The folder holds no tokenizer", f"save it there too; {SAVE}")
    return Fault("tokenizer.json", f"transformers cannot read the tokenizer ({why})", AGAIN)


def weight_faults(folder: Path) -> list[Fault]:
    """Read all weights once, a slice at a time, and find those with values that are no numbers or infinite."""
    import torch
    from safetensors import safe_open

    faults = []
    for path in weight_files(folder):
        spoilt = []
        with safe_open(path, framework="pt") as weights, torch.inference_mode():
            for name in weights.keys():  # noqa: SIM118 - of no mapping
                part = weights.get_slice(name)
                if part.get_dtype() in FLOATS and not all(bool(values.isfinite().all()) for values in _slices(part)):
                    spoilt.append(name)
        if spoilt:
            what = f"{len(spoilt)} weights hold values that are no finite numbers: {_listed(spoilt)}"
            faults.append(Fault(path.name, what, "take another checkpoint, or train it again"))
    return faults


def _slices(part: Any) -> Iterator[Any]:
    """Yield a weight in slices along its first dimension."""
    shape = part.get_shape()
    step = max(1, SLICE // max(1, math.prod(shape[1:])))
    yield from (part[first : first + step] for first in range(0, shape[0], step)) if shape else [part[...]]


def _size(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
