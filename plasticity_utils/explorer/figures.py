"""One neuron drawn as SVG: its activation by class of word, and its σ through a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import pandas as pd

from plasticity_utils.charts import theme
from plasticity_utils.charts.parts import distinct, need
from plasticity_utils.formats import fixed, short
from plasticity_utils.names import OTHER

Number = int | float
WIDTH, LEFT, RIGHT = 300, 44, 12
PANEL, PANEL_GAP = 30, 22
COURSE_HEIGHT = 170
POINT = 4.5
LETTER = 8  # of a legend's text, about
_LINE_TICKS = (-1.0, -0.5, 0.0, 0.5, 1.0)


@dataclass(frozen=True)
class Signs:
    """Colour and shape of each entity type."""

    colours: dict[str, str]
    shapes: dict[str, str]


def activation_spread(histogram: pd.DataFrame, tallest: float) -> str:
    """Draw `activation_histogram` of a neuron as SVG, a panel for each class, heights alike.

    `tallest` is the share that has a panel's height.
    """
    need(histogram, ["class", "low", "high", "share", "n"])
    classes = distinct(histogram, "class")
    own = [name for name in classes if name != OTHER]
    colours = {**(theme.entity_colours(own) if own else {}), OTHER: theme.MUTED}
    low, high = float(histogram["low"].min()), float(histogram["high"].max())
    per_unit = (WIDTH - LEFT - RIGHT) / (high - low)
    note = _text(0, 29, "Height: share of the class's words", colour=theme.MUTED)
    parts, top = [note], 32
    for name in classes:
        rows = histogram[histogram["class"] == name]
        top += PANEL_GAP
        parts += [
            _text(LEFT, top - 6, f"{name if own else 'all'} ({rows['n'].iloc[0]:,} words)"),
            _text(LEFT - 6, top + 9, f"{tallest:.0%}", "end", theme.MUTED),
            _bars(rows, low, per_unit, top, tallest, colours[name]),
            _rule(LEFT, top + PANEL, WIDTH - RIGHT, top + PANEL, theme.MUTED),
        ]
        top += PANEL
    for value, anchor in ((low, "start"), ((low + high) / 2, "middle"), (high, "end")):
        parts.append(_text(LEFT + (value - low) * per_unit, top + 16, short(value), anchor))
    title = "Activation, by class of word"
    description = f"Histograms of the neuron's activation on words of {', '.join(classes)}."
    return _figure(parts, top + 24, title, description)


def selectivity_course(profile: pd.DataFrame) -> str:
    """Draw a neuron's σ for each entity type of `selectivity_profile`, from base to end, as SVG."""
    need(profile, ["concept", "kind", "snapshot", "selectivity"])
    rows = profile[profile["kind"] == "entity type"]
    entities = distinct(rows, "concept")
    snapshots = list(dict.fromkeys(rows["snapshot"]))
    step = (WIDTH - LEFT - RIGHT - 24) / max(1, len(snapshots) - 1)
    x_of = {snapshot: LEFT + 12 + i * step for i, snapshot in enumerate(snapshots)}
    parts, x, y = _course_axes(x_of), LEFT + 12, COURSE_HEIGHT + 80
    signs = Signs(theme.entity_colours(entities), theme.entity_shapes(entities))
    for entity in entities:
        own = rows[rows["concept"] == entity]
        points = [
            (x_of[snapshot], _height(value), f"{entity}, {snapshot}: σ = {short(value, True)}")
            for snapshot, value in zip(own["snapshot"], own["selectivity"], strict=True)
            if math.isfinite(value)
        ]
        parts += _line(points, entity, signs)
        needed = LETTER * len(entity) + 2 * LETTER
        x, y = (x, y) if x + needed <= WIDTH else (LEFT + 12, y + 18)
        parts += [_mark(x, y - 4, entity, entity, signs), _text(x + 10, y, entity)]
        x += needed + LETTER
    description = (
        f"Line chart of the neuron's selectivity for {', '.join(entities)} in the base model, "
        "just after removal and through retraining."
    )
    return _figure(parts, y + 12, "σ through the run", description)


def _course_axes(x_of: dict[str, float]) -> list[str]:
    parts = []
    for tick in _LINE_TICKS:
        y = _height(tick)
        colour = theme.MUTED if tick == 0 else theme.GRID
        parts.append(_rule(LEFT, y, WIDTH - RIGHT, y, colour))
        parts.append(_text(LEFT - 6, y + 4, fixed(tick, 1), "end"))
    foot = _height(-1)
    for snapshot, x in x_of.items():
        parts.append(_text(x, foot + 18, "cut" if snapshot == "removed" else snapshot, "middle"))
    parts.append(_text(LEFT, foot + 36, "base, just cut, epochs of retraining", "start"))
    return parts


def _line(points: Sequence[tuple[float, float, str]], entity: str, signs: Signs) -> list[str]:
    course = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in points)
    stroke = f'fill="none" stroke="{signs.colours[entity]}" stroke-width="2"'
    return [
        f'<polyline points="{course}" {stroke}/>',
        *(_mark(x, y, entity, tip, signs) for x, y, tip in points),
    ]


def _mark(x: Number, y: Number, entity: str, tip: str, signs: Signs) -> str:
    """Draw the entity type's own point (`theme.entity_shapes`), with a tooltip."""
    r = POINT
    corners = {
        "square": [(-r, -r), (r, -r), (r, r), (-r, r)],
        "triangle-up": [(0, -r * 1.2), (r * 1.2, r), (-r * 1.2, r)],
        "triangle-right": [(-r, -r * 1.2), (r * 1.2, 0), (-r, r * 1.2)],
        "diamond": [(0, -r * 1.3), (r * 1.3, 0), (0, r * 1.3), (-r * 1.3, 0)],
    }
    shape = signs.shapes[entity]
    fill = f'fill="{signs.colours[entity]}"'
    title = f"<title>{escape(tip)}</title>"
    if shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r}" {fill}>{title}</circle>'
    points = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners[shape])
    return f'<polygon points="{points}" {fill}>{title}</polygon>'


def _bars(
    rows: pd.DataFrame, low: float, per_unit: float, top: Number, tallest: float, colour: str
) -> str:
    """Draw the bins of a class as one shape; the fullest bin of all has the panel's height."""
    foot, steps = top + PANEL, []
    for row in rows.itertuples():
        left, right = (LEFT + (edge - low) * per_unit for edge in (row.low, row.high))
        y = foot - PANEL * row.share / tallest
        steps.append(f"M{left:.1f},{foot}V{y:.1f}H{right:.1f}V{foot}")
    return f'<path d="{"".join(steps)}" fill="{colour}"/>'


def _height(sigma: Number) -> float:
    return 34 + (1 - sigma) / 2 * (COURSE_HEIGHT - 8)


def _rule(x1: Number, y1: Number, x2: Number, y2: Number, colour: str) -> str:
    return f'<path d="M{x1:.1f},{y1:.1f}L{x2:.1f},{y2:.1f}" stroke="{colour}" fill="none"/>'


def _text(x: Number, y: Number, text: str, anchor: str = "start", colour: str = theme.INK) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}"'
    return f"<text {place}>{escape(text)}</text>"


def _figure(parts: Sequence[str], height: Number, title: str, description: str) -> str:
    heading = f'<text x="0" y="13" font-weight="600" fill="{theme.INK}">{escape(title)}</text>'
    return (
        f'<svg role="img" aria-label="{escape(description)}" width="{WIDTH}" '
        f'height="{height:.0f}" viewBox="0 0 {WIDTH} {height:.0f}" font-size="12" '
        f'font-family="system-ui, sans-serif">{heading}{"".join(parts)}</svg>'
    )
