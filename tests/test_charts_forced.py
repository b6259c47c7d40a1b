"""Charts of a forcing, on small made-up tables."""

import pytest
import vl_convert as vlc
from test_forced_verdict import made_up

from plasticity_utils import charts
from plasticity_utils.charts import theme as vega
from plasticity_utils.errors import InputError

CASES_FORCED = {
    "forced_f1": lambda f: charts.forced_f1(f.f1, "LOC", "PER", "over sentences"),
    "forced_carriers": lambda f: charts.forced_carriers(f.carriers, "PER", "over neurons"),
}
# Two panels of host and random at two doses; one of three groups, open and full, and two more.
POINTS = {"forced_f1": 8, "forced_carriers": 24}
TABLES = {"forced_f1": ("entity_f1", "entity_f1_end"), "forced_carriers": ("carriers", "rise")}


@pytest.fixture(autouse=True, scope="module")
def theme():
    vega.enable()
    yield
    vega.alt.theme.enable("default")
    vega.alt.renderers.enable("default")


def svg(chart):
    return vlc.vegalite_to_svg(chart.to_dict(), vl_version=vega.VEGALITE_VERSION)


@pytest.mark.parametrize("name", CASES_FORCED)
def test_every_group_and_dose_becomes_a_point(name):
    drawn = svg(CASES_FORCED[name](made_up()))
    assert drawn.count('aria-roledescription="point"') == POINTS[name]
    assert "host" in drawn
    assert "random" in drawn


def test_what_has_no_number_of_neurons_is_a_line_across():
    spec = CASES_FORCED["forced_f1"](made_up()).to_dict()
    rules = [
        layer
        for panel in spec["vconcat"]
        for layer in panel["layer"]
        if layer["mark"]["type"] == "rule" and "x" not in layer["encoding"]
    ]
    shown = [layer["encoding"]["y"]["field"] for layer in rules]
    assert shown == ["entity_f1_end", "entity_f1_end", "entity_f1_base", "entity_f1_removed"] * 2


@pytest.mark.parametrize("name", CASES_FORCED)
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
            CASES_FORCED[name](forced)
