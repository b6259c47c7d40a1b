"""Runs side by side: each number is a difference taken within a seed, then averaged."""

import numpy as np
import pytest

from plasticity_utils import RunGroup, charts
from plasticity_utils.analysis import movement
from plasticity_utils.data.concepts import ENTITIES
from plasticity_utils.results import across, tables
from plasticity_utils.results import groups as grouping
from plasticity_utils.results.derived import derived


@pytest.fixture(scope="module")
def groups(two_runs):
    return grouping.run_groups(two_runs)


def test_runs_that_differ_in_the_seed_alone_are_one_series(two_runs, groups):
    assert len(groups) == 1
    assert groups[0].numbers == [0, 1]
    assert grouping.choose(groups, concept="locations", variant="dose=0.1") == groups
    assert grouping.choose(groups, variant="") == []


def test_relearning_is_paired_by_seed(two_runs, groups):
    row = across.relearning(groups).iloc[0]
    by_seed = [
        tables.recovery(run.metrics, "LOC", "head")
        .set_index("condition")
        .loc["targeted", "beyond_head"]
        for run in two_runs
    ]
    assert row["beyond_head"] == pytest.approx(np.mean(by_seed))
    assert (row["concept"], row["entity"], row["n_seeds"]) == ("locations", "LOC", 2)


def test_shifts_are_beyond_their_controls(two_runs, groups):
    row = movement.moves_by_concept(groups).iloc[0]
    mean = {
        name: sum(
            tables.redistribution(run.layers, name).set_index("condition") for run in two_runs
        )
        / len(two_runs)
        for name in ENTITIES
    }
    own = mean["LOC"]
    beyond = {name: table.loc["targeted"] - table.loc["none"] for name, table in mean.items()}
    others = np.mean([beyond[name]["shift"] for name in ("PER", "ORG", "MISC")])
    assert row["survivors"] == pytest.approx(beyond["LOC"]["shift"])
    assert row["others"] == pytest.approx(others)
    shift = own["shift"]
    assert row["survivors_random"] == pytest.approx(shift["random"] - shift["none"])
    assert row["beyond_others"] == pytest.approx(row["survivors"] - others)
    assert row["ranks"] == pytest.approx(own.loc["targeted", "rank_shift"])
    assert row["ranks_random"] == pytest.approx(own.loc["random", "rank_shift"])
    assert row["ranks_beyond"] == pytest.approx(row["ranks"] - row["ranks_random"])
    alone = own.loc["targeted", "rank_shift_removal_only"]
    assert row["ranks_alone"] == pytest.approx(alone)


def test_what_the_dose_takes_stands_beside_what_random_neurons_take(two_runs, groups):
    row = across.dose_table(groups).iloc[0]
    losses = []
    for run in two_runs:
        curve = tables.dose_curve(run.dose)
        curve = curve[(curve["entity"] == "LOC") & (curve["regime"] == "curve")]
        base = curve.loc[curve["condition"] == "base", "entity_f1"].iloc[0]
        random = (curve["condition"] == "random") & (curve["dose"] == 0.1)
        losses.append(base - curve.loc[random, "entity_f1"].iloc[0])
    assert row["random_loss"] == pytest.approx(np.mean(losses))
    assert row["doses"] == "10 %, 10 %"


def test_every_table_names_the_series_and_draws(groups):
    outcomes = across.outcome_table(groups)
    assert set(outcomes["stage"]) == {"base", "removed", "end"}
    assert charts.outcomes(outcomes, "over seeds").to_dict()
    assert len(across.turnovers(groups)) == 4
    assert set(across.relied_on(groups)["again"]) == {"nothing", "same", "new top", "random"}
    readable = across.readable(groups)
    assert set(readable["entity"]) == {"LOC"}
    assert set(readable["stage"]) >= {"base", "removed", "end"}
    assert "head" not in set(readable["condition"])
    charts.probe_by_layer(readable, "LOC")
    drawn = charts.differences(
        movement.moves_by_concept(groups), {"survivors": "layers"}, "t", "n", "i"
    )
    assert "layers" in str(drawn.to_dict())
    assert across.grown_back(groups).empty


def test_a_table_is_the_same_when_it_is_made_again(groups):
    assert across.recoveries(groups).equals(across.recoveries(groups))


def test_neurons_that_may_not_grow_back_stay_at_no_gain_and_no_effect(groups):
    table = derived(groups[0].runs[0], "regrowth")
    gone = table[table["epoch"] >= 0]
    assert (gone[["gain", "gain_low", "gain_high", "effect"]] == 0).all().all()


def test_one_run_alone_is_a_series_without_intervals(two_runs):
    row = across.relearning([RunGroup((two_runs[0],))]).iloc[0]
    assert np.isnan(row["beyond_head_low"])
