"""What a condition removes: which neurons, and what they are held at.

A plan is made once, from the base model's ranking, and then applied wherever it is needed: on the
dose–response, while the model trains on, and again at the end. Its random counterpart takes as many
neurons of each layer and holds them the same way. A plan may also be to erase the concept from
every level (`erasure`); its random counterpart is fitted on shuffled labels of the same words.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from plasticity_utils.errors import InputError
from plasticity_utils.neurons.scores import layer_unit
from plasticity_utils.removal.gate import Removal, layer_matched_draw, remove_neurons
from plasticity_utils.removal.layernorm import LayerNormRemoval, zero_layernorm_gains
from plasticity_utils.removal.leace import Erasers, Fitting, erase

# Erasers of shuffled labels are fitted level by level, which takes minutes and not seconds a draw.
ERASER_DRAWS = 3


@dataclass(frozen=True)
class RemovalPlan:
    """Neurons to remove and what they are held at.

    Attributes
    ----------
    neurons : int array, [n_removed, 2]
        (layer, unit) pairs.
    rest : float array, [n_layers, d_model], "zero" or "layernorm"
        Resting values; `layernorm` zeroes LayerNorm gains instead (`zero_layernorm_gains`).
    positions : {"words", "all"}
    """

    neurons: np.ndarray
    rest: np.ndarray | str
    positions: str


@dataclass(frozen=True)
class ErasurePlan:
    """Erasers to put in force; no neuron is removed.

    Attributes
    ----------
    erasers : Erasers
        From `fit_erasers`.
    """

    erasers: Erasers

    @property
    def neurons(self) -> np.ndarray:
        """Removed neurons, [0, 2]: none."""
        return np.empty((0, 2), dtype=np.int64)


Plan = RemovalPlan | ErasurePlan


def top_neurons(ranking: pd.DataFrame, method: str, dose: float) -> np.ndarray:
    """The share `dose` of neurons that a method ranks highest.

    Parameters
    ----------
    ranking : DataFrame
        One row a neuron in flat order, with a column `rank_<method>`.
    method : str
    dose : float
        Share of all neurons, in (0, 1).

    Returns
    -------
    int array, [n_removed, 2]
        (layer, unit) pairs, best first; at least one.
    """
    if not 0 < dose < 1:
        raise InputError(f"dose must be a fraction between 0 and 1, not {dose!r}")
    n_removed = max(1, round(dose * len(ranking)))
    best = ranking.nsmallest(n_removed, f"rank_{method}")
    return best[["layer", "unit"]].to_numpy()


def plan_at(ranking: pd.DataFrame, regime: Regime, dose: float) -> RemovalPlan:
    """Plan to remove the concept's top neurons at a dose, held as the regime says.

    Parameters
    ----------
    ranking : DataFrame
        As for `top_neurons`, with the mean activation of each neuron in `mean`.
    """
    n_layers = int(ranking["layer"].max()) + 1
    means = ranking["mean"].to_numpy(copy=True).reshape(n_layers, -1)
    rest = means if regime.rest == "mean" else regime.rest
    return RemovalPlan(top_neurons(ranking, regime.ranking, dose), rest, regime.positions)


def random_plan(plan: RemovalPlan, n_layers: int, d_model: int, seed: int) -> RemovalPlan:
    """The `random` condition: as many neurons of each layer, drawn anew, held the same way."""
    drawn = layer_matched_draw(plan.neurons, n_layers, d_model, draw_seed(seed, 0))
    return RemovalPlan(drawn.neurons, plan.rest, plan.positions)


def neurons_again(
    order: np.ndarray,
    plan: RemovalPlan,
    gone: list[list[int]],
    shape: tuple[int, int],
    draws: int,
    seed: int,
) -> Iterator[tuple[str, int, Plan]]:
    """What is removed at the end: the same neurons, the new top ones, random ones.

    Parameters
    ----------
    order : int array, [n_layers * d_model]
        Flat ids of the retrained model's neurons, best first: `rank_neurons(…).order`.
    plan : RemovalPlan
        The same neurons, with the resting values that they have now.
    gone : list of [layer, unit]
        Neurons that are removed already.
    shape : (n_layers, d_model)
    draws, seed : int
        Of the random neurons, which are matched by layer to the new top ones.

    Yields
    ------
    again, draw, plan
    """
    n_layers, d_model = shape
    left = [pair for pair in layer_unit(order, d_model).tolist() if pair not in gone]
    top = np.array(left[: len(plan.neurons)])
    yield "same", 0, plan
    yield "new top", 0, replace(plan, neurons=top)
    for draw in range(draws):
        seeded = draw_seed(seed, draw)
        drawn = layer_matched_draw(top, n_layers, d_model, seeded, exclude=gone).neurons
        yield "random", draw, replace(plan, neurons=drawn)


def erasures_again(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    plan: ErasurePlan,
    fitting: Fitting,
    draws: int,
    seed: int,
) -> Iterator[tuple[str, int, Plan]]:
    """What is erased at the end: by the same erasers, by new ones, by ones of shuffled labels.

    New ones are fitted on the model as it is when they are asked for; of shuffled labels there are
    at most `ERASER_DRAWS`.

    Yields
    ------
    again, draw, plan
        `same`, `refitted` and `random`.
    """
    yield "same", 0, plan
    yield "refitted", 0, ErasurePlan(fitting.fit(model, tokenizer))
    for draw in range(min(ERASER_DRAWS, draws)):
        yield "random", draw, ErasurePlan(fitting.fit(model, tokenizer, draw_seed(seed, draw)))


def draw_seed(seed: int, draw: int) -> int:
    """Seed of the n-th random draw of a run; draw 0 is the one that is retrained as `random`."""
    return int(np.random.SeedSequence([seed, draw]).generate_state(1)[0])


@contextmanager
def removed(
    model: PreTrainedModel, plan: Plan | None, regrow: bool = False
) -> Iterator[Removal | LayerNormRemoval | None]:
    """Remove a plan's neurons from a model, or erase, for as long as the context lasts."""
    if plan is None:
        yield None
    elif isinstance(plan, ErasurePlan):
        # No removal to hand out: erasers have no gains.
        with erase(model, plan.erasers):
            yield None
    elif isinstance(plan.rest, str) and plan.rest == "layernorm":
        with zero_layernorm_gains(model, plan.neurons, regrow) as zeroed:
            yield zeroed
    else:
        with remove_neurons(model, plan.neurons, plan.rest, plan.positions, regrow) as removal:
            yield removal


def gains(
    removal: Removal | LayerNormRemoval | None,
    plan: Plan | None,
    n_layers: int,
    d_model: int,
) -> np.ndarray:
    """Gain of every neuron in flat order: 1, or that of a removed neuron."""
    table = np.ones((n_layers, d_model), dtype=np.float32)
    if removal is not None and plan is not None:
        table[tuple(plan.neurons.T)] = removal.gains()
    return table.ravel()


def set_gains(removal: Removal | LayerNormRemoval | None, values: np.ndarray) -> None:
    """Give neurons that grew back the gains with which their training ended."""
    if removal is not None:
        removal.set_gains(values)


def plan_settings(plan: Plan | None) -> dict[str, Any] | None:
    """Settings that stand for a removal in a stage's key."""
    if plan is None:
        return None
    if isinstance(plan, ErasurePlan):
        parts = (plan.erasers.left, plan.erasers.right, plan.erasers.mean)
        return {"erasers": [_array_digest(part) for part in parts]}
    held = plan.rest if isinstance(plan.rest, str) else _array_digest(plan.rest)
    # Sorted: the order of removal does not matter.
    neurons = _array_digest(np.array(sorted(plan.neurons.tolist())))
    return {"neurons": neurons, "rest": held, "positions": plan.positions}


def _array_digest(values: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()[:12]


@dataclass(frozen=True)
class Regime:
    """How neurons are chosen and held: ranking, resting value, positions, and a fixed dose."""

    ranking: str
    rest: str
    positions: str
    dose: float | None
