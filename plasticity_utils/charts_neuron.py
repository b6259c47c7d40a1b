"""Charts of one neuron: how its activations spread by class of word, and its σ through the run.

They are written as SVG here, not as Altair charts: building and drawing two of those takes half a
second, and the explorer has a third of one to answer in. Signs are those of the whole book: each
entity type has its colour and its point, and neutral lines and texts have the colours that a style
sheet turns with the theme. Each chart has a text alternative, each point a tooltip.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import pandas as pd

from plasticity_utils import vega
from plasticity_utils.charts_parts import in_order, need
from plasticity_utils.neuron_html import number
from plasticity_utils.neuron_views import CLASSES, REST

Number = int | float
CLASS_COLOURS = {**vega.ENTITY_COLOURS, REST: vega.MUTED}
WIDTH, LEFT, RIGHT = 330, 44, 12
PANEL, PANEL_GAP = 30, 22
COURSE_HEIGHT = 170
POINT = 4.5
_LINE_TICKS = (-1.0, -0.5, 0.0, 0.5, 1.0)


def activation_spread(histogram: pd.DataFrame) -> str:
    """Draw the histogram of a neuron's activations, a panel for each class of words.

    Parameters
    ----------
    histogram : DataFrame
        From `activation_histogram`: class, low, high, share, n.

    Returns
    -------
    str
        An SVG element.

    Raises
    ------
    InputError
        If a column is missing or a class is unknown.
    """
    need(histogram, ["class", "low", "high", "share", "n"])
    classes = in_order(histogram, "class", CLASSES)
    low, high = float(histogram["low"].min()), float(histogram["high"].max())
    per_unit = (WIDTH - LEFT - RIGHT) / (high - low)
    note = _text(0, 29, "Height: share of the class's words", colour=vega.MUTED)
    parts, top = [note], 32
    for name in classes:
        rows = histogram[histogram["class"] == name]
        top += PANEL_GAP
        parts += [
            _text(LEFT, top - 6, f"{name} ({rows['n'].iloc[0]} words)"),
            _text(LEFT - 6, top + 9, f"{rows['share'].max():.0%}", "end", vega.MUTED),
            _bars(rows, low, per_unit, top, CLASS_COLOURS[name]),
            _rule(LEFT, top + PANEL, WIDTH - RIGHT, top + PANEL, vega.MUTED),
        ]
        top += PANEL
    for value, anchor in ((low, "start"), ((low + high) / 2, "middle"), (high, "end")):
        parts.append(_text(LEFT + (value - low) * per_unit, top + 16, number(value), anchor))
    title = "Activation, by class of word"
    description = f"Histograms of the neuron's activation on words of {', '.join(classes)}."
    return _figure(parts, top + 24, title, description)


def selectivity_course(profile: pd.DataFrame) -> str:
    """Draw a neuron's σ for each entity type, from the base model to the end.

    Parameters
    ----------
    profile : DataFrame
        From `selectivity_profile`; only the rows of kind `entity type` are drawn.

    Returns
    -------
    str
        An SVG element.

    Raises
    ------
    InputError
        If a column is missing or there is no entity type.
    """
    need(profile, ["concept", "kind", "moment", "selectivity"])
    rows = profile[profile["kind"] == "entity type"]
    entities = in_order(rows, "concept", list(vega.ENTITY_COLOURS))
    need(rows, ["concept"])
    moments = list(dict.fromkeys(rows["moment"]))
    step = (WIDTH - LEFT - RIGHT - 24) / max(1, len(moments) - 1)
    x_of = {moment: LEFT + 12 + i * step for i, moment in enumerate(moments)}
    parts = _course_axes(x_of)
    for i, entity in enumerate(entities):
        own = rows[rows["concept"] == entity]
        points = [
            (x_of[moment], _height(value), f"{entity}, {moment}: σ = {number(value, True)}")
            for moment, value in zip(own["moment"], own["selectivity"], strict=True)
            if math.isfinite(value)
        ]
        parts += _line(points, entity)
        parts += _legend(entity, LEFT + 12 + i * 66)
    description = (
        f"Line chart of the neuron's selectivity for {', '.join(entities)} in the base model, "
        "just after removal and through retraining."
    )
    return _figure(parts, COURSE_HEIGHT + 92, "σ through the run", description)


def _course_axes(x_of: dict[str, float]) -> list[str]:
    parts = []
    for tick in _LINE_TICKS:
        y = _height(tick)
        colour = vega.MUTED if tick == 0 else vega.GRID
        parts.append(_rule(LEFT, y, WIDTH - RIGHT, y, colour))
        parts.append(_text(LEFT - 6, y + 4, f"{tick:g}".replace("-", "−"), "end"))
    foot = _height(-1)
    parts += [_text(x, foot + 18, moment, "middle") for moment, x in x_of.items()]
    parts.append(_text(LEFT, foot + 36, "base, just removed, epochs of retraining", "start"))
    return parts


def _line(points: Sequence[tuple[float, float, str]], entity: str) -> list[str]:
    colour = vega.ENTITY_COLOURS[entity]
    course = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in points)
    line = f'<polyline points="{course}" fill="none" stroke="{colour}" stroke-width="2"/>'
    marks = [_mark(x, y, entity, tip) for x, y, tip in points]
    return [line, *marks]


def _legend(entity: str, x: Number) -> list[str]:
    y = COURSE_HEIGHT + 80
    return [_mark(x, y - 4, entity, entity), _text(x + 10, y, entity)]


def _mark(x: Number, y: Number, entity: str, tip: str) -> str:
    """Draw the entity type's own point (`vega.ENTITY_SHAPES`), with a tooltip."""
    r = POINT
    corners = {
        "square": [(-r, -r), (r, -r), (r, r), (-r, r)],
        "triangle-up": [(0, -r * 1.2), (r * 1.2, r), (-r * 1.2, r)],
        "diamond": [(0, -r * 1.3), (r * 1.3, 0), (0, r * 1.3), (-r * 1.3, 0)],
    }
    shape = vega.ENTITY_SHAPES[entity]
    fill = f'fill="{vega.ENTITY_COLOURS[entity]}"'
    title = f"<title>{escape(tip)}</title>"
    if shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r}" {fill}>{title}</circle>'
    points = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners[shape])
    return f'<polygon points="{points}" {fill}>{title}</polygon>'


def _bars(rows: pd.DataFrame, low: float, per_unit: float, top: Number, colour: str) -> str:
    """Draw the bins of a class as one shape; the fullest bin has the panel's height."""
    tallest, foot = float(rows["share"].max()), top + PANEL
    steps = []
    for row in rows.itertuples():
        left, right = (LEFT + (edge - low) * per_unit for edge in (row.low, row.high))
        y = foot - PANEL * row.share / tallest
        steps.append(f"M{left:.1f},{foot}V{y:.1f}H{right:.1f}V{foot}")
    return f'<path d="{"".join(steps)}" fill="{colour}"/>'


def _height(sigma: Number) -> float:
    return 34 + (1 - sigma) / 2 * (COURSE_HEIGHT - 8)


def _rule(x1: Number, y1: Number, x2: Number, y2: Number, colour: str) -> str:
    return f'<path d="M{x1:.1f},{y1:.1f}L{x2:.1f},{y2:.1f}" stroke="{colour}" fill="none"/>'


def _text(x: Number, y: Number, text: str, anchor: str = "start", colour: str = vega.INK) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}"'
    return f"<text {place}>{escape(text)}</text>"


def _figure(parts: Sequence[str], height: Number, title: str, description: str) -> str:
    heading = f'<text x="0" y="13" font-weight="600" fill="{vega.INK}">{escape(title)}</text>'
    return (
        f'<svg role="img" aria-label="{escape(description)}" width="{WIDTH}" '
        f'height="{height:.0f}" viewBox="0 0 {WIDTH} {height:.0f}" font-size="12" '
        f'font-family="system-ui, sans-serif">{heading}{"".join(parts)}</svg>'
    )
