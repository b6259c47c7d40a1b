"""Charts by layer and by neuron: where the concept lives, and which neurons come to serve it.

A layer profile by rank is relative: its mean over the model is always ½, so a rise in one layer is
a fall in another, and removal alone already moves it. So selectivity, which is absolute, stands
above it, and beside it what removal alone predicts and what training without removal does.
"""

from __future__ import annotations

import altair as alt
import pandas as pd

from plasticity_utils.charts import theme
from plasticity_utils.charts.parts import (
    CONDITION_TITLES,
    CONDITIONS,
    KIND_COLOURS,
    KIND_SHAPES,
    LABEL_GAP,
    REMOVAL_ALONE,
    condition_signs,
    entities_in,
    entity_signs,
    in_order,
    lines,
    need,
    panel,
    stack,
    value_tooltips,
)
from plasticity_utils.errors import InputError
from plasticity_utils.names import OVER_NEURONS

KINDS = ("kept", "removed", "newly salient")
MOST_NEURONS = 5000
_MOMENTS = {"removed": "Just after removal", "end": "After retraining"}


def layer_profile(profile: pd.DataFrame, label: str) -> alt.VConcatChart:
    """Draw in which layers the concept lives, before and after, by selectivity and by rank.

    Parameters
    ----------
    profile : DataFrame
        condition (at least "concept" and "none"), stage ("base", "removed", "end"), layer (0 =
        embedding), selectivity (mean |σ| of the condition's kept neurons, 0–1), saliency (mean
        rank saliency, 0–1), removal_only (the saliency that removal alone predicts; read from the
        rows of "concept"). Each condition has base rows of its own, for its own kept neurons. With
        several seeds also `*_low` and `*_high` of selectivity and saliency. Where there is a
        column entity, only the rows of `label` are drawn; stages in between are left out.
    label : str
        The concept's entity type.

    Returns
    -------
    alt.VConcatChart

    Raises
    ------
    InputError
        If a column, or one of the two conditions, is missing.
    """
    need(profile, ["condition", "stage", "layer", "selectivity", "saliency", "removal_only"])
    profile = _of_concept(profile, label)
    shown = ["base", "concept", "none", REMOVAL_ALONE]
    of = {name: profile[profile["condition"] == name] for name in ("concept", "none")}
    for name, rows in of.items():
        if rows.empty:
            raise InputError(f"no rows of condition {name!r} in the chart's table")
    ends = {name: rows[rows["stage"] == "end"] for name, rows in of.items()}
    bases = {
        name: rows[rows["stage"] == "base"].assign(condition="base") for name, rows in of.items()
    }
    panels = [
        layer_panel(
            pd.concat([bases[name], ends[name]]),
            "selectivity",
            "mean |σ|",
            f"Mean |σ| of kept neurons, base and after retraining ({name})",
            shown,
            alt.Scale(),
        )
        for name in of
    ]
    alone = ends["concept"][["layer", "removal_only"]].rename(columns={"removal_only": "saliency"})
    by_rank = pd.concat([bases["none"], *ends.values(), alone.assign(condition=REMOVAL_ALONE)])
    heading = "Mean rank saliency, all neurons, base and after retraining"
    # Ranks hardly leave ½ on average, so this axis does not start at 0.
    scale = alt.Scale(zero=False)
    panels.append(layer_panel(by_rank, "saliency", "rank saliency", heading, shown, scale, True))
    return stack(
        panels,
        f"In which layers {label} is found, before removal and after retraining",
        ["Rank saliency is relative: it counts only beyond what removal alone predicts."],
        f"Three line charts by layer: the mean selectivity for {label} in the base model and "
        "after retraining, with the concept's neurons removed and with nothing removed; and mean "
        "rank saliency, beside what removal alone predicts.",
    )


def probe_by_layer(layers: pd.DataFrame, label: str) -> alt.VConcatChart:
    """Draw how well a linear probe reads the concept off each layer.

    Parameters
    ----------
    layers : DataFrame
        condition, stage ("base", "removed", "end"), layer (0 = embedding), probe_f1 (of the words
        of the concept). The base rows of one condition are enough. With several seeds also
        probe_f1_low and probe_f1_high. Where there is a column entity, only the rows of `label` are
        drawn; stages in between are left out.
    label : str
        The concept's entity type.

    Returns
    -------
    alt.VConcatChart

    Raises
    ------
    InputError
        If a column is missing.
    """
    need(layers, ["condition", "stage", "layer", "probe_f1"])
    layers = _of_concept(layers, label)
    base = layers[layers["stage"] == "base"].drop_duplicates("layer").assign(condition="base")
    later = layers[layers["stage"].isin(_MOMENTS)]
    conditions = ["base", *in_order(later, "condition", CONDITIONS)]
    panels = [
        layer_panel(
            pd.concat([base, later[later["stage"] == stage]]),
            "probe_f1",
            "F1 of the probe",
            title,
            conditions,
            alt.Scale(domain=[0, 1]),
            last=stage == "end",
        )
        for stage, title in _MOMENTS.items()
    ]
    return stack(
        panels,
        f"Where {label} can still be read: a linear probe on each layer",
        ["F1 over words, on sentences that the probe was not fitted on."],
        f"Two line charts by layer: F1 of a linear probe for {label} just after removal and after "
        f"retraining, for {', '.join(conditions)}.",
    )


def kept_gain(gains: pd.DataFrame, interval: str = OVER_NEURONS) -> alt.VConcatChart:
    """Draw how much selectivity the kept neurons gained for each entity type, by layer.

    Parameters
    ----------
    gains : DataFrame
        condition, entity, layer (0 = embedding), gain (mean rise of |σ| over neurons that were not
        removed, from the base to the end), gain_low, gain_high.
    interval : str
        What `gain_low` and `gain_high` are.

    Returns
    -------
    alt.VConcatChart
        A panel a condition, on one scale.

    Raises
    ------
    InputError
        If a column is missing.
    """
    need(gains, ["condition", "entity", "layer", "gain"])
    entities = entities_in(gains)
    conditions = in_order(gains, "condition", CONDITIONS)
    zero = alt.Chart(pd.DataFrame({"gain": [0.0]})).mark_rule().encode(y="gain:Q")
    panels = []
    for condition in conditions:
        rows = gains[gains["condition"] == condition]
        x = _layer_axis(condition == conditions[-1])
        y = alt.Y("gain:Q", title="mean rise of |σ|", axis=_value_axis())
        tooltips = [
            alt.Tooltip("entity:N", title="entity type"),
            alt.Tooltip("layer:Q", format="d"),
            *value_tooltips(rows, "gain", "rise of |σ|"),
        ]
        layers = [zero, *lines(rows, x, y, "gain", entity_signs(entities), tooltips)]
        panels.append(panel(layers, CONDITION_TITLES[condition], 110))
    chart = stack(
        panels,
        "What the kept neurons gain for each entity type, by layer",
        [
            "Selectivity σ = 2·AUROC − 1; base model to the end of retraining.",
            f"Bands: {interval}.",
        ],
        f"Line chart by layer, a panel for each of the conditions {', '.join(conditions)}: mean "
        f"rise of absolute selectivity over kept neurons, one line for each of "
        f"{', '.join(entities)}.",
    )
    return chart.resolve_scale(y="shared")


def neuron_scatter(neurons: pd.DataFrame, label: str) -> alt.LayerChart:
    """Draw each neuron's selectivity for the concept, before and after.

    Parameters
    ----------
    neurons : DataFrame
        One row a neuron: layer, unit, selectivity_base, selectivity_end (σ, −1 to 1), kind ("kept",
        "removed", "newly salient"), words (its highest-activating words, one string). At most
        5,000 rows, for the size of the page.
    label : str
        The concept's entity type.

    Returns
    -------
    alt.LayerChart

    Raises
    ------
    InputError
        If a column is missing, `kind` has another value, or there are too many rows.
    """
    sides = ["selectivity_base", "selectivity_end"]
    need(neurons, ["layer", "unit", *sides, "kind", "words"])
    kinds = in_order(neurons, "kind", KINDS)
    if len(neurons) > MOST_NEURONS:
        raise InputError(f"{len(neurons)} neurons are too many for a page; at most {MOST_NEURONS}")
    # Kept neurons are many: drawn first, they do not hide the others.
    rows = neurons[["layer", "unit", *sides, "kind", "words"]].round(dict.fromkeys(sides, 3))
    rows = rows.sort_values("kind", key=lambda kind: kind.map(KINDS.index), kind="stable")
    reach = max(0.1, float(rows[sides].abs().max().max()))
    scale, axis = alt.Scale(domain=[-reach, reach], nice=True), alt.Axis(tickCount=6)
    points = (
        alt.Chart(rows)
        .mark_point(size=30)
        .encode(
            x=alt.X("selectivity_base:Q", title="σ in the base model", scale=scale, axis=axis),
            y=alt.Y("selectivity_end:Q", title="σ after retraining", scale=scale, axis=axis),
            color=alt.Color("kind:N", title="neurons").scale(
                domain=list(KINDS), range=[KIND_COLOURS[kind] for kind in KINDS]
            ),
            shape=alt.Shape("kind:N", title="neurons").scale(
                domain=list(KINDS), range=[KIND_SHAPES[kind] for kind in KINDS]
            ),
            opacity=alt.condition("datum.kind === 'kept'", alt.value(0.3), alt.value(0.9)),
            tooltip=[
                alt.Tooltip("layer:Q", format="d"),
                alt.Tooltip("unit:Q", format="d"),
                alt.Tooltip("kind:N"),
                alt.Tooltip("selectivity_base:Q", title="σ, base", format=".3f"),
                alt.Tooltip("selectivity_end:Q", title="σ, end", format=".3f"),
                alt.Tooltip("words:N", title="top words"),
            ],
        )
    )
    ends = pd.DataFrame({side: [-reach, reach] for side in sides})
    diagonal = alt.Chart(ends).mark_line(color=theme.MUTED, strokeWidth=1, strokeDash=[4, 4])
    diagonal = diagonal.encode(x=f"{sides[0]}:Q", y=f"{sides[1]}:Q")
    heading = alt.TitleParams(
        f"Each neuron's selectivity for {label}, before and after",
        subtitle=["Dashed: unchanged. A neuron that is held at its resting value has σ = 0."],
    )
    return alt.LayerChart(
        layer=[diagonal, points],
        title=heading,
        height=400,
        description=f"Scatter plot of {len(rows)} neurons ({', '.join(kinds)}): selectivity for "
        f"{label} in the base model against selectivity after retraining.",
    )


def layer_panel(
    rows: pd.DataFrame,
    value: str,
    axis_title: str,
    title: str,
    conditions: list[str],
    scale: alt.Scale,
    last: bool = False,
) -> alt.LayerChart:
    """Draw one value by layer, one line a condition; the last panel of a stack names the axis."""
    y = alt.Y(f"{value}:Q", title=axis_title, axis=_value_axis(), scale=scale)
    tooltips = [
        alt.Tooltip("condition:N"),
        alt.Tooltip("layer:Q", format="d"),
        *value_tooltips(rows, value, axis_title),
    ]
    signs = condition_signs(conditions)
    return panel(lines(rows, _layer_axis(last), y, value, signs, tooltips), title, 140)


def _layer_axis(last: bool) -> alt.X:
    """Give the axis that all panels share; only the last one writes its title."""
    title = "layer (0 = embedding)" if last else None
    return alt.X("layer:Q", title=title, axis=alt.Axis(tickMinStep=1))


def _value_axis() -> alt.Axis:
    return alt.Axis(tickCount=5, labelPadding=LABEL_GAP)


def _of_concept(frame: pd.DataFrame, label: str) -> pd.DataFrame:
    """Keep the concept's rows of a table that may hold every entity type."""
    if "entity" not in frame.columns:
        return frame
    entities_in(frame)
    rows = frame[frame["entity"] == label]
    need(rows, ["layer"])
    return rows


def released_profile(table: pd.DataFrame) -> alt.VConcatChart:
    """Draw mean rank saliency by layer, of all neurons and of those that were left intact.

    Parameters
    ----------
    table : DataFrame
        From `released.released_lines`.

    Returns
    -------
    alt.VConcatChart

    Raises
    ------
    InputError
        If a column is missing.
    """
    need(table, ["neurons", "condition", "layer", "saliency"])
    groups = list(dict.fromkeys(table["neurons"]))
    panels = [
        layer_panel(
            table[table["neurons"] == group],
            "saliency",
            "rank saliency",
            group,
            ["base", "concept", REMOVAL_ALONE],
            alt.Scale(domain=[0, 1]),
            group == groups[-1],
        )
        for group in groups
    ]
    return stack(
        panels,
        "Released ranks of DistilBERT, locations",
        ["base: before removal. concept: after 8 epochs of retraining."],
        f"Line charts by layer, a panel for each of {', '.join(groups)}: mean rank saliency before "
        "removal and after retraining, and what removal alone predicts.",
    )
