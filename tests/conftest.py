"""Shared fixtures: a tiny model made on the spot, and where things are."""

import gc
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: kernels run beside this process on the same cores
if "PYTEST_XDIST_WORKER" in os.environ:  # beside others, a thread that waits for its turn holds up all of its process
    os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"  # before the hub's client is imported, here and in kernels: no test leaves this machine
pytest.register_assert_rewrite("tests.claims", "tests.trainings")
# The same examples each time: whether a commit is good is not left to chance, and more of the same find nothing new.
# `make fuzz` tries others, and twice as many.
settings.register_profile("steady", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("steady")

ROOT = Path(__file__).resolve().parents[1]
WORDS = """the a one two red small old quiet warm early river garden kitchen letter number city teacher window bread
song name list write explain compare describe count sort find make give tell show choose why how what which when
of in to for with about from and or not is are can should three ideas words reasons steps""".split()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order what takes long: the chain makes the finished run, and files that look at it come when it will be there.

    The Makefile passes `--dist loadfile --no-loadscope-reorder`: a file's tests stay in one process, files come in this order.
    """
    waiting = {item.path for item in items if "finished" in getattr(item, "fixturenames", ())}

    def place(item: pytest.Item) -> int:
        if item.path.name == "test_chain.py":
            return 0
        if item.path in waiting:
            return 3  # earlier, a process would wait with nothing to do
        return 1 if item.path.parent.name == "smoke" else 2

    items.sort(key=place)


def pytest_collection_finish() -> None:
    """Keep all tests out of garbage collection: statsmodels asks for one at each correction for several tests."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Callable[[str, Callable[[Path], None]], Path]:
    """Return a function that makes a folder once for all test processes: the first one makes it, the others wait."""
    base = tmp_path_factory.getbasetemp()
    common = base if worker_id == "master" else base.parent

    def made(name: str, make: Callable[[Path], None]) -> Path:
        folder = common / name
        with FileLock(common / f"{name}.lock"):
            if not (common / f"{name}.done").exists():
                folder.mkdir()
                make(folder)
                (common / f"{name}.done").touch()
        return folder

    return made


@pytest.fixture
def no_warnings() -> Iterator[None]:
    """Let what a notebook would show beside a result fail the test.

    Python does not show a ResourceWarning, and one may come from whatever another test left for the collector.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ResourceWarning)
        yield


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def tiny_model(once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """Return a two-layer Llama with random weights and a word-level tokenizer that knows the ChatML tokens.

    Random weights over few words end often enough, and differ enough, for every stage to have work to do.
    """
    return once("tiny-model", save_tiny_model)


def save_tiny_model(folder: Path) -> None:
    """Make the model and save it."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

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
