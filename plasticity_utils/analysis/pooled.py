"""Tables of the pages about neurons: answers of all runs, with intervals, as charts take them.

Each function takes groups of runs that hold these tables, and returns a tidy frame.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from statsmodels.stats.multitest import multipletests

from plasticity_utils.analysis.pooling import RUN, over_runs, stacked, tests_over_runs
from plasticity_utils.analysis.snapshots import BASE
from plasticity_utils.data.concepts import ENTITIES
from plasticity_utils.results.groups import Seeds
from plasticity_utils.results.stack import mean_interval

PLACE = ["condition", "stage"]
OWN, OTHER_TYPES = "the concept itself", "other entity types"
MEASURES = {"interference": "interference", "dimensionality": "feature dimensionality"}


def functions_by_layer(groups: Sequence[Seeds]) -> pd.DataFrame:
    """Change of polysemanticity beyond `none`, layer by layer, over runs.

    Returns
    -------
    DataFrame
        condition, quantity, layer, beyond_none with `_low` and `_high`, n_runs, p and p_adjusted
        (t test over runs, Holm over all layers of a condition and quantity).
    """
    rows = stacked(groups, "polysemanticity").dropna(subset="layer").astype({"layer": int})
    keys = ["condition", "quantity", "layer"]
    tests = [
        tests_over_runs(part, keys, "beyond_none") for _, part in rows.groupby(keys[:2], sort=False)
    ]
    return over_runs(rows, keys, ["beyond_none"]).merge(pd.concat(tests), on=keys)


def functions_by_run(groups: Sequence[Seeds]) -> pd.DataFrame:
    """Polysemanticity over the whole model, a row a run, condition and quantity.

    Returns
    -------
    DataFrame
        concept, entity, seed, and the columns of `polysemanticity_answer`.
    """
    rows = stacked(groups, "polysemanticity")
    return rows[rows["layer"].isna()]


def functions_in_all(groups: Sequence[Seeds]) -> pd.DataFrame:
    """Polysemanticity over the whole model, over runs.

    Returns
    -------
    DataFrame
        condition, quantity, base, change, change_none, beyond_none, each with `_low` and `_high`,
        n_runs.
    """
    values = ["base", "change", "change_none", "beyond_none"]
    return over_runs(functions_by_run(groups), ["condition", "quantity"], values)


def functions_counted(groups: Sequence[Seeds]) -> pd.DataFrame:
    """How many kept neurons took a function on or lost one, concept by concept (means over seeds).

    Returns
    -------
    DataFrame
        concept, condition, quantity (`took_on`, `lost`, `took_on_concept`), neurons (kept), count
        and count_none (with nothing removed), n_seeds.
    """
    rows = functions_by_run(groups)
    rows = rows[rows["quantity"].isin(["took_on", "lost", "took_on_concept"])]
    rows = rows.assign(
        neurons=rows["n_neurons"],
        count=rows["change"] * rows["n_neurons"],
        count_none=rows["change_none"] * rows["n_neurons"],
    )
    keys, values = ["concept", "condition", "quantity"], ["neurons", "count", "count_none"]
    table = mean_interval(rows, keys, values)[[*keys, *values, "n_seeds"]]
    table[values] = table[values].astype(float).round().astype("Int64")
    return table


def sharing(groups: Sequence[Seeds]) -> pd.DataFrame:
    """How alike concepts are that share a neuron, and shuffled pairs, over runs.

    Returns
    -------
    DataFrame
        condition, stage, scope, sign, shared, expected, difference, each with `_low` and `_high`;
        largest_p (permutation, Holm within a run: the largest over runs), n_runs.
    """
    rows, keys = stacked(groups, "sharing"), [*PLACE, "scope", "sign"]
    largest = rows.groupby(keys, sort=False)["p_adjusted"].max().rename("largest_p").reset_index()
    return over_runs(rows, keys, ["shared", "expected", "difference"]).merge(largest, on=keys)


def superposition_by_layer(groups: Sequence[Seeds]) -> pd.DataFrame:
    """Interference and feature dimensionality by layer and moment, over runs.

    Returns
    -------
    DataFrame
        condition, stage, layer, interference, dimensionality, and both with the words' activations
        shuffled, each with `_low` and `_high`; n_runs.
    """
    values = [*MEASURES, *(f"{name}_shuffled" for name in MEASURES)]
    return over_runs(stacked(groups, "superposition"), [*PLACE, "layer"], values)


def superposition_change(groups: Sequence[Seeds]) -> pd.DataFrame:
    """Change from the base to the end beyond `none`, mean over layers, one row a run and condition.

    What the shuffled activations change by is subtracted: with units gone there are fewer
    dimensions, and overlaps by chance grow.

    Returns
    -------
    DataFrame
        concept, entity, seed, condition, interference, dimensionality.
    """
    rows = stacked(groups, "superposition")
    excess = {name: rows[name] - rows[f"{name}_shuffled"] for name in MEASURES}
    means = rows.assign(**excess).groupby([*RUN, *PLACE], sort=False)[list(MEASURES)].mean()
    ends = means.xs("end", level="stage")
    # The base cancels out: both conditions started from it.
    none = ends.xs("none", level="condition")
    beyond = ends.drop(index="none", level="condition") - none
    return beyond.reorder_levels([*RUN, "condition"]).reset_index()


def migration(groups: Sequence[Seeds]) -> pd.DataFrame:
    """Who gained selectivity for the run's own concept, concept by concept (means over seeds).

    Returns
    -------
    DataFrame
        concept, condition, role, share, expected, difference, each with `_low` and `_high` over
        seeds; n_neurons, p_adjusted (permutation, the largest over seeds; Benjamini–Hochberg over
        the roles and conditions of all runs), n_seeds.
    """
    rows = _own_target(groups)
    rows["p_adjusted"] = multipletests(rows["p"], method="fdr_bh")[1]
    keys = ["concept", "condition", "role"]
    rest = rows.groupby(keys, sort=False).agg(
        p_adjusted=("p_adjusted", "max"), n_neurons=("n_neurons", "mean")
    )
    table = mean_interval(rows, keys, ["share", "expected", "difference"])
    return table.merge(rest.reset_index(), on=keys)


def migration_by_kind(groups: Sequence[Seeds]) -> pd.DataFrame:
    """As `migration`, one row a run, with roles that mean the same for every concept.

    Returns
    -------
    DataFrame
        concept, entity, seed, condition, role (`the concept itself`, `other entity types`, the word
        classes, `nothing`), share, expected, difference.
    """
    rows = _own_target(groups)
    kind = rows["role"].mask(rows["role"].isin(ENTITIES), OTHER_TYPES)
    rows["role"] = kind.mask(rows["role"] == rows["entity"], OWN)
    values = ["share", "expected", "difference"]
    return rows.groupby([*RUN, "condition", "role"], sort=False)[values].sum().reset_index()


def migration_in_all(groups: Sequence[Seeds]) -> pd.DataFrame:
    """`migration_by_kind` over runs, with a t test of the difference (Holm over roles).

    Returns
    -------
    DataFrame
        condition, role, share, expected, difference, each with `_low` and `_high`; p, p_adjusted,
        n_runs.
    """
    rows, keys = migration_by_kind(groups), ["condition", "role"]
    tests = tests_over_runs(rows, keys, "difference")
    return over_runs(rows, keys, ["share", "expected", "difference"]).merge(tests, on=keys)


def priming(groups: Sequence[Seeds], errors: str = "HC3") -> pd.DataFrame:
    """Standardised effects on the gain beyond `none`, a row a run, term and measure.

    Parameters
    ----------
    groups : sequence of Seeds
    errors : {"HC3", "layer"}

    Returns
    -------
    DataFrame
        concept, entity, seed, condition, similarity, term, effect, effect_low, effect_high (of the
        regression, over neurons), p, p_adjusted (Holm over the table), n_neurons.
    """
    rows = stacked(groups, "priming")
    rows = rows[(rows["outcome"] == "beyond_none") & (rows["errors"] == errors)]
    rows = rows.rename(columns={"low": "effect_low", "high": "effect_high"})
    adjusted = multipletests(rows["p"], method="holm")[1]
    table = rows.drop(columns=["outcome", "errors"]).assign(p_adjusted=adjusted)
    return table.reset_index(drop=True)


def priming_by_layer(groups: Sequence[Seeds]) -> pd.DataFrame:
    """`priming` with errors clustered by layer."""
    return priming(groups, "layer")


def base_sharing(groups: Sequence[Seeds], scope: str, sign: str) -> pd.DataFrame:
    """Rows of `sharing` answers in the base, one a base model (mean over the concepts of a seed).

    Parameters
    ----------
    groups : sequence of Seeds
    scope, sign : str
        As in `sharing_answer`.

    Returns
    -------
    DataFrame
        seed, shared, expected, difference, low, high, p (mean over concepts, whose runs differ only
        in which neurons they leave out).
    """
    rows = stacked(groups, "sharing")
    rows = rows[(rows["scope"] == scope) & (rows["sign"] == sign)]
    rows = rows[(rows["condition"] == BASE[0]) & (rows["stage"] == BASE[1])]
    values = ["shared", "expected", "difference", "low", "high", "p"]
    return rows.groupby("seed")[values].mean().reset_index()


def _own_target(groups: Sequence[Seeds]) -> pd.DataFrame:
    rows = stacked(groups, "migration")
    return rows[rows["target"] == rows["entity"]].reset_index(drop=True)
