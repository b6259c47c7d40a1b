"""Is it the same concept, or another process that does the same job?

Two views. *Linear CKA* (Kornblith et al. 2019) compares what two models make of the same words; a
rotation or a common scale of the space leaves it at 1. It is biased upwards where words are few
beside units, so the debiased variant (Nguyen, Raghu & Kornblith 2021) stands beside it: near 0 for
unrelated spaces. *Probe transfer* asks whether a probe that reads the concept off the base reads it
off the retrained model too, as it is and after an orthogonal alignment (Procrustes) that is fitted
on other words. Transfer without alignment: the same directions. Only with it: the same geometry,
turned. Not even then: another representation. Alignment to shuffled words is the control.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from scipy.linalg import orthogonal_procrustes
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import balanced_accuracy_score, f1_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from plasticity_utils.errors import InputError

FEWEST_WORDS = 4


def linear_cka(
    X: Float[np.ndarray, "word unit"],
    Y: Float[np.ndarray, "other_word other"],
    debiased: bool = False,
) -> float:
    """Similarity of two representations of the same words (Kornblith et al. 2019).

    Parameters
    ----------
    X, Y : float array, [n_words, n_units] each
        One layer of two models on the same words, rows of `word_activations` that belong to the
        concept.
    debiased : bool
        Use the unbiased estimate of the Hilbert–Schmidt independence criterion; it can fall a
        little below 0.

    Returns
    -------
    float
        1 for the same geometry up to rotation and scale; NaN where one side does not vary.

    Raises
    ------
    InputError
        If the words differ in number or are fewer than 4.
    """
    if len(X) != len(Y) or len(X) < FEWEST_WORDS:
        raise InputError(
            f"representations of {len(X)} and {len(Y)} words; allowed: the same number, "
            f"at least {FEWEST_WORDS}"
        )
    grams = [_gram(side, debiased) for side in (X, Y)]
    dependence = _unbiased_product if debiased else _product
    scale = dependence(grams[0], grams[0]) * dependence(grams[1], grams[1])
    return dependence(*grams) / float(np.sqrt(scale)) if scale > 0 else float("nan")


def cka_by_layer(
    X_base: Float[np.ndarray, "word neuron"],
    X_end: Float[np.ndarray, "end_word end_neuron"],
    d_model: int,
) -> pd.DataFrame:
    """Linear CKA of two models on the same words, layer by layer.

    Parameters
    ----------
    X_base, X_end : float array, [n_words, n_layers * d_model]
        From `word_activations` of the base and the retrained model, the concept's words only.
    d_model : int

    Returns
    -------
    DataFrame
        layer, cka, cka_debiased, n (words).
    """
    _check_same_shape(X_base, X_end)
    rows = []
    for layer in range(X_base.shape[1] // d_model):
        base, end = (_layer(X, layer, d_model) for X in (X_base, X_end))
        rows.append((layer, linear_cka(base, end), linear_cka(base, end, True), len(base)))
    return pd.DataFrame(rows, columns=["layer", "cka", "cka_debiased", "n"])


def probe_transfer(
    X_base: Float[np.ndarray, "word neuron"],
    X_end: Float[np.ndarray, "end_word end_neuron"],
    is_concept: Bool[np.ndarray, " word"],
    fits: Bool[np.ndarray, " word"],
    d_model: int,
    seed: int = 0,
) -> pd.DataFrame:
    """How well a probe of the base model reads the retrained one, before and after alignment.

    The probe is Fisher's discriminant with Ledoit–Wolf shrinkage of each class, on scaled units.

    Parameters
    ----------
    X_base, X_end : float array, [n_words, n_layers * d_model]
        From `word_activations` of the two models on the same words.
    is_concept : bool array, [n_words]
        From `concept_words`.
    fits : bool array, [n_words]
        The words that fit probe and alignment; the others score them. Best cut by sentence, as
        `halves` does: the words of one sentence are alike.
    d_model : int
    seed : int
        Of the shuffled control.

    Returns
    -------
    DataFrame
        layer, alignment, f1 and balanced_accuracy (word level, in [0, 1]), n (words scored).
        `alignment` is `base` (the probe on its own model: the ceiling), `none`, `procrustes`, or
        `shuffled` (Procrustes to the wrong words: the floor).

    Raises
    ------
    InputError
        If the shapes differ, or a half lacks words inside or outside the concept.
    """
    _check_same_shape(X_base, X_end)
    for name, part in (("fit", fits), ("score", ~fits)):
        if np.unique(is_concept[part]).size < 2:
            raise InputError(f"the words that {name} must lie both inside and outside the concept")
    rng = np.random.default_rng(seed)
    rows = []
    for layer in range(X_base.shape[1] // d_model):
        base, end = (_layer(X, layer, d_model) for X in (X_base, X_end))
        probe = _probe().fit(base[fits], is_concept[fits])
        views = {
            "base": base,
            "none": end,
            "procrustes": _aligned(end, base, fits, np.arange(fits.sum())),
            "shuffled": _aligned(end, base, fits, rng.permutation(fits.sum())),
        }
        for alignment, view in views.items():
            predicted, truth = probe.predict(view[~fits]), is_concept[~fits]
            f1 = f1_score(truth, predicted, zero_division=0)
            accuracy = balanced_accuracy_score(truth, predicted)
            rows.append((layer, alignment, f1, accuracy, int(truth.size)))
    return pd.DataFrame(rows, columns=["layer", "alignment", "f1", "balanced_accuracy", "n"])


def _probe() -> Pipeline:
    # Scaled first: unscaled, a few wide units would set the shrinkage for all.
    fisher = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    return make_pipeline(StandardScaler(), fisher)


def _aligned(end: np.ndarray, base: np.ndarray, fits: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Turn the retrained space into the base's by the words that fit, matched in this order."""
    end_mean, base_mean = end[fits].mean(axis=0), base[fits].mean(axis=0)
    turn, _ = orthogonal_procrustes(end[fits] - end_mean, base[fits][order] - base_mean)
    return (end - end_mean) @ turn + base_mean


def _gram(X: np.ndarray, debiased: bool) -> np.ndarray:
    centred = X.astype(np.float64) - X.mean(axis=0, dtype=np.float64)
    gram = centred @ centred.T
    if debiased:
        np.fill_diagonal(gram, 0)
    return gram


def _product(K: np.ndarray, L: np.ndarray) -> float:
    return float(np.sum(K * L))


def _unbiased_product(K: np.ndarray, L: np.ndarray) -> float:
    """Song et al. 2012, eq. 5, without the factor 1 / n(n − 3), which cancels in CKA."""
    n = len(K)
    totals = K.sum() * L.sum() / ((n - 1) * (n - 2))
    return float(np.sum(K * L) + totals - 2 * K.sum(axis=0) @ L.sum(axis=0) / (n - 2))


def _layer(X: np.ndarray, layer: int, d_model: int) -> np.ndarray:
    return X[:, layer * d_model : (layer + 1) * d_model].astype(np.float64)


def _check_same_shape(X_base: np.ndarray, X_end: np.ndarray) -> None:
    if X_base.shape != X_end.shape:
        raise InputError(
            f"activations of shapes {X_base.shape} and {X_end.shape}; allowed: the same words and "
            "neurons in both"
        )
