"""Every function that takes neurons, words or labels reads them by one rule, or refuses them."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import plasticity_utils as pu
from plasticity_utils.errors import InputError
from plasticity_utils.neurons.inputs import (
    as_activations,
    as_flat_ids,
    as_members,
    as_pairs,
    check_layers,
)

LAYERS, WIDTH = 3, 4
N = LAYERS * WIDTH


pytestmark = pytest.mark.usefixtures("as_for_users")


def spellings(pairs):
    """The same neurons in every way in which they may be given."""
    ids = [layer * WIDTH + unit for layer, unit in pairs]
    yield from (pairs, [list(pair) for pair in pairs], np.array(pairs), iter(pairs))
    yield from (pd.DataFrame(pairs, columns=["layer", "unit"]), torch.tensor(pairs))
    yield pd.DataFrame(pairs, columns=["layer", "unit"]).assign(score=0.5)[
        ["score", "unit", "layer"]
    ]
    yield from (ids, np.array(ids, dtype=np.uint8), pd.Series(ids, index=ids[::-1]), iter(ids))


@given(st.lists(st.integers(0, N - 1), min_size=1, max_size=N, unique=True))
@settings(deadline=None, max_examples=60)
def test_neurons_are_the_same_in_every_spelling(ids):
    pairs = [divmod(neuron, WIDTH) for neuron in ids]
    for given_as in spellings(pairs):
        assert as_flat_ids(given_as, N, LAYERS).tolist() == ids
    assert as_pairs(ids, LAYERS, WIDTH).tolist() == [list(pair) for pair in pairs]
    mask = np.isin(np.arange(N), ids)
    for given_as in (
        mask,
        mask.tolist(),
        pd.Series(mask),
        torch.tensor(mask),
        set(ids),
        set(pairs),
    ):
        assert as_flat_ids(given_as, N, LAYERS).tolist() == sorted(ids)


@pytest.mark.parametrize("empty", [[], (), np.zeros((0, 2)), pd.Series([], dtype=float), set()])
def test_no_neurons_are_no_neurons(empty):
    assert as_flat_ids(empty, N).tolist() == []
    assert as_pairs(empty, LAYERS, WIDTH).shape == (0, 2)


@pytest.mark.parametrize(
    ("neurons", "message"),
    [
        ((1, 2), r"one \(layer, unit\) pair or two flat ids; write \[\(1, 2\)\]"),
        ([1.7], "float64"),
        ([1.0, 2.0], "float64"),
        ([None, 3], "object"),
        ([1, np.nan], "float64"),
        (np.array([[1, 2, 3]]), r"shape \(1, 3\)"),
        ([(1, 2), 3], "no array of one shape"),
        ([True, False], "a mask of 2 values for 12 neurons"),
        (np.ones((LAYERS, WIDTH), bool), "bool of shape"),
        ("12", "not '12'"),
        (7, "not '7'"),
        (np.int64(7), r"shape \(\)"),
        (None, "not 'None'"),
        ({3: 4}, "mask, not"),
        ([12], "no neuron 12: flat ids run from 0 to 11"),
        ([-1], "no neuron -1"),
        ([(3, 0)], r"\(3, 0\) does not exist; layers run from 0 to 2"),
        ([(0, 4)], r"\(0, 4\) does not exist"),
        (["LOC"], "mask, not"),
    ],
)
def test_what_names_no_neurons_is_refused(neurons, message):
    with pytest.raises(InputError, match=message):
        as_flat_ids(neurons, N, LAYERS)


def test_pairs_without_the_number_of_layers_are_no_flat_ids():
    X = np.random.default_rng(0).normal(size=(60, N))
    words = [f"w{row % 7}" for row in range(60)]
    with pytest.raises(InputError, match="these need n_layers"):
        pu.highest_activating_words(X, words, [(1, 2), (2, 3)], 1)
    found = pu.highest_activating_words(X, words, [(1, 2), (2, 3)], 1, n_layers=LAYERS)
    assert found["neuron"].unique().tolist() == [6, 11]


@pytest.mark.usefixtures("as_for_users")
@pytest.mark.parametrize("neurons", [[(1, 2)], [6]])
@pytest.mark.parametrize("n_layers", [0, -3, 5, 3.0, "3", True])
def test_a_number_of_layers_that_there_cannot_be_is_told(neurons, n_layers):
    X = np.random.default_rng(0).normal(size=(60, N))
    with pytest.raises(InputError, match=f"12 neurons cannot be cut into {n_layers!r} layers"):
        pu.highest_activating_words(X, ["a"] * 60, neurons, 1, n_layers=n_layers)


def test_a_profile_takes_what_a_removal_takes():
    order = np.arange(N)[::-1].copy()
    mask = np.isin(np.arange(N), [3, 7])
    expected = pu.removal_only_profile(order, [3, 7], LAYERS)
    for removed in (mask, [(0, 3), (1, 3)], {3, 7}, pd.Series([7, 3])):
        np.testing.assert_array_equal(pu.removal_only_profile(order, removed, LAYERS), expected)
    np.testing.assert_array_equal(pu.removal_only_profile(order.tolist(), [3, 7], LAYERS), expected)


@given(st.lists(st.booleans(), min_size=2, max_size=30))
@settings(deadline=None, max_examples=40)
def test_concept_words_are_the_same_in_every_spelling(flags):
    right = np.array(flags)
    whole = right.astype(int)
    for labels in (flags, whole, whole.tolist(), whole.astype(float), pd.Series(flags),
                   pd.Series(flags, dtype=object), pd.array(flags, dtype="boolean"),
                   torch.tensor(flags)):  # fmt: skip
        found = as_members(labels, len(flags))
        assert found.dtype == bool
        np.testing.assert_array_equal(found, right)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 2], "word 2 has 2; allowed: True and False"),
        (["LOC", "O", "O"], "word 0 has 'LOC'"),
        ([True, None, False], "word 1 has no value"),
        ([1.0, 0.0, np.nan], "word 2 has no value"),
        (pd.array([True, None, False], dtype="boolean"), "word 1 has no value"),
        ([True, False], r"shape \(2,\) do not match 3 rows"),
        ([[True], [False], [True]], r"shape \(3, 1\) do not match"),
        ("abc", r"shape \(\) do not match"),
        ([0.5, 0, 1], "word 0 has 0.5"),
    ],
)
def test_what_tells_no_concept_words_is_refused(labels, message):
    with pytest.raises(InputError, match=message):
        as_members(labels, 3)
    with pytest.raises(InputError, match=message):
        pu.rank_neurons(np.ones((3, N)), labels)


def test_rankings_are_the_same_of_lists_frames_and_integers():
    random = np.random.default_rng(0)
    X, inside = random.normal(size=(80, N)), np.arange(80) % 2 == 0
    expected = pu.rank_neurons(X, inside, "selectivity").order
    for like in (X.tolist(), pd.DataFrame(X), torch.tensor(X)):
        for labels in (inside.astype(int), inside.tolist()):
            np.testing.assert_array_equal(
                pu.rank_neurons(like, labels, "selectivity").order, expected
            )


@pytest.mark.parametrize("X", [np.ones(3), [["a"]], None, [[1, 2], [3]], np.ones((2, 2), bool)])
def test_what_holds_no_activations_is_refused(X):
    with pytest.raises(InputError, match="activations"):
        as_activations(X)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("Rome", "a sequence of words"),
        (None, "a sequence of words"),
        ([["Rome"], ["is"]], "word 0 is"),
        (["Rome", np.nan], "word 1 is 'nan'"),
        (["Rome"], "1 words for 2 rows"),
    ],
)
def test_what_are_no_words_is_refused(words, message):
    with pytest.raises(InputError, match=message):
        pu.highest_activating_words(np.eye(2), words, [0], 1)


def test_the_best_neurons_are_pairs_by_number_or_share():
    scores = np.arange(N, dtype=float)
    X = np.vstack([np.zeros(N), scores] * 20)
    ranking = pu.rank_neurons(X, [False, True] * 20, n_layers=LAYERS)
    assert ranking.top(2).tolist() == [[2, 3], [2, 2]]
    assert ranking.top(0.25).tolist() == [[2, 3], [2, 2], [2, 1]]
    assert ranking.top(0.001).tolist() == [[2, 3]]
    assert len(ranking.top(1.0)) == N
    assert len(ranking.top(np.int64(1))) == 1
    for wrong in (0, -1, 13, 1.5, 0.0, True, "all", float("nan")):
        with pytest.raises(InputError, match="a number of neurons from 1 to 12"):
            ranking.top(wrong)
    with pytest.raises(InputError, match="needs n_layers"):
        pu.rank_neurons(X, [False, True] * 20).top(2)
    with pytest.raises(InputError, match=r"give its best: ranking\.top"):
        as_flat_ids(ranking, N)
    with pytest.raises(InputError, match="cannot be cut into 5 layers"):
        pu.rank_neurons(X, [False, True] * 20, n_layers=5)


def test_what_is_large_is_no_more_than_begun_in_a_message():
    with pytest.raises(InputError, match=r"cannot be cut into array\(.*…") as found:
        check_layers(np.zeros((9, 9, 9), dtype=complex), 12)
    assert len(str(found.value)) < 200


def test_a_concept_of_few_words_is_ranked_with_a_warning():
    X = np.random.default_rng(0).normal(size=(60, N))
    inside = np.arange(60) < 5
    with pytest.warns(UserWarning, match="5 of 60 words are of the concept, fewer than 20"):
        pu.rank_neurons(X, inside)
    with pytest.warns(UserWarning, match="5 of 60 words are outside the concept"):
        pu.rank_neurons(X, ~inside)


@pytest.mark.parametrize("n_layers", [2.0, True, 0, -1, 7])
def test_what_is_no_number_of_layers_is_refused(n_layers):
    X, flags = np.random.default_rng(0).normal(size=(60, 12)), np.arange(60) % 2 == 0
    with pytest.raises(InputError, match=f"12 neurons cannot be cut into {n_layers!r} layers"):
        check_layers(n_layers, X.shape[1])
    assert pu.rank_neurons(X, flags, n_layers=3).top(3).dtype.kind == "i"


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (
            lambda X, _: X[0, :3],
            r"gives float64 of shape \(3,\); needed: a number for each of the 12",
        ),
        (lambda X, _: None, r"gives object of shape \(\)"),
        (lambda X, _: X[0] * np.nan, "gives no neuron a finite score"),
    ],
)
def test_a_ranking_of_ones_own_scores_every_neuron_or_is_refused(scores, message):
    X, flags = np.random.default_rng(0).normal(size=(60, N)), np.arange(60) % 2 == 0
    pu.rankings.register("mine", scores)
    try:
        with pytest.raises(InputError, match=f"ranking 'mine' {message}"):
            pu.rank_neurons(X, flags, "mine")
    finally:
        pu.rankings.unregister("mine")


def test_a_ranking_may_score_with_whole_numbers_without_a_sign():
    X, flags = np.random.default_rng(0).normal(size=(60, N)), np.arange(60) % 2 == 0
    pu.rankings.register("mine", lambda X, _: np.arange(N, dtype=np.uint8))
    try:
        assert pu.rank_neurons(X, flags, "mine").order.tolist() == list(range(N))[::-1]
    finally:
        pu.rankings.unregister("mine")
    with pytest.raises(InputError, match="ranking must be a name, not 5"):
        pu.rankings.register(5, lambda X, _: X[0])


def test_masked_values_are_not_read_as_if_they_were_none():
    X, flags = np.random.default_rng(0).normal(size=(60, N)), np.arange(60) % 2 == 0
    with pytest.raises(InputError, match="activations have masked values; fill them, or leave"):
        pu.rank_neurons(np.ma.masked_array(X, mask=X > 2), flags)
    with pytest.raises(InputError, match="concept words have masked values"):
        pu.rank_neurons(X, np.ma.masked_array(flags, mask=np.arange(60) == 3))
    order = pu.rank_neurons(X, flags).order.tolist()
    assert pu.rank_neurons(np.ma.masked_array(X, mask=False), flags).order.tolist() == order


@pytest.fixture
def model_and_corpus(tiny_folder, tmp_path):
    (tmp_path / "some.txt").write_text("london B-LOC\ncalls O\n")
    loaded = pu.load_model(tiny_folder, labels=["O", "B-LOC", "I-LOC"], device="cpu")
    return *loaded, pu.load_corpus(tmp_path / "some.txt")


def test_a_corpus_of_no_sentences_or_without_such_a_column_is_told(model_and_corpus):
    model, tokenizer, corpus = model_and_corpus
    for act in (pu.score, pu.train):
        with pytest.raises(InputError, match=r"some\.txt has no sentences here; at least one is"):
            act(model, tokenizer, corpus.first(0))
    for act in (corpus.word_labels, corpus.types):
        with pytest.raises(InputError, match="unknown label column 'pos'; allowed: entity"):
            act("pos")
    with pytest.raises(InputError, match=r"label must be a text, such as LOC, not \['LOC'\]"):
        pu.concept_words(corpus, ["LOC"])


@pytest.mark.parametrize("seed", [1.5, None, -1, "0", True])
def test_a_model_is_drawn_with_a_whole_seed(seed, tiny_folder):
    with pytest.raises(InputError, match="seed must be a whole number of at least 0, not"):
        pu.load_model(tiny_folder, labels=["O"], seed=seed)
