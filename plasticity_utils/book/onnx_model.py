"""A model as one file that a browser can run, with what is removed as inputs.

How can one file serve the whole model, any cut and any erasure? What is traced is the model itself
with a `Patch` at every layer, as removals use it, whose gates and erasers are inputs of the graph:
h' = g ⊙ h + (1 − g) ⊙ μ, and of that h' − left · right · (h' − mean), at the tokens of words. The
last layer stays outside: it reads one state a word, and is a small matrix of its own.

Caveat: `eight_bit` rounds weights, each column of a matrix on a scale of its own, and nothing that
is computed from them. Integers all through would be smaller by nothing and faster, but change ten
times as many tags. A matrix is rounded for what it reads on given sentences, since a last layer
that reads what an erasure left tells states apart by little.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from plasticity_utils.errors import InputError
from plasticity_utils.models.load import count_layers, width
from plasticity_utils.models.tokens import Encoded
from plasticity_utils.optional import needed
from plasticity_utils.removal.gate import HeldNeurons
from plasticity_utils.removal.interface import Intervention
from plasticity_utils.removal.leace import Erasers
from plasticity_utils.removal.patch import Patch

PURPOSE = "a model for the browser"
OPSET = 17
GREATEST = 127
# Added to what every input of a matrix reads, as a share of the mean, so that none is without.
DAMPING = 0.01
ERASER = ("left", "right", "mean")
ArraysInForce = dict[str, np.ndarray]


class _WithInputs(nn.Module):
    """A model whose gates and erasers are arguments of its forward pass."""

    def __init__(self, model: PreTrainedModel):
        super().__init__()
        self.model = model

    def forward(
        self, ids: Tensor, word: Tensor, gain: Tensor, rest: Tensor, left: Tensor, right: Tensor,
        mean: Tensor,
    ) -> Tensor:  # fmt: skip
        def changed(layer: int) -> Any:
            def change(state: Tensor) -> Tensor:
                held = gain[layer] * state + (1 - gain[layer]) * rest[layer]
                erased = held - (held - mean[layer]) @ right[layer].T @ left[layer].T
                return word * erased + (1 - word) * state

            return change

        functions = {layer: changed(layer) for layer in range(count_layers(self.model))}
        with Patch(self.model, functions, "all"):
            found = self.model(input_ids=ids, output_hidden_states=True)
        return torch.cat(found.hidden_states)


def write_graph(model: PreTrainedModel, n_columns: int, path: Path) -> None:
    """Write a model that reads one sentence at a time, in 32-bit floats.

    Its inputs are those of `inputs_of` and `arrays_of`, the erasers with `n_columns` columns; its
    output is `states`, [n_layers, n_tokens, d_model].
    """
    needed("onnx", PURPOSE)
    example = {
        "ids": torch.tensor([[1, 2, 3, 4, 5]]),
        "word": torch.ones(1, 5, 1),
        **{
            name: torch.from_numpy(array)
            for name, array in arrays_of(model, None, n_columns).items()
        },
    }
    tokens = {1: "token"}
    attention = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        with torch.no_grad(), warnings.catch_warnings():
            # The tracer warns of what does not change with the sentence.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                _WithInputs(model).eval(), tuple(example.values()), str(path),
                input_names=list(example), output_names=["states"],
                dynamic_axes={"ids": tokens, "word": tokens, "states": tokens},
                opset_version=OPSET, dynamo=False,
            )  # fmt: skip
    finally:
        model.set_attn_implementation(attention)


def arrays_of(
    model: PreTrainedModel, intervention: Intervention | None, n_columns: int
) -> ArraysInForce:
    """Say what is in force as inputs of the graph; None for nothing."""
    shape = count_layers(model), width(model)
    arrays = {
        "gain": np.ones(shape, np.float32),
        "rest": np.zeros(shape, np.float32),
        "left": np.zeros((*shape, n_columns), np.float32),
        "right": np.zeros((shape[0], n_columns, shape[1]), np.float32),
        "mean": np.zeros(shape, np.float32),
    }
    if isinstance(intervention, HeldNeurons) and intervention.positions == "words":
        arrays["gain"][tuple(intervention.neurons.T)] = 0
        arrays["rest"][:] = intervention.rest
    elif isinstance(intervention, Erasers) and intervention.left.shape[-1] == n_columns:
        for name in ERASER:
            arrays[name][:] = getattr(intervention, name)
    elif intervention is not None:
        raise InputError(
            f"{type(intervention).__name__} cannot be an input of the graph; allowed: neurons held "
            f"at the tokens of words, and erasers of {n_columns} columns"
        )
    return arrays


def inputs_of(encoded: Encoded) -> ArraysInForce:
    """One sentence as inputs of the graph."""
    is_word = np.array(encoded.word_of_token) >= 0
    return {"ids": np.array([encoded.ids]), "word": is_word[None, :, None].astype(np.float32)}


class Session:
    """A written graph, run in Python on one thread, as a browser would run it."""

    def __init__(self, path: Path):
        self._session = _session(str(path))

    def states(
        self, encoded: Encoded, arrays: ArraysInForce
    ) -> Float[np.ndarray, "layer token unit"]:
        """Run one sentence."""
        found: np.ndarray = self._session.run(None, {**inputs_of(encoded), **arrays})[0]
        return found


def _session(graph: str | bytes) -> Any:
    runtime: Any = needed("onnxruntime", PURPOSE)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    return runtime.InferenceSession(graph, options)


def eight_bit(source: Path, path: Path, read: Iterable[ArraysInForce]) -> None:
    """Write a graph anew with its weights in 8 bits: about a quarter of the size.

    `read` are sentences as all inputs of the graph; matrices are rounded so that what they give for
    these changes little. Embeddings of places and types of tokens are small, and stay as they are.
    """
    onnx: Any = needed("onnx", PURPOSE)
    graph = onnx.load(str(source))
    weights = {each.name: each for each in graph.graph.initializer}
    rounded: dict[str, Any] = {}
    for node in graph.graph.node:
        is_lookup = node.op_type == "Gather" and node.input[1] == "ids"
        if is_lookup or node.op_type == "MatMul":
            weight = weights.get(node.input[0 if is_lookup else 1])
            if weight is not None:
                rounded[node.output[0]] = weight
    matrices = [n for n in graph.graph.node if n.output[0] in rounded and n.op_type == "MatMul"]
    seen = _seen(onnx, source, {node.input[0] for node in matrices}, read)
    nodes: list[Any] = []
    for node in graph.graph.node:
        weight = rounded.get(node.output[0])
        if weight is None:
            nodes.append(node)
            continue
        array = onnx.numpy_helper.to_array(weight)
        # One scale a column of a matrix, and one a row of an embedding, which is looked up.
        is_matrix = node.op_type == "MatMul"
        scale = np.abs(array).max(axis=0 if is_matrix else 1, keepdims=True) / GREATEST
        scale = np.where(scale > 0, scale, 1).astype(np.float32)
        steps = array / scale
        bits = _rounded(steps, seen[node.input[0]]) if is_matrix else np.round(steps)
        parts = {"bits": bits.astype(np.int8), "scale": scale}
        names = {part: f"{weight.name}.{part}" for part in parts}
        for part, values in parts.items():
            graph.graph.initializer.append(onnx.numpy_helper.from_array(values, names[part]))
        graph.graph.initializer.remove(weight)
        nodes += _matrix(onnx, node, names) if is_matrix else _lookup(onnx, node, names)
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)
    onnx.checker.check_model(graph)
    onnx.save(graph, str(path))


def _seen(
    onnx: Any, source: Path, names: set[str], read: Iterable[ArraysInForce]
) -> dict[str, np.ndarray]:
    """Products of each two units of the named states, summed over all tokens that are read."""
    graph = onnx.load(str(source))
    for name in names:
        state = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        graph.graph.output.append(state)
    session = _session(graph.SerializeToString())
    seen: dict[str, Any] = dict.fromkeys(names, 0)
    for sentence in read:
        for name, states in zip(names, session.run(list(names), sentence), strict=True):
            tokens = states.reshape(-1, states.shape[-1])
            seen[name] = seen[name] + (tokens.T @ tokens).astype(np.float64)
    return seen


def _rounded(
    steps: Float[np.ndarray, "unit column"], seen: Float[np.ndarray, "unit unit"]
) -> Float[np.ndarray, "unit column"]:
    """Round row by row; the rows that follow take up what a row loses (GPTQ, Frantar et al. 2023).

    The rows that read most come first. Of all rows together, what is lost on `seen` is least.
    """
    damped = seen + DAMPING * np.diag(seen).mean() * np.eye(len(seen))
    order = np.argsort(-np.diag(seen))
    shares = np.linalg.cholesky(np.linalg.inv(damped[np.ix_(order, order)])).T
    left, found = steps[order].astype(np.float64), np.empty(steps.shape)
    for place, row in enumerate(order):
        found[row] = np.clip(np.round(left[place]), -GREATEST, GREATEST)
        lost = (left[place] - found[row]) / shares[place, place]
        left[place + 1 :] -= np.outer(shares[place, place + 1 :], lost)
    return found


def _matrix(onnx: Any, node: Any, names: dict[str, str]) -> list[Any]:
    """The product with a matrix that is unpacked first, once, when the graph is loaded."""
    unpacked, whole = f"{names['bits']}.float", f"{names['bits']}.whole"
    made = [
        onnx.helper.make_node("Cast", [names["bits"]], [unpacked], to=onnx.TensorProto.FLOAT),
        onnx.helper.make_node("Mul", [unpacked, names["scale"]], [whole]),
    ]
    node.input[1] = whole
    return [*made, node]


def _lookup(onnx: Any, node: Any, names: dict[str, str]) -> list[Any]:
    """Rows of an embedding, unpacked after they are looked up."""
    ids, out = node.input[1], node.output[0]
    row, scale, unpacked = (f"{out}.{part}" for part in ("bits", "scale", "float"))
    return [
        onnx.helper.make_node("Gather", [names["bits"], ids], [row]),
        onnx.helper.make_node("Gather", [names["scale"], ids], [scale]),
        onnx.helper.make_node("Cast", [row], [unpacked], to=onnx.TensorProto.FLOAT),
        onnx.helper.make_node("Mul", [unpacked, scale], [out]),
    ]
