"""Who carries the parts of a concept in the end: tables over several runs, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from plasticity_utils.analysis import rules
from plasticity_utils.experiment.record import Run
from plasticity_utils.names import NOTHING
from plasticity_utils.results.derived import derived
from plasticity_utils.results.groups import RunGroup
from plasticity_utils.results.stack import Estimate, mean_interval, stack

OTHER_KIND = "other"
RETRAINED = ("targeted", "random", "none")
EVERY, NAMED = "all parts", "without “other”"
_DIFFERENCES = {"beyond_none": "none", "beyond_random": "random"}


def with_parts(groups: Sequence[RunGroup]) -> list[RunGroup]:
    """Keep the groups of runs whose concept has two parts with words enough to be compared."""
    return [group for group in groups if not derived(group.runs[0], "subconcepts").empty]


def newly_carried(groups: Sequence[RunGroup]) -> pd.DataFrame:
    """Of the kept neurons that carry a part in the end, the share that is new to it, run by run.

    Gives concept, model, seed, parts (`all parts`, or without the names that the gazetteer does not
    hold), carriers (in the end under `targeted`), targeted, random, none (the shares), beyond_none,
    beyond_random (differences).
    """
    return stack(with_parts(groups), _newly_carried, ["concept", "model", "seed"])


def taken_over(groups: Sequence[RunGroup]) -> pd.DataFrame:
    """Question 3: `newly_carried` over the seeds of one model, a row for each choice of parts.

    The differences have `_low` and `_high`; the verdict of the question is that of both rows.
    """
    rows = newly_carried(groups)
    values = ["targeted", "random", "none", *_DIFFERENCES]
    table = mean_interval(rows, ["parts"], values, over="concept")
    verdicts = [
        rules.parts_move(*(Estimate.of(row, name) for name in _DIFFERENCES))
        for _, row in table.iterrows()
    ]
    return table.assign(verdict=verdicts)


def transitions(groups: Sequence[RunGroup]) -> pd.DataFrame:
    """Count kept neurons by what they carried in the base and carry at the end: means over seeds.

    Gives concept, condition, base, end, n_neurons, share (of those with this base).
    """
    rows = stack(with_parts(groups), _transitions, ["concept", "seed"])
    table = mean_interval(rows, ["concept", "condition", "base", "end"], ["n_neurons", "share"])
    return table[["concept", "condition", "base", "end", "n_neurons", "share"]]


def parts_of(groups: Sequence[RunGroup]) -> pd.DataFrame:
    """The parts of each concept: shown (names), n_words, n_names, and neurons (means over seeds).

    Neurons: by_chance, carriers (in the base), removed, new, new_none. Parts that are not compared
    and concepts without any are left out.
    """
    rows = stack(with_parts(groups), _part_counts, ["concept", "seed"])
    fixed = ["concept", "part", "shown", "n_words", "n_names"]
    counts = ["by_chance", "carriers", "removed", "new", "new_none"]
    return rows.groupby(fixed, sort=False)[counts].mean().round().astype(int).reset_index()


def _newly_carried(run: Run) -> pd.DataFrame:
    table = derived(run, "subconcepts")
    kept = table[~table["removed"] & (table["end"] != NOTHING)]
    rows = []
    for name, chosen in ((EVERY, kept), (NAMED, kept[kept["end"] != OTHER_KIND])):
        total = chosen.groupby("condition")["n_neurons"].sum()
        came = chosen[chosen["base"] != chosen["end"]].groupby("condition")["n_neurons"].sum()
        share = (came.reindex(total.index, fill_value=0) / total).reindex(RETRAINED)
        lost = {key: share["targeted"] - share[control] for key, control in _DIFFERENCES.items()}
        rows.append({"parts": name, "carriers": total["targeted"], **share, **lost})
    return pd.DataFrame(rows)


def _transitions(run: Run) -> pd.DataFrame:
    rows = derived(run, "subconcepts")
    keys = ["condition", "base", "end"]
    counts = rows[~rows["removed"]].groupby(keys)["n_neurons"].sum()
    # What never occurs is a 0, so that means over seeds count it.
    every = pd.MultiIndex.from_product([sorted(set(rows[key])) for key in keys], names=keys)
    counts = counts.reindex(every, fill_value=0).reset_index()
    total = counts.groupby(["condition", "base"])["n_neurons"].transform("sum")
    return counts.assign(share=(counts["n_neurons"] / total.where(total > 0)).fillna(0))


def _part_counts(run: Run) -> pd.DataFrame:
    rows, parts = derived(run, "subconcepts"), derived(run, "subconcept_parts")
    table = parts[parts["compared"]].set_index("part")
    targeted = rows[rows["condition"] == "targeted"]
    table["carriers"] = targeted.groupby("base")["n_neurons"].sum()
    table["removed"] = targeted[targeted["removed"]].groupby("base")["n_neurons"].sum()
    came = rows[~rows["removed"] & (rows["base"] != rows["end"])]
    for name, condition in (("new", "targeted"), ("new_none", "none")):
        table[name] = came[came["condition"] == condition].groupby("end")["n_neurons"].sum()
    counts = ["carriers", "removed", "new", "new_none"]
    return table.fillna({name: 0 for name in counts}).reset_index()
