"""The results that the book is made of: small tables of finished runs and audits.

A published run is a folder of `book/results`, kept in the repository, with everything that pages
show and nothing that takes room: no weights, no table of all neurons. It opens like any other run.
Notebooks look here first, so that the book is built in seconds and a reader's own settings still
run.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from plasticity_utils import files
from plasticity_utils.errors import InputError, check_kind
from plasticity_utils.experiment.config import RunConfig
from plasticity_utils.experiment.record import Audit, Run, check_run, command, finished_run
from plasticity_utils.experiment.run_names import (
    CURVE_CONDITIONS,
    PROTOCOLS,
    audit_name,
    curve_name,
    example_name,
    features_name,
    run_name,
    shared_settings,
    variant,
    with_protocols,
)
from plasticity_utils.experiment.store import add_table, made_now, with_other_readers
from plasticity_utils.files import ROOT
from plasticity_utils.results.derived import BY_COMMAND, MAKERS, derive, when_published

PUBLISHED = ROOT / "book" / "results"
AUDITS = PUBLISHED / "audits"
_OF_AUDITS = (
    "returns", "readings", "control_task", "further_readings", "heads", "second_cut", "other_bases",
    "base", "dose", "example", "features", "feature_words",
)  # fmt: skip


def find_run(config: RunConfig, make: bool = False) -> Run:
    """Open one's own finished run, else the published one.

    Nothing is worked out for that: a run is known by its settings.

    Parameters
    ----------
    config : RunConfig
        With a `results_dir` of its own nothing published is looked at.
    make : bool
        Run the experiment where it is not there, or what is left of it. A notebook of one concept
        asks for this, so that papermill runs it on any settings; nothing else that reads results
        does.

    Returns
    -------
    Run
        Of a published run only the tables that pages show are there, no table of all neurons.

    Raises
    ------
    InputError
        If there is no such run, and none is to be made.
    """
    check_kind(config, RunConfig, "config must be a RunConfig")
    if own := finished_run(config):
        return own
    folder = PUBLISHED / run_name(config)
    if not config.results_dir and _is_of(folder, config):
        return Run(folder)
    if make:
        # Here, not above: what is there already is opened without what makes it.
        from plasticity_utils.experiment.run import run_experiment

        return run_experiment(config)
    raise InputError(
        f"no finished run {run_name(config)!r} in {str(config.results)!r}; `{command(config)}` "
        "makes it"
    )


def add(
    run: Run,
    name: str,
    results: Path = PUBLISHED,
    make: Callable[[Run], pd.DataFrame] | None = None,
) -> Path:
    """Put a further table beside a run's published ones, and what it was made with beside that.

    `name` is of `derived.BY_COMMAND`, whose maker makes it unless `make` does. Rows of readers that
    were added before are kept. InputError if the run is not published, or as the maker.
    """
    folder = results / run_name(run.config)
    if not folder.is_dir():
        raise InputError(f"{run_name(run.config)!r} is not published; `plasticity publish` does it")
    table = (make or MAKERS[name])(run)
    assert isinstance(table, pd.DataFrame)
    if name == "readers" and _stages(folder) == _stages(run.path):
        table = with_other_readers(table, folder / f"{name}.parquet")
    return add_table(folder, name, table, seed=run.config.seed)


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
    check_run(run)
    if run.config.scale == "smoke":
        raise InputError("a run at the smoke scale is not published: its numbers mean nothing")
    folder = results / run_name(run.config)
    frames = {name: run.table(name) for name in run.config.tables} | derive(
        run, when_published(run)
    )
    facts = {**run.facts, "settings": {**run.facts["settings"], "results_dir": ""}}
    # What is measured here can be made by later code than the run.
    facts |= {"commits": _commits(run), "published": made_now()}
    results.mkdir(parents=True, exist_ok=True)
    with files.whole(folder) as part:
        part.mkdir()
        for name, frame in frames.items():
            frame.to_parquet(part / f"{name}.parquet", index=False, compression="zstd")
        files.write_json(part / "config.json", facts)
        _keep_additions(folder, part)
    return folder


def _keep_additions(old: Path, new: Path) -> None:
    if not (old / "config.json").is_file() or _stages(old) != _stages(new):
        return
    for name in BY_COMMAND:
        for file in old.glob(f"{name}.*"):
            shutil.copy2(file, new / file.name)


def _stages(folder: Path) -> set[str]:
    """Stages of a published run, each named with a digest of its settings."""
    return set(Run(folder).facts["seconds"])


def _commits(run: Run) -> list[str]:
    """Commits of the code that made the run's stages."""
    folders = [run.config.results / "stages" / name for name in run.facts["seconds"]]
    made = [files.seal_of(folder).get("made_with", {}) for folder in folders if folder.is_dir()]
    commits = {facts.get("code", {}).get("commit") for facts in made}
    return sorted(commit for commit in commits if commit)


def published_runs(results: Path = PUBLISHED, kind: type[RunConfig] = RunConfig) -> list[Run]:
    """All published runs, by name.

    Parameters
    ----------
    results : Path
        Folder of all published runs.
    kind : type
        `RunConfig`, or that of another kind of run.

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
    found = [Run(path.parent) for path in sorted(results.glob("*/config.json"))]
    return [run for run in found if type(run.config) is kind]


def status(runs: list[Run]) -> pd.DataFrame:
    """One row a run: its settings, base F1, and when, where and with what it was made.

    Hours are of all stages, shared ones counted in each run. Commits are of the run's stages; with
    a + where the code had changes that no commit holds.
    """
    rows = [{"run": number, **_status_row(run)} for number, run in enumerate(runs, 1)]
    return pd.DataFrame(rows)


def _status_row(run: Run) -> dict[str, Any]:
    config, facts = run.config, run.facts
    base = (
        run.base if run.holds(["base"]) else pd.DataFrame(columns=["entity", "split", "entity_f1"])
    )
    overall = base[base["entity"] == "overall"].set_index("split")["entity_f1"]
    commits = facts.get("commits") or [facts["code"].get("commit") or ""]
    changed = "+" if facts["code"].get("changed") else ""
    return {
        "concept": config.concept_info.title,
        "model": config.model,
        "regime": config.regime,
        "variant": variant(config),
        "scale": config.scale,
        "seed": config.seed,
        "train": facts["n_train_sentences"],
        "removed": facts["n_removed"],
        "base_f1": overall.get("validation", float("nan")),
        "test_f1": overall.get("test", float("nan")),
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
    return found.config.settings() | {"results_dir": ""} == config.settings()


def publish_audit(audit: Audit, results: Path = AUDITS) -> Path:
    """Copy the tables of an audit, a curve, an example or features to the book's results.

    InputError for an audit at the smoke scale, whose numbers mean nothing, and for one that lacks a
    control: the removal's matched counterpart and a model that never knew the concept.
    """
    config = audit.config
    if config.scale == "smoke":
        raise InputError("an audit at the smoke scale is not published: its numbers mean nothing")
    if audit.holds(["example"]):
        name_of, needed = example_name, tuple[str, ...]()
    elif audit.holds(["features"]):
        name_of, needed = features_name, ()
    elif "doses" in audit.facts:
        name_of, needed = curve_name, CURVE_CONDITIONS
    else:
        name_of, needed = audit_name, PROTOCOLS
    lacks = set(needed) - set(audit.returns["condition"] if needed else ())
    if lacks:
        raise InputError(
            f"the audit of {config.concept} lacks the protocols {', '.join(sorted(lacks))}; a row "
            "of the table of removals needs its controls"
        )
    folder = results / name_of(config)
    results.mkdir(parents=True, exist_ok=True)
    with files.whole(folder) as part:
        part.mkdir()
        for name in _OF_AUDITS:
            if (audit.path / f"{name}.parquet").is_file():
                table = audit.table(name)
                table.to_parquet(part / f"{name}.parquet", index=False, compression="zstd")
            if (made_with := audit.path / f"{name}.json").is_file():
                shutil.copy2(made_with, part)
        facts = {**audit.facts, "settings": {**audit.facts["settings"], "results_dir": ""}}
        files.write_json(part / "config.json", facts)
    return folder


def published_audits(
    results: Path = AUDITS,
    anywhere: bool = False,
    protocol: str = "masked",
    scale: str = "quick",
    removal: str = "",
) -> list[Audit]:
    """The published audits of a scale with a protocol: of names in news by the usual model.

    With `anywhere` of any task and model; with a `removal` of that alone. Of several that differ in
    their protocols alone, the one with the fewest.
    """
    chosen: dict[frozenset[tuple[str, Any]], Audit] = {}
    for one in sorted(_in(results, "audit"), key=lambda one: len(one.config.conditions)):
        config = one.config
        is_usual = config.task.is_usual and config.model == RunConfig.model
        is_asked = config.scale == scale and removal in ("", config.chosen.name)
        if is_asked and (anywhere or is_usual) and protocol in config.conditions:
            # By the settings as they are: another corpus need not be there to be read.
            rest = {**config.settings(), "protocols": ""}
            chosen.setdefault(frozenset(rest.items()), one)
    return sorted(chosen.values(), key=lambda one: one.path)


def published_curves(results: Path = AUDITS) -> list[Audit]:
    """All published reading curves, by name."""
    return _in(results, "curve")


def published_examples(results: Path = AUDITS) -> list[Audit]:
    """All published sentences that were marked at each stage, by name."""
    return _in(results, "example")


def _in(folder: Path, kind: str) -> list[Audit]:
    return [Audit(path.parent) for path in sorted(folder.glob(f"{kind}-*/config.json"))]


def published_features(results: Path = AUDITS) -> list[Audit]:
    """All published rankings of features beside units, by name."""
    return _in(results, "features")


def find_audits(config: RunConfig, make: bool = False) -> list[Audit]:
    """The audits of a configuration under every seed: one's own, else the published ones.

    One's own are of the code and the files as they are now; published ones may be older. With
    `make`, that of its own seed is made where there is none; else an InputError.
    """
    config = with_protocols(config)
    wanted = shared_settings(config)
    for place in (config.results, *([] if config.results_dir else [AUDITS])):
        same = [one for one in _in(place, "audit") if shared_settings(one.config) == wanted]
        if same and place != AUDITS:
            from plasticity_utils.experiment.audit import is_of_now

            same = [one for one in same if is_of_now(one, replace(config, seed=one.config.seed))]
        if same and (not make or any(one.config.seed == config.seed for one in same)):
            return sorted(same, key=lambda one: one.config.seed)
    if make:
        from plasticity_utils.experiment.audit import run_audit

        return [run_audit(config)]
    raise InputError(f"no finished audit {audit_name(config)!r} in {str(config.results)!r}")
