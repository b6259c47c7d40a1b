"""What the dose–response says: specificity, the dose picked, draws."""

import pandas as pd
import pytest

from plasticity_utils.experiment.dose import pick_dose
from plasticity_utils.removal.dose import specificity
from plasticity_utils.results import tables
from runs import at


def curve(concept, others, random=((0.9, 0.8),)):
    """A dose–response with F1 of LOC and of the other types at each dose, on both parts."""
    rows = []
    for part in ("dose", "scoring"):
        rows += [("curve", 0.0, 0, "base", 0, part, e, 0.9) for e in ("LOC", "PER", "overall")]
        for dose, f1, rest in zip((0.01, 0.05, 0.1), concept, others, strict=True):
            rows += [
                ("curve", dose, int(1000 * dose), "targeted", 0, part, entity, value)
                for entity, value in (("LOC", f1), ("PER", rest), ("overall", rest))
            ]
    for draws in random:
        rows += [
            ("curve", 0.05, 50, "random", i, "scoring", "LOC", f1) for i, f1 in enumerate(draws)
        ]
    names = ["regime", "dose", "n_removed", "condition", "draw", "part", "entity", "entity_f1"]
    table = pd.DataFrame(rows, columns=names)
    return table.assign(
        entity_f1_low=table["entity_f1"] - 0.05, entity_f1_high=table["entity_f1"] + 0.05
    )


def test_specificity_is_the_loss_beyond_that_of_the_others():
    table = specificity(curve((0.8, 0.05, 0), (0.9, 0.85, 0.5)), "LOC").set_index("dose")
    assert table["loss"].tolist() == pytest.approx([0.1, 0.85, 0.9])
    assert table["loss_others"].tolist() == pytest.approx([0, 0.05, 0.4])
    assert table["specificity"].tolist() == pytest.approx([0.1, 0.8, 0.5])


@pytest.mark.parametrize(
    ("concept", "others", "dose"),
    [
        # The smallest that takes nine tenths, although the next takes more.
        ((0.8, 0.05, 0.0), (0.9, 0.85, 0.85), 0.05),
        ((0.08, 0.0, 0.0), (0.9, 0.9, 0.9), 0.01),
        # 0.09 is a tenth of 0.9, and not under it.
        ((0.5, 0.0901, 0.0), (0.9, 0.9, 0.9), 0.1),
        # None is enough: the most specific.
        ((0.8, 0.3, 0.2), (0.9, 0.8, 0.3), 0.05),
        # The one that is enough takes everything along: the most specific.
        ((0.8, 0.2, 0.0), (0.9, 0.85, 0.1), 0.05),
    ],
)
def test_pick_dose(concept, others, dose):
    assert pick_dose(curve(concept, others), "LOC") == dose


def test_the_dose_is_picked_on_the_dose_half():
    table = curve((0.8, 0.05, 0.0), (0.9, 0.85, 0.85))
    early = (table["part"] == "scoring") & (table["dose"] == 0.01) & (table["entity"] == "LOC")
    table.loc[early, "entity_f1"] = 0.0
    assert pick_dose(table, "LOC") == 0.05
    table["part"] = table["part"].map({"dose": "scoring", "scoring": "dose"})
    assert pick_dose(table, "LOC") == 0.01


def test_large_doses_are_never_picked():
    table = curve((0.8, 0.5, 0.0), (0.9, 0.9, 0.9))
    table.loc[table["dose"] == 0.1, "dose"] = 0.3
    assert pick_dose(table, "LOC") == 0.05


def test_dose_curve_shows_random_draws_as_median_and_range():
    table = tables.dose_curve(curve((0.8, 0.05, 0), (0.9, 0.8, 0.5), random=((0.9, 0.6, 0.8),)))
    assert set(table["entity"]) == {"LOC", "PER"}
    (row,) = at(table, condition="random").itertuples()
    assert (row.entity_f1, row.entity_f1_low, row.entity_f1_high, row.n_draws) == (0.8, 0.6, 0.9, 3)
    (row,) = at(table, condition="targeted", dose=0.05, entity="LOC").itertuples()
    assert (row.entity_f1, row.entity_f1_low, row.entity_f1_high) == pytest.approx((0.05, 0, 0.1))
    assert row.n_draws == 1
    assert len(at(table, condition="base")) == 2


def test_reliance_table():
    rows = [("nothing", 0, 0.9), ("same", 0, 0.88), ("new top", 0, 0.1)]
    rows += [("random", i, f1) for i, f1 in enumerate((0.9, 0.7, 0.8))]
    reliance = pd.DataFrame(rows, columns=["again", "draw", "entity_f1"]).assign(
        condition="targeted", entity="LOC"
    )
    reliance["entity_f1_low"], reliance["entity_f1_high"] = (
        reliance["entity_f1"] - 0.05,
        reliance["entity_f1"] + 0.05,
    )
    table = tables.reliance_table(reliance).set_index("again")
    assert len(table) == 4
    assert table.loc[
        "new top", ["entity_f1", "entity_f1_low", "entity_f1_high"]
    ].tolist() == pytest.approx([0.1, 0.05, 0.15])
    assert table.loc["random", ["entity_f1", "entity_f1_low", "entity_f1_high"]].tolist() == [
        0.8,
        0.7,
        0.9,
    ]
