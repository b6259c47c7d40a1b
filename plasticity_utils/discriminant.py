"""Fisher's linear discriminant with Ledoit–Wolf shrinkage, on units scaled to like variance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from sklearn.covariance import ledoit_wolf
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.preprocessing import StandardScaler


@dataclass(frozen=True)
class ScaledWords:
    """Words to fit probes on, their units scaled to like variance.

    Attributes
    ----------
    varies : bool array, [d_model]
        Units that are not the same at every word; the others are left out.
    scaler : StandardScaler
        Of the units that vary.
    X : float array, [n_words, n_varying]
        The words, scaled.
    shrinkage : float
        Of the covariance, in [0, 1]. It depends on the words alone, so that probes share it.
    """

    varies: np.ndarray
    scaler: StandardScaler
    X: np.ndarray
    shrinkage: float

    def scale(self, X: Float[np.ndarray, "word unit"]) -> np.ndarray:
        """Scale other words as these, [n_words, n_varying]."""
        return self.scaler.transform(X[:, self.varies])

    def discriminant(self, inside: Bool[np.ndarray, " word"]) -> LinearDiscriminantAnalysis:
        """Fit the discriminant of the words inside against the others."""
        probe = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=self.shrinkage)
        return probe.fit(self.X, inside)


def scale_words(X: Float[np.ndarray, "word unit"]) -> ScaledWords:
    """Scale the words that probes are to be fitted on.

    Parameters
    ----------
    X : float array, [n_words, d_model]
        One level of `word_activations`.
    """
    varies = X.std(axis=0) > 0
    # Shrinkage pulls towards equal variances: unscaled, a few wide units would set it for all.
    scaler = StandardScaler().fit(X[:, varies])
    scaled = scaler.transform(X[:, varies])
    return ScaledWords(varies, scaler, scaled, float(ledoit_wolf(scaled)[1]))
