"""Can chosen neurons be forced to carry two concepts? The numbers of several seeds, and the word.

Judged is each number of neurons with which the concept comes back. Beside the host's neurons stand
the controls: random neurons of the same layers, and the same neurons where nothing was confined.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from plasticity_utils.analysis import rules
from plasticity_utils.experiment.forcing_config import ForcingConfig
from plasticity_utils.results.groups import RunGroup
from plasticity_utils.results.stack import Estimate, mean_interval, stack

_F1 = ["entity_f1_base", "entity_f1_removed", "entity_f1_end", "regained"]
_KEYS = ["target", "dose", "n_neurons"]
# Bounds of a rise of a share, and of the difference of two.
_RISE, _DIFFERENCE = (-1.0, 1.0), (-2.0, 2.0)
# The groups whose carriers are compared: what a row calls them, and whose sign it has.
_COMPARED = {
    "host": ("the host's neurons", "targeted"),
    "random": ("random neurons", "random"),
    "all": ("the host's, nothing confined", "none"),
}


def f1_by_seed(group: RunGroup) -> pd.DataFrame:
    """`forcing.f1_table` of every seed, after a column seed."""
    return stack([group], lambda run: run.table("forced"), ["seed"])


def f1(group: RunGroup) -> pd.DataFrame:
    """The means of `f1_by_seed`: entity_f1_base, entity_f1_removed, entity_f1_end, regained."""
    keys = [*_KEYS, "entity"]
    return f1_by_seed(group).groupby(keys, sort=False)[_F1].mean().reset_index()


def forced_rises(group: RunGroup) -> pd.DataFrame:
    """Rise of the share of each group of `_COMPARED` that carries both, seed by seed.

    Gives seed, target, dose, n_neurons, group (its name), condition (whose sign it has),
    n_both_removed (just after the removal), n_both_end, rise.
    """
    rows = stack([group], lambda run: run.table("carriers"), ["seed"])
    rows = rows[rows["target"].isin(_COMPARED)]
    groups, signs = zip(*rows["target"].map(_COMPARED), strict=True)
    columns = ["seed", *_KEYS, "group", "condition", "n_both_removed", "n_both_end", "rise"]
    return rows.assign(group=groups, condition=signs)[columns]


def judged(group: RunGroup) -> pd.DataFrame:
    """One row for each number of the host's neurons, with its verdict.

    regained (share of the loss), entity_f1_end of the concept; price (F1 that the host lost); rise
    and beyond_random (less that of random neurons), each with `_low` and `_high`.
    """
    assert isinstance(group.config, ForcingConfig)
    concept, host = group.config.entities
    rows = f1(group)
    rows = rows[rows["target"] == "host"].set_index("entity")
    own, hosts = rows.loc[[concept]], rows.loc[[host]]
    price = (hosts["entity_f1_removed"] - hosts["entity_f1_end"]).to_numpy()
    table = own[["dose", "n_neurons", *_F1]].assign(price=price).reset_index(drop=True)
    found = forced_rises(group)
    found = found[found["target"] == "host"]
    over = mean_interval(found, ["dose"], ["rise"], bounds={"rise": _RISE})
    table = table.merge(over, on="dose")
    name = "beyond_random"
    parts = [beyond(run.table("carriers"), "random") for run in group.runs]
    mean = mean_interval(pd.concat(parts), ["dose"], [name], bounds={name: _DIFFERENCE})
    table = table.merge(mean.drop(columns="n_seeds"), on="dose")
    verdicts = [
        rules.forced(
            lost=1 - row["entity_f1_removed"] / row["entity_f1_base"],
            regained=row["regained"],
            price=row["price"],
            rise=Estimate.of(row, "rise"),
            beyond_random=Estimate.of(row, "beyond_random"),
        )
        for _, row in table.iterrows()
    ]
    return table.assign(verdict=verdicts)


def beyond(carriers: pd.DataFrame, control: str) -> pd.DataFrame:
    """Rise of the host's neurons less that of a control, at every dose.

    Gives dose, n_neurons, beyond_<control>, with `_low` and `_high` (over neurons, taken as
    independent).
    """
    keys = ["dose", "n_neurons"]
    host, other = (
        carriers[carriers["target"] == name].set_index(keys) for name in ("host", control)
    )
    name, difference = f"beyond_{control}", host["rise"] - other["rise"]
    margin = np.hypot(*(table["rise_high"] - table["rise"] for table in (host, other)))
    ends = {f"{name}_low": difference - margin, f"{name}_high": difference + margin}
    return pd.DataFrame({name: difference, **ends}).dropna().reset_index()
