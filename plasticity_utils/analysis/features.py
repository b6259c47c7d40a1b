"""What the ranking of features and units says: does one feature tell a concept better?"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from plasticity_utils.analysis import rules
from plasticity_utils.experiment.record import Audit
from plasticity_utils.names import ASKED, BY_SELECTIVITY, FEATURE, NEURON, RANDOM_FEATURE
from plasticity_utils.results.stack import DIFFERENCE_BOUNDS, Estimate, mean_interval

# The smallest difference in average precision that would matter.
LEAST_PRECISION = 0.05
_KEYS = ["concept", "ranking"]


def features_table(found: Sequence[Audit]) -> pd.DataFrame:
    """The tables `features` of all seeds: seed, and their columns."""
    parts = [one.table("features").assign(seed=one.config.seed) for one in found]
    return pd.concat(parts, ignore_index=True)


def by_kind(table: pd.DataFrame, n_read: int, value: str = "average_precision") -> pd.DataFrame:
    """Score of the best `n_read` of each kind: concept, ranking, seed, and a column a kind."""
    own = table[table["n_read"] == n_read]
    wide = own.pivot_table(index=[*_KEYS, "seed"], columns="kind", values=value, sort=False)
    return wide[own["kind"].unique()].rename_axis(columns=None).reset_index()


def beside_neurons(table: pd.DataFrame) -> pd.DataFrame:
    """Judge the best feature beside the best neuron and the best random feature.

    A row a concept and ranking: the mean of each kind over seeds, `beyond_neuron` and
    `beyond_random` (what the feature has more, with its interval), and the word of `decide`.
    """
    wide = by_kind(table, 1)
    wide["beyond_neuron"] = wide[FEATURE] - wide[NEURON]
    wide["beyond_random"] = wide[FEATURE] - wide[RANDOM_FEATURE]
    kinds = list(table["kind"].unique())
    differences = ["beyond_neuron", "beyond_random"]
    bounds = dict.fromkeys(differences, DIFFERENCE_BOUNDS)
    judged = mean_interval(wide, _KEYS, differences, bounds=bounds)
    judged["verdict"] = [
        rules.decide(
            Estimate.of(row, "beyond_neuron"), Estimate.of(row, "beyond_random"), LEAST_PRECISION
        )
        for _, row in judged.iterrows()
    ]
    means = wide.groupby(_KEYS, sort=False)[kinds].mean().reset_index()
    return means.merge(judged, on=_KEYS)


def answers(judged: pd.DataFrame) -> pd.Series:
    """One word a concept, from `beside_neurons`: what both rankings say."""
    found = judged.groupby("concept", sort=False)["verdict"]
    return found.agg(lambda words: rules.together(list(words)))


def by_number(table: pd.DataFrame, ranking: str) -> pd.DataFrame:
    """Mean average precision over seeds: concept, n_read, and a column a kind."""
    own = table[table["ranking"] == ranking]
    keys = ["concept", "n_read"]
    wide = own.pivot_table(index=keys, columns="kind", values="average_precision", sort=False)
    return wide[own["kind"].unique()].rename_axis(columns=None).reset_index()


def answers_to(one: Audit) -> pd.DataFrame:
    """Words of the best feature and neuron of each concept by selectivity.

    Gives concept, kind, layer, number (of the feature, or the neuron's unit), words.
    """
    words = one.table("feature_words")
    own = words[(words["ranking"] == BY_SELECTIVITY) & (words["place"] == 1)]
    own = own[own["kind"].isin([FEATURE, NEURON])].sort_values("concept", key=_places)
    # A name, and no quantity.
    own = own.assign(number=own["unit"].astype(str))
    return own[["concept", "kind", "layer", "number", "words"]]


def _places(concepts: pd.Series) -> pd.Series:
    return concepts.map(ASKED.index)
