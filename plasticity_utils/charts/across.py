"""Charts of many runs: concepts and models side by side, each with its control.

Dot charts with intervals: one row a concept and model, the same colours as everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import pandas as pd

from plasticity_utils.charts import theme
from plasticity_utils.charts.parts import (
    CONDITIONS,
    LABEL_GAP,
    condition_signs,
    in_order,
    need,
    panel,
    stack,
    value_tooltips,
)
from plasticity_utils.formats import named_series

_ROW = 15
# Names of rows take room that the axis of a line chart does not; the book's script asks for it.
_NAMES_WIDTH = 200
_NARROW = theme.CHART_WIDTH + 50 - _NAMES_WIDTH


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
        A panel a concept and model, with the base model's F1 as a line.

    Raises
    ------
    InputError
        If a column is missing.
    """
    need(table, ["concept", "model", "condition", "stage", "f1", "f1_low", "f1_high"])
    conditions = in_order(table, "condition", CONDITIONS)
    table = named_series(table)
    rows = list(dict.fromkeys(table["series"]))
    panels = []
    for series in rows:
        own = table[table["series"] == series]
        last = series == rows[-1]
        base = own[own["stage"] == "base"].head(1)
        rule = alt.Chart(base).mark_rule(strokeDash=[14, 3], color=theme.INK).encode(x="f1:Q")
        panels.append(panel([rule, *_moments(own, conditions, last)], series, 4 * 2 * _ROW))
    return stack(
        panels,
        "What removal takes, and what comes back",
        ["Open points: just after removal. Full: at the end. Broken line: base.", _said(interval)],
        f"Dot chart, a panel for each of {'; '.join(rows)}: F1 just after removal and after "
        f"retraining under the conditions {', '.join(conditions)}.",
    )


def steps(table: pd.DataFrame, interval: str) -> alt.VConcatChart:
    """Draw the experiment in one figure: F1 at each of its steps, a panel a concept and model.

    Parameters
    ----------
    table : DataFrame
        From `across.steps`.
    interval : str
        What `f1_low` and `f1_high` are.

    Returns
    -------
    alt.VConcatChart

    Raises
    ------
    InputError
        If a column is missing.
    """
    need(table, ["concept", "model", "step", "f1", "f1_low", "f1_high"])
    table = named_series(table)
    rows, order = (list(dict.fromkeys(table[name])) for name in ("series", "step"))
    scale, axis = alt.Scale(domain=[0, 1]), alt.Axis(grid=True, format=".1f")
    panels = []
    for series in rows:
        own = table[table["series"] == series]
        title = "score (F1, 1 is perfect)" if series == rows[-1] else None
        base = alt.Chart(own).encode(
            y=_names("step", order),
            tooltip=[alt.Tooltip("step:N"), *value_tooltips(own, "f1", "F1")],
        )
        # A light bar back to 0 shows the size of a loss at a glance.
        length = base.mark_rule(strokeWidth=7, opacity=0.25).encode(
            x=alt.X("f1:Q", title=title, scale=scale, axis=axis), x2=alt.datum(0)
        )
        ends = alt.X("f1_low:Q", title=title, scale=scale, axis=axis)
        panels.append(
            panel(
                [
                    length,
                    base.mark_rule(strokeWidth=2).encode(x=ends, x2="f1_high:Q"),
                    base.mark_point(filled=True, size=60, opacity=1, color=theme.INK).encode(
                        x=alt.X("f1:Q", title=title, scale=scale, axis=axis)
                    ),
                ],
                series,
                22 * len(order),
            ).properties(width=_NARROW)
        )
    chart = stack(
        panels,
        "How well the model finds the names",
        [_said(interval)],
        f"Dot chart, a panel for each of {'; '.join(rows)}: F1 at the steps {', '.join(order)}.",
    )
    return chart.properties(usermeta={"gutter": _NAMES_WIDTH})


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
    named = named_series(table)
    order = list(dict.fromkeys(named["series"]))
    panels = []
    for value, heading in values.items():
        base = alt.Chart(named).encode(y=_names("series", order))
        zero = alt.Chart(pd.DataFrame({value: [0.0]})).mark_rule(color=theme.MUTED)
        tooltips = [alt.Tooltip("series:N", title="run"), *value_tooltips(named, value, heading)]
        axis = alt.Axis(grid=True)
        ends = alt.X(f"{value}_low:Q", title=None, axis=axis)
        layers = [
            zero.encode(x=f"{value}:Q"),
            base.mark_rule(strokeWidth=2).encode(x=ends, x2=f"{value}_high:Q", tooltip=tooltips),
            base.mark_point(filled=True, size=50, opacity=1, color=theme.INK).encode(
                x=alt.X(f"{value}:Q", title=None, axis=axis), tooltip=tooltips
            ),
        ]
        drawn = panel(layers, heading, 2 * _ROW * len(order))
        panels.append(drawn.properties(width=_NARROW))
    shown, rows = ", ".join(values.values()), "; ".join(order)
    description = f"Dot chart with intervals: {shown} for {rows}. {note}"
    chart = stack(panels, title, [note, _said(interval)], description)
    return chart.properties(usermeta={"gutter": _NAMES_WIDTH})


def _moments(own: pd.DataFrame, conditions: Sequence[str], last: bool) -> list[alt.Chart]:
    """Draw the points of one concept: open just after removal, full at the end."""
    # The axis names the conditions: a legend would say it twice.
    color = condition_signs(conditions)["color"].copy()
    color.legend = None
    y = _names("condition", conditions)
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


def _names(column: str, order: Sequence[str]) -> alt.Y:
    axis = alt.Axis(labelPadding=LABEL_GAP)
    return alt.Y(f"{column}:N", title=None, sort=list(order), axis=axis)


def _said(interval: str) -> str:
    return f"Lines: {interval}."
