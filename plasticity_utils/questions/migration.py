"""Whom did the concept move in with?

Neurons that were kept gain selectivity for the concept. Did they serve another entity type before,
a part of speech, or nothing? A share alone says little: if most neurons of the layers that gain
serve PER, most of the gain will be theirs. So each share stands beside its *layer-matched
expectation*, what it would be if within each layer it made no difference what a neuron had served,
and beside a permutation test of just that. Each neuron has one role, its strongest, so that shares
sum to 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int, Shaped
from statsmodels.stats.multitest import multipletests

from plasticity_utils.errors import InputError

N_PERMUTATIONS = 1999


def gained(
    base: Float[np.ndarray, "neuron concept"],
    end: Float[np.ndarray, "neuron concept"],
    none: Float[np.ndarray, "neuron concept"] | None = None,
) -> Float[np.ndarray, "neuron concept"]:
    """Rise of |σ| from the base, 0 where it fell.

    Parameters
    ----------
    base, end : float array, [n_neurons, n_concepts]
        Selectivities from `inventory_selectivity` or the `selectivity_*` of `measure_neurons`.
    none : float array, optional
        The same at the end of `none`; then only the rise beyond it counts.

    Returns
    -------
    float array, [n_neurons, n_concepts], at least 0
    """
    start = np.abs(base) if none is None else np.abs(none)
    return np.maximum(0, np.abs(end) - start)


def migration_matrix(
    gains: Float[np.ndarray, "neuron target"],
    targets: Sequence[str],
    roles: Shaped[np.ndarray, " neuron"],
    layers: Int[np.ndarray, " neuron"],
    kept: Bool[np.ndarray, " neuron"],
    n_permutations: int = N_PERMUTATIONS,
    seed: int = 0,
) -> pd.DataFrame:
    """Share of the gain for each target concept that fell to neurons of each former role.

    Parameters
    ----------
    gains : float array, [n_neurons, n_targets]
        From `gained`.
    targets : sequence of str, [n_targets]
        The concepts that the gains are for.
    roles : str array, [n_neurons]
        From `strongest_concept` on the base model (on the ranking half, so that noise in the base
        is not counted as a gain), or groups of them.
    layers : int array, [n_neurons]
    kept : bool array, [n_neurons]
        Neurons that were not removed; only they count.
    n_permutations, seed : int

    Returns
    -------
    DataFrame
        target, role, share, expected (layer-matched), difference, p (two-sided, roles shuffled
        within layer), p_adjusted (Benjamini–Hochberg over the whole table), n (neurons).

    Raises
    ------
    InputError
        If no kept neuron gained for a target.
    """
    gains, roles, layers = gains[kept], roles[kept], layers[kept]
    names = np.unique(roles.astype(str))
    has_role = (roles.astype(str)[:, None] == names).astype(np.float64)
    totals = gains.sum(axis=0)
    if not (totals > 0).all():
        missing = [name for name, total in zip(targets, totals, strict=True) if total <= 0]
        raise InputError(f"no kept neuron gained selectivity for {', '.join(missing)}")
    weights = gains / totals
    share = weights.T @ has_role
    expected = weights.T @ _layer_mean(has_role, layers)
    distance = np.abs(share - expected)
    rng = np.random.default_rng(seed)
    as_far = np.zeros_like(share)
    for _ in range(n_permutations):
        shuffled = weights.T @ has_role[_shuffle_within(layers, rng)]
        # The tolerance: sums in another order may differ in the last digit.
        as_far += np.abs(shuffled - expected) >= distance - 1e-12
    p = (1 + as_far) / (1 + n_permutations)
    table = pd.DataFrame(
        {
            "target": np.repeat(list(targets), names.size),
            "role": np.tile(names, len(targets)),
            "share": share.ravel(),
            "expected": expected.ravel(),
            "difference": (share - expected).ravel(),
            "p": p.ravel(),
        }
    )
    table["p_adjusted"] = multipletests(table["p"], method="fdr_bh")[1]
    return table.assign(n=np.tile(has_role.sum(axis=0).astype(int), len(targets)))


def _layer_mean(has_role: np.ndarray, layers: np.ndarray) -> np.ndarray:
    """Give every neuron the mix of roles of its layer."""
    mix = np.empty_like(has_role)
    for layer in np.unique(layers):
        mix[layers == layer] = has_role[layers == layer].mean(axis=0)
    return mix


def _shuffle_within(layers: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return an order of the neurons in which each stays in its layer."""
    order = np.empty(layers.size, dtype=np.int64)
    # Sorted by layer and then at random: the layers' places are filled in turn.
    order[np.argsort(layers, kind="stable")] = np.lexsort((rng.random(layers.size), layers))
    return order
