"""A whole run that erases, on a tiny model: its tables, and what pages say of it."""

import json
import shutil
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
import pytest

from plasticity_utils import InputError, RunConfig
from plasticity_utils.analysis import answers, movement, rules
from plasticity_utils.analysis.readers import by_indicator, by_reader
from plasticity_utils.analysis.reading import compare_indicators, read_anew
from plasticity_utils.book import banner
from plasticity_utils.charts import (
    f1_through_retraining,
    kept_gain,
    words_table,
)
from plasticity_utils.experiment.record import Run
from plasticity_utils.experiment.replay import model_at
from plasticity_utils.experiment.run_names import run_name
from plasticity_utils.models.layers import layers_of
from plasticity_utils.names import CONDITIONS, INDICATORS
from plasticity_utils.removal.patch import LayerPatch
from plasticity_utils.results import across, tables
from plasticity_utils.results import groups as grouping
from plasticity_utils.results.derived import derived
from plasticity_utils.results.groups import RunGroup
from plasticity_utils.results.neurons import neuron_cards
from plasticity_utils.results.published import _keep_additions, add, published_runs
from runs import FRAMES, SHORT, f1_of


@pytest.fixture
def run(erased_run):
    return erased_run


def patched(module):
    """Whether a patch is in force; transformers leaves hooks of its own."""
    return any(isinstance(hook, LayerPatch) for hook in module._forward_hooks.values())


def test_a_run_that_erases_has_all_tables(run):
    for name in FRAMES:
        assert not getattr(run, name).empty
    assert list(run.metrics["condition"].unique()) == list(CONDITIONS)
    assert not run.neurons["removed"].any()
    assert (run.neurons["gain"] == 1).all()
    numbers = run.neurons.select_dtypes("number")
    assert np.isfinite(numbers.to_numpy()).all()
    assert run.facts["n_removed"] == 0
    assert run.facts["ranks"]["targeted"] == run.facts["ranks"]["random"] == [2, 2, 2]
    kinds = [name.split("-")[0] for name in run.facts["seconds"]]
    assert kinds.count("fitted") == 2
    assert run.config == RunConfig(**run.facts["settings"])


def test_erasing_takes_the_concept_and_shuffled_labels_do_not(run):
    base = f1_of(run, "targeted", "base")
    assert base > 0.2
    assert f1_of(run, "targeted", "removed") < 0.5 * base
    assert f1_of(run, "random", "removed") > f1_of(run, "targeted", "removed")
    assert f1_of(run, "head", "removed") == f1_of(run, "targeted", "removed")
    assert f1_of(run, "none", "removed") == base


def test_at_the_end_it_is_erased_again(run):
    again = run.reliance
    assert set(again["condition"]) == {"targeted", "none"}
    assert list(again["again"].unique()) == ["nothing", "same", "refitted", "random"]
    assert (again["n_removed"] == 0).all()
    f1 = again.groupby(["condition", "again", "entity"])["entity_f1"].mean().unstack()
    # In place already: projecting once more changes nothing.
    own = f1.loc["targeted"]
    assert own.loc["same"].tolist() == pytest.approx(own.loc["nothing"].tolist(), abs=0.02)
    assert f1["overall"]["none", "same"] < f1["overall"]["none", "nothing"]
    assert set(tables.reliance_table(again)["again"]) == set(again["again"])


def test_the_retrained_model_still_has_its_erasers(run):
    with model_at(run, "targeted", "end") as (model, _):
        assert all(map(patched, layers_of(model)))
    with model_at(run, "none", "end") as (model, _):
        assert not any(map(patched, layers_of(model)))


def test_pages_speak_of_erasing_and_not_of_removed_neurons(run):
    group = RunGroup((run,))
    said = banner.settings(group, {})
    assert "2 of 32 dimensions of every layer erased" in said
    assert "No single neuron is cut here" in said
    again = answers.second_cut(group)
    assert list(again["again"]) == ["nothing", "refitted", "random"]
    assert answers.answer(group)["targeted"].notna().all()
    assert answers.found(group) in rules.reader_finds.words


def test_what_pages_show_of_neurons_can_do_without_removed_ones(run):
    found = {name: derived(run, name) for name in SHORT}
    assert found["removed_neurons"].empty
    assert found["regrowth"].empty
    assert set(found["neuron_changes"]["kind"]) == {"kept", "newly salient"}
    assert not found["newly_salient"].empty
    cards = neuron_cards(run, 9)
    assert "removed" not in set(cards["card_neurons"]["kind"])
    group = RunGroup((run,))
    words_table(found["removed_neurons"]).to_html()
    kept_gain(group.kept_gain, group.neuron_interval).to_dict()
    f1_through_retraining(
        group.metrics, "LOC", tables.base_f1(group.metrics), group.interval
    ).to_dict()


def test_series_stand_beside_each_other(run):
    groups = grouping.run_groups([run])
    row = across.dose_table(groups).iloc[0]
    assert row["doses"] == ""
    assert row["loss"] == pytest.approx(
        f1_of(run, "targeted", "base") - f1_of(run, "targeted", "removed")
    )
    assert row["random_loss"] < row["loss"]
    for table in (across.relearning, across.turnovers, movement.moves_by_concept, across.relied_on):
        assert not table(groups).empty


def test_indicators_are_compared_on_one_base(run, tmp_path):
    folder = tmp_path / run_name(run.config)
    with pytest.raises(InputError, match="is not published"):
        add(run, "indicators", tmp_path)
    shutil.copytree(run.path, folder)
    table = pd.read_parquet(add(run, "indicators", tmp_path))
    assert table["indicator"].unique().tolist() == list(INDICATORS)
    own = table[(table["indicator"] == run.config.indicator) & (table["entity"] == "LOC")]
    for snapshot, condition, stage in (("removed", "targeted", "removed"), ("head", "head", "end")):
        found = own.set_index("snapshot").loc[snapshot, "entity_f1"]
        assert found == f1_of(run, condition, stage)
    # Every tag told apart takes more dimensions than the concept against the rest.
    dimensions = table.groupby("indicator")["n_dimensions"].first()
    assert dimensions["types"] > dimensions["concept"] > 0
    shown = by_indicator([RunGroup((Run(folder),))])
    assert shown["indicator"].tolist() == list(INDICATORS)
    assert by_indicator([RunGroup((run,))]).empty
    facts = json.loads((folder / "indicators.json").read_text())
    assert {"date", "seed", "code", "libraries"} <= set(facts)


def test_readers_find_what_is_there_and_not_what_was_erased(run, tmp_path):
    with pytest.raises(InputError, match="is not published"):
        add(run, "readers", tmp_path)
    folder = shutil.copytree(run.path, tmp_path / run_name(run.config))
    table = pd.read_parquet(add(run, "readers", tmp_path, partial(read_anew, n_sentences=100)))
    assert (table["n_fitted"] == 100).all()
    f1 = table[table["entity"] == "LOC"].set_index(["condition", "reader"])["entity_f1"]
    assert set(f1.index) == set(product(["none", "targeted", "random"], ["linear", "perceptron"]))
    assert f1["none", "linear"] > 0.2
    assert f1["targeted", "linear"] < 0.5 * f1["none", "linear"]
    shown = by_reader([RunGroup((Run(folder),))]).set_index("condition")
    assert shown.loc["targeted", "linear"] == f1["targeted", "linear"]
    assert shown.loc["targeted", "head"] == f1_of(run, "head", "end")
    assert shown["head"].notna().tolist() == [False, True, False]
    assert shown.loc["none", "removed"] == f1_of(run, "targeted", "base")
    assert by_reader([RunGroup((run,))]).empty
    assert {"date", "seed", "code"} <= set(json.loads((folder / "readers.json").read_text()))
    # A reader that is read later stands beside those that were there.
    more = partial(read_anew, n_sentences=50, names=["linear"])
    both = pd.read_parquet(add(run, "readers", tmp_path, more))
    assert both.groupby("reader")["n_fitted"].unique().map(list).to_dict() == {
        "linear": [50], "perceptron": [100],
    }  # fmt: skip


def test_what_was_added_to_a_published_run_is_kept_while_its_stages_are_the_same(run, tmp_path):
    old, same, other = (
        shutil.copytree(run.path, tmp_path / name) for name in ("old", "same", "other")
    )
    (old / "indicators.parquet").write_bytes(b"added")
    facts = json.loads((other / "config.json").read_text())
    facts["seconds"] = {"base-another": 1.0}
    (other / "config.json").write_text(json.dumps(facts))
    _keep_additions(old, same)
    _keep_additions(old, other)
    assert (same / "indicators.parquet").read_bytes() == b"added"
    assert not (other / "indicators.parquet").exists()


def test_indicators_of_a_removal_are_refused():
    removal = next(run for run in published_runs() if run.config.regime == "surgical")
    with pytest.raises(InputError, match="removal 'gate' has no indicator"):
        compare_indicators(removal)
