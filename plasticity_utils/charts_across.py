"""Charts of many runs: concepts and models side by side, each with its control.

Dot charts with intervals: one row a concept and model, the same colours as everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import pandas as pd

from plasticity_utils import vega
from plasticity_utils.charts_parts import (
    CONDITIONS,
    condition_signs,
    in_order,
    need,
    panel,
    stack,
    value_tooltips,
)

_ROW = 15


def outcomes(table: pd.DataFrame, interval: str) -> alt.VConcatChart:
    """Draw F1 of each concept just after removal and at the end, under every condition.

    Parameters
    ----------
    table : DataFrame
        From `across.outcomes`.
    interval : str
        What `f1_low` and `f1_high` are.

    Returns
    -------
    alt.VConcatChart
        A panel a concept, with the base model's F1 as a line.

    Raises
    ------
    InputError
        If a column is missing.
    """
    need(table, ["concept", "model", "condition", "stage", "f1", "f1_low", "f1_high"])
    conditions = in_order(table, "condition", CONDITIONS)
    rows = list(dict.fromkeys(table["concept"]))
    panels = []
    for concept in rows:
        own = table[table["concept"] == concept]
        last = concept == rows[-1]
        base = own[own["stage"] == "base"].head(1)
        rule = alt.Chart(base).mark_rule(strokeDash=[14, 3], color=vega.INK).encode(x="f1:Q")
        panels.append(panel([rule, *_moments(own, conditions, last)], concept, 4 * 2 * _ROW))
    return stack(
        panels,
        "What removal takes, and what comes back",
        ["Open points: just after removal. Full: at the end. Broken line: base.", _said(interval)],
        f"Dot chart, a panel for each of {', '.join(rows)}: F1 just after removal and after "
        f"retraining under the conditions {', '.join(conditions)}.",
    )


def differences(
    table: pd.DataFrame, values: dict[str, str], title: str, note: str, interval: str
) -> alt.VConcatChart:
    """Draw differences with their intervals, one row a concept and model, beside a line at zero.

    Parameters
    ----------
    table : DataFrame
        One of `across`'s tables, with the columns concept and model.
    values : dict
        Column to draw → title of its panel.
    title, note : str
    interval : str
        What the `_low` and `_high` columns are.

    Returns
    -------
    alt.VConcatChart

    Raises
    ------
    InputError
        If a column is missing.
    """
    need(table, ["concept", "model", *values])
    named = table.assign(series=table["concept"] + ", " + table["model"])
    order = list(dict.fromkeys(named["series"]))
    panels = []
    for value, heading in values.items():
        base = alt.Chart(named).encode(y=alt.Y("series:N", title=None, sort=order))
        zero = alt.Chart(pd.DataFrame({value: [0.0]})).mark_rule(color=vega.MUTED)
        tooltips = [alt.Tooltip("series:N", title="run"), *value_tooltips(named, value, heading)]
        axis = alt.Axis(grid=True)
        ends = alt.X(f"{value}_low:Q", title=None, axis=axis)
        layers = [
            zero.encode(x=f"{value}:Q"),
            base.mark_rule(strokeWidth=2).encode(x=ends, x2=f"{value}_high:Q", tooltip=tooltips),
            base.mark_point(filled=True, size=50, opacity=1).encode(
                x=alt.X(f"{value}:Q", title=None, axis=axis), tooltip=tooltips
            ),
        ]
        panels.append(panel(layers, heading, 2 * _ROW * len(order)))
    description = f"Dot chart: {', '.join(values.values())} for {'; '.join(order)}. {note}"
    return stack(panels, title, [note, _said(interval)], description)


def _moments(own: pd.DataFrame, conditions: Sequence[str], last: bool) -> list[alt.Chart]:
    """Draw the points of one concept: open just after removal, full at the end."""
    # The axis names the conditions: a legend would say it twice.
    color = condition_signs(conditions)["color"].copy()
    color.legend = None
    y = alt.Y("condition:N", title=None, sort=list(conditions))
    axis = alt.Axis(grid=True)
    scale = alt.Scale(domain=[0, 1])
    title = "F1" if last else None
    layers = []
    for stage, filled in (("removed", False), ("end", True)):
        rows = own[own["stage"] == stage]
        base = alt.Chart(rows).encode(
            y=y,
            color=color,
            tooltip=[
                alt.Tooltip("condition:N"),
                alt.Tooltip("stage:N"),
                alt.Tooltip("model:N"),
                *value_tooltips(rows, "f1", "F1"),
            ],
        )
        ends = alt.X("f1_low:Q", title=title, scale=scale, axis=axis)
        point = alt.X("f1:Q", title=title, scale=scale, axis=axis)
        layers.append(base.mark_rule(strokeWidth=2).encode(x=ends, x2="f1_high:Q"))
        layers.append(base.mark_point(filled=filled, size=60, opacity=1).encode(x=point))
    return layers


def _said(interval: str) -> str:
    return f"Lines: {interval}."
