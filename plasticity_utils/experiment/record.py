"""What is there of a finished run or audit: a folder of tables, and the settings that made them.

Opening one reads files. It loads no model, and none of the libraries that models need.
"""

from __future__ import annotations

import glob
import json
import shlex
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from plasticity_utils import files
from plasticity_utils.data.concepts import parse_concept
from plasticity_utils.errors import InputError, check_kind
from plasticity_utils.experiment.config import RunConfig
from plasticity_utils.experiment.forcing_config import ForcingConfig
from plasticity_utils.experiment.run_names import run_name
from plasticity_utils.registry import protocols, rankings

if TYPE_CHECKING:
    import transformers

_KINDS = {kind.command: kind for kind in (RunConfig, ForcingConfig)}


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
    ) -> tuple[transformers.PreTrainedModel, transformers.PreTrainedTokenizerBase]:
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


@dataclass(frozen=True)
class Audit(Run):
    """A finished audit: a folder of tables and the settings that made them.

    Attributes
    ----------
    path : Path
        Folder with `config.json`, `returns.parquet`, `readings.parquet`, and the base model's F1.
    """

    @cached_property
    def returns(self) -> pd.DataFrame:
        """F1 by step of training: condition, step, epoch, and the columns of `tag_scores`."""
        return self.table("returns")

    @cached_property
    def readings(self) -> pd.DataFrame:
        """What readers find: body, reader, place, n_fitted, and the columns of `tag_scores`."""
        return self.table("readings")

    @cached_property
    def control_task(self) -> pd.DataFrame:
        """The columns of `readings`, where each form of a word has a tag of another form."""
        return self.table("control_task")


def check_run(run: Any) -> None:
    """Raise InputError for what is no run: a path, settings, nothing."""
    check_kind(run, Run, "run must be one of load_run, find_run or run_experiment")


def finished_run(config: RunConfig) -> Run | None:
    """Open the newest finished run of these settings in the results folder, if there is one.

    Files are read and nothing is worked out: no model is hashed, no precision is chosen.
    """
    wanted = json.loads(json.dumps(own_settings(config)))
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


def own_settings(config: RunConfig) -> dict[str, Any]:
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
