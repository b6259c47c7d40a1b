"""The mistakes made on a finished run, on tiny runs: each against the run's own right numbers."""

import json
import shutil

import pandas as pd
import pytest

from plasticity_utils.analysis.mistakes import (
    changes_by_concept,
    changes_over,
    mistake_changes,
    setting_changes,
)
from plasticity_utils.experiment.record import Run
from plasticity_utils.results.derived import MISTAKES
from plasticity_utils.results.groups import run_groups
from plasticity_utils.results.published import published_runs


@pytest.fixture
def changes(shelf):
    return mistake_changes(published_runs(shelf)[0]).set_index(["mistake", "quantity"])


def test_published_runs_have_them(shelf):
    run = published_runs(shelf)[0]
    assert run.holds(MISTAKES)
    (run.path / f"{MISTAKES[0]}.parquet").unlink()
    assert not run.holds(MISTAKES)


def test_without_the_mistake_the_numbers_are_the_runs_own(shelf, changes):
    run = published_runs(shelf)[0]
    after = run.metrics[(run.metrics["stage"] == "removed") & (run.metrics["entity"] == "LOC")]
    f1 = after.set_index("condition")["entity_f1"]
    right = changes.xs("F1 of the concept, just removed", level="quantity")["right"]
    assert right[[1, 3, 6]].to_numpy() == pytest.approx(f1["targeted"])
    assert right[2] == pytest.approx(f1["random"])
    assert changes.loc[(6, "neurons removed"), "right"] == run.facts["n_removed"]


def test_each_mistake_shows_in_its_own_quantity(shelf, changes):
    run = published_runs(shelf)[0]
    assert changes.loc[(2, "share in the embedding layer"), "made"] == 1
    assert changes.loc[(3, "share in the embedding layer"), "made"] == 0
    assert changes.loc[(6, "neurons removed"), "difference"] < 0
    averaging = pd.read_parquet(run.path / "mistakes_averaging.parquet")
    rise = changes.loc[(7, "mean rise of rank saliency")]
    assert rise["right"] == pytest.approx(averaging["rise"].mean())
    assert rise["difference"] > 0
    assert (changes["difference"] == changes["made"] - changes["right"]).all()


def test_seeds_are_averaged_and_runs_without_are_left_out(shelf):
    runs = published_runs(shelf)
    each = [mistake_changes(run)["difference"].mean() for run in runs]
    table = changes_over(run_groups(runs))
    assert set(table["n_seeds"]) == {2}
    assert table["difference"].mean() == pytest.approx(sum(each) / 2)
    for run in runs:
        (run.path / f"{MISTAKES[1]}.parquet").unlink()
    assert changes_over(run_groups(runs)).empty


def test_concepts_stand_side_by_side_with_the_intervals_that_there_are():
    changes = pd.DataFrame(
        {
            "concept": ["persons", "persons", "locations"],
            "mistake": [1, 6, 1],
            "quantity": ["F1", "neurons removed", "F1"],
            "difference": [0.9, -19.0, 0.75],
            "difference_low": [0.8, -20.0, None],
            "difference_high": [1.0, -18.0, None],
        }
    )
    table = changes_by_concept(changes).set_index(["mistake", "quantity"])
    assert set(table) == {"persons", "locations"}
    assert table.loc[(1, "F1"), ["persons", "locations"]].tolist() == [0.9, 0.75]
    assert table.loc[(6, "neurons removed"), ["locations"]].isna().all()
    assert changes_by_concept(changes_over([])).empty


def with_setting(run, folder, lost, **changed):
    """A copy of a run, as if another setting had cost it some F1."""
    copy = shutil.copytree(run.path, folder / "-".join(map(str, changed.items())))
    facts = json.loads((copy / "config.json").read_text())
    facts["settings"] |= changed
    (copy / "config.json").write_text(json.dumps(facts))
    metrics = pd.read_parquet(copy / "metrics.parquet")
    metrics.assign(entity_f1=metrics["entity_f1"] - lost).to_parquet(copy / "metrics.parquet")
    return Run(copy)


def test_mistakes_that_are_settings_are_told_by_runs_that_make_one_alone(shelf, tmp_path):
    run = published_runs(shelf)[0]
    assert setting_changes(run_groups([run])).empty
    regrown = with_setting(run, tmp_path, 0.1, regrow=True)
    restarted = with_setting(run, tmp_path, 0.2, restarts=4)
    both = with_setting(run, tmp_path, 0.5, regrow=True, restarts=4)
    table = setting_changes(run_groups([run, regrown, restarted, both]))
    end = table[table["quantity"] == "F1 of the concept at the end"]
    lost = end.groupby("mistake")["difference"].apply(list).to_dict()
    assert lost[5] == pytest.approx([-0.1])
    assert lost[8] == pytest.approx([-0.2])
    assert set(table["concept"]) == {"locations"}
