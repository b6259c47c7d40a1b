"""How many floating-point operations a model needs for a token, counted from its configuration.

A multiplication and an addition are two operations. Only matrix products are counted: norms,
activation functions and look-ups are under a hundredth of them in operations, though not in time,
which is why a model never reaches the machine's rate. Training takes three times a forward pass:
the backward pass has a product for the gradient of the activations and one for that of the weights
(Kaplan et al. 2020, "Scaling Laws for Neural Language Models", section 2.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from plasticity_utils.errors import InputError

TRAINING_FACTOR = 3
_GATED = ("llama", "mistral", "qwen2", "qwen3")
_PLAIN = ("bert", "roberta", "camembert", "xlm-roberta", "distilbert", "gpt2")


@dataclass(frozen=True)
class Shape:
    """What of a transformer decides its cost.

    Attributes
    ----------
    n_blocks, d_model, d_inner : int
        Blocks, width, and width inside the MLP.
    d_key_value : int
        Width of all keys together; less than `d_model` where heads share them.
    gated : bool
        Whether the MLP has a third matrix (Llama and its kin).
    n_labels : int
        Outputs of the linear head.
    n_vocabulary : int
        Rows of the embedding, which cost memory but no operations.
    d_query : int
        Width of all queries together; 0 for `d_model`.
    """

    n_blocks: int
    d_model: int
    d_inner: int
    d_key_value: int
    gated: bool = False
    n_labels: int = 9
    n_vocabulary: int = 0
    d_query: int = 0

    @property
    def queries(self) -> int:
        """Width of all queries together."""
        return self.d_query or self.d_model

    @property
    def matrix_weights(self) -> int:
        """Weights of all matrices that a token is multiplied with."""
        attention = 2 * self.d_model * (self.queries + self.d_key_value)
        mlp = (3 if self.gated else 2) * self.d_model * self.d_inner
        return self.n_blocks * (attention + mlp) + self.d_model * self.n_labels

    @property
    def n_parameters(self) -> int:
        """Weights with the embedding, without biases, norms and positions."""
        return self.matrix_weights + self.n_vocabulary * self.d_model

    @property
    def n_neurons(self) -> int:
        """Units of all levels, the embedding output included."""
        return (self.n_blocks + 1) * self.d_model


def shape_of(config: Any) -> Shape:
    """Read a model's shape off its configuration.

    Parameters
    ----------
    config : PreTrainedConfig
        `model.config`, of an architecture that `load_model` supports.

    Raises
    ------
    InputError
        For another architecture.
    """
    kind, d_model = config.model_type, int(config.hidden_size)
    if kind not in _GATED + _PLAIN:
        raise InputError(f"no count for models of type {kind!r}; allowed: {_GATED + _PLAIN}")
    if kind in _GATED:
        d_head = getattr(config, "head_dim", None) or d_model // config.num_attention_heads
        queries, keys = config.num_attention_heads * d_head, config.num_key_value_heads * d_head
        d_inner = config.intermediate_size
    else:
        queries = keys = d_model
        named = {"distilbert": "hidden_dim", "gpt2": "n_inner"}.get(kind, "intermediate_size")
        d_inner = getattr(config, named) or 4 * d_model
    return Shape(
        int(config.num_hidden_layers), d_model, int(d_inner), int(keys), kind in _GATED,
        int(config.num_labels), int(config.vocab_size), int(queries),
    )  # fmt: skip


def forward_flops(shape: Shape, sentence_tokens: float | int) -> float:
    """Operations of a forward pass for one token of a sentence of so many tokens.

    Parameters
    ----------
    shape : Shape
    sentence_tokens : float
        Each token is compared with all of its sentence; a decoder's mask saves nothing in the usual
        implementations.
    """
    attention = 4 * shape.n_blocks * shape.queries * sentence_tokens
    return 2.0 * shape.matrix_weights + attention


def training_flops(shape: Shape, sentence_tokens: float | int) -> float:
    """Operations of a training step for one token."""
    return TRAINING_FACTOR * forward_flops(shape, sentence_tokens)
