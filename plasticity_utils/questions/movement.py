"""Does the concept move between layers, or would other neurons and other concepts have moved too?

The paper (Lo, Cohen & Barez 2024) reads a move towards the embedding off the ranks of saliency. A
centre moves for reasons that are not the concept's. Training on moves it (`none`). A cut changes
what any type of name looks like in the neurons that are left (the other types, on the same
neurons). Ranks are relative, so that removal alone moves them, and with half of all neurons gone
they are little more than the numbers that were cut in each layer (`random`, which cuts as many).

Of |σ|, `random` is counted over the neurons that neither cut took, which with half of all neurons
gone are far fewer than those of `concept`: it is shown beside, and not subtracted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from plasticity_utils.centres import shifted
from plasticity_utils.errors import InputError
from plasticity_utils.run import variant
from plasticity_utils.seeds import Seeds, check_poolable, concept_names, over_seeds
from plasticity_utils.sentences import percent, signed, with_interval
from plasticity_utils.tables import named_series

BEYOND = ["beyond_none", "beyond_others", "beyond_removal"]
AVERAGED = [*BEYOND, "others_beyond_none", "rank_shift", "rank_shift_random", "rank_beyond_random"]
# Of the move itself, how much a random cut may differ and still count as the same.
SAME = 0.1


@dataclass(frozen=True)
class Movement:
    """How far the concepts of several runs move between layers.

    Attributes
    ----------
    values : Series
        Means of the values of `centres.shifted`, in layers; concepts are averaged within each seed,
        and `_low` and `_high` are 95 % intervals over seeds (Student's t; NaN for one seed).
    shared : float
        Share of the random neurons that are among the concept's own, in [0, 1].
    counted : str
        Over what was averaged.
    """

    values: pd.Series
    shared: float
    counted: str


def movement_of(groups: Sequence[Seeds]) -> Movement:
    """Average the movement over the concepts and seeds of one regime.

    Parameters
    ----------
    groups : sequence of Seeds
        Series of one regime, variant, model and scale, from `grouping.choose`; at least one.

    Raises
    ------
    InputError
        If there are none or they differ in more than concept and seed, or if they erase, and so
        remove no neuron.
    """
    check_poolable(groups)
    kinds = {(seeds.config.regime, variant(seeds.config)) for seeds in groups}
    if len(kinds) != 1:
        raise InputError(f"series of {sorted(kinds)}; exactly one regime and variant is wanted")
    runs = [run for seeds in groups for run in seeds.runs]
    n_removed = sum(run.facts["n_removed"] for run in runs)
    if not n_removed:
        raise InputError(f"the regime {groups[0].config.regime!r} removes no neurons")
    rows = pd.DataFrame([{"seed": run.config.seed, **shifted(run)} for run in runs])
    by_seed = rows.groupby("seed")[AVERAGED].mean().assign(row="")
    over = f"95 % over {len(by_seed)} seeds" if len(by_seed) > 1 else "one seed"
    return Movement(
        values=over_seeds(by_seed, ["row"], AVERAGED).iloc[0],
        shared=sum(run.facts["random_overlap"] for run in runs) / n_removed,
        counted=f"{over}: {concept_names(groups)}",
    )


def movement_sentence(shifts: pd.DataFrame) -> str:
    """Say which concepts move between layers beyond their controls, and how far (Markdown).

    Parameters
    ----------
    shifts : DataFrame
        From `centres.shifts`.
    """
    shifts = named_series(shifts)
    later = (shifts[[f"{value}_low" for value in BEYOND]] > 0).all(axis=1)
    earlier = (shifts[[f"{value}_high" for value in BEYOND]] < 0).all(axis=1)
    alone = shifts["beyond_none_low"].isna()
    groups = {
        "to later layers": later,
        "to earlier ones": earlier,
        "not resolved": ~(later | earlier | alone),
        "one seed, and so no interval": alone,
    }
    listed = [
        f"{said}: {', '.join(shifts.loc[which, 'series']) or 'none'}"
        for said, which in groups.items()
        if which.any() or said.startswith("to ")
    ]
    by_series = [
        f"{row['series']} {with_interval(row, 'beyond_others')}" for _, row in shifts.iterrows()
    ]
    return (
        f"By |σ|, beyond *none* and beyond the other types, and by its ranks, beyond what removal "
        f"alone predicts, the centre moves {'; '.join(listed)}. By |σ|, beyond what the other "
        f"types do in the same neurons, it moves by, in layers: "
        f"{'; '.join(by_series)}."
    )


def ranks_sentence(groups: Sequence[Seeds]) -> str:
    """Say how far the ranks move, as the paper reads them, and how far after a random cut.

    Parameters
    ----------
    groups : sequence of Seeds
        As for `movement_of`.
    """
    found = movement_of(groups)
    values = found.values
    return (
        f"By the ranks of all neurons the centre moves by {with_interval(values, 'rank_shift')} "
        f"layers, and after a *random* cut of as many neurons in each layer by "
        f"{with_interval(values, 'rank_shift_random')}; the difference is "
        f"{with_interval(values, 'rank_beyond_random')} ({found.counted}). Of the random neurons "
        f"{percent(found.shared)} are among the concept's own. {judged(found)}"
    )


def plain_sentence(groups: Sequence[Seeds], half: Sequence[Seeds]) -> str:
    """Say where the concept goes for a reader who knows none of the terms (Markdown).

    Parameters
    ----------
    groups : sequence of Seeds
        As for `movement_of`.
    half : sequence of Seeds
        The same where half of all neurons were cut out.
    """
    found, ranks = movement_of(groups), movement_of(half).values
    return (
        f"Weigh each neuron that was left by how well it alone tells the concept's words from "
        f"others: the mean layer, so weighted, moves by "
        f"**{with_interval(found.values, 'beyond_none')}** layers ({found.counted}; above zero is "
        f"later) beyond what it does without a cut. In the same neurons that of the other kinds of "
        f"name moves by {with_interval(found.values, 'others_beyond_none')}. The paper sorts all "
        f"neurons instead, half of them cut out, and reads off how high each layer's stand in that "
        f"order. So read, the mean layer moves by {signed(ranks['rank_shift'])} layers; if as many "
        f"neurons of each layer are cut out at random, it moves by "
        f"{signed(ranks['rank_shift_random'])} too."
    )


def judged(found: Movement) -> str:
    """Say what the random cut makes of the move of the ranks (Markdown).

    The same, if the whole interval of the difference is within a tenth of the move, less what the
    two sets of neurons share.
    """
    low, high = (found.values[f"rank_beyond_random_{end}"] for end in ("low", "high"))
    if pd.isna(low):
        return "One seed has no interval."
    margin = SAME * abs(found.values["rank_shift"]) * (1 - found.shared)
    if max(abs(low), abs(high)) < margin:
        return "**So the move of the ranks does not tell the concept's cut from a random one.**"
    if low > 0 or high < 0:
        return "So the concept's own neurons move the ranks otherwise than random ones."
    return "Whether the concept's own neurons move the ranks otherwise is not resolved."
