"""One run of the experiment, from settings to tables.

Fine-tune a model on named entity recognition; rank its neurons for a concept; remove the top ones;
train on under four conditions; measure all along. The conditions answer what one alone cannot:
`random` removes as many neurons that have nothing to do with the concept, `none` removes nothing
and shows the drift that training alone causes, and `head` retrains only the linear classification
head. What the head alone regains was never lost, only not read: *relearned* means recovered beyond
`head`.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from plasticity_utils import files
from plasticity_utils.data.concepts import parse_concept
from plasticity_utils.errors import InputError
from plasticity_utils.experiment import measure
from plasticity_utils.experiment.config import ERASER_SETTINGS, RunConfig
from plasticity_utils.experiment.dose import pick_dose
from plasticity_utils.experiment.splits import OWN_PARTS
from plasticity_utils.experiment.stages import Stages
from plasticity_utils.experiment.store import made_now, read_tables, save_tables
from plasticity_utils.names import CONDITIONS
from plasticity_utils.removal.plans import ErasurePlan, Plan, plan_at, random_plan
from plasticity_utils.training.custom_probe import check_readable

RELIANCE_CONDITIONS = ("targeted", "none")


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
        about = self.facts.get("about") or asdict(parse_concept(settings["concept"]))
        return RunConfig.recorded(settings, about)

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
        """Every neuron at every stage of every condition: see `assembly.neuron_table`."""
        return self.table("neurons")

    @cached_property
    def layers(self) -> pd.DataFrame:
        """Every layer at every stage: see `assembly.layer_table`."""
        return self.table("layers")

    @cached_property
    def dose(self) -> pd.DataFrame:
        """Dose–response without retraining: see `dose_response`."""
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


def run_experiment(config: RunConfig) -> Run:
    """Run the experiment, or what is left of it: finished stages are found again.

    Parameters
    ----------
    config : RunConfig

    Returns
    -------
    Run
        With its tables on disk in `config.results`. A run that was interrupted at any moment and
        is repeated gives the same tables.

    Raises
    ------
    InputError
        If a launcher was told to split the model or to change its precision, see
        `processes.count`, or the processes that it started do not see the same results folder.
    """
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
        for path in config.results.glob(f"{run_name(config)}-*/{files.SEAL}")
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
        f"--{name.replace('_', '-')}" + ("" if value is True else f" {shlex.quote(str(value))}")
        for name, value in ({"concept": config.concept} | own).items()
    ]
    return " ".join(["plasticity run", *options])


def load_run(path: str | Path) -> Run:
    """Open a finished run; a damaged or unfinished folder is an InputError."""
    folder = Path(path)
    if not files.is_sound(folder):
        raise InputError(f"{str(folder)!r} is no finished run, or files in it are damaged")
    return Run(folder)


def run_name(config: RunConfig) -> str:
    """Readable name of a run's folder, its overrides included; a digest of all settings follows."""
    return f"{series_name(config)}-seed{config.seed}"


def series_name(config: RunConfig) -> str:
    """Name that runs have in common which differ in nothing but the seed."""
    parts = [config.about.name, Path(config.model).name, config.regime]
    own = {"ranking": config.ranking, "rest": config.rest, "positions": config.positions}
    parts += [value for value in own.values() if value is not None]
    parts += [f"dose{config.dose:g}"] if config.dose is not None else []
    parts += ["regrow"] if config.regrow else []
    parts += [f"epochs{config.epochs}"] if config.epochs is not None else []
    parts += [f"restarts{config.restarts}"] if config.restarts > 1 else []
    parts += [config.indicator] if config.indicator != "concept" else []
    parts += [f"passes{config.passes}"] if config.passes > 1 else []
    return "-".join([*parts, config.scale])


def shared_settings(config: RunConfig) -> dict[str, Any]:
    """Settings that runs have in common which differ in nothing but the seed, wherever they lie."""
    own = ("seed", "results_dir")
    return {name: value for name, value in asdict(config).items() if name not in own}


def variant(config: RunConfig) -> str:
    """What a run changes of its regime, for instance `rest=zero`; empty for nothing."""
    names = (
        "ranking", "rest", "positions", "dose", "regrow", "epochs", "restarts", *ERASER_SETTINGS
    )  # fmt: skip
    own = {name: getattr(config, name) for name in names}
    usual = {field.name: field.default for field in fields(config)}
    return ", ".join(f"{name}={value}" for name, value in own.items() if value != usual[name])


@dataclass(frozen=True)
class Choice:
    """What a run removes.

    Attributes
    ----------
    dose : float
        Share of all neurons; under `erase`, which removes none, the surgical one, which then only
        says how many neurons count as top where rankings are compared.
    targeted, random : RemovalPlan or ErasurePlan
        The concept's neurons, and as many of each layer drawn at random; or erasers of the concept,
        and of shuffled labels.
    """

    dose: float
    targeted: Plan
    random: Plan

    @property
    def overlap(self) -> int:
        """How many of the random neurons are also the concept's (where a layer has too few)."""
        own = {tuple(pair) for pair in self.targeted.neurons.tolist()}
        return len(own & {tuple(pair) for pair in self.random.neurons.tolist()})

    @property
    def plans(self) -> dict[str, Plan | None]:
        """What each condition removes; None removes nothing."""
        own = {
            "targeted": self.targeted,
            "random": self.random,
            "none": None,
            "head": self.targeted,
        }
        return {name: own[name] for name in CONDITIONS}


def choose_neurons(stages: Stages) -> Choice:
    """Pick the dose on the dose half, the concept's neurons, and random ones to compare.

    Under `erase`, fit erasers in their place.
    """
    config = stages.config
    ranking = pd.read_parquet(stages.ranking() / "ranking.parquet")
    curve = pd.read_parquet(stages.dose() / "dose.parquet")
    dose = config.removal.dose or pick_dose(curve, config.label)
    if config.regime == "erase":
        return Choice(dose, stages.erasure_plan(), stages.erasure_plan(shuffled=True))
    plan = plan_at(ranking, config.removal, dose)
    n_layers = int(ranking["layer"].max()) + 1
    drawn = random_plan(plan, n_layers, len(ranking) // n_layers, config.seed)
    return Choice(dose, plan, drawn)


def _make(config: RunConfig, part: Path) -> None:
    stages = Stages(config)
    if not config.about.is_entity:
        _check_own(stages)
    base = stages.base()
    whole = stages.measured(None)
    choice = choose_neurons(stages)
    untrained = {name: stages.measured(plan) for name, plan in choice.plans.items()}
    retrained = {name: stages.retrained(name, plan) for name, plan in choice.plans.items()}
    reliance = {
        name: stages.reliance(name, choice.targeted, choice.plans[name])
        for name in RELIANCE_CONDITIONS
    }
    measured = {
        name: _by_stage(config, whole, untrained[name], retrained[name]) for name in CONDITIONS
    }
    neurons = measure.neuron_table(measured, choice.plans, config.label, config.removal.ranking)
    frames = {
        "metrics": measure.metrics_table(measured),
        "neurons": neurons,
        "layers": measure.layer_table(measured, neurons, config.label),
        "dose": pd.read_parquet(stages.dose() / "dose.parquet"),
        "reliance": _by_condition(reliance, "reliance"),
        "ranking": pd.read_parquet(stages.ranking() / "ranking.parquet"),
        "base": pd.read_parquet(base / "scores.parquet"),
    }
    save_tables(frames, part)
    folders = {base, whole, stages.ranking(), stages.dose()}
    folders |= set() if config.about.is_entity else {stages.probe()}
    folders |= {*untrained.values(), *retrained.values(), *reliance.values()}
    if config.regime == "erase":
        folders |= {stages.erasers(), stages.erasers(shuffled=True)}
    counts = {
        "n_neurons": len(frames["ranking"]),
        "n_train_sentences": len(stages.sentences.train),
        "n_curve_sentences": len(stages.sentences.own_curve or stages.sentences.curve),
    }
    files.write_json(part / "config.json", _facts(config, choice, counts, folders))


def _check_own(stages: Stages) -> None:
    """Refuse a concept of one's own with too few words, or unreadable files, before training."""
    sentences = stages.sentences
    if stages.config.about.kind == "label":
        own = [getattr(sentences, name) for name in OWN_PARTS]
        check_readable(stages.config.model, own)


def _facts(
    config: RunConfig, choice: Choice, counts: dict[str, int], folders: set[Path]
) -> dict[str, Any]:
    """Say what was run, with what, and how long each stage took."""
    return {
        "settings": asdict(config),
        **({} if config.about.is_entity else {"about": asdict(config.about)}),
        "sizes": asdict(config.sizes),
        "dose": choice.dose,
        "n_removed": len(choice.targeted.neurons),
        "random_overlap": choice.overlap,
        **_ranks(choice),
        **counts,
        "seconds": {f.name: files.seal_of(f)["seconds"] for f in sorted(folders)},
        **made_now(),
    }


def _ranks(choice: Choice) -> dict[str, dict[str, list[int]]]:
    """Dimensions erased at each level, where anything is."""
    plans = {"targeted": choice.targeted, "random": choice.random}
    ranks = {n: p.erasers.ranks for n, p in plans.items() if isinstance(p, ErasurePlan)}
    return {"ranks": ranks} if ranks else {}


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
    """What a run's settings alone say of what it depends on."""
    settings = {
        **asdict(config),
        # Of a pair of files this stands for the contents; where they lie does not matter.
        "concept": config.about.name,
        "sizes": asdict(config.sizes),
    }
    # What came with erasing is no setting of the others: runs made before keep their names.
    unused = ERASER_SETTINGS if config.regime != "erase" else ()
    for name in ("results_dir", *unused):
        del settings[name]
    return settings
