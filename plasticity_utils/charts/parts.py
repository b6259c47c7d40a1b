"""What the charts share: checked columns, signs, lines with bands, points with intervals, panels.

Every chart is a stack of panels of one width, never side by side, so that the book can narrow it to
a phone's column and the eye can compare along a common axis. A condition is always the same colour
and dash, an entity type the same colour and point; the base model and what removal alone predicts
are neutral. Where a table holds `<value>_low` and `<value>_high`, the interval is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import cycle
from typing import Any

import altair as alt
import pandas as pd

from plasticity_utils.charts import theme
from plasticity_utils.errors import InputError

REMOVAL_ALONE, SHUFFLED_WORDS = "removal alone", "shuffled words"
SERIES_COLOURS = {
    "base": theme.INK,
    **theme.CONDITION_COLOURS,
    REMOVAL_ALONE: theme.INK,
    SHUFFLED_WORDS: theme.MUTED,
}
SERIES_DASHES = {
    "base": [14, 3],
    **theme.CONDITION_DASHES,
    REMOVAL_ALONE: [2, 5],
    SHUFFLED_WORDS: [1, 3],
}
_ENTITIES = tuple(theme.ENTITY_COLOURS)
_MOST_TYPES = len(_ENTITIES) + 1
_STAR = "M0,-1L.3,-.3L1,-.3L.4,.2L.6,.9L0,.4L-.6,.9L-.4,.2L-1,-.3L-.3,-.3Z"
# Kinds of neurons stand beside conditions, never beside entity types.
KIND_COLOURS = {
    "kept": theme.MUTED,
    "removed": theme.CONDITION_COLOURS["targeted"],
    "newly salient": theme.INK,
    "polysemantic": theme.INK,
}
KIND_SHAPES = {
    "kept": "circle",
    "removed": "cross",
    "newly salient": "triangle-down",
    "polysemantic": _STAR,
}
CONDITION_TITLES = {
    "targeted": "targeted: what carries the concept removed",
    "random": "random: as much removed at random in each layer",
    "none": "none: nothing removed, trained on just the same",
    "head": "head: as targeted, but only the head trained",
}
BAND_OPACITY = 0.18
# Between the numbers of a y axis and a point that stands at the very left.
LABEL_GAP = 8
ROW = 15
# Names of rows take room that the axis of a line chart does not; the book's script asks for it.
NAMES_WIDTH = 200
UNIT = alt.Scale(domain=[0, 1])
# Differences are small beside the values, so such an axis does not start at 0.
NOT_FROM_ZERO = alt.Scale(zero=False)


def need(frame: pd.DataFrame, columns: Iterable[str]) -> None:
    """Raise InputError, naming what is wrong, unless a table has rows and these columns."""
    wanted = list(columns)
    missing = [column for column in wanted if column not in frame.columns]
    if missing:
        raise InputError(
            f"the chart's table has no column {', '.join(map(repr, missing))}; "
            f"it needs {', '.join(wanted)}, and has {', '.join(map(str, frame.columns))}"
        )
    if frame.empty:
        raise InputError(f"the chart's table has no rows; columns: {', '.join(wanted)}")


def present_in_order(frame: pd.DataFrame, column: str, allowed: Sequence[str]) -> list[str]:
    """Give the values of a column in the order of `allowed`; InputError at any other value."""
    present = set(frame[column])
    if unknown := present - set(allowed):
        raise InputError(
            f"unknown {column} {', '.join(sorted(map(repr, unknown)))} in the chart's table; "
            f"allowed: {', '.join(allowed)}"
        )
    return [value for value in allowed if value in present]


def distinct(frame: pd.DataFrame, column: str) -> list[str]:
    """Give the values of a column in the order in which they come."""
    return list(dict.fromkeys(frame[column]))


def conditions_in(frame: pd.DataFrame) -> list[str]:
    """Give the conditions of a table: those that the book knows first, then any others."""
    found = distinct(frame, "condition")
    known = [name for name in SERIES_COLOURS if name in found]
    return known + [name for name in found if name not in known]


def condition_title(condition: str) -> str:
    """Say in a line what a condition is; of one that the book does not know, its name."""
    return CONDITION_TITLES.get(condition, condition)


def entities_in(frame: pd.DataFrame) -> list[str]:
    """Give the types of a table: the four entity types in their order, then others in theirs.

    InputError if there are more than there are signs for.
    """
    found = distinct(frame, "entity")
    if len(found) > _MOST_TYPES:
        raise InputError(
            f"{len(found)} types in the chart's table, {', '.join(map(str, found))}; at most "
            f"{_MOST_TYPES} are allowed"
        )
    known = [name for name in _ENTITIES if name in found]
    return known + [name for name in found if name not in known]


def entities_from(frame: pd.DataFrame, label: str) -> list[str]:
    """Give the entity types of a table, the concept's own first; InputError if it is not there."""
    others = entities_in(frame)
    if label not in others:
        raise InputError(f"no rows of entity {label!r} in the chart's table; it has {others}")
    others.remove(label)
    return [label, *others]


def condition_signs(conditions: Sequence[str]) -> dict[str, Any]:
    """Give colour and dash of the column `condition`, with one legend for both."""
    others = [name for name in conditions if name not in SERIES_COLOURS]
    found = dict(zip(others, cycle(theme.FALLBACKS), strict=False))
    colours = SERIES_COLOURS | {name: colour for name, (colour, _) in found.items()}
    dashes = SERIES_DASHES | {name: dash for name, (_, dash) in found.items()}
    legend = alt.Legend(
        values=list(conditions), symbolType="stroke", symbolSize=500, symbolOpacity=1
    )
    scales = [
        alt.Scale(domain=list(signs), range=list(signs.values())) for signs in (colours, dashes)
    ]
    return {
        "color": alt.Color("condition:N", title="condition", scale=scales[0], legend=legend),
        "strokeDash": alt.StrokeDash(
            "condition:N", title="condition", scale=scales[1], legend=legend
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
    """Draw lines with points, and bands where the table has intervals, from back to front.

    `y` shows the column `value`; `signs` come from `condition_signs` or `entity_signs`. A band
    never leaves the axis: what Student's t says of a score above 1 is not drawn.
    """
    base = alt.Chart(frame).encode(x=x)
    line = {channel: sign for channel, sign in signs.items() if channel != "shape"}
    point = {channel: sign for channel, sign in signs.items() if channel != "strokeDash"}
    layers = []
    if ends := interval_columns(frame, value):
        low, high = ends
        band = base.mark_area(opacity=BAND_OPACITY, clip=True)
        # A band takes the axis of `y`: with its own title, both would be written.
        layers.append(band.encode(y=same_axis(y, low), y2=f"{high}:Q", color=signs["color"]))
    layers.append(base.mark_line().encode(y=y, **line))
    layers.append(base.mark_point(size=30, opacity=1).encode(y=y, tooltip=list(tooltips), **point))
    return layers


def dots(
    frame: pd.DataFrame,
    x: alt.X,
    y: alt.Y,
    value: str,
    tooltips: Sequence[alt.Tooltip],
    filled: bool = True,
    **signs: Any,
) -> list[alt.Chart]:
    """Draw a point a row, over its interval where the table has one.

    `x` shows the column `value`; `signs` are further channels, and without a colour among them
    points are ink, or muted where they are open.
    """
    if "color" not in signs:
        signs["color"] = alt.value(theme.INK if filled else theme.MUTED)
    base = alt.Chart(frame).encode(y=y, tooltip=list(tooltips), **signs)
    point = base.mark_point(filled=filled, size=50 if filled else 60, opacity=1)
    layers = [point.encode(x=x)]
    if ends := interval_columns(frame, value):
        low, high = ends
        rule = alt.Chart(frame).mark_rule(strokeWidth=2, clip=True)
        own = {channel: sign for channel, sign in signs.items() if channel != "shape"}
        drawn = rule.encode(x=same_axis(x, low), x2=f"{high}:Q", y=y, tooltip=list(tooltips), **own)
        layers.insert(0, drawn)
    return layers


def rows(column: str, order: Sequence[str], **settings: Any) -> alt.Y:
    """Give the axis of a dot chart, with the names of its rows."""
    axis = alt.Axis(labelPadding=LABEL_GAP, labelLimit=NAMES_WIDTH - 2 * LABEL_GAP)
    settings = {"title": None, "axis": axis, "sort": list(order)} | settings
    return alt.Y(f"{column}:N", **settings)


def zero_line(value: str, axis: str) -> alt.Chart:
    """Draw a line at 0 across a panel; `axis` is the one that shows the value."""
    rule = alt.Chart(pd.DataFrame({value: [0.0]})).mark_rule(color=theme.MUTED)
    return rule.encode(**{axis: f"{value}:Q"})


def panel(layers: Sequence[alt.Chart], title: str, height: int) -> alt.LayerChart:
    """Lay charts over each other under a small title of their own."""
    heading = alt.TitleParams(title, fontSize=12, fontWeight="normal", offset=6)
    return alt.LayerChart(layer=list(layers), title=heading, height=height)


def stack_panels(
    panels: Sequence[alt.LayerChart], title: str, subtitle: Sequence[str], description: str
) -> alt.VConcatChart:
    """Put panels under each other, with a title, a few lines below it, and a text alternative."""
    heading = alt.TitleParams(title, subtitle=list(subtitle))
    return alt.vconcat(*panels, spacing=18).properties(title=heading, description=description)


def stack_of_rows(
    panels: Sequence[alt.LayerChart],
    title: str,
    subtitle: Sequence[str],
    description: str,
    names: int = NAMES_WIDTH,
) -> alt.VConcatChart:
    """Stack panels of one scale whose rows have names: `names` pixels of the column are theirs."""
    width = theme.CHART_WIDTH + 50 - names
    narrow = [drawn.properties(width=width) for drawn in panels]
    chart = stack_panels(narrow, title, subtitle, description).resolve_scale(x="shared")
    return chart.properties(usermeta={"gutter": names})


def same_axis(encoding: Any, column: str) -> Any:
    """The same axis for another column."""
    other = encoding.copy()
    other.shorthand = f"{column}:Q"
    return other
