"""What a forcing brought: F1 of every entity type, and the neurons that carry both concepts.

A neuron *carries both* where |σ| > τ for the concept and for its host, each within entity words
(`questions.polysemanticity`). Two types that are contrasted with each other share neurons by
construction: what rises on persons alone falls on locations. So neurons that carry both with the
same sign, which no contrast can bring about, are counted apart. The *rise* is the share of a group
that carries both in the end, less the share just after the removal.

σ is free of scale: of removed neurons that grow back, gain and effect tell how much they say.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from plasticity_utils.experiment.forcing import ForcingStages, Target, choose_targets
from plasticity_utils.experiment.forcing_config import ForcingConfig
from plasticity_utils.experiment.stages import Stages
from plasticity_utils.removal.gate import HeldNeurons

# Of a mean over neurons, which stand in for a sample.
_STANDARD_ERRORS = 1.96
_SNAPSHOTS = ("base", "removed", "end")


def forcing_tables(config: ForcingConfig) -> tuple[Stages, dict[str, pd.DataFrame], dict[str, Any]]:
    """Force the groups of a configuration; gives its stages, its tables, and no further facts."""
    stages = ForcingStages(config)
    plan = stages.removal
    assert isinstance(plan, HeldNeurons)
    host = Stages(config.of_host).ranking()
    targets = choose_targets(config, plan, pd.read_parquet(host / "ranking.parquet"))
    before = stages.before(plan)
    made = [(target, stages.forced(target, plan)) for target in targets]
    tables = {
        "forced": f1_table(before, made),
        "carriers": carrier_table(before, made, config.entities),
    }
    return stages, tables, {}


def f1_table(before: Path, made: Sequence[tuple[Target, Path]]) -> pd.DataFrame:
    """F1 of every entity type, for every group: the table `forced_f1`.

    `before` is the folder of `ForcingStages.before`, and `made` has each group with its folder.
    """
    base, removed = (_metrics(before / f"metrics_{name}.parquet") for name in _SNAPSHOTS[:2])
    n_neurons = len(pd.read_parquet(before / "neurons_base.parquet"))
    parts = []
    for target, folder in made:
        end = _metrics(folder / "metrics.parquet")
        lost = base["entity_f1"] - removed["entity_f1"]
        table = pd.DataFrame(
            {
                "target": target.name,
                "dose": target.dose,
                "n_neurons": n_neurons if target.name == "all" else len(target.neurons),
                "entity": end.index,
                "n_gold": end["n_gold"],
                "entity_f1_base": base["entity_f1"],
                "entity_f1_removed": removed["entity_f1"],
                "entity_f1_end": end["entity_f1"],
                "entity_f1_end_low": end["entity_f1_low"],
                "entity_f1_end_high": end["entity_f1_high"],
                "regained": ((end["entity_f1"] - removed["entity_f1"]) / lost).where(lost > 0),
            }
        )
        parts.append(table)
    return pd.concat(parts, ignore_index=True)


def carrier_table(
    before: Path, made: Sequence[tuple[Target, Path]], entities: tuple[str, str]
) -> pd.DataFrame:
    """How many neurons of each group carry both concepts, before and after: the table `carriers`.

    `all` is described at the neurons of the host, at every dose: what they come to carry where
    nothing is confined; `head` leaves neurons as they are, and is not here. `entities` are the tags
    of the concept and of its host.
    """
    tau = pd.read_parquet(before / "tau.parquet").set_index("entity")["tau"]
    limits = tuple(float(tau[entity]) for entity in entities)
    early = {name: pd.read_parquet(before / f"neurons_{name}.parquet") for name in _SNAPSHOTS[:2]}
    rows = []
    for target, folder in _with_all_at_the_hosts(made):
        snapshots = {**early, "end": pd.read_parquet(folder / "neurons.parquet")}
        own = {name: _of_group(table, target.neurons) for name, table in snapshots.items()}
        rows.append(
            {
                "target": target.name,
                "dose": target.dose,
                "n_neurons": len(target.neurons),
                "overlap": target.overlap,
                **_counts(own, limits),
                "gain": own["end"]["gain"].median(),
                "effect_concept": own["end"]["effect_concept"].abs().median(),
                "effect_host": own["end"]["effect_host"].abs().median(),
            }
        )
    return pd.DataFrame(rows)


def _metrics(path: Path) -> pd.DataFrame:
    return pd.read_parquet(path).set_index("entity")


def _with_all_at_the_hosts(
    made: Sequence[tuple[Target, Path]],
) -> list[tuple[Target, Path]]:
    """Give the groups that have neurons, and `all` once for each of the host's."""
    whole = [folder for target, folder in made if target.name == "all"]
    hosts = [target for target, _ in made if target.name == "host"]
    groups = [(target, folder) for target, folder in made if len(target.neurons)]
    everywhere = [(Target("all", t.dose, t.neurons), folder) for folder in whole for t in hosts]
    return groups + everywhere


def _of_group(neurons: pd.DataFrame, group: np.ndarray) -> pd.DataFrame:
    return neurons.set_index(["layer", "unit"]).loc[[tuple(pair) for pair in group.tolist()]]


def _counts(own: dict[str, pd.DataFrame], limits: tuple[float, ...]) -> dict[str, int | float]:
    """Neurons that carry both at each snapshot, and the rise of their share."""
    counts: dict[str, int | float] = {}
    for name, value, same_sign in (("both", "rise", False), ("same", "rise_same", True)):
        carry = {snapshot: _carry_both(table, limits, same_sign) for snapshot, table in own.items()}
        counts |= {f"n_{name}_{snapshot}": int(found.sum()) for snapshot, found in carry.items()}
        change = carry["end"].astype(float) - carry["removed"].astype(float)
        error = float(change.sem()) if len(change) > 1 else float("nan")
        margin = _STANDARD_ERRORS * error
        rise = float(change.mean())
        counts |= {value: rise, f"{value}_low": rise - margin, f"{value}_high": rise + margin}
    return counts


def _carry_both(table: pd.DataFrame, limits: tuple[float, ...], same_sign: bool) -> pd.Series:
    concept, host = table["sigma_concept"], table["sigma_host"]
    both = (concept.abs() > limits[0]) & (host.abs() > limits[1])
    return both & (np.sign(concept) == np.sign(host)) if same_sign else both
