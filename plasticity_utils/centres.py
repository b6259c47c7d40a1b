"""How far the centre of a concept moves between layers, beside what moves it in any case.

The centre is taken of |σ| over kept neurons and of rank saliency over all neurons. One row a
series, as in `across`; `questions.movement` says what follows.
"""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from plasticity_utils import tables
from plasticity_utils.across import each, single
from plasticity_utils.run import Run
from plasticity_utils.seeds import Seeds


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

    return each(groups, lambda seeds: single(seeds, with_depth))


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
            name: table["shift"]["concept"] - table["shift"]["none"]
            for name, table in by_type.items()
        }
    )
    own, of_others = beyond[label], beyond.drop(label).mean()
    concept, random, none = (by_type[label].loc[name] for name in ("concept", "random", "none"))
    end = layers.query("entity == @label and condition == 'concept' and stage == 'end'")
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
