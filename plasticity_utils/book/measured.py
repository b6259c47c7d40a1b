"""What the page on cost shows: the small tables that `python -m benchmarks report` writes."""

from __future__ import annotations

import pandas as pd

from plasticity_utils.errors import InputError
from plasticity_utils.files import ROOT


def benchmark(name: str) -> pd.DataFrame:
    """Read one of the tables in `benchmarks/tables`, by its name."""
    folder = ROOT / "benchmarks" / "tables"
    path = folder / f"{name}.csv"
    if not path.is_file():
        names = ", ".join(sorted(found.stem for found in folder.glob("*.csv"))) or "none yet"
        raise InputError(f"unknown benchmark {name!r}; `make bench-report` writes: {names}")
    return pd.read_csv(path)
