"""Tiny random models of families that name their limits, caches and positions in their own ways."""

from pathlib import Path

from tests.conftest import WORDS

SPECIALS = ["<unk>", "<|im_start|>", "<|im_end|>"]
SIZE = len(SPECIALS) + 10 + len(WORDS)  # tokens of the vocabulary
LLAMA = {"intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
FAMILIES = {
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4},  # ALiBi: no limit, no positions
    "mpt": {"d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 512},
    "mamba": {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8},  # states instead of keys
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 512},
    "opt": {"hidden_size": 32, "ffn_dim": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "word_embed_proj_dim": 32},
    "lfm2": {**LLAMA, "hidden_size": 32, "layer_types": ["conv", "full_attention"], "max_position_embeddings": 512},  # both
    "gemma3_text": {  # words scaled, layers that see a window alone, heads wider than their share of the residual stream
        **LLAMA,
        "hidden_size": 32,
        "head_dim": 16,
        "query_pre_attn_scalar": 16,
        "layer_types": ["sliding_attention", "full_attention"],
        "sliding_window": 8,
        "max_position_embeddings": 512,
    },
    "phi3": {**LLAMA, "hidden_size": 32, "max_position_embeddings": 512},
}


def save_family(folder: Path, family: str, **changed: object) -> None:
    """Make a model of a family with random weights and a tokenizer of whole words, and save it."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

    words = [*SPECIALS, *map(str, range(1, 11)), *WORDS]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<|im_start|>", eos_token="<|im_end|>"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    values = {"vocab_size": SIZE, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": None, **FAMILIES[family], **changed}
    AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **values)).save_pretrained(folder)
