"""When is a question answered? One rule for all that have an effect, a control and runs.

*Yes*: the effect's 95 % interval over runs lies wholly on the predicted side of 0, and so does that
of effect minus control (within each run), and the effect is at least as large as the smallest that
would matter. That one interval excludes 0 and the other does not would show no difference.
*No*: one of the two intervals lies wholly below the smallest effect that would matter; then an
effect of that size is excluded, or the control does as much. *Not resolved*: neither, and fewer
than three runs always: two that happen to agree have a narrow interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from plasticity_utils.analysis.pooling import over_runs

YES, NO, OPEN = "yes", "no", "not resolved"
LEAST_RUNS = 3
RULE = (
    "*Yes*: the 95 % interval over runs lies wholly on the predicted side of zero, that of effect "
    "minus control too, and the effect is at least as large as the smallest that would matter. "
    "*No*: one of the two intervals lies wholly below that smallest effect. *Not resolved*: "
    f"neither, or fewer than {LEAST_RUNS} runs."
)


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval, positive on the predicted side.

    Attributes
    ----------
    value, low, high : float
        The ends are NaN where there is no interval.
    """

    value: float
    low: float
    high: float


def estimate(values: Sequence[float] | np.ndarray) -> Estimate:
    """Mean of one value a run, with its interval over runs (Student's t).

    Parameters
    ----------
    values : sequence of float, [n_runs]
    """
    table = pd.DataFrame({"all": "", "value": np.asarray(values, dtype=float)})
    row = over_runs(table, ["all"], ["value"]).iloc[0]
    return Estimate(row["value"], row["value_low"], row["value_high"])


def decide(effect: Estimate, beyond_control: Estimate, least: float) -> str:
    """Apply the rule of this module.

    Parameters
    ----------
    effect, beyond_control : Estimate
        The effect, and the effect minus that of the control.
    least : float
        The smallest effect that would matter, above 0.

    Returns
    -------
    {"yes", "no", "not resolved"}
    """
    if effect.high < least or beyond_control.high < least:
        return NO
    if effect.low > 0 and beyond_control.low > 0 and effect.value >= least:
        return YES
    return OPEN


def together(verdicts: Sequence[str]) -> str:
    """Verdict of a question that is answered yes only if each of its measures says so.

    *No* likewise needs all of them; measures that disagree leave it open.
    """
    distinct = set(verdicts)
    return distinct.pop() if len(distinct) == 1 else OPEN


def judged(claim: str, values: pd.DataFrame, least: float, side: int = 1) -> dict[str, object]:
    """Judge one claim on one row a run.

    Parameters
    ----------
    claim : str
    values : DataFrame
        From `pooling.beyond_control`: effect, control, beyond_control.
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
    found = {name: estimate(side * values[name].to_numpy()) for name in names}
    row: dict[str, object] = {"claim": claim}
    for name, one in found.items():
        ends = sorted([side * one.low, side * one.high])
        row |= {name: side * one.value, f"{name}_low": ends[0], f"{name}_high": ends[1]}
    verdict = OPEN
    if len(values) >= LEAST_RUNS:
        verdict = decide(found["effect"], found["beyond_control"], least)
    return {**row, "least": side * least, "verdict": verdict}
