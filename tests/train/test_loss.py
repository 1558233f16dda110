"""The loss of each learned token: as transformers computes it, whatever stands beside a row."""

import pytest
import torch
from transformers import AutoModelForCausalLM, Gemma2Config, GPTNeoXConfig, LlamaConfig, Qwen2Config

from isheep_lib.train.dataset import MASKED, TrainRow
from isheep_lib.train.loss import tensors, token_losses

WORDS = 64  # a vocabulary
SIZES = {
    "vocab_size": WORDS,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.3,  # weights this large make a look at another row change a loss by nats
}
KINDS = {
    "llama": LlamaConfig(**SIZES),
    "qwen2": Qwen2Config(**SIZES),
    "gemma2": Gemma2Config(**SIZES, head_dim=8, sliding_window=16),
    "gpt_neox": GPTNeoXConfig(**SIZES),
}
CLOSE = 1e-4  # nats


@pytest.fixture(scope="module", params=KINDS)
def model(request):
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(KINDS[request.param], dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def llama():
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(KINDS["llama"], dtype=torch.float32).eval()


def random_rows(*shapes, seed=1):
    """Make rows of (tokens, tokens read)."""
    made = torch.Generator().manual_seed(seed)
    return [
        TrainRow(str(i), torch.randint(WORDS, (size,), generator=made).tolist(), read) for i, (size, read) in enumerate(shapes)
    ]


ROWS = random_rows((30, 4), (7, 1), (19, 12), (12, 11))


def by_transformers(model, row):
    """Return the sum of a row's losses as the model itself computes it from labels."""
    with torch.inference_mode():
        mean = model(input_ids=torch.tensor([row.input_ids]), labels=torch.tensor([row.labels])).loss
    return mean.item() * row.learned


def each(model, rows, packed, whole_logits=False):
    """Return each row's losses, taken out of where they stand side by side."""
    with torch.inference_mode():
        losses, learned = token_losses(model, tensors(rows, packed), whole_logits)
    if not packed:
        return [row[where] for row, where in zip(losses, learned, strict=True)]
    return list(losses[learned].split([row.learned for row in rows]))


@pytest.mark.parametrize("whole_logits", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_the_losses_are_those_that_transformers_computes_row_by_row(model, packed, whole_logits):
    together = each(model, ROWS, packed, whole_logits)
    assert [len(losses) for losses in together] == [row.learned for row in ROWS]
    expected = [by_transformers(model, row) for row in ROWS]
    assert [losses.sum().item() for losses in together] == pytest.approx(expected, abs=CLOSE)
    for row, value in zip(ROWS, expected, strict=True):
        (alone,) = each(model, [row], packed, whole_logits)
        assert alone.sum().item() == pytest.approx(value, abs=CLOSE)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("changed", [0, 1, 3])
def test_a_row_does_not_see_those_beside_it(model, packed, changed):
    others = [*ROWS]
    others[changed] = random_rows((35, 2), seed=7)[0]
    before, after = each(model, ROWS, packed), each(model, others, packed)
    for i, (old, new) in enumerate(zip(before, after, strict=True)):
        if i != changed:
            assert torch.allclose(old, new, atol=CLOSE), f"row {i} saw row {changed}"


def test_rows_without_positions_of_their_own_would_see_one_another(llama):
    inputs = tensors(ROWS, packed=True)
    del inputs["position_ids"]
    with torch.inference_mode():
        losses, learned = token_losses(llama, inputs, False)
    parts = losses[learned].split([row.learned for row in ROWS])
    assert not torch.allclose(parts[1], each(llama, ROWS, packed=True)[1], atol=0.1)


@pytest.mark.parametrize("whole_logits", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_the_gradient_is_that_of_transformers_own_loss(llama, packed, whole_logits):
    parameters = list(llama.parameters())
    losses, learned = token_losses(llama, tensors(ROWS, packed), whole_logits)
    ours = torch.autograd.grad(losses.sum() / learned.sum(), parameters)
    batch = tensors(ROWS, packed=False)
    theirs = torch.autograd.grad(llama(**batch).loss, parameters)
    for one, other in zip(ours, theirs, strict=True):
        assert torch.allclose(one, other, atol=CLOSE)


@pytest.mark.parametrize("whole_logits", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_a_pass_without_rows_has_no_loss_and_a_gradient_of_zero(llama, packed, whole_logits):
    losses, learned = token_losses(llama, tensors([], packed), whole_logits)
    assert (losses.sum().item(), learned.sum().item()) == (0.0, 0)
    gradients = torch.autograd.grad(losses.sum(), list(llama.parameters()))
    assert all(not gradient.any() for gradient in gradients)


def test_only_places_where_something_is_learned_get_logits(llama):
    rows = random_rows((20, 18), (15, 12))
    losses, learned = token_losses(llama, tensors(rows, packed=False), False)
    assert losses.shape == learned.shape == (2, 5)  # tokens 12, 13, 14 of one row, 18 and 19 of the other
    assert learned.tolist() == [[False] * 3 + [True] * 2, [True] * 3 + [False] * 2]
    assert not losses[~learned].any()


def test_losses_are_computed_in_float32_from_a_model_in_bfloat16(llama):
    half = AutoModelForCausalLM.from_config(KINDS["llama"], dtype=torch.bfloat16).eval()
    half.load_state_dict(llama.state_dict())
    with torch.inference_mode():
        losses, learned = token_losses(half, tensors(ROWS, packed=False), False)
    assert losses.dtype == torch.float32
    assert losses[learned].mean().item() == pytest.approx(each_mean(llama), abs=0.2)


def each_mean(model):
    return torch.cat(each(model, ROWS, packed=False)).mean().item()


def test_padding_stands_on_the_right_where_nothing_is_read_or_learned():
    inputs = tensors(random_rows((5, 2), (3, 1)), packed=False)
    assert inputs["attention_mask"].tolist() == [[1] * 5, [1, 1, 1, 0, 0]]
    assert inputs["labels"][1, 3:].tolist() == [MASKED] * 2
    assert "position_ids" not in inputs


def test_packed_rows_stand_one_after_the_other_and_count_their_places_anew():
    rows = random_rows((5, 2), (3, 1))
    inputs = tensors(rows, packed=True)
    assert inputs["input_ids"].tolist() == [rows[0].input_ids + rows[1].input_ids]
    assert inputs["labels"].tolist() == [rows[0].labels + rows[1].labels]
    assert inputs["position_ids"].tolist() == [[0, 1, 2, 3, 4, 0, 1, 2]]
    assert "attention_mask" not in inputs
