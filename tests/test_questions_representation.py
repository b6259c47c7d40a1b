import numpy as np
import pytest
from scipy.stats import ortho_group

from plasticity_utils.analysis.representation import layer_cka, linear_cka, probe_transfer
from plasticity_utils.errors import InputError

N_WORDS, WIDTH = 400, 12


@pytest.fixture
def is_concept():
    return np.arange(N_WORDS) % 4 == 0


@pytest.fixture
def fits():
    return np.random.default_rng(5).random(N_WORDS) < 0.5


@pytest.fixture
def base(is_concept):
    X = np.random.default_rng(0).normal(size=(N_WORDS, WIDTH)) * np.linspace(1, 3, WIDTH)
    X[is_concept, 0] += 5
    return X


def rotated(X):
    return X @ ortho_group.rvs(WIDTH, random_state=1) + 3


def unrelated():
    return np.random.default_rng(9).normal(size=(N_WORDS, WIDTH))


def test_cka_of_a_rotation_is_one_and_of_unrelated_words_is_near_nothing(base):
    for debiased in (False, True):
        assert linear_cka(base, 2 * rotated(base), debiased) == pytest.approx(1)
    assert abs(linear_cka(base, unrelated(), debiased=True)) < 0.05


def test_only_the_debiased_cka_withstands_few_words_and_many_units():
    rng = np.random.default_rng(2)
    pairs = [rng.normal(size=(2, 30, 300)) for _ in range(10)]
    plain, debiased = (
        np.mean([linear_cka(X, Y, debiased=which) for X, Y in pairs]) for which in (False, True)
    )
    assert plain > 0.8
    assert abs(debiased) < 0.05


def test_cka_is_taken_layer_by_layer(base):
    table = layer_cka(np.hstack([base, base]), np.hstack([rotated(base), unrelated()]), WIDTH)
    assert table["layer"].tolist() == [0, 1]
    assert table["cka"][0] == pytest.approx(1)
    assert table["cka"][1] < 0.2
    assert table["n_words"].tolist() == [N_WORDS, N_WORDS]


def test_a_probe_transfers_to_a_rotation_only_once_it_is_aligned(base, is_concept, fits):
    table = probe_transfer(base, rotated(base), is_concept, fits, WIDTH).set_index("alignment")
    accuracy = table["balanced_accuracy"]
    assert accuracy["base"] > 0.95
    assert accuracy["procrustes"] == pytest.approx(accuracy["base"], abs=0.02)
    assert accuracy["none"] < 0.75
    assert accuracy["shuffled"] < 0.75
    assert (table["n_words"] == (~fits).sum()).all()


def test_no_alignment_helps_where_nothing_is_shared(base, is_concept, fits):
    table = probe_transfer(base, unrelated(), is_concept, fits, WIDTH).set_index("alignment")
    assert table.loc["procrustes", "balanced_accuracy"] < 0.65


def test_a_probe_transfers_as_it_is_to_the_same_directions(base, is_concept, fits):
    noisy = base + 0.1 * unrelated()
    table = probe_transfer(base, noisy, is_concept, fits, WIDTH).set_index("alignment")
    assert table.loc["none", "word_f1"] > 0.9


def test_unusable_words_are_named(base, is_concept, fits):
    with pytest.raises(InputError, match="the same number, at least 4"):
        linear_cka(base, base[:-1])
    with pytest.raises(InputError, match="words that fit must lie"):
        probe_transfer(base, base, is_concept, ~is_concept, WIDTH)
    with pytest.raises(InputError, match="the same words and neurons"):
        layer_cka(base, base[:, :-1], WIDTH)
