"""Is it the same concept, or another process that does the same job?

Two views. *Linear CKA* (Kornblith et al. 2019) compares what two models make of the same words; a
rotation or a common scale of the space leaves it at 1. It is biased upwards where words are few
beside units, so the debiased variant (Nguyen, Raghu & Kornblith 2021) stands beside it: near 0 for
unrelated spaces. *Probe transfer* asks whether a probe that reads the concept off the base reads it
off the retrained model too, as it is and after an orthogonal alignment (Procrustes) that is fitted
on other words. Transfer without alignment: the same directions. Only with it: the same geometry,
turned. Not even then: another representation. Alignment to shuffled words is the floor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from scipy.linalg import orthogonal_procrustes
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import balanced_accuracy_score, f1_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from plasticity_utils.analysis.sameness import PRETRAINED
from plasticity_utils.analysis.snapshots import RunSnapshots, Snapshot
from plasticity_utils.data.concepts import members
from plasticity_utils.data.corpus import in_first_part
from plasticity_utils.errors import InputError
from plasticity_utils.experiment.audit import AuditStages
from plasticity_utils.experiment.record import Audit
from plasticity_utils.experiment.run_names import shared_settings
from plasticity_utils.models.activations import word_activations
from plasticity_utils.models.load import load_model, width
from plasticity_utils.names import BASE
from plasticity_utils.neurons.scores import flat_ids

_FEWEST_WORDS = 4
_COMPARED: tuple[Snapshot, ...] = (
    ("targeted", "removed"),
    ("targeted", "end"),
    ("random", "end"),
    ("none", "end"),
)


def linear_cka(
    X: Float[np.ndarray, "word unit"],
    Y: Float[np.ndarray, "other_word other"],
    debiased: bool = False,
) -> float:
    """Similarity of one layer of two models on the same words: 1 up to rotation and scale.

    NaN where one side does not vary; debiased (by the unbiased estimate of the Hilbert–Schmidt
    independence criterion) it can fall a little below 0.
    """
    if len(X) != len(Y) or len(X) < _FEWEST_WORDS:
        raise InputError(
            f"representations of {len(X)} and {len(Y)} words; allowed: the same number, "
            f"at least {_FEWEST_WORDS}"
        )
    grams = [_gram(side, debiased) for side in (X, Y)]
    dependence = _unbiased_product if debiased else _product
    scale = dependence(grams[0], grams[0]) * dependence(grams[1], grams[1])
    return dependence(*grams) / float(np.sqrt(scale)) if scale > 0 else float("nan")


def layer_cka(
    X_base: Float[np.ndarray, "word neuron"],
    X_end: Float[np.ndarray, "end_word end_neuron"],
    d_model: int,
) -> pd.DataFrame:
    """Linear CKA of two models on the concept's words: layer, cka, cka_debiased, n_words."""
    _check_same_shape(X_base, X_end)
    rows = []
    for layer in range(X_base.shape[1] // d_model):
        base, end = (_layer(X, layer, d_model) for X in (X_base, X_end))
        rows.append((layer, linear_cka(base, end), linear_cka(base, end, True), len(base)))
    return pd.DataFrame(rows, columns=["layer", "cka", "cka_debiased", "n_words"])


def probe_transfer(
    X_base: Float[np.ndarray, "word neuron"],
    X_end: Float[np.ndarray, "end_word end_neuron"],
    is_concept: Bool[np.ndarray, " word"],
    fits: Bool[np.ndarray, " word"],
    d_model: int,
    seed: int = 0,
) -> pd.DataFrame:
    """How well a probe of the base model reads the retrained one, before and after alignment.

    The words in `fits` fit probe and alignment, and the others score them; best cut by sentence,
    since the words of one sentence are alike. Gives layer, alignment, word_f1 and balanced_accuracy
    (of words), n_words (scored). `alignment` is `base` (the probe on its own model: the ceiling),
    `none`, `procrustes`, or `shuffled` (Procrustes to the wrong words: the floor).
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
    return pd.DataFrame(
        rows, columns=["layer", "alignment", "word_f1", "balanced_accuracy", "n_words"]
    )


def representation_table(snapshots: RunSnapshots) -> pd.DataFrame:
    """Linear CKA of the concept's words, base against each snapshot, layer by layer."""
    own = snapshots.is_concept
    base = snapshots.activations(BASE)[own]
    parts = []
    for condition, stage in _COMPARED:
        X = snapshots.activations((condition, stage))[own]
        # A unit that is 0 throughout adds nothing to the products of words that CKA is made of.
        for units, weight in (("all", 1), ("kept", snapshots.kept(condition))):
            table = layer_cka(base * weight, X * weight, snapshots.d_model)
            parts.append(_named(table, condition=condition, stage=stage, units=units))
    return pd.concat(parts, ignore_index=True)


def transfer(snapshots: RunSnapshots) -> pd.DataFrame:
    """How well a probe of the base reads the concept at each snapshot, layer by layer.

    Probe and alignment are fitted on one part of the measuring sentences and scored on the other. A
    probe of all units must fail where it read removed ones; one of the kept units need not.
    """
    fits, base = in_first_part(snapshots.measuring), snapshots.activations(BASE)
    parts = []
    for condition, stage in _COMPARED:
        X = snapshots.activations((condition, stage))
        table = _both_transfers(
            base,
            X,
            snapshots.kept(condition),
            snapshots.is_concept,
            fits,
            snapshots.d_model,
            snapshots.run.config.seed,
        )
        parts.append(_named(table, condition=condition, stage=stage))
    return pd.concat(parts, ignore_index=True)


def read_other_bases(audit: Audit, others: Sequence[Audit]) -> pd.DataFrame:
    """Put a probe of an audit's base to the bases of other seeds, and to the pretrained body.

    The control of `transfer`, whose probe and words these are: models that share nothing but the
    checkpoint they came from. Gives other (`seed 1`, …, `pretrained`), units (`all`, or those that
    the audit's removal leaves: `kept`), and the columns of `probe_transfer`. InputError for audits
    that differ in more than the seed, or whose bases are not kept.
    """
    config = audit.config
    for other in others:
        if shared_settings(other.config) != shared_settings(config):
            raise InputError(
                f"{other.path.name!r} differs from {audit.path.name!r} in more than its seed; "
                "needed: the same audit under other seeds"
            )
    if not others or config.seed in {other.config.seed for other in others}:
        raise InputError(f"{audit.path.name!r} stands alone; needed: audits of two seeds or more")
    stages = AuditStages(config, only_finished=True)
    words = stages.sentences.measuring
    is_concept, fits = members(words, config.label), in_first_part(words)
    base, tokenizer = audit.model("base")
    X, d_model = word_activations(base, tokenizer, words.sentences), width(base)
    kept = np.ones(X.shape[1], dtype=bool)
    kept[flat_ids(stages.removal.neurons, d_model)] = False
    models = {f"seed {other.config.seed}": other.model("base") for other in others}
    models[PRETRAINED] = load_model(config.model, stages.sentences.labels, config.seed)
    parts = []
    for name, (model, own) in models.items():
        read = word_activations(model, own, words.sentences)
        table = _both_transfers(X, read, kept, is_concept, fits, d_model, config.seed)
        parts.append(_named(table, other=name))
    return pd.concat(parts, ignore_index=True)


def _both_transfers(
    X_base: Float[np.ndarray, "word neuron"],
    X_end: Float[np.ndarray, "word neuron"],
    kept: Bool[np.ndarray, " neuron"],
    *rest: Any,
) -> pd.DataFrame:
    """`probe_transfer` of all units, and of the kept ones alone."""
    tables = [
        _named(probe_transfer(X_base * weight, X_end * weight, *rest), units=units)
        for units, weight in (("all", 1), ("kept", kept))
    ]
    return pd.concat(tables, ignore_index=True)


def _named(table: pd.DataFrame, **names: str) -> pd.DataFrame:
    return table.assign(**names)[[*names, *table.columns]]


def _probe() -> Pipeline:
    # Scaled first: unscaled, a few wide units would set the shrinkage for all. Not the probe of
    # `neurons.probes`, whose shrinkage is that of all words and not of each class: the published
    # answers, whose models are gone, were made with this one.
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
