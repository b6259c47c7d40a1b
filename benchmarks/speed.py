"""What was measured of speed and memory: the newest file of `benchmarks/results` as tables.

`python -m benchmarks` measures ours beside NeuroX 1.0.9, scikit-learn and the Trainer of
`transformers`, on the same data in turn, and `python -m benchmarks growth` how both time and memory
grow. Nothing is measured here, only read.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from plasticity_utils.errors import InputError

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks" / "results"
PRODUCTS, AIM = "matrix products", 0.6
MEASURES, LEAST_MB = ("seconds", "rise_mb"), 0.1
# Comparisons whose time is mostly the model's, and the work whose distance to the limit is theirs.
LIMITED = {"activations": "extraction", "training": "training"}
# Comparisons that `make bench` makes, by the names of their rows.
COMPARISONS = {
    "scores": "probeless and selectivity",
    "top-words": "highest-activating words",
    "probes": "linear probes of every layer",
    "activations": "word activations",
    "training": "fine-tuning",
    "run": "the whole quick run",
}


def latest_benchmark(results: Path = BENCHMARKS) -> dict[str, Any]:
    """Read the newest file of results.

    Parameters
    ----------
    results : Path
        Folder of files named by their date.

    Raises
    ------
    InputError
        If there is none.
    """
    files = sorted(results.glob("*.json"))
    if not files:
        raise InputError(f"no results in {str(results)!r}; `make bench` measures them")
    return json.loads(files[-1].read_text(encoding="utf-8"))


def speed_table(found: dict[str, Any]) -> pd.DataFrame:
    """One row a comparison.

    Parameters
    ----------
    found : dict
        From `latest_benchmark`.

    Returns
    -------
    DataFrame
        work, peer_s, ours_s (medians, in seconds), ratio with its least and greatest over repeats,
        target, peer_mb and ours_mb (peak memory beyond what the process held before the work),
        agree, met.
    """
    rows = [
        {
            "work": row["work"],
            "peer_s": row["peer_s"],
            "ours_s": row["ours_s"],
            "ratio": row["ratio"],
            "ratio_low": row["ratio_low"],
            "ratio_high": row["ratio_high"],
            "repeats": row["repeats"],
            "target": row["target"],
            "peer_mb": round(row["peer_rise_mb"]),
            "ours_mb": round(row["ours_rise_mb"]),
            "agree": _yes_or_no(row["agree"]),
            "met": _yes_or_no(row["met"]),
        }
        for row in found["rows"]
    ]
    return pd.DataFrame(rows)


def limit_table(found: dict[str, Any]) -> pd.DataFrame:
    """The fraction of the matrix rate that training and extraction reach.

    Returns
    -------
    DataFrame
        work, precision, tokens_per_s (real tokens), gflops (reached), fraction (of the rate at the
        model's own sizes, in that precision), fraction_1024 (of the rate at 1024³).
    """
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
            }
        )
    return pd.DataFrame(rows)


def ceiling_table(found: dict[str, Any]) -> pd.DataFrame:
    """The ratio that a comparison could reach if ours did nothing but its matrix products.

    Parameters
    ----------
    found : dict
        From `latest_benchmark`.

    Returns
    -------
    DataFrame
        work, ratio, target, ceiling (ratio divided by the fraction of the matrix rate reached); of
        comparisons that run the model, if they were made.
    """
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


def ratios_by_date(results: Path = BENCHMARKS) -> pd.DataFrame:
    """The ratios of every file of results: work, and a column for each date."""
    by_date = {
        path.stem: {row["work"]: row["ratio"] for row in json.loads(path.read_text())["rows"]}
        for path in sorted(results.glob("*.json"))
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
    """Exponents of growth.

    Returns
    -------
    DataFrame
        curve, points, from, to (the n of the curve's ends), seconds and memory (exponents, with
        `_low` and `_high` of their 95 % intervals).
    """
    rows = []
    for name, curve in found["growth"]["curves"].items():
        n = [point["n"] for point in curve["points"]]
        row: dict[str, Any] = {"curve": name, "points": len(n), "from": min(n), "to": max(n)}
        for measure in ("seconds", "memory"):
            slope = curve[f"{measure}_exponent"]
            row |= {measure: slope["slope"], f"{measure}_low": slope["low"]}
            row[f"{measure}_high"] = slope["high"]
        rows.append(row)
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


def made_with(found: dict[str, Any]) -> str:
    """Say when, on what and with which code it was measured (Markdown)."""
    versions = found["versions"]
    names = ("torch", "transformers", "neurox", "scikit-learn", "numpy")
    libraries = ", ".join(f"{name} {versions[name]}" for name in names if name in versions)
    minutes = sum(found["seconds"].values()) / 60
    of_commit: dict[str, list[str]] = {}
    for name, commit in found["commits"].items():
        of_commit.setdefault((commit or "no commit")[:10], []).append(name)
    code = "; ".join(f"{commit} ({', '.join(named)})" for commit, named in of_commit.items())
    return (
        f"Measured on {found['date']} in {minutes:.0f} minutes on {found['cores']} cores of "
        f"{found['processor']}, {found['threads']} threads, training in {found['precision']}; "
        f"plasticity {versions['plasticity']}; Python {versions['python']}; {libraries}. Code: "
        f"{code}."
    )


def comparison_notes(found: dict[str, Any]) -> str:
    """Say of each comparison how it came out and how it was made (Markdown list)."""
    lines = []
    for row in found["rows"]:
        reached = f"{row['ratio']:.1f} × ({row['ratio_low']:.1f} to {row['ratio_high']:.1f})"
        met = "met" if row["met"] else "**not met**"
        lines.append(
            f"- *{row['work']}*: {reached}, target {row['target']:g} ×, {met}. "
            f"Agreement: {row['agreement']}. {row['note']}"
        )
    measured = {row["name"] for row in found["rows"]}
    missing = [title for name, title in COMPARISONS.items() if name not in measured]
    if missing:
        lines.append(f"- Not measured yet: {', '.join(missing)}.")
    return "\n".join(lines)


def limit_sentence(found: dict[str, Any]) -> str:
    """Say how near the machine's limit the work comes, and where the rest goes (Markdown)."""
    parts = []
    for work in ("extraction", "training"):
        facts = found["limit"][work]
        others = [row for row in facts["profile"] if row["part"] != PRODUCTS][:3]
        rest = ", ".join(f"{row['part']} {100 * row['share']:.0f} %" for row in others)
        products = sum(row["share"] for row in facts["profile"] if row["part"] == PRODUCTS)
        parts.append(
            f"{work.capitalize()} reaches {100 * facts['fraction']:.0f} % of the "
            f"{facts['precision']} rate at the model's own sizes (aim: {100 * AIM:.0f} %). Of its "
            f"time under the profiler {100 * products:.0f} % goes to matrix products; the "
            f"largest other parts are {rest}."
        )
    return " ".join(parts)


def bound_sentence(found: dict[str, Any]) -> str:
    """Say how far streamed selectivity can be from exact, and under which cap (Markdown)."""
    last = found["growth"]["curves"]["scores by words"]["points"][-1]
    return (
        f"At {last['n']:,} words, with {last['n_bins']} bins, no selectivity is further from its "
        f"exact value than {last['greatest_bound']:.3f}; memory rises by {last['rise_mb']:,.0f} MB."
    )


def _yes_or_no(value: bool | None) -> str:
    return "–" if value is None else "yes" if value else "no"
