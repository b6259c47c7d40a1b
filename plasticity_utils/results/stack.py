"""Tables of several runs under each other, and their means with intervals.

The unit is the seed, within a concept: an interval is Student's t over the seeds of one concept. A
mean over named concepts says something of these concepts alone, so its interval has the spread
within them, pooled, and not that between them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from plasticity_utils.experiment.record import Run
from plasticity_utils.experiment.run_names import variant

if TYPE_CHECKING:
    from plasticity_utils.results.groups import RunGroup

_CONFIDENCE = 0.95
# What tells groups of runs apart, and with the seed runs.
GROUP = ["concept", "entity", "model", "scale", "regime", "variant"]
_RUN = [*GROUP, "seed"]
# The bounds of a share, and of F1; and of the difference of two.
SHARE_BOUNDS, DIFFERENCE_BOUNDS = (0.0, 1.0), (-1.0, 1.0)
_ALONE = "alone"


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval; the ends are NaN where there is none."""

    value: float
    low: float = float("nan")
    high: float = float("nan")

    @classmethod
    def of(cls, row: pd.Series, name: str) -> Estimate:
        """The value `name` of a row of a table, with its `_low` and `_high`."""
        return cls(*(float(row[f"{name}{end}"]) for end in ("", "_low", "_high")))

    def times(self, side: int) -> Estimate:
        """The same seen from the predicted side: −1 turns it around."""
        low, high = sorted([side * self.low, side * self.high])
        return Estimate(side * self.value, low, high)


def stack(
    groups: Iterable[RunGroup],
    of_run: Callable[[Run], pd.DataFrame | Mapping[str, object] | None],
    names: Sequence[str] = _RUN,
) -> pd.DataFrame:
    """Lay a table of each run under that of the one before it, after what tells runs apart.

    `of_run` gives the table of one run, or its numbers by name; None leaves the run out. `names`
    say which of concept (its title), entity (its tag), model, scale, regime, variant and seed stand
    before its columns.
    """
    found = ((run, of_run(run)) for group in groups for run in group.runs)
    parts = [named(run, table, names) for run, table in found if table is not None]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(names))


def group_means(
    groups: Iterable[RunGroup],
    of_run: Callable[[Run], pd.DataFrame | Mapping[str, object] | None],
    keys: Sequence[str] = (),
    values: Sequence[str] | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
) -> pd.DataFrame:
    """Average a table of each run over the seeds of its group: `stack`, then `mean_interval`."""
    return mean_interval(stack(groups, of_run), [*GROUP, *keys], values, bounds=bounds)


def mean_interval(
    table: pd.DataFrame,
    keys: Sequence[str],
    values: Sequence[str] | None = None,
    *,
    over: str | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
) -> pd.DataFrame:
    """Mean and 95 % interval of each value over the rows that share the keys.

    Parameters
    ----------
    table : DataFrame
        One row a seed for each combination of the keys, usually from `stack`.
    keys : sequence of str
        Columns; without any there is one row.
    values : sequence of str, optional
        Columns; by default all numbers but keys, seed, and ends of intervals.
    over : str, optional
        Column of what is averaged over beside the seeds, usually `concept`: the mean is then that
        of the concepts' means, and its interval has the pooled spread within concepts.
    bounds : mapping of value to (least, greatest), optional
        Where a value cannot go beyond; Student's t does not know of that, so its interval is cut
        there.

    Returns
    -------
    DataFrame
        The keys, n_seeds (with `over` n_concepts and n_runs), and for each value `<value>`,
        `<value>_low`, `<value>_high`. Missing values are left out. Of a single value the ends are
        NaN; of a group of runs with a single seed they are those of the table, if it has any (of
        F1: over sentences). Of an empty table the keys that it has.
    """
    keys = list(keys)
    if table.empty:
        return table[[name for name in keys if name in table]]
    if values is None:
        numbers = table.select_dtypes(np.number).columns
        values = [name for name in numbers if not name.endswith(("_low", "_high"))]
        values = [name for name in values if name not in (*keys, "seed")]
    by = keys or [pd.Series(0, index=table.index, name="row")]
    table = table.astype(dict.fromkeys(values, float))
    table[_ALONE] = _is_alone(table, keys)
    strata = table.groupby([*by, over] if over else by, sort=False, dropna=False)
    grouped = table.groupby(by, sort=False, dropna=False)
    parts = [grouped.size().rename("n_runs" if over else "n_seeds")]
    if over:
        parts.insert(0, grouped[over].nunique().rename("n_concepts"))
    for value in values:
        found = strata[value].agg(["mean", "var", "count"])
        found = found[found["count"] > 0] if over else found
        found["free"] = (found["count"] - 1).clip(lower=0)
        found["squares"] = found["var"].fillna(0) * found["free"]
        found["parts"], found["inverse"] = 1, 1 / found["count"]
        of_key = found.groupby(level=list(range(len(by))), sort=False, dropna=False)
        mean, total = of_key["mean"].mean(), of_key[["free", "squares", "parts", "inverse"]].sum()
        spread = total["squares"] / total["free"].where(total["free"] > 0)
        error = np.sqrt(spread * total["inverse"]) / total["parts"]
        within = (bounds or {}).get(value, (-np.inf, np.inf))
        margin = error * stats.t.ppf((1 + _CONFIDENCE) / 2, total["free"].clip(lower=1))
        parts.append(mean.rename(value))
        for name, end in ((f"{value}_low", mean - margin), (f"{value}_high", mean + margin)):
            own = grouped[name].mean().where(grouped[_ALONE].all()) if name in table else np.nan
            parts.append(end.clip(*within).fillna(own).rename(name))
    return pd.concat(parts, axis=1).reset_index(drop=not keys)


def seed_columns(table: pd.DataFrame, value: str, keys: Sequence[str]) -> pd.DataFrame:
    """Lay the few values of a number out, a column a seed, and their mean: without an interval."""
    wide = table.pivot_table(index=list(keys), columns="seed", values=value, sort=False)
    wide = wide.reindex(columns=sorted(table["seed"].unique())).rename(columns="seed {}".format)
    return wide.assign(mean=wide.mean(axis=1)).rename_axis(columns=None).reset_index()


def _is_alone(table: pd.DataFrame, keys: Sequence[str]) -> pd.Series | bool:
    """Tell which rows are of a group of runs with a single seed."""
    of_group = [name for name in GROUP if name in keys]
    if "seed" not in table:
        return False
    if not of_group:
        return table["seed"].nunique() == 1
    return table.groupby(of_group, dropna=False)["seed"].transform("nunique") == 1


def named(
    run: Run, found: pd.DataFrame | Mapping[str, object], names: Sequence[str]
) -> pd.DataFrame:
    """Put what tells a run apart before its table, or before its numbers in one row."""
    config = run.config
    values = {
        "concept": config.concept_info.title,
        "entity": config.label,
        "model": config.model,
        "scale": config.scale,
        "regime": config.regime,
        "variant": variant(config),
        "seed": config.seed,
    }
    # A copy: some of these tables are kept by the run itself.
    table = found.copy() if isinstance(found, pd.DataFrame) else pd.DataFrame([dict(found)])
    for place, name in enumerate(names):
        table.insert(place, name, values[name])
    return table
