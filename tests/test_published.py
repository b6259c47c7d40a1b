"""Published runs and several seeds as one, on tiny runs of two seeds."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from plasticity_utils import InputError, RunGroup, files, find_run, publish, run_group
from plasticity_utils.experiment import base_stages as stages_module
from plasticity_utils.experiment import config as config_module
from plasticity_utils.experiment import run as run_module
from plasticity_utils.experiment.run_names import run_name, variant
from plasticity_utils.results.derived import derived
from plasticity_utils.results.groups import largest, run_groups
from plasticity_utils.results.published import published_runs, status
from runs import SHORT

LOC = "LOC"


def never(*arguments):
    raise AssertionError("it was about to train")


def test_a_published_run_opens_where_its_model_is_not(shelf):
    for path in shelf.glob("*/config.json"):
        facts = json.loads(path.read_text())
        facts["settings"]["model"] = "/gone/model"
        path.write_text(json.dumps(facts))
    (group,) = run_groups(published_runs(shelf))
    assert group.config.model == "/gone/model"
    assert [group] == largest([group])


def test_of_several_scales_the_largest_is_kept(shelf):
    small, large = published_runs(shelf)
    for run, scale in ((small, "quick"), (large, "medium")):
        facts = {**run.facts, "settings": {**run.facts["settings"], "scale": scale}}
        (run.path / "config.json").write_text(json.dumps(facts))
    kept = largest(run_groups(published_runs(shelf)))
    assert [group.config.scale for group in kept] == ["medium"]


def test_published_tables_are_those_of_the_run(two_runs, shelf):
    for run, copy in zip(two_runs, published_runs(shelf), strict=True):
        assert copy.config.seed == run.config.seed
        for name in ("base", "dose", "layers", "metrics", "reliance"):
            pd.testing.assert_frame_equal(getattr(copy, name), getattr(run, name))
        for name in SHORT:
            pd.testing.assert_frame_equal(derived(copy, name), derived(run, name))
        assert copy.facts["commits"]
        assert copy.facts["published"].keys() >= {"date", "code", "libraries", "machine"}
        assert copy.facts["settings"]["results_dir"] == ""
        size = sum(path.stat().st_size for path in copy.path.iterdir())
        assert size < 400_000


def test_a_published_run_says_that_it_has_no_table_of_all_neurons(shelf):
    with pytest.raises(InputError, match=r"neurons\.parquet.*not published"):
        _ = published_runs(shelf)[0].neurons


def test_publishing_again_replaces_and_leaves_no_half(two_runs, shelf):
    (shelf / run_name(two_runs[0].config) / "stale.parquet").write_bytes(b"")
    publish(two_runs[0], shelf)
    assert len(list(shelf.iterdir())) == 2
    assert not list(shelf.rglob("stale.parquet"))


def test_a_smoke_run_is_not_published(two_runs, tmp_path):
    facts = json.loads((two_runs[0].path / "config.json").read_text())
    facts["settings"]["scale"] = "smoke"
    (tmp_path / "config.json").write_text(json.dumps(facts))
    with pytest.raises(InputError, match="mean nothing"):
        publish(type(two_runs[0])(tmp_path), tmp_path / "out")


def test_what_is_published_is_opened_without_training(two_runs, shelf, monkeypatch):
    monkeypatch.setattr(run_module, "run_experiment", never)
    found = find_run(replace(two_runs[1].config, results_dir=""))
    assert found.path.parent == shelf
    assert found.config.seed == 1
    for changes in ({"seed": 7}, {"regime": "half"}, {"results_dir": str(shelf)}, {"dose": 0.2}):
        wanted = replace(two_runs[1].config, **{"results_dir": "", **changes})
        with pytest.raises(
            InputError, match=r"no finished run .* `plasticity run --concept .*` makes it"
        ):
            find_run(wanted)
        with pytest.raises(AssertionError, match="about to train"):
            find_run(wanted, make=True)


def test_ones_own_finished_run_comes_before_the_published_one(two_runs, shelf, monkeypatch):
    own = two_runs[0]
    monkeypatch.setattr(config_module, "results_root", lambda: own.path.parent)
    for costly in ("model_fingerprint", "training_precision", "load_sentences"):
        monkeypatch.setattr(stages_module, costly, never)
    assert find_run(replace(own.config, results_dir="")).path == own.path
    monkeypatch.setattr(files, "STAGE_VERSION", files.STAGE_VERSION + 1)
    assert find_run(replace(own.config, results_dir="")).path.parent == shelf


def test_seeds_are_the_runs_that_differ_in_nothing_else(two_runs, shelf):
    group = run_group(two_runs[1])
    assert [run.config.seed for run in group.runs] == [1, 0]
    assert group.numbers == [0, 1]
    other = replace(two_runs[0].config, regime="half")
    folder = shelf / run_name(other)
    folder.mkdir()
    facts = {**two_runs[0].facts, "settings": {**two_runs[0].facts["settings"], "regime": "half"}}
    (folder / "config.json").write_text(json.dumps(facts))
    assert run_group(published_runs(shelf)[-1]).numbers == [0, 1]
    with pytest.raises(InputError, match="at least one"):
        RunGroup(())


def test_two_seeds_give_means_and_paired_differences(two_runs):
    group = RunGroup(tuple(two_runs))
    ends = []
    for run in two_runs:
        rows = run.metrics[(run.metrics["stage"] == "end") & (run.metrics["entity"] == LOC)]
        ends.append(rows.set_index("condition")["entity_f1"])
    row = group.recovery.set_index("condition").loc["targeted"]
    differences = [end["targeted"] - end["head"] for end in ends]
    assert row["beyond_head"] == pytest.approx(np.mean(differences))
    half_width = 12.7062 * abs(differences[0] - differences[1]) / 2
    assert row["beyond_head_high"] - row["beyond_head"] == pytest.approx(half_width, rel=1e-4)
    mean = group.metrics.query("condition == 'random' and stage == 'end' and entity == 'LOC'")
    assert mean["entity_f1"].iloc[0] == pytest.approx(np.mean([end["random"] for end in ends]))
    assert group.metrics[["entity_f1_low", "entity_f1_high"]].stack().between(0, 1).all()
    assert "2 seeds" in group.interval


def test_one_seed_keeps_its_own_intervals(two_runs):
    alone = RunGroup((two_runs[0],))
    own = two_runs[0].metrics
    pd.testing.assert_frame_equal(alone.metrics[own.columns.tolist()], own, check_dtype=False)
    assert "sentences" in alone.interval
    assert alone.recovery["end_low"].isna().all()


def test_the_status_has_a_row_a_run(two_runs, shelf):
    table = status(published_runs(shelf))
    assert table["seed"].tolist() == [0, 1]
    assert table["train"].tolist() == [200, 200]
    assert table["base_f1"].between(0, 1).all()
    assert (table["hours"] > 0).all()
    assert (table["variant"] == "dose=0.1").all()
    assert variant(replace(two_runs[0].config, rest="zero", regrow=True)).endswith("regrow=True")


def test_a_table_that_was_not_added_names_its_command(two_runs):
    with pytest.raises(InputError, match="`plasticity readers` does it"):
        derived(two_runs[0], "readers")


def test_an_unknown_table_is_named(two_runs):
    with pytest.raises(InputError, match=r"'kept'.*kept_gain"):
        derived(two_runs[0], "kept")
