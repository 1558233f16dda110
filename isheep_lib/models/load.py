"""Loading a model and its tokenizer onto a device."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from isheep_lib.models.attention import ATTENTION
from isheep_lib.models.base import ModelRef, check_adapters


def device() -> str:
    """Name the device that models run on here."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def load_config(folder: Path) -> Any:
    """Read a model's config; a pad token beyond its embedding, which no layer could be made for, is left out."""
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    text = config.get_text_config()
    pad, rows = getattr(text, "pad_token_id", None), getattr(text, "vocab_size", None)
    if pad is not None and rows is not None and not 0 <= pad < rows:
        text.pad_token_id = None
    return config


def load_model(model: ModelRef, dtype: str, place: str = "") -> tuple[Any, Any]:
    """Load model and tokenizer, adapters merged in, onto the best device here or the one named; safetensors only, no code."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    check_adapters(model)
    tokenizer: Any = AutoTokenizer.from_pretrained(model.path, padding_side="left", trust_remote_code=False)
    wanted = getattr(torch, dtype)
    loaded = AutoModelForCausalLM.from_pretrained(
        model.path,
        config=load_config(model.path),
        dtype=max(torch.float32, wanted, key=lambda format_: format_.itemsize) if model.adapters else wanted,
        use_safetensors=True,
        trust_remote_code=False,
    )
    if loaded.config._attn_implementation == "sdpa":
        loaded.set_attn_implementation(ATTENTION)
    for adapter in model.adapters:
        from peft import PeftModel

        loaded = PeftModel.from_pretrained(loaded, adapter).merge_and_unload(safe_merge=True)
    return loaded.to(place or device(), wanted).eval(), tokenizer  # merged in float32 first: small deltas drown in bfloat16
