"""How many concepts does a neuron serve, and are those that share one alike?

The *inventory* holds the entity types and the frequent parts of speech. All entity types share the
direction "entity or not", which makes half of all neurons look polysemantic; so an entity type is
contrasted within entity words (LOC against the other entities), a part of speech against all words.
A neuron serves a concept where |σ| > τ, τ being 0.4 or what shuffled labels reach, whichever is
larger. The count depends on τ; the entropy of the |σ| profile does not, and stands beside it.

Shuffling treats words as independent. Words repeat and keep company, so the shuffled level is a
lower bound; the 0.4 is there for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Shaped
from scipy.stats import entropy, permutation_test

from plasticity_utils.errors import InputError
from plasticity_utils.saliency import layer_unit, selectivity

LEAST_SELECTIVITY = 0.4
SHUFFLED_PERCENTILE = 99.9
NOTHING = "nothing"
QUANTITIES = ("n_concepts", "entropy")


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


def neuron_polysemanticity(
    sigma: Float[np.ndarray, "neuron concept"], tau: Float[np.ndarray, " concept"], d_model: int
) -> pd.DataFrame:
    """How many concepts each neuron serves, and how evenly.

    Parameters
    ----------
    sigma : float array, [n_neurons, n_concepts]
        From `inventory_selectivity`.
    tau : float array, [n_concepts]
        From `thresholds` on the base model, and used for every later stage too.
    d_model : int

    Returns
    -------
    DataFrame
        One row a neuron in flat order: layer, unit, n_concepts, and entropy, that of the |σ|
        profile over its largest possible value: 0 for one concept only, 1 for all alike, NaN for a
        neuron that does not vary.
    """
    table = pd.DataFrame(layer_unit(range(len(sigma)), d_model), columns=["layer", "unit"])
    table["n_concepts"] = (np.abs(sigma) > tau).sum(axis=1)
    with np.errstate(invalid="ignore"):
        table["entropy"] = entropy(np.abs(sigma), axis=1) / np.log(sigma.shape[1])
    return table


def change_beyond_none(
    base: pd.DataFrame,
    end: pd.DataFrame,
    none: pd.DataFrame,
    kept: Bool[np.ndarray, " neuron"],
    quantities: Sequence[str] = QUANTITIES,
) -> pd.DataFrame:
    """Mean change of polysemanticity from the base, less that of training on with nothing removed.

    Parameters
    ----------
    base, end, none : DataFrame
        From `neuron_polysemanticity`: the base, the end of a condition, the end of `none`.
    kept : bool array, [n_neurons]
        Neurons that the condition did not remove (`removed` of the run's neurons, negated).
    quantities : sequence of str
        Columns of the three tables.

    Returns
    -------
    DataFrame
        layer, quantity, base (mean there), change, change_none, beyond_none, n (neurons). For
        intervals give the tables of several seeds to `over_seeds`.
    """
    parts = []
    for quantity in quantities:
        change = pd.DataFrame(
            {
                "layer": base["layer"],
                "base": base[quantity],
                "change": end[quantity] - base[quantity],
                "change_none": none[quantity] - base[quantity],
            }
        )
        grouped = change[kept].dropna().groupby("layer")
        part = grouped.mean().assign(n=grouped.size()).reset_index()
        part["beyond_none"] = part["change"] - part["change_none"]
        parts.append(part.assign(quantity=quantity))
    order = ["layer", "quantity", "base", "change", "change_none", "beyond_none", "n"]
    return pd.concat(parts, ignore_index=True)[order]


def strongest_concept(
    sigma: Float[np.ndarray, "neuron concept"],
    tau: Float[np.ndarray, " concept"],
    names: Sequence[str],
) -> Shaped[np.ndarray, " neuron"]:
    """Name the concept that each neuron serves best, or `nothing`.

    Parameters
    ----------
    sigma, tau
        As for `neuron_polysemanticity`. The best is the one furthest above its own τ (|σ| / τ).
    names : sequence of str, [n_concepts]
    """
    excess = np.abs(sigma) / tau
    best = np.array(names, dtype=object)[excess.argmax(axis=1)]
    return np.where(excess.max(axis=1) > 1, best, NOTHING)


def similarity_of_sharers(
    serves: Bool[np.ndarray, "neuron concept"],
    similarity: Float[np.ndarray, "concept concept"],
    n_resamples: int = 9999,
    seed: int = 0,
) -> dict[str, float]:
    """Are concepts that share a neuron more alike than others (question 5)?

    The null shuffles which concept is which in the similarities (Mantel 1967), so that a concept
    with many neurons keeps them. All orders are tried where there are no more than `n_resamples`.

    Parameters
    ----------
    serves : bool array, [n_neurons, n_concepts]
        |σ| > τ. Two types contrasted with each other share neurons by construction: look at parts
        of speech and types apart too, or at one sign of σ at a time.
    similarity : float array, [n_concepts, n_concepts]
        Symmetric; usually the mean cosine of the concepts' words as a sentence-transformer embeds
        them, which knows nothing of the model.
    n_resamples, seed : int

    Returns
    -------
    dict
        shared (mean similarity over the pairs that share, each weighted by the neurons it shares),
        expected (under shuffling), difference, z (difference in standard deviations of the null),
        p (two-sided), n_pairs (neuron by pair).

    Raises
    ------
    InputError
        If no neuron serves two concepts.
    """
    together = serves.astype(np.float64).T @ serves
    np.fill_diagonal(together, 0)
    if not together.any():
        raise InputError("no neuron serves two concepts; there are no pairs to compare")

    def mean_similarity(order: np.ndarray) -> float:
        index = order.astype(int)
        return float(np.sum(together * similarity[np.ix_(index, index)]) / together.sum())

    result = permutation_test(
        (np.arange(len(similarity)),),
        mean_similarity,
        permutation_type="pairings",
        vectorized=False,
        n_resamples=n_resamples,
        rng=np.random.default_rng(seed),
    )
    null = result.null_distribution
    difference = result.statistic - null.mean()
    return {
        "shared": float(result.statistic),
        "expected": float(null.mean()),
        "difference": float(difference),
        "z": float(difference / null.std()) if null.std() > 0 else float("nan"),
        "p": float(result.pvalue),
        "n_pairs": float(together.sum() / 2),
    }
