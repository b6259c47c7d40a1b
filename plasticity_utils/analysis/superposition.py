"""Do concepts crowd into fewer directions than they would need?

In superposition a layer holds more features than it has room for, so their directions overlap
(Elhage et al. 2022, "Toy Models of Superposition"). Two measures of that. *Interference*: the mean
|cos| between the directions of the inventory's concepts. *Feature dimensionality*:
D_i = ‖W_i‖² / Σ_j (Ŵ_i · W_j)², the share of a dimension that feature i has to itself: 1 where it
is orthogonal to all others, ½ for each of an antipodal pair.

A direction is the difference of class means, whitened, since a few wide units would otherwise stand
for the whole layer. Concepts that share words (or exclude each other) overlap for that reason
alone; the same words with the activations shuffled show how much. With dozens of concepts in
hundreds of dimensions there is room for all, so what speaks for superposition is a rise beyond
`none`, not a value.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float
from sklearn.covariance import ledoit_wolf
from sklearn.preprocessing import StandardScaler

from plasticity_utils.errors import InputError
from plasticity_utils.neurons.inventory import Inventory


def interference(directions: Float[np.ndarray, "concept unit"]) -> float:
    """Mean |cos| between all pairs of directions, in [0, 1].

    Parameters
    ----------
    directions : float array, [n_concepts, d_model]
        From `concept_directions`.

    Raises
    ------
    InputError
        If there are fewer than two directions, or one has no length.
    """
    unit = _unit(directions)
    if len(unit) < 2:
        raise InputError(f"{len(unit)} direction; at least two are needed to interfere")
    pairs = np.triu_indices(len(unit), k=1)
    return float(np.abs(unit @ unit.T)[pairs].mean())


def feature_dimensionality(
    directions: Float[np.ndarray, "concept unit"],
) -> Float[np.ndarray, " concept"]:
    """D_i = ‖W_i‖² / Σ_j (Ŵ_i · W_j)² of each direction (Elhage et al. 2022), in (0, 1].

    Parameters
    ----------
    directions : float array, [n_concepts, d_model]
        From `concept_directions`; lengths count.

    Raises
    ------
    InputError
        If a direction has no length.
    """
    overlaps = (_unit(directions) @ directions.T) ** 2
    return np.sum(directions**2, axis=1) / overlaps.sum(axis=1)


def concept_directions(
    X: Float[np.ndarray, "word unit"], concepts: Inventory
) -> Float[np.ndarray, "concept unit"]:
    """Difference of class means of each concept in one layer, whitened.

    Parameters
    ----------
    X : float array, [n_words, d_model]
        One layer of `word_activations`.
    concepts : Inventory
        From `inventory`; each concept against its own contrast.

    Returns
    -------
    float array, [n_concepts, d_model]
        In the whitened space (Ledoit–Wolf shrinkage, Σ^−½, after scaling each unit); units that do
        not vary, such as removed ones, are 0.
    """
    white = _whiten(X)
    return np.stack([_difference(white, *columns) for columns in _columns(concepts)])


def superposition_by_layer(
    X: Float[np.ndarray, "word neuron"], concepts: Inventory, d_model: int, seed: int = 0
) -> pd.DataFrame:
    """Interference and feature dimensionality of the inventory, layer by layer.

    Parameters
    ----------
    X : float array, [n_words, n_layers * d_model]
        From `word_activations` on the words that the inventory was made of.
    concepts : Inventory
        From `inventory`.
    d_model, seed : int

    Returns
    -------
    DataFrame
        layer, interference, interference_shuffled, dimensionality (mean over concepts),
        dimensionality_shuffled, n_concepts. Shuffled: the words' activations in another order.
    """
    order = np.random.default_rng(seed).permutation(len(X))
    rows = []
    for layer in range(X.shape[1] // d_model):
        white = _whiten(X[:, layer * d_model : (layer + 1) * d_model])
        row: list[float] = [layer]
        true, shuffled = (
            np.stack([_difference(view, *columns) for columns in _columns(concepts)])
            for view in (white, white[order])
        )
        row += [interference(true), interference(shuffled)]
        row += [float(feature_dimensionality(view).mean()) for view in (true, shuffled)]
        rows.append([*row, len(concepts.names)])
    names = ["layer", "interference", "interference_shuffled"]
    names += ["dimensionality", "dimensionality_shuffled", "n_concepts"]
    return pd.DataFrame(rows, columns=names).astype({"layer": int})


def _whiten(X: np.ndarray) -> np.ndarray:
    scaled = StandardScaler().fit_transform(X.astype(np.float64))
    # The eigenvalues are positive: shrinkage pulls them towards their mean.
    values, vectors = np.linalg.eigh(ledoit_wolf(scaled)[0])
    return scaled @ (vectors / np.sqrt(values)) @ vectors.T


def _columns(concepts: Inventory) -> list[tuple[np.ndarray, np.ndarray]]:
    return list(zip(concepts.members.T, concepts.among.T, strict=True))


def _difference(white: np.ndarray, members: np.ndarray, among: np.ndarray) -> np.ndarray:
    return white[members].mean(axis=0) - white[among & ~members].mean(axis=0)


def _unit(directions: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(directions, axis=1, keepdims=True)
    if not (lengths > 0).all():
        raise InputError(f"direction {int(lengths.argmin())} has no length")
    return directions / lengths
