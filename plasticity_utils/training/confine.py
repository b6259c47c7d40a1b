"""Confine training to chosen neurons: what writes to them and what reads from them.

Can a neuron be made to carry a second concept? Whoever trains the whole model on cannot tell: other
neurons may do the work. Here everything is frozen but the weights that belong to chosen neurons of
the residual stream: those that write to them and those that read them.

A neuron (l, u) is *written* by row u of the output projections of block l's attention and MLP, by
their biases, and in post-norm models by the gain and bias of the block's LayerNorms at u; at layer
0 by column u of the embedding tables. It is *read* by column u of block l + 1's query, key and
value and of its MLP's first layer (with its gate), and in pre-norm models through the gain and bias
of that block's norms at u; in the last layer of those through the final norm, which writes what is
measured there.

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
from transformers.pytorch_utils import Conv1D

from plasticity_utils.errors import InputError
from plasticity_utils.models.load import count_layers, head, width
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

    @property
    def n_entries(self) -> int:
        """Numbers that train."""
        return len(self.units) * self.parameter.numel() // self.parameter.shape[self.axis]

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

    @property
    def n_entries(self) -> int:
        """How many numbers of the model train."""
        return sum(part.n_entries for part in self.parts)

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
    kind = model.config.model_type
    if kind not in ANATOMIES:
        raise InputError(
            f"training of a model of type {kind!r} cannot be confined; "
            f"supported: {', '.join(ANATOMIES)}"
        )
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


@dataclass(frozen=True)
class Anatomy:
    """Where a family of models writes and reads the residual stream: names of modules.

    Attributes
    ----------
    embeddings : tuple of str
        Tables and the norm that write layer 0, below the base model.
    blocks : str
        The list of blocks, below the base model.
    writers, readers : tuple of str
        Of a block: what writes to its own layer, and what reads from the layer before.
    final_norm : str
        Writes the last layer of a pre-norm model; empty for a post-norm one.
    """

    embeddings: tuple[str, ...]
    blocks: str
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    final_norm: str = ""


_BERT = Anatomy(
    embeddings=(
        "embeddings.word_embeddings", "embeddings.position_embeddings",
        "embeddings.token_type_embeddings", "embeddings.LayerNorm",
    ),
    blocks="encoder.layer",
    writers=(
        "attention.output.dense", "attention.output.LayerNorm", "output.dense", "output.LayerNorm",
    ),
    readers=(
        "attention.self.query", "attention.self.key", "attention.self.value", "intermediate.dense",
    ),
)  # fmt: skip
_LLAMA = Anatomy(
    embeddings=("embed_tokens",),
    blocks="layers",
    writers=("self_attn.o_proj", "mlp.down_proj"),
    readers=(
        "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.gate_proj", "mlp.up_proj",
        "input_layernorm", "post_attention_layernorm",
    ),
    final_norm="norm",
)  # fmt: skip
ANATOMIES = {
    **dict.fromkeys(("bert", "roberta", "camembert", "xlm-roberta"), _BERT),
    "distilbert": Anatomy(
        embeddings=(
            "embeddings.word_embeddings", "embeddings.position_embeddings", "embeddings.LayerNorm",
        ),
        blocks="transformer.layer",
        writers=("attention.out_lin", "sa_layer_norm", "ffn.lin2", "output_layer_norm"),
        readers=("attention.q_lin", "attention.k_lin", "attention.v_lin", "ffn.lin1"),
    ),
    "gpt2": Anatomy(
        embeddings=("wte", "wpe"),
        blocks="h",
        writers=("attn.c_proj", "mlp.c_proj"),
        readers=("attn.c_attn", "mlp.c_fc", "ln_1", "ln_2"),
        final_norm="ln_f",
    ),
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3"), _LLAMA),
}  # fmt: skip


def layer_parameters(
    model: PreTrainedModel, layer: int, with_head: bool
) -> Iterator[tuple[nn.Parameter, int]]:
    """Parameters that write to a layer or read from it, each with its axis over units."""
    for module, reads in _modules_of(model, layer, with_head):
        yield from _over_units(module, reads)


def _modules_of(
    model: PreTrainedModel, layer: int, with_head: bool
) -> Iterator[tuple[nn.Module, bool]]:
    """Modules that write to a layer, or read from it (then True)."""
    anatomy, base = ANATOMIES[model.config.model_type], model.base_model
    blocks: Any = base.get_submodule(anatomy.blocks)
    writers = anatomy.writers if layer else anatomy.embeddings
    source = blocks[layer - 1] if layer else base
    yield from ((source.get_submodule(name), False) for name in writers)
    if layer < len(blocks):
        yield from ((blocks[layer].get_submodule(name), True) for name in anatomy.readers)
        return
    if anatomy.final_norm:
        yield base.get_submodule(anatomy.final_norm), False
    if with_head:
        yield head(model), True


def _over_units(module: nn.Module, reads: bool) -> Iterator[tuple[nn.Parameter, int]]:
    """Parameters of a module with an axis over the units that it writes, or reads; that axis."""
    weight: Any = module.weight
    bias: Any = getattr(module, "bias", None)
    if not isinstance(module, nn.Linear | Conv1D | nn.Embedding):
        axis, has_bias = 0, True  # a norm: one gain a unit
    elif isinstance(module, nn.Linear):
        axis, has_bias = int(reads), not reads
    else:
        # GPT-2's Conv1D holds a Linear's weight transposed; an embedding only writes.
        axis, has_bias = int(not reads), not reads
    yield weight, axis
    if bias is not None and has_bias:
        yield bias, 0
