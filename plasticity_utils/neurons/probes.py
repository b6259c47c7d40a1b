"""Fisher's linear discriminant with Ledoit–Wolf shrinkage, on units scaled to like variance.

What scikit-learn's `LinearDiscriminantAnalysis` gives with the shrinkage of its `ledoit_wolf`
(Ledoit & Wolf 2004), for several concepts at once: the covariance of the words is worked out one
time and each concept takes its own class means off it, where scikit-learn goes through the words
anew for every class of every concept. The one large product runs where the model runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32

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


class Moments(NamedTuple):
    """What is known of units one by one, and scales them to mean 0 and variance 1.

    Attributes
    ----------
    mean, scale : float array, [n_units]
        Mean and standard deviation over all words; 0 for the deviation of a unit that differs from
        word to word by rounding alone, which is no answer.
    own : float array, [n_units, n_concepts]
        Mean of each concept's words, scaled; 0 for a unit that does not vary.
    """

    mean: Float[np.ndarray, " unit"]
    scale: Float[np.ndarray, " unit"]
    own: Float[np.ndarray, "unit concept"]

    @classmethod
    def of(
        cls, X: Float[np.ndarray, "word unit"], concepts: Bool[np.ndarray, "word concept"]
    ) -> Moments:
        """Work them out of all words of some units."""
        check_concepts(X, concepts)
        mean, scale = X.mean(axis=0, dtype=np.float64), X.std(axis=0, dtype=np.float64)
        scale[scale <= np.finfo(np.float32).eps * np.abs(mean)] = 0.0
        own = np.zeros((X.shape[1], concepts.shape[1]))
        scaled = cls(mean, scale, own).scaled(X)
        for column, inside in enumerate(concepts.T):
            own[scale > 0, column] = scaled[inside].mean(axis=0, dtype=np.float64)
        return cls(mean, scale, own)

    @classmethod
    def joined(cls, parts: Sequence[Moments]) -> Moments:
        """Put those of some units after another together."""
        return cls(*map(np.concatenate, zip(*parts, strict=True)))

    def of_units(self, units: slice) -> Moments:
        """Take those of some units."""
        return Moments(*(values[units] for values in self))

    def scaled(self, X: Float[np.ndarray, "word unit"]) -> Float32[np.ndarray, "word varying"]:
        """Scale words; units that do not vary are left out."""
        varies = self.scale > 0
        # Shrinkage pulls towards equal variances: unscaled, a few wide units would set it for all.
        scaled = X[:, varies] - self.mean[varies]
        scaled /= self.scale[varies]
        return scaled.astype(np.float32)


def fit_discriminants(
    X: Float[np.ndarray, "word unit"], concepts: Bool[np.ndarray, "word concept"]
) -> Discriminants:
    """Fit a probe of each concept on one layer, words inside against all others."""
    return discriminants([X], concepts.mean(axis=0), Moments.of(X, concepts))


def discriminants(
    parts: Iterable[Float[np.ndarray, "word unit"]],
    shares: Float[np.ndarray, " concept"],
    moments: Moments,
) -> Discriminants:
    """Fit probes on a layer's words, some after another; `shares` of them are of each concept."""
    varies = moments.scale > 0
    mean, scale, own_means = moments.mean[varies], moments.scale[varies], moments.own[varies]
    covariance, shrinkage = _covariance(map(moments.scaled, parts), mean.size)
    weights, biases = np.zeros(moments.own.shape), np.zeros(shares.size)
    for column, (share, own) in enumerate(zip(shares, own_means.T, strict=True)):
        odds = share / (1 - share)
        # The other words' mean follows, since all words together have mean 0.
        within = _shrunk(covariance - odds * np.outer(own, own), shrinkage)
        direction = np.linalg.solve(within, (1 + odds) * own)
        # Models that are read later are read in the activations' own units.
        weights[varies, column] = direction / scale
        middle = (1 - odds) / 2 * own @ direction
        biases[column] = np.log(odds) - middle - weights[varies, column] @ mean
    return Discriminants(weights, biases)


def _covariance(scaled: Iterable[np.ndarray], n_units: int) -> tuple[np.ndarray, float]:
    """Covariance of words with mean 0, and the shrinkage of Ledoit & Wolf (2004) for it."""
    products, lengths = torch.zeros(n_units, n_units, device=find_device()), []
    for part in scaled:
        words = torch.from_numpy(part).to(products.device)
        products.addmm_(words.T, words)
        lengths.append(words.square().sum(dim=1).cpu().numpy().astype(np.float64))
    length = np.concatenate(lengths)
    covariance = products.cpu().numpy().astype(np.float64) / length.size
    squares = np.square(covariance).sum()
    # How far the covariance is from a multiple of the identity, and how uncertain it is itself.
    distance = squares - np.trace(covariance) ** 2 / max(n_units, 1)
    uncertainty = (np.square(length).mean() - squares) / length.size
    share = uncertainty / distance if distance > 0 else 0.0
    return covariance, float(np.clip(share, LEAST, 1.0))


def _shrunk(covariance: np.ndarray, shrinkage: float) -> np.ndarray:
    n_units = len(covariance)
    mean_variance = max(np.trace(covariance) / max(n_units, 1), LEAST)
    return (1 - shrinkage) * covariance + shrinkage * mean_variance * np.eye(n_units)
