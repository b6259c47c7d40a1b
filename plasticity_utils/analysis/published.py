"""Publish a run: its tables, and what is measured with its models, into the repository."""

from __future__ import annotations

import shutil
from pathlib import Path

from plasticity_utils import files
from plasticity_utils.analysis.mistakes import measure_mistakes
from plasticity_utils.analysis.registry import answers
from plasticity_utils.errors import InputError
from plasticity_utils.experiment.run import Run, run_name
from plasticity_utils.experiment.store import made_now
from plasticity_utils.results.derived import FINDINGS, finding
from plasticity_utils.results.neurons import neuron_cards
from plasticity_utils.results.published import ADDED, PUBLISHED, TABLES


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
    files.write_json(part / "config.json", facts)
    _keep_additions(folder, part)
    shutil.rmtree(folder, ignore_errors=True)
    part.replace(folder)
    return folder


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
    made = [files.seal_of(folder).get("made_with", {}) for folder in folders if folder.is_dir()]
    commits = {facts.get("code", {}).get("commit") for facts in made}
    return sorted(commit for commit in commits if commit)
