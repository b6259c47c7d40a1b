"""What runs and audits are called, and what those share that differ in nothing but the seed."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from plasticity_utils.experiment.config import RunConfig
from plasticity_utils.experiment.presets import SIZES
from plasticity_utils.registry import label

# Without these protocols an audit judges nothing; others are asked for by name.
PROTOCOLS = ("targeted", "random", "masked")
# What a reading curve trains under.
CURVE_CONDITIONS = ("targeted", "masked")


def run_name(config: RunConfig) -> str:
    """Readable name of a run's folder, its overrides included; a digest of all settings follows."""
    return f"{group_name(config)}-seed{config.seed}"


def group_name(config: RunConfig) -> str:
    """Name that runs have in common which differ in nothing but the seed."""
    parts = [config.concept_info.name, *filter(None, [config.task.name])]
    parts += [Path(config.model).name, config.regime]
    own = (config.removal, config.ranking, config.rest, config.positions)
    parts += [label(value) for value in own if value]
    parts += [f"dose{config.dose:g}"] if config.dose is not None else []
    parts += ["regrow"] if config.regrow else []
    parts += [f"epochs{config.epochs}"] if config.epochs is not None else []
    parts += [f"restarts{config.restarts}"] if config.restarts > 1 else []
    parts += [config.indicator] if config.indicator != "concept" else []
    parts += [re.sub(r"[^\w.=-]+", "-", config.removal_settings)] if config.removal_settings else []
    parts += list(config.conditions) if config.protocols else []
    for name in ("learning_rate", *SIZES):
        value = getattr(config, name)
        parts += [f"{name}{value:g}"] if value is not None else []
    parts += config.own_parts
    return "-".join([*parts, config.scale])


def shared_settings(config: RunConfig) -> dict[str, Any]:
    """Settings that runs have in common which differ in nothing but the seed, wherever they lie."""
    own = ("seed", "results_dir")
    return {name: value for name, value in config.settings().items() if name not in own}


def variant(config: RunConfig) -> str:
    """What a run changes of its regime, for instance `rest=zero`; empty for nothing."""
    names = (
        "removal", "ranking", "rest", "positions", "dose", "regrow", "epochs", "restarts",
        "indicator", "removal_settings", "protocols", "corpus", "tags", "learning_rate", *SIZES,
    )  # fmt: skip
    usual = {field.name: field.default for field in fields(config)}
    further = [name for name in usual if name not in {field.name for field in fields(RunConfig)}]
    own = {name: getattr(config, name) for name in (*names, *further)}
    return ", ".join(f"{name}={value}" for name, value in own.items() if value != usual[name])


def with_protocols(config: RunConfig) -> RunConfig:
    """Give settings the protocols of an audit where they name none."""
    return replace(config, protocols=config.protocols or ",".join(PROTOCOLS))


def audit_name(config: RunConfig) -> str:
    """Name of an audit's folder; the usual protocols are not in it."""
    is_usual = with_protocols(config) == with_protocols(replace(config, protocols=""))
    return f"audit-{run_name(replace(config, protocols='') if is_usual else config)}"


def example_name(config: RunConfig) -> str:
    """Name of an example's folder."""
    return f"example-{run_name(config)}"


def curve_name(config: RunConfig) -> str:
    """Name of a curve's folder."""
    return f"curve-{run_name(config)}"


def features_name(config: RunConfig) -> str:
    """Name of the folder of a ranking of features."""
    return f"features-{Path(config.model).name}-{config.scale}-seed{config.seed}"
