"""One visual language: colours that mean one thing, and that every reader can tell apart."""

import itertools
import re
from functools import cache

import numpy as np
import pandas as pd
import pytest

from made_up_cards import made_up_cards
from made_up_charts import svg_of
from plasticity_utils import charts
from plasticity_utils.charts import theme as vega
from plasticity_utils.charts.parts import KIND_COLOURS, SERIES_COLOURS
from test_charts import CASES, encodings, parts
from test_charts_across import CASES_ACROSS
from test_charts_audits import CASES_AUDITS
from test_charts_forced import CASES_FORCED
from test_charts_questions import CASES_QUESTIONS


def growth_points():
    points = [(100, 0.2, 0.1), (1000, 1.9, 3.0), (10_000, 21.0, 3.1)]
    parts = [
        pd.DataFrame(points, columns=["n", "seconds", "rise_mb"]).assign(curve=f"scores by {name}")
        for name in ("words", "neurons")
    ]
    return pd.concat(parts, ignore_index=True)


TABLES = {"marked_table", "number_table", "words_table"}
CARDS = ("neuron_card", "neuron_map")
CASES_GROWTH = {"growth": (growth_points, charts.growth)}
DRAWN = {
    **CASES, **CASES_ACROSS, **CASES_QUESTIONS, **CASES_FORCED, **CASES_GROWTH, **CASES_AUDITS
}  # fmt: skip
CHARTS = [*DRAWN, *CARDS]
# Groups of neurons that may change: the host has the colour of its concept.
GROUP_COLOURS = {
    "host": vega.ENTITY_COLOURS["PER"],
    "all": vega.CONDITION_COLOURS["none"],
    "just removed": vega.MUTED,
}
COLUMN = 688  # pixels of the book's text, of which a chart takes less
PLOT = 560
WHITE, DARK_PAGE = "#ffffff", "#121212"
LEAST_DISTANCE, LEAST_CONTRAST = 0.12, 2.9
# Machado, Oliveira & Fernandes 2009, severity 1, on linear RGB.
DEFICIENCIES = {
    "none": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
         [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
         [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
         [0.004733, 0.691367, 0.303900]]
    ),
}  # fmt: skip
PALETTES = {"conditions": vega.CONDITION_COLOURS, "entities": vega.ENTITY_COLOURS}

pytestmark = pytest.mark.usefixtures("theme")


@cache
def spec_of(name):
    """The chart's specification, drawn once; the tests look at it and change nothing."""
    if name in CARDS:
        return getattr(charts, name)(made_up_cards(), "LOC").to_dict()
    make, draw = DRAWN[name]
    return draw(make()).to_dict()


@cache
def picture_of(name):
    return svg_of(spec_of(name))


def linear(colour):
    channels = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def oklab(rgb):
    """OKLab of linear RGB (Ottosson 2020)."""
    to_lms = np.array(
        [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
         [0.0883024619, 0.2817188376, 0.6299787005]]
    )  # fmt: skip
    to_lab = np.array(
        [[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
         [0.0259040371, 0.7827717662, -0.8086757660]]
    )  # fmt: skip
    return to_lab @ np.cbrt(to_lms @ rgb)


def contrast(colour, ground):
    light = sorted(0.05 + linear(c) @ [0.2126, 0.7152, 0.0722] for c in (colour, ground))
    return light[1] / light[0]


def test_every_chart_is_looked_at_here():
    assert set(CHARTS) == set(charts.__all__) - TABLES


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
@pytest.mark.parametrize("palette", PALETTES)
def test_colours_stay_apart_for_every_eye(palette, deficiency):
    seen = {
        name: oklab((DEFICIENCIES[deficiency] @ linear(colour)).clip(0, 1))
        for name, colour in PALETTES[palette].items()
    }
    for (one, a), (other, b) in itertools.combinations(seen.items(), 2):
        assert np.linalg.norm(a - b) >= LEAST_DISTANCE, f"{one} and {other}"


@pytest.mark.parametrize("ground", [WHITE, DARK_PAGE])
@pytest.mark.parametrize("palette", PALETTES)
def test_colours_stand_out_on_the_page(palette, ground):
    for name, colour in PALETTES[palette].items():
        assert contrast(colour, ground) >= LEAST_CONTRAST, f"{name} on {ground}"


@pytest.mark.parametrize("name", CHARTS)
def test_a_name_has_one_colour_in_the_whole_book(name):
    meant = {**SERIES_COLOURS, **vega.ENTITY_COLOURS, **KIND_COLOURS, **GROUP_COLOURS}
    for encoding in encodings(spec_of(name)):
        scale = encoding.get("color", {}).get("scale") or {}
        if "domain" in scale:
            drawn = dict(zip(scale["domain"], scale["range"], strict=True))
            assert {name: drawn[name] for name in drawn if name in meant}.items() <= meant.items()


@pytest.mark.parametrize("name", CHARTS)
def test_no_other_colour_is_drawn(name):
    drawn = set(re.findall(r'(?:fill|stroke)="([^"]+)"', picture_of(name)))
    neutral = {vega.INK, vega.MUTED, vega.GRID, "white", "none", "transparent"}
    palettes = {colour for palette in PALETTES.values() for colour in palette.values()}
    # The brush of the map has colours of its own, with an opacity that leaves points readable.
    brush = {"#333"} if name == "neuron_map" else set()
    # A protocol beyond the four has a colour of those kept for what others bring.
    others = {colour for colour, _ in vega.FALLBACKS} if name == "returns" else set()
    assert drawn <= neutral | palettes | brush | others


@pytest.mark.parametrize("name", CHARTS)
def test_numbers_in_tooltips_have_sensible_digits(name):
    tips = [tip for e in encodings(spec_of(name)) for tip in as_list(e.get("tooltip", []))]
    numbers = [tip for tip in tips if tip["type"] == "quantitative"]
    assert numbers
    assert [tip["field"] for tip in numbers if "format" not in tip] == []
    assert [tip for tip in tips if not tip.get("title", tip["field"]).strip()] == []


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_is_described_in_words(name):
    description = spec_of(name)["description"]
    assert 60 < len(description) < 500
    assert description.endswith(".")


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_fits_the_column(name):
    spec = spec_of(name)
    assert [p for p in parts(spec) if isinstance(p.get("width"), int) and p["width"] > PLOT] == []
    assert float(re.search(r'<svg[^>]* width="([\d.]+)"', picture_of(name))[1]) <= COLUMN


def as_list(value):
    return value if isinstance(value, list) else [value]
