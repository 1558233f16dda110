"""Benchmarks in Chinese, asked by lm-eval's own tasks; their data are a file of one's own.

A file has the columns that the hub has for each subject, and the subject, which names the hub's configuration and lm-eval's
task, such as agronomy: {"subject": "agronomy", "Question": "…", "A": "…", "B": "…", "C": "…", "D": "…", "Answer": "B"}.
"""

from isheep_lib.benchmarks.benchmark import Benchmark

CHINESE = (
    Benchmark(
        *("cmmlu", "CMMLU", "choice", "acc", 11582, ("Question",), ("subject", "A", "B", "C", "D", "Answer")),
        split="test",
        tasks="cmmlu",
        licence="CC-BY-NC-4.0",
        language="zh",
    ),
    Benchmark(
        *("ceval-valid", "C-Eval", "choice", "acc", 1346, ("question",), ("subject", "A", "B", "C", "D", "answer")),
        tasks="ceval",
        licence="CC-BY-NC-SA-4.0",
        language="zh",
    ),
)
