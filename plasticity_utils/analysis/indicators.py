"""What the indicator of an erasure decides: what the head alone regains, and what the others pay.

An erased concept is only gone for the head if no linear reader of the last layer can tell its tags.
Which classes have to be made equal for that is a question of fact: the same base model is erased
once for each indicator, and the head alone is trained as in the condition `head`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from plasticity_utils.errors import InputError
from plasticity_utils.experiment.run import Run
from plasticity_utils.experiment.stages import Stages
from plasticity_utils.experiment.store import read_tables
from plasticity_utils.names import INDICATORS, OVERALL
from plasticity_utils.registry import removals
from plasticity_utils.removal.leace import Erasers
from plasticity_utils.results.groups import RunGroup
from plasticity_utils.results.stack import stack

_NAME = "indicators"
_SNAPSHOTS = ("removed", "head")


def compare_indicators(run: Run, indicators: Sequence[str] = INDICATORS) -> pd.DataFrame:
    """Erase a run's base model with each indicator and train the head alone.

    What is done already is not done again; a run of another regime is an InputError.
    """
    if "indicator" not in removals.settings(run.config.chosen.name):
        raise InputError(
            f"removal {run.config.chosen.name!r} has no indicator; indicators are compared of leace"
        )
    return pd.concat([_scores(run, indicator) for indicator in indicators], ignore_index=True)


def by_indicator(groups: Sequence[RunGroup]) -> pd.DataFrame:
    """What each indicator leaves to the head, of the published runs that were asked.

    Parameters
    ----------
    groups : sequence of RunGroup
        Under `erase`, from `groups.choose`.

    Returns
    -------
    DataFrame
        concept, seed, indicator, dimensions; removed and head (F1 of the concept just after the
        erasure, and after training the head alone), others (mean F1 that the other entity types
        lose at the erasure).
    """
    names = ["concept", "seed"]
    found = stack(groups, lambda run: _by_indicator(run) if run.holds([_NAME]) else None, names)
    return found.reindex(columns=[*names, "indicator", "dimensions", *_SNAPSHOTS, "others"])


def _scores(run: Run, indicator: str) -> pd.DataFrame:
    stages = Stages(replace(run.config, indicator=indicator))
    erasers = stages.removal
    assert isinstance(erasers, Erasers)
    last = f"{run.config.snapshots[-1]:g}"
    folders = (stages.measured("targeted"), stages.retrained("head") / "snapshots" / last)
    tables = [
        read_tables(folder)["metrics"].assign(snapshot=snapshot)
        for snapshot, folder in zip(_SNAPSHOTS, folders, strict=True)
    ]
    named = pd.concat(tables).assign(indicator=indicator, n_dimensions=sum(erasers.ranks))
    return named.set_index(["indicator", "n_dimensions", "snapshot"]).reset_index()


def _by_indicator(run: Run) -> pd.DataFrame:
    table = run.table(_NAME)
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
                **{snapshot: f1.loc[snapshot, label] for snapshot in _SNAPSHOTS},
                "others": others.mean(),
            }
        )
    return pd.DataFrame(rows)
