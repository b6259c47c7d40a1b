"""Which neurons carry the parts of a concept: the answers of many runs, side by side.

Training on changes by itself which neurons carry what, so every number of `concept` stands beside
that of `none` over the same neurons, those that `concept` kept.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from plasticity_utils.questions.answers import answer
from plasticity_utils.questions.polysemanticity import NOTHING
from plasticity_utils.run import Run
from plasticity_utils.same_tables import by_concept, by_run
from plasticity_utils.seeds import Seeds

TAKEN_OVER = (
    "carriers", "removed", "removed_share", "new", "new_none", "new_random", "beyond_none",
    "beyond_random", "end", "end_none", "replaced",
)  # fmt: skip


def taken_over_by_run(groups: Sequence[Seeds]) -> pd.DataFrame:
    """One row a run: who carries the parts of the concept in the end.

    Series whose concept has no two parts with words enough are left out.

    Returns
    -------
    DataFrame
        concept, seed; carriers (neurons of the base that carry a part), removed (how many of them
        `concept` removed), removed_share; new, new_none, new_random (share of the kept carriers at
        the end that carried another part or nothing before), beyond_none, beyond_random
        (differences); end, end_none (kept carriers at the end), replaced (`end` less `end_none`,
        per removed carrier).
    """
    return by_run(with_parts(groups), _taken_over, TAKEN_OVER)


def carrier_counts(groups: Sequence[Seeds]) -> pd.DataFrame:
    """How many kept neurons carry each part, in the base and at the end of each condition.

    Returns
    -------
    DataFrame
        concept, part, condition (`base` or a condition), n, n_low, n_high. Base, `concept` and
        `none` are of the neurons that `concept` kept, `random` of those that neither removed.
    """
    return by_concept(
        with_parts(groups), lambda seeds: seeds.paired(_counts, ["part", "condition"])
    )


def transition_counts(groups: Sequence[Seeds]) -> pd.DataFrame:
    """Count kept neurons by what they carried in the base and carry at the end.

    Returns
    -------
    DataFrame
        concept, condition, base, end, n (mean over seeds), share (of those with this base).
    """
    table = by_concept(
        with_parts(groups),
        lambda seeds: seeds.paired(_transitions, ["condition", "base", "end"]),
    )
    if table.empty:
        return table
    return table[["concept", "condition", "base", "end", "n", "share"]]


def part_table(groups: Sequence[Seeds]) -> pd.DataFrame:
    """The parts of each concept: words, and carriers in the base, by chance, removed and new.

    Returns
    -------
    DataFrame
        concept, part, shown, n_words, n_names, compared, silhouette, level (of the first seed's
        run; all seeds have the same words), by_chance, carriers, removed, new, new_none (means over
        seeds; NaN where the part is not compared), each of the last five with `_low`, `_high`.
    """

    def own(seeds: Seeds) -> pd.DataFrame:
        fixed = answer(seeds.runs[0], "subconcept_parts").drop(columns="by_chance")
        return fixed.merge(seeds.paired(_part_counts, ["part"]), on="part", how="left")

    return by_concept(groups, own)


def _taken_over(run: Run) -> dict[str, float]:
    rows = answer(run, "subconcepts")
    concept = rows[rows["condition"] == "concept"]
    carriers = float(concept.loc[concept["base"] != NOTHING, "n"].sum())
    removed = float(concept.loc[(concept["base"] != NOTHING) & concept["removed"], "n"].sum())
    ends, new = {}, {}
    for condition, own in rows[~rows["removed"]].groupby("condition"):
        carried = own[own["end"] != NOTHING]
        ends[condition] = float(carried["n"].sum())
        came = float(carried.loc[carried["base"] != carried["end"], "n"].sum())
        new[condition] = came / ends[condition] if ends[condition] else np.nan
    return {
        "carriers": carriers,
        "removed": removed,
        "removed_share": removed / carriers if carriers else np.nan,
        "new": new["concept"],
        "new_none": new["none"],
        "new_random": new["random"],
        "beyond_none": new["concept"] - new["none"],
        "beyond_random": new["concept"] - new["random"],
        "end": ends["concept"],
        "end_none": ends["none"],
        "replaced": (ends["concept"] - ends["none"]) / removed if removed else np.nan,
    }


def _counts(run: Run) -> pd.DataFrame:
    rows = answer(run, "subconcepts")
    kept = rows[~rows["removed"]]
    base = kept[kept["condition"] == "concept"].assign(condition="base", end=lambda t: t["base"])
    table = pd.concat([base, kept]).rename(columns={"end": "part"})
    return _filled(table[table["part"] != NOTHING], ["part", "condition"])


def _transitions(run: Run) -> pd.DataFrame:
    rows = answer(run, "subconcepts")
    counts = _filled(rows[~rows["removed"]], ["condition", "base", "end"])
    total = counts.groupby(["condition", "base"])["n"].transform("sum")
    return counts.assign(share=(counts["n"] / total.where(total > 0)).fillna(0))


def _part_counts(run: Run) -> pd.DataFrame:
    rows, parts = answer(run, "subconcepts"), answer(run, "subconcept_parts")
    came = rows[~rows["removed"] & (rows["base"] != rows["end"])]
    table = pd.DataFrame({"by_chance": parts.set_index("part")["by_chance"]})
    concept = rows[rows["condition"] == "concept"]
    table["carriers"] = concept.groupby("base")["n"].sum()
    table["removed"] = concept[concept["removed"]].groupby("base")["n"].sum()
    for name, condition in (("new", "concept"), ("new_none", "none")):
        table[name] = came[came["condition"] == condition].groupby("end")["n"].sum()
    compared = parts.set_index("part")["compared"]
    # A part that is compared and that no neuron carries has 0; one that is not has no number.
    return table.fillna(0).where(compared).rename_axis("part").reset_index()


def _filled(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Sum n by the keys, with 0 for what never occurs, so that means over seeds count it."""
    counts = table.groupby(keys)["n"].sum()
    levels = [sorted(set(table[key])) for key in keys]
    every = pd.MultiIndex.from_product(levels, names=keys)
    return counts.reindex(every, fill_value=0).reset_index()


def with_parts(groups: Sequence[Seeds]) -> list[Seeds]:
    """Keep the series whose concept has two parts with words enough to be compared."""
    return [seeds for seeds in groups if _has_parts(seeds.runs[0])]


def _has_parts(run: Run) -> bool:
    return not answer(run, "subconcepts").empty
