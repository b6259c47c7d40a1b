"""Stack the answers of several runs; intervals and tests over them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.multitest import multipletests

from plasticity_utils.analysis.rules import LEAST_RUNS, OPEN, Estimate, decide
from plasticity_utils.results.derived import derived
from plasticity_utils.results.groups import Seeds, check_poolable
from plasticity_utils.results.stack import mean_interval, stack

RUN = ["concept", "entity", "seed"]


NO_SPREAD = 1e-9


def stacked(groups: Sequence[Seeds], name: str) -> pd.DataFrame:
    """Stack one answer of all runs.

    Parameters
    ----------
    groups : sequence of Seeds
        From `holding`; at least one.
    name : str
        Of `derived.MAKERS`.

    Returns
    -------
    DataFrame
        concept, entity (its type), seed, and the answer's columns.

    Raises
    ------
    InputError
        If the series differ in model or scale.
    """
    check_poolable(groups)
    return stack(groups, lambda run: derived(run, name), RUN)


def over_runs(table: pd.DataFrame, keys: Sequence[str], values: Sequence[str]) -> pd.DataFrame:
    """Mean and 95 % interval of each value over runs (concepts × seeds).

    Parameters
    ----------
    table : DataFrame
        One row a run for each combination of the keys, usually a part of `stacked`.
    keys, values : sequence of str

    Returns
    -------
    DataFrame
        As `mean_interval`, with n_runs in place of n_seeds.
    """
    return mean_interval(table, keys, values).rename(columns={"n_seeds": "n_runs"})


def beyond_control(table: pd.DataFrame, keys: Sequence[str], value: str) -> pd.DataFrame:
    """Subtract the value under `random` from that under `targeted`, within each run.

    Parameters
    ----------
    table : DataFrame
        condition, the keys, the columns of `RUN`, and the value.
    keys : sequence of str
    value : str

    Returns
    -------
    DataFrame
        The columns of `RUN`, the keys, effect (under `targeted`), control (under `random`), and
        beyond_control, their difference.
    """
    wide = table.pivot_table(index=[*RUN, *keys], columns="condition", values=value, sort=False)
    wide = wide[["targeted", "random"]].set_axis(["effect", "control"], axis=1)
    return wide.assign(beyond_control=wide["effect"] - wide["control"]).reset_index()


def estimate(rows: pd.DataFrame, value: str) -> Estimate:
    """Mean over the concepts of a table, a row a run, with the spread of seeds within each."""
    rows = rows if "concept" in rows else rows.assign(concept="")
    found = mean_interval(rows, [], [value], over="concept").iloc[0]
    return Estimate.of(found, value)


def judged(claim: str, values: pd.DataFrame, least: float, side: int = 1) -> dict[str, object]:
    """Judge one claim on one row a run.

    Parameters
    ----------
    claim : str
    values : DataFrame
        From `beyond_control`: concept, effect, control, beyond_control.
    least : float
    side : {1, −1}
        The predicted sign.

    Returns
    -------
    dict
        claim; effect, control, beyond_control, each with `_low` and `_high` in their own sign;
        least, verdict.
    """
    names = ("effect", "control", "beyond_control")
    found = {name: estimate(values, name) for name in names}
    row: dict[str, object] = {"claim": claim}
    for name, one in found.items():
        row |= {name: one.value, f"{name}_low": one.low, f"{name}_high": one.high}
    verdict = OPEN
    if len(values) >= LEAST_RUNS:
        effect, beyond = (found[name].times(side) for name in ("effect", "beyond_control"))
        verdict = decide(effect, beyond, least)
    return {**row, "least": side * least, "verdict": verdict}


def tests_over_runs(table: pd.DataFrame, keys: Sequence[str], value: str) -> pd.DataFrame:
    """Test for each combination of the keys if a value differs from 0 over runs (t test).

    Parameters
    ----------
    table, keys, value
        As for `over_runs`.

    Returns
    -------
    DataFrame
        The keys, p, and p_adjusted (Holm over the whole table); NaN for a single run.
    """
    found = table.groupby(list(keys), sort=False, dropna=False)[value].agg(_p_of_zero)
    rows = found.rename("p").reset_index()
    known = rows["p"].notna()
    rows["p_adjusted"] = np.nan
    if known.any():
        rows.loc[known, "p_adjusted"] = multipletests(rows.loc[known, "p"], method="holm")[1]
    return rows


def interval(groups: Sequence[Seeds]) -> str:
    """Say what the intervals of `over_runs` are, for a chart's note."""
    runs = [run for seeds in groups for run in seeds.runs]
    n_seeds = len({run.config.seed for run in runs})
    n_concepts = len({run.config.concept for run in runs})
    if len(runs) < 2:
        return "no interval, since there are not several runs"
    return (
        f"mean and 95 % interval over {len(runs)} runs ({_count(n_concepts, 'concept')}, "
        f"{_count(n_seeds, 'seed')})"
    )


def _p_of_zero(values: pd.Series) -> float:
    known = values.dropna()
    # Without spread, as where a layer cannot change, there is nothing to test.
    if len(known) < 2 or np.ptp(known) < NO_SPREAD:
        return float("nan")
    return float(stats.ttest_1samp(known, 0).pvalue)


def _count(n: int, thing: str) -> str:
    return f"{n} {thing}{'s' if n != 1 else ''}"
