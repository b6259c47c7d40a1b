import numpy as np
import pytest

from plasticity_utils.analysis.polysemanticity import (
    feature_dimensionality,
    interference,
    layer_superposition,
)
from plasticity_utils.errors import InputError
from plasticity_utils.neurons.inventory import inventory

WIDTH = 8


def test_orthogonal_features_have_a_dimension_each():
    directions = np.diag([1.0, 3.0, 0.5])
    assert interference(directions) == 0
    assert feature_dimensionality(directions).tolist() == pytest.approx([1, 1, 1])


def test_antipodal_pairs_have_half_a_dimension_each():
    directions = np.vstack([np.eye(3), -np.eye(3)])
    assert feature_dimensionality(directions).tolist() == pytest.approx([0.5] * 6)
    assert interference(directions) == pytest.approx(3 / 15)


def test_a_pentagon_has_two_fifths_each():
    angles = 2 * np.pi * np.arange(5) / 5
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert feature_dimensionality(directions).tolist() == pytest.approx([0.4] * 5)


def test_random_directions_share_the_dimensions_there_are():
    directions = np.random.default_rng(0).normal(size=(200, 50))
    assert interference(directions) == pytest.approx(np.sqrt(2 / (np.pi * 50)), rel=0.05)
    assert feature_dimensionality(directions).mean() == pytest.approx(50 / 249, rel=0.05)


def test_a_direction_without_length_is_named():
    with pytest.raises(InputError, match="direction 1 has no length"):
        interference(np.array([[1.0, 0], [0, 0], [0, 1]]))
    with pytest.raises(InputError, match="at least two"):
        interference(np.ones((1, 3)))


@pytest.fixture
def concepts():
    rng = np.random.default_rng(2)
    entity = rng.choice(["B-LOC", "B-PER"], 3000)
    return inventory(entity.tolist(), rng.choice(["NN", "CD"], 3000).tolist())


def layer(concepts, crowded):
    """Entity types on unit 0; parts of speech on unit 1, or on unit 0 too."""
    X = np.random.default_rng(3).normal(size=(3000, WIDTH))
    X[:, 0] += 2 * concepts.members[:, 0]
    X[:, 0 if crowded else 1] += 2 * concepts.members[:, 2]
    # Unlike units, and one that was removed.
    X = X * np.geomspace(1, 100, WIDTH)
    X[:, -1] = 7
    return X


def test_crowded_concepts_interfere_more_than_those_apart(concepts):
    X = np.hstack([layer(concepts, crowded=False), layer(concepts, crowded=True)])
    table = layer_superposition(X, concepts, WIDTH)
    # LOC and PER are opposites, and so are the parts of speech: 2 of 6 pairs overlap in any case.
    assert table["interference"][0] == pytest.approx(2 / 6, abs=0.05)
    assert table["interference"][1] > 0.9
    assert table["dimensionality"].tolist() == pytest.approx([0.5, 0.25], abs=0.02)
    assert table["interference_shuffled"].max() < 0.75
