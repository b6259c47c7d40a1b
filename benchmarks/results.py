"""The file of results: rows are written as they finish, so that a cut-off call goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.measure import ROOT
from plasticity_utils.experiment.store import made_now
from plasticity_utils.files import write_json

RESULTS = ROOT / "benchmarks" / "results"


def read(path: Path) -> dict[str, Any]:
    """What is there, or an empty file's worth."""
    if path.is_file():
        return json.loads(path.read_text(encoding="utf-8"))
    return {"rows": [], "limit": None, "growth": None, "f1": None, "seconds": {}, "commits": {}}


def write(path: Path, results: dict[str, Any]) -> None:
    """Write results with the machine and the code that they were made with."""
    made_with = made_now()
    machine, code = made_with["machine"], made_with["code"]
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = {
        "date": made_with["date"],
        "processor": machine["processor"],
        "cores": machine["cores"],
        "threads": machine["threads"],
        "precision": machine["precision"],
        "memory_gb": machine["memory_gb"],
        "versions": {
            "python": made_with["python"],
            "plasticity": code["version"],
            **{name: v for name, v in made_with["libraries"].items() if v},
        },
    }
    write_json(path, {**results, **facts})


def put_rows(results: dict[str, Any], name: str, rows: list[dict[str, Any]]) -> None:
    """Put a name's rows in the place of those it had."""
    kept = [row for row in results["rows"] if row["name"] != name]
    results["rows"] = kept + [{"name": name, **row} for row in rows]
