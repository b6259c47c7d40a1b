"""What single neurons went through in a run: tidy tables, out of the one of all neurons.

A rise of |σ| or a turnover is told beside that of `none`, the drift that training alone causes.
"""

from __future__ import annotations

import pandas as pd

from plasticity_utils.assembly import PLACE, kept_neurons


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
