"""Words: which ones does a neuron answer to, and how alike are two lists of them.

The words that drive a neuron furthest from its mean are the quickest look at what it is for. Each
word type gets the mean z-score of its occurrences; the highest and the lowest are the two *ends*
of the neuron. They are kept apart, because a residual neuron has no off state: −3 is as strong an
answer as +3, and often to another concept.

NeuroX's ``get_top_words`` (Dalvi et al. 2019b) takes the mean of |z| instead: strong *negative*
responses count as activating, both ends fall into one list, and a word seen once on a lucky day
comes first. ``signed=False`` gives just that, for comparison; where NeuroX divides 0 by 0 (a neuron
that does not vary) there are no words. Ours also takes all neurons at once, not one per call.

Caveat: a list of words is a hint, not a meaning.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from scipy.sparse import csr_array
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from plasticity_utils.errors import InputError
from plasticity_utils.models.load import load_model
from plasticity_utils.names import RULER
from plasticity_utils.neurons.inputs import (
    Labels,
    Matrix,
    Neurons,
    as_activations,
    as_flat_ids,
    as_words,
)
from plasticity_utils.progress import bar

BLOCK = 64  # neurons at a time: so few stay in the processor's cache from step to step
EMBEDDING_BATCH = 256  # words at a time through the sentence transformer
MOST_TOKENS = 256  # the sentence transformer's own limit; only a very long "word" reaches it

_embedded: dict[str, np.ndarray] = {}  # one vector per distinct word and process


def highest_activating_words(
    X: Matrix,
    words: Labels,
    neurons: Neurons,
    k: int,
    signed: bool = True,
    min_count: int = 2,
    n_layers: int | None = None,
) -> pd.DataFrame:
    """List the words at both ends of each neuron.

    Parameters
    ----------
    X : float array-like, [n_words, n_layers * d_model]
        Activations, usually from `word_activations`.
    words : sequence of str, [n_words]
        The word of each row of X, usually `corpus.words`.
    neurons : flat ids, (layer, unit) pairs or a mask
        See `remove_neurons`; pairs need `n_layers`.
    k : int
        Words at each end, at most; at least 1.
    signed : bool
        True: signed mean z, ends ``positive`` and ``negative``. False: as NeuroX's
        ``get_top_words``, mean |z| as a share of the best word's, one end ``either``.
    min_count : int
        Leave out word types with fewer occurrences; only where `signed`.
    n_layers : int, optional
        Layers in X, the embedding output included: needed where neurons are pairs.

    Returns
    -------
    DataFrame
        A row a word: ``neuron`` (flat id), ``end``, ``rank`` (0 = strongest), ``word``, ``score``
        (mean z in standard deviations, negative at the negative end; unsigned: share in (0.1, 1]),
        ``n`` (occurrences). Neurons in the order asked for; words with equal scores in the order
        of their first occurrence. A neuron that does not vary has no rows.

    Raises
    ------
    InputError
        Words and rows of different number, no words, something that is no word, a neuron that X
        does not have, `k` or `min_count` below 1, or an activation that is not finite.

    References
    ----------
    Dalvi et al. 2019b, "NeuroX: A Toolkit for Analyzing Individual Neurons in Neural Networks".
    """
    X = as_activations(X)
    words = as_words(words, len(X))
    _check_counts(k, min_count)
    ids = as_flat_ids(neurons, X.shape[1], n_layers)
    types, kind, counts = word_types(words)
    occurs = occurrences(kind, len(types))
    eligible = counts >= min_count if signed else np.ones_like(counts, dtype=bool)
    starts = range(0, len(ids), BLOCK)
    blocks = [ids[start : start + BLOCK] for start in starts]

    def of_block(own: np.ndarray, start: int) -> list[BestWords]:
        means = _type_means(X, own, occurs, counts, signed)[eligible]
        return best_words(means, k, signed, start)

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        by_block = bar(
            pool.map(of_block, blocks, starts), "highest-activating words", total=len(blocks)
        )
        found = list(chain.from_iterable(by_block))
    return _words_table(found, ids, types[eligible], counts[eligible])


def embed_words(words: Sequence[str]) -> Float[np.ndarray, "word 384"]:
    """Embed words, each by itself, with the packaged sentence transformer.

    The recipe of all-MiniLM-L6-v2: the mean of the last layer over all tokens that attention sees
    ([CLS] and [SEP] among them), scaled to length 1. A distinct word is computed once per process.

    References
    ----------
    Reimers & Gurevych 2019, "Sentence-BERT", EMNLP.
    """
    if len(words) == 0:
        raise InputError("no words to embed; a neuron that does not vary has none")
    new = [word for word in dict.fromkeys(words) if word not in _embedded]
    for start in bar(range(0, len(new), EMBEDDING_BATCH), desc="embedding words"):
        batch = new[start : start + EMBEDDING_BATCH]
        _embedded.update(zip(batch, _embed_batch(batch), strict=True))
    return np.stack([_embedded[word] for word in words])


def _check_counts(k: int, min_count: int) -> None:
    whole = all(isinstance(n, int | np.integer) for n in (k, min_count))
    if not whole or k < 1 or min_count < 1:
        raise InputError(f"k = {k}, min_count = {min_count}: whole numbers, both at least 1")


def _type_means(
    X: np.ndarray, ids: np.ndarray, occurs: csr_array, counts: np.ndarray, signed: bool
) -> np.ndarray:
    """Mean z (or |z|) of each word type, ``[n_types, n_ids]``; 0 for a constant neuron."""
    # Neighbours are cut out as they lie; to gather them one by one takes twice as long.
    is_run = ids[-1] - ids[0] == len(ids) - 1 and bool((np.diff(ids) == 1).all())
    block = X[:, slice(ids[0], ids[-1] + 1) if is_run else ids].astype(np.float64)
    high, low = block.max(axis=0), block.min(axis=0)
    if not (np.isfinite(high).all() and np.isfinite(low).all()):
        word, neuron = np.argwhere(~np.isfinite(block))[0]
        raise InputError(f"word {word}, neuron {ids[neuron]}: an activation is not finite")
    mean = block.mean(axis=0)
    if signed:
        # The mean goes off last: words with the same mean then get the very same score.
        means = occurs @ block / counts[:, None] - mean
        block -= mean
    else:
        block -= mean
        means = occurs @ np.abs(block, out=block) / counts[:, None]
    deviation = np.sqrt(np.einsum("ij,ij->j", block, block) / len(block))
    # Not by the deviation: the mean of equal numbers may differ from them by rounding.
    means /= np.where(high > low, deviation, np.inf)
    return means


@lru_cache(maxsize=1)
def _sentence_transformer() -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    return load_model(RULER)


@torch.inference_mode()
def _embed_batch(words: list[str]) -> np.ndarray:
    model, tokenizer = _sentence_transformer()
    batch = tokenizer(
        words, padding=True, truncation=True, max_length=MOST_TOKENS, return_tensors="pt"
    ).to(model.device)
    seen = batch["attention_mask"].unsqueeze(-1).float()
    hidden = model.base_model(**batch).last_hidden_state.float()
    mean = (hidden * seen).sum(dim=1) / seen.sum(dim=1)
    return torch.nn.functional.normalize(mean, dim=1).cpu().numpy()


_COLUMNS = ["neuron", "end", "rank", "word", "score", "n"]
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
    """Word types in order of first occurrence, the type's number of each word, and counts."""
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
    """Find the k best word types of each neuron, at both ends or, unsigned, at one."""
    if signed:
        return [_best(means, k, "positive", first), _best(-means, k, "negative", first)]
    return [_best(means, k, "either", first)]


def _words_table(
    found: Sequence[BestWords], ids: np.ndarray, types: np.ndarray, counts: np.ndarray
) -> pd.DataFrame:
    """Put the words of `best_words` into one table, by neuron, end and rank."""
    if not found:
        return pd.DataFrame(columns=_COLUMNS)
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
    return pd.DataFrame({name: own[order] for name, own in zip(_COLUMNS, columns, strict=True)})


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
