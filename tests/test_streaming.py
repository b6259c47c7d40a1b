"""Streamed scores against the same scores of the whole matrix, and what they keep in memory."""

import tracemalloc
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest

from plasticity_utils.errors import InputError
from plasticity_utils.models.activations import ActivationStream, word_activations
from plasticity_utils.neurons.scores import deviations, probeless, selectivity
from plasticity_utils.neurons.streaming import (
    LEAST_BINS,
    StoredActivations,
    passes_needed,
    stream_scores,
    stream_top_words,
)
from plasticity_utils.neurons.words import highest_activating_words

WORDS = ["london", "calls", "berlin", "paris", "rain", "in", "the"]


@dataclass
class Counted:
    """Batches of a matrix, in a shuffled order, which count the passes over them."""

    X: np.ndarray
    rows_at_once: int = 100
    passes: int = 0
    order: np.ndarray = field(init=False)

    def __post_init__(self):
        self.order = np.random.default_rng(1).permutation(len(self.X))

    @property
    def shape(self):
        return self.X.shape

    def __iter__(self):
        self.passes += 1
        for start in range(0, len(self.X), self.rows_at_once):
            rows = self.order[start : start + self.rows_at_once]
            yield rows, self.X[rows]


def made_up(n_words=3000, n_neurons=30, n_concepts=3, seed=0):
    rng = np.random.default_rng(seed)
    concepts = rng.random((n_words, n_concepts)) < [0.02, 0.2, 0.5][:n_concepts]
    X = rng.standard_normal((n_words, n_neurons)) * rng.uniform(0.1, 50, n_neurons)
    X += rng.uniform(-500, 500, n_neurons) + concepts[:, :1] * rng.standard_normal(n_neurons)
    X[:, 3] = 7.25
    X[:, 4] = np.round(X[:, 4] / 40)  # a few values, all tied
    return X.astype(np.float32), concepts


def test_means_are_exact_and_selectivity_keeps_its_bound():
    X, concepts = made_up()
    batches = Counted(X)
    found = stream_scores(batches, concepts)
    assert batches.passes == 2
    exact = selectivity(X, concepts)
    assert (np.abs(found.selectivity - exact) <= found.selectivity_bound + 1e-12).all()
    assert found.selectivity_bound.max() < 0.35  # neuron 4 has a few values only
    assert np.delete(found.selectivity_bound, 4, axis=0).max() < 0.03
    for column in range(concepts.shape[1]):
        own = probeless(X, concepts[:, column])
        np.testing.assert_allclose(found.probeless[:, column], own, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.mean, X.mean(axis=0, dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(found.deviation, deviations(X), rtol=1e-6)
    assert not found.selectivity[3].any()
    assert not found.probeless[3].any()


def test_the_bound_is_reached_where_a_bin_hides_the_order():
    """All words of the concept lie just above the others, within one bin: σ = 1, shown 0."""
    X = np.repeat(np.linspace(0, 1, 2000, dtype=np.float32)[:, None], 2, axis=1)
    concepts = np.zeros((2000, 1), dtype=bool)
    concepts[1000:1001] = True
    found = stream_scores(Counted(X), concepts, max_bytes=2000)
    error = np.abs(found.selectivity - selectivity(X, concepts))
    assert (error <= found.selectivity_bound + 1e-12).all()
    assert found.selectivity_bound.max() > 1e-3


def test_more_memory_gives_a_tighter_bound():
    X, concepts = made_up()
    tight, loose = (stream_scores(Counted(X), concepts, b) for b in (2**20, 2**15))
    assert LEAST_BINS <= loose.n_bins < tight.n_bins
    assert tight.selectivity_bound.mean() < loose.selectivity_bound.mean()


def peak_of(call):
    call()  # what is imported and cached by a first call is not its memory
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_stays_under_the_cap_and_does_not_grow_with_words(tmp_path):
    max_bytes, n_neurons, rows = 2**20, 60, 256
    peaks = []
    for n_words in (4000, 16000):  # both more than the sample
        X, concepts = made_up(n_words, n_neurons)
        np.save(tmp_path / "X.npy", X)
        del X
        stored = StoredActivations(tmp_path / "X.npy", rows)
        peaks.append(peak_of(lambda s=stored, c=concepts: stream_scores(s, c, max_bytes)))
    batch = 4 * rows * n_neurons
    flags = 16000  # a byte a word says which are sampled, and eight draw the sample
    assert max(peaks) < max_bytes + 12 * batch + 10 * flags
    assert peaks[1] < peaks[0] + 10 * flags


def test_a_cap_that_is_too_small_says_what_is_needed():
    X, concepts = made_up()
    with pytest.raises(InputError, match="too little for 30 neurons and 3 concepts; at least") as e:
        stream_scores(Counted(X), concepts, 1000)
    needed = int(str(e.value).rsplit(" ", 1)[1].replace(",", ""))
    assert stream_scores(Counted(X), concepts, needed).n_bins == LEAST_BINS
    with pytest.raises(InputError, match="at least"):
        stream_scores(Counted(X), concepts, needed - 1)


def test_bad_input_is_named():
    X, concepts = made_up()
    with pytest.raises(InputError, match="concepts of shape"):
        stream_scores(Counted(X), concepts[1:])
    with pytest.raises(InputError, match="concept 1: 0 of 3000"):
        stream_scores(Counted(X), concepts & [True, False, True])
    broken = X.copy()
    broken[5, 7] = np.nan
    with pytest.raises(InputError, match="neuron 7"):
        stream_scores(Counted(broken), concepts)


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("max_bytes", [2**28, 5000])
def test_top_words_are_those_of_the_whole_matrix(signed, max_bytes):
    X, _ = made_up(1200, 20)
    words = [f"w{i}" for i in np.random.default_rng(2).zipf(1.5, len(X)) % 80]
    batches = Counted(X)
    found = stream_top_words(batches, words, 5, signed, max_bytes=max_bytes)
    exact = highest_activating_words(X, words, range(X.shape[1]), 5, signed)
    pd.testing.assert_frame_equal(found, exact, rtol=1e-6)
    assert batches.passes == passes_needed(words, 20, signed, max_bytes=max_bytes)
    assert (batches.passes > 2) == (max_bytes == 5000)


def test_top_words_memory_grows_with_types_and_not_with_words(tmp_path):
    n_neurons, n_types, peaks = 100, 50, []
    for n_words in (2000, 16000):
        X, _ = made_up(n_words, n_neurons)
        np.save(tmp_path / "X.npy", X)
        words = [f"w{i % n_types}" for i in range(n_words)]
        stored = StoredActivations(tmp_path / "X.npy", 64)
        peaks.append(peak_of(lambda s=stored, w=words: stream_top_words(s, w, 3)))
    assert peaks[1] - peaks[0] < 16000 * 8 * 4  # a few numbers a word, none of them by neuron


def test_a_cap_under_one_neuron_is_an_error():
    X, _ = made_up(50, 5)
    with pytest.raises(InputError, match="at least 80"):
        stream_top_words(Counted(X), [f"w{i % 10}" for i in range(50)], 3, max_bytes=79)


def test_a_model_is_scored_without_its_matrix(tiny_model, tiny_tokenizer, tmp_path):
    sentences = [["london", "calls"], ["rain", "in", "paris"], ["the", "berlin", "rain"]] * 5
    model, tokenizer = tiny_model("bert"), tiny_tokenizer(WORDS)
    X = word_activations(model, tokenizer, sentences, batch_tokens=20)
    out = tmp_path / "X.npy"
    written = word_activations(model, tokenizer, sentences, batch_tokens=20, out=out)
    assert np.array_equal(written, X)
    assert [path.name for path in tmp_path.iterdir()] == ["X.npy"]
    is_place = np.array([w in ("london", "paris", "berlin") for s in sentences for w in s])[:, None]
    exact = selectivity(X, is_place)
    for batches in (ActivationStream(model, tokenizer, sentences, 20), StoredActivations(out, 4)):
        found = stream_scores(batches, is_place)
        assert (np.abs(found.selectivity - exact) <= found.selectivity_bound + 1e-12).all()


def test_writing_needs_a_place(tiny_model, tiny_tokenizer, tmp_path):
    model, tokenizer = tiny_model("bert"), tiny_tokenizer(WORDS)
    for name in ("X.txt", "nowhere/X.npy"):
        with pytest.raises(InputError, match="must be a file"):
            word_activations(model, tokenizer, [["london"]], out=tmp_path / name)


def test_writing_keeps_no_more_than_a_batch(tiny_model, tiny_tokenizer, tmp_path):
    model, tokenizer = tiny_model("bert"), tiny_tokenizer(WORDS)
    peaks = []
    for n in (20, 200):
        own = [["rain", "in", "the"]] * n
        path = tmp_path / "X.npy"
        call = lambda s=own, p=path: word_activations(model, tokenizer, s, 64, p)  # noqa: E731
        peaks.append(peak_of(call))
        whole = peak_of(lambda s=own: word_activations(model, tokenizer, s, 64))
    assert whole > 3 * 200 * 64 * 4
    assert peaks[1] - peaks[0] < whole / 2


def test_a_file_of_another_kind_is_refused(tmp_path):
    np.save(tmp_path / "X.npy", np.zeros((3, 2)))
    with pytest.raises(InputError, match="no float32 matrix"):
        _ = StoredActivations(tmp_path / "X.npy").shape
