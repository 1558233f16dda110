"""Shared fixtures: a tiny model made on the spot, and where things are."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: kernels run beside this process on the same cores
pytest.register_assert_rewrite("tests.claims")

ROOT = Path(__file__).resolve().parents[1]
WORDS = """the a one two red small old quiet warm early river garden kitchen letter number city teacher window bread
song name list write explain compare describe count sort find make give tell show choose why how what which when
of in to for with about from and or not is are can should three ideas words reasons steps""".split()


# Jupyter only hopes that the ports it gives a kernel are still free, so these files' kernels never start at the same time.
PORTS = ("test_chain.py", "test_golden.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep a file's tests in one process (`--dist loadgroup`), and the files whose kernels listen on ports in the same one."""
    for item in items:
        group = "ports" if item.path.name in PORTS else item.path.stem
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a two-layer Llama with random weights and a word-level tokenizer that knows the ChatML tokens.

    Random weights over few words end often enough, and differ enough, for every stage to have work to do.
    """
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-model")
    specials = ["<unk>", "<|im_start|>", "<|im_end|>"]
    vocabulary = {word: i for i, word in enumerate([*specials, *map(str, range(1, 11)), *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        clean_up_tokenization_spaces=False,
    )
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder
