"""Words: which ones does a neuron answer to, and how alike are two lists of them.

The words that drive a neuron furthest from its mean are the quickest look at what it is for. Each
word type gets the mean z-score of its occurrences; the highest and the lowest are the two *ends*
of the neuron. They are kept apart, because a residual neuron has no off state: −3 is as strong an
answer as +3, and often to another concept.

NeuroX's ``get_top_words`` (Dalvi et al. 2019b) takes the mean of |z| instead: strong *negative*
responses count as activating, both ends fall into one list, and a word seen once on a lucky day
comes first. ``signed=False`` gives just that, for comparison; where NeuroX divides 0 by 0 (a neuron
that does not vary) there are no words. Ours also takes all neurons at once, not one per call.

Caveat: a list of words is a hint, not a meaning. **Similarity** of two lists is the mean pairwise
cosine of sentence embeddings (Reimers & Gurevych 2019) from the packaged, never fine-tuned MiniLM:
words out of context, so senses are mixed.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import chain

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from scipy.sparse import csr_array
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from plasticity_utils.errors import InputError
from plasticity_utils.models import load_model
from plasticity_utils.progress import bar
from plasticity_utils.word_scores import (
    BestWords,
    best_words,
    occurrences,
    word_types,
    words_table,
)

BLOCK = 64  # neurons at a time: so few stay in the processor's cache from step to step
EMBEDDING_BATCH = 256  # words at a time through the sentence transformer
MOST_TOKENS = 256  # the sentence transformer's own limit; only a very long "word" reaches it

_embedded: dict[str, np.ndarray] = {}  # one vector per distinct word and process


def highest_activating_words(
    X: Float[np.ndarray, "word neuron"],
    words: list[str],
    neurons: Sequence[int] | np.ndarray,
    k: int,
    signed: bool = True,
    min_count: int = 2,
) -> pd.DataFrame:
    """List the words at both ends of each neuron.

    Parameters
    ----------
    X : np.ndarray
        Activations, ``[n_words, n_neurons]``, usually the output of
        ``activations.word_activations``.
    words : list of str
        The word of each row of ``X``, usually the sentences of a corpus, chained.
    neurons : sequence of int
        Flat ids, ``layer * d_model + unit``, as ``saliency.flat_ids`` gives them.
    k : int
        Words at each end, at most; at least 1.
    signed : bool
        True: signed mean z, ends ``positive`` and ``negative``. False: as NeuroX's
        ``get_top_words``, mean |z| as a share of the best word's, one end ``either``.
    min_count : int
        Leave out word types with fewer occurrences; only where ``signed``.

    Returns
    -------
    pandas.DataFrame
        A row a word: ``neuron`` (flat id), ``end``, ``rank`` (0 = strongest), ``word``, ``score``
        (mean z in standard deviations, negative at the negative end; unsigned: share in (0.1, 1]),
        ``n`` (occurrences). Neurons in the order asked for; words with equal scores in the order
        of their first occurrence. A neuron that does not vary has no rows.

    Raises
    ------
    InputError
        Words and rows of different number, no words, an id that is no neuron of ``X``, ``k`` or
        ``min_count`` below 1, or an activation that is not finite.

    References
    ----------
    Dalvi et al. 2019b, "NeuroX: A Toolkit for Analyzing Individual Neurons in Neural Networks".
    """
    ids = _check_words_and_neurons(X, words, neurons, k, min_count)
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
    return words_table(found, ids, types[eligible], counts[eligible])


def embed_words(words: Sequence[str]) -> Float[np.ndarray, "word 384"]:
    """Embed words, each by itself, with the packaged sentence transformer.

    The recipe of all-MiniLM-L6-v2: the mean of the last layer over all tokens that attention sees
    ([CLS] and [SEP] among them), scaled to length 1. A distinct word is computed once per process.

    Parameters
    ----------
    words : sequence of str
        At least one word.

    Returns
    -------
    np.ndarray
        Unit vectors, ``[n_words, 384]``, in the order of ``words``.

    Raises
    ------
    InputError
        No words.

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


def word_similarity(words_a: Sequence[str], words_b: Sequence[str]) -> float:
    """Mean cosine of the embeddings over all pairs of a word of each list.

    Parameters
    ----------
    words_a, words_b : sequence of str
        Usually two word lists of ``highest_activating_words``. A word in both is a pair too, so a
        list compared with itself is below 1 unless it repeats one word.

    Returns
    -------
    float
        In [−1, 1].

    Raises
    ------
    InputError
        An empty list: whoever averages over neurons decides what a neuron without words counts.
    """
    # The mean of all dot products is the dot product of the means.
    mean_a = embed_words(words_a).mean(axis=0, dtype=np.float64)
    mean_b = embed_words(words_b).mean(axis=0, dtype=np.float64)
    return float(mean_a @ mean_b)


def _check_words_and_neurons(
    X: np.ndarray, words: list[str], neurons: Sequence[int] | np.ndarray, k: int, min_count: int
) -> np.ndarray:
    if len(words) != len(X) or not words:
        raise InputError(
            f"{len(words)} words for {len(X)} rows of activations; "
            "there must be one row for each word, and at least one word"
        )
    if k < 1 or min_count < 1:
        raise InputError(f"k = {k}, min_count = {min_count}: both at least 1")
    ids = np.asarray(neurons, dtype=np.int64).reshape(-1)
    outside = ids[(ids < 0) | (ids >= X.shape[1])]
    if len(outside):
        raise InputError(f"no neuron {outside[0]}: flat ids run from 0 to {X.shape[1] - 1}")
    return ids


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
    return load_model("minilm")


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
