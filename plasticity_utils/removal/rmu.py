"""Steer the states of the concept's words to a random point, and keep the others'.

RMU, "representation misdirection for unlearning" (Li et al. 2024, "The WMDP Benchmark"): at one
layer, the states of what is to be forgotten are drawn to a random point, and those of all else to
what they were in the model before. Only what the MLPs of that layer's block and of the two below
write with is trained. The loss looks at no tag: what later layers, and the head, make of the point
is chance, and the dose part tells.

As in the paper the point lies in a random direction that is drawn once, and its distance is a
setting. Here it is a multiple of the mean length of the words' states, which differs from model to
model, and the direction is drawn from a normal distribution: one of positive numbers alone, as
theirs, lies along what every norm takes out. All tokens of a word are steered, and all other tokens
kept, special ones too. The settings were chosen as those of `unlearn`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor, nn
from transformers import PreTrainedModel

from plasticity_utils.errors import InputError, shown
from plasticity_utils.hardware import autocast
from plasticity_utils.models.activations import BATCH_TOKENS, inference_batches, inputs
from plasticity_utils.models.anatomy import check_anatomy, mlp_output
from plasticity_utils.models.load import count_layers, encode_for, width
from plasticity_utils.removal.interface import Material
from plasticity_utils.removal.unlearn import Objective, TrainedRemoval, mean_of

BLOCKS_TRAINED = 3


@dataclass(frozen=True)
class Rmu(TrainedRemoval):
    """Steer the concept's words to a random direction at one layer; see this module.

    Attributes
    ----------
    learning_rate : float
    layer : int or None
        From 1, the output of the first block; by default the middle one.
    scale : float
        Length of the point that states are drawn to, in mean lengths of the words' states.
    alpha : float
        What it counts that the others' states stay, beside that the concept's move.
    """

    learning_rate: float = 5e-4
    layer: int | None = None
    scale: float = 1.0
    alpha: float = 10.0

    def check(self, model: PreTrainedModel) -> None:
        """Refuse a model of which it is not known what its MLPs write, or that lacks the layer."""
        check_anatomy(model)
        self._layer(model)

    def trained(self, model: PreTrainedModel) -> dict[str, nn.Parameter]:
        """Give what the MLPs of the layer's block and of those below write with."""
        self.check(model)
        top = self._layer(model)
        layers = range(max(1, top - BLOCKS_TRAINED + 1), top + 1)
        wanted = {id(mlp_output(model, layer).weight) for layer in layers}
        return {name: p for name, p in model.named_parameters() if id(p) in wanted}

    def objective(self, on: Material, forget: np.ndarray) -> Objective:
        """Mean squared distance to the point, and alpha times that to the states before."""
        states = TokenStates(on, forget, self._layer(on.model))
        before = states.of_all()
        words = torch.cat([own[is_word] for own, is_word in zip(before, states.words, strict=True)])
        rng = torch.Generator().manual_seed(on.seed)
        direction = torch.randn(width(on.model), generator=rng).to(words.device)
        point = self.scale * words.norm(dim=1).mean() * direction / direction.norm()

        def loss(batch: list[int]) -> Tensor:
            now, old = torch.cat(states.of(batch)), torch.cat([before[i] for i in batch])
            forgotten = torch.cat([states.forgotten[i] for i in batch])
            moved = mean_of((now - point).square().mean(dim=1), forgotten)
            return moved + self.alpha * mean_of((now - old).square().mean(dim=1), ~forgotten)

        return loss

    def _layer(self, model: PreTrainedModel) -> int:
        last = count_layers(model) - 1
        layer = (last + 1) // 2 if self.layer is None else self.layer
        if isinstance(layer, bool) or not isinstance(layer, int) or not 1 <= layer <= last:
            raise InputError(f"layer {shown(layer)}; allowed: 1 to {last}")
        return layer


class TokenStates:
    """The states of sentences' tokens at a layer, and which tokens are to be forgotten."""

    def __init__(self, on: Material, forget: Bool[np.ndarray, " word"], layer: int):
        self.model, self.layer = on.model, layer
        self.encoded = encode_for(on.model, on.tokenizer, on.corpus.sentences)
        owners = [torch.tensor(each.word_of_token, device=on.model.device) for each in self.encoded]
        # The last entry stands for the tokens of no word, whose owner is -1.
        lengths = [len(sentence) for sentence in on.corpus.sentences]
        of_words = torch.from_numpy(forget).to(on.model.device).split(lengths)
        self.words = [own >= 0 for own in owners]
        self.forgotten = [
            is_word & flags[own]
            for own, is_word, flags in zip(owners, self.words, of_words, strict=True)
        ]

    def of(self, batch: list[int]) -> list[Tensor]:
        """Give the states of some sentences, as the model is."""
        chosen = [self.encoded[i] for i in batch]
        with autocast(self.model.device, self.model.config.model_type):
            found = self.model.base_model(**inputs(self.model, chosen), output_hidden_states=True)
        states = found.hidden_states[self.layer].float()
        return [own[: len(each.ids)] for own, each in zip(states, chosen, strict=True)]

    @torch.no_grad()
    def of_all(self) -> list[Tensor]:
        """Give the states of all sentences."""
        found: list[Tensor] = [torch.empty(0)] * len(self.encoded)
        for batch in inference_batches([len(each.ids) for each in self.encoded], BATCH_TOKENS):
            for i, own in zip(batch, self.of(batch), strict=True):
                found[i] = own
        return found
