"""Does a feature of a sparse autoencoder tell a concept better than a neuron?

The features of multilingual-e5-small (`models.sae`) beside its units: those of the last layer,
which the features are made of, those of all layers, and, since the best of 16,384 tries is good at
something, the features of a random encoder of which as many fire. All are read off the first
sub-word of each word, in the pretrained model, which was never taught names.

One part of the sentences ranks them, fits readers of the best few and picks their thresholds;
another, of other sentences, gives every score and every word that is shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from jaxtyping import Bool
from scipy.sparse import csc_array
from sklearn.metrics import average_precision_score, precision_recall_curve

from plasticity_utils import files
from plasticity_utils.data.corpus import (
    CONCEPTS,
    ENTITY_LABELS,
    Corpus,
    concept_words,
    load_corpus,
    two_parts,
)
from plasticity_utils.errors import InputError
from plasticity_utils.experiment.config import RunConfig
from plasticity_utils.experiment.record import Audit
from plasticity_utils.experiment.run_names import features_name
from plasticity_utils.experiment.store import made_now, save_tables
from plasticity_utils.models.e5 import PACKAGE
from plasticity_utils.models.load import load_model, width
from plasticity_utils.models.locate import model_fingerprint
from plasticity_utils.models.sae import SparseEncoder, packaged_encoder
from plasticity_utils.names import (
    ASKED,
    BY_PRECISION,
    BY_SELECTIVITY,
    FEATURE,
    LAST_NEURON,
    NEURON,
    RANDOM_FEATURE,
)
from plasticity_utils.neurons.other_rankings import average_precisions
from plasticity_utils.neurons.scores import FEW_WORDS, ranking_of, selectivity
from plasticity_utils.neurons.words import highest_activating_words
from plasticity_utils.registry import users_errors
from plasticity_utils.training.readers import linear, states_to_read
from plasticity_utils.training.train import tag_sentences

SAE_MODEL = "e5"
N_READ = (1, 2, 4, 8, 16, 32, 64)
_N_SHOWN, _N_WORDS = 3, 6

_Answers: TypeAlias = np.ndarray | csc_array


@dataclass(frozen=True)
class Part:
    """Words of some sentences, which of them are of each concept, and what answers to them.

    Attributes
    ----------
    words : list of str
    inside : bool array, [n_words, n_concepts]
    answers : dict of str to array, [n_words, n]
        By kind: `FEATURE`, `RANDOM_FEATURE`, `NEURON`, `LAST_NEURON`.
    """

    words: list[str]
    inside: Bool[np.ndarray, "word concept"]
    answers: Mapping[str, _Answers]


@users_errors()
def run_features(config: RunConfig) -> Audit:
    """Rank features and units for three concepts, or find it done: `features`, `feature_words`.

    Of the configuration the model, the scale, the seed (of the sentences and of the random encoder)
    and the results' folder matter. InputError for a model without a sparse autoencoder.
    """
    if config.model != SAE_MODEL:
        raise InputError(
            f"there is no sparse autoencoder of the model {config.model!r}; allowed: {SAE_MODEL!r}"
        )
    encoder = packaged_encoder()
    settings = {
        "model": model_fingerprint(SAE_MODEL),
        "encoder": f"{PACKAGE} {version(PACKAGE)}",
        "sentences": [config.sizes.ranking, config.sizes.measuring],
        "asked": [ASKED, N_READ],
        "seed": config.seed,
    }
    make = partial(_make, config, encoder)
    return Audit(files.cached(config.results, features_name(config), settings, make))


def _make(config: RunConfig, encoder: SparseEncoder, part: Path) -> None:
    sizes, seed = config.sizes, config.seed
    model, tokenizer = load_model(SAE_MODEL, ENTITY_LABELS)
    halves = two_parts(load_corpus("conll2003", "test"))
    corpora = [
        drawn(half, n, seed)
        for half, n in zip(halves, (sizes.ranking, sizes.measuring), strict=True)
    ]
    states = [
        states_to_read(model, tag_sentences(model, tokenizer, corpus), len(corpus))[1]
        for corpus in corpora
    ]
    in_last = slice(-width(model), None)
    control = encoder.random_like(states[0][:, in_last], seed)
    seen = [
        Part(
            corpus.words,
            np.stack([concept_words(corpus, CONCEPTS[name]) for name in ASKED], axis=1),
            {
                FEATURE: csc_array(encoder.features(X[:, in_last])),
                RANDOM_FEATURE: csc_array(control.features(X[:, in_last])),
                NEURON: X,
                LAST_NEURON: X[:, in_last],
            },
        )
        for corpus, X in zip(corpora, states, strict=True)
    ]
    scores, words = told(seen[0], seen[1], width(model))
    save_tables({"features": scores, "feature_words": words}, part)
    ranked, ranked_random = (
        len(_candidates(seen[0].answers[kind])) for kind in (FEATURE, RANDOM_FEATURE)
    )
    facts = {
        "settings": config.settings(),
        "concept_info": asdict(config.concept_info),
        "asked": ASKED,
        "sizes": asdict(sizes),
        "n_words": [len(each.words) for each in seen],
        "encoder": {
            "package": f"{PACKAGE} {version(PACKAGE)}",
            "n_features": len(encoder.bias),
            "n_fire": encoder.n_fire,
            "n_ranked": ranked,
            "n_ranked_random": ranked_random,
        },
        **made_now(),
    }
    files.write_json(part / "config.json", facts)


def drawn(corpus: Corpus, n: int | None, seed: int) -> Corpus:
    """Draw sentences; a seed draws the same ones again."""
    order = np.random.default_rng(seed).permutation(len(corpus))
    return corpus.select(order[:n].tolist())


def told(ranking: Part, measuring: Part, d_model: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rank each kind on one part and score the best of it on the other, for each concept.

    Returns the tables `features` and `feature_words`; `d_model` is the width of a layer.
    """
    scores, words = [], []
    for kind, X in ranking.answers.items():
        candidates = _candidates(X)
        X, Y = X[:, candidates], measuring.answers[kind][:, candidates]
        dense = _dense(X, slice(None))
        sigma, precision = selectivity(dense, ranking.inside), _at_best_end(dense, ranking.inside)
        for column, concept in enumerate(ASKED):
            inside, truth = ranking.inside[:, column], measuring.inside[:, column]
            by = {
                BY_SELECTIVITY: np.abs(sigma[:, column]),
                BY_PRECISION: precision[:, column],
            }
            for name, score in by.items():
                row = {"concept": concept, "kind": kind, "ranking": name}
                order = ranking_of(score, name).order
                # All of a layer at once: what a linear reader finds where the features come from.
                sizes = [*N_READ, d_model] if kind == LAST_NEURON else N_READ
                for n in sizes:
                    best = order[:n]
                    found = _read(_dense(X, best), inside, _dense(Y, best), truth)
                    scores.append({**row, "n_read": n, **found})
                best = order[:_N_SHOWN]
                shown = _words(_dense(Y, best), measuring.words, sigma[best, column])
                # Features are of the last layer.
                last = ranking.answers[NEURON].shape[1] // d_model - 1
                for place, (at, said) in enumerate(zip(best, shown, strict=True), 1):
                    number = int(candidates[at])
                    layer, unit = divmod(number, d_model) if kind == NEURON else (last, number)
                    words.append({**row, "place": place, "layer": layer, "unit": unit,
                                  "selectivity": sigma[at, column], "words": said})  # fmt: skip
    return pd.DataFrame(scores), pd.DataFrame(words)


def _candidates(X: _Answers) -> np.ndarray:
    """Columns that can be ranked: of features those that fire on enough words to tell many."""
    if isinstance(X, np.ndarray):
        return np.arange(X.shape[1])
    return np.flatnonzero(np.diff(X.indptr) >= FEW_WORDS)


def _at_best_end(X: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Average precision of each column for each concept, by high answers or by low ones."""
    high = average_precisions(X, inside)
    # Where nothing is below zero the low end is silence, which most words share.
    return high if X.min() >= 0 else np.maximum(high, average_precisions(-X, inside))


def _read(X: np.ndarray, inside: np.ndarray, Y: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """Fit a linear reader and its threshold on some words, and score both on others."""
    reader = linear(0).fit(X, inside)
    seen, chance = (reader.predict_proba(states)[:, 1] for states in (X, Y))
    found = chance >= best_threshold(inside, seen)
    n_right = int((found & truth).sum())
    return {
        "average_precision": average_precision_score(truth, chance),
        "word_precision": n_right / max(1, int(found.sum())),
        "word_recall": n_right / int(truth.sum()),
        "word_f1": 2 * n_right / int(found.sum() + truth.sum()),
        "n_words": int(truth.sum()),
        "by_chance": truth.mean(),
    }


def best_threshold(inside: np.ndarray, chance: np.ndarray) -> float:
    """The threshold at which F1 is greatest."""
    precision, recall, thresholds = precision_recall_curve(inside, chance)
    both = precision[:-1] + recall[:-1]
    f1 = np.divide(2 * precision[:-1] * recall[:-1], both, out=np.zeros_like(both), where=both > 0)
    return float(thresholds[f1.argmax()])


def _words(Y: np.ndarray, words: Sequence[str], sigma: np.ndarray) -> list[str]:
    """The words that each column answers to most, at the end where the concept is."""
    table = highest_activating_words(Y, list(words), np.arange(Y.shape[1]), _N_WORDS)
    ends = np.where(sigma > 0, "positive", "negative")
    at_end = table[table["end"] == ends[table["neuron"]]]
    joined = at_end.groupby("neuron")["word"].agg(" · ".join)
    return joined.reindex(range(Y.shape[1]), fill_value="").tolist()


def _dense(X: _Answers, which: Any) -> np.ndarray:
    return X[:, which] if isinstance(X, np.ndarray) else X[:, which].toarray()
