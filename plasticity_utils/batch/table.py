"""What becomes of each cell: a live table on a terminal, lines elsewhere, a summary at the end."""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from plasticity_utils import store
from plasticity_utils.batch.cells import Cell

FINISHED = ("done", "skipped", "failed")
# What a terminal is too short for is what is not begun.
ORDER = ("running", "failed", "interrupted", "done", "skipped", "waiting")
COLUMNS = ("cell", "status", "seconds", "tries")


class Board:
    """The state of all cells, shown on standard error.

    Parameters
    ----------
    cells : sequence of Cell
        Base models among them.
    """

    def __init__(self, cells: Sequence[Cell]) -> None:
        self.rows: dict[str, dict[str, Any]] = {
            cell.name: {
                "cell": cell.title,
                "base": not cell.notebook,
                "status": "waiting",
                "seconds": 0.0,
                "tries": 0,
                "error": "",
            }
            for cell in cells
        }
        self._stream = sys.stderr
        self._lock = threading.Lock()
        self._live: Live | None = None

    def __enter__(self) -> Board:
        if self._stream.isatty():
            self._live = Live(self.table(), console=Console(file=self._stream))
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.update(self.table())
            self._live.stop()

    def told(self, name: str, **facts: Any) -> None:
        """Take note of what became of a cell; may be called from any thread."""
        with self._lock:
            row = self.rows[name]
            if facts.get("status") == "running" and row["status"] in FINISHED:
                return
            row.update(facts)
            if self._live:
                self._live.update(self.table())
            else:
                print(self._line(row), file=self._stream, flush=True)

    def interrupted(self) -> None:
        """Take note that what was running runs no more."""
        for name, row in self.rows.items():
            if row["status"] == "running":
                self.told(name, status="interrupted")

    def count(self, *statuses: str) -> int:
        """How many cells, base models left out, are in one of the states."""
        return sum(row["status"] in statuses for row in self.rows.values() if not row["base"])

    @property
    def n_cells(self) -> int:
        """How many cells there are, base models left out."""
        return sum(not row["base"] for row in self.rows.values())

    def table(self) -> Group:
        """Draw the table, and a bar of how many cells are finished."""
        table = Table(*COLUMNS)
        for row in sorted(self.rows.values(), key=lambda row: ORDER.index(row["status"])):
            table.add_row(*(str(row[column]) for column in COLUMNS))
        n_finished = self.count(*FINISHED)
        text = Text(f"{n_finished} of {self.n_cells} cells")
        return Group(table, ProgressBar(self.n_cells, n_finished, width=40), text)

    def summary(self) -> str:
        """Return the summary as Markdown: counts, a row for each cell, the errors."""
        counts = Counter(row["status"] for row in self.rows.values() if not row["base"])
        named = ", ".join(f"{counts[status]} {status}" for status in ORDER if counts[status])
        lines = [f"{self.n_cells} cells: {named}", "", f"| {' | '.join(COLUMNS)} |"]
        lines.append("|---" * len(COLUMNS) + "|")
        for row in self.rows.values():
            lines.append(f"| {' | '.join(str(row[column]) for column in COLUMNS)} |")
        errors = [f"- {row['cell']}: {row['error']}" for row in self.rows.values() if row["error"]]
        return "\n".join([*lines, *([""] if errors else []), *errors]) + "\n"

    def write(self, folder: Path) -> None:
        """Write `summary.json` and `summary.md`, whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        store.write_json(folder / "summary.json", self.rows)
        text = folder / "summary.md.tmp"
        text.write_text(self.summary(), encoding="utf-8")
        text.replace(folder / "summary.md")

    def _line(self, row: dict[str, Any]) -> str:
        finished = f"[{self.count(*FINISHED)}/{self.n_cells}]"
        parts = [finished, row["cell"], row["status"]]
        if row["status"] != "running":
            parts.append(f"{row['seconds']:g} s")
        if row["tries"] > 1:
            parts.append(f"try {row['tries']}")
        return " ".join(parts) + (f": {row['error']}" if row["error"] else "")


def read_summary(folder: Path) -> dict[str, dict[str, Any]]:
    """Read `summary.json`: name of each cell → cell, status, seconds, tries, error, run, worker."""
    return dict(json.loads((folder / "summary.json").read_text(encoding="utf-8")))
