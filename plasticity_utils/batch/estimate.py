"""What a run takes, counted before anything is loaded: operations, memory, and hours here.

A model of the run's shape is made on the meta device, which holds no numbers, and its operations
and what it keeps for the backward pass are counted on one batch (`torch.utils.flop_counter`). How
many tokens a run reads follows from its settings; how fast this machine multiplies is measured in a
second. Hours are good to a factor of two.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForTokenClassification

from plasticity_utils.experiment.config import LARGE_DOSES, SURGICAL_DOSES, RunConfig
from plasticity_utils.experiment.splits import load_sentences
from plasticity_utils.hardware import autocast, find_device
from plasticity_utils.models.locate import locate
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


@dataclass(frozen=True)
class GridEstimate:
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


def estimate(config: RunConfig) -> GridEstimate:
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
    return GridEstimate(base, run, memory + TRAINING_BYTES * parameters)


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
    config = AutoConfig.from_pretrained(source, num_labels=n_labels, **options)
    with torch.device("meta"):
        made = AutoModelForTokenClassification.from_config(config, attn_implementation="eager")
        ids = torch.zeros(max(1, batch_tokens // LENGTH), LENGTH, dtype=torch.long)
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[id(tensor)] = tensor.numel() * tensor.element_size()
        return tensor

    own = {id(parameter) for parameter in made.parameters()}
    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        FlopCounterMode(display=False) as counted,
    ):
        held = made(input_ids=ids).logits
    bytes_kept = sum(size for name, size in kept.items() if name not in own)
    del held
    n_parameters = sum(parameter.numel() for parameter in made.parameters())
    return counted.get_total_flops() / ids.numel(), float(bytes_kept), n_parameters
