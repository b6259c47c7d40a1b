"""Charts of a forcing, on small made-up tables."""

import pytest

from made_up_charts import svg_of
from plasticity_utils import charts
from plasticity_utils.analysis import forced
from plasticity_utils.errors import InputError
from test_forced_numbers import three


def drawn(group):
    tables = forced.f1(group), forced.f1_by_seed(group)
    return charts.forced_f1(*tables, "LOC", "PER", "A title")


pytestmark = pytest.mark.usefixtures("theme")


def test_every_seed_group_and_number_of_neurons_becomes_a_point():
    svg = svg_of(drawn(three()).to_dict())
    assert svg.count('aria-roledescription="point"') == 3 * 2 * 2
    assert "host" in svg
    assert "random" in svg


def test_what_has_no_number_of_neurons_is_a_line_across():
    spec = drawn(three()).to_dict()
    (panel,) = spec["vconcat"]
    rules = [layer for layer in panel["layer"] if layer["mark"]["type"] == "rule"]
    shown = [layer["encoding"]["y"]["field"] for layer in rules]
    assert shown == ["entity_f1_end", "entity_f1_end", "entity_f1_base", "entity_f1_removed"]


def test_a_missing_column_an_empty_table_and_an_unknown_group_are_named():
    whole = forced.f1(three())
    for changed, message in (
        (whole.drop(columns="entity_f1_end"), "no column 'entity_f1_end'"),
        (whole.iloc[:0], "no rows"),
        (whole.assign(target="elsewhere"), "unknown target 'elsewhere'"),
    ):
        with pytest.raises(InputError, match=message):
            charts.forced_f1(changed, forced.f1_by_seed(three()), "LOC", "PER", "A title")


CASES_FORCED = {"forced_f1": (three, drawn)}
