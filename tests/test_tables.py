"""Tables on small made-up frames whose answers can be worked out by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from plasticity_utils.experiment.measure import layer_table, metrics_table, neuron_table
from plasticity_utils.neurons.scores import removal_only_profile
from plasticity_utils.removal.gate import HeldNeurons
from plasticity_utils.results import neurons as neuron_changes
from plasticity_utils.results import tables
from runs import at

LOC = "LOC"
PLACES = [(layer, unit) for layer in range(2) for unit in range(3)]
BASE, GONE, END = ("base", -1.0), ("removed", 0.0), ("end", 1.0)


def described(loc, per, suffix=""):
    """What `measure_neurons` gives for six neurons with these selectivities."""
    table = pd.DataFrame(PLACES, columns=["layer", "unit"])
    table["selectivity_LOC"] = np.array(loc, dtype=np.float32)
    table["selectivity_PER"] = np.array(per, dtype=np.float32)
    for entity in ("LOC", "PER"):
        table[f"probeless_{entity}"] = table[f"selectivity_{entity}"].abs() * 10
        table[f"effect_{entity}"] = table[f"selectivity_{entity}"]
        table[f"ranking_selectivity_{entity}"] = table[f"selectivity_{entity}"]
    table["words"] = [f"high {i}{suffix}" for i in range(6)]
    table["words_low"] = [f"low {i}{suffix}" for i in range(6)]
    return table


def probes():
    rows = [(layer, entity, 0.5, 0.5, 0.5, 9) for layer in range(2) for entity in ("LOC", "PER")]
    names = ["layer", "entity", "word_precision", "word_recall", "word_f1", "n_words"]
    return pd.DataFrame(rows, columns=names)


def scores(f1):
    table = pd.DataFrame(
        {"entity": ["LOC", "overall"], "precision": f1, "recall": f1, "entity_f1": f1}
    )
    return table.assign(entity_f1_low=f1 - 0.1, entity_f1_high=f1 + 0.1, n_gold=20)


def snapshot(neurons, f1=0.5):
    return {"neurons": neurons, "layers": probes(), "metrics": scores(f1)}


BASE_LOC, BASE_PER = [0.9, -0.8, 0.1, 0.2, 0.3, -0.4], [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]


def plan(neurons):
    return HeldNeurons(np.array(neurons), np.zeros((2, 3)))


def made_up_measured():
    """Neurons (0, 0) and (0, 1) are removed in `targeted`, (0, 2) and (1, 0) in `random`."""
    base = snapshot(described(BASE_LOC, BASE_PER), 0.9)
    cut = described([0, 0, 0.1, 0.2, 0.3, -0.4], [0, 0, 0.2, 0.3, 0.4, 0.5])
    cut_end = described([0, 0, 0.3, 0.2, 0.9, -0.6], [0, 0, 0.2, 0.3, 0.4, 0.3], suffix=" end")
    other = described([0.9, -0.8, 0, 0, 0.3, -0.4], [0, 0.1, 0, 0, 0.4, 0.5])
    kept_end = described([0.9, -0.8, 0.1, 0.2, 0.4, -0.4], BASE_PER)
    measured = {
        "targeted": {BASE: base, GONE: snapshot(cut, 0.1), END: snapshot(cut_end, 0.86)},
        "random": {BASE: base, GONE: snapshot(other, 0.8), END: snapshot(other, 0.9)},
        "none": {BASE: base, GONE: base, END: snapshot(kept_end, 0.92)},
        "head": {BASE: base, GONE: snapshot(cut, 0.1), END: snapshot(cut, 0.7)},
    }
    concept, random = plan([(0, 0), (0, 1)]), plan([(0, 2), (1, 0)])
    return measured, {"targeted": concept, "random": random, "none": None, "head": concept}


@pytest.fixture
def neurons():
    measured, removed = made_up_measured()
    return neuron_table(measured, removed, LOC, "selectivity")


@pytest.fixture
def layers(neurons):
    return layer_table(made_up_measured()[0], neurons, LOC)


# Put together


def test_metrics_are_stacked_with_their_stage():
    table = metrics_table(made_up_measured()[0])
    assert list(table)[:6] == ["condition", "stage", "epoch", "entity", "precision", "recall"]
    assert len(table) == 4 * 3 * 2
    (f1,) = at(table, condition="targeted", stage="end", entity="LOC")["entity_f1"]
    assert f1 == 0.86


def test_neurons_have_gain_rank_and_saliency_of_their_stage(neurons):
    base = at(neurons, condition="targeted", stage="base")
    assert not base["removed"].any()
    assert (base["gain"] == 1).all()
    # |σ| 0.9 0.8 0.1 0.2 0.3 0.4
    assert base["rank"].tolist() == [0, 1, 5, 4, 3, 2]
    assert base["rank_saliency"].tolist() == pytest.approx([1, 0.8, 0, 0.2, 0.4, 0.6])
    end = at(neurons, condition="targeted", stage="end")
    assert end["removed"].tolist() == [True, True, False, False, False, False]
    assert end["gain"].tolist() == [0, 0, 1, 1, 1, 1]
    # |σ| 0 0 0.3 0.2 0.9 0.6; ties go to the lower id.
    assert end["rank"].tolist() == [4, 5, 2, 3, 0, 1]
    assert end["selectivity"].tolist() == pytest.approx([0, 0, 0.3, 0.2, 0.9, -0.6])
    assert not at(neurons, condition="none")["removed"].any()


def test_a_gain_that_was_measured_is_kept():
    measured, removed = made_up_measured()
    end = measured["targeted"][END]["neurons"]
    measured["targeted"][END]["neurons"] = end.assign(gain=[0.3, 0, 1, 1, 1, 1])
    table = neuron_table(measured, removed, LOC, "selectivity")
    own = at(table, condition="targeted", stage="end")
    assert own["gain"].tolist() == [0.3, 0, 1, 1, 1, 1]
    assert own["removed"].tolist() == [True, True, False, False, False, False]


def test_probeless_ranks_where_it_is_the_method():
    measured, removed = made_up_measured()
    for stages in measured.values():
        for tables_of in stages.values():
            tables_of["neurons"]["probeless_LOC"] = np.arange(6.0)
    table = neuron_table(measured, removed, LOC, "probeless")
    assert at(table, condition="none", stage="base")["rank"].tolist() == [5, 4, 3, 2, 1, 0]


@pytest.mark.parametrize("method", ["effect", "words", "own.py:effect", "own.py:words"])
def test_a_method_of_a_columns_name_is_not_that_column(method):
    measured, removed = made_up_measured()
    base = measured["none"][BASE]["neurons"]
    base["effect_LOC"] = np.arange(6.0)
    table = neuron_table(measured, removed, LOC, method)
    by_selectivity = neuron_table(measured, removed, LOC, "selectivity")
    pd.testing.assert_frame_equal(table, by_selectivity)


def test_layers_average_the_same_kept_neurons_at_every_stage(layers):
    # `targeted` keeps (0, 2) and layer 1: base 0.1 | 0.2 0.3 0.4, end 0.3 | 0.2 0.9 0.6.
    own = at(layers, condition="targeted", entity="LOC", layer=1)
    assert own["n_kept"].tolist() == [3, 3, 3]
    assert own["selectivity"].tolist() == pytest.approx([0.3, 0.3, 1.7 / 3])
    assert own["share"].tolist() == pytest.approx([0.9, 0.9, 0.85])
    # What neither `targeted` nor `random` removed: (1, 1) and (1, 2); of layer 0 nothing.
    random = at(layers, condition="random", entity="LOC")
    assert random[random["layer"] == 0]["n_kept"].tolist() == [0, 0, 0]
    assert random[random["layer"] == 1]["n_kept"].tolist() == [2, 2, 2]
    removed = at(layers, condition="targeted", entity="LOC").set_index(["stage", "layer"])
    assert removed.loc[[("base", 0), ("end", 0), ("end", 1)], "n_removed"].tolist() == [0, 2, 0]


def test_layers_hold_the_removal_only_profile_of_the_concept_alone(layers):
    own = at(layers, condition="targeted", entity="LOC", stage="end")
    order = np.array([0, 1, 5, 4, 3, 2])
    assert own["removal_only"].tolist() == pytest.approx(
        removal_only_profile(order, [0, 1], 2).tolist()
    )
    # Worked out: order 5 4 3 2 | 0 1.
    assert own["removal_only"].tolist() == pytest.approx([(0.4 + 0.2 + 0) / 3, (1 + 0.8 + 0.6) / 3])
    assert own["rank_saliency"].tolist() == pytest.approx(
        [(0.2 + 0 + 0.6) / 3, (0.4 + 1 + 0.8) / 3]
    )
    assert at(layers, entity="PER")[["rank_saliency", "removal_only"]].isna().all(axis=None)
    none = at(layers, condition="none", entity="LOC", stage="base")
    assert none["removal_only"].tolist() == pytest.approx(none["rank_saliency"].tolist())


# Answers


def test_recovery():
    metrics = metrics_table(made_up_measured()[0])
    table = tables.recovery(metrics, "LOC", "head").set_index("condition")
    assert table.loc["targeted", ["base", "removed", "end"]].tolist() == [0.9, 0.1, 0.86]
    assert table.loc["targeted", "recovery"] == pytest.approx(0.76 / 0.8)
    assert table.loc["head", "recovery"] == pytest.approx(0.75)
    assert table.loc["targeted", "beyond_head"] == pytest.approx(0.16)
    assert table.loc[["random", "none", "head"], "beyond_head"].isna().all()
    # Nothing was lost, so there is nothing to recover.
    assert math.isnan(table.loc["none", "recovery"])


@pytest.mark.parametrize(
    ("f1", "epochs"), [((0.1, 0.5, 0.86, 0.9), 0.5), ((0.1, 0.5, 0.6, 0.7), math.nan)]
)
def test_epochs_to_95_percent_of_the_loss(f1, epochs):
    places = [("removed", 0.0), ("retraining", 0.25), ("retraining", 0.5), ("end", 1.0)]
    stages = {place: {"metrics": scores(value)} for place, value in zip(places, f1, strict=True)}
    stages = {BASE: {"metrics": scores(0.9)}, **stages}
    metrics = metrics_table({"targeted": stages, "head": stages})
    table = tables.recovery(metrics, "LOC", "head").set_index("condition")
    assert table.loc["targeted", "epochs_to_95"] == pytest.approx(epochs, nan_ok=True)


def test_kept_gain(neurons):
    table = neuron_changes.kept_gain_table(neurons).set_index(["condition", "entity", "layer"])
    assert (
        table.loc[("targeted", "LOC", 1), "n_neurons"]
        == table.loc[("none", "LOC", 1), "n_neurons"]
        == 3
    )
    assert table.loc[("random", "LOC", 1), "n_neurons"] == 2
    assert table.loc[("targeted", "LOC", 1), "gain"] == pytest.approx((0 + 0.6 + 0.2) / 3)
    assert table.loc[("targeted", "PER", 1), "gain"] == pytest.approx((0 + 0 - 0.2) / 3)
    assert table.loc[("none", "LOC", 1), "gain"] == pytest.approx(0.1 / 3)
    assert table.loc[("random", "LOC", 1), "gain"] == pytest.approx(0)
    row = table.loc[("targeted", "LOC", 1)]
    error = np.std([0, 0.6, 0.2], ddof=1) / np.sqrt(3)
    assert row["gain_high"] - row["gain"] == pytest.approx(1.96 * error, rel=1e-4)


@pytest.mark.filterwarnings("ignore:An input array is constant")
def test_turnover(neurons):
    table = neuron_changes.turnover(neurons, 0.5).set_index("condition")
    assert table.loc[["targeted", "none", "random"], "n_kept"].tolist() == [4, 4, 2]
    assert table.loc[["targeted", "none", "random"], "n_top"].tolist() == [2, 2, 1]
    # Base 0.1 0.2 0.3 0.4, end of `targeted` 0.3 0.2 0.9 0.6: the same two lead, ranks 2 1 4 3.
    assert table.loc["targeted", ["jaccard", "spearman"]].tolist() == pytest.approx([1, 0.6])
    assert table.loc["random", ["jaccard", "spearman"]].tolist() == pytest.approx([1, 1])
    # Two of four by chance: expected overlap 1, so Jaccard 1 / 3.
    assert table.loc["targeted", "jaccard_by_chance"] == pytest.approx(1 / 3)
    third = neuron_changes.turnover(neurons, 0.25).set_index("condition")
    assert third.loc["targeted", "jaccard"] == 0  # (1, 2) leads in the base, (1, 1) at the end


def test_redistribution():
    measured, removed = made_up_measured()
    removed = {**removed, "random": None}
    neurons = neuron_table(measured, removed, LOC, "selectivity")
    layers = layer_table(measured, neurons, LOC)
    table = tables.redistribution(layers, LOC).set_index("condition")
    # Kept: (0, 2) 0.1, (1, 0) 0.2, (1, 1) 0.3, (1, 2) 0.4 and at the end 0.3, 0.2, 0.9, 0.6.
    assert table.loc["targeted", "centroid_base"] == pytest.approx(0.9)
    assert table.loc["targeted", "centroid_end"] == pytest.approx(1.7 / 2.0)
    assert table.loc["targeted", "shift"] == pytest.approx(0.85 - 0.9)
    assert table.loc["none", "shift"] == pytest.approx(1 / 1.1 - 0.9, abs=1e-6)
    assert table["centroid_base"].nunique() == 1
    base, alone = (0 + 1.2) / 3, (0 + 2.4) / 3
    assert table.loc["targeted", "rank_shift_removal_only"] == pytest.approx(alone - base)
    assert table.loc["targeted", "rank_shift"] == pytest.approx(2.2 / 3 - base)
    assert table.loc["none", "rank_shift_removal_only"] == pytest.approx(0)


def test_numbers_removed_in_each_layer_alone_move_the_centre():
    # Of four neurons, ranked in no order of layer, one of layer 0 is last: 0 instead of 2/3.
    group = pd.DataFrame({"layer": [0, 1], "n_kept": [1, 2], "n_removed": [1, 0]})
    first = (2 / 3 + 0) / 2
    assert tables.unordered_centroid(group) == pytest.approx((2 / 3) / (first + 2 / 3))
    none = group.assign(n_kept=[2, 2], n_removed=0)
    assert tables.unordered_centroid(none) == pytest.approx(0.5)


def test_nothing_kept_is_no_crash():
    """Half of a layer by concept and the other half at random leave no neuron over."""
    measured, removed = made_up_measured()
    removed["random"] = plan(PLACES[2:])
    neurons = neuron_table(measured, removed, LOC, "selectivity")
    table = neuron_changes.turnover(neurons, 0.5).set_index("condition").loc["random"]
    assert table["n_kept"] == 0
    assert table[["jaccard", "jaccard_by_chance", "spearman"]].isna().all()
    assert "random" not in set(neuron_changes.kept_gain_table(neurons)["condition"])
    shifts = tables.redistribution(layer_table(measured, neurons, LOC), LOC)
    assert shifts.set_index("condition")["shift"].isna().to_dict()["random"]


def test_selectivity_change_tells_kept_removed_and_newly_salient(neurons):
    table = neuron_changes.selectivity_change(neurons, 1).set_index(["layer", "unit"])
    assert table.loc[(1, 1), "kind"] == "newly salient"
    assert table.loc[[(0, 0), (0, 1)], "kind"].tolist() == ["removed", "removed"]
    assert (table["kind"] == "kept").sum() == 3
    thinned = neuron_changes.selectivity_change(neurons, 1, most=2)
    assert (thinned["kind"] == "removed").sum() == 2
    assert (thinned["kind"] == "kept").sum() == 1


def test_newly_salient_neurons_show_the_end_on_which_the_concept_lies(neurons):
    table = neuron_changes.newly_salient(neurons, 2)
    assert table[["layer", "unit"]].to_numpy().tolist() == [[1, 1], [0, 2]]
    assert table["rise_under_none"].tolist() == pytest.approx([0.1, 0])
    assert table.loc[0, ["words_base", "words_end"]].tolist() == ["high 4", "high 4 end"]
    every = neuron_changes.newly_salient(neurons, 10).set_index(["layer", "unit"])
    assert len(every) == 4
    assert every.loc[(1, 2), ["words_base", "words_end"]].tolist() == ["low 5", "low 5 end"]


def test_newly_salient_neurons_are_picked_on_one_half_and_shown_on_the_other(neurons):
    picked = neurons.copy()
    at_end = (picked["stage"] == "end") & (picked["condition"] == "targeted")
    picked.loc[at_end & (picked["layer"] == 1) & (picked["unit"] == 0), "ranking_selectivity"] = 1.0
    first = neuron_changes.newly_salient(picked, 1).iloc[0]
    assert (first["layer"], first["unit"]) == (1, 0)
    assert first["selectivity_end"] == pytest.approx(0.2)
    kinds = neuron_changes.selectivity_change(picked, 1).set_index(["layer", "unit"])["kind"]
    assert kinds[(1, 0)] == "newly salient"


def test_removed_neurons_come_by_selectivity(neurons):
    table = neuron_changes.removed_neurons(neurons, 5)
    assert table[["layer", "unit"]].to_numpy().tolist() == [[0, 0], [0, 1]]
    assert table["effect_end"].tolist() == [0, 0]
    assert table["gain"].tolist() == [0, 0]


def test_methods_overlap():
    ranking = pd.DataFrame(
        {"rank_a": [0, 1, 2, 3], "rank_b": [3, 2, 1, 0], "rank_c": [0, 2, 1, 3], "mean": 0.0}
    )
    table = tables.method_overlap(ranking, 0.5).set_index("method")
    assert table.loc["a"].tolist() == [1, 0, 0.5]
    assert table.loc["b", "c"] == 0.5
