"""The lines above and below a concept's page: which run it shows, and how to read it."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from jinja2 import StrictUndefined, Template

from plasticity_utils.errors import InputError
from plasticity_utils.experiment.record import Run
from plasticity_utils.files import ROOT
from plasticity_utils.formats import chosen_percent, fixed
from plasticity_utils.names import CONDITIONS
from plasticity_utils.registry import Registry, label, protocols, removals
from plasticity_utils.results.groups import RunGroup

_PROSE = ROOT / "notebooks" / "templates" / "banner.md"


def settings(group: RunGroup, home: Mapping[str, str]) -> str:
    """Say what a page was executed with (Markdown); the words stand in a template of their own.

    `home` holds the settings that the page's own prose is about; the template has none.
    """
    config, concept = group.config, group.config.concept_info
    others = {name: value for name, value in home.items() if name != "concept"}
    further = {name: each for name, each in config.conditions.items() if name not in CONDITIONS}
    prose = Template(_PROSE.read_text(encoding="utf-8"), undefined=StrictUndefined)
    return prose.render(
        config=config,
        title=concept.title,
        label=config.label,
        task=group.facts.get("task") or config.task.facts(),
        n_train_sentences=group.facts["n_train_sentences"],
        removed_share=removed_share(group),
        seeds=group.numbers,
        other_concept=home and concept.name != home["concept"] and home["concept"],
        other_settings=any(getattr(config, name) != each for name, each in others.items())
        and list(others.values()),
        removal={"label": label(config.chosen.name), "what": _said(removals, config.chosen.name)},
        further={name: _said(protocols, each) for name, each in further.items()},
    )


def _said(registry: Registry, name: str) -> str:
    """What a registry's list says of a name; a file is in no list."""
    return dict(registry.table()[["name", "what"]].to_numpy()).get(name, "")


def removed_share(group: RunGroup) -> str:
    """Write how much was cut, seed by seed where seeds differ: neurons, or dimensions if it says.

    A removal of one's own need not count what it takes; then its name stands there.
    """
    chosen = group.config.chosen
    if not chosen.takes_neurons and "ranks" in group.facts:
        ranks = [rank for run in group.runs for rank in run.facts["ranks"]["targeted"]]
        n_units = group.facts["n_neurons"] // len(group.facts["ranks"]["targeted"])
        return f"{_range(ranks)} of {n_units:,} dimensions of every layer erased"
    if not chosen.takes_neurons:
        return f"{label(chosen.name)}, of no single neuron"
    cuts = [
        f"{run.facts['n_removed']:,} ({chosen_percent(run.facts['dose'])})" for run in group.runs
    ]
    shown = cuts if len(set(cuts)) > 1 else cuts[:1]
    return f"{', '.join(shown)} of {group.facts['n_neurons']:,} neurons"


def made_with(run: Run) -> str:
    """List with which code, libraries and machine a run was made (Markdown)."""
    facts, machine = run.facts, run.facts["machine"]
    code, minutes = facts["code"], sum(facts["seconds"].values()) / 60
    changed = " with local changes" if code.get("changed") else ""
    parts = [
        f"**Made with** seed {run.config.seed} on {facts['date']}, {fixed(minutes, 1)} minutes",
        f"{machine['device']} ({machine['accelerator'] or machine['processor']}, "
        f"{machine['cores']} cores, {machine['precision']})",
        f"plasticity {code['version']} {(code['commit'] or '')[:10]}{changed}",
        f"Python {facts['python']}",
        *(f"{name} {version}" for name, version in facts["libraries"].items() if version),
    ]
    return " · ".join(parts)


def _range(values: list[int]) -> str:
    low, high = min(values), max(values)
    return f"{low}" if low == high else f"{low}–{high}"


def benchmark(name: str) -> pd.DataFrame:
    """Read one of the tables in `benchmarks/tables`, by its name."""
    folder = ROOT / "benchmarks" / "tables"
    path = folder / f"{name}.csv"
    if not path.is_file():
        names = ", ".join(sorted(found.stem for found in folder.glob("*.csv"))) or "none yet"
        raise InputError(f"unknown benchmark {name!r}; `make bench-report` writes: {names}")
    return pd.read_csv(path)
