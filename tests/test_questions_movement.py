"""Movement between layers: the sentences on made-up numbers, and on the committed results."""

import numpy as np
import pandas as pd
import pytest

from plasticity_utils.across import shifted
from plasticity_utils.errors import InputError
from plasticity_utils.grouping import choose, series_of
from plasticity_utils.published import published_runs
from plasticity_utils.questions.movement import BEYOND, judged, movement_sentence, ranks_sentence
from plasticity_utils.sentences import signed


def full(**wanted):
    return choose(series_of(published_runs()), model="minilm", scale="full", **wanted)


def moved(concept, mean, margin, **others):
    """A row of `across.shifts` whose movements are all the same, but for the others."""
    means = dict.fromkeys(BEYOND, mean) | others
    row = {"concept": concept, "model": "minilm"}
    for name, value in means.items():
        row |= {name: value, f"{name}_low": value - margin, f"{name}_high": value + margin}
    return row


def test_a_concept_moves_only_beyond_every_control():
    rows = [
        moved("locations", 0.3, 0.1),
        moved("persons", -0.3, 0.1),
        moved("organisations", 0.3, 0.1, beyond_random=0.05),
        moved("cities", 0.3, np.nan),
    ]
    said = movement_sentence(pd.DataFrame(rows))
    assert "later layers for locations; to earlier ones for persons." in said
    assert "organisations +0.050 (-0.050 to +0.150)" in said
    assert "cities +0.300." in said
    said = movement_sentence(pd.DataFrame(rows[2:]))
    assert "later layers for no concept; to earlier ones for no concept." in said


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (-0.05, 0.09, "any such cut moves the ranks as far"),
        (0.01, 0.09, "any such cut moves the ranks as far"),
        (0.01, 0.30, "otherwise than random ones"),
        (-0.30, -0.01, "otherwise than random ones"),
        (-0.01, 0.30, "not resolved"),
        (np.nan, np.nan, "One run has no interval"),
    ],
)
def test_the_random_cut_judges_the_move_of_the_ranks(low, high, said):
    names = ["rank_shift", "rank_beyond_random_low", "rank_beyond_random_high"]
    assert said in judged(pd.Series([-1.0, low, high], index=names))


def test_every_run_counts_once():
    half = full(regime="half", variant="")
    runs = [run for seeds in half for run in seeds.runs]
    mean = pd.DataFrame([shifted(run) for run in runs]).mean()
    said = ranks_sentence(half)
    for name in ("rank_shift", "rank_shift_random", "rank_beyond_random"):
        assert signed(mean[name]) in said
    assert f"{len(runs)} runs: locations, persons, organisations" in said


def test_an_erasure_has_no_neurons_whose_ranks_could_move():
    with pytest.raises(InputError, match="'erase' removes no neurons"):
        ranks_sentence(full(regime="erase"))
    mixed = [
        *full(regime="half", variant=""),
        *choose(series_of(published_runs()), model="smollm2"),
    ]
    with pytest.raises(InputError, match="cannot be averaged"):
        ranks_sentence(mixed)
