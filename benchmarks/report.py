"""Small tables of what was measured, which the book's page on cost reads.

`python -m benchmarks report` writes them to `benchmarks/tables`: each row, curve and limit from
the newest file of `benchmarks/results` that has it. Nothing is measured here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import costs, results
from benchmarks.step_counts import step_counts
from plasticity_utils.errors import InputError
from plasticity_utils.experiment.config import RunConfig

TABLES = results.RESULTS.parent / "tables"
PRODUCTS = "matrix products"
MEASURES, LEAST_MB = ("seconds", "rise_mb"), 0.1
LIBRARIES = ("torch", "transformers", "neurox", "scikit-learn", "numpy")
# Comparisons whose time is mostly the model's, and the work whose distance to the limit is theirs.
LIMITED = {"activations": "extraction", "training": "training"}
# Comparisons that `make bench` makes, by the names of their rows.
COMPARISONS = {
    "scores": "probeless and selectivity",
    "top-words": "highest-activating words",
    "probes": "linear probes of every layer",
    "activations": "word activations",
    "training": "fine-tuning",
    "time-to-f1": "training to the F1 that the Trainer ends with",
    "dose": "dose–response with and without kept states",
    "rows-in-use": "training with and without the embeddings in use",
    "frozen-head": "the last layer alone",
    "start": "the command line's start",
    "run": "the whole quick run",
}


def write(found: dict[str, Any], folder: Path = TABLES) -> list[Path]:
    """Write every table as a CSV file; returns the files."""
    folder.mkdir(exist_ok=True)
    paths = []
    for name, table in tables(found).items():
        paths.append(folder / f"{name}.csv")
        table.to_csv(paths[-1], index=False, float_format="%.6g")
    return paths


def tables(found: dict[str, Any]) -> dict[str, pd.DataFrame]:
    """All tables by their names."""
    full = RunConfig(scale="full")
    rates = costs.measured_rates(found)
    return {
        "made": made_table(found),
        "comparisons": speed_table(found),
        "dates": ratios_by_date(),
        "rates": rate_table(found),
        "limit": limit_table(found),
        "profile": profile_table(found),
        "ceiling": ceiling_table(found),
        "growth": growth_table(found),
        "points": growth_points(found),
        "costs": costs.cost_table(step_counts(full), rates, full.sizes.batch_tokens),
    }


def latest_benchmark(folder: Path = results.RESULTS) -> dict[str, Any]:
    """What was measured last of each name, and the files; an InputError if there is none.

    A row's two sides were measured in one run; rows may be of several days and machines.
    """
    files = [json.loads(p.read_text(encoding="utf-8")) for p in sorted(folder.glob("*.json"))]
    if not files:
        raise InputError(f"no results in {str(folder)!r}; `make bench` measures them")
    rows: dict[str, list[dict[str, Any]]] = {}
    for one in files:
        names = dict.fromkeys(row["name"] for row in one["rows"])
        rows |= {name: [row for row in one["rows"] if row["name"] == name] for name in names}
    whole = {name: _last(files, name) for name in ("limit", "growth", "f1")}
    return {**whole, "rows": [row for own in rows.values() for row in own], "files": files}


def _last(files: list[dict[str, Any]], name: str) -> Any:
    return next((one[name] for one in reversed(files) if one[name]), None)


def made_table(found: dict[str, Any]) -> pd.DataFrame:
    """When, on what and with which code each row was measured, newest first: what, value."""
    seen: set[str] = set()
    measured: list[tuple[str, str]] = []
    for one in reversed(found["files"]):
        versions = one["versions"]
        of_commit: dict[str, list[str]] = {}
        for name in one["commits"].keys() - seen:
            of_commit.setdefault((one["commits"][name] or "no commit")[:10], []).append(name)
        seen |= one["commits"].keys()
        libraries = ", ".join(f"{name} {versions[name]}" for name in LIBRARIES if name in versions)
        code = "; ".join(f"{', '.join(sorted(own))} at {c}" for c, own in sorted(of_commit.items()))
        if code:
            measured.append(
                (
                    one["date"],
                    f"{one['cores']} cores of {one['processor']}, {one['threads']} threads, "
                    f"training in {one['precision']}; plasticity {versions['plasticity']}, Python "
                    f"{versions['python']}, {libraries}: {code}",
                )
            )
    known = {row["name"] for row in found["rows"]}
    missing = ", ".join(title for name, title in COMPARISONS.items() if name not in known)
    return pd.DataFrame([*measured, ("not measured yet", missing)], columns=["what", "value"])


def speed_table(found: dict[str, Any]) -> pd.DataFrame:
    """One row a comparison: medians of seconds, ratio, peak memory beyond what was held before."""
    rows = [
        {
            "work": row["work"],
            "peer_s": row["peer_s"],
            "ours_s": row["ours_s"],
            "ratio": _ratio(row),
            "ratio_low": _ratio(row, "_low"),
            "ratio_high": _ratio(row, "_high"),
            "repeats": row["repeats"],
            "target": row["target"],
            "peer_mb": round(row["peer_rise_mb"]),
            "ours_mb": round(row["ours_rise_mb"]),
            "agree": _yes_or_no(row["agree"]),
            "met": _yes_or_no(row["met"]),
            "agreement": row["agreement"],
            "note": row["note"],
        }
        for row in found["rows"]
    ]
    return pd.DataFrame(rows)


def _ratio(row: dict[str, Any], end: str = "") -> float:
    """A row's ratio, or one end of its range; missing where ours never got there."""
    found: float = row[f"ratio{end}"]
    return found if row["ratio"] > 0 else np.nan


def limit_table(found: dict[str, Any]) -> pd.DataFrame:
    """The fraction of the matrix rate that training and extraction reach, at the model's sizes."""
    limit = found["limit"]
    rows = []
    for work in ("extraction", "training"):
        facts = limit[work]
        rows.append(
            {
                "work": work,
                "precision": facts["precision"],
                "tokens_per_s": round(facts["tokens_per_s"]),
                "gflops": facts["gflops"],
                "fraction": facts["fraction"],
                "fraction_1024": facts[f"fraction_{facts['precision']}_1024"],
                "products": sum(r["share"] for r in facts["profile"] if r["part"] == PRODUCTS),
            }
        )
    return pd.DataFrame(rows)


def ceiling_table(found: dict[str, Any]) -> pd.DataFrame:
    """The ratio that a comparison could reach if ours did nothing but its matrix products."""
    rows = [
        {
            "work": row["work"],
            "ratio": row["ratio"],
            "target": row["target"],
            "ceiling": row["ratio"] / found["limit"][LIMITED[row["name"]]]["fraction"],
        }
        for row in found["rows"]
        if row["name"] in LIMITED
    ]
    return pd.DataFrame(rows, columns=["work", "ratio", "target", "ceiling"])


def ratios_by_date(folder: Path = results.RESULTS) -> pd.DataFrame:
    """The ratios of every file of results: work, and a column for each date."""
    by_date = {
        path.stem: {row["work"]: _ratio(row) for row in json.loads(path.read_text())["rows"]}
        for path in sorted(folder.glob("*.json"))
    }
    return pd.DataFrame(by_date).rename_axis("work").reset_index()


def rate_table(found: dict[str, Any]) -> pd.DataFrame:
    """Matrix rates: product (n · k · m), then GFLOP/s in fp32 and in bf16."""
    rates = pd.DataFrame(found["limit"]["rates"])
    rates["product"] = [f"{r.n} × {r.k} × {r.m}" for r in rates.itertuples()]
    table = rates.pivot_table(index="product", columns="precision", values="gflops", sort=False)
    return table.reset_index().rename_axis(columns=None)


def profile_table(found: dict[str, Any]) -> pd.DataFrame:
    """Share of the time by kind of operation: part, extraction, training."""
    limit = found["limit"]
    sides = {
        work: {row["part"]: row["share"] for row in limit[work]["profile"]}
        for work in ("extraction", "training")
    }
    table = pd.DataFrame(sides).fillna(0.0).sort_values("training", ascending=False)
    return table.rename_axis("part").reset_index()


def growth_table(found: dict[str, Any]) -> pd.DataFrame:
    """Exponents of growth, with 95 % intervals."""
    rows = []
    for name, curve in found["growth"]["curves"].items():
        n = [point["n"] for point in curve["points"]]
        row: dict[str, Any] = {"curve": name, "points": len(n), "from": min(n), "to": max(n)}
        for measure in ("seconds", "memory"):
            slope = curve[f"{measure}_exponent"]
            row |= {measure: slope["slope"], f"{measure}_low": slope["low"]}
            row[f"{measure}_high"] = slope["high"]
        rows.append({**row, "last_mb": curve["points"][-1]["rise_mb"]})
    return pd.DataFrame(rows)


def growth_points(found: dict[str, Any]) -> pd.DataFrame:
    """Points of the curves: curve, n, seconds, rise_mb (0.1 stands for that and less)."""
    table = pd.DataFrame(
        [
            {"curve": name, **{key: point[key] for key in ("n", *MEASURES)}}
            for name, curve in found["growth"]["curves"].items()
            for point in curve["points"]
        ]
    )
    # No rise has no logarithm.
    return table.assign(rise_mb=table["rise_mb"].clip(lower=LEAST_MB))


def _yes_or_no(value: bool | None) -> str:
    return "–" if value is None else "yes" if value else "no"
