"""The probes of many concepts are scikit-learn's discriminant with scikit-learn's shrinkage."""

import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.preprocessing import StandardScaler

from plasticity_utils.errors import InputError
from plasticity_utils.neurons.probes import fit_discriminants

SHARES = np.array([0.07, 0.3, 0.02])


@pytest.fixture
def words() -> tuple[np.ndarray, np.ndarray]:
    """Correlated units of very unlike width, and three concepts that shift some of them."""
    rng = np.random.default_rng(5)
    concepts = rng.random((900, 3)) < SHARES
    X = rng.standard_normal((900, 40)) @ rng.standard_normal((40, 40))
    X[:, :6] += concepts @ rng.normal(0, 8, (3, 6))
    return (X * rng.uniform(0.01, 30, 40) + rng.normal(0, 5, 40)).astype(np.float32), concepts


def of_sklearn(
    X: np.ndarray, inside: np.ndarray
) -> tuple[LinearDiscriminantAnalysis, StandardScaler]:
    scaler = StandardScaler().fit(X)
    scaled = scaler.transform(X)
    probe = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=ledoit_wolf(scaled)[1])
    return probe.fit(scaled, inside), scaler


def test_probes_are_those_of_scikit_learn(words):
    X, concepts = words
    found = fit_discriminants(X, concepts)
    for column, inside in enumerate(concepts.T):
        probe, scaler = of_sklearn(X.astype(np.float64), inside)
        weights = probe.coef_[0] / scaler.scale_
        bias = probe.intercept_[0] - weights @ scaler.mean_
        assert found.weights[:, column] == pytest.approx(weights, rel=1e-3, abs=1e-5)
        assert found.biases[column] == pytest.approx(bias, rel=1e-3)
        predicted = found.predict(X)[:, column]
        assert predicted[inside].mean() > 0.1
        same = predicted == probe.predict(scaler.transform(X))
        assert same.mean() > 0.998


def test_a_unit_that_does_not_vary_has_no_weight(words):
    X, concepts = words
    X[:, 3], X[:, 4] = 0.1, 0.0
    X[:, 5] = np.where(np.arange(900) % 2, np.float32(0.1), np.nextafter(np.float32(0.1), 1))
    found = fit_discriminants(X, concepts)
    assert (found.weights[3:6] == 0).all()
    assert (found.weights[6:] != 0).all()


def test_a_layer_of_which_nothing_is_left_reads_every_word_as_the_many(words):
    _, concepts = words
    found = fit_discriminants(np.full((900, 7), 2.5, dtype=np.float32), concepts)
    assert not found.weights.any()
    assert not found.predict(np.ones((5, 7))).any()


def test_words_of_one_kind_and_broken_activations_are_refused(words):
    X, concepts = words
    concepts[:, 1] = True
    with pytest.raises(InputError, match="900 of 900 words are of the concept"):
        fit_discriminants(X, concepts)
    X[4, 7] = np.nan
    with pytest.raises(InputError, match="not finite, the first of them flat id 7"):
        fit_discriminants(X, concepts[:, [0]])


def test_a_unit_that_tells_all_by_itself_is_read():
    inside = np.arange(40) % 2 == 0
    found = fit_discriminants(inside[:, None].astype(np.float32), inside[:, None])
    assert (found.predict(inside[:, None].astype(np.float32))[:, 0] == inside).all()
