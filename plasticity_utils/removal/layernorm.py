"""Remove neurons as the paper does: by zeroing LayerNorm gains.

Lo, Cohen & Barez (2024, "Large Language Models Relearn Removed Concepts") zero the gain of the
LayerNorm that writes a hidden state, which leaves its bias in place, at every token. On pre-norm
models (GPT-2, Llama) no such LayerNorm exists: `ln_2` changes only what a block reads and never the
residual neuron that was ranked; `zero_mlp_gains` does that, to see what it changes. Both are for
comparison; `gate` is the mechanism of this book.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from plasticity_utils.errors import InputError
from plasticity_utils.models.layers import is_causal, layers_of
from plasticity_utils.models.load import (
    POST_NORM_ENCODERS,
    PRE_NORM_DECODERS,
    count_layers,
    width,
)
from plasticity_utils.neurons.inputs import as_pairs
from plasticity_utils.removal.interface import Intervention
from plasticity_utils.removal.neurons import NeuronRemoval, RemovedNeurons
from plasticity_utils.removal.patch import Change, without_gradient


class ZeroedGains(Change):
    """Zeroed gains of a norm for each layer, until `undo` or the end of a ``with`` block."""

    def __init__(
        self,
        model: PreTrainedModel,
        norms: list[Any],
        neurons: Int[np.ndarray, "removed 2"],
        regrow: bool,
    ):
        super().__init__(model)
        self._neurons, self._regrow = neurons, regrow
        self._saved: list[tuple[Tensor, np.ndarray, Tensor, Tensor]] = []
        self._hooks = []
        for layer in np.unique(neurons[:, 0]).tolist():
            gain, places = norms[layer].weight, np.flatnonzero(neurons[:, 0] == layer)
            units = torch.from_numpy(neurons[places, 1]).to(gain.device)
            self._saved.append((gain, places, units, gain.detach()[units].clone()))
            if not regrow and gain.requires_grad:
                self._hooks.append(gain.register_hook(partial(without_gradient, 0, units)))
        self._write(np.zeros(len(neurons), dtype=np.float32))

    def undo(self) -> None:
        """Write the zeroed gains back. May be called twice."""
        super().undo()
        self._write(np.ones(len(self._neurons), dtype=np.float32))
        self._saved = []
        for hook in self._hooks:
            hook.remove()

    def parameters(self) -> Iterator[nn.Parameter]:
        """Yield nothing: these gains are weights of the model and train at its rate."""
        yield from ()

    def gains(self) -> Float[np.ndarray, "removed"]:
        """Return the gains as shares of what they were, in the order of the neurons."""
        shares = np.zeros(len(self._neurons), dtype=np.float32)
        for gain, places, units, values in self._saved:
            shares[places] = (gain.detach()[units] / values).cpu().numpy()
        return shares

    def set_gains(self, values: Float[np.ndarray, "removed"]) -> None:
        """Give neurons that grew back the gains of `gains`."""
        if self._regrow:
            self._write(values)

    def _write(self, shares: np.ndarray) -> None:
        with torch.no_grad():
            for gain, places, units, values in self._saved:
                gain[units] = torch.from_numpy(shares[places]).to(gain.device) * values


def zero_layernorm_gains(
    model: PreTrainedModel, neurons: Iterable[Any], regrow: bool = False
) -> ZeroedGains:
    """Zero the LayerNorm gain of each neuron's layer, as Lo, Cohen & Barez (2024) do, until `undo`.

    The LayerNorm's bias stays, so that the neuron rests at its bias, at every token. With `regrow`
    the gains train again like any weight: that is what happens in the public code, which sets
    `requires_grad` on a copy. InputError for a pre-norm model, whose hidden states are no outputs
    of LayerNorms.
    """
    pairs = as_pairs(neurons, count_layers(model), width(model))
    return ZeroedGains(model, _output_layernorms(model), pairs, regrow)


def zero_mlp_gains(model: PreTrainedModel, neurons: Iterable[Any]) -> ZeroedGains:
    """Zero the gain by which the MLP of a neuron's block reads its unit, until `undo`.

    The MLP reads that unit of the stream half a block before the neuron is written. That is what
    the public code of Lo, Cohen & Barez (2024) does on GPT-2, where it takes `ln_2` for the
    LayerNorm that writes the hidden state. Llama's `post_attention_layernorm` is the same norm.
    InputError for an encoder, and for a neuron of the embedding layer, which no block writes.
    """
    norms, pairs = _mlp_norms(model), as_pairs(neurons, count_layers(model), width(model))
    embedded = pairs[pairs[:, 0] == 0]
    if len(embedded):
        raise InputError(
            f"neuron {tuple(embedded[0].tolist())} is of the embedding layer, which no block "
            f"writes; layers run from 1 to {count_layers(model) - 1}"
        )
    return ZeroedGains(model, norms, pairs, regrow=False)


def _output_layernorms(model: PreTrainedModel) -> list[nn.LayerNorm]:
    kind = model.config.model_type
    if kind not in POST_NORM_ENCODERS:
        raise InputError(
            f"a model of type {kind!r} normalises what a block reads, not what it writes: its "
            "LayerNorm gains (GPT-2's ln_2, say) do not touch the neurons of the hidden states. "
            f"Use remove_neurons; LayerNorm gains are for {', '.join(POST_NORM_ENCODERS)}"
        )
    embeddings, *blocks = layers_of(model)
    # Any: the blocks of transformers' models share no typed names for these parts.
    parts: list[Any] = list(blocks)
    if kind == "distilbert":
        return [embeddings.LayerNorm, *(block.output_layer_norm for block in parts)]
    return [embeddings.LayerNorm, *(block.output.LayerNorm for block in parts)]


def _mlp_norms(model: PreTrainedModel) -> list[Any]:
    kind = model.config.model_type
    if not is_causal(model):
        raise InputError(
            f"in a model of type {kind!r} no norm feeds the MLP alone; "
            f"allowed: {', '.join(PRE_NORM_DECODERS)}"
        )
    # Any: as above. No block writes layer 0, so no norm stands there.
    base: Any = model.base_model
    if kind == "gpt2":
        return [None, *(block.ln_2 for block in base.h)]
    return [None, *(block.post_attention_layernorm for block in base.layers)]


@dataclass(frozen=True)
class UnscaledNeurons(RemovedNeurons):
    """RemovedNeurons whose LayerNorm gains are zeroed."""

    def applied(self, model: PreTrainedModel) -> ZeroedGains:
        """Zero them; the context's value has their gains as shares of what they were."""
        return zero_layernorm_gains(model, self.neurons, self.regrow)


@dataclass(frozen=True)
class LayerNorm(NeuronRemoval):
    """Zero the LayerNorm gains of the top neurons, as the paper does; see this module.

    Attributes
    ----------
    regrow : bool
        Whether the gains train, and so may grow back.
    """

    regrow: bool = False
    makes: ClassVar[type[Intervention]] = UnscaledNeurons

    def hold(self, neurons: np.ndarray, ranked: pd.DataFrame) -> UnscaledNeurons:
        """Make the intervention that zeroes the gains of these neurons."""
        return UnscaledNeurons(neurons, regrow=self.regrow)
