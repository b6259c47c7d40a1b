"""Set the weights of neurons to zero: a removal that any library loads as an ordinary model.

A held unit needs a hook at its layer, which no other program puts there. Here the rows that write a
unit and the columns that read it are zero, as in structured pruning (Michel, Levy & Neubig 2019,
"Are Sixteen Heads Really Better than One?", for heads), so the saved weights are the removal. What
writes and what reads is named in `models.anatomy`.

Caveat: it is more than holding a unit at 0, and less. In a post-norm model the gain and the bias of
the norm are zero too, so the unit is 0 at every token, special ones included; and the middle of its
block loses it as well. In a pre-norm model the unit keeps what the blocks below wrote: only its own
block adds nothing and the next reads nothing, until the last norm silences it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from transformers import PreTrainedModel

from plasticity_utils.models.anatomy import check_anatomy, layer_parameters
from plasticity_utils.models.load import count_layers, width
from plasticity_utils.neurons.inputs import as_pairs
from plasticity_utils.removal.interface import Intervention
from plasticity_utils.removal.neurons import NeuronRemoval, RemovedNeurons
from plasticity_utils.removal.patch import Change, without_gradient


class SilencedWeights(Change):
    """Weights of neurons set to zero, until `undo` or the end of a ``with`` block."""

    is_in_weights: ClassVar[bool] = True

    def __init__(self, model: PreTrainedModel, neurons: np.ndarray):
        super().__init__(model)
        self._saved: list[tuple[Tensor, int, Tensor, Tensor]] = []
        self._hooks = []
        for layer in np.unique(neurons[:, 0]).tolist():
            units = torch.from_numpy(neurons[neurons[:, 0] == layer, 1]).to(model.device)
            for weight, axis in layer_parameters(model, layer, with_head=True):
                values = weight.detach().index_select(axis, units)
                self._saved.append((weight, axis, units, values))
                with torch.no_grad():
                    weight.index_fill_(axis, units, 0.0)
                if weight.requires_grad:
                    self._hooks.append(weight.register_hook(partial(without_gradient, axis, units)))

    def undo(self) -> None:
        """Write the weights back. May be called twice."""
        super().undo()
        with torch.no_grad():
            for weight, axis, units, values in self._saved:
                weight.index_copy_(axis, units, values)
        for hook in self._hooks:
            hook.remove()
        self._saved, self._hooks = [], []


def silence_weights(model: PreTrainedModel, neurons: Iterable[Any]) -> SilencedWeights:
    """Set the weights that write to neurons, and those that read them, to zero until `undo`.

    They stay zero while the model trains. InputError for neurons out of range or given twice, and
    an architecture of which it is not known what writes and what reads.
    """
    check_anatomy(model)
    return SilencedWeights(model, as_pairs(neurons, count_layers(model), width(model)))


@dataclass(frozen=True)
class SilencedNeurons(RemovedNeurons):
    """RemovedNeurons whose weights are zero."""

    def applied(self, model: PreTrainedModel) -> SilencedWeights:
        """Set them to zero."""
        return silence_weights(model, self.neurons)


@dataclass(frozen=True)
class Weights(NeuronRemoval):
    """Set the weights of the top neurons to zero; see this module."""

    makes: ClassVar[type[Intervention]] = SilencedNeurons

    def hold(self, neurons: np.ndarray, ranked: pd.DataFrame) -> SilencedNeurons:
        """Make the intervention that silences these neurons."""
        return SilencedNeurons(neurons)
