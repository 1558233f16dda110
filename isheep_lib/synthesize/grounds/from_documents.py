"""What methods have in common that write tasks from documents: which will do, in which order, and why the others do not.

Covers documents that are too short, too long, hold a benchmark's text, or do not fit the model, and batches of those that will
do. Does not cover reading them (`synthesize.documents`) or what is written from one (each method).
"""

import random
from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import AfterValidator, Field

from isheep_lib.display.table import Table, samples
from isheep_lib.errors import DataError
from isheep_lib.languages.words import words
from isheep_lib.params.kinds import Positive, Section
from isheep_lib.prompting.special_tokens import find_special
from isheep_lib.record.journal import Journal
from isheep_lib.synthesize.candidates import Candidates, Intake, pool_of
from isheep_lib.synthesize.documents import Document, digest_documents, licences, load_documents, parse_document_fields
from isheep_lib.synthesize.grounds.benchmark_text import benchmark_digests, repeats
from isheep_lib.synthesize.method import Method
from isheep_lib.synthesize.rules import Item
from isheep_lib.synthesize.shared_params import Shared
from isheep_lib.synthesize.writing import Writing

PARAMETER = "synthesize.options.documents"
# Reasons that all these methods have, with the meaning.
TOO_SHORT = "the document has fewer words than `min_document_words`"
TOO_LONG = "the document has more words than `max_document_words`"
BENCHMARK_TEXT = "the document holds an item of a benchmark"
HOLDS_SPECIAL = "the document holds a word that the model's tokenizer takes for a special token"
BEYOND_CONTEXT = "the document leaves no room for an answer in the model's context"
COPIES_DOCUMENT = "more of the instruction than `max_document_copy` is copied from the document"
SHOWN = 3  # reasons with an example in an error


def _fields(pairs: list[str]) -> list[str]:
    parse_document_fields(pairs)
    return pairs


class DocumentOptions(Section):
    """Which documents tasks are written from."""

    documents: str = Field(
        "seeds/documents.jsonl", description="documents: file, folder, or org/name@revision of a dataset", min_length=1
    )
    document_fields: Annotated[list[str], AfterValidator(_fields)] = Field(
        [], description="fields of other names: our name (text, title, …), an equals sign, theirs"
    )
    min_document_words: Positive = Field(20, description="shorter documents are dropped")
    max_document_words: Positive = Field(600, description="longer documents are dropped")
    benchmark_text: Literal["drop", "keep"] = Field(
        "drop", description="documents that hold an item of any benchmark whose data are here"
    )


Grounded = TypeVar("Grounded", bound=DocumentOptions)


class FromDocuments(Method[Grounded]):
    """A method that writes tasks from documents, each document once.

    Attributes:
        advice: what to do where too few tasks were accepted.
    """

    advice: ClassVar[str] = "give more documents, or lower min_instructions"

    @abstractmethod
    def prompts_for(self, writing: Writing[Grounded], document: Document) -> Sequence[tuple[str, int]]:
        """Return the prompts that show the document, framed, each with the tokens that it must leave room for."""

    @abstractmethod
    def write_batch(self, writing: Writing[Grounded], intake: Intake, journal: Journal, batch: Sequence[Document]) -> None:
        """Write tasks from some documents, all of which will do, and take them in."""

    def begin(self, writing: Writing[Grounded], intake: Intake, journal: Journal) -> None:
        """Ask what is asked once, before the first batch; most methods ask nothing."""

    def tasks_of_one(self, options: Grounded) -> int:
        """Return how many tasks one document can give."""
        return 1

    def known(self, writing: Writing[Grounded]) -> list[str]:
        """Return the instructions that no new one may resemble."""
        return [task.instruction for task in writing.earlier if writing.shared.dedup_scope == "run"]

    def conflicts(self, shared: Shared, options: Grounded) -> list[str]:
        """Name values that contradict one another."""
        if options.min_document_words > options.max_document_words:
            return ["min_document_words: must be at most max_document_words"]
        return []

    def data_digests(self, options: Grounded) -> dict[str, str]:
        """Hash the documents, and the benchmarks that they are compared with."""
        compared = benchmark_digests() if options.benchmark_text == "drop" else {}
        return {"documents": digest_documents(options.documents, PARAMETER, options.document_fields), **compared}

    def sources(self, options: Grounded) -> dict[str, Any]:
        """Say what a record keeps of the documents: where they lie, how many there are, under which licences."""
        found = load_documents(options.documents, PARAMETER, options.document_fields)
        return {"documents": {"from": options.documents, "number": len(found), "licences": licences(found)}}

    def check_data(self, shared: Shared, options: Grounded) -> dict[str, str]:
        """Look at the documents before a model loads.

        Raises:
            DataError: too few will do for the wanted instructions; with the reasons.
        """
        found = load_documents(options.documents, PARAMETER, options.document_fields)
        problems = {document.id: problem for document, problem in zip(found, faults(found, options), strict=True) if problem}
        most = self.tasks_of_one(options) * (len(found) - len(problems))
        if most >= shared.min_instructions:
            return {}
        reasons = Counter(reason for reason, _ in problems.values()).most_common(SHOWN)
        examples = dict(reversed(problems.values()))
        told = [f"{reason}: {number}, such as {examples[reason]}" for reason, number in reasons]
        raise DataError(
            f"{len(found) - len(problems)} of {len(found)} document(s) will do, for at most {most} new instructions"
            + "".join(f"\n  {line}" for line in told),
            where=PARAMETER,
            allowed=f"documents enough for min_instructions, {shared.min_instructions}",
            do="give more documents, change the limits in synthesize.options, or lower synthesize.min_instructions",
        )

    def given(self, writing: Writing[Grounded]) -> Table:
        """Show documents."""
        options = writing.options
        rows = [vars(document) for document in load_documents(options.documents, PARAMETER, options.document_fields)]
        return samples(rows, ["id", "title", "text", "source", "licence"], 3, 0, f"{len(rows)} documents, for example")

    def write(self, writing: Writing[Grounded]) -> Candidates:
        """Write from each document, in an order drawn at random, until enough tasks are accepted.

        Raises:
            YieldError: fewer than `min_instructions` were accepted; with the top reasons and examples.
        """
        intake, waiting = Intake(writing, pool_of(self.known(writing), writing.shared.max_rouge), asks=False), []
        for document, problem in self.looked_at(writing):
            if problem:
                intake.take(id_of(writing, document), Item("", "", ""), {"document": document.id}, problem)
            else:
                waiting.append(document)
        with writing.open_journal("instructions") as journal:
            self.begin(writing, intake, journal)
            while waiting and not intake.full:
                lacking = writing.shared.instructions - len(intake.found.accepted)
                number = -(-lacking // self.tasks_of_one(writing.options))
                batch, waiting = waiting[:number], waiting[number:]
                self.write_batch(writing, intake, journal, batch)
        return intake.require(f"look at the examples; {self.advice}")

    def looked_at(self, writing: Writing[Grounded]) -> list[tuple[Document, tuple[str, str] | None]]:
        """Return the documents in the order of this iteration, each with why it will not do."""
        documents = load_documents(writing.options.documents, PARAMETER, writing.options.document_fields)
        random.Random(writing.seed_of("documents")).shuffle(documents)  # noqa: S311 - reproducible, not secret
        known = faults(documents, writing.options)
        return [(d, problem or self._unreadable(writing, d)) for d, problem in zip(documents, known, strict=True)]

    def first_fit(self, writing: Writing[Grounded]) -> tuple[Document | None, list[dict[str, Any]]]:
        """Return the first document that will do, None if none does, with why the first ones do not."""
        looked = self.looked_at(writing)
        why = [{"document": document.id, "reason": ": ".join(problem)} for document, problem in looked if problem]
        return next((document for document, problem in looked if not problem), None), why[:3]

    def _unreadable(self, writing: Writing[Grounded], document: Document) -> tuple[str, str] | None:
        if found := find_special(writing.frame.words, document.text):
            return "special_token", f"{found[0]}: {document.id}"
        for prompt, room in self.prompts_for(writing, document):
            if long := writing.overlong({document.id: prompt}, room):
                return "beyond_context", f"{long[document.id]}: {document.id}"
        return None


def faults(documents: Sequence[Document], options: DocumentOptions) -> list[tuple[str, str] | None]:
    """Say of each document why it will not do, as far as its text alone tells; None where it will."""
    texts = {document.id: document.text for document in documents}
    held = repeats(texts) if options.benchmark_text == "drop" else {}
    found: list[tuple[str, str] | None] = []
    for document in documents:
        length = len(words(document.text))
        if length < options.min_document_words:
            found.append(("document_too_short", f"{length} words: {document.id}"))
        elif length > options.max_document_words:
            found.append(("document_too_long", f"{length} words: {document.id}"))
        else:
            item = held.get(document.id)
            found.append(("benchmark_text", f"{item}: {document.id}") if item else None)
    return found


def id_of(writing: Writing[Any], document: Document, *more: str) -> str:
    """Name what is written from a document in this iteration."""
    return "-".join([f"i{writing.iteration}", document.id, *more])
