"""How a person reads a number: one function a kind, with a real minus sign and its zeros kept.

Files hold plain numbers; these are for pages, tables, cards and labels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import SupportsFloat

import pandas as pd

NO_NUMBER, MINUS = "–", "−"
# From these sizes on, a number has at most so many digits after the point; and so it is from these
# sizes on of half of its interval.
FEWER_DIGITS = {100.0: 0, 10.0: 1}
DIGITS_OF_INTERVALS = {1.0: 0, 0.1: 2}


def fixed(value: SupportsFloat, digits: int, sign: bool = False) -> str:
    """Write a number with these digits after the point; one that rounds to nothing has no minus."""
    if not math.isfinite(value):
        return NO_NUMBER
    # Adding 0.0 turns the −0.0 of a rounded tiny loss into 0.0.
    rounded = round(float(value), digits) + 0.0
    text = f"{rounded:,.{digits}f}".replace("-", MINUS)
    return f"+{text}" if sign and rounded > 0 else text


def number(value: SupportsFloat, digits: int = 3, sign: bool = False) -> str:
    """Write a measured number: three digits after the point, larger ones fewer."""
    return fixed(value, digits_of(value, digits), sign)


def short(value: SupportsFloat, sign: bool = False) -> str:
    """Write a number that stands among many others: two digits after the point, or fewer."""
    return number(value, 2, sign)


def digits_of(
    value: SupportsFloat, digits: int = 3, fewer: Mapping[float, int] = FEWER_DIGITS
) -> int:
    """How many digits after the point a measured number has, `digits` if it is small."""
    at_most = (few for least, few in fewer.items() if abs(float(value)) >= least)
    return min(digits, next(at_most, digits))


def digits_with_interval(value: float, low: float, high: float) -> int:
    """How many digits a number has with its interval: none that the interval leaves open."""
    return min(digits_of(value), digits_of((high - low) / 2, fewer=DIGITS_OF_INTERVALS))


def signed(value: SupportsFloat, digits: int = 3) -> str:
    """Write a difference with its sign."""
    return fixed(value, digits, sign=True)


def percent(share: SupportsFloat) -> str:
    """Write a measured share in [0, 1] as a percentage."""
    return f"{fixed(100 * float(share), 1)} %"


def chosen_percent(share: SupportsFloat) -> str:
    """Write a share that was set, and not measured, as a percentage without idle zeros."""
    return f"{100 * float(share):.3g} %"


def with_interval(row: pd.Series, value: str) -> str:
    """Write a signed value of a row of a table, with its interval where it has one."""
    mean, low, high = (float(row[f"{value}{end}"]) for end in ("", "_low", "_high"))
    if pd.isna(low):
        return signed(mean)
    digits = digits_with_interval(mean, low, high)
    return f"{signed(mean, digits)} ({signed(low, digits)} to {signed(high, digits)})"
