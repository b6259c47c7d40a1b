"""How many floating-point operations a model needs, counted by torch on a model without weights.

A multiplication and an addition are two operations. Only matrix products are counted: norms,
activation functions and look-ups are under a hundredth of them in operations, though not in time,
which is why a model never reaches the machine's rate. Training takes three times a forward pass:
the backward pass has a product for the gradient of the activations and one for that of the weights
(Kaplan et al. 2020, "Scaling Laws for Neural Language Models", section 2.1).
"""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForTokenClassification
from transformers.pytorch_utils import Conv1D

TRAINING_FACTOR = 3
COUNTED_AT = (16, 32)  # tokens: two sentences decide what grows with the tokens and their pairs
LEAST_SHARE = 0.01


@dataclass(frozen=True)
class Shape:
    """What of a transformer decides its cost.

    Attributes
    ----------
    n_blocks, d_model, n_parameters : int
    per_token, per_pair : float
        Operations of a forward pass, for each token and for each pair of tokens of a sentence: all
        tokens are compared with all, and a decoder's mask saves nothing in the usual code.
    products : tuple of (int, int, int)
        Inputs, outputs and number of the matrices that a token is multiplied with; those that
        matter.
    """

    n_blocks: int
    d_model: int
    n_parameters: int
    per_token: float
    per_pair: float
    products: tuple[tuple[int, int, int], ...] = ()

    @property
    def n_neurons(self) -> int:
        """Units of all layers, the embedding output included."""
        return (self.n_blocks + 1) * self.d_model


def shape_of(config: Any) -> Shape:
    """Count on the model that a configuration describes; no weight is made or loaded."""
    with torch.device("meta"):
        model = AutoModelForTokenClassification.from_config(
            deepcopy(config), attn_implementation="eager"
        )
    model.config.pad_token_id = None  # or a token would be looked at, which has no value here
    first, second = (_forward(model, n) / n for n in COUNTED_AT)
    per_pair = (second - first) / (COUNTED_AT[1] - COUNTED_AT[0])
    return Shape(
        int(config.num_hidden_layers), int(config.hidden_size),
        sum(parameter.numel() for parameter in model.parameters()),
        first - per_pair * COUNTED_AT[0], per_pair, _products(model),
    )  # fmt: skip


def forward_flops(shape: Shape, sentence_tokens: float) -> float:
    """Operations of a forward pass for one token of a sentence of so many tokens."""
    return shape.per_token + shape.per_pair * sentence_tokens


def training_flops(shape: Shape, sentence_tokens: float) -> float:
    """Operations of a training step for one token."""
    return TRAINING_FACTOR * forward_flops(shape, sentence_tokens)


def _forward(model: nn.Module, n_tokens: int) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(input_ids=torch.zeros((1, n_tokens), dtype=torch.long, device="meta"))
    return counter.get_total_flops()


def _products(model: nn.Module) -> tuple[tuple[int, int, int], ...]:
    sizes: Counter[tuple[int, int]] = Counter()
    for module in model.modules():
        if isinstance(module, nn.Linear):
            sizes[module.in_features, module.out_features] += 1
        elif isinstance(module, Conv1D):
            sizes[int(module.nx), int(module.nf)] += 1
    whole = sum(k * m * count for (k, m), count in sizes.items())
    kept = {size: n for size, n in sizes.items() if size[0] * size[1] * n >= LEAST_SHARE * whole}
    return tuple((k, m, count) for (k, m), count in kept.items())
