"""Project single directions out of every layer: the difference of means, or what probes read.

`MeanProjection` takes out one direction a layer, from the mean of the other words to the mean of
the concept's ("directional ablation", Arditi et al. 2024). `Inlp` takes out one after another the
directions by which a linear classifier tells the concept, until it does no better than chance
(Ravfogel et al. 2020, "Null It Out: Guarding Protected Attributes by Iterative Nullspace
Projection").

Directions are fitted layer by layer, each with those below in force, on the token of a word that
carries its label; like the erasers of `leace`, they are taken from all tokens of words. The control
takes as many random directions of each layer, at right angles to the concept's, each with the
share of the layer's variance that the direction which it stands for has.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score

from plasticity_utils.models.load import count_layers, encode_for, label_position
from plasticity_utils.progress import bar
from plasticity_utils.removal.interface import Intervention, Material, Removal
from plasticity_utils.removal.leace import Erasers, carries_label, no_erasers, states_at

# A probe that is right on so much more than half of the held-out words still tells the concept.
CHANCE, _HELD_OUT = 0.05, 0.2
MOST_DIRECTIONS, MOST_WORDS = 16, 20_000
Directions = Float[np.ndarray, "direction unit"]


@dataclass(frozen=True)
class _DirectionRemoval(Removal):
    """Projects fitted directions out of every layer."""

    makes: ClassVar[type[Intervention]] = Erasers

    def control(self, fitted: Intervention, on: Material) -> Erasers:
        """Draw as many directions of each layer, with like shares of its variance."""
        assert isinstance(fitted, Erasers)
        rng, ranks = np.random.default_rng(on.seed), fitted.ranks
        return _fit(on, lambda layer, X: random_like(X, fitted.right[layer, : ranks[layer]], rng))


@dataclass(frozen=True)
class MeanProjection(_DirectionRemoval):
    """Project out, at each layer, the direction between the concept's mean and the rest's."""

    def fit(self, on: Material) -> Erasers:
        """Fit a direction at every layer."""
        return _fit(on, lambda layer, X: mean_difference(X, on.is_concept))


@dataclass(frozen=True)
class Inlp(_DirectionRemoval):
    """Project out, at each layer, the directions of linear probes until they tell nothing."""

    def fit(self, on: Material) -> Erasers:
        """Fit the directions of every layer."""
        return _fit(on, lambda layer, X: probed_directions(X, on.is_concept, on.seed))


def mean_difference(
    X: Float[np.ndarray, "word unit"], inside: Bool[np.ndarray, " word"]
) -> Directions:
    """The direction from the mean of the other words to that of the concept's, of length 1."""
    difference = X[inside].mean(axis=0) - X[~inside].mean(axis=0)
    return (difference / np.linalg.norm(difference))[None]


def probed_directions(
    X: Float[np.ndarray, "word unit"], inside: Bool[np.ndarray, " word"], seed: int
) -> Directions:
    """Orthogonal directions by which a linear probe tells the concept, until none is left."""
    order = np.random.default_rng(seed).permutation(len(X))[:MOST_WORDS]
    X, inside = X[order].astype(np.float64), inside[order]
    X, cut = X - X.mean(axis=0), int(len(order) * (1 - _HELD_OUT))
    found: list[np.ndarray] = []
    while len(found) < MOST_DIRECTIONS:
        probe = LogisticRegression(max_iter=300, class_weight="balanced")
        probe.fit(X[:cut], inside[:cut])
        right = balanced_accuracy_score(inside[cut:], probe.predict(X[cut:]))
        if right < 0.5 + CHANCE:
            break
        direction = probe.coef_[0]
        for other in found:
            direction = direction - (direction @ other) * other
        direction /= np.linalg.norm(direction)
        X -= np.outer(X @ direction, direction)
        found.append(direction)
    return np.array(found).reshape(len(found), X.shape[1])


def random_like(
    X: Float[np.ndarray, "word unit"], directions: Directions, rng: np.random.Generator
) -> Directions:
    """Random directions at right angles to these, each with as much variance as the one it is for.

    Where no such direction has as much, it has the most that there is.
    """
    covariance = np.cov(X, rowvar=False)
    taken = list(np.linalg.qr(directions.T.astype(np.float64))[0].T)
    drawn: list[np.ndarray] = []
    for direction in directions:
        wanted = float(direction @ covariance @ direction)
        basis = np.array(taken + drawn)
        free = np.eye(len(direction)) - basis.T @ basis
        # Between a direction drawn along the main directions that are left and one across them.
        left = free @ covariance @ free
        across = np.linalg.norm(left, 2) * free - left
        plain = rng.normal(size=len(direction))
        ends = [np.linalg.matrix_power(one, 4) @ plain for one in (across, left)]
        ends = [one / np.linalg.norm(one) for one in ends]
        low, high = 0.0, 1.0
        for _ in range(40):
            share = (low + high) / 2
            mixed = (1 - share) * ends[0] + share * ends[1]
            mixed /= np.linalg.norm(mixed)
            low, high = (share, high) if mixed @ covariance @ mixed < wanted else (low, share)
        drawn.append(mixed)
    return np.array(drawn).reshape(directions.shape)


def _fit(on: Material, directions_of: Callable[[int, np.ndarray], Directions]) -> Erasers:
    """Fit a projection at every layer, each with those below in force."""
    model = on.model
    encoded = encode_for(model, on.tokenizer, on.corpus.sentences)
    last = label_position(model) == "last"
    words = [np.array(sentence.word_of_token) for sentence in encoded]
    labelled = [(own >= 0) & carries_label(own, last) for own in words]
    erasers = no_erasers(model, MOST_DIRECTIONS)
    was_training = model.training
    model.eval()
    try:
        for layer in bar(range(count_layers(model)), "directions"):
            states: list[np.ndarray] = [np.empty(0)] * len(encoded)
            for batch, found in states_at(model, encoded, erasers, layer):
                for i, state in zip(batch, found.detach().float().cpu().numpy(), strict=True):
                    states[i] = state[: len(labelled[i])][labelled[i]]
            X = np.concatenate(states)
            directions = directions_of(layer, X)
            erasers.left[layer, :, : len(directions)] = directions.T
            erasers.right[layer, : len(directions)] = directions
            erasers.mean[layer] = X.mean(axis=0)
    finally:
        model.train(was_training)
    return erasers
