"""How far the centre of a concept moves between layers, beside what moves it in any case.

The centre is taken of |σ| over the neurons that were left, of |σ| over all neurons (one that was
removed is silent, so its |σ| is 0 in the end), and of the ranks of all neurons. `rules.moves` says
what follows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from plasticity_utils.analysis import rules
from plasticity_utils.experiment.record import Run
from plasticity_utils.results import tables
from plasticity_utils.results.derived import derived
from plasticity_utils.results.groups import RunGroup, check_poolable
from plasticity_utils.results.stack import Estimate, mean_interval

_RUN = ["concept", "model", "seed"]
SURVIVORS = ["survivors", "survivors_random", "beyond_random", "others", "beyond_others"]
_WHOLE = ["whole", "whole_random"]
RANKS = ["ranks", "ranks_random", "ranks_beyond", "ranks_alone", "ranks_counts"]
_VALUES = [*SURVIVORS, *_WHOLE, *RANKS, "shared"]


def moves_by_run(groups: Iterable[RunGroup]) -> pd.DataFrame:
    """One row a run: how far its concept moves, in layers (negative: towards the embedding).

    concept, model, seed, depth (blocks), shared (share of the random neurons that are its own);
    survivors (centre of |σ| over the neurons left, beyond what training does with nothing cut
    out), survivors_random (the same after a random cut), beyond_random (their difference), others
    (of the other types, in the same neurons), beyond_others; whole (centre of |σ| over all
    neurons, removed ones silent), whole_random (what silencing as many random neurons of each layer
    gives, without training); ranks, ranks_random (centre of the ranks), ranks_beyond (their
    difference), ranks_alone, ranks_counts (what removal alone predicts, the others in their order,
    or in none).
    """
    runs = [run for group in groups for run in group.runs]
    return pd.DataFrame([_moved(run) for run in runs])


def mean_moves(groups: Sequence[RunGroup]) -> pd.Series:
    """Mean of every number of `moves_by_run` over these concepts, with intervals, and two words.

    The words: survivors_word and ranks_word, from `rules.moves`.
    """
    check_poolable(groups)
    rows = moves_by_run(groups)
    found = mean_interval(rows, [], _VALUES, over="concept").iloc[0]
    pairs = {"survivors": "beyond_random", "ranks": "ranks_beyond"}
    words = {
        f"{move}_word": rules.moves(
            Estimate.of(found, move), Estimate.of(found, beyond), float(found["shared"])
        )
        for move, beyond in pairs.items()
    }
    return pd.concat([found, pd.Series(words)])


def moves_by_concept(groups: Sequence[RunGroup]) -> pd.DataFrame:
    """Means of `moves_by_run` over seeds, a row a concept and model."""
    return (
        moves_by_run(groups).drop(columns="seed").groupby(_RUN[:2], sort=False).mean().reset_index()
    )


def depth_shares(groups: Sequence[RunGroup]) -> pd.DataFrame:
    """Moves as shares of the model's depth, for a chart; ends are the least and greatest seed."""
    rows, values = moves_by_run(groups), [*SURVIVORS, *_WHOLE]
    rows[values] = rows[values].div(rows["depth"], axis=0)
    grouped = rows.groupby(_RUN[:2], sort=False)[values]
    ends = (grouped.min().add_suffix("_low"), grouped.max().add_suffix("_high"))
    return pd.concat([grouped.mean(), *ends], axis=1).reset_index()


def _moved(run: Run) -> dict[str, object]:
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
    concept, random, none = (by_type[label].loc[name] for name in ("targeted", "random", "none"))
    end = layers.query("entity == @label and condition == 'targeted' and stage == 'end'")
    survivors_random = random["shift"] - none["shift"]
    return {
        "concept": run.config.concept_info.title,
        "model": run.config.model,
        "seed": run.config.seed,
        "survivors": beyond[label],
        "survivors_random": survivors_random,
        "beyond_random": beyond[label] - survivors_random,
        "others": beyond.drop(label).mean(),
        "beyond_others": beyond[label] - beyond.drop(label).mean(),
        **_whole(run),
        "ranks": concept["rank_shift"],
        "ranks_random": random["rank_shift"],
        "ranks_beyond": concept["rank_shift"] - random["rank_shift"],
        "ranks_alone": concept["rank_shift_removal_only"],
        "ranks_counts": concept["rank_shift"]
        - tables.centroid(end, "rank_saliency")
        + tables.unordered_centroid(end),
        "shared": run.facts["random_overlap"] / max(run.facts["n_removed"], 1),
        "depth": layers["layer"].max(),
    }


def _whole(run: Run) -> dict[str, float]:
    """Move of the centre of |σ| over all neurons, and that of a random cut of the same numbers."""
    layers, label = run.layers, run.config.label
    own = layers[(layers["entity"] == label) & (layers["condition"] == "targeted")]
    at = {stage: rows.set_index("layer") for stage, rows in own.groupby("stage")}
    neurons = derived(run, "neuron_changes")
    cut = neurons[neurons["kind"] == "removed"]
    gone = cut["selectivity_base"].abs().groupby(cut["layer"]).sum()
    left = {name: at[name]["n_kept"] * at[name]["selectivity"] for name in ("base", "end")}
    base = left["base"].add(gone, fill_value=0)
    counts = at["end"]
    by_chance = base * counts["n_kept"] / (counts["n_kept"] + counts["n_removed"])
    before = _centre(base)
    return {"whole": _centre(left["end"]) - before, "whole_random": _centre(by_chance) - before}


def _centre(weights: pd.Series) -> float:
    return float((weights * weights.index).sum() / weights.sum())
