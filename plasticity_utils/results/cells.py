"""All cells of a grid as one table, finished or not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from plasticity_utils.data.tasks import CONLL2003, ENTITY
from plasticity_utils.errors import InputError
from plasticity_utils.experiment.record import load_run
from plasticity_utils.files import path_of, read_note

_SETTINGS = (
    "concept", "corpus", "tags", "model", "scale", "regime", "removal", "protocols",
    "learning_rate", "seed",
)  # fmt: skip
SHOWN = ("condition", "stage", "epoch", "entity", "is_concept", "precision", "recall", "entity_f1",
         "entity_f1_low", "entity_f1_high", "n_gold")  # fmt: skip


def grid_results(folder: str | Path) -> pd.DataFrame:
    """Read the scores of all cells that `plasticity batch` left in a folder.

    Parameters
    ----------
    folder : str or Path
        The results folder of a batch.

    Returns
    -------
    DataFrame
        For each finished cell a row for each condition, stage, epoch and type of its run; for any
        other one row without scores, which says how far it is. Columns: cell, status (`done`,
        `failed`, `interrupted`, `begun`, `waiting`, `damaged`), seconds, error; the settings that
        grids vary; condition, stage, epoch, entity, is_concept, precision, recall, entity_f1,
        entity_f1_low, entity_f1_high, n_gold.

    Raises
    ------
    InputError
        If no batch has left anything there.
    """
    root = path_of(folder, "results folder")
    cells = sorted(path for path in (root / "batch").glob("*") if path.is_dir())
    tables = [table for cell in cells if (table := _cell(root, cell)) is not None]
    if not tables:
        raise InputError(f"no cells of a batch in {str(root)!r}; `plasticity batch` makes them")
    return pd.concat(tables, ignore_index=True)


def compared_cells(table: pd.DataFrame) -> pd.DataFrame:
    """The finished cells of `grid_results` side by side: F1 of each cell's own concept.

    A row a cell: cell, row (what tells it from other cells, but for its seed), the settings that
    grids vary, base, removed (the concept's own, just after) and `end_<condition>` for each
    condition; what a cell lacks is missing.
    """
    own = table[table["is_concept"].eq(True)]
    if own.empty:
        raise InputError("no cell of the grid is finished, so there is nothing to compare")
    cells = own.groupby("cell", sort=False)[list(_SETTINGS)].first()
    varied = [name for name in _SETTINGS if name != "seed" and cells[name].nunique() > 1]
    told_by = cells[varied or ["concept"]].astype(str)
    f1 = own.groupby(["cell", "stage", "condition"], sort=False)["entity_f1"].last()
    of_stage = {name: rows.droplevel("stage") for name, rows in f1.groupby("stage")}
    ends = of_stage["end"].unstack("condition").add_prefix("end_")
    removed = of_stage["removed"].unstack("condition").reindex(columns=["targeted"])
    found = cells.assign(base=of_stage["base"].groupby("cell").first(), removed=removed["targeted"])
    found.insert(0, "row", told_by.agg(", ".join, axis=1))
    return found.join(ends).reset_index()


def outcomes_of_cells(table: pd.DataFrame, titles: Mapping[str, str]) -> pd.DataFrame:
    """What `charts.values` draws of `compared_cells`: a panel for each column that has a title."""
    there = {name: title for name, title in titles.items() if name in table}
    tidy = table.melt(["row", "seed"], list(there), var_name="condition").dropna(subset="value")
    conditions = tidy["condition"].str.removeprefix("end_").replace("removed", "targeted")
    return tidy.assign(panel=tidy["condition"].map(there), condition=conditions)


def _cell(root: Path, folder: Path) -> pd.DataFrame | None:
    """The rows of one cell; None for the training of a base model."""
    record, about = read_note(folder / "record.json"), read_note(folder / "cell.json")
    if not about and not record.get("run"):
        return None
    usual = "begun" if (folder / "tries").is_file() else "waiting"
    status, scores = record.get("status", usual), pd.DataFrame([{}])
    settings = {"corpus": CONLL2003, "tags": ENTITY, **about.get("settings", {})}
    if record.get("run"):
        try:
            run = load_run(root / record["run"])
        except InputError:
            status = "damaged"
        else:
            own = run.metrics["entity"] == run.config.label
            scores, settings = run.metrics.assign(is_concept=own), settings | run.config.settings()
    table = scores.reindex(columns=list(SHOWN))
    facts: dict[str, Any] = {"cell": folder.name, "status": status}
    facts |= {"seconds": record.get("seconds"), "error": record.get("error", "")}
    facts |= {name: settings.get(name) for name in _SETTINGS}
    for place, (name, value) in enumerate(facts.items()):
        table.insert(place, name, value)
    return table
