"""The inventory of concepts that neurons are held against, and from where a neuron serves one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from plasticity_utils.errors import InputError
from plasticity_utils.neurons.scores import selectivity

LEAST_SELECTIVITY = 0.4


SHUFFLED_PERCENTILE = 99.9


@dataclass(frozen=True)
class Inventory:
    """Concepts, and the words that each is told apart from.

    Attributes
    ----------
    names : tuple of str
        Entity types, then parts of speech.
    members : bool array, [n_words, n_concepts]
        The words of each concept.
    among : bool array, [n_words, n_concepts]
        The words that its selectivity is computed on, members and contrast.
    """

    names: tuple[str, ...]
    members: Bool[np.ndarray, "word concept"]
    among: Bool[np.ndarray, "word concept"]


def inventory(entity: Sequence[str], pos: Sequence[str], least_share: float = 0.02) -> Inventory:
    """Make the inventory of a corpus.

    Parameters
    ----------
    entity, pos : sequence of str, [n_words]
        `Corpus.word_labels("entity")` (with B- and I-) and `Corpus.word_labels("pos")`.
    least_share : float
        A part of speech is frequent, and in the inventory, from this share of all words.

    Returns
    -------
    Inventory

    Raises
    ------
    InputError
        If the two differ in length or there are fewer than two entity types.
    """
    if len(entity) != len(pos):
        raise InputError(f"{len(entity)} entity labels for {len(pos)} parts of speech")
    kinds = np.array([tag.split("-", 1)[-1] for tag in entity])
    parts = np.array(pos)
    types = sorted(set(kinds.tolist()) - {"O"})
    if len(types) < 2:
        raise InputError(f"entity types {types}; at least two are needed to tell them apart")
    names, counts = np.unique(parts, return_counts=True)
    frequent = names[(counts >= least_share * parts.size) & (counts < parts.size)].tolist()
    members = [kinds == name for name in types] + [parts == name for name in frequent]
    among = [kinds != "O"] * len(types) + [np.ones(parts.size, dtype=bool)] * len(frequent)
    return Inventory((*types, *frequent), np.stack(members, axis=1), np.stack(among, axis=1))


def inventory_selectivity(
    X: Float[np.ndarray, "word neuron"], concepts: Inventory
) -> Float[np.ndarray, "neuron concept"]:
    """Selectivity of every neuron for every concept, each on its own contrast.

    Parameters
    ----------
    X : float array, [n_words, n_neurons]
        From `word_activations` on the words that the inventory was made of.
    concepts : Inventory
        From `inventory`.

    Returns
    -------
    float array, [n_neurons, n_concepts], in [−1, 1]
    """
    sigma = np.empty((X.shape[1], len(concepts.names)))
    # Concepts with the same contrast share one ranking of the words, which is what takes long.
    contrasts, group = np.unique(concepts.among, axis=1, return_inverse=True)
    for number in range(contrasts.shape[1]):
        words, columns = contrasts[:, number], np.flatnonzero(group.ravel() == number)
        sigma[:, columns] = selectivity(X[words], concepts.members[np.ix_(words, columns)])
    return sigma


def thresholds(
    X: Float[np.ndarray, "word neuron"], concepts: Inventory, seed: int = 0
) -> Float[np.ndarray, " concept"]:
    """τ of each concept: the 99.9th percentile of |σ| under shuffled labels, at least 0.4.

    Parameters
    ----------
    X, concepts
        As for `inventory_selectivity`. A rare concept has a wider null, hence one τ each.
    seed : int

    Returns
    -------
    float array, [n_concepts]
    """
    rng = np.random.default_rng(seed)
    members = concepts.members.copy()
    for column in range(members.shape[1]):
        words = concepts.among[:, column]
        members[words, column] = rng.permutation(members[words, column])
    shuffled = inventory_selectivity(X, Inventory(concepts.names, members, concepts.among))
    level = np.percentile(np.abs(shuffled), SHUFFLED_PERCENTILE, axis=0)
    return np.maximum(LEAST_SELECTIVITY, level)
