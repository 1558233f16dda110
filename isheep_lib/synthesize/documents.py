"""Documents: texts that people wrote, from a file of rows, a hub dataset, or a folder of text and Markdown files.

    load_documents("seeds/documents.jsonl", "synthesize.options.documents")

A row has `text`, and optionally `id`, `title`, `source` and `licence` (also spelled `license`); fields of other names are
mapped, ours=theirs, such as text=content. Covers reading and checking. Does not cover what is written from a document (the
methods).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from isheep_lib.errors import DataError
from isheep_lib.reading.files import FOLDER, read_text, what_lies_at
from isheep_lib.record.provenance import expanded, project_root
from isheep_lib.record.rows import SURROGATE, bad_rows, canonical_json, digest_text, parse_fields
from isheep_lib.record.sources import read_rows

ENDINGS = (".txt", ".md")


@dataclass(frozen=True)
class Document:
    """One text, and where it comes from."""

    id: str
    text: str
    title: str = ""
    source: str = ""
    licence: str = ""


NAMES = tuple(f.name for f in fields(Document))


def load_documents(source: str, parameter: str, renamed: Sequence[str] = ()) -> list[Document]:
    """Read documents, each once; a row without an id is named by its number, a file by its name.

    Args:
        source: a file (JSON lines, a list, CSV, parquet), from the current folder or the clone's root, a folder of text and
            Markdown files, or a hub dataset pinned to a commit.
        parameter: that names it, for errors.
        renamed: fields of other names, ours=theirs.

    Raises:
        DataError: the source is absent, unreadable or empty, or rows have no text, other fields that are no text, or an id
            that comes twice. All such rows are listed.
    """
    folder = next((p for p in (expanded(source), project_root() / source) if what_lies_at(p) == FOLDER), None)
    found = _read_folder(folder) if folder else _read_rows(source, parameter, parse_document_fields(renamed))
    if not found:
        raise DataError(f"{source} holds no document", where=parameter, do="add rows with a text, or .txt and .md files")
    return found


def digest_documents(source: str, parameter: str, renamed: Sequence[str] = ()) -> str:
    """Hash the documents of a source, wherever they lie and however they are written down."""
    return digest_text(canonical_json([vars(document) for document in load_documents(source, parameter, renamed)]))


def licences(documents: Sequence[Document]) -> dict[str, int]:
    """Count the documents of each licence, "not stated" for those that name none."""
    return dict(sorted(Counter(document.licence or "not stated" for document in documents).items()))


def parse_document_fields(pairs: Sequence[str]) -> dict[str, str]:
    """Read a mapping of a document's fields; see `record.rows.parse_fields`."""
    return parse_fields(pairs, NAMES, "text=content")


def _read_folder(folder: Path) -> list[Document]:
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file())
    return [Document(path.relative_to(folder).as_posix(), read_text(path).strip(), source=path.name) for path in paths]


def _read_rows(source: str, parameter: str, renamed: Mapping[str, str]) -> list[Document]:
    rows, documents = read_rows(source, parameter), []
    problems = list(rows.problems)
    for row in rows.rows:
        spelled = {"licence": row.content.get("license")} | row.content
        values = {name: spelled.get(renamed.get(name, name)) or "" for name in NAMES}
        values["id"] = values["id"] or f"document-{row.number:03d}"
        wrong = [name for name, value in values.items() if not isinstance(value, str)]
        if wrong:
            problems.append((row.number, f"{row.place}: {', '.join(wrong)} should be text"))
        elif broken := [name for name, value in values.items() if SURROGATE.search(value)]:
            what = f"{', '.join(broken)} must be valid Unicode, it holds half a character"
            problems.append((row.number, f"{row.place}: {what}"))
        elif not values["text"].strip():
            problems.append((row.number, f"{row.place}: no text"))
        else:
            documents.append(Document(**{**values, "text": values["text"].strip()}))
    twice = [id_ for id_, number in Counter(document.id for document in documents).items() if number > 1]
    told = [problem for _, problem in sorted(problems, key=lambda each: each[0])]
    told += [f"{rows.name}: the id {id_!r} comes twice" for id_ in twice]
    if told:
        raise bad_rows(rows.name, told, "text, and optionally id, title, source, licence (all text); others by document_fields")
    return documents
