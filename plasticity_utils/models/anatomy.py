"""Which weights write a unit of the residual stream, and which read it, by family of models.

A neuron (l, u) is *written* by row u of the output projections of block l's attention and MLP, by
their biases, and in post-norm models by the gain and bias of the block's LayerNorms at u; at layer
0 by column u of the embedding tables. It is *read* by column u of block l + 1's query, key and
value and of its MLP's first layer (with its gate), and in pre-norm models through the gain and bias
of that block's norms at u; in the last layer of those through the final norm, which writes what is
measured there, and by column u of the classification head.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from plasticity_utils.errors import InputError
from plasticity_utils.models.load import head


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


def check_anatomy(model: PreTrainedModel) -> None:
    """Raise InputError for a model of a family that is not known here."""
    kind = model.config.model_type
    if kind not in ANATOMIES:
        raise InputError(
            f"which weights write and read a neuron is not known of a model of type {kind!r}; "
            f"supported: {', '.join(ANATOMIES)}"
        )


def mlp_output(model: PreTrainedModel, layer: int) -> nn.Module:
    """Return the linear map by which the MLP of a block writes its layer, from 1 on."""
    written = [module for module, reads in _modules_of(model, layer, False) if not reads]
    return [module for module in written if isinstance(module, nn.Linear | Conv1D)][-1]


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
