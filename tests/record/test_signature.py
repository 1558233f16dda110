"""A record signed by an SSH key, with the real ssh-keygen: who signed, what no longer fits, what is missing."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from isheep_lib import cli
from isheep_lib.errors import RecordError
from isheep_lib.record import verification
from isheep_lib.record.fixity import inventory, signature
from tests.record.test_verification import FILES, failures, make_run, stage

pytestmark = pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="ssh-keygen is not installed (openssh-client)")


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Return a folder with the keys of two people, and the file of signers that names one of them."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ada", "bob"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", folder / name]
        subprocess.run(command, check=True)
    for name in ("ada", "bob"):
        (folder / f"{name}-alone").write_text(f"{name}@example.org {(folder / f'{name}.pub').read_text()}")
    return folder


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "run")


def command(*arguments):
    return CliRunner().invoke(cli.main, [str(argument) for argument in arguments])


def said_of(run, signers=None):
    return [verdict for verdict in verification.verify(run, signers) if verdict.item == "record.json.sig"]


def test_a_signed_record_says_whose_signature_it_is(run, keys):
    signed = command("sign", run, "--key", keys / "ada")
    assert signed.exit_code == 0, signed.output
    assert f"signs the root sha256 {inventory.root_of(run)}" in signed.output
    verified = command("verify", run, "--signers", keys / "ada-alone")
    assert verified.exit_code == 0, verified.output
    assert 'Good "isheep-record" signature for ada@example.org with ED25519 key SHA256:' in verified.output
    (alone,) = said_of(run)
    assert alone.holds and "whose that is --signers FILE tells" in alone.detail


def test_somebody_elses_signature_does_not_hold(run, keys):
    signature.sign(run, keys / "bob")
    (found,) = said_of(run, keys / "ada-alone")
    assert not found.holds and "does not name its key" in found.detail
    assert command("verify", run, "--signers", keys / "ada-alone").exit_code == 1


def test_an_unsigned_record_does_not_hold_where_a_signature_is_asked_for(run, keys):
    (found,) = said_of(run, keys / "ada-alone")
    assert (found.holds, found.detail) == (False, "missing: nobody has signed this record")
    assert said_of(run) == []


@pytest.mark.parametrize("asked", [True, False])
def test_a_forgery_that_is_consistent_in_itself_is_not_what_was_signed(run, keys, asked):
    signature.sign(run, keys / "ada")
    for name in ("filter", "train"):
        shutil.rmtree(run / "iter-1" / name)
    stage(run, 1, "filter", {**FILES[1, "filter"], "kept.jsonl": '{"id":"i2"}\n'})
    stage(run, 1, "train", FILES[1, "train"])
    (run / "record.json").unlink()
    inventory.renew(run, "iterate.ipynb")
    signers = keys / "ada-alone" if asked else None
    bad = [verdict for verdict in verification.verify(run, signers) if not verdict.holds]
    assert [verdict.item for verdict in bad] == ["record.json.sig"]
    assert "is not of this record.json" in bad[0].detail and "sign it again" in bad[0].detail


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"-----BEGIN SSH SIGNATURE-----\n", b"nothing"])
def test_a_signature_that_is_none_is_told_in_words(run, keys, content):
    (run / "record.json.sig").write_bytes(content)
    for signers in (None, keys / "ada-alone"):
        (found,) = said_of(run, signers)
        assert not found.holds and found.detail.startswith("is not of this record.json (")


@pytest.mark.parametrize(("make", "said"), [(os.mkfifo, "is a named pipe"), (os.mkdir, "is a folder")])
def test_what_stands_in_a_signature_s_place_is_called_what_it_is(run, make, said):
    make(run / "record.json.sig")
    (found,) = said_of(run)
    assert (found.holds, found.detail) == (False, f"{said}, and no signature")


def test_what_does_not_hold_is_not_signed(run, keys):
    (run / "params.yaml").write_text("seed: 2\n")
    refused = command("sign", run, "--key", keys / "ada")
    assert refused.exit_code == 1
    assert "params.yaml: changed" in refused.output
    assert not (run / "record.json.sig").exists()


def test_a_record_without_an_inventory_is_not_signed(tmp_path, keys):
    refused = command("sign", make_run(tmp_path / "old", schema=1), "--key", keys / "ada")
    assert refused.exit_code == 1
    assert "The run has no record.json" in refused.output


def test_a_key_that_is_none_is_named_with_what_is_allowed(run, keys):
    for key in (keys / "absent", keys / "ada-alone"):
        with pytest.raises(RecordError, match=r"The inventory was not signed(.|\n)*a private SSH key") as caught:
            signature.sign(run, key)
        assert str(key) in str(caught.value)
        assert not (run / "record.json.sig").exists()


@pytest.mark.parametrize("name", ["pipe", "folder", "/dev/zero", "x" * 300, "a\ud800b", "~nobody-here/key"])
def test_a_key_and_a_file_of_signers_that_are_no_files_are_refused_and_nothing_is_waited_for(run, keys, tmp_path, name):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    place = tmp_path / name if name in ("pipe", "folder") else Path(name)
    refused = command("sign", run, "--key", place)
    assert refused.exit_code == 1 and "was not signed: the key is " in refused.output
    signature.sign(run, keys / "ada")
    refused = command("verify", run, "--signers", place)
    assert refused.exit_code == 1 and "where: --signers" in refused.output


def test_a_file_of_signers_that_is_absent_is_named(run, keys, tmp_path):
    signature.sign(run, keys / "ada")
    with pytest.raises(RecordError, match=r"absent is no file(.|\n)*ALLOWED SIGNERS"):
        verification.verify(run, tmp_path / "absent")


def test_without_ssh_keygen_a_signature_is_said_to_be_unchecked(run, keys, monkeypatch):
    signature.sign(run, keys / "ada")
    monkeypatch.setenv("PATH", "/nowhere")
    assert failures(run) == {"record.json.sig": "cannot be checked: ssh-keygen is not installed"}
    with pytest.raises(RecordError, match=r"ssh-keygen is not installed(.|\n)*openssh-client"):
        verification.verify(run, keys / "ada-alone")
