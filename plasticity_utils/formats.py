"""How numbers are written."""

from __future__ import annotations

import pandas as pd


def percent(share: float) -> str:
    """Write a share in [0, 1] as a percentage of three digits."""
    return f"{100 * share:.3g} %"


def signed(value: float) -> str:
    """Write a difference with its sign and three decimals."""
    # Adding 0.0 turns the −0.0 of a rounded tiny loss into 0.0.
    return f"{round(value, 3) + 0.0:+.3f}"


def with_interval(row: pd.Series, value: str) -> str:
    """Write a signed value of a row of a table, with its interval where it has one."""
    mean, low, high = (float(row[f"{value}{end}"]) for end in ("", "_low", "_high"))
    if pd.isna(low):
        return signed(mean)
    return f"{signed(mean)} ({signed(low)} to {signed(high)})"


def named_series(table: pd.DataFrame) -> pd.DataFrame:
    """Name the series of a table in `series`: the concept, and the model where there are several.

    Parameters
    ----------
    table : DataFrame
        With columns concept and model, as from `across`.
    """
    several = table["model"].nunique() > 1
    names = table["concept"] + " (" + table["model"] + ")" if several else table["concept"]
    return table.assign(series=names)
