"""The section `evaluate` of a params file."""

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from isheep_lib.benchmarks.catalogue import BENCHMARKS, parse_entry, parse_source
from isheep_lib.benchmarks.data import data_digests
from isheep_lib.benchmarks.entries import Entries, Sources
from isheep_lib.engines.params import Model
from isheep_lib.languages.words import DECIDES
from isheep_lib.params.kinds import EvaluatedPlace, Positive, Spoken, StageSection, execution
from isheep_lib.prompting import chat
from isheep_lib.record.rows import digest_file
from isheep_lib.sandbox.run import sandbox_method

TASKS = Path(__file__).parents[1] / "benchmarks" / "tasks"  # questions in our own words

DEFAULT_TASKS = [
    *("ifeval:64", "boolq:24", "piqa:32", "social_iqa:32", "hellaswag:24", "winogrande:32", "arc_easy:32", "arc_challenge:32"),
    *("openbookqa:32", "commonsense_qa:32", "mmlu:32", "triviaqa:32", "nq_open:32", "humaneval:8", "mbpp:8"),
]


class Evaluate(StageSection):
    """Benchmarks, and what a collapse would show in."""

    sees_training_rows: ClassVar[bool] = True
    reads_language: ClassVar[bool] = True

    tasks: Entries = Field(
        DEFAULT_TASKS, description="benchmarks, each whole or with the size of its fixed seeded subset after a colon"
    )
    data: Sources = Field([], description="own data: benchmark, an equals sign, and a file or org/name@revision of the hub")
    subset_seed: int = Field(0, description="which subsets, the same for every iteration", ge=0)
    few_shot: int = Field(0, description="solved examples before a question, where the data hold some (MMLU)", ge=0, le=5)
    answer_tokens: Positive = Field(256, description="new tokens of an open answer or a program; short answers have their own")
    code_sandbox: Literal["required", "unconfined"] = Field(
        "required", description="without a sandbox, benchmarks that run programs are left out by name, or run unconfined"
    )
    reuse_answers: bool = execution(True, "take answers that the same model gave to the same prompts before")

    def model_iteration(self, iteration: int) -> int:
        """Return the iteration that is evaluated."""
        return iteration

    def benchmarks(self) -> dict[str, str]:
        """Name the benchmarks, each with a source of one's own or ""."""
        own = dict(map(parse_source, self.data))
        return {name: own.get(name, "") for name, _ in map(parse_entry, self.tasks)}

    def data_digests(self) -> dict[str, str]:
        """Hash the items of benchmarks."""
        return {f"benchmarks/{name}": digest for name, digest in data_digests(self.benchmarks()).items()}

    def packages(self) -> list[str]:
        """Name what asks and reads, and what tells words."""
        return ["lm_eval", DECIDES]

    def prompt_files(self) -> tuple[str, ...]:
        """Name the frames."""
        return chat.FRAMES

    def other_prompts(self) -> dict[str, str]:
        """Hash the task files."""
        return {f"tasks/{path.name}": digest_file(path) for path in sorted(TASKS.glob("*.yaml"))}

    def code(self) -> tuple[str, ...]:
        """Name what asks, grades and measures; task files name functions that grade."""
        own = ("open_suite", "answer_all", "find_trained_on", "metrics", "counts")
        graded = ("benchmarks.grading.code_scores", "benchmarks.grading.squad_scores", "benchmarks.followed.practised_types")
        return (*(f"evaluate.run.{name}" for name in own), *graded, "prompting.chat.get_frame")

    def more_parts(self) -> dict[str, Any]:
        """Say whether programs are run, or their benchmarks left out."""
        if not any(BENCHMARKS[name].kind == "code" for name in self.benchmarks()):
            return {}
        return {"programs": "run" if sandbox_method(self.code_sandbox) else "left out"}


class EvaluateParams(Evaluate, Spoken, Model, EvaluatedPlace):
    """Parameters of `evaluate.ipynb`."""
