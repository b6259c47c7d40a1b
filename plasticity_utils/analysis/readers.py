"""What readers found in networks whose concept was removed: tables of several runs.

The readers are fitted in `reading`.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from plasticity_utils.experiment.record import Run
from plasticity_utils.names import INDICATORS, OVERALL
from plasticity_utils.results.groups import RunGroup
from plasticity_utils.results.stack import stack

# Where a reader reads: the whole model as a control of the reader itself, and after each removal.
PLACES = {"none": "base", "targeted": "removed", "random": "removed"}
READER_COLUMNS = ["removed", "head", "linear", "perceptron", "end"]
AS_ERASED = ("removed", "head")


def by_reader(groups: Sequence[RunGroup]) -> pd.DataFrame:
    """F1 of the concept as each reader finds it, beside the head and the whole model trained on.

    Gives concept, regime, seed, condition (`none` is the whole base model); removed (F1 as the
    model is), head (trained for as long as the model; only of `targeted`), linear, perceptron, end
    (the whole model trained on). Runs without the table are left out.
    """
    names = ["concept", "regime", "seed", "condition"]
    found = stack(
        groups, lambda run: _by_reader(run) if run.holds(["readers"]) else None, names[:-1]
    )
    # Readers of one's own stand between those of the book and the model that was trained on.
    further = [name for name in found if name not in (*names, *READER_COLUMNS)]
    return found.reindex(columns=[*names, *READER_COLUMNS[:-1], *further, READER_COLUMNS[-1]])


def mean_by_reader(groups: Sequence[RunGroup]) -> pd.DataFrame:
    """The means of `by_reader` over seeds, after concept, regime, condition and n_seeds."""
    keys, table = ["concept", "regime", "condition"], by_reader(groups)
    by_seed = table.groupby(keys, sort=False)
    found = [name for name in table if name not in (*keys, "seed")]
    return pd.concat(
        [by_seed.size().rename("n_seeds"), by_seed[found].mean()], axis=1
    ).reset_index()


def _by_reader(run: Run) -> pd.DataFrame:
    label, last_layer = run.config.label, run.config.last_layer
    metrics, table = run.metrics, run.table("readers")
    f1 = metrics[metrics["entity"] == label].set_index(["condition", "stage"])["entity_f1"]
    found = table[table["entity"] == label].set_index(["condition", "reader"])["entity_f1"]
    rows = [
        {
            "condition": condition,
            "removed": f1[condition, "removed"],
            "head": f1.get((last_layer, "end")) if condition == "targeted" else None,
            **found[condition],
            "end": f1[condition, "end"],
        }
        for condition in PLACES
        if condition in found.index.get_level_values("condition")
    ]
    return pd.DataFrame(rows)


def by_indicator(groups: Sequence[RunGroup]) -> pd.DataFrame:
    """What each indicator leaves to the head, of the published runs that were asked.

    Gives concept, seed, indicator, dimensions; removed and head (F1 of the concept just after the
    erasure, and after training the head alone), others (mean F1 that the other entity types lose at
    the erasure).
    """
    names = ["concept", "seed"]
    found = stack(
        groups, lambda run: _by_indicator(run) if run.holds(["indicators"]) else None, names
    )
    return found.reindex(columns=[*names, "indicator", "dimensions", *AS_ERASED, "others"])


def _by_indicator(run: Run) -> pd.DataFrame:
    table = run.table("indicators")
    base = run.metrics[(run.metrics["condition"] == "targeted") & (run.metrics["stage"] == "base")]
    label, whole = run.config.label, base.set_index("entity")["entity_f1"]
    rows = []
    for indicator in [name for name in INDICATORS if name in set(table["indicator"])]:
        own = table[table["indicator"] == indicator]
        f1 = own.pivot(index="snapshot", columns="entity", values="entity_f1")
        others = (whole - f1.loc["removed"]).drop([label, OVERALL])
        rows.append(
            {
                "indicator": indicator,
                "dimensions": own["n_dimensions"].iloc[0],
                **{snapshot: f1.loc[snapshot, label] for snapshot in AS_ERASED},
                "others": others.mean(),
            }
        )
    return pd.DataFrame(rows)
