"""Which number format inference takes: measured where the work is done, once a run, and recorded with the run.

Covers the measurement and the choice. The params file may name a format instead, and then nothing is measured.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

LEAST_GAIN = 1.1  # a smaller gain is not worth the lost digits
WIDEST = 4096  # a layer's width is cut to this, so that a large model's layer can be measured anywhere
READ, WRITTEN = 512, 32  # tokens of a prompt pass, and rows of a decoding step


def resolve_dtype(wanted: str, engine: str, folder: Path) -> tuple[str, str]:
    """Return the number format of a run, and why: the one named, or the one measured now.

    Args:
        wanted: "auto", "float32" or "bfloat16"; a run that has begun names the one it began with.
        engine: servers decide for themselves, and commonly run bfloat16.
    """
    if wanted != "auto":
        return wanted, "named by the params file or by the run's record"
    if engine == "server":
        return "bfloat16", "what servers commonly run; name it if yours do not"
    ratio = gain(folder)
    chosen = "bfloat16" if ratio >= LEAST_GAIN else "float32"
    return chosen, f"bfloat16 measured {ratio:.1f} times as fast as float32 on one layer of this model"


def resolve_training_dtype(wanted: str) -> str:
    """Return the number format of training: the one named, else bfloat16 on a GPU and float32 on a CPU."""
    if wanted != "auto":
        return wanted
    import torch

    return "bfloat16" if torch.cuda.is_available() else "float32"


def gain(folder: Path) -> float:
    """Measure how many times as fast bfloat16 is as float32 on one layer of this model's shape, on this device.

    It is done in a process of its own, which leaves neither memory on a GPU nor threads behind.
    """
    command = [sys.executable, "-m", "isheep_lib.engines.dtype", str(folder)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)  # noqa: S603 - our own module


def _measure(folder: Path) -> float:
    import torch

    from isheep_lib.models.load import device, load_config

    config = load_config(folder).get_text_config()
    width = min(config.hidden_size, WIDEST)
    inner = min(getattr(config, "intermediate_size", None) or 4 * config.hidden_size, WIDEST)
    layer = torch.nn.Sequential(
        torch.nn.Linear(width, inner, bias=False),
        torch.nn.SiLU(),
        torch.nn.Linear(inner, width, bias=False),
    ).to(device())
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        layer = layer.to(dtype)
        rows = [torch.zeros(number, width, dtype=dtype, device=device()) for number in (READ, WRITTEN)]
        seconds[dtype] = _best_time(lambda layer=layer, rows=rows: [layer(part) for part in rows for _ in range(4)])
    return seconds[torch.float32] / seconds[torch.bfloat16]


def _best_time(work: Callable[[], object]) -> float:
    """Return the shortest of several times, in seconds: what else the machine does only ever adds."""
    import torch

    times = []
    with torch.inference_mode():
        for _ in range(8):
            started = time.perf_counter()
            work()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            times.append(time.perf_counter() - started)
    return min(times[1:])


if __name__ == "__main__":
    print(_measure(Path(sys.argv[1])))
