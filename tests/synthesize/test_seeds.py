"""Seed tasks in every form: what loads, what is refused with which words, what is hashed."""

import csv
import gzip
import json
import re
from pathlib import Path

import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from isheep_lib.errors import DataError
from isheep_lib.record.rows import Task, canonical_json, digest_file, digest_text, write_jsonl
from isheep_lib.synthesize.seeds import digest_seeds, load_seeds

few = settings(max_examples=40, deadline=None)
ROOT = Path(__file__).parents[2]
PUBLIC = ROOT.parent / "shared" / "data" / "alpaca_seed_tasks.jsonl"
COMMIT = "0123456789abcdef" * 2 + "01234567"
GOOD = '{"id": "s1", "instruction": "Name three uses of salt.", "kind": "list", "output": "Cooking."}'
TASKS = [Task("a", "Name a metal.", "", "Iron.", "list"), Task("b", "Add these.", "2, 3", "5")]
ROWS = [vars(task) for task in TASKS]


def write_lines(path, *lines):
    path.write_bytes(b"\n".join(line if isinstance(line, bytes) else line.encode() for line in lines) + b"\n")
    return str(path)


def write_list(path, rows, **form):
    path.write_text(json.dumps(rows, **form), encoding="utf-8")
    return str(path)


def write_parquet(path, rows):
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return str(path)


def write_lines_of(path, rows):
    write_jsonl(path, rows)
    return str(path)


def self_instruct(task):
    instances = [{"input": task.input, "output": task.output}, {"input": "another", "output": "instance"}]
    is_class = task.kind == "classification"
    return {"id": task.id, "instruction": task.instruction, "instances": instances, "is_classification": is_class}


def refusal(source, fields=()):
    with pytest.raises(DataError) as caught:
        load_seeds(str(source), list(fields))
    return str(caught.value)


def write_delimited(path, rows, delimiter=",", end="\r\n"):
    texts = [{name: value if isinstance(value, str) else json.dumps(value) for name, value in row.items()} for row in rows]
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(
            file, list(dict.fromkeys(n for row in texts for n in row)), delimiter=delimiter, lineterminator=end
        )
        writer.writeheader()
        writer.writerows(texts)
    return str(path)


def packed(write, pack):
    def both(path, rows):
        Path(write(path, rows)).write_bytes(pack(path.read_bytes()))
        return str(path)

    return both


def zstd(content):
    return pyarrow.Codec("zstd").compress(content, asbytes=True)


TABLES = [
    ("tasks.csv", write_delimited),
    ("tasks.CSV", write_delimited),
    ("tasks.csv", lambda path, rows: write_delimited(path, rows, ";", "\n")),
    ("tasks.csv", lambda path, rows: write_delimited(path, rows, "\t")),
    ("tasks.tsv", lambda path, rows: write_delimited(path, rows, "\t")),
    ("tasks.csv.gz", packed(write_delimited, gzip.compress)),
]
FORMATS = [
    ("tasks.jsonl", write_lines_of),
    ("tasks.json", write_lines_of),
    ("tasks", write_lines_of),
    ("tasks.json", write_list),
    ("tasks.jsonl", write_list),
    ("tasks.json", lambda path, rows: write_list(path, rows, indent=2)),
    ("tasks.parquet", write_parquet),
    ("tasks.data", write_parquet),
    ("tasks.jsonl.gz", packed(write_lines_of, gzip.compress)),
    ("tasks.json.zst", packed(write_list, zstd)),
]


@pytest.mark.parametrize(("name", "write"), [*FORMATS, *TABLES])
def test_every_format_gives_the_same_tasks(tmp_path, name, write):
    assert load_seeds(write(tmp_path / name, ROWS), []) == TASKS


@pytest.mark.parametrize(("name", "write"), FORMATS)
def test_the_self_instruct_schema_gives_a_task_of_each_first_instance(tmp_path, name, write):
    tasks = [Task("a", "Name a metal.", "", "Iron.", "classification"), Task("b", "Add these.", "2, 3", "5")]
    assert load_seeds(write(tmp_path / name, [self_instruct(task) for task in tasks]), []) == tasks


@pytest.mark.parametrize(("name", "write"), FORMATS)
def test_fields_of_other_names_are_found_by_a_mapping(tmp_path, name, write):
    rows = [
        {"no": n, "q": task.instruction, "meta": {"given": task.input, "said": [{"x": ""}, {"x": task.output}]}}
        for n, task in enumerate(TASKS)
    ]
    fields = ["id=no", "instruction=q", "input=meta.given", "output=meta.said.1.x"]
    expected = [Task(str(n), task.instruction, task.input, task.output) for n, task in enumerate(TASKS)]
    assert load_seeds(write(tmp_path / name, rows), fields) == expected


def test_a_field_whose_own_name_has_dots_comes_before_a_path(tmp_path):
    source = write_list(tmp_path / "s.json", [{"a.b": "Name a metal.", "a": {"b": "Name a tree."}}])
    assert load_seeds(source, ["instruction=a.b"])[0].instruction == "Name a metal."


def test_a_mapping_of_the_output_leaves_instances_alone(tmp_path):
    source = write_list(tmp_path / "s.json", [{"instruction": "Name a metal.", "instances": 3, "answer": "Iron."}])
    assert load_seeds(source, ["output=answer"])[0].output == "Iron."


@pytest.mark.parametrize("said", ["<noinput>", "<no input>", "None", "none.", "N/A", "n/a", "(none)", " <NOINPUT> "])
def test_an_instance_that_says_it_has_no_input_has_none(tmp_path, said):
    row = {"instruction": "Name a metal.", "instances": [{"input": said, "output": "Iron."}]}
    assert load_seeds(write_list(tmp_path / "s.json", [row]), [])[0].input == ""


@pytest.mark.parametrize("given", ["None of these", "?!", "1 + 1", "banana", "\U0001f642"])
def test_other_inputs_of_an_instance_stay(tmp_path, given):
    row = {"instruction": "What is meant?", "instances": [{"input": given, "output": "x"}]}
    assert load_seeds(write_list(tmp_path / "s.json", [row]), [])[0].input == given


def test_the_public_self_instruct_file_loads_whole():
    if not PUBLIC.is_file():
        pytest.skip(f"{PUBLIC} is not here")
    tasks = load_seeds(str(PUBLIC), [])
    assert len(tasks) == 175
    assert {task.kind for task in tasks} == {"", "classification"}
    assert all(task.instruction and task.output for task in tasks)


def test_the_seeds_of_the_project_load_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_seeds("seeds/tasks.jsonl", [])[0].instruction


def test_fields_are_trimmed_and_rows_without_an_id_are_named_by_their_number(tmp_path):
    source = write_lines(tmp_path / "seeds.jsonl", GOOD, "", '{"instruction": "  Add these. ", "input": " 2, 3\\n"}')
    assert load_seeds(source, [])[1] == Task("seed-003", "Add these.", "2, 3")


@pytest.mark.parametrize(("id_", "expected"), [(7, "7"), (0, "0"), (1.5, "1.5"), ("x", "x")])
def test_a_number_is_an_id(tmp_path, id_, expected):
    assert load_seeds(write_list(tmp_path / "s.json", [{"id": id_, "instruction": "Add."}]), [])[0].id == expected


@pytest.mark.parametrize(("name", "write"), FORMATS)
def test_null_is_an_absent_field_in_every_format(tmp_path, name, write):
    rows = [{"id": None, "instruction": "Add.", "input": None}, {"id": "b", "instruction": "Add.", "input": "1"}]
    assert load_seeds(write(tmp_path / name, rows), []) == [Task("seed-001", "Add."), Task("b", "Add.", "1")]


@pytest.mark.parametrize(
    "said",
    [
        "<noinput>",
        "<NoInput>",
        "No input",
        "no_input",
        "No input needed.",
        "<no input provided>",
        "None",
        "null",
        "N/A",
        "无输入",
    ],
)
@pytest.mark.parametrize(("name", "write"), [FORMATS[0], FORMATS[3], TABLES[0]])
def test_a_row_that_says_it_has_no_input_has_none(tmp_path, name, write, said):
    rows = [{"instruction": "Name a metal.", "input": said, "output": "Iron."}]
    assert load_seeds(write(tmp_path / name, rows), []) == [Task("seed-001", "Name a metal.", "", "Iron.")]


def test_cells_of_a_table_may_hold_separators_quotes_and_line_breaks(tmp_path):
    tasks = [Task("a", 'Say "hi", then;\nstop.', "1\t2", "x" * 200_000), Task("b", "加二和三。", "", "五")]
    source = write_delimited(tmp_path / "s.csv", [vars(task) for task in tasks])
    assert load_seeds(source, []) == tasks
    Path(source).write_bytes(b"\xef\xbb\xbf" + Path(source).read_bytes())
    assert load_seeds(source, []) == tasks


def test_columns_of_other_names_are_mapped(tmp_path):
    source = write_delimited(tmp_path / "s.csv", [{"q": "Name a metal.", "a.b": "Iron."}])
    assert load_seeds(source, ["instruction=q", "output=a.b"]) == [Task("seed-001", "Name a metal.", "", "Iron.")]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("instruction,output\nAdd.\nName,a,b\n\nSay.,x\n", [":2: 1 cell(s), the first line names 2", ":3: 3 cell(s)"]),
        ('instruction,output\n"Add\nthis.",x\nSay.\n', [":4: 1 cell(s), the first line names 2 column(s)"]),
        ("instruction,output,output\nAdd.,x,y\n", [":1: the column 'output' is named twice"]),
        ('instruction,output\nAdd.,x\nName."a",b\n"Say,x\n', [":4: no row of cells (unexpected end of data)"]),
        ('instruction,output\n"Add."x,y\n', [":2: no row of cells", "what follows was not read"]),
        ("instruction,output\n ,x\nAdd.,y\n,\n", [":2: no instruction; it is blank", ":4: no instruction; it is blank"]),
        ("Name a metal.,Iron.\nName a tree.,Oak.\n", [":2: no instruction; the row has Name a metal., Iron."]),
    ],
)
def test_a_bad_row_of_a_table_of_text_is_named_with_its_line(tmp_path, content, said):
    (tmp_path / "s.csv").write_text(content)
    message = refusal(tmp_path / "s.csv")
    assert all(f"{tmp_path / 's.csv'}{part}" in message or part in message for part in said)
    assert f"{len([part for part in said if part.startswith(':')])} bad row(s)" in message


def test_all_bad_rows_are_named_in_order_also_beside_one_that_is_no_json(tmp_path):
    lines = ['{"output": "x"}', GOOD, "no json", '{"instruction": 3}', "[1]", GOOD, '{"instruction": " "}']
    message = refusal(write_lines(tmp_path / "s.jsonl", *lines))
    assert "6 bad row(s)" in message
    named = re.findall(r"s\.jsonl:(\d+): ", message)
    assert named == ["1", "3", "4", "5", "6", "7"]
    for part in ("no instruction", "not JSON", "must be text", "expected an object", "same id as line 2", "it is blank"):
        assert part in message


def test_items_of_a_list_are_named_up_to_the_one_that_breaks_it(tmp_path):
    text = '[{"output": "x"},\n{"instruction": "a", "instruction": "b"},\n3,\n{"instruction": 1},\n{"instruction" "c"},\n{}]'
    message = refusal(write_lines(tmp_path / "s.json", text))
    assert "5 bad row(s)" in message
    for part in (
        "s.json:1, item 1: no instruction",
        "s.json:2, item 2: not JSON (the key 'instruction' comes twice)",
        "s.json:3, item 3: expected an object",
        "s.json:4, item 4: instruction must be text",
        "s.json:5: not JSON (Expecting ':' delimiter at column 16); what follows was not read",
    ):
        assert part in message


def test_bad_seeds_are_refused_when_they_are_hashed(tmp_path):
    with pytest.raises(DataError, match="no instruction"):
        digest_seeds(write_lines(tmp_path / "s.jsonl", '{"output": "x"}'), [])


def test_the_same_instruction_with_another_input_is_another_task(tmp_path):
    rows = [{"instruction": "Add.", "input": "1, 2"}, {"instruction": "Add.", "input": "3"}]
    assert len(load_seeds(write_list(tmp_path / "s.json", rows), [])) == 2


@pytest.mark.parametrize("start", [b"\xef\xbb\xbf", b"\n \r\n"])
@pytest.mark.parametrize("text", [GOOD, f"[{GOOD}]"])
def test_a_byte_order_mark_or_blank_lines_before_the_rows_do_no_harm(tmp_path, start, text):
    (tmp_path / "s.json").write_bytes(start + text.encode())
    assert load_seeds(str(tmp_path / "s.json"), [])[0].id == "s1"


NO_INPUT = {"noinput", "noinputs", "none", "null", "n", "na", "无输入", "無輸入", "没有输入", "沒有輸入"}
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12).map(str.strip)
inputs = texts.filter(lambda text: re.sub(r"[\W_]", "", text).lower() not in NO_INPUT)
kinds = st.sampled_from(["", "classification"])
loaded_tasks = st.lists(
    st.builds(Task, texts.filter(bool), texts.filter(bool), inputs, texts, kinds),
    min_size=1,
    max_size=5,
    unique_by=(lambda task: task.id, lambda task: f"{task.instruction}\n{task.input}".lower()),
)


@few
@given(tasks=loaded_tasks, form=st.sampled_from(FORMATS), schema=st.sampled_from([vars, self_instruct]))
def test_any_tasks_written_in_any_format_load_as_the_same_tasks(tasks, form, schema, tmp_path_factory):
    name, write = form
    assert load_seeds(write(tmp_path_factory.mktemp("seeds") / name, [schema(task) for task in tasks]), []) == tasks


BAD_ROWS = [
    ({"prompt": "Name a metal.", "output": "Iron"}, "no instruction; the row has prompt, output"),
    ({}, "no instruction; the row has no fields"),
    ({"\ud800": 1}, r"no instruction; the row has '\ud800'"),
    ({"instruction": "   "}, "no instruction; it is blank"),
    ({"id": "s1", "instruction": "Another task."}, "same id as {} 1: 's1'"),
    ({"instruction": "NAME three uses of salt. "}, "same instruction as {} 1: 'NAME three uses of salt.'"),
    ({"instruction": "Add.", "input": 3}, "input must be text, it is a number"),
    (
        {"instruction": ["Add."], "output": None},
        "instruction must be text, it is a list",
    ),
    ({"instruction": "Add.", "kind": {"a": 1}}, "kind must be text, it is an object"),
    ({"instruction": "Add.", "id": True}, "id must be text, it is true or false"),
    ({"instruction": "Add.", "input": "\udc00"}, r"input must be valid Unicode, it holds half a character: '\udc00'"),
    ({"instruction": "Add.", "instances": []}, "instances is empty"),
    ({"instruction": "Add.", "instances": {}}, "instances must be a list of objects with input and output, it is an object"),
    ({"instruction": "Add.", "instances": ["x"]}, "instances.0 must be an object with input and output, it is text"),
    ({"instruction": "Add.", "instances": [{"input": 3}]}, "input (instances.0.input) must be text, it is a number"),
    ({"instruction": "Add.", "instances": [{}], "is_classification": 1}, "is_classification must be true or false"),
]


@pytest.mark.parametrize(("bad", "said"), BAD_ROWS)
@pytest.mark.parametrize("form", ["lines", "list"])
def test_a_bad_row_is_named_with_file_line_and_field(tmp_path, form, bad, said):
    path = tmp_path / "seeds.json"
    if form == "lines":
        message, place = refusal(write_lines(path, GOOD, json.dumps(bad))), f"{path}:2: "
    else:
        message, place = refusal(write_list(path, [json.loads(GOOD), bad])), f"{path}:1, item 2: "
    assert f"1 bad row(s) in seeds.json:\n  {place}" in message
    assert said.format("line" if form == "lines" else "item") in message
    assert "do: mend or remove these rows" in message
    assert "synthesize.seed_fields" in message
    message.encode()  # it can be printed


def test_a_bad_item_of_a_list_is_named_by_the_line_on_which_it_begins(tmp_path):
    path = tmp_path / "s.json"
    rows = [{"instruction": "Say [1, {2}] and, then\n\n rest.", "tags": [1, {"a": []}]}, {"output": "x"}, {"id": 1}]
    message = refusal(write_list(path, rows, indent=1))
    lines = path.read_text().split("\n")
    begins = {2: lines.index('  "output": "x"'), 3: lines.index('  "id": 1')}  # the line before it, counted from 1
    assert all(f"{path}:{line}, item {number}: no instruction" in message for number, line in begins.items())


def test_a_bad_row_of_a_table_is_named_by_its_number(tmp_path):
    rows = [{"instruction": "Add.", "input": 1}, {"instruction": None, "input": None}]
    message = refusal(write_parquet(tmp_path / "s.parquet", rows))
    assert f"{tmp_path / 's.parquet'}, row 1: input must be text, it is a number" in message
    assert f"{tmp_path / 's.parquet'}, row 2: no instruction; the row has instruction, input" in message


@pytest.mark.parametrize("repeated", [{"instruction": "add.", "input": "1 "}, {"id": "a", "instruction": "add.", "input": "1"}])
def test_a_repeated_input_is_named_with_the_instruction(tmp_path, repeated):
    message = refusal(write_list(tmp_path / "s.json", [{"id": "a", "instruction": "Add.", "input": "1"}, repeated]))
    assert "same instruction and input as item 1: 'add.'" in message
    assert ("same id as item 1: 'a'; same" in message) == ("id" in repeated)


def test_all_bad_rows_are_listed_at_once_and_a_flood_is_cut(tmp_path):
    message = refusal(write_lines(tmp_path / "s.jsonl", '{"output": "x"}', GOOD, '{"instruction": 1}', GOOD))
    assert "3 bad row(s)" in message
    assert all(part in message for part in ("no instruction", "must be text", "same id", "same instruction"))
    message = refusal(write_lines(tmp_path / "s.jsonl", *['{"output": "x"}'] * 50))
    assert "50 bad row(s)" in message
    assert "and 30 more" in message
    assert len(message.splitlines()) < 30


NOT_READABLE = [
    ("s.jsonl", b'{"instruction": "x"', "s.jsonl:1: not JSON ("),
    ("s.jsonl", GOOD.encode() + b"\nplain words", "s.jsonl:2: not JSON (Expecting value at column 1): 'plain words'"),
    ("s.jsonl", GOOD.encode() + b'\n["instruction"]', "s.jsonl:2: expected an object, got list"),
    ("s.jsonl", b'{"instruction": "Add.", "id": NaN}', "s.jsonl:1: not JSON (NaN is no JSON; write null)"),
    ("s.csv", b"instruction,output\n", "s.csv holds no seed task"),
    ("s.json", b'[\n{"instruction": "x"},\n{"instruction" "y"}]', "s.json:3: not JSON (Expecting ':' delimiter at column 16)"),
    ("s.json", b'[{"instruction": "x"}', "s.json:1: not JSON"),
    ("s.json", b'[{"instruction": "x"},\n "y", [1]]', "s.json:2, item 2: expected an object, got str"),
    ("s.json", b'[{"instruction": "x"},\n "y", [1]]', "s.json:2, item 3: expected an object, got list"),
    ("s.jsonl", b'{"instruction": "Caf\xe9"}', "s.jsonl is not UTF-8 text (byte 20)"),
    (
        "s.jsonl",
        b'{"instruction": "x"}\n{"instruction": "y", "instruction": "z"}',
        "s.jsonl:2: not JSON (the key 'instruction' comes",
    ),
    ("s.jsonl", b'{"instruction": "x", "n": 9' + b"9" * 5000 + b"}", "s.jsonl:1: not JSON (a number of 5001 digits"),
    (
        "s.jsonl",
        b'{"instruction": "x", "n": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        "s.jsonl:1: not JSON (more than 100 lists",
    ),
    (
        "s.json",
        b'[{"instruction": "x"},\n{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]",
        "s.json:2, item 2: not JSON (more than",
    ),
    ("s.json", b'[{"instruction": "x"},\n{"a": 9' + b"9" * 5000 + b"}]", "s.json:2, item 2: not JSON (a number of 5001 digits"),
    ("s.json", b'[{"instruction": "x"}]\n[]', "s.json:2: not JSON (Extra data at column 1)"),
    ("s.json", b'[{"instruction": "x"},]', "s.json:1: not JSON ("),
    ("s.json", b'{\n "data": [{"instruction": "x"}]\n}', "one object, not a list of them; it has 'data'"),
    ("s.jsonl", b'{"instruction": "x"}\0', "s.jsonl is no text: it holds a NUL (byte 20)"),
    ("s.jsonl.gz", GOOD.encode(), "s.jsonl.gz cannot be unpacked as gzip"),
    ("s.json", '[{"instruction": "x"}]'.encode("utf-16"), "s.json is not UTF-8 text (byte 0)"),
    ("s.parquet", GOOD.encode(), "s.parquet is no parquet file that can be read"),
    ("s.parquet", b"PAR1 and nothing else", "s.parquet is no parquet file that can be read"),
    ("s.jsonl", b"PAR1 and nothing else", "s.jsonl is no parquet file that can be read"),
    *[(f"s.{end}", content, f"s.{end} holds no seed task") for end in ("jsonl", "json") for content in (b"", b"\n \n", b"[]")],
    ("s.parquet", b"", "s.parquet holds no seed task"),
]


@pytest.mark.parametrize(("name", "content", "said"), NOT_READABLE)
def test_a_file_that_cannot_be_read_is_named_with_the_place_and_what_to_do(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    message = refusal(tmp_path / name)
    assert said in message
    assert str(tmp_path / name) in message
    assert "  do: " in message


def test_a_table_without_rows_is_refused(tmp_path):
    parquet.write_table(pyarrow.table({"instruction": pyarrow.array([], pyarrow.string())}), tmp_path / "s.parquet")
    assert "s.parquet holds no seed task" in refusal(tmp_path / "s.parquet")


def test_a_mapping_to_fields_that_no_row_has_is_said_once_with_the_nearest_name(tmp_path):
    rows = [{"question": "Name a metal.", "meta": {"answer": str(n)}} for n in range(30)]
    message = refusal(write_list(tmp_path / "s.json", rows), ["instruction=qestion", "output=meta.answr", "kind=zzz"])
    assert "instruction=qestion: no row has 'qestion'; did you mean 'question'?" in message
    assert "output=meta.answr: no row has 'meta.answr'; did you mean 'meta.answer'?" in message
    assert "kind=zzz: no row has 'zzz'\n" in message
    assert "allowed: question, meta, meta.answer" in message
    assert "synthesize.seed_fields" in message
    assert message.count("qestion") == 2


def test_a_mapped_field_that_some_rows_lack_is_named_row_by_row(tmp_path):
    message = refusal(write_lines(tmp_path / "s.jsonl", '{"q": "Add."}', '{"p": "x"}', '{"q": 2}'), ["instruction=q"])
    assert ":2: no instruction (q); the row has p" in message
    assert ":3: instruction (q) must be text, it is a number" in message


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("seeds/none.jsonl", "seeds/none.jsonl does not exist"),
        ("org/name.parquet", "org/name.parquet does not exist"),
        ("none", "none does not exist"),
        ("/no/such/file", "/no/such/file does not exist"),
        ("a/b/c", "a/b/c does not exist"),
        ("seeds", "seeds is a folder"),
        ("org/name", "'org/name' is not pinned to a commit"),
        ("org/name@main", "'org/name@main' is not pinned to a commit"),
        (f"org/name@{COMMIT[:12]}", "is not pinned to a commit"),
        ("org/name@#default/test", "is not pinned to a commit"),
        ("org/name#default/test", "is not pinned to a commit"),
    ],
)
def test_what_is_neither_a_file_nor_a_pinned_dataset_is_refused_with_what_is_allowed(source, said):
    for ask in (load_seeds, digest_seeds):
        with pytest.raises(DataError) as caught:
            ask(source, [])
        assert said in str(caught.value)
        assert "where: synthesize.seeds" in str(caught.value)
        assert "org/name@<40-hex commit>" in str(caught.value)
        assert "  do: " in str(caught.value)


def test_a_folder_of_the_dataset_s_name_is_not_taken_for_the_dataset(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org" / "here").mkdir(parents=True)
    assert "A file or folder here has the dataset's name, org/here" in refusal(f"org/here@{COMMIT}")


def test_the_digest_of_a_file_is_that_of_its_bytes(tmp_path):
    source = write_list(tmp_path / "s.json", [{"q": "Add."}])
    assert digest_seeds(source, ["instruction=q"]) == digest_file(tmp_path / "s.json")


def test_a_dataset_is_loaded_once_at_its_commit_and_hashed_by_its_tasks(tmp_path, monkeypatch):
    import datasets

    source, asked, real = (
        write_parquet(tmp_path / "data.parquet", [self_instruct(task) for task in TASKS]),
        [],
        datasets.load_dataset,
    )

    def from_hub(repository, config, *, split, revision, keep_in_memory):
        asked.append((repository, config, split, revision))
        if repository == "org/away":
            raise ConnectionError("Couldn't reach the hub\nand more")
        commit = "f" * 40 if repository == "org/other" else revision  # the hub's cache has folders named by commit
        cache = str(tmp_path / "cache" / commit)
        return real("parquet", data_files={"train": source, "test": source}, split=split, cache_dir=cache)

    monkeypatch.setattr(datasets, "load_dataset", from_hub)
    expected = [Task("a", "Name a metal.", "", "Iron."), TASKS[1]]
    name = f"org/name@{COMMIT}"
    assert load_seeds(name, []) == load_seeds(name, []) == expected
    assert digest_seeds(name, []) == digest_text(canonical_json([vars(task) for task in expected]))
    assert digest_seeds(name, ["kind=id"]) != digest_seeds(name, [])
    assert load_seeds(f"{name}#some/test", []) == load_seeds(f"{name}#/test", []) == load_seeds(f"{name}#some", []) == expected
    places = [(None, "train"), ("some", "test"), (None, "test"), ("some", "train")]
    assert asked == [("org/name", config, split, COMMIT) for config, split in places]
    assert f"{name}#/valid cannot be loaded (ValueError: Unknown split" in refusal(f"{name}#/valid")
    assert "cannot be loaded (ConnectionError: Couldn't reach the hub)" in refusal(f"org/away@{COMMIT}")
    assert "org/other is in the local cache at another commit" in refusal(f"org/other@{COMMIT}")
    assert f"{name}, row 1: kind (instances) must be text" in refusal(name, ["kind=instances"])
