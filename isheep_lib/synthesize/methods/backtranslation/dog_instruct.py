"""DoG-Instruct: the model wraps a text into a task and an answer of its own words, which must stay grounded in the text.

A row of `examples.jsonl`:
    {"id": "i1-document-017", "instruction": "…", "input": "", "output": "…", "finish": "end", "num_tokens": 88,
     "document": "document-017", "grounding": 0.93}
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from pydantic import Field

from isheep_lib.analysis.words import copy_share
from isheep_lib.display.table import Table
from isheep_lib.engines.generate import ask, generate_all
from isheep_lib.engines.protocol import Completion, Request
from isheep_lib.languages import rules
from isheep_lib.languages.words import words
from isheep_lib.params.kinds import Share
from isheep_lib.record.journal import Journal
from isheep_lib.synthesize.candidates import Candidates, Intake
from isheep_lib.synthesize.documents import Document
from isheep_lib.synthesize.extras.asking import count_tokens, text_request
from isheep_lib.synthesize.grounds import from_documents
from isheep_lib.synthesize.grounds.from_documents import DocumentOptions, FromDocuments, id_of
from isheep_lib.synthesize.method import Example, Need
from isheep_lib.synthesize.rules import Item, unquoted
from isheep_lib.synthesize.writing import Writing

PROMPT = "dog_instruct-wrap.txt"
PART = re.compile(
    r"^[ \t]*(?:\*\*)?#?[ \t]*(instruction|input|output|指令|输入|输出)[ \t]*#?(?:\*\*)?[ \t]*[:：](?:\*\*)?[ \t]*", re.I | re.M
)
NAMES = {"指令": "instruction", "输入": "input", "输出": "output"}
TELLING = 4  # letters of a word that has a meaning of its own, mostly; shorter ones stand in every text
NAMED = 5  # words that a detail names
QUARTERS = (0.25, 0.5, 0.75, 1.0)


class DogOptions(DocumentOptions):
    """How far an answer may leave its text."""

    min_grounding: Share = Field(
        0.7, description="share of the answer's words of 4 or more letters and of its numbers that stand in the text, at least"
    )
    min_answer_share: Share = Field(0.3, description="length of the answer over that of the text, in words, at least")
    max_document_copy: Share = Field(0.8, description="share of the instruction copied from the document, more is dropped")


class DogInstruct(FromDocuments[DogOptions]):
    """Texts wrapped into tasks with answers in an assistant's words, grounded in the text."""

    name = "dog_instruct"
    source = "DoG-Instruct (arXiv 2309.05447); the model itself wraps, rules check the grounding; prompt in our words"
    Options = DogOptions
    needs: ClassVar[tuple[Need, ...]] = ("documents", "an aligned model")
    brings_answers = True
    people = "documents that people wrote, and rules that compare answers with them"
    prompts = (PROMPT,)
    reasons: ClassVar[dict[str, str]] = {
        "document_too_short": from_documents.TOO_SHORT,
        "document_too_long": from_documents.TOO_LONG,
        "benchmark_text": from_documents.BENCHMARK_TEXT,
        "special_token": from_documents.HOLDS_SPECIAL,
        "beyond_context": from_documents.BEYOND_CONTEXT,
        "copies_document": from_documents.COPIES_DOCUMENT,
        "unreadable": "what the model wrote has no instruction or no output, or one of them twice",
        "foreign_number": "the answer has a number that stands neither in the text nor in the task",
        "ungrounded": "less of the answer than `min_grounding` stands in the text",
        "answer_too_short": "the answer is shorter than `min_answer_share` of the text",
    }
    advice = "give more documents, lower min_grounding, raise response_tokens, or lower min_instructions"

    def example(self, writing: Writing[DogOptions]) -> Example:
        """Wrap one document and measure its answer; where none will do, say why the first do not."""
        document, why = self.first_fit(writing)
        if document is None:
            return Example("no document will do", "", why)
        request = _request(writing, "example", document)
        said = ask(writing.engine, request)
        item, output = read_wrapped(said)
        problem = _problem(item, output, document, writing.options)
        parts = {"instruction": item.instruction, "input": item.input, "output": output}
        return Example(
            request.prompt, said.text, [{**parts, "grounding": grounding(output, document.text), "rule": problem or "passes"}]
        )

    def evidence(self, candidates: Candidates) -> Table:
        """Show how far answers are grounded, and how much of them is the text word for word."""
        rows: list[dict[str, Any]] = []
        measured = [row for row in (*candidates.accepted, *candidates.dropped) if "grounding" in row]
        accepted = {row["id"] for row in candidates.accepted}
        for low, high in zip((-1.0, *QUARTERS), QUARTERS, strict=False):
            within = [row for row in measured if low < row["grounding"] <= high]
            lengths = [len(words(row["output"])) for row in within]
            if within:
                kept = sum(row["id"] in accepted for row in within)
                rows.append(
                    {
                        "grounding": f"{max(low, 0):.0%} to {high:.0%}",
                        "accepted": kept,
                        "dropped": len(within) - kept,
                        "words per answer": round(sum(lengths) / len(lengths), 1),
                    }
                )
        return Table(rows or [{"grounding": "no answer could be read"}], "how much of the answers stands in their texts")

    def prompts_for(self, writing: Writing[DogOptions], document: Document) -> Sequence[tuple[str, int]]:
        """Return the prompt that wraps the document."""
        request = _request(writing, "", document)
        return [(request.prompt, request.max_new_tokens)]

    def write_batch(self, writing: Writing[DogOptions], intake: Intake, journal: Journal, batch: Sequence[Document]) -> None:
        """Wrap each document."""
        ids = {id_of(writing, document): document for document in batch}
        said = generate_all(writing.engine, [_request(writing, i, d) for i, d in ids.items()], journal, "instructions")
        for i, document in ids.items():
            item, output = read_wrapped(said[i])
            answer = {"output": output, "finish": "end", "num_tokens": count_tokens(writing, output)}
            measured = {"grounding": grounding(output, document.text)} if output else {}
            intake.found.tokens += said[i].num_tokens
            problem = _problem(item, output, document, writing.options)
            intake.take(i, item, {"document": document.id, **measured, **answer}, problem)


def read_wrapped(said: Completion) -> tuple[Item, str]:
    """Read the parts of a wrapped text, task and answer; both are empty where one that must be there is not, or is twice.

    Text before the first label is passed over; a part reaches to the next label.
    """
    found = list(PART.finditer(said.text))
    ends = [*(each.start() for each in found[1:]), len(said.text)]
    parts: dict[str, list[str]] = {}
    for each, end in zip(found, ends, strict=False):
        parts.setdefault(NAMES.get(each[1], each[1].lower()), []).append(said.text[each.end() : end].strip())
    cut = said.finish == "length"
    if any(len(parts.get(name, ())) != 1 for name in ("instruction", "output")) or len(parts.get("input", ())) > 1:
        return Item(said.text, "", "", cut=cut), ""
    given = parts.get("input", [""])[0]
    given = "" if rules.of(rules.ANY).finds("no_input", given) else given
    return Item(said.text, unquoted(parts["instruction"][0]), given, cut=cut), parts["output"][0]


def grounding(answer: str, text: str) -> float:
    """Return the share of the answer's words of four letters or more, and numbers, that stand in the text; 0 without any."""
    telling = [word for word in words(answer) if _tells(word)]
    known = set(words(text))
    return round(sum(word in known for word in telling) / len(telling), 4) if telling else 0.0


def _tells(word: str) -> bool:
    return len(word) >= TELLING or word.isdigit()


def _problem(item: Item, output: str, document: Document, options: DogOptions) -> tuple[str, str] | None:
    """Return the first reason to drop a wrapped text by its parts alone, None if there is none."""
    if item.cut:
        return None  # which the rules on instructions call cut off
    if not item.instruction or not output:
        return "unreadable", ""
    if (copied := copy_share(item.instruction, document.text)) > options.max_document_copy:
        return "copies_document", f"{copied:.0%}"
    known, said = set(words(f"{document.text} {item.instruction} {item.input}")), words(output)
    # The numbers of a list, 1 to 9, are its own.
    if foreign := [word for word in said if word.isdigit() and len(word) > 1 and word not in known]:
        return "foreign_number", ", ".join(dict.fromkeys(foreign[:NAMED]))
    if (share := grounding(output, document.text)) < options.min_grounding:
        others = dict.fromkeys(word for word in said if _tells(word) and word not in set(words(document.text)))
        return "ungrounded", f"{share:.0%}, without {', '.join(list(others)[:NAMED])}"
    length = len(said) / len(words(document.text))
    return ("answer_too_short", f"{length:.0%} of the text") if length < options.min_answer_share else None


def _request(writing: Writing[DogOptions], id_: str, document: Document) -> Request:
    """Ask for a task and its answer at once, so with room for both."""
    room = writing.shared.instruction_tokens + writing.shared.response_tokens
    return replace(text_request(writing, id_, writing.prompts.render(PROMPT, document=document.text)), max_new_tokens=room)
