"""A part at a time: the numbers of the whole matrix, and what is in memory meanwhile."""

import tracemalloc

import numpy as np
import pytest

from plasticity_utils.data.corpus import Corpus
from plasticity_utils.errors import InputError
from plasticity_utils.experiment.measure import (
    WORDS_SHOWN,
    concept_columns,
    measure_layers,
    rank_stored,
)
from plasticity_utils.models import activations
from plasticity_utils.models.activations import stored_activations, word_activations
from plasticity_utils.neurons.probes import fit_discriminants
from plasticity_utils.neurons.scores import (
    deviations,
    effect_sizes,
    probeless,
    rank_neurons,
    selectivity,
)
from plasticity_utils.neurons.words import highest_activating_words
from plasticity_utils.registry import rankings

WORDS = ["london", "calls", "berlin", "paris", "rain", "in", "the", "smith", "acme", "dutch"]
TAGS = dict.fromkeys(("london", "berlin", "paris"), "B-LOC") | {
    "smith": "B-PER", "acme": "B-ORG", "dutch": "B-MISC"
}  # fmt: skip


def peak_of(work):
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def corpus_of(n_sentences, seed=0):
    rng = np.random.default_rng(seed)
    drawn = [rng.choice(WORDS, size=int(rng.integers(3, 9))).tolist() for _ in range(n_sentences)]
    tags = [[TAGS.get(word, "O") for word in sentence] for sentence in drawn]
    return Corpus("made up", drawn, {"entity": tags})


@pytest.fixture
def model_and_tokenizer(tiny_model, tiny_tokenizer):
    return tiny_model("bert"), tiny_tokenizer(WORDS)


@pytest.fixture
def read_in_parts(monkeypatch):
    """So few values at once that some dozens of sentences are read in several parts."""
    monkeypatch.setattr(activations, "VALUES_READ", 2**11)
    monkeypatch.setattr(activations, "WORDS_TOGETHER", 32)


def test_parts_are_those_of_the_whole_matrix(model_and_tokenizer, tmp_path, read_in_parts):
    corpus = corpus_of(60)
    X = word_activations(*model_and_tokenizer, corpus.sentences)
    with stored_activations(*model_and_tokenizer, corpus.sentences, tmp_path) as stored:
        by_neurons, last = list(stored.by_neurons()), stored.units(stored.n_layers - 1)
        by_words = list(stored.by_words(stored.n_layers - 1))
    assert min(len(by_neurons), len(by_words)) > 2
    assert all(part.size <= 2**11 for part in by_words)
    for ids, part in by_neurons:
        assert part.size <= 2**11
        assert np.array_equal(part, X[:, ids])
    assert np.concatenate([part for _, part in by_neurons], axis=1).shape == X.shape
    assert np.array_equal(np.concatenate(by_words), X[:, last])
    assert not list(tmp_path.iterdir())


def test_what_is_measured_in_parts_is_what_the_matrix_gives(model_and_tokenizer, read_in_parts):
    measuring, ranking = corpus_of(60), corpus_of(50, seed=1)
    tables = measure_layers(*model_and_tokenizer, measuring, ranking)
    X = word_activations(*model_and_tokenizer, measuring.sentences)
    X_fit = word_activations(*model_and_tokenizer, ranking.sentences)
    inside, found = concept_columns(measuring), tables["neurons"]
    assert np.array_equal(found["selectivity_LOC"], selectivity(X, inside)[:, 0].astype(np.float32))
    assert np.array_equal(found["probeless_LOC"], probeless(X, inside[:, 0]).astype(np.float32))
    effect = effect_sizes(X, inside[:, 0], deviations(X)).astype(np.float32)
    assert np.array_equal(found["effect_LOC"], effect)
    assert np.array_equal(found["deviation"], deviations(X).astype(np.float32))
    picking = selectivity(X_fit, concept_columns(ranking))[:, 0].astype(np.float32)
    assert np.array_equal(found["ranking_selectivity_LOC"], picking)
    listed = highest_activating_words(X, measuring.words, range(X.shape[1]), WORDS_SHOWN)
    last = X.shape[1] - 1
    own = listed[(listed["neuron"] == last) & (listed["end"] == "positive")]["word"]
    assert found["words"].iloc[last] == " · ".join(own)
    layer, d_model = 1, int(found["unit"].max()) + 1
    units = slice(layer * d_model, (layer + 1) * d_model)
    probe = fit_discriminants(X_fit[:, units], concept_columns(ranking)).predict(X[:, units])
    truth, read = inside[:, 0], probe[:, 0]
    row = tables["layers"].set_index(["layer", "entity"]).loc[(layer, "LOC")]
    assert row["word_recall"] == pytest.approx((truth & read).sum() / truth.sum())


@pytest.mark.parametrize("method", [name for name in rankings.own if name != "probe"])
def test_a_ranking_in_parts_is_that_of_all_neurons(model_and_tokenizer, read_in_parts, method):
    corpus = corpus_of(60)
    X, inside = word_activations(*model_and_tokenizer, corpus.sentences), concept_columns(corpus)
    whole = rank_neurons(X, inside[:, 0], method)
    with stored_activations(*model_and_tokenizer, corpus.sentences) as stored:
        found = rank_stored(stored, inside[:, 0], method)
    assert np.array_equal(found.order, whole.order)
    assert np.array_equal(found.scores, whole.scores)


def test_what_is_measured_does_not_fill_the_memory(tiny_model, tiny_tokenizer, monkeypatch):
    monkeypatch.setattr(activations, "VALUES_READ", 2**16)
    model, tokenizer = tiny_model("bert", hidden_size=128), tiny_tokenizer(WORDS)
    parts = [corpus_of(n) for n in (300, 1200)]
    small, large = (
        peak_of(lambda c=corpus: measure_layers(model, tokenizer, c, c)) for corpus in parts
    )
    added = parts[1].n_words - parts[0].n_words
    # A word's tokens, labels and row numbers stay; one layer of its activations takes more.
    assert large - small < 4 * 128 * added


def test_writing_needs_a_place(model_and_tokenizer, tmp_path):
    for name in ("X.txt", "nowhere/X.npy"):
        with pytest.raises(InputError, match="must be a file"):
            word_activations(*model_and_tokenizer, [["london"]], out=tmp_path / name)


def test_writing_keeps_no_more_than_a_batch(model_and_tokenizer, tmp_path):
    peaks = []
    for n in (20, 200):
        own = [["rain", "in", "the"]] * n
        path = tmp_path / "X.npy"
        call = lambda s=own, p=path: word_activations(*model_and_tokenizer, s, 64, p)  # noqa: E731
        peaks.append(peak_of(call))
        whole = peak_of(lambda s=own: word_activations(*model_and_tokenizer, s, 64))
    assert whole > 3 * 200 * 64 * 4
    assert peaks[1] - peaks[0] < whole / 2
