"""Charts of the questions, on small made-up tables."""

import itertools

import pandas as pd
import pytest

from made_up_charts import svg_of
from plasticity_utils import charts
from plasticity_utils.errors import InputError
from test_charts_across import spread

CONCEPTS = ("locations", "persons")
CONDITIONS = ("targeted", "random", "none")
OVER, TITLE = "over seeds", "What it shows"
PARTS = {"locations": ["country", "large city"], "persons": ["kim · park", "smith · jones"]}


def claim_rows():
    rows = itertools.product(("any concept", "the removed concept"), ("targeted", "random"))
    table = pd.DataFrame(rows, columns=["row", "condition"]).assign(value=[0.3, 0.1, 0.2, 0.0])
    return spread(table, ["value"])


def value_rows():
    names = ["panel", "row", "condition", "seed"]
    kinds = (CONCEPTS, ("as it is", "aligned"), ("base", "targeted", "none"), (0, 1))
    return pd.DataFrame(itertools.product(*kinds), columns=names).assign(value=0.5)


def superposition_rows():
    conditions = ("base", "shuffled words", *CONDITIONS)
    rows = pd.DataFrame(itertools.product(conditions, range(3)), columns=["condition", "layer"])
    rows = rows.assign(interference=0.1, dimensionality=0.8)
    return spread(rows, ["interference", "dimensionality"])


def cka_rows():
    rows = [
        (concept, condition, layer, 1 - 0.02 * layer)
        for concept, condition, layer in itertools.product(CONCEPTS, CONDITIONS, range(7))
    ]
    frame = pd.DataFrame(rows, columns=["concept", "condition", "layer", "cka_debiased"])
    return spread(frame, ["cka_debiased"])


def transition_rows():
    rows = [
        (concept, condition, base, end, 12.0, 0.5 if base == end else 0.25)
        for concept, condition in itertools.product(CONCEPTS, ("targeted", "none"))
        for base, end in itertools.product([*PARTS[concept], "nothing"], repeat=2)
    ]
    names = ["concept", "condition", "base", "end", "n_neurons", "share"]
    return pd.DataFrame(rows, columns=names)


CASES_QUESTIONS = {
    "claims": (claim_rows, lambda frame: charts.claims(frame, TITLE, "share", OVER, 0.05)),
    "values": (value_rows, lambda frame: charts.values(frame, TITLE, "One a seed.", "F1")),
    "superposition": (
        superposition_rows,
        lambda frame: charts.superposition(frame, TITLE, OVER),
    ),
    "cka_by_layer": (cka_rows, lambda frame: charts.cka_by_layer(frame, TITLE, OVER)),
    "part_transitions": (transition_rows, lambda frame: charts.part_transitions(frame, TITLE)),
}
MARKS = {"part_transitions": "rect mark"}
DRAWN = {
    "claims": 4,
    "values": 2 * 2 * 3 * 2,
    "superposition": 2 * 5 * 3,
    "cka_by_layer": 2 * 3 * 7,
    "part_transitions": 2 * 2 * 9,
}
COLUMN = {
    "claims": "value",
    "values": "value",
    "superposition": "interference",
    "cka_by_layer": "cka_debiased",
    "part_transitions": "n_neurons",
}

pytestmark = pytest.mark.usefixtures("theme")


def picture_of(name):
    make, draw = CASES_QUESTIONS[name]
    return svg_of(draw(make()).to_dict())


@pytest.mark.parametrize("name", CASES_QUESTIONS)
def test_every_row_is_drawn_under_the_title_of_the_page(name):
    svg = picture_of(name)
    assert svg.count(f'aria-roledescription="{MARKS.get(name, "point")}"') == DRAWN[name]
    assert f">{TITLE}<" in svg


@pytest.mark.parametrize("name", CASES_QUESTIONS)
def test_a_missing_column_and_an_empty_table_are_named(name):
    make, draw = CASES_QUESTIONS[name]
    with pytest.raises(InputError, match=f"no column '{COLUMN[name]}'"):
        draw(make().drop(columns=COLUMN[name]))
    with pytest.raises(InputError, match="no rows"):
        draw(make().iloc[:0])


def test_claims_of_one_seed_are_drawn_without_intervals():
    frame = claim_rows().drop(columns=["value_low", "value_high"])
    spec = charts.claims(frame, TITLE, "share", OVER).to_dict()
    marks = [layer["mark"]["type"] for layer in spec["vconcat"][0]["layer"]]
    assert marks == ["rule", "point"]


def test_panels_that_are_compared_share_their_scale():
    spec = charts.values(value_rows(), TITLE, "One a seed.", "F1", (-0.5, 0.5)).to_dict()
    scales = {
        tuple(layer["encoding"]["x"]["scale"]["domain"])
        for panel in spec["vconcat"]
        for layer in panel["layer"]
        if layer["mark"]["type"] == "point"
    }
    assert scales == {(-0.5, 0.5)}
    scales = {
        tuple(layer["encoding"]["y"]["scale"]["domain"])
        for panel in charts.cka_by_layer(cka_rows(), TITLE, OVER).to_dict()["vconcat"]
        for layer in panel["layer"]
    }
    assert len(scales) == 1


def test_rows_of_one_condition_need_no_legend():
    frame = value_rows()
    frame = frame[frame["condition"] == frame["row"].map({"as it is": "base", "aligned": "none"})]
    (first, _) = charts.values(frame, TITLE, "One a seed.", "F1").to_dict()["vconcat"]
    assert first["layer"][0]["encoding"]["color"]["legend"] is None


def test_a_matrix_has_a_panel_a_condition_and_names_what_is_nothing_last():
    spec = charts.part_transitions(transition_rows(), TITLE).to_dict()
    titles = [panel["title"]["text"] for panel in spec["vconcat"]]
    assert titles == [f"{one}, {other}" for one in CONCEPTS for other in ("targeted", "none")]
    orders = [panel["layer"][0]["encoding"]["y"]["sort"] for panel in spec["vconcat"]]
    assert all(order[-1] == "nothing" for order in orders)


def test_clusters_are_named_in_full_beside_the_rows_and_by_a_word_below():
    svg = picture_of("part_transitions")
    assert svg.count(">smith · jones<") == 2
    assert svg.count(">smith<") == 2
