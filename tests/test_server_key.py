"""The key of servers is struck from whatever is shown or written, however a server repeats it."""

import base64
import html
import json
from itertools import pairwise
from urllib.parse import quote

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isheep_lib.engines.chat_engine import ChatEngine, preflight
from isheep_lib.engines.generate import generate_all
from isheep_lib.errors import EngineError
from isheep_lib.iterate.runner import execute
from isheep_lib.record.journal import Journal
from isheep_lib.record.manifests import write_manifest
from isheep_lib.record.rows import write_jsonl
from isheep_lib.server_key import KEY, PART, struck, struck_all
from tests.engines.test_chat_engine import requests, says, serve  # noqa: F401 - a fixture
from tests.engines.test_chat_engine import settings as given_settings

few = settings(max_examples=50, deadline=None)
SECRET = "sk-pr\"oj\\aB3&d<f+/7hIjKlMnOpQrSt'Uv"
NOTEBOOK = """
import os
key = os.environ["ISHEEP_SERVER_KEY"]
print(key)
key
"""


@pytest.fixture
def secret(monkeypatch):
    monkeypatch.setenv(KEY, SECRET)
    return SECRET


@pytest.mark.parametrize(
    "form",
    [
        str,
        json.dumps,
        lambda key: json.dumps(json.dumps([key])),
        repr,
        html.escape,
        quote,
        lambda key: quote(key, safe=""),
        str.upper,
        str.lower,
        lambda key: key.encode().hex(),
        lambda key: key[5 : 5 + PART],
        lambda key: key[-PART:],
        *(lambda key, n=n: base64.b64encode(b"Bearer:"[:n] + key.encode() + b"tail").decode() for n in range(7)),
        *(lambda key, n=n: base64.urlsafe_b64encode(b"Bearer:"[:n] + key.encode()).decode() for n in range(3)),
    ],
)
def test_the_key_is_struck_in_every_form_with_what_stands_around_it_left(secret, form):
    said = struck(f"I am {form(secret)}, who are you?")
    assert said.startswith("I am ")
    assert said.endswith(", who are you?")
    assert "[key]" in said
    assert len(said) <= len("I am [key], who are you?") + 16  # quotes, and letters that base64 shares with what is around


@few
@given(st.text("abcdefABCDEF0123-_.", min_size=8, max_size=60), st.lists(st.integers(0, 60), min_size=2, max_size=6), st.text())
def test_no_long_part_of_a_key_is_left_and_what_holds_none_is_not_touched(key, cuts, words):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(KEY, key)
        text = words.join(key[start:stop] for start, stop in pairwise(cuts)) + words
        said = struck(text)
    size = min(PART, len(key))
    parts = {key[start : start + size] for start in range(len(key) - size + 1)}
    assert not any(part in said for part in parts)
    if "[key]" not in said:
        assert said == text


@pytest.mark.parametrize("key", ["", "EMPTY", "none"])
def test_a_word_is_no_key(monkeypatch, key):
    monkeypatch.setenv(KEY, key)
    assert struck("The list is EMPTY and none is sent") == "The list is EMPTY and none is sent"


def test_names_and_values_of_nested_rows_are_searched(secret):
    assert struck_all({secret: [{"a": secret, "n": 3, "b": None}]}) == {"[key]": [{"a": "[key]", "n": 3, "b": None}]}


def test_errors_rows_manifests_journals_and_notebooks_are_written_without_the_key(secret, tmp_path, capsys):
    write_jsonl(tmp_path / "rows.jsonl", [{"id": "1", "text": f"I am {secret}"}])
    write_manifest(tmp_path, {"engine": {"served": secret, "version": secret[:20]}})
    with Journal(tmp_path / "journal.jsonl", "f") as journal:
        journal.append([{"id": "1", "text": secret}])
        assert journal.rows == {"1": {"id": "1", "text": "[key]"}}
    with Journal(tmp_path / "journal.jsonl", "f") as journal:
        assert journal.rows == {"1": {"id": "1", "text": "[key]"}}
    book = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "p", "language": "python"}})
    book.cells = [nbformat.v4.new_code_cell(NOTEBOOK, metadata={"tags": ["parameters"]})]

    nbformat.write(book, tmp_path / "source.ipynb")
    execute(tmp_path / "source.ipynb", tmp_path / "executed.ipynb", {})
    print(EngineError(f"who is {secret}?", where=secret, allowed=secret, do=secret))
    found = "".join(path.read_text() for path in tmp_path.iterdir() if path.is_file()) + "".join(capsys.readouterr())
    assert found.count("[key]") >= 10
    assert not left(found, secret)


def left(text, key):
    """Name the parts of a key that a text still holds."""
    forms = (key, json.dumps(key)[1:-1], json.dumps(json.dumps(key))[3:-3], html.escape(key), key.encode().hex())
    return [f[i : i + PART] for f in forms for i in range(len(f) - PART + 1) if f[i : i + PART] in text]


def test_a_judge_that_repeats_the_key_everywhere_finds_it_nowhere(secret, serve, tmp_path, capsys, monkeypatch):  # noqa: F811
    plain = secret.replace('"', "x").replace("\\", "y")
    monkeypatch.setenv(KEY, plain)
    names = ["judge", plain, f"judge-{plain[:16]}"]
    echo = says(f"[[A]] as {plain} and {json.dumps(plain)}", model=f"judge of {plain}", system_fingerprint=plain)
    server = serve(lambda number, body: (200, echo, [("X-Key", plain)]), names=names, key=plain)
    preflight("judge", given_settings(server))
    engine = ChatEngine("judge", given_settings(server))
    with Journal(tmp_path / "journal.jsonl", "f") as journal:
        found = generate_all(engine, requests(3), journal, "verdicts")
    shown = [json.dumps(engine.facts()), repr(found)]
    engine.close()
    for told in ((400, f"what is {plain}?"), (403, {"detail": plain}), (500, plain), (302, "", [("Location", f"/{plain}")])):
        other = ChatEngine("judge", given_settings(serve(lambda number, body, told=told: told), timeout_seconds=0.2))
        with pytest.raises(EngineError) as caught:
            list(other.generate(other.batches(requests(1))))
        shown.append(str(caught.value))
        other.close()
    with pytest.raises(EngineError, match="lists judge") as caught:
        preflight("judgement", given_settings(server))
    shown += [str(caught.value), (tmp_path / "journal.jsonl").read_text(), *capsys.readouterr()]
    assert all("[key]" in text for text in shown[:8])
    assert not left("".join(shown), plain)
