"""Precision, recall and F1 of each type, with an interval over sentences.

Of tags of spans an entity counts only if its boundaries and its type are right (the CoNLL-2003
measure, as seqeval reads it). Of plain tags, such as parts of speech, each word counts. One run has
one seed, so its interval comes from resampling the evaluated sentences (percentile bootstrap): it
says how far the figure depends on the sentences at hand, and nothing about other seeds.

A concept that is no tag is read by a linear probe of the last layer, fitted on the base model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from seqeval.metrics.sequence_labeling import get_entities
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from plasticity_utils.data.concepts import members
from plasticity_utils.data.corpus import Corpus
from plasticity_utils.data.schemes import OUTSIDE
from plasticity_utils.errors import InputError
from plasticity_utils.models.activations import ActivationStream
from plasticity_utils.models.load import width
from plasticity_utils.names import OVERALL
from plasticity_utils.neurons.probes import fit_discriminants

RESAMPLES = 1000
_CONFIDENCE = (2.5, 97.5)
PROBE_FILE = "probe.npz"


def entity_scores(
    gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], entities: Sequence[str]
) -> pd.DataFrame:
    """Score predicted tags for each entity type, and `overall`: the micro average over all types.

    Tags are in IOB2, or plain ones. Gives entity, precision, recall, entity_f1, entity_f1_low,
    entity_f1_high (95 % bootstrap interval over sentences), n_gold (gold entities, or words where
    tags are plain).
    """
    if [len(tags) for tags in gold] != [len(tags) for tags in predicted]:
        raise InputError("gold and predicted tags differ in the number of sentences or words")
    find = _words if _is_plain([*gold, *predicted]) else get_entities
    found = [(set(find(list(g))), set(find(list(p)))) for g, p in zip(gold, predicted, strict=True)]
    counts = np.stack([_counts(true, read, entities) for true, read in found])
    return scores_of_counts(counts, [*entities, OVERALL])


def scores_of_counts(
    counts: Int[np.ndarray, "sentence entity 3"], names: list[str]
) -> pd.DataFrame:
    """Turn counts of what was found rightly, was found, and is to be found into `entity_scores`."""
    low, high = np.percentile(_resampled_f1(counts), _CONFIDENCE, axis=0)
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


Place = tuple[str, int, int]


def _is_plain(sentences: Sequence[Sequence[str]]) -> bool:
    """Whether tags are of words: all corpora's tags of spans are in IOB2 here."""
    return any(tag != OUTSIDE and tag[:2] not in ("B-", "I-") for tags in sentences for tag in tags)


def _words(tags: Sequence[str]) -> list[Place]:
    """Every word with a tag, as an entity of its own."""
    return [(tag, place, place) for place, tag in enumerate(tags) if tag != OUTSIDE]


def _counts(true: set[Place], found: set[Place], entities: Sequence[str]) -> np.ndarray:
    """Correct, found and true entities of one sentence, by type and of all, [n_entities + 1, 3]."""
    kinds = [Counter(kind for kind, *_ in items) for items in (true & found, found, true)]
    of_each = [[count[entity] for count in kinds] for entity in entities]
    return np.array([*of_each, [count.total() for count in kinds]])


def _resampled_f1(counts: np.ndarray) -> np.ndarray:
    """F1 under resampling of sentences, [n_resamples, n_entities]."""
    n_sentences = counts.shape[0]
    rng = np.random.default_rng(0)
    weights = rng.multinomial(n_sentences, np.full(n_sentences, 1 / n_sentences), size=RESAMPLES)
    totals = np.tensordot(weights.astype(float), counts.astype(float), axes=1)
    return _ratio(2 * totals[..., 0], totals[..., 1] + totals[..., 2])


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros(np.shape(part)), where=whole > 0)


@dataclass(frozen=True)
class CustomProbe:
    """Whether a word belongs to the concept: weights · activation + bias > 0.

    Attributes
    ----------
    weights : float array, [d_model]
        0 for a unit that does not vary in the base model.
    bias : float
    """

    weights: np.ndarray
    bias: float

    def save(self, folder: Path) -> None:
        """Write the probe into a folder."""
        np.savez(folder / PROBE_FILE, weights=self.weights, bias=self.bias)

    @classmethod
    def load(cls, folder: Path) -> CustomProbe:
        """Read what `save` wrote."""
        with np.load(folder / PROBE_FILE) as stored:
            return cls(stored["weights"], float(stored["bias"]))


def fit_custom_probe(
    X: Float[np.ndarray, "word unit"], is_concept: Bool[np.ndarray, " word"]
) -> CustomProbe:
    """Fit a linear discriminant on the last layer of the base model, as `measure_layers` does."""
    probe = fit_discriminants(X, is_concept[:, None])
    return CustomProbe(probe.weights[:, 0], float(probe.biases[0]))


def last_layer(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, corpus: Corpus
) -> Float[np.ndarray, "word unit"]:
    """Activations of the layer that the head reads, [n_words, d_model]."""
    stream, d_model = ActivationStream(model, tokenizer, corpus.sentences), width(model)
    X = np.empty((stream.shape[0], d_model), dtype=np.float32)
    for rows, values in stream:
        X[rows] = values[:, -d_model:]
    return X


def score_custom(
    probe: CustomProbe,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    corpus: Corpus,
    label: str,
) -> pd.DataFrame:
    """Score the probe's reading of a model as a row of `entity_scores`; counts are of words."""
    true = members(corpus, label)
    found = np.empty_like(true)
    for rows, X in ActivationStream(model, tokenizer, corpus.sentences):
        found[rows] = X[:, -width(model) :] @ probe.weights + probe.bias > 0
    sentence = np.repeat(np.arange(len(corpus)), [len(words) for words in corpus.sentences])
    counts = np.stack(
        [
            np.bincount(sentence, weights=flags, minlength=len(corpus)).astype(int)
            for flags in (true & found, found, true)
        ],
        axis=1,
    )
    return scores_of_counts(counts[:, None, :], [label])


def scorer_of(
    probe: CustomProbe,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    corpus: Corpus,
    label: str,
) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Return a function that adds the row of `score_custom` to a table of `entity_scores`."""

    def with_custom(table: pd.DataFrame) -> pd.DataFrame:
        row = score_custom(probe, model, tokenizer, corpus, label)
        return pd.concat([table, row], ignore_index=True)

    return with_custom
