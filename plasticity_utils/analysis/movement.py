"""How far the centre of a concept moves between layers, beside what moves it in any case.

The centre is taken of |σ| over kept neurons and of rank saliency over all neurons. One row a
series, as in `across`; `questions.movement` says what follows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from plasticity_utils.errors import InputError
from plasticity_utils.experiment.run import Run, variant
from plasticity_utils.formats import named_series, percent, signed, with_interval
from plasticity_utils.results import tables
from plasticity_utils.results.groups import Seeds, check_poolable, concept_names
from plasticity_utils.results.stack import group_means, mean_interval


def shifts(groups: Iterable[Seeds]) -> pd.DataFrame:
    """How far the concept moves between layers beyond what its controls do.

    Returns
    -------
    DataFrame
        The columns of `SERIES`, n_seeds; the values of `shifted`, and the same as a share of the
        model's depth (the number of its blocks) in `<value>_depth`; each with `_low`, `_high`.
    """

    def with_depth(run: Run) -> dict[str, float]:
        layers, n_blocks = shifted(run), run.layers["layer"].max()
        return layers | {f"{name}_depth": shift / n_blocks for name, shift in layers.items()}

    return group_means(groups, with_depth)


def shifted(run: Run) -> dict[str, float]:
    """How far one run's concept moves between layers, by |σ| over kept neurons and by rank.

    Returns
    -------
    dict
        In layers, negative towards the embedding. Of the centre of |σ|: beyond_none (its shift
        minus that under `none`), random_beyond_none (the same of `random`, over the neurons that
        neither removed), others_beyond_none (the mean of beyond_none over the other entity types,
        on the same neurons), beyond_others (beyond_none minus that). Of the centre of rank
        saliency: rank_shift, rank_shift_random (the same under `random`), rank_beyond_random (their
        difference), beyond_removal (rank_shift minus what removal alone predicts, if the neurons
        that are left kept their order), beyond_counts (the same if they were in no order).
    """
    layers, label = run.layers, run.config.label
    by_type = {
        name: tables.redistribution(layers, name).set_index("condition")
        for name in layers["entity"].unique()
    }
    beyond = pd.Series(
        {
            name: table["shift"]["targeted"] - table["shift"]["none"]
            for name, table in by_type.items()
        }
    )
    own, of_others = beyond[label], beyond.drop(label).mean()
    concept, random, none = (by_type[label].loc[name] for name in ("targeted", "random", "none"))
    end = layers.query("entity == @label and condition == 'targeted' and stage == 'end'")
    return {
        "beyond_none": own,
        "random_beyond_none": random["shift"] - none["shift"],
        "others_beyond_none": of_others,
        "beyond_others": own - of_others,
        "rank_shift": concept["rank_shift"],
        "rank_shift_random": random["rank_shift"],
        "rank_beyond_random": concept["rank_shift"] - random["rank_shift"],
        "beyond_removal": concept["rank_shift"] - concept["rank_shift_removal_only"],
        "beyond_counts": tables.centroid(end, "saliency") - tables.unordered_centroid(end),
    }


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
    by_seed = rows.groupby("seed")[AVERAGED].mean()
    over = f"95 % over {len(by_seed)} seeds" if len(by_seed) > 1 else "one seed"
    return Movement(
        values=mean_interval(by_seed, [], AVERAGED).iloc[0],
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
