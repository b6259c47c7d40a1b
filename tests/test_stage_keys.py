"""The names under which results were made before erasing came: published runs hang on them."""

import numpy as np
import pytest

from plasticity_utils import run, stages, store
from plasticity_utils.config import RunConfig
from plasticity_utils.plans import RemovalPlan

PLAN = RemovalPlan(np.array([[1, 3], [0, 2]]), np.arange(8.0).reshape(2, 4), "words")
KEYS = {}


def names(config, monkeypatch):
    """Digests of the settings of every stage and of the run, without making any."""
    monkeypatch.setattr(stages, "training_precision", lambda: "fp32")
    asked = {}

    def note(self, stage, settings, make):
        asked[stage] = store.digest(settings)
        return stage

    monkeypatch.setattr(stages.Stages, "_cached", note)
    monkeypatch.setattr(store, "seal_of", lambda folder: {"settings": str(folder)})
    made = stages.Stages(config)
    for make in (made.base, made.ranking, made.dose):
        make()
    made.measured(None)
    asked["whole"] = asked.pop("measured")
    made.measured(PLAN)
    for condition in ("concept", "none", "head"):
        made.retrained(condition, None if condition == "none" else PLAN)
    made.reliance("concept", PLAN, PLAN)
    asked["run"] = store.digest(run._settings(config))
    asked["name"] = run.run_name(config)
    return asked


@pytest.mark.parametrize("regime", ["surgical", "half"])
def test_what_was_made_before_keeps_its_name(regime, monkeypatch):
    assert names(RunConfig(regime=regime), monkeypatch) == KEYS[regime]
