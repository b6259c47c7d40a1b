"""Which neurons are to be forced: the settings of a forcing, and the groups that it compares.

A group is a set of neurons to which plasticity is confined. The *host*'s are those that serve
another concept best, among those that were not removed; *random* ones are as many of each layer;
*removed* are the concept's own, which may then grow back. Beside them stand the whole model (`all`)
and the classification head alone (`head`).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pandas as pd

from plasticity_utils.config import RunConfig
from plasticity_utils.corpus import concept_label
from plasticity_utils.errors import InputError
from plasticity_utils.plans import RemovalPlan, draw_seed
from plasticity_utils.pruning import layer_matched_draw

TARGETS = ("host", "random", "removed", "all", "head")
DOSES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05)
# As for the head alone: Adam moves a weight by at most the sum of its rates, and at the whole
# model's rate a few neurons have not converged when the training ends.
RATE_FACTOR = 10.0
REST_ALLOWED = ("mean", "zero")


@dataclass(frozen=True)
class ForcingConfig:
    """Settings of a forcing, checked on construction.

    Attributes
    ----------
    run : RunConfig
        Of the concept whose neurons are removed: an entity type under the regime `surgical`.
    host : str
        Another entity type, whose neurons are to carry both.
    doses : tuple of float
        Shares of all neurons that may change, ascending, in (0, 1).
    share : float
        Of the training sentences, in (0, 1]: the first of the run's own order, one pass.
    rate_factor : float
        Times the model's rate, in groups of neurons; `all` and `head` have the run's own rates.
    head : bool
        Whether the head's columns at chosen neurons of the last layer train too.

    Raises
    ------
    InputError
        For a value that is not allowed.
    """

    run: RunConfig
    host: str = "persons"
    doses: tuple[float, ...] = DOSES
    share: float = 0.5
    rate_factor: float = RATE_FACTOR
    head: bool = False

    def __post_init__(self) -> None:
        concept_label(self.host)
        run, doses = self.run, self.doses
        if not run.about.is_entity:
            raise InputError(f"concept {run.concept!r} is no entity type; only those can be forced")
        if self.host == run.concept:
            raise InputError(f"host {self.host!r} is the concept itself; allowed: another one")
        if run.regime != "surgical" or run.removal.rest not in REST_ALLOWED or run.regrow:
            raise InputError(
                f"regime {run.regime!r}, rest {run.removal.rest!r}, regrow {run.regrow}; allowed: "
                f"'surgical', {' or '.join(map(repr, REST_ALLOWED))}, False"
            )
        ascending = all(low < high for low, high in itertools.pairwise(doses))
        if not doses or not ascending or not all(0 < dose < 1 for dose in doses):
            raise InputError(f"doses {doses}; needed: ascending shares between 0 and 1")
        if not 0 < self.share <= 1:
            raise InputError(f"share must be above 0 and at most 1, not {self.share!r}")
        if not self.rate_factor > 0:
            raise InputError(f"rate_factor must be above 0, not {self.rate_factor!r}")

    @property
    def entities(self) -> tuple[str, str]:
        """Tags of the concept and of its host."""
        return self.run.label, concept_label(self.host)


@dataclass(frozen=True)
class Target:
    """A group of neurons to which training is confined.

    Attributes
    ----------
    name : str
        One of `TARGETS`.
    dose : float
        Share of all neurons: 1 for `all`, 0 for `head`.
    neurons : int array, [n_neurons, 2]
        (layer, unit) pairs; empty for `all` and `head`.
    overlap : int
        How many random neurons are also the host's or removed (where a layer has too few others).
    """

    name: str
    dose: float
    neurons: np.ndarray
    overlap: int = 0


def choose_targets(
    config: ForcingConfig, plan: RemovalPlan, host_ranking: pd.DataFrame
) -> list[Target]:
    """Choose the groups of every dose, then `all` and `head`.

    Parameters
    ----------
    config : ForcingConfig
    plan : RemovalPlan
        The concept's neurons, best first; from `choose_neurons`.
    host_ranking : DataFrame
        `ranking.parquet` of the host: one row a neuron in flat order.

    Returns
    -------
    list of Target
        `removed` only at doses that do not exceed what was removed; all of it where none fits.

    Raises
    ------
    InputError
        If fewer neurons are left than the largest dose asks for.
    """
    n_neurons = len(host_ranking)
    n_layers = int(host_ranking["layer"].max()) + 1
    gone = {tuple(pair) for pair in plan.neurons.tolist()}
    places = host_ranking[["layer", "unit"]].to_numpy().tolist()
    kept = host_ranking[[tuple(place) not in gone for place in places]]
    counts = {dose: max(1, round(dose * n_neurons)) for dose in config.doses}
    if max(counts.values()) > len(kept):
        raise InputError(
            f"dose {max(config.doses)} of {n_neurons} neurons is {max(counts.values())}, but only "
            f"{len(kept)} were not removed; needed: a smaller dose"
        )
    own = {d: k for d, k in counts.items() if k <= len(gone)} or {len(gone) / n_neurons: len(gone)}
    column = f"rank_{config.run.removal.ranking}"
    targets = []
    for dose, k in counts.items():
        host = kept.nsmallest(k, column)[["layer", "unit"]].to_numpy()
        seed = draw_seed(config.run.seed, 0)
        drawn = layer_matched_draw(
            host, n_layers, n_neurons // n_layers, seed, exclude=plan.neurons
        )
        barred = gone | {tuple(pair) for pair in host.tolist()}
        overlap = len(barred & {tuple(pair) for pair in drawn.neurons.tolist()})
        targets += [Target("host", dose, host), Target("random", dose, drawn.neurons, overlap)]
    targets += [Target("removed", dose, plan.neurons[:k]) for dose, k in own.items()]
    nobody = np.empty((0, 2), dtype=np.int64)
    return [*targets, Target("all", 1.0, nobody), Target("head", 0.0, nobody)]
