"""One visual language for every chart, and one stored form that draws everywhere.

How can one chart draw in JupyterLab, on GitHub and in a book that may ask no outside host for a
script? Each chart is stored three times in the notebook's output: as a Vega-Lite specification,
which Lab and the book draw with working tooltips and inputs, as a picture, which GitHub shows, and
as a line of text. The specification carries the type of Vega-Lite version 5, the newest that
JupyterLab 4 draws by itself, although Altair 6 writes version 6; what these charts use is the same
in both. The book draws it with one local script, which `book.pages.write_bundle` makes.

A colour means one thing in the whole book. The two palettes were chosen by search: within each,
colours stay apart for readers with red, green or blue deficiency (OKLab distance at least 0.12
under the simulation of Machado, Oliveira & Fernandes 2009), no colour stands in both, and each has
a contrast of about 3:1 or more on the white and on the dark page. Colour is never the only sign:
conditions also differ by dash, entity types also by the shape of the point. Neutral lines and
texts use ``INK``, ``MUTED`` and ``GRID``, which the book's style sheet turns with the theme.
"""

import io
from collections.abc import Sequence
from typing import Any, cast

import altair as alt
import vl_convert as vlc
from PIL import Image

MIME = "application/vnd.vegalite.v5+json"
# Altair's "v6.4.1" names the Vega-Lite that vl-convert must draw with: "v6_4".
VEGALITE_VERSION = "v" + "_".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])

CONDITION_COLOURS = {
    "targeted": "#d21e00",
    "random": "#696969",
    "none": "#00a587",
    "head": "#a587e1",
}
CONDITION_DASHES = {"targeted": [1, 0], "random": [6, 3], "none": [2, 2], "head": [8, 3, 2, 3]}
ENTITY_COLOURS = {"LOC": "#3c78f0", "PER": "#a59600", "ORG": "#007800", "MISC": "#c33c96"}
ENTITY_SHAPES = {"LOC": "circle", "PER": "square", "ORG": "triangle-up", "MISC": "diamond"}
# A fifth type, or a concept of one's own, beside the others or alone: ink, since no fifth colour
# stays apart from the four for every eye.
CUSTOM_SHAPE = "triangle-right"

INK = "#23272e"
CUSTOM_COLOUR = INK
MUTED = "#646b76"
GRID = "#e2e5e9"

# Colour and dash of conditions that others bring: their own names are in the legend, and not every
# eye tells all of these from all the others by colour alone.
FALLBACKS = [
    ("#b400dc", [4, 4]),
    ("#dc7828", [10, 3]),
    ("#3c64a0", [2, 4]),
    ("#3c8c64", [12, 3, 2, 3, 2, 3]),
]

CHART_WIDTH = 560
CHART_HEIGHT = 260
_PNG_SCALE = 1.5

_TEXT = {"labelColor": INK, "titleColor": INK, "labelFontSize": 12, "titleFontSize": 12}
_THEME: dict[str, Any] = {
    "background": "white",
    "font": "system-ui, 'Segoe UI', Helvetica, Arial, sans-serif",
    "numberFormat": ".3~g",
    "view": {
        "continuousWidth": CHART_WIDTH,
        "discreteWidth": CHART_WIDTH,
        "continuousHeight": CHART_HEIGHT,
        "stroke": None,
    },
    "title": {
        "anchor": "start",
        "frame": "group",
        "color": INK,
        "fontSize": 14,
        "fontWeight": 600,
        "subtitleColor": MUTED,
        "subtitleFontSize": 12,
        "offset": 12,
    },
    "axis": {
        **_TEXT,
        "titleFontWeight": "normal",
        "titlePadding": 8,
        # A first label that is moved inwards would push out the second, and no other.
        "labelFlush": False,
        "labelOverlap": "greedy",
        "labelSeparation": 6,
        "gridColor": GRID,
        "domainColor": MUTED,
        "tickColor": MUTED,
    },
    "axisX": {"labelAngle": 0, "grid": False},
    "axisY": {"domain": False, "ticks": False},
    "legend": {**_TEXT, "orient": "bottom", "titleFontWeight": "normal", "symbolStrokeWidth": 2},
    "header": {**_TEXT, "titleFontWeight": "normal"},
    "line": {"strokeWidth": 2},
    "point": {"size": 50, "filled": True},
    "rule": {"color": MUTED},
    "text": {"color": INK, "fontSize": 12},
}


def enable() -> None:
    """Make every chart of this session use the book's theme and be stored in the book's form."""
    alt.theme.register("plasticity", enable=True)(_theme)
    alt.renderers.register("plasticity", _stored_forms)
    alt.renderers.enable("plasticity")


def entity_scale(entities: Sequence[str] = ()) -> alt.Scale:
    """Give the colour scale of the four entity types; of `entities`, if another is among them."""
    return _scale(entity_colours(entities))


def entity_shape_scale(entities: Sequence[str] = ()) -> alt.Scale:
    """Give the points of the entity types; with the same title, both signs share one legend."""
    return _scale(entity_shapes(entities))


def entity_colours(entities: Sequence[str] = ()) -> dict[str, str]:
    """Give the colours of `entity_scale`."""
    return _with_others(ENTITY_COLOURS, entities, CUSTOM_COLOUR)


def entity_shapes(entities: Sequence[str] = ()) -> dict[str, str]:
    """Give the shapes of `entity_shape_scale`."""
    return _with_others(ENTITY_SHAPES, entities, CUSTOM_SHAPE)


def picture(spec: dict[str, Any], scale: float = _PNG_SCALE) -> bytes:
    """Draw a Vega-Lite specification as a PNG, `scale` pixels for one of the chart's."""
    png: bytes = vlc.vegalite_to_png(spec, vl_version=VEGALITE_VERSION, scale=scale)
    return png


def small(png: bytes) -> bytes:
    """Cut a picture of a chart to 128 colours: a quarter of the bytes, and no difference to see."""
    out = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        image.convert("RGB").quantize(128).save(out, "png", optimize=True)
    return out.getvalue()


def chart_title(spec: dict[str, Any]) -> str:
    """Give a chart's title in one line; empty if it has none."""
    title = spec.get("title", "")
    if isinstance(title, dict):
        title = title.get("text", "")
    return " ".join(title) if isinstance(title, list) else str(title)


def _scale(signs: dict[str, Any]) -> alt.Scale:
    return alt.Scale(domain=list(signs), range=list(signs.values()))


def _with_others(signs: dict[str, str], entities: Sequence[str], last: str) -> dict[str, str]:
    """Keep the signs of the four types; others take those that are free, the last one its own."""
    if set(entities) <= set(signs):
        return signs
    free = [sign for entity, sign in signs.items() if entity not in entities]
    *others, own = [entity for entity in entities if entity not in signs]
    given = dict(zip(others, free, strict=False)) | {own: last}
    return {entity: signs.get(entity) or given[entity] for entity in entities}


def _theme() -> alt.theme.ThemeConfig:
    return cast(alt.theme.ThemeConfig, {"config": _THEME})


def _stored_forms(spec: dict[str, Any], **_: Any) -> dict[str, Any]:
    return {MIME: spec, "image/png": small(picture(spec)), "text/plain": f"[chart: {_name(spec)}]"}


def _name(spec: dict[str, Any]) -> str:
    return str(spec.get("description") or chart_title(spec) or "without a title")
