"""Confine training to chosen neurons: what writes to them and what reads from them.

Can a neuron be made to carry a second concept? Whoever trains the whole model on cannot tell: other
neurons may do the work. Here everything is frozen but the weights that belong to chosen neurons of
the residual stream: those that write to them and those that read them (see `models.anatomy`).

The classification head is frozen by default, since it is no block: with a free head a concept can
come back by being read elsewhere, and no neuron need change. `head=True` frees the head's columns
at the chosen neurons of the last layer, to see what that costs or brings.

Caveat: weights are confined, not effects. Attention writes to the middle of a block, where its MLP
reads every unit, and a norm scales all units together; so what the chosen weights say also reaches
other neurons, whose own weights stay as they are.

A gradient of zero is not enough: AdamW's weight decay pulls at every entry of a tensor. So after
every step of an optimizer the frozen entries are put back, bit for bit. Confining training to a
named part of a model follows Meng et al. (2022, ROME), who write to single weight matrices.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook
from transformers import PreTrainedModel

from plasticity_utils.errors import InputError
from plasticity_utils.models.anatomy import check_anatomy, layer_parameters
from plasticity_utils.models.load import count_layers, width
from plasticity_utils.neurons.inputs import as_pairs
from plasticity_utils.removal.patch import Change


@dataclass(frozen=True)
class PlasticPart:
    """The rows, columns or gains of one parameter that train; the rest of it is frozen.

    Attributes
    ----------
    name : str
        Of the parameter, as in `named_parameters`.
    parameter : nn.Parameter
    axis : int
        The axis that runs over the units of a layer.
    units : int Tensor, [n_units]
        Places along that axis that train.
    """

    name: str
    parameter: nn.Parameter
    axis: int
    units: Tensor

    def only(self, values: Tensor, rest: Tensor) -> Tensor:
        """Return `rest` with the entries that train taken from `values`."""
        own = values.index_select(self.axis, self.units)
        return rest.clone().index_copy_(self.axis, self.units, own)


class Confinement(Change):
    """Training confined to chosen neurons, until `undo` or the end of a ``with`` block.

    Made by `confine`. What was trained in the meantime stays; that more can be trained again is all
    that `undo` changes.

    Attributes
    ----------
    parts : tuple of PlasticPart
    """

    def __init__(self, model: PreTrainedModel, parts: Iterable[PlasticPart]):
        super().__init__(model)
        self.parts = tuple(parts)
        self._required = [(p, p.requires_grad) for p in model.parameters()]
        self._frozen = [part.parameter.detach().clone() for part in self.parts]
        for parameter, _ in self._required:
            parameter.requires_grad_(False)
        for part in self.parts:
            part.parameter.requires_grad_(True)
        self._hooks: list[Any] = [
            part.parameter.register_hook(lambda g, part=part: part.only(g, torch.zeros_like(g)))
            for part in self.parts
        ]
        # Of all optimizers: the one that will train these weights is made later, by the trainer.
        self._hooks.append(register_optimizer_step_post_hook(self._put_back))

    def undo(self) -> None:
        """Let everything train again that trained before. May be called twice."""
        super().undo()
        for hook in self._hooks:
            hook.remove()
        for parameter, required in self._required:
            parameter.requires_grad_(required)
        self._hooks, self._required = [], []

    @torch.no_grad()
    def _put_back(self, *_: object) -> None:
        for part, frozen in zip(self.parts, self._frozen, strict=True):
            part.parameter.copy_(part.only(part.parameter, frozen))


def confine(model: PreTrainedModel, neurons: Iterable[Any], head: bool = False) -> Confinement:
    """Freeze all but the weights that write to and read from chosen neurons, until `undo`.

    Gains of removed neurons that are to grow back must be added later (`remove_neurons` inside the
    context): what is a parameter now is frozen. With `head`, the classification head's columns at
    chosen neurons of the last layer train too. InputError for no neurons, neurons out of range or
    given twice, and an architecture that is not supported.
    """
    check_anatomy(model)
    pairs = as_pairs(neurons, count_layers(model), width(model))
    if not len(pairs):
        raise InputError("no neurons to confine training to; needed: at least one (layer, unit)")
    return Confinement(model, _plastic_parts(model, pairs, head))


def _plastic_parts(
    model: PreTrainedModel, pairs: np.ndarray, with_head: bool
) -> Iterator[PlasticPart]:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for layer in np.unique(pairs[:, 0]).tolist():
        units = torch.from_numpy(np.sort(pairs[pairs[:, 0] == layer, 1])).to(model.device)
        for parameter, axis in layer_parameters(model, layer, with_head):
            yield PlasticPart(names[id(parameter)], parameter, axis, units)
