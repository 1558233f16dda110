"""The training itself: resumed anywhere it gives the same bytes, its losses are the plain ones, what is broken stops it."""

import atexit
import gc
import json
import os
import pickle
import shutil
import sys
from types import SimpleNamespace

import pytest

from isheep_lib.errors import TrainingError
from isheep_lib.models.base import find_model
from isheep_lib.train import batch_plan, checkpoints, launch, learner, trainer
from isheep_lib.train.dataset import Data, TrainRow
from isheep_lib.train.job import Job, save_rows
from isheep_lib.train.run import Layout, fine_tune
from tests.trainings import SEED, drawn, train_params

params = train_params


def data(learned=8, held_out=3):
    return Data(drawn("learned", learned), drawn("held", held_out), {}, [])


def saved_job(model, work, rows=None, **changed):
    save_rows(rows or data(), work)
    job = Job(model, params(**changed), SEED, work)
    job.save()
    return job


def result(job):
    return json.loads((job.work / "result.json").read_text())


def held_out(job):
    return {row["step"]: row["eval_loss"] for row in result(job)["log"] if "eval_loss" in row}


def weights(job, step):
    return (job.work / f"checkpoints/checkpoint-{step}/adapter_model.safetensors").read_bytes()


def saved_steps(job):
    return sorted(checkpoints.step_of(path) for path in (job.work / "checkpoints").glob("*"))


class Killed(BaseException):
    """Stands for a kill: nothing of the project catches it."""


@pytest.fixture(scope="module", autouse=True)
def _little_to_collect():
    """Keep what the imports left out of the collections that each training begins with; they are half of its time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module")
def whole(tiny_model, tmp_path_factory):
    """Return a training of four steps, with dropout, that nobody interrupted."""
    job = saved_job(tiny_model, tmp_path_factory.mktemp("whole"))
    trainer.train(job)
    return job


def dies(*_, **__):
    raise Killed


def at_log(patch, step):
    """Die where a step's row would be added to the log: the step is taken, nothing of it is saved."""
    plain = trainer.Learner.log
    patch.setattr(trainer.Learner, "log", lambda self, logs, *more: _or_die(plain, self, logs, step, more))


def _or_die(plain, made, logs, step, more):
    if "loss" in logs and made.state.global_step == step:
        raise Killed
    plain(made, logs, *more)


def at_mark(patch, step):
    """Die when a checkpoint's files are written and it is not marked as whole."""
    plain = checkpoints.mark_whole
    patch.setattr(
        checkpoints, "mark_whole", lambda path, job: dies() if checkpoints.step_of(path) == step else plain(path, job)
    )


def at_clearing(patch, step):
    """Die when a checkpoint is whole and older ones are still there."""
    plain = checkpoints.drop_old
    patch.setattr(checkpoints, "drop_old", lambda path: dies() if (path / f"checkpoint-{step}").exists() else plain(path))


def at_result(patch, step):
    """Die after the last step."""
    patch.setattr(trainer, "write_atomic", dies)


@pytest.mark.parametrize(
    ("kill", "step", "goes_on_after"),
    [
        (at_log, 1, 0),
        (at_log, 2, 0),
        (at_mark, 2, 0),
        (at_clearing, 2, 2),
        (at_log, 3, 2),
        (at_log, 4, 2),
        (at_mark, 4, 2),
        (at_result, 4, 4),
    ],
)
def test_killed_at_any_moment_and_started_again_a_training_gives_the_same_bytes(
    whole, tmp_path, monkeypatch, kill, step, goes_on_after
):
    job = saved_job(whole.model, tmp_path)
    with monkeypatch.context() as patch:
        kill(patch, step)
        with pytest.raises(Killed):
            trainer.train(job)
    assert not (tmp_path / "result.json").exists()
    trainer.train(job)
    assert result(job)["began_after_step"] == goes_on_after
    assert result(job)["log"] == result(whole)["log"]
    assert weights(job, 4) == weights(whole, 4)
    assert saved_steps(job) == saved_steps(whole) == [2, 4]


@pytest.mark.slow
def test_a_training_killed_again_and_again_gives_the_same_bytes(whole, tmp_path, monkeypatch):
    job = saved_job(whole.model, tmp_path)
    for kill, step in ((at_log, 1), (at_mark, 2), (at_log, 3), (at_mark, 4), (at_log, 4)):
        with monkeypatch.context() as patch:
            kill(patch, step)
            with pytest.raises(Killed):
                trainer.train(job)
    trainer.train(job)
    assert (result(job)["log"], weights(job, 4)) == (result(whole)["log"], weights(whole, 4))


def test_a_torn_newest_checkpoint_is_skipped_with_a_sentence_that_is_seen(whole, tmp_path, capsys):
    job = Job(whole.model, whole.params, SEED, tmp_path / "job")
    shutil.copytree(whole.work, job.work)
    job.save()
    (job.work / "result.json").unlink()
    path = job.work / "checkpoints/checkpoint-4/optimizer.pt"
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[: size // 2])
    trainer.train(job)
    said = f"checkpoint-4 is torn (optimizer.pt has {size // 2} of {size} bytes) and was skipped: training goes on after step 2"
    assert said in capsys.readouterr().out.splitlines()
    assert result(job)["said"] == [said]
    assert (result(job)["log"], weights(job, 4)) == (result(whole)["log"], weights(whole, 4))


def planted(file):
    class Planted:
        def __reduce__(self):
            return open, (str(file), "w")

    return pickle.dumps(Planted(), protocol=2)


DAMAGE = {
    "one bit of the weights": lambda found, _: flip(found / "adapter_model.safetensors"),
    "one bit of the optimizer": lambda found, _: flip(found / "optimizer.pt"),
    "older weights": lambda found, _: shutil.copy(found.with_name("checkpoint-2") / "adapter_model.safetensors", found),
    "a planted program": lambda found, ran: (found / "optimizer.pt").write_bytes(planted(ran)),
    "a folder of no step": lambda found, _: [shutil.rmtree(found), found.with_name("checkpoint-x").mkdir()],
    "a file of a step to come": lambda found, _: [shutil.rmtree(found), found.with_name("checkpoint-4").write_text("")],
}


def flip(path):
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_training_on_a_damaged_checkpoint_goes_on_from_the_one_before_and_gives_the_same_bytes(whole, tmp_path, damage):
    job = Job(whole.model, whole.params, SEED, tmp_path / "job")
    shutil.copytree(whole.work, job.work)
    job.save()
    DAMAGE[damage](job.work / "checkpoints/checkpoint-4", tmp_path / "ran")
    trainer.train(job)
    assert not (tmp_path / "ran").exists()
    assert result(job)["began_after_step"] == 2
    assert len(result(job)["said"]) == 1 and "training goes on after step 2" in result(job)["said"][0]
    assert (result(job)["log"], weights(job, 4)) == (result(whole)["log"], weights(whole, 4))


def test_a_planted_program_that_the_mark_was_made_anew_for_is_not_run_and_named(whole, tmp_path):
    job = Job(whole.model, whole.params, SEED, tmp_path / "job")
    shutil.copytree(whole.work, job.work)
    job.save()
    found = job.work / "checkpoints/checkpoint-4"
    (found / "optimizer.pt").write_bytes(planted(tmp_path / "ran"))
    checkpoints.mark_whole(found, job.digest)
    with pytest.raises(TrainingError, match=r"holds what no training saves(.|\n)*checkpoint-4(.|\n)*delete this folder"):
        trainer.train(job)
    assert not (tmp_path / "ran").exists()


def test_a_training_that_is_started_anew_for_lack_of_a_whole_checkpoint_gives_the_same_bytes(whole, tmp_path):
    job = Job(whole.model, whole.params, SEED, tmp_path / "job")
    shutil.copytree(whole.work, job.work)
    job.save()
    for step in (2, 4):
        (job.work / f"checkpoints/checkpoint-{step}/whole.json").write_bytes(b"")
    trainer.train(job)
    assert [line.partition(" and was ")[0] for line in result(job)["said"]] == [
        f"checkpoint-{step} is torn (whole.json is not JSON (Expecting value))" for step in (2, 4)
    ]
    assert (result(job)["log"], weights(job, 4)) == (result(whole)["log"], weights(whole, 4))


def test_the_log_begins_before_the_first_step_and_ends_with_an_evaluation_of_the_last(tiny_model, tmp_path):
    job = saved_job(tiny_model, tmp_path, data(9), save_steps=4)  # 3 steps per epoch, the last of them of one row
    trainer.train(job)
    log = result(job)["log"]
    assert [row["step"] for row in log if "loss" in row] == [1, 2, 3, 4, 5, 6]
    assert [row["epoch"] for row in log if "loss" in row] == [round(step / 3, 6) for step in range(1, 7)]
    assert list(held_out(job)) == [0, 4, 6]
    assert log[0]["step"] == 0
    assert "eval_loss" in log[-1]
    assert [row["learning_rate"] for row in log if "loss" in row][:2] == [0.0, 0.01]  # one step of warm-up


def plain_losses(model, row):
    """Compute the loss of a row's learned tokens the plain way: one row, all places, one token after the other."""
    import torch

    logs = model(input_ids=torch.tensor([row.input_ids])).logits[0].log_softmax(-1)
    return [-logs[i - 1, row.input_ids[i]] for i in range(row.read, len(row.input_ids))]


@pytest.fixture(scope="module")
def base(tiny_model):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny_model).eval()


@pytest.mark.parametrize(("batching", "micro_batch"), [("grouped", 1), ("packed", 4), ("grouped", 2)])
def test_the_losses_are_the_plain_means_over_learned_tokens_however_rows_are_put_together(
    tiny_model, base, tmp_path, batching, micro_batch
):
    """Without dropout and almost without learning, every step's loss and gradient are those of the starting model."""
    import torch

    rows, how = data(7), {"batching": batching, "micro_batch": micro_batch, "lora_dropout": 0.0, "learning_rate": 1e-9}
    job = saved_job(tiny_model, tmp_path, rows, epochs=1, **how)
    trainer.train(job)
    found = [row for row in result(job)["log"] if "loss" in row]
    steps = batch_plan.plan([len(row.input_ids) for row in rows.train], job.params, SEED).steps
    assert len(found) == len(steps) == 2
    model = trainer.load_trainable(job)
    for logged, passes in zip(found, steps, strict=True):
        losses = torch.stack([loss for chosen in passes for i in chosen for loss in plain_losses(model, rows.train[i])])
        assert logged["loss"] == pytest.approx(losses.mean().item(), abs=2e-6)
        model.zero_grad()
        losses.mean().backward()
        norm = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]).norm().item()
        assert logged["grad_norm"] == pytest.approx(norm, abs=2e-6)
    held = torch.stack([loss for row in rows.held_out for loss in plain_losses(base, row)]).mean().item()
    assert list(held_out(job).values()) == pytest.approx([held, held], abs=2e-6)


def test_how_rows_are_put_together_changes_nothing_that_is_learned(tiny_model, tmp_path):
    """Up to the order of sums: without dropout, whose draws follow the passes."""
    from safetensors.torch import load

    found = []
    for number, (batching, micro_batch) in enumerate([("grouped", 2), ("packed", 4), ("grouped", 1)]):
        how = {"batching": batching, "micro_batch": micro_batch, "lora_dropout": 0.0, "save_steps": 9}
        job = saved_job(tiny_model, tmp_path / str(number), **how)
        trainer.train(job)
        found.append(load(weights(job, 4)))
    assert max(value.abs().max().item() for name, value in found[0].items() if "lora_B" in name) > 1e-2, "nothing was learned"
    for other in found[1:]:
        assert max((found[0][name] - other[name]).abs().max().item() for name in other) < 1e-5


def test_computing_activations_twice_learns_the_same(whole, tmp_path):
    from safetensors.torch import load

    job = saved_job(whole.model, tmp_path, gradient_checkpointing=True)
    trainer.train(job)
    once, twice = load(weights(whole, 4)), load(weights(job, 4))
    assert max((once[name] - twice[name]).abs().max().item() for name in once) < 1e-6


@pytest.fixture
def poisoned(tiny_model, tmp_path):
    """Return a model that overflows where token 70 is read."""
    from transformers import AutoModelForCausalLM

    shutil.copytree(tiny_model, tmp_path / "poisoned")
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    model.get_input_embeddings().weight.data[70] = float("inf")
    model.save_pretrained(tmp_path / "poisoned")
    return tmp_path / "poisoned"


def with_poison(rows, *numbers):
    return [TrainRow(r.id, [*r.input_ids[:-2], 70, 4], r.read) if i in numbers else r for i, r in enumerate(rows)]


@pytest.mark.parametrize("batching", ["grouped", "packed"])
def test_a_loss_that_is_not_finite_stops_with_the_rows_of_that_pass(poisoned, tmp_path, batching):
    rows = data()
    plan = batch_plan.plan([len(row.input_ids) for row in rows.train], params(batching=batching), SEED)
    chosen = plan.steps[1][1]  # the second pass of the second step
    rows = Data(with_poison(rows.train, chosen[-1]), rows.held_out, {}, [])
    job = saved_job(poisoned, tmp_path / "job", rows, batching=batching, save_steps=1)
    with pytest.raises(TrainingError) as caught:
        trainer.train(job)
    assert caught.value.what == "The training loss is not finite at step 2"
    assert caught.value.where == "rows " + ", ".join(rows.train[i].id for i in chosen)
    assert saved_steps(job) == [1]
    assert not (job.work / "result.json").exists()


def test_a_held_out_loss_that_is_not_finite_stops_with_the_rows_of_that_pass(poisoned, tmp_path):
    rows = data(held_out=5)
    rows = Data(rows.train, with_poison(rows.held_out, 1), {}, [])
    job = saved_job(poisoned, tmp_path / "job", rows)
    with pytest.raises(TrainingError) as caught:
        trainer.train(job)
    assert caught.value.what == "The held-out loss is not finite at step 0"
    by_length = sorted(range(5), key=lambda i: -len(rows.held_out[i].input_ids))
    at = by_length.index(1) // 2 * 2
    assert caught.value.where == "rows " + ", ".join(rows.held_out[i].id for i in by_length[at : at + 2])
    assert saved_steps(job) == []


def test_a_gradient_that_is_not_finite_stops_before_anything_of_it_is_saved(tiny_model, tmp_path, monkeypatch):
    rows = data()
    plain, seen = learner.token_losses, []

    def infinite(model, inputs, whole_logits):
        losses, learned = plain(model, inputs, whole_logits)
        seen.append(model.training)
        steep = (losses - losses.detach()).sum().clamp(min=0).sqrt()  # 0, and its slope is infinite
        return (losses + steep if sum(seen) == 7 else losses), learned  # the seventh pass belongs to the fourth step

    monkeypatch.setattr(learner, "token_losses", infinite)
    job = saved_job(tiny_model, tmp_path, rows)
    with pytest.raises(TrainingError) as caught:
        trainer.train(job)
    plan = batch_plan.plan([len(row.input_ids) for row in rows.train], job.params, SEED)
    assert caught.value.what == "The gradient is not finite at step 4"
    assert caught.value.where == "rows " + ", ".join(rows.train[i].id for chosen in plan.steps[3] for i in chosen)
    assert saved_steps(job) == [2]


def test_a_process_leaves_its_error_for_the_notebook(poisoned, tmp_path):
    rows = data(held_out=2)
    job = saved_job(poisoned, tmp_path / "job", Data(rows.train, with_poison(rows.held_out, 0, 1), {}, []))
    assert trainer.main(job.work / "job.json") == 1
    found = launch.failure(job.work, 1, ["the end of the log"])
    assert type(found) is TrainingError
    assert found.what == "The held-out loss is not finite at step 0"
    assert sorted(found.where.removeprefix("rows ").split(", ")) == ["held0", "held1"]
    assert "the end of the log" not in str(found)


def test_a_process_that_trains_to_the_end_leaves_a_result_and_no_error(whole, tmp_path):
    job = saved_job(whole.model, tmp_path)
    assert trainer.main(job.work / "job.json") == 0
    assert not (tmp_path / "failure.json").exists()
    assert result(job)["log"] == result(whole)["log"]


@pytest.mark.parametrize("code", [0, 1])
def test_a_process_that_has_trained_leaves_before_what_would_abort_it(code, tmp_path):
    child = os.fork()
    if not child:
        atexit.register(os.abort)  # as a thread of a group that is still there does when Python clears up
        sys.stdout = open(tmp_path / "said", "w")  # noqa: SIM115 - leaving flushes it
        print("whole")
        trainer.leave(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == code
    assert (tmp_path / "said").read_text() == "whole\n"


def laid_out(model, rows=None, **changed):
    wanted, rows = params(**changed), rows or data()
    plan = batch_plan.plan([len(row.input_ids) for row in rows.train], wanted, SEED)
    return Layout(find_model(str(model)), rows, wanted, SEED, plan)


def overfitted():
    """Rows to learn that say nothing of those held out, so that the held-out loss soon rises."""
    return Data([TrainRow(f"r{i}", [5, 6, 7, 8, 9, 10], 2) for i in range(8)], drawn("held", 3), {}, [])


HARD = {"learning_rate": 0.9, "epochs": 6, "save_steps": 1, "lora_dropout": 0.0}


def test_the_weights_of_the_lowest_held_out_loss_are_taken_not_the_last_ones(tiny_model, tmp_path):
    made = fine_tune(laid_out(tiny_model, overfitted(), **HARD), tmp_path / "work", tmp_path / "out")
    losses = {row["step"]: row["eval_loss"] for row in made.log if "eval_loss" in row and row["step"]}
    assert losses[made.best] == min(losses.values()) < losses[12]
    taken = (tmp_path / "out/adapter/adapter_model.safetensors").read_bytes()
    job = Job(tiny_model, params(), SEED, tmp_path / "work")
    assert taken == weights(job, made.best) != weights(job, 12)
    assert not (tmp_path / "work/job.json").exists()


def test_held_out_losses_that_are_equal_as_the_log_has_them_lose_no_checkpoint(tiny_model, tmp_path):
    """The log rounds; what is kept must be what the log calls the best."""
    layout = laid_out(tiny_model, learning_rate=1e-9, save_steps=1)
    made = fine_tune(layout, tmp_path / "work", tmp_path / "out")
    assert len({row["eval_loss"] for row in made.log if "eval_loss" in row}) == 1
    assert made.best == 1
    assert made.files == ("adapter/adapter_config.json", "adapter/adapter_model.safetensors")


def test_a_run_that_was_moved_goes_on_and_keeps_its_best_checkpoint(tiny_model, tmp_path, monkeypatch):
    layout = laid_out(tiny_model, overfitted(), **HARD)
    whole = fine_tune(layout, tmp_path / "whole/work", tmp_path / "whole/out")
    assert whole.best < 8, "the best checkpoint must be an old one"
    with monkeypatch.context() as patch:
        at_log(patch, 10)
        with pytest.raises(Killed):
            fine_tune(layout, tmp_path / "here/work", tmp_path / "here/out")
    assert not (tmp_path / "here/work/job.json").exists()
    (tmp_path / "here").rename(tmp_path / "there")
    moved = fine_tune(layout, tmp_path / "there/work", tmp_path / "there/out")
    assert moved.speed["began_after_step"] == 9
    assert (moved.best, moved.log) == (whole.best, whole.log)
    file = "out/adapter/adapter_model.safetensors"
    assert (tmp_path / "there" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()


def test_a_model_whose_weights_were_all_trained_loads_with_its_tokenizer(tiny_model, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    layout = laid_out(tiny_model, method="full", learning_rate=1e-3)
    made = fine_tune(layout, tmp_path / "work", tmp_path / "out")
    assert {"model/model.safetensors", "model/config.json", "model/tokenizer.json"} <= set(made.files)
    before = AutoModelForCausalLM.from_pretrained(tiny_model)
    after = AutoModelForCausalLM.from_pretrained(tmp_path / "out/model")
    assert made.trainable == sum(p.numel() for p in before.parameters())
    for name, value in before.state_dict().items():
        assert not torch.equal(value, after.state_dict()[name]), f"{name} was not trained"
    text = "write a small letter"
    assert AutoTokenizer.from_pretrained(tmp_path / "out/model")(text) == AutoTokenizer.from_pretrained(tiny_model)(text)


def test_a_full_training_that_was_interrupted_gives_the_same_bytes(tiny_model, tmp_path, monkeypatch):
    layout = laid_out(tiny_model, method="full", learning_rate=1e-3)
    whole = fine_tune(layout, tmp_path / "whole/work", tmp_path / "whole/out")
    with monkeypatch.context() as patch:
        at_mark(patch, 4)
        with pytest.raises(Killed):
            fine_tune(layout, tmp_path / "again/work", tmp_path / "again/out")
    again = fine_tune(layout, tmp_path / "again/work", tmp_path / "again/out")
    assert again.speed["began_after_step"] == 2
    for file in whole.files:
        assert (tmp_path / "again/out" / file).read_bytes() == (tmp_path / "whole/out" / file).read_bytes(), file


def test_dropout_follows_from_the_pass_alone_whatever_else_draws_random_numbers(whole, tmp_path, monkeypatch):
    import torch

    plain = trainer.Learner.log
    monkeypatch.setattr(trainer.Learner, "log", lambda self, *logs: [torch.rand(7), plain(self, *logs)])
    job = saved_job(whole.model, tmp_path)
    trainer.train(job)
    assert weights(job, 4) == weights(whole, 4)


def test_dropout_differs_from_pass_to_pass(whole, tmp_path):
    job = saved_job(whole.model, tmp_path)
    made = trainer.Learner(job, trainer.load_trainable(job), trainer._arguments(job))
    for parameter in made.model.parameters():  # an adapter that says nothing yet drops nothing
        parameter.data.add_(0.1 if parameter.requires_grad else 0.0)
    inputs = learner.tensors(made.rows[:2], False)
    losses = [made.training_step(made.model, {"number": number, **inputs}).item() for number in (0, 1, 0)]
    assert losses[0] == losses[2] != losses[1]


def test_a_machine_with_several_gpus_does_not_put_one_process_on_all_of_them(whole, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    found = trainer._arguments(whole)
    assert str(found.device) == "cuda:0"
    assert found.n_gpu == 1  # with more, the Trainer wraps the model in DataParallel
    assert found.train_batch_size == whole.params.micro_batch
    monkeypatch.undo()
    assert str(trainer._arguments(whole).device) == "cpu"


def test_a_training_for_another_number_of_processes_than_were_started_is_refused(tmp_path, monkeypatch):
    """It would learn a part of the rows only: a config whose distributed_type starts one process, torchrun by hand."""
    job = Job(tmp_path, params(num_processes=2), SEED, tmp_path)
    with pytest.raises(TrainingError, match=r"1 process\(es\) were started for a training of 2"):
        trainer.train(job)
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(TrainingError, match=r"4 process\(es\) were started for a training of 2"):
        trainer.train(job)


def test_a_process_of_another_training_is_refused(tmp_path, monkeypatch):
    """A killed attempt with other parameters may have left its job where a machine that joins finds it."""
    job = Job(tmp_path / "model", params(), SEED, tmp_path)
    job.save()
    (tmp_path / "rows.jsonl").write_text("")
    told = [None, {"job.json": "of", "rows.jsonl": "another"}]
    monkeypatch.setattr(trainer, "PartialState", lambda: SimpleNamespace(is_main_process=False))
    monkeypatch.setattr(trainer, "broadcast_object_list", lambda mine: told)
    with pytest.raises(TrainingError, match="started for another training than the first one"):
        trainer._agreed(job)
