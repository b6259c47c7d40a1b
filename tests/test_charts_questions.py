"""Charts of the questions about neurons, on tables worked out from made-up answers."""

from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest
import vl_convert as vlc
from made_up_answers import made_up_series

from plasticity_utils import charts
from plasticity_utils.analysis import pooled as tables
from plasticity_utils.charts import theme as vega
from plasticity_utils.errors import InputError

OVER = "95 % interval over runs"


@cache
def series():
    return tuple(made_up_series(Path(mkdtemp()), effect=0.1))


@cache
def table(name):
    return getattr(tables, name)(series())


CASES_QUESTIONS = {
    "functions_by_layer": (
        lambda: table("functions_by_layer"),
        lambda frame: charts.functions_by_layer(frame, OVER),
    ),
    "superposition": (
        lambda: table("superposition_by_layer"),
        lambda frame: charts.superposition(frame, OVER),
    ),
    "sharing": (
        lambda: table("sharing"),
        lambda frame: charts.sharing(frame, OVER),
    ),
    "migration": (lambda: table("migration"), charts.migration),
    "priming": (lambda: table("priming"), charts.priming),
}
VALUES = {
    "functions_by_layer": "beyond_none",
    "superposition": "interference",
    "sharing": "shared",
    "migration": "difference",
    "priming": "effect",
}
# Three quantities of two lines; two measures of 3 + 4 lines; four moments of six rows, full and
# open; two panels of three concepts and four roles; two terms of six runs, two measures and two
# conditions.
MARKS = {
    "functions_by_layer": 3 * 2 * 3,
    "superposition": 2 * (3 + 4) * 3,
    "sharing": 4 * 6 * 2,
    "migration": 2 * 3 * 4,
    "priming": 2 * 6 * 2 * 2,
}


@pytest.fixture(autouse=True, scope="module")
def theme():
    vega.enable()
    yield
    vega.alt.theme.enable("default")
    vega.alt.renderers.enable("default")


def drawn(chart):
    return vlc.vegalite_to_svg(chart.to_dict(), vl_version=vega.VEGALITE_VERSION)


@pytest.mark.parametrize("name", CASES_QUESTIONS)
def test_every_row_becomes_a_mark(name):
    make, draw = CASES_QUESTIONS[name]
    mark = "square" if name == "migration" else "point"
    assert drawn(draw(make())).count(f'aria-roledescription="{mark}"') == MARKS[name]


@pytest.mark.parametrize("name", CASES_QUESTIONS)
def test_a_missing_column_and_an_empty_table_are_named(name):
    make, draw = CASES_QUESTIONS[name]
    with pytest.raises(InputError, match=f"no column '{VALUES[name]}'"):
        draw(make().drop(columns=VALUES[name]))
    with pytest.raises(InputError, match="no rows"):
        draw(make().iloc[:0])


def test_more_than_expected_is_full_and_what_chance_gives_is_pale():
    frame = table("migration")
    one = frame[(frame["condition"] == "targeted") & (frame["concept"] == "locations")]
    one = one.head(2).assign(difference=[0.2, -0.1], p_adjusted=[0.01, 0.5])
    svg = drawn(charts.migration(one))
    squares = [part for part in svg.split("<path") if 'aria-roledescription="square"' in part]
    assert len(squares) == 2
    (more,) = [part for part in squares if f'fill="{vega.INK}"' in part]
    (less,) = [part for part in squares if f'stroke="{vega.INK}"' in part]
    assert 'opacity="0.35"' in less
    assert 'opacity="0.35"' not in more


def test_a_run_without_interval_is_drawn_as_its_points():
    frame = tables.functions_by_layer(series()[:1])
    bounds = ["beyond_none_low", "beyond_none_high"]
    svg = drawn(charts.functions_by_layer(frame.assign(**dict.fromkeys(bounds)), OVER))
    assert svg.count('aria-roledescription="point"') == MARKS["functions_by_layer"]
