"""Fisher's linear discriminant with Ledoit–Wolf shrinkage, on units scaled to like variance.

What scikit-learn's `LinearDiscriminantAnalysis` gives with the shrinkage of its `ledoit_wolf`
(Ledoit & Wolf 2004), for several concepts at once: the covariance of the words is worked out one
time and each concept takes its own class means off it, where scikit-learn goes through the words
anew for every class of every concept. The one large product runs where the model runs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float

from plasticity_utils.hardware import find_device
from plasticity_utils.neurons.scores import check_concepts

# Of shrinkage, and of the mean variance (1 over all words) within the classes: fewer words than
# units, or units that tell the classes without fail, leave a covariance that has no inverse.
LEAST = 1e-6


@dataclass(frozen=True)
class Discriminants:
    """Linear probes of several concepts: a word is of one where X · weights + bias > 0.

    Attributes
    ----------
    weights : float array, [d_model, n_concepts]
        In units of 1 / activation; 0 for a unit that does not vary.
    biases : float array, [n_concepts]
    """

    weights: Float[np.ndarray, "unit concept"]
    biases: Float[np.ndarray, " concept"]

    def predict(self, X: Float[np.ndarray, "word unit"]) -> Bool[np.ndarray, "word concept"]:
        """Tell of each word which concepts it is read as, [n_words, n_concepts]."""
        return X @ self.weights + self.biases > 0


def fit_discriminants(
    X: Float[np.ndarray, "word unit"], concepts: Bool[np.ndarray, "word concept"]
) -> Discriminants:
    """Fit a probe of each concept on one layer, words inside against all others."""
    check_concepts(X, concepts)
    mean, scale = X.mean(axis=0, dtype=np.float64), X.std(axis=0, dtype=np.float64)
    # What differs from word to word by rounding alone is no answer.
    varies = scale > np.finfo(np.float32).eps * np.abs(mean)
    mean, scale = mean[varies], scale[varies]
    # Shrinkage pulls towards equal variances: unscaled, a few wide units would set it for all.
    scaled = ((X[:, varies] - mean) / scale).astype(np.float32)
    covariance, shrinkage = _covariance(scaled)
    weights, biases = np.zeros((X.shape[1], concepts.shape[1])), np.zeros(concepts.shape[1])
    for column, inside in enumerate(concepts.T):
        share = inside.mean()
        odds = share / (1 - share)
        # The other words' mean follows, since all words together have mean 0.
        own = scaled[inside].mean(axis=0, dtype=np.float64)
        within = _shrunk(covariance - odds * np.outer(own, own), shrinkage)
        direction = np.linalg.solve(within, (1 + odds) * own)
        # Models that are read later are read in the activations' own units.
        weights[varies, column] = direction / scale
        middle = (1 - odds) / 2 * own @ direction
        biases[column] = np.log(odds) - middle - weights[varies, column] @ mean
    return Discriminants(weights, biases)


def _covariance(scaled: np.ndarray) -> tuple[np.ndarray, float]:
    """Covariance of words with mean 0, and the shrinkage of Ledoit & Wolf (2004) for it."""
    n_words, n_units = scaled.shape
    words = torch.from_numpy(scaled).to(find_device())
    covariance = (words.T @ words).cpu().numpy().astype(np.float64) / n_words
    lengths = words.square().sum(dim=1).cpu().numpy().astype(np.float64)
    squares = np.square(covariance).sum()
    # How far the covariance is from a multiple of the identity, and how uncertain it is itself.
    distance = squares - np.trace(covariance) ** 2 / max(n_units, 1)
    uncertainty = (np.square(lengths).mean() - squares) / n_words
    share = uncertainty / distance if distance > 0 else 0.0
    return covariance, float(np.clip(share, LEAST, 1.0))


def _shrunk(covariance: np.ndarray, shrinkage: float) -> np.ndarray:
    n_units = len(covariance)
    mean_variance = max(np.trace(covariance) / max(n_units, 1), LEAST)
    return (1 - shrinkage) * covariance + shrinkage * mean_variance * np.eye(n_units)
