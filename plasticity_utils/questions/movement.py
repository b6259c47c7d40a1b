"""Does the concept move between layers, or would any such cut have moved it so?

The paper (Lo, Cohen & Barez 2024) reads a move towards the embedding off the ranks of saliency. A
centre moves for three reasons that are not the concept's: the model trains on (`none`); ranks are
relative, so that the removal alone moves them; and any cut of this size in these layers changes
what is left (`random`). A concept has moved if its centre moves beyond all of them, by both
measures: selectivity over kept neurons, and rank saliency over all.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from plasticity_utils.across import shifted
from plasticity_utils.errors import InputError
from plasticity_utils.seeds import Seeds, check_poolable, over_seeds
from plasticity_utils.sentences import percent, with_interval
from plasticity_utils.tables import named_series

BEYOND = ["beyond_none", "beyond_random", "beyond_removal", "beyond_both"]
RANKS = ["rank_shift", "rank_shift_random", "rank_beyond_random"]
# As much of the move itself as a random cut may differ from it and still count as the same.
SAME = 0.1


def movement_sentence(shifts: pd.DataFrame) -> str:
    """Say which concepts move between layers beyond all controls, and how far (Markdown).

    Parameters
    ----------
    shifts : DataFrame
        From `across.shifts`.
    """
    shifts = named_series(shifts)
    later = shifts[(shifts[[f"{value}_low" for value in BEYOND]] > 0).all(axis=1)]["series"]
    earlier = shifts[(shifts[[f"{value}_high" for value in BEYOND]] < 0).all(axis=1)]["series"]
    each = [
        f"{row['series']} {with_interval(row, 'beyond_random')}" for _, row in shifts.iterrows()
    ]
    return (
        f"By both measures and beyond every control, the centre moves to later layers for "
        f"{', '.join(later) or 'no concept'}; to earlier ones for "
        f"{', '.join(earlier) or 'no concept'}. By selectivity, beyond what random neurons of the "
        f"same layers do, it moves by, in layers: {'; '.join(each)}."
    )


def ranks_sentence(groups: Sequence[Seeds]) -> str:
    """Say how far the ranks move, as the paper reads them, and how far after a random cut.

    Parameters
    ----------
    groups : sequence of Seeds
        Series of one regime, model and scale, from `grouping.choose`; at least one.

    Raises
    ------
    InputError
        If the series differ in model or scale, or erase and so remove no neuron.
    """
    check_poolable(groups)
    runs = [run for seeds in groups for run in seeds.runs]
    n_removed = sum(run.facts["n_removed"] for run in runs)
    if not n_removed:
        raise InputError(f"the regime {groups[0].config.regime!r} removes no neurons")
    rows = pd.DataFrame([shifted(run) for run in runs]).assign(row="")
    values = over_seeds(rows, ["row"], RANKS).iloc[0]
    names = ", ".join(seeds.config.about.title.lower() for seeds in groups)
    shared = sum(run.facts["random_overlap"] for run in runs) / n_removed
    counted = f"{len(runs)} runs" if len(runs) > 1 else "one run"
    return (
        f"By the ranks of all neurons the centre moves by {with_interval(values, 'rank_shift')} "
        f"layers, and after a *random* cut of the same layers by "
        f"{with_interval(values, 'rank_shift_random')}; the difference is "
        f"{with_interval(values, 'rank_beyond_random')} ({counted}: {names}). Of the random "
        f"neurons {percent(shared)} are among the concept's own. {judged(values)}"
    )


def judged(values: pd.Series) -> str:
    """Say what the random cut makes of the move of the ranks (Markdown).

    Parameters
    ----------
    values : Series
        rank_shift, and rank_beyond_random with `_low` and `_high` (NaN for one run).
    """
    low, high = values["rank_beyond_random_low"], values["rank_beyond_random_high"]
    if pd.isna(low):
        return "One run has no interval."
    if max(abs(low), abs(high)) < SAME * abs(values["rank_shift"]):
        return "**So any such cut moves the ranks as far**, and their move is no mark of a concept."
    if low > 0 or high < 0:
        return "So the concept's own neurons move the ranks otherwise than random ones."
    return "Whether the concept's own neurons move the ranks otherwise is not resolved."
