"""Forcing neurons to carry a second concept: groups, training, tables, resuming, the command."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from plasticity_utils import InputError, cli
from plasticity_utils.analysis.forced import judged
from plasticity_utils.experiment import forcing as forced_stages
from plasticity_utils.experiment.forcing import choose_targets
from plasticity_utils.experiment.forcing_config import ForcingConfig
from plasticity_utils.experiment.record import Run, command
from plasticity_utils.experiment.run import run_experiment
from plasticity_utils.experiment.run_names import run_name
from plasticity_utils.experiment.stages import Stages
from plasticity_utils.results import published as published_module
from plasticity_utils.results.groups import run_group
from plasticity_utils.results.published import find_run, publish, published_runs, status
from runs import tiny_config
from test_config import checked

DOSES = (0.05, 0.25)


@pytest.fixture(scope="module")
def results(session_folder):
    # The folder of the shared runs: what is made already is found again.
    return session_folder / "tiny-runs"


@pytest.fixture(scope="module")
def config(tiny_run_folder, results):
    own = {"host": "persons", "doses": DOSES, "share": 1.0, "rate_factor": 1.0}
    return tiny_config(tiny_run_folder, results, kind=ForcingConfig, **own)


@pytest.fixture(scope="module")
def forced(config):
    return run_experiment(config)


@pytest.fixture(scope="module")
def chosen(config, forced):
    """What the forcing removed, and its groups."""
    plan = Stages(config).removal
    host = Stages(config.of_host).ranking() / "ranking.parquet"
    return plan, choose_targets(config, plan, pd.read_parquet(host)), pd.read_parquet(host)


def pairs(neurons):
    return {tuple(pair) for pair in np.asarray(neurons).tolist()}


# Groups


def test_the_groups_are_the_hosts_best_random_ones_of_its_layers_and_the_removed(chosen):
    plan, targets, ranking = chosen
    gone = pairs(plan.neurons)
    groups = {(t.name, t.dose): t for t in targets}
    # Ten neurons were removed: a quarter of all is more than that.
    assert set(groups) == {
        ("host", 0.05), ("random", 0.05), ("removed", 0.05), ("host", 0.25), ("random", 0.25),
        ("all", 1.0), ("head", 0.0),
    }  # fmt: skip
    for dose in DOSES:
        host, random = groups["host", dose], groups["random", dose]
        assert len(host.neurons) == len(random.neurons) == round(dose * len(ranking))
        assert not pairs(host.neurons) & gone
        assert (np.bincount(host.neurons[:, 0]) == np.bincount(random.neurons[:, 0])).all()
        shared = len(pairs(random.neurons) & (pairs(host.neurons) | gone))
        assert random.overlap == shared
        left = ranking[[p not in gone for p in map(tuple, ranking[["layer", "unit"]].to_numpy())]]
        best = left.nsmallest(len(host.neurons), "rank_selectivity")[["layer", "unit"]]
        assert pairs(best.to_numpy()) == pairs(host.neurons)
    assert groups["random", 0.05].overlap == 0
    assert pairs(groups["host", 0.05].neurons) < pairs(groups["host", 0.25].neurons)
    assert pairs(groups["removed", 0.05].neurons) < gone


def test_where_no_dose_fits_all_removed_neurons_are_one_group(config, chosen):
    plan, _, ranking = chosen
    targets = choose_targets(replace(config, doses=(0.25,)), plan, ranking)
    (removed,) = [target for target in targets if target.name == "removed"]
    assert pairs(removed.neurons) == pairs(plan.neurons)
    assert removed.dose == len(plan.neurons) / len(ranking)


def test_neurons_are_chosen_by_a_ranking_from_a_file(config, chosen):
    plan, targets, ranking = chosen
    by_file = replace(config, ranking=f"{Path(__file__).parent / 'plugin' / 'mine.py'}:by_spread")
    found = choose_targets(
        by_file, plan, ranking.rename(columns={"rank_selectivity": "rank_by_spread"})
    )
    assert [pairs(each.neurons) for each in found] == [pairs(each.neurons) for each in targets]


def test_a_dose_of_more_neurons_than_are_left_is_named(config, chosen):
    plan, _, ranking = chosen
    with pytest.raises(InputError, match=r"dose 0\.95 of 96 neurons is 91, but only 86"):
        choose_targets(replace(config, doses=(0.01, 0.95)), plan, ranking)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"host": "locations"}, "host 'locations' is the concept itself"),
        ({"host": "cheeses"}, "unknown concept 'cheeses'; allowed: locations"),
        ({"doses": ()}, "doses"),
        ({"doses": (0.1, 0.05)}, "ascending shares"),
        ({"doses": (0.0,)}, "between 0 and 1"),
        ({"doses": 0.1}, "doses 0.1; needed: ascending shares"),
        ({"doses": "0.1"}, "doses '0.1'; needed: ascending shares"),
        ({"doses": (0.1, "x")}, "doses must be shares between 0 and 1, not 'x'"),
        ({"share": 0.0}, "share must be above 0"),
        ({"share": 1.5}, "at most 1, not 1.5"),
        ({"share": "x"}, "share must be above 0 and at most 1, not 'x'"),
        ({"share": True}, "share must be above 0 and at most 1, not True"),
        ({"rate_factor": 0.0}, "rate_factor must be above 0"),
        ({"rate_factor": float("inf")}, "rate_factor must be above 0 and finite, not inf"),
        ({"rate_factor": "x"}, "rate_factor must be above 0 and finite, not 'x'"),
        ({"head": "yes"}, "head must be True or False, not 'yes'"),
        ({"host": 5}, "host must be a text, not 5"),
        ({"regime": "half"}, "regime 'half'"),
        ({"removal": "layernorm"}, "removal 'layernorm'"),
        ({"regrow": True}, "regrow True"),
        ({"concept": "words:Monday,Tuesday"}, "is no type of the tags of conll2003"),
        ({"host": "words:Monday,Tuesday"}, "host 'words:.*' is no type of the tags of conll2003"),
        ({"host": "LOC"}, "host 'LOC' is the concept itself"),
        ({"concept": "NNP", "tags": "pos"}, r"unknown concept 'persons'; .*\(pos\): NNP"),
        ({"host": ""}, "unknown concept ''"),
    ],
)
def test_settings_that_make_no_sense_are_named(changes, message):
    with pytest.raises(InputError, match=message):
        checked(ForcingConfig, **{"host": "persons", **changes})


def test_doses_may_be_a_list_and_of_numpy():
    config = checked(
        ForcingConfig, host="persons", doses=list(np.array([0.25, 0.5], dtype=np.float32))
    )
    assert config == ForcingConfig(host="persons", doses=(0.25, 0.5))


@pytest.mark.slow
def test_a_type_of_other_tags_is_forced_and_its_host_is_reported(make_run):
    # VBD is none of the five most frequent parts of speech.
    run = make_run(
        kind=ForcingConfig, tags="pos", concept="NNP", host="VBD", doses=(0.05,), share=1.0,
        rate_factor=1.0,
    )  # fmt: skip
    assert run.config.entities == ("NNP", "VBD")
    assert run.path.name.startswith("NNP-conll2003-pos-tiny-model")
    forced = run.table("forced").query("target == 'host'")
    assert {"NNP", "VBD"} < set(forced["entity"])
    assert (forced.set_index("entity")["n_gold"][["NNP", "VBD"]] > 0).all()
    (row,) = judged(run_group(run)).to_dict("records")
    assert row["n_neurons"] == 5
    # Opened again, it needs no corpus to know whose neurons carry both.
    again = Run(run.path).config
    assert (again.entities, run_name(again)) == (run.config.entities, run_name(run.config))


# Tables


def test_the_tables_have_a_row_for_every_group(forced):
    f1 = forced.table("forced")
    groups = f1[["target", "dose", "n_neurons"]].drop_duplicates()
    assert groups.values.tolist() == [
        ["host", 0.05, 5], ["random", 0.05, 5], ["host", 0.25, 24], ["random", 0.25, 24],
        ["removed", 0.05, 5], ["all", 1.0, 96], ["head", 0.0, 0],
    ]  # fmt: skip
    assert (f1.groupby(["target", "dose"])["entity"].nunique() == 5).all()
    for name in (
        "entity_f1_base",
        "entity_f1_removed",
        "entity_f1_end",
        "entity_f1_end_low",
        "entity_f1_end_high",
    ):
        assert f1[name].between(0, 1).all()
    # Before, all groups are one and the same model; afterwards they differ.
    own = f1[f1["entity"] == "overall"]
    assert own["entity_f1_base"].nunique() == own["entity_f1_removed"].nunique() == 1
    assert own["entity_f1_end"].nunique() > 3
    carriers = forced.table("carriers")
    assert carriers[["target", "dose"]].values.tolist() == [
        ["host", 0.05], ["random", 0.05], ["host", 0.25], ["random", 0.25], ["removed", 0.05],
        ["all", 0.05], ["all", 0.25],
    ]  # fmt: skip
    for snapshot in ("base", "removed", "end"):
        assert carriers[f"n_both_{snapshot}"].between(0, carriers["n_neurons"]).all()
        assert (carriers[f"n_same_{snapshot}"] <= carriers[f"n_both_{snapshot}"]).all()


def test_all_and_head_are_the_runs_own_trainings(config, forced):
    for target, condition in (("all", "targeted"), ("head", "head")):
        folder = Stages(config).retrained(condition) / "snapshots" / "1"
        expected = pd.read_parquet(folder / "metrics.parquet")["entity_f1"].to_numpy()
        table = forced.table("forced")
        own = table[table["target"] == target]["entity_f1_end"].to_numpy()
        assert np.array_equal(own, expected)


def test_gains_of_the_removed_grow_where_they_are_the_target(config, forced, chosen):
    plan, targets, _ = chosen
    stages = forced_stages.ForcingStages(config)
    (target,) = [target for target in targets if target.name == "removed"]
    table = pd.read_parquet(stages.forced(target, plan) / "neurons.parquet")
    gain = table.set_index(["layer", "unit"])["gain"]
    rest = [pair for pair in plan.neurons.tolist() if tuple(pair) not in pairs(target.neurons)]
    assert (gain.loc[[tuple(pair) for pair in target.neurons.tolist()]] != 0).all()
    assert (gain.loc[list(map(tuple, rest))] == 0).all()
    assert (gain == 1).sum() == len(table) - len(plan.neurons)


# Interrupting and publishing


def test_interrupted_and_repeated_it_gives_the_same_tables(
    config, forced, results, tmp_path, monkeypatch
):
    again = tmp_path / "again"
    # Of the trainings only the host's are made again: what is kept would be found again anyway.
    without = shutil.ignore_patterns(
        "*.lock", "*.part", "*.part.*", "forced-before-*", "forced-host-*"
    )
    shutil.copytree(results / "stages", again / "stages", ignore=without)
    measured, calls = forced_stages.word_activations, []

    def interrupt(*arguments):
        calls.append(arguments)
        # The second description is of the model before; this one comes after a training.
        if len(calls) == 3:
            raise KeyboardInterrupt
        return measured(*arguments)

    monkeypatch.setattr(forced_stages, "word_activations", interrupt)
    elsewhere = replace(config, results_dir=str(again))
    with pytest.raises(KeyboardInterrupt):
        run_experiment(elsewhere)
    assert list((again / "stages").glob("forced-host-*.part/checkpoints/checkpoint-*"))
    repeated = run_experiment(elsewhere)
    for name in config.tables:
        pd.testing.assert_frame_equal(repeated.table(name), forced.table(name), check_exact=True)
    assert not list((again / "stages").glob("forced-*/checkpoints"))


def test_a_published_forcing_is_found_like_any_run(config, forced, tmp_path, monkeypatch):
    monkeypatch.setattr(published_module, "PUBLISHED", tmp_path)
    anywhere = replace(config, results_dir="")
    monkeypatch.setattr(published_module, "finished_run", lambda config: None)
    with pytest.raises(InputError, match=r"`plasticity force --concept locations .*--host persons"):
        find_run(anywhere)
    folder = publish(forced, tmp_path)
    assert (
        folder.name
        == run_name(config)
        == "locations-tiny-model-surgical-dose0.1-force-persons-share1-rate1-tiny-seed0"
    )
    found = find_run(anywhere)
    for name in config.tables:
        pd.testing.assert_frame_equal(found.table(name), forced.table(name))
    assert isinstance(found.config, ForcingConfig)
    assert found.config.entities == ("LOC", "PER")
    assert found.facts["n_removed"] == 10
    assert found.facts["settings"]["results_dir"] == ""
    assert found.facts["code"]["version"]
    assert sum(found.facts["seconds"].values()) > 0
    assert [run.config.seed for run in run_group(found).runs] == [0]
    # A list of usual runs does not hold it, and the other way round.
    assert published_runs(tmp_path) == []
    (row,) = status(published_runs(tmp_path, ForcingConfig)).to_dict("records")
    assert row["variant"] == f"dose=0.1, host=persons, doses={DOSES}, share=1.0, rate_factor=1.0"
    with pytest.raises(InputError, match="no finished run"):
        find_run(replace(anywhere, share=0.5))


def test_the_command_makes_the_same(config):
    said = command(replace(config, model="minilm", results_dir="", dose=None))
    assert said.endswith("--host persons --doses 0.05 0.25 --share 1.0 --rate-factor 1.0")


def test_the_smoke_scale_is_not_published(forced, tmp_path):
    copy = shutil.copytree(forced.path, tmp_path / "copy")
    facts = forced.facts
    facts = {**facts, "settings": {**facts["settings"], "scale": "smoke"}}
    (copy / "config.json").write_text(json.dumps(facts))
    with pytest.raises(InputError, match="numbers mean nothing"):
        publish(Run(copy), tmp_path)


def test_the_command_names_bad_input_in_one_line(capsys):
    assert cli.main(["force", "--host", "locations"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == ("plasticity: host 'locations' is the concept itself; allowed: another one\n")


def test_the_command_finds_the_forcing_and_shows_its_verdict(
    forced, tiny_run_folder, results, capsys
):
    arguments = ["force", "--model", str(tiny_run_folder), "--scale", "tiny", "--dose", "0.1"]
    arguments += ["--doses", "0.05", "0.25", "--share", "1", "--rate-factor", "1"]
    assert cli.main([*arguments, "--results-dir", str(results)]) == 0
    first, second = capsys.readouterr().out.splitlines()[:2]
    assert str(forced.path) in first
    assert {"n_neurons", "rise", "verdict"} <= set(second.split())
