"""Movement between layers: the sentences on made-up numbers, and on the committed results."""

import numpy as np
import pandas as pd
import pytest
from test_results import full

from plasticity_utils.analysis.movement import (
    BEYOND,
    Movement,
    judged,
    movement_of,
    movement_sentence,
    plain_sentence,
    ranks_sentence,
    shifted,
)
from plasticity_utils.errors import InputError
from plasticity_utils.formats import signed, with_interval
from plasticity_utils.results.groups import choose, series_of
from plasticity_utils.results.published import published_runs
from plasticity_utils.results.stack import mean_interval


def moved(concept, mean, margin, **others):
    """A row of `centres.shifts` whose movements are all the same, but for the others."""
    row = {"concept": concept, "model": "minilm"}
    for name, value in (dict.fromkeys(BEYOND, mean) | others).items():
        row |= {name: value, f"{name}_low": value - margin, f"{name}_high": value + margin}
    return row


def test_a_concept_moves_only_beyond_every_control():
    rows = [
        moved("locations", 0.3, 0.1),
        moved("persons", -0.3, 0.1),
        moved("organisations", 0.3, 0.1, beyond_others=0.05),
        moved("cities", 0.3, np.nan),
    ]
    said = movement_sentence(pd.DataFrame(rows))
    assert "to later layers: locations; to earlier ones: persons; " in said
    assert "not resolved: organisations; one seed, and so no interval: cities. " in said
    assert "organisations +0.050 (-0.050 to +0.150)" in said
    assert said.endswith("cities +0.300.")
    said = movement_sentence(pd.DataFrame(rows[2:3]))
    assert "to later layers: none; to earlier ones: none; not resolved: organisations. " in said


@pytest.mark.parametrize(
    ("low", "high", "shared", "said"),
    [
        (-0.05, 0.09, 0.0, "does not tell the concept's cut"),
        (0.01, 0.09, 0.0, "does not tell the concept's cut"),
        # Half of the neurons are the same ones, so half of a difference can show.
        (-0.01, 0.09, 0.5, "not resolved"),
        (-0.04, 0.04, 0.5, "does not tell the concept's cut"),
        (-0.04, 0.101, 0.0, "not resolved"),
        (0.01, 0.30, 0.0, "otherwise than random ones"),
        (-0.30, -0.01, 0.0, "otherwise than random ones"),
        (np.nan, np.nan, 0.0, "One seed has no interval"),
    ],
)
def test_the_random_cut_judges_the_move_of_the_ranks(low, high, shared, said):
    names = ["rank_shift", "rank_beyond_random_low", "rank_beyond_random_high"]
    assert said in judged(Movement(pd.Series([-1.0, low, high], index=names), shared, ""))


def test_concepts_are_averaged_before_seeds_are_compared():
    half = full(regime="half", variant="")
    rows = pd.DataFrame(
        [{"seed": run.config.seed, **shifted(run)} for seeds in half for run in seeds.runs]
    )
    by_seed = rows.groupby("seed")["rank_shift"].mean().to_frame()
    expected = mean_interval(by_seed, [], ["rank_shift"]).iloc[0]
    found = movement_of(half)
    for name in ("rank_shift", "rank_shift_low", "rank_shift_high"):
        assert found.values[name] == pytest.approx(expected[name])
    said = ranks_sentence(half)
    assert with_interval(expected, "rank_shift") in said
    assert f"{len(by_seed)} seeds: locations, persons, organisations" in said
    assert 0 < found.shared < 1
    assert signed(expected["rank_shift"]) in plain_sentence(
        full(regime="surgical", variant=""), half
    )


def test_runs_that_differ_in_more_than_concept_and_seed_are_refused():
    half = full(regime="half", variant="")
    with pytest.raises(InputError, match="'erase' removes no neurons"):
        ranks_sentence(full(regime="erase"))
    with pytest.raises(InputError, match="cannot be averaged"):
        ranks_sentence([*half, *choose(series_of(published_runs()), model="smollm2")])
    with pytest.raises(InputError, match=r"half.*surgical.*exactly one regime"):
        ranks_sentence([*half, *full(regime="surgical", variant="")])
    with pytest.raises(InputError, match="exactly one regime"):
        ranks_sentence([])
