"""Training on pairs of answers: the plain losses, a frozen reference, the same bytes after any kill, however pairs are put."""

import json
import math
import shutil

import pytest
import torch
from transformers import AutoModelForCausalLM

from isheep_lib.errors import TrainingError
from isheep_lib.train import batch_plan, checkpoints, learner, reference, trainer
from isheep_lib.train.dataset import Data, PairRow, TrainRow, size_of
from isheep_lib.train.job import Job, save_rows
from isheep_lib.train.run import fine_tune
from tests.trainings import PAIRS, SEED, fine_tuned, laid_out, train_params, weights_in

DPO = {"objective": "dpo", "objective_options": {"beta": 0.5, "sft_weight": 0.2}}
ORPO = {"objective": "orpo", "objective_options": {"odds_weight": 0.5}}
FLAT = {"lora_dropout": 0.0, "learning_rate": 1e-9, "epochs": 1}  # steps that hardly learn: all are of the start
FIGURES = ("loss", "accuracy", "margin", "chosen", "rejected")


def saved_job(model, work, rows=PAIRS, **changed):
    save_rows(rows, work)
    job = Job(model, train_params(**changed), SEED, work)
    job.save()
    return job


def trained(model, work, **changed):
    job = saved_job(model, work, **changed)
    trainer.train(job)
    return job


def result(job):
    return json.loads((job.work / "result.json").read_text())


def weights(job, step=4):
    return (job.work / f"checkpoints/checkpoint-{step}/adapter_model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def whole(tiny_model, tmp_path_factory):
    """Return a DPO of four steps, with dropout, that nobody interrupted."""
    return trained(tiny_model, tmp_path_factory.mktemp("whole"), **DPO)


@pytest.fixture(scope="module")
def base(tiny_model):
    return AutoModelForCausalLM.from_pretrained(tiny_model).eval()


def log_of(model, row):
    """Add the log-probabilities of an answer's tokens, the plain way: one row, one token after the other."""
    logs = model(input_ids=torch.tensor([row.input_ids])).logits[0].log_softmax(-1)
    return sum(logs[i - 1, row.input_ids[i]] for i in range(row.read, len(row.input_ids)))


def plain_loss(objective, model, row, start):
    """Return a pair's loss as its paper writes it."""
    chosen, rejected = log_of(model, row.chosen), log_of(model, row.rejected)
    means = chosen / row.chosen.learned, rejected / row.rejected.learned
    if objective is ORPO:
        odds = [torch.exp(mean) / (1 - torch.exp(mean)) for mean in means]
        return -means[0] - 0.5 * torch.log(torch.sigmoid(torch.log(odds[0] / odds[1])))
    rewards = [0.5 * (log - before) for log, before in zip((chosen, rejected), start, strict=True)]
    return -torch.log(torch.sigmoid(rewards[0] - rewards[1])) - 0.2 * means[0]


@pytest.mark.parametrize("objective", [DPO, ORPO], ids=["dpo", "orpo"])
@pytest.mark.parametrize(("batching", "micro_batch"), [("grouped", 1), ("packed", 4), ("grouped", 2)])
def test_the_losses_are_the_plain_means_over_pairs_however_these_are_put_together(
    tiny_model, base, tmp_path, objective, batching, micro_batch
):
    job = trained(tiny_model, tmp_path, **FLAT, **objective, batching=batching, micro_batch=micro_batch)
    found = [row for row in result(job)["log"] if "loss" in row]
    steps = batch_plan.plan([size_of(row) for row in PAIRS.train], job.params, SEED).steps
    model = trainer.load_trainable(job)
    assert len(found) == len(steps) == 2
    for logged, passes in zip(found, steps, strict=True):
        rows = [PAIRS.train[i] for chosen in passes for i in chosen]
        start = [[log_of(base, answer).item() for answer in row.answers] for row in rows]
        losses = torch.stack([plain_loss(objective, model, row, each) for row, each in zip(rows, start, strict=True)])
        assert logged["loss"] == pytest.approx(losses.mean().item(), abs=5e-6)
        model.zero_grad()
        losses.mean().backward()
        norm = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]).norm().item()
        assert logged["grad_norm"] == pytest.approx(norm, abs=5e-6)
        means = [sum(log_of(base, row.answers[side]).item() / row.answers[side].learned for row in rows) for side in (0, 1)]
        assert [logged["chosen"], logged["rejected"]] == pytest.approx([mean / len(rows) for mean in means], abs=5e-6)


def test_at_the_start_dpo_prefers_nothing_and_the_log_has_every_figure(whole):
    log = result(whole)["log"]
    held = {row["step"]: row for row in log if "eval_loss" in row}
    assert list(held) == [0, 2, 4]
    first = held[0]
    assert (first["eval_margin"], first["eval_accuracy"]) == (0.0, 0.5)
    assert first["eval_loss"] == pytest.approx(math.log(2) - 0.2 * first["eval_chosen"], abs=2e-6)
    assert all({f"eval_{name}" for name in FIGURES} <= set(row) for row in held.values())
    assert all(set(FIGURES) <= set(row) for row in log if "loss" in row)
    assert held[4]["eval_loss"] != first["eval_loss"]


def test_the_reference_is_the_start_and_stays_what_it_was(whole, base):
    """Training moves the model, not what it is compared with: neither the base's own weights nor what they said."""
    logs = reference.read(whole.work, whole.digest)
    rows = [*PAIRS.train, *PAIRS.held_out]
    assert set(logs) == {row.id for row in rows}
    for row in rows:
        assert logs[row.id] == pytest.approx([log_of(base, answer).item() for answer in row.answers], abs=1e-4)
    model = trainer.load_trainable(whole)
    kept = {name: value for name, value in model.named_parameters() if not value.requires_grad}
    before = dict(base.named_parameters())
    assert len(kept) == len(before)
    for name, value in kept.items():
        assert torch.equal(value, before[name.removeprefix("base_model.model.").replace(".base_layer", "")])


def test_the_record_of_the_reference_is_by_pair_with_its_numbers_of_tokens(whole):
    logs = reference.read(whole.work, whole.digest)
    rows = reference.as_rows(logs, PAIRS.held_out)
    assert [row["id"] for row in rows] == [row.id for row in PAIRS.held_out]
    for row, pair in zip(rows, PAIRS.held_out, strict=True):
        assert [row["chosen"], row["rejected"]] == [round(value, 6) for value in logs[pair.id]]
        assert (row["chosen_tokens"], row["rejected_tokens"]) == (pair.chosen.learned, pair.rejected.learned)


class Killed(BaseException):
    """Stands for a kill: nothing of the project catches it."""


def at_log(patch, step):
    plain = trainer.Learner.log

    def log(made, logs, *more):
        if "loss" in logs and made.state.global_step == step:
            raise Killed
        plain(made, logs, *more)

    patch.setattr(trainer.Learner, "log", log)


def at_reference(patch, _):
    """Die when the starting model was asked, and nothing of it is kept."""

    def dies(*_):
        raise Killed

    patch.setattr(learner.reference, "write", dies)


def at_mark(patch, step):
    plain = checkpoints.mark_whole

    def mark(path, job):
        if checkpoints.step_of(path) == step:
            raise Killed
        plain(path, job)

    patch.setattr(checkpoints, "mark_whole", mark)


@pytest.fixture
def asked(monkeypatch):
    """Count how often the starting model is asked."""
    plain, calls = trainer.Learner._of_start, []
    monkeypatch.setattr(trainer.Learner, "_of_start", lambda made: calls.append(1) or plain(made))
    return calls


@pytest.mark.parametrize(
    ("kill", "step", "goes_on_after", "asks"),
    [(at_reference, 0, 0, 2), (at_log, 1, 0, 1), (at_mark, 2, 0, 1), (at_log, 3, 2, 1), (at_mark, 4, 2, 1)],
)
def test_killed_at_any_moment_and_started_again_a_training_gives_the_same_bytes_and_asks_the_start_once(
    whole, tmp_path, monkeypatch, asked, kill, step, goes_on_after, asks
):
    job = saved_job(whole.model, tmp_path, **DPO)
    with monkeypatch.context() as patch:
        kill(patch, step)
        with pytest.raises(Killed):
            trainer.train(job)
    trainer.train(job)
    assert result(job)["began_after_step"] == goes_on_after
    assert len(asked) == asks
    assert (result(job)["log"], weights(job)) == (result(whole)["log"], weights(whole))
    assert (tmp_path / reference.FILE).read_bytes() == (whole.work / reference.FILE).read_bytes()


DAMAGE = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-40]),
    "gone": lambda path: path.unlink(),
    "a digit changed": lambda path: path.write_text(path.read_text().replace("-", "-1", 1)),
    "of another training": lambda path: reference.write(path.parent, "another", {}),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_training_whose_reference_was_damaged_starts_anew_and_gives_the_same_bytes(whole, tmp_path, capsys, damage):
    job = Job(whole.model, whole.params, SEED, tmp_path / "job")
    shutil.copytree(whole.work, job.work)
    job.save()
    (job.work / "result.json").unlink()
    DAMAGE[damage](job.work / reference.FILE)
    trainer.train(job)
    said = "reference.json is torn or gone, and only the starting model can make it: training starts anew"
    assert said in capsys.readouterr().out.splitlines()
    assert result(job)["began_after_step"] == 0
    assert (result(job)["log"], weights(job)) == (result(whole)["log"], weights(whole))


@pytest.mark.parametrize("objective", [DPO, ORPO], ids=["dpo", "orpo"])
def test_how_pairs_are_put_together_changes_nothing_that_is_learned(tiny_model, tmp_path, objective):
    """Up to the order of sums: without dropout, whose draws follow the passes."""
    from safetensors.torch import load

    found = []
    for number, (batching, micro_batch) in enumerate([("grouped", 2), ("packed", 4), ("grouped", 1)]):
        how = {"batching": batching, "micro_batch": micro_batch, "lora_dropout": 0.0, "save_steps": 9, **objective}
        found.append(load(weights(trained(tiny_model, tmp_path / str(number), **how))))
    assert max(value.abs().max().item() for name, value in found[0].items() if "lora_B" in name) > 1e-2, "nothing was learned"
    for other in found[1:]:
        assert max((found[0][name] - other[name]).abs().max().item() for name in other) < 2e-5


def test_a_training_prefers_what_was_chosen(tiny_model, tmp_path):
    """Chosen answers have one token again and again, rejected ones another: held-out pairs follow."""

    def pairs(name, number):
        sides = ("a", 7), ("b", 9)
        return [
            PairRow(f"{name}{i}", *(TrainRow(f"{name}{i}{side}", [3 + i, *[token] * 6], 1) for side, token in sides))
            for i in range(number)
        ]

    for objective in (DPO, ORPO):
        rows = Data(pairs("learned", 8), pairs("held", 3), {}, [])
        job = saved_job(tiny_model, tmp_path / objective["objective"], rows, **objective, epochs=4, lora_dropout=0.0)
        trainer.train(job)
        held = [row for row in result(job)["log"] if "eval_loss" in row]
        assert held[-1]["eval_accuracy"] == 1.0
        assert held[-1]["eval_margin"] > held[0]["eval_margin"] + 0.1
        assert held[-1]["eval_chosen"] > held[0]["eval_chosen"]


def test_orpo_asks_no_starting_model(tiny_model, tmp_path, asked):
    made = fine_tuned(tiny_model, tmp_path, **ORPO)
    assert (made.start, asked, (tmp_path / "work" / reference.FILE).exists()) == ([], [], False)


def test_all_weights_are_trained_against_what_they_were(tiny_model, base, tmp_path):
    made = fine_tuned(tiny_model, tmp_path, method="full", learning_rate=1e-3, **DPO)
    first = PAIRS.train[0]
    assert made.start[0]["chosen"] == pytest.approx(log_of(base, first.chosen).item(), abs=1e-4)
    assert [row["id"] for row in made.start] == [row.id for row in [*PAIRS.train, *PAIRS.held_out]]
    assert made.tokens == 2 * sum(map(size_of, PAIRS.train))


def test_in_one_last_the_reference_is_the_last_model_with_its_adapter(tiny_model, tmp_path, monkeypatch):
    import dataclasses

    monkeypatch.setenv("ISHEEP_CACHE", str(tmp_path / "cache"))
    before = fine_tuned(tiny_model, tmp_path / "one", **DPO)
    layout = laid_out(tiny_model, **DPO)
    last = dataclasses.replace(layout.model, adapters=(tmp_path / "one/out/adapter",))
    made = fine_tune(dataclasses.replace(layout, model=last), tmp_path / "two/work", tmp_path / "two/out")
    held = next(row for row in made.log if "eval_loss" in row)
    assert (held["eval_margin"], held["eval_accuracy"]) == (0.0, 0.5)
    then = next(row for row in before.log if "eval_loss" in row and row["step"] == before.best)
    assert held["eval_chosen"] == pytest.approx(then["eval_chosen"], abs=1e-4)
    assert made.start != before.start


def test_what_is_kept_is_trained_and_not_the_reference(whole, tmp_path):
    made = fine_tuned(whole.model, tmp_path, **DPO)
    assert {name.rpartition(".")[0].rpartition(".")[2] for name in weights_in(tmp_path / "out")} == {"lora_A", "lora_B"}
    assert made.files == ("adapter/adapter_config.json", "adapter/adapter_model.safetensors")


def test_a_start_that_is_not_finite_stops_with_the_pair(tiny_model, tmp_path):
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    shutil.copytree(tiny_model, tmp_path / "poisoned")
    model.get_input_embeddings().weight.data[70] = float("inf")
    model.save_pretrained(tmp_path / "poisoned")
    bad = PairRow("bad", TrainRow("a", [3, 4, 5], 1), TrainRow("b", [3, 70, 5], 1))
    job = saved_job(tmp_path / "poisoned", tmp_path / "job", Data([*PAIRS.train[:6], bad], PAIRS.held_out, {}, []), **DPO)
    with pytest.raises(TrainingError) as caught:
        trainer.train(job)
    assert caught.value.what == "A log-probability under the starting model is not finite at step 0"
    assert caught.value.where == "rows bad"
    assert not (job.work / reference.FILE).exists()
