"""Removals that take single neurons: the top ones of a ranking, at a dose.

The control of such a removal takes as many neurons of each layer, drawn at random and held the same
way. Removed again at the end are the same neurons, those that are on top by then, and random ones
of the same layers as these.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Int
from transformers import PreTrainedModel

from plasticity_utils.errors import InputError, shown
from plasticity_utils.models.load import count_layers, width
from plasticity_utils.neurons.inputs import as_pairs, layer_unit
from plasticity_utils.registry import label
from plasticity_utils.removal.interface import NO_NEURONS, Intervention, Material, Removal


@dataclass(frozen=True)
class RemovedNeurons(Intervention):
    """Neurons that are removed.

    Attributes
    ----------
    neurons : int array, [n_removed, 2]
        (layer, unit) pairs.
    regrow : bool
        Whether their gains train, and so may grow back.
    """

    neurons: np.ndarray
    regrow: bool = field(default=False, kw_only=True)


@dataclass(frozen=True)
class NeuronRemoval(Removal):
    """Takes the top neurons of a ranking.

    Attributes
    ----------
    ranking : str
        A name of the registry `rankings`.
    dose : float
        Share of all neurons, in (0, 1); a run picks one where it is not set.
    """

    ranking: str = "selectivity"
    dose: float = 0.05

    def hold(self, neurons: np.ndarray, ranked: pd.DataFrame) -> Any:
        """Make the intervention that removes these neurons; `ranked` has their means."""
        raise NotImplementedError

    def check(self, model: PreTrainedModel) -> None:
        """Put it in force with no neurons to remove."""
        with self.none_of(model).applied(model):
            pass

    def none_of(self, model: PreTrainedModel) -> Any:
        """Make the intervention that removes nothing, of a model that may not be one for it."""
        places = layer_unit(range(count_layers(model) * width(model)), width(model))
        ranked = pd.DataFrame(places, columns=["layer", "unit"]).assign(mean=0.0)
        return self.hold(NO_NEURONS, ranked)

    def at(self, ranked: pd.DataFrame, dose: float) -> Any:
        """Take the top neurons of a ranked table (see `Material.rank`) at a dose."""
        return self.hold(top_neurons(ranked, self.ranking, dose), ranked)

    def fit(self, on: Material) -> Any:
        """Take the model's top neurons."""
        return self.at(on.rank(self.ranking), self.dose)

    def control(self, fitted: Intervention, on: Material) -> Any:
        """Draw as many neurons of each layer."""
        return replace(fitted, neurons=_drawn(fitted.neurons, on))  # type: ignore[type-var]

    def again(
        self, fitted: Intervention, on: Material, draws: int
    ) -> Iterator[tuple[str, int, Intervention]]:
        """Take the same neurons, the top ones of the model as it is now, and random ones.

        They stay removed, held at their resting values of now.
        """
        ranked = on.rank(self.ranking)
        same = replace(self.hold(fitted.neurons, ranked), regrow=False)
        yield "same", 0, same
        gone = set(map(tuple, on.gone.tolist()))
        is_left = [pair not in gone for pair in zip(ranked["layer"], ranked["unit"], strict=True)]
        top = replace(same, neurons=_best(ranked[is_left], self.ranking, len(fitted.neurons)))
        yield "new top", 0, top
        for draw in range(draws):
            yield "random", draw, replace(top, neurons=_drawn(top.neurons, on.drawn(draw)))


def top_neurons(ranked: pd.DataFrame, method: str, dose: float) -> np.ndarray:
    """The (layer, unit) pairs of the share `dose` that a method ranks highest, best first."""
    if not 0 < dose < 1:
        raise InputError(f"dose must be a fraction between 0 and 1, not {shown(dose)}")
    return _best(ranked, method, max(1, round(dose * len(ranked))))


def _best(ranked: pd.DataFrame, method: str, n: int) -> np.ndarray:
    return ranked.nsmallest(n, f"rank_{label(method)}")[["layer", "unit"]].to_numpy()


def _drawn(neurons: np.ndarray, on: Material) -> np.ndarray:
    n_layers, d_model = count_layers(on.model), width(on.model)
    return layer_matched_draw(neurons, n_layers, d_model, on.seed, exclude=on.gone).neurons


class LayerMatchedDraw(NamedTuple):
    """Neurons drawn at random, and how many of them are in the set they are compared with."""

    neurons: Int[np.ndarray, "drawn 2"]
    overlap: int


def layer_matched_draw(
    neurons: Iterable[Any], n_layers: int, d_model: int, seed: int, exclude: Iterable[Any] = ()
) -> LayerMatchedDraw:
    """Draw as many neurons in each layer as a set has there: the control for its removal.

    They are drawn from the neurons outside the set and of `exclude` (those that are gone already,
    for instance) where the layer has enough of them, and else from all of the layer.
    """
    pairs, barred = (as_pairs(some, n_layers, d_model) for some in (neurons, exclude))
    generator = np.random.default_rng(seed)
    drawn: list[tuple[int, int]] = []
    overlap = 0
    for layer, count in zip(*np.unique(pairs[:, 0], return_counts=True), strict=True):
        taken = pairs[pairs[:, 0] == layer, 1]
        others = np.union1d(taken, barred[barred[:, 0] == layer, 1])
        outside = np.setdiff1d(np.arange(d_model), others)
        pool = outside if len(outside) >= count else np.arange(d_model)
        units = np.sort(generator.choice(pool, size=count, replace=False))
        overlap += int(np.isin(units, taken).sum())
        drawn += [(int(layer), int(unit)) for unit in units]
    return LayerMatchedDraw(np.array(drawn, dtype=np.int64).reshape(-1, 2), overlap)
