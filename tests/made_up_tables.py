"""Published runs with made-up tables, in which an effect is planted or is not.

No model is behind them: they are for tests of what is worked out from such tables.
"""

import itertools
import json
from dataclasses import asdict

import numpy as np
import pandas as pd

from plasticity_utils.analysis.polysemanticity import FUNCTIONS, SCOPES, SHARING_SNAPSHOTS, SIGNS
from plasticity_utils.analysis.snapshots import SNAPSHOTS
from plasticity_utils.experiment.config import RunConfig
from plasticity_utils.experiment.record import Run
from plasticity_utils.results.groups import RunGroup

LABELS = {"locations": "LOC", "persons": "PER", "organisations": "ORG"}
COMPARED = ("targeted", "random")
LAYERS, KEPT = range(3), 100


def made_up_series(folder, effect=0.0, control=0.0, seeds=(0, 1), noise=0.002):
    """Runs of three concepts under some seeds, as `groups_with_tables` gives them."""
    rng = np.random.default_rng(0)
    groups = []
    for concept in LABELS:
        runs = []
        for seed in seeds:
            path = folder / f"{concept}-seed{seed}"
            path.mkdir(parents=True)
            settings = asdict(RunConfig(concept=concept, seed=seed, results_dir=str(folder)))
            (path / "config.json").write_text(
                json.dumps({"settings": settings, "n_neurons": 3 * len(LAYERS)})
            )
            size = {"targeted": effect, "random": control}
            for name, make in TABLES.items():
                table = make(LABELS[concept], size, lambda: noise * rng.normal())
                table.to_parquet(path / f"{name}.parquet")
            runs.append(Run(path))
        groups.append(RunGroup(tuple(runs)))
    return groups


def polysemanticity(label, size, noise):
    rows = []
    for condition, quantity, layer in itertools.product(COMPARED, FUNCTIONS, (*LAYERS, pd.NA)):
        beyond, n = size[condition] + noise(), KEPT * (1 if layer is not pd.NA else len(LAYERS))
        rows.append((condition, layer, quantity, 0.5, beyond + 0.1, 0.1, beyond, n))
    names = [
        "condition",
        "layer",
        "quantity",
        "base",
        "change",
        "change_none",
        "beyond_none",
        "n_neurons",
    ]
    return pd.DataFrame(rows, columns=names).astype({"layer": "Int64"})


def sharing(label, size, noise):
    rows = []
    for (condition, stage), scope, sign in itertools.product(SHARING_SNAPSHOTS, SCOPES, SIGNS):
        difference = size["targeted"] + noise()
        rows.append((condition, stage, scope, sign, 0.3 + difference, 0.3, difference))
    names = ["condition", "stage", "scope", "sign", "shared", "expected", "difference"]
    table = pd.DataFrame(rows, columns=names).assign(z=2.0, p=0.01, n_pairs=50.0, p_adjusted=0.2)
    return table.assign(low=table["difference"] - 0.01, high=table["difference"] + 0.01)


def superposition(label, size, noise):
    rows = []
    for (condition, stage), layer in itertools.product(SNAPSHOTS, LAYERS):
        rise = size.get(condition, 0) + noise() if stage == "end" else 0
        rows.append((condition, stage, layer, 0.1 + rise, 0.08, 0.8 - rise, 0.82, 16))
    names = ["condition", "stage", "layer", "interference", "interference_shuffled"]
    names += ["dimensionality", "dimensionality_shuffled", "n_concepts"]
    return pd.DataFrame(rows, columns=names)


def migration(label, size, noise):
    rows = []
    for condition, target in itertools.product(COMPARED, LABELS.values()):
        others = [name for name in LABELS.values() if name != label]
        extra = {name: (size[condition] + noise()) / len(others) for name in others}
        for role in (*LABELS.values(), "nothing"):
            difference = extra.get(role, -sum(extra.values()) / 2)
            rows.append((condition, target, role, 0.25 + difference, 0.25, difference))
    names = ["condition", "target", "role", "share", "expected", "difference"]
    return pd.DataFrame(rows, columns=names).assign(p=0.01, p_adjusted=0.02, n_neurons=KEPT)


def priming(label, size, noise):
    kinds = itertools.product(
        COMPARED, ("profile", "words"), ("HC3", "layer"), ("beyond_none", "gain"),
        ("similarity", "base"),
    )  # fmt: skip
    rows = [(*kind, size[kind[0]] + noise()) for kind in kinds]
    names = ["condition", "similarity", "errors", "outcome", "term", "effect"]
    table = pd.DataFrame(rows, columns=names).assign(p=0.01, n_neurons=KEPT)
    return table.assign(low=table["effect"] - 0.05, high=table["effect"] + 0.05)


TABLES = {
    "polysemanticity": polysemanticity,
    "sharing": sharing,
    "superposition": superposition,
    "migration": migration,
    "priming": priming,
}
