"""One run of the experiment, from settings to tables.

Fine-tune a model on named entity recognition; rank its neurons for a concept; remove the top ones;
train on under four conditions; measure all along. The conditions answer what one alone cannot:
`random` removes as many neurons that have nothing to do with the concept, `none` removes nothing
and shows the drift that training alone causes, and `head` retrains only the linear classification
head. What the head alone regains was never lost, only not read: *relearned* means recovered beyond
`head`.
"""

from __future__ import annotations

import glob
import json
import shlex
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from plasticity_utils import files
from plasticity_utils.data.concepts import parse_concept
from plasticity_utils.errors import InputError, check_kind
from plasticity_utils.experiment import measure
from plasticity_utils.experiment.config import RunConfig
from plasticity_utils.experiment.forcing import forcing_tables
from plasticity_utils.experiment.forcing_config import ForcingConfig
from plasticity_utils.experiment.run_names import run_name
from plasticity_utils.experiment.stages import Stages
from plasticity_utils.experiment.store import made_now, read_tables, save_tables
from plasticity_utils.registry import protocols, rankings, users_errors

# Gives the stages of a configuration, its tables, and facts beside those that every run has.
_Maker = Callable[[Any], tuple[Stages, dict[str, pd.DataFrame], dict[str, Any]]]


@dataclass(frozen=True)
class Run:
    """A finished run: a folder of tables and the settings that made them.

    Attributes
    ----------
    path : Path
        Folder with `config.json` and one Parquet file a table.
    """

    path: Path

    @cached_property
    def facts(self) -> dict[str, Any]:
        """Return `config.json`: settings, chosen dose, versions, machine, seconds a stage."""
        return json.loads((self.path / "config.json").read_text(encoding="utf-8"))

    @cached_property
    def config(self) -> RunConfig:
        """Settings of the run; its results lie where its folder is now, its model maybe nowhere."""
        settings = {**self.facts["settings"], "results_dir": str(self.path.parent)}
        info = self.facts.get("concept_info") or asdict(parse_concept(settings["concept"]))
        kind = _KINDS[self.facts.get("command", RunConfig.command)]
        return kind.recorded(settings, info)

    def model(
        self, stage: str = "base", condition: str = "targeted"
    ) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """Bring back a model of the run and its tokenizer, with what the run had removed in force.

        Parameters
        ----------
        stage : {"base", "removed", "end"}
            Before the removal, just after it, or after the retraining.
        condition : {"targeted", "random", "none", "head"}
            All have the same base.

        Returns
        -------
        model, tokenizer
            As from `load_model`; `pu.undo(model)` takes the removal off.

        Raises
        ------
        InputError
            For an unknown stage or condition, or if the run's models are not kept here, as of a
            published run.
        """
        # Here, not above: replay opens runs.
        from plasticity_utils.experiment.replay import brought_back

        return brought_back(self, condition, stage)

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """Entity F1: condition, stage, epoch and the columns of `entity_scores`."""
        return self.table("metrics")

    @cached_property
    def neurons(self) -> pd.DataFrame:
        """Every neuron at every stage of every condition: the table `neurons`."""
        return self.table("neurons")

    @cached_property
    def layers(self) -> pd.DataFrame:
        """Every layer at every stage: the table `layers`."""
        return self.table("layers")

    @cached_property
    def dose(self) -> pd.DataFrame:
        """Dose–response without retraining: the table `dose`."""
        return self.table("dose")

    @cached_property
    def reliance(self) -> pd.DataFrame:
        """F1 with neurons removed again at the end: see `Stages.reliance`."""
        return self.table("reliance")

    @cached_property
    def ranking(self) -> pd.DataFrame:
        """Scores and ranks of the base model's neurons by every method."""
        return self.table("ranking")

    @cached_property
    def base(self) -> pd.DataFrame:
        """F1 of the base model on the validation and the test split."""
        return self.table("base")

    def holds(self, names: Iterable[str]) -> bool:
        """Tell whether all tables of these names are kept; older runs lack newer ones."""
        return all((self.path / f"{name}.parquet").is_file() for name in names)

    def table(self, name: str) -> pd.DataFrame:
        """Read the table of this name."""
        path = self.path / f"{name}.parquet"
        if not path.is_file():
            raise InputError(f"{str(path)!r} is not published; `plasticity run` makes it")
        return pd.read_parquet(path)


def check_run(run: Any) -> None:
    """Raise InputError for what is no run: a path, settings, nothing."""
    check_kind(run, Run, "run must be one of load_run, find_run or run_experiment")


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


def finished_run(config: RunConfig) -> Run | None:
    """Open the newest finished run of these settings in the results folder, if there is one.

    Files are read and nothing is worked out: no model is hashed, no precision is chosen.
    """
    wanted = json.loads(json.dumps(_own_settings(config)))
    found = [
        path.parent
        for path in config.results.glob(f"{glob.escape(run_name(config))}-*/{files.SEAL}")
        if files.is_current(path.parent)
        and wanted.items() <= files.seal_of(path.parent)["settings"].items()
        and files.is_sound(path.parent)
    ]
    return Run(max(found, key=lambda folder: folder.stat().st_mtime)) if found else None


def command(config: RunConfig) -> str:
    """Return the command that makes a run."""
    usual = {field.name: field.default for field in fields(config)}
    own = {name: value for name, value in asdict(config).items() if value != usual[name]}
    options = [
        f"--{name.replace('_', '-')}" + ("" if value is True else f" {_quoted(value)}")
        for name, value in ({"concept": config.concept} | own).items()
    ]
    return " ".join(["plasticity", config.command, *options])


def _quoted(value: object) -> str:
    several = value if isinstance(value, tuple) else (value,)
    return " ".join(shlex.quote(str(each)) for each in several)


def load_run(path: str | Path) -> Run:
    """Open a finished run; a damaged or unfinished folder is an InputError."""
    folder = files.path_of(path, "run")
    if not files.is_sound(folder):
        is_published = (folder / "config.json").is_file() and not (folder / files.SEAL).exists()
        known = "; of published runs it is `pu.published_runs()`" if is_published else ""
        raise InputError(f"{str(folder)!r} is no finished run, or files in it are damaged{known}")
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


_KINDS = {kind.command: kind for kind in (RunConfig, ForcingConfig)}
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
    return {**_own_settings(config), **Stages(config).training_settings}


def _own_settings(config: RunConfig) -> dict[str, Any]:
    """What a run's settings alone say: where files lie does not matter, only what is in them."""
    settings = {
        **config.settings(),
        **config.task.key(),
        "concept": config.concept_info.name,
        "removal": config.chosen.key(),
        "ranking": rankings.key(config.preset.ranking),
        "protocols": [protocols.key(name) for name in config.conditions.values()],
        "sizes": asdict(config.sizes),
    }
    return {n: value for n, value in settings.items() if n not in ("results_dir", "corpus")}
