"""The results that the book is made of: small tables of finished runs, kept in the repository.

A published run is a folder of `book/results` with everything that pages show and nothing that takes
room: no weights, no table of all neurons. It opens like any other run. Notebooks look here first,
so that the book is built in seconds and a reader's own settings still run.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from plasticity_utils import store
from plasticity_utils.cards import neuron_cards
from plasticity_utils.config import RunConfig
from plasticity_utils.errors import InputError
from plasticity_utils.findings import FINDINGS, finding
from plasticity_utils.mistakes_measured import measure_mistakes
from plasticity_utils.provenance import made_now
from plasticity_utils.questions.answers import answers
from plasticity_utils.run import Run, is_finished, run_experiment, run_name, variant

PUBLISHED = Path(__file__).resolve().parent.parent / "book" / "results"
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


def publish(run: Run, results: Path = PUBLISHED) -> Path:
    """Copy what pages show of a finished run to the book's results.

    Parameters
    ----------
    run : Run
        From `run_experiment`.
    results : Path
        Folder of all published runs.

    Returns
    -------
    Path
        The run's folder, named after its settings; an older one of that name is replaced. What was
        added to that (`add`) is kept where it is of the same stages.

    Raises
    ------
    InputError
        For a run at the smoke scale, whose numbers mean nothing, or one whose models are gone.
    """
    if run.config.scale == "smoke":
        raise InputError("a run at the smoke scale is not published: its numbers mean nothing")
    folder = results / run_name(run.config)
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    frames = {name: getattr(run, name) for name in TABLES}
    frames |= {name: finding(run, name) for name in FINDINGS}
    frames |= neuron_cards(run) | answers(run) | measure_mistakes(run)
    for name, frame in frames.items():
        frame.to_parquet(part / f"{name}.parquet", index=False, compression="zstd")
    facts = {**run.facts, "settings": {**run.facts["settings"], "results_dir": ""}}
    # What is measured here can be made by later code than the run.
    facts |= {"commits": _commits(run), "published": made_now()}
    store.write_json(part / "config.json", facts)
    _keep_additions(folder, part)
    shutil.rmtree(folder, ignore_errors=True)
    part.replace(folder)
    return folder


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
    store.write_json(path.with_suffix(".json"), {"seed": run.config.seed, **made_now()})
    return path


def added(runs: Iterable[Run], name: str) -> list[tuple[Run, pd.DataFrame]]:
    """Read the table of this name (of `ADDED`) of every run that has it."""
    return [
        (run, pd.read_parquet(run.path / f"{name}.parquet")) for run in runs if run.holds([name])
    ]


def published_runs(results: Path = PUBLISHED) -> list[Run]:
    """All published runs, by name."""
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


def _keep_additions(old: Path, new: Path) -> None:
    if not (old / "config.json").is_file() or _stages(old) != _stages(new):
        return
    for name in ADDED:
        for file in old.glob(f"{name}.*"):
            shutil.copy2(file, new / file.name)


def _stages(folder: Path) -> set[str]:
    """Stages of a published run, each named with a digest of its settings."""
    return set(Run(folder).facts["seconds"])


def _commits(run: Run) -> list[str]:
    """Commits of the code that made the run's stages."""
    folders = [run.config.results / "stages" / name for name in run.facts["seconds"]]
    made = [store.seal_of(folder).get("made_with", {}) for folder in folders if folder.is_dir()]
    commits = {facts.get("code", {}).get("commit") for facts in made}
    return sorted(commit for commit in commits if commit)
