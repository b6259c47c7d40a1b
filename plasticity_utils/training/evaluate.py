"""Entity-level precision, recall and F1, with an interval over sentences.

An entity counts only if its boundaries and its type are right (the CoNLL-2003 measure, as seqeval
reads it). One run has one seed, so its interval comes from resampling the evaluated sentences
(percentile bootstrap): it says how far the figure depends on the sentences at hand, and nothing
about other seeds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Int
from seqeval.metrics.sequence_labeling import get_entities

from plasticity_utils.errors import InputError

RESAMPLES = 1000
CONFIDENCE = (2.5, 97.5)
OVERALL = "overall"


def entity_scores(
    gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], entities: Sequence[str]
) -> pd.DataFrame:
    """Score predicted tags for each entity type and for all together.

    Parameters
    ----------
    gold, predicted : sequence of sequence of str
        BIO tags of each sentence's words; `predicted` usually from `predict_tags`.
    entities : sequence of str
        Entity types to report, in this order; `overall` (micro average) is added.

    Returns
    -------
    DataFrame
        entity, precision, recall, entity_f1 (each in [0, 1]), entity_f1_low, entity_f1_high (95 %
        bootstrap interval over sentences), n_gold (gold entities).
    """
    if [len(tags) for tags in gold] != [len(tags) for tags in predicted]:
        raise InputError("gold and predicted tags differ in the number of sentences or words")
    counts = np.stack([_counts(g, p, entities) for g, p in zip(gold, predicted, strict=True)])
    counts = np.concatenate([counts, counts.sum(axis=1, keepdims=True)], axis=1)
    return scores_of_counts(counts, [*entities, OVERALL])


def scores_of_counts(
    counts: Int[np.ndarray, "sentence entity 3"], names: list[str]
) -> pd.DataFrame:
    """Turn counts into scores, with an interval over sentences.

    Parameters
    ----------
    counts : int array, [n_sentences, n_entities, 3]
        What was found rightly, what was found, and what there is to find.
    names : sequence of str
        Of the rows.

    Returns
    -------
    DataFrame
        As `entity_scores`.
    """
    low, high = np.percentile(_resampled_f1(counts), CONFIDENCE, axis=0)
    correct, found, true = counts.sum(axis=0).T
    return pd.DataFrame(
        {
            "entity": list(names),
            "precision": _ratio(correct, found),
            "recall": _ratio(correct, true),
            "entity_f1": _ratio(2 * correct, found + true),
            "entity_f1_low": low,
            "entity_f1_high": high,
            "n_gold": true.astype(int),
        }
    )


def _counts(gold: Sequence[str], predicted: Sequence[str], entities: Sequence[str]) -> np.ndarray:
    """Correct, found and true entities of one sentence, [n_entities, 3]."""
    true, found = set(get_entities(list(gold))), set(get_entities(list(predicted)))
    return np.array(
        [
            [sum(item[0] == entity for item in items) for items in (true & found, found, true)]
            for entity in entities
        ]
    )


def _resampled_f1(counts: np.ndarray) -> np.ndarray:
    """F1 under resampling of sentences, [n_resamples, n_entities]."""
    n_sentences = counts.shape[0]
    rng = np.random.default_rng(0)
    weights = rng.multinomial(n_sentences, np.full(n_sentences, 1 / n_sentences), size=RESAMPLES)
    totals = np.tensordot(weights.astype(float), counts.astype(float), axes=1)
    return _ratio(2 * totals[..., 0], totals[..., 1] + totals[..., 2])


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros(np.shape(part)), where=whole > 0)
