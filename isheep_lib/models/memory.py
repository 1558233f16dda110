"""Whether a model fits the memory, told before it is loaded.

Covers weights only: what generation needs beside them is bounded by the engine's own parameters.
"""

import math
from pathlib import Path

import psutil

from isheep_lib.errors import EngineError
from isheep_lib.models.folder import weight_files

EXACT = "float32 and float64"  # both copies that exact decisions need
BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2, EXACT: 12}
BESIDE = 1.15  # memory for activations and the attention cache, at least, in weights
GIB = 2**30


def weight_bytes(folder: Path, dtype: str) -> int:
    """Count the bytes of a model's weights in a number format, from the headers of its safetensors files."""
    from safetensors import safe_open

    number = 0
    for file in weight_files(folder):
        with safe_open(file, framework="np") as weights:
            names = weights.keys()  # of no mapping
            number += sum(math.prod(weights.get_slice(name).get_shape()) for name in names)
    return number * BYTES[dtype]


def free_memory(device: str) -> int:
    """Return the bytes that a model may take on a device: of the GPU, or of the machine."""
    if device == "cuda":
        import torch

        return torch.cuda.mem_get_info()[0]
    return psutil.virtual_memory().available


def check_room(weights: int, free: int, dtype: str, device: str) -> None:
    """Refuse weights, in bytes, beyond the free ones of the devices that share them (EngineError), and say what would fit."""
    if weights * BESIDE <= free:
        return
    parameters = free / BESIDE / BYTES[dtype]
    ways = [f"a model of up to {parameters / 1e9:.1f} billion parameters in {dtype}"]
    if BYTES[dtype] == 4 and weights / 2 * BESIDE <= free:
        ways.append("this one in bfloat16")
    if dtype == EXACT and weights * BYTES["float32"] / BYTES[EXACT] * BESIDE <= free:
        ways.append("this one with model.numerics plain")
    if device == "cuda":
        ways.append(f"this one on {-(-int(weights * BESIDE) // free)} such GPUs (engine vllm, tensor_parallel)")
    raise EngineError(
        f"The model needs {weights * BESIDE / GIB:.1f} GiB in {dtype}, of which its weights are {weights / GIB:.1f}",
        where=f"{device}, {free / GIB:.1f} GiB free",
        allowed="; ".join(ways),
        do="choose one of these in the params file, or free memory",
    )
