"""The tables behind the explorer, on planted neurons."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from plasticity_utils import InputError
from plasticity_utils.data.corpus import Corpus
from plasticity_utils.explorer import tables as views

SENTENCES = [["Rome", "fell", "."], ["Ann", "saw", "Rome", "fall"], ["It", "rained"]]
ENTITY = [["B-LOC", "O", "O"], ["B-PER", "O", "B-LOC", "O"], ["O", "O"]]
POS = [["NNP", "VBD", "."], ["NNP", "VBD", "NNP", "VB"], ["PRP", "VBD"]]
CORPUS = Corpus("made up", SENTENCES, {"entity": ENTITY, "pos": POS})
ACTIVE = np.array([3.0, 0, 0, -2, 0, 5, 0, 0, 0], dtype=np.float32)


def neurons():
    """Two layers of two units through four snapshots; σ says which neuron and snapshot it is."""
    rows = [
        (stage, epoch, layer, unit, stage != "base" and (layer, unit) == (1, 0),
         sign * (0.1 * (2 * layer + unit) + 0.01 * i))
        for i, (stage, epoch) in enumerate(
            [("end", 1.0), ("base", -1.0), ("removed", 0.0), ("retraining", 0.125)]
        )
        for layer in (0, 1) for unit, sign in ((0, 1), (1, -1))
    ]  # fmt: skip
    table = pd.DataFrame(
        rows, columns=["stage", "epoch", "layer", "unit", "removed", "selectivity"]
    )
    same = {f"selectivity_{name}": table["selectivity"] for name in ("LOC", "PER", "ORG", "MISC")}
    return table.assign(effect=table["selectivity"] * 2, gain=1.0, **same)


def test_a_history_is_one_neuron_in_the_order_of_training():
    history = views.neuron_history(neurons(), 1, 1)
    assert history["snapshot"].tolist() == ["base", "removed", "⅛", "1"]
    assert history["selectivity"].tolist() == pytest.approx([-0.31, -0.32, -0.33, -0.3])


@pytest.mark.parametrize(("layer", "unit"), [(2, 0), (0, 2), (0, -1), (-1, 0)])
def test_a_neuron_that_there_is_not_is_named(layer, unit):
    with pytest.raises(InputError, match=f"no neuron {unit} in layer {layer}.* 0 to 1, units from"):
        views.neuron_history(neurons(), layer, unit)


def test_a_layer_is_sorted_as_asked():
    layer = views.layer_neurons(neurons(), "removed", 1)
    assert layer["removed"].tolist() == [True, False]
    assert layer["rise"].tolist() == pytest.approx([0.01, 0.01])
    first = {order: views.sorted_neurons(layer, order)["unit"].iloc[0] for order in views.ORDERS}
    assert (first["|σ|"], first["|effect|"], first["unit"]) == (1, 1, 0)
    by_activation = views.sorted_neurons(layer, "activation", np.array([7.0, 3.0]))
    assert by_activation["value"].tolist() == [7, 3]
    with pytest.raises(InputError, match="unknown order 'size'"):
        views.sorted_neurons(layer, "size")


def test_the_inventory_holds_entity_types_and_frequent_parts_of_speech():
    inventory = views.concept_inventory(CORPUS, n_parts=2)
    # No word is ORG or MISC, and a full stop is no part of speech.
    assert list(inventory) == ["LOC", "PER", "NNP", "VBD"]
    assert inventory["LOC"].tolist() == [True, *[False] * 4, True, *[False] * 3]
    assert inventory["VBD"].sum() == 3


def test_of_several_types_of_a_word_ones_own_is_named_and_tags_are_told_once():
    own = replace(CORPUS, labels={**CORPUS.labels, "concept": [["O", "X", "O"], ["X"] + ["O"] * 3,
                                                               ["O"] * 2]})  # fmt: skip
    assert list(views.memberships(own)) == ["LOC", "PER", "X"]
    assert views.word_classes(own)[:4] == ["LOC", "X", "other", "X"]
    # Where the types are parts of speech, these are told once.
    pos = Corpus("made up", SENTENCES, {"entity": POS, "pos": POS})
    assert sorted(views.concept_inventory(pos)) == [".", "NNP", "PRP", "VB", "VBD"]
    bare = Corpus("made up", SENTENCES, {})
    assert views.concept_inventory(bare).empty
    assert set(views.word_classes(bare)) == {"other"}


def test_neurons_without_a_run_are_described_as_a_run_s_base_is():
    X = [np.stack([ACTIVE, -ACTIVE, np.zeros(9)], axis=1)]
    effect = (4 + 2 / 7) / ACTIVE.std()
    table = views.described_neurons(X, CORPUS, "LOC")
    assert table["selectivity"].tolist() == [1, -1, 0]
    assert table["effect"].tolist() == pytest.approx([effect, -effect, 0])
    assert table["rank"].tolist()[2] == 2
    layer = views.layer_neurons(table, "base", 0)
    assert views.sorted_neurons(layer, "σ")["unit"].tolist() == [0, 2, 1]
    assert not layer["removed"].any()
    unknown = views.described_neurons(X, Corpus("made up", SENTENCES, {}), "")
    assert unknown["selectivity"].isna().all()
    assert views.types_in(unknown) == []


def test_a_word_leads_to_the_neurons_that_go_highest():
    found = views.strongest_neurons(np.array([0.0, 2.0, -9.0, 1.0]), 2, k=2)
    assert found.to_numpy().tolist() == [[0, 1, 2], [1, 1, 1]]


def test_words_are_found_in_a_row_and_within_a_sentence():
    def sentences_with(*phrase):
        shown = views.found_in_sentences(ACTIVE, CORPUS, phrase)
        return [(s, rows.loc[rows["peak"], "word"].tolist())
                for s, rows in shown.groupby("sentence", sort=False)]  # fmt: skip

    assert sentences_with("ROME") == [(1, ["Rome"]), (0, ["Rome"])]
    assert sentences_with("saw", "rome") == [(1, ["saw", "Rome"])]
    assert sentences_with("fall", "it") == sentences_with("Bonn") == []
    assert sentences_with(*["Rome"] * 20) == []


def test_selectivity_is_one_for_a_planted_neuron_and_zero_for_a_constant_one():
    inventory = views.concept_inventory(CORPUS)
    sigma = views.concept_selectivity(ACTIVE, inventory)
    assert sigma["LOC"] == 1
    assert sigma["PER"] == -1
    assert (views.concept_selectivity(np.full(9, 0.5, dtype=np.float32), inventory) == 0).all()


def test_a_histogram_has_the_shares_of_each_class():
    classes, names = views.word_classes(CORPUS), ["LOC", "PER", "ORG", "other"]
    table = views.activation_histogram(ACTIVE, classes, names)
    assert table.groupby("class")["share"].sum().tolist() == pytest.approx([1, 1, 1])
    loc = table[(table["class"] == "LOC") & (table["share"] > 0)]
    assert loc["share"].tolist() == [0.5, 0.5]
    assert (loc["low"] <= [3, 5]).all()
    assert (loc["high"] >= [3, 5]).all()
    assert table.groupby("class")["n"].first().to_dict() == {"LOC": 2, "PER": 1, "other": 6}
    wide = views.activation_histogram(ACTIVE, classes, names, np.array([-10.0, 10]))
    assert (wide["low"].min(), wide["high"].max()) == (-10, 10)
    flat = views.activation_histogram(np.zeros(9, dtype=np.float32), classes, names)
    assert (flat["high"] > flat["low"]).all()


def test_sentences_show_the_peak_and_its_class():
    shown = views.words_in_sentences(ACTIVE, CORPUS, k=1)
    up = shown[shown["end"] == "highest"]
    assert up["word"].tolist() == SENTENCES[1]
    assert up.loc[up["peak"], ["word", "class"]].to_numpy().tolist() == [["Rome", "LOC"]]
    down = shown[(shown["end"] == "lowest") & shown["peak"]]
    assert down["word"].tolist() == ["Ann"]
    assert up["z"].max() == pytest.approx((5 - ACTIVE.mean()) / ACTIVE.std())
    assert views.words_in_sentences(np.ones(9, dtype=np.float32), CORPUS).empty


def test_a_sentence_stands_once_at_an_end_and_long_ones_are_cut():
    words = [f"w{i}" for i in range(100)]
    corpus = Corpus("long", [words], {"entity": [["O"] * 100], "pos": [["NN"] * 100]})
    activations = np.arange(100, dtype=np.float32) % 60
    shown = views.words_in_sentences(activations, corpus, k=5)
    up = shown[shown["end"] == "highest"]
    assert up["word"].tolist() == words[59 - views.CONTEXT : 59 + views.CONTEXT + 1]


def test_both_ends_are_apart():
    ends = views.both_ends(ACTIVE, CORPUS.words)
    assert ends.groupby("end")["word"].first().to_dict() == {"negative": "Ann", "positive": "Rome"}


def test_the_profile_takes_types_from_the_table_and_the_rest_from_activations():
    history = views.neuron_history(neurons(), 0, 1)
    inventory = views.concept_inventory(CORPUS, n_parts=1)
    computed = {"base": views.concept_selectivity(ACTIVE, inventory)}
    profile = views.selectivity_profile(history, computed)
    assert profile["concept"].unique().tolist() == ["LOC", "PER", "ORG", "MISC", "NNP"]
    part = profile[profile["kind"] == "part of speech"].set_index("snapshot")["selectivity"]
    assert part["base"] == computed["base"]["NNP"]
    assert part.drop("base").isna().all()
    alone = views.selectivity_profile(history, {})
    assert set(alone["kind"]) == {"entity type"}
    assert alone.loc[alone["concept"] == "LOC", "selectivity"].tolist() == pytest.approx(
        history["selectivity"].tolist()
    )
