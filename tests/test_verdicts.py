"""A verdict says what was regained of what was lost, and nothing where nothing was."""

import pandas as pd
import pytest

from plasticity_utils.book.front import head_verdict
from plasticity_utils.formats import signed


def recovered(base, removed, end, epochs=0.5):
    lost = base - removed
    recovery = (end - removed) / lost if lost > 0.05 else float("nan")
    row = {"base": base, "removed": removed, "end": end, "recovery": recovery}
    row["epochs_to_95"] = epochs
    return pd.DataFrame([row, row], index=["head", "targeted"])


@pytest.mark.parametrize(
    ("base", "removed", "end", "verdict"),
    [
        (0.90, 0.02, 0.89, "had not left"),
        # Nine tenths of the base, and nothing of the loss: that is no return.
        (0.90, 0.83, 0.83, "no longer carries"),
        (0.90, 0.02, 0.05, "no longer carries"),
        (0.90, 0.02, 0.45, "a part of LOC"),
        (0.90, 0.88, 0.90, "took little"),
        (0.00, 0.00, 0.00, "took little"),
    ],
)
def test_the_head_is_judged_by_what_it_regains(base, removed, end, verdict):
    assert verdict in head_verdict(recovered(base, removed, end), "LOC")


def test_a_tiny_loss_is_no_minus_zero():
    assert signed(-0.0002) == "+0.000"
    assert signed(-0.0156) == "-0.016"
