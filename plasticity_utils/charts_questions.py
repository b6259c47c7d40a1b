"""Charts of what kept neurons come to serve: functions, concepts that share, and crowded layers.

Every value stands beside its control: `random` and `none` in the same panel, shuffled pairs in the
same row. A line at zero is what training on with nothing removed does.
"""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import pandas as pd

from plasticity_utils import vega
from plasticity_utils.charts_layers import layer_panel
from plasticity_utils.charts_parts import (
    CONDITION_TITLES,
    CONDITIONS,
    LABEL_GAP,
    condition_signs,
    in_order,
    need,
    panel,
    stack,
    value_tooltips,
)

ROW, _TALL_ROW = 16, 24
# Names of rows take room that the axis of a line chart does not; the book's script asks for it.
NAMES_WIDTH = 240
NARROW = vega.CHART_WIDTH + 50 - NAMES_WIDTH
FUNCTIONS = {
    "took_on": "Share that serves a concept it did not serve before",
    "polysemantic": "Share that serves two concepts or more",
    "n_concepts": "Concepts that a neuron serves",
}
_MEASURES = {"interference": "mean |cos|", "dimensionality": "share of a dimension"}
_STAGES = {"removed": "just after removal", "end": "after retraining"}
_SIGNS = {"same": "one end", "any": "both ends"}


def functions_by_layer(table: pd.DataFrame, interval: str) -> alt.VConcatChart:
    """Draw by layer what kept neurons come to serve beyond training on with nothing removed.

    Parameters
    ----------
    table : DataFrame
        From `neuron_tables.functions_by_layer`.
    interval : str
        What `beyond_none_low` and `beyond_none_high` are.

    Returns
    -------
    alt.VConcatChart
        A panel a quantity.

    Raises
    ------
    InputError
        If a column is missing.
    """
    need(table, ["condition", "quantity", "layer", "beyond_none"])
    conditions = in_order(table, "condition", CONDITIONS)
    zero = alt.Chart(pd.DataFrame({"beyond_none": [0.0]})).mark_rule().encode(y="beyond_none:Q")
    panels = []
    for quantity, title in FUNCTIONS.items():
        rows, last = table[table["quantity"] == quantity], quantity == list(FUNCTIONS)[-1]
        drawn = layer_panel(
            rows, "beyond_none", "beyond none", title, conditions, alt.Scale(), last
        )
        drawn.layer = [zero, *drawn.layer]
        panels.append(drawn)
    return stack(
        panels,
        "What kept neurons take on, beyond training on with nothing removed",
        ["Base to end, minus the same under none.", f"Bands: {interval}."],
        "Line charts by layer, one line for each of the conditions "
        f"{', '.join(conditions)}: change of polysemanticity of kept neurons minus the change "
        "where nothing was removed.",
    )


def superposition(table: pd.DataFrame, interval: str) -> alt.VConcatChart:
    """Draw interference and feature dimensionality by layer, just after removal and at the end.

    Parameters
    ----------
    table : DataFrame
        From `neuron_tables.superposition_by_layer`.
    interval : str

    Returns
    -------
    alt.VConcatChart

    Raises
    ------
    InputError
        If a column is missing.
    """
    need(table, ["condition", "stage", "layer", *_MEASURES])
    base = table[table["stage"] == "base"].drop_duplicates("layer").assign(condition="base")
    conditions = ["base", *in_order(table, "condition", CONDITIONS)]
    panels = []
    for measure, unit in _MEASURES.items():
        for stage, when in _STAGES.items():
            rows = pd.concat([base, table[table["stage"] == stage]])
            last = (measure, stage) == (list(_MEASURES)[-1], "end")
            name = "Interference" if measure == "interference" else "Feature dimensionality"
            # Differences are small beside the values, so these axes do not start at 0.
            scale = alt.Scale(zero=False)
            panels.append(
                layer_panel(rows, measure, unit, f"{name}, {when}", conditions, scale, last)
            )
    return stack(
        panels,
        "Do concepts crowd each other?",
        ["Superposition: more interference, less dimensionality.", f"Bands: {interval}."],
        "Line charts by layer of interference and feature dimensionality of the inventory's "
        f"concepts, just after removal and after retraining, for {', '.join(conditions)}.",
    )


def sharing(table: pd.DataFrame, interval: str) -> alt.VConcatChart:
    """Draw how alike concepts are that share a neuron, beside shuffled pairs.

    Parameters
    ----------
    table : DataFrame
        From `neuron_tables.sharing`.
    interval : str

    Returns
    -------
    alt.VConcatChart
        A panel for the base and for the end of each condition.

    Raises
    ------
    InputError
        If a column is missing.
    """
    need(table, ["condition", "stage", "scope", "sign", "shared", "expected"])
    named = table.assign(row=table["scope"] + ", " + table["sign"].map(_SIGNS))
    order = list(dict.fromkeys(named["row"]))
    moments = list(dict.fromkeys(zip(named["condition"], named["stage"], strict=True)))
    panels = []
    for condition, stage in moments:
        rows = named[(named["condition"] == condition) & (named["stage"] == stage)]
        title = "Base model" if stage == "base" else CONDITION_TITLES[condition]
        last = (condition, stage) == moments[-1]
        axis_title = "mean cosine of the concepts' words" if last else None
        marks = [
            *dots(rows, "row", order, "shared", axis_title, "sharing a neuron"),
            open_dots(rows, "row", order, "expected", axis_title, "shuffled pairs"),
        ]
        panels.append(panel(marks, title, _TALL_ROW * len(order)).properties(width=NARROW))
    chart = stack(
        panels,
        "Are concepts that share a neuron alike?",
        ["Full: pairs that share a neuron. Open: shuffled pairs.", f"Lines: {interval}."],
        "Dot charts, a panel a moment: mean cosine of the words of concepts that share a neuron, "
        f"and of shuffled pairs, for {', '.join(order)}.",
    )
    return chart.resolve_scale(x="shared").properties(usermeta={"gutter": NAMES_WIDTH})


def dots(
    rows: pd.DataFrame,
    y: str,
    order: Sequence[str],
    value: str,
    axis_title: str | None,
    name: str,
    conditions: Sequence[str] = (),
) -> list[alt.Chart]:
    """Draw a full point a row with its interval, beside each other where there are conditions."""
    tooltips = [alt.Tooltip(f"{y}:N", title="row"), *value_tooltips(rows, value, name)]
    base = alt.Chart(rows).encode(y=_rows(y, order), tooltip=tooltips)
    if conditions:
        offset = alt.YOffset("condition:N", sort=list(conditions))
        base = base.encode(yOffset=offset, color=condition_signs(conditions)["color"])
    else:
        base = base.encode(color=alt.value(vega.INK))
    axis = alt.Axis(grid=True)
    scale = alt.Scale(zero=False)
    ends = alt.X(f"{value}_low:Q", title=axis_title, axis=axis, scale=scale)
    point = alt.X(f"{value}:Q", title=axis_title, axis=axis, scale=scale)
    return [
        base.mark_rule(strokeWidth=2).encode(x=ends, x2=f"{value}_high:Q"),
        base.mark_point(filled=True, size=50, opacity=1).encode(x=point),
    ]


def open_dots(
    rows: pd.DataFrame, y: str, order: Sequence[str], value: str, axis_title: str | None, name: str
) -> alt.Chart:
    """Draw an open point a row: what is expected."""
    tooltips = [alt.Tooltip(f"{y}:N", title="row"), *value_tooltips(rows, value, name)]
    x = alt.X(f"{value}:Q", title=axis_title, scale=alt.Scale(zero=False))
    base = alt.Chart(rows).encode(y=_rows(y, order), x=x, tooltip=tooltips)
    return base.mark_point(filled=False, size=60, opacity=1, color=vega.MUTED)


def _rows(column: str, order: Sequence[str]) -> alt.Y:
    axis = alt.Axis(labelPadding=LABEL_GAP, labelLimit=NAMES_WIDTH - 60)
    return alt.Y(f"{column}:N", title=None, sort=list(order), axis=axis)
