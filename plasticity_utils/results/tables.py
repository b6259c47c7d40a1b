"""What a run's tables say: tidy frames in, tidy frames out.

Every statement that a concept moved or came back is made beside its controls: `none` for the drift
that training alone causes, the removal-only expectation for the shift that removal alone causes,
and the other entity types for what becomes of any type in the neurons that are left.
"""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from plasticity_utils.experiment.record import Run

MEASURABLE_LOSS = 0.05


def base_f1(metrics: pd.DataFrame) -> pd.Series:
    """F1 of each entity type in the base model, before anything was removed."""
    return metrics[metrics["stage"] == "base"].groupby("entity", sort=False)["entity_f1"].first()


def recovery_of(run: Run) -> pd.DataFrame:
    """As `recovery`, of a run's concept."""
    mute = [] if run.config.concept_info.is_entity else run.config.only_reading
    return recovery(run.metrics, run.config.label, run.config.last_layer, mute)


def recovery(
    metrics: pd.DataFrame, entity: str, last_layer: str, mute: Collection[str] = ()
) -> pd.DataFrame:
    """How much of the loss each condition regains, and what of it is relearning.

    Of the metrics of one run: condition, base, removed, end (F1), recovery ((end − removed) /
    (base − removed)), beyond_head (F1 at the end minus that of `last_layer`, the condition under
    which the head alone trains; NaN but for `targeted`), epochs_to_95 (first snapshot at which 95 %
    of the loss is regained). Where less than 0.05 was lost, recovery and epochs_to_95 are NaN: a
    share of that is a share of noise. `mute` are conditions that say nothing of it: their numbers
    are NaN, and so is what goes beyond them.
    """
    rows = metrics[metrics["entity"] == entity]
    f1 = rows.pivot_table(index="condition", columns="stage", values="entity_f1", sort=False)
    table = f1[["base", "removed", "end"]].reset_index()
    lost = table["base"] - table["removed"]
    table["recovery"] = (table["end"] - table["removed"]) / lost.where(lost > MEASURABLE_LOSS)
    # A run need not have every condition.
    beyond = table["end"] - f1["end"].get(last_layer, float("nan"))
    table["beyond_head"] = beyond.where(table["condition"] == "targeted")
    table["epochs_to_95"] = [_epochs_to(rows, name, 0.95) for name in table["condition"]]
    silent = table["condition"].isin(mute)
    table.loc[silent, ["removed", "end", "recovery", "epochs_to_95"]] = float("nan")
    if last_layer in mute:
        table["beyond_head"] = float("nan")
    return table


def dose_curve(dose: pd.DataFrame) -> pd.DataFrame:
    """The dose–response on the scoring part: intervals for the concept, ranges for random draws.

    Of `random`, F1 is the median over the draws and low and high are the least and the greatest.
    """
    rows = dose[(dose["part"] == "scoring") & (dose["entity"] != "overall")]
    keys = ["regime", "dose", "n_removed", "condition", "entity"]
    drawn = rows[rows["condition"] == "random"].groupby(keys, sort=False)["entity_f1"]
    spread = drawn.agg(
        entity_f1="median", entity_f1_low="min", entity_f1_high="max", n_draws="size"
    ).reset_index()
    single = rows.loc[
        rows["condition"] != "random", [*keys, "entity_f1", "entity_f1_low", "entity_f1_high"]
    ]
    return pd.concat([single.assign(n_draws=1), spread], ignore_index=True)


def reliance_table(reliance: pd.DataFrame) -> pd.DataFrame:
    """F1 when neurons are removed again at the end; random draws as median and range."""
    keys = ["condition", "again", "entity"]
    is_random = reliance["again"] == "random"
    drawn = reliance[is_random].groupby(keys, sort=False)["entity_f1"]
    spread = drawn.agg(entity_f1="median", entity_f1_low="min", entity_f1_high="max").reset_index()
    single = reliance.loc[~is_random, [*keys, "entity_f1", "entity_f1_low", "entity_f1_high"]]
    return pd.concat([single, spread], ignore_index=True)


def redistribution(layers: pd.DataFrame, label: str) -> pd.DataFrame:
    """Centroid of the concept over the layers, before and after, by selectivity and by rank.

    Gives condition, centroid_base, centroid_end (mean layer, weighted by the share of |σ| over kept
    neurons), shift (end − base), rank_shift (of the centroid of rank saliency over all neurons),
    rank_shift_removal_only (what removal alone would give).
    """
    rows = layers[layers["entity"] == label]
    centroids = {
        (name, column): centroid(group, column)
        for name, group in rows.groupby(["condition", "stage"], sort=False)
        for column in ("share", "rank_saliency", "removal_only")
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
                "rank_shift": centroids[end, "rank_saliency"] - centroids[base, "rank_saliency"],
                "rank_shift_removal_only": centroids[end, "removal_only"]
                - centroids[base, "rank_saliency"],
            }
        )
    return pd.DataFrame(table)


def centroid(group: pd.DataFrame, column: str) -> float:
    """Mean layer, weighted by a column of a table of layers; NaN where all weights are 0."""
    total = group[column].sum()
    return float((group["layer"] * group[column]).sum() / total) if total else float("nan")


def unordered_centroid(group: pd.DataFrame) -> float:
    """Centroid of rank saliency if removed neurons rank last and all others in no order.

    Nothing but the numbers removed in each layer decides it.
    """
    kept, removed = group["n_kept"].sum(), group["n_removed"].sum()
    # Mean rank saliency, 1 for the first and 0 for the last, of those that are left and of those
    # that are not.
    last = kept + removed - 1
    left, gone = 1 - (kept - 1) / 2 / last, (removed - 1) / 2 / last
    totals = left * group["n_kept"] + gone * group["n_removed"]
    saliency = totals / (group["n_kept"] + group["n_removed"])
    return centroid(group.assign(rank_saliency=saliency), "rank_saliency")


def method_overlap(ranking: pd.DataFrame, share: float) -> pd.DataFrame:
    """How far rankings agree on the top neurons of the base model, a share of all."""
    n_top = max(1, round(share * len(ranking)))
    ranks = ranking.filter(like="rank_").rename(columns=lambda name: name.removeprefix("rank_"))
    top = (ranks < n_top).astype(float)
    return (top.T @ top / n_top).rename_axis("method").reset_index()


def _epochs_to(rows: pd.DataFrame, condition: str, share: float) -> float:
    own = rows[rows["condition"] == condition].set_index("epoch")["entity_f1"].sort_index()
    base, removed = own.loc[-1.0], own.loc[0.0]
    enough = own[(own.index >= 0) & (own >= removed + share * (base - removed))]
    lost = base - removed > MEASURABLE_LOSS
    return float(enough.index[0]) if lost and len(enough) else float("nan")
