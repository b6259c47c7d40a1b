"""Polysemanticity and migration: planted neurons, and none."""

import numpy as np
import pandas as pd
import pytest

from plasticity_utils.analysis.polysemanticity import (
    change_beyond_none,
    neuron_polysemanticity,
    similarity_of_sharers,
    strongest_concept,
)
from plasticity_utils.analysis.takeover import gained, migration_matrix
from plasticity_utils.errors import InputError
from plasticity_utils.neurons.inventory import (
    LEAST_SELECTIVITY,
    inventory,
    inventory_selectivity,
    thresholds,
)

N_WORDS, N_NEURONS = 1200, 40
ENTITY_NEURON, TWO_CONCEPTS, SHUFFLED = 3, 7, 11


@pytest.fixture(scope="module")
def labels():
    rng = np.random.default_rng(0)
    entity = rng.choice(
        ["O", "B-LOC", "I-PER", "B-PER", "B-ORG"], N_WORDS, p=[0.5, 0.2, 0.1, 0.1, 0.1]
    )
    pos = np.where(
        entity != "O", "NNP", rng.choice(["VB", "CD", "RARE"], N_WORDS, p=[0.6, 0.39, 0.01])
    )
    return entity, pos


@pytest.fixture(scope="module")
def concepts(labels):
    return inventory(*(column.tolist() for column in labels))


@pytest.fixture(scope="module", name="X")
def activations(labels):
    rng = np.random.default_rng(1)
    entity, pos = labels
    X = rng.normal(size=(N_WORDS, N_NEURONS))
    X[entity != "O", ENTITY_NEURON] += 4
    X[:, TWO_CONCEPTS] += 4 * (entity == "B-LOC") + 4 * (pos == "CD")
    X[:, SHUFFLED] = rng.permutation(X[:, TWO_CONCEPTS])
    return X


def test_the_inventory_holds_entity_types_and_frequent_parts_of_speech(concepts, labels):
    assert concepts.names == ("LOC", "ORG", "PER", "CD", "NNP", "VB")
    entity = labels[0] != "O"
    assert (concepts.among[:, :3] == entity[:, None]).all()
    assert concepts.among[:, 3:].all()
    assert concepts.members[:, 2].sum() == np.isin(labels[0], ["I-PER", "B-PER"]).sum()


def test_a_neuron_for_entities_is_not_one_for_every_entity_type(X, concepts):
    sigma = inventory_selectivity(X, concepts)
    assert np.abs(sigma[ENTITY_NEURON, :3]).max() < 0.2
    assert sigma[ENTITY_NEURON, concepts.names.index("NNP")] > 0.9


def test_a_planted_neuron_serves_two_concepts_and_its_shuffle_none(X, concepts):
    sigma, tau = inventory_selectivity(X, concepts), thresholds(X, concepts)
    table = neuron_polysemanticity(sigma, tau, d_model=20)
    serves = np.abs(sigma) > tau
    assert set(np.array(concepts.names)[serves[TWO_CONCEPTS]]) >= {"LOC", "CD"}
    assert table["n_concepts"][TWO_CONCEPTS] >= 2
    noise = np.setdiff1d(np.arange(N_NEURONS), [ENTITY_NEURON, TWO_CONCEPTS])
    assert (table["n_concepts"][noise] == 0).all()
    assert table.loc[21, ["layer", "unit"]].tolist() == [1, 1]


def test_the_threshold_rises_above_its_floor_where_words_are_few(X, concepts, labels):
    assert (thresholds(X, concepts) == LEAST_SELECTIVITY).all()
    few = inventory(*(column[:40].tolist() for column in labels))
    assert (thresholds(X[:40], few)[:3] > LEAST_SELECTIVITY).all()


def test_entropy_is_nothing_for_one_concept_and_one_for_all_alike():
    sigma = np.array([[0, -0.8, 0], [0.5, -0.5, 0.5], [0, 0, 0]])
    entropy = neuron_polysemanticity(sigma, np.full(3, 0.4), 3)["entropy"]
    assert entropy[:2].tolist() == pytest.approx([0, 1])
    assert np.isnan(entropy[2])


def test_change_is_that_of_kept_neurons_beyond_none():
    def stage(counts):
        table = pd.DataFrame({"layer": [0, 0, 1, 1], "unit": [0, 1, 0, 1], "n_concepts": counts})
        return table.assign(entropy=0.5)

    kept = np.array([True, False, True, True])
    base, end, none = stage([1, 1, 0, 0]), stage([3, 9, 0, 2]), stage([2, 1, 0, 0])
    table = change_beyond_none(base, end, none, kept).set_index(["quantity", "layer"])
    assert table.loc[("n_concepts", 0), "beyond_none"] == 1
    assert table.loc[("n_concepts", 1), "beyond_none"] == 1
    assert table["n_neurons"].tolist() == [1, 2, 1, 2]
    assert (table.loc["entropy", "change"] == 0).all()


def test_the_strongest_concept_is_furthest_above_its_own_threshold():
    sigma = np.array([[0.6, -0.9], [0.5, 0.6], [0.1, 0.2]])
    names = strongest_concept(sigma, np.array([0.4, 0.8]), ["PER", "ORG"])
    assert names.tolist() == ["PER", "PER", "nothing"]


def blocks(rng):
    """Six concepts in three pairs of like ones."""
    similarity = 0.1 * rng.random((6, 6)) + np.kron(np.eye(3), np.full((2, 2), 0.7))
    return (similarity + similarity.T) / 2


def test_like_concepts_share_neurons_where_it_was_planted_and_not_by_chance():
    rng = np.random.default_rng(3)
    pairs = np.repeat(np.kron(np.eye(3), np.ones((1, 2))).astype(bool), 10, axis=0)
    planted = similarity_of_sharers(pairs, blocks(rng))
    assert planted["difference"] > 0.4
    # Of the 720 orders of six concepts, 48 keep three pairs together.
    assert planted["p"] == pytest.approx(2 * 48 / 720, abs=0.01)
    chance = similarity_of_sharers(rng.random((300, 6)) < 0.4, blocks(rng))
    assert abs(chance["difference"]) < 0.05
    assert chance["p"] > 0.1


def test_sharing_needs_a_neuron_with_two_concepts():
    with pytest.raises(InputError, match="no neuron serves two concepts"):
        similarity_of_sharers(np.eye(4, dtype=bool), np.eye(4))


@pytest.fixture
def population():
    """Three layers of 100 neurons; PER is frequent only in the last."""
    rng = np.random.default_rng(4)
    layers = np.repeat([0, 1, 2], 100)
    shares = [[0.1, 0.1, 0.8], [0.1, 0.2, 0.7], [0.7, 0.1, 0.2]]
    roles = np.concatenate([rng.choice(["PER", "ORG", "nothing"], 100, p=p) for p in shares])
    return roles, layers, np.ones(300, dtype=bool), rng


def test_neurons_that_truly_migrate_are_found(population):
    roles, layers, kept, rng = population
    gains = 0.1 * rng.random((300, 1)) + 0.4 * ((roles == "ORG") & (layers == 1))[:, None]
    table = migration_matrix(gains, ["LOC"], roles, layers, kept).set_index("role")
    assert table["share"].sum() == pytest.approx(1)
    assert table["expected"].sum() == pytest.approx(1)
    assert table.loc["ORG", "share"] > 2 * table.loc["ORG", "expected"]
    assert table.loc["ORG", "p_adjusted"] < 0.01
    assert (table["p_adjusted"] >= table["p"]).all()


def test_a_gain_of_one_layer_alone_is_no_migration(population):
    roles, layers, kept, rng = population
    # All gain is in the layer of PER neurons, whoever they are.
    gains = rng.random((300, 1)) * (layers == 2)[:, None]
    table = migration_matrix(gains, ["LOC"], roles, layers, kept).set_index("role")
    of_layer = (roles[layers == 2] == "PER").mean()
    assert table.loc["PER", "expected"] == pytest.approx(of_layer)
    assert abs(table.loc["PER", "difference"]) < 0.08
    assert (table["p_adjusted"] > 0.05).all()


def test_removed_neurons_do_not_count(population):
    roles, layers, kept, rng = population
    kept = kept & (roles != "ORG")
    gains = rng.random((300, 2)) + 5 * (roles == "ORG")[:, None]
    table = migration_matrix(gains, ["LOC", "MISC"], roles, layers, kept, n_permutations=99)
    assert set(table["role"]) == {"PER", "nothing"}
    assert table.groupby("target")["n_neurons"].sum().tolist() == [kept.sum()] * 2
    with pytest.raises(InputError, match="for MISC"):
        migration_matrix(gains * [1, 0], ["LOC", "MISC"], roles, layers, kept)


def test_gains_are_rises_of_size_beyond_none():
    base, end, none = np.array([[0.2, -0.1]]), np.array([[0.1, -0.6]]), np.array([[0.0, 0.5]])
    assert gained(base, end)[0].tolist() == pytest.approx([0, 0.5])
    assert gained(base, end, none)[0].tolist() == pytest.approx([0.1, 0.1])
