"""Documents: the file of the project, and every form that people have theirs in."""

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from isheep_lib.errors import DataError
from isheep_lib.filter.steps.rules import rule_problem
from isheep_lib.record.rows import Pair, canonical_json, read_jsonl, write_jsonl
from isheep_lib.synthesize.documents import Document, digest_documents, load_documents

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "seeds" / "documents.jsonl"
ROWS = read_jsonl(FILE)
WHERE = "synthesize.options.documents"
TEXT = "A kettle sings before it boils."


def load(source):
    return load_documents(str(source), WHERE)


def digest(source):
    return digest_documents(str(source), WHERE)


def write_lines(path, rows):
    write_jsonl(path, rows)
    return path


def write_list(path, rows):
    path.write_text(json.dumps(rows, indent=2), encoding="utf-8")
    return path


def write_folder(path, texts):
    for name, text in texts.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text, encoding="utf-8")
    return path


def refusal(source):
    with pytest.raises(DataError) as caught:
        load(source)
    return str(caught.value)


def test_the_documents_of_the_project_load_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    documents = load("seeds/documents.jsonl")
    assert [document.id for document in documents] == [f"document-{n:03d}" for n in range(1, 137)]
    assert {(document.source, document.licence) for document in documents} == {("written for this project", "Apache-2.0")}
    assert len({document.title for document in documents}) == 136


def test_the_file_is_canonical_and_every_row_has_the_same_fields_all_of_them_trimmed_text():
    assert FILE.read_text(encoding="utf-8") == "".join(canonical_json(row) + "\n" for row in ROWS)
    for row in ROWS:
        assert set(row) == {"id", "kind", "title", "text", "source", "licence"}
        assert all(isinstance(value, str) and value and value == value.strip() for value in row.values())


def test_the_kinds_are_many_and_balanced_with_a_few_poems():
    kinds = Counter(row["kind"] for row in ROWS)
    assert len(kinds) >= 15
    assert 3 <= kinds.pop("poem") <= 5
    more = {kind: kinds.pop(kind) for kind in ("note", "news", "code", "table-in-prose")}
    assert set(more.values()) == {4}
    assert set(kinds.values()) <= {6, 7}


def test_documents_differ_in_length_and_all_are_answers_that_the_filter_keeps():
    lengths = [len(row["text"].split()) for row in ROWS]
    assert min(lengths) < 60
    assert max(lengths) > 160
    pairs = [Pair(row["id"], "", "", row["text"]) for row in ROWS]
    assert [pair.id for pair in pairs if rule_problem(pair, 0.5)[0]] == []


def test_no_two_documents_are_alike_and_each_has_40_to_300_words_and_ends_with_a_full_sentence(tool):
    found = tool.compare_documents(ROWS)
    assert (tool.MAX_DOCUMENTS, tool.DOCUMENT_WORDS) == (0.3, (40, 300))
    assert 0.1 < found.rouge[0] < 0.3
    assert found.broken == []


@pytest.mark.parametrize(
    ("title", "value", "number", "text"),
    [
        ("How the four ferries compare", 5 * (9 - 7), 10, "is 10 euros on people alone"),
        ("What the reading survey found", 31 + 52 + 17, 22 + 57 + 21, "31 percent"),
        ("Waiting a little longer each time", 0.5 + 1 + 2 + 4, 7.5, "seven and a half seconds"),
        ("Counting words without counting the same one twice", 4 / 5, 0.8, "it returns 0.8"),
        ("The three routes to the hut", 9.5 + 12, 21.5, "That makes 21.5 kilometres"),
        ("How much paint for a bedroom", 2 * (4 + 3) * 2.5, 35, "gives 35 square metres"),
        ("How much paint for a bedroom", 2 * (35 - 2 - 3) / 8, 7.5, "Two coats need 7.5."),
        ("Splitting a bill fairly", (96 - 24) / 4 + 24 / 3, 26, "the others 26."),
        ("When will the bath be full?", 150 / (12 - 3) * 60, 16 * 60 + 40, "sixteen minutes and forty seconds"),
        ("Compound interest on a small sum", round(1000 * 1.04**3 - 1120, 2), 4.86, "The difference of 4.86"),
        ("The average that misleads", 60 / (30 / 30 + 30 / 15), 20, "sixty divided by three is twenty"),
        ("How many tiles for a terrace", (480 // 40) * (360 // 40) + 6, 114, "order 114"),
        ("A discount on top of a discount", 200 * 0.7 * 0.9, 126, "which leaves 126."),
        ("Allotment association, spring meeting", 14 + 6 + 3, 23, "Twenty-three members"),
    ],
)
def test_sums_come_out_as_the_document_says(title, value, number, text):
    assert value == pytest.approx(number)
    assert text in next(row["text"] for row in ROWS if row["title"] == title)


# The sets of the largest package take longer than a unit test may; the tool compares with them, too.
@pytest.mark.parametrize("name", ["IFEval", "AlpacaEval", "IFBench", "Arena-Hard 2.0", "MT-Bench", "HumanEval"])
def test_no_document_shares_a_long_run_of_words_with_evaluation_data(tool, name):
    texts = tool.installed_set(name)
    if texts is None:
        pytest.skip(f"{tool.PLACES[name][0]} is not installed")
    found = tool.Comparison(name, len(texts))
    tool.compare_runs(ROWS, texts, found)
    assert found.run[0] > 0
    assert found.broken == []


SENTENCE = "Whoever oils the hinge on Monday sleeps soundly until the cold comes back."
LONG = f"{SENTENCE} Number {' '.join(f'a{n}' for n in range(40))}."


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (" ".join(f"b{n}" for n in range(40)) + ".", []),
        (" ".join(f"b{n}" for n in range(300)) + "!", []),
        (" ".join(f"b{n}" for n in range(39)) + ' b."', []),
        (" ".join(f"b{n}" for n in range(39)) + ".", ["d-2 has 39 words, allowed are 40 to 300"]),
        (" ".join(f"b{n}" for n in range(301)) + ".", ["d-2 has 301 words, allowed are 40 to 300"]),
        (" ".join(f"b{n}" for n in range(50)), ["d-2 does not end with a full sentence: "]),
        (" ".join(f"b{n}" for n in range(50)) + ".\n\nYours, Ann", ["d-2 does not end with a full sentence: "]),
        (LONG.replace("Monday", "Tuesday"), ["d-2 has ROUGE-L 0.98 with another document: "]),
    ],
)
def test_a_document_that_breaks_a_limit_is_named(tool, text, told):
    broken = tool.compare_documents([{"id": "d-1", "text": LONG}, {"id": "d-2", "text": text}]).broken
    assert len(broken) == len(told)
    assert all(line.startswith(start) for line, start in zip(broken, told, strict=True))


def test_a_document_that_quotes_evaluation_data_is_named_by_the_tool(tool, tmp_path, monkeypatch, capsys):
    write_list(tmp_path / "more.json", [{"question": f"Explain: {SENTENCE}"}])
    monkeypatch.setattr(tool, "PLACES", {})
    monkeypatch.setattr(tool, "DOCUMENTS", write_lines(tmp_path / "d.jsonl", [*ROWS, {"id": "d-1", "kind": "k", "text": LONG}]))
    monkeypatch.setattr("sys.argv", ["check_seeds.py", "--also", str(tmp_path / "more.json")])
    with pytest.raises(SystemExit) as end:
        tool.main()
    assert end.value.code == f"d-1 shares 13 words with more.json: {SENTENCE.lower().rstrip('.')!r}"
    printed = capsys.readouterr().out
    assert "137 documents: 7 how-to" in printed
    assert "words of the documents: 45 to 180" in printed
    assert any(line.startswith("more.json") and line.endswith("13 d-1") for line in printed.splitlines())


FULL = {"id": "k", "title": "Kettles", "text": TEXT, "source": "a notebook", "licence": "CC0-1.0"}
FORMATS = [
    ("documents.jsonl", write_lines),
    ("documents.json", write_list),
    ("documents.jsonl", write_list),
    ("documents", write_lines),
]


@pytest.mark.parametrize(("name", "write"), FORMATS)
@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (FULL, Document("k", TEXT, "Kettles", "a notebook", "CC0-1.0")),
        ({**FULL, "kind": "note", "pages": 3}, Document("k", TEXT, "Kettles", "a notebook", "CC0-1.0")),
        ({"text": TEXT}, Document("document-002", TEXT)),
        ({"text": f" \n{TEXT}\n\n", "title": None, "id": None}, Document("document-002", TEXT)),
        ({"id": "k", "text": "Zwei\u2028Zeilen, \u00fc \U0001f642"}, Document("k", "Zwei\u2028Zeilen, \u00fc \U0001f642")),
    ],
)
def test_a_row_in_lines_or_a_list_is_a_document_with_the_fields_it_has(tmp_path, name, write, row, expected):
    first = {"id": "first", "text": "Something else."}
    assert load(write(tmp_path / name, [first, row])) == [Document("first", "Something else."), expected]


@pytest.mark.parametrize(("name", "write"), FORMATS)
@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"title": "Kettles"}, "no text"),
        ({"text": None}, "no text"),
        ({"text": " \n"}, "no text"),
        ({"text": 3}, "text should be text"),
        ({"text": TEXT, "title": ["Kettles"], "licence": 1}, "title, licence should be text"),
        ({"id": 7, "text": TEXT}, "id should be text"),
        ({"id": "first", "text": TEXT}, "the id 'first' comes twice"),
        ({"id": "document-003", "text": TEXT}, "the id 'document-003' comes twice"),
    ],
)
def test_bad_rows_are_listed_with_their_place(tmp_path, name, write, row, told):
    message = refusal(write(tmp_path / name, [{"id": "first", "text": "Something else."}, row, {"text": "A third."}]))
    place = str(tmp_path / name) if "twice" not in told else name
    assert f"1 bad row(s) in {name}:\n  {place}:" in message
    assert f": {told}\n" in message
    assert "do: mend or remove these rows" in message


def test_all_bad_rows_are_listed_at_once(tmp_path):
    rows = [{"id": "a", "text": TEXT}, {"id": "b"}, {"id": "a", "text": TEXT}, {"text": 1}]
    message = refusal(write_lines(tmp_path / "d.jsonl", rows))
    assert "3 bad row(s) in d.jsonl" in message
    assert all(part in message for part in (":2: no text", ":4: text should be text", "the id 'a' comes twice"))


FOLDER = {
    "b.txt": f"{TEXT}\n",
    "a.md": "# Tea\n\nPour it at once.\n",
    "deep/er/C.TXT": "\ufeffLoud endings count.",
    "deep/b.txt": "The same name elsewhere.",
    "notes.rst": "Not read.",
    "text": "Not read either.",
}


def test_a_folder_gives_its_text_and_markdown_files_named_and_ordered_by_their_paths(tmp_path):
    (tmp_path / "pond" / "empty.txt").mkdir(parents=True)
    assert load(write_folder(tmp_path / "pond", FOLDER)) == [
        Document("a.md", "# Tea\n\nPour it at once.", source="a.md"),
        Document("b.txt", TEXT, source="b.txt"),
        Document("deep/b.txt", "The same name elsewhere.", source="b.txt"),
        Document("deep/er/C.TXT", "Loud endings count.", source="C.TXT"),
    ]


def test_a_folder_of_the_clone_is_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "README.md" in [document.id for document in load("seeds")]
    assert load("seeds") == load(ROOT / "seeds")


def test_a_file_of_a_folder_that_is_no_text_is_named(tmp_path):
    write_folder(tmp_path, FOLDER)
    (tmp_path / "z.txt").write_bytes(b"caf\xe9")
    message = refusal(tmp_path)
    assert "z.txt is not UTF-8 text (byte 3)" in message
    assert str(tmp_path / "z.txt") in message


@pytest.mark.parametrize(
    "make",
    [
        lambda path: write_lines(path / "d.jsonl", []),
        lambda path: write_list(path / "d.json", []),
        lambda path: write_folder(path / "d", {"notes.rst": TEXT}),
    ],
)
def test_a_source_without_documents_is_refused(tmp_path, make):
    source = make(tmp_path)
    assert f"{source} holds no document\n" in refusal(source)
    assert f"where: {WHERE}" in refusal(source)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("seeds/none.jsonl", "seeds/none.jsonl does not exist"),
        ("/no/such/folder", "/no/such/folder does not exist"),
        ("org/name", "'org/name' is not pinned to a commit"),
    ],
)
def test_a_source_that_is_absent_is_refused_with_what_is_allowed(source, told):
    for ask in (load, digest):
        with pytest.raises(DataError) as caught:
            ask(source)
        assert told in str(caught.value)
        assert f"where: {WHERE}" in str(caught.value)
        assert "org/name@<40-hex commit>" in str(caught.value)


def test_the_digest_is_the_same_for_a_folder_copied_elsewhere_and_another_for_another_text_or_name(tmp_path):
    here = write_folder(tmp_path / "pond", FOLDER)
    there = shutil.copytree(here, tmp_path / "far" / "lake")
    assert digest(here) == digest(there)
    (there / "notes.rst").write_text("Still not read.")
    assert digest(here) == digest(there)
    (there / "b.txt").write_text(f"{TEXT} Then it stops.")
    assert digest(here) != digest(there)
    shutil.copyfile(here / "b.txt", there / "b.txt")
    assert digest(here) == digest(there)
    (there / "b.txt").rename(there / "bb.txt")
    assert digest(here) != digest(there)


def test_the_digest_is_of_the_documents_whatever_file_holds_them(tmp_path):
    rows = [FULL, {**FULL, "id": "l", "kind": "note"}]
    lines, listed = write_lines(tmp_path / "a.jsonl", rows), write_list(tmp_path / "b.json", rows)
    assert digest(lines) == digest(listed)
    for name in FULL:
        changed = write_list(tmp_path / "c.json", [{**FULL, name: "other"}, rows[1]])
        assert digest(changed) != digest(lines)
