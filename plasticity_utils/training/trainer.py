"""The Trainer of `transformers`, with our order of batches, checkpoints and snapshots.

A training that was cut off goes on bit for bit only if everything comes back that its next step
depends on: the optimizer's moments, the place in the schedule, and the random states that dropout
draws from. `transformers` keeps these as pickles, and reading a pickle can run any code that
somebody put there. Here tensors go to safetensors and everything else to JSON, neither of which
can hold code, and a folder with a pickle in it is refused before anything is read.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel, Trainer, TrainerCallback

from plasticity_utils import files, garbage, hardware
from plasticity_utils.errors import InputError
from plasticity_utils.hardware import autocast
from plasticity_utils.progress import bar

GATE_RATE_FACTOR = 10
PICKLES = (".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth")

# Every training begins with a look for garbage.
garbage.set_aside()


class SnapshotTrainer(Trainer):
    """The Trainer with our order of batches, our checkpoints, and a rate of their own for gates.

    Attributes
    ----------
    rows : Dataset
        What `data_collator` makes batches of.
    batches : list of list of int
        Rows of every batch of all epochs, in order; several processes take them in turn.
    gates : list of Parameter
        Gains that may grow back, trained at `GATE_RATE_FACTOR` times the rate.
    restarts : int
        How often the schedule begins, see `fine_tune`.
    """

    rows: torch.utils.data.Dataset
    batches: list[list[int]]
    gates: list[torch.nn.Parameter]
    restarts: int

    def create_scheduler(
        self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None
    ) -> torch.optim.lr_scheduler.LRScheduler:
        """Make the schedule, which begins `restarts` times."""
        if self.restarts == 1:
            return super().create_scheduler(num_training_steps, optimizer)
        steps = num_training_steps // self.restarts
        warmup = int(self.args.warmup_steps) // self.restarts
        rate = partial(_restarted_rate, steps=steps, warmup=warmup)
        assert self.optimizer is not None
        self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(self.optimizer, rate)
        self.add_callback(_NewOptimizer(steps))
        return self.lr_scheduler

    def decay(self) -> float:
        """Give what the weight decay of the steps so far leaves of a weight without gradients."""
        if self.lr_scheduler is None:
            return 1.0
        rate = self.lr_scheduler.lr_lambdas[0]
        pull = self.args.learning_rate * self.args.weight_decay
        steps = range(self.state.global_step)
        return math.prod((1 - pull * rate(step) for step in steps), start=1.0)

    def get_train_dataloader(self) -> torch.utils.data.DataLoader:
        """Give every process its batches, in the order that was set."""
        # All epochs are one pass, so that a resumed training only has to skip batches.
        return self.accelerator.prepare(
            torch.utils.data.DataLoader(
                self.rows,
                batch_sampler=self.batches,
                collate_fn=self.data_collator,
                pin_memory=self.args.dataloader_pin_memory,
            )
        )

    def compute_loss(self, model, *args, **kwargs):  # type: ignore[no-untyped-def]
        """Compute the loss in the precision of the device."""
        # The Trainer's own bf16 would wrap the model, and a snapshot's activations with it.
        assert isinstance(self.model, PreTrainedModel)
        with autocast(self.args.device, self.model.config.model_type):
            return super().compute_loss(model, *args, **kwargs)

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        # The Trainer's own writes its arguments too, as a pickle.
        assert isinstance(self.model, PreTrainedModel)
        assert output_dir is not None
        # The class's own: a checkpoint's removal is put on again by whoever goes on from it.
        PreTrainedModel.save_pretrained(self.model, output_dir, state_dict=state_dict)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if hardware.is_main():
            assert self.optimizer is not None
            assert self.lr_scheduler is not None
            save_optimizer(self.optimizer, Path(output_dir))
            save_scheduler(self.lr_scheduler, Path(output_dir))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            assert self.optimizer is not None
            assert self.lr_scheduler is not None
            load_optimizer(self.optimizer, Path(checkpoint))
            load_scheduler(self.lr_scheduler, Path(checkpoint))

    def _save_rng_state(self, output_dir: str) -> None:
        # The other processes may be here before the main one has made the folder.
        Path(output_dir).mkdir(exist_ok=True)
        save_random_states(Path(output_dir), self.args.process_index)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            load_random_states(Path(checkpoint), self.args.process_index)

    def create_optimizer(self, model: torch.nn.Module | None = None) -> torch.optim.Optimizer:
        """Make the optimizer, with a group of its own for gates."""
        optimizer = super().create_optimizer(model)
        if self.gates:
            fast = {id(gate) for gate in self.gates}
            for group in optimizer.param_groups:
                group["params"] = [p for p in group["params"] if id(p) not in fast]
            rate = GATE_RATE_FACTOR * self.args.learning_rate
            optimizer.add_param_group({"params": self.gates, "lr": rate, "weight_decay": 0.0})
        return optimizer


def _restarted_rate(step: int, steps: int, warmup: int) -> float:
    """Share of the peak rate at a step, where every `steps` steps the schedule begins anew."""
    own = step % steps
    return own / warmup if own < warmup else (steps - own) / max(1, steps - warmup)


class _NewOptimizer(TrainerCallback):
    """Forgets the optimizer's moments wherever a schedule begins anew."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_step_begin(self, args, state, control, optimizer=None, **kwargs):  # type: ignore[no-untyped-def]
        if state.global_step % self.steps == 0:
            optimizer.state.clear()


class Snapshots(TrainerCallback):
    """Saves a checkpoint at every snapshot, seals it, and only then measures.

    Parameters
    ----------
    due : mapping of int to callable
        What is called after a step, in the main process.

    Attributes
    ----------
    looking : callable
        Gives the context in which that is called.
    """

    looking: Callable[[], AbstractContextManager[None]] = nullcontext

    def __init__(self, due: Mapping[int, Callable[[], None]]) -> None:
        self.due = due

    def on_train_begin(self, args, state, control, **kwargs):  # type: ignore[no-untyped-def]
        """Take the snapshot from which the training goes on."""
        self.bar = bar(desc="training", total=state.max_steps)
        self.bar.update(state.global_step)
        self._measure(state.global_step)

    def on_step_end(self, args, state, control, **kwargs):  # type: ignore[no-untyped-def]
        """Ask for a checkpoint where a snapshot is due."""
        self.bar.update()
        control.should_save |= state.global_step in self.due

    def on_save(self, args, state, control, **kwargs):  # type: ignore[no-untyped-def]
        """Seal the checkpoint, then measure."""
        # Every process puts its random states there.
        hardware.wait()
        if hardware.is_main():
            files.seal(Path(args.output_dir) / f"checkpoint-{state.global_step}")
        self._measure(state.global_step)

    def on_train_end(self, args, state, control, **kwargs):  # type: ignore[no-untyped-def]
        """Close the bar."""
        self.bar.close()

    def _measure(self, step: int) -> None:
        if step in self.due and hardware.is_main():
            with self.looking():
                self.due[step]()


def refuse_pickles(folder: Path) -> None:
    """Raise an InputError that names the first pickle in a folder, without opening it."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICKLES)
    if found:
        raise InputError(
            f"{str(found[0])!r} is a pickle, which can run code when it is read; "
            f"checkpoints are .safetensors and .json only: remove {str(found[0].parent)!r}"
        )


def save_optimizer(optimizer: torch.optim.Optimizer, folder: Path) -> None:
    """Write an optimizer's state: `optimizer.safetensors` and `optimizer.json`."""
    state = optimizer.state_dict()
    tensors: dict[str, torch.Tensor] = {}
    rest: dict[str, Any] = {}
    for index, values in state["state"].items():
        for name, value in values.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{index}.{name}"] = value.contiguous()
            else:
                rest[f"{index}.{name}"] = value
    save_file(tensors, folder / "optimizer.safetensors")
    files.write_json(
        folder / "optimizer.json", {"param_groups": state["param_groups"], "values": rest}
    )


def load_optimizer(optimizer: torch.optim.Optimizer, folder: Path) -> None:
    """Give an optimizer of the same groups the state that `save_optimizer` wrote."""
    written = _read_json(folder / "optimizer.json")
    state: dict[int, dict[str, Any]] = {}
    for key, value in {**load_file(folder / "optimizer.safetensors"), **written["values"]}.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    groups = [
        # JSON has no tuples, and `betas` is one.
        {k: tuple(v) if isinstance(v, list) and k != "params" else v for k, v in group.items()}
        for group in written["param_groups"]
    ]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def save_scheduler(scheduler: torch.optim.lr_scheduler.LRScheduler, folder: Path) -> None:
    """Write the place in a schedule: `scheduler.json`."""
    files.write_json(folder / "scheduler.json", scheduler.state_dict())


def load_scheduler(scheduler: torch.optim.lr_scheduler.LRScheduler, folder: Path) -> None:
    """Go to the place in the schedule that `save_scheduler` wrote."""
    scheduler.load_state_dict(_read_json(folder / "scheduler.json"))


def save_random_states(folder: Path, process: int = 0) -> None:
    """Write the states of all generators that a training draws from.

    `random.safetensors` has PyTorch's and NumPy's, `random.json` Python's and NumPy's scalars; the
    index of a process from 1 on is part of the files' names.
    """
    stem = _random_stem(process)
    kind, keys, *scalars = np.random.get_state(legacy=True)
    arrays = {"numpy": np.asarray(keys), "torch": torch.get_rng_state().numpy()}
    if torch.cuda.is_available():
        arrays["cuda"] = torch.cuda.get_rng_state().numpy()
    save_arrays(arrays, folder / f"{stem}.safetensors")
    states = {"python": random.getstate(), "numpy": [kind, *scalars]}
    files.write_json(folder / f"{stem}.json", states)


def load_random_states(folder: Path, process: int = 0) -> None:
    """Set all generators as `save_random_states` found them in the same process."""
    stem = _random_stem(process)
    arrays = load_arrays(folder / f"{stem}.safetensors")
    states = _read_json(folder / f"{stem}.json")
    version, inner, gauss = states["python"]
    random.setstate((version, tuple(inner), gauss))
    kind, *scalars = states["numpy"]
    np.random.set_state((kind, arrays["numpy"], *scalars))
    torch.set_rng_state(torch.from_numpy(arrays["torch"]))
    if torch.cuda.is_available() and "cuda" in arrays:
        torch.cuda.set_rng_state(torch.from_numpy(arrays["cuda"]))


def _random_stem(process: int) -> str:
    return f"random-{process}" if process else "random"


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
