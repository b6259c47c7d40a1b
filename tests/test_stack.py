"""Tables of several runs, and their means with intervals."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from plasticity_utils.results.stack import SHARE_BOUNDS, mean_interval

LOC = "LOC"


def test_the_interval_over_seeds_is_students():
    table = pd.DataFrame({"entity": [LOC] * 3 + ["PER"], "entity_f1": [1.0, 2.0, 3.0, 5.0]})
    rows = mean_interval(table, ["entity"], ["entity_f1"]).set_index("entity")
    assert rows.loc[LOC, "n_seeds"] == 3
    # t of 97.5 % with two degrees of freedom is 4.303; the standard error is 1/√3.
    assert rows.loc[LOC, "entity_f1_high"] - 2 == pytest.approx(4.3027 / np.sqrt(3), abs=1e-4)
    assert 2 - rows.loc[LOC, "entity_f1_low"] == pytest.approx(4.3027 / np.sqrt(3), abs=1e-4)
    assert rows.loc["PER", "entity_f1"] == 5
    assert np.isnan(rows.loc["PER", "entity_f1_low"])


def test_a_missing_value_is_left_out_of_its_mean():
    table = pd.DataFrame({"entity": [LOC] * 3, "entity_f1": [1.0, 3.0, np.nan]})
    row = mean_interval(table, ["entity"], ["entity_f1"]).iloc[0]
    assert row["entity_f1"] == 2
    # Two values, one degree of freedom: 12.706 standard errors of 1.
    assert row["entity_f1_high"] == pytest.approx(2 + 12.7062, abs=1e-3)


def test_a_mean_over_concepts_has_the_spread_within_them():
    table = pd.DataFrame(
        {
            "concept": ["a"] * 3 + ["b"] * 2,
            "seed": [0, 1, 2, 0, 1],
            "entity_f1": [1.0, 2, 3, 10, 14],
        }
    )
    row = mean_interval(table, [], over="concept").iloc[0]
    assert row["n_runs"] == 5
    assert row["entity_f1"] == (2 + 12) / 2
    # Squares within: 2 with two degrees of freedom, 8 with one.
    error = np.sqrt((2 + 8) / 3 * (1 / 3 + 1 / 2)) / 2
    assert row["entity_f1_high"] - row["entity_f1"] == pytest.approx(stats.t.ppf(0.975, 3) * error)
    assert row["entity_f1"] - row["entity_f1_low"] == pytest.approx(stats.t.ppf(0.975, 3) * error)
    single = mean_interval(table[table["seed"] == 0], [], over="concept").iloc[0]
    assert single["entity_f1"] == 5.5
    assert np.isnan(single["entity_f1_low"])


def test_an_interval_stays_within_the_bounds_of_its_value():
    table = pd.DataFrame({"entity_f1": [0.9, 1.0], "change": [0.9, 1.0]})
    row = mean_interval(table, [], bounds={"entity_f1": SHARE_BOUNDS}).iloc[0]
    assert row["entity_f1_high"] == 1 < row["change_high"]
    assert row["entity_f1_low"] > 0.3


def test_what_was_not_repeated_keeps_the_interval_that_it_has():
    table = pd.DataFrame(
        {
            "entity": [LOC, "PER", "PER"],
            "entity_f1": [0.5, 0.6, 0.8],
            "entity_f1_low": [0.4] * 3,
            "entity_f1_high": 0.9,
        }
    ).assign(seed=[0, 0, 1])
    rows = mean_interval(table, ["entity"]).set_index("entity")
    assert rows.loc[LOC, ["entity_f1_low", "entity_f1_high"]].tolist() == [0.4, 0.9]
    assert rows.loc["PER", "entity_f1_high"] > 0.9
    assert mean_interval(table[:0], ["entity", "absent"]).columns.tolist() == ["entity"]
