"""From mean z-scores of word types to the words at both ends of each neuron.

What `words.highest_activating_words`, which has all activations at once, and
`streaming.stream_top_words`, which sees them batch by batch, have in common.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.sparse import csr_array

COLUMNS = ["neuron", "end", "rank", "word", "score", "n"]
ENDS = ("positive", "negative", "either")
LEAST_GROUPS = 64  # enough that few words beside the best are looked at
NEGLIGIBLE = 0.1  # NeuroX drops words below a tenth of the best word's score


class BestWords(NamedTuple):
    """The best words at one end of some neurons, an entry a word.

    Attributes
    ----------
    end : str
        One of `ENDS`.
    place : int array
        Of the neuron among those that were asked for.
    rank : int array
        0 for the strongest.
    kind : int array
        Number of the word type.
    score : float array
        As in `highest_activating_words`.
    """

    end: str
    place: np.ndarray
    rank: np.ndarray
    kind: np.ndarray
    score: np.ndarray


def word_types(words: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Word types in order of first occurrence, the type's number of each word, and counts.

    Parameters
    ----------
    words : sequence of str

    Returns
    -------
    (object array [n_types], int array [n_words], int array [n_types])
    """
    number = {word: i for i, word in enumerate(dict.fromkeys(words))}
    kind = np.array([number[word] for word in words], dtype=np.int64)
    return np.array(list(number), dtype=object), kind, np.bincount(kind, minlength=len(number))


def occurrences(kind: np.ndarray, n_types: int) -> csr_array:
    """Matrix of zeros and ones, [n_types, n_words]: which words are of a type."""
    shape = (n_types, kind.size)
    return csr_array((np.ones(kind.size), (kind, np.arange(kind.size))), shape=shape)


def best_words(
    means: Float[np.ndarray, "type neuron"], k: int, signed: bool, first: int = 0
) -> list[BestWords]:
    """Find the k best word types of each neuron, at both ends or, unsigned, at one.

    Parameters
    ----------
    means : float array, [n_types, n_neurons]
        Mean z of each type; unsigned, mean |z|.
    k : int
        Words at each end, at most.
    signed : bool
        As in `highest_activating_words`.
    first : int
        Place of the first neuron among those that were asked for.

    Returns
    -------
    list of BestWords
        One for each end.
    """
    if signed:
        return [_best(means, k, "positive", first), _best(-means, k, "negative", first)]
    return [_best(means, k, "either", first)]


def words_table(
    found: Sequence[BestWords], ids: np.ndarray, types: np.ndarray, counts: np.ndarray
) -> pd.DataFrame:
    """Put the words of `best_words` into one table, by neuron, end and rank.

    Parameters
    ----------
    found : sequence of BestWords
        In any order.
    ids : int array
        Flat id of each place.
    types, counts : array, [n_types]
        The words and how often they occur.

    Returns
    -------
    DataFrame
        As `highest_activating_words` gives it.
    """
    if not found:
        return pd.DataFrame(columns=COLUMNS)
    end = np.repeat([ENDS.index(own.end) for own in found], [own.place.size for own in found])
    place, rank, kind, score = (
        np.concatenate([getattr(own, field) for own in found])
        for field in ("place", "rank", "kind", "score")
    )
    # By place, so that a neuron that was asked for twice keeps its words apart.
    order = np.lexsort((rank, end, place))
    columns = (
        ids[place], np.array(ENDS, dtype=object)[end], rank, types[kind], score, counts[kind]
    )  # fmt: skip
    return pd.DataFrame({name: own[order] for name, own in zip(COLUMNS, columns, strict=True)})


def _best(scores: np.ndarray, k: int, end: str, first: int) -> BestWords:
    """Words with the k greatest positive scores of each column; equal ones keep their order."""
    kind, column = np.nonzero(scores >= _at_most_kth(scores, min(k, len(scores))))
    score = scores[kind, column]
    if end == "either":
        score = score / scores.max(axis=0, initial=0.0)[column]
        kept = score > NEGLIGIBLE
        kind, column, score = kind[kept], column[kept], score[kept]
    order = np.lexsort((kind, -score, column))
    kind, column, score = kind[order], column[order], score[order]
    rank = np.arange(column.size) - np.searchsorted(column, column)
    kept = rank < k
    return BestWords(
        end,
        first + column[kept],
        rank[kept],
        kind[kept],
        -score[kept] if end == "negative" else score[kept],
    )


def _at_most_kth(scores: np.ndarray, k: int) -> np.ndarray:
    """Of each column a positive number that no more than its k greatest scores need to reach.

    The k-th greatest of the maxima of groups of rows: k groups hold a score that is as great, so
    the k-th greatest of all is no less. Sorting the maxima is cheap; sorting all scores is not.
    """
    n_groups = max(LEAST_GROUPS, 2 * k)
    if 0 < k <= len(scores) < 2 * n_groups:
        bound = np.partition(scores, len(scores) - k, axis=0)[len(scores) - k]
    elif k:
        size = len(scores) // n_groups
        grouped = scores[: n_groups * size].reshape(n_groups, size, scores.shape[1])
        bound = np.partition(grouped.max(axis=1), n_groups - k, axis=0)[n_groups - k]
    else:
        bound = np.zeros(scores.shape[1])
    return np.maximum(bound, np.nextafter(0.0, 1.0))
