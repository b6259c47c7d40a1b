"""Can chosen neurons be forced to carry a second concept?

The neurons of a concept are removed for good, and the model trains on with its plasticity confined
to a group of neurons (`confine`, `forced_groups`), more of them at every dose. If the host's
neurons come to carry both concepts, and F1 of both is there, they were forced; what random neurons
of the same layers do under the same training tells whether it mattered that a concept lived there.

`force` makes one forcing, of one seed; `find_forced` opens all published ones of a configuration.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from plasticity_utils import files
from plasticity_utils.errors import InputError
from plasticity_utils.experiment.forced_tables import carrier_table, f1_table
from plasticity_utils.experiment.forcing import ForcingConfig, ForcingStages, choose_targets
from plasticity_utils.experiment.stages import Stages
from plasticity_utils.experiment.store import made_now, save_tables
from plasticity_utils.removal.gate import HeldNeurons
from plasticity_utils.results.published import PUBLISHED

FACTS = "forced.json"


@dataclass(frozen=True)
class Forced:
    """A finished forcing: a folder with `forced.json` and two tables.

    Attributes
    ----------
    path : Path
    """

    path: Path

    @cached_property
    def facts(self) -> dict[str, Any]:
        """Settings, code and library versions, machine, seconds a stage."""
        return json.loads((self.path / FACTS).read_text(encoding="utf-8"))

    @cached_property
    def f1(self) -> pd.DataFrame:
        """F1 of every entity type, see `forced_tables.f1_table`."""
        return pd.read_parquet(self.path / "forced.parquet")

    @cached_property
    def carriers(self) -> pd.DataFrame:
        """How many neurons carry both, see `forced_tables.carrier_table`."""
        return pd.read_parquet(self.path / "carriers.parquet")


def force(config: ForcingConfig) -> Forced:
    """Force the neurons of a host to carry a concept, or do what is left of it.

    Parameters
    ----------
    config : ForcingConfig

    Returns
    -------
    Forced
        In the results folder of `config.run`. Interrupted and repeated, it gives the same tables.

    Raises
    ------
    InputError
        If fewer neurons are left than the largest dose asks for.
    """
    settings = {**_settings(config), **Stages(config.run).training_settings}
    folder = files.cached(
        config.run.results, forced_name(config), settings, lambda part: _make(config, part)
    )
    return Forced(folder)


def forced_name(config: ForcingConfig) -> str:
    """Readable name of a forcing's folder, what differs from the defaults included."""
    run = config.run
    usual = {field.name: field.default for field in fields(ForcingConfig)}
    own = [
        f"{name.replace('_factor', '')}{getattr(config, name):g}"
        for name in ("share", "rate_factor", "head")
        if getattr(config, name) != usual[name]
    ]
    own += [f"dose{run.dose:g}"] if run.dose is not None else []
    parts = ["forced", run.concept, config.host, Path(run.model).name, *own, run.scale]
    return "-".join([*parts, f"seed{run.seed}"])


def publish_forced(forced: Forced, results: Path = PUBLISHED) -> Path:
    """Copy a forcing to the book's results; an older one of its name is replaced.

    Parameters
    ----------
    forced : Forced
        From `force`.
    results : Path
        Folder of all published results.

    Returns
    -------
    Path

    Raises
    ------
    InputError
        For one at the smoke scale, whose numbers mean nothing.
    """
    if forced.facts["settings"]["run"]["scale"] == "smoke":
        raise InputError("a forcing at the smoke scale is not published: its numbers mean nothing")
    folder = results / forced.facts["name"]
    results.mkdir(parents=True, exist_ok=True)
    with files.whole(folder) as part:
        part.mkdir()
        for name in ("forced.parquet", "carriers.parquet", FACTS):
            shutil.copyfile(forced.path / name, part / name)
    return folder


def find_forced(config: ForcingConfig, results: Path = PUBLISHED) -> list[Forced]:
    """Open the published forcings that differ from a configuration in nothing but the seed.

    Parameters
    ----------
    config : ForcingConfig
        Its doses do not matter: those that were measured are shown.
    results : Path

    Returns
    -------
    list of Forced
        By seed; empty where none is published.
    """
    stem = forced_name(config).removesuffix(str(config.run.seed))
    found = [Forced(path.parent) for path in results.glob(f"{stem}*/{FACTS}")]
    return sorted(found, key=lambda forced: forced.facts["settings"]["run"]["seed"])


def forced_status(results: Path = PUBLISHED) -> pd.DataFrame:
    """One row a published forcing, as `published.status` has for runs.

    Parameters
    ----------
    results : Path

    Returns
    -------
    DataFrame
        concept, host, model, scale, seed, date, hours (of all its stages), precision, commit.
    """
    rows = []
    for forced in (Forced(path.parent) for path in sorted(results.glob(f"*/{FACTS}"))):
        facts = forced.facts
        run = facts["settings"]["run"]
        rows.append(
            {
                "concept": run["concept"],
                "host": facts["settings"]["host"],
                **{name: run[name] for name in ("model", "scale", "seed")},
                "date": facts["date"],
                "hours": sum(facts["seconds"].values()) / 3600,
                "precision": facts["machine"]["precision"],
                "commit": (facts["code"]["commit"] or "")[:7],
            }
        )
    return pd.DataFrame(rows)


def command(config: ForcingConfig) -> str:
    """Return the command that makes and publishes a forcing."""
    run = config.run
    return (
        f"plasticity force --concept {run.concept} --host {config.host} --model {run.model} "
        f"--scale {run.scale} --seed {run.seed} --publish"
    )


def _settings(config: ForcingConfig) -> dict[str, Any]:
    run = replace(config.run, results_dir="").settings()
    return {**asdict(replace(config, run=config.run)), "run": run, "doses": list(config.doses)}


def _make(config: ForcingConfig, part: Path) -> None:
    stages = ForcingStages(config.run, forcing=config)
    plan = stages.removal
    assert isinstance(plan, HeldNeurons)
    host = Stages(replace(config.run, concept=config.host)).ranking()
    targets = choose_targets(config, plan, pd.read_parquet(host / "ranking.parquet"))
    before = stages.before(plan)
    made = [(target, stages.forced(target, plan)) for target in targets]
    tables = {
        "forced": f1_table(before, made),
        "carriers": carrier_table(before, made, config.entities),
    }
    save_tables(tables, part)
    folders = sorted({before, *(folder for _, folder in made)})
    facts = {
        "name": forced_name(config),
        "settings": _settings(config),
        "entities": list(config.entities),
        "n_removed": len(plan.neurons),
        "n_neurons": len(pd.read_parquet(before / "neurons_base.parquet")),
        "seconds": {folder.name: files.seal_of(folder)["seconds"] for folder in folders},
        **made_now(),
    }
    files.write_json(part / FACTS, facts)
