"""The explorer's controls: which neuron, of which layer, at which stage, under which condition.

A neuron can be typed as a number, taken from a sorted list, or clicked on the map of its layer.
Core ipywidgets has no chart that reports a click, so the map is a set of toggle buttons that a
style sheet puts where the points belong: it needs no extension, works wherever widgets do, and
every point has a name for screen readers. Whoever works with the keyboard has the list, and can
close the map, so that its points are no stops on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import Any
from uuid import uuid4

import ipywidgets as widgets
import numpy as np
import pandas as pd
from jaxtyping import Float

from plasticity_utils.charts import theme
from plasticity_utils.explorer.data import Opened, Selected
from plasticity_utils.formats import short
from plasticity_utils.names import STAGE_TITLES

FIELD = {"width": "auto", "margin": "2px"}
COLUMN = {"width": "min(100%, 19rem)"}
DESCRIBED = {"description_width": "6.5rem"}


class Quiet:
    """What the program sets by itself, inside `silent`, is no choice of the user's."""

    quiet = False

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Within this, changes are the program's own."""
        self.quiet = True
        try:
            yield
        finally:
            self.quiet = False


class NeuronControls(Quiet):
    """Condition, stage, layer and unit: what `selected` is made of.

    Parameters
    ----------
    data : Opened
        Says which conditions and layers there are.
    chosen : Selected
        What is shown first.
    changed : callable
        Called after every change.
    """

    def __init__(self, data: Opened, chosen: Selected, changed: Callable[[], None]) -> None:
        self.condition = choice("condition", list(data.tables), chosen.condition)
        stages = [(STAGE_TITLES[stage], stage) for stage in data.stages]
        self.stage = choice("stage", stages, chosen.stage)
        self.layer = dropdown("layer", _layer_options(data.n_layers), chosen.layer)
        self.unit = widgets.IntText(
            value=chosen.unit, description="neuron (unit)", layout=FIELD, style=DESCRIBED
        )
        self.fields = [self.condition, self.stage, self.layer, self.unit]
        for field in self.fields:
            field.observe(lambda _: None if self.quiet else changed(), "value")

    @property
    def selected(self) -> Selected:
        """What the controls say now; there may be no such unit."""
        return Selected(
            self.condition.value, self.stage.value, self.layer.value, int(self.unit.value)
        )


class NeuronList(Quiet):
    """The neurons of a layer in a list, sorted as one likes.

    Parameters
    ----------
    orders : sequence of str
        From `tables.ORDERS`, those that can be had.
    order : str
        The order at first; if empty, the first of them.
    sort : callable
        Called when another order is wanted.
    pick : callable of int
        Called with the unit that is chosen.
    """

    def __init__(
        self, orders: list[str], order: str, sort: Callable[[], None], pick: Callable[[int], None]
    ) -> None:
        self._pick = pick
        self.order = dropdown("sorted by", orders, order or orders[0])
        self.units = widgets.Select(
            options=[], rows=9, description="neurons", layout=FIELD, style=DESCRIBED
        )
        self.order.observe(lambda _: sort(), "value")
        self.units.observe(self._on_choice, "value")

    def show(self, layer: pd.DataFrame, unit: int, of: str = "") -> None:
        """Fill the list with the neurons of a layer (`tables.sorted_neurons`), one of them marked.

        A unit that there is not leaves none marked. `of` names the value that is told where no
        concept is known, and so no σ.
        """
        options = [(_in_words(row, of), int(row.unit)) for row in layer.itertuples()]
        with self.silent():
            if options != list(self.units.options):
                self.units.options = options
            self.units.value = unit if any(unit == known for _, known in options) else None

    def _on_choice(self, change: dict) -> None:
        if not self.quiet and change["new"] is not None:
            self._pick(change["new"])


class LayerMap(Quiet):
    """The neurons of a layer as points that can be clicked.

    Parameters
    ----------
    pick : callable of int
        Called with the unit that is clicked.
    crossed : bool
        Draw lines through the middle, where both axes have their zero.
    """

    def __init__(self, pick: Callable[[int], None], crossed: bool) -> None:
        self._pick = pick
        self._units: list[int] = []
        self._name = f"pu-map-{uuid4().hex[:8]}"
        self.points = widgets.ToggleButtons(options=["-"], value=None)
        self.points.add_class("pu-map")
        self.points.add_class(self._name)
        if crossed:
            self.points.add_class("pu-crossed")
        self._places = widgets.HTML()
        self._axes = widgets.HTML()
        self.widget = widgets.VBox([self._places, self.points, self._axes])
        self.widget.add_class("pu-map-box")
        self.points.observe(self._on_click, "index")

    def show(self, shown: Mapped, unit: int) -> None:
        """Put the points in their places, and mark that of a unit."""
        units = [int(unit) for unit in shown.points["unit"]]
        names = shown.points["name"].tolist()
        with self.silent():
            if names != list(self.points.options):
                self._units = units
                self.points.options = names
                self.points.tooltips = names
            self._places.value = _places(self._name, shown.points)
            ticks = "".join(f"<span>{escape(tick)}</span>" for tick in shown.ticks)
            caption = f"<p>{escape(shown.caption)} Click a point.</p>"
            self._axes.value = f'<div class="pu-map-ticks">{ticks}</div>{caption}'
            self.points.index = units.index(unit) if unit in units else None

    def _on_click(self, change: dict) -> None:
        if not self.quiet and change["new"] is not None:
            self._pick(self._units[change["new"]])


@dataclass(frozen=True)
class Mapped:
    """What a map shows: unit, name, removed, left and bottom (0 to 1) of each point; the axes."""

    points: pd.DataFrame
    ticks: tuple[str, str, str]
    caption: str


def map_of_stages(layer: pd.DataFrame, stage: str, label: str) -> Mapped:
    """Put the neurons of `layer_neurons` where σ in the base model and at a stage say."""
    reach = max(0.1, float(layer[["sigma_base", "sigma"]].abs().max().max()))
    caption = (
        f"Across: σ for {label} in the base model. Up: σ, {STAGE_TITLES[stage]}, on the same "
        "scale. Squares: neurons that the condition removes."
    )
    left, bottom = ((1 + layer[name] / reach) / 2 for name in ("sigma_base", "sigma"))
    return Mapped(_points(layer, left, bottom), _around_zero(reach), caption)


def map_of_peaks(layer: pd.DataFrame, peaks: Float[np.ndarray, " unit"], label: str) -> Mapped:
    """Put the neurons of one model by σ, or by unit without a concept, and by their peak."""
    lowest, highest = float(peaks.min()), float(peaks.max())
    reach = max(0.1, float(layer["sigma"].abs().max())) if label else 0.0
    last = int(layer["unit"].max())
    left = (1 + layer["sigma"] / reach) / 2 if label else layer["unit"] / max(1, last)
    ticks = _around_zero(reach) if label else ("0", str(last // 2), str(last))
    caption = (
        f"Across: {f'σ for {label}' if label else 'unit'}. Up: how far its highest word lies above "
        f"its mean, from {short(lowest)} to {short(highest)} of its standard deviations."
    )
    named = layer.assign(value=peaks)
    bottom = (named["value"] - lowest) / max(highest - lowest, 1e-9)
    return Mapped(_points(named, left, bottom), ticks, caption)


def _points(layer: pd.DataFrame, left: pd.Series, bottom: pd.Series) -> pd.DataFrame:
    names = [_in_words(row, "peak z") for row in layer.itertuples()]
    return layer[["unit", "removed"]].assign(name=names, left=left, bottom=bottom)


def _around_zero(reach: float) -> tuple[str, str, str]:
    return f"−{short(reach)}", "0", f"+{short(reach)}"


def _places(name: str, points: pd.DataFrame) -> str:
    """Style the n-th button as the n-th point; only numbers stand in it."""
    rules = []
    for i, row in enumerate(points.itertuples(), start=1):
        looks = f"left:{100 * row.left:.1f}%;bottom:{100 * row.bottom:.1f}%"
        if row.removed:
            looks += f";background:{theme.CONDITION_COLOURS['targeted']};border-radius:0;opacity:.9"
        rules.append(f".{name} .widget-toggle-button:nth-child({i}){{{looks}}}")
    # Twice the class, so that it outweighs the style that all points share.
    text = "\n".join(rules).replace(f".{name} ", f".widget-toggle-buttons.{name}.{name} ")
    return f"<style>{text}</style>"


def _in_words(row: Any, of: str = "") -> str:
    """Say what a neuron is in a line of a list: unit, σ in the base and now, removed or not."""
    if pd.isna(row.sigma):
        return f"{row.unit}: {of} {short(row.value, True)}" if of else str(row.unit)
    state = ", removed" if row.removed else ""
    base, now = short(row.sigma_base, True), short(row.sigma, True)
    return f"{row.unit}: σ {base if base == now else f'{base} → {now}'}{state}"


def _layer_options(n_layers: int) -> list[tuple[str, int]]:
    return [("0 (embedding)", 0), *((str(layer), layer) for layer in range(1, n_layers))]


def dropdown(name: str, options: list, value: object) -> widgets.Dropdown:
    """Make a dropdown of the explorer's width, with its name as label."""
    return widgets.Dropdown(
        options=options, value=value, description=name, layout=FIELD, style=DESCRIBED
    )


def choice(name: str, options: list, value: object) -> widgets.Dropdown:
    """Make a dropdown that is not shown where it offers no choice."""
    made = dropdown(name, options, value)
    made.layout.display = "" if len(options) > 1 else "none"
    return made


def wrapped(children: Sequence[widgets.Widget]) -> widgets.Box:
    """Put widgets side by side where there is room, under each other where there is not."""
    layout = {"display": "flex", "flex_flow": "row wrap", "align_items": "flex-start"}
    box = widgets.Box(list(children), layout=layout)
    box.add_class("pu-wrapped")
    return box
