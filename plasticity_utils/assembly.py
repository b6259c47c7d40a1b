"""The tables of a run, put together from what was measured at its stages.

Selectivity by layer is over *kept* neurons, those that neither `concept` nor the condition itself
removed, at every stage. Otherwise a removal would shift the profile by itself, and `none` would be
compared on other neurons than `concept`. (The public code averages over what happens to be there:
up to 82 % of a layer is missing after retraining, and counts as 0 before it.)
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from plasticity_utils.plans import Plan
from plasticity_utils.saliency import flat_ids, rank_saliency, ranking_of, removal_only_profile

Measured = Mapping[str, Mapping[tuple[str, float], Mapping[str, pd.DataFrame]]]
KEYS = ["condition", "stage", "epoch"]
PLACE = ["layer", "unit"]


def metrics_table(measured: Measured) -> pd.DataFrame:
    """F1 at every stage of every condition.

    Parameters
    ----------
    measured : mapping of condition to mapping of (stage, epoch) to the tables of `measure`
        Stages are `base` (epoch −1), `removed` (0), `retraining` and `end`.

    Returns
    -------
    DataFrame
        condition, stage, epoch, and the columns of `entity_scores`.
    """
    return _stacked(measured, "metrics")


def neuron_table(
    measured: Measured, plans: Mapping[str, Plan | None], label: str, method: str
) -> pd.DataFrame:
    """Every neuron at every stage.

    Parameters
    ----------
    measured : mapping
        As for `metrics_table`.
    plans : mapping of condition to a plan, or None
        What each condition removes.
    label : str
        Entity type of the concept.
    method : str
        The ranking by which neurons were removed; `rank` is by probeless if that is it, else by
        |σ|.

    Returns
    -------
    DataFrame
        condition, stage, epoch, layer, unit, removed, gain, probeless, selectivity, effect (of the
        concept), picking (σ on the ranking half), rank (0 = best), saliency (rank saliency in
        [0, 1]), `selectivity_*` of every entity type, words, words_low.
    """
    table = _stacked(measured, "neurons")
    table["removed"] = False
    for condition, plan in plans.items():
        if plan is not None:
            d_model = int(table["unit"].max()) + 1
            ids = table["layer"] * d_model + table["unit"]
            after = (table["condition"] == condition) & (table["stage"] != "base")
            table.loc[after, "removed"] = ids[after].isin(flat_ids(plan.neurons, d_model))
    if "gain" not in table:
        table["gain"] = np.nan
    table["gain"] = table["gain"].fillna(1 - table["removed"].astype(float))
    for score in ("probeless", "selectivity", "effect", "picking"):
        table[score] = table[f"{score}_{label}"]
    # Other methods rank the base model only; through the stages |σ| stands in for them.
    by = table["probeless"] if method == "probeless" else table["selectivity"].abs()
    grouped = by.groupby([table[key] for key in KEYS], sort=False)
    table["rank"] = grouped.transform(_ranks).astype(int)
    table["saliency"] = grouped.transform(_saliency)
    kept = [name for name in table if name.startswith("selectivity_")]
    return table[
        [*KEYS, "layer", "unit", "removed", "gain", "probeless", "selectivity", "effect",
         "picking", "rank", "saliency", *kept, "words", "words_low"]
    ]  # fmt: skip


def layer_table(measured: Measured, neurons: pd.DataFrame, label: str) -> pd.DataFrame:
    """Every layer at every stage, for every entity type.

    Parameters
    ----------
    measured : mapping
        As for `metrics_table`.
    neurons : DataFrame
        From `neuron_table`.
    label : str
        Entity type of the concept.

    Returns
    -------
    DataFrame
        condition, stage, epoch, layer, entity; n_kept (neurons; see the module),
        n_removed; selectivity (mean |σ| of kept neurons); share (of the total |σ| of kept neurons,
        in [0, 1]); probe_precision, probe_recall, probe_f1; for the concept also saliency (mean
        rank saliency of all neurons) and removal_only (what removal alone would make of it).
    """
    kept = {name: kept_neurons(neurons, name) for name in neurons["condition"].unique()}
    rows = [
        _layers(group, kept[group["condition"].iloc[0]]).assign(**dict(zip(KEYS, key, strict=True)))
        for key, group in neurons.groupby(KEYS, sort=False)
    ]
    table = pd.concat(rows, ignore_index=True).merge(
        _removal_only(neurons), on=["condition", "layer"], how="left"
    )
    table.loc[table["entity"] != label, ["saliency", "removal_only"]] = np.nan
    probes = _stacked(measured, "layers").rename(columns={"n": "n_words"})
    return table.merge(probes, on=[*KEYS, "layer", "entity"])


def kept_neurons(neurons: pd.DataFrame, condition: str) -> pd.MultiIndex:
    """(layer, unit) of the neurons that neither `concept` nor the condition itself removed.

    Parameters
    ----------
    neurons : DataFrame
        From `neuron_table`.
    condition : str
    """
    compared = neurons[neurons["condition"].isin(["concept", condition])]
    gone = compared.groupby(PLACE)["removed"].any()
    return gone.index[~gone]


def _stacked(measured: Measured, name: str) -> pd.DataFrame:
    parts = [
        found[name].assign(condition=condition, stage=stage, epoch=epoch)
        for condition, stages in measured.items()
        for (stage, epoch), found in stages.items()
    ]
    table = pd.concat(parts, ignore_index=True)
    return table[[*KEYS, *(column for column in table if column not in KEYS)]]


def _ranks(scores: pd.Series) -> np.ndarray:
    return ranking_of(scores.to_numpy(dtype=np.float64), "").ranks


def _saliency(scores: pd.Series) -> np.ndarray:
    return rank_saliency(ranking_of(scores.to_numpy(dtype=np.float64), "").order)


def _layers(neurons: pd.DataFrame, kept_places: pd.MultiIndex) -> pd.DataFrame:
    """Describe the layers of one stage of one condition, for every entity type."""
    kept = neurons[pd.MultiIndex.from_frame(neurons[PLACE]).isin(kept_places)]
    n_removed = neurons.groupby("layer")["removed"].sum()
    saliency = neurons.groupby("layer")["saliency"].mean()
    parts = []
    for column in (name for name in neurons if name.startswith("selectivity_")):
        size = kept[column].abs().groupby(kept["layer"])
        parts.append(
            pd.DataFrame(
                {
                    "entity": column.removeprefix("selectivity_"),
                    "n_kept": size.size().reindex(n_removed.index, fill_value=0),
                    "n_removed": n_removed,
                    "selectivity": size.mean(),
                    "share": size.sum() / kept[column].abs().sum(),
                    "saliency": saliency,
                }
            ).reset_index()
        )
    return pd.concat(parts, ignore_index=True)


def _removal_only(neurons: pd.DataFrame) -> pd.DataFrame:
    """Layer profile that removal alone would make of each condition's base ranking."""
    d_model, n_layers = int(neurons["unit"].max()) + 1, int(neurons["layer"].max()) + 1
    rows = []
    for condition, group in neurons.groupby("condition", sort=False):
        base = group[group["stage"] == "base"].sort_values("rank")
        order = flat_ids(base[["layer", "unit"]].to_numpy(), d_model)
        gone = group[(group["stage"] == "end") & group["removed"]]
        removed = flat_ids(gone[["layer", "unit"]].to_numpy(), d_model)
        profile = removal_only_profile(order, removed.tolist(), n_layers)
        rows.append(
            pd.DataFrame(
                {"condition": condition, "layer": range(n_layers), "removal_only": profile}
            )
        )
    return pd.concat(rows, ignore_index=True)
