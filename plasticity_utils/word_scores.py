"""From mean z-scores of word types to the words at both ends of each neuron.

What `words.highest_activating_words`, which has all activations at once, and
`streaming.stream_top_words`, which sees them batch by batch, have in common.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.sparse import csr_array

COLUMNS = ["neuron", "end", "rank", "word", "score", "n"]
NEGLIGIBLE = 0.1  # NeuroX drops words below a tenth of the best word's score


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


def ends_table(
    means: Float[np.ndarray, "type neuron"],
    types: np.ndarray,
    counts: np.ndarray,
    k: int,
    signed: bool,
    first: int = 0,
) -> pd.DataFrame:
    """List the k best word types of each neuron, at both ends or, unsigned, at one.

    Parameters
    ----------
    means : float array, [n_types, n_neurons]
        Mean z of each type; unsigned, mean |z|.
    types, counts : array, [n_types]
        The words and how often they occur.
    k : int
        Words at each end, at most.
    signed : bool
        As in `highest_activating_words`.
    first : int
        Place of the first neuron among those that were asked for.

    Returns
    -------
    DataFrame
        `place` (of the neuron), then as `highest_activating_words`, but for `neuron`.
    """
    if signed:
        ends = [("positive", means, 1), ("negative", -means, -1)]
    else:
        best = means.max(axis=0)
        ends = [("either", means / np.where(best > 0, best, 1.0), 1)]
    tables = []
    for end, scores, sign in ends:
        row, column, rank = _top_of_columns(scores, k, 0.0 if signed else NEGLIGIBLE)
        tables.append(
            pd.DataFrame(
                {
                    "place": first + column,
                    "end": end,
                    "rank": rank,
                    "word": types[row],
                    "score": sign * scores[row, column],
                    "n": counts[row],
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def in_order(tables: Sequence[pd.DataFrame], ids: np.ndarray) -> pd.DataFrame:
    """Stack tables of `ends_table` by neuron and end, with flat ids for places."""
    if not tables:
        return pd.DataFrame(columns=COLUMNS)
    table = pd.concat(tables, ignore_index=True)
    table.insert(0, "neuron", ids[table["place"]])
    # "positive" before "negative"; a repeated neuron keeps its places apart.
    table = table.sort_values(["place", "end", "rank"], ascending=[True, False, True])
    return table[COLUMNS].reset_index(drop=True)


def _top_of_columns(
    scores: np.ndarray, k: int, least: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the k greatest scores above ``least`` of each column.

    Returns rows, columns and ranks, by column and rank; equal scores keep the order of the rows.
    """
    k = min(k, len(scores))
    if k == 0:
        none = np.zeros(0, dtype=np.int64)
        return none, none, none
    kth = np.partition(scores, len(scores) - k, axis=0)[len(scores) - k]
    row, column = np.nonzero((scores >= kth) & (scores > least))
    order = np.lexsort((row, -scores[row, column], column))
    row, column = row[order], column[order]
    begins = np.searchsorted(column, np.arange(scores.shape[1]))
    rank = np.arange(len(column)) - begins[column]
    kept = rank < k  # ties at the k-th place let more in
    return row[kept], column[kept], rank[kept]
