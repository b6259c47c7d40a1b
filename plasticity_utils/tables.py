"""What a run's tables say: tidy frames in, tidy frames out.

Every statement that a concept moved or came back is made beside its control: `none` for the drift
that training alone causes, the removal-only expectation for the shift that removal alone causes.
"""

from __future__ import annotations

import pandas as pd

from plasticity_utils.assembly import PLACE, kept_neurons
from plasticity_utils.concepts import ENTITIES

MEASURABLE_LOSS = 0.05


def base_f1(metrics: pd.DataFrame) -> pd.Series:
    """F1 of each entity type in the base model, before anything was removed.

    Parameters
    ----------
    metrics : DataFrame
        From `metrics_table`.

    Returns
    -------
    Series
        F1 in [0, 1] by entity.
    """
    return metrics[metrics["stage"] == "base"].groupby("entity", sort=False)["f1"].first()


def recovery(metrics: pd.DataFrame, entity: str) -> pd.DataFrame:
    """How much of the loss each condition regains, and what of it is relearning.

    Parameters
    ----------
    metrics : DataFrame
        From `metrics_table`: one run.
    entity : str

    Returns
    -------
    DataFrame
        condition, base, removed, end (F1), recovery ((end − removed) / (base − removed)),
        beyond_head (F1 at the end minus that of `head`; NaN but for `concept`), epochs_to_95
        (first snapshot at which 95 % of the loss is regained). Where less than 0.05 was lost,
        recovery and epochs_to_95 are NaN: a share of that is a share of noise. Of a concept that is
        no entity type the head says nothing: its numbers, and what goes beyond it, are NaN.
    """
    rows = metrics[metrics["entity"] == entity]
    f1 = rows.pivot_table(index="condition", columns="stage", values="f1", sort=False)
    table = f1[["base", "removed", "end"]].reset_index()
    lost = table["base"] - table["removed"]
    table["recovery"] = (table["end"] - table["removed"]) / lost.where(lost > MEASURABLE_LOSS)
    beyond = table["end"] - f1.loc["head", "end"]
    table["beyond_head"] = beyond.where(table["condition"] == "concept")
    table["epochs_to_95"] = [_epochs_to(rows, name, 0.95) for name in table["condition"]]
    if entity not in ENTITIES:
        of_head = table["condition"] == "head"
        table.loc[of_head, ["removed", "end", "recovery", "epochs_to_95"]] = float("nan")
        table["beyond_head"] = float("nan")
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
        condition, again (`nothing`, `same`, `new top` or `refitted`, `random`), entity, f1, f1_low,
        f1_high.
    """
    keys = ["condition", "again", "entity"]
    is_random = reliance["again"] == "random"
    drawn = reliance[is_random].groupby(keys, sort=False)["f1"]
    spread = drawn.agg(f1="median", f1_low="min", f1_high="max").reset_index()
    single = reliance.loc[~is_random, [*keys, "f1", "f1_low", "f1_high"]]
    return pd.concat([single, spread], ignore_index=True)


def kept_gain(neurons: pd.DataFrame) -> pd.DataFrame:
    """Mean rise of |σ| from base to end over kept neurons (see `assembly`), per layer.

    Parameters
    ----------
    neurons : DataFrame
        From `neuron_table`.

    Returns
    -------
    DataFrame
        condition, entity, layer, gain (mean rise of |σ|), gain_low, gain_high (95 % over neurons:
        ± 1.96 standard errors), n (neurons).
    """
    rises = {name: _rise(neurons, name) for name in neurons["condition"].unique()}
    rise = pd.concat(rises, names=["condition"]).rename("gain").reset_index()
    grouped = rise.groupby(["condition", "entity", "layer"], sort=False)["gain"]
    table = grouped.agg(gain="mean", error="sem", n="size").reset_index()
    margin = 1.96 * table.pop("error")
    return table.assign(gain_low=table["gain"] - margin, gain_high=table["gain"] + margin)


def turnover(neurons: pd.DataFrame, share: float) -> pd.DataFrame:
    """How many of the top kept neurons (see `assembly`) are the same before and after.

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
    for condition in neurons["condition"].unique():
        base, end = (
            size["selectivity"] for size in _kept_sizes(neurons, condition, ["selectivity"])
        )
        n_top = max(1, round(share * len(base)))
        both = len(base.nlargest(n_top).index.intersection(end.nlargest(n_top).index))
        chance = n_top * n_top / len(base) if len(base) else float("nan")
        rows.append(
            {
                "condition": condition,
                "n_kept": len(base),
                "n_top": n_top,
                "jaccard": both / (2 * n_top - both) if len(base) else float("nan"),
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
        (name, column): centroid(group, column)
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
        layer, unit, selectivity_base, selectivity_end, rise_under_none (measuring half; the neurons
        are picked by their rise on the ranking half), and the highest-activating words at base,
        removed and end (the end of the scale on which the concept lies: `words_low` where σ is
        negative).
    """
    wide = _through_stages(neurons, "concept")
    wide = wide[~wide["removed"]]
    none = _through_stages(neurons, "none")
    wide["rise_under_none"] = none["selectivity_end"].abs() - none["selectivity_base"].abs()
    return _shown(wide.nlargest(k, "picking_rise"), "rise_under_none")


def selectivity_change(neurons: pd.DataFrame, k: int, most: int = 1000) -> pd.DataFrame:
    """σ of the neurons of `concept` in the base model and at the end, one row a neuron.

    Parameters
    ----------
    neurons : DataFrame
        From `neuron_table`.
    k : int
        How many of the kept neurons that rose most, on the ranking half, are `newly salient`.
    most : int
        Of more kept neurons than this, every n-th is taken, in flat order.

    Returns
    -------
    DataFrame
        layer, unit, selectivity_base, selectivity_end, kind (`kept`, `removed`, `newly salient`),
        words (highest-activating at the end; of the base for removed neurons).
    """
    wide = _through_stages(neurons, "concept")
    wide["kind"] = "kept"
    wide.loc[wide[~wide["removed"]].nlargest(k, "picking_rise").index, "kind"] = "newly salient"
    wide.loc[wide["removed"], "kind"] = "removed"
    wide["words"] = wide["words_base"].where(wide["removed"], wide["words_end"])
    kept = wide[wide["kind"] == "kept"].iloc[:: 1 + len(wide) // most]
    shown = pd.concat([kept, wide[wide["kind"] != "kept"]])
    names = ["selectivity_base", "selectivity_end", "kind", "words"]
    return shown[names].reset_index()


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


def _kept_sizes(
    neurons: pd.DataFrame, condition: str, columns: list[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """|σ| of a condition's kept neurons by (layer, unit), at base and at the end."""
    own = neurons[neurons["condition"] == condition]
    kept = kept_neurons(neurons, condition)
    base, end = (
        own[own["stage"] == stage].set_index(PLACE).loc[kept, columns].abs()
        for stage in ("base", "end")
    )
    return base, end


def _rise(neurons: pd.DataFrame, condition: str) -> pd.Series:
    """Rise of |σ| of each kept neuron for each entity type, by (layer, unit, entity)."""
    columns = [name for name in neurons if name.startswith("selectivity_")]
    base, end = _kept_sizes(neurons, condition, columns)
    rise = (end - base).rename(columns=lambda name: name.removeprefix("selectivity_"))
    return rise.rename_axis(columns="entity").stack()


def _epochs_to(rows: pd.DataFrame, condition: str, share: float) -> float:
    own = rows[rows["condition"] == condition].set_index("epoch")["f1"].sort_index()
    base, removed = own.loc[-1.0], own.loc[0.0]
    enough = own[(own.index >= 0) & (own >= removed + share * (base - removed))]
    lost = base - removed > MEASURABLE_LOSS
    return float(enough.index[0]) if lost and len(enough) else float("nan")


def centroid(group: pd.DataFrame, column: str) -> float:
    """Mean layer, weighted by a column; NaN where all weights are 0.

    Parameters
    ----------
    group : DataFrame
        One row a layer: layer, and the column.
    column : str
    """
    total = group[column].sum()
    return float((group["layer"] * group[column]).sum() / total) if total else float("nan")


def _through_stages(neurons: pd.DataFrame, condition: str) -> pd.DataFrame:
    """One row a neuron, with its σ, effect and words at base, removed and end side by side."""
    own = neurons[neurons["condition"] == condition].set_index(PLACE)
    stages = {name: own[own["stage"] == name] for name in ("base", "removed", "end")}
    wide = stages["end"][["removed", "gain"]].copy()
    for name, stage in stages.items():
        wide[f"selectivity_{name}"] = stage["selectivity"]
        wide[f"effect_{name}"] = stage["effect"]
        high = stage["words"].where(stage["selectivity"] >= 0, stage["words_low"])
        wide[f"words_{name}"] = high
    wide["picking_rise"] = stages["end"]["picking"].abs() - stages["base"]["picking"].abs()
    return wide


def _shown(wide: pd.DataFrame, *extra: str) -> pd.DataFrame:
    words = [f"words_{name}" for name in ("base", "removed", "end")]
    columns = ["selectivity_base", "selectivity_end", *extra, *words]
    return wide[columns].reset_index()


def regrowth(neurons: pd.DataFrame) -> pd.DataFrame:
    """How far removed neurons grew back: their gains and their effects, through retraining.

    Parameters
    ----------
    neurons : DataFrame
        From `neuron_table`.

    Returns
    -------
    DataFrame
        condition, epoch, gain (median over removed neurons, 1 as in the base), gain_low, gain_high
        (5th and 95th percentile), effect (median of |δ|/|δ of the base|), n.
    """
    gone = neurons[neurons["removed"]]
    base = neurons[neurons["stage"] == "base"].set_index(["condition", *PLACE])["effect"].abs()
    keys = gone.set_index(["condition", *PLACE]).index
    gone = gone.assign(share=gone["effect"].abs().to_numpy() / base.reindex(keys).to_numpy())
    grouped = gone.groupby(["condition", "epoch"], sort=False)
    table = grouped["gain"].agg(
        gain="median",
        gain_low=lambda gains: gains.quantile(0.05),
        gain_high=lambda gains: gains.quantile(0.95),
        n="size",
    )
    return table.assign(effect=grouped["share"].median()).reset_index()


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
