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

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from scipy.linalg import orthogonal_procrustes
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import balanced_accuracy_score, f1_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from plasticity_utils.analysis.snapshots import BASE, Moment, Moments
from plasticity_utils.analysis.wording import wording
from plasticity_utils.data.corpus import in_first_half
from plasticity_utils.errors import InputError
from plasticity_utils.experiment.run import Run
from plasticity_utils.results.across import relied_on
from plasticity_utils.results.derived import derived
from plasticity_utils.results.groups import Seeds
from plasticity_utils.results.stack import group_means, mean_interval, stack
from plasticity_utils.results.tables import reliance_table

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
        layer, cka, cka_debiased, n_words.
    """
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
        layer, alignment, word_f1 and balanced_accuracy (word level, in [0, 1]), n_words (scored).
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
    return pd.DataFrame(
        rows, columns=["layer", "alignment", "word_f1", "balanced_accuracy", "n_words"]
    )


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


COMPARED: tuple[Moment, ...] = (
    ("targeted", "removed"),
    ("targeted", "end"),
    ("random", "end"),
    ("none", "end"),
)


def representation(moments: Moments) -> pd.DataFrame:
    """Linear CKA of the concept's words, base against each moment, layer by layer.

    Parameters
    ----------
    moments : Moments

    Returns
    -------
    DataFrame
        condition, stage (`removed`, `end`), units (`all`, or `kept`: those that neither `targeted`
        nor the condition removed), layer, cka, cka_debiased, n_words. From `cka_by_layer`.
    """
    own = moments.is_concept
    base = moments.activations(BASE)[own]
    parts = []
    for condition, stage in COMPARED:
        X = moments.activations((condition, stage))[own]
        # A unit that is 0 throughout adds nothing to the products of words that CKA is made of.
        for units, weight in (("all", 1), ("kept", moments.kept(condition))):
            table = cka_by_layer(base * weight, X * weight, moments.d_model)
            parts.append(_named(table, condition, stage, units=units))
    return pd.concat(parts, ignore_index=True)


def transfer(moments: Moments) -> pd.DataFrame:
    """How well a probe of the base reads the concept at each moment, layer by layer.

    Probe and alignment are fitted on one half of the measuring sentences and scored on the other. A
    probe of all units must fail where it read removed ones; one of the kept units need not.

    Parameters
    ----------
    moments : Moments

    Returns
    -------
    DataFrame
        condition, stage (`removed`, `end`), units (`all`, `kept`), layer, alignment (`base`,
        `none`, `procrustes`, `shuffled`), word_f1, balanced_accuracy, n_words. From
        `probe_transfer`.
    """
    fits, base = in_first_half(moments.measuring), moments.activations(BASE)
    parts = []
    for condition, stage in COMPARED:
        X = moments.activations((condition, stage))
        for units, weight in (("all", 1), ("kept", moments.kept(condition))):
            table = probe_transfer(
                base * weight,
                X * weight,
                moments.is_concept,
                fits,
                moments.d_model,
                moments.run.config.seed,
            )
            parts.append(_named(table, condition, stage, units=units))
    return pd.concat(parts, ignore_index=True)


def _named(table: pd.DataFrame, condition: str, stage: str, **more: str) -> pd.DataFrame:
    names = {"condition": condition, "stage": stage, **more}
    return table.assign(**names)[[*names, *table.columns]]


ALL = "all concepts"
BY_RUN = ["concept", "seed"]
SAME = (
    "cka", "cka_none", "as_is", "as_is_none", "aligned", "aligned_none", "shuffled",
    "lost_as_is", "lost_aligned", "lost_cka", "on_same", "on_new", "on_random",
    "on_new_beyond", "aligned_beyond", "as_is_kept", "as_is_kept_none",
    "lost_as_is_kept",
)  # fmt: skip
_SHARES = (
    "as_is", "as_is_none", "as_is_kept", "as_is_kept_none", "aligned", "aligned_none", "shuffled",
    "removed_share", "new", "new_none", "new_random",
)  # fmt: skip
_SHARES_OF_LOSS = ("on_same", "on_new", "on_random")


def answer_table(groups: Sequence[Seeds], name: str, keys: Sequence[str]) -> pd.DataFrame:
    """Average one of the runs' answers over the seeds of each concept.

    Parameters
    ----------
    groups : sequence of Seeds
        From `holding`.
    name : str
        Of `derived.MAKERS`.
    keys : sequence of str
        Its columns that are no measured values.

    Returns
    -------
    DataFrame
        concept, the keys, and each number with `_low` and `_high`; n_seeds.
    """
    return group_means(groups, lambda run: derived(run, name), keys, names=["concept"])


def reliance_of(groups: Sequence[Seeds]) -> pd.DataFrame:
    """F1 of each concept when neurons are removed again at the end, after `targeted` and `none`.

    Returns
    -------
    DataFrame
        concept, condition, again, entity_f1, entity_f1_low, entity_f1_high.
    """
    return relied_on(groups)[
        ["concept", "condition", "again", "entity_f1", "entity_f1_low", "entity_f1_high"]
    ]


def same_by_run(groups: Sequence[Seeds]) -> pd.DataFrame:
    """One row a run: how far the concept is the same at the last layer, which the head reads.

    Returns
    -------
    DataFrame
        concept, seed; cka, cka_none (debiased, kept units, base to the end of `targeted`, `none`);
        as_is, aligned, shuffled (share of the base's F1 that its probe keeps at the end of
        `targeted`), as_is_none, aligned_none; as_is_kept, as_is_kept_none (of a probe that was
        fitted on the units that `targeted` kept); lost_as_is, lost_as_is_kept, lost_aligned,
        lost_cka (`none` less `targeted`); aligned_beyond (aligned less shuffled); on_same, on_new,
        on_random (share of F1 lost when these are removed again), on_new_beyond
        (on_new less on_random).
    """
    return stack(groups, _same, BY_RUN).reindex(columns=[*BY_RUN, *SAME])


def averaged(runs: pd.DataFrame, values: Sequence[str]) -> pd.DataFrame:
    """Means and 95 % intervals: a row a concept over its seeds, and one over all runs.

    Parameters
    ----------
    runs : DataFrame
        From `same_by_run` or `taken_over_by_run`.
    values : sequence of str
        Of its columns.

    Returns
    -------
    DataFrame
        concept (the last row's is `all concepts`), n_runs, and each value with `_low`, `_high`
        (NaN for a single run).
    """
    both = pd.concat([runs, runs.assign(concept=ALL)])
    bounds = dict.fromkeys(_SHARES, (0.0, np.inf)) | dict.fromkeys(_SHARES_OF_LOSS, (-np.inf, 1.0))
    table = mean_interval(both, ["concept"], values, bounds=bounds)
    return table.rename(columns={"n_seeds": "n_runs"})


def _same(run: Run) -> dict[str, float]:
    share, kept = _kept_f1(run, "all"), _kept_f1(run, "kept")
    cka = derived(run, "representation")
    cka = cka[(cka["layer"] == cka["layer"].max()) & (cka["stage"] == "end")]
    cka = cka[cka["units"] == "kept"].set_index("condition")["cka_debiased"]
    again = reliance_table(run.reliance)
    again = again[(again["entity"] == run.config.label) & (again["condition"] == "targeted")]
    left = again.set_index("again")["entity_f1"]
    new = wording(run.config).new
    lost = 1 - left / left["nothing"] if left["nothing"] > 0 else left * np.nan
    return {
        "cka": cka["targeted"],
        "cka_none": cka["none"],
        "as_is": share.loc["targeted", "none"],
        "as_is_none": share.loc["none", "none"],
        "as_is_kept": kept.loc["targeted", "none"],
        "as_is_kept_none": kept.loc["none", "none"],
        "lost_as_is_kept": kept.loc["none", "none"] - kept.loc["targeted", "none"],
        "aligned": share.loc["targeted", "procrustes"],
        "aligned_none": share.loc["none", "procrustes"],
        "shuffled": share.loc["targeted", "shuffled"],
        "lost_as_is": share.loc["none", "none"] - share.loc["targeted", "none"],
        "lost_aligned": share.loc["none", "procrustes"] - share.loc["targeted", "procrustes"],
        "lost_cka": cka["none"] - cka["targeted"],
        "aligned_beyond": share.loc["targeted", "procrustes"] - share.loc["targeted", "shuffled"],
        "on_same": lost["same"],
        "on_new": lost[new],
        "on_random": lost["random"],
        "on_new_beyond": lost[new] - lost["random"],
    }


def _kept_f1(run: Run, units: str) -> pd.DataFrame:
    """Share of its F1 that the base's probe keeps at the last layer, condition by alignment."""
    f1 = derived(run, "transfer")
    f1 = f1[(f1["layer"] == f1["layer"].max()) & (f1["stage"] == "end") & (f1["units"] == units)]
    f1 = f1.pivot_table(index="condition", columns="alignment", values="word_f1")
    return f1.div(f1["base"].where(f1["base"] > 0), axis=0)
