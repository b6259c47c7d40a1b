"""Several runs that differ in nothing but the seed, seen as one.

How far does a number depend on the seed? One run cannot say. `RunGroup` has the tables of a run,
with the mean over seeds where the run has a value, and 95 % intervals over seeds (Student's t, so
that three seeds give an honestly wide one). Differences are taken within each seed first. With a
single run it is that run, and its intervals are those over sentences.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from plasticity_utils.data.corpus import CONCEPTS
from plasticity_utils.errors import InputError
from plasticity_utils.experiment.config import RunConfig
from plasticity_utils.experiment.presets import SCALES
from plasticity_utils.experiment.record import Run, check_run
from plasticity_utils.experiment.run_names import group_name, shared_settings, variant
from plasticity_utils.names import OVER_NEURONS, OVER_SENTENCES
from plasticity_utils.results import tables
from plasticity_utils.results.derived import derived
from plasticity_utils.results.published import PUBLISHED, published_runs
from plasticity_utils.results.stack import SHARE_BOUNDS, mean_interval, stack

F1 = ("precision", "recall", "entity_f1")


def run_group(run: Run) -> RunGroup:
    """All finished runs beside this one that differ from it in nothing but the seed.

    Parameters
    ----------
    run : Run
        From `find_run`, `run_experiment` or `load_run`.

    Returns
    -------
    RunGroup
        The run first, then the others in the order of their seeds.
    """
    check_run(run)
    settings = _without_seed(run)
    found = {
        other.config.seed: other
        for path in run.path.parent.glob(f"{glob.escape(group_name(run.config))}-seed*")
        if (path / "config.json").is_file() and path.suffix != ".part"
        for other in [Run(path)]
        if _without_seed(other) == settings
    }
    found.pop(run.config.seed, None)
    return RunGroup((run, *(found[seed] for seed in sorted(found))))


def check_poolable(groups: Sequence[RunGroup]) -> None:
    """Raise InputError unless groups share model and scale: an average over others says nothing."""
    kinds = sorted({f"{group.config.model} at {group.config.scale}" for group in groups})
    if len(kinds) > 1:
        raise InputError(f"runs of {', '.join(kinds)} cannot be averaged; `groups.choose` one")


@dataclass(frozen=True)
class RunGroup:
    """Runs of one configuration under several seeds.

    Attributes
    ----------
    runs : tuple of Run
        At least one; the first gives `config` and `facts`.
    """

    runs: tuple[Run, ...]

    def __post_init__(self) -> None:
        if not self.runs:
            raise InputError("no runs; needed: at least one")

    @property
    def config(self) -> RunConfig:
        """Settings that the runs share, with the first run's seed."""
        return self.runs[0].config

    @property
    def facts(self) -> dict[str, Any]:
        """`config.json` of the first run."""
        return self.runs[0].facts

    @property
    def numbers(self) -> list[int]:
        """The seeds, ascending."""
        return sorted(run.config.seed for run in self.runs)

    @property
    def interval(self) -> str:
        """What the intervals of these tables are, for a chart's note."""
        n = len(self.runs)
        return OVER_SENTENCES if n == 1 else f"mean and 95 % interval over {n} seeds"

    @property
    def neuron_interval(self) -> str:
        """What the intervals of `kept_gain` are."""
        return self.interval if len(self.runs) > 1 else OVER_NEURONS

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """As `Run.metrics`, with mean F1 and its interval over seeds."""
        return self._f1(
            lambda run: run.metrics, ["condition", "stage", "epoch", "entity", "n_gold"]
        )

    @cached_property
    def reliance(self) -> pd.DataFrame:
        """As `tables.reliance_table`; of random draws the median of each seed's."""
        keys = ["condition", "again", "entity"]
        return self._f1(lambda run: tables.reliance_table(run.reliance), keys)

    @cached_property
    def layers(self) -> pd.DataFrame:
        """As `Run.layers`, means over seeds."""
        keys = ["condition", "stage", "epoch", "layer", "entity"]
        stacked = stack([self], lambda run: run.layers, [])
        return stacked.groupby(keys, sort=False).mean().reset_index()

    @cached_property
    def kept_gain(self) -> pd.DataFrame:
        """As `neurons.kept_gain_table`; with several seeds the interval is over seeds."""
        stacked = stack([self], lambda run: derived(run, "kept_gain"), ["seed"])
        keys = ["condition", "entity", "layer"]
        n = stacked.groupby(keys, sort=False)["n_neurons"].mean().round().astype(int)
        return mean_interval(stacked, keys, ["gain"]).merge(n.reset_index(), on=keys)

    @cached_property
    def recovery(self) -> pd.DataFrame:
        """As `tables.recovery` of the concept, with `_low` and `_high` over seeds."""
        found = stack([self], tables.recovery_of, ["seed"])
        bounds = dict.fromkeys(("base", "removed", "end"), SHARE_BOUNDS)
        return mean_interval(found, ["condition"], bounds=bounds)

    def _f1(self, of_run: Callable[[Run], pd.DataFrame], keys: list[str]) -> pd.DataFrame:
        stacked = stack([self], of_run, ["seed"])
        values = [name for name in F1 if name in stacked]
        return mean_interval(stacked, keys, values, bounds=dict.fromkeys(values, SHARE_BOUNDS))


def _without_seed(run: Run) -> dict[str, Any]:
    return run.config.settings() | {"seed": None, "sizes": run.facts["sizes"]}


def run_groups(runs: Iterable[Run]) -> list[RunGroup]:
    """Group runs that differ in nothing but the seed, concepts in the order of `CONCEPTS`."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(group_name(run.config), []).append(run)
    found = [
        RunGroup(tuple(sorted(group, key=lambda run: run.config.seed))) for group in groups.values()
    ]
    return sorted(found, key=lambda group: _place(group.config.concept))


def choose(groups: Iterable[RunGroup], **wanted: str | int) -> list[RunGroup]:
    """Keep the groups with these settings of `RunConfig`, or this `variant`."""
    return [
        group
        for group in groups
        if all(
            value == (variant(group.config) if name == "variant" else getattr(group.config, name))
            for name, value in wanted.items()
        )
    ]


def holding(groups: Iterable[RunGroup], names: Iterable[str]) -> list[RunGroup]:
    """Keep the runs that have these tables: published runs of old lack newer ones."""
    wanted = list(names)
    kept = [tuple(run for run in group.runs if run.holds(wanted)) for group in groups]
    return [RunGroup(runs) for runs in kept if runs]


def largest(groups: Iterable[RunGroup]) -> list[RunGroup]:
    """Of groups that differ in the scale alone keep the one of the largest scale."""
    order, kept = list(SCALES), {}
    for group in sorted(groups, key=lambda group: order.index(group.config.scale)):
        config = group.config
        kept[config.concept, config.model, config.regime, variant(config)] = group
    return sorted(kept.values(), key=lambda s: (_place(s.config.concept), s.config.model))


def beside(group: RunGroup) -> list[RunGroup]:
    """The published groups that differ from this one in the concept alone, itself first."""
    own = shared_settings(group.config)
    others = [
        other
        for other in run_groups(published_runs() if PUBLISHED.is_dir() else [])
        if shared_settings(other.config) | {"concept": own["concept"]} == own
        and other.config.concept != group.config.concept
    ]
    return [group, *others]


def _place(concept: str) -> int:
    """Place of a concept in every list; concepts of one's own come last."""
    return list(CONCEPTS).index(concept) if concept in CONCEPTS else len(CONCEPTS)
