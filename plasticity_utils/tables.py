"""What a run's tables say: tidy frames in, tidy frames out.

The first half puts the tables of a run together; the second answers questions from them. Every
statement that a concept moved or came back is made beside its control: `none` for the drift that
training alone causes, the removal-only expectation for the shift that removal alone causes.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from plasticity_utils.saliency import flat_ids, rank_saliency, ranking_of, removal_only_profile

Measured = Mapping[str, Mapping[tuple[str, float], Mapping[str, pd.DataFrame]]]
KEYS = ["condition", "stage", "epoch"]


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
    measured: Measured, removed: Mapping[str, np.ndarray | None], label: str, method: str
) -> pd.DataFrame:
    """Every neuron at every stage.

    Parameters
    ----------
    measured : mapping
        As for `metrics_table`.
    removed : mapping of condition to int array [n_removed, 2], or None
    label : str
        Entity type of the concept.
    method : {"selectivity", "probeless"}
        Which score ranks the neurons.

    Returns
    -------
    DataFrame
        condition, stage, epoch, layer, unit, removed, gain, probeless, selectivity, effect (of the
        concept), rank (0 = best), saliency (rank saliency in [0, 1]), `selectivity_*` of every
        entity type, words, words_low.
    """
    table = _stacked(measured, "neurons")
    table["removed"] = False
    for condition, neurons in removed.items():
        if neurons is not None:
            d_model = int(table["unit"].max()) + 1
            ids = table["layer"] * d_model + table["unit"]
            after = (table["condition"] == condition) & (table["stage"] != "base")
            table.loc[after, "removed"] = ids[after].isin(flat_ids(neurons, d_model))
    if "gain" not in table:
        table["gain"] = np.nan
    table["gain"] = table["gain"].fillna(1 - table["removed"].astype(float))
    for score in ("probeless", "selectivity", "effect"):
        table[score] = table[f"{score}_{label}"]
    by = table["probeless"] if method == "probeless" else table["selectivity"].abs()
    grouped = by.groupby([table[key] for key in KEYS], sort=False)
    table["rank"] = grouped.transform(_ranks).astype(int)
    table["saliency"] = grouped.transform(_saliency)
    kept = [name for name in table if name.startswith("selectivity_")]
    return table[
        [*KEYS, "layer", "unit", "removed", "gain", "probeless", "selectivity", "effect", "rank",
         "saliency", *kept, "words", "words_low"]
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
        condition, stage, epoch, layer, entity; n_kept and n_removed (neurons); selectivity (mean
        |σ| of kept neurons); share (of the total |σ| of kept neurons, in [0, 1]); probe_precision,
        probe_recall, probe_f1; for the concept also saliency (mean rank saliency of all neurons)
        and removal_only (what removal alone would make of it).
    """
    rows = [
        _layers(group, label).assign(**dict(zip(KEYS, key, strict=True)))
        for key, group in neurons.groupby(KEYS, sort=False)
    ]
    table = pd.concat(rows, ignore_index=True).merge(
        _removal_only(neurons), on=["condition", "layer"], how="left"
    )
    table.loc[table["entity"] != label, ["saliency", "removal_only"]] = np.nan
    probes = _stacked(measured, "layers").rename(columns={"n": "n_words"})
    return table.merge(probes, on=[*KEYS, "layer", "entity"])


def recovery(metrics: pd.DataFrame, entity: str) -> pd.DataFrame:
    """How much of the loss each condition regains, and what of it is relearning.

    Parameters
    ----------
    metrics : DataFrame
        From `metrics_table`; may hold several seeds (`seed`), which are kept apart.
    entity : str

    Returns
    -------
    DataFrame
        condition, base, removed, end (F1), recovery ((end − removed) / (base − removed)),
        beyond_head (F1 at the end minus that of `head`; NaN but for `concept`), epochs_to_95
        (first snapshot at which 95 % of the loss is regained).
    """
    rows = metrics[metrics["entity"] == entity]
    f1 = rows.pivot_table(index="condition", columns="stage", values="f1", sort=False)
    table = f1[["base", "removed", "end"]].reset_index()
    lost = table["base"] - table["removed"]
    table["recovery"] = (table["end"] - table["removed"]) / lost.where(lost > 0)
    head = table.loc[table["condition"] == "head", "end"]
    own = table["condition"] == "concept"
    table["beyond_head"] = (table["end"] - float(head.iloc[0])).where(own) if len(head) else np.nan
    table["epochs_to_95"] = [_epochs_to(rows, name, 0.95) for name in table["condition"]]
    return table


def dose_curve(dose: pd.DataFrame) -> pd.DataFrame:
    """The dose–response on the scoring half: intervals for the concept, ranges for random draws.

    Parameters
    ----------
    dose : DataFrame
        From `dose_response`.

    Returns
    -------
    DataFrame
        regime, dose, n_removed, condition, entity, f1, f1_low, f1_high, n_draws. For `random` f1
        is the median over the draws and low/high are the least and the greatest.
    """
    rows = dose[(dose["half"] == "scoring") & (dose["entity"] != "overall")]
    keys = ["regime", "dose", "n_removed", "condition", "entity"]
    drawn = rows[rows["condition"] == "random"].groupby(keys, sort=False)["f1"]
    spread = drawn.agg(f1="median", f1_low="min", f1_high="max", n_draws="size").reset_index()
    single = rows.loc[rows["condition"] != "random", [*keys, "f1", "f1_low", "f1_high"]]
    return pd.concat([single.assign(n_draws=1), spread], ignore_index=True)


def reliance_table(reliance: pd.DataFrame) -> pd.DataFrame:
    """F1 when neurons are removed again at the end; random draws as median and range.

    Parameters
    ----------
    reliance : DataFrame
        `run.reliance`.

    Returns
    -------
    DataFrame
        condition, again (`nothing`, `same`, `new top`, `random`), entity, f1, f1_low, f1_high.
    """
    keys = ["condition", "again", "entity"]
    is_random = reliance["again"] == "random"
    drawn = reliance[is_random].groupby(keys, sort=False)["f1"]
    spread = drawn.agg(f1="median", f1_low="min", f1_high="max").reset_index()
    single = reliance.loc[~is_random, [*keys, "f1", "f1_low", "f1_high"]]
    return pd.concat([single, spread], ignore_index=True)


def kept_gain(neurons: pd.DataFrame) -> pd.DataFrame:
    """Mean rise of |σ| from base to end over neurons that no condition removed, per layer.

    All conditions are compared on the same neurons, or the comparison would be one of neurons.

    Parameters
    ----------
    neurons : DataFrame
        From `neuron_table`.

    Returns
    -------
    DataFrame
        condition, entity, layer, gain (mean rise of |σ|), standard_error, n (neurons).
    """
    sigma = [name for name in neurons if name.startswith("selectivity_")]
    place = ["layer", "unit"]
    gone = neurons.groupby(place)["removed"].any()
    kept = neurons.set_index(place)[~gone.reindex(neurons.set_index(place).index)]
    base = kept[kept["stage"] == "base"].set_index("condition", append=True)[sigma].abs()
    end = kept[kept["stage"] == "end"].set_index("condition", append=True)[sigma].abs()
    rise = (end - base).rename(columns=lambda name: name.removeprefix("selectivity_"))
    rise = rise.rename_axis(columns="entity").stack().rename("gain").reset_index()
    grouped = rise.groupby(["condition", "entity", "layer"], sort=False)["gain"]
    return grouped.agg(gain="mean", standard_error="sem", n="size").reset_index()


def turnover(neurons: pd.DataFrame, share: float) -> pd.DataFrame:
    """How many of the top kept neurons are the same before and after retraining.

    Parameters
    ----------
    neurons : DataFrame
        From `neuron_table`.
    share : float
        Share of the kept neurons that counts as top, in (0, 1).

    Returns
    -------
    DataFrame
        condition, n_kept, n_top, jaccard, jaccard_by_chance, spearman (of |σ|, base and end).
    """
    rows = []
    for condition, group in neurons.groupby("condition", sort=False):
        place = group.set_index(["layer", "unit"])
        kept = ~place.loc[place["stage"] == "end", "removed"]
        base, end = (
            place.loc[place["stage"] == stage, "selectivity"].abs()[kept]
            for stage in ("base", "end")
        )
        n_top = max(1, round(share * len(base)))
        both = len(base.nlargest(n_top).index.intersection(end.nlargest(n_top).index))
        chance = n_top * n_top / len(base)
        rows.append(
            {
                "condition": condition,
                "n_kept": len(base),
                "n_top": n_top,
                "jaccard": both / (2 * n_top - both),
                "jaccard_by_chance": chance / (2 * n_top - chance),
                "spearman": base.corr(end, method="spearman"),
            }
        )
    return pd.DataFrame(rows)


def redistribution(layers: pd.DataFrame, label: str) -> pd.DataFrame:
    """Centroid of the concept over the layers, before and after, by selectivity and by rank.

    Parameters
    ----------
    layers : DataFrame
        From `layer_table`.
    label : str
        Entity type of the concept.

    Returns
    -------
    DataFrame
        condition, centroid_base, centroid_end (mean layer, weighted by the share of |σ| over kept
        neurons), shift (end − base), rank_shift (of the centroid of rank saliency over all
        neurons), rank_shift_removal_only (what removal alone would give).
    """
    rows = layers[layers["entity"] == label]
    centroids = {
        (name, column): _centroid(group, column)
        for name, group in rows.groupby(["condition", "stage"], sort=False)
        for column in ("share", "saliency", "removal_only")
    }
    table = []
    for condition in rows["condition"].unique():
        base, end = (condition, "base"), (condition, "end")
        table.append(
            {
                "condition": condition,
                "centroid_base": centroids[base, "share"],
                "centroid_end": centroids[end, "share"],
                "shift": centroids[end, "share"] - centroids[base, "share"],
                "rank_shift": centroids[end, "saliency"] - centroids[base, "saliency"],
                "rank_shift_removal_only": centroids[end, "removal_only"]
                - centroids[base, "saliency"],
            }
        )
    return pd.DataFrame(table)


def newly_salient(neurons: pd.DataFrame, k: int) -> pd.DataFrame:
    """Kept neurons whose |σ| rose most in `concept`, with their words through the run.

    Parameters
    ----------
    neurons : DataFrame
        From `neuron_table`.
    k : int
        Number of neurons.

    Returns
    -------
    DataFrame
        layer, unit, selectivity_base, selectivity_end, rise_under_none, and the highest-activating
        words at base, removed and end (the end of the scale on which the concept lies: `words_low`
        where σ is negative).
    """
    wide = _through_stages(neurons, "concept")
    wide = wide[~wide["removed"]]
    wide["rise"] = wide["selectivity_end"].abs() - wide["selectivity_base"].abs()
    none = _through_stages(neurons, "none")
    wide["rise_under_none"] = none["selectivity_end"].abs() - none["selectivity_base"].abs()
    return _shown(wide.nlargest(k, "rise"), "rise_under_none")


def removed_neurons(neurons: pd.DataFrame, k: int) -> pd.DataFrame:
    """The most selective of the removed neurons, with their words through the run.

    Returns
    -------
    DataFrame
        As `newly_salient`, with `effect_end` and `gain` in place of `rise_under_none`.
    """
    wide = _through_stages(neurons, "concept")
    wide = wide[wide["removed"]]
    order = wide["selectivity_base"].abs().sort_values(ascending=False, kind="stable").index[:k]
    return _shown(wide.loc[order], "effect_end", "gain")


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


def _layers(neurons: pd.DataFrame, label: str) -> pd.DataFrame:
    """Describe the layers of one stage of one condition, for every entity type."""
    kept = neurons[~neurons["removed"]]
    counts = neurons.groupby("layer")["removed"].agg(n_removed="sum", n="size")
    saliency = neurons.groupby("layer")["saliency"].mean()
    parts = []
    for column in (name for name in neurons if name.startswith("selectivity_")):
        size = kept[column].abs().groupby(kept["layer"])
        parts.append(
            pd.DataFrame(
                {
                    "entity": column.removeprefix("selectivity_"),
                    "n_kept": counts["n"] - counts["n_removed"],
                    "n_removed": counts["n_removed"],
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


def _epochs_to(rows: pd.DataFrame, condition: str, share: float) -> float:
    own = rows[rows["condition"] == condition].set_index("epoch")["f1"].sort_index()
    base, removed = own.loc[-1.0], own.loc[0.0]
    enough = own[(own.index >= 0) & (own >= removed + share * (base - removed))]
    return float(enough.index[0]) if len(enough) and base > removed else float("nan")


def _centroid(group: pd.DataFrame, column: str) -> float:
    return float((group["layer"] * group[column]).sum() / group[column].sum())


def _through_stages(neurons: pd.DataFrame, condition: str) -> pd.DataFrame:
    """One row a neuron, with its σ, effect and words at base, removed and end side by side."""
    own = neurons[neurons["condition"] == condition].set_index(["layer", "unit"])
    stages = {name: own[own["stage"] == name] for name in ("base", "removed", "end")}
    wide = stages["end"][["removed", "gain"]].copy()
    for name, stage in stages.items():
        wide[f"selectivity_{name}"] = stage["selectivity"]
        wide[f"effect_{name}"] = stage["effect"]
        high = stage["words"].where(stage["selectivity"] >= 0, stage["words_low"])
        wide[f"words_{name}"] = high
    return wide


def _shown(wide: pd.DataFrame, *extra: str) -> pd.DataFrame:
    words = [f"words_{name}" for name in ("base", "removed", "end")]
    columns = ["selectivity_base", "selectivity_end", *extra, *words]
    return wide[columns].reset_index()


def method_overlap(ranking: pd.DataFrame, share: float) -> pd.DataFrame:
    """How far methods of ranking agree on the top neurons of the base model.

    Parameters
    ----------
    ranking : DataFrame
        `run.ranking`: one row a neuron, with `rank_<method>` for each method.
    share : float
        Share of all neurons that counts as top, in (0, 1).

    Returns
    -------
    DataFrame
        One row and one column a method: the share of the row's top neurons that the column's
        method has at its top too, in [0, 1]. By chance it would be `share`.
    """
    n_top = max(1, round(share * len(ranking)))
    ranks = ranking.filter(like="rank_").rename(columns=lambda name: name.removeprefix("rank_"))
    top = (ranks < n_top).astype(float)
    return (top.T @ top / n_top).rename_axis("method").reset_index()
