"""Which neurons respond to a concept, and how strongly.

Two scores answer this. *Probeless* (Antverg & Belinkov 2022) is the distance between the class
means of a neuron's activation; it is not scaled by the neuron's spread, so wide neurons rank high
whatever they mean. *Selectivity* is 2·AUROC − 1, the chance that a word of the concept excites the
neuron more than another word, scaled to [−1, 1]; it is free of scale and can be compared between
checkpoints and models. Just because of that it says nothing of a neuron that was damped: use
`effect_sizes` there.

A rank is relative. The mean rank saliency of a model is ½ before and after anything is done to it,
so a rise in one layer is a fall elsewhere, and removing neurons alone moves the profile:
`removal_only_profile` is what one must beat before saying that a concept moved.

Ours takes the place of NeuroX's `probeless`, which keeps a Python list of rows for each label and
sums in float32, where near-tied neurons swap places with the order of summation. Parity is of
scores, and of order but for such ties.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped

from plasticity_utils.errors import InputError, is_whole, shown
from plasticity_utils.hardware import find_device
from plasticity_utils.neurons.inputs import (
    Labels,
    Matrix,
    Neurons,
    as_activations,
    as_array,
    as_flat_ids,
    as_members,
    check_layers,
    described,
)
from plasticity_utils.neurons.inputs import flat_ids as flat_ids
from plasticity_utils.neurons.inputs import layer_unit as layer_unit
from plasticity_utils.progress import bar
from plasticity_utils.registry import rankings, users_errors

NEURONS_AT_ONCE = 64
# Fewer words than this rank neurons by chance: said, not refused.
FEW_WORDS = 20
Scored = TypeVar("Scored", bound=Callable[..., np.ndarray])


@dataclass(frozen=True)
class Ranking:
    """Neurons from the most to the least salient.

    Attributes
    ----------
    method : str
        Which score ranked them.
    order : int array, [n_neurons]
        Flat ids, best first; ties go to the lower id.
    scores : float array, [n_neurons]
        The score of each flat id (not sorted); larger is more salient.
    n_layers : int or None
        Layers that the neurons are of, the embedding output included; `top` needs it.
    """

    method: str
    order: Int[np.ndarray, " neuron"]
    scores: Float[np.ndarray, " neuron"]
    n_layers: int | None = None

    @property
    def ranks(self) -> Int[np.ndarray, " neuron"]:
        """Rank of each flat id, 0 for the most salient."""
        ranks = np.empty_like(self.order)
        ranks[self.order] = np.arange(self.order.size)
        return ranks

    def top(self, how_many: int | float) -> Int[np.ndarray, "neuron 2"]:
        """Return the best neurons as (layer, unit) pairs, best first.

        Parameters
        ----------
        how_many : int or float
            A number of neurons (an integer), or a share of all of them (a float, at most 1), which
            is rounded to whole neurons and at least one.

        Raises
        ------
        InputError
            If it is neither, or the ranking was made without `n_layers`.
        """
        if self.n_layers is None:
            raise InputError("top gives (layer, unit) pairs: rank_neurons needs n_layers for that")
        n_neurons = self.order.size
        whole = is_whole(how_many)
        share = isinstance(how_many, float | np.floating)
        if not (whole and 1 <= how_many <= n_neurons) and not (share and 0 < how_many <= 1):
            raise InputError(
                f"top({shown(how_many)}); allowed: a number of neurons from 1 to {n_neurons}, or a "
                "share of them, a float above 0 and at most 1"
            )
        count = int(how_many) if whole else max(1, round(float(how_many) * n_neurons))
        return layer_unit(self.order[:count], n_neurons // self.n_layers)


def rank_neurons(
    X: Matrix, is_concept: Labels, method: str = "probeless", n_layers: int | None = None
) -> Ranking:
    """Rank all neurons by their response to a concept.

    Parameters
    ----------
    X : float array-like, [n_words, n_layers * d_model]
        Activations, usually from `word_activations`.
    is_concept : bool array-like, [n_words]
        Usually from `concept_words`; 1 and 0 are taken for True and False.
    method : str
        A name of the registry `rankings`: `probeless`, `selectivity`, `probe`, `mean-select`,
        `iou`, `gaussian`, or one's own: a function of X and is_concept that gives scores,
        [n_neurons]; `FILE.py:NAME` loads one. `selectivity` ranks by its size |σ|, since a neuron
        that falls silent on the concept tells as much as one that fires.
    n_layers : int, optional
        Layers in X, the embedding output included, so that `Ranking.top` can name neurons by layer
        and unit.

    Returns
    -------
    Ranking

    Warns
    -----
    UserWarning
        If the concept has fewer than `FEW_WORDS` words, or as few are outside it: many neurons
        then tell the words apart by chance.

    Raises
    ------
    InputError
        If the method is unknown, the shapes differ, a value is missing or not finite, or the words
        are all inside or all outside the concept.
    """
    scored = rankings.get(method)
    X = as_activations(X)
    is_concept = as_members(is_concept, len(X))
    if n_layers is not None:
        check_layers(n_layers, X.shape[1])
    check_binary(X, is_concept)
    _warn_of_few(is_concept)
    with users_errors(f"ranking {method!r} fails in "):
        scores = as_array(scored(X, is_concept), f"scores of ranking {method!r}")
    if scores.shape != (X.shape[1],) or scores.dtype.kind not in "fiu":
        raise InputError(
            f"ranking {method!r} gives {described(scores)}; needed: a number for each of the "
            f"{X.shape[1]} neurons"
        )
    if not np.isfinite(scores).any():
        raise InputError(f"ranking {method!r} gives no neuron a finite score")
    # Of whole numbers without a sign there is no negative to sort by.
    whole = scores.dtype.kind != "f"
    return ranking_of(scores.astype(np.float64) if whole else scores, method, n_layers)


def _warn_of_few(is_concept: np.ndarray) -> None:
    for words, where in ((is_concept, "of"), (~is_concept, "outside")):
        if words.sum() < FEW_WORDS:
            warnings.warn(
                f"{int(words.sum())} of {words.size} words are {where} the concept, fewer than "
                f"{FEW_WORDS}: with so few, many neurons tell them apart by chance",
                UserWarning,
                stacklevel=3,
            )


def ranking_of(
    scores: Float[np.ndarray, " neuron"], method: str, n_layers: int | None = None
) -> Ranking:
    """Order neurons by decreasing score; ties go to the lower flat id."""
    return Ranking(method, np.argsort(-scores, kind="stable"), scores, n_layers)


def each_alone(score: Scored) -> Scored:
    """Say of a ranking that it scores each neuron by itself: it may be given some at a time."""
    score.__dict__["each_alone"] = True
    return score


def scores_alone(score: Callable[..., np.ndarray]) -> bool:
    """Tell whether a ranking scores each neuron by itself."""
    return bool(getattr(score, "each_alone", False))


@each_alone
def probeless(
    X: Float[np.ndarray, "word neuron"], labels: Shaped[np.ndarray, " word"], label: object = True
) -> Float[np.ndarray, " neuron"]:
    """Sum over other labels of the distance of their mean to the label's (Antverg & Belinkov 2022).

    In units of the activations. With two labels it is |mean difference|.
    """
    names, member = np.unique(labels, return_inverse=True)
    sums = np.stack([X[member == i].sum(axis=0, dtype=np.float64) for i in range(names.size)])
    means = sums / np.bincount(member)[:, None]
    own = means[int(np.flatnonzero(names == label)[0])]
    return np.abs(means - own).sum(axis=0)


def selectivity(
    X: Float[np.ndarray, "word neuron"], concepts: Bool[np.ndarray, "word concept"]
) -> Float[np.ndarray, "neuron concept"]:
    """2·AUROC − 1 of every neuron for every concept, in one ranking of each neuron's activations.

    In [−1, 1], a column a concept against all other words; 0 for a neuron that does not vary.
    """
    check_concepts(X, concepts)
    n_words, n_inside = concepts.shape[0], concepts.sum(axis=0)
    wins = rank_sums(X, concepts.astype(np.float64)) - n_inside * (n_inside + 1) / 2
    return 2 * wins / (n_inside * (n_words - n_inside)) - 1


def effect_sizes(
    X: Float[np.ndarray, "word neuron"],
    is_concept: Bool[np.ndarray, " word"],
    base_deviation: Float[np.ndarray, " neuron"],
) -> Float[np.ndarray, " neuron"]:
    """Difference of class means in units of the base model's standard deviation.

    Unlike selectivity it shrinks with a neuron's gain, so it is what a removed neuron is judged by.
    A neuron that did not vary in the base has effect 0.
    """
    check_binary(X, is_concept)
    difference = _mean(X[is_concept]) - _mean(X[~is_concept])
    varies = base_deviation > 0
    return np.divide(difference, base_deviation, out=np.zeros_like(difference), where=varies)


def deviations(X: Float[np.ndarray, "word neuron"]) -> Float[np.ndarray, " neuron"]:
    """Standard deviation of each neuron over words, in the units of its activation."""
    # In blocks: numpy would copy the whole of X into float64.
    starts = range(0, X.shape[1], NEURONS_AT_ONCE)
    blocks = [X[:, i : i + NEURONS_AT_ONCE].std(axis=0, dtype=np.float64) for i in starts]
    return np.concatenate(blocks)


def rank_saliency(order: Labels) -> Float[np.ndarray, " neuron"]:
    """Return 1 − rank/(N − 1) of each flat id, in [0, 1].

    Parameters
    ----------
    order : int array-like, [n_neurons]
        Flat ids, best first: `rank_neurons(...).order`.

    Raises
    ------
    InputError
        If it does not hold every id once.
    """
    order = _checked_order(order)
    saliency = np.empty(order.size)
    saliency[order] = 1 - np.arange(order.size) / max(order.size - 1, 1)
    return saliency


def removal_only_profile(
    order: Labels, removed: Neurons, n_layers: int
) -> Float[np.ndarray, " layer"]:
    """Mean rank saliency of each layer if removal sent neurons to the bottom and did nothing else.

    A shift of a concept between layers counts only beyond this profile.

    Parameters
    ----------
    order : int array-like, [n_layers * d_model]
        The ranking *before* removal, flat ids, best first.
    removed : pairs, flat ids or a mask
        Neurons that were removed, see `remove_neurons`; they keep their order at the bottom.
    n_layers : int
        Number of layers, the embedding output included (blocks + 1).

    Returns
    -------
    float array, [n_layers], each in [0, 1]

    Raises
    ------
    InputError
        If the order does not hold every id once, a neuron does not exist, or the number of neurons
        is no multiple of `n_layers`.
    """
    order = _checked_order(order)
    check_layers(n_layers, order.size)
    is_gone = np.isin(order, as_flat_ids(removed, order.size, n_layers))
    moved = np.concatenate([order[~is_gone], order[is_gone]])
    return rank_saliency(moved).reshape(n_layers, -1).mean(axis=1)


def _checked_order(order: Labels) -> np.ndarray:
    values = as_array(order, "an order")
    ids = as_flat_ids(values, values.size)
    if not np.array_equal(np.sort(ids), np.arange(ids.size)) or values.dtype == bool:
        raise InputError(f"an order holds every id from 0 to {ids.size - 1} exactly once")
    return ids


def check_binary(X: np.ndarray, is_concept: np.ndarray) -> None:
    """Raise InputError unless X is finite and some, not all, of its words are of the concept."""
    as_members(is_concept, len(as_activations(X)))
    _check_members(is_concept)
    finite = np.isfinite(X.sum(axis=0, dtype=np.float64))
    if not finite.all():
        raise InputError(
            f"activations of {int((~finite).sum())} neurons are not finite, the first of them "
            f"flat id {int(np.argmin(finite))}"
        )


def check_concepts(X: np.ndarray, concepts: np.ndarray) -> None:
    """Raise InputError unless `check_binary` holds for each column of `concepts`."""
    check_binary(X, concepts[:, 0])
    for column in concepts.T:
        _check_members(column)


def _check_members(is_concept: np.ndarray) -> None:
    inside = int(is_concept.sum())
    if not 0 < inside < is_concept.size:
        raise InputError(
            f"{inside} of {is_concept.size} words are of the concept; needed: some, but not all"
        )


def _mean(X: np.ndarray) -> np.ndarray:
    return X.mean(axis=0, dtype=np.float64)


@each_alone
def absolute_selectivity(X: np.ndarray, is_concept: np.ndarray) -> np.ndarray:
    """|σ| of every neuron for one concept."""
    return np.abs(selectivity(X, is_concept[:, None])[:, 0])


# Ranked at once; with many words fewer neurons, so that memory does not grow with them.
NEURONS_ON_CPU, VALUES_ON_CPU, VALUES_ON_CUDA = 64, 2**18, 2**24


def rank_sums(
    X: Float[np.ndarray, "word neuron"], members: Float[np.ndarray, "word concept"]
) -> Float[np.ndarray, "neuron concept"]:
    """Sum the ranks of each concept's words in each neuron."""
    device = find_device()
    # Apple's MPS has no 64-bit floats.
    on_cuda = device.type == "cuda"
    values = VALUES_ON_CUDA if on_cuda else min(VALUES_ON_CPU, NEURONS_ON_CPU * len(X))
    at_once = max(1, values // len(X))
    sums = np.empty((X.shape[1], members.shape[1]))
    for start in bar(range(0, X.shape[1], at_once), "selectivity"):
        block = slice(start, start + at_once)
        rows = np.ascontiguousarray(X[:, block].T)
        sums[block] = (
            rank_sums_on(device, rows, members) if on_cuda else average_ranks(rows) @ members
        )
    return sums


def average_ranks(rows: np.ndarray) -> np.ndarray:
    """Rank from 1 within each row; equal values share the mean of their places.

    What scipy's `rankdata` gives, in half the time: all rows at once, in few passes.
    """
    order = np.argsort(rows, axis=1)
    ordered = np.take_along_axis(rows, order, axis=1)
    begins = np.ones(rows.shape, dtype=bool)
    begins[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    ends = np.ones(rows.shape, dtype=bool)
    ends[:, :-1] = begins[:, 1:]
    place = np.arange(1, rows.shape[1] + 1, dtype=np.int32)
    first = np.maximum.accumulate(np.where(begins, place, 0), axis=1)
    last = np.where(ends, place, place[-1])[:, ::-1]
    last = np.minimum.accumulate(last, axis=1)[:, ::-1]
    ranks = np.empty(rows.shape)
    np.put_along_axis(ranks, order, (first + last) / 2, axis=1)
    return ranks


def rank_sums_on(device: torch.device, rows: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Sum average ranks on a device: how many values lie below each, and how many up to it."""
    values = torch.from_numpy(rows).to(device)
    ordered = values.sort(dim=1).values
    below = torch.searchsorted(ordered, values)
    up_to = torch.searchsorted(ordered, values, right=True)
    ranks = (below + up_to + 1).double() / 2
    return (ranks @ torch.from_numpy(members).to(device)).cpu().numpy()
