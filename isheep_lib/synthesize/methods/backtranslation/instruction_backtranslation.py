"""Instruction Backtranslation: the model writes the task that a text answers, then scores the pair; only high scores stay.

A row of `examples.jsonl`:
    {"id": "i1-document-017", "instruction": "…", "input": "", "output": "the document", "finish": "end", "num_tokens": 140,
     "document": "document-017", "demonstrations": ["seed-012", "seed-101", "seed-008"], "score": 5}
"""

import math
import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from isheep_lib.analysis.words import copy_share
from isheep_lib.display.table import Table
from isheep_lib.engines.generate import ask, choose_all, generate_all
from isheep_lib.engines.protocol import SPARE, Completion, Request
from isheep_lib.errors import DataError
from isheep_lib.languages.words import words
from isheep_lib.params.kinds import Positive, Share
from isheep_lib.record.journal import Journal
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.candidates import Candidates, Intake
from isheep_lib.synthesize.documents import Document
from isheep_lib.synthesize.extras.asking import count_tokens, text_request
from isheep_lib.synthesize.extras.needs import seeds_of
from isheep_lib.synthesize.grounds import from_documents
from isheep_lib.synthesize.grounds.from_documents import DocumentOptions, FromDocuments, id_of
from isheep_lib.synthesize.method import Example, Need
from isheep_lib.synthesize.rules import Item, unquoted
from isheep_lib.synthesize.shared_params import Shared
from isheep_lib.synthesize.writing import Writing

PROMPT = "instruction_backtranslation-{}.txt"
LABELS = ["1", "2", "3", "4", "5"]
# The whole last line: a number found anywhere in it reads "5 reasons: Score 2" as 5.
SCORE = re.compile(r"\W*(?:score|评分|得分|分数)\W*[:=：]\W*([1-5])(?:\s*/\s*5|\s*分)?\W*", re.IGNORECASE)
LABEL = re.compile(r"^\W*(?:task|任务)\W*[:：]\s*", re.IGNORECASE)


class BacktranslationOptions(DocumentOptions):
    """How instructions are written from texts, and which pairs the model itself finds good."""

    demonstrations: Positive = Field(3, description="seeds shown in a prompt, each its answer and then its task")
    max_document_copy: Share = Field(0.8, description="share of the instruction copied from the document, more is dropped")
    curation: Literal["written", "probabilities", "none"] = Field(
        "written", description="how the model scores a pair: in words with a last line, by the likeliest number, or not at all"
    )
    min_score: int = Field(5, description="lowest score that is kept, of 1 to 5", ge=1, le=5)
    curation_tokens: Positive = Field(160, description="new tokens of a written score")


class InstructionBacktranslation(FromDocuments[BacktranslationOptions]):
    """Instructions that the model writes backward from texts, kept where it scores the pair highly itself."""

    name = "instruction_backtranslation"
    source = (
        "Instruction Backtranslation (arXiv 2308.06259); the model itself writes backward and curates; prompts in our words"
    )
    Options = BacktranslationOptions
    needs: ClassVar[tuple[Need, ...]] = ("seeds", "documents", "an aligned model")
    brings_answers = True
    people = "documents that people wrote, as answers"
    prompts = tuple(PROMPT.format(step) for step in ("backward", "example", "curate", "curate-probabilities"))
    reasons: ClassVar[dict[str, str]] = {
        "document_too_short": from_documents.TOO_SHORT,
        "document_too_long": from_documents.TOO_LONG,
        "benchmark_text": from_documents.BENCHMARK_TEXT,
        "special_token": from_documents.HOLDS_SPECIAL,
        "beyond_context": from_documents.BEYOND_CONTEXT,
        "copies_document": from_documents.COPIES_DOCUMENT,
        "unreadable_score": "the model's judgement does not end in a line with one score of 1 to 5",
        "low_score": "the model's score of the pair is below `min_score`",
    }
    answers_given: ClassVar[bool] = True
    advice = "give more documents, lower min_score, choose curation: probabilities, or lower min_instructions"

    def conflicts(self, shared: Shared, options: BacktranslationOptions) -> list[str]:
        """Name values that contradict one another."""
        defaults, problems = type(options).model_fields, super().conflicts(shared, options)
        if options.curation == "none" and options.min_score != defaults["min_score"].default:
            problems.append("min_score: nothing is scored with curation none; leave it out, or choose another curation")
        if options.curation != "written" and options.curation_tokens != defaults["curation_tokens"].default:
            problems.append("curation_tokens: no score is written; leave it out, or set curation to written")
        return problems

    def prompt_files(self, options: BacktranslationOptions) -> tuple[str, ...]:
        """Name the prompts that are asked."""
        judged = {"written": ("curate",), "probabilities": ("curate-probabilities",), "none": ()}[options.curation]
        return tuple(PROMPT.format(step) for step in ("backward", "example", *judged))

    def check_data(self, shared: Shared, options: BacktranslationOptions) -> dict[str, str]:
        """Look at documents and seeds before a model loads.

        Raises:
            DataError: too few documents will do, or too few seeds have an answer to show.
        """
        super().check_data(shared, options)
        if (there := len(_answered(seeds_of(shared)))) < options.demonstrations:
            raise DataError(
                f"{there} seed task(s) with an output and no input cannot fill a prompt of {options.demonstrations}",
                where=shared.seeds,
                allowed="seeds with an instruction and the answer to it",
                do="add such seeds, or lower synthesize.options.demonstrations",
            )
        return {}

    def known(self, writing: Writing[BacktranslationOptions]) -> list[str]:
        """Return the instructions that no new one may resemble, those of seeds among them."""
        return [*(task.instruction for task in writing.seeds), *super().known(writing)]

    def example(self, writing: Writing[BacktranslationOptions]) -> Example:
        """Write the instruction of one document and score the pair; where none will do, say why the first do not."""
        document, why = self.first_fit(writing)
        if document is None:
            return Example("no document will do", "", why)
        request = _backward(writing, "example", document)
        said = ask(writing.engine, request)
        item = _read(said)
        pair = {"instruction": item.instruction, "answer": document.text}
        if writing.options.curation == "none":
            return Example(request.prompt, said.text, [pair])
        judging = _judging(writing, "example/score", item.instruction, document)
        if writing.options.curation == "probabilities":
            shares = [round(math.exp(log), 3) for log in writing.engine.choices([judging.prompt], LABELS)[0]]
            likely = dict(zip(LABELS, shares, strict=True))
            return Example(request.prompt, said.text, [{**pair, "probabilities": likely}])
        judged = ask(writing.engine, judging)
        score = read_score(judged)
        return Example(request.prompt, said.text, [{**pair, "judgement": judged.text, "score": score or "not readable"}])

    def evidence(self, candidates: Candidates) -> Table:
        """Show how many pairs the model gave each score, and what became of them."""
        kept = Counter(row.get("score") for row in candidates.accepted)
        lost = Counter(row["score"] for row in candidates.dropped if "score" in row)
        unread = sum(row["reason"] == "unreadable_score" for row in candidates.dropped)
        lengths = {s: [len(words(r["instruction"])) for r in candidates.accepted if r.get("score") == s] for s in kept}
        scores = sorted({*kept, *lost}, key=lambda score: -(score or 0))  # those without a score last
        rows: list[dict[str, Any]] = [
            {
                "score": score or "not scored",
                "accepted": kept[score],
                "dropped": lost[score],
                "words per instruction": round(sum(n) / len(n), 1) if (n := lengths.get(score)) else "",
            }
            for score in scores
        ]
        rows += [{"score": "not readable", "accepted": 0, "dropped": unread}] if unread else []
        return Table(rows or [{"score": "no pair came to be scored"}], "what the model says of its own pairs")

    def prompts_for(self, writing: Writing[BacktranslationOptions], document: Document) -> Sequence[tuple[str, int]]:
        """Return the backward prompt, and the one for a score, in which an instruction will stand, too."""
        backward, options = _backward(writing, id_of(writing, document), document), writing.options
        judging = _judging(writing, "", "", document).prompt
        score = options.curation_tokens if options.curation == "written" else SPARE
        judged = [(judging, backward.max_new_tokens + score)] if options.curation != "none" else []
        return [(backward.prompt, backward.max_new_tokens), *judged]

    def write_batch(
        self, writing: Writing[BacktranslationOptions], intake: Intake, journal: Journal, batch: Sequence[Document]
    ) -> None:
        """Write backward from each document, then score what passes the rules."""
        ids = {id_of(writing, document): document for document in batch}
        said = generate_all(writing.engine, [_backward(writing, i, d) for i, d in ids.items()], journal, "instructions")
        items = {i: _read(said[i]) for i in ids}
        intake.found.tokens += sum(completion.num_tokens for completion in said.values())
        problems = {i: _copied(items[i], ids[i], writing.options) or intake.problem(items[i]) for i in ids}
        left = {i: (items[i].instruction, ids[i]) for i in ids if not problems[i][0]}
        scores = _scores(writing, intake, journal, left)
        for i, document in ids.items():
            answer = {"output": document.text, "finish": "end", "num_tokens": count_tokens(writing, document.text)}
            shown = [task.id for task in _demonstrations(writing, i)]
            score = {"score": scores[i]} if scores.get(i) else {}
            problem = problems[i] if problems[i][0] else _poor(scores, i, writing.options) or intake.problem(items[i])
            intake.take(i, items[i], {"document": document.id, "demonstrations": shown, **score, **answer}, problem)


def read_score(said: Completion) -> int | None:
    """Read a score of 1 to 5 off the last line alone, None where that line is no score."""
    last = next((line for line in reversed(said.text.splitlines()) if line.strip()), "")
    found = SCORE.fullmatch(last)
    return int(found[1]) if found else None


def _answered(seeds: Sequence[Task]) -> list[Task]:
    """Return the seeds that can be shown backward: with an answer, and nothing given that the answer needs."""
    return [task for task in seeds if task.output and not task.input]


def _demonstrations(writing: Writing[BacktranslationOptions], id_: str) -> list[Task]:
    draw = random.Random(writing.seed_of(f"{id_}/demonstrations"))  # noqa: S311 - reproducible, not secret
    return draw.sample(_answered(writing.seeds), writing.options.demonstrations)


def _backward(writing: Writing[BacktranslationOptions], id_: str, document: Document) -> Request:
    """Ask for the task that a text answers, after some of which both are known."""
    shown, render = _demonstrations(writing, id_), writing.prompts.render
    examples = "\n\n".join(render(PROMPT.format("example"), text=task.output, task=task.instruction) for task in shown)
    return text_request(writing, id_, render(PROMPT.format("backward"), examples=examples, document=document.text))


def _read(said: Completion) -> Item:
    return Item(said.text, unquoted(LABEL.sub("", said.text.strip(), count=1)), "", cut=said.finish == "length")


def _copied(item: Item, document: Document, options: BacktranslationOptions) -> tuple[str, str] | None:
    copied = copy_share(item.instruction, document.text)
    return ("copies_document", f"{copied:.0%}") if copied > options.max_document_copy else None


def _judging(writing: Writing[BacktranslationOptions], id_: str, instruction: str, document: Document) -> Request:
    """Ask for a score, greedily; of the request by probabilities only the prompt is used."""
    step = "curate" if writing.options.curation == "written" else "curate-probabilities"
    prompt = writing.frame.prompt(writing.prompts.render(PROMPT.format(step), task=instruction, text=document.text))
    return Request(id_, prompt, writing.options.curation_tokens, stop=(writing.frame.end,))


def _scores(
    writing: Writing[BacktranslationOptions], intake: Intake, journal: Journal, left: Mapping[str, tuple[str, Document]]
) -> dict[str, int | None]:
    """Let the model score pairs, {} where it need not; None for what it says without a score."""
    options = writing.options
    requests = {i: _judging(writing, f"{i}/score", *pair) for i, pair in left.items()}
    if options.curation == "none" or not left:
        return {}
    if options.curation == "probabilities":
        logs = choose_all(writing.engine, {i: r.prompt for i, r in requests.items()}, LABELS, journal, "curation")
        return {i: max(range(5), key=lambda n: (logs[i][n], -n)) + 1 for i in left}
    said = generate_all(writing.engine, list(requests.values()), journal, "curation")
    intake.found.tokens += sum(completion.num_tokens for completion in said.values())
    return {i: read_score(said[f"{i}/score"]) for i in left}


def _poor(scores: Mapping[str, int | None], id_: str, options: BacktranslationOptions) -> tuple[str, str] | None:
    if options.curation == "none":
        return None
    score = scores[id_]
    if score is None:
        return "unreadable_score", ""
    return ("low_score", f"{score} of 5") if score < options.min_score else None
