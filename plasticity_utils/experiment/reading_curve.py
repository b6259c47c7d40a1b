"""What is still read, and what comes back, as more and more neurons are taken.

At each dose, with nothing trained, the readers of an audit read the model without the concept's
neurons, and without as many random ones. At some doses the whole model trains on, beside one that
never knew the concept. Readers tell all tags, so the curve of one concept also says what its
neurons take from the others. The stages are those of audits, and found again by them.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from plasticity_utils import files
from plasticity_utils.errors import InputError
from plasticity_utils.experiment.audit import AuditStages, write_facts
from plasticity_utils.experiment.config import RunConfig
from plasticity_utils.experiment.record import Audit
from plasticity_utils.experiment.run_names import CURVE_CONDITIONS, curve_name
from plasticity_utils.experiment.store import save_tables
from plasticity_utils.progress import bar
from plasticity_utils.registry import users_errors

CURVE_DOSES = (0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5)
# A training costs as much as five bodies that are read.
_TRAINED_DOSES = (0.05, 0.15, 0.3, 0.5)
_CUT, _UNCUT = ("removed", "control"), ("base", "pretrained")


def reading_curve(concept: str = "locations", **settings: Any) -> Audit:
    """Read a concept, and train it back, after ever larger cuts, or do what is left of that.

    Parameters
    ----------
    concept : str
        An entity type.
    **settings
        Further settings of `RunConfig`, but for the dose.

    Returns
    -------
    Audit
        Whose tables `readings` and `returns` have a column more: dose, a share of all neurons; 0
        where nothing is taken.

    Raises
    ------
    InputError
        For a setting that is not allowed, and a removal that takes no neurons.
    """
    return run_curve(RunConfig.from_parameters({"concept": concept, **settings}))


@users_errors()
def run_curve(config: RunConfig) -> Audit:
    """Make the curve of a configuration, or what is left of it."""
    if config.dose is not None or not config.chosen.takes_neurons:
        raise InputError(
            f"a curve takes ever more neurons: it needs a removal that takes neurons, and no dose; "
            f"got {config.chosen.name!r} and {config.dose}"
        )
    stages = {
        dose: AuditStages(replace(config, dose=dose, protocols=",".join(CURVE_CONDITIONS)))
        for dose in CURVE_DOSES
    }
    stages[CURVE_DOSES[0]].check()
    settings = {
        str(dose): one.audit_settings(_conditions(dose), (*_UNCUT, *_CUT))
        for dose, one in stages.items()
    }
    make = partial(_make, config, stages)
    return Audit(files.cached(config.results, curve_name(config), settings, make))


def _conditions(dose: float) -> tuple[str, ...]:
    return CURVE_CONDITIONS if dose in _TRAINED_DOSES else ()


def _make(config: RunConfig, stages: dict[float, AuditStages], part: Path) -> None:
    readings, returns = [], []
    for body in _UNCUT:
        readings.append(_reading(stages[CURVE_DOSES[0]], body).assign(dose=0.0))
    for dose, one in bar(list(stages.items()), "doses"):
        readings += [_reading(one, body).assign(dose=dose) for body in _CUT]
        for condition in _conditions(dose):
            table = pd.read_parquet(one.returned(condition) / "returns.parquet")
            returns.append(table.assign(condition=condition, dose=dose))
    tables = {"readings": readings, "returns": returns}
    save_tables({name: pd.concat(t, ignore_index=True) for name, t in tables.items()}, part)
    used = {folder for one in stages.values() for folder in one.used}
    facts = {
        "doses": list(CURVE_DOSES),
        "n_removed": [len(one.removal.neurons) for one in stages.values()],
    }
    own = replace(stages[CURVE_DOSES[0]], config=config)
    write_facts(own, used, facts, part)


def _reading(stages: AuditStages, body: str) -> pd.DataFrame:
    return pd.read_parquet(stages.readings(body) / "readings.parquet").assign(body=body)
