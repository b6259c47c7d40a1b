"""The paper's released ranks, read with the control that removal alone is."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import plasticity_utils as pu
from plasticity_utils.analysis import paper
from plasticity_utils.results.tables import centroid

NAMES = ["f1_trajectories", "layer_saliency_unfiltered_null", "ranks_distilbert_location"]
SHARED = Path(__file__).parent.parent.parent / "shared" / "reference"


@pytest.fixture(scope="module")
def ranks():
    return paper.load_reference("ranks_distilbert_location")


@pytest.fixture(scope="module")
def published():
    table = paper.load_reference("layer_saliency_unfiltered_null")
    return table[table["set"] == "DB-loc"].sort_values("layer").reset_index(drop=True)


def test_the_removal_only_profile_reproduces_the_published_null(ranks, published):
    order = ranks.sort_values("rank_base")["neuron"].to_numpy()
    gone = paper.removed_as_released(ranks)
    profile = pu.removal_only_profile(order, gone.tolist(), 7)
    assert profile == pytest.approx(published["null_move_pruned_to_bottom"].to_numpy(), abs=1e-9)
    assert profile == pytest.approx(
        [0.8328, 0.4764, 0.4879, 0.4655, 0.4491, 0.4468, 0.3416], abs=5e-5
    )


def test_every_log_has_its_commit_and_what_was_cut():
    table = paper.f1_trajectories()
    assert table.notna().all()[["log", "commit", "cut", "base", "removed"]].all()
    first = table.set_index("log").loc["slurm20-77795"]
    assert first["commit"] == "ee5a020"
    assert first["cut"] == "2023-06-07, probeless head 3000"
    assert first["base":"block 4"].tolist() == [0.9355, 0.0277, 0.9138, 0.9238, 0.928, 0.9293]


def test_who_was_removed_follows_from_the_shifted_layer(ranks):
    gone = set(paper.removed_as_released(ranks).tolist())
    assert len(gone) == 2757
    assert min(gone) >= 768
    selected = ranks[ranks["rank_base"] < 3000]
    twins = selected.loc[selected["layer"] == 0, "unit"] + 6 * 768
    assert set(twins) <= gone


def test_profiles_are_those_of_the_derived_tables(ranks, published):
    profile = paper.released_layers(ranks)
    for ours, theirs in {
        "base": "base",
        "after": "rt8",
        "removal_only": "null_move_pruned_to_bottom",
        "intact_base": "unpr_base",
        "intact_after": "unpr_rt8",
    }.items():
        assert profile[ours].to_numpy() == pytest.approx(published[theirs].to_numpy(), abs=1e-6)


def test_the_centre_moves_as_far_as_removal_alone_moves_it(ranks):
    profile = paper.released_layers(ranks)
    columns = ("base", "after", "removal_only", "intact_base", "intact_after")
    centres = {name: centroid(profile, name) for name in columns}
    assert centres["base"] == pytest.approx(3.35, abs=0.01)
    assert centres["after"] == pytest.approx(2.55, abs=0.01)
    assert centres["removal_only"] == pytest.approx(2.55, abs=0.01)
    # Neurons left intact move the other way.
    assert centres["intact_base"] == pytest.approx(2.83, abs=0.01)
    assert centres["intact_after"] == pytest.approx(3.62, abs=0.01)


def test_without_the_shifted_layer_the_profile_is_another(ranks):
    order = ranks.sort_values("rank_base")["neuron"].to_numpy()
    as_meant = ranks.loc[ranks["rank_base"] < 3000, "neuron"].tolist()
    wrong = pu.removal_only_profile(order, as_meant, 7)
    right = pu.removal_only_profile(order, paper.removed_as_released(ranks).tolist(), 7)
    assert np.abs(wrong - right).max() > 0.1


def test_an_unknown_table_is_named_with_what_there_is():
    with pytest.raises(pu.InputError, match=r"'ranks'.*ranks_distilbert_location"):
        paper.load_reference("ranks")


@pytest.mark.parametrize("name", NAMES)
def test_our_copy_is_the_derived_table(name):
    if not SHARED.is_dir():
        pytest.skip("the folder of reference figures is not beside this checkout")
    pd.testing.assert_frame_equal(paper.load_reference(name), pd.read_csv(SHARED / f"{name}.csv"))
