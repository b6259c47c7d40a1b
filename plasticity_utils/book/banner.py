"""The lines above and below a concept's page: which run it shows, and how to read it."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from plasticity_utils.errors import InputError
from plasticity_utils.experiment.run import Run
from plasticity_utils.files import ROOT
from plasticity_utils.formats import chosen_percent, fixed
from plasticity_utils.names import CONDITIONS
from plasticity_utils.registry import Registry, label, protocols, removals
from plasticity_utils.results.groups import RunGroup

_OTHER_CONCEPT = (
    "> This page is named after {home} but was executed for **{title}**: its figures and numbers "
    "are about {title}, and what is said of {home} is not."
)
_OTHER_SETTINGS = (
    "> The prose of this page was written about another run ({settings}). Read the numbers of this "
    "one, not what is said of them."
)
_WHAT_F1_MEANS = (
    "> **What F1 means here.** {title} is no entity type, so no tag of the model's names it. Its "
    "F1 is over words, of a linear probe that was fitted once, on the base model's last layer, "
    "and is applied unchanged at every moment. Training the last layer alone changes nothing that "
    "the probe reads, so *head* says nothing here; whether the concept is still there to be read "
    "is for the probe to say that is fitted anew.{files}"
)
_FILES = (
    " Its words come from a pair of files: neurons are ranked and measured on their sentences, "
    "which have no entity types, while the model trains on CoNLL-2003."
)
_NO_NEURONS = (
    "> No single neuron is cut here. The removal is **{name}**{what}. Read *cut* as *removed*, "
    "*random* as its matched control, and *new top* as the removal fitted anew. The curve of "
    "growing cuts stands there to compare."
)
_RATE = (
    "> No learning rate is known for **{model}**: it was trained at {rate:g}, the usual one for "
    "such models. Where its score before the cut is low, try others (`learning_rate`)."
)
_NO_LAST_LAYER = (
    "> Under no condition here does the last layer alone train. What this page says of it is left "
    "out, and whether the concept is still there to be read is for the probe to say that is fitted "
    "anew."
)
_FURTHER = "> The model trains under further conditions: {conditions}."
_COUNTED = {"names": "whole names", "words": "single words"}
_SMOKE = (
    "> This page was executed at the **smoke** scale, a test of the machinery on a handful of "
    "sentences: **its numbers mean nothing.**"
)
_ONE_SEED = (
    "> One seed. Intervals are 95 % over sentences: they say how far a number depends on the "
    "sentences at hand, and nothing about other seeds."
)
_SEEDS = (
    "> {n} seeds. F1 is their mean, with a 95 % interval over seeds (Student's t); single neurons, "
    "and the curve of growing cuts, are those of seed {seed}."
)


def settings(group: RunGroup, home: Mapping[str, str]) -> str:
    """Say what a page was executed with (Markdown).

    `home` holds the settings that the page's own prose is about; the template has none.
    """
    config, n = group.config, len(group.runs)
    concept, numbers = config.concept_info, ", ".join(map(str, group.numbers))
    lines = [
        f"**{concept.title}** ({config.label}) · {_task(group)} · model **{config.model}** · scale "
        f"**{config.scale}** ({group.facts['n_train_sentences']:,} training sentences) · way of "
        f"cutting **{config.regime}**: {removed_share(group)} · seed{'s' if n > 1 else ''} "
        f"**{numbers}**",
    ]
    if home and concept.name != home["concept"]:
        lines.append(_OTHER_CONCEPT.format(home=home["concept"], title=concept.title))
    others = {name: value for name, value in home.items() if name != "concept"}
    if any(getattr(config, name) != value for name, value in others.items()):
        lines.append(_OTHER_SETTINGS.format(settings=", ".join(others.values())))
    if not config.rate_is_known:
        lines.append(_RATE.format(model=config.model, rate=config.rate))
    if not config.chosen.takes_neurons:
        lines.append(_NO_NEURONS.format(
            name=label(config.chosen.name), what=_said(removals, config.chosen.name)
        ))  # fmt: skip
    further = {name: each for name, each in config.conditions.items() if name not in CONDITIONS}
    if further:
        said = [f"**{name}**{_said(protocols, each)}" for name, each in further.items()]
        lines.append(_FURTHER.format(conditions="; ".join(said)))
    if not config.last_layer:
        lines.append(_NO_LAST_LAYER)
    if not concept.is_entity:
        files = _FILES if concept.kind == "label" else ""
        lines.append(_WHAT_F1_MEANS.format(title=concept.title, files=files))
    if config.scale == "smoke":
        lines.append(_SMOKE)
    elif n == 1:
        lines.append(_ONE_SEED)
    else:
        lines.append(_SEEDS.format(n=n, seed=config.seed))
    return "\n\n".join(lines)


def _said(registry: Registry, name: str) -> str:
    """What a registry's list says of a name, in brackets; a file is in no list."""
    listed = registry.table().set_index("name")["what"]
    return f" ({listed[name]})" if listed.get(name) else ""


def _task(group: RunGroup) -> str:
    """Name the corpus and the tags, their scheme, and what F1 counts."""
    task = group.facts.get("task") or group.config.task.facts()
    cut = " and ".join(task["cut_from_train"])
    parts = [f"corpus **{task['corpus']}**, tags **{task['tags']}** ({task['scheme']})"]
    parts += [f"F1 of {_COUNTED[task['counted']]}"]
    parts += [f"{cut} cut from its training sentences"] if cut else []
    return " · ".join(parts)


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
