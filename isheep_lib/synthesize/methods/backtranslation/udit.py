"""UDIT: eight kinds of tasks made from plain text, with answers that rules find in it or of which the model is sure.

A row of `examples.jsonl`:
    {"id": "i1-document-017-extractive", "instruction": "…", "input": "…", "output": "Bergen", "finish": "end", "num_tokens": 3,
     "document": "document-017", "kind": "extractive"}
"""

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from isheep_lib.analysis.sentences import sentences
from isheep_lib.display.table import Table
from isheep_lib.engines.generate import ask, choose_all, generate_all
from isheep_lib.engines.protocol import SPARE, Completion
from isheep_lib.languages.words import words
from isheep_lib.params.kinds import Positive, Share, distinct
from isheep_lib.prompting.prompt_files import Prompts
from isheep_lib.record.journal import Journal
from isheep_lib.synthesize.candidates import Candidates, Intake
from isheep_lib.synthesize.documents import Document
from isheep_lib.synthesize.extras.asking import count_tokens, followed, text_request
from isheep_lib.synthesize.grounds import from_documents
from isheep_lib.synthesize.grounds.from_documents import DocumentOptions, FromDocuments, id_of
from isheep_lib.synthesize.method import Example, Need
from isheep_lib.synthesize.methods.backtranslation import pseudo_labels
from isheep_lib.synthesize.rules import Item, unquoted
from isheep_lib.synthesize.shared_params import Shared
from isheep_lib.synthesize.writing import Writing

Kind = Literal[
    "closed_book", "extractive", "multiple_choice", "paraphrase", "structure_to_text", "sentiment", "summarisation", "topic"
]
KINDS: tuple[Kind, ...] = (
    *("closed_book", "extractive", "multiple_choice", "paraphrase", "structure_to_text", "sentiment", "summarisation"),
    "topic",
)
CHOSEN: tuple[Kind, ...] = ("sentiment", "topic")  # kinds whose label the model chooses
TEMPLATES = "udit-templates.txt"
FEELINGS, OFFER = "udit-feelings.txt", "udit-offer.txt"


class UditOptions(DocumentOptions):
    """Which kinds of tasks are made, and how sure a label must be."""

    kinds: Annotated[list[Kind], Field(min_length=1), AfterValidator(distinct)] = Field(
        list(KINDS), description="kinds of tasks, drawn at random for each document"
    )
    tasks_per_document: Positive = Field(2, description="kinds drawn for one document")
    min_confidence: Share = Field(
        0.78, description="probability of a feeling or topic among those offered, at least, where the model chooses one"
    )
    topics: Annotated[list[str], Field(min_length=2), AfterValidator(distinct)] = Field(
        ["nature", "food", "travel", "history", "technology", "money", "art", "everyday life"], description="topics offered"
    )
    rephrase: bool = Field(True, description="the model says every instruction in words of its own, once in an iteration")


@dataclass(frozen=True)
class Task:
    """A task in the making: its kind, its input and its answer, which the model may still have to give, and why it is none."""

    kind: Kind
    given: str = ""
    answer: str = ""
    asks: str = ""  # a sentence to be reworded, or a text to be labelled, by the model
    problem: tuple[str, str] = ("", "")
    confidence: float | None = None


class Udit(FromDocuments[UditOptions]):
    """Eight kinds of tasks made from texts by rules, and by the model's own choices where it is sure."""

    name = "udit"
    source = (
        "UDIT (arXiv 2210.09175); pseudo-labels by rules and by the model itself in place of its tools; templates in our words"
    )
    Options = UditOptions
    needs: ClassVar[tuple[Need, ...]] = ("documents", "an aligned model")
    brings_answers = True
    people = "documents that people wrote, and rules that make tasks of them"
    prompts = (TEMPLATES, OFFER, "udit-rephrase.txt", "udit-paraphrase.txt", "udit-sentiment.txt", FEELINGS, "udit-topic.txt")
    reasons: ClassVar[dict[str, str]] = {
        "document_too_short": from_documents.TOO_SHORT,
        "document_too_long": from_documents.TOO_LONG,
        "benchmark_text": from_documents.BENCHMARK_TEXT,
        "special_token": from_documents.HOLDS_SPECIAL,
        "beyond_context": from_documents.BEYOND_CONTEXT,
        "nothing_to_ask": "the text has nothing that this kind of task is made of",
        "no_paraphrase": "the model did not say the sentence in other words",
        "unsure": "the model gives its label a probability below `min_confidence`",
        "repeated": "an earlier iteration has the same task",
    }
    answers_given: ClassVar[bool] = True
    advice = "give more documents, add kinds, lower min_confidence, or lower min_instructions"

    def conflicts(self, shared: Shared, options: UditOptions) -> list[str]:
        """Name values that contradict one another."""
        problems, fields = super().conflicts(shared, options), type(options).model_fields
        if options.tasks_per_document > len(options.kinds):
            problems.append(f"tasks_per_document: must be at most the number of kinds, {len(options.kinds)}")
        if "topic" not in options.kinds and options.topics != fields["topics"].default:
            problems.append("topics: none is offered without the kind topic")
        if not set(CHOSEN) & set(options.kinds) and options.min_confidence != fields["min_confidence"].default:
            problems.append("min_confidence: no label is chosen without the kinds sentiment and topic")
        return problems

    def prompt_files(self, options: UditOptions) -> tuple[str, ...]:
        """Name the prompts that are asked."""
        own = ["udit-rephrase.txt"] * options.rephrase
        own += [OFFER] * bool({"paraphrase", *CHOSEN} & set(options.kinds)) + [FEELINGS] * ("sentiment" in options.kinds)
        return (TEMPLATES, *own, *(name for kind in options.kinds if (name := f"udit-{kind}.txt") in self.prompts))

    def tasks_of_one(self, options: UditOptions) -> int:
        """Return how many tasks one document can give."""
        return options.tasks_per_document

    def example(self, writing: Writing[UditOptions]) -> Example:
        """Let the model say one template in other words, and show what each kind makes of one document by its rules."""
        document, why = self.first_fit(writing)
        if document is None:
            return Example("no document will do", "", why)
        kind = writing.options.kinds[0]
        first = _templates(writing.prompts, kind)[0]
        request = text_request(writing, "example", writing.prompts.render("udit-rephrase.txt", instruction=first))
        said = ask(writing.engine, request)
        seed, prompts = writing.seed_of("example/kinds"), writing.prompts
        tasks = [_made(document, kind, random.Random(seed), prompts) for kind in writing.options.kinds]  # noqa: S311
        rows = [
            {"kind": t.kind, "input": t.given, "answer": t.answer or ("the model says it" if t.asks else t.problem[0])}
            for t in tasks
        ]
        return Example(request.prompt, said.text, rows)

    def evidence(self, candidates: Candidates) -> Table:
        """Show what each kind brought."""
        lost = Counter((row["kind"], row["reason"]) for row in candidates.dropped if "kind" in row)
        rows: list[dict[str, Any]] = []
        for kind in KINDS:
            kept = [row for row in candidates.accepted if row["kind"] == kind]
            reasons = {reason: number for (name, reason), number in lost.items() if name == kind}
            if kept or reasons:
                rows.append(
                    {
                        "kind": kind,
                        "accepted": len(kept),
                        "dropped": sum(reasons.values()),
                        "mostly lost by": max(reasons, key=lambda reason: reasons[reason], default=""),
                        "words per answer": round(sum(len(words(r["output"])) for r in kept) / len(kept), 1) if kept else "",
                        "different answers": len({row["output"] for row in kept}),
                    }
                )
        return Table(rows or [{"kind": "none brought a task"}], "what each kind brought")

    def prompts_for(self, writing: Writing[UditOptions], document: Document) -> Sequence[tuple[str, int]]:
        """Return the prompts that show the whole document."""
        kinds = [kind for kind in CHOSEN if kind in writing.options.kinds]
        return [(_labelling(writing, kind, document.text), SPARE) for kind in kinds]

    def known(self, writing: Writing[UditOptions]) -> list[str]:
        """Return nothing: instructions come again with other inputs, so tasks are told apart by these."""
        return []

    def begin(self, writing: Writing[UditOptions], intake: Intake, journal: Journal) -> None:
        """Let the model say the templates in other words."""
        intake.found.tokens += sum(completion.num_tokens for completion in _rephrased(writing, journal).values())

    def write_batch(self, writing: Writing[UditOptions], intake: Intake, journal: Journal, batch: Sequence[Document]) -> None:
        """Make tasks of each document by rules, and let the model reword sentences and choose labels."""
        phrasings = _phrasings(writing, journal)
        tasks: dict[str, tuple[Document, Task]] = {}
        for document in batch:
            draw = random.Random(writing.seed_of(f"{id_of(writing, document)}/kinds"))  # noqa: S311 - reproducible, not secret
            for kind in draw.sample(writing.options.kinds, writing.options.tasks_per_document):
                tasks[id_of(writing, document, kind)] = document, _made(document, kind, draw, writing.prompts)
        made = {i: task for i, (_, task) in tasks.items()}
        made |= _reworded(writing, intake, journal, {i: t for i, t in made.items() if t.kind == "paraphrase" and t.asks})
        for kind in CHOSEN:
            made |= _labelled(writing, journal, kind, {i: t for i, t in made.items() if t.kind == kind})
        # By the end of its id, which is the kind: in another iteration the instruction is in other words.
        before = {(t.input, t.id.rpartition("-")[2]) for t in writing.earlier if writing.shared.dedup_scope == "run"}
        same = {text for texts in phrasings.values() for text in texts}  # one instruction stands in many tasks
        for i, (document, _) in tasks.items():
            task, draw = made[i], random.Random(writing.seed_of(f"{i}/template"))  # noqa: S311 - reproducible, not secret
            item = Item(task.given, draw.choice(phrasings[task.kind]), task.given)
            answer = {"output": task.answer, "finish": "end", "num_tokens": count_tokens(writing, task.answer)}
            sure = {} if task.confidence is None else {"confidence": task.confidence}
            lineage = {"document": document.id, "kind": task.kind, **sure, **answer}
            # The rules are for what a model wrote as an instruction; the input is a person's text.
            problem = task.problem if task.problem[0] else intake.problem(replace(item, input=""), same)
            if not problem[0] and (item.input, task.kind) in before:
                problem = "repeated", ""
            intake.take(i, item, lineage, problem)


def _made(document: Document, kind: Kind, draw: random.Random, prompts: Prompts) -> Task:
    """Make one task of a document, as far as rules can."""
    text, parts = document.text, sentences(document.text)
    found: tuple[str, str] | None = None
    if kind in CHOSEN:
        return Task(kind, text, asks=text)
    if kind in ("closed_book", "extractive") and (left := pseudo_labels.gap(parts, draw)):
        found = (left.sentence if kind == "closed_book" else f"{text}\n\n{left.sentence}", left.answer)
    elif kind == "multiple_choice":
        found = pseudo_labels.choice(parts, draw)
    elif kind == "structure_to_text":
        found = pseudo_labels.keywords(parts, draw)
    elif kind == "summarisation" and (place := pseudo_labels.telling_sentence(parts)) is not None:
        found = (text.replace(parts[place], "", 1).strip(), parts[place])
    elif kind == "paraphrase" and (pair := pseudo_labels.neighbours(parts, draw)):
        same = draw.choice((True, False))
        return Task(kind, pair[0] if same else pair[1], _same_or_not(prompts)[not same], asks=pair[0])
    return Task(kind, *found) if found else Task(kind, problem=("nothing_to_ask", f"{kind}: {document.id}"))


def _reworded(writing: Writing[UditOptions], intake: Intake, journal: Journal, tasks: Mapping[str, Task]) -> dict[str, Task]:
    """Let the model say a sentence of each task in other words; the two sentences become the input."""
    words_ = {i: writing.prompts.render("udit-paraphrase.txt", sentence=task.asks) for i, task in tasks.items()}
    requests = [text_request(writing, i, said) for i, said in words_.items()]
    said = generate_all(writing.engine, requests, journal, "sentences in other words") if requests else {}
    intake.found.tokens += sum(completion.num_tokens for completion in said.values())
    done = {}
    for i, task in tasks.items():
        new = unquoted(said[i].text)
        if said[i].finish == "length" or len(sentences(new)) != 1 or words(new) == words(task.asks):
            done[i] = replace(task, problem=("no_paraphrase", new))
        else:
            done[i] = replace(task, given=f"1. {task.given}\n2. {new}")
    return done


def _labelled(writing: Writing[UditOptions], journal: Journal, kind: Kind, tasks: Mapping[str, Task]) -> dict[str, Task]:
    """Let the model choose a label for each task; what it is not sure of is none."""
    labels, done = _labels(writing, kind), {}
    logs = choose_all(writing.engine, {i: _labelling(writing, kind, t.asks) for i, t in tasks.items()}, labels, journal, kind)
    for i, task in tasks.items():
        best = max(range(len(labels)), key=lambda n: (logs[i][n], -n))
        share = round(1 / sum(math.exp(log - logs[i][best]) for log in logs[i]), 4)
        unsure = ("unsure", f"{share:.0%} {labels[best]}") if share < writing.options.min_confidence else ("", "")
        done[i] = replace(task, answer=labels[best], confidence=share, problem=unsure)
    return done


def _labels(writing: Writing[UditOptions], kind: Kind) -> list[str]:
    return writing.prompts.render(FEELINGS).splitlines() if kind == "sentiment" else writing.options.topics


def _same_or_not(prompts: Prompts) -> list[str]:
    return [answer.lower() for answer in prompts.words.answers]


def _labelling(writing: Writing[UditOptions], kind: Kind, text: str) -> str:
    labels = ", ".join(_labels(writing, kind))
    return writing.frame.prompt(writing.prompts.render(f"udit-{kind}.txt", text=text, labels=labels))


def _templates(prompts: Prompts, kind: Kind) -> list[str]:
    lines = [line.partition(": ") for line in prompts.render(TEMPLATES).splitlines()]
    return [text for name, _, text in lines if name == kind]


def _rephrased(writing: Writing[UditOptions], journal: Journal) -> dict[str, Completion]:
    """Let the model say every template in other words; what the journal has is not asked again."""
    if not writing.options.rephrase:
        return {}
    own = {name: text for name, (_, text) in _named_templates(writing).items()}
    words_ = {name: writing.prompts.render("udit-rephrase.txt", instruction=text) for name, text in own.items()}
    requests = [text_request(writing, name, asked) for name, asked in words_.items()]
    return generate_all(writing.engine, requests, journal, "instructions in other words")


def _named_templates(writing: Writing[UditOptions]) -> dict[str, tuple[Kind, str]]:
    kinds = {kind: _templates(writing.prompts, kind) for kind in writing.options.kinds}
    return {f"template-{kind}-{n}": (kind, text) for kind, texts in kinds.items() for n, text in enumerate(texts)}


def _phrasings(writing: Writing[UditOptions], journal: Journal) -> dict[Kind, list[str]]:
    """Return the instructions of each kind, in the model's words where these pass the rules, with what may be answered."""
    said, found = _rephrased(writing, journal), dict[Kind, list[str]]()
    for name, (kind, text) in _named_templates(writing).items():
        if name in said:
            item = Item(said[name].text, unquoted(said[name].text), "", cut=said[name].finish == "length")
            text = text if writing.rule_problem(item) else item.instruction
        found.setdefault(kind, []).append(_with_offer(writing, kind, text))
    return found


def _with_offer(writing: Writing[UditOptions], kind: Kind, text: str) -> str:
    """Say after an instruction what may be answered, where that is one of a few words."""
    if kind not in ("paraphrase", *CHOSEN):
        return text
    labels = _same_or_not(writing.prompts) if kind == "paraphrase" else _labels(writing, kind)
    return followed(text, writing.prompts.render(OFFER, labels=", ".join(labels)))
