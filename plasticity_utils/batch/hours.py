"""How long a grid will take, from what its cells took before, else from a small table."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from plasticity_utils.batch.cells import Cell, record_of

# Seconds measured on one core of a server's processor, surgical, seed 0: cell, base model.
MEASURED = {
    ("minilm", "quick"): (300.0, 200.0),
    ("minilm", "full"): (1500.0, 540.0),
    # The base model is part of it.
    ("smollm2", "medium"): (4800.0, 0.0),
}


def estimated_seconds(cell: Cell, known: Sequence[Cell], results: Path) -> tuple[float | None, str]:
    """Estimate what a cell takes.

    Parameters
    ----------
    cell : Cell
        To be executed.
    known : sequence of Cell
        All cells of the grid; those that are done tell how long one takes here.
    results : Path
        Folder of results.

    Returns
    -------
    tuple
        Seconds, None where nothing is known, and where the number comes from.
    """
    alike = [other for other in known if _kind(other) == _kind(cell)]
    records = [record_of(other.folder(results)) for other in alike]
    seconds = [float(record["seconds"]) for record in records if record.get("status") == "done"]
    if seconds:
        return statistics.median(seconds), "median of the cells that are done here"
    measured = MEASURED.get((cell.settings["model"], cell.settings["scale"]))
    if measured is None:
        return None, "nothing known"
    return measured[0 if cell.notebook else 1], "measured on one core"


def _kind(cell: Cell) -> tuple[bool, str, str]:
    return bool(cell.notebook), str(cell.settings["model"]), str(cell.settings["scale"])
