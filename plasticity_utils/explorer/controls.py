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
from typing import Any
from uuid import uuid4

import ipywidgets as widgets
import pandas as pd

from plasticity_utils.charts import theme
from plasticity_utils.explorer.data import RunData, Selected
from plasticity_utils.formats import short
from plasticity_utils.names import STAGE_TITLES

FIELD = {"width": "auto", "margin": "2px"}
COLUMN = {"width": "min(100%, 19rem)"}
DESCRIBED = {"description_width": "6.5rem"}
STAGE_OPTIONS = [(name, stage) for stage, name in STAGE_TITLES.items()]


class _Quiet:
    """What the program sets by itself, inside `_silent`, is no choice of the user's."""

    _quiet = False

    @contextmanager
    def _silent(self) -> Iterator[None]:
        self._quiet = True
        try:
            yield
        finally:
            self._quiet = False


class NeuronControls:
    """Condition, stage, layer and unit: what `selected` is made of.

    Parameters
    ----------
    data : RunData
        Says which conditions and layers there are.
    chosen : Selected
        What is shown first.
    changed : callable
        Called after every change.
    """

    def __init__(self, data: RunData, chosen: Selected, changed: Callable[[], None]) -> None:
        self.condition = dropdown("condition", list(data.tables), chosen.condition)
        self.stage = dropdown("stage", STAGE_OPTIONS, chosen.stage)
        self.layer = dropdown("layer", _layer_options(data.n_layers), chosen.layer)
        self.unit = widgets.IntText(
            value=chosen.unit, description="neuron (unit)", layout=FIELD, style=DESCRIBED
        )
        self.fields = [self.condition, self.stage, self.layer, self.unit]
        for field in self.fields:
            field.observe(lambda _: changed(), "value")

    @property
    def selected(self) -> Selected:
        """What the controls say now; there may be no such unit."""
        return Selected(
            self.condition.value, self.stage.value, self.layer.value, int(self.unit.value)
        )


class NeuronList(_Quiet):
    """The neurons of a layer in a list, sorted as one likes.

    Parameters
    ----------
    orders : sequence of str
        From `neuron_views.ORDERS`, those that can be had.
    sort : callable
        Called when another order is wanted.
    pick : callable of int
        Called with the unit that is chosen.
    """

    def __init__(
        self, orders: list[str], sort: Callable[[], None], pick: Callable[[int], None]
    ) -> None:
        self._pick = pick
        self.order = dropdown("sorted by", orders, orders[0])
        self.units = widgets.Select(
            options=[], rows=9, description="neurons", layout=FIELD, style=DESCRIBED
        )
        self.order.observe(lambda _: sort(), "value")
        self.units.observe(self._on_choice, "value")

    def show(self, layer: pd.DataFrame, unit: int) -> None:
        """Fill the list with the neurons of a layer (`neuron_views.in_order`), one of them marked.

        A unit that there is not leaves none marked.
        """
        options = [(_in_words(row), int(row.unit)) for row in layer.itertuples()]
        with self._silent():
            if options != list(self.units.options):
                self.units.options = options
            self.units.value = unit if any(unit == known for _, known in options) else None

    def _on_choice(self, change: dict) -> None:
        if not self._quiet and change["new"] is not None:
            self._pick(change["new"])


class LayerMap(_Quiet):
    """The neurons of a layer as points that can be clicked: σ in the base against σ at a stage.

    Parameters
    ----------
    pick : callable of int
        Called with the unit that is clicked.
    """

    def __init__(self, pick: Callable[[int], None]) -> None:
        self._pick = pick
        self._units: list[int] = []
        self._name = f"pu-map-{uuid4().hex[:8]}"
        self.points = widgets.ToggleButtons(options=["-"], value=None)
        self.points.add_class("pu-map")
        self.points.add_class(self._name)
        self._places = widgets.HTML()
        self._axes = widgets.HTML()
        self.widget = widgets.VBox([self._places, self.points, self._axes])
        self.widget.add_class("pu-map-box")
        self.points.observe(self._on_click, "index")

    def show(self, layer: pd.DataFrame, stage: str, label: str, unit: int) -> None:
        """Put the points of `layer_neurons` in their places, and mark that of a unit."""
        reach = max(0.1, float(layer[["sigma_base", "sigma"]].abs().max().max()))
        names = [_in_words(row) for row in layer.itertuples()]
        units = [int(unit) for unit in layer["unit"]]
        with self._silent():
            if names != list(self.points.options):
                self._units = units
                self.points.options = names
                self.points.tooltips = names
                self._places.value = _places(self._name, layer, reach)
            self._axes.value = _axes(reach, stage, label)
            self.points.index = units.index(unit) if unit in units else None

    def _on_click(self, change: dict) -> None:
        if not self._quiet and change["new"] is not None:
            self._pick(self._units[change["new"]])


def _places(name: str, layer: pd.DataFrame, reach: float) -> str:
    """Style the n-th button as the n-th point; only numbers stand in it."""
    rules = []
    for i, row in enumerate(layer.itertuples(), start=1):
        left, bottom = (50 * (1 + value / reach) for value in (row.sigma_base, row.sigma))
        looks = f"left:{left:.1f}%;bottom:{bottom:.1f}%"
        if row.removed:
            looks += f";background:{theme.CONDITION_COLOURS['targeted']};border-radius:0;opacity:.9"
        rules.append(f".{name} .widget-toggle-button:nth-child({i}){{{looks}}}")
    # Twice the class, so that it outweighs the style that all points share.
    text = "\n".join(rules).replace(f".{name} ", f".widget-toggle-buttons.{name}.{name} ")
    return f"<style>{text}</style>"


def _axes(reach: float, stage: str, label: str) -> str:
    limit = short(reach)
    return (
        f'<div class="pu-map-ticks"><span>−{limit}</span><span>0</span><span>+{limit}</span></div>'
        f"<p>Across: σ for {label} in the base model. Up: σ {STAGE_TITLES[stage]}, on the same "
        "scale. Squares: neurons that the condition removes. Click a point.</p>"
    )


def _in_words(row: Any) -> str:
    """Say what a neuron is in a line of a list: unit, σ in the base and now, removed or not."""
    unit, base, now = (getattr(row, name) for name in ("unit", "sigma_base", "sigma"))
    state = ", removed" if row.removed else ""
    return f"{unit}: σ {short(base, True)} → {short(now, True)}{state}"


def _layer_options(n_layers: int) -> list[tuple[str, int]]:
    return [("0 (embedding)", 0), *((str(layer), layer) for layer in range(1, n_layers))]


def dropdown(name: str, options: list, value: object) -> widgets.Dropdown:
    """Make a dropdown of the explorer's width, with its name as label."""
    return widgets.Dropdown(
        options=options, value=value, description=name, layout=FIELD, style=DESCRIBED
    )


def wrapped(children: Sequence[widgets.Widget]) -> widgets.Box:
    """Put widgets side by side where there is room, under each other where there is not."""
    layout = {"display": "flex", "flex_flow": "row wrap", "align_items": "flex-start"}
    box = widgets.Box(list(children), layout=layout)
    box.add_class("pu-wrapped")
    return box


_ENTITY_RULES = "\n".join(
    f".pu-explorer .pu-{entity} {{ border-bottom: 2px solid {colour}; }}"
    for entity, colour in theme.ENTITY_COLOURS.items()
)
STYLE = f"""<style>
.pu-explorer {{
  --pu-ink: var(--jp-content-font-color1, var(--vscode-editor-foreground, {theme.INK}));
  --pu-muted: var(--jp-content-font-color2, var(--vscode-descriptionForeground, {theme.MUTED}));
  --pu-line: var(--jp-border-color2, var(--vscode-panel-border, #bbb));
  color: var(--pu-ink); max-width: 62rem;
}}
.pu-explorer .widget-label, .pu-explorer .widget-html-content {{ color: var(--pu-ink); }}
.pu-explorer .widget-html-content {{ line-height: 1.5; font-size: 13px; }}
.pu-explorer h4 {{ margin: .6em 0 .3em; font-size: 14px; color: var(--pu-ink); }}
.pu-explorer p {{ margin: .2em 0 .5em; }}
.pu-explorer .pu-muted {{ color: var(--pu-muted); }}
.pu-explorer .pu-message {{ border-left: 4px solid #c77700; padding: .2em .6em; margin: .3em 0; }}
.pu-explorer .pu-row {{ display: flex; flex-wrap: wrap; gap: .5rem 1.2rem; }}
.pu-explorer .pu-row > * {{ flex: 0 1 auto; min-width: 0; max-width: 100%; align-self: start; }}
.pu-explorer .pu-scroll {{ overflow-x: auto; }}
.pu-explorer .pu-sentence {{ margin: .15em 0 .45em; line-height: 1.9; overflow-wrap: anywhere; }}
.pu-explorer .pu-sentence span {{ border-radius: 3px; padding: .1em .15em; }}
.pu-explorer .pu-peak {{ font-weight: 700; }}
{_ENTITY_RULES}
.pu-explorer .pu-waiting {{ opacity: .4; }}
.pu-explorer .lm-TabBar-tab {{ flex: 0 1 auto; min-width: 0; }}
.pu-explorer .pu-wrapped {{ gap: .25rem 1.5rem; }}
.pu-explorer table {{ border-collapse: collapse; font-size: 12.5px; }}
.pu-explorer :is(th, td) {{ padding: .15em .45em; text-align: right; color: var(--pu-ink); }}
.pu-explorer th:first-child, .pu-explorer td.pu-word {{ text-align: left; font-weight: normal; }}
.pu-explorer thead th {{ border-bottom: 1px solid var(--pu-line); font-weight: 600; }}
.pu-explorer svg {{ max-width: 100%; height: auto; margin-top: .6em; }}
.pu-explorer svg [fill="{theme.INK}"] {{ fill: var(--pu-ink); }}
.pu-explorer svg [stroke="{theme.INK}"] {{ stroke: var(--pu-ink); }}
.pu-explorer svg [fill="{theme.MUTED}"] {{ fill: var(--pu-muted); }}
.pu-explorer svg [stroke="{theme.MUTED}"] {{ stroke: var(--pu-muted); }}
.pu-explorer svg [stroke="{theme.GRID}"] {{ stroke: var(--pu-line); stroke-opacity: .6; }}
</style>"""

MAP_STYLE = """<style>
.pu-map-box { max-width: 26rem; }
.pu-map > div:last-child {
  position: relative; height: 260px; width: 100%; margin: 8px; display: block;
  background: linear-gradient(var(--pu-line), var(--pu-line)) 50% 0 / 1px 100% no-repeat,
    linear-gradient(var(--pu-line), var(--pu-line)) 0 50% / 100% 1px no-repeat;
  border-left: 1px solid var(--pu-muted); border-bottom: 1px solid var(--pu-muted);
}
.widget-toggle-buttons.pu-map .widget-toggle-button {
  position: absolute; width: 9px; height: 9px; min-width: 0; padding: 0; border-radius: 50%;
  margin: 0 0 -4px -4px; font-size: 0; line-height: 0; overflow: hidden; flex: none;
  background: var(--pu-muted); opacity: .45; box-shadow: none;
}
.widget-toggle-buttons.pu-map .widget-toggle-button i { display: none; }
.widget-toggle-buttons.pu-map .widget-toggle-button:is(:hover, :focus-visible) {
  opacity: 1; z-index: 4; outline: 2px dashed var(--pu-muted); outline-offset: 6px;
}
.widget-toggle-buttons.pu-map .widget-toggle-button.mod-active {
  opacity: 1; z-index: 3; outline: 3px solid var(--pu-ink); outline-offset: 2px;
}
.pu-map-ticks { display: flex; justify-content: space-between; margin: 0 8px; }
</style>"""
