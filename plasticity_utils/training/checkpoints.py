"""The state of a training on disk, as safetensors and JSON.

A training that was cut off goes on bit for bit only if everything comes back that its next step
depends on: the optimizer's moments, the place in the schedule, and the random states that dropout
draws from. `transformers` keeps these as pickles, and reading a pickle can run any code that
somebody put there. Here tensors go to safetensors and everything else to JSON, neither of which
can hold code, and a folder with a pickle in it is refused before anything is read.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file, save_file

from plasticity_utils import files
from plasticity_utils.errors import InputError

PICKLES = (".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth")


def refuse_pickles(folder: Path) -> None:
    """Raise an InputError that names the first pickle in a folder, without opening it."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICKLES)
    if found:
        raise InputError(
            f"{str(found[0])!r} is a pickle, which can run code when it is read; "
            f"checkpoints are .safetensors and .json only: remove {str(found[0].parent)!r}"
        )


def save_optimizer(optimizer: torch.optim.Optimizer, folder: Path) -> None:
    """Write an optimizer's state: `optimizer.safetensors` and `optimizer.json`.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        With settings of its groups that JSON can hold: numbers, words, tuples.
    folder : Path
        Of the checkpoint; must be there.
    """
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

    Parameters
    ----------
    folder : Path
        Gets `random.safetensors` (PyTorch's and NumPy's) and `random.json` (Python's, and NumPy's
        scalars).
    process : int
        Index among processes that train together; from 1 on it is part of the files' names.
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
