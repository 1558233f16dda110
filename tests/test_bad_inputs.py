"""Bad inputs of every kind, through the command: each is refused in words, with exit 1 or 2, and leaves nothing behind."""

import gzip
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from isheep_lib.cli import main
from isheep_lib.iterate import runner

ROOT = Path(__file__).parents[1]
DEFAULT = (ROOT / "params/smollm2-135m.yaml").read_text(encoding="utf-8")
LIST = ["--params", ROOT / "params/methods/list.yaml"]  # a run that reads seeds
LONGFORM = (ROOT / "params/methods/longform.yaml").read_text(encoding="utf-8")
SWEEP = "name: {}\nparams: params/smollm2-135m.yaml\niterations: 1\naxes: {{filter.threshold: [0.1, 0.5]}}\n"
DEEP = "[" * 100_000
GOOD = '{"instruction": "Name a metal."}\n'

NAMES = [  # of runs and sweeps
    ("../x", "holds .., which leads out of a folder"),
    ("a/../../b", "holds .., which leads out of a folder"),
    ("/tmp/../x", "holds .., which leads out of a folder"),
    ("..", "holds .., which leads out of a folder"),
    (".", "begins with '.'"),
    (".x", "begins with '.'"),
    ("a/.x", "begins with '.'"),
    ("-x", "begins with '-'"),
    ("--params", "begins with '-'"),
    ("~nobody-here/x", "there is no such home folder"),
    (" x", "begins or ends with a blank"),
    ("x ", "begins or ends with a blank"),
    ("x.", "ends with a dot"),
    ("a//b", "holds a name that is empty"),
    ("a\\b", "holds a backslash"),
    ("a\nb", "holds the character \\n"),
    ("a\x1b[31mb", "holds the character \\x1b"),
    ("a\x7fb", "holds the character \\x7f"),
    ("a\u200bb", "holds the character \\u200b"),
    ("a\u202eb", "holds the character \\u202e"),
    ("a\ud800b", "holds the character \\ud800"),
    ("x" * 256, "is too long: 256 bytes in one name, at most 200"),
    ("x" * 100_000, "is too long: 100000 bytes in one name, at most 200"),
    ("盐" * 90, "is too long: 270 bytes in one name, at most 200"),
    ("a/" * 2000 + "b", "is too long: 4001 bytes, at most 3000"),
    ("con", "is the name of a device"),
    ("NUL.txt", "is the name of a device"),
    ("/", "names no folder of its own"),
    ("~/", "names no folder of its own"),
]
IN_A_FILE = [  # what a params file has beside the default one, or instead of it
    ("run: smollm2-135m", 'run: "a\\0b"', "'a\\x00b' holds the character \\x00"),
    ("run: smollm2-135m", 'run: "a\\ud800b"', "holds the character \\ud800"),
    ("run: smollm2-135m", "run: ''", "run (line"),
    ("run: smollm2-135m", "run: 010\nrun: 11", "given twice, on lines"),
    ("run: smollm2-135m", "run: 5", "run (line"),
    ("run: smollm2-135m", "run: [a]", "run (line"),
    ("run: smollm2-135m", f"run: {DEEP}", "too deep inside one another"),
    ("run: smollm2-135m", f"run: {'x' * 300}", "is too long: 300 bytes"),
    ("epochs: 2", "epochs: 0x10", "'0x10' should be a valid integer"),
    ("epochs: 2", "epochs: 0o17", "'0o17' should be a valid integer"),
    ("epochs: 2", "epochs: 010", "'010' should be a valid integer"),
    ("epochs: 2", "epochs: 1:30", "'1:30' should be a valid integer"),
    ("epochs: 2", "epochs: 1_000", "'1_000' should be a valid integer"),
    ("epochs: 2", "epochs: .inf", "'.inf' should be a valid integer"),
    ("epochs: 2", "epochs: 1e3", "1000.0 should be a valid integer"),
    ("epochs: 2", "epochs: yes", "'yes' should be a valid integer"),
    ("epochs: 2", "epochs: " + "9" * 5000, "a number of 5000 characters"),
    ("epochs: 2", "epochs: 99999999999999999999", "is beyond all numbers"),
    ("epochs: 2", "epochs: 1\n  epochs: 2", "train.epochs (line"),
    ("epochs: 2", "epochs: !!python/object/apply:os.system [id]", "the tag !!python/object/apply:os.system is not read"),
    ("epochs: 2", "epochs: !!int '2x'", "the tag !!int is not read"),
    ("epochs: 2", "epochs: *other", "found undefined alias"),
    ("epochs: 2", "epochs: &a [*a]", "a list or mapping that holds itself"),
    ("epochs: 2", "<<: {epochs: 2}", "merge keys are not read"),
    ("epochs: 2", "epochs:\n    2: 3", "train.epochs (line"),
    ("epochs: 2", "epochs: 2\n\tdora: true", "not YAML"),
    ("epochs: 2", "? [a, b]\n  : 2", "a name must be a text"),
    ("dora: false", "dora: no", "'no' should be a valid boolean; it is text: write true or false"),
    ("learning_rate: 2.0e-4", "learning_rate: .nan", "'.nan' should be a valid number"),
    ("learning_rate: 2.0e-4", "learning_rate: 1e999", "should be a finite number"),
    ("seed: 2408", "seed: 0b11", "'0b11' should be a valid integer"),
    ("seed: 2408", "seed: 2408\nseed: 2409", "seed (line"),
]
WHOLE_FILES = [
    (b"", "is not a mapping"),
    (b"\xff\xfe\x00", "is not UTF-8 text (byte 0); it looks like UTF-16"),
    (DEFAULT.encode("utf-16"), "is not UTF-8 text (byte 0); it looks like UTF-16"),
    ("run: x\n".encode("utf-16-le"), "is no text: it holds a NUL (byte 1)"),
    (b"run: caf\xe9\n", "is not UTF-8 text (byte 8)"),
    (b"{" * 100_000, "too deep inside one another"),
    (b"x" * 2**20, "The params file has 1048576 bytes"),
    (b"a: 1\n---\nb: 1\n", "expected a single document"),
    (b"PK\x03\x04\xff\xff", "it looks like a zip archive"),
]
OVERRIDES = [
    ("train.epochs:1 train.epochs:2", "given twice"),
    ("train.cutoff:64 train.max_length:64", "given twice"),
    ("train.epochs=1", "write section.name:value"),
    ("model.system_prompt:You are brief.", "write section.name:value, and a value with blanks in quotes"),
    ("model.system_prompt:'You are", "is not a YAML value"),
    ("'model.system_prompt:You are", "a quote that is not closed"),
    ("model.system_prompt:#x", "YAML takes what begins with # as a comment"),
    (f"train.epochs:{DEEP}", "is not a YAML value"),
    ("train.epochs:{a: &a [*a]}", "a list or mapping that holds itself"),
    ("train.epochs:!!binary aGk=", "the tag !!binary is not read"),
    ("train.epochs:\ud800", "holds the character \\ud800"),
    ('run:"a\\0b"', "holds the character \\x00"),
    ("seed.x:1", "write section.name:value"),
    (":1", "write section.name:value"),
    ("a..b:1", "write section.name:value"),
    (f"{'a.' * 5000}b:1", "more than 30 lists and mappings inside one another"),
    ("synthesize.seeds:none.jsonl", "none.jsonl does not exist"),
    (f"synthesize.seeds:{'x' * 5000}", "is not to be looked at (File name too long)"),
    ("synthesize.seeds:~nobody-here/x", "does not exist"),
    ("synthesize.seeds:/dev/zero", "/dev/zero is a device"),
    ("synthesize.seeds:params", "params is a folder"),
    ("synthesize.seeds:org/name", "org/name has no commit"),
    ("synthesize.seed_fields:[a=b]", "'a' should be one of"),
]
SEEDS = [
    ("s.jsonl", b"", "holds no seed task"),
    ("s.jsonl", b"no json\n", "s.jsonl:1: not JSON"),
    ("s.jsonl", b'{"instruction": "a", "instruction": "b"}', "the key 'instruction' comes twice"),
    ("s.jsonl", b'{"instruction": "a", "x": ' + b"9" * 5000 + b"}", "a number of 5000 digits"),
    ("s.jsonl", b'{"instruction": "a", "x": ' + DEEP.encode() + b"}", "more than 100 lists and objects"),
    ("s.jsonl", b'{"instruction": "a", "x": 1e999}', "the number 1e999 is too large"),
    ("s.jsonl", b'{"instruction": NaN}', "NaN is no JSON"),
    ("s.jsonl", b'{"instruction": "\\ud800"}', "must be valid Unicode"),
    ("s.jsonl", b'{"instruction": "a"}\0', "it holds a NUL"),
    ("s.jsonl", b'{"instruction": "caf\xe9"}', "is not UTF-8 text (byte 20)"),
    ("s.jsonl", GOOD.encode("utf-16"), "it looks like UTF-16"),
    ("s.jsonl", b'{"messages": [{"role": "system", "content": "x"}]}', "no user turn, only system turns"),
    ("s.jsonl", b'{"messages": "x"}', "a conversation must be a list of turns"),
    ("s.jsonl", b'{"instances": 3, "instruction": "a"}', "instances must be a list"),
    ("s.json", DEEP.encode(), "more than 100 lists and objects"),
    ("s.json", b'[{"instruction": "a"}', "Expecting ',' delimiter"),
    ("s.json", b'{\n"a": 1\n}', "one object, not a list of them"),
    ("s.csv", b"a,b\n1\n", "s.csv:2: 1 cell(s)"),
    ("s.csv", b'instruction\n"x', "no row of cells"),
    ("s.tsv", b"instruction\tinstruction\na\tb\n", "is named twice"),
    ("s.gz", b"plain", "cannot be unpacked as gzip"),
    ("s.zst", b"plain", "cannot be unpacked as zstd"),
    ("s.jsonl.gz", gzip.compress(GOOD.encode(), mtime=0)[:-4], "cannot be unpacked as gzip"),
    ("s.parquet", b"PAR1", "is no parquet file that can be read"),
    ("s.xlsx", b"PK\x03\x04\xff\xff", "it looks like a zip archive"),
]
DOCUMENTS = [
    ("d.jsonl", b"", "holds no document"),
    ("d.jsonl", b'{"text": "a"}\nno json\n{"text": 3}\n{"text": " "}', "3 bad row(s)"),
    ("d.jsonl", b'{"text": "\\ud800"}', "must be valid Unicode"),
    ("d.jsonl", b'{"text": "a", "text": "b"}', "the key 'text' comes twice"),
    ("d.jsonl", b'{"text": "a", "x": ' + DEEP.encode() + b"}", "more than 100 lists and objects"),
    ("d.csv", b"text,title\na\n", "d.csv:2: 1 cell(s)"),
    ("d.txt.gz", b"plain", "cannot be unpacked as gzip"),
]
ARGUMENTS = [
    (["iterate", "0"], "iteration: 0 should be greater than or equal to 1"),
    (["iterate", "--", "-1"], "iteration: -1 should be"),
    (["iterate", "1001"], "iteration: 1001 should be less than or equal to 1000"),
    (["iterate", "9" * 30], "is beyond all numbers"),
    (["iterate", "9" * 5000], "is not a valid integer"),
    (["iterate", "one"], "is not a valid integer"),
    (["iterate", "1", "--stale", "maybe"], "stale: 'maybe' should be"),
    (["iterate", "1", "--params", "none.yaml"], "none.yaml does not exist"),
    (["iterate", "1", "--params", "params"], "params is a folder"),
    (["iterate", "1", "--params", "x" * 300], "is not to be looked at (File name too long)"),
    (["iterate", "1", "--params", "/dev/zero"], "/dev/zero is a device"),
    (["iterate", "1", "--params", ""], "params: ''"),
    (["status", "x" * 300], "is too long: 300 bytes"),
    (["verify", "x" * 300], "is too long: 300 bytes"),
    (["report", "a\ud800b"], "holds the character \\ud800"),
    (["export", "x" * 300, "1"], "is too long: 300 bytes"),
    (["export", "reference/smollm2-135m", "1", "--out", "x" * 300], "is too long: 300 bytes"),
    (["report", "reference/smollm2-135m", "--out", "x" * 300], "is too long: 300 bytes"),
    (["rerun", "reference/smollm2-135m", "--into", "x" * 300], "is too long: 300 bytes"),
    (["paper", "--out", "x" * 300], "is too long: 300 bytes"),
    (["ablate", "params"], "params is a folder"),
]


@pytest.fixture(autouse=True)
def no_kernel(monkeypatch):
    for name in ("execute", "execute_watched", "run_stage"):
        monkeypatch.setattr(runner, name, lambda *_, **__: pytest.fail("a notebook was started"))


@pytest.fixture
def refusal(tmp_path, monkeypatch):
    """Call the command in an empty folder and return what it says, once it has refused and left nothing behind."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    before = sorted(os.listdir(ROOT / "results"))

    def call(*arguments):
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
        assert isinstance(result.exception, SystemExit), result.exception
        assert result.exit_code in (1, 2)
        assert "Traceback" not in result.output
        assert result.exit_code == 2 or "  do: " in result.output
        assert sorted(os.listdir(ROOT / "results")) == before
        assert os.listdir(tmp_path / "here") == []
        return result.output

    return call


def written(tmp_path, text, name="p.yaml"):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return tmp_path / name


@pytest.mark.parametrize(("name", "said"), NAMES, ids=range(len(NAMES)))
def test_a_run_is_not_named_so_that_it_lies_elsewhere_or_cannot_be_made(refusal, name, said):
    assert said in refusal("iterate", 1, f"--run={name}")


@pytest.mark.parametrize(("name", "said"), NAMES[:10], ids=range(10))
def test_nor_is_it_in_a_params_file_or_an_override_or_a_sweep(refusal, tmp_path, name, said):
    line = DEFAULT.splitlines().index("run: smollm2-135m") + 1
    path = written(tmp_path, DEFAULT.replace("run: smollm2-135m", f"run: '{name}'"))
    assert f"run (line {line}): {name!r} " in (message := refusal("iterate", 1, "--params", path))
    assert said in message
    assert said in refusal("iterate", 1, "--override", f"run:'{name}'")
    assert said in refusal("ablate", written(tmp_path, SWEEP.format(f"'{name}'"), "sweep.yaml"))
    assert said in refusal("ablate", ROOT / "params/ablations/small-threshold.yaml", f"--name={name}")


@pytest.mark.parametrize(("old", "new", "said"), IN_A_FILE, ids=range(len(IN_A_FILE)))
def test_a_value_of_a_params_file_is_refused_with_its_line(refusal, tmp_path, old, new, said):
    assert old in DEFAULT
    message = refusal("iterate", 1, "--params", written(tmp_path, DEFAULT.replace(old, new, 1)))
    assert said in message
    assert "p.yaml" in message


@pytest.mark.parametrize(("content", "said"), WHOLE_FILES, ids=range(len(WHOLE_FILES)))
def test_a_params_file_that_is_none_is_refused(refusal, tmp_path, content, said):
    assert said in refusal("iterate", 1, "--params", written(tmp_path, content))


@pytest.mark.parametrize(("override", "said"), OVERRIDES, ids=range(len(OVERRIDES)))
def test_a_change_that_is_none_is_refused(refusal, override, said):
    assert said in refusal("iterate", 1, *LIST, "--override", override)


@pytest.mark.parametrize(("name", "content", "said"), SEEDS, ids=range(len(SEEDS)))
def test_seeds_are_refused_before_there_is_a_run(refusal, tmp_path, name, content, said):
    path = written(tmp_path, content, name)
    message = refusal("iterate", 1, *LIST, "--override", f'synthesize.seeds:"{path}"')
    assert said in message
    assert str(path) in message


@pytest.mark.parametrize(("name", "content", "said"), DOCUMENTS, ids=range(len(DOCUMENTS)))
def test_documents_are_refused_before_there_is_a_run(refusal, tmp_path, name, content, said):
    path = written(tmp_path, content, name)
    params = ROOT / "params/methods/longform.yaml"
    message = refusal("iterate", 1, "--params", params, "--override", f"synthesize.options.documents:'{path}'")
    assert said in message
    assert name in message


@pytest.mark.parametrize(("arguments", "said"), ARGUMENTS, ids=range(len(ARGUMENTS)))
def test_arguments_are_refused(refusal, arguments, said):
    assert said in refusal(*arguments)


def test_a_pipe_is_never_waited_for(refusal, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "pipe is a named pipe" in refusal("iterate", 1, "--params", tmp_path / "pipe")
    assert "pipe is a named pipe" in refusal("ablate", tmp_path / "pipe")
    assert "pipe is a named pipe" in refusal("iterate", 1, *LIST, "--override", f"synthesize.seeds:{tmp_path / 'pipe'}")
    longform = ["--params", ROOT / "params/methods/longform.yaml"]
    assert "pipe is a named pipe" in refusal(
        "iterate", 1, *longform, "--override", f"synthesize.options.documents:{tmp_path / 'pipe'}"
    )


def test_a_place_that_cannot_be_made_is_refused(refusal, tmp_path, monkeypatch):
    monkeypatch.undo()
    (tmp_path / "file").write_text("")
    message = refusal("iterate", 1, "--run", tmp_path / "file/run")
    assert "Writing failed" in message
    assert str(tmp_path / "file") in message
