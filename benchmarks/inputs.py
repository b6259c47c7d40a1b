"""What both sides work on: the same sentences, activations and concepts."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.measure import Work
from plasticity_utils.data.corpus import Corpus, load_corpus
from plasticity_utils.models.activations import word_activations
from plasticity_utils.models.load import load_model
from plasticity_utils.neurons.inventory import inventory

ACTIVATIONS = "activations.npy"


def first_sentences(n_sentences: int) -> Corpus:
    """The first sentences of the training split."""
    return load_corpus("conll2003").first(n_sentences)


def first_words(n_words: int) -> Corpus:
    """As many sentences of the training split as hold at least `n_words` words."""
    corpus = load_corpus("conll2003")
    so_far = np.cumsum([len(sentence) for sentence in corpus.sentences])
    return corpus.first(int(np.searchsorted(so_far, n_words)) + 1)


def activations(folder: Path, words: int, model: str) -> Work:
    """Prepare to write the activations that later rows work on."""
    corpus = first_words(words)

    def run() -> None:
        word_activations(*load_model(model), corpus.sentences, out=folder / ACTIVATIONS)

    return Work(run, lambda _: {"n_words": corpus.n_words})


def concept_columns(corpus: Corpus, n_concepts: int) -> tuple[list[str], np.ndarray]:
    """The first concepts of the inventory, and their words: bool [n_words, n_concepts].

    Punctuation is no part of speech there, and its tags no labels (a comma separates labels).
    """
    found = inventory(corpus.word_labels("entity"), corpus.word_labels("pos"), most=n_concepts)
    return list(found.names[:n_concepts]), found.members[:, :n_concepts]


def layers(X: np.ndarray, d_model: int) -> list[np.ndarray]:
    """Activations of each layer, [n_words, d_model], of all of them side by side."""
    return [X[:, start : start + d_model] for start in range(0, X.shape[1], d_model)]


def sampled_neurons(n_neurons: int, n_sampled: int | None) -> np.ndarray:
    """Flat ids of a seeded sample, or of all neurons."""
    if n_sampled is None or n_sampled >= n_neurons:
        return np.arange(n_neurons)
    drawn = np.random.default_rng(0).choice(n_neurons, n_sampled, replace=False)
    return np.sort(drawn)
