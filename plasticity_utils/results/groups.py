"""Several runs that differ in nothing but the seed, seen as one.

How far does a number depend on the seed? One run cannot say. `Seeds` has the tables of a run, with
the mean over seeds where the run has a value, and 95 % intervals over seeds (Student's t, so that
three seeds give an honestly wide one). Differences are taken within each seed first. With a single
run it is that run, and its intervals are those over sentences.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from plasticity_utils.data.corpus import CONCEPTS
from plasticity_utils.errors import InputError
from plasticity_utils.experiment.config import SCALES, RunConfig
from plasticity_utils.experiment.run import Run, series_name, shared_settings, variant
from plasticity_utils.names import OVER_NEURONS, OVER_SENTENCES
from plasticity_utils.results import tables
from plasticity_utils.results.derived import finding
from plasticity_utils.results.published import PUBLISHED, published_runs

CONFIDENCE = 0.95


def seeds_of(run: Run) -> Seeds:
    """All finished runs beside this one that differ from it in nothing but the seed.

    Parameters
    ----------
    run : Run
        From `find_run`, `run_experiment` or `load_run`.

    Returns
    -------
    Seeds
        The run first, then the others in the order of their seeds.
    """
    settings = _without_seed(run)
    found = {
        other.config.seed: other
        for path in run.path.parent.glob(f"{series_name(run.config)}-seed*")
        if (path / "config.json").is_file() and path.suffix != ".part"
        for other in [Run(path)]
        if _without_seed(other) == settings
    }
    found.pop(run.config.seed, None)
    return Seeds((run, *(found[seed] for seed in sorted(found))))


def over_seeds(table: pd.DataFrame, keys: Sequence[str], values: Sequence[str]) -> pd.DataFrame:
    """Mean and 95 % interval of each value over the rows that share the keys.

    Parameters
    ----------
    table : DataFrame
        One row a seed for each combination of the keys.
    keys, values : sequence of str
        Columns.

    Returns
    -------
    DataFrame
        The keys, and for each value `<value>`, `<value>_low`, `<value>_high` (Student's t; NaN for
        a single seed), and n_seeds. Missing values are left out.
    """
    grouped = table.groupby(list(keys), sort=False, dropna=False)
    parts = [grouped.size().rename("n_seeds")]
    for value in values:
        mean, error, n = (grouped[value].agg(how) for how in ("mean", "sem", "count"))
        margin = error * stats.t.ppf((1 + CONFIDENCE) / 2, (n - 1).clip(lower=1))
        margin = margin.where(n > 1)
        parts += [
            mean.rename(value),
            (mean - margin).rename(f"{value}_low"),
            (mean + margin).rename(f"{value}_high"),
        ]
    return pd.concat(parts, axis=1).reset_index()


def over_concepts(
    table: pd.DataFrame, values: Sequence[str], keys: Sequence[str] = ()
) -> pd.DataFrame:
    """Mean of each value over concepts, with the spread that seeds have within a concept.

    It speaks of these concepts alone: how much concepts differ is not in the interval. Concepts
    weigh the same; the variance within them is pooled (one seed each: no interval).

    Parameters
    ----------
    table : DataFrame
        concept, the keys and the values; one row a run for each combination of the keys.
    values, keys : sequence of str

    Returns
    -------
    DataFrame
        The keys, n_concepts, n_runs, and for each value `<value>`, `<value>_low`, `<value>_high`.
    """
    whole = table.groupby(list(keys), sort=False) if keys else [((), table)]
    rows = []
    for key, own in whole:
        row = dict(zip(keys, key, strict=True))
        row |= {"n_concepts": own["concept"].nunique(), "n_runs": len(own)}
        for value in values:
            by_concept = own.groupby("concept")[value].agg(["mean", "var", "count"])
            by_concept = by_concept[by_concept["count"] > 0]
            freedom = by_concept["count"] - 1
            mean, margin = by_concept["mean"].mean(), float("nan")
            if freedom.sum():
                pooled = (freedom * by_concept["var"]).sum() / freedom.sum()
                error = np.sqrt(pooled * (1 / by_concept["count"]).sum()) / len(by_concept)
                margin = error * stats.t.ppf((1 + CONFIDENCE) / 2, freedom.sum())
            row |= {value: mean, f"{value}_low": mean - margin, f"{value}_high": mean + margin}
        rows.append(row)
    return pd.DataFrame(rows)


def seed_columns(table: pd.DataFrame, value: str, keys: Sequence[str]) -> pd.DataFrame:
    """Lay the few values of a number out, a column a seed, and their mean: no interval is needed.

    Parameters
    ----------
    table : DataFrame
        seed, the keys and the value; one row a run for each combination of the keys.
    value : str
    keys : sequence of str

    Returns
    -------
    DataFrame
        The keys, `seed 0`, …, and mean.
    """
    wide = table.pivot_table(index=list(keys), columns="seed", values=value, sort=False)
    wide = wide[sorted(wide)].rename(columns="seed {}".format)
    return wide.assign(mean=wide.mean(axis=1)).rename_axis(columns=None).reset_index()


def within_unit(table: pd.DataFrame, values: Sequence[str]) -> pd.DataFrame:
    """Cut intervals of shares at 0 and 1, of which Student's t does not know.

    Parameters
    ----------
    table : DataFrame
        From `over_seeds`.
    values : sequence of str
        Columns that hold shares.
    """
    bounds = [f"{value}_{end}" for value in values for end in ("low", "high")]
    return table.assign(**{name: table[name].clip(0, 1) for name in bounds})


def check_poolable(groups: Sequence[Seeds]) -> None:
    """Raise InputError unless series share model and scale: an average over others says nothing."""
    kinds = sorted({f"{seeds.config.model} at {seeds.config.scale}" for seeds in groups})
    if len(kinds) > 1:
        raise InputError(f"runs of {', '.join(kinds)} cannot be averaged; `grouping.choose` one")


def concept_names(groups: Sequence[Seeds]) -> str:
    """Name the concepts of series in prose, in their order."""
    return ", ".join(seeds.config.about.title.lower() for seeds in groups)


@dataclass(frozen=True)
class Seeds:
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
        keys = ["condition", "stage", "epoch", "entity", "n"]
        return self._f1([run.metrics for run in self.runs], keys)

    @cached_property
    def base(self) -> pd.DataFrame:
        """As `Run.base`."""
        return self._f1([run.base for run in self.runs], ["split", "entity", "n"])

    @cached_property
    def reliance(self) -> pd.DataFrame:
        """As `tables.reliance_table`; of random draws the median of each seed's."""
        parts = [tables.reliance_table(run.reliance) for run in self.runs]
        return self._f1(parts, ["condition", "again", "entity"])

    @cached_property
    def layers(self) -> pd.DataFrame:
        """As `Run.layers`, means over seeds."""
        keys = ["condition", "stage", "epoch", "layer", "entity"]
        stacked = pd.concat([run.layers for run in self.runs], ignore_index=True)
        return stacked.groupby(keys, sort=False).mean().reset_index()

    @cached_property
    def kept_gain(self) -> pd.DataFrame:
        """As `neuron_changes.kept_gain`; with several seeds the interval is over seeds."""
        return self._averaged("kept_gain", ["condition", "entity", "layer"], "gain")

    @cached_property
    def recovery(self) -> pd.DataFrame:
        """As `tables.recovery` of the concept, with `_low` and `_high` over seeds."""
        table = self.paired(lambda run: tables.recovery(run.metrics, run.config.label))
        return within_unit(table, ["base", "removed", "end"])

    @cached_property
    def turnover(self) -> pd.DataFrame:
        """As `neuron_changes.turnover`, with `_low` and `_high` over seeds."""
        return self.paired(lambda run: finding(run, "turnover"))

    @cached_property
    def redistribution(self) -> pd.DataFrame:
        """As `tables.redistribution`, with `_low` and `_high` over seeds."""
        return self.paired(lambda run: tables.redistribution(run.layers, run.config.label))

    def _f1(self, parts: list[pd.DataFrame], keys: list[str]) -> pd.DataFrame:
        if len(parts) == 1:
            return parts[0]
        values = [name for name in ("precision", "recall", "f1") if name in parts[0]]
        return within_unit(over_seeds(pd.concat(parts, ignore_index=True), keys, values), values)

    def _averaged(self, name: str, keys: list[str], value: str) -> pd.DataFrame:
        parts = [finding(run, name) for run in self.runs]
        if len(parts) == 1:
            return parts[0]
        stacked = pd.concat(parts, ignore_index=True)
        n = stacked.groupby(keys, sort=False)["n"].mean().round().astype(int)
        return over_seeds(stacked, keys, [value]).merge(n.reset_index(), on=keys)

    def paired(
        self, work_out: Callable[[Run], pd.DataFrame], keys: Sequence[str] = ("condition",)
    ) -> pd.DataFrame:
        """Work a table out for each run, and average its numbers over the seeds by `keys`."""
        stacked = pd.concat([work_out(run) for run in self.runs], ignore_index=True)
        values = stacked.drop(columns=list(keys)).select_dtypes(np.number).columns.tolist()
        return over_seeds(stacked, keys, values)


def _without_seed(run: Run) -> dict[str, Any]:
    return asdict(run.config) | {"seed": None, "sizes": run.facts["sizes"]}


def series_of(runs: Iterable[Run]) -> list[Seeds]:
    """Group runs that differ in nothing but the seed, concepts in the order of `CONCEPTS`.

    Parameters
    ----------
    runs : iterable of Run
        Usually from `published_runs`.
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(series_name(run.config), []).append(run)
    series = [
        Seeds(tuple(sorted(group, key=lambda run: run.config.seed))) for group in groups.values()
    ]
    return sorted(series, key=lambda seeds: _place(seeds.config.concept))


def choose(groups: Iterable[Seeds], **wanted: str | int) -> list[Seeds]:
    """Keep the series with these settings.

    Parameters
    ----------
    groups : iterable of Seeds
        From `series_of`.
    wanted : str, int or bool
        A setting of `RunConfig` or `variant` → its value.
    """
    return [
        seeds
        for seeds in groups
        if all(
            value == (variant(seeds.config) if name == "variant" else getattr(seeds.config, name))
            for name, value in wanted.items()
        )
    ]


def largest(groups: Iterable[Seeds]) -> list[Seeds]:
    """Of series that differ in the scale alone keep the one of the largest scale.

    Parameters
    ----------
    groups : iterable of Seeds
        From `series_of`.
    """
    order, kept = list(SCALES), {}
    for seeds in sorted(groups, key=lambda seeds: order.index(seeds.config.scale)):
        config = seeds.config
        kept[config.concept, config.model, config.regime, variant(config)] = seeds
    return sorted(kept.values(), key=lambda s: (_place(s.config.concept), s.config.model))


def beside(seeds: Seeds) -> list[Seeds]:
    """The published series that differ from this one in the concept alone, itself first.

    Parameters
    ----------
    seeds : Seeds
        From `seeds_of`.
    """
    own = shared_settings(seeds.config)
    others = [
        other
        for other in series_of(published_runs() if PUBLISHED.is_dir() else [])
        if shared_settings(other.config) | {"concept": own["concept"]} == own
        and other.config.concept != seeds.config.concept
    ]
    return [seeds, *others]


def _place(concept: str) -> int:
    """Place of a concept in every list; concepts of one's own come last."""
    return list(CONCEPTS).index(concept) if concept in CONCEPTS else len(CONCEPTS)
