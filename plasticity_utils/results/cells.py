"""All cells of a grid as one table, finished or not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from plasticity_utils.data.tasks import CONLL2003, ENTITY
from plasticity_utils.errors import InputError
from plasticity_utils.experiment.run import load_run
from plasticity_utils.files import path_of

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


def _cell(root: Path, folder: Path) -> pd.DataFrame | None:
    """The rows of one cell; None for the training of a base model."""
    record, about = _read(folder / "record.json"), _read(folder / "cell.json")
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


def _read(path: Path) -> dict[str, Any]:
    """What a cell has written down; empty where it has not yet, or the file was cut off."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}
