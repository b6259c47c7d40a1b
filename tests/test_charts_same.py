"""Charts of questions 3 and 4, on small made-up tables."""

import itertools

import pandas as pd
import pytest
import vl_convert as vlc
from test_charts_across import spread

from plasticity_utils import charts
from plasticity_utils.charts import theme as vega
from plasticity_utils.errors import InputError

CONCEPTS = ("locations", "persons")
CONDITIONS = ("targeted", "random", "none")
OVER = "over seeds"
PARTS = {"locations": ["country", "large city"], "persons": ["kim · park", "smith · jones"]}


def cka_rows():
    rows = [
        (concept, condition, layer, 1 - 0.02 * layer)
        for concept, condition, layer in itertools.product(CONCEPTS, CONDITIONS, range(7))
    ]
    frame = pd.DataFrame(rows, columns=["concept", "condition", "layer", "cka_debiased"])
    return spread(frame, ["cka_debiased"])


def transfer_rows():
    alignments = {"base": 0.9, "none": 0.4, "procrustes": 0.8, "shuffled": 0.1}
    rows = [
        (concept, condition, layer, alignment, f1)
        for concept, condition, layer, (alignment, f1) in itertools.product(
            CONCEPTS, CONDITIONS, range(7), alignments.items()
        )
    ]
    frame = pd.DataFrame(rows, columns=["concept", "condition", "layer", "alignment", "word_f1"])
    return spread(frame, ["word_f1"])


def count_rows():
    rows = [
        (concept, part, condition, 40.0)
        for concept in CONCEPTS
        for part, condition in itertools.product(PARTS[concept], ("base", *CONDITIONS))
    ]
    return spread(
        pd.DataFrame(rows, columns=["concept", "part", "condition", "n_neurons"]), ["n_neurons"]
    )


def transition_rows():
    rows = [
        (concept, condition, base, end, 12.0, 0.5 if base == end else 0.25)
        for concept, condition in itertools.product(CONCEPTS, ("targeted", "none"))
        for base, end in itertools.product([*PARTS[concept], "nothing"], repeat=2)
    ]
    names = ["concept", "condition", "base", "end", "n_neurons", "share"]
    return pd.DataFrame(rows, columns=names)


CASES_SAME = {
    "cka_by_layer": (cka_rows, lambda frame: charts.cka_by_layer(frame, OVER)),
    "transfer_by_layer": (transfer_rows, lambda frame: charts.transfer_by_layer(frame, OVER)),
    "carrier_counts": (count_rows, lambda frame: charts.carrier_counts(frame, OVER)),
    "part_transitions": (transition_rows, charts.part_transitions),
}
MARKS = {"part_transitions": "rect mark"}
# Two concepts of three conditions; three alignments of those and a ceiling; two parts of four.
DRAWN = {
    "cka_by_layer": 2 * 3 * 7,
    "transfer_by_layer": 2 * 3 * (3 + 1) * 7,
    "carrier_counts": 2 * 2 * 4,
    "part_transitions": 2 * 2 * 9,
}
COLUMN = {"cka_by_layer": "cka_debiased", "transfer_by_layer": "alignment"}


@pytest.fixture(autouse=True, scope="module")
def theme():
    vega.enable()
    yield
    vega.alt.theme.enable("default")
    vega.alt.renderers.enable("default")


def svg_of(name):
    make, draw = CASES_SAME[name]
    return vlc.vegalite_to_svg(draw(make()).to_dict(), vl_version=vega.VEGALITE_VERSION)


@pytest.mark.parametrize("name", CASES_SAME)
def test_every_row_is_drawn(name):
    mark = MARKS.get(name, "point")
    assert svg_of(name).count(f'aria-roledescription="{mark}"') == DRAWN[name]


@pytest.mark.parametrize("name", CASES_SAME)
def test_a_missing_column_and_an_empty_table_are_named(name):
    make, draw = CASES_SAME[name]
    column = COLUMN.get(name, "n_neurons")
    with pytest.raises(InputError, match=f"no column '{column}'"):
        draw(make().drop(columns=column))
    with pytest.raises(InputError, match="no rows"):
        draw(make().iloc[:0])


@pytest.mark.parametrize("name", CASES_SAME)
def test_a_condition_that_others_bring_is_drawn(name):
    make, draw = CASES_SAME[name]
    spec = draw(make().replace({"condition": {"none": "bias"}})).to_dict()
    assert "bias" in str(spec["vconcat"])


def test_a_single_seed_is_drawn_without_intervals():
    frame = count_rows().drop(columns=["n_neurons_low", "n_neurons_high"])
    spec = charts.carrier_counts(frame, OVER).to_dict()
    assert all(len(panel["layer"]) == 1 for panel in spec["vconcat"])


def test_a_matrix_has_a_panel_a_condition_and_names_what_is_nothing_last():
    spec = charts.part_transitions(transition_rows()).to_dict()
    titles = [panel["title"]["text"] for panel in spec["vconcat"]]
    assert titles == ["locations, concept", "locations, none", "persons, concept", "persons, none"]
    orders = [panel["layer"][0]["encoding"]["y"]["sort"] for panel in spec["vconcat"]]
    assert all(order[-1] == "nothing" for order in orders)


def test_clusters_are_named_in_full_beside_the_rows_and_by_a_word_below():
    svg = svg_of("part_transitions")
    assert svg.count(">smith · jones<") == 2
    assert svg.count(">smith<") == 2
