import numpy as np
import pandas as pd
import pytest

from plasticity_utils.analysis.takeover import profile_similarity, regress_gain, words_similarity
from plasticity_utils.errors import InputError

N = 1500


def neurons(primed=0.0, persistence=0.0):
    """Similarity goes with base |σ|; |σ| falls back to its mean in both conditions."""
    rng = np.random.default_rng(0)
    layer = rng.integers(0, 7, N)
    base = 0.2 + 0.1 * rng.normal(size=N) + 0.01 * layer
    similarity = 3 * base + 0.2 * rng.normal(size=N)
    falls_back = -0.5 * (base - 0.2)
    gain_none = falls_back + 0.05 * rng.normal(size=N)
    gain = falls_back + primed * similarity + persistence * base + 0.05 * rng.normal(size=N)
    columns = {"gain": gain, "gain_none": gain_none, "similarity": similarity}
    return pd.DataFrame({**columns, "base": base, "layer": layer})


def effect(table, term, outcome="beyond_none"):
    return table.set_index(["outcome", "term"]).loc[(outcome, term)]


@pytest.mark.parametrize("errors", ["HC3", "layer"])
def test_truly_primed_neurons_are_found(errors):
    found = effect(regress_gain(neurons(primed=0.15), errors), "similarity")
    assert found["low"] > 0.2
    assert found["low"] < found["effect"] < found["high"]
    assert found["p"] < 0.001
    assert found["n_neurons"] == N


def test_persistence_is_not_taken_for_priming():
    data = neurons(persistence=0.6)
    # Alone, similarity would look like priming.
    assert np.corrcoef(data["similarity"], data["gain"] - data["gain_none"])[0, 1] > 0.4
    table = regress_gain(data)
    assert abs(effect(table, "similarity")["effect"]) < 0.1
    assert effect(table, "similarity")["p"] > 0.05
    assert effect(table, "base")["low"] > 0.4


def test_falling_back_to_the_mean_is_not_taken_for_anything():
    table = regress_gain(neurons())
    for term in ("similarity", "base"):
        assert abs(effect(table, term)["effect"]) < 0.1
    assert effect(table, "base", "gain_none")["high"] < -0.3


def test_unusable_tables_are_named():
    with pytest.raises(InputError, match="missing columns base"):
        regress_gain(neurons().drop(columns="base"))
    with pytest.raises(InputError, match="similarity does not vary"):
        regress_gain(neurons().assign(similarity=1.0))
    with pytest.raises(InputError, match="allowed: HC3, layer"):
        regress_gain(neurons(), "HC9")


def test_a_profile_is_near_that_of_the_neurons_that_serve_the_target():
    sigma = np.array([[0.9, -0.5, 0], [0.1, 0.5, 0], [0.1, 0, 0.5], [0, 0, 0]])
    assert profile_similarity(sigma, 0, 0.4).tolist() == pytest.approx([1, 1, 0, 0])
    with pytest.raises(InputError, match="no neuron"):
        profile_similarity(sigma, 0, 0.95)


def test_top_words_are_near_the_words_of_the_concept():
    words = ["Rome", "Paris", "ran", "walked"]
    vectors = pd.DataFrame([[2.0, 0], [1, 0], [0, 1], [0, 3]], index=words)
    near = words_similarity([["Paris"], ["ran", "walked"], ["Rome", "ran"], []], words[:2], vectors)
    assert near[:3].tolist() == pytest.approx([1, 0, 0.5])
    assert np.isnan(near[3])
