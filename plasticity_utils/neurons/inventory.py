"""The inventory of concepts that neurons are held against, and from where a neuron serves one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from plasticity_utils.data.corpus import kinds_of
from plasticity_utils.errors import InputError
from plasticity_utils.neurons.scores import selectivity

LEAST_SELECTIVITY, SHUFFLED_PERCENTILE = 0.4, 99.9
# Of all words, from which a part of speech is frequent.
FREQUENT = 0.02


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


def inventory(entity: Sequence[str], pos: Sequence[str] = (), most: int | None = None) -> Inventory:
    """Make an inventory of the labels of words: the entity types, and the frequent parts of speech.

    Entity labels may have B- and I-. Frequent are parts of speech from `FREQUENT` of all words
    on; or with `most` that many of them, the most frequent first, punctuation left out.
    """
    if pos and len(entity) != len(pos):
        raise InputError(f"{len(entity)} entity labels for {len(pos)} parts of speech")
    kinds, parts = np.array([kind for tag in entity for kind in kinds_of(tag)]), np.array(pos)
    types = sorted(set(kinds.tolist()) - {"O"})
    if len(types) < 2:
        raise InputError(f"entity types {types}; at least two are needed to tell them apart")
    counts = Counter(pos)
    if most is None:
        least = FREQUENT * len(pos)
        frequent = sorted(part for part, n in counts.items() if least <= n < len(pos))
    else:
        frequent = [part for part, _ in counts.most_common() if part[:1].isalpha()][:most]
    members = [kinds == name for name in types] + [parts == name for name in frequent]
    among = [kinds != "O"] * len(types) + [np.ones(kinds.size, dtype=bool)] * len(frequent)
    return Inventory((*types, *frequent), np.stack(members, axis=1), np.stack(among, axis=1))


def inventory_selectivity(
    X: Float[np.ndarray, "word neuron"], concepts: Inventory
) -> Float[np.ndarray, "neuron concept"]:
    """Selectivity of every neuron for every concept, each on its own contrast, in [−1, 1].

    X is of the words that the inventory was made of.
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
    """From where |σ| counts as serving each concept: what shuffled labels reach, at least 0.4.

    That is the 99.9th percentile over neurons. A rare concept has a wider null, hence one τ each.
    """
    rng = np.random.default_rng(seed)
    members = concepts.members.copy()
    for column in range(members.shape[1]):
        words = concepts.among[:, column]
        members[words, column] = rng.permutation(members[words, column])
    shuffled = inventory_selectivity(X, Inventory(concepts.names, members, concepts.among))
    level = np.percentile(np.abs(shuffled), SHUFFLED_PERCENTILE, axis=0)
    return np.maximum(LEAST_SELECTIVITY, level)
