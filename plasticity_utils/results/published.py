"""The results that the book is made of: small tables of finished runs, kept in the repository.

A published run is a folder of `book/results` with everything that pages show and nothing that takes
room: no weights, no table of all neurons. It opens like any other run. Notebooks look here first,
so that the book is built in seconds and a reader's own settings still run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from plasticity_utils import files
from plasticity_utils.errors import InputError
from plasticity_utils.experiment.config import RunConfig
from plasticity_utils.experiment.run import Run, is_finished, run_experiment, run_name, variant
from plasticity_utils.experiment.store import made_now
from plasticity_utils.files import ROOT

PUBLISHED = ROOT / "book" / "results"
TABLES = ("base", "dose", "layers", "metrics", "reliance")
# What `indicator_comparison` and `readers` add to a published run: a table and its facts each.
ADDED = ("indicators", "readers")


def find_run(config: RunConfig) -> Run:
    """Open one's own finished run, else the published one, else run the experiment.

    Parameters
    ----------
    config : RunConfig
        With a `results_dir` of its own nothing published is looked at.

    Returns
    -------
    Run
        Of a published run only the tables that pages show are there, no table of all neurons.
    """
    folder = PUBLISHED / run_name(config)
    if not config.results_dir and not is_finished(config) and _is_of(folder, config):
        return Run(folder)
    return run_experiment(config)


def add(run: Run, name: str, make: Callable[[], pd.DataFrame], results: Path = PUBLISHED) -> Path:
    """Put a further table beside a run's published ones, and what it was made with beside that.

    Parameters
    ----------
    run : Run
        Published already.
    name : str
        Of `ADDED`.
    make : function
        Makes the table; only called for a published run.
    results : Path
        Folder of all published runs.

    Returns
    -------
    Path
        The table's file.

    Raises
    ------
    InputError
        If the run is not published.
    """
    folder = results / run_name(run.config)
    if not folder.is_dir():
        raise InputError(f"{run_name(run.config)!r} is not published; `plasticity publish` does it")
    path = folder / f"{name}.parquet"
    make().to_parquet(path, index=False, compression="zstd")
    files.write_json(path.with_suffix(".json"), {"seed": run.config.seed, **made_now()})
    return path


def added(runs: Iterable[Run], name: str) -> list[tuple[Run, pd.DataFrame]]:
    """Read the table of this name (of `ADDED`) of every run that has it."""
    return [
        (run, pd.read_parquet(run.path / f"{name}.parquet")) for run in runs if run.holds([name])
    ]


def published_runs(results: Path = PUBLISHED) -> list[Run]:
    """All published runs, by name.

    Raises
    ------
    InputError
        If the folder is not there: published runs are in the project's checkout, and do not travel
        with an installed package.
    """
    if not results.is_dir():
        raise InputError(
            f"no published runs at {str(results)!r}: they are in the project's checkout, not in an "
            "installed package; name their folder, `book/results` of the checkout"
        )
    return [Run(path.parent) for path in sorted(results.glob("*/config.json"))]


def status(runs: list[Run]) -> pd.DataFrame:
    """One row a run: its settings, base F1, and when, where and with what it was made.

    Parameters
    ----------
    runs : list of Run
        Usually from `published_runs`.

    Returns
    -------
    DataFrame
        run (a number, from 1), concept, model, regime, variant (overrides of the regime), scale,
        seed, train (sentences), removed (neurons), base_f1, test_f1 (overall, in [0, 1]), date,
        hours (of all stages, shared ones counted in each run), threads, precision (of training),
        processor, commit (of the run's stages; with a + where the code had changes that no commit
        holds), torch, transformers.
    """
    rows = [{"run": number, **_status_row(run)} for number, run in enumerate(runs, 1)]
    return pd.DataFrame(rows)


def _status_row(run: Run) -> dict[str, Any]:
    config, facts = run.config, run.facts
    overall = run.base[run.base["entity"] == "overall"].set_index("split")["f1"]
    commits = facts.get("commits") or [facts["code"].get("commit") or ""]
    changed = "+" if facts["code"].get("changed") else ""
    return {
        "concept": config.about.title,
        "model": config.model,
        "regime": config.regime,
        "variant": variant(config),
        "scale": config.scale,
        "seed": config.seed,
        "train": facts["n_train_sentences"],
        "removed": facts["n_removed"],
        "base_f1": overall["validation"],
        "test_f1": overall["test"],
        "date": facts["date"],
        "hours": sum(facts["seconds"].values()) / 3600,
        "threads": facts["machine"]["threads"],
        "precision": facts["machine"].get("precision", ""),
        "processor": facts["machine"]["accelerator"] or facts["machine"]["processor"],
        "commit": ", ".join(commit[:7] for commit in commits) + changed,
        "torch": facts["libraries"]["torch"],
        "transformers": facts["libraries"]["transformers"],
    }


def _is_of(folder: Path, config: RunConfig) -> bool:
    if not (folder / "config.json").is_file():
        return False
    found = Run(folder)
    return asdict(found.config) | {"results_dir": ""} == asdict(config)
