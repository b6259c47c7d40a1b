"""Are the neurons that take over primed: near the concept before, or simply already on it?

A neuron may gain because it stood near the concept before (*priming*), or it may only seem to: what
had selectivity keeps it (*persistence*), and what was extreme by chance falls back (*regression to
the mean*). Both happen under `none` as well. So the regression explains the gain *beyond* `none` by
the base similarity, with base |σ| and the layer held fixed. All quantities are standardised: an
effect of 0.2 says that a neuron one standard deviation nearer gains 0.2 standard deviations more.

Base |σ| is measured with noise, and what it misses can go to similarity; take `base` from the
ranking half (`picking_*`) and the gains from the measuring half, and trust no small effect.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import statsmodels.formula.api as smf
from jaxtyping import Float

from plasticity_utils.errors import InputError

ERRORS = ("HC3", "layer")
COLUMNS = ("gain", "gain_none", "similarity", "base", "layer")


def profile_similarity(
    sigma: Float[np.ndarray, "neuron concept"], target: int, tau: float
) -> Float[np.ndarray, " neuron"]:
    """How alike a neuron's σ profile is to that of the neurons that serve the target in the base.

    The target itself is left out of the profiles, so this is not base |σ| again.

    Parameters
    ----------
    sigma : float array, [n_neurons, n_concepts]
        From `inventory_selectivity` on the base model.
    target : int
        The concept's column.
    tau : float
        Its threshold, from `thresholds`.

    Returns
    -------
    float array, [n_neurons], cosine of |σ| profiles, in [0, 1]; 0 for a neuron that does not vary

    Raises
    ------
    InputError
        If no neuron serves the target.
    """
    serving = np.abs(sigma[:, target]) > tau
    if not serving.any():
        raise InputError(f"no neuron has |σ| > {tau} for concept {target}")
    profiles = np.abs(np.delete(sigma, target, axis=1))
    centre = profiles[serving].mean(axis=0)
    lengths = np.linalg.norm(profiles, axis=1) * np.linalg.norm(centre)
    dots = profiles @ centre
    return np.divide(dots, lengths, out=np.zeros_like(dots), where=lengths > 0)


def words_similarity(
    top_words: Sequence[Sequence[str]], concept_words: Sequence[str], vectors: pd.DataFrame
) -> Float[np.ndarray, " neuron"]:
    """Mean cosine of each neuron's highest-activating words and the concept's words.

    Parameters
    ----------
    top_words : sequence of sequence of str, [n_neurons]
        From `highest_activating_words` on the base model.
    concept_words : sequence of str
        Word types of the concept.
    vectors : DataFrame, [n_word_types, width]
        Embeddings (`embed_words`), indexed by word.

    Returns
    -------
    float array, [n_neurons]; NaN for a neuron without words
    """
    unit = vectors.div(np.linalg.norm(vectors, axis=1), axis=0)
    # The mean of all pairwise cosines is the product of the two mean unit vectors.
    nearness = unit @ unit.loc[list(concept_words)].mean()
    return np.array([nearness[list(words)].mean() if words else np.nan for words in top_words])


def priming(neurons: pd.DataFrame, errors: str = "HC3") -> pd.DataFrame:
    """Regress the gain beyond `none` on base similarity, with base |σ| and layer held fixed.

    Parameters
    ----------
    neurons : DataFrame
        One row a kept neuron: gain and gain_none (signed change of |σ| for the concept from the
        base, under the condition and under `none`), similarity (`profile_similarity` or
        `words_similarity`), base (|σ| in the base) and layer.
    errors : {"HC3", "layer"}
        Robust to unequal variances, or clustered by layer (a handful of layers gives too narrow
        intervals; use it to see if the answer hangs on one layer).

    Returns
    -------
    DataFrame
        outcome (`beyond_none`, the answer; `gain` and `gain_none` beside it), term (`similarity`,
        `base`), effect (standardised), low and high (95 %), p, n.

    Raises
    ------
    InputError
        If a column is missing, a predictor does not vary, or `errors` is unknown.
    """
    if errors not in ERRORS:
        raise InputError(f"unknown errors {errors!r}; allowed: {', '.join(ERRORS)}")
    missing = [name for name in COLUMNS if name not in neurons]
    if missing:
        raise InputError(f"missing columns {', '.join(missing)}; needed: {', '.join(COLUMNS)}")
    data = neurons[list(COLUMNS)].dropna()
    data = data.assign(beyond_none=data["gain"] - data["gain_none"])
    outcomes = ("beyond_none", "gain", "gain_none")
    constant = [name for name in (*outcomes, "similarity", "base") if not data[name].std() > 0]
    if constant:
        raise InputError(f"{', '.join(constant)} does not vary over these {len(data)} neurons")
    parts = [_fit(data, outcome, errors) for outcome in outcomes]
    return pd.concat(parts, ignore_index=True)


def _fit(data: pd.DataFrame, outcome: str, errors: str) -> pd.DataFrame:
    terms = ["similarity", "base"]
    scaled = data[[outcome, *terms]].apply(lambda column: (column - column.mean()) / column.std())
    scaled["layer"] = data["layer"]
    how = {"cov_type": "HC3"} if errors == "HC3" else _clusters(data["layer"])
    fit = smf.ols(f"{outcome} ~ {' + '.join(terms)} + C(layer)", scaled).fit(**how)
    interval = fit.conf_int()
    return pd.DataFrame(
        {
            "outcome": outcome,
            "term": terms,
            "effect": fit.params[terms].to_numpy(),
            "low": interval.loc[terms, 0].to_numpy(),
            "high": interval.loc[terms, 1].to_numpy(),
            "p": fit.pvalues[terms].to_numpy(),
            "n": len(data),
        }
    )


def _clusters(layer: pd.Series) -> dict[str, object]:
    groups = layer.astype("category").cat.codes.to_numpy()
    return {"cov_type": "cluster", "cov_kwds": {"groups": groups}, "use_t": True}
