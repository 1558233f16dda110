"""What is minimised: losses worked out by hand, and trl's own of the same log-probabilities; answers however they are put."""

import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from isheep_lib.iterate.run_params import TrainParams
from isheep_lib.train.dataset import PairRow, TrainRow
from isheep_lib.train.loss import tensors, token_losses
from isheep_lib.train.objectives.dpo import DpoOptions
from isheep_lib.train.objectives.objective import Computed, answer_logs
from isheep_lib.train.objectives.orpo import OrpoOptions
from isheep_lib.train.objectives.table import OBJECTIVES
from tests.trainings import drawn_pairs

DPO, ORPO = OBJECTIVES["dpo"], OBJECTIVES["orpo"]
# Three pairs: log-probabilities in nats of chosen and rejected answers, by the model and by its start, and their tokens.
LOGS = [[-10.0, -14.0], [-20.0, -12.0], [-6.0, -6.0]]
START = [[-12.0, -13.0], [-18.0, -16.0], [-7.0, -8.0]]
TOKENS = [[5, 7], [10, 6], [4, 3]]


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def compared(objective, options, logs=LOGS, tokens=TOKENS, start=START):
    losses, margins = objective.compare(tensor(logs), tensor(tokens), tensor(start), options)
    return losses.tolist(), margins.tolist()


def test_the_losses_of_three_pairs_are_those_worked_out_by_hand():
    # DPO, beta 0.5. How much more likely than at the start: +2 and -1, -2 and +4, +1 and +2; half the differences:
    #   1.5, -3, -0.5. -log sigmoid(x) = log(1 + exp(-x)): log(1.2231302), log(21.0855369), log(2.6487213).
    losses, margins = compared(DPO, DpoOptions(beta=0.5))
    assert margins == pytest.approx([1.5, -3.0, -0.5], abs=1e-12)
    assert losses == pytest.approx([0.2014133, 3.0485874, 0.9740770], abs=1e-7)
    # With twice the chosen answer's loss by token beside it: 10/5, 20/10, 6/4 nats.
    losses, margins = compared(DPO, DpoOptions(beta=0.5, sft_weight=2.0))
    assert losses == pytest.approx([4.2014133, 7.0485874, 3.9740770], abs=1e-7)
    assert margins == pytest.approx([1.5, -3.0, -0.5], abs=1e-12)
    # ORPO, lambda 0.1. Mean nats of a token: -2 and -2, -2 and -2, -1.5 and -2. p / (1 - p) of exp(-2) = 0.1353353 is
    #   0.1565176, of exp(-1.5) = 0.2231302 it is 0.2872169; their log ratio is 0.6070690.
    losses, margins = compared(ORPO, OrpoOptions(odds_weight=0.1))
    assert margins == pytest.approx([0.0, 0.0, 0.6070690], abs=1e-6)
    assert losses == pytest.approx([2 + 0.1 * math.log(2), 2 + 0.1 * math.log(2), 1.5 + 0.1 * 0.4349888], abs=1e-6)


def test_an_answer_that_is_certain_has_a_finite_loss_and_gradient():
    logs = tensor([[0.0, -8.0]]).requires_grad_()
    losses, _ = ORPO.compare(logs, tensor([[4, 4]]), tensor([]), OrpoOptions())
    (gradient,) = torch.autograd.grad(losses.sum(), logs)
    assert torch.isfinite(losses).all() and torch.isfinite(gradient).all()


pair = st.tuples(*[st.floats(-80, -0.5)] * 4, st.integers(1, 40), st.integers(1, 40))
pairs = st.lists(pair, min_size=1, max_size=4)


def taken_apart(found):
    return (
        [[chosen, rejected] for chosen, rejected, *_ in found],
        [[chosen, rejected] for _, _, chosen, rejected, *_ in found],
        [list(each[4:]) for each in found],
    )


@given(pairs, st.floats(0.01, 2.0))
def test_dpo_is_that_of_trl(drawn, beta):
    dpo_trainer = pytest.importorskip("trl.trainer.dpo_trainer")
    logs, start, tokens = taken_apart(drawn)
    flat, reference = tensor(logs).T.flatten(), tensor(start).T.flatten()  # trl has all chosen ones first
    said = SimpleNamespace(log_probs=flat[:, None], entropy=flat[:, None], mean_logits=flat[:, None], is_top1=flat[:, None] > 0)
    gathers = SimpleNamespace(device="cpu", gather=lambda x: x, gather_for_metrics=lambda x: x)
    trainer = SimpleNamespace(
        model=SimpleNamespace(training=False), accelerator=gathers, aux_loss_enabled=False, ld_alpha=None, use_weighting=False,
        precompute_ref_logps=True, f_divergence_type="reverse_kl", loss_types=["sigmoid"], loss_weights=[1.0], beta=beta,
        _metrics={"eval": __import__("collections").defaultdict(list)}, _total_train_tokens=0, _tp_size=1,
    )  # fmt: skip
    size = len(drawn)
    inputs = {
        "input_ids": torch.ones(2 * size, 2, dtype=torch.long),
        "completion_mask": torch.tensor([[0, 1]] * 2 * size),
        "ref_chosen_logps": reference[:size],
        "ref_rejected_logps": reference[size:],
    }
    theirs = dpo_trainer.DPOTrainer._compute_loss(trainer, lambda **_: said, inputs, False).item()
    losses, margins = compared(DPO, DpoOptions(beta=beta), logs, tokens, start)
    assert sum(losses) / size == pytest.approx(theirs, rel=1e-9, abs=1e-12)
    (margin,) = trainer._metrics["eval"]["rewards/margins"]
    assert sum(margins) / size == pytest.approx(margin, rel=1e-9, abs=1e-9)


@given(pairs, st.floats(0.01, 2.0))
def test_the_odds_of_orpo_are_those_of_trl(drawn, weight):
    orpo_trainer = pytest.importorskip("trl.experimental.orpo.orpo_trainer")
    logs, _, tokens = taken_apart(drawn)
    means = tensor(logs) / tensor(tokens)
    trainer = SimpleNamespace(beta=weight, accelerator=SimpleNamespace(device="cpu"))
    theirs, _, _, _, log_odds = orpo_trainer.ORPOTrainer.odds_ratio_loss(trainer, means[:, 0], means[:, 1])
    losses, margins = compared(ORPO, OrpoOptions(odds_weight=weight), logs, tokens)
    own = [loss + chosen for loss, chosen in zip(losses, means[:, 0].tolist(), strict=True)]  # trl subtracts what it returns
    assert own == pytest.approx((-theirs).tolist(), rel=2e-4, abs=2e-5)  # trl works in float32
    assert sum(margins) / len(margins) == pytest.approx(log_odds.item(), rel=2e-4, abs=2e-4)


@pytest.fixture(scope="module")
def model(tiny_model):
    return AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float64).eval()


ROWS = drawn_pairs("pair", 5)


def plain_log(model, row):
    """Add the log-probabilities of an answer's tokens, the plain way: one row, one token after the other."""
    logs = model(input_ids=torch.tensor([row.input_ids])).logits[0].log_softmax(-1)
    return sum(logs[i - 1, row.input_ids[i]] for i in range(row.read, len(row.input_ids)))


def computed(model, rows, packed, start=None):
    inputs = tensors([answer for row in rows for answer in row.answers], packed)
    return Computed(*token_losses(model, inputs, False), rows, start or {})


@pytest.mark.parametrize("packed", [False, True])
def test_the_log_probability_of_an_answer_is_the_sum_over_its_tokens_however_answers_are_put_together(model, packed):
    with torch.no_grad():
        found = answer_logs(computed(model, ROWS, packed))
        expected = torch.stack([torch.stack([plain_log(model, answer) for answer in row.answers]) for row in ROWS])
    assert torch.allclose(found.double(), expected, atol=1e-4)  # losses are in float32


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("objective", [DPO, ORPO], ids=lambda objective: objective.name)
def test_the_figures_of_a_pass_are_sums_over_its_pairs(model, objective, packed):
    start = {row.id: [-20.0 - i, -21.0 + i] for i, row in enumerate(ROWS)}
    options = objective.Options()
    with torch.no_grad():
        whole = objective.sums(computed(model, ROWS, packed, start), options)
        alone = [objective.sums(computed(model, [row], packed, start), options) for row in ROWS]
    assert torch.allclose(whole, sum(alone), atol=1e-4)
    assert len(whole) == len(objective.figures)
    assert whole[1] == sum(each[2] > 0 for each in alone)  # the accuracy counts margins above 0
    assert sum(map(objective.weight, ROWS)) == len(ROWS)


def test_a_margin_of_nothing_counts_half():
    row = PairRow("p", TrainRow("a", [3, 4, 5], 1), TrainRow("b", [3, 4, 5], 1))
    computed_ = Computed(torch.ones(2, 2), torch.ones(2, 2, dtype=torch.bool), [row], {"p": [-2.0, -2.0]})
    assert DPO.sums(computed_, DpoOptions()).tolist() == pytest.approx([math.log(2), 0.5, 0.0, -1.0, -1.0])


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=lambda objective: objective.name)
def test_a_pass_without_rows_has_no_loss_and_a_gradient_of_zero(model, objective, packed):
    sums = objective.sums(computed(model, [], packed), objective.Options())
    assert sums.tolist() == [0.0] * len(objective.figures)
    assert all(not gradient.any() for gradient in torch.autograd.grad(sums[0], list(model.parameters())))


def test_a_rejected_answer_grows_less_likely_and_a_chosen_one_more(model):
    start = {row.id: answer_logs(computed(model, [row], False)).tolist()[0] for row in ROWS}
    for objective, options in ((DPO, DpoOptions(beta=0.5)), (ORPO, OrpoOptions(odds_weight=5.0))):
        logs = answer_logs(computed(model, ROWS, False)).detach().requires_grad_()
        tokens = tensor([[answer.learned for answer in row.answers] for row in ROWS])
        losses, _ = objective.compare(logs, tokens, tensor([start[row.id] for row in ROWS]), options)
        (gradient,) = torch.autograd.grad(losses.sum(), logs)
        assert (gradient[:, 0] < 0).all() and (gradient[:, 1] > 0).all()


def test_the_table_names_each_objective_as_parameters_do():
    for name, objective in OBJECTIVES.items():
        assert TrainParams(objective=name).minimised is objective
        assert objective.name == name and objective.figures[0] == "loss" and "arXiv" in objective.source
