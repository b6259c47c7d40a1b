"""Sums of ranks, from which the area under a ROC curve follows: for many neurons, all words ranked.

A processor sorts a few neurons at a time, which then stay in its cache; an accelerator takes many.
Sums of ranks are multiples of ½ and far below 2⁵³, so both give the very same numbers.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float

from plasticity_utils.models import find_device
from plasticity_utils.progress import bar

NEURONS_ON_CPU, VALUES_ON_CUDA = 64, 2**24


def rank_sums(
    X: Float[np.ndarray, "word neuron"], members: Float[np.ndarray, "word concept"]
) -> Float[np.ndarray, "neuron concept"]:
    """Sum the ranks of each concept's words in each neuron.

    Parameters
    ----------
    X : float array, [n_words, n_neurons]
        Ranked within each neuron from 1; equal values share the mean of their places.
    members : float64 array, [n_words, n_concepts]
        1 for a word of the concept, else 0.
    """
    device = find_device()
    # Apple's MPS has no 64-bit floats.
    on_cuda = device.type == "cuda"
    at_once = max(1, VALUES_ON_CUDA // len(X)) if on_cuda else NEURONS_ON_CPU
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
