"""Models with their adapters merged into the weights, kept as folders that any engine can load.

Covers merging, once, and where the result is kept. Does not cover loading it.
"""

from functools import partial
from pathlib import Path

from isheep_lib.models.base import ModelRef, check_adapters
from isheep_lib.record.folders import cache_folder, made_once
from isheep_lib.record.rows import canonical_json, digest_file, digest_text

ADAPTER_FILES = ("adapter_model.safetensors", "adapter_config.json")


def merged_folder(model: ModelRef, dtype: str = "float32") -> Path:
    """Return a folder with safetensors, config and tokenizer of a model, its adapters merged in order in float32 or float64.

    In float32 it is the folder that `vllm serve` is given for a trained model. The bare base is its own folder; a merged one is
    made at its first use and kept under a name that follows from the base and the adapters alone.

    Raises:
        ModelError: an adapter's weights are absent, or it belongs to another base.
    """
    if not model.adapters:
        return model.path
    check_adapters(model)
    parts = [model.digest, *(digest_file(adapter / name) for adapter in model.adapters for name in ADAPTER_FILES)]
    name = digest_text(canonical_json(parts))[:16] + ("" if dtype == "float32" else f"-{dtype}")
    return made_once(cache_folder() / "merged" / name, partial(_merge, model, dtype))


def _merge(model: ModelRef, dtype: str, folder: Path) -> None:
    import torch

    from isheep_lib.models.load import load_model

    loaded, tokenizer = load_model(model, dtype)
    loaded.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    del loaded
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()  # the engine in this process needs the memory next
