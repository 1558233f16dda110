"""LongForm: texts that people wrote become answers, and the model writes the instruction that each one answers.

A row of `examples.jsonl`:
    {"id": "i1-document-017", "instruction": "…", "input": "", "output": "the document", "finish": "end", "num_tokens": 140,
     "document": "document-017", "style": "chatbot"}
"""

import random
from collections import Counter
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from isheep_lib.analysis.words import copy_share
from isheep_lib.display.table import Table, samples
from isheep_lib.engines.generate import ask, generate_all
from isheep_lib.engines.protocol import Completion, Request
from isheep_lib.languages.words import words
from isheep_lib.params.kinds import Positive, Section, Share, distinct
from isheep_lib.prompting.chat import render
from isheep_lib.prompting.special_tokens import encode_rest, find_special
from isheep_lib.record.journal import Journal
from isheep_lib.synthesize.candidates import Candidates, Intake, pool_of
from isheep_lib.synthesize.documents import Document, digest_documents, load_documents
from isheep_lib.synthesize.method import Example, Method, Need, Writing
from isheep_lib.synthesize.rules import Item, unquoted
from isheep_lib.synthesize.shared_params import Shared

PARAMETER = "synthesize.options.documents"
Style = Literal["instruction", "chatbot", "query"]
STYLES: tuple[Style, ...] = ("instruction", "chatbot", "query")
ROUND = 10  # a stated length is rounded to tens of words


class LongFormOptions(Section):
    """Which documents, and how their instructions sound."""

    documents: str = Field(
        "seeds/documents.jsonl", description="documents: file, folder, or org/name@revision of a dataset", min_length=1
    )
    styles: Annotated[list[Style], Field(min_length=1), AfterValidator(distinct)] = Field(
        list(STYLES), description="how an instruction sounds, one drawn at random for each document"
    )
    state_length: bool = Field(False, description="say in the instruction about how many words the document has")
    min_document_words: Positive = Field(20, description="shorter documents are dropped")
    max_document_words: Positive = Field(600, description="longer documents are dropped")
    max_document_copy: Share = Field(0.8, description="share of the instruction copied from the document, more is dropped")


class LongForm(Method[LongFormOptions]):
    """Documents as answers, and instructions written for them."""

    name = "longform"
    source = "LongForm (arXiv 2304.08460); the model itself writes the instructions; prompts in our words"
    Options = LongFormOptions
    needs: ClassVar[tuple[Need, ...]] = ("documents", "an aligned model")
    brings_answers = True
    people = "documents that people wrote, as answers"
    prompts = tuple(f"longform-{style}.txt" for style in STYLES)
    reasons: ClassVar[dict[str, str]] = {
        "document_too_short": "the document has fewer words than `min_document_words`",
        "document_too_long": "the document has more words than `max_document_words`",
        "special_token": "the document holds a word that the model's tokenizer takes for a special token",
        "beyond_context": "the document leaves no room for an instruction in the model's context",
        "copies_document": "more of the instruction than `max_document_copy` is copied from the document",
    }
    answers_given: ClassVar[bool] = True

    def conflicts(self, shared: Shared, options: LongFormOptions) -> list[str]:
        """Name values that contradict one another."""
        if options.min_document_words > options.max_document_words:
            return ["min_document_words: must be at most max_document_words"]
        return []

    def data_digests(self, options: LongFormOptions) -> dict[str, str]:
        """Hash the documents."""
        return {"documents": digest_documents(options.documents, PARAMETER)}

    def given(self, writing: Writing[LongFormOptions]) -> Table:
        """Show documents."""
        rows = [vars(document) for document in load_documents(writing.options.documents, PARAMETER)]
        return samples(rows, ["id", "title", "text", "source", "licence"], 3, 0, f"{len(rows)} documents, for example")

    def example(self, writing: Writing[LongFormOptions]) -> Example:
        """Write the instruction of one document in the first style; where none will do, say why the first do not."""
        problems = {document: _document_problem(document, writing) for document in self._documents(writing)}
        document, style = next((d for d, problem in problems.items() if not problem), None), writing.options.styles[0]
        if document is None:
            said = [{"document": d.id, "reason": ": ".join(problem or ())} for d, problem in problems.items()]
            return Example("no document will do", "", said[:3])
        request = _request(writing, "example", document, style)
        said = ask(writing.engine, request)
        item = _read(said, document, writing.options)
        return Example(request.prompt, said.text, [{"style": style, "instruction": item.instruction, "answer": document.text}])

    def write(self, writing: Writing[LongFormOptions]) -> Candidates:
        """Write one instruction for each document, in an order drawn at random, until enough are accepted.

        Raises:
            YieldError: fewer than `min_instructions` were accepted; with the top reasons and examples.
        """
        shared = writing.shared
        earlier = [task.instruction for task in writing.earlier if shared.dedup_scope == "run"]
        intake, waiting = Intake(writing, pool_of(earlier, shared.max_rouge), asks=False), []
        for document in self._documents(writing):
            if problem := _document_problem(document, writing):
                intake.take(_id(writing, document), Item("", "", ""), {"document": document.id}, problem)
            else:
                waiting.append(document)
        with writing.open_journal("instructions") as journal:
            while waiting and not intake.full:
                number = shared.instructions - len(intake.found.accepted)
                batch, waiting = waiting[:number], waiting[number:]
                self._write_batch(writing, intake, journal, batch)
        return intake.require("look at the examples; give more documents, change the styles, or lower min_instructions")

    def evidence(self, candidates: Candidates) -> Table:
        """Show what each style brought."""
        kept = Counter(row["style"] for row in candidates.accepted)
        lost = Counter(row["style"] for row in candidates.dropped if "style" in row)
        lengths: dict[str, list[int]] = {}
        for row in candidates.accepted:
            lengths.setdefault(row["style"], []).append(len(words(row["instruction"])))
        rows: list[dict[str, Any]] = [
            {"style": s, "accepted": kept[s], "dropped": lost[s], "words per instruction": round(sum(n) / len(n), 1)}
            for s in STYLES
            if (n := lengths.get(s))
        ]
        return Table(rows or [{"style": "none brought a task"}], "what each style brought")

    def _documents(self, writing: Writing[LongFormOptions]) -> list[Document]:
        """Read the documents in the order of this iteration."""
        documents = load_documents(writing.options.documents, PARAMETER)
        random.Random(writing.seed_of("documents")).shuffle(documents)  # noqa: S311 - reproducible, not secret
        return documents

    def _write_batch(self, writing: Writing[LongFormOptions], intake: Intake, journal: Journal, batch: list[Document]) -> None:
        ids = {_id(writing, document): document for document in batch}
        styles = {i: _style(writing, document) for i, document in ids.items()}
        requests = [_request(writing, i, document, styles[i]) for i, document in ids.items()]
        said = generate_all(writing.engine, requests, journal, "instructions")
        for i, document in ids.items():
            item = _read(said[i], document, writing.options)
            answer = {"output": document.text, "finish": "end", "num_tokens": _tokens(writing, document)}
            copied = copy_share(item.instruction, document.text)
            problem = ("copies_document", f"{copied:.0%}") if copied > writing.options.max_document_copy else None
            intake.found.tokens += said[i].num_tokens
            intake.take(i, item, {"document": document.id, "style": styles[i], **answer}, problem)


def _id(writing: Writing[LongFormOptions], document: Document) -> str:
    return f"i{writing.iteration}-{document.id}"


def _style(writing: Writing[LongFormOptions], document: Document) -> Style:
    seed = writing.seed_of(f"{_id(writing, document)}/style")
    return random.Random(seed).choice(writing.options.styles)  # noqa: S311 - reproducible, not secret


def _document_problem(document: Document, writing: Writing[LongFormOptions]) -> tuple[str, str] | None:
    length, options = len(words(document.text)), writing.options
    if length < options.min_document_words:
        return "document_too_short", f"{length} words: {document.id}"
    if length > options.max_document_words:
        return "document_too_long", f"{length} words: {document.id}"
    if found := find_special(writing.frame.words, document.text):
        return "special_token", f"{found[0]}: {document.id}"
    prompt = _request(writing, document.id, document, _style(writing, document)).prompt
    long = writing.overlong({document.id: prompt}, writing.shared.instruction_tokens)
    return ("beyond_context", f"{long[document.id]}: {document.id}") if long else None


def _request(writing: Writing[LongFormOptions], id_: str, document: Document, style: Style) -> Request:
    """Ask for the instruction of one document, in the model's frame."""
    shared, frame = writing.shared, writing.frame
    prompt = frame.prompt(render(f"longform-{style}.txt", document=document.text))
    sampling = (shared.instruction_tokens, shared.instruction_temperature, shared.instruction_top_p)
    return Request(id_, prompt, *sampling, writing.seed_of(id_), stop=(frame.end,))


def _read(said: Completion, document: Document, options: LongFormOptions) -> Item:
    """Read an instruction: the text without quotes around it, and the document's length where that is stated."""
    text = unquoted(said.text)
    if options.state_length and text:
        length = max(ROUND, round(len(words(document.text)) / ROUND) * ROUND)
        text = f"{text} Use about {length} words."
    return Item(said.text, text, "", cut=said.finish == "length")


def _tokens(writing: Writing[LongFormOptions], document: Document) -> int:
    """Count the tokens of a document, as those of a response that the model wrote."""
    return len(encode_rest(writing.engine.tokenizer, document.text)) + 1
