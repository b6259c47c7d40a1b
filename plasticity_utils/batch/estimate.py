"""What the cells of a grid take, in hours and in bytes, before anything is loaded.

A model of a run's shape is made on the meta device, which holds no numbers, and its operations and
what it keeps for the backward pass are counted on one batch. How many tokens a run reads follows
from its settings; how fast this machine multiplies is measured in a second. Hours are good to a
factor of two.
"""

from __future__ import annotations

import contextlib
import copy
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForTokenClassification, PreTrainedConfig

from plasticity_utils.batch.cells import Cell, record_of
from plasticity_utils.experiment.config import CAME_LATER, RunConfig
from plasticity_utils.experiment.presets import LARGE_DOSES, SIZES, SURGICAL_DOSES
from plasticity_utils.experiment.splits import load_sentences
from plasticity_utils.hardware import autocast, find_device
from plasticity_utils.models.locate import locate
from plasticity_utils.progress import quiet_transformers
from plasticity_utils.registry import protocols

LENGTH = 32  # tokens of a usual sentence
TOKENS_PER_WORD = 1.4
# Of the matrix rate, that training reaches here (measured with MiniLM on a processor).
FRACTION = 0.4
# Weights, their gradients and Adam's two moments in float32.
TRAINING_BYTES = 16
# A backward pass takes twice the forward one.
BACKWARD = 2
SIZE, SECONDS = 1024, 0.5
# Seconds measured on one core of a server's processor, surgical, seed 0: cell, base model.
MEASURED = {
    ("minilm", "quick"): (300.0, 200.0),
    ("minilm", "full"): (1500.0, 540.0),
    # The base model is part of it.
    ("smollm2", "medium"): (4800.0, 0.0),
}


def estimated_seconds(cell: Cell, known: Sequence[Cell], results: Path) -> tuple[float | None, str]:
    """Estimate what a cell takes."""
    alike = [other for other in known if _kind(other) == _kind(cell)]
    records = [record_of(other.folder(results)) for other in alike]
    seconds = [float(record["seconds"]) for record in records if record.get("status") == "done"]
    if seconds:
        return statistics.median(seconds), "median of the cells that are done here"
    config = RunConfig.from_parameters(cell.settings)
    measured = MEASURED.get((config.model, config.scale))
    own = {*CAME_LATER, "removal", "protocols", "epochs"} - {"corpus", "tags"}
    usual = not any(cell.settings.get(name) for name in own) and config.task.is_usual
    if measured and usual:
        return measured[0 if cell.notebook else 1], "measured on one core"
    try:
        return estimate(config).seconds(of_base=not cell.notebook), "counted, on this machine"
    except Exception as error:
        # Of a name on the Hub, say, nothing can be counted where there is no network.
        return None, f"nothing known: {type(error).__name__}"


def memory_of(cells: Sequence[Cell]) -> dict[str, float]:
    """Bytes that training each model takes at most; NaN of one that cannot be counted."""
    found: dict[str, float] = {}
    for settings in {str(_kind(cell)): cell.settings for cell in cells}.values():
        model, memory = str(settings["model"]), float("nan")
        with contextlib.suppress(Exception):
            memory = estimate(RunConfig.from_parameters(settings)).memory
        found[model] = max(memory, found.get(model, memory))
    return found


def _kind(cell: Cell) -> tuple[bool, dict[str, Any]]:
    """What cells have in common that take as long as each other."""
    ours = ("model", "scale", "corpus", "tags", "removal", "protocols", "epochs", *SIZES)
    return bool(cell.notebook), {name: cell.settings.get(name) for name in ours}


@dataclass(frozen=True)
class RunEstimate:
    """What a run takes.

    Attributes
    ----------
    base_flops, run_flops : float
        Of the base model's training; of all that follows.
    memory : float
        Bytes at the peak of a training step.
    """

    base_flops: float
    run_flops: float
    memory: float

    def seconds(self, of_base: bool) -> float:
        """Seconds on this machine: of the base model alone, or of what follows it."""
        flops = self.base_flops if of_base else self.run_flops
        return flops / (FRACTION * matrix_rate())


def estimate(config: RunConfig) -> RunEstimate:
    """Count what a run takes."""
    parts, sizes = load_sentences(config), config.sizes
    forward, memory, parameters = _one_batch(config.model, len(parts.labels), sizes.batch_tokens)
    tokens = {
        name: TOKENS_PER_WORD * getattr(parts, name).n_words
        for name in (
            "train", "ranking", "measuring", "dose", "scoring", "curve", "validation", "test",
        )
    }  # fmt: skip
    step = forward * (1 + BACKWARD)
    base = step * tokens["train"] * sizes.base_epochs
    base += forward * (tokens["validation"] + tokens["test"])
    named = [protocols.get(name) for name in config.conditions.values()]
    trained = sum(step * tokens["train"] * config.retrain_epochs for _ in named)
    n_measured = 2 + len(named) * len(config.snapshots)
    measured = n_measured * (tokens["ranking"] + tokens["measuring"] + tokens["scoring"])
    n_doses = len(SURGICAL_DOSES) + len(LARGE_DOSES) + 1
    curve = n_doses * (tokens["dose"] + (1 + sizes.draws) * tokens["curve"])
    run = trained + forward * (measured + curve)
    return RunEstimate(base, run, memory + TRAINING_BYTES * parameters)


@cache
def matrix_rate() -> float:
    """Operations a second that this machine's device reaches on a large product."""
    device = find_device()
    left, right = (torch.rand(SIZE, SIZE, device=device) for _ in range(2))
    with torch.no_grad(), autocast(device):
        float((left @ right).sum())
        began, n = time.perf_counter(), 0
        while time.perf_counter() - began < SECONDS:
            float((left @ right).sum())
            n += 1
    return 2 * n * SIZE**3 / (time.perf_counter() - began)


@cache
def _one_batch(model: str, n_labels: int, batch_tokens: int) -> tuple[float, float, int]:
    """Operations of a token, bytes that a batch keeps for its backward pass, and parameters."""
    source, gguf = locate(model)
    options: dict[str, Any] = {"gguf_file": gguf} if gguf else {}
    with quiet_transformers():
        config = AutoConfig.from_pretrained(source, num_labels=n_labels, **options)
    n_sentences = max(1, batch_tokens // LENGTH)
    # Tensors here hold no numbers. Some families look into a mask all the same, unless it is made
    # for every head; those that choose among experts do it in half precision alone.
    for dtype in (torch.float32, torch.bfloat16):
        for of_heads in (False, True):
            try:
                return _pass(config, n_sentences, dtype, of_heads)
            except Exception as error:
                failed = error
    raise failed


def _pass(
    config: PreTrainedConfig, n_sentences: int, dtype: torch.dtype, of_heads: bool
) -> tuple[float, float, int]:
    """What `_one_batch` gives, counted on one forward pass without numbers."""
    with torch.device("meta"):
        made = AutoModelForTokenClassification.from_config(
            copy.deepcopy(config), attn_implementation="eager", dtype=dtype
        )
        inputs = {"input_ids": torch.zeros(n_sentences, LENGTH, dtype=torch.long)}
    if of_heads:
        mask = torch.zeros(n_sentences, 1, LENGTH, LENGTH, dtype=dtype, device="meta")
        inputs["attention_mask"] = mask
    else:
        # Else many look at the tokens for padding.
        made.config.pad_token_id = None
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        # As many bytes as in training, whatever they were counted in.
        size = 4 if tensor.is_floating_point() else tensor.element_size()
        kept[id(tensor)] = tensor.numel() * size
        return tensor

    own = {id(parameter) for parameter in made.parameters()}
    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        FlopCounterMode(display=False, custom_mapping=_OF_EXPERTS) as counted,
    ):
        held = made(**inputs).logits
    bytes_kept = sum(size for name, size in kept.items() if name not in own)
    del held
    n_parameters = sum(parameter.numel() for parameter in made.parameters())
    n_tokens = n_sentences * LENGTH
    return counted.get_total_flops() / n_tokens, float(bytes_kept), n_parameters


def _of_grouped(left: Any, right: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
    """Operations of the product of experts: each row of the left with its own expert."""
    return 2 * left[0] * left[1] * right[-1]


# What torch's own counter does not know.
_OF_EXPERTS = {torch.ops.aten._grouped_mm: _of_grouped}
