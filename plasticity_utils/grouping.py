"""Published runs, grouped: what differs in the seed alone is one series.

Pages that lay runs side by side pick their series here; `across` makes tables of them.
"""

from __future__ import annotations

from collections.abc import Iterable

from plasticity_utils.config import SCALES
from plasticity_utils.corpus import CONCEPTS
from plasticity_utils.published import published_runs
from plasticity_utils.run import Run, series_name, shared_settings, variant
from plasticity_utils.seeds import Seeds


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
        for other in series_of(published_runs())
        if shared_settings(other.config) | {"concept": own["concept"]} == own
        and other.config.concept != seeds.config.concept
    ]
    return [seeds, *others]


def _place(concept: str) -> int:
    """Place of a concept in every list; concepts of one's own come last."""
    return list(CONCEPTS).index(concept) if concept in CONCEPTS else len(CONCEPTS)
