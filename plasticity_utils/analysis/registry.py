"""The tables that answer the book's questions about one run: each has a name and a maker.

Makers are named and not imported, so that opening a published table imports no analysis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import TYPE_CHECKING

import pandas as pd

from plasticity_utils.errors import InputError
from plasticity_utils.experiment.run import Run
from plasticity_utils.results.groups import Seeds

if TYPE_CHECKING:
    from plasticity_utils.analysis.snapshots import Moments

_MAKERS = {
    "representation": "sameness.representation",
    "transfer": "sameness.transfer",
    "subconcepts": "parts_tables.subconcepts",
    "subconcept_parts": "parts_tables.subconcept_parts",
    "subconcept_neurons": "parts_tables.subconcept_neurons",
    "polysemanticity": "polysemanticity.polysemanticity_answer",
    "sharing": "polysemanticity.sharing_answer",
    "superposition": "polysemanticity.superposition_answer",
    "migration": "takeover.migration_answer",
    "priming": "takeover.priming_answer",
}
ANSWERS = tuple(_MAKERS)


def answer(run: Run, name: str) -> pd.DataFrame:
    """Return one of a run's tables of answers.

    Parameters
    ----------
    run : Run
        A published run that has them (`is_answered`), or one whose models are still kept.
    name : str
        One of `ANSWERS`.

    Raises
    ------
    InputError
        For another name, a concept that is no entity type, or models that are gone.
    """
    if name not in _MAKERS:
        raise InputError(f"unknown answer {name!r}; allowed: {', '.join(ANSWERS)}")
    path = run.path / f"{name}.parquet"
    return pd.read_parquet(path) if path.is_file() else _maker(name)(moments_of(run))


def answers(run: Run) -> dict[str, pd.DataFrame]:
    """Work all answers of a run out, sharing what they have in common; none for an own concept."""
    if not run.config.about.is_entity:
        return {}
    moments = moments_of(run)
    return {name: _maker(name)(moments) for name in ANSWERS}


def is_answered(run: Run) -> bool:
    """Tell whether a published run has all its answers; the first runs were made without."""
    return run.holds(ANSWERS)


def answered(groups: Iterable[Seeds]) -> list[Seeds]:
    """Keep the runs that have their answers; series without any are left out.

    Parameters
    ----------
    groups : iterable of Seeds
        From `grouping.series_of`.
    """
    kept = [tuple(run for run in seeds.runs if is_answered(run)) for seeds in groups]
    return [Seeds(runs) for runs in kept if runs]


def moments_of(run: Run) -> Moments:
    """Models of a run at the moments that analyses compare."""
    from plasticity_utils.analysis.snapshots import Moments

    return Moments(run)


def _maker(name: str) -> Callable[[Moments], pd.DataFrame]:
    module, function = _MAKERS[name].split(".")
    return getattr(import_module(f"plasticity_utils.analysis.{module}"), function)
