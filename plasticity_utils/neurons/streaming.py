"""Scores of all neurons from activations that are never in memory as a whole.

The matrix of activations grows with the corpus: 500,000 words of a small model fill 5 GB. Here it
is gone through in batches, twice, and what is kept depends on the numbers of neurons and concepts
alone. Class means, and with them *probeless*, are exact. *Selectivity* needs the order of
all activations of a neuron, which no fixed memory holds; so the second pass counts words in bins
between quantiles of a sample, and the answer comes with a bound: within a bin the order is unknown,
so σ may be off by the share of pairs (a word of the concept, another word) that fall into the same
bin, and by no more. The bound is computed for every neuron and concept from the counts themselves.

`max_bytes` caps what is kept. A batch and its copies come on top; they do not grow with the corpus.
For exact selectivity, write the activations to a file (`word_activations(..., out=...)`) and give
that to `saliency.selectivity`, which reads a few neurons at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from plasticity_utils.errors import InputError
from plasticity_utils.neurons.words import (
    BestWords,
    best_words,
    occurrences,
    word_types,
    words_table,
)

MAX_BYTES = 2**28
LEAST_BINS, MOST_BINS, SAMPLED_PER_BIN = 16, 512, 8
ROWS_AT_ONCE = 1024
NEURONS_AT_ONCE = 256
SEED = 0


@runtime_checkable
class Batches(Protocol):
    """Activations in batches that can be gone through again, as `ActivationStream` gives them.

    Iterating yields rows (int, [n_rows]) and their activations (float32, [n_rows, n_neurons]);
    every row comes once, in any order.
    """

    @property
    def shape(self) -> tuple[int, int]:
        """Words and neurons."""

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]: ...


@dataclass(frozen=True)
class StoredActivations:
    """Activations in a file `.npy`, from `word_activations(..., out=path)`, a few rows at a time.

    Attributes
    ----------
    path : Path
        float32, [n_words, n_neurons].
    rows_at_once : int

    Raises
    ------
    InputError
        Where it is first used, if the file holds no such matrix.
    """

    path: Path
    rows_at_once: int = ROWS_AT_ONCE

    @property
    def shape(self) -> tuple[int, int]:
        """Words and neurons."""
        return self._layout[0]

    @property
    def _layout(self) -> tuple[tuple[int, int], int]:
        """Shape, and where in the file the numbers begin."""
        with self.path.open("rb") as file:
            np.lib.format.read_magic(file)
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
            if len(shape) != 2 or fortran or dtype != np.dtype("<f4"):
                raise InputError(f"{str(self.path)!r} holds no float32 matrix [words, neurons]")
            return (shape[0], shape[1]), file.tell()

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield rows and their activations, in the order of the file."""
        (n_words, n_neurons), begin = self._layout
        with self.path.open("rb") as file:
            # Read and not mapped: pages of a mapping count as this process's memory.
            file.seek(begin)
            for start in range(0, n_words, self.rows_at_once):
                rows = np.arange(start, min(start + self.rows_at_once, n_words))
                X = np.fromfile(file, dtype="<f4", count=rows.size * n_neurons)
                yield rows, X.reshape(rows.size, n_neurons)


@dataclass(frozen=True)
class StreamedScores:
    """Scores of every neuron for every concept, each concept against all other words.

    Attributes
    ----------
    probeless : float array, [n_neurons, n_concepts]
        |mean difference|, exact up to rounding.
    selectivity : float array, [n_neurons, n_concepts]
        2·AUROC − 1; 0 for a neuron that does not vary.
    selectivity_bound : float array, [n_neurons, n_concepts]
        How far selectivity can be from its exact value.
    mean, deviation : float array, [n_neurons]
        Over all words, exact up to rounding.
    n_bins : int
    """

    probeless: Float[np.ndarray, "neuron concept"]
    selectivity: Float[np.ndarray, "neuron concept"]
    selectivity_bound: Float[np.ndarray, "neuron concept"]
    mean: Float[np.ndarray, " neuron"]
    deviation: Float[np.ndarray, " neuron"]
    n_bins: int


def stream_scores(
    batches: Batches, concepts: Bool[np.ndarray, "word concept"], max_bytes: int = MAX_BYTES
) -> StreamedScores:
    """Score all neurons for all concepts in two passes over the activations.

    Parameters
    ----------
    batches : Batches
        An `ActivationStream`, which runs the model at each pass, or `StoredActivations`.
    concepts : bool array, [n_words, n_concepts]
        One column a concept, usually from `concept_words`.
    max_bytes : int
        Of all that is kept between batches. More allows more bins, up to `MOST_BINS`, and so a
        tighter bound.

    Returns
    -------
    StreamedScores

    Raises
    ------
    InputError
        If words and rows differ in number, a concept has no words or all, an activation is not
        finite, or `max_bytes` is too little for `LEAST_BINS` bins; the message says what is needed.
    """
    n_words, n_neurons = batches.shape
    _check(concepts, n_words)
    n_bins, n_sampled = _budget(n_neurons, concepts.shape[1], n_words, max_bytes)
    moments, sums, sample = _first_pass(batches, concepts, n_sampled)
    edges = _edges(sample, n_bins)
    del sample
    counts = _second_pass(batches, concepts, edges)
    inside = concepts.sum(axis=0)
    own = sums / inside[:, None]
    rest = (moments.mean * n_words - sums) / (n_words - inside)[:, None]
    sigma, bound = _selectivity(counts)
    varies = moments.varies[:, None]
    return StreamedScores(
        np.where(varies, np.abs(own - rest).T, 0.0),
        np.where(varies, sigma, 0.0),
        np.where(varies, bound, 0.0),
        moments.mean,
        moments.deviation,
        n_bins,
    )


class RunningMoments:
    """Mean, deviation and range of each neuron, kept up to date batch by batch.

    The means are merged as by Chan, Golub & LeVeque (1983), in float64: sums of squares would lose
    the deviation of a neuron that is far from zero.
    """

    def __init__(self, n_neurons: int) -> None:
        self.n = 0
        self.mean, self._squares = np.zeros(n_neurons), np.zeros(n_neurons)
        self._low = np.full(n_neurons, np.inf, dtype=np.float32)
        self._high = -self._low

    def add(self, X: np.ndarray) -> None:
        """Take in a batch, [n_rows, n_neurons]; a value that is not finite is an InputError."""
        n = self.n + len(X)
        np.minimum(self._low, X.min(axis=0), out=self._low)
        np.maximum(self._high, X.max(axis=0), out=self._high)
        if not (np.isfinite(self._low).all() and np.isfinite(self._high).all()):
            neuron = int(np.argmin(np.isfinite(self._low) & np.isfinite(self._high)))
            raise InputError(f"neuron {neuron}: an activation is not finite")
        for start in range(0, X.shape[1], NEURONS_AT_ONCE):
            block = slice(start, start + NEURONS_AT_ONCE)
            values = X[:, block].astype(np.float64)
            mean = values.mean(axis=0)
            values -= mean
            step = mean - self.mean[block]
            self._squares[block] += (values * values).sum(axis=0)
            self._squares[block] += step * step * (self.n * len(X) / n)
            self.mean[block] += step * (len(X) / n)
        self.n = n

    @property
    def varies(self) -> np.ndarray:
        """Whether a neuron took two different values, bool [n_neurons]."""
        return self._high > self._low

    @property
    def deviation(self) -> np.ndarray:
        """Standard deviation over words, [n_neurons]; exactly 0 for a neuron that does not vary."""
        return np.where(self.varies, np.sqrt(self._squares / self.n), 0.0)


def _check(concepts: np.ndarray, n_words: int) -> None:
    if concepts.ndim != 2 or len(concepts) != n_words:
        raise InputError(
            f"concepts of shape {concepts.shape} for {n_words} words; needed: [n_words, n_concepts]"
        )
    for column, inside in enumerate(concepts.sum(axis=0)):
        if not 0 < inside < n_words:
            raise InputError(
                f"concept {column}: {inside} of {n_words} words are of it; needed: some, not all"
            )


def _budget(n_neurons: int, n_concepts: int, n_words: int, max_bytes: int) -> tuple[int, int]:
    """Bins and sampled words that fit: all of `max_bytes` but the moments and class sums."""
    free = max_bytes - 8 * n_neurons * (n_concepts + 3)
    # A bin has an edge and as many counts as there are concepts, and one for all words.
    per_bin, per_word = 4 * n_neurons * (n_concepts + 2), 4 * n_neurons
    n_bins = min(MOST_BINS, free // per_bin)
    if n_bins < LEAST_BINS:
        least = max_bytes - free + LEAST_BINS * per_bin
        raise InputError(
            f"max_bytes = {max_bytes:,} is too little for {n_neurons:,} neurons and {n_concepts} "
            f"concepts; at least {least:,}"
        )
    room = (free - n_bins * 4 * n_neurons) // per_word
    return n_bins, min(n_words, SAMPLED_PER_BIN * n_bins, room)


def _first_pass(
    batches: Batches, concepts: np.ndarray, n_sampled: int
) -> tuple[RunningMoments, np.ndarray, np.ndarray]:
    """Running moments, class sums [n_concepts, n_neurons], activations of a sample of words."""
    n_words, n_neurons = batches.shape
    is_sampled = np.zeros(n_words, dtype=bool)
    is_sampled[np.random.default_rng(SEED).choice(n_words, n_sampled, replace=False)] = True
    moments, sums = RunningMoments(n_neurons), np.zeros((concepts.shape[1], n_neurons))
    sample, taken = np.empty((n_sampled, n_neurons), dtype=np.float32), 0
    for rows, X in batches:
        moments.add(X)
        members = concepts[rows].T.astype(np.float64)
        for start in range(0, n_neurons, NEURONS_AT_ONCE):
            block = slice(start, start + NEURONS_AT_ONCE)
            sums[:, block] += members @ X[:, block].astype(np.float64)
        own = X[is_sampled[rows]]
        sample[taken : taken + len(own)] = own
        taken += len(own)
    return moments, sums, sample


def _edges(sample: np.ndarray, n_bins: int) -> np.ndarray:
    """Inner edges of bins that hold about as many words each, [n_neurons, n_bins - 1]."""
    places = (np.arange(1, n_bins) * len(sample)) // n_bins
    edges = np.empty((sample.shape[1], n_bins - 1), dtype=np.float32)
    for neuron, values in enumerate(sample.T):
        edges[neuron] = np.sort(values)[places]
    return edges


def _second_pass(batches: Batches, concepts: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Words in each bin, [n_neurons, n_bins, n_concepts + 1]; the last column counts all words."""
    n_neurons, n_bins, n_columns = len(edges), edges.shape[1] + 1, concepts.shape[1] + 1
    counts = np.zeros((n_neurons, n_bins * n_columns), dtype=np.uint32)
    for rows, X in batches:
        word, column = np.nonzero(concepts[rows])
        word = np.concatenate([word, np.arange(len(rows))])
        column = np.concatenate([column, np.full(len(rows), n_columns - 1)])
        for neuron, values in enumerate(np.ascontiguousarray(X.T)):
            place = np.searchsorted(edges[neuron], values, side="right")[word] * n_columns
            place += column
            counts[neuron] += np.bincount(place, minlength=counts.shape[1]).astype(np.uint32)
    return counts.reshape(n_neurons, n_bins, n_columns)


def _selectivity(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """σ with half a win for each pair of one bin, and the share of such pairs; [n_neurons, C]."""
    n_concepts = counts.shape[2] - 1
    sigma, shared = (np.empty((len(counts), n_concepts)) for _ in range(2))
    for neuron, of_neuron in enumerate(counts):
        own = of_neuron.astype(np.float64)
        inside, outside = own[:, :-1], own[:, -1:] - own[:, :-1]
        pairs = inside.sum(axis=0) * outside.sum(axis=0)
        below = np.cumsum(outside, axis=0) - outside
        shared[neuron] = (inside * outside).sum(axis=0) / pairs
        sigma[neuron] = 2 * (inside * below).sum(axis=0) / pairs + shared[neuron] - 1
    return sigma, shared


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
