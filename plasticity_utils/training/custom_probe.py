"""F1 of a concept that is no tag: a linear probe on the last layer of the base model reads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from plasticity_utils.data.concepts import members
from plasticity_utils.data.corpus import Corpus
from plasticity_utils.models.activations import word_activations
from plasticity_utils.models.load import width
from plasticity_utils.neurons.probes import fit_discriminants
from plasticity_utils.training.evaluate import scores_of_counts

PROBE_FILE = "probe.npz"


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
    """Fit Fisher's linear discriminant with Ledoit–Wolf shrinkage, as `probe_layers` does.

    Parameters
    ----------
    X : float array, [n_words, d_model]
        The last layer of `word_activations` of the base model on the ranking part.
    is_concept : bool array, [n_words]
        From `members`.
    """
    probe = fit_discriminants(X, is_concept[:, None])
    return CustomProbe(probe.weights[:, 0], float(probe.biases[0]))


def last_layer(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, corpus: Corpus
) -> Float[np.ndarray, "word unit"]:
    """Activations of the layer that the head reads, [n_words, d_model]."""
    return word_activations(model, tokenizer, corpus.sentences)[:, -width(model) :]


def score_custom(
    probe: CustomProbe,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    corpus: Corpus,
    label: str,
) -> pd.DataFrame:
    """Score the probe's reading of a model as it is, with whatever is removed from it.

    Parameters
    ----------
    probe : CustomProbe
        From `fit_custom_probe`.
    model, tokenizer
        From `load_model`.
    corpus : Corpus
        With the column `concept`: one of the custom parts of `load_sentences`.
    label : str
        The concept's tag.

    Returns
    -------
    DataFrame
        One row with the columns of `entity_scores`; counts and n are of words.
    """
    found = last_layer(model, tokenizer, corpus) @ probe.weights + probe.bias > 0
    true = members(corpus, label)
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
