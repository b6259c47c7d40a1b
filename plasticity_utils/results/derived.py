"""Short tables of neurons that are worked out of a run when it is published."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from plasticity_utils.errors import InputError
from plasticity_utils.experiment.run import Run
from plasticity_utils.results import neurons as neuron_changes
from plasticity_utils.results import tables

N_REMOVED, N_NEWLY_SALIENT = 8, 12


_FINDINGS: dict[str, Callable[[Run], pd.DataFrame]] = {
    "kept_gain": lambda run: neuron_changes.kept_gain(run.neurons),
    "turnover": lambda run: neuron_changes.turnover(run.neurons, run.facts["dose"]),
    "neuron_changes": lambda run: neuron_changes.selectivity_change(run.neurons, N_NEWLY_SALIENT),
    "regrowth": lambda run: neuron_changes.regrowth(run.neurons),
    "removed_neurons": lambda run: neuron_changes.removed_neurons(run.neurons, N_REMOVED),
    "newly_salient": lambda run: neuron_changes.newly_salient(run.neurons, N_NEWLY_SALIENT),
    "method_overlap": lambda run: tables.method_overlap(run.ranking, run.facts["dose"]),
}


FINDINGS = tuple(_FINDINGS)


def finding(run: Run, name: str) -> pd.DataFrame:
    """Return one of a run's short tables of neurons.

    Parameters
    ----------
    run : Run
        From `find_run`, `run_experiment` or `load_run`.
    name : str
        `kept_gain`, `turnover`, `regrowth`, `neuron_changes` (`neuron_changes.selectivity_change`),
        `removed_neurons`, `newly_salient` or `method_overlap`: see the functions of these names in
        `neuron_changes` and `tables`.

    Raises
    ------
    InputError
        For another name.
    """
    if name not in _FINDINGS:
        raise InputError(f"unknown finding {name!r}; allowed: {', '.join(FINDINGS)}")
    path = run.path / f"{name}.parquet"
    return pd.read_parquet(path) if path.is_file() else _FINDINGS[name](run)
