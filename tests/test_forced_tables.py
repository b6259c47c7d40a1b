"""Tables of a forcing, on made-up scores and neurons: carriers, regained F1, differences."""

import numpy as np
import pandas as pd
import pytest

from plasticity_utils.analysis.forced import beyond
from plasticity_utils.experiment.forcing import Target, carrier_table, f1_table
from plasticity_utils.experiment.store import save_tables
from test_forced_numbers import made_up


def neurons_table(sigma_concept, sigma_host):
    n = len(sigma_concept)
    return pd.DataFrame(
        {
            "layer": 0, "unit": range(n), "sigma_concept": sigma_concept, "sigma_host": sigma_host,
            "effect_concept": 0.5, "effect_host": -1.0, "gain": 1.0,
        }
    )  # fmt: skip


def scores(f1):
    return pd.DataFrame(
        {
            "entity": ["LOC", "PER"],
            "entity_f1": f1,
            "entity_f1_low": f1,
            "entity_f1_high": f1,
            "n_gold": [3, 4],
        }
    )


def test_carriers_are_counted_by_both_limits_and_by_sign(tmp_path):
    before, folder = tmp_path / "before", tmp_path / "forced"
    before.mkdir()
    folder.mkdir()
    host = [0.9, 0.9, -0.9, 0.3]
    save_tables(
        {
            "tau": pd.DataFrame({"entity": ["LOC", "PER"], "tau": [0.4, 0.5]}),
            "metrics_base": scores([0.9, 0.8]),
            "metrics_removed": scores([0.1, 0.8]),
            "neurons_base": neurons_table([0.0, -0.6, 0.0, 0.9], host),
            "neurons_removed": neurons_table([0.0, -0.6, 0.0, 0.9], host),
        },
        before,
    )
    save_tables(
        {
            "metrics": scores([0.7, 0.6]),
            "neurons": neurons_table([0.8, -0.6, -0.41, 0.9], host),
        },
        folder,
    )
    group = Target("host", 1.0, np.array([[0, 0], [0, 1], [0, 2], [0, 3]]))
    row = carrier_table(before, [(group, folder)], ("LOC", "PER")).iloc[0]
    assert (row["n_both_base"], row["n_both_removed"], row["n_both_end"]) == (1, 1, 3)
    assert (row["n_same_base"], row["n_same_removed"], row["n_same_end"]) == (0, 0, 2)
    assert row["rise"] == 0.5
    # Changes 1, 0, 1, 0: a standard deviation of 0.577 over four neurons.
    assert row["rise_high"] == pytest.approx(0.5 + 1.96 * np.sqrt(1 / 3) / 2)
    assert row["effect_host"] == 1.0
    f1 = f1_table(before, [(group, folder)]).set_index("entity")
    assert f1.loc["LOC", "regained"] == pytest.approx(0.75)
    # Nothing of PER was lost, so no share of it can come back.
    assert np.isnan(f1.loc["PER", "regained"])


def test_the_difference_from_a_control_has_the_width_of_both():
    carriers = made_up().table("carriers")
    row = beyond(carriers, "random").set_index("dose").loc[0.05]
    assert row["beyond_random"] == pytest.approx(0.2)
    assert row["beyond_random_high"] == pytest.approx(0.2 + np.hypot(0.03, 0.04))
