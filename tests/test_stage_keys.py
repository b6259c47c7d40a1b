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
    "base": "a5bc420aa888",
    "ranking": "d45a3dcce9f8",
    "dose": "839d1ca7571c",
    "whole": "3083ad501922",
    "measured": "054fab36a9a5",
    "retrained-targeted": "5917855125a2",
    "retrained-none": "e27d68075680",
    "retrained-head": "b82ba51f3452",
}
KEYS = {
    "surgical": {
        **SHARED,
        "reliance-targeted": "c494abfec459",
        "run": "4d6a8c513d18",
        "name": "locations-minilm-surgical-quick-seed0",
    },
    "half": {
        **SHARED,
        "reliance-targeted": "ae6109ddbfa5",
        "run": "4c102c7d6f90",
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
    for condition in ("targeted", "none", "head"):
        made.retrained(condition, None if condition == "none" else PLAN)
    made.reliance("targeted", PLAN, PLAN)
    asked["run"] = files.digest(run._settings(config))
    asked["name"] = run.run_name(config)
    return asked


@pytest.mark.parametrize("regime", ["surgical", "half"])
def test_what_was_made_before_keeps_its_name(regime, monkeypatch):
    assert names(RunConfig(regime=regime), monkeypatch) == KEYS[regime]
