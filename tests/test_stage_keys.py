"""The names under which results were made before erasing came: published runs hang on them."""

from pathlib import Path

import numpy as np
import pytest

from plasticity_utils import files
from plasticity_utils.experiment import run, stages
from plasticity_utils.experiment import stages as base_stages
from plasticity_utils.experiment.config import RunConfig
from plasticity_utils.removal.plans import RemovalPlan

PLAN = RemovalPlan(np.array([[1, 3], [0, 2]]), np.arange(8.0).reshape(2, 4), "words")
SHARED = {
    "base": "c0402b10fc6d",
    "ranking": "9f13178e4473",
    "dose": "76defc4d7159",
    "whole": "638ac42c8cff",
    "measured": "c5b02cefbada",
    "retrained-concept": "f5d236f25bfa",
    "retrained-none": "d62b72f41d9b",
    "retrained-head": "2c2a3842f9e0",
}
KEYS = {
    "surgical": {
        **SHARED,
        "reliance-concept": "14925b2fb8a7",
        "run": "2cf27641cc5c",
        "name": "locations-minilm-surgical-quick-seed0",
    },
    "half": {
        **SHARED,
        "reliance-concept": "bdd42a0dd628",
        "run": "773671bcc389",
        "name": "locations-minilm-half-quick-seed0",
    },
}


def names(config, monkeypatch):
    """Digests of the settings of every stage and of the run, without making any."""
    monkeypatch.setattr(base_stages, "training_precision", lambda: "fp32")
    asked = {}

    def note(self, stage, settings, make):
        asked[stage] = files.digest(settings)
        return Path(stage)

    monkeypatch.setattr(stages.Stages, "_cached", note)
    monkeypatch.setattr(files, "seal_of", lambda folder: {"settings": str(folder)})
    made = stages.Stages(config)
    for make in (made.base, made.ranking, made.dose):
        make()
    made.measured(None)
    asked["whole"] = asked.pop("measured")
    made.measured(PLAN)
    for condition in ("concept", "none", "head"):
        made.retrained(condition, None if condition == "none" else PLAN)
    made.reliance("concept", PLAN, PLAN)
    asked["run"] = files.digest(run._settings(config))
    asked["name"] = run.run_name(config)
    return asked


@pytest.mark.parametrize("regime", ["surgical", "half"])
def test_what_was_made_before_keeps_its_name(regime, monkeypatch):
    assert names(RunConfig(regime=regime), monkeypatch) == KEYS[regime]
