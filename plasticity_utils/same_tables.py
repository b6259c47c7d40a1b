"""Is it the same concept? The answers of many runs, side by side.

Every comparison is made within a run first (`concept` against `none`, which share base and data)
and then averaged: over the seeds of a concept, and over all runs. The runs of a seed share a base
model, so intervals over all runs take them for more independent than they are; those over seeds do
not, and are wide where seeds are few.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from plasticity_utils.questions.answers import answer
from plasticity_utils.run import Run
from plasticity_utils.seeds import Seeds, over_seeds
from plasticity_utils.tables import reliance_table
from plasticity_utils.wording import wording

ALL = "all concepts"
SAME = (
    "cka", "cka_none", "as_is", "as_is_none", "aligned", "aligned_none", "shuffled",
    "lost_as_is", "lost_aligned", "lost_cka", "on_same", "on_new", "on_random",
    "on_new_beyond", "aligned_beyond", "as_is_kept", "as_is_kept_none",
    "lost_as_is_kept",
)  # fmt: skip
_SHARES = (
    "as_is", "as_is_none", "as_is_kept", "as_is_kept_none", "aligned", "aligned_none", "shuffled",
    "removed_share", "new", "new_none", "new_random",
)  # fmt: skip
_SHARES_OF_LOSS = ("on_same", "on_new", "on_random")


def answer_table(groups: Sequence[Seeds], name: str, keys: Sequence[str]) -> pd.DataFrame:
    """Average one of the runs' answers over the seeds of each concept.

    Parameters
    ----------
    groups : sequence of Seeds
        From `answered`.
    name : str
        One of `ANSWERS`.
    keys : sequence of str
        Its columns that are no measured values.

    Returns
    -------
    DataFrame
        concept, the keys, and each number with `_low` and `_high`; n_seeds.
    """
    return by_concept(groups, lambda seeds: seeds.paired(lambda run: answer(run, name), keys))


def reliance_of(groups: Sequence[Seeds]) -> pd.DataFrame:
    """F1 of each concept when neurons are removed again at the end, after `concept` and `none`.

    Returns
    -------
    DataFrame
        concept, condition, again, f1, f1_low, f1_high.
    """

    def own(seeds: Seeds) -> pd.DataFrame:
        rows = seeds.reliance[seeds.reliance["entity"] == seeds.config.label]
        return rows[["condition", "again", "f1", "f1_low", "f1_high"]]

    return by_concept(groups, own)


def same_by_run(groups: Sequence[Seeds]) -> pd.DataFrame:
    """One row a run: how far the concept is the same at the last layer, which the head reads.

    Returns
    -------
    DataFrame
        concept, seed; cka, cka_none (debiased, kept units, base to the end of `concept`, `none`);
        as_is, aligned, shuffled (share of the base's F1 that its probe keeps at the end of
        `concept`), as_is_none, aligned_none; as_is_kept, as_is_kept_none (of a probe that was
        fitted on the units that `concept` kept); lost_as_is, lost_as_is_kept, lost_aligned,
        lost_cka (`none` less `concept`); aligned_beyond (aligned less shuffled); on_same, on_new,
        on_random (share of F1 lost when these are removed again), on_new_beyond
        (on_new less on_random).
    """
    return by_run(groups, _same, SAME)


def averaged(runs: pd.DataFrame, values: Sequence[str]) -> pd.DataFrame:
    """Means and 95 % intervals: a row a concept over its seeds, and one over all runs.

    Parameters
    ----------
    runs : DataFrame
        From `same_by_run` or `taken_over_by_run`.
    values : sequence of str
        Of its columns.

    Returns
    -------
    DataFrame
        concept (the last row's is `all concepts`), n_runs, and each value with `_low`, `_high`
        (NaN for a single run).
    """
    both = pd.concat([runs, runs.assign(concept=ALL)])
    table = over_seeds(both, ["concept"], values).rename(columns={"n_seeds": "n_runs"})
    # These are shares; the t interval does not know that.
    lows = [f"{name}_low" for name in values if name in _SHARES]
    highs = [f"{name}_high" for name in values if name in _SHARES_OF_LOSS]
    table[lows] = table[lows].clip(lower=0)
    table[highs] = table[highs].clip(upper=1)
    return table


def by_concept(groups: Sequence[Seeds], work_out: Callable[[Seeds], pd.DataFrame]) -> pd.DataFrame:
    """Put the tables of several concepts under each other, with a column concept in front."""
    parts = [work_out(seeds).assign(concept=seeds.config.about.title) for seeds in groups]
    if not parts:
        return pd.DataFrame(columns=["concept"])
    table = pd.concat(parts, ignore_index=True)
    return table[["concept", *table.columns.drop("concept")]]


def by_run(
    groups: Sequence[Seeds], work_out: Callable[[Run], dict[str, float]], names: Sequence[str]
) -> pd.DataFrame:
    """Give every run a row: concept, seed, and the named numbers that are worked out of it."""
    rows = [
        {"concept": run.config.about.title, "seed": run.config.seed, **work_out(run)}
        for seeds in groups
        for run in seeds.runs
    ]
    return pd.DataFrame(rows, columns=["concept", "seed", *names])


def _same(run: Run) -> dict[str, float]:
    share, kept = _kept_f1(run, "all"), _kept_f1(run, "kept")
    cka = answer(run, "representation")
    cka = cka[(cka["layer"] == cka["layer"].max()) & (cka["stage"] == "end")]
    cka = cka[cka["units"] == "kept"].set_index("condition")["cka_debiased"]
    again = reliance_table(run.reliance)
    again = again[(again["entity"] == run.config.label) & (again["condition"] == "concept")]
    left = again.set_index("again")["f1"]
    new = wording(run.config).new
    lost = 1 - left / left["nothing"] if left["nothing"] > 0 else left * np.nan
    return {
        "cka": cka["concept"],
        "cka_none": cka["none"],
        "as_is": share.loc["concept", "none"],
        "as_is_none": share.loc["none", "none"],
        "as_is_kept": kept.loc["concept", "none"],
        "as_is_kept_none": kept.loc["none", "none"],
        "lost_as_is_kept": kept.loc["none", "none"] - kept.loc["concept", "none"],
        "aligned": share.loc["concept", "procrustes"],
        "aligned_none": share.loc["none", "procrustes"],
        "shuffled": share.loc["concept", "shuffled"],
        "lost_as_is": share.loc["none", "none"] - share.loc["concept", "none"],
        "lost_aligned": share.loc["none", "procrustes"] - share.loc["concept", "procrustes"],
        "lost_cka": cka["none"] - cka["concept"],
        "aligned_beyond": share.loc["concept", "procrustes"] - share.loc["concept", "shuffled"],
        "on_same": lost["same"],
        "on_new": lost[new],
        "on_random": lost["random"],
        "on_new_beyond": lost[new] - lost["random"],
    }


def _kept_f1(run: Run, units: str) -> pd.DataFrame:
    """Share of its F1 that the base's probe keeps at the last layer, condition by alignment."""
    f1 = answer(run, "transfer")
    f1 = f1[(f1["layer"] == f1["layer"].max()) & (f1["stage"] == "end") & (f1["units"] == units)]
    f1 = f1.pivot_table(index="condition", columns="alignment", values="f1")
    return f1.div(f1["base"].where(f1["base"] > 0), axis=0)
