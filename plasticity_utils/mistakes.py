"""The public code's mistakes, made on purpose, to see what each of them changes.

Eight mistakes in the public code of Lo, Cohen & Barez (2024) change conclusions (the paper's
chapter lists them with their commits). Here is each as a plan (mistake 4: as a removal) that goes
wrong in that one way and is right otherwise. `mistakes_measured` makes them on a finished run.

Mistakes 5 and 8 are settings of a run: `rest="layernorm", regrow=True` lets zeroed gains train on,
and `epochs=8, restarts=4` makes four schedules out of one (`mistakes_measured.setting_changes`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pandas as pd
from transformers import PreTrainedModel

from plasticity_utils.config import Regime
from plasticity_utils.layernorm import zero_mlp_gains
from plasticity_utils.models import is_decoder, n_levels, width
from plasticity_utils.plans import RemovalPlan, plan_at, removed
from plasticity_utils.saliency import layer_unit, removal_only_profile


def wrong_end(ranking: pd.DataFrame, regime: Regime, dose: float) -> RemovalPlan:
    """Mistake 1: the tail of a decreasing ranking, the least salient neurons.

    Parameters
    ----------
    ranking : DataFrame
        As for `plan_at`.
    regime : Regime
    dose : float
        Share of all neurons, in (0, 1).
    """
    column = f"rank_{regime.ranking}"
    turned = ranking.assign(**{column: len(ranking) - 1 - ranking[column]})
    return plan_at(turned, regime, dose)


def first_ids(plan: RemovalPlan, d_model: int) -> RemovalPlan:
    """Mistake 2: a "random" removal that is always the ids 0 … n − 1."""
    return replace(plan, neurons=layer_unit(range(len(plan.neurons)), d_model))


def shifted_layer(plan: RemovalPlan, n_layers: int) -> RemovalPlan:
    """Mistake 3: `layer[layer_id − 1]`, which sends neurons of layer 0 to the last layer."""
    layers, units = plan.neurons.T
    sent = np.stack([np.where(layers == 0, n_layers - 1, layers), units], axis=1)
    return replace(plan, neurons=np.unique(sent, axis=0))


@contextmanager
def mlp_unread(model: PreTrainedModel, plan: RemovalPlan) -> Iterator[None]:
    """Mistake 4: the MLP of its block no longer reads a neuron's unit; the neuron stays.

    Neurons of the embedding layer, which no block writes, are removed as they should be.
    """
    embedded = plan.neurons[:, 0] == 0
    with (
        removed(model, replace(plan, neurons=plan.neurons[embedded])),
        zero_mlp_gains(model, plan.neurons[~embedded]),
    ):
        yield


def six_layers(ranking: pd.DataFrame, regime: Regime, dose: float) -> RemovalPlan:
    """Mistake 6: the embedding layer is not counted, so a share is one of fewer neurons."""
    n_layers = int(ranking["layer"].max()) + 1
    return plan_at(ranking, regime, dose * (n_layers - 1) / n_layers)


def removal_mistakes(
    model: PreTrainedModel,
    ranking: pd.DataFrame,
    regime: Regime,
    dose: float,
    draw: RemovalPlan,
    score: Callable[[], pd.DataFrame],
) -> pd.DataFrame:
    """F1 just after a removal that is right, and after one that makes one mistake.

    Mistake 4 is made on decoders, the models that have what it confuses.

    Parameters
    ----------
    model : PreTrainedModel
        The base model; it is as before afterwards.
    ranking : DataFrame
        `run.ranking`.
    regime : Regime
    dose : float
    draw : RemovalPlan
        The layer-matched random removal that mistake 2 is compared with.
    score : callable
        Scores the model as it is at the call: the table of `entity_scores`.

    Returns
    -------
    DataFrame
        mistake (number), made (whether it was made), n_removed (planned to be; mistake 4 leaves
        them), first_layer_share (share of these neurons that lie in layer 0), and the columns of
        `entity_scores`.
    """
    n_layers, d_model = n_levels(model), width(model)
    right = plan_at(ranking, regime, dose)
    wrong = {
        1: wrong_end(ranking, regime, dose),
        2: first_ids(draw, d_model),
        3: shifted_layer(right, n_layers),
        6: six_layers(ranking, regime, dose),
    }

    def scored(plan: RemovalPlan, remove: Callable = removed) -> pd.DataFrame:
        with remove(model, plan):
            scores = score()
        share = float((plan.neurons[:, 0] == 0).mean())
        return scores.assign(n_removed=len(plan.neurons), first_layer_share=share)

    made = {mistake: scored(plan) for mistake, plan in wrong.items()}
    if is_decoder(model):
        made[4] = scored(right, mlp_unread)
    as_meant, as_drawn = scored(right), scored(draw)
    rows = []
    for mistake in sorted(made):
        meant = as_drawn if mistake == 2 else as_meant
        rows += [
            meant.assign(mistake=mistake, made=False),
            made[mistake].assign(mistake=mistake, made=True),
        ]
    return pd.concat(rows, ignore_index=True)


def unequal_averaging(neurons: pd.DataFrame) -> pd.DataFrame:
    """Mistake 7: neurons without a value count as 0 in the base and are dropped afterwards.

    A removed neuron says the same of every word, so its words cannot be told (0/0). The public code
    takes such a neuron for 0 in one mean and leaves it out of the other.

    Parameters
    ----------
    neurons : DataFrame
        `run.neurons`.

    Returns
    -------
    DataFrame
        layer, rise (of mean rank saliency from base to end, over all neurons), rise_unequal (as the
        public code averages), dropped (share of the layer that it leaves out at the end).
    """
    own = neurons[neurons["condition"] == "concept"]
    base, end = (own[own["stage"] == stage] for stage in ("base", "end"))
    gone = end.set_index(["layer", "unit"])["removed"]
    at = base.set_index(["layer", "unit"])["saliency"]
    after = end.set_index(["layer", "unit"])["saliency"]
    return pd.DataFrame(
        {
            "rise": (after - at).groupby("layer").mean(),
            "rise_unequal": after[~gone].groupby("layer").mean()
            - at.where(~gone, 0.0).groupby("layer").mean(),
            "dropped": gone.groupby("layer").mean(),
        }
    ).reset_index()


def shift_of_mistake_3(ranking: pd.DataFrame, regime: Regime, dose: float) -> pd.DataFrame:
    """Layer profiles that removal alone predicts, for the removal that was meant and that was made.

    Returns
    -------
    DataFrame
        layer, meant, made (mean rank saliency, in [0, 1]).
    """
    n_layers = int(ranking["layer"].max()) + 1
    d_model = len(ranking) // n_layers
    order = np.argsort(ranking[f"rank_{regime.ranking}"].to_numpy(), kind="stable")
    right = plan_at(ranking, regime, dose)
    profiles = {
        name: removal_only_profile(
            order, plan.neurons[:, 0] * d_model + plan.neurons[:, 1], n_layers
        )
        for name, plan in (("meant", right), ("made", shifted_layer(right, n_layers)))
    }
    return pd.DataFrame({"layer": range(n_layers), **profiles})
