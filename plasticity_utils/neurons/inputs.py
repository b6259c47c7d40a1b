"""What may be given as activations, as labels of words, and as neurons: read here, or refused.

A neuron is named in two ways, and no function takes one for the other. Integers in one row are
*flat ids*, layer · d_model + unit; an [n, 2] array or sequence of integers holds *(layer, unit)
pairs*. A mask in one row, a truth value for every neuron, stands for the flat ids where it is true.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Int

from plasticity_utils.errors import InputError, is_whole, items_of, shown

# Anything that numpy makes an array of. Checked here, not by type.
Matrix: TypeAlias = Any
Labels: TypeAlias = Any
Neurons: TypeAlias = Any

_SHOWN = 60


def as_members(is_concept: Labels, n_words: int) -> Bool[np.ndarray, " word"]:
    """Read for each word whether it is of the concept: True and False, or 1 and 0."""
    values = as_array(is_concept, "concept words")
    if values.shape != (n_words,):
        raise InputError(
            f"concept words of shape {values.shape} do not match {n_words} rows of activations; "
            "needed: [n_words, n_neurons] and [n_words]"
        )
    if values.dtype.kind == "b":
        return values
    missing = pd.isna(values)
    if missing.any():
        raise InputError(f"concept words: word {int(np.argmax(missing))} has no value")
    allowed = np.array([value in (0, 1) for value in values.tolist()], dtype=bool)
    if not allowed.all():
        row = int(np.argmin(allowed))
        raise InputError(
            f"concept words: word {row} has {values.tolist()[row]!r}; allowed: True and False, "
            "or 1 and 0 (`concept_words` gives them of a corpus)"
        )
    return values.astype(bool)


def as_words(words: Labels, n_words: int) -> list[str]:
    """Read the word of each row of activations."""
    read = items_of(words)
    if read is None:
        raise InputError(f"words must be a sequence of words, not {str(words)[:_SHOWN]!r}")
    if len(read) != n_words or not read:
        raise InputError(
            f"{len(read)} words for {n_words} rows of activations; "
            "there must be one row for each word, and at least one word"
        )
    for row, word in enumerate(read):
        if not isinstance(word, str):
            raise InputError(
                f"word {row} is {str(word)[:_SHOWN]!r}, no text; words come one by one, as in "
                "corpus.words"
            )
    return read


def as_flat_ids(
    neurons: Neurons, n_neurons: int, n_layers: int | None = None
) -> Int[np.ndarray, " neuron"]:
    """Read neurons as flat ids, in the order given; pairs need the number of layers."""
    if n_layers is not None:
        check_layers(n_layers, n_neurons)
    values = as_array(_ordered(neurons), "neurons")
    if values.size == 0:
        return np.empty(0, dtype=np.int64)
    if values.dtype.kind == "b" and values.ndim == 1:
        if values.size != n_neurons:
            raise InputError(f"a mask of {values.size} values for {n_neurons} neurons")
        return np.flatnonzero(values)
    is_pairs = values.ndim == 2 and values.shape[1] == 2
    if values.dtype.kind not in "iu" or not (is_pairs or values.ndim == 1):
        raise InputError(
            "neurons must be (layer, unit) pairs of integers, flat ids in one row, or a mask, not "
            f"{described(values)}"
        )
    if not is_pairs:
        return _checked_ids(values, n_neurons)
    if n_layers is None:
        raise InputError(
            f"neurons are (layer, unit) pairs, such as {tuple(values[0].tolist())}: these need "
            f"n_layers, the number of layers of the {n_neurons} neurons; or give flat ids, "
            "layer · d_model + unit"
        )
    return flat_ids(_checked_pairs(values, n_layers, n_neurons // n_layers), n_neurons // n_layers)


def check_layers(n_layers: Any, n_neurons: int) -> None:
    """Raise InputError unless neurons can be cut into so many layers."""
    if not is_whole(n_layers) or n_layers < 1 or n_neurons % n_layers:
        raise InputError(f"{n_neurons} neurons cannot be cut into {shown(n_layers)} layers")


def as_pairs(neurons: Neurons, n_layers: int, d_model: int) -> Int[np.ndarray, "neuron 2"]:
    """Read neurons as (layer, unit) pairs, each once, in the order given; a set is sorted."""
    pairs = layer_unit(as_flat_ids(neurons, n_layers * d_model, n_layers), d_model)
    unique, counts = np.unique(pairs, axis=0, return_counts=True)
    if len(unique) < len(pairs):
        raise InputError(f"neuron {tuple(unique[counts > 1][0].tolist())} is given more than once")
    return pairs


def flat_ids(pairs: Neurons, d_model: int) -> Int[np.ndarray, " neuron"]:
    """Turn (layer, unit) pairs into flat ids, layer · d_model + unit."""
    rows = np.asarray(list(pairs), dtype=np.int64).reshape(-1, 2)
    return rows[:, 0] * d_model + rows[:, 1]


def layer_unit(ids: Neurons, d_model: int) -> Int[np.ndarray, "neuron 2"]:
    """Turn flat ids into (layer, unit) pairs; the reverse of `flat_ids`."""
    return np.stack(np.divmod(np.asarray(list(ids), dtype=np.int64), d_model), axis=1)


def _checked_ids(ids: np.ndarray, n_neurons: int) -> np.ndarray:
    outside = ids[(ids < 0) | (ids >= n_neurons)]
    if outside.size:
        raise InputError(f"no neuron {outside[0]}: flat ids run from 0 to {n_neurons - 1}")
    return ids.astype(np.int64)


def _checked_pairs(pairs: np.ndarray, n_layers: int, d_model: int) -> np.ndarray:
    bad = (pairs < 0).any(axis=1) | (pairs >= (n_layers, d_model)).any(axis=1)
    if bad.any():
        raise InputError(
            f"neuron {tuple(pairs[bad][0].tolist())} does not exist; layers run from 0 to "
            f"{n_layers - 1}, units from 0 to {d_model - 1}"
        )
    return pairs.astype(np.int64)


def _ordered(neurons: Neurons) -> Any:
    """What numpy makes one array of; what could be read in two ways is refused."""
    if hasattr(neurons, "order") and hasattr(neurons, "scores"):
        raise InputError(
            "a ranking holds all neurons; give its best: ranking.top(0.02) for a share of them, "
            "ranking.top(50) for a number"
        )
    if isinstance(neurons, tuple) and len(neurons) == 2 and all(map(is_whole, neurons)):
        first, second = neurons
        raise InputError(
            f"neurons {neurons} may be one (layer, unit) pair or two flat ids; write "
            f"[({first}, {second})] for the pair, [{first}, {second}] for the ids"
        )
    is_many = hasattr(neurons, "__array__") or hasattr(neurons, "__iter__")
    if isinstance(neurons, str | bytes | dict) or not is_many:
        raise InputError(
            f"neurons must be (layer, unit) pairs, flat ids in one row, or a mask, not "
            f"{str(neurons)[:_SHOWN]!r}"
        )
    if isinstance(neurons, pd.DataFrame) and {"layer", "unit"} <= set(neurons.columns):
        return neurons[["layer", "unit"]]
    if isinstance(neurons, set | frozenset):
        whole = all(map(is_whole, neurons)) or all(isinstance(one, tuple) for one in neurons)
        return sorted(neurons) if whole else list(neurons)
    return neurons if hasattr(neurons, "__array__") else list(neurons)


def as_activations(X: Matrix) -> np.ndarray:
    """Read activations, [n_words, n_neurons]; floats stay as they are, integers become float64."""
    values = as_array(X, "activations")
    if values.ndim != 2 or values.dtype.kind not in "fiu":
        raise InputError(
            f"activations must be numbers of shape [n_words, n_neurons], not {described(values)}"
        )
    return values if values.dtype.kind == "f" else values.astype(np.float64)


def as_array(values: Any, name: str) -> np.ndarray:
    """Make one array, or say of what none can be made."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        values = values.float() if values.dtype == torch.bfloat16 else values
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise InputError(f"{name} have masked values; fill them, or leave their words out")
    try:
        return np.asarray(values)
    except (ValueError, TypeError) as error:
        raise InputError(f"{name} are no array of one shape: {error}") from None


def described(values: np.ndarray) -> str:
    """Say of which type and shape an array is."""
    return f"{values.dtype} of shape {values.shape}"
