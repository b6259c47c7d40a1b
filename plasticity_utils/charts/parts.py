"""What the charts share: checked columns, the signs of each line, bands, and stacked panels.

Every chart is a stack of panels of one width, never side by side, so that the book can narrow it to
a phone's column and the eye can compare along a common horizontal axis. A condition is always the
same colour and dash, an entity type the same colour and point. The base model and what removal
alone predicts are neutral: they are what the conditions are compared with. Where a table holds
`<value>_low` and `<value>_high`, the interval is drawn; the charts compute none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import altair as alt
import pandas as pd

from plasticity_utils.charts import theme
from plasticity_utils.errors import InputError

REMOVAL_ALONE = "removal alone"
SERIES_COLOURS = {"base": theme.INK, **theme.CONDITION_COLOURS, REMOVAL_ALONE: theme.INK}
SERIES_DASHES = {"base": [14, 3], **theme.CONDITION_DASHES, REMOVAL_ALONE: [2, 5]}
ENTITIES = tuple(theme.ENTITY_COLOURS)
_STAR = "M0,-1L.3,-.3L1,-.3L.4,.2L.6,.9L0,.4L-.6,.9L-.4,.2L-1,-.3L-.3,-.3Z"
# Kinds of neurons stand beside conditions, never beside entity types.
KIND_COLOURS = {
    "kept": theme.MUTED,
    "removed": theme.CONDITION_COLOURS["concept"],
    "newly salient": theme.INK,
    "polysemantic": theme.INK,
}
KIND_SHAPES = {
    "kept": "circle",
    "removed": "cross",
    "newly salient": "triangle-down",
    "polysemantic": _STAR,
}
CONDITIONS = tuple(theme.CONDITION_COLOURS)
CONDITION_TITLES = {
    "concept": "concept: what carries it removed",
    "random": "random: as much removed at random in each layer",
    "none": "none: nothing removed, trained on just the same",
    "head": "head: as concept, but only the head trained",
}
_TAG = re.compile(r"[A-Z0-9_]+")
BAND_OPACITY = 0.18
# Between the numbers of a y axis and a point that stands at the very left.
LABEL_GAP = 8


def need(frame: pd.DataFrame, columns: Iterable[str]) -> None:
    """Check that a table has rows and the columns that a chart draws.

    Parameters
    ----------
    frame : DataFrame
    columns : iterable of str

    Raises
    ------
    InputError
        If the table is empty, or columns are missing: the message names them.
    """
    wanted = list(columns)
    missing = [column for column in wanted if column not in frame.columns]
    if missing:
        raise InputError(
            f"the chart's table has no column {', '.join(map(repr, missing))}; "
            f"it needs {', '.join(wanted)}, and has {', '.join(map(str, frame.columns))}"
        )
    if frame.empty:
        raise InputError(f"the chart's table has no rows; columns: {', '.join(wanted)}")


def in_order(frame: pd.DataFrame, column: str, allowed: Sequence[str]) -> list[str]:
    """Give the values of a column that a chart can draw, in the order of `allowed`.

    Raises
    ------
    InputError
        If the column holds a value for which there is no sign.
    """
    present = set(frame[column])
    if unknown := present - set(allowed):
        raise InputError(
            f"unknown {column} {', '.join(sorted(map(repr, unknown)))} in the chart's table; "
            f"allowed: {', '.join(allowed)}"
        )
    return [value for value in allowed if value in present]


def entities_in(frame: pd.DataFrame) -> list[str]:
    """Give the entity types of a table in their order, then the one concept that is none.

    Raises
    ------
    InputError
        If there are several values that are no entity type, or one that is no tag.
    """
    own = [str(value) for value in sorted(set(frame["entity"]) - set(ENTITIES), key=str)]
    tags = own if len(own) == 1 and _TAG.fullmatch(own[0]) else []
    return in_order(frame, "entity", (*ENTITIES, *tags))


def entities_from(frame: pd.DataFrame, label: str) -> list[str]:
    """Give the entity types of a table, the concept's own first.

    Raises
    ------
    InputError
        If `label` is not among them.
    """
    others = entities_in(frame)
    if label not in others:
        raise InputError(f"no rows of entity {label!r} in the chart's table; it has {others}")
    others.remove(label)
    return [label, *others]


def condition_signs(conditions: Sequence[str]) -> dict[str, Any]:
    """Give colour and dash of the column `condition`, with one legend for both."""

    def legend() -> alt.Legend:
        return alt.Legend(
            values=list(conditions), symbolType="stroke", symbolSize=500, symbolOpacity=1
        )

    colours = alt.Scale(domain=list(SERIES_COLOURS), range=list(SERIES_COLOURS.values()))
    dashes = alt.Scale(domain=list(SERIES_DASHES), range=list(SERIES_DASHES.values()))
    return {
        "color": alt.Color("condition:N", title="condition", scale=colours, legend=legend()),
        "strokeDash": alt.StrokeDash(
            "condition:N", title="condition", scale=dashes, legend=legend()
        ),
    }


def entity_signs(entities: Sequence[str] = ()) -> dict[str, Any]:
    """Give colour and point of the column `entity`, with one legend for both.

    `entities` are those that are drawn; it matters where one of them is no entity type.
    """
    legend = alt.Legend(symbolOpacity=1)
    colours, shapes = theme.entity_scale(entities), theme.entity_shape_scale(entities)
    return {
        "color": alt.Color("entity:N", title="entity type", scale=colours, legend=legend),
        "shape": alt.Shape("entity:N", title="entity type", scale=shapes, legend=legend),
    }


def interval_columns(frame: pd.DataFrame, value: str) -> list[str]:
    """Give the names of a value's interval columns, or none if the table lacks them."""
    columns = [f"{value}_low", f"{value}_high"]
    return columns if set(columns) <= set(frame.columns) else []


def value_tooltips(frame: pd.DataFrame, value: str, title: str) -> list[alt.Tooltip]:
    """Give the tooltips of a value and, if there is one, of its interval, to three digits."""
    columns = [value, *interval_columns(frame, value)]
    titles = [title, f"{title}, low end", f"{title}, high end"]
    return [
        alt.Tooltip(f"{column}:Q", title=name, format=".3f")
        for column, name in zip(columns, titles, strict=False)
    ]


def lines(
    frame: pd.DataFrame,
    x: alt.X,
    y: alt.Y,
    value: str,
    signs: dict[str, Any],
    tooltips: Sequence[alt.Tooltip],
) -> list[alt.Chart]:
    """Draw lines with points, and bands where the table has intervals.

    Parameters
    ----------
    frame : DataFrame
        One row a point, with the columns of `x`, `y` and `signs`.
    x, y : alt.X, alt.Y
    value : str
        The column that `y` shows.
    signs : dict
        Of :func:`condition_signs` or :func:`entity_signs`.
    tooltips : sequence of alt.Tooltip

    Returns
    -------
    list of alt.Chart
        Layers, from the back to the front.
    """
    base = alt.Chart(frame).encode(x=x)
    line = {channel: sign for channel, sign in signs.items() if channel != "shape"}
    point = {channel: sign for channel, sign in signs.items() if channel != "strokeDash"}
    layers = []
    if ends := interval_columns(frame, value):
        low, high = ends
        band = base.mark_area(opacity=BAND_OPACITY)
        # A band takes the axis of `y`: with its own title, both would be written.
        layers.append(band.encode(y=_same_axis(y, low), y2=f"{high}:Q", color=signs["color"]))
    layers.append(base.mark_line().encode(y=y, **line))
    layers.append(base.mark_point(size=30, opacity=1).encode(y=y, tooltip=list(tooltips), **point))
    return layers


def panel(layers: Sequence[alt.Chart], title: str, height: int) -> alt.LayerChart:
    """Lay charts over each other under a small title of their own."""
    heading = alt.TitleParams(title, fontSize=12, fontWeight="normal", offset=6)
    return alt.LayerChart(layer=list(layers), title=heading, height=height)


def stack(
    panels: Sequence[alt.LayerChart], title: str, subtitle: Sequence[str], description: str
) -> alt.VConcatChart:
    """Put panels under each other, with a title, a few lines below it, and a text alternative."""
    heading = alt.TitleParams(title, subtitle=list(subtitle))
    return alt.vconcat(*panels, spacing=18).properties(title=heading, description=description)


def _same_axis(y: alt.Y, column: str) -> alt.Y:
    encoding = y.copy()
    encoding.shorthand = f"{column}:Q"
    return encoding
