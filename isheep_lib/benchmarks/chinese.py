"""Benchmarks in Chinese, asked by lm-eval's own tasks; their data are a file of one's own.

A file has the columns that the hub has for each subject, and the subject, which names the hub's configuration and lm-eval's
task, such as agronomy: {"subject": "agronomy", "Question": "…", "A": "…", "B": "…", "C": "…", "D": "…", "Answer": "B"}.

Licences are those that the cards of the hub's data sets say: `haonan-li/cmmlu` (cc-by-nc-4.0) and `ceval/ceval-exam`
(cc-by-nc-sa-4.0). Numbers of questions are those of projects that asked all of them, as no data were at hand here to count.
C-Eval's 1,346 agree with its card, 13,948 in all, less 260 of dev and 12,342 of test; CMMLU's paper (arXiv 2306.09212) says
11,528.
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
