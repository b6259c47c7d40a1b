"""A change of weights that can be put on a model and taken off again.

What training made of a model is kept as the difference to the weights that it began with. So it can
be put on any model of the same shape: the base, one that never knew the concept, the pretrained
body. Editing a model by adding such a difference follows Ilharco et al. (2023, "Editing Models with
Task Arithmetic").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from plasticity_utils.errors import InputError
from plasticity_utils.removal.interface import Intervention
from plasticity_utils.removal.patch import Change


class WeightChange(Change):
    """A difference added to some weights, until `undo` or the end of a ``with`` block.

    Weights that are still as they were put there come back bit for bit. From those that were
    trained in the meantime the difference is subtracted, so that putting it on again gives the
    trained weights.
    """

    is_in_weights: ClassVar[bool] = True

    def __init__(self, model: PreTrainedModel, differences: Mapping[str, Tensor]):
        own = dict(model.named_parameters())
        for name, difference in differences.items():
            if name not in own or own[name].numel() != difference.numel():
                found = list(own[name].shape) if name in own else "nothing"
                raise InputError(
                    f"the change of weights is of another model: it has {difference.numel()} "
                    f"numbers for {name}, the model {found}"
                )
        super().__init__(model)
        self._changed = []
        with torch.no_grad():
            for name, difference in differences.items():
                parameter = own[name]
                shaped = difference.view_as(parameter).to(parameter.device)
                self._changed.append((parameter, shaped, parameter.detach().clone()))
                parameter.add_(shaped)

    @torch.no_grad()
    def undo(self) -> None:
        """Take the difference off. May be called twice."""
        super().undo()
        for parameter, difference, before in self._changed:
            is_as_put = torch.equal(parameter, (before + difference).to(before.dtype))
            parameter.copy_(before if is_as_put else parameter - difference)
        self._changed = []


@dataclass(frozen=True)
class ChangedWeights(Intervention):
    """The difference that training made to weights.

    Attributes
    ----------
    names : str array, [n_parameters]
        As in `named_parameters`.
    differences : float32 array, [n_numbers]
        Of the parameters in this order, one after another.
    sizes : int array, [n_parameters]
    steps : int
        Of training.
    is_lost : bool
        Whether they were enough for the concept to be lost on the dose part.
    """

    names: np.ndarray
    differences: np.ndarray
    sizes: np.ndarray
    steps: int
    is_lost: bool

    @classmethod
    def between(
        cls, before: Mapping[str, Tensor], after: Mapping[str, Tensor], **facts: Any
    ) -> ChangedWeights:
        """Keep what training made of weights, both by their names."""
        moved = [
            (after[name] - old).detach().float().cpu().flatten() for name, old in before.items()
        ]
        sizes = np.array([len(each) for each in moved])
        return cls(np.array(list(before)), torch.cat(moved).numpy(), sizes, **facts)

    def applied(self, model: PreTrainedModel) -> WeightChange:
        """Add the difference to the model's weights."""
        parts = torch.from_numpy(self.differences).split(self.sizes.tolist())
        return WeightChange(model, dict(zip(self.names.tolist(), parts, strict=True)))

    def facts(self) -> dict[str, Any]:
        """Return how long it was trained, and whether that was enough."""
        return {"steps": self.steps, "is_lost": self.is_lost}
