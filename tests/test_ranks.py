"""Sums of ranks are the same on a processor, by scipy, and as an accelerator counts them."""

import numpy as np
import pytest
import torch
from scipy.stats import rankdata

from plasticity_utils.neurons import scores
from plasticity_utils.neurons.scores import average_ranks, rank_sums, rank_sums_on


@pytest.fixture
def tied() -> tuple[np.ndarray, np.ndarray]:
    """Activations with ties, a constant neuron and both zeros; two concepts."""
    rng = np.random.default_rng(3)
    X = rng.integers(-4, 5, (230, 150)).astype(np.float32) / 3
    X[:, 7], X[::2, 8], X[1::2, 8] = 0.25, -0.0, 0.0
    X[:, 9] = rng.standard_normal(230)
    return X, (rng.random((230, 2)) < 0.2).astype(np.float64)


def test_ranks_are_those_of_scipy(tied):
    X, _ = tied
    assert np.array_equal(average_ranks(X.T), rankdata(X.T, axis=1))


def test_sums_are_the_same_over_blocks_and_as_an_accelerator_counts_them(tied):
    X, members = tied
    expected = rankdata(X.T, axis=1) @ members
    assert np.array_equal(rank_sums(X, members), expected)
    rows = np.ascontiguousarray(X.T)
    assert np.array_equal(rank_sums_on(torch.device("cpu"), rows, members), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_sums_on_cuda_are_the_very_same(tied, monkeypatch):
    X, members = tied
    monkeypatch.setattr(scores, "VALUES_ON_CUDA", 64 * len(X))
    assert np.array_equal(rank_sums(X, members), rankdata(X.T, axis=1) @ members)
