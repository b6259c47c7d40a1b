"""One run of the experiment, from settings to tables.

Fine-tune a model on named entity recognition; rank its neurons for a concept; remove the top ones;
train on under four conditions; measure all along. The conditions answer what one alone cannot:
`random` removes as many neurons that have nothing to do with the concept, `none` removes nothing
and shows the drift that training alone causes, and `head` retrains only the linear classification
head. What the head alone regains was never lost, only not read: *relearned* means recovered beyond
`head`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from plasticity_utils import files
from plasticity_utils.errors import check_kind
from plasticity_utils.experiment import measure
from plasticity_utils.experiment.config import RunConfig
from plasticity_utils.experiment.forcing import forcing_tables
from plasticity_utils.experiment.forcing_config import ForcingConfig
from plasticity_utils.experiment.record import Run, own_settings
from plasticity_utils.experiment.run_names import run_name
from plasticity_utils.experiment.stages import Stages
from plasticity_utils.experiment.store import made_now, read_tables, save_tables
from plasticity_utils.registry import users_errors

# Gives the stages of a configuration, its tables, and facts beside those that every run has.
_Maker = Callable[[Any], tuple[Stages, dict[str, pd.DataFrame], dict[str, Any]]]


@users_errors()
def run_experiment(config: RunConfig) -> Run:
    """Run the experiment, or what is left of it: finished stages are found again.

    Parameters
    ----------
    config : RunConfig
        Or a `ForcingConfig`.

    Returns
    -------
    Run
        With its tables on disk in `config.results`. A run that was interrupted at any moment and
        is repeated gives the same tables.

    Raises
    ------
    InputError
        If a launcher was told to split the model or to change its precision, see
        `hardware.count`, or the processes that it started do not see the same results folder.
    """
    check_kind(config, RunConfig, "config must be a RunConfig")
    folder = files.cached(
        config.results, run_name(config), _settings(config), lambda part: _make(config, part)
    )
    return Run(folder)


def _make(config: RunConfig, part: Path) -> None:
    stages, frames, facts = _MAKERS[config.command](config)
    save_tables(frames, part)
    files.write_json(part / "config.json", {**_facts(stages), **facts, **made_now()})


def _run(config: RunConfig) -> tuple[Stages, dict[str, pd.DataFrame], dict[str, Any]]:
    """Remove and retrain under every protocol; gives the stages, tables, and further facts."""
    stages = Stages(config)
    stages.check()
    stages.measured()
    untrained = {name: stages.measured(name) for name in config.conditions}
    retrained = {name: stages.retrained(name) for name in config.conditions}
    reliance = {name: stages.reliance(name) for name in stages.removed_again}
    measured = {
        name: _by_stage(config, stages.whole(name), untrained[name], retrained[name])
        for name in config.conditions
    }
    in_force = {name: stages.in_force(name) for name in config.conditions}
    neurons = measure.neuron_table(measured, in_force, config.label, config.preset.ranking)
    frames = {
        "metrics": measure.metrics_table(measured),
        "neurons": neurons,
        "layers": measure.layer_table(measured, neurons, config.label),
        "dose": pd.read_parquet(stages.dose() / "dose.parquet"),
        "reliance": _by_condition(reliance, "reliance"),
        "ranking": pd.read_parquet(stages.ranking() / "ranking.parquet"),
        "base": pd.read_parquet(stages.base() / "scores.parquet"),
    }
    fitted = {"targeted": stages.removal, "random": stages.control}
    own, drawn = (set(map(tuple, each.neurons.tolist())) for each in fitted.values())
    of_each = {name: each.facts() for name, each in fitted.items()}
    facts = {fact: {n: said[fact] for n, said in of_each.items()} for fact in of_each["targeted"]}
    return stages, frames, {"random_overlap": len(own & drawn), **facts}


def _facts(stages: Stages) -> dict[str, Any]:
    """Say what was run, with what, and how long each stage took."""
    config, sentences = stages.config, stages.sentences
    return {
        "command": config.command,
        "settings": config.settings(),
        "task": sentences.task,
        # What was read of files, which may be gone when the run is opened.
        **({} if config.is_usual else {"concept_info": asdict(config.concept_info)}),
        "sizes": asdict(config.sizes),
        "learning_rate": config.rate,
        "dose": stages.chosen_dose,
        "n_removed": len(stages.removal.neurons),
        "n_neurons": len(pd.read_parquet(stages.ranking() / "ranking.parquet")),
        "n_train_sentences": len(sentences.train),
        "n_curve_sentences": len(sentences.custom_curve or sentences.curve),
        "seconds": {f.name: files.seal_of(f)["seconds"] for f in sorted(stages.used)},
    }


_MAKERS: dict[str, _Maker] = {RunConfig.command: _run, ForcingConfig.command: forcing_tables}


def _by_stage(
    config: RunConfig, whole: Path, untrained: Path, retrained: Path
) -> dict[tuple[str, float], dict[str, pd.DataFrame]]:
    """Tables of one condition by (stage, epoch): base, removed, retraining …, end."""
    found = {("base", -1.0): read_tables(whole), ("removed", 0.0): read_tables(untrained)}
    *early, last = config.snapshots[1:]
    for name, epochs in (("retraining", early), ("end", [last])):
        for epoch in epochs:
            found[name, epoch] = read_tables(retrained / "snapshots" / f"{epoch:g}")
    return found


def _by_condition(folders: dict[str, Path], table: str) -> pd.DataFrame:
    """Stack a table of each condition's folder."""
    parts = [
        pd.read_parquet(folder / f"{table}.parquet").assign(condition=name)
        for name, folder in folders.items()
    ]
    return pd.concat(parts, ignore_index=True)


def _settings(config: RunConfig) -> dict[str, Any]:
    return {**own_settings(config), **Stages(config).training_settings}
