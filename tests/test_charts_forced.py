"""Charts of a forcing, on small made-up tables."""

import pytest
import vl_convert as vlc
from test_forced_verdict import made_up

from plasticity_utils.charts import forced as charts_forced
from plasticity_utils.charts import theme as vega
from plasticity_utils.errors import InputError

DRAW = {
    "dose_curve": lambda f: charts_forced.dose_curve(f.f1, "LOC", "PER", "over sentences"),
    "carriers": lambda f: charts_forced.carriers(f.carriers, "PER", "over neurons"),
}
# Two panels of host and random at two doses; one of three groups, open and full, and two more.
POINTS = {"dose_curve": 8, "carriers": 24}
TABLES = {"dose_curve": ("f1", "f1_end"), "carriers": ("carriers", "rise")}


@pytest.fixture(autouse=True, scope="module")
def theme():
    vega.enable()
    yield
    vega.alt.theme.enable("default")
    vega.alt.renderers.enable("default")


def svg(chart):
    return vlc.vegalite_to_svg(chart.to_dict(), vl_version=vega.VEGALITE_VERSION)


@pytest.mark.parametrize("name", DRAW)
def test_every_group_and_dose_becomes_a_point(name):
    drawn = svg(DRAW[name](made_up()))
    assert drawn.count('aria-roledescription="point"') == POINTS[name]
    assert "host" in drawn
    assert "random" in drawn


def test_what_has_no_number_of_neurons_is_a_line_across():
    spec = DRAW["dose_curve"](made_up()).to_dict()
    rules = [
        layer
        for panel in spec["vconcat"]
        for layer in panel["layer"]
        if layer["mark"]["type"] == "rule" and "x" not in layer["encoding"]
    ]
    shown = [layer["encoding"]["y"]["field"] for layer in rules]
    assert shown == ["f1_end", "f1_end", "f1_base", "f1_removed"] * 2


@pytest.mark.parametrize("name", DRAW)
def test_a_missing_column_an_empty_table_and_an_unknown_group_are_named(name):
    table, column = TABLES[name]
    forced = made_up()
    whole = getattr(forced, table)
    for changed, message in (
        (whole.drop(columns=column), f"no column '{column}'"),
        (whole.iloc[:0], "no rows"),
        (whole.assign(target="elsewhere"), "unknown target 'elsewhere'"),
    ):
        vars(forced)[table] = changed
        with pytest.raises(InputError, match=message):
            DRAW[name](forced)
