"""How many neurons must go before a concept is lost, and what else is lost with it.

The dose–response curve removes growing shares of the neurons, without any retraining, and scores
every entity type. Beside the concept's neurons stand layer-matched random draws: as many neurons of
each layer, which have nothing to do with the concept. Only what the concept's neurons take beyond
the random ones says something about the concept.

The dose is picked on one part of the validation split and the curve is drawn on the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd

from plasticity_utils import files
from plasticity_utils.experiment.presets import (
    LARGE_DOSES,
    REGIMES,
    SURGICAL_DOSES,
    ChosenRemoval,
    chosen_of,
)
from plasticity_utils.experiment.store import save_table
from plasticity_utils.progress import bar
from plasticity_utils.removal.dose import pick, specificity
from plasticity_utils.removal.interface import Material, Removal, in_force


def score_doses(
    on: Material,
    scorers: Mapping[str, Callable[[], pd.DataFrame]],
    growing: ChosenRemoval,
    draws: int,
    part: Path,
) -> pd.DataFrame:
    """Score a model with growing shares of its neurons removed, without retraining.

    `scorers` score the model, as it is at the call, on the part `dose` or `scoring`; `growing` is
    how neurons are removed, beside the paper's half, with `draws` controls at each dose. Finished
    doses are kept in the folder `part`, so that an interrupted call resumes.
    """
    cells = [("curve", growing, dose) for dose in doses(growing)]
    half = REGIMES["half"]
    cells.append(("half", chosen_of(half), half.dose or 0))
    tables = [_scored(scorers, condition="base", regime="curve", dose=0.0, n_removed=0, draw=0)]
    for name, how, dose in bar(cells, "dose–response"):
        cell = part / f"{name}-{dose:g}"
        if not files.is_sound(cell):
            cell.mkdir(exist_ok=True)
            rows = _cell(on, how.make(dose), scorers, draws)
            save_table(rows.assign(regime=name, dose=dose), cell / "scores.parquet")
            files.seal(cell)
        tables.append(pd.read_parquet(cell / "scores.parquet"))
    return pd.concat(tables, ignore_index=True)


def doses(growing: ChosenRemoval) -> list[float]:
    """Doses of the curve, with a fixed dose of the removal among them, ascending."""
    fixed = growing.settings.get("dose")
    return sorted({*SURGICAL_DOSES, *LARGE_DOSES, *([] if fixed is None else [fixed])})


def pick_dose(curve: pd.DataFrame, label: str) -> float:
    """The smallest surgical dose at which the concept is lost on the dose part: see `pick`."""
    table = specificity(curve, label, "dose")
    return pick(table[table["dose"].isin(SURGICAL_DOSES)])


def _cell(
    on: Material, removal: Removal, scorers: Mapping[str, Callable[[], pd.DataFrame]], draws: int
) -> pd.DataFrame:
    """Score one dose: the concept's neurons on both parts, controls on the scoring part."""
    fitted = removal.fit(on)
    n_removed = len(fitted.neurons)
    with in_force(on.model, fitted):
        tables = [_scored(scorers, condition="targeted", n_removed=n_removed, draw=0)]
    only_curve = {name: scorer for name, scorer in scorers.items() if name == "scoring"}
    for draw in range(draws):
        with in_force(on.model, removal.control(fitted, on.drawn(draw))):
            tables.append(_scored(only_curve, condition="random", n_removed=n_removed, draw=draw))
    return pd.concat(tables, ignore_index=True)


def _scored(scorers: Mapping[str, Callable[[], pd.DataFrame]], **columns: object) -> pd.DataFrame:
    return pd.concat(
        [scorer().assign(part=part, **columns) for part, scorer in scorers.items()],
        ignore_index=True,
    )
