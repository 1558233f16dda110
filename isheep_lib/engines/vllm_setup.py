"""What vLLM needs before it starts: itself, memory, and its environment.

Covers checks that load no weights. Does not cover the engine (`vllm_engine`).
"""

import importlib.util
import math
import os

from isheep_lib.engines.params import Model
from isheep_lib.errors import EngineError, install
from isheep_lib.models.base import ModelRef, check_adapters
from isheep_lib.models.memory import BESIDE, GIB, check_room, free_memory, weight_bytes


def preflight(model: ModelRef, settings: Model) -> None:
    """Refuse what would stop vLLM later; see `engines.preflight`."""
    check_installed()
    check_adapters(model)
    weights = weight_bytes(model.path, settings.inference_dtype)
    gpus = gpu_bytes()
    if gpus:
        check_gpus(weights, gpus, settings.gpu_memory, settings.tensor_parallel)
    else:
        check_room(weights, free_memory("cpu"), settings.inference_dtype, "cpu")


def check_gpus(weights: int, gpus: list[int], share: float, wanted: int) -> None:
    """Refuse weights, in bytes, beyond the share of `wanted` GPUs that vLLM may take (EngineError), and say what would fit."""
    where = f"tensor_parallel {wanted}, gpu_memory {share}"
    if wanted > len(gpus):
        raise EngineError(f"{wanted} GPUs are asked for and {len(gpus)} are here", where=where, do="lower tensor_parallel")
    usable = min(gpus) * share
    if weights * BESIDE <= usable * wanted:
        return
    needed = 2 ** math.ceil(math.log2(weights * BESIDE / usable))  # heads are divided evenly, so a power of two
    raise EngineError(
        f"The model needs {weights * BESIDE / GIB:.1f} GiB, of which its weights are {weights / GIB:.1f}",
        where=f"{where}: {usable * wanted / GIB:.1f} GiB to use",
        allowed=f"weights of up to {usable * wanted / BESIDE / GIB:.1f} GiB",
        do=f"set tensor_parallel to {needed}, inference_dtype to bfloat16, or take a smaller model",
    )


def gpu_bytes() -> list[int]:
    """Return the memory of each GPU that is here, in bytes."""
    import torch

    return [torch.cuda.get_device_properties(i).total_memory for i in range(torch.cuda.device_count())]


def check_installed() -> None:
    """Refuse to go on without vLLM; this does not import it."""
    spec = importlib.util.find_spec("vllm")
    if spec is None or spec.origin is None:  # a folder that happens to have this name is no package
        raise EngineError(
            "vLLM is not installed",
            where="engine vllm",
            allowed="engine transformers needs nothing more; engine server needs vLLM elsewhere only",
            do=f"{install('vllm')} (docs/gpu.md); make setup-vllm for tests on a CPU",
        )


def prepare(on_gpu: bool, tensor_parallel: int) -> None:
    """Set vLLM's environment where the user has not; it must come before vLLM is first imported."""
    wanted = {
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_LOGGING_COLOR": "0",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
    }
    if tensor_parallel == 1:
        wanted["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # no child process that outlives a kill, and a fixed schedule
    else:
        wanted["VLLM_WORKER_MULTIPROC_METHOD"] = "spawn"  # this process may have touched CUDA, which no fork survives
    if not on_gpu:
        wanted["VLLM_CPU_KVCACHE_SPACE"] = "2"  # GiB
    for name, value in wanted.items():
        os.environ.setdefault(name, value)
