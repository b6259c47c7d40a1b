"""A whole grid: what is left of it is executed, shown while it is, and summed up."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from plasticity_utils.batch.cells import Cell, base_cells, tries_of
from plasticity_utils.batch.engine import local_cluster, remote_cluster, run_here, run_on
from plasticity_utils.batch.grid import read_grid
from plasticity_utils.batch.hours import estimated_seconds
from plasticity_utils.batch.places import check_results, place_of
from plasticity_utils.batch.table import Board
from plasticity_utils.batch.work import Batch, fetched_and_done
from plasticity_utils.errors import InputError

FAILED, INTERRUPTED = 1, 130


def run_batch(options: argparse.Namespace) -> int:
    """Run a grid; returns 0, 1 if a cell failed, 130 when interrupted."""
    cells = read_grid(options.grid)
    if options.workers < 0:
        raise InputError(f"workers must be a whole number of at least 1, not {options.workers}")
    batch = Batch(
        check_results(options.results), uuid.uuid4().hex, options.resume, _threads(options.workers)
    )
    if options.dry_run:
        _list(cells, batch, max(1, options.workers))
        return 0
    return _run(cells, batch, options)


def _run(cells: Sequence[Cell], batch: Batch, options: argparse.Namespace) -> int:
    place = place_of(batch.results)
    left = [c for c in cells if not (batch.resume and fetched_and_done(c, place))]
    todo = [*base_cells(left), *left]
    board = Board([*base_cells(left), *cells])
    interrupted = False
    with _terminated_as_interrupted(), board:
        for cell in cells:
            if cell not in left:
                board.told(cell.name, status="skipped", tries=tries_of(cell.folder(place.root)))
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
