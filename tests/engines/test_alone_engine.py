"""The engine that asks one thing at a time: the claims on every engine, and that it batches nothing."""

import pytest

from isheep_lib.engines.alone_engine import AloneEngine
from isheep_lib.engines.open import open_engine
from isheep_lib.engines.params import Model
from isheep_lib.engines.protocol import Request
from isheep_lib.models.base import find_model
from tests.claims import *  # noqa: F403 - the tests of every engine
from tests.conftest import WORDS


@pytest.fixture(scope="module")
def folder(tiny_model):
    return tiny_model


@pytest.fixture(scope="module")
def words():
    return WORDS


@pytest.fixture(scope="module")
def engine(folder):
    return open_engine(find_model(str(folder)), Model(engine="alone", inference_dtype="float32"))


def test_every_batch_is_one_request(engine):
    assert isinstance(engine, AloneEngine)
    batches = engine.batches([Request(f"r{i}", "the old river", 4) for i in range(3)])
    assert [[request.id for request in batch] for batch in batches] == [["r0"], ["r1"], ["r2"]]
