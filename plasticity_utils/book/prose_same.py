"""Two verdicts by rules, set before the numbers were seen but for one case that says so.

*Is it the same concept?* The quantity is F1 at the last layer, which the head reads, of a probe
that was fitted on the base: the share of its F1 that it loses under `targeted` beyond what it loses
under `none`. Less than a tenth, the whole interval: the same directions. More, but less than a
tenth after an orthogonal alignment, which must keep a tenth more than one to shuffled words does:
the same geometry, turned. More even then: another representation. An interval that holds the tenth
resolves nothing, and neither does a single run. A probe that read removed units must fail whatever
became of the others, so one case was added once the first run had shown it: more is lost than a
tenth, but less by a probe of the kept units alone: there, the same directions.

*Do other neurons carry the parts of the concept?* The quantity is the share of the kept carriers at
the end that are new to their part, under `targeted` less under `none`. Wholly above zero, and a
twentieth or more on average: yes. Wholly below a tenth: no. Else nothing is resolved.
"""

from __future__ import annotations

import pandas as pd

from plasticity_utils.analysis.sameness import ALL
from plasticity_utils.formats import percent

MARGIN, LEAST_EFFECT = 0.1, 0.05
SAME, TURNED, OTHER = "the same directions", "the same geometry, turned", "another representation"
KEPT = "the same directions in the kept units"
OPEN, NOT_AS_IS = "not resolved", "not the same directions"
_ANSWERS = {
    SAME: "Yes: the same directions",
    KEPT: "Yes: the same directions in the kept units; what the old probe misses was removed",
    TURNED: "Yes, but turned: the same geometry in other directions",
    OTHER: "No: another representation",
    NOT_AS_IS: "Not resolved: the directions are others, but whether the geometry is the same is "
    "open",
    OPEN: "Not resolved",
}
_NEURONS = {
    "Yes": "other neurons carry the parts than before, beyond what training on brings",
    "No": "the parts stay with their neurons as much as where nothing was removed",
    "Not resolved": "whether other neurons carry the parts than before",
}


def representation_kind(row: pd.Series) -> str:
    """Say how alike two representations are, by the rule of this module.

    Parameters
    ----------
    row : Series
        lost_as_is, lost_as_is_kept, lost_aligned and aligned_beyond with `_low` and `_high`: a
        row of `averaged`.

    Returns
    -------
    str
        `SAME`, `KEPT`, `TURNED`, `OTHER`, `NOT_AS_IS` (turned or another: open) or `OPEN`.
    """
    as_is, aligned = (_side(row, name) for name in ("lost_as_is", "lost_aligned"))
    if as_is == "more":
        if _side(row, "lost_as_is_kept") == "less":
            return KEPT
        if aligned == "less" and _side(row, "aligned_beyond") == "more":
            return TURNED
        return OTHER if aligned == "more" else NOT_AS_IS
    return SAME if as_is == "less" else OPEN


def other_neurons(row: pd.Series) -> bool:
    """Tell whether the model relies on neurons other than those removed, by both intervals.

    Parameters
    ----------
    row : Series
        on_same and on_new_beyond (more than random ones), shares of F1, with `_low` and `_high`: a
        row of `averaged`.
    """
    return _side(row, "on_new_beyond") == "more" and _side(row, "on_same") == "less"


def same_verdict(table: pd.DataFrame) -> str:
    """Answer question 4 over all runs (Markdown).

    Parameters
    ----------
    table : DataFrame
        From `averaged(same_by_run(...), SAME)`.
    """
    row = _over_all(table)
    found = (
        f"At the last layer a probe of the base keeps {_share(row, 'as_is')} of its F1 after "
        f"removal and retraining, {_share(row, 'as_is_none')} where nothing was removed; after an "
        f"orthogonal alignment {_share(row, 'aligned')} and {_share(row, 'aligned_none')}; aligned "
        f"to shuffled words {_share(row, 'shuffled')}. A probe of the kept units alone, not "
        f"aligned, keeps {_share(row, 'as_is_kept')} and {_share(row, 'as_is_kept_none')}."
    )
    lead = "The neurons it relies on are others" if other_neurons(row) else "Reliance"
    relied = (
        f"{lead}: removing the same ones again costs {_share(row, 'on_same')} of F1, the model's "
        f"new top ones {_share(row, 'on_new')}, random ones {_share(row, 'on_random')}."
    )
    return f"**{_ANSWERS[representation_kind(row)]}.** {found} {relied} {_interval(row)}"


def taken_over_answer(row: pd.Series) -> str:
    """Answer question 3 in a word: `Yes`, `No` or `Not resolved`.

    Parameters
    ----------
    row : Series
        beyond_none with `_low` and `_high`: a row of `averaged`.
    """
    if row["beyond_none_low"] > 0 and row["beyond_none"] >= LEAST_EFFECT:
        return "Yes"
    return "No" if row["beyond_none_high"] < MARGIN else "Not resolved"


def taken_over_verdict(table: pd.DataFrame) -> str:
    """Answer question 3 over all runs (Markdown).

    Parameters
    ----------
    table : DataFrame
        From `averaged(taken_over_by_run(...), TAKEN_OVER)`.
    """
    if table.empty:
        return (
            f"**{OPEN.capitalize()}.** No concept has two parts with words enough, or its words "
            "form no clusters."
        )
    row = _over_all(table)
    return (
        f"**{taken_over_answer(row)}: {_NEURONS[taken_over_answer(row)]}.** Of "
        f"{row['carriers']:,.0f} neurons that carried a part, {_share(row, 'removed_share')} were "
        f"removed. Of the kept ones that carry a part in the end, {_share(row, 'new')} are new to "
        f"it, where nothing was removed {_share(row, 'new_none')}: a difference of "
        f"{_share(row, 'beyond_none')}; after a random removal {_share(row, 'new_random')}. "
        f"{_interval(row)}"
    )


def _side(row: pd.Series, name: str) -> str:
    """Tell on which side of the margin an interval lies: `less`, `more`, or neither."""
    if row[f"{name}_high"] < MARGIN:
        return "less"
    return "more" if row[f"{name}_low"] > MARGIN else ""


def _over_all(table: pd.DataFrame) -> pd.Series:
    return table.set_index("concept").loc[ALL]


def _share(row: pd.Series, name: str) -> str:
    if pd.isna(row[name]):
        return "–"
    value, low, high = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
    written = percent(value)
    return written if pd.isna(low) else f"{written} ({percent(low)} to {percent(high)})"


def _interval(row: pd.Series) -> str:
    n = int(row["n_runs"])
    if n == 1:
        return "One run: there is no interval, so nothing is resolved."
    return f"In brackets: 95 % intervals over {n} runs (concepts and seeds together)."
