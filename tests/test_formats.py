"""How numbers are written."""

import numpy as np
import pandas as pd
import pytest

from plasticity_utils import formats


def test_the_minus_is_real_and_nothing_has_no_sign():
    assert formats.signed(-0.0156) == "−0.016"
    assert formats.signed(0.0156) == "+0.016"
    assert formats.signed(-0.0002) == formats.signed(0.0002) == "0.000"
    assert formats.fixed(-0.04, 1) == "0.0"


def test_zeros_at_the_end_are_kept_of_what_is_measured():
    assert formats.number(0.5) == "0.500"
    assert formats.short(1) == "1.00"
    assert formats.percent(0.98) == "98.0 %"
    assert formats.chosen_percent(0.02) == "2 %"
    assert formats.chosen_percent(0.0005) == "0.05 %"


@pytest.mark.parametrize(
    ("value", "text"),
    [(-9.5, "−9.500"), (72.04, "72.0"), (1234.5, "1,234"), (np.nan, "–"), (np.inf, "–")],
)
def test_large_numbers_have_fewer_digits_and_no_number_is_a_dash(value, text):
    assert formats.number(value) == text


@pytest.mark.parametrize(
    ("value", "sign", "text"),
    [(0.8349, True, "+0.83"), (-0.5, False, "−0.50"), (0.0, True, "0.00"), (12.34, False, "12.3")],
)
def test_numbers_among_many_are_short(value, sign, text):
    assert formats.short(value, sign) == text


@pytest.mark.parametrize(
    ("value", "half", "digits"),
    [(0.9412, 0.004, 3), (0.81, 0.3, 2), (9.33, 7.0, 0), (73.4, 0.2, 1)],
)
def test_a_number_has_no_digits_that_its_interval_leaves_open(value, half, digits):
    assert formats.digits_with_interval(value, value - half, value + half) == digits


def test_an_interval_stands_beside_its_value_where_there_is_one():
    row = pd.Series({"rise": -0.1, "rise_low": -0.2, "rise_high": 0.05})
    assert formats.with_interval(row, "rise") == "−0.10 (−0.20 to +0.05)"
    assert formats.with_interval(row.replace(-0.2, np.nan), "rise") == "−0.100"
