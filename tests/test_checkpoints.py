"""Checkpoints hold everything that the next step depends on, and nothing that could run."""

import json
import pickle
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from plasticity_utils import files as store
from plasticity_utils.errors import InputError
from plasticity_utils.removal.gate import remove_neurons
from plasticity_utils.training import train as training
from plasticity_utils.training import trainer
from plasticity_utils.training.train import Schedule, fine_tune
from toy import SCHEDULE, data_for, same, tiny, weights


class Planted:
    """A pickle that leaves a file behind when somebody reads it."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


def stepped(n_steps=3, rates=(0.1, 0.01)):
    """AdamW after some steps on two groups, and its schedule."""
    generator = torch.Generator().manual_seed(0)
    parameters = [torch.nn.Parameter(torch.randn(4, 3, generator=generator)) for _ in range(3)]
    groups = [
        {"params": parameters[:2], "lr": rates[0]},
        {"params": parameters[2:], "lr": rates[1], "betas": (0.8, 0.99)},
    ]
    optimizer = torch.optim.AdamW(groups, fused=True)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (step + 3))
    for _ in range(n_steps):
        take_step(optimizer, scheduler, parameters, generator)
    return optimizer, scheduler, parameters, generator


def take_step(optimizer, scheduler, parameters, generator):
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    optimizer.step()
    scheduler.step()


def assert_same_state(first, second):
    assert first["param_groups"] == second["param_groups"]
    assert first["state"].keys() == second["state"].keys()
    for index, values in first["state"].items():
        for name, value in values.items():
            assert second["state"][index][name].dtype == value.dtype
            assert torch.equal(second["state"][index][name], value), name


@pytest.mark.slow
@pytest.mark.parametrize("n_steps", [0, 3])
def test_an_optimizer_and_its_schedule_come_back_exactly(n_steps, tmp_path):
    optimizer, scheduler, parameters, generator = stepped(n_steps)
    trainer.save_optimizer(optimizer, tmp_path)
    trainer.save_scheduler(scheduler, tmp_path)
    other, other_scheduler, _, _ = stepped(0, rates=(0.5, 0.5))
    trainer.load_optimizer(other, tmp_path)
    trainer.load_scheduler(other_scheduler, tmp_path)
    assert_same_state(optimizer.state_dict(), other.state_dict())
    assert scheduler.state_dict() == other_scheduler.state_dict()
    # And the next step is the same.
    copies = [p for group in other.param_groups for p in group["params"]]
    for copy, parameter in zip(copies, parameters, strict=True):
        copy.data.copy_(parameter.data)
    state = generator.get_state()
    take_step(optimizer, scheduler, parameters, generator)
    take_step(other, other_scheduler, copies, generator.set_state(state))
    assert all(torch.equal(a, b) for a, b in zip(parameters, copies, strict=True))
    assert scheduler.get_last_lr() == other_scheduler.get_last_lr()


def draws():
    return [
        [random.random() for _ in range(3)],
        [random.gauss(0, 1)],
        np.random.random(3).tolist(),
        np.random.standard_normal(1).tolist(),
        torch.rand(3).tolist(),
        *([torch.rand(3, device="cuda").tolist()] if torch.cuda.is_available() else []),
    ]


def test_random_states_come_back_exactly(tmp_path):
    draws()  # One of a pair of normal numbers is left in each generator.
    trainer.save_random_states(tmp_path)
    expected = draws()
    assert draws() != expected
    trainer.load_random_states(tmp_path)
    assert draws() == expected


@pytest.mark.slow
@pytest.mark.parametrize(("restarts", "regrow"), [(1, True), (2, False), (2, True)])
def test_a_training_with_gates_and_restarts_resumes_exactly(
    restarts, regrow, tokenizer, tmp_path, monkeypatch
):  # fmt: skip
    monkeypatch.setattr(training, "CHECKPOINT_STEPS", 3)
    schedule = Schedule(2, 1e-2, 60, 0)

    def train(folder, stop=None):
        def look(epoch):
            if epoch == stop:
                raise KeyboardInterrupt

        model = tiny()
        with remove_neurons(model, [(2, 5), (1, 1)], regrow=regrow) as removal:
            fine_tune(
                model, data_for(model, tokenizer), schedule, tmp_path / folder,
                (0.5, 1.0, 1.5, 2.0), look, removal.parameters() if regrow else (), restarts,
            )  # fmt: skip
            return weights(model), removal.gains()

    # At 1.0 the second schedule has not yet forgotten the first one's moments.
    for stop in (1.0, 1.5):
        with pytest.raises(KeyboardInterrupt):
            train("cut", stop)
    resumed, gains = train("cut")
    whole, whole_gains = train("whole")
    assert same(resumed, whole)
    assert np.array_equal(gains, whole_gains)
    assert (gains != 0).any() == regrow


@pytest.mark.slow
def test_a_checkpoint_is_safetensors_and_json(tokenizer, tmp_path):
    model = tiny()
    fine_tune(model, data_for(model, tokenizer), SCHEDULE, tmp_path, (2.0,))
    (folder,) = tmp_path.glob("checkpoint-*")
    files = {path.name for path in folder.iterdir()}
    assert {path.suffix for path in folder.iterdir()} == {".safetensors", ".json"}
    assert files == {
        "model.safetensors", "config.json", "optimizer.safetensors", "optimizer.json",
        "scheduler.json", "random.safetensors", "random.json", "trainer_state.json",
        store.SEAL,
    }  # fmt: skip
    for path in folder.glob("*.json"):
        json.loads(path.read_text())


# Planted pickles


@pytest.mark.parametrize("sealed", [True, False])
@pytest.mark.parametrize(
    "name", ["optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin", "scaler.PT",
             "pytorch_model.bin", "deep/er.pkl"],
)  # fmt: skip
def test_a_planted_pickle_is_refused_and_never_read(
    name, sealed, tokenizer, tmp_path
):  # fmt: skip
    folder, trace = tmp_path / "work" / "checkpoint-4", tmp_path / "it was read"
    planted = folder / name
    planted.parent.mkdir(parents=True)
    planted.write_bytes(pickle.dumps(Planted(trace)))
    if sealed:
        store.seal(folder)
    model = tiny()
    before = weights(model)
    with pytest.raises(InputError, match=r"is a pickle, .*\.safetensors and \.json only: remove"):
        fine_tune(model, data_for(model, tokenizer), SCHEDULE, tmp_path / "work")
    assert planted.is_file()
    assert not trace.exists()
    assert same(before, weights(model))
    # The trap is a real one.
    pickle.loads(planted.read_bytes())
    assert trace.exists()
