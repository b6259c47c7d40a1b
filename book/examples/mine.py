"""A removal, a protocol, a reader and a ranking of one's own."""

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.neighbors import KNeighborsClassifier

import plasticity_utils as pu


@dataclass(frozen=True)
class Projections(pu.Intervention):
    """One direction a layer, along which every state is held at its mean."""

    directions: np.ndarray
    means: np.ndarray

    def applied(self, model):
        return pu.patch_layers(model, dict(enumerate(map(held, self.directions, self.means))))


def held(direction, mean):
    def without(state):
        d, m = (torch.from_numpy(v).to(state.device, torch.float32) for v in (direction, mean))
        return state - ((state - m) @ d)[..., None] * d

    return without


class MeanProjection(pu.Removal):
    """Projects out the direction from the other words' mean to the concept's, at every layer."""

    makes = Projections

    def fit(self, on):
        X, inside = on.activations, on.is_concept
        return projections(X[inside].mean(axis=0) - X[~inside].mean(axis=0), X.mean(axis=0))

    def control(self, fitted, on):
        drawn = np.random.default_rng(on.seed).normal(size=fitted.directions.shape)
        return projections(drawn, fitted.means)


def projections(directions, means):
    return Projections(directions / np.linalg.norm(directions, axis=1, keepdims=True), means)


def first_half(corpus, concept):
    return corpus.first(len(corpus) // 2)


HALF_SEEN = pu.Relearning(in_force="removal", sees=first_half)


def neighbours(seed):
    return KNeighborsClassifier(5)


def by_largest(X, is_concept):
    return X[is_concept].max(axis=0) - X[~is_concept].max(axis=0)
