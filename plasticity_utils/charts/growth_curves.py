"""The chart of growth: seconds and memory against words, neurons or concepts, both axes in logs."""

from __future__ import annotations

import altair as alt
import pandas as pd

from plasticity_utils.charts import theme
from plasticity_utils.charts.parts import need, panel, stack_panels

PANEL_HEIGHT = 130
_LOG = alt.Scale(type="log", nice=False, padding=8)
TITLES = {"seconds": "seconds", "rise_mb": "memory, MB"}


def growth(table: pd.DataFrame) -> alt.VConcatChart:
    """Draw the measured curves, a panel for each; the slope of a straight line is the exponent."""
    need(table, ["curve", "n", *TITLES])
    curves = list(dict.fromkeys(table["curve"]))
    panels = [_panel(table[table["curve"] == curve], curve) for curve in curves]
    return stack_panels(
        panels,
        "Growth of time and memory",
        ["Solid: seconds. Dashed: peak memory beyond what was held before, in MB."],
        f"Line charts with logarithmic axes, a panel for each of {', '.join(curves)}: seconds and "
        "peak memory.",
    )


def _panel(rows: pd.DataFrame, curve: str) -> alt.LayerChart:
    long = rows.melt(["curve", "n"], list(TITLES), "measure", "value").replace({"measure": TITLES})
    names = list(TITLES.values())
    base = alt.Chart(long).encode(
        x=alt.X("n:Q", title=curve.rpartition(" ")[2], scale=_LOG, axis=_axis(8)),
        y=alt.Y("value:Q", title=None, scale=_LOG, axis=_axis(4)),
        color=alt.value(theme.INK),
        strokeDash=alt.StrokeDash(
            "measure:N", scale=alt.Scale(domain=names, range=[[1, 0], [6, 3]]), title=None
        ),
    )
    tooltips = [
        alt.Tooltip("n:Q", format=","),
        alt.Tooltip("measure:N"),
        alt.Tooltip("value:Q", format=".3~g"),
    ]
    points = base.mark_point(size=30, opacity=1).encode(strokeDash=alt.Undefined, tooltip=tooltips)
    return panel([base.mark_line(), points], curve, PANEL_HEIGHT)


def _axis(ticks: int) -> alt.Axis:
    return alt.Axis(format="~s", grid=False, tickCount=ticks)
