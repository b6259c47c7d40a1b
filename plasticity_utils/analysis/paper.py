"""What the paper's released tables show, once they are read beside their control.

Lo, Cohen & Barez (2024) published every neuron's rank before removal and after retraining. Rank is
relative: cutting neurons out sends them to the bottom and everybody else up, so a layer that lost
few neurons rises by itself. `removal_only_profile` says how far. The tables in `book/reference` are
derived from the released ones.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from plasticity_utils.analysis.rules import beside_removal
from plasticity_utils.errors import InputError
from plasticity_utils.files import ROOT
from plasticity_utils.neurons.scores import rank_saliency, removal_only_profile

REFERENCE = ROOT / "book" / "reference"
N_SELECTED = 3000
# How a row of `f1_trajectories` is named.
LOG = r"(?P<log>\S+) @(?P<commit>\w+) \((?P<cut>[^)]*)\)"


def load_reference(name: str) -> pd.DataFrame:
    """Read a table derived from the released results; the README beside them describes each."""
    path = REFERENCE / f"{name}.csv"
    if not path.is_file():
        allowed = ", ".join(sorted(file.stem for file in REFERENCE.glob("*.csv")))
        raise InputError(f"unknown reference {name!r}; allowed: {allowed}")
    return pd.read_csv(path)


def f1_trajectories() -> pd.DataFrame:
    """Overall word-level F1 of DistilBERT in the released logs (locations), a row a log.

    Gives log, commit, cut (what was removed, as far as the log says), base, removed, and block 1 to
    block 4 (after each block of retraining; missing where a log has none).
    """
    table = load_reference("f1_trajectories")
    f1 = table.drop(columns=["log", "model"])
    f1.columns = ["base", "removed", *(f"block {number}" for number in range(1, 5))]
    return pd.concat([table["log"].str.extract(LOG), f1], axis=1)


def removed_as_released(ranks: pd.DataFrame) -> np.ndarray:
    """Flat ids that were cut out in the released run (DistilBERT, locations).

    The 3,000 neurons that the base ranks highest were selected. `layer[layer_id − 1]` sends those
    of the embedding layer to the last block, so there the neuron of the same unit went instead.
    """
    n_units, last = int(ranks["unit"].max()) + 1, int(ranks["layer"].max())
    selected = ranks[ranks["rank_base"] < N_SELECTED]
    layer = selected["layer"].where(selected["layer"] > 0, last)
    return np.unique(layer * n_units + selected["unit"])


def released_layers(ranks: pd.DataFrame) -> pd.DataFrame:
    """Mean rank saliency by layer: as released, as removal alone predicts, and of intact neurons.

    Gives layer, n_removed, base, after (8 epochs), removal_only, intact_base, intact_after (the
    neurons that were not cut out, ranked among themselves); saliencies in [0, 1].
    """
    ranks = ranks.sort_values("neuron")
    n_layers = int(ranks["layer"].max()) + 1
    gone = removed_as_released(ranks)
    order = ranks.sort_values("rank_base")["neuron"].to_numpy()
    table = ranks.assign(
        base=rank_saliency(order),
        after=rank_saliency(ranks.sort_values("rank_epoch8")["neuron"].to_numpy()),
        removed=ranks["neuron"].isin(gone),
    )
    whole = table.groupby("layer").agg(
        n_removed=("removed", "sum"), base=("base", "mean"), after=("after", "mean")
    )
    left = table[~table["removed"]]
    intact = pd.DataFrame(
        {
            "layer": left["layer"],
            "base": left["rank_base"].rank(ascending=False).sub(1) / (len(left) - 1),
            "after": left["rank_epoch8"].rank(ascending=False).sub(1) / (len(left) - 1),
        }
    )
    intact = intact.groupby("layer").mean()
    return whole.assign(
        removal_only=removal_only_profile(order, gone.tolist(), n_layers),
        intact_base=intact["base"],
        intact_after=intact["after"],
    ).reset_index()


def released_lines(profile: pd.DataFrame) -> pd.DataFrame:
    """Lay `released_layers` out for its chart: neurons, condition, layer, rank_saliency."""
    every = {"base": "base", "after": "targeted", "removal_only": "removal alone"}
    intact = {"intact_base": "base", "intact_after": "targeted"}
    groups = {"all neurons": every, "neurons left intact, ranked among themselves": intact}
    return pd.concat(
        [
            profile[["layer", column]]
            .rename(columns={column: "rank_saliency"})
            .assign(neurons=group, condition=condition)
            for group, columns in groups.items()
            for column, condition in columns.items()
        ],
        ignore_index=True,
    )


# What the README of the reference tables says of each set.
SETS = {
    "DB-loc": ("DistilBERT", "locations", "probeless, 3,000"),
    "DB-loc-2": ("DistilBERT", "locations", "probeless, 2,688"),
    "DB-name": ("DistilBERT", "persons", "probeless, 3,000"),
    "DB-probe-v1": ("DistilBERT", "locations", "linear probe, 2,688"),
    "DB-probe-v2tail": ("DistilBERT", "locations", "linear probe, tail, 2,688"),
    "DGPT2-loc": ("DistilGPT2", "locations", "not known"),
    "gpt2dir": ("DistilGPT2", "locations", "not known"),
}


def released_centres() -> pd.DataFrame:
    """Centre of rank saliency in each of the seven released sets, before and after 8 epochs.

    set, model, concept, selected (how, and how many); before, after, removal_only (what removal
    alone predicts), intact_before, intact_after (neurons left, ranked among themselves); missing
    where the tables do not tell which neurons were cut out; and beside (`rules.beside_removal`).
    """
    profile = load_reference("layer_saliency_unfiltered_null")
    columns = {
        "base": "before",
        "rt8": "after",
        "null_move_pruned_to_bottom": "removal_only",
        "unpr_base": "intact_before",
        "unpr_rt8": "intact_after",
    }
    rows = []
    for name, about in SETS.items():
        own = profile[profile["set"] == name]
        weights = own[list(columns)].rename(columns=columns)
        centre = weights.mul(own["layer"], axis=0).sum() / weights.sum()
        beside = beside_removal(
            float(centre["after"] - centre["before"]),
            float(centre["removal_only"] - centre["before"]),
        )
        named = dict(zip(("set", "model", "concept", "selected"), (name, *about), strict=True))
        rows.append({**named, **centre, "beside": beside})
    return pd.DataFrame(rows)
