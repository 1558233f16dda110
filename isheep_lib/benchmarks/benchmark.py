"""What is known of one benchmark; which there are stands in `benchmarks.catalogue`."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["instructions", "choice", "answer", "code", "judged"]
Program = Literal["", "humaneval", "mbpp", "plus"]


@dataclass(frozen=True)
class Benchmark:
    """One benchmark.

    Attributes:
        name, title: also lm-eval's name of the task, where it has one; for tables.
        kind: "instructions" (IFEval, IFBench), "choice" (log-probabilities of given answers), "answer" (a short answer),
            "code" (a program that is run), "judged" (an answer that the stage judge reads).
        metric: the one that tables show first, as lm-eval names it.
        items: rows of the data below.
        package, files: folder of the package that ships the data, "" for none; data files in it, a pattern names several.
        digest: of the file, or of the digests of several, examples included, in the order of their names; split: of it.
        tasks: folder of lm-eval's task, "." for a task file of our own.
        program: for code, the form of its tests, which says how an answer becomes a program (`code_programs.PROGRAMS`).
        id: column that names an item, "" is its row number.
        texts, columns: what a training row must not repeat, columns of one text together; what else is read, a|b is either.
        tokens: new tokens of an answer at most; 0 leaves it to `evaluate.answer_tokens`.
        shot_files: data of the examples that may precede a question; each subject's own.
        private: questions that must not appear in records as plain text.
        paper: how the paper measured it: version and mode in OpenCompass, or what it used instead.
        licence, language: of the data, as their publishers say; of the questions, as a tag.
    """

    name: str
    title: str
    kind: Kind
    metric: str
    items: int
    texts: tuple[str, ...]
    columns: tuple[str, ...] = ()
    package: str = ""
    files: str = ""
    digest: str = ""
    split: str = "validation"
    tasks: str = ""
    program: Program = ""
    id: str = ""
    tokens: int = 0
    shot_files: str = ""
    private: bool = False
    paper: str = "not measured"
    licence: str = ""
    language: str = "en"
