"""Other machines, played on this one: instruction sets, threads and batches, by what the libraries read at their start."""

import os
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Machine:
    """What a process is told, and how many tokens it computes together."""

    title: str
    environment: dict[str, str]
    batches: dict[str, int] = field(default_factory=dict)  # of the section `model`

    def told(self) -> dict[str, str]:
        """Return this process's environment as that machine has it."""
        return {**os.environ, **self.environment}

    def overrides(self) -> list[str]:
        """Return the batches as overrides of a params file."""
        return [f"model.{name}:{value}" for name, value in self.batches.items()]


def _threads(number: int) -> dict[str, str]:
    return {"OMP_NUM_THREADS": str(number), "MKL_NUM_THREADS": str(number), "OPENBLAS_NUM_THREADS": str(number)}


AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
    "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR",
}
PLAIN_X86 = {
    "ATEN_CPU_CAPABILITY": "default",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "OPENBLAS_CORETYPE": "Nehalem",
    "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 " + AVX2["NPY_DISABLE_CPU_FEATURES"],
}
OWN = Machine("as it is", {})
MACHINES = (
    OWN,
    Machine("as it is, one thread, small batches", _threads(1), {"batch_tokens": 256, "cache_tokens": 2048}),
    Machine("AVX2, one thread, large batches", {**AVX2, **_threads(1)}, {"batch_tokens": 4096, "cache_tokens": 20000}),
    Machine("AVX2, two threads", {**AVX2, **_threads(2)}),
    Machine("plain x86, two threads, small batches", {**PLAIN_X86, **_threads(2)}, {"batch_tokens": 256, "cache_tokens": 2048}),
    Machine("plain x86, one thread", {**PLAIN_X86, **_threads(1)}),
)
