"""Runs side by side: concepts, models, regimes, each over its seeds.

One row a group (runs that differ in the seed alone), so that a chart can lay concepts beside each
other. A difference is taken within each seed before it is averaged.
"""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from plasticity_utils.experiment.record import Run
from plasticity_utils.formats import chosen_percent
from plasticity_utils.names import OVERALL
from plasticity_utils.removal.dose import specificity
from plasticity_utils.results import tables
from plasticity_utils.results.derived import derived
from plasticity_utils.results.groups import RunGroup
from plasticity_utils.results.stack import (
    DIFFERENCE_BOUNDS,
    GROUP,
    SHARE_BOUNDS,
    group_means,
    mean_interval,
    stack,
)

# What the intervals of F1 are, for a chart's note.
OVER = "95 % interval: over seeds, or over sentences where there is one seed"


def outcome_table(groups: Iterable[RunGroup]) -> pd.DataFrame:
    """F1 of the concept under every condition at each stage (`base`, `removed`, `end`)."""
    return group_means(
        groups, _outcome, ["condition", "stage"], ["entity_f1"], {"entity_f1": SHARE_BOUNDS}
    )


def relearning(groups: Iterable[RunGroup]) -> pd.DataFrame:
    """What of the recovery the head alone brings, and what training brings beyond it.

    Gives lost (F1), by_head (share of the loss that the head alone regains), recovery (share that
    the whole model regains), beyond_head (F1), drift (F1 that training brings with nothing
    removed), beyond_drift (beyond_head less that, which a model that had not learned all it could
    gains in any case).
    """
    differences = ("lost", "beyond_head", "drift", "beyond_drift")
    return group_means(groups, relearned, bounds=dict.fromkeys(differences, DIFFERENCE_BOUNDS))


def recoveries(groups: Iterable[RunGroup]) -> pd.DataFrame:
    """`tables.recovery` of the concept, a row a condition."""
    bounds = dict.fromkeys(("base", "removed", "end"), SHARE_BOUNDS)
    return group_means(groups, tables.recovery_of, ["condition"], bounds=bounds)


def relearned(run: Run) -> dict[str, float]:
    """One run's lost, by_head, recovery, beyond_head, drift, beyond_drift: see `relearning`."""
    table = tables.recovery_of(run).set_index("condition")
    lost = table.loc["targeted", "base"] - table.loc["targeted", "removed"]
    beyond = table.loc["targeted", "beyond_head"]
    drift = table.loc["none", "end"] - table.loc["none", "base"]
    return {
        "lost": lost,
        "by_head": table["recovery"].get(run.config.last_layer, float("nan")),
        "recovery": table.loc["targeted", "recovery"],
        "beyond_head": beyond,
        "drift": drift,
        "beyond_drift": beyond - drift,
    }


def dose_table(groups: Iterable[RunGroup]) -> pd.DataFrame:
    """Dose, and what it takes from the concept and from the others, without retraining.

    Gives doses (shares of all neurons, one a seed; none where the concept was erased), loss (F1 of
    the concept), loss_others (mean over the other types), specificity, random_loss (median over the
    draws of a layer-matched random removal).
    """
    rows = stack(groups, _dose)
    losses = ["loss", "loss_others", "specificity", "random_loss"]
    table = mean_interval(rows, GROUP, losses, bounds=dict.fromkeys(losses, DIFFERENCE_BOUNDS))
    doses = rows.groupby(GROUP, sort=False, dropna=False)["dose"].agg(_written)
    return table.assign(doses=doses.to_numpy())


def turnovers(groups: Iterable[RunGroup]) -> pd.DataFrame:
    """Overlap of the top kept neurons before and after, for `targeted`, `random` and `none`.

    Gives condition, jaccard, jaccard_by_chance, spearman.
    """
    return group_means(groups, _turnover, ["condition"])


def relied_on(groups: Iterable[RunGroup]) -> pd.DataFrame:
    """F1 of the concept when neurons are removed once more, at the end, by condition and again."""
    return group_means(
        groups, _relied_on, ["condition", "again"], ["entity_f1"], {"entity_f1": SHARE_BOUNDS}
    )


def readable(groups: Iterable[RunGroup]) -> pd.DataFrame:
    """How well a linear probe on each layer reads the concept, for `charts.probe_by_layer`.

    Gives condition (without those that train the head alone, whose layers are those just after the
    removal), stage, layer, word_f1 (of words, means over seeds).
    """
    keys = [*GROUP, "condition", "stage", "layer"]
    rows = stack(groups, _readable)
    return rows.groupby(keys, sort=False)["word_f1"].mean().reset_index() if len(rows) else rows


def grown_back(groups: Iterable[RunGroup]) -> pd.DataFrame:
    """Gains of removed neurons at the end, where they may grow back.

    Gives condition, gain (median), effect (median, share of the base's).
    """
    regrowing = [group for group in groups if group.config.regrow]
    return group_means(regrowing, _regrown, ["condition"])


def _outcome(run: Run) -> pd.DataFrame:
    rows = run.metrics
    shown = rows["stage"].isin(["base", "removed", "end"]) & (rows["entity"] == run.config.label)
    return rows.loc[shown, ["condition", "stage", "entity_f1", "entity_f1_low", "entity_f1_high"]]


def _relied_on(run: Run) -> pd.DataFrame:
    rows = tables.reliance_table(run.reliance)
    rows = rows[rows["entity"] == run.config.label].drop(columns="entity")
    return rows.sort_values("condition", kind="stable")


def _readable(run: Run) -> pd.DataFrame:
    rows = run.layers
    trained = ~rows["condition"].isin(run.config.only_reading)
    shown = (rows["entity"] == run.config.label) & trained
    return rows.loc[shown, ["condition", "stage", "layer", "word_f1"]]


def _written(doses: pd.Series) -> str:
    return ", ".join(doses.dropna().map(chosen_percent))


def _dose(run: Run) -> dict[str, float]:
    if not run.config.chosen.takes_neurons:
        return _erased(run)
    label, dose = run.config.label, run.facts["dose"]
    # The paper's half is a point of its own beside the growing doses.
    regime = "half" if run.config.regime == "half" else "curve"
    found = specificity(run.dose, label, regime=regime).set_index("dose").loc[dose]
    curve = tables.dose_curve(run.dose)
    drawn = (curve["regime"] == regime) & (curve["dose"] == dose) & (curve["entity"] == label)
    random = curve.loc[drawn & (curve["condition"] == "random"), "entity_f1"].iloc[0]
    own = found[["loss", "loss_others", "specificity"]].to_dict()
    return {"dose": dose, **own, "random_loss": found["entity_f1_base"] - random}


def _erased(run: Run) -> dict[str, float]:
    """What erasing takes, on the scoring part; it has no dose."""
    label = run.config.label
    f1 = run.metrics.pivot_table(index="entity", columns=["condition", "stage"], values="entity_f1")
    lost = {name: f1[name, "base"] - f1[name, "removed"] for name in ("targeted", "random")}
    own, others = lost["targeted"][label], lost["targeted"].drop([label, OVERALL]).mean()
    return {
        "dose": float("nan"),
        "loss": own,
        "loss_others": others,
        "specificity": own - others,
        "random_loss": lost["random"][label],
    }


def _turnover(run: Run) -> pd.DataFrame:
    table = derived(run, "turnover")
    return table[["condition", "jaccard", "jaccard_by_chance", "spearman"]]


def _regrown(run: Run) -> pd.DataFrame:
    table = derived(run, "regrowth")
    return table.loc[table["epoch"] == table["epoch"].max(), ["condition", "gain", "effect"]]
