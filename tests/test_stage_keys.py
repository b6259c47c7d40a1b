"""The names under which results are made: published runs hang on them."""

from pathlib import Path

import numpy as np
import pytest

from plasticity_utils import files
from plasticity_utils.experiment import base_stages, run, stages
from plasticity_utils.experiment.config import RunConfig
from plasticity_utils.removal.gate import HeldNeurons

PLAN = HeldNeurons(np.array([[1, 3], [0, 2]]), np.arange(8.0).reshape(2, 4))
SHARED = {
    "base": "a5bc420aa888",
    "ranking": "d45a3dcce9f8",
    "probe": "db261df4ccff",
    "dose": "4fe4cfefddea",
    "whole": "3083ad501922",
    "retrained-none": "62ce214f42f7",
}
KEYS = {
    "surgical": {
        **SHARED,
        "fitted": "47a937974423",
        "measured": "ecc3dd16e0c7",
        "retrained-targeted": "1ec17d3ea145",
        "retrained-head": "68c29c84e72c",
        "reliance-targeted": "92334c0bb88a",
        "run": "239a9c5e23ea",
        "name": "locations-minilm-surgical-quick-seed0",
    },
    "half": {
        **SHARED,
        "fitted": "1d2752a2a7d7",
        "measured": "ecc3dd16e0c7",
        "retrained-targeted": "1ec17d3ea145",
        "retrained-head": "68c29c84e72c",
        "reliance-targeted": "4d5e1df44f48",
        "run": "7348b7b6c30a",
        "name": "locations-minilm-half-quick-seed0",
    },
    "erase": {
        **SHARED,
        "fitted": "0096407ce072",
        "measured": "28ff52bad7ca",
        "retrained-targeted": "32a5311b4bc5",
        "retrained-head": "4f6a2804371f",
        "reliance-targeted": "0e278e16c912",
        "run": "7adee83fef75",
        "name": "locations-minilm-erase-quick-seed0",
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
    made.__dict__.update({"chosen_dose": 0.05, "removal": PLAN, "control": PLAN})
    for make in (made.base, made.ranking, made.probe, made.dose, made.fitted, made.measured):
        make()
    asked["whole"] = asked.pop("measured")
    made.measured("targeted")
    for condition in ("targeted", "none", "head"):
        made.retrained(condition)
    made.reliance("targeted")
    asked["run"] = files.digest(run._settings(config))
    asked["name"] = run.run_name(config)
    return asked


@pytest.mark.parametrize("regime", ["surgical", "half", "erase"])
def test_what_was_made_before_keeps_its_name(regime, monkeypatch):
    assert names(RunConfig(regime=regime), monkeypatch) == KEYS[regime]


def test_a_removal_from_a_file_is_known_by_its_contents(tmp_path, monkeypatch):
    file = tmp_path / "mine.py"
    text = "from plasticity_utils.removal.leace import Leace\n\n\nclass Mine(Leace):\n    pass\n"
    found = []
    for contents in (text, text, f"{text}\n# changed\n"):
        file.write_text(contents)
        found.append(names(RunConfig(removal=f"{file}:Mine"), monkeypatch))
    assert found[0] == found[1]
    assert found[0]["fitted"] != found[2]["fitted"]
    assert found[0]["base"] == found[2]["base"]
    assert found[0]["name"] == "locations-minilm-surgical-Mine-quick-seed0"
