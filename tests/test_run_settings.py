"""Whole runs on a tiny model under other seeds and settings."""

import pandas as pd
import pytest

from plasticity_utils import InputError, RunConfig, load_run
from plasticity_utils.experiment import stages
from plasticity_utils.experiment.dose import pick_dose
from plasticity_utils.experiment.measure import concept_columns
from plasticity_utils.experiment.presets import SCALES
from plasticity_utils.experiment.splits import load_sentences
from plasticity_utils.results import neurons as neuron_changes
from plasticity_utils.results.published import published_runs
from runs import FRAMES, assert_same_tables, at, tiny_config
from test_run import PLACE


def test_the_same_seed_gives_the_same_tables_and_another_others(
    tiny_run, two_runs, make_run, tmp_path
):
    again = make_run(tmp_path)
    assert again.path != tiny_run.path
    assert_same_tables(again, tiny_run)
    other = two_runs[1]
    for name in FRAMES:
        assert not getattr(other, name).equals(getattr(tiny_run, name)), name


# Other settings


def test_half_the_neurons_can_be_removed(tiny_run, make_run):
    run = make_run(regime="half", dose=None)
    assert run.facts["dose"] == 0.5
    assert run.facts["n_removed"] == len(run.ranking) / 2
    gone = at(run.neurons, condition="targeted", stage="end", removed=True)
    best = run.ranking.nsmallest(len(run.ranking) // 2, "rank_probeless")
    assert set(map(tuple, gone[PLACE].to_numpy())) == set(map(tuple, best[PLACE].to_numpy()))
    assert (gone["selectivity"] == 0).all()
    # The base model is that of the other regime.
    assert run.base.equals(tiny_run.base)
    for answer in (
        neuron_changes.kept_gain_table(run.neurons),
        neuron_changes.turnover(run.neurons, 0.5),
    ):
        assert not answer.empty


def test_neurons_may_grow_back_but_not_under_the_head_alone(make_run):
    run = make_run(regrow=True)
    end = at(run.neurons, stage="end", removed=True).set_index("condition")["gain"]
    assert (end["targeted"] != 0).all()
    assert (end["random"] != 0).all()
    assert (end["head"] == 0).all()
    assert (at(run.neurons, stage="removed", removed=True)["gain"] == 0).all()


def test_without_a_dose_it_is_picked(tiny_run, tiny_run_folder):
    results = tiny_run.config.results_dir
    config = tiny_config(tiny_run_folder, results, dose=None)
    made = stages.Stages(config)
    curve = pd.read_parquet(made.dose() / "dose.parquet")
    assert made.chosen_dose == pick_dose(curve, "LOC")
    assert len(made.removal.neurons) == max(1, round(made.chosen_dose * len(tiny_run.ranking)))


@pytest.mark.parametrize("scale", SCALES)
def test_every_scale_has_words_of_every_entity_where_it_needs_them(scale):
    sentences = load_sentences(RunConfig(scale=scale))
    for corpus in (sentences.ranking, sentences.measuring):
        assert concept_columns(corpus).any(axis=0).all()
    sizes = SCALES[scale]
    wanted = [sizes.train or 14041, sizes.ranking or 1727, sizes.measuring or 1726]
    found = [len(corpus) for corpus in (sentences.train, sentences.ranking, sentences.measuring)]
    assert found == wanted


def test_a_published_run_is_opened_by_another_name():
    folder = published_runs()[0].path
    with pytest.raises(InputError, match=r"of published runs it is `pu\.published_runs\(\)`"):
        load_run(folder)
