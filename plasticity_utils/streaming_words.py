"""Highest-activating words from activations that are never in memory as a whole.

The mean z of a word type needs the sum of its activations, so what is kept grows with the number of
word types (as a power of the number of words below one: Heaps' law), not with the number of words.
`max_bytes` caps it all the same: neurons that do not fit are left for another pass. The result is
that of `words.highest_activating_words` up to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from plasticity_utils.errors import InputError
from plasticity_utils.streaming import MAX_BYTES, Batches, RunningMoments
from plasticity_utils.word_scores import (
    BestWords,
    best_words,
    occurrences,
    word_types,
    words_table,
)

# Neurons whose words are listed together, from a copy of their sums.
LISTED_TOGETHER = 64


def stream_top_words(
    batches: Batches,
    words: Sequence[str],
    k: int,
    signed: bool = True,
    min_count: int = 2,
    max_bytes: int = MAX_BYTES,
) -> pd.DataFrame:
    """List the words at both ends of every neuron.

    Parameters
    ----------
    batches : Batches
        An `ActivationStream` or `StoredActivations`.
    words : sequence of str
        The word of each row.
    k, signed, min_count
        As in `highest_activating_words`.
    max_bytes : int
        Of the sums kept between batches, eight bytes for each listed word type and neuron. The
        number of passes is `passes_needed`.

    Returns
    -------
    DataFrame
        As `highest_activating_words` gives it for all neurons.

    Raises
    ------
    InputError
        Words and rows of different number, no words, `k` or `min_count` below 1, an activation that
        is not finite, or a cap under what one neuron needs.
    """
    n_words, n_neurons = batches.shape
    if len(words) != n_words or not n_words:
        raise InputError(f"{len(words)} words for {n_words} rows; one for each, and at least one")
    if k < 1 or min_count < 1:
        raise InputError(f"k = {k}, min_count = {min_count}: both at least 1")
    types, kind, counts = word_types(words)
    eligible = counts >= min_count if signed else np.ones_like(counts, dtype=bool)
    # Types that are not listed get no row: their number is −1.
    row_of_type = np.where(eligible, np.cumsum(eligible) - 1, -1)
    row = row_of_type[kind]
    listed, n_listed = types[eligible], counts[eligible]
    found = []
    for block in _blocks(n_neurons, len(listed), max_bytes):
        moments = RunningMoments(block.stop - block.start)
        if not signed:
            _accumulate(batches, block, moments, None, row)
        sums = np.zeros((len(listed), moments.mean.size))
        _accumulate(batches, block, moments, sums, row, centred=not signed)
        found += _best(sums, moments, n_listed, k, signed, block.start)
    return words_table(found, np.arange(n_neurons), listed, n_listed)


def passes_needed(
    words: Sequence[str],
    n_neurons: int,
    signed: bool = True,
    min_count: int = 2,
    max_bytes: int = MAX_BYTES,
) -> int:
    """How often `stream_top_words` goes through the activations under a cap."""
    _, _, counts = word_types(words)
    n_listed = int((counts >= min_count).sum()) if signed else counts.size
    return len(_blocks(n_neurons, n_listed, max_bytes)) * (1 if signed else 2)


def _blocks(n_neurons: int, n_listed: int, max_bytes: int) -> list[slice]:
    """Neurons of each pass."""
    at_once = min(n_neurons, max_bytes // (8 * max(1, n_listed)))
    if at_once < 1:
        raise InputError(
            f"max_bytes = {max_bytes:,} is too little for {n_listed:,} word types; "
            f"at least {8 * n_listed:,}"
        )
    starts = range(0, n_neurons, at_once)
    return [slice(start, min(start + at_once, n_neurons)) for start in starts]


def _accumulate(
    batches: Batches,
    block: slice,
    moments: RunningMoments,
    sums: np.ndarray | None,
    row: np.ndarray,
    centred: bool = False,
) -> None:
    """One pass: the moments, or the sums by type of x, or of |x − mean| once means are known."""
    for rows, X in batches:
        values = X[:, block]
        if not centred:
            moments.add(values)
        if sums is not None:
            present, place = np.unique(row[rows], return_inverse=True)
            wide = values.astype(np.float64)
            if centred:
                wide -= moments.mean
                np.abs(wide, out=wide)
            by_type = occurrences(place, present.size) @ wide
            listed = present >= 0
            sums[present[listed]] += by_type[listed]


def _best(
    sums: np.ndarray,
    moments: RunningMoments,
    counts: np.ndarray,
    k: int,
    signed: bool,
    first: int,
) -> list[BestWords]:
    found = []
    for start in range(0, sums.shape[1], LISTED_TOGETHER):
        some = slice(start, start + LISTED_TOGETHER)
        spread = np.where(moments.varies, moments.deviation, np.inf)[some]
        centre = moments.mean[some] if signed else 0.0
        means = (sums[:, some] / counts[:, None] - centre) / spread
        found += best_words(means, k, signed, first + start)
    return found
