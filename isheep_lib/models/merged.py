"""Models with their adapters merged into the weights, kept as folders that any engine can load.

Covers merging, once, and where the result is kept. Does not cover loading it.
"""

import os
from pathlib import Path

from isheep_lib.models.base import ModelRef, check_adapters
from isheep_lib.record.folders import cache_folder
from isheep_lib.record.rows import canonical_json, digest_file, digest_text

ADAPTER_FILES = ("adapter_model.safetensors", "adapter_config.json")


def merged_folder(model: ModelRef) -> Path:
    """Return a folder with safetensors, config and tokenizer of a model, its adapters merged in order in float32.

    It is the folder that `vllm serve` is given for a trained model. The bare base is its own folder; a merged one is
    made at its first use and kept under a name that follows from the base and the adapters alone.

    Raises:
        ModelError: an adapter's weights are absent, or it belongs to another base.
    """
    if not model.adapters:
        return model.path
    check_adapters(model)
    parts = [model.digest, *(digest_file(adapter / name) for adapter in model.adapters for name in ADAPTER_FILES)]
    target = cache_folder() / "merged" / digest_text(canonical_json(parts))[:16]
    if not target.is_dir():
        _merge(model, target)
    return target


def _merge(model: ModelRef, target: Path) -> None:
    """Merge and save; the rename is the commit point."""
    import torch
    from filelock import FileLock

    from isheep_lib.models.load import load_model

    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_suffix(".lock")):
        if target.is_dir():
            return
        partial = target.with_suffix(".partial")
        loaded, tokenizer = load_model(model, "float32")
        loaded.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        del loaded
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()  # the engine in this process needs the memory next
        os.replace(partial, target)
