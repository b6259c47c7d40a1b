"""Charts of many runs, on small made-up tables."""

import itertools

import pandas as pd
import pytest

from made_up_charts import svg_of
from plasticity_utils import charts
from plasticity_utils.analysis.paper import released_lines
from plasticity_utils.errors import InputError

CONCEPTS = ("locations", "persons")
STAGES = {"base": 0.94, "removed": 0.02, "end": 0.93}


def spread(frame, values):
    for value in values:
        frame = frame.assign(
            **{f"{value}_low": frame[value] - 0.01, f"{value}_high": frame[value] + 0.01}
        )
    return frame


def outcome_rows():
    conditions = ("targeted", "random", "none", "head")
    rows = [
        (concept, "minilm", condition, stage, f1)
        for concept, condition, (stage, f1) in itertools.product(
            CONCEPTS, conditions, STAGES.items()
        )
    ]
    frame = pd.DataFrame(rows, columns=["concept", "model", "condition", "stage", "entity_f1"])
    return spread(frame, ["entity_f1"])


def regained_rows():
    rows = [
        (way, c, who, share)
        for way in ("a small cut", "an erasure")
        for c in CONCEPTS
        for who, share in (("last layer alone", 0.0), ("whole model", 0.9))
    ]
    return spread(pd.DataFrame(rows, columns=["way", "concept", "who", "share"]), ["share"])


def difference_rows():
    frame = pd.DataFrame({"concept": CONCEPTS, "model": "minilm", "shift": [-0.1, 0.2]})
    return spread(frame, ["shift"])


def released_rows():
    profile = pd.DataFrame({"layer": range(7)})
    for name in ("base", "after", "removal_only", "intact_base", "intact_after"):
        profile[name] = [0.1 * layer for layer in range(7)]
    return released_lines(profile)


CASES_ACROSS = {
    "outcomes": (outcome_rows, lambda frame: charts.outcomes(frame, "over seeds")),
    "regained": (regained_rows, lambda frame: charts.regained(frame, "What comes back", "A note.")),
    "differences": (
        difference_rows,
        lambda frame: charts.differences(
            frame, {"shift": "shift in layers"}, "Movement between layers", "A note.", "over seeds"
        ),
    ),
    "released_profile": (released_rows, charts.released_profile),
}
# Two panels of four conditions, open and full; two of two concepts and two
# readers; two rows; 3 + 2 lines of 7.
POINTS = {"outcomes": 16, "regained": 8, "differences": 2, "released_profile": 35}

pytestmark = pytest.mark.usefixtures("theme")


@pytest.mark.parametrize("name", CASES_ACROSS)
def test_every_row_becomes_a_point(name):
    make, draw = CASES_ACROSS[name]
    svg = svg_of(draw(make()).to_dict())
    assert svg.count('aria-roledescription="point"') == POINTS[name]


@pytest.mark.parametrize("name", CASES_ACROSS)
def test_a_missing_column_and_an_empty_table_are_named(name):
    make, draw = CASES_ACROSS[name]
    column = {
        "differences": "shift",
        "regained": "share",
        "released_profile": "rank_saliency",
    }.get(name, "entity_f1")
    with pytest.raises(InputError, match=f"no column '{column}'"):
        draw(make().drop(columns=column))
    with pytest.raises(InputError, match="no rows"):
        draw(make().iloc[:0])


@pytest.mark.parametrize("name", ["outcomes", "differences"])
def test_two_models_are_told_apart(name):
    make, draw = CASES_ACROSS[name]
    one = make()
    both = pd.concat([one, one.assign(model="smollm2")], ignore_index=True)
    alone, svg = (svg_of(draw(table).to_dict()) for table in (one, both))
    assert ">locations<" in alone
    for series in ("locations (minilm)", "locations (smollm2)"):
        assert f">{series}<" in svg
