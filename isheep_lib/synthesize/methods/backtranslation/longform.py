"""LongForm: texts that people wrote become answers, and the model writes the instruction that each one answers.

A row of `examples.jsonl`:
    {"id": "i1-document-017", "instruction": "…", "input": "", "output": "the document", "finish": "end", "num_tokens": 140,
     "document": "document-017", "style": "chatbot"}
"""

import random
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from isheep_lib.analysis.sentences import sentences
from isheep_lib.analysis.words import copy_share
from isheep_lib.display.table import Table
from isheep_lib.engines.generate import ask, generate_all
from isheep_lib.engines.protocol import Completion, Request
from isheep_lib.languages.words import words
from isheep_lib.params.kinds import Share, distinct
from isheep_lib.prompting.prompt_files import Prompts
from isheep_lib.record.journal import Journal
from isheep_lib.synthesize.candidates import Candidates, Intake
from isheep_lib.synthesize.documents import Document
from isheep_lib.synthesize.extras.asking import count_tokens, followed, text_request
from isheep_lib.synthesize.grounds import from_documents
from isheep_lib.synthesize.grounds.from_documents import DocumentOptions, FromDocuments, id_of
from isheep_lib.synthesize.method import Example, Need
from isheep_lib.synthesize.rules import Item, unquoted
from isheep_lib.synthesize.shared_params import Shared
from isheep_lib.synthesize.writing import Writing

Style = Literal["instruction", "chatbot", "query"]
STYLES: tuple[Style, ...] = ("instruction", "chatbot", "query")
Unit = Literal["words", "sentences"]
IN_ONE, IN_SENTENCES = "longform-one_sentence.txt", "longform-sentences.txt"
ROUND = 10  # a stated length is rounded to tens of words


class LongFormOptions(DocumentOptions):
    """Which documents, and how their instructions sound."""

    styles: Annotated[list[Style], Field(min_length=1), AfterValidator(distinct)] = Field(
        list(STYLES), description="how an instruction sounds, one drawn at random for each document"
    )
    state_length: bool = Field(False, description="say in the instruction about how long the document is")
    length_units: Annotated[list[Unit], Field(min_length=1), AfterValidator(distinct)] = Field(
        ["words"], description="with state_length: in which unit, one drawn at random for each document"
    )
    max_document_copy: Share = Field(0.8, description="share of the instruction copied from the document, more is dropped")


class LongForm(FromDocuments[LongFormOptions]):
    """Documents as answers, and instructions written for them."""

    name = "longform"
    source = "LongForm (arXiv 2304.08460); the model itself writes the instructions; prompts in our words"
    Options = LongFormOptions
    needs: ClassVar[tuple[Need, ...]] = ("documents", "an aligned model")
    brings_answers = True
    people = "documents that people wrote, as answers"
    prompts = (*(f"longform-{style}.txt" for style in STYLES), IN_ONE, IN_SENTENCES)
    reasons: ClassVar[dict[str, str]] = {
        "document_too_short": from_documents.TOO_SHORT,
        "document_too_long": from_documents.TOO_LONG,
        "benchmark_text": from_documents.BENCHMARK_TEXT,
        "special_token": from_documents.HOLDS_SPECIAL,
        "beyond_context": from_documents.BEYOND_CONTEXT,
        "copies_document": from_documents.COPIES_DOCUMENT,
    }
    answers_given: ClassVar[bool] = True
    advice = "give more documents, change the styles, or lower min_instructions"

    def conflicts(self, shared: Shared, options: LongFormOptions) -> list[str]:
        """Name values that contradict one another."""
        problems = super().conflicts(shared, options)
        if options.length_units != ["words"] and not options.state_length:
            problems.append("length_units: no length is stated; set state_length to true")
        return problems

    def prompt_files(self, options: LongFormOptions) -> tuple[str, ...]:
        """Name those of all styles, and what says a length in sentences where one may be stated so."""
        stated = (IN_ONE, IN_SENTENCES) if "sentences" in options.length_units else ()
        return (*(f"longform-{style}.txt" for style in STYLES), *stated)

    def example(self, writing: Writing[LongFormOptions]) -> Example:
        """Write the instruction of one document in the first style; where none will do, say why the first do not."""
        document, why = self.first_fit(writing)
        if document is None:
            return Example("no document will do", "", why)
        style = writing.options.styles[0]
        request = _request(writing, "example", document, style)
        said = ask(writing.engine, request)
        item = _read(said, document, writing)
        return Example(request.prompt, said.text, [{"style": style, "instruction": item.instruction, "answer": document.text}])

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

    def prompts_for(self, writing: Writing[LongFormOptions], document: Document) -> Sequence[tuple[str, int]]:
        """Return the prompt in the style that was drawn."""
        request = _request(writing, document.id, document, _style(writing, document))
        return [(request.prompt, request.max_new_tokens)]

    def write_batch(
        self, writing: Writing[LongFormOptions], intake: Intake, journal: Journal, batch: Sequence[Document]
    ) -> None:
        """Write one instruction for each document."""
        ids = {id_of(writing, document): document for document in batch}
        styles = {i: _style(writing, document) for i, document in ids.items()}
        requests = [_request(writing, i, document, styles[i]) for i, document in ids.items()]
        said = generate_all(writing.engine, requests, journal, "instructions")
        for i, document in ids.items():
            item = _read(said[i], document, writing)
            answer = {"output": document.text, "finish": "end", "num_tokens": count_tokens(writing, document.text)}
            copied = copy_share(item.instruction, document.text)
            problem = ("copies_document", f"{copied:.0%}") if copied > writing.options.max_document_copy else None
            intake.found.tokens += said[i].num_tokens
            intake.take(i, item, {"document": document.id, "style": styles[i], **answer}, problem)


def _style(writing: Writing[LongFormOptions], document: Document) -> Style:
    seed = writing.seed_of(f"{id_of(writing, document)}/style")
    return random.Random(seed).choice(writing.options.styles)  # noqa: S311 - reproducible, not secret


def _request(writing: Writing[LongFormOptions], id_: str, document: Document, style: Style) -> Request:
    """Ask for the instruction of one document, in the model's frame."""
    return text_request(writing, id_, writing.prompts.render(f"longform-{style}.txt", document=document.text))


def _read(said: Completion, document: Document, writing: Writing[LongFormOptions]) -> Item:
    """Read an instruction: the text without quotes around it, and the document's length where that is stated."""
    text = unquoted(said.text)
    if writing.options.state_length and text:
        seed = writing.seed_of(f"{id_of(writing, document)}/unit")
        unit = random.Random(seed).choice(writing.options.length_units)  # noqa: S311 - reproducible, not secret
        text = _with_length(text, document, unit, writing.prompts)
    return Item(said.text, text, "", cut=said.finish == "length")


def _with_length(text: str, document: Document, unit: Unit, prompts: Prompts) -> str:
    """Say after an instruction how long the answer is."""
    if unit == "words":
        return text + prompts.words.length.format(length=max(ROUND, round(len(words(document.text)) / ROUND) * ROUND))
    number = len(sentences(document.text))
    return followed(text, prompts.render(IN_ONE) if number == 1 else prompts.render(IN_SENTENCES, number=str(number)))
