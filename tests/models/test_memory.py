"""Room: what fits is told before a model is loaded."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from isheep_lib.errors import EngineError
from isheep_lib.models.memory import EXACT, GIB, check_room, weight_bytes


def test_weights_are_counted_from_the_files_headers_in_the_wanted_format(tmp_path):
    save_file({"a": np.zeros((3, 4), dtype=np.float16), "b": np.zeros(5, dtype=np.float32)}, tmp_path / "one.safetensors")
    save_file({"c": np.zeros((2, 2, 2), dtype=np.float32)}, tmp_path / "two.safetensors")
    index = {"weight_map": {"a": "one.safetensors", "b": "one.safetensors", "c": "two.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    save_file({"again": np.zeros(100)}, tmp_path / "consolidated.safetensors")  # the same weights once more, which nobody loads
    assert weight_bytes(tmp_path, "float32") == 4 * (12 + 5 + 8)
    assert weight_bytes(tmp_path, "bfloat16") == 2 * (12 + 5 + 8)
    assert weight_bytes(tmp_path, EXACT) == (4 + 8) * (12 + 5 + 8)  # a fast copy, and one that decides


@pytest.mark.parametrize(
    ("weights", "free", "dtype", "device", "ways"),
    [
        (10, 12, "float32", "cpu", None),
        (10, 11, "float32", "cpu", ["up to 2.6 billion parameters in float32", "this one in bfloat16"]),
        (30, 11, "float32", "cuda", ["up to 2.6 billion", "on 4 such GPUs"]),
        (30, 11.6, EXACT, "cpu", ["up to 0.9 billion parameters in float32 and float64", "this one with model.numerics plain"]),
        (144, 79, "bfloat16", "cuda", ["up to 36.9 billion parameters in bfloat16", "on 3 such GPUs"]),
    ],
)
def test_a_model_that_does_not_fit_is_refused_with_what_would(weights, free, dtype, device, ways):
    if ways is None:
        check_room(weights * GIB, free * GIB, dtype, device)
        return
    with pytest.raises(EngineError) as caught:
        check_room(weights * GIB, free * GIB, dtype, device)
    message = str(caught.value)
    assert f"{free:.1f} GiB free" in message
    assert all(way in message for way in ways)
    assert ("bfloat16" in message) == (dtype == "bfloat16" or "this one in bfloat16" in ways)
