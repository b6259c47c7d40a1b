"""The command `plasticity batch`: a grid file, and where and how its cells are executed.

What executes them is imported only when it is asked for.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_batch(commands: Any) -> None:
    """Add the command to those of the parser."""
    batch = commands.add_parser("batch", help="run a grid of concepts, models, seeds and settings")
    batch.add_argument("grid", type=Path, help="YAML file, see the book's page on batches")
    batch.add_argument(
        "--results", default="", help="folder, or any fsspec URL (runs/ beside the package)"
    )
    where = batch.add_mutually_exclusive_group()
    where.add_argument("--workers", type=int, default=0, help="worker processes on this machine")
    where.add_argument("--scheduler", default="", help="address of a Dask scheduler, tcp://…")
    batch.add_argument(
        "--resume", action=argparse.BooleanOptionalAction, default=True,
        help="skip cells that are done, after verifying them (the default)",
    )  # fmt: skip
    batch.add_argument("--dry-run", action="store_true", help="list cells and estimated hours")
    batch.set_defaults(command=_batch)


def _batch(options: argparse.Namespace) -> int:
    from plasticity_utils.batch.driver import run_batch

    return run_batch(options)
