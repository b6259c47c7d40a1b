"""One short table a question and run: what the pages of "The questions" are made of.

The functions of this package take arrays; here they are given the moments of a run. The tables are
worked out when a run is published, while its models are still there, and lie beside its others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pandas as pd

from plasticity_utils.errors import InputError
from plasticity_utils.questions.moments import Moments
from plasticity_utils.questions.neuron_answers import (
    polysemanticity_answer,
    sharing_answer,
    superposition_answer,
)
from plasticity_utils.questions.representation_answers import representation, transfer
from plasticity_utils.questions.subconcept_answers import (
    subconcept_neurons,
    subconcept_parts,
    subconcepts,
)
from plasticity_utils.questions.takeover_answers import migration_answer, priming_answer
from plasticity_utils.run import Run
from plasticity_utils.seeds import Seeds

_ANSWERS: dict[str, Callable[[Moments], pd.DataFrame]] = {
    "representation": representation,
    "transfer": transfer,
    "subconcepts": subconcepts,
    "subconcept_parts": subconcept_parts,
    "subconcept_neurons": subconcept_neurons,
    "polysemanticity": polysemanticity_answer,
    "sharing": sharing_answer,
    "superposition": superposition_answer,
    "migration": migration_answer,
    "priming": priming_answer,
}
ANSWERS = tuple(_ANSWERS)


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
    if name not in _ANSWERS:
        raise InputError(f"unknown answer {name!r}; allowed: {', '.join(ANSWERS)}")
    path = run.path / f"{name}.parquet"
    return pd.read_parquet(path) if path.is_file() else _ANSWERS[name](Moments(run))


def answers(run: Run) -> dict[str, pd.DataFrame]:
    """Work all answers of a run out, sharing what they have in common; none for an own concept."""
    if not run.config.about.is_entity:
        return {}
    moments = Moments(run)
    return {name: work_out(moments) for name, work_out in _ANSWERS.items()}


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
