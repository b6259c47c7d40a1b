"""A whole grid: what is left of it is executed, shown while it is, and summed up."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import re
import signal
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from plasticity_utils import files
from plasticity_utils.batch.cells import (
    Cell,
    base_cells,
    check_results,
    note_settings,
    place_of,
    record_of,
    tries_of,
)
from plasticity_utils.batch.grid import read_grid
from plasticity_utils.batch.workers import (
    Batch,
    fetched_and_done,
    local_cluster,
    remote_cluster,
    run_here,
    run_on,
)
from plasticity_utils.errors import InputError

FAILED, INTERRUPTED = 1, 130
GB = 1e9


def run_batch(options: argparse.Namespace) -> int:
    """Run a grid; returns 0, 1 if a cell failed, 130 when interrupted."""
    cells = _of_shard(read_grid(options.grid), options.shard)
    if options.workers < 0:
        raise InputError(f"workers must be a whole number of at least 1, not {options.workers}")
    results = check_results(options.results, is_tried=not options.dry_run)
    batch = Batch(results, uuid.uuid4().hex, options.resume, _threads(options.workers))
    if options.dry_run:
        _list(cells, batch, max(1, options.workers))
        return 0
    return _run(cells, batch, options)


def _of_shard(cells: list[Cell], shard: str) -> list[Cell]:
    """Keep every n-th cell, the i-th of each n, of `i/n`: each of n machines takes its own."""
    if not shard:
        return cells
    found = re.fullmatch(r"(\d+)/(\d+)", shard)
    number, of = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= number <= of:
        raise InputError(f"shard must be i/n with i from 1 to n, for instance 1/4, not {shard!r}")
    return cells[number - 1 :: of]


def _run(cells: Sequence[Cell], batch: Batch, options: argparse.Namespace) -> int:
    place = place_of(batch.results)
    left = [c for c in cells if not (batch.resume and fetched_and_done(c, place))]
    todo = [*base_cells(left), *left]
    board = Board([*base_cells(left), *cells])
    note_settings(cells, place.root)
    interrupted = False
    with _terminated_as_interrupted(), board:
        for cell in cells:
            if cell not in left:
                folder = cell.folder(place.root)
                seconds = record_of(folder).get("seconds", 0.0)
                board.told(cell.name, status="skipped", tries=tries_of(folder), seconds=seconds)
        try:
            if todo:
                _execute(todo, batch, board, options)
        except KeyboardInterrupt:
            interrupted = True
            board.interrupted()
    _keep_summary(board, place.root / "batch", batch)
    n_done, n_failed = board.count("done", "skipped"), board.count("failed")
    if interrupted:
        left_over = board.n_cells - n_done
        message = f"interrupted: {n_done} cells done, {left_over} left; the same command resumes"
        print(f"plasticity: {message}", file=sys.stderr)
        return INTERRUPTED
    return FAILED if n_failed else 0


def _execute(todo: Sequence[Cell], batch: Batch, board: Board, options: argparse.Namespace) -> None:
    if not options.workers and not options.scheduler:
        run_here(todo, batch, board.told)
        return
    cluster = local_cluster(options.workers) if options.workers else None
    with cluster or remote_cluster(options.scheduler) as client:
        run_on(client, todo, batch, board.told)


def _keep_summary(board: Board, folder: Path, batch: Batch) -> None:
    print(board.summary())
    try:
        board.write(folder)
        print(f"summary: {folder / 'summary.md'}")
    except OSError as error:
        print(f"plasticity: the summary cannot be written to {str(folder)!r}: {error.strerror}")


def _list(cells: Sequence[Cell], batch: Batch, workers: int) -> None:
    # Here, not above: it loads torch, which who deals out cells does without.
    from plasticity_utils.batch.estimate import estimated_seconds, memory_of

    place = place_of(batch.results)
    left = [cell for cell in cells if not (batch.resume and fetched_and_done(cell, place))]
    bases = [cell for cell in base_cells(left) if not fetched_and_done(cell, place)]
    everything = [*base_cells(list(cells)), *cells]
    total, unknown = 0.0, 0
    for cell in [*bases, *cells]:
        if cell not in left and cell.notebook:
            print(f"{cell.title:<70} done")
            continue
        seconds, source = estimated_seconds(cell, everything, place.root)
        total, unknown = total + (seconds or 0), unknown + (seconds is None)
        shown = "?" if seconds is None else f"{seconds / 3600:.2f} h"
        print(f"{cell.title:<70} to do {shown:>8} ({source})")
    hours = total / 3600 / workers
    note = f", and {unknown} of which nothing is known" if unknown else ""
    for model, memory in memory_of(cells).items():
        taken = "unknown memory" if math.isnan(memory) else f"about {memory / GB:.1f} GB"
        print(f"{model}: {taken} at the peak of its training")
    print(
        f"{len(cells)} cells, {len(left)} to do, {len(bases)} base models to train: "
        f"about {hours:.1f} hours with {workers} at a time{note}"
    )


def _threads(workers: int) -> int:
    """Threads of each worker's kernels; 0, as many as there are, for one at a time."""
    if not workers or "OMP_NUM_THREADS" in os.environ:
        return 0
    return max(1, len(os.sched_getaffinity(0)) // workers)


@contextlib.contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Answer SIGTERM as Ctrl-C."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


SECONDS_BETWEEN = 60.0
FINISHED = ("done", "skipped", "failed")
# What a terminal is too short for is what is not begun.
ORDER = ("running", "failed", "interrupted", "done", "skipped", "waiting")
_COLUMNS = ("cell", "status", "seconds", "tries")


class Board:
    """The state of all cells, shown on standard error."""

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
        self._begun: dict[str, float] = {}
        self._ended = threading.Event()

    def __enter__(self) -> Board:
        if self._stream.isatty():
            self._live = Live(self.table(), console=Console(file=self._stream))
            self._live.start()
        else:
            threading.Thread(target=self._keep_telling, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
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
            if facts.get("status") == "running":
                self._begun[name] = time.monotonic()
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
        table = Table(*_COLUMNS)
        for row in sorted(self.rows.values(), key=lambda row: ORDER.index(row["status"])):
            table.add_row(*(str(row[column]) for column in _COLUMNS))
        n_finished = self.count(*FINISHED)
        text = Text(f"{n_finished} of {self.n_cells} cells")
        return Group(table, ProgressBar(self.n_cells, n_finished, width=40), text)

    def summary(self) -> str:
        """Return the summary as Markdown: counts, a row for each cell, the errors."""
        counts = Counter(row["status"] for row in self.rows.values() if not row["base"])
        named = ", ".join(f"{counts[status]} {status}" for status in ORDER if counts[status])
        lines = [f"{self.n_cells} cells: {named}", "", f"| {' | '.join(_COLUMNS)} |"]
        lines.append("|---" * len(_COLUMNS) + "|")
        for row in self.rows.values():
            lines.append(f"| {' | '.join(str(row[column]) for column in _COLUMNS)} |")
        errors = [f"- {row['cell']}: {row['error']}" for row in self.rows.values() if row["error"]]
        return "\n".join([*lines, *([""] if errors else []), *errors]) + "\n"

    def write(self, folder: Path) -> None:
        """Write `summary.json` and `summary.md`, whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        files.write_json(folder / "summary.json", self.rows)
        with files.whole(folder / "summary.md") as text:
            text.write_text(self.summary(), encoding="utf-8")

    def _keep_telling(self) -> None:
        """Say now and then, where no table is drawn, what still runs: a cell may take hours."""
        while not self._ended.wait(SECONDS_BETWEEN):
            with self._lock:
                for name, row in self.rows.items():
                    if row["status"] == "running":
                        seconds = time.monotonic() - self._begun[name]
                        line = f"{self._line(row)} for {seconds:.0f} s"
                        print(line, file=self._stream, flush=True)

    def _line(self, row: dict[str, Any]) -> str:
        finished = f"[{self.count(*FINISHED)}/{self.n_cells}]"
        parts = [finished, row["cell"], row["status"]]
        if row["status"] != "running":
            parts.append(f"{row['seconds']:g} s")
        if row["tries"] > 1:
            parts.append(f"try {row['tries']}")
        return " ".join(parts) + (f": {row['error']}" if row["error"] else "")
