import numpy as np
import pytest
import torch
from neurox.interpretation import linear_probe
from scipy.stats import norm
from sklearn.metrics import average_precision_score

from plasticity_utils.errors import InputError
from plasticity_utils.neurons import other_rankings
from plasticity_utils.neurons.other_rankings import (
    gaussian_scores,
    iou_scores,
    mean_select_scores,
    probe_scores,
    train_probe,
)
from plasticity_utils.neurons.scores import rank_neurons

PLANTED, CONSTANT = 17, 5


BASELINES = [mean_select_scores, iou_scores, gaussian_scores]


def planted_words():
    """One neuron fires on the concept, one never varies, one is wide and means nothing."""
    random = np.random.default_rng(0)
    is_concept = random.random(400) < 0.2
    X = random.normal(size=(400, 40)).astype(np.float32)
    X[:, 9] *= 100
    X[is_concept, PLANTED] += 4
    X[:, CONSTANT] = 0.1
    return X, is_concept


@pytest.mark.parametrize("method", ["probe", "mean-select", "iou", "gaussian"])
def test_a_planted_neuron_is_ranked_first_and_a_constant_one_last(method):
    X, is_concept = planted_words()
    ranking = rank_neurons(X, is_concept, method=method)
    assert ranking.order[0] == PLANTED
    assert ranking.order[-1] == CONSTANT
    assert np.isfinite(ranking.scores).all()


@pytest.mark.slow
@pytest.mark.parametrize(("l1", "l2"), [(0.01, 0.0), (0.0, 0.01), (0.01, 0.01)])
def test_lasso_ridge_and_elastic_net_find_the_planted_neuron(l1, l2):
    X, is_concept = planted_words()
    scores = probe_scores(X, is_concept, l1=l1, l2=l2)
    assert np.argmax(scores) == PLANTED
    assert scores[CONSTANT] == 0


@pytest.mark.slow
def test_l1_shrinks_useless_neurons_more_than_no_penalty():
    X, is_concept = planted_words()
    lasso = probe_scores(X, is_concept, l1=0.05, l2=0.0)
    free = probe_scores(X, is_concept, l1=0.0, l2=0.0)
    useless = np.arange(X.shape[1]) != PLANTED
    assert np.median(lasso[useless]) < 0.5 * np.median(free[useless])


@pytest.mark.slow
def test_decreasing_score_is_neuroxs_order_for_the_concept():
    X, is_concept = planted_words()
    X = np.delete(X, CONSTANT, axis=1)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    probe = train_probe(X, is_concept)
    order = np.argsort(-probe_scores(X, is_concept), kind="stable")
    _, everything = linear_probe.get_top_neurons(probe, 1.0, {"concept": 1})
    assert everything["concept"].tolist() == order[: len(everything["concept"])].tolist()
    ordering, cutoffs = linear_probe.get_neuron_ordering(probe, {"concept": 1})
    for cutoff in set(cutoffs):
        assert set(ordering[:cutoff]) == set(order[:cutoff])


def test_the_probe_depends_on_the_seed_and_on_nothing_else():
    X, is_concept = planted_words()
    torch.manual_seed(1)
    first = probe_scores(X, is_concept, epochs=2, seed=3)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    numpy_state = np.random.get_state()[1].copy()
    again = probe_scores(X, is_concept, epochs=2, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, probe_scores(X, is_concept, epochs=2, seed=4))


def test_the_input_is_left_as_it_was():
    X, is_concept = planted_words()
    before = X.copy()
    for scores in [probe_scores, *BASELINES]:
        scores(X, is_concept)
    np.testing.assert_array_equal(X, before)


def test_the_probe_says_nothing(capfd):
    X, is_concept = planted_words()
    probe_scores(X, is_concept, epochs=1)
    assert capfd.readouterr() == ("", "")


def test_mean_select_by_hand():
    X = np.array([[0.0, 1.0], [1.0, 1.0], [4.0, 1.0]], dtype=np.float32)
    scores = mean_select_scores(X, np.array([False, False, True]))
    np.testing.assert_allclose(scores, [3.5 / 4, 0])


def test_iou_is_average_precision_with_ties(monkeypatch):
    monkeypatch.setattr(other_rankings, "_BLOCK", 7)
    X, is_concept = planted_words()
    X[:, :10] = np.round(X[:, :10])
    scores = iou_scores(X, is_concept)
    for neuron in set(range(X.shape[1])) - {CONSTANT}:
        expected = average_precision_score(is_concept, X[:, neuron])
        assert scores[neuron] == pytest.approx(expected, abs=1e-12)


def test_iou_is_one_sided():
    X, is_concept = planted_words()
    assert iou_scores(-X, is_concept)[PLANTED] < 0.2 < 0.9 < iou_scores(X, is_concept)[PLANTED]


def test_the_gaussian_gain_by_hand_and_its_bound():
    X, is_concept = planted_words()
    scores = gaussian_scores(X, is_concept)
    x = X[:, PLANTED].astype(np.float64)
    joint = []
    for members in (~is_concept, is_concept):
        inside = x[members]
        variance = (((inside - inside.mean()) ** 2).sum() + x.var()) / (len(inside) + 1)
        joint.append(norm.pdf(x, inside.mean(), np.sqrt(variance)) * members.mean())
    own = np.where(is_concept, joint[1], joint[0]) / np.sum(joint, axis=0)
    share = is_concept.mean()
    entropy = -share * np.log(share) - (1 - share) * np.log(1 - share)
    assert scores[PLANTED] == pytest.approx(np.log(own).mean() + entropy)
    assert 0.5 * entropy < scores[PLANTED] < entropy
    assert abs(scores[9]) < 0.02


@pytest.mark.parametrize("scores", BASELINES)
def test_scores_are_free_of_scale_and_offset(scores):
    X, is_concept = planted_words()
    moved = (X.astype(np.float64) * 8 + 2).astype(np.float32)
    np.testing.assert_allclose(
        scores(moved, is_concept), scores(X, is_concept), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("scores", BASELINES)
def test_a_single_word_of_the_concept_and_only_constant_neurons_are_no_nan(scores):
    X, _ = planted_words()
    one = np.arange(len(X)) == 3
    assert np.isfinite(scores(X, one)).all()
    assert np.isfinite(scores(np.ones_like(X), one)).all()


@pytest.mark.parametrize("scores", [probe_scores, *BASELINES])
@pytest.mark.parametrize("flaw", ["none", "all", "nan", "shape"])
@pytest.mark.usefixtures("as_for_users")
def test_what_cannot_be_scored_is_named(scores, flaw):
    X, is_concept = planted_words()
    if flaw in ("none", "all"):
        is_concept = np.full(len(X), flaw == "all")
    elif flaw == "nan":
        X[3, 4] = np.nan
    else:
        is_concept = np.append(is_concept, True)
    with pytest.raises(InputError):
        scores(X, is_concept)


@pytest.mark.parametrize(
    "settings", [{"l1": -1.0}, {"l2": float("nan")}, {"epochs": 0}, {"seed": -1}]
)
def test_impossible_settings_are_named(settings):
    X, is_concept = planted_words()
    with pytest.raises(InputError, match=next(iter(settings))):
        probe_scores(X, is_concept, **settings)
