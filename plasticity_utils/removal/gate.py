"""Remove neurons from a model, and put them back.

What does a model lose without the neurons that carry a concept? Each hidden state passes a gate,
h' = g ⊙ h + (1 − g) ⊙ μ, with gain g = 1 and resting value μ. Removing a neuron sets its g to 0, so
that whatever it answered, it now says μ, the same for every word. The gate stands at the module
whose output `transformers` returns as that hidden state: what is recorded is what flows on.

The paper (Lo, Cohen & Barez 2024, "Large Language Models Relearn Removed Concepts") zeroes
LayerNorm gains instead: see `layernorm`. Special tokens are left alone by default: their values lie
far from any word's mean, and gating them breaks a model whatever the concept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from plasticity_utils.errors import InputError, shown
from plasticity_utils.models.load import check_loaded, count_layers, width
from plasticity_utils.neurons.inputs import Matrix, Neurons, as_activations, as_pairs
from plasticity_utils.removal.interface import Intervention
from plasticity_utils.removal.neurons import NeuronRemoval, RemovedNeurons
from plasticity_utils.removal.patch import Patch


class _Gate:
    """h' = g ⊙ h + (1 − g) ⊙ μ at one layer, g being 1 for units that were not removed."""

    def __init__(
        self,
        units: Int[Tensor, "removed"],
        rest: Float[Tensor, "unit"],
        gains: nn.Parameter | None,
        places: Int[Tensor, "removed"],
    ):
        self.units, self.rest, self.places = units, rest, places
        self.gains = gains

    def __call__(self, state: Tensor) -> Tensor:
        units, rest = self.units.to(state.device), self.rest.to(state.device)
        is_removed = torch.zeros_like(rest, dtype=torch.bool).index_fill(0, units, True)
        if self.gains is None:
            # Chosen and not multiplied: 0 × inf is not a number, and no gradient may pass.
            return torch.where(is_removed, rest.to(state.dtype), state)
        gains = self.gains.to(state.device)[self.places.to(state.device)]
        gain = gains.new_zeros(rest.shape).index_put((units,), gains)
        gated = (gain * state + (1 - gain) * rest).to(state.dtype)
        return torch.where(is_removed, gated, state)


class NeuronPatch(Patch):
    """Removed neurons, in force until `undo`; made by `remove_neurons`.

    Attributes
    ----------
    neurons : int array [n_removed, 2]
        The (layer, unit) pairs, in the order given (a set is sorted).
    parameter_name : str or None
        The name of the gains among the model's parameters, where the neurons may grow back.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        neurons: Int[np.ndarray, "removed 2"],
        rest: Float[Tensor, "layer unit"],
        positions: str,
        regrow: bool,
    ):
        self.neurons = neurons
        self._gains = (
            nn.Parameter(torch.zeros(len(neurons), device=rest.device)) if regrow else None
        )
        gates = {}
        for layer in np.unique(neurons[:, 0]).tolist():
            places = torch.from_numpy(np.flatnonzero(neurons[:, 0] == layer)).to(rest.device)
            units = torch.from_numpy(neurons[:, 1]).to(rest.device)[places]
            gates[layer] = _Gate(units, rest[layer], self._gains, places)
        super().__init__(model, gates, positions)
        self.parameter_name = _free_name(model) if regrow else None
        if self.parameter_name is not None:
            model.register_parameter(self.parameter_name, self._gains)

    def undo(self) -> None:
        """Put the neurons back, and take their gains off the model. May be called twice."""
        super().undo()
        if self.parameter_name is not None and self.parameter_name in self._model._parameters:
            del self._model._parameters[self.parameter_name]

    def parameters(self) -> Iterator[nn.Parameter]:
        """Yield the gains that train: one vector [n_removed] with ``regrow``, else nothing."""
        if self._gains is not None:
            yield self._gains

    def gains(self) -> Float[np.ndarray, "removed"]:
        """Return the gains g of the removed neurons, in the order of `neurons`; 0 is removed."""
        if self._gains is None:
            return np.zeros(len(self.neurons), dtype=np.float32)
        return self._gains.detach().cpu().numpy().copy()

    def set_gains(self, values: Float[np.ndarray, "removed"]) -> None:
        """Give neurons that grew back the gains of `gains`; the others have none to set."""
        if self._gains is not None:
            with torch.no_grad():
                self._gains.copy_(torch.from_numpy(values))


def remove_neurons(
    model: PreTrainedModel,
    neurons: Neurons,
    rest: Matrix = "zero",
    positions: str = "words",
    regrow: bool = False,
    X: Matrix = None,
) -> NeuronPatch:
    """Set neurons to their resting values (method: removing).

    Neurons are named in one of three ways here and wherever neurons are taken: (layer, unit) pairs,
    an [n, 2] array or sequence of integers, layer 0 being the embedding output; flat ids,
    layer · d_model + unit, integers in one row; or a mask, a truth value for each neuron in flat
    order. What could be read in two ways, such as the tuple (1, 2), is an error.

    Parameters
    ----------
    model : PreTrainedModel
        Usually from `load_model`.
    neurons : pairs, flat ids or a mask
        Each neuron once; for instance `ranking.top(0.02)`.
    rest : {"zero", "mean"} or float array-like, [n_layers, d_model]
        Resting values μ: 0, the mean of each neuron over the words of `X`, or one's own.
    positions : {"words", "all"}
        Whether the tokens of words alone are gated, or special tokens too.
    regrow : bool
        If true the gains are one parameter of the model, starting at 0, that training can raise;
        else removed neurons are gone for good and pass no gradient.
    X : float array-like, [n_words, n_layers * d_model], optional
        Activations of the model, as from `word_activations`, usually those that ranked the neurons;
        needed for the mean, and for nothing else.

    Returns
    -------
    NeuronPatch
        Already in force; a context manager with an `undo`, after which the model is bit for bit as
        before. Removals may be stacked.

    Raises
    ------
    InputError
        Neurons out of range or given twice, resting values of another shape or not finite, a mean
        without activations, unknown positions, an architecture that is not supported.
    """
    check_loaded(model)
    pairs = as_pairs(neurons, count_layers(model), width(model))
    values = _as_rest(rest, X, count_layers(model), width(model))
    weights = next(model.parameters())
    resting = torch.as_tensor(values, dtype=weights.dtype, device=weights.device)
    return NeuronPatch(model, pairs, resting, positions, regrow)


def _as_rest(rest: Matrix, X: Matrix, n_layers: int, d_model: int) -> np.ndarray:
    is_mean = isinstance(rest, str) and rest == "mean"
    if is_mean != (X is not None):
        raise InputError(
            "rest 'mean' needs X, the activations of which it is the mean (word_activations)"
            if is_mean
            else "X is for rest='mean' alone, which was not asked for"
        )
    if isinstance(rest, str) and not is_mean:
        if rest != "zero":
            raise InputError(f"rest {shown(rest)}; allowed: 'zero', 'mean', or an array of values")
        return np.zeros((n_layers, d_model))
    values = as_activations(X if is_mean else rest)
    if is_mean:
        if values.shape[1] != n_layers * d_model or not len(values):
            raise InputError(
                f"X has shape {values.shape}; it must be [n_words, {n_layers * d_model}], with at "
                "least one word"
            )
        values = values.mean(axis=0, dtype=np.float64).reshape(n_layers, d_model)
    if values.shape != (n_layers, d_model):
        raise InputError(f"rest has shape {values.shape}; it must be {(n_layers, d_model)}")
    if not np.isfinite(values).all():
        where = tuple(np.argwhere(~np.isfinite(values))[0].tolist())
        raise InputError(f"the resting value of neuron {where} is {values[where]}, not finite")
    return values


def _free_name(model: nn.Module) -> str:
    number = 0
    while f"removed_gains_{number}" in model._parameters:
        number += 1
    return f"removed_gains_{number}"


@dataclass(frozen=True)
class HeldNeurons(RemovedNeurons):
    """Neurons held at resting values.

    Attributes
    ----------
    rest : float array, [n_layers, d_model]
    positions : {"words", "all"}
    """

    rest: np.ndarray
    positions: str = "words"

    def applied(self, model: PreTrainedModel) -> NeuronPatch:
        """Hold them; the context's value has their gains."""
        return remove_neurons(model, self.neurons, self.rest, self.positions, self.regrow)


@dataclass(frozen=True)
class Gate(NeuronRemoval):
    """Hold the top neurons at a resting value (method: removing); see this module.

    Attributes
    ----------
    rest : {"mean", "zero"}
        The mean activation over all words of the ranking part, or 0.
    positions : {"words", "all"}
        Whether special tokens are held too.
    regrow : bool
        Whether removed neurons may grow back while the model trains.
    """

    rest: str = "mean"
    positions: str = "words"
    regrow: bool = False
    makes: ClassVar[type[Intervention]] = HeldNeurons

    def hold(self, neurons: np.ndarray, ranked: pd.DataFrame) -> HeldNeurons:
        """Make the intervention that holds these neurons."""
        means = ranked["mean"].to_numpy(copy=True).reshape(ranked["layer"].max() + 1, -1)
        rest = means if self.rest == "mean" else np.zeros_like(means)
        return HeldNeurons(neurons, rest, self.positions, regrow=self.regrow)
