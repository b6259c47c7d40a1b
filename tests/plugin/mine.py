"""What somebody else may write: a removal, a protocol, a reader and a ranking of their own."""

from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from sklearn.neighbors import KNeighborsClassifier
from transformers import PreTrainedModel

import plasticity_utils as pu


@dataclass(frozen=True)
class Shifts(pu.Intervention):
    """Moves the hidden states of every layer by a vector."""

    vectors: np.ndarray

    def applied(self, model: PreTrainedModel) -> AbstractContextManager[Any]:
        def moved_by(vector: np.ndarray) -> Any:
            move = torch.from_numpy(vector.astype(np.float32))
            return lambda state: state + move.to(state.device)

        return pu.patch_layers(model, dict(enumerate(map(moved_by, self.vectors))))


class MeanShift(pu.Removal):
    """Moves all words from the concept's mean towards the others'."""

    makes = Shifts

    def __init__(self, dose: float = 1.0) -> None:
        self.dose = dose

    def fit(self, on: pu.Material) -> Shifts:
        X, inside = on.activations, on.is_concept
        return Shifts(self.dose * (X[~inside].mean(axis=0) - X[inside].mean(axis=0)))

    def control(self, fitted: pu.Intervention, on: pu.Material) -> Shifts:
        assert isinstance(fitted, Shifts)
        drawn = np.random.default_rng(on.seed).normal(size=fitted.vectors.shape)
        lengths = np.linalg.norm(fitted.vectors, axis=1) / np.linalg.norm(drawn, axis=1)
        return replace(fitted, vectors=drawn * lengths[:, None])


def first_half(corpus: Any, concept: str) -> Any:
    return corpus.first(len(corpus) // 2)


HALF_SEEN = pu.Relearning("removal", sees=first_half, removed_again=True)
FIRST_TIME = pu.Relearning("removal", start="pretrained")


def neighbours(seed: int) -> KNeighborsClassifier:
    """The tag of the nearest state."""
    return KNeighborsClassifier(1)


class FirstTag:
    """Always one tag; reads nothing."""

    def fit(self, states: np.ndarray, tags: np.ndarray) -> None:
        self.tag = np.sort(tags)[-1]

    def predict(self, states: np.ndarray) -> np.ndarray:
        return np.full(len(states), self.tag)


def first_tag(seed: int) -> FirstTag:
    return FirstTag()


def by_spread(X: np.ndarray, is_concept: np.ndarray) -> np.ndarray:
    return X[is_concept].std(axis=0)
