"""The neurons that matter most, one card each: what a reader without a kernel looks at.

A run holds thousands of neurons at a dozen moments; a page has room for about a hundred. Which?
The most selective of the *removed* ones; the *newly salient*, kept neurons whose |σ| rose most;
and the *polysemantic*, kept neurons that in the end serve two entity types or more. Entity types
share the direction "entity or not", which alone would make half of all neurons polysemantic, so
for that an entity type is told from the other entities only. (A pair of files has no entity types,
and so none of this kind.)

Neurons are picked on the ranking half (the removed ones by the run itself, the polysemantic ones
by the retrained model's activations there) and described on the measuring half. Caveat: of the
removed neurons those come first that are most selective on the measuring half.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from plasticity_utils.activations import word_activations
from plasticity_utils.assembly import PLACE
from plasticity_utils.concepts import kinds
from plasticity_utils.corpus import Corpus
from plasticity_utils.errors import InputError
from plasticity_utils.measuring import concept_columns, entity_columns, load_sentences
from plasticity_utils.neuron_changes import newly_salient, removed_neurons
from plasticity_utils.replay import STAGES, activations_at, model_at
from plasticity_utils.run import Run
from plasticity_utils.saliency import flat_ids, selectivity

KINDS = ("removed", "newly salient", "polysemantic")
OTHER = "other"
TABLES = ("card_neurons", "card_stages", "card_words", "card_histograms")
BINS = 20
LEAST_SELECTIVITY = 0.4
SHUFFLED_QUANTILE = 0.999
_CUT = 0.005  # of the words at either end, so that one far word does not flatten all others


def neuron_cards(run: Run, n: int = 100) -> dict[str, pd.DataFrame]:
    """Describe the neurons of a run that matter most.

    Parameters
    ----------
    run : Run
        Its stages must still lie in `run.config.results`, since activations come from them.
    n : int
        Neurons, at least 3: a third removed, half of the rest newly salient, the others
        polysemantic. A run in which there are not as many of a kind has fewer cards.

    Returns
    -------
    dict of DataFrame
        Each is small; saved by name with ``to_parquet(…, compression="zstd")`` they take about
        100 KB together, and ``pd.read_parquet`` brings them back as they are.

        `card_neurons`, a row a neuron: layer, unit, kind (of `KINDS`), place (1 = foremost of its
        kind), n_types (entity types served at the end, told from the other entities), low, high
        (the ends of its histogram, in units of its activation).

        `card_stages`, a row a neuron, stage and condition (`concept`, `none`): condition, stage,
        epoch, layer, unit, gain, `selectivity_*` (σ of every entity type, against all words).

        `card_words`, a row a neuron and stage of `concept`: stage, layer, unit, words (highest-
        activating, joined by " · "), words_low.

        `card_histograms`, a row a neuron, stage of `concept` and class of words: stage, layer,
        unit, entity (a type, the own concept, or `other`), n (words of that class), share (a list
        of `BINS` numbers that add up to 1: the share of the class's words in each bin from low to
        high; words beyond the ends count in the outermost bins).

    Raises
    ------
    InputError
        If `n` is below 3, or the run's models are not kept here.
    """
    if n < len(KINDS):
        raise InputError(f"n = {n}: at least {len(KINDS)} neurons, one of each kind")
    corpus = load_sentences(run.config).measuring
    neurons = _chosen(run, n)
    ids = flat_ids(neurons[PLACE].to_numpy(), _width(run))
    stored = {stage: activations_at(run, "concept", stage) for stage in STAGES}
    X = {stage: activations[ids].astype(np.float32) for stage, activations in stored.items()}
    neurons["n_types"] = 0
    if "entity" in corpus.labels:
        sigma, threshold = within_entities(X["end"].T, corpus)
        neurons["n_types"] = (np.abs(sigma) > threshold).sum(axis=1)
    neurons["low"], neurons["high"] = _ends(np.concatenate(list(X.values()), axis=1))
    return {
        "card_neurons": neurons,
        "card_stages": _stages(run, neurons),
        "card_words": _words(run, neurons),
        "card_histograms": _histograms(X, corpus, neurons),
    }


def cards_of(run: Run) -> dict[str, pd.DataFrame]:
    """Cards of a run: read where it is a published one, else described anew.

    Parameters
    ----------
    run : Run
        From `find_run`, `run_experiment` or `load_run`.

    Returns
    -------
    dict of DataFrame
        As `neuron_cards`.
    """
    paths = [run.path / f"{name}.parquet" for name in TABLES]
    if all(path.is_file() for path in paths):
        return {path.stem: pd.read_parquet(path) for path in paths}
    return neuron_cards(run)


def within_entities(X: np.ndarray, corpus: Corpus) -> tuple[np.ndarray, float]:
    """Selectivity for each entity type among entity words, and what counts as large.

    Parameters
    ----------
    X : float array, [n_words, n_neurons]
        From `word_activations` on the corpus.
    corpus : Corpus

    Returns
    -------
    sigma : float array, [n_neurons, n_entities]
        In [−1, 1], columns as in `concepts.ENTITIES`.
    threshold : float
        The 99.9th percentile of |σ| under shuffled labels or 0.4, whichever is larger.
    """
    members = entity_columns(corpus)
    entity = members.any(axis=1)
    X, members = X[entity], members[entity]
    shuffled = np.random.default_rng(0).permutation(members)
    chance = np.quantile(np.abs(selectivity(X, shuffled)), SHUFFLED_QUANTILE)
    return selectivity(X, members), max(LEAST_SELECTIVITY, float(chance))


def _chosen(run: Run, n: int) -> pd.DataFrame:
    """Layer, unit, kind and place of the neurons that get a card, each of one kind."""
    removed = removed_neurons(run.neurons, n // 3)[PLACE]
    new = newly_salient(run.neurons, (n - len(removed)) // 2)[PLACE]
    taken = pd.concat([removed, new])
    several = _polysemantic(run, taken, n - len(taken))
    parts = [
        part.assign(kind=kind, place=range(1, len(part) + 1))
        for kind, part in zip(KINDS, (removed, new, several), strict=True)
    ]
    return pd.concat(parts, ignore_index=True)


def _polysemantic(run: Run, taken: pd.DataFrame, k: int) -> pd.DataFrame:
    """Kept neurons that serve two entity types, those first that serve their second one best."""
    corpus = load_sentences(run.config).ranking
    if "entity" not in corpus.labels:
        return taken.iloc[:0]
    with model_at(run, "concept", "end") as (model, tokenizer):
        X = word_activations(model, tokenizer, corpus.sentences)
    sigma, threshold = within_entities(X, corpus)
    second = np.sort(np.abs(sigma), axis=1)[:, -2]
    at_end = _at(run, "concept", "end")
    second[at_end["removed"].to_numpy()] = 0
    second[flat_ids(taken.to_numpy(), _width(run))] = 0
    order = np.argsort(-second, kind="stable")[:k]
    return at_end.iloc[order[second[order] > threshold]][PLACE].reset_index(drop=True)


def _ends(pooled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each neuron's histogram begins and ends, over all of its stages."""
    low, high = np.quantile(pooled, [_CUT, 1 - _CUT], axis=1)
    return low, np.where(high > low, high, low + 1)


def _histograms(X: dict[str, np.ndarray], corpus: Corpus, neurons: pd.DataFrame) -> pd.DataFrame:
    members = concept_columns(corpus)
    low = neurons["low"].to_numpy()[:, None]
    width = (neurons["high"] - neurons["low"]).to_numpy()[:, None] / BINS
    classes = [*members.T, ~members.any(axis=1)]
    parts = []
    for stage, activation in X.items():
        bins = ((activation - low) / width).astype(int).clip(0, BINS - 1)
        for name, inside in zip([*kinds(corpus), OTHER], classes, strict=True):
            counts = np.stack([np.bincount(row, minlength=BINS) for row in bins[:, inside]])
            shares = (counts / max(inside.sum(), 1)).round(4)
            part = neurons[PLACE].assign(stage=stage, entity=name, n=int(inside.sum()))
            parts.append(part.assign(share=list(shares.astype(np.float32))))
    return pd.concat(parts, ignore_index=True)


def _stages(run: Run, neurons: pd.DataFrame) -> pd.DataFrame:
    sigma = [name for name in run.neurons if name.startswith("selectivity_")]
    columns = ["condition", "stage", "epoch", *PLACE, "gain", *sigma]
    both = run.neurons[run.neurons["condition"].isin(["concept", "none"])]
    return neurons[PLACE].merge(both[columns], on=PLACE)[columns].round(dict.fromkeys(sigma, 3))


def _words(run: Run, neurons: pd.DataFrame) -> pd.DataFrame:
    columns = ["stage", *PLACE, "words", "words_low"]
    shown = pd.concat([_at(run, "concept", stage) for stage in STAGES])
    return neurons[PLACE].merge(shown[columns], on=PLACE)[columns]


def _at(run: Run, condition: str, stage: str) -> pd.DataFrame:
    """Rows of one moment, in flat order."""
    rows = (run.neurons["condition"] == condition) & (run.neurons["stage"] == stage)
    return run.neurons[rows].sort_values(PLACE, ignore_index=True)


def _width(run: Run) -> int:
    return int(run.neurons["unit"].max()) + 1
